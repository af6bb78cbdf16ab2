//! Time intervals: when notifications are muted, or not.
//!
//! Owns: the grammar of the ranges and the question whether a moment lies inside.
//! Knows nothing of: routes, the clock (the moment is an argument).
//!
//! A named interval is a list (any may hold); in one entry every given field must hold; a field
//! is a list of ranges (any may hold).

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::fields::{Check, Omit, config};

const DAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The two ends of `a:b`; one word is both.
fn ends(text: &str) -> (&str, &str) {
    let (a, b) = text.split_once(':').unwrap_or((text, text));
    (a.trim(), b.trim())
}

macro_rules! range_type {
    ($(#[$m:meta])* $name:ident, $read:expr, $show:expr) => {
        $(#[$m])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name {
            begin: i32,
            end: i32,
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?.to_lowercase();
                let (a, b) = ends(&text);
                let read: fn(&str) -> Result<i32, String> = $read;
                let range = read(a).and_then(|begin| Ok(Self { begin, end: read(b)? }));
                range.and_then(Self::checked).map_err(serde::de::Error::custom)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let show: fn(i32) -> String = $show;
                if self.begin == self.end {
                    return s.serialize_str(&show(self.begin));
                }
                s.serialize_str(&format!("{}:{}", show(self.begin), show(self.end)))
            }
        }
    };
}

/// The place of `word` in a list of names.
fn named(word: &str, names: &[&str], first: i32) -> Option<i32> {
    let i = names.iter().position(|n| *n == word)?;
    i32::try_from(i).ok().map(|i| i + first)
}

fn name_of(names: &[&str], i: i32) -> String {
    let name = usize::try_from(i).ok().and_then(|i| names.get(i));
    name.map_or_else(|| i.to_string(), |n| (*n).to_owned())
}

range_type!(
    /// `monday:friday`; the week starts on Sunday and ranges do not wrap.
    WeekdayRange,
    |s| named(s, &DAYS, 0).ok_or_else(|| format!("{s:?} is not a valid weekday")),
    |i| name_of(&DAYS, i)
);
range_type!(
    /// `1:5`, `-3:-1`: days from the month's start or, negative, from its end.
    DayRange,
    |s| {
        let day: i32 = s
            .parse()
            .map_err(|_| format!("{s:?} is not a valid day of the month"))?;
        if day == 0 || day.abs() > 31 {
            return Err(format!(
                "{day} is not a valid day of the month: out of range"
            ));
        }
        Ok(day)
    },
    |i| i.to_string()
);
range_type!(
    /// `january`, `3:5`; ranges do not wrap.
    MonthRange,
    |s| {
        let number = s.parse().ok().filter(|n| (1..=12).contains(n));
        named(s, &MONTHS, 1)
            .or(number)
            .ok_or_else(|| format!("{s:?} is not a valid month"))
    },
    |i| name_of(&MONTHS, i - 1)
);
range_type!(
    /// `2025:2030`.
    YearRange,
    |s| s.parse().map_err(|_| format!("{s:?} is not a valid year")),
    |i| i.to_string()
);

impl WeekdayRange {
    fn checked(self) -> Result<Self, String> {
        ordered(self.begin, self.end, "day").map(|()| self)
    }
}
impl MonthRange {
    fn checked(self) -> Result<Self, String> {
        ordered(self.begin, self.end, "month").map(|()| self)
    }
}
impl YearRange {
    fn checked(self) -> Result<Self, String> {
        ordered(self.begin, self.end, "year").map(|()| self)
    }
}
impl DayRange {
    fn checked(self) -> Result<Self, String> {
        if self.begin < 0 && self.end > 0 {
            return Err("end day must be negative if start day is negative".into());
        }
        // Days counted from the end are compared in the longest month: shorter ones clip.
        let day = |d: i32| if d < 0 { d + 32 } else { d };
        ordered(day(self.begin), day(self.end), "day of the month").map(|()| self)
    }

    /// Whether `day` of a month of `length` days lies inside. A range that begins after the end
    /// of a short month holds no day of it.
    fn contains(self, day: i32, length: i32) -> bool {
        let from_start = |d: i32| if d < 0 { length + d + 1 } else { d };
        if self.begin > length {
            return false;
        }
        let begin = from_start(self.begin).max(1);
        let end = from_start(self.end).min(length);
        (begin..=end).contains(&day)
    }
}

fn ordered(begin: i32, end: i32, what: &str) -> Result<(), String> {
    if begin > end {
        return Err(format!("start {what} cannot be after end {what}"));
    }
    Ok(())
}

/// `09:00` to `17:00`, the end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeRange {
    begin_minute: u32,
    end_minute: u32,
}

config! {
    /// A time range as written.
    pub(crate) struct TimeRangeText("timeinterval.yamlTimeRange") {
        start_time: String;
        end_time: String;
    }
}
impl Check for TimeRangeText {}

/// Minutes since midnight of `HH:MM`.
fn minutes(text: &str) -> Result<u32, String> {
    let bad = || format!("couldn't parse timestamp {text}, invalid format");
    let (h, m) = text.split_once(':').ok_or_else(bad)?;
    let two = |s: &str| s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit());
    if !two(h) || !two(m) {
        return Err(bad());
    }
    let (h, m): (u32, u32) = (h.parse().map_err(|_| bad())?, m.parse().map_err(|_| bad())?);
    match (h, m) {
        (0..=23, 0..=59) | (24, 0) => Ok(h * 60 + m),
        _ => Err(format!("timestamp {text} out of range")),
    }
}

impl<'de> Deserialize<'de> for TimeRange {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = TimeRangeText::deserialize(d)?;
        let custom = serde::de::Error::custom::<String>;
        if text.start_time.is_empty() || text.end_time.is_empty() {
            return Err(custom("both start and end times must be provided".into()));
        }
        let begin_minute = minutes(&text.start_time).map_err(custom)?;
        let end_minute = minutes(&text.end_time).map_err(custom)?;
        if begin_minute >= end_minute {
            return Err(custom(
                "start time cannot be equal or greater than end time".into(),
            ));
        }
        Ok(Self {
            begin_minute,
            end_minute,
        })
    }
}

impl Serialize for TimeRange {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let text = |m: u32| format!("{:02}:{:02}", m / 60, m % 60);
        let text = TimeRangeText {
            start_time: text(self.begin_minute),
            end_time: text(self.end_minute),
        };
        text.serialize(s)
    }
}

/// A time zone by name; the database is part of the binary.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Location(TimeZone, String);

impl Default for Location {
    fn default() -> Self {
        Self(TimeZone::UTC, "UTC".into())
    }
}
impl Omit for Location {
    fn omit(&self) -> bool {
        self.1 == "UTC"
    }
}
impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        let zone = match name.as_str() {
            "" | "UTC" => return Ok(Self::default()),
            "Local" => TimeZone::try_system(),
            _ => TimeZone::get(&name),
        };
        zone.map(|z| Self(z, name.clone())).map_err(|_| {
            serde::de::Error::custom(format!("unknown time zone {name} in time interval"))
        })
    }
}
impl Serialize for Location {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.1)
    }
}

config! {
    /// One entry of a named interval.
    pub(crate) struct TimeInterval("timeinterval.TimeInterval") {
        times: Vec<TimeRange>;
        weekdays: Vec<WeekdayRange>;
        days_of_month: Vec<DayRange>;
        months: Vec<MonthRange>;
        years: Vec<YearRange>;
        location: Location;
    }
}
impl Check for TimeInterval {}

impl TimeInterval {
    /// Whether the moment lies inside. Cost: the number of ranges.
    pub(crate) fn contains(&self, at: jiff::Timestamp) -> bool {
        let t = at.to_zoned(self.location.0.clone());
        let minute = u32::try_from(i32::from(t.hour()) * 60 + i32::from(t.minute())).unwrap_or(0);
        let weekday = match t.weekday() {
            Weekday::Sunday => 0,
            d => i32::from(d.to_monday_one_offset()),
        };
        let (day, length) = (i32::from(t.day()), i32::from(t.days_in_month()));
        let (month, year) = (i32::from(t.month()), i32::from(t.year()));
        let inside = |begin: i32, end: i32, v: i32| (begin..=end).contains(&v);
        holds(&self.times, |r| {
            (r.begin_minute..r.end_minute).contains(&minute)
        }) && holds(&self.weekdays, |r| inside(r.begin, r.end, weekday))
            && holds(&self.days_of_month, |r| r.contains(day, length))
            && holds(&self.months, |r| inside(r.begin, r.end, month))
            && holds(&self.years, |r| inside(r.begin, r.end, year))
    }
}

/// A field that is not given holds always.
fn holds<T>(ranges: &[T], inside: impl Fn(&T) -> bool) -> bool {
    ranges.is_empty() || ranges.iter().any(inside)
}

config! {
    /// A named interval.
    pub(crate) struct NamedInterval("config.TimeInterval") {
        name: String => keep;
        time_intervals: Vec<TimeInterval> => keep;
    }
}
impl Check for NamedInterval {}

impl NamedInterval {
    /// Whether the moment lies in any of the entries.
    pub(crate) fn contains(&self, at: jiff::Timestamp) -> bool {
        self.time_intervals.iter().any(|i| i.contains(at))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::yaml;

    fn interval(text: &str) -> Result<TimeInterval, String> {
        yaml::parse(Path::new("t.yml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn moments_lie_inside_when_every_field_holds() {
        for (text, at, inside) in [
            // 2026-11-22 is a Sunday.
            ("weekdays: [sunday]", "2026-11-22T00:00:00Z", true),
            ("weekdays: ['Monday:friday']", "2026-11-22T00:00:00Z", false),
            (
                "times: [{start_time: '09:00', end_time: '17:00'}]",
                "2026-11-22T17:00:00Z",
                false,
            ),
            (
                "times: [{start_time: '09:00', end_time: '17:00'}]",
                "2026-11-22T09:00:00Z",
                true,
            ),
            (
                "times: [{start_time: '23:00', end_time: '24:00'}]",
                "2026-11-22T23:59:59Z",
                true,
            ),
            ("days_of_month: ['-3:-1']", "2026-02-26T00:00:00Z", true),
            ("days_of_month: ['-3:-1']", "2026-02-25T00:00:00Z", false),
            ("days_of_month: ['30:31']", "2026-02-28T00:00:00Z", false),
            ("days_of_month: ['-31:-29']", "2026-02-01T00:00:00Z", false),
            ("days_of_month: ['1:31']", "2026-02-28T00:00:00Z", true),
            ("months: ['January', '10:12']", "2026-11-22T00:00:00Z", true),
            ("years: ['2020:2025']", "2026-11-22T00:00:00Z", false),
            (
                "{location: Asia/Tokyo, weekdays: [monday]}",
                "2026-11-22T16:00:00Z",
                true,
            ),
            (
                "{weekdays: [sunday], months: [may]}",
                "2026-11-22T00:00:00Z",
                false,
            ),
            ("{}", "2026-11-22T00:00:00Z", true),
        ] {
            let at: jiff::Timestamp = at.parse().unwrap();
            assert_eq!(interval(text).unwrap().contains(at), inside, "{text} {at}");
        }
    }

    #[test]
    fn ranges_that_mean_nothing_are_refused() {
        for (text, error) in [
            ("weekdays: ['saturday:monday']", "start day"),
            ("weekdays: [mon]", "\"mon\" is not a valid weekday"),
            ("months: ['december:january']", "start month"),
            ("months: ['13']", "\"13\" is not a valid month"),
            ("days_of_month: ['0']", "0 is not a valid day"),
            ("days_of_month: ['-5:5']", "must be negative"),
            ("days_of_month: ['5:1']", "start day of the month"),
            ("years: ['2030:2020']", "start year"),
            ("location: Mars/Base", "Mars/Base"),
            ("times: [{start_time: '17:00'}]", "start and end times"),
            (
                "times: [{start_time: '17:00', end_time: '09:00'}]",
                "cannot be equal or greater",
            ),
            (
                "times: [{start_time: '7:00', end_time: '25:00'}]",
                "invalid format",
            ),
        ] {
            let e = interval(text).unwrap_err();
            assert!(e.contains(error), "{text}: {e}");
        }
    }
}
