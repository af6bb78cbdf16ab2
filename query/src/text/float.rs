//! Floats in Go's layouts: read here, written by the model's own writers.

pub use engine::model::float::{
    exponential, general, general_rounded, json, open_metrics, plain, write_general, write_json,
    write_plain,
};

/// The number in a text as Go's base-0 integer parser or, failing that, its float parser reads it:
/// `0x1f`, `017` (octal), `0b1`, `1_000`, `1e3`, `.5`, `+Inf`, `NaN`.
#[must_use]
pub fn parse_number(text: &str) -> Option<f64> {
    parse_int(text).or_else(|| parse_float(text))
}

fn parse_int(text: &str) -> Option<f64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = body.to_ascii_lowercase();
    let (base, digits) = if let Some(d) = lower.strip_prefix("0x") {
        (16, d)
    } else if let Some(d) = lower.strip_prefix("0b") {
        (2, d)
    } else if let Some(d) = lower.strip_prefix("0o") {
        (8, d)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    let prefixed = base != 10;
    let clean = strip_underscores(digits, prefixed)?;
    let n = i64::from_str_radix(&clean, base).ok()?;
    Some(if negative { n.wrapping_neg() } else { n } as f64)
}

/// Removes digit separators; `None` when one is not between digits (or after the prefix).
fn strip_underscores(digits: &str, after_prefix: bool) -> Option<String> {
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let mut out = String::with_capacity(digits.len());
    let mut separable = after_prefix;
    for c in digits.chars() {
        if c == '_' {
            if !separable {
                return None;
            }
            separable = false;
        } else {
            separable = true;
            out.push(c);
        }
    }
    (separable && !out.is_empty()).then_some(out)
}

/// A float in Go's grammar without hexadecimal fractions.
#[must_use]
pub fn parse_float(text: &str) -> Option<f64> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") {
        return Some(sign * f64::INFINITY);
    }
    if body.eq_ignore_ascii_case("nan") {
        return Some(f64::from_bits(engine::model::NORMAL_NAN_BITS));
    }
    let ok = !body.is_empty()
        && body
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !ok {
        return None;
    }
    let v: f64 = body.parse().ok()?;
    // Overflow to infinity is an error in Go.
    v.is_finite().then_some(sign * v)
}

/// A float as Go's `ParseFloat` reads it: also with underscores between digits, and with a
/// hexadecimal mantissa when it has a binary exponent (`0x1p4`).
#[must_use]
pub fn parse_float_literal(text: &str) -> Option<f64> {
    let body = text.trim_start_matches(['+', '-']);
    if body.len() + 1 < text.len() {
        return None;
    }
    if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
        let (mantissa, exponent) = hex.split_once(['p', 'P'])?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = strip_underscores(&format!("{whole}{fraction}"), true)?;
        if digits.len() > 13 {
            return None;
        }
        let n = u64::from_str_radix(&digits, 16).ok()?;
        let e: i32 = exponent.parse().ok()?;
        let places = i32::try_from(fraction.len()).ok()?;
        let v = n as f64 * 2f64.powi(e.checked_sub(places.checked_mul(4)?)?);
        let v = if text.starts_with('-') { -v } else { v };
        return v.is_finite().then_some(v);
    }
    if !text.contains('_') {
        return parse_float(text);
    }
    let b = text.as_bytes();
    let between_digits = |i: usize| {
        i > 0 && b[i - 1].is_ascii_digit() && b.get(i + 1).is_some_and(u8::is_ascii_digit)
    };
    let ok = (0..b.len()).all(|i| b[i] != b'_' || between_digits(i));
    ok.then(|| parse_float(&text.replace('_', ""))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_go_syntax() {
        for (text, v) in [
            ("0x1f", 31.0),
            ("017", 15.0),
            ("1_000", 1000.0),
            ("08", 8.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("0", 0.0),
        ] {
            assert_eq!(parse_number(text), Some(v), "{text}");
        }
        assert!(parse_number("NaN").is_some_and(f64::is_nan));
        for bad in ["", "1e400", "0x", "1__0", "abc", "1.2.3"] {
            assert_eq!(parse_number(bad), None, "{bad}");
        }
    }

    #[test]
    fn go_float_literals() {
        for (text, want) in [
            ("1_000", Some(1000.0)),
            ("1_2.5_0e1_0", Some(12.5e10)),
            ("0x1p4", Some(16.0)),
            ("-0x1.8p1", Some(-3.0)),
            ("0x10", None),
            ("_1", None),
            ("1_", None),
            ("1__0", None),
            ("--1", None),
            ("1e400", None),
            ("", None),
        ] {
            assert_eq!(parse_float_literal(text), want, "{text}");
        }
    }
}
