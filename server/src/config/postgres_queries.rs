//! The PostgreSQL exporter's file of the user's own statements (`--extend.query-path`).
//!
//! Format: one entry per first part of the names, with `query`, `metrics` (a list of one column
//! each), `master`, `cache_seconds` and `runonserver`. Unknown words are passed over, as in the
//! original.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use exporters::metrics::postgres::{Column, CustomQuery, Usage, Versions};
use serde::Deserialize;

use super::{ConfigError, yaml};

/// One entry of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    query: String,
    metrics: Vec<BTreeMap<String, Described>>,
    master: bool,
    cache_seconds: u64,
    runonserver: String,
}

/// What the file says of a column.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Described {
    usage: String,
    description: String,
    metric_mapping: BTreeMap<String, f64>,
}

impl Described {
    fn column(self) -> Result<Column, String> {
        let usage = match self.usage.as_str() {
            "DISCARD" => Usage::Discard,
            "LABEL" => Usage::Label,
            "COUNTER" => Usage::Counter,
            "GAUGE" => Usage::Gauge,
            "HISTOGRAM" => Usage::Histogram,
            "MAPPEDMETRIC" => Usage::Mapped(self.metric_mapping),
            "DURATION" => Usage::Duration,
            other => {
                return Err(format!(
                    "usage {other:?} is none of DISCARD, LABEL, COUNTER, GAUGE, HISTOGRAM, MAPPEDMETRIC, DURATION"
                ));
            }
        };
        Ok(Column {
            usage,
            help: self.description,
        })
    }
}

impl Entry {
    fn query(self, name: &str) -> Result<CustomQuery, String> {
        let mut columns = BTreeMap::new();
        for (column, described) in self.metrics.into_iter().flatten() {
            let read = described.column();
            let read = read.map_err(|e| format!("{name}: {column}: {e}"))?;
            columns.insert(column, read);
        }
        let versions = Versions::parse(&self.runonserver);
        Ok(CustomQuery {
            name: name.to_owned(),
            sql: self.query,
            columns,
            named_only: self.master,
            keep: Duration::from_secs(self.cache_seconds),
            versions: versions.map_err(|e| format!("{name}: runonserver: {e}"))?,
        })
    }
}

/// Reads the statements out of the text of `file`.
///
/// # Errors
/// As those of every configuration file, or names the entry and what is wrong with it.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<CustomQuery>, ConfigError> {
    let entries: BTreeMap<String, Entry> = yaml::parse(file, text)?;
    let all = entries.into_iter().map(|(name, e)| e.query(&name));
    all.collect::<Result<_, _>>()
        .map_err(|e| ConfigError::parse(file, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_with_their_columns() {
        let text = "pg_x:\n  query: SELECT 1\n  master: true\n  cache_seconds: 30\n  runonserver: \">=12\"\n  \
                    metrics:\n    - a: {usage: LABEL, description: A}\n    - b:\n        usage: MAPPEDMETRIC\n        \
                    metric_mapping: {on: 1}\n        unknown: word\n";
        let all = parse(Path::new("q.yaml"), text).expect("a file");
        let [q] = &all[..] else {
            panic!("one statement")
        };
        assert_eq!((q.name.as_str(), q.named_only), ("pg_x", true));
        assert_eq!(q.keep, Duration::from_secs(30));
        assert!(q.versions.holds(150_000) && !q.versions.holds(110_000));
        let usage = |c: &str| q.columns.get(c).map(|c| c.usage.clone());
        assert_eq!(usage("a"), Some(Usage::Label));
        assert_eq!(
            usage("b"),
            Some(Usage::Mapped(BTreeMap::from([("on".into(), 1.0)])))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, wanted) in [
            (
                "x:\n  metrics: [{a: {usage: METER}}]\n",
                "x: a: usage \"METER\"",
            ),
            ("x:\n  runonserver: about 9\n", "x: runonserver: \"about\""),
            ("x: [", "q.yaml"),
        ] {
            let e = parse(Path::new("q.yaml"), text)
                .expect_err(text)
                .to_string();
            assert!(e.contains(wanted), "{e}");
        }
    }
}
