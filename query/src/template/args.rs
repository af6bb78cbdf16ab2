//! Arguments of functions, read as what a function wants.
//!
//! Owns: what an argument of another type, or none at all, is taken for.
//! Facts of the casts: <https://pkg.go.dev/github.com/spf13/cast>, which sprig's numbers go through.

use std::sync::Arc;

use super::{Kind, Map, Value};
use crate::text::float;

/// Short names for tables.
pub const T: Kind = Kind::Text;
/// See [`T`].
pub const I: Kind = Kind::Int;
/// See [`T`].
pub const A: Kind = Kind::Any;
/// See [`T`].
pub const M: Kind = Kind::Map;

/// The text of argument `i`; nothing for what is no text.
#[must_use]
pub fn text(a: &[Value], i: usize) -> &str {
    a.get(i).and_then(Value::as_text).unwrap_or("")
}

/// The integer of argument `i`; 0 for what is none.
#[must_use]
pub fn int(a: &[Value], i: usize) -> i64 {
    a.get(i).and_then(Value::as_int).unwrap_or(0)
}

/// Argument `i` itself.
#[must_use]
pub fn any(a: &[Value], i: usize) -> Value {
    a.get(i).cloned().unwrap_or_default()
}

/// The items of argument `i`, which a function does `what` on.
///
/// # Errors
/// When it is no list.
pub fn items<'a>(a: &'a [Value], i: usize, what: &str) -> Result<&'a [Value], String> {
    match a.get(i).map(Value::base) {
        Some(Value::List(l) | Value::Texts(l)) => Ok(l),
        Some(v) => Err(format!("Cannot {what} type {}", kind_of(v))),
        None => Ok(&[]),
    }
}

/// The map of argument `i`; an empty one for what is none.
#[must_use]
pub fn map(a: &[Value], i: usize) -> Arc<Map> {
    match a.get(i).map(Value::base) {
        Some(Value::Map(m)) => Arc::clone(m),
        _ => Arc::default(),
    }
}

/// The texts of a list's items without those that are nothing; of anything else its own text.
#[must_use]
pub fn texts(v: &Value) -> Vec<String> {
    match v.base() {
        Value::List(l) | Value::Texts(l) => {
            let given = l.iter().filter(|v| !matches!(v, Value::Nil));
            given.map(Value::text).collect()
        }
        Value::Nil => Vec::new(),
        v => vec![v.text()],
    }
}

/// What Go's reflection calls the kind of a value.
#[must_use]
pub fn kind_of(v: &Value) -> &'static str {
    match v.base() {
        Value::Nil => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Int64(_) | Value::Duration(_) => "int64",
        Value::Float(_) => "float64",
        Value::Text(_) | Value::Safe(_) | Value::SafeUrl(_) => "string",
        Value::List(_) | Value::Texts(_) => "slice",
        Value::Map(_) => "map",
        Value::Time(_) | Value::Object(_) => "struct",
    }
}

/// A whole number; a text that is none is 0, decimals of zero are dropped.
#[must_use]
pub fn to_int(v: Option<&Value>) -> i64 {
    match v.map(Value::base) {
        // Go's conversion of what does not fit differs between machines; here it saturates.
        Some(Value::Float(x)) => *x as i64,
        Some(Value::Bool(b)) => i64::from(*b),
        Some(Value::Text(s)) => {
            let whole = match s.rsplit_once('.') {
                Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => {
                    whole
                }
                _ => s,
            };
            parse_int(whole).unwrap_or(0)
        }
        Some(v) => v.as_int().unwrap_or(0),
        None => 0,
    }
}

/// An integer as Go writes them: its prefix tells the base, underscores stand between digits.
fn parse_int(s: &str) -> Option<i64> {
    let (negative, digits) = match s.as_bytes().first()? {
        b'-' => (true, s.get(1..)?),
        b'+' => (false, s.get(1..)?),
        _ => (false, s),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, rest) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)?),
        [b'0', b'b', ..] => (2, lower.get(2..)?),
        [b'0', b'o', ..] => (8, lower.get(2..)?),
        [b'0', _, ..] => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    // One underscore may follow a prefix or a digit and must precede a digit.
    let prefixed = base != 10;
    if rest.ends_with('_') || rest.contains("__") || (!prefixed && rest.starts_with('_')) {
        return None;
    }
    let plain = rest.replace('_', "");
    if plain.starts_with(['+', '-']) {
        return None;
    }
    let n = i128::from(u64::from_str_radix(&plain, base).ok()?);
    i64::try_from(if negative { -n } else { n }).ok()
}

/// A number; a text that is none is 0.
#[must_use]
pub fn to_float(v: Option<&Value>) -> f64 {
    match v.map(Value::base) {
        Some(Value::Float(x)) => *x,
        Some(Value::Bool(b)) => f64::from(u8::from(*b)),
        Some(Value::Text(s)) => float::parse_float(s).unwrap_or(0.0),
        Some(v) => v.as_int().map_or(0.0, |n| n as f64),
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_as_whole_numbers() {
        for (text, want) in [
            ("42", 42),
            ("-42", -42),
            ("+7", 7),
            ("1.00", 1),
            ("1.", 0),
            ("1.5", 0),
            ("1e3", 0),
            ("010", 8),
            ("08", 0),
            ("0x1F", 31),
            ("0b101", 5),
            ("0o17", 15),
            ("1_000", 1000),
            ("_1", 0),
            ("0x_1", 1),
            ("--1", 0),
            (" 1", 0),
            ("100", 100),
            ("9223372036854775808", 0),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(to_int(Some(&text.into())), want, "{text:?}");
        }
        assert_eq!(to_int(Some(&Value::Bool(true))), 1);
        assert_eq!(to_int(Some(&Value::Float(-1.9))), -1);
        assert_eq!(to_int(None), 0);
    }
}
