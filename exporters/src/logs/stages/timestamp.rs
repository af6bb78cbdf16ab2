//! `timestamp`: the time of an entry from an extracted value.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, Zoned};

use super::{Build, Now, Simple};
use crate::logs::entry::{Entry, LabelSet};
use crate::logs::language::Language;
use crate::logs::settings::Settings;

/// Label sets whose last good time is remembered.
const REMEMBERED_MAX: usize = 10_000;

/// Layouts that have a name.
const NAMED: [(&str, &str); 10] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"),
];

/// How a time is written.
#[derive(Debug, Clone)]
enum Format {
    /// Units since 1970 with this many ns each.
    Unix(i64),
    /// A layout that has a name: the location has no say.
    Named(&'static str),
    Layout(String),
}

impl Format {
    fn new(text: &str) -> Self {
        if let Some((_, layout)) = NAMED.iter().find(|(n, _)| *n == text) {
            return Self::Named(layout);
        }
        match text {
            "Unix" => Self::Unix(1_000_000_000),
            "UnixMs" => Self::Unix(1_000_000),
            "UnixUs" => Self::Unix(1000),
            "UnixNs" => Self::Unix(1),
            other => Self::Layout(other.to_owned()),
        }
    }

    fn read(&self, text: &str, zone: &TimeZone, now_ns: i64, l: &dyn Language) -> Option<i64> {
        let read = match self {
            Self::Unix(unit) => return unix(text, *unit),
            Self::Named(layout) => l.time(layout, text, &TimeZone::UTC)?,
            Self::Layout(layout) => l.time(layout, text, zone)?,
        };
        let read = if read.year() == 0 {
            with_year(&read, now_ns)?
        } else {
            read
        };
        i64::try_from(read.timestamp().as_nanosecond()).ok()
    }
}

/// Units since 1970; only seconds may have a fraction.
fn unix(text: &str, unit: i64) -> Option<i64> {
    match text.split_once('.') {
        Some((whole, fraction)) if unit == 1_000_000_000 => {
            if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let nine: String = fraction
                .chars()
                .chain("000000000".chars())
                .take(9)
                .collect();
            let rest: i64 = nine.parse().ok()?;
            let whole: i64 = whole.parse::<i64>().ok()?.checked_mul(unit)?;
            // The fraction goes up from the second, also before 1970, as in the original.
            whole.checked_add(rest)
        }
        _ => text.parse::<i64>().ok()?.checked_mul(unit),
    }
}

/// The year of a time without one: this year, but around its turn the year that is nearer.
fn with_year(read: &Zoned, now_ns: i64) -> Option<Zoned> {
    let now = Instant::from_nanosecond(i128::from(now_ns)).ok()?;
    let now = now.to_zoned(read.time_zone().clone());
    let year = match (read.month(), now.month()) {
        (12, 1) => now.year() - 1,
        (1, 12) => now.year() + 1,
        _ => now.year(),
    };
    // In a year without it the 29th of February is the 1st of March.
    let dated = read.datetime().with().year(year).build();
    let dated = dated.or_else(|_| {
        let next = read.datetime().with().year(year).month(3).day(1);
        next.build()
    });
    dated.ok()?.to_zoned(read.time_zone().clone()).ok()
}

/// The stage.
pub(super) struct Timestamp {
    source: String,
    formats: Vec<Format>,
    zone: TimeZone,
    fudge: bool,
    language: Arc<dyn Language>,
    /// Last good time of a label set.
    last: HashMap<Arc<LabelSet>, i64, RandomState>,
}

impl Timestamp {
    pub(super) fn new(s: Settings<'_>, b: &Build<'_>) -> Result<Self, String> {
        let mut formats = vec![Format::new(&s.required("format")?)];
        for f in s.texts("fallback_formats")?.unwrap_or_default() {
            formats.push(Format::new(&f));
        }
        let zone = match s.text("location")? {
            None => TimeZone::UTC,
            Some(name) => match name.as_ref() {
                "" | "UTC" => TimeZone::UTC,
                "Local" => TimeZone::system(),
                name => TimeZone::get(name)
                    .map_err(|_| format!("location: unknown time zone {name:?}"))?,
            },
        };
        let fudge = match s.text("action_on_failure")?.as_deref().unwrap_or("fudge") {
            "fudge" => true,
            "skip" => false,
            other => {
                return Err(format!(
                    "action_on_failure: {other:?} is none of skip, fudge"
                ));
            }
        };
        Ok(Self {
            source: s.required("source")?.into_owned(),
            formats,
            zone,
            fudge,
            language: b.outside.language.clone(),
            last: HashMap::default(),
        })
    }

    fn remember(&mut self, labels: &Arc<LabelSet>, time_ns: i64) {
        if !self.fudge {
            return;
        }
        if let Some(t) = self.last.get_mut(labels) {
            *t = time_ns;
            return;
        }
        if self.last.len() >= REMEMBERED_MAX {
            self.last.clear();
        }
        self.last.insert(labels.clone(), time_ns);
    }
}

impl Simple for Timestamp {
    fn apply(&mut self, entry: &mut Entry, now: Now<'_>) -> bool {
        let text = entry.text(&self.source);
        let language = self.language.as_ref();
        let read = text.and_then(|t| {
            let mut all = self.formats.iter();
            all.find_map(|f| f.read(&t, &self.zone, now.ns, language))
        });
        match read {
            Some(t) => entry.time_ns = t,
            None => match self.last.get(&entry.labels).filter(|_| self.fudge) {
                Some(last) => entry.time_ns = last.saturating_add(1),
                None => return true,
            },
        }
        self.remember(&entry.labels, entry.time_ns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_times_may_have_a_fraction_in_seconds_only() {
        assert_eq!(unix("1.25", 1_000_000_000), Some(1_250_000_000));
        assert_eq!(unix("-1.5", 1_000_000_000), Some(-500_000_000));
        assert_eq!(unix("12", 1_000_000), Some(12_000_000));
        assert_eq!(unix("1.5", 1_000_000), None);
        assert_eq!(unix("1.x", 1_000_000_000), None);
        assert_eq!(unix("99999999999999", 1_000_000_000), None);
    }

    #[test]
    fn a_time_without_a_year_is_near_now() {
        let at = |text: &str| text.parse::<Zoned>().unwrap();
        let ns = |text: &str| i64::try_from(at(text).timestamp().as_nanosecond()).unwrap();
        for (now, read, year) in [
            ("2024-01-02T00:00[UTC]", "0000-12-31T23:00[UTC]", 2023),
            ("2023-12-31T23:00[UTC]", "0000-01-01T00:00[UTC]", 2024),
            ("2023-06-01T00:00[UTC]", "0000-12-01T00:00[UTC]", 2023),
            ("2023-03-01T00:00[UTC]", "0000-02-29T10:00[UTC]", 2023),
        ] {
            assert_eq!(with_year(&at(read), ns(now)).unwrap().year(), year);
        }
    }
}
