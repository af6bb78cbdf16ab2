//! Prometheus durations: `1h30m`, units `y w d h m s ms`, descending, each at most once.

use std::fmt::Write as _;

use super::quote::quote;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is empty.
    #[error("empty duration string")]
    Empty,
    /// The text does not follow the grammar.
    #[error("not a valid duration string: {}", quote(.0))]
    Syntax(String),
    /// More than 292 years.
    #[error("duration out of range")]
    Range,
}

/// Unit, its length in ms, and whether printing uses it only for exact multiples
/// (90 days read better than 12 weeks and 6 days).
const UNITS: [(&str, i64, bool); 7] = [
    ("y", 365 * 86_400_000, true),
    ("w", 7 * 86_400_000, true),
    ("d", 86_400_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1000, false),
    ("ms", 1, false),
];

/// Longest duration in ms: what fits 63 bits of nanoseconds.
const MAX_MS: i64 = i64::MAX / 1_000_000;

/// Milliseconds of `1h30m` or `0`.
///
/// # Errors
/// See [`DurationError`].
pub fn parse(s: &str) -> Result<i64, DurationError> {
    match s {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let syntax = || DurationError::Syntax(s.to_owned());
    let mut rest = s;
    let mut next_unit = 0;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let position = UNITS
            .iter()
            .position(|(u, ..)| *u == unit)
            .ok_or_else(syntax)?;
        if digits == 0 || position < next_unit {
            return Err(syntax());
        }
        next_unit = position + 1;
        let n: i64 = number.parse().map_err(|_| DurationError::Range)?;
        total = n
            .checked_mul(UNITS[position].1)
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| *ms <= MAX_MS)
            .ok_or(DurationError::Range)?;
        rest = tail;
    }
    Ok(total)
}

/// The canonical text of a duration in ms: `90000` is `1m30s`, `0` is `0s`.
#[must_use]
pub fn format(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if ms < 0 {
        out.push('-');
    }
    let mut rest = ms.unsigned_abs();
    for (unit, len, exact) in UNITS {
        let len = len.unsigned_abs();
        if exact && !rest.is_multiple_of(len) {
            continue;
        }
        if rest >= len {
            // Writing to a string cannot fail.
            let written = write!(out, "{}{unit}", rest / len);
            debug_assert!(written.is_ok());
            rest %= len;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_descending_units_once() {
        assert_eq!(
            parse("1y2w3d4h5m6s7ms"),
            Ok(31_536_000_000 + 1_209_600_000 + 259_200_000 + 14_400_000 + 300_000 + 6_007)
        );
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("5m"), Ok(300_000));
        for bad in ["5", "m", "1m1h", "1s1s", "-1s", "1.5h", "1x", "5m "] {
            assert!(matches!(parse(bad), Err(DurationError::Syntax(_))), "{bad}");
        }
        assert_eq!(parse(""), Err(DurationError::Empty));
        assert_eq!(parse("300y"), Err(DurationError::Range));
        assert_eq!(parse("99999999999999999999s"), Err(DurationError::Range));
    }

    #[test]
    fn prints_canonically() {
        for (ms, text) in [
            (0, "0s"),
            (90_000, "1m30s"),
            (86_400_000 * 90, "90d"),
            (86_400_000 * 14, "2w"),
            (86_400_000 * 730, "2y"),
            (1, "1ms"),
            (-5000, "-5s"),
            (3_600_000, "1h"),
        ] {
            assert_eq!(format(ms), text);
        }
    }
}
