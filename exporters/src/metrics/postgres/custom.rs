//! Statements of the user: what is asked, and what becomes of the answer's columns.
//!
//! Owns: how a row becomes samples, how long they stay good, which servers a statement is for.
//! Knows nothing of: the file in which they are written.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::{ROWS_MAX, reason};
use crate::emit::{Kind, Suffix};
use crate::metrics::duration;

/// What a column is.
#[derive(Debug, Clone, PartialEq)]
pub enum Usage {
    /// Not shown.
    Discard,
    /// A label of the row's samples.
    Label,
    /// A number that only goes up.
    Counter,
    /// A number.
    Gauge,
    /// Bounds of buckets; `NAME_bucket`, `NAME_sum` and `NAME_count` are columns beside it.
    Histogram,
    /// A text for which a number stands.
    Mapped(BTreeMap<String, f64>),
    /// A text like `1h30m`, shown in milliseconds.
    Duration,
}

/// A column that the user has described.
#[derive(Debug, Clone)]
pub struct Column {
    /// What it is.
    pub usage: Usage,
    /// Help of its family.
    pub help: String,
}

/// A statement and its columns.
#[derive(Debug, Clone)]
pub struct CustomQuery {
    /// First part of all names.
    pub name: String,
    /// What is asked; empty for nothing.
    pub sql: String,
    /// Columns by name. Others are shown as untyped numbers.
    pub columns: BTreeMap<String, Column>,
    /// Only for servers that are named, not for databases that were found.
    pub named_only: bool,
    /// How long an answer stays good.
    pub keep: Duration,
    /// Versions of servers that it is for.
    pub versions: Versions,
}

/// A range of versions: `>=9.5.0 <10.0.0 || >=12`. An empty one is for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Versions(Vec<Vec<(Order, [u64; 3])>>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    Less,
    AtMost,
    Equal,
    Other,
    AtLeast,
    More,
}

/// Signs of comparisons, longer ones before those they begin with.
const ORDERS: [(&str, Order); 8] = [
    (">=", Order::AtLeast),
    ("<=", Order::AtMost),
    ("!=", Order::Other),
    ("==", Order::Equal),
    (">", Order::More),
    ("<", Order::Less),
    ("!", Order::Other),
    ("=", Order::Equal),
];

impl Versions {
    /// Reads a range.
    ///
    /// # Errors
    /// Names the part that is no comparison with a version.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let all = text.split("||").map(|part| {
            // A blank may stand between a sign and its version.
            let mut joined = part.to_owned();
            for sign in ['=', '<', '>', '!'] {
                joined = joined.replace(&format!("{sign} "), &sign.to_string());
            }
            let each: Result<Vec<_>, _> = joined.split_whitespace().map(comparison).collect();
            match each {
                Ok(c) if c.is_empty() => Err(format!("{text:?} has an empty part")),
                other => other,
            }
        });
        all.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a server with `server_version_num` is in the range.
    #[must_use]
    pub fn holds(&self, version: u32) -> bool {
        let (major, minor) = (version / 10_000, version % 10_000);
        let version = if major >= 10 {
            [major, minor, 0]
        } else {
            [major, minor / 100, minor % 100]
        };
        let version = version.map(u64::from);
        let fits = |(order, with): &(Order, [u64; 3])| match order {
            Order::Less => version < *with,
            Order::AtMost => version <= *with,
            Order::Equal => version == *with,
            Order::Other => version != *with,
            Order::AtLeast => version >= *with,
            Order::More => version > *with,
        };
        self.0.is_empty() || self.0.iter().any(|part| part.iter().all(fits))
    }
}

fn comparison(text: &str) -> Result<(Order, [u64; 3]), String> {
    let found = ORDERS
        .iter()
        .find_map(|(sign, order)| Some((*order, text.strip_prefix(sign)?)));
    let (order, version) = found.unwrap_or((Order::Equal, text));
    let mut parts = [0; 3];
    let given: Vec<&str> = version.split('.').collect();
    let right = given.len() <= parts.len()
        && given.iter().zip(&mut parts).all(|(text, part)| {
            let number = text.parse();
            number.map(|n| *part = n).is_ok()
        });
    right
        .then_some((order, parts))
        .ok_or_else(|| format!("{text:?} is no comparison with a version like >=9.5.0"))
}

/// A sample that is kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: Kind,
    pub(super) suffix: Suffix,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

/// What a statement has brought: samples, and what could not be shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) samples: Vec<Sample>,
    pub(super) odd: Vec<String>,
}

/// A row with the types of its columns, where they are known.
struct Row<'a> {
    row: &'a SimpleQueryRow,
    types: &'a [Type],
}

impl Row<'_> {
    fn place(&self, name: &str) -> Option<usize> {
        self.row.columns().iter().position(|c| c.name() == name)
    }

    fn text(&self, i: usize) -> Option<&str> {
        self.row.get(i)
    }

    fn is_time(&self, i: usize) -> bool {
        let times = [Type::TIMESTAMP, Type::TIMESTAMPTZ, Type::DATE];
        self.types.get(i).is_some_and(|t| times.contains(t))
    }

    /// A number; what is not there is not a number.
    fn number(&self, i: usize) -> Option<f64> {
        let Some(text) = self.text(i) else {
            return Some(f64::NAN);
        };
        if self.is_time(i) {
            return seconds(text);
        }
        match text {
            "t" => Some(1.0),
            "f" => Some(0.0),
            t => t.trim().parse().ok(),
        }
    }

    fn label(&self, i: usize) -> String {
        let text = self.text(i).unwrap_or("");
        match text {
            "t" if self.types.get(i) == Some(&Type::BOOL) => "true".into(),
            "f" if self.types.get(i) == Some(&Type::BOOL) => "false".into(),
            t if self.is_time(i) => seconds(t).map_or_else(String::new, |s| s.to_string()),
            t => t.to_owned(),
        }
    }
}

/// Whole seconds since 1970 of the server's text; times without a zone are UTC.
fn seconds(text: &str) -> Option<f64> {
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(instant.as_second() as f64)
}

/// The numbers of an array's text: `{0.5,1,NULL}`.
fn array(text: Option<&str>) -> Option<Vec<f64>> {
    let inside = text?.strip_prefix('{')?.strip_suffix('}')?;
    let all = inside.split(',').filter(|n| !n.is_empty());
    all.map(|n| n.trim().parse().ok()).collect()
}

/// Milliseconds of `1h30m`, without fractions; `-1` means none.
fn milliseconds(text: &str) -> Option<f64> {
    if text == "-1" {
        return None;
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let found = duration::parse(rest)?;
    Some(sign * found.as_millis() as f64)
}

impl CustomQuery {
    /// Asks a server. Names begin with `prefix` in the place of `pg`.
    pub(super) async fn ask(&self, client: &Client, prefix: &str) -> Result<Answer, String> {
        let mut answer = Answer::default();
        if self.sql.trim().is_empty() {
            return Ok(answer);
        }
        // Several statements cannot be described; then texts have to speak for themselves.
        let types: Vec<Type> = match client.prepare(&self.sql).await {
            Ok(s) => s.columns().iter().map(|c| c.type_().clone()).collect(),
            Err(_) => Vec::new(),
        };
        let rows = client.simple_query(&self.sql).await;
        let rows = rows.map_err(|e| reason(&e))?;
        let rows = rows.iter().filter_map(|m| match m {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let name = self.name.replacen("pg", prefix, 1);
        for row in rows.take(ROWS_MAX) {
            let row = Row { row, types: &types };
            self.row(&name, &row, &mut answer);
        }
        Ok(answer)
    }

    /// Whether a column belongs to a histogram.
    fn is_part(&self, column: &str) -> bool {
        ["_bucket", "_sum", "_count"].iter().any(|end| {
            let whole = column.strip_suffix(end).and_then(|n| self.columns.get(n));
            whole.is_some_and(|c| c.usage == Usage::Histogram)
        })
    }

    fn row(&self, name: &str, row: &Row<'_>, answer: &mut Answer) {
        let mut labels = Vec::new();
        for (label, column) in &self.columns {
            if column.usage == Usage::Label {
                let value = row.place(label).map(|i| row.label(i));
                labels.push((label.clone(), value.unwrap_or_default()));
            }
        }
        for (i, column) in row.row.columns().iter().enumerate() {
            let column = column.name();
            let described = self.columns.get(column);
            if described.is_none() && self.is_part(column) {
                continue;
            }
            let usage = described.map(|d| &d.usage);
            let mut sample = Sample {
                name: format!("{name}_{column}"),
                help: described
                    .map_or_else(|| format!("Unknown metric from {name}"), |d| d.help.clone()),
                kind: Kind::Gauge,
                suffix: Suffix::None,
                labels: labels.clone(),
                value: 0.0,
            };
            let value = match usage {
                Some(Usage::Discard | Usage::Label) => continue,
                Some(Usage::Histogram) => {
                    sample.kind = Kind::Histogram;
                    match histogram(row, column, &sample) {
                        Ok(all) => answer.samples.extend(all),
                        Err(e) => answer.odd.push(e),
                    }
                    continue;
                }
                Some(Usage::Counter) => {
                    sample.kind = Kind::Counter;
                    row.number(i)
                }
                Some(Usage::Gauge) => row.number(i),
                Some(Usage::Mapped(numbers)) => row.text(i).and_then(|t| numbers.get(t)).copied(),
                Some(Usage::Duration) => {
                    sample.name.push_str("_milliseconds");
                    row.text(i).and_then(milliseconds)
                }
                None => {
                    sample.kind = Kind::Untyped;
                    row.number(i)
                }
            };
            match value {
                Some(value) => answer.samples.push(Sample { value, ..sample }),
                None => answer
                    .odd
                    .push(format!("{column}: the value is no number of its kind")),
            }
        }
    }
}

/// The samples of one histogram. `like` has its name, help and labels.
fn histogram(row: &Row<'_>, column: &str, like: &Sample) -> Result<Vec<Sample>, String> {
    let beside = |end: &str| {
        let name = format!("{column}{end}");
        let place = row.place(&name);
        place.ok_or_else(|| format!("{name}: there is no such column"))
    };
    let wrong = |what: &str| format!("{column}{what}: the value is not understood");
    let (bounds, counts) = (beside("")?, beside("_bucket")?);
    let bounds = array(row.text(bounds)).ok_or_else(|| wrong(""))?;
    let counts = array(row.text(counts)).ok_or_else(|| wrong("_bucket"))?;
    let sum = row.number(beside("_sum")?).ok_or_else(|| wrong("_sum"))?;
    let count = row.number(beside("_count")?);
    let count = count.ok_or_else(|| wrong("_count"))?;
    let mut buckets: Vec<(f64, f64)> = bounds.into_iter().zip(counts).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let last = (f64::INFINITY, count);
    let buckets = buckets
        .into_iter()
        .filter(|b| b.0.is_finite())
        .chain([last]);
    let mut all: Vec<Sample> = buckets
        .map(|(bound, n)| {
            let bound = if bound.is_infinite() {
                "+Inf".to_owned()
            } else {
                bound.to_string()
            };
            let mut labels = like.labels.clone();
            labels.push(("le".into(), bound));
            Sample {
                suffix: Suffix::Bucket,
                labels,
                value: n,
                ..like.clone()
            }
        })
        .collect();
    for (suffix, value) in [(Suffix::Sum, sum), (Suffix::Count, count)] {
        all.push(Sample {
            suffix,
            value,
            ..like.clone()
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_versions() {
        let r = Versions::parse(">=9.5.0 <10.0.0 || > 12").expect("a range");
        let holds = [90_400, 90_500, 90_624, 100_001, 120_000, 120_003, 150_018];
        let holds = holds.map(|v| r.holds(v));
        assert_eq!(holds, [false, true, true, false, false, true, true]);
        assert!(Versions::parse("").expect("all").holds(1));
        assert!(Versions::parse("!=15.1").expect("a range").holds(150_002));
        for bad in [">=x", "1.2.3.4", ">=9 ||", "~1"] {
            assert!(Versions::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_become_numbers() {
        assert_eq!(seconds("1970-01-01 00:01:00.9+00"), Some(60.0));
        assert_eq!(seconds("1970-01-01 01:00:00+01"), Some(0.0));
        assert_eq!(seconds("1970-01-02 00:00:00"), Some(86_400.0));
        assert_eq!(seconds("1970-01-02"), Some(86_400.0));
        assert_eq!(seconds("soon"), None);
        assert_eq!(array(Some("{0.5,1,10}")), Some(vec![0.5, 1.0, 10.0]));
        assert_eq!(array(Some("{}")), Some(vec![]));
        assert_eq!(array(Some("{1,NULL}")), None);
        assert_eq!(array(None), None);
        assert_eq!(milliseconds("1m30s"), Some(90_000.0));
        assert_eq!(milliseconds("-5ms"), Some(-5.0));
        assert_eq!((milliseconds("-1"), milliseconds("x")), (None, None));
    }
}
