//! Times, durations, limits and directions as parameters.

use engine::logs::Direction;

use super::Fault;
use crate::http::Params;

const SECOND_NS: i64 = 1_000_000_000;

/// A time in ns: float seconds when there is a point, seconds up to ten digits, nanoseconds beyond,
/// or RFC 3339.
pub(super) fn time(text: &str) -> Result<i64, String> {
    let bad = || format!("could not parse {text:?} as a time");
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        let n: i64 = text.parse().map_err(|_| bad())?;
        return if digits.len() <= 10 {
            Ok(n * SECOND_NS)
        } else {
            Ok(n)
        };
    }
    if text.contains('.')
        && let Some(s) = ::query::text::float::parse_float(text)
    {
        let ms = (s.fract() * 1000.0).round() as i64;
        return (s.trunc() as i64)
            .checked_mul(SECOND_NS)
            .and_then(|n| n.checked_add(ms * 1_000_000))
            .ok_or_else(bad);
    }
    let t: jiff::Timestamp = text.parse().map_err(|_| bad())?;
    i64::try_from(t.as_nanosecond()).map_err(|_| bad())
}

/// A duration in ns: float seconds or `1h30m`.
pub(super) fn duration(text: &str) -> Option<i64> {
    if let Some(s) = ::query::text::float::parse_float(text) {
        let ns = s * 1e9;
        return (ns.abs() < 9e18).then_some(ns as i64);
    }
    let negative = text.strip_prefix('-');
    let ms = ::query::text::duration::parse(negative.unwrap_or(text)).ok()?;
    let ns = ms.checked_mul(1_000_000)?;
    Some(if negative.is_some() { -ns } else { ns })
}

/// The time of the server, ns.
pub(super) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Parameter `name` as a time.
pub(super) fn time_or(params: &Params, name: &str, default: i64) -> Result<i64, Fault> {
    match params.get(name) {
        "" => Ok(default),
        t => time(t).map_err(Fault::bad),
    }
}

/// `start` and `end`, ns. `since` (1 h) counts when there is no start.
pub(super) fn bounds(params: &Params) -> Result<(i64, i64), Fault> {
    let now = now();
    let end = time_or(params, "end", now)?;
    let since = match params.get("since") {
        "" => 3600 * SECOND_NS,
        t => ::query::text::duration::parse(t)
            .ok()
            .and_then(|ms| ms.checked_mul(1_000_000))
            .ok_or_else(|| {
                Fault::bad(format!(
                    "could not parse 'since' parameter: not a valid duration string: {t:?}"
                ))
            })?,
    };
    let start = time_or(params, "start", end.min(now).saturating_sub(since))?;
    Ok((start, end))
}

/// `start` and `end` of calls that need a range.
pub(super) fn ordered_bounds(params: &Params) -> Result<(i64, i64), Fault> {
    let (start, end) = bounds(params)?;
    if start > end {
        return Err(Fault::bad(
            "end timestamp must not be before or equal to start time",
        ));
    }
    Ok((start, end))
}

/// A count that must be positive.
pub(super) fn limit(params: &Params, name: &str, default: usize) -> Result<usize, Fault> {
    match params.get(name) {
        "" => Ok(default),
        t => match t.parse::<i64>() {
            Ok(n) if n > 0 => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
            Ok(_) => Err(Fault::bad(format!("{name} must be a positive value"))),
            Err(_) => Err(Fault::bad(format!(
                "strconv.Atoi: parsing {t:?}: invalid syntax"
            ))),
        },
    }
}

/// `direction`.
pub(super) fn direction(params: &Params) -> Result<Direction, Fault> {
    let text = params.get("direction");
    match text.to_ascii_lowercase().as_str() {
        "" | "backward" => Ok(Direction::Backward),
        "forward" => Ok(Direction::Forward),
        _ => Err(Fault::bad(format!("invalid direction {text:?}"))),
    }
}

/// Points of one series at most.
const POINTS_MAX: i64 = 11_000;

/// `step` in ns, checked against the range.
pub(super) fn step(params: &Params, start: i64, end: i64) -> Result<i64, Fault> {
    let step = match params.get("step") {
        "" => ((end - start) / SECOND_NS / 250).max(1) * SECOND_NS,
        t => duration(t)
            .ok_or_else(|| Fault::bad(format!("cannot parse {t:?} to a valid duration")))?,
    };
    if step <= 0 {
        return Err(Fault::bad(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if (end - start) / step > POINTS_MAX {
        return Err(Fault::bad(
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the \
             value of the step parameter",
        ));
    }
    Ok(step)
}

/// `interval` in ns.
pub(super) fn interval(params: &Params) -> Result<i64, Fault> {
    let text = params.get("interval");
    if text.is_empty() {
        return Ok(0);
    }
    let ns = duration(text)
        .ok_or_else(|| Fault::bad(format!("cannot parse {text:?} to a valid duration")))?;
    if ns < 0 {
        return Err(Fault::bad("interval must be >= 0"));
    }
    Ok(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ns) in [
            ("1700000000", 1_700_000_000 * SECOND_NS),
            ("1700000000.1234", 1_700_000_000_123_000_000),
            ("1700000000123456789", 1_700_000_000_123_456_789),
            ("2023-11-14T22:13:20.5Z", 1_700_000_000_500_000_000),
            ("0", 0),
        ] {
            assert_eq!(time(text), Ok(ns), "{text}");
        }
        for bad in ["x", "", "1e400.5", "2023-11-14"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
