//! How heavy a value is: functions that put values into others could otherwise double it with every
//! call, or nest it deeper than any stack (TPL1).

use super::value::Value;

/// Deepest nesting of lists and maps.
const DEPTH_MAX: usize = 64;

/// Most items, and kilobytes of text, in one value; what stands in it twice counts twice.
const WEIGHT_MAX: u64 = 100_000;

/// The items, and kilobytes of text, in what a function gives.
///
/// # Errors
/// When it is more than anybody needs.
pub(super) fn weigh(v: &Value) -> Result<u64, String> {
    if !matches!(v, Value::List(_) | Value::Texts(_) | Value::Map(_)) {
        return Ok(0);
    }
    let mut left = WEIGHT_MAX;
    take(v, DEPTH_MAX, &mut left)?;
    Ok(WEIGHT_MAX - left)
}

fn take(v: &Value, depth: usize, left: &mut u64) -> Result<(), String> {
    let text = v.as_text().map_or(0, str::len) >> 10;
    let own = 1 + u64::try_from(text).unwrap_or(u64::MAX >> 1);
    *left = left
        .checked_sub(own)
        .ok_or_else(|| format!("the value has more than {WEIGHT_MAX} items or KiB"))?;
    let inner = || {
        let deeper = depth.checked_sub(1);
        deeper.ok_or_else(|| format!("the value is nested deeper than {DEPTH_MAX}"))
    };
    match v {
        Value::List(l) | Value::Texts(l) => {
            let depth = inner()?;
            l.iter().try_for_each(|v| take(v, depth, left))
        }
        Value::Map(m) => {
            let depth = inner()?;
            m.entries.values().try_for_each(|v| take(v, depth, left))
        }
        _ => Ok(()),
    }
}
