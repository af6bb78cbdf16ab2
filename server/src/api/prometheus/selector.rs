//! `match[]` parameters.

use engine::model::Matcher;

use crate::api::error::ApiError;
use crate::config::limits;
use crate::http::Params;

/// All `match[]` parameters; each must rule out series without labels.
///
/// # Errors
/// With the parameter's name.
pub(super) fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let mut out = Vec::new();
    for text in params.all("match[]") {
        let matchers = parse(text).map_err(|e| ApiError::parameter("match[]", e))?;
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(ApiError::parameter(
                "match[]",
                "match[] must contain at least one non-empty matcher",
            ));
        }
        out.push(matchers);
    }
    Ok(out)
}

/// One selector.
///
/// # Errors
/// The parser's text, with its position.
pub(crate) fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    if text.len() > limits::QUERY_BYTES_MAX {
        return Err(format!(
            "selector of {} bytes exceeds the limit of {} bytes",
            text.len(),
            limits::QUERY_BYTES_MAX
        ));
    }
    super::language::parse_selector(text)
}
