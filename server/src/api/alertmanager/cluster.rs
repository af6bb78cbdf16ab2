//! The port on which other instances ask what changed here.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use hyper::{Request, StatusCode};

use super::json_response;
use crate::alerting::{CLUSTER_PATH, PULL_BYTES_MAX, Pull, Refusal};
use crate::api::Api;
use crate::api::encode::to_vec;
use crate::http::{body, plain};

/// Answers a question; see [`crate::alerting::Cluster`].
async fn pull(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let mut bytes = Vec::new();
    let timeout = api.options.read_timeout;
    if let Err(e) = body::read(request.into_body(), PULL_BYTES_MAX, timeout, &mut bytes).await {
        return plain(e.status(), e.to_string());
    }
    let asked: Pull = match serde_json::from_slice(&bytes) {
        Ok(p) => p,
        Err(e) => return plain(StatusCode::BAD_REQUEST, format!("no question: {e}\n")),
    };
    let service = api.alertmanager();
    let Some((service, cluster)) = service.as_deref().and_then(|s| Some((s, s.cluster()?))) else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n");
    };
    match cluster.answer(service, asked).await {
        Ok(page) => json_response(StatusCode::OK, to_vec(&page)),
        Err(e) => {
            let status = match e {
                Refusal::Bad(_) => StatusCode::BAD_REQUEST,
                Refusal::Label { .. } => StatusCode::FORBIDDEN,
                Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
            };
            plain(status, format!("{e}\n"))
        }
    }
}

/// The only route of the port.
pub(crate) fn router(api: &Arc<Api>) -> Router {
    Router::new()
        .route(CLUSTER_PATH, post(pull))
        .with_state(api.clone())
}
