//! The old interface: alerts can still be posted and read, the rest says that it is gone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use hyper::{Request, StatusCode};
use serde_json::json;

use super::alerts::{posted, show, wanted};
use super::{Ask, Fault, asked, json_response};
use crate::alerting::PostedAlert;
use crate::api::Api;
use crate::api::encode::to_vec;

fn refused(status: StatusCode, text: &str) -> Response {
    let body = json!({"status": "error", "errorType": "bad_data", "error": text});
    json_response(status, to_vec(&body))
}

fn text_of(fault: Fault) -> String {
    match fault {
        Fault::Text(_, text) | Fault::Shape(_, _, text) => text,
        Fault::Bare(status) => status.to_string(),
    }
}

fn read(ask: &Ask) -> Result<Vec<PostedAlert>, String> {
    posted(&ask.body).map_err(text_of)
}

async fn post(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let ask = match asked(api, String::new(), request).await {
        Ok(ask) => ask,
        Err(refusal) => return refusal,
    };
    let alerts = match read(&ask) {
        Ok(a) => a,
        Err(e) => return refused(StatusCode::BAD_REQUEST, &e),
    };
    let bad = ask.service.put(alerts);
    match bad.is_empty() {
        true => json_response(StatusCode::OK, to_vec(&json!({"status": "success"}))),
        false => refused(StatusCode::BAD_REQUEST, &bad.join("; ")),
    }
}

async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let ask = match asked(api, String::new(), request).await {
        Ok(ask) => ask,
        Err(refusal) => return refusal,
    };
    let all = match wanted(&ask) {
        Ok(all) => all,
        Err(e) => return refused(StatusCode::BAD_REQUEST, &text_of(e)),
    };
    let each = all.iter().map(|v| {
        let mut shown = serde_json::to_value(show(v)).unwrap_or_default();
        // Here receivers are names.
        shown["receivers"] = json!(v.receivers);
        shown
    });
    let body = json!({"status": "success", "data": each.collect::<Vec<_>>()});
    json_response(StatusCode::OK, to_vec(&body))
}

async fn gone() -> Response {
    let body = json!({
        "status": "deprecated",
        "error": "the v1 interface is gone since 0.27.0, use the same route of /api/v2",
    });
    json_response(StatusCode::GONE, to_vec(&body))
}

/// Posting alerts, for the port that other interfaces share.
pub(in crate::api) fn post_route() -> MethodRouter<Arc<Api>> {
    on(MethodFilter::POST, post)
}

/// Both, for a port of its own.
pub(super) fn alerts_route() -> MethodRouter<Arc<Api>> {
    post_route().get(list)
}

/// Everything else.
pub(super) fn gone_route() -> MethodRouter<Arc<Api>> {
    get(gone).post(gone).put(gone).delete(gone)
}
