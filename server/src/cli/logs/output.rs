//! Entries as they are printed: the forms of logcli.
//!
//! Owns: which labels are shown, times in the chosen zone, the three forms.
//! Knows nothing of: where entries come from.

use std::collections::BTreeMap;

use clap::ArgMatches;
use jiff::tz::TimeZone;
use query::text::{layout, quote};
use serde_json::Value;

use super::flags::{all, given, number, on, zone};
use crate::cli::{complain, print};

/// Times in front of lines.
const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
/// Times in objects.
const NANOSECONDS: &str = "2006-01-02T15:04:05.999999999Z07:00";

/// Labels of an entry, by name.
pub(super) type Shown = BTreeMap<String, String>;

/// An entry of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// ns.
    pub(super) time: i64,
    /// All its labels.
    pub(super) labels: Shown,
    /// The line.
    pub(super) line: String,
}

/// Entries of a `streams` result, in the order of time.
pub(super) fn entries(streams: &Value, forward: bool) -> Vec<Entry> {
    let mut out = Vec::new();
    for s in streams.as_array().into_iter().flatten() {
        let labels = labels_of(&s["stream"]);
        for v in s["values"].as_array().into_iter().flatten() {
            out.push(Entry {
                time: v[0].as_str().and_then(|t| t.parse().ok()).unwrap_or(0),
                labels: labels.clone(),
                line: v[1].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    // Entries of one stream are in order: what has the same time keeps its place.
    if forward {
        out.sort_by_key(|e| e.time);
    } else {
        out.sort_by_key(|e| std::cmp::Reverse(e.time));
    }
    out
}

/// Labels of a JSON object.
pub(super) fn labels_of(v: &Value) -> Shown {
    let pairs = v.as_object().into_iter().flatten();
    pairs
        .map(|(n, v)| (n.clone(), v.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// `{a="b", c="d"}`
pub(super) fn labels_text(labels: &Shown) -> String {
    let all: Vec<String> = labels
        .iter()
        .map(|(n, v)| format!("{n}={}", quote::quote(v)))
        .collect();
    format!("{{{}}}", all.join(", "))
}

/// How entries are printed.
pub(super) struct Printer {
    form: String,
    zone: TimeZone,
    no_labels: bool,
    include: Vec<String>,
    exclude: Vec<String>,
    with_common: bool,
    colored: bool,
    quiet: bool,
    /// Labels are padded to this.
    length: usize,
}

impl Printer {
    /// As the flags say.
    pub(super) fn new(m: &ArgMatches) -> Self {
        let texts = |name: &str| all(m, name).into_iter().map(str::to_owned).collect();
        Self {
            form: given(m, "output").unwrap_or("default").to_owned(),
            zone: zone(m),
            no_labels: on(m, "no-labels"),
            include: texts("include-label"),
            exclude: texts("exclude-label"),
            with_common: on(m, "include-common-labels"),
            colored: on(m, "colored-output"),
            quiet: on(m, "quiet"),
            length: number(m, "labels-length"),
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            complain(&format!("{text}\n"));
        }
    }

    /// Says what all entries have in common, which is then left out with each.
    pub(super) fn common(&self, all: &[Entry]) -> Shown {
        let mut sets = all.iter().map(|e| &e.labels);
        let mut common = sets.next().cloned().unwrap_or_default();
        for s in sets {
            common.retain(|n, v| s.get(n) == Some(v));
        }
        common.retain(|n, _| !self.include.contains(n));
        if !common.is_empty() {
            self.say(&format!("Common labels: {}", labels_text(&common)));
        }
        if self.with_common {
            common.clear();
        }
        common
    }

    /// Says which labels are left out or the only ones.
    pub(super) fn explain(&self) {
        if !self.exclude.is_empty() {
            self.say(&format!("Ignoring labels key: {}", self.exclude.join(",")));
        }
        if !self.include.is_empty() {
            self.say(&format!(
                "Print only labels key: {}",
                self.include.join(",")
            ));
        }
    }

    fn shown(&self, labels: &Shown, common: &Shown) -> Shown {
        let mut own = labels.clone();
        own.retain(|n, _| {
            !common.contains_key(n)
                && !self.exclude.contains(n)
                && (self.include.is_empty() || self.include.contains(n))
        });
        own
    }

    /// Prints entries in the order given.
    pub(super) fn entries(&self, all: &[Entry], common: &Shown) {
        let texts: Vec<Shown> = all.iter().map(|e| self.shown(&e.labels, common)).collect();
        let longest = texts.iter().map(|l| labels_text(l).chars().count()).max();
        let width = self.length.max(longest.unwrap_or(0));
        let mut out = String::new();
        for (e, labels) in all.iter().zip(&texts) {
            self.entry(e, labels, width, &mut out);
        }
        print(&out);
    }

    fn entry(&self, e: &Entry, labels: &Shown, width: usize, out: &mut String) {
        let at = |layout: &str| {
            let t = jiff::Timestamp::from_nanosecond(e.time.into()).unwrap_or_default();
            layout::format(&t.to_zoned(self.zone.clone()), layout)
        };
        let line = match self.form.as_str() {
            "raw" => e.line.strip_suffix('\n').unwrap_or(&e.line).to_owned(),
            "jsonl" => {
                let mut v = serde_json::json!({"line": e.line, "timestamp": at(NANOSECONDS)});
                if !self.no_labels {
                    v["labels"] = serde_json::json!(labels);
                }
                v.to_string()
            }
            _ if self.no_labels => format!("{} {}", at(SECONDS), e.line),
            _ => {
                let text = labels_text(labels);
                let padded = format!("{text:width$}");
                let padded = if self.colored {
                    colored(&text, &padded)
                } else {
                    padded
                };
                format!("{} {padded} {}", at(SECONDS), e.line)
            }
        };
        out.push_str(&line);
        out.push('\n');
    }
}

/// A colour for each set of labels, the same every time.
fn colored(labels: &str, padded: &str) -> String {
    let colour = 31 + xxhash_rust::xxh3::xxh3_64(labels.as_bytes()) % 6;
    format!("\x1b[{colour}m{padded}\x1b[0m")
}

/// Columns that are as wide as their longest cell.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        let cells = rows.iter().filter_map(|r| r.get(c));
        cells.map(|t| t.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(t, w)| format!("{t:w$}", w = *w))
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Bytes for people, in thousands: `4.2MB`, `12MB`.
pub(super) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let unit_name = UNITS[unit];
    if unit > 0 && (value * 10.0).round() < 100.0 {
        format!("{value:.1}{unit_name}")
    } else {
        format!("{value:.0}{unit_name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_shown_as_selectors() {
        let labels = labels_of(&serde_json::json!({"b": "x\"y", "a": "1"}));
        assert_eq!(labels_text(&labels), r#"{a="1", b="x\"y"}"#);
    }

    #[test]
    fn bytes_for_people() {
        for (n, text) in [
            (0, "0B"),
            (999, "999B"),
            (4_200_000, "4.2MB"),
            (12_100_000, "12MB"),
            (9_990, "10kB"),
            (u64::MAX, "18EB"),
        ] {
            assert_eq!(human_bytes(n), text, "{n}");
        }
    }

    #[test]
    fn tables_have_columns() {
        let rows = [
            vec!["Name".into(), "N".into()],
            vec!["x".into(), "12".into()],
        ];
        assert_eq!(table(&rows), "Name  N\nx     12\n");
    }
}
