//! Functions on what values are, on values that may be missing, and JSON.

use super::super::args::{A, T, any, kind_of, text};
use super::super::{Function, Kind, Value, json};

/// The functions.
pub(super) const TABLE: &[Function] = &[
    Function::pure("empty", &[A], |a| Ok((!any(a, 0).truth()).into())),
    Function::pure("coalesce", &[], |a| {
        Ok(a.iter().find(|v| v.truth()).cloned().unwrap_or_default())
    })
    .with_rest(A),
    Function::pure("ternary", &[A, A, Kind::Bool], |a| {
        Ok(any(a, usize::from(!any(a, 2).truth())))
    }),
    Function::pure("all", &[], |a| Ok(a.iter().all(Value::truth).into())).with_rest(A),
    Function::pure("any", &[], |a| Ok(a.iter().any(Value::truth).into())).with_rest(A),
    Function::pure("kindOf", &[A], |a| Ok(kind_of(&any(a, 0)).into())),
    Function::pure("kindIs", &[T, A], |a| {
        Ok((text(a, 0) == kind_of(&any(a, 1))).into())
    }),
    Function::pure("typeOf", &[A], |a| Ok(type_of(&any(a, 0)).into())),
    Function::pure("typeIs", &[T, A], |a| {
        Ok((type_of(&any(a, 1)) == text(a, 0)).into())
    }),
    Function::pure("typeIsLike", &[T, A], |a| {
        let (like, v) = (text(a, 0), any(a, 1));
        let name = type_of(&v);
        Ok((name == like || name.strip_prefix('*') == Some(like)).into())
    }),
    Function::pure("deepEqual", &[A, A], |a| {
        Ok(any(a, 0).same(&any(a, 1)).into())
    }),
    Function::pure("toJson", &[A], |a| Ok(json::text(&any(a, 0)).into())),
    Function::pure("toRawJson", &[A], |a| {
        Ok(rewritten(&any(a, 0), serde_json::Value::to_string))
    }),
    Function::pure("toPrettyJson", &[A], |a| Ok(rewritten(&any(a, 0), pretty))),
    Function::pure("mustFromJson", &[T], |a| {
        let parsed: serde_json::Value =
            serde_json::from_str(text(a, 0)).map_err(|e| e.to_string())?;
        Ok(json::value(&parsed))
    }),
];

fn type_of(v: &Value) -> &str {
    match v {
        Value::Nil => "<nil>",
        v => v.type_name(),
    }
}

/// The JSON of a value, written again by `write`.
fn rewritten(v: &Value, write: fn(&serde_json::Value) -> String) -> Value {
    let plain = json::text(v);
    let read = serde_json::from_str(&plain);
    read.map_or(plain, |v| write(&v)).into()
}

/// With two spaces for each level; what HTML reads occurs in texts only and is escaped.
fn pretty(v: &serde_json::Value) -> String {
    let text = serde_json::to_string_pretty(v).unwrap_or_default();
    let escaped = |c: char| match c {
        '<' | '>' | '&' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}
