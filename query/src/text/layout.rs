//! Go's reference-time layouts: `2006-01-02T15:04:05.000Z07:00`.
//!
//! The elements are those of Go's package `time` (documented there); everything else in a layout
//! stands for itself.

use std::fmt::Write as _;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// English name of month 1-12.
#[must_use]
pub fn month_name(month: i8) -> &'static str {
    usize::try_from(month - 1)
        .ok()
        .and_then(|i| MONTHS.get(i))
        .copied()
        .unwrap_or("")
}

/// English name of a day, 0 is Sunday.
#[must_use]
pub fn day_name(day: i8) -> &'static str {
    usize::try_from(day)
        .ok()
        .and_then(|i| DAYS.get(i))
        .copied()
        .unwrap_or("")
}

/// One element of a layout.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Element<'a> {
    Text(&'a str),
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekDay,
    WeekDay,
    Day,
    UnderDay,
    ZeroDay,
    YearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// Offset: `Z` for UTC, with colon, with seconds, hours only.
    Zone {
        z: bool,
        colon: bool,
        seconds: bool,
        short: bool,
    },
    /// Fraction: digits, and whether trailing zeros are cut.
    Fraction {
        digits: usize,
        cut: bool,
        mark: char,
    },
}

/// Elements with fixed spelling, longest of a common prefix first.
const FIXED: [(&str, Element<'static>); 34] = {
    use Element as E;
    const fn zone(z: bool, colon: bool, seconds: bool, short: bool) -> Element<'static> {
        Element::Zone {
            z,
            colon,
            seconds,
            short,
        }
    }
    [
        ("January", E::LongMonth),
        ("Jan", E::Month),
        ("Monday", E::LongWeekDay),
        ("Mon", E::WeekDay),
        ("MST", E::ZoneName),
        ("002", E::YearDay),
        ("01", E::ZeroMonth),
        ("02", E::ZeroDay),
        ("03", E::ZeroHour12),
        ("04", E::ZeroMinute),
        ("05", E::ZeroSecond),
        ("06", E::Year),
        ("15", E::Hour),
        ("2006", E::LongYear),
        ("_2006", E::Text("_")),
        ("_2", E::UnderDay),
        ("PM", E::UpperPm),
        ("pm", E::LowerPm),
        ("-070000", zone(false, false, true, false)),
        ("-07:00:00", zone(false, true, true, false)),
        ("-0700", zone(false, false, false, false)),
        ("-07:00", zone(false, true, false, false)),
        ("-07", zone(false, false, false, true)),
        ("Z070000", zone(true, false, true, false)),
        ("Z07:00:00", zone(true, true, true, false)),
        ("Z0700", zone(true, false, false, false)),
        ("Z07:00", zone(true, true, false, false)),
        ("Z07", zone(true, false, false, true)),
        ("1", E::NumMonth),
        ("2", E::Day),
        ("3", E::Hour12),
        ("4", E::Minute),
        ("5", E::Second),
        ("__2", E::YearDay),
    ]
};

fn elements(layout: &str) -> Vec<Element<'_>> {
    let mut out = Vec::new();
    let mut text_from = 0;
    let mut at = 0;
    while at < layout.len() {
        let rest = &layout[at..];
        let Some((element, len)) = element_at(rest) else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if text_from < at {
            out.push(Element::Text(&layout[text_from..at]));
        }
        out.push(element);
        at += len;
        text_from = at;
    }
    if text_from < layout.len() {
        out.push(Element::Text(&layout[text_from..]));
    }
    out
}

fn element_at(rest: &str) -> Option<(Element<'_>, usize)> {
    let first = rest.chars().next()?;
    if matches!(first, '.' | ',') {
        let fill = rest[1..]
            .chars()
            .next()
            .filter(|c| matches!(c, '0' | '9'))?;
        let digits = rest[1..].chars().take_while(|c| *c == fill).count();
        let ends = rest[1 + digits..]
            .chars()
            .next()
            .is_none_or(|c| !c.is_ascii_digit());
        return ends.then_some((
            Element::Fraction {
                digits,
                cut: fill == '9',
                mark: first,
            },
            1 + digits,
        ));
    }
    let best = FIXED
        .iter()
        .filter(|(t, _)| rest.starts_with(t))
        .max_by_key(|(t, _)| t.len())?;
    // "Jan" must not be the start of a longer word; "_2006" is an underscore and a year.
    if best.0 == "Jan" || best.0 == "Mon" {
        let next = rest[3..].chars().next();
        if next.is_some_and(|c| c.is_ascii_lowercase()) {
            return None;
        }
    }
    if best.0 == "_2006" {
        return Some((Element::Text("_"), 1));
    }
    Some((best.1, best.0.len()))
}

/// `t` in the given layout.
#[must_use]
pub fn format(t: &Zoned, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    for e in elements(layout) {
        // Writing to a string cannot fail.
        let written = write_element(&mut out, t, e);
        debug_assert!(written.is_ok());
    }
    out
}

fn write_element(out: &mut String, t: &Zoned, e: Element<'_>) -> std::fmt::Result {
    let hour12 = match t.hour() % 12 {
        0 => 12,
        h => h,
    };
    match e {
        Element::Text(s) => out.push_str(s),
        Element::LongMonth => out.push_str(month_name(t.month())),
        Element::Month => out.push_str(&month_name(t.month())[..3]),
        Element::NumMonth => write!(out, "{}", t.month())?,
        Element::ZeroMonth => write!(out, "{:02}", t.month())?,
        Element::LongWeekDay => out.push_str(day_name(t.weekday().to_sunday_zero_offset())),
        Element::WeekDay => out.push_str(&day_name(t.weekday().to_sunday_zero_offset())[..3]),
        Element::Day => write!(out, "{}", t.day())?,
        Element::UnderDay => write!(out, "{:2}", t.day())?,
        Element::ZeroDay => write!(out, "{:02}", t.day())?,
        Element::YearDay => write!(out, "{:03}", t.day_of_year())?,
        Element::Hour => write!(out, "{:02}", t.hour())?,
        Element::Hour12 => write!(out, "{hour12}")?,
        Element::ZeroHour12 => write!(out, "{hour12:02}")?,
        Element::Minute => write!(out, "{}", t.minute())?,
        Element::ZeroMinute => write!(out, "{:02}", t.minute())?,
        Element::Second => write!(out, "{}", t.second())?,
        Element::ZeroSecond => write!(out, "{:02}", t.second())?,
        Element::LongYear => write!(out, "{:04}", t.year())?,
        Element::Year => write!(out, "{:02}", t.year().rem_euclid(100))?,
        Element::UpperPm => out.push_str(if t.hour() >= 12 { "PM" } else { "AM" }),
        Element::LowerPm => out.push_str(if t.hour() >= 12 { "pm" } else { "am" }),
        Element::ZoneName => out.push_str(&zone_name(t)),
        Element::Zone {
            z,
            colon,
            seconds,
            short,
        } => {
            let offset = t.offset().seconds();
            if z && offset == 0 {
                out.push('Z');
                return Ok(());
            }
            out.push(if offset < 0 { '-' } else { '+' });
            let abs = offset.unsigned_abs();
            write!(out, "{:02}", abs / 3600)?;
            let sep = if colon { ":" } else { "" };
            if !short {
                write!(out, "{sep}{:02}", abs / 60 % 60)?;
            }
            if seconds {
                write!(out, "{sep}{:02}", abs % 60)?;
            }
        }
        Element::Fraction { digits, cut, mark } => {
            let text = format!("{:09}", t.subsec_nanosecond());
            let text = text.get(..digits.min(9)).unwrap_or(&text);
            let text = if cut {
                text.trim_end_matches('0')
            } else {
                text
            };
            if !(cut && text.is_empty()) {
                out.push(mark);
                out.push_str(text);
                out.extend(std::iter::repeat_n(
                    '0',
                    if cut { 0 } else { digits.saturating_sub(9) },
                ));
            }
        }
    }
    Ok(())
}

fn zone_name(t: &Zoned) -> String {
    let info = t.time_zone().to_offset_info(t.timestamp());
    let name = info.abbreviation().to_owned();
    if t.time_zone() == &TimeZone::UTC {
        return "UTC".to_owned();
    }
    // Zones without a name are shown as their offset, hours and minutes without a colon.
    if name.starts_with(['+', '-']) || name.is_empty() {
        let s = t.offset().seconds();
        let sign = if s < 0 { '-' } else { '+' };
        let abs = s.unsigned_abs();
        return format!("{sign}{:02}{:02}", abs / 3600, abs / 60 % 60);
    }
    name
}

/// What has been read of a time so far.
struct Parts {
    year: i16,
    month: i8,
    day: i8,
    year_day: Option<i16>,
    hour: i8,
    pm: Option<bool>,
    minute: i8,
    second: i8,
    nanos: i32,
    offset: Option<i32>,
}

/// Reads `text` in the given layout; `zone` applies when the text names no offset. `None` when it
/// does not fit.
#[must_use]
pub fn parse(layout: &str, text: &str, zone: &TimeZone) -> Option<Zoned> {
    let mut p = Parts {
        year: 0,
        month: 1,
        day: 1,
        year_day: None,
        hour: 0,
        pm: None,
        minute: 0,
        second: 0,
        nanos: 0,
        offset: None,
    };
    let all = elements(layout);
    let mut rest = text;
    for (i, e) in all.iter().enumerate() {
        rest = read_element(&mut p, *e, rest)?;
        // A fraction after the seconds is accepted without being in the layout.
        let is_seconds = matches!(e, Element::Second | Element::ZeroSecond);
        let follows = matches!(all.get(i + 1), Some(Element::Fraction { .. }));
        if is_seconds && !follows {
            let tail = rest.strip_prefix(['.', ',']);
            if let Some(tail) = tail.filter(|t| t.starts_with(|c: char| c.is_ascii_digit())) {
                let len = tail.bytes().take_while(u8::is_ascii_digit).count();
                p.nanos = fraction(&tail[..len])?;
                rest = &tail[len..];
            }
        }
    }
    if !rest.is_empty() {
        return None;
    }
    let hour = match p.pm {
        Some(true) if p.hour < 12 => p.hour + 12,
        Some(false) if p.hour == 12 => 0,
        _ => p.hour,
    };
    let date = match p.year_day {
        Some(n) => Date::new(p.year, 1, 1)
            .ok()?
            .with()
            .day_of_year(n)
            .build()
            .ok()?,
        None => Date::new(p.year, p.month, p.day).ok()?,
    };
    let time = Time::new(hour, p.minute, p.second, p.nanos).ok()?;
    let civil = DateTime::from_parts(date, time);
    let zone = match p.offset {
        Some(0) => TimeZone::UTC,
        Some(s) => TimeZone::fixed(Offset::from_seconds(s).ok()?),
        None => zone.clone(),
    };
    civil.to_zoned(zone).ok()
}

fn fraction(digits: &str) -> Option<i32> {
    let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
    nine.parse().ok()
}

fn number<T: std::str::FromStr>(rest: &str, min: usize, max: usize) -> Option<(T, &str)> {
    let len = rest
        .bytes()
        .take(max)
        .take_while(u8::is_ascii_digit)
        .count();
    if len < min {
        return None;
    }
    Some((rest[..len].parse().ok()?, &rest[len..]))
}

fn name<'t>(rest: &'t str, names: &[&str], len: Option<usize>) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(i, n)| {
        let n = len.map_or(*n, |l| &n[..l]);
        let head = rest.get(..n.len())?;
        head.eq_ignore_ascii_case(n).then(|| (i, &rest[n.len()..]))
    })
}

fn read_element<'t>(p: &mut Parts, e: Element<'_>, rest: &'t str) -> Option<&'t str> {
    macro_rules! read {
        ($field:ident, $min:expr, $max:expr) => {{
            let (v, tail) = number(rest, $min, $max)?;
            p.$field = v;
            Some(tail)
        }};
    }
    match e {
        Element::Text(t) => rest.strip_prefix(t),
        Element::LongMonth => name(rest, &MONTHS, None).and_then(|(i, t)| {
            p.month = i8::try_from(i + 1).ok()?;
            Some(t)
        }),
        Element::Month => name(rest, &MONTHS, Some(3)).and_then(|(i, t)| {
            p.month = i8::try_from(i + 1).ok()?;
            Some(t)
        }),
        Element::LongWeekDay => Some(name(rest, &DAYS, None)?.1),
        Element::WeekDay => Some(name(rest, &DAYS, Some(3))?.1),
        Element::NumMonth => read!(month, 1, 2),
        Element::ZeroMonth => read!(month, 2, 2),
        Element::Day => read!(day, 1, 2),
        Element::UnderDay => {
            let (v, tail) = number(rest.trim_start_matches(' '), 1, 2)?;
            p.day = v;
            Some(tail)
        }
        Element::ZeroDay => read!(day, 2, 2),
        Element::YearDay => {
            let (v, tail) = number(rest, 3, 3)?;
            p.year_day = Some(v);
            Some(tail)
        }
        Element::Hour => read!(hour, 2, 2),
        Element::Hour12 => read!(hour, 1, 2),
        Element::ZeroHour12 => read!(hour, 2, 2),
        Element::Minute => read!(minute, 1, 2),
        Element::ZeroMinute => read!(minute, 2, 2),
        Element::Second => read!(second, 1, 2),
        Element::ZeroSecond => read!(second, 2, 2),
        Element::LongYear => read!(year, 4, 4),
        Element::Year => {
            let (v, tail) = number::<i16>(rest, 2, 2)?;
            p.year = if v >= 69 { 1900 + v } else { 2000 + v };
            Some(tail)
        }
        Element::UpperPm | Element::LowerPm => {
            let (i, tail) = name(rest, &["AM", "PM"], None)?;
            p.pm = Some(i == 1);
            Some(tail)
        }
        Element::ZoneName => {
            let len = rest.bytes().take_while(u8::is_ascii_uppercase).count();
            let (zone, tail) = rest.split_at(len);
            if zone == "UTC" || zone == "GMT" {
                p.offset = Some(0);
            }
            (3..=5).contains(&len).then_some(tail)
        }
        Element::Zone {
            z,
            colon,
            seconds,
            short,
        } => {
            if z && let Some(tail) = rest.strip_prefix('Z') {
                p.offset = Some(0);
                return Some(tail);
            }
            let sign = match rest.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (h, mut tail) = number::<i32>(&rest[1..], 2, 2)?;
            let mut total = h * 3600;
            let more: &[i32] = match (short, seconds) {
                (true, _) => &[],
                (false, false) => &[60],
                (false, true) => &[60, 1],
            };
            for scale in more {
                if colon {
                    tail = tail.strip_prefix(':')?;
                }
                let (v, t) = number::<i32>(tail, 2, 2)?;
                total += v * scale;
                tail = t;
            }
            p.offset = Some(sign * total);
            Some(tail)
        }
        Element::Fraction { digits, cut, mark } => {
            let Some(tail) = rest.strip_prefix(mark) else {
                return cut.then_some(rest);
            };
            let len = tail.bytes().take_while(u8::is_ascii_digit).count();
            if !cut && len != digits {
                return None;
            }
            p.nanos = fraction(&tail[..len])?;
            Some(&tail[len..])
        }
    }
}

/// Go's `Time.String`: `2006-01-02 15:04:05.999999999 -0700 MST`.
#[must_use]
pub fn default_text(t: &Zoned) -> String {
    format(t, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// RFC 3339 in UTC with as many decimals as needed: how times stand in messages.
#[must_use]
pub fn rfc3339_utc(ns: i64) -> String {
    let t = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
    format(
        &t.to_zoned(TimeZone::UTC),
        "2006-01-02T15:04:05.999999999Z07:00",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Zoned {
        let t: Timestamp = text.parse().unwrap();
        t.to_zoned(TimeZone::UTC)
    }

    #[test]
    fn formats_like_go() {
        let t = at("2023-10-05T07:08:09.012300Z");
        for (layout, want) in [
            ("2006-01-02T15:04:05.000Z07:00", "2023-10-05T07:08:09.012Z"),
            (
                "2006-01-02T15:04:05.999999999Z07:00",
                "2023-10-05T07:08:09.0123Z",
            ),
            ("Jan _2 3:4:5PM", "Oct  5 7:8:9AM"),
            (
                "Monday, 02-Jan-06 15:04:05 MST",
                "Thursday, 05-Oct-23 07:08:09 UTC",
            ),
            ("-0700 -07:00 Z0700", "+0000 +00:00 Z"),
            ("002", "278"),
            ("03:04 pm", "07:08 am"),
            ("plain", "plain"),
            ("January Janet", "October Janet"),
        ] {
            assert_eq!(format(&t, layout), want, "{layout}");
        }
        assert_eq!(default_text(&t), "2023-10-05 07:08:09.0123 +0000 UTC");
    }

    #[test]
    fn reads_what_it_writes() {
        let t = at("2023-10-05T07:08:09.5Z");
        for layout in [
            "2006-01-02T15:04:05.000Z07:00",
            "2006-01-02 15:04:05.9 -0700",
            "Jan _2 2006 15:04:05",
        ] {
            let text = format(&t, layout);
            let back = parse(layout, &text, &TimeZone::UTC).unwrap();
            let want = if layout.contains('.') {
                t.timestamp()
            } else {
                "2023-10-05T07:08:09Z".parse().unwrap()
            };
            assert_eq!(back.timestamp(), want, "{layout}");
        }
        assert!(parse("2006-01-02", "2023-13-01", &TimeZone::UTC).is_none());
        assert!(parse("2006-01-02", "2023-01-01x", &TimeZone::UTC).is_none());
        let shifted = parse(
            "2006-01-02T15:04:05Z07:00",
            "2023-01-01T00:00:00+02:00",
            &TimeZone::UTC,
        );
        assert_eq!(shifted.unwrap().timestamp().as_second(), 1_672_524_000);
    }
}
