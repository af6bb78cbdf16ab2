//! `/admin/tsdb/*`: changes to stored data, off until asked for.

use serde_json::json;

use super::labels::blocking;
use super::{selector, time};
use crate::api::call::{Answer, Call, Reply};
use crate::api::error::{ApiError, ErrorKind};

fn allowed(call: &Call) -> Result<(), ApiError> {
    if call.api.options.admin {
        return Ok(());
    }
    Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"))
}

/// Go's boolean words.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A copy of everything below `snapshots/`.
pub(super) async fn snapshot(call: Call) -> Answer {
    allowed(&call)?;
    let skip_head = match call.params.get("skip_head") {
        "" => false,
        text => parse_bool(text).ok_or_else(|| {
            let e = format!("unable to parse boolean \"skip_head\" argument: strconv.ParseBool: parsing {text:?}: invalid syntax");
            ApiError::parameter("skip_head", e)
        })?,
    };
    let db = call.db()?;
    let made = blocking(move || db.snapshot(skip_head)).await;
    let name = made
        .map_err(|e| ApiError::new(ErrorKind::Internal, format!("create snapshot: {}", e.text)))?;
    Ok(Reply::data(&json!({ "name": name })))
}

/// Makes points invisible.
pub(super) async fn delete_series(call: Call) -> Answer {
    allowed(&call)?;
    if call.params.first("match[]").is_none() {
        return Err(ApiError::bad("no match[] parameter provided"));
    }
    let (start, end) = time::range(&call.params)?;
    let mut selectors = Vec::new();
    for text in call.params.all("match[]") {
        let parsed = selector::parse(text).map_err(|e| ApiError::parameter("match[]", e))?;
        selectors.push(parsed);
    }
    let (db, tenant) = (call.db()?, call.api.tenant());
    blocking(move || {
        let mut each = selectors.iter();
        each.try_for_each(|s| db.delete_series(tenant, s, start, end))
    })
    .await?;
    Ok(Reply::Nothing)
}

/// Frees the space of deleted points.
pub(super) async fn clean_tombstones(call: Call) -> Answer {
    allowed(&call)?;
    let db = call.db()?;
    blocking(move || db.clean_tombstones()).await?;
    Ok(Reply::Nothing)
}
