//! Times, durations and limits as parameters.

use crate::api::error::ApiError;
use crate::config::PromDuration;
use crate::http::Params;

/// Smallest time that can be written, in ms.
pub(super) const MIN_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// Largest time that can be written, in ms.
pub(super) const MAX_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;
/// How clients write these two.
const MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// A time in ms: Unix seconds with a fraction, or RFC 3339.
///
/// # Errors
/// The text of the error.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    if let Some(seconds) = query::text::float::parse_float(text)
        && seconds.is_finite()
    {
        let (whole, fraction) = (seconds.trunc(), seconds.fract());
        let ms = whole * 1000.0 + (fraction * 1000.0).round();
        return Ok(ms as i64);
    }
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Ok(i64::try_from(t.as_nanosecond().div_euclid(1_000_000)).unwrap_or(MAX_MS));
    }
    match text {
        MIN_TEXT => Ok(MIN_MS),
        MAX_TEXT => Ok(MAX_MS),
        _ => Err(format!("cannot parse {text:?} to a valid timestamp")),
    }
}

/// A duration in nanoseconds: float seconds, or `1h30m`.
///
/// # Errors
/// The text of the error.
pub(super) fn parse_duration(text: &str) -> Result<i64, String> {
    if let Some(seconds) = query::text::float::parse_float(text) {
        let ns = seconds * 1e9;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 || ns.is_nan() {
            return Err(format!(
                "cannot parse {text:?} to a valid duration. It overflows int64"
            ));
        }
        return Ok(ns as i64);
    }
    let d = text.parse::<PromDuration>();
    d.map(|d| d.as_ms() * 1_000_000)
        .map_err(|_| format!("cannot parse {text:?} to a valid duration"))
}

/// Parameter `name` as a time, `default` when empty.
///
/// # Errors
/// With the parameter's name.
pub(super) fn time(params: &Params, name: &str, default: i64) -> Result<i64, ApiError> {
    match params.get(name) {
        "" => Ok(default),
        text => parse(text).map_err(|e| ApiError::parameter(name, e)),
    }
}

/// `start` and `end` of metadata calls.
///
/// # Errors
/// With the parameter's name.
pub(super) fn range(params: &Params) -> Result<(i64, i64), ApiError> {
    Ok((time(params, "start", MIN_MS)?, time(params, "end", MAX_MS)?))
}

/// Parameter `limit`; 0 (unlimited) when empty.
///
/// # Errors
/// With the parameter's name.
pub(super) fn limit(params: &Params) -> Result<usize, ApiError> {
    match params.get("limit") {
        "" => Ok(0),
        text => parse_limit(text).map_err(|e| ApiError::parameter("limit", e)),
    }
}

fn parse_limit(text: &str) -> Result<usize, String> {
    let bad = |why| format!("strconv.Atoi: parsing {text:?}: {why}");
    match text.parse::<i64>() {
        Ok(n) => usize::try_from(n).map_err(|_| "limit must be non-negative".into()),
        Err(e) if *e.kind() == std::num::IntErrorKind::PosOverflow => {
            Err(bad("value out of range"))
        }
        Err(_) => Err(bad("invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc3339() {
        for (text, ms) in [
            ("0", 0),
            ("1e9", 1_000_000_000_000),
            ("1.2346", 1235),
            ("-1.5", -1500),
            ("1435781451.781", 1_435_781_451_781),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51.781999+02:00", 1_435_781_451_781),
            (MIN_TEXT, MIN_MS),
            (MAX_TEXT, MAX_MS),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
        for bad in ["", "foo", "2015-07-01", "NaN", "Inf", "1h"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_truncated_to_nanoseconds() {
        for (text, ns) in [
            ("33.3", 33_299_999_999),
            ("1m", 60_000_000_000),
            ("-1", -1_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(ns), "{text}");
        }
        assert!(parse_duration("1e20").unwrap_err().contains("overflows"));
        assert!(parse_duration("foo").is_err());
    }

    #[test]
    fn limits_are_whole_numbers() {
        assert_eq!(parse_limit("0"), Ok(0));
        assert_eq!(parse_limit("-1").unwrap_err(), "limit must be non-negative");
        for bad in ["1.5", "abc"] {
            assert!(parse_limit(bad).unwrap_err().ends_with("invalid syntax"));
        }
    }
}
