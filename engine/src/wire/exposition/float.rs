//! Numbers as Go reads and writes them.

use crate::model::{NORMAL_NAN_BITS, float};

/// Reads a sample value or float timestamp. The error is the text without its context.
pub(super) fn parse(token: &[u8]) -> Result<f64, String> {
    // Most samples are small integers.
    if let [first, rest @ ..] = token
        && first.is_ascii_digit()
        && rest.len() < 15
        && rest.iter().all(u8::is_ascii_digit)
    {
        let n = token.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0'));
        return Ok(n as f64);
    }
    if token.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err("unsupported character in float".into());
    }
    let invalid = || {
        format!(
            "strconv.ParseFloat: parsing {}: invalid syntax",
            super::lex::quote(token)
        )
    };
    let text = std::str::from_utf8(token).map_err(|_| invalid())?;
    let v: f64 = text.parse().map_err(|_| invalid())?;
    if v.is_nan() {
        // Go knows no signed NaN.
        return if text.starts_with(['+', '-']) {
            Err(invalid())
        } else {
            Ok(f64::from_bits(NORMAL_NAN_BITS))
        };
    }
    if v.is_infinite() && text.bytes().any(|b| b.is_ascii_digit()) {
        return Err(format!(
            "strconv.ParseFloat: parsing {}: value out of range",
            super::lex::quote(token)
        ));
    }
    Ok(v)
}

/// A number as the text formats write it: `NaN`, `+Inf`, `-Inf`, or the fewest digits.
#[must_use]
pub fn format_float(v: f64) -> String {
    float::general(v)
}

/// A number as OpenMetrics writes it in `le` and `quantile`: never without `.`, `e` or `Inf`.
#[must_use]
pub(super) fn format_open_metrics(v: f64) -> String {
    float::open_metrics(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_like_gos() {
        for (v, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.5, "0.5"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (123_456.0, "123456"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1.5e300, "1.5e+300"),
            (-2.5e-7, "-2.5e-07"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_float(v), want);
        }
        assert_eq!(format_open_metrics(1.0), "1.0");
        assert_eq!(format_open_metrics(0.25), "0.25");
        assert_eq!(format_open_metrics(f64::NEG_INFINITY), "-Inf");
    }

    #[test]
    fn only_gos_spellings_are_read() {
        for ok in [
            "1",
            "+1",
            ".5",
            "1.",
            "1.5e3",
            "inf",
            "-Infinity",
            "nan",
            "NaN",
            "+Inf",
        ] {
            assert!(parse(ok.as_bytes()).is_ok(), "{ok}");
        }
        for bad in ["", "x", "0x1F", "1_000", "1e400", "+nan", "1p4", "e5", "."] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
