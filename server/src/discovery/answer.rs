//! Answers of the services that are asked for targets.

use serde::{Deserialize, Deserializer};

/// The whole body.
///
/// # Errors
/// When it is cut off or larger than `bytes_max`.
pub(super) async fn read(
    answer: &mut reqwest::Response,
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| error_text(&e))? {
        if body.len() + piece.len() > bytes_max {
            return Err(format!("answer is larger than {bytes_max} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// For fields in which `null` is the default: what Go sends for empty lists and maps.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Option::deserialize(d).map(Option::unwrap_or_default)
}

/// An error with its causes, without the URL (it may hold credentials).
pub(crate) fn error_text(e: &reqwest::Error) -> String {
    use std::error::Error;
    let mut text = String::new();
    let mut source = e.source();
    while let Some(s) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&s.to_string());
        source = s.source();
    }
    if text.is_empty() {
        if e.is_timeout() {
            return "request timed out".into();
        }
        return "request failed".into();
    }
    text
}
