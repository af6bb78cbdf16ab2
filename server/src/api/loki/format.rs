//! `/format_query`.

use axum::body::Body;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::{Answer, Ask, JSON, Said};
use crate::api::encode::to_vec;

/// The query in canonical form. Errors are JSON here, and only here (LK1).
pub(super) async fn format(ask: Ask) -> Answer {
    match ::query::logql::parse(ask.params.get("query")) {
        Ok(expr) => Ok(Said::data(&::query::logql::print::pretty(&expr))),
        Err(e) => {
            let body = serde_json::json!({"status": "invalid-query", "error": e.to_string()});
            let mut r = Response::new(Body::from(to_vec(&body)));
            *r.status_mut() = StatusCode::BAD_REQUEST;
            r.headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
            Ok(Said::Raw(r))
        }
    }
}
