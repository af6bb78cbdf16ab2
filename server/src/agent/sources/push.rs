//! Pushes of other senders: `/loki/api/v1/push`, and `/promtail/api/v1/raw` for bare lines.
//!
//! An answer of 204 means that the entries are on their way, as in Promtail: they are lost when the
//! process is killed before its receivers have them. Whoever needs more pushes to the store.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use exporters::logs::entry::{Entry, LabelSet};
use hyper::{Request, StatusCode};

use super::{Active, Common, count};
use crate::agent::read::now_ns;
use crate::config::promtail::PushApiConfig;
use crate::http::{Guard, Listener, ListenerOptions, body, empty, plain};
use crate::ingest::received::Received;

/// How long requests in progress may take to end.
const DRAIN: std::time::Duration = std::time::Duration::from_secs(5);

struct Taker {
    c: PushApiConfig,
    common: Common,
    patience: std::time::Duration,
}

/// Binds the section's address; the task takes pushes until told to stop.
///
/// # Errors
/// Names the address.
pub(super) async fn bind(
    c: &PushApiConfig,
    common: Common,
    options: &ListenerOptions,
) -> Result<impl Future<Output = ()> + use<>, String> {
    let address = format!(
        "{}:{}",
        c.server.http_listen_address, c.server.http_listen_port
    );
    let socket = crate::http::bind(&address).await;
    let socket = socket.map_err(|e| format!("loki_push_api: listen on {address}: {e}"))?;
    if let Ok(address) = socket.local_addr() {
        tracing::info!(%address, "push API listening");
    }
    let (stop, active) = (common.stop.clone(), Active::new(&common.numbers));
    let taker = Arc::new(Taker {
        c: c.clone(),
        common,
        patience: options.read_timeout,
    });
    let routes = Router::new()
        .route("/loki/api/v1/push", post(push))
        .route("/api/prom/push", post(push))
        .route("/promtail/api/v1/raw", post(raw))
        .route("/ready", get(|| async { plain(StatusCode::OK, "ready\n") }))
        .with_state(taker);
    let guard = Arc::new(Guard::new(None)?);
    let listener = Listener::new(routes, guard, Arc::default(), options.clone());
    Ok(async move {
        listener.serve(socket, stop, DRAIN).await;
        drop(active);
    })
}

impl Taker {
    async fn read(&self, body: Body) -> Result<Vec<u8>, Response> {
        let mut sent = Vec::new();
        body::read(body, self.c.body_max(), self.patience, &mut sent)
            .await
            .map_err(|e| plain(e.status(), e.to_string()))?;
        Ok(sent)
    }

    async fn hand_on(&self, entries: Vec<Entry>) -> Response {
        count(&self.common.numbers.push_entries, entries.len());
        self.common.feed.take(entries).await;
        empty(StatusCode::NO_CONTENT)
    }

    async fn push(&self, request: Request<Body>) -> Result<Response, Response> {
        let (parts, body) = request.into_parts();
        let refused = |e: crate::ingest::Refused| {
            let status = StatusCode::from_u16(e.status).unwrap_or(StatusCode::BAD_REQUEST);
            plain(status, e.text)
        };
        let kind = Received::new(&parts.headers).map_err(refused)?;
        let (sent, mut room) = (self.read(body).await?, Vec::new());
        let streams = kind.decode(&sent, &mut room).map_err(refused)?;
        let now = now_ns();
        let mut out = Vec::new();
        for s in streams {
            let own = s.labels.iter().map(|(n, v)| (n.to_string(), v.to_string()));
            let own: LabelSet = own.collect();
            let Some(labels) = self.common.feed.labels(&self.c.labels, &own) else {
                continue;
            };
            for e in s.entries {
                let time = match self.c.use_incoming_timestamp {
                    true => e.time,
                    false => now,
                };
                let mut entry = Entry::new(time, e.line.into_owned(), labels.clone());
                let metadata = e.metadata.into_iter();
                entry.metadata = metadata.map(|(n, v)| (n.into(), v.into())).collect();
                out.push(entry);
            }
        }
        Ok(self.hand_on(out).await)
    }

    async fn raw(&self, request: Request<Body>) -> Result<Response, Response> {
        let sent = self.read(request.into_body()).await?;
        // Bare lines have the labels of the section as they stand there: rules are not asked.
        let own = self
            .c
            .labels
            .iter()
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let labels = Arc::new(own.collect::<LabelSet>());
        let text = String::from_utf8_lossy(&sent);
        let now = now_ns();
        let lines = text.split('\n').map(|l| l.trim_end_matches('\r'));
        let lines = lines.filter(|l| !l.is_empty());
        let all = lines.map(|l| Entry::new(now, l.to_owned(), labels.clone()));
        Ok(self.hand_on(all.collect()).await)
    }
}

async fn push(State(t): State<Arc<Taker>>, request: Request<Body>) -> Response {
    t.push(request).await.unwrap_or_else(|e| e)
}

async fn raw(State(t): State<Arc<Taker>>, request: Request<Body>) -> Response {
    t.raw(request).await.unwrap_or_else(|e| e)
}
