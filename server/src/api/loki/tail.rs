//! `/tail`: lines as they come, over a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use ::query::logql::ast::LogExpr;
use ::query::logql::eval::{LogAnswer, LogQuery, OutEntry, OutStream, Tailer};
use ::query::logql::stages::Surroundings;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use engine::logs::Direction;
use hyper::{HeaderMap, Method, StatusCode, Uri};
use tokio::sync::broadcast::error::RecvError;

use super::{Ask, Fault, Tenant, params, reader, store_of};
use crate::api::Api;
use crate::api::encode::to_vec;
use crate::http::Params;
use crate::ingest::Pushed;

/// Longest tail.
const LIFE: Duration = Duration::from_secs(3600);
/// How often the client is asked whether it is there.
const PING: Duration = Duration::from_secs(1);
/// Longest wait that a client may ask for, in seconds.
const DELAY_MAX: u64 = 5;

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
                let ended = tokio::time::timeout(LIFE, run(socket, ask, request)).await;
                if ended.is_err() {
                    tracing::debug!("a tail has reached its longest life");
                }
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

/// Sends until the client, the server or an error ends it.
async fn run(mut socket: WebSocket, ask: Ask, request: Request) {
    // Listening starts before looking back: nothing falls between the two, and what is in both is
    // told by its time.
    let mut live = ask.api.logs.subscribe();
    let since = params::now();
    let query = LogQuery {
        start: request.start,
        end: since.saturating_add(1),
        limit: request.limit.min(ask.limits().max_entries.max(1)),
        direction: Direction::Backward,
        interval: 0,
        categorize: false,
    };
    let past = match super::query::lines(&ask, request.expr.clone(), query).await {
        Ok(p) => p,
        Err(e) => return close(socket, &e).await,
    };
    let around = Surroundings {
        now: since,
        zone: jiff::tz::TimeZone::system(),
    };
    let mut tailer = match Tailer::new(&request.expr, around) {
        Ok(t) => t,
        Err(e) => return close(socket, &Fault::from(e)).await,
    };
    let seen = newest_of(&past);
    let past: LogAnswer = past.into_iter().map(oldest_first).collect();
    if !past.is_empty() && socket.send(message(&past, &[])).await.is_err() {
        return;
    }
    let mut ping = tokio::time::interval(PING);
    let mut dropped = Vec::new();
    loop {
        tokio::select! {
            batch = live.recv() => match batch {
                Ok(pushed) => {
                    let found = matching(&mut tailer, &pushed, &request, seen, &past);
                    if found.is_empty() {
                        continue;
                    }
                    if !request.delay.is_zero() {
                        tokio::time::sleep(request.delay).await;
                    }
                    if socket.send(message(&found, &dropped)).await.is_err() {
                        return;
                    }
                    dropped.clear();
                }
                // Too slow: what was missed is told with the next message.
                Err(RecvError::Lagged(_)) => dropped.push(params::now()),
                Err(RecvError::Closed) => return,
            },
            got = socket.recv() => match got {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            _ = ping.tick() => {
                let stopping = ask.api.phase() == crate::api::Phase::Stopping;
                if stopping || socket.send(Message::Ping(Vec::new().into())).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Newest time that was sent already.
fn newest_of(past: &LogAnswer) -> i64 {
    let times = past.iter().flat_map(|s| s.entries.iter().map(|e| e.time));
    times.max().unwrap_or(i64::MIN)
}

fn oldest_first(mut s: OutStream) -> OutStream {
    s.entries.reverse();
    s
}

fn matching(
    tailer: &mut Tailer,
    pushed: &Pushed,
    request: &Request,
    seen: i64,
    past: &LogAnswer,
) -> LogAnswer {
    if pushed.tenant != request.tenant.id {
        return Vec::new();
    }
    let mut found = tailer.batch(&pushed.batch);
    let sent = |labels: &engine::model::Labels, e: &OutEntry| {
        e.time <= seen
            && past
                .iter()
                .any(|s| s.labels == *labels && s.entries.contains(e))
    };
    for s in &mut found {
        let labels = s.labels.clone();
        s.entries
            .retain(|e| e.time >= request.start && !sent(&labels, e));
    }
    found.retain(|s| !s.entries.is_empty());
    found
}

fn message(streams: &[OutStream], dropped: &[i64]) -> Message {
    let streams: Vec<serde_json::Value> = streams
        .iter()
        .map(|s| {
            let values: Vec<(String, &str)> = s
                .entries
                .iter()
                .map(|e| (e.time.to_string(), e.line.as_ref()))
                .collect();
            serde_json::json!({
                "stream": crate::api::encode::JsonLabels(&s.labels), "values": values,
            })
        })
        .collect();
    let dropped: Option<Vec<serde_json::Value>> = (!dropped.is_empty()).then(|| {
        let one = |t: &i64| serde_json::json!({"labels": {}, "timestamp": t.to_string()});
        dropped.iter().map(one).collect()
    });
    let body = serde_json::json!({"streams": streams, "dropped_entries": dropped});
    let text = String::from_utf8_lossy(&to_vec(&body)).into_owned();
    Message::Text(text.into())
}

async fn close(mut socket: WebSocket, why: &Fault) {
    let code = match why.status {
        StatusCode::INTERNAL_SERVER_ERROR => 1011,
        _ => 1008,
    };
    let frame = CloseFrame {
        code,
        reason: why.text.chars().take(100).collect::<String>().into(),
    };
    // The client may be gone.
    drop(socket.send(Message::Close(Some(frame))).await);
}
