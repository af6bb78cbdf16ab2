//! What the interface has on a port of its own: health, reload, metrics, a start page.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, Response};
use axum::routing::{get, post};
use hyper::StatusCode;

use super::limit::{RequestLimits, limited};
use super::v1;
use crate::api::Api;
use crate::api::prometheus::own_metrics;
use crate::http::{empty, plain};

const HOME: &str = include_str!("home.html");

async fn home() -> Html<&'static str> {
    Html(HOME)
}

async fn healthy() -> Response {
    plain(StatusCode::OK, "OK")
}

async fn ready(State(api): State<Arc<Api>>) -> Response {
    match api.alertmanager() {
        Some(_) => plain(StatusCode::OK, "OK"),
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

async fn reload(State(api): State<Arc<Api>>) -> Response {
    let Some(service) = api.alertmanager() else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    };
    // Loading reads files and may take a moment.
    let done = tokio::task::spawn_blocking(move || service.reload()).await;
    match done.unwrap_or_else(|e| Err(e.to_string())) {
        Ok(()) => {
            tracing::info!("configuration of alerting loaded");
            empty(StatusCode::OK)
        }
        Err(e) => {
            tracing::error!(error = %e, "configuration of alerting not loaded, the old one stays in force");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("failed to reload config: {e}\n"),
            )
        }
    }
}

/// All routes of the port.
pub(crate) fn router(api: &Arc<Api>, prefix: &str, limits: RequestLimits) -> Router {
    // Health, reload and metrics answer however busy the interface is.
    let interface = super::routes()
        .route("/api/v1/alerts", v1::alerts_route())
        .route("/api/v1/{*rest}", v1::gone_route());
    let routes = limited(interface, limits)
        .route("/", get(home))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload))
        .route("/metrics", get(own_metrics))
        .with_state(api.clone());
    let routes = match prefix {
        "" => routes,
        prefix => Router::new().nest(prefix, routes),
    };
    routes.fallback(|| async { plain(StatusCode::NOT_FOUND, "404 page not found\n") })
}
