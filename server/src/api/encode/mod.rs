//! JSON as the family writes it: Go's number layout, Go's escaping of `<`, `>` and `&`.
//!
//! Owns: the bytes of answers. Knows nothing of: where values come from.

pub(crate) mod json;
mod labels;
pub(crate) mod loki;
pub(crate) mod query;

pub(crate) use labels::JsonLabels;

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// serde_json's compact form with Go's escapes and number layout.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_f64<W: ?Sized + io::Write>(&mut self, w: &mut W, v: f64) -> io::Result<()> {
        let mut text = String::new();
        ::query::text::float::write_json(&mut text, v);
        w.write_all(text.as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut out = Vec::with_capacity(fragment.len());
        json::escape_go(fragment, &mut out);
        w.write_all(&out)
    }
}

/// `value` as JSON text. Values of our own types cannot fail to be written.
pub(crate) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let written = value.serialize(&mut Serializer::with_formatter(&mut out, GoFormatter));
    if let Err(e) = written {
        tracing::error!(error = %e, "an answer could not be written as JSON");
        return b"null".to_vec();
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_and_numbers_are_written_as_go_does() {
        let v = serde_json::json!({"a": "<b>&\u{2028}\"\n\u{7f}", "n": 1e21, "m": 0.5, "i": 3});
        let text = String::from_utf8(super::to_vec(&v)).unwrap();
        assert_eq!(
            text,
            "{\"a\":\"\\u003cb\\u003e\\u0026\\u2028\\\"\\n\u{7f}\",\"n\":1e+21,\"m\":0.5,\"i\":3}"
        );
    }
}
