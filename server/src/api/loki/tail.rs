//! `/tail`: lines as they come, over a WebSocket.
//!
//! Owns: the connection, what has been said on it, when it ends and with which code.
//! Knows nothing of: how lines become visible.
//!
//! Invariants
//! - LT1  Lines are collected whether or not the client reads: what does not fit into the
//!   [`Outbox`] is not kept, its labels and times are told with the next message.
//!
//! Read next: `outbox.rs`.

use std::sync::Arc;
use std::time::Duration;

use ::query::logql::ast::LogExpr;
use ::query::logql::eval::{LogAnswer, LogQuery, OutEntry, OutStream, Tailer};
use ::query::logql::stages::Surroundings;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use engine::logs::Direction;
use engine::model::{Labels, Matcher};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{HeaderMap, Method, Uri};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::outbox::{Dropped, Outbox};
use super::{Ask, Fault, Tenant, params, reader, store_of};
use crate::api::Api;
use crate::api::encode::to_vec;
use crate::http::Params;
use crate::ingest::{News, Pushed};

/// Longest tail.
const LIFE: Duration = Duration::from_secs(3600);
/// How often the client is asked whether it is there.
const PING: Duration = Duration::from_secs(1);
/// Longest wait that a client may ask for, in seconds.
const DELAY_MAX: u64 = 5;
/// Bytes of the reason in a close frame; the protocol has room for 123.
const REASON_BYTES_MAX: usize = 123;

/// What was asked for.
struct Request {
    tenant: Tenant,
    expr: LogExpr,
    start: i64,
    limit: usize,
    delay: Duration,
}

/// Takes the connection, or says why not.
pub(super) async fn tail(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let uri = format!("/?{}", query.unwrap_or_default());
    match accepted(&api, &uri, &headers).await {
        Err(e) => e.into_response(),
        Ok((ask, request)) => {
            let Ok(upgrade) = upgrade else {
                return Fault::bad("Bad Request").into_response();
            };
            let max = api.logs.limits(&request.tenant.name).max_tails;
            let Some(slot) = api.logs.tail_slot(request.tenant.id, max) else {
                return Fault::bad(format!(
                    "max concurrent tail requests limit exceeded, count > limit ({} > {max})",
                    max + 1
                ))
                .into_response();
            };
            upgrade.on_upgrade(move |socket| async move {
                run(socket, ask, request).await;
                drop(slot);
            })
        }
    }
}

async fn accepted(api: &Arc<Api>, uri: &str, headers: &HeaderMap) -> Result<(Ask, Request), Fault> {
    let uri: Uri = uri
        .parse()
        .map_err(|_| Fault::bad("the query string is not valid"))?;
    let store = store_of(api)?;
    let tenant = reader(api, &store, headers)?;
    let empty = axum::body::Body::empty();
    let timeout = api.options.read_timeout;
    let read = Params::read(&Method::GET, &uri, headers, empty, timeout).await;
    let params = read.map_err(|_| Fault::bad("the query string is not valid"))?;
    let expr = ::query::logql::parse_log(params.get("query"))?;
    let delay = match params.get("delay_for") {
        "" => 0,
        t => t
            .parse()
            .map_err(|_| Fault::bad(format!("strconv.Atoi: parsing {t:?}: invalid syntax")))?,
    };
    if delay > DELAY_MAX {
        return Err(Fault::bad(format!(
            "delay_for can't be greater than {DELAY_MAX}"
        )));
    }
    let now = params::now();
    let request = Request {
        start: params::time_or(&params, "start", now.saturating_sub(LIFE.as_nanos() as i64))?,
        limit: params::limit(&params, "limit", 100)?,
        delay: Duration::from_secs(delay),
        tenant: tenant.clone(),
        expr,
    };
    let ask = Ask {
        api: Arc::clone(api),
        store,
        params,
        path: String::new(),
        headers: headers.clone(),
        tenant,
        others: Vec::new(),
    };
    Ok((ask, request))
}

/// Sends until the client, the server, the clock or an error ends it.
async fn run(socket: WebSocket, ask: Ask, request: Request) {
    let (mut sink, stream) = socket.split();
    // Listening starts before looking back: nothing falls between the two, and what is in both is
    // told by its content.
    let live = ask.api.logs.subscribe();
    let outbox = Outbox::default();
    let since = params::now();
    let past = match past(&ask, &request, since).await {
        Ok(p) => p,
        Err(e) => return close(&mut sink, close_code::ERROR, &e.text).await,
    };
    let around = Surroundings {
        now: since,
        zone: jiff::tz::TimeZone::system(),
    };
    let tailer = match Tailer::new(&request.expr, around) {
        Ok(t) => t,
        Err(e) => return close(&mut sink, close_code::ERROR, &e.to_string()).await,
    };
    let seen = Seen::new(&past);
    if !past.is_empty() && sink.send(message(&past, &[])).await.is_err() {
        return;
    }
    // The first of them that ends is the end.
    tokio::select! {
        () = collect(live, tailer, &request, &seen, &outbox) => {}
        () = deliver(&mut sink, &ask, request.delay, &outbox) => {}
        () = listen(stream) => {}
    }
}

/// Newest entries before the tail, oldest first.
async fn past(ask: &Ask, request: &Request, since: i64) -> Result<LogAnswer, Fault> {
    let query = LogQuery {
        start: request.start,
        end: since.saturating_add(1),
        limit: request.limit.min(ask.limits().max_entries.max(1)),
        direction: Direction::Backward,
        interval: 0,
        categorize: false,
    };
    let mut past = super::query::lines(ask, request.expr.clone(), query).await?;
    for s in &mut past {
        s.entries.reverse();
    }
    Ok(past)
}

/// What was sent when the tail began.
struct Seen<'a> {
    newest: i64,
    past: &'a LogAnswer,
}

impl<'a> Seen<'a> {
    fn new(past: &'a LogAnswer) -> Self {
        let times = past.iter().flat_map(|s| s.entries.iter().map(|e| e.time));
        Self {
            newest: times.max().unwrap_or(i64::MIN),
            past,
        }
    }

    fn has(&self, labels: &Labels, e: &OutEntry) -> bool {
        let same = |s: &&OutStream| s.labels == *labels;
        e.time <= self.newest
            && self
                .past
                .iter()
                .find(same)
                .is_some_and(|s| s.entries.contains(e))
    }
}

/// Puts what is stored from now on, and passes, into the outbox.
async fn collect(
    mut live: Receiver<Arc<Pushed>>,
    mut tailer: Tailer,
    request: &Request,
    seen: &Seen<'_>,
    outbox: &Outbox,
) {
    let matchers = &request.expr.matchers;
    let wanted =
        |labels: &Labels, time: i64| time >= request.start && Matcher::all_match(matchers, labels);
    loop {
        match live.recv().await {
            Ok(p) if p.tenant != request.tenant.id => {}
            Ok(p) => match &p.news {
                News::Entries(batch) => {
                    for s in tailer.batch(batch) {
                        let new = |e: &OutEntry| e.time >= request.start && !seen.has(&s.labels, e);
                        let entries = s.entries.into_iter().filter(new);
                        outbox.put(&s.labels, entries);
                    }
                }
                News::Missed(all) => {
                    for (labels, time) in all.iter().filter(|(l, t)| wanted(l, *t)) {
                        outbox.drop_unseen(labels.clone(), *time);
                    }
                }
            },
            // Which ones they were is not known any more.
            Err(RecvError::Lagged(_)) => outbox.drop_unseen(Labels::empty(), params::now()),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Sends what is in the outbox, each time `delay` after its first entry came, and asks whether the
/// client is there.
async fn deliver(
    sink: &mut SplitSink<WebSocket, Message>,
    ask: &Ask,
    delay: Duration,
    outbox: &Outbox,
) {
    let end = Instant::now() + LIFE;
    let mut stop = ask.api.logs.tails_stop();
    let mut ping = tokio::time::interval(PING);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            () = outbox.ready(delay) => {
                let (streams, dropped) = outbox.take();
                sink.send(message(&streams, &dropped)).await
            }
            _ = ping.tick() => sink.send(Message::Ping(Vec::new().into())).await,
            _ = async { drop(stop.wait_for(|s| *s).await) } => {
                return close(sink, close_code::AWAY, "the server is stopping").await;
            }
            () = tokio::time::sleep_until(end) => {
                return close(sink, close_code::ERROR, "reached tail max duration limit").await;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Reads what clients send, which says nothing, until they are gone.
async fn listen(mut stream: SplitStream<WebSocket>) {
    while let Some(Ok(m)) = stream.next().await {
        if matches!(m, Message::Close(_)) {
            return;
        }
    }
}

fn message(streams: &[OutStream], dropped: &[Dropped]) -> Message {
    use crate::api::encode::JsonLabels;
    let streams: Vec<serde_json::Value> = streams
        .iter()
        .map(|s| {
            let values: Vec<(String, &str)> = s
                .entries
                .iter()
                .map(|e| (e.time.to_string(), e.line.as_ref()))
                .collect();
            serde_json::json!({"stream": JsonLabels(&s.labels), "values": values})
        })
        .collect();
    let dropped: Option<Vec<serde_json::Value>> = (!dropped.is_empty()).then(|| {
        let one = |d: &Dropped| {
            serde_json::json!({"labels": JsonLabels(&d.labels), "timestamp": d.time.to_string()})
        };
        dropped.iter().map(one).collect()
    });
    let body = serde_json::json!({"streams": streams, "dropped_entries": dropped});
    let text = String::from_utf8_lossy(&to_vec(&body)).into_owned();
    Message::Text(text.into())
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, code: u16, why: &str) {
    let cut = why.floor_char_boundary(REASON_BYTES_MAX);
    let frame = CloseFrame {
        code,
        reason: why[..cut].into(),
    };
    // The client may be gone.
    drop(sink.send(Message::Close(Some(frame))).await);
}
