//! The forms of an answer: promtool's text and JSON, a table, CSV, a plot.
//!
//! Owns: how values, samples and label sets look.
//! Knows nothing of: requests.

use query::text::quote::quote;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

use super::plot;

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// promtool's text.
    PromQl,
    /// The data as it came.
    Json,
    /// Aligned columns.
    Table,
    /// Comma-separated values with a header line.
    Csv,
    /// Lines in the terminal.
    Plot,
}

impl Form {
    /// The form called `name`; the command line accepts no others.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "json" => Self::Json,
            "table" => Self::Table,
            "csv" => Self::Csv,
            "plot" => Self::Plot,
            _ => Self::PromQl,
        }
    }
}

/// What a server answered.
pub(super) enum Answer {
    /// `{"resultType": ..., "result": ...}`
    Value(Value),
    /// Label sets.
    Series(Value),
    /// Strings.
    Values(Value),
}

/// One sample: labels, time, value as text.
struct Row<'v> {
    labels: Option<&'v Map<String, Value>>,
    t: String,
    v: String,
}

/// Time in seconds without needless zeros: `1700000000.5`.
pub(super) fn milliseconds(ms: i64) -> String {
    let (whole, rest) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
    let sign = if ms < 0 { "-" } else { "" };
    let text = format!("{sign}{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

type Shown = Result<String, String>;

fn list(v: &Value) -> Result<&Vec<Value>, String> {
    v.as_array()
        .ok_or_else(|| format!("expected a list, got {v}"))
}

/// `{a="1", b="2"}` with the name in front, as a metric is written.
fn metric(labels: &Map<String, Value>) -> String {
    let name = labels.get("__name__").and_then(Value::as_str).unwrap_or("");
    let mut pairs: Vec<(&String, &Value)> =
        labels.iter().filter(|(n, _)| *n != "__name__").collect();
    pairs.sort_by_key(|p| p.0);
    if pairs.is_empty() {
        return if name.is_empty() {
            "{}".to_owned()
        } else {
            name.to_owned()
        };
    }
    format!("{name}{{{}}}", joined(pairs))
}

/// All labels in braces, as a label set is written.
fn label_set(labels: &Map<String, Value>) -> String {
    let mut pairs: Vec<(&String, &Value)> = labels.iter().collect();
    pairs.sort_by_key(|p| p.0);
    format!("{{{}}}", joined(pairs))
}

fn joined(pairs: Vec<(&String, &Value)>) -> String {
    let each = |(n, v): (&String, &Value)| format!("{n}={}", quote(v.as_str().unwrap_or("")));
    pairs.into_iter().map(each).collect::<Vec<_>>().join(", ")
}

/// Time and value of `[1700000000.5, "1"]`; the value of a histogram is its text.
fn point(v: &Value, histogram: bool) -> Result<(String, String), String> {
    let [t, v] = list(v)?.as_slice() else {
        return Err(format!("expected a time and a value, got {v}"));
    };
    let t = t
        .as_f64()
        .ok_or_else(|| format!("expected a time, got {t}"))?;
    let v = if histogram {
        histogram_text(v)?
    } else {
        v.as_str()
            .ok_or_else(|| format!("expected a value, got {v}"))?
            .to_owned()
    };
    Ok((milliseconds((t * 1000.0).round() as i64), v))
}

/// `Count: 3.000000, Sum: 5.000000, Buckets: [(0.5,1]:3]`.
fn histogram_text(h: &Value) -> Shown {
    let number = |name: &str| -> Result<f64, String> {
        let v = h[name].as_str().and_then(query::text::float::parse_float);
        v.ok_or_else(|| format!("expected a histogram, got {h}"))
    };
    let mut buckets = Vec::new();
    for b in h["buckets"].as_array().into_iter().flatten() {
        let [kind, low, high, count] = list(b)?.as_slice() else {
            return Err(format!("expected a bucket, got {b}"));
        };
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        // 0: the upper bound belongs to it, 1: the lower, 2: neither, 3: both.
        let kind = kind.as_u64().unwrap_or(2);
        let open = if matches!(kind, 1 | 3) { '[' } else { '(' };
        let close = if matches!(kind, 0 | 3) { ']' } else { ')' };
        buckets.push(format!(
            "{open}{},{}{close}:{}",
            text(low),
            text(high),
            text(count)
        ));
    }
    Ok(format!(
        "Count: {:.6}, Sum: {:.6}, Buckets: [{}]",
        number("count")?,
        number("sum")?,
        buckets.join(" ")
    ))
}

impl Answer {
    /// The answer in `form`, with a newline at its end.
    ///
    /// # Errors
    /// Says what in the answer is not as the API has it.
    pub(super) fn print(&self, form: Form) -> Shown {
        if form == Form::Json {
            let data = match self {
                Self::Value(v) => &v["result"],
                Self::Series(v) | Self::Values(v) => v,
            };
            return Ok(format!("{data}\n"));
        }
        match self {
            Self::Series(v) => series(v, form),
            Self::Values(v) => values(v, form),
            Self::Value(v) => value(v, form),
        }
    }
}

fn values(v: &Value, form: Form) -> Shown {
    let mut out = String::new();
    if form == Form::Csv {
        out.push_str("value\n");
    }
    for v in list(v)? {
        let text = v.as_str().unwrap_or_default();
        let cell = if form == Form::Csv {
            csv_cell(text)
        } else {
            text.to_owned()
        };
        out.push_str(&cell);
        out.push('\n');
    }
    Ok(out)
}

fn series(v: &Value, form: Form) -> Shown {
    let sets = list(v)?
        .iter()
        .map(|s| {
            s.as_object()
                .ok_or_else(|| format!("expected labels, got {s}"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if matches!(form, Form::PromQl | Form::Plot) {
        return Ok(sets.iter().fold(String::new(), |mut out, s| {
            out.push_str(&label_set(s));
            out.push('\n');
            out
        }));
    }
    let names: BTreeSet<&str> = sets
        .iter()
        .flat_map(|s| s.keys().map(String::as_str))
        .collect();
    let rows = sets.iter().map(|s| cells(Some(s), &names)).collect();
    let head = names.iter().map(|n| (*n).to_owned()).collect();
    Ok(grid(form, head, rows))
}

fn cells(labels: Option<&Map<String, Value>>, names: &BTreeSet<&str>) -> Vec<String> {
    let of = |n: &&str| {
        let v = labels.and_then(|l| l.get(*n)).and_then(Value::as_str);
        v.unwrap_or("").to_owned()
    };
    names.iter().map(of).collect()
}

fn value(v: &Value, form: Form) -> Shown {
    let (kind, result) = (v["resultType"].as_str().unwrap_or_default(), &v["result"]);
    if form == Form::PromQl {
        return promql(kind, result);
    }
    if form == Form::Plot && kind == "matrix" {
        let mut lines = Vec::new();
        for s in list(result)? {
            lines.push((metric_of(s)?, floats(s)?));
        }
        return Ok(plot::draw(&lines));
    }
    let rows = rows(kind, result)?;
    let names: BTreeSet<&str> = rows
        .iter()
        .filter_map(|r| r.labels)
        .flat_map(|l| l.keys().map(String::as_str))
        .collect();
    let head = names.iter().map(|n| (*n).to_owned());
    let head = head
        .chain(["timestamp".to_owned(), "value".to_owned()])
        .collect();
    let body = rows
        .iter()
        .map(|r| {
            let mut row = cells(r.labels, &names);
            row.extend([r.t.clone(), r.v.clone()]);
            row
        })
        .collect();
    Ok(grid(form, head, body))
}

fn metric_of(s: &Value) -> Shown {
    let labels = s["metric"].as_object();
    labels
        .map(metric)
        .ok_or_else(|| format!("expected a series, got {s}"))
}

/// The float points of a series, in seconds.
fn floats(s: &Value) -> Result<Vec<(f64, f64)>, String> {
    let mut out = Vec::new();
    for p in s["values"].as_array().into_iter().flatten() {
        let (t, v) = point(p, false)?;
        let number = |s: &str| query::text::float::parse_float(s).unwrap_or(f64::NAN);
        out.push((number(&t), number(&v)));
    }
    Ok(out)
}

/// All samples, floats and histograms of a series by time.
fn rows<'v>(kind: &str, result: &'v Value) -> Result<Vec<Row<'v>>, String> {
    let mut out = Vec::new();
    if matches!(kind, "scalar" | "string") {
        let (t, v) = point(result, false)?;
        let labels = None;
        return Ok(vec![Row { labels, t, v }]);
    }
    for s in list(result)? {
        let labels = s["metric"].as_object();
        for (name, many, histogram) in [
            ("value", false, false),
            ("histogram", false, true),
            ("values", true, false),
            ("histograms", true, true),
        ] {
            let Some(found) = s.get(name) else { continue };
            let one = std::slice::from_ref(found);
            for p in if many { list(found)?.as_slice() } else { one } {
                let (t, v) = point(p, histogram)?;
                out.push(Row { labels, t, v });
            }
        }
    }
    Ok(out)
}

/// promtool's text.
fn promql(kind: &str, result: &Value) -> Shown {
    let mut out = String::new();
    match kind {
        "scalar" => {
            let (t, v) = point(result, false)?;
            out.push_str(&format!("scalar: {v} @[{t}]\n"));
        }
        "string" => {
            let (_, v) = point(result, false)?;
            out.push_str(&format!("{v}\n"));
        }
        "vector" => {
            let mut lines = Vec::new();
            for r in rows(kind, result)? {
                let m = r.labels.map(metric).unwrap_or_default();
                lines.push(format!("{m} => {} @[{}]", r.v, r.t));
            }
            out = lines.join("\n") + "\n";
        }
        "matrix" => {
            let mut blocks = Vec::new();
            for s in list(result)? {
                let mut block = format!("{} =>", metric_of(s)?);
                for r in rows(kind, &Value::Array(vec![s.clone()]))? {
                    block.push_str(&format!("\n{} @[{}]", r.v, r.t));
                }
                blocks.push(block);
            }
            out = blocks.join("\n") + "\n";
        }
        other => return Err(format!("unknown result type {other:?}")),
    }
    Ok(out)
}

fn csv_cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// CSV or an aligned table.
fn grid(form: Form, head: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let mut out = String::new();
    let all = || std::iter::once(&head).chain(&rows);
    if form == Form::Csv {
        for row in all() {
            let cells: Vec<String> = row.iter().map(|c| csv_cell(c)).collect();
            out.push_str(&format!("{}\n", cells.join(",")));
        }
        return out;
    }
    let width = |i: usize| {
        all()
            .filter_map(|r| r.get(i))
            .map(|c| c.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..head.len()).map(|i| width(i).unwrap_or(0)).collect();
    for row in all() {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(c, w)| format!("{c:<w$}", w = *w));
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(&format!("{}\n", line.trim_end()));
    }
    out
}
