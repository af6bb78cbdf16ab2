//! The query language as this room uses it.

use engine::model::Matcher;

/// A selector's matchers.
///
/// # Errors
/// The parser's text, with its position.
pub(super) fn parse_selector(text: &str) -> Result<Vec<Matcher>, String> {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if !text.is_empty() && text.chars().all(name) {
        return Ok(vec![Matcher::equal("__name__", text)]);
    }
    Err(format!(
        "1:1: parse error: selector {text:?} cannot be read yet"
    ))
}
