//! Functions on numbers.

use super::super::args::{A, I, T, any, int, text, to_float, to_int};
use super::super::{Function, Value};
use super::MADE_MAX;

/// The functions.
pub(super) const TABLE: &[Function] = &[
    Function::pure("atoi", &[T], |a| {
        Ok(Value::Int(text(a, 0).parse().unwrap_or(0)))
    }),
    Function::pure("int64", &[A], |a| Ok(Value::Int64(to_int(a.first())))),
    Function::pure("add1", &[A], |a| {
        Ok(Value::Int64(to_int(a.first()).wrapping_add(1)))
    }),
    Function::pure("add1f", &[A], |a| {
        Ok(Value::Float(to_float(a.first()) + 1.0))
    }),
    Function::pure("toDecimal", &[A], |a| {
        let octal = i64::from_str_radix(&any(a, 0).text(), 8);
        Ok(Value::Int64(octal.unwrap_or(0)))
    }),
    Function::pure("until", &[I], |a| {
        let n = int(a, 0);
        numbers(0, n, if n < 0 { -1 } else { 1 }).map(Value::from)
    }),
    Function::pure("untilStep", &[I, I, I], |a| {
        numbers(int(a, 0), int(a, 1), int(a, 2)).map(Value::from)
    }),
    Function::pure("seq", &[], |a| {
        let (start, step, end) = match a {
            [_] => (1, None, int(a, 0)),
            [_, _] => (int(a, 0), None, int(a, 1)),
            [_, _, _] => (int(a, 0), Some(int(a, 1)), int(a, 2)),
            _ => return Ok("".into()),
        };
        // The end belongs to it; a step that leads away from it gives nothing.
        let towards = if end < start { -1 } else { 1 };
        let each = numbers(start, end.saturating_add(towards), step.unwrap_or(towards))?;
        let each: Vec<String> = each.iter().map(Value::text).collect();
        Ok(each.join(" ").into())
    })
    .with_rest(I),
];

/// From `start` towards `stop`, which does not belong to it.
fn numbers(start: i64, stop: i64, step: i64) -> Result<Vec<Value>, String> {
    let mut out = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        if out.len() >= MADE_MAX {
            return Err(format!("more than {MADE_MAX} numbers"));
        }
        out.push(Value::Int(at));
        match at.checked_add(step) {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(out)
}
