//! Alertmanager's HTTP interface, one file per endpoint family.
//!
//! Owns: the routes below `/api/v2`, the old ones that senders still use, and what the interface
//! has on a port of its own.
//! Knows nothing of: how alerts are grouped and told.
//!
//! Invariants
//! - AMA1  An error is a JSON text; what a document of the wrong shape gets is `{"code", "message"}`.
//! - AMA2  Times are UTC with milliseconds.

mod alerts;
mod cluster;
mod limit;
mod own_port;
mod silences;
mod status;
mod v1;

pub(crate) use cluster::router as cluster_router;
pub(crate) use limit::RequestLimits;
pub(crate) use own_port::router;
pub(in crate::api) use v1::post_route as v1_post_route;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE, HeaderValue,
};
use hyper::{Method, Request, StatusCode};
use jiff::Timestamp;
use query::regex::GoRegex;
use serde::Serialize;

use super::Api;
use super::encode::to_vec;
use crate::alerting::Alertmanager;
use crate::config::alertmanager::{Matcher, parse_matcher};
use crate::config::limits;
use crate::http::{Coding, Params, body, empty, finish};

/// An error on its way out (AMA1).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// A text.
    Text(StatusCode, String),
    /// A document of the wrong shape: the code of the check, and what is wrong.
    Shape(StatusCode, u32, String),
    /// Nothing but the status.
    Bare(StatusCode),
}

impl Fault {
    fn bad(text: impl Into<String>) -> Self {
        Self::Text(StatusCode::BAD_REQUEST, text.into())
    }

    /// A field that must be there is not.
    fn required(field: &str) -> Self {
        let text = format!("{field} in body is required");
        Self::Shape(StatusCode::UNPROCESSABLE_ENTITY, 602, text)
    }

    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::Bare(status) => return empty(status),
            Self::Text(status, text) => (status, to_vec(&text)),
            Self::Shape(status, code, message) => (
                status,
                to_vec(&serde_json::json!({"code": code, "message": message})),
            ),
        };
        json_response(status, body)
    }
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    let mut r = Response::new(Body::from(body));
    *r.status_mut() = status;
    r.headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    r
}

/// What a handler answers.
enum Said {
    /// 200 without a body.
    Nothing,
    /// JSON.
    Json(Vec<u8>),
}

impl Said {
    fn json<T: Serialize + ?Sized>(v: &T) -> Self {
        Self::Json(to_vec(v))
    }
}

type Answer = Result<Said, Fault>;

/// A request as handlers see it.
struct Ask {
    service: Arc<Alertmanager>,
    params: Params,
    path: String,
    body: Vec<u8>,
}

impl Ask {
    /// A switch of the query, on unless it says otherwise.
    fn on(&self, name: &str) -> bool {
        self.params.first(name).is_none_or(|v| {
            matches!(
                v.to_ascii_lowercase().as_str(),
                "true" | "1" | "yes" | "ok" | "y" | "on" | "selected" | "checked" | "t" | "enabled"
            )
        })
    }

    fn matchers(&self, name: &str) -> Result<Vec<Matcher>, Fault> {
        let all = self.params.all(name).map(parse_matcher);
        all.collect::<Result<_, _>>().map_err(Fault::bad)
    }

    /// Which receivers are asked for.
    fn receivers(&self) -> Result<impl Fn(&str) -> bool + use<>, Fault> {
        let pattern = self.params.get("receiver");
        let re = match pattern {
            "" => None,
            p => Some(
                GoRegex::anchored(p)
                    .map_err(|e| Fault::bad(format!("failed to parse receiver param: {e}")))?,
            ),
        };
        let by_label = self.matchers("receiver_matchers")?;
        let in_force = self.service.in_force();
        Ok(move |name: &str| {
            let labels = in_force.receivers.get(name).map(|r| &r.labels);
            let value = |n: &str| labels.and_then(|l| l.get(n)).map_or("", String::as_str);
            re.as_ref().is_none_or(|re| re.is_match(name))
                && by_label.iter().all(|m| m.matches(value(&m.name)))
        })
    }
}

/// A time in answers (AMA2).
fn shown(t: Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A time of a request; none for Go's zero time and for an empty text.
fn instant(field: &str, text: &str) -> Result<Option<Timestamp>, Fault> {
    if text.is_empty() || text.starts_with("0001-01-01T00:00:00") {
        return Ok(None);
    }
    let t = text.parse::<Timestamp>();
    let t = t.map_err(|_| {
        let text = format!("parsing {field} failed: {text:?} is not a time");
        Fault::Shape(StatusCode::BAD_REQUEST, 400, text)
    });
    t.map(Some)
}

/// A route.
fn route<F, Fut>(methods: MethodFilter, handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Ask) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    on(
        methods,
        move |State(api): State<Arc<Api>>, path: Option<Path<String>>, request: Request<Body>| async move {
            let coding = Coding::accepted(request.headers());
            let path = path.map_or(String::new(), |Path(p)| p);
            let ask = match asked(api, path, request).await {
                Ok(ask) => ask,
                Err(refusal) => return refusal,
            };
            match handler(ask).await {
                Ok(Said::Nothing) => empty(StatusCode::OK),
                Ok(Said::Json(body)) => {
                    let size = body.len();
                    finish(Box::new(body), size, "application/json", coding)
                }
                Err(e) => e.into_response(),
            }
        },
    )
}

async fn asked(api: Arc<Api>, path: String, request: Request<Body>) -> Result<Ask, Response> {
    let Some(service) = api.alertmanager() else {
        let text = "alerting is not running here";
        return Err(Fault::Text(StatusCode::SERVICE_UNAVAILABLE, text.into()).into_response());
    };
    let (parts, request_body) = request.into_parts();
    let timeout = api.options.read_timeout;
    let mut bytes = Vec::new();
    if parts.method == Method::POST {
        let limit = limits::ALERTS_BODY_BYTES_MAX;
        body::read(request_body, limit, timeout, &mut bytes)
            .await
            .map_err(|e| Fault::Text(e.status(), e.to_string()).into_response())?;
    }
    // A form would be taken out of the body: here bodies are documents.
    let params = Params::read(
        &Method::GET,
        &parts.uri,
        &parts.headers,
        Body::empty(),
        timeout,
    )
    .await?;
    Ok(Ask {
        service,
        params,
        path,
        body: bytes,
    })
}

/// A document of a request.
fn document<T: serde::de::DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|e| {
        let text = format!("parsing {what} body failed: {e}");
        Fault::Shape(StatusCode::BAD_REQUEST, 400, text)
    })
}

/// Browsers may call from anywhere, and nothing is kept by anyone in between.
async fn headers(request: Request<Body>, next: axum::middleware::Next) -> Response {
    let mut r = match *request.method() {
        Method::OPTIONS => empty(StatusCode::OK),
        _ => next.run(request).await,
    };
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE, OPTIONS"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Authorization, Content-Type, Origin",
        ),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        (CACHE_CONTROL, "no-store"),
    ] {
        r.headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    r
}

/// The routes that do not collide with those of the other interfaces.
pub(crate) fn routes() -> Router<Arc<Api>> {
    let get = MethodFilter::GET;
    let v2 = Router::new()
        .route("/status", route(get, status::status))
        .route("/receivers", route(get, status::receivers))
        .route(
            "/alerts",
            route(get, alerts::list).merge(route(MethodFilter::POST, alerts::post)),
        )
        .route("/alerts/groups", route(get, alerts::groups))
        .route(
            "/silences",
            route(get, silences::list).merge(route(MethodFilter::POST, silences::post)),
        )
        .route(
            "/silence/{id}",
            route(get, silences::one).merge(route(MethodFilter::DELETE, silences::expire)),
        )
        .layer(from_fn(headers));
    Router::new().nest("/api/v2", v2)
}
