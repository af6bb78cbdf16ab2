//! Go's durations: `1h15m30.918s` to nanoseconds and back (package `time`).

/// Unit and its length in nanoseconds, as Go accepts them.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Nanoseconds of a text such as `1.5h`, `-3ms` or `0`; `None` when Go would refuse it.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let len = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, tail) = rest.split_at(len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let scale = UNITS.iter().find(|(u, _)| *u == unit)?.1;
        let whole: u64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        let mut ns = whole.checked_mul(scale as u64)?;
        if !fraction.is_empty() {
            // Digits past the nanosecond cannot change the answer.
            let f: f64 = format!("0.{fraction}").parse().ok()?;
            ns = ns.checked_add((f * scale) as u64)?;
        }
        total = total.checked_add(ns)?;
        rest = tail;
    }
    if negative {
        return i64::try_from(total).ok().map(|n| -n);
    }
    i64::try_from(total).ok()
}

/// Go's `Duration.String`: `1h0m0s`, `1.5s`, `250ms`, `0s`.
#[must_use]
pub fn format(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let abs = ns.unsigned_abs();
    if abs < 1_000_000_000 {
        let (unit, scale) = match abs {
            0..1000 => ("ns", 1u64),
            1000..1_000_000 => ("µs", 1000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", with_fraction(abs, scale));
    }
    let seconds = abs / 1_000_000_000;
    let (h, m) = (seconds / 3600, seconds / 60 % 60);
    let s = with_fraction(abs % 60_000_000_000, 1_000_000_000);
    match (h, m) {
        (0, 0) => format!("{sign}{s}s"),
        (0, _) => format!("{sign}{m}m{s}s"),
        _ => format!("{sign}{h}h{m}m{s}s"),
    }
}

/// `n / scale` without trailing zeros.
fn with_fraction(n: u64, scale: u64) -> String {
    let (whole, rest) = (n / scale, n % scale);
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, ns) in [
            ("0", 0),
            ("1.5h", 5_400_000_000_000),
            ("-5ms", -5_000_000),
            ("1h2m3s", 3_723_000_000_000),
            ("2ms3us", 2_003_000),
            ("3µs", 3000),
            (".5s", 500_000_000),
            ("+1s", 1_000_000_000),
        ] {
            assert_eq!(parse(text), Some(ns), "{text}");
        }
        for bad in [
            "",
            "10",
            "1d",
            "s",
            "1.2.3s",
            "-",
            ".s",
            "1 s",
            "9999999999h",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn prints_what_go_prints() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (-90_000_000_000, "-1m30s"),
        ] {
            assert_eq!(format(ns), text);
        }
    }
}
