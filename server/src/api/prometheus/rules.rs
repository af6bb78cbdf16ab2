//! `/rules`, `/alerts`.

use serde_json::json;

use super::selector;
use crate::api::call::{Answer, Call, Reply};
use crate::api::error::ApiError;

/// Rule groups with their state.
pub(super) async fn rules(call: Call) -> Answer {
    let p = &call.params;
    let kind = p.get("type").to_ascii_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        let text = format!("not supported value {:?}", p.get("type"));
        return Err(ApiError::parameter("type", text));
    }
    if let Some(v) = p.first("exclude_alerts").filter(|v| !v.is_empty()) {
        super::admin::parse_bool(v)
            .ok_or_else(|| ApiError::bad(format!("invalid value {v:?} for exclude_alerts")))?;
    }
    selector::selectors(p)?;
    let limit = p.get("group_limit");
    let token = p.get("group_next_token");
    if limit.is_empty() && !token.is_empty() {
        return Err(ApiError::bad(
            "group_limit needs to be present in the request if group_next_token is set",
        ));
    }
    if !limit.is_empty() && limit.parse::<i64>().is_ok_and(|n| n <= 0) {
        return Err(ApiError::parameter(
            "group_limit",
            format!("group_limit must be greater than 0, got {limit}"),
        ));
    }
    if !limit.is_empty() && limit.parse::<i64>().is_err() {
        return Err(ApiError::parameter(
            "group_limit",
            format!("strconv.ParseInt: parsing {limit:?}: invalid syntax"),
        ));
    }
    if !token.is_empty() {
        return Err(ApiError::bad(format!(
            "invalid group_next_token {token:?}: were rule groups changed?"
        )));
    }
    Ok(Reply::data(&json!({ "groups": [] })))
}

/// Alerts that are pending or firing.
pub(super) async fn alerts(_call: Call) -> Answer {
    Ok(Reply::data(&json!({ "alerts": [] })))
}
