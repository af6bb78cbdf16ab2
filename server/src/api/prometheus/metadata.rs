//! `/metadata`, `/targets/metadata`: what targets say about their metrics.

use serde_json::json;

use super::selector;
use crate::api::call::{Answer, Call, Reply};
use crate::api::error::ApiError;

fn number(call: &Call, name: &str) -> Result<i64, ApiError> {
    match call.params.get(name) {
        "" => Ok(-1),
        text => text
            .parse()
            .map_err(|_| ApiError::bad(format!("{name} must be a number"))),
    }
}

/// Metadata by metric name.
pub(super) async fn metadata(call: Call) -> Answer {
    number(&call, "limit")?;
    number(&call, "limit_per_metric")?;
    Ok(Reply::data(&json!({})))
}

/// Metadata by target.
pub(super) async fn of_targets(call: Call) -> Answer {
    number(&call, "limit")?;
    if let Some(text) = call.params.first("match_target").filter(|t| !t.is_empty()) {
        selector::parse(text).map_err(|e| ApiError::parameter("match_target", e))?;
    }
    Ok(Reply::data(&json!([])))
}
