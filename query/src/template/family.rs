//! What the template languages of the family have in common: letters, patterns, numbers for people.
//!
//! Owns: these functions as plain Rust.
//! Knows nothing of: which language offers which of them under which name.

use super::{Value, sprintf};
use crate::regex::GoRegex;
use crate::text::quote::quote;

/// One letter for one letter, as Go maps them: those that would become several stay.
fn mapped<I: Iterator<Item = char> + ExactSizeIterator>(c: char, map: fn(char) -> I) -> char {
    let mut letters = map(c);
    match letters.len() {
        1 => letters.next().unwrap_or(c),
        _ => c,
    }
}

/// Capital letters.
#[must_use]
pub fn upper(s: &str) -> String {
    s.chars().map(|c| mapped(c, char::to_uppercase)).collect()
}

/// Small letters.
#[must_use]
pub fn lower(s: &str) -> String {
    s.chars().map(|c| mapped(c, char::to_lowercase)).collect()
}

/// Every word with a capital letter; the other letters stay (Go's `strings.Title`).
#[must_use]
pub fn title(s: &str) -> String {
    let mut start = true;
    let each = s.chars().map(|c| {
        let out = if start {
            mapped(c, char::to_uppercase)
        } else {
            c
        };
        // Of ASCII only letters, digits and underscores make words; of the rest all but spaces.
        let word = c.is_alphanumeric() || c == '_' || (!c.is_ascii() && !c.is_whitespace());
        start = !word;
        out
    });
    each.collect()
}

/// Every word with a capital letter and otherwise small ones; an apostrophe or a full stop between
/// letters does not end a word (Unicode's word boundaries).
#[must_use]
pub fn title_of_words(s: &str) -> String {
    titled(s, |c| mapped(c, char::to_lowercase))
}

/// Every word with a capital letter, as [`title_of_words`] finds words; the other letters stay.
#[must_use]
pub fn capitals_of_words(s: &str) -> String {
    titled(s, |c| c)
}

fn titled(s: &str, other: impl Fn(char) -> char) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    let mut chars = s.chars().peekable();
    while let Some(c) = chars.next() {
        let word = c.is_alphanumeric() || c == '_';
        let joins = matches!(c, '\'' | '.' | ':' | '\u{b7}' | '\u{2019}');
        let next = chars.peek().is_some_and(|n| n.is_alphabetic());
        if word && !inside {
            out.push(mapped(c, char::to_uppercase));
            // A digit does not take the capital letter away from what follows it.
            inside = c.is_alphabetic() || c == '_' || !next;
        } else if word {
            out.push(other(c));
        } else {
            out.push(c);
            inside = inside && joins && next;
        }
    }
    out
}

/// Whether a pattern is found anywhere in a text.
///
/// # Errors
/// When it is no pattern.
pub fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    let re = GoRegex::new(pattern).map_err(|e| e.to_string())?;
    Ok(re.is_match(text))
}

/// Every match of a pattern replaced; `$1` and `${name}` stand for groups.
///
/// # Errors
/// When it is no pattern.
pub fn replace_all(pattern: &str, replacement: &str, text: &str) -> Result<String, String> {
    let re = GoRegex::new(pattern).map_err(|e| format!("regexp: Compile(`{pattern}`): {e}"))?;
    Ok(re.replace_all(text, replacement))
}

/// The number that a value stands for: numbers, durations in seconds, texts that read as one.
///
/// # Errors
/// When it stands for none.
pub fn number(v: &Value) -> Result<f64, String> {
    match v {
        Value::Float(x) => Ok(*x),
        Value::Int(n) | Value::Int64(n) => Ok(*n as f64),
        Value::Duration(ns) => Ok(*ns as f64 / 1e9),
        Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s) => crate::text::float::parse_float(s)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(s))),
        v => Err(format!("can't convert {} to float", v.type_name())),
    }
}

/// Four significant digits.
fn short(v: f64) -> String {
    sprintf("%.4g", &[Value::Float(v)])
}

/// Divides by `step` for each prefix until the number is small.
fn scaled(v: f64, step: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let (mut v, mut prefix) = (v, "");
    for p in prefixes {
        if v.abs() < step {
            break;
        }
        (v, prefix) = (v / step, p);
    }
    (v, prefix)
}

/// Multiplies by 1000 for each prefix until the number is at least 1.
fn magnified(v: f64) -> (f64, &'static str) {
    let (mut v, mut prefix) = (v, "");
    for p in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if v.abs() >= 1.0 {
            break;
        }
        (v, prefix) = (v * 1000.0, p);
    }
    (v, prefix)
}

/// `1.235M`, `120u`.
#[must_use]
pub fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return short(v);
    }
    let (v, prefix) = if v.abs() >= 1.0 {
        scaled(v, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"])
    } else {
        magnified(v)
    };
    short(v) + prefix
}

/// `1.177Mi`.
#[must_use]
pub fn humanize1024(v: f64) -> String {
    if v.abs() <= 1.0 || !v.is_finite() {
        return short(v);
    }
    let (v, prefix) = scaled(v, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]);
    short(v) + prefix
}

/// Seconds as `1d 3h 46m 40s`.
#[must_use]
pub fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return short(v);
    }
    if v == 0.0 {
        return short(v) + "s";
    }
    if v.abs() < 1.0 {
        let (v, prefix) = magnified(v);
        return format!("{}{prefix}s", short(v));
    }
    let (sign, abs) = if v < 0.0 { ("-", -v) } else { ("", v) };
    let whole = abs as i64;
    let (days, hours) = (whole / 86_400, whole / 3600 % 24);
    let (minutes, seconds) = (whole / 60 % 60, whole % 60);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", short(abs))
    }
}

/// A share as `12.5%`.
#[must_use]
pub fn humanize_percentage(v: f64) -> String {
    short(v * 100.0) + "%"
}

/// Four significant digits, for what is no time.
#[must_use]
pub fn humanize_odd(v: f64) -> String {
    short(v)
}

/// Nanoseconds of a number of seconds.
///
/// # Errors
/// When they do not fit.
pub fn nanoseconds(seconds: f64, what: &str) -> Result<i64, String> {
    let ns = seconds * 1e9;
    if ns.is_nan() || ns > i64::MAX as f64 || ns < i64::MIN as f64 {
        let shown = crate::text::float::general(seconds);
        return Err(format!(
            "{shown} cannot be represented as a nanoseconds {what} since it overflows int64"
        ));
    }
    Ok(ns as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_their_number() {
        assert_eq!(upper("straße éx"), "STRAßE ÉX");
        assert_eq!(title("heLLo wORLD a_b x-y"), "HeLLo WORLD A_b X-Y");
        assert_eq!(
            title_of_words("abc def-ghi jkl's éa x_y HELLO"),
            "Abc Def-Ghi Jkl's Éa X_y Hello"
        );
    }

    #[test]
    fn numbers_for_people() {
        for (v, a, b) in [
            (0.0, "0", "0"),
            (0.00012, "120u", "0.00012"),
            (-1_234_567.0, "-1.235M", "-1.177Mi"),
            (1e30, "1e+06Y", "8.272e+05Yi"),
            (999.9999, "1000", "1000"),
            (f64::INFINITY, "+Inf", "+Inf"),
        ] {
            assert_eq!((humanize(v).as_str(), humanize1024(v).as_str()), (a, b));
        }
        for (v, want) in [
            (0.0, "0s"),
            (59.9999, "60s"),
            (60.0, "1m 0s"),
            (90_061.0, "1d 1h 1m 1s"),
            (-125.0, "-2m 5s"),
            (0.001, "1ms"),
            (1.2e-7, "120ns"),
        ] {
            assert_eq!(humanize_duration(v), want);
        }
    }
}
