//! What a page of metrics exposes, reduced to forms: type and names of labels per family. Compares
//! pages that were recorded elsewhere with ours and with the table of known differences.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Families of the program that made a page, not of what it watches.
const RUNTIME: [&str; 3] = ["go_", "process_", "promhttp_"];

/// The form of one family.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    kind: String,
    /// Sets of labels, each sorted and separated by commas.
    labels: BTreeSet<String>,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        for set in &self.labels {
            write!(f, " {{{set}}}")?;
        }
        Ok(())
    }
}

/// Names of labels in `{...}` of a sample.
fn names(labels: &str) -> String {
    let mut found = Vec::new();
    let mut rest = labels;
    while let Some((name, value)) = rest.split_once("=\"") {
        found.push(name.trim_start_matches(','));
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        rest = value
            .get(end.map_or(value.len(), |e| e + 1)..)
            .unwrap_or("");
    }
    found.sort_unstable();
    found.join(", ")
}

/// The families of a page in the text format.
pub(crate) fn forms(page: &str) -> BTreeMap<String, Form> {
    let mut all: BTreeMap<String, Form> = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            all.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let (name, labels) = match line.split_once('{') {
                Some((name, rest)) => (name, rest.rsplit_once('}').map_or("", |(l, _)| l)),
                None => (line.split(' ').next().unwrap_or(""), ""),
            };
            if let Some(form) = all.get_mut(name) {
                form.labels.insert(names(labels));
            }
        }
    }
    all.retain(|name, _| !RUNTIME.iter().any(|r| name.starts_with(r)));
    all
}

/// A row of the table of known differences.
#[derive(Debug)]
struct Known {
    recorded: String,
    /// The family that stands for it here.
    family: String,
    here: String,
}

/// The rows below the heading `title` of a page in Markdown, by family.
fn known(page: &str, title: &str) -> BTreeMap<String, Known> {
    let below = page.split(&format!("## {title}\n")).nth(1);
    let below = below.expect("the heading");
    let part = below.split("\n## ").next().unwrap_or(below);
    let mut rows = BTreeMap::new();
    for line in part.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, family, recorded, here, why, _] = cells[..] else {
            panic!("a row has four cells: {line}");
        };
        assert!(!why.is_empty(), "{line}");
        let bare = |c: &str| c.trim_matches('`').to_owned();
        let (other, here) = here.split_once("` `").unwrap_or((family, here));
        let row = Known {
            recorded: bare(recorded),
            family: bare(other),
            here: bare(here),
        };
        assert!(rows.insert(bare(family), row).is_none(), "twice: {line}");
    }
    rows
}

/// The family of a row that stands for `family`.
fn row_of(family: &str) -> &str {
    if family.starts_with("pg_settings_") {
        "pg_settings_*"
    } else {
        family
    }
}

/// What is wrong with `page` beside the page `recorded` and the rows below `title` of `table`:
/// every difference must have its row, with both forms. Where `all` is said, every row must be a
/// difference.
pub(crate) fn complaints(
    recorded: &str,
    page: &str,
    (table, title): (&str, &str),
    all: bool,
) -> Vec<String> {
    let (recorded, here) = (forms(recorded), forms(page));
    let rows = known(table, title);
    let mut used = BTreeSet::new();
    let mut out = Vec::new();
    for (name, was) in &recorded {
        let same = here
            .get(name)
            .is_some_and(|is| is.kind == was.kind && was.labels.is_subset(&is.labels));
        if same {
            continue;
        }
        let Some(row) = rows.get(row_of(name)) else {
            let is = here.get(name).map_or("missing".into(), Form::to_string);
            out.push(format!(
                "{name}: recorded {was}, here {is}, and no row says so"
            ));
            continue;
        };
        used.insert(row_of(name));
        let is = here.get(if row.family.ends_with('*') {
            name
        } else {
            &row.family
        });
        let is = is.map_or("missing".into(), Form::to_string);
        if (row.recorded.as_str(), row.here.as_str()) != (&was.to_string(), &is) {
            out.push(format!(
                "{name}: recorded {was}, here {is}; the row is {row:?}"
            ));
        }
    }
    if all {
        let idle = rows.keys().filter(|r| !used.contains(r.as_str()));
        out.extend(idle.map(|r| format!("{r}: a row without a difference")));
    }
    out
}

/// Metrics that nobody can show: their last word of dashboards' and rules' own invention, and one
/// that the usual flags of upstream leave out.
const DEAD: [&str; 2] = ["node_kernel_hung_tasks", "node_netstat_Tcp_MaxConn"];

/// What the list `needed` (used by, metric, exporter, ...) has for `exporter` and none of `pages`
/// shows.
pub(crate) fn missing(needed: &str, exporter: &str, pages: &[&str]) -> BTreeSet<String> {
    let rows = needed.lines().map(|l| l.split(',').collect::<Vec<_>>());
    let wanted = rows.filter(|r| r.get(2) == Some(&exporter));
    let wanted = wanted.filter_map(|r| r.get(1).map(|m| (*m).to_owned()));
    let shown = |metric: &String| {
        let sample = |l: &str| {
            let rest = l.strip_prefix(metric.as_str());
            rest.is_some_and(|r| r.starts_with(['{', ' ']))
        };
        DEAD.contains(&metric.as_str()) || pages.iter().any(|p| p.lines().any(sample))
    };
    wanted.filter(|m| !shown(m)).collect()
}

#[test]
fn a_missing_family_is_a_complaint_even_with_a_row() {
    let table = "## T\n\n| `a` | `gauge {x}` | `gauge {}` | why |\n| `b` | `gauge {}` | `counter {}` | why |\n";
    let recorded = "# TYPE a gauge\na{x=\"1,y=\\\"\"} 1\n# TYPE b gauge\nb 1\n";
    let good = "# TYPE a gauge\na 1\n# TYPE b counter\nb 1\n";
    assert_eq!(complaints(recorded, good, (table, "T"), true), [""; 0]);
    let missing = "# TYPE a gauge\na 1\n";
    let found = complaints(recorded, missing, (table, "T"), true);
    assert_eq!(found.len(), 1, "{found:?}");
    let found = complaints(recorded, recorded, (table, "T"), true);
    assert_eq!(found.len(), 2, "{found:?}");
}
