//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper::StatusCode;
use tokio::sync::oneshot;

use crate::api::Api;
use crate::http::{empty, plain};

/// The process listens.
pub(super) async fn healthy() -> Response {
    plain(StatusCode::OK, "Prometheus Server is Healthy.\n")
}

/// The store is open; the gate answers while it is not.
pub(super) async fn ready() -> Response {
    plain(StatusCode::OK, "Prometheus Server is Ready.\n")
}

const CHANGES: MethodFilter = MethodFilter::POST.or(MethodFilter::PUT);
const DISABLED: &str = "Lifecycle API is not enabled.";

async fn wrong_method(State(api): State<Arc<Api>>) -> Response {
    if api.options.lifecycle {
        plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only POST or PUT requests allowed",
        )
    } else {
        plain(StatusCode::FORBIDDEN, DISABLED)
    }
}

/// Route of `/-/reload`.
pub(super) fn reload_route() -> MethodRouter<Arc<Api>> {
    on(CHANGES, reload).fallback(wrong_method)
}

/// Route of `/-/quit`.
pub(super) fn quit_route() -> MethodRouter<Arc<Api>> {
    on(CHANGES, quit).fallback(wrong_method)
}

async fn reload(State(api): State<Arc<Api>>) -> Response {
    if !api.options.lifecycle {
        return plain(StatusCode::FORBIDDEN, DISABLED);
    }
    let (done, answer) = oneshot::channel();
    let result = match api.reload.send(done).await {
        Ok(()) => answer
            .await
            .unwrap_or_else(|_| Err("server is stopping".into())),
        Err(_) => Err("server is stopping".into()),
    };
    match result {
        Ok(()) => empty(StatusCode::OK),
        Err(e) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed to reload config: {e}\n"),
        ),
    }
}

async fn quit(State(api): State<Arc<Api>>) -> Response {
    if !api.options.lifecycle {
        return plain(StatusCode::FORBIDDEN, DISABLED);
    }
    api.quit.send_replace(true);
    plain(StatusCode::OK, "Requesting termination... Goodbye!")
}
