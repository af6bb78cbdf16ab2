//! Functions that every template has.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::printf::{sprint, sprintf, sprintln};
use super::{Function, Kind, Value};

type Answer = Result<Value, String>;

/// The built-in functions; `and` and `or` are evaluated where calls are.
pub(super) const TABLE: &[Function] = &[
    Function::pure("and", &[Kind::Any], |a| Ok(first(a))).with_rest(Kind::Any),
    Function::pure("or", &[Kind::Any], |a| Ok(first(a))).with_rest(Kind::Any),
    Function::pure("not", &[Kind::Any], |a| Ok(Value::Bool(!first(a).truth()))),
    Function::pure("eq", &[Kind::Any], eq).with_rest(Kind::Any),
    Function::pure("ne", &[Kind::Any, Kind::Any], |a| {
        let (x, y) = two(a);
        Ok(Value::Bool(!equal(&x, &y)?))
    }),
    Function::pure("lt", &[Kind::Any, Kind::Any], |a| {
        compared(a, Ordering::is_lt)
    }),
    Function::pure("le", &[Kind::Any, Kind::Any], |a| {
        compared(a, Ordering::is_le)
    }),
    Function::pure("gt", &[Kind::Any, Kind::Any], |a| {
        compared(a, Ordering::is_gt)
    }),
    Function::pure("ge", &[Kind::Any, Kind::Any], |a| {
        compared(a, Ordering::is_ge)
    }),
    Function::pure("len", &[Kind::Any], len),
    Function::pure("index", &[Kind::Any], index).with_rest(Kind::Any),
    Function::pure("slice", &[Kind::Any], slice).with_rest(Kind::Any),
    Function::pure("print", &[], |a| Ok(sprint(a).into())).with_rest(Kind::Any),
    Function::pure("println", &[], |a| Ok(sprintln(a).into())).with_rest(Kind::Any),
    Function::pure("printf", &[Kind::Text], |a| match a.split_first() {
        Some((Value::Text(f) | Value::Safe(f) | Value::SafeUrl(f), rest)) => {
            Ok(sprintf(f, rest).into())
        }
        _ => Ok(Value::Nil),
    })
    .with_rest(Kind::Any),
    Function::pure("html", &[], |a| Ok(escape_html(&joined(a)).into())).with_rest(Kind::Any),
    Function::pure("js", &[], |a| Ok(escape_js(&joined(a)).into())).with_rest(Kind::Any),
    Function::pure("urlquery", &[], |a| Ok(query_escape(&joined(a)).into())).with_rest(Kind::Any),
];

fn first(a: &[Value]) -> Value {
    a.first().cloned().unwrap_or_default()
}

fn two(a: &[Value]) -> (Value, Value) {
    (first(a), a.get(1).cloned().unwrap_or_default())
}

fn joined(a: &[Value]) -> String {
    match a {
        [Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s)] => s.to_string(),
        a => sprint(a),
    }
}

fn eq(a: &[Value]) -> Answer {
    let Some((x, rest)) = a.split_first() else {
        return Ok(Value::Bool(false));
    };
    if rest.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for y in rest {
        if equal(x, y)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn incompatible(x: &Value, y: &Value) -> String {
    format!(
        "incompatible types for comparison: {} and {}",
        x.type_name(),
        y.type_name()
    )
}

fn is_collection(v: &Value) -> bool {
    matches!(v.base(), Value::List(_) | Value::Texts(_) | Value::Map(_))
}

fn equal(x: &Value, y: &Value) -> Result<bool, String> {
    if let (Some(a), Some(b)) = (x.as_int(), y.as_int()) {
        return Ok(a == b);
    }
    match (x, y) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Time(a), Value::Time(b)) => Ok(a.timestamp() == b.timestamp()),
        (a, b) if is_collection(a) || is_collection(b) => {
            let v = if is_collection(a) { x } else { y };
            Err(format!(
                "non-comparable type {}: {}",
                v.text(),
                v.type_name()
            ))
        }
        _ => match (x.as_text(), y.as_text()) {
            (Some(a), Some(b)) => Ok(a == b),
            _ => Err(incompatible(x, y)),
        },
    }
}

fn compared(a: &[Value], holds: fn(Ordering) -> bool) -> Answer {
    let (x, y) = two(a);
    if let (Some(a), Some(b)) = (x.as_int(), y.as_int()) {
        return Ok(Value::Bool(holds(a.cmp(&b))));
    }
    match (&x, &y) {
        (Value::Float(a), Value::Float(b)) => Ok(Value::Bool(a.partial_cmp(b).is_some_and(holds))),
        (Value::Bool(_) | Value::Nil | Value::Time(_) | Value::Object(_), _) => {
            Err("invalid type for comparison".to_owned())
        }
        (v, _) if is_collection(v) => Err("invalid type for comparison".to_owned()),
        _ => match (x.as_text(), y.as_text()) {
            (Some(a), Some(b)) => Ok(Value::Bool(holds(a.cmp(b)))),
            _ => Err(incompatible(&x, &y)),
        },
    }
}

fn len(a: &[Value]) -> Answer {
    let v = first(a);
    let n = match v.base() {
        Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s) => s.len(),
        Value::List(l) | Value::Texts(l) => l.len(),
        Value::Map(m) => m.entries.len(),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        _ => return Err(format!("len of type {}", v.type_name())),
    };
    Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

fn position(v: &Value, len: usize, end_allowed: bool) -> Result<usize, String> {
    let i = match v {
        Value::Nil => return Err("cannot index slice/array with nil".to_owned()),
        v => v
            .as_int()
            .ok_or_else(|| format!("cannot index slice/array with type {}", v.type_name()))?,
    };
    let max = len + usize::from(end_allowed);
    match usize::try_from(i).ok().filter(|i| *i < max) {
        Some(i) => Ok(i),
        None if end_allowed => Err(format!("index out of range: {i}")),
        None => Err(format!("index out of range: {i}")),
    }
}

fn index(a: &[Value]) -> Answer {
    let Some((mut v, keys)) = a.split_first().map(|(v, k)| (v.clone(), k)) else {
        return Ok(Value::Nil);
    };
    for k in keys {
        v = match v.base() {
            Value::List(l) | Value::Texts(l) => l[position(k, l.len(), false)?].clone(),
            Value::Map(m) => match k.as_text() {
                Some(k) => match m.entries.get(k) {
                    Some(v) => v.clone(),
                    None if m.texts => "".into(),
                    None => Value::Nil,
                },
                None => {
                    return Err(format!(
                        "value has type {}; should be string",
                        k.type_name()
                    ));
                }
            },
            Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s) => {
                Value::Int(s.as_bytes()[position(k, s.len(), false)?].into())
            }
            Value::Nil => return Err("index of untyped nil".to_owned()),
            _ => return Err(format!("can't index item of type {}", v.type_name())),
        };
    }
    Ok(v)
}

fn slice(a: &[Value]) -> Answer {
    let (v, bounds) = match a.split_first() {
        Some((v, b)) => (v, b),
        None => return Ok(Value::Nil),
    };
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let v = v.base();
    let len = match v {
        Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s) if bounds.len() < 3 => s.len(),
        Value::Text(_) | Value::Safe(_) | Value::SafeUrl(_) => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::List(l) | Value::Texts(l) => l.len(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        v => return Err(format!("can't slice item of type {}", v.type_name())),
    };
    let mut at = [0, len];
    for (i, b) in bounds.iter().take(2).enumerate() {
        at[i] = position(b, len, true)?;
    }
    let [from, to] = at;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match v {
        Value::List(l) => l[from..to].to_vec().into(),
        Value::Texts(l) => Value::Texts(l[from..to].to_vec().into()),
        v => {
            let text = v.as_text().unwrap_or_default();
            byte_slice(text, from, to).into()
        }
    })
}

/// Bytes `from..to` of a text; what is cut in half becomes U+FFFD, byte by byte.
pub(crate) fn byte_slice(text: &str, from: usize, to: usize) -> String {
    match text.get(from..to) {
        Some(s) => s.to_owned(),
        None => {
            let bytes = text.as_bytes().get(from..to).unwrap_or_default();
            let mut out = String::with_capacity(bytes.len() + 8);
            for chunk in bytes.utf8_chunks() {
                out.push_str(chunk.valid());
                out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
            }
            out
        }
    }
}

/// Escapes for HTML text and quoted attribute values.
#[must_use]
pub fn escape_html(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Escapes for a JavaScript string.
fn escape_js(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => push_unicode(&mut out, c),
            c if c.is_control() => push_unicode(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

fn push_unicode(out: &mut String, c: char) {
    // Writing to a string cannot fail.
    let written = write!(out, "\\u{:04X}", c as u32);
    debug_assert!(written.is_ok());
}

/// Escapes for a URL query: a blank is a plus.
#[must_use]
pub fn query_escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    for b in s.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(b as char);
            }
            b' ' => out.push('+'),
            b => {
                let written = write!(out, "%{b:02X}");
                debug_assert!(written.is_ok());
            }
        }
    }
    out
}
