//! One road for every API call: parameters in, envelope out, counted, compressed, with CORS.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Path, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, Method, Request, StatusCode};
use query::regex::GoRegex;

use super::encode::to_vec;
use super::error::{ApiError, ErrorKind};
use super::state::{Api, Phase};
use crate::config::limits;
use crate::http::{ChunkSource, Coding, Params, empty, finish, plain};

/// A request as handlers see it.
pub(crate) struct Call {
    /// The server.
    pub(crate) api: Arc<Api>,
    /// Parameters of form and URL.
    pub(crate) params: Params,
    /// The variable part of the path.
    pub(crate) path: String,
}

/// Notes to the reader of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    /// Something may be missing or wrong.
    pub(crate) warnings: Vec<String>,
    /// Something may be unexpected.
    pub(crate) infos: Vec<String>,
}

impl Notes {
    /// Appends `,"warnings":[...],"infos":[...]`, each only when there are any.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (name, what, list) in [
            ("warnings", "warning", &self.warnings),
            ("infos", "info", &self.infos),
        ] {
            if list.is_empty() {
                continue;
            }
            let mut shown: Vec<String> =
                list.iter().take(limits::ANNOTATIONS_MAX).cloned().collect();
            let more = list.len() - shown.len();
            if more > 0 {
                shown.push(format!("{more} more {what} annotations omitted"));
            }
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            out.extend_from_slice(&to_vec(&shown));
        }
    }
}

/// What a handler answers.
pub(crate) enum Reply {
    /// 204 without a body.
    Nothing,
    /// Data in the envelope.
    Data(Vec<u8>, Notes),
    /// A complete answer in pieces, envelope included.
    Stream(Box<dyn ChunkSource>),
    /// Anything else, sent as it is.
    Raw(Response),
}

impl Reply {
    /// Data in the envelope.
    pub(crate) fn data<T: serde::Serialize + ?Sized>(data: &T) -> Self {
        Self::Data(to_vec(data), Notes::default())
    }
}

/// A handler's answer.
pub(crate) type Answer = Result<Reply, ApiError>;

impl Call {
    /// The store.
    ///
    /// # Errors
    /// While it is not open.
    pub(crate) fn db(&self) -> Result<Arc<engine::metrics::Db>, ApiError> {
        let db = self.api.db();
        db.ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "TSDB not ready"))
    }
}

/// A request that has been read, for whoever turns it into what its handlers see.
pub(super) struct Received {
    /// The server.
    pub(super) api: Arc<Api>,
    /// Parameters of form and URL.
    pub(super) params: Params,
    /// The variable part of the path.
    pub(super) path: String,
    /// All headers.
    pub(super) headers: HeaderMap,
    /// How the client wants the answer.
    pub(super) coding: Coding,
}

/// A route for GET.
pub(crate) fn get<F, Fut>(handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    call(MethodFilter::GET, handler)
}

/// A route for GET and POST with a form.
pub(crate) fn get_or_post<F, Fut>(handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    call(MethodFilter::GET.or(MethodFilter::POST), handler)
}

/// A route for POST and PUT.
pub(crate) fn post_or_put<F, Fut>(handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    call(MethodFilter::POST.or(MethodFilter::PUT), handler)
}

fn call<F, Fut>(methods: MethodFilter, handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    route(methods, move |r: Received| {
        let coding = r.coding;
        let answer = handler(Call {
            api: r.api,
            params: r.params,
            path: r.path,
        });
        async move {
            match answer.await {
                Ok(reply) => respond(reply, coding),
                Err(e) => e.into_response(),
            }
        }
    })
}

/// A route whose parameters are read before `answer` sees the request; one that cannot be read is
/// refused here.
pub(super) fn route<F, Fut>(methods: MethodFilter, answer: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Received) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    on(
        methods,
        move |State(api): State<Arc<Api>>, path: Option<Path<String>>, request: Request<Body>| async move {
            let (parts, body) = request.into_parts();
            let timeout = api.options.read_timeout;
            let params =
                Params::read(&parts.method, &parts.uri, &parts.headers, body, timeout).await;
            let params = match params {
                Ok(p) => p,
                Err(refusal) => return refusal,
            };
            answer(Received {
                api,
                params,
                path: path.map_or(String::new(), |Path(p)| p),
                coding: Coding::accepted(&parts.headers),
                headers: parts.headers,
            })
            .await
        },
    )
}

fn respond(reply: Reply, coding: Coding) -> Response {
    let (source, size): (Box<dyn ChunkSource>, _) = match reply {
        Reply::Nothing => return empty(StatusCode::NO_CONTENT),
        Reply::Raw(r) => return r,
        Reply::Stream(s) => begun(s),
        Reply::Data(data, notes) => {
            let mut body = Vec::with_capacity(data.len() + 64);
            body.extend_from_slice(b"{\"status\":\"success\"");
            if data != b"null" {
                body.extend_from_slice(b",\"data\":");
                body.extend_from_slice(&data);
            }
            notes.write(&mut body);
            body.push(b'}');
            let size = body.len();
            (Box::new(body), size)
        }
    };
    finish(source, size, "application/json", coding)
}

/// Takes the first piece of an answer: most answers are no longer than that, and are then sent
/// with their length.
fn begun(mut source: Box<dyn ChunkSource>) -> (Box<dyn ChunkSource>, usize) {
    let mut first = Vec::new();
    if source.next(&mut first, FIRST_PIECE_BYTES) {
        return (Box::new(Begun { first, source }), usize::MAX);
    }
    let size = first.len();
    (Box::new(first), size)
}

/// Answers up to this size are sent in one piece.
const FIRST_PIECE_BYTES: usize = 64 * 1024;

/// An answer whose first piece has been written already.
struct Begun {
    first: Vec<u8>,
    source: Box<dyn ChunkSource>,
}

impl ChunkSource for Begun {
    fn next(&mut self, out: &mut Vec<u8>, want: usize) -> bool {
        if self.first.is_empty() {
            return self.source.next(out, want);
        }
        out.append(&mut self.first);
        true
    }
}

/// What is decided once for all routes.
pub(crate) struct Gate {
    api: Arc<Api>,
    /// Origins that browsers may call from; none when the pattern is `.*`.
    origins: Option<GoRegex>,
    /// Start of API paths.
    api_prefix: String,
}

impl Gate {
    /// The gate of `api`.
    ///
    /// # Errors
    /// When the pattern of origins is not valid.
    pub(crate) fn new(api: Arc<Api>) -> Result<Self, String> {
        let pattern = &api.options.cors_origin;
        let origins = match pattern.as_str() {
            ".*" => None,
            p => Some(GoRegex::anchored(p).map_err(|e| format!("--web.cors.origin {p:?}: {e}"))?),
        };
        let api_prefix = format!("{}/api/v1/", api.options.route_prefix);
        Ok(Self {
            api,
            origins,
            api_prefix,
        })
    }

    fn cors(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if headers.get_all(VARY).iter().count() < 2 {
            headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        let Some(origin) = origin else { return };
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Authorization, Content-Type, Origin",
            ),
            (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let allowed = self
            .origins
            .as_ref()
            .is_none_or(|re| origin.to_str().is_ok_and(|o| re.is_match(o)));
        if allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }

    /// Whether `path` is answered before the store is open and while it closes.
    fn always_open(&self, path: &str) -> bool {
        let path = path
            .strip_prefix(&self.api.options.route_prefix)
            .unwrap_or(path);
        matches!(
            path,
            "/-/healthy"
                | "/-/quit"
                | "/-/reload"
                | "/metrics"
                | "/api/v1/status/walreplay"
                | "/api/v1/notifications"
                | "/api/v1/notifications/live"
        )
    }
}

/// Middleware around all routes: readiness, preflight requests, CORS, plain 404 and 405, metrics.
pub(crate) async fn gate(
    State(gate): State<Arc<Gate>>,
    request: Request<Body>,
    next: axum::middleware::Next,
) -> Response {
    let started = Instant::now();
    let is_api = request.uri().path().starts_with(&gate.api_prefix);
    let origin = request.headers().get(ORIGIN).cloned();
    let phase = gate.api.phase();
    let mut answer = if is_api && request.method() == Method::OPTIONS {
        empty(StatusCode::NO_CONTENT)
    } else if phase != Phase::Ready && !gate.always_open(request.uri().path()) {
        not_ready(phase)
    } else {
        next.run(request).await
    };
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED
        && answer.body().size_hint().exact() == Some(0)
    {
        let allow = answer.headers_mut().remove(hyper::header::ALLOW);
        answer = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        if let Some(a) = allow {
            answer.headers_mut().insert(hyper::header::ALLOW, a);
        }
    }
    if is_api {
        gate.cors(origin.as_ref(), answer.headers_mut());
    }
    // Requests that met a route are counted there, with the route's name.
    if answer.extensions().get::<Counted>().is_none() {
        let size = answer.body().size_hint().exact();
        let handler = gate.api.metrics.handler("/");
        handler.record(answer.status().as_u16(), started.elapsed(), size);
    }
    answer
}

/// Marks an answer whose request has been counted.
#[derive(Clone, Copy)]
struct Counted;

/// Middleware of routes: counts the request under the route's pattern.
pub(crate) async fn count(
    State(names): State<Arc<RouteNames>>,
    request: Request<Body>,
    next: axum::middleware::Next,
) -> Response {
    let started = Instant::now();
    let handler = request
        .extensions()
        .get::<MatchedPath>()
        .and_then(|p| names.find(p.as_str()));
    let mut answer = next.run(request).await;
    if let Some(h) = handler {
        let size = answer.body().size_hint().exact();
        h.record(answer.status().as_u16(), started.elapsed(), size);
        answer.extensions_mut().insert(Counted);
    }
    answer
}

/// Metrics of each route, found by its pattern.
pub(crate) struct RouteNames {
    by_pattern: hashbrown::HashMap<String, Arc<crate::telemetry::HttpHandler>>,
}

impl RouteNames {
    /// The routes `patterns` below `prefix`.
    pub(crate) fn new(api: &Api, patterns: &[(&str, &'static str)]) -> Self {
        let prefix = &api.options.route_prefix;
        let named = patterns
            .iter()
            .map(|(p, name)| (format!("{prefix}{p}"), api.metrics.handler(name)));
        Self {
            by_pattern: named.collect(),
        }
    }

    fn find(&self, pattern: &str) -> Option<Arc<crate::telemetry::HttpHandler>> {
        self.by_pattern.get(pattern).cloned()
    }
}

fn not_ready(phase: Phase) -> Response {
    let mut r = plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    let stopping = if phase == Phase::Stopping {
        "true"
    } else {
        "false"
    };
    r.headers_mut()
        .insert("x-prometheus-stopping", HeaderValue::from_static(stopping));
    r
}
