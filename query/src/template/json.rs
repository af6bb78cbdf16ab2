//! Values as JSON, in the form of Go's `encoding/json`: sorted keys, and nothing that HTML reads.

use std::sync::Arc;

use super::{Map, Value};
use crate::text::layout;

/// The JSON of a value.
#[must_use]
pub fn text(v: &Value) -> String {
    let mut out = String::new();
    write(&mut out, v);
    out
}

/// The value of a JSON text that was read: every number is a float.
#[must_use]
pub fn value(v: &serde_json::Value) -> Value {
    match v {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => Value::Float(n.as_f64().unwrap_or(0.0)),
        serde_json::Value::String(s) => s.as_str().into(),
        serde_json::Value::Array(a) => a.iter().map(value).collect::<Vec<_>>().into(),
        serde_json::Value::Object(o) => {
            let entries = o.iter().map(|(k, v)| (k.as_str().into(), value(v)));
            Value::Map(Arc::new(Map {
                entries: entries.collect(),
                texts: false,
            }))
        }
    }
}

fn write(out: &mut String, v: &Value) {
    match v {
        Value::Nil => out.push_str("null"),
        Value::Bool(_) | Value::Int(_) | Value::Int64(_) => v.write(out),
        Value::Duration(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::Float(x) if x.is_finite() => crate::text::float::write_json(out, *x),
        Value::Float(_) => out.push_str("null"),
        Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s) => string(out, s),
        Value::Time(t) => string(
            out,
            &layout::format(t, "2006-01-02T15:04:05.999999999Z07:00"),
        ),
        Value::List(l) | Value::Texts(l) => {
            out.push('[');
            for (i, v) in l.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(out, v);
            }
            out.push(']');
        }
        Value::Map(m) => {
            let entries = m.entries.iter().map(|(k, v)| (k.as_ref(), v));
            object(out, entries);
        }
        Value::Object(o) => match o.base() {
            Some(base) => write(out, base),
            None => {
                let members = o.members();
                object(out, members.iter().map(|(k, v)| (*k, v)));
            }
        },
    }
}

fn object<'v>(out: &mut String, entries: impl Iterator<Item = (&'v str, &'v Value)>) {
    out.push('{');
    for (i, (k, v)) in entries.enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(out, k);
        out.push(':');
        write(out, v);
    }
    out.push('}');
}

fn string(out: &mut String, s: &str) {
    use std::fmt::Write as _;
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                let escaped = write!(out, "\\u{:04x}", c as u32);
                debug_assert!(escaped.is_ok());
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
