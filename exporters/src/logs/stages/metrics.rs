//! `metrics`: counters, gauges and histograms of what stages found.

use std::sync::Arc;

use super::{Build, Now, Simple, is_label_name};
use crate::logs::entry::{Entry, LabelSet, Value};
use crate::logs::language::Language;
use crate::logs::numbers::Shape;
use crate::logs::settings::{Node, Settings, floats};

/// Prefix of names when none is set.
const PREFIX: &str = "promtail_custom_";
/// Buckets when none are set.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Inc,
    Dec,
    Add,
    Sub,
    Set,
    Observe,
}

struct Metric {
    name: String,
    source: String,
    action: Action,
    match_all: bool,
    bytes: bool,
    value: Option<String>,
    /// Goes up only: what is less than nothing is no value of it.
    rises: bool,
}

/// The stage.
pub(super) struct Metrics {
    metrics: Vec<Metric>,
    language: Arc<dyn Language>,
}

impl Metrics {
    pub(super) fn new(s: Settings<'_>, b: &Build<'_>) -> Result<Self, String> {
        if s.is_empty() {
            return Err("at least one metric is required".into());
        }
        let mut metrics = Vec::new();
        for (name, node) in s.iter() {
            metrics.push(metric(name, node, b).map_err(|e| format!("{name}: {e}"))?);
        }
        Ok(Self {
            metrics,
            language: b.outside.language.clone(),
        })
    }
}

fn metric(name: &str, node: &Node, b: &Build<'_>) -> Result<Metric, String> {
    let s = Settings::of(node)?;
    let config = Settings::of(s.get("config").unwrap_or(&Node::Null))?;
    let action = config.text("action")?.unwrap_or_default().to_lowercase();
    let match_all = config.flag("match_all", false)?;
    let bytes = config.flag("count_entry_bytes", false)?;
    let value = config.text("value")?.map(|v| v.into_owned());
    let kind = s.required("type")?.to_lowercase();
    let unknown = |known: &str| format!("action: {action:?} is none of {known}");
    let (shape, action) = match kind.as_str() {
        "counter" => {
            let action = match action.as_str() {
                "inc" => Action::Inc,
                "add" => Action::Add,
                _ => return Err(unknown("inc, add")),
            };
            if match_all && value.is_some() {
                return Err("match_all and value exclude each other".into());
            }
            if bytes && !(match_all && action == Action::Add) {
                return Err("count_entry_bytes needs match_all: true and action: add".into());
            }
            (Shape::Counter, action)
        }
        "gauge" => {
            let action = match action.as_str() {
                "set" => Action::Set,
                "inc" => Action::Inc,
                "dec" => Action::Dec,
                "add" => Action::Add,
                "sub" => Action::Sub,
                _ => return Err(unknown("set, inc, dec, add, sub")),
            };
            (Shape::Gauge, action)
        }
        "histogram" => {
            let mut bounds = match config.get("buckets") {
                Some(n) => floats("buckets", n)?,
                None => BUCKETS.to_vec(),
            };
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            (Shape::Histogram(bounds), Action::Observe)
        }
        _ => {
            return Err(format!(
                "type: {kind:?} is none of counter, gauge, histogram"
            ));
        }
    };
    let idle = s.text("max_idle_duration")?.unwrap_or("5m".into());
    let idle_ns = b.duration("max_idle_duration", &idle)?;
    if idle_ns < 1_000_000_000 {
        return Err(format!("max_idle_duration: {idle} is less than 1s"));
    }
    let prefix = s
        .text("prefix")?
        .filter(|p| !p.is_empty())
        .unwrap_or(PREFIX.into());
    let full = format!("{prefix}{name}");
    if !is_metric_name(&full) {
        return Err(format!("{full:?} is not the name of a metric"));
    }
    let help = s.text("description")?.unwrap_or_default();
    let numbers = &b.outside.numbers;
    numbers.declare(&full, &help, shape, idle_ns)?;
    Ok(Metric {
        name: full,
        source: s.source()?.unwrap_or_else(|| name.to_owned()),
        action,
        match_all: match_all && kind == "counter",
        bytes,
        value,
        rises: kind == "counter",
    })
}

fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
}

/// The number of a value; a text may be a duration, which counts in seconds.
fn number(v: &Value, l: &dyn Language) -> Option<f64> {
    match v {
        Value::Null => None,
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::Float(f) => Some(*f),
        Value::Text(t) => {
            let seconds = || Some(l.duration(t)? as f64 / 1e9);
            t.parse().ok().or_else(seconds)
        }
    }
}

impl Metric {
    fn record(&self, entry: &Entry, labels: &LabelSet, now: Now<'_>, language: &dyn Language) {
        let found = entry.extracted.get(&self.source);
        let amount = match (self.match_all, self.bytes) {
            (true, true) => Some(entry.line.len() as f64),
            (true, false) if self.action == Action::Inc => Some(1.0),
            // There is no value that could be added.
            (true, false) => None,
            _ => {
                let Some(found) = found else { return };
                let text = found.text();
                if self
                    .value
                    .as_deref()
                    .is_some_and(|v| text.as_deref() != Some(v))
                {
                    return;
                }
                match self.action {
                    Action::Inc | Action::Dec => Some(1.0),
                    _ => number(found, language),
                }
            }
        };
        let falls = |n: f64| self.rises && n < 0.0;
        let Some(n) = amount.filter(|n| !n.is_nan() && !falls(*n)) else {
            return;
        };
        let action = self.action;
        now.numbers
            .change(&self.name, labels, now.ns, |old| match action {
                Action::Inc | Action::Add => old + n,
                Action::Dec | Action::Sub => old - n,
                Action::Set | Action::Observe => n,
            });
    }
}

impl Simple for Metrics {
    fn apply(&mut self, entry: &mut Entry, now: Now<'_>) -> bool {
        let inner = |n: &str| n.starts_with("__") || !is_label_name(n);
        let shown: LabelSet;
        let labels: &LabelSet = if entry.labels.keys().any(|n| inner(n)) {
            let visible = entry.labels.iter().filter(|(n, _)| !inner(n));
            shown = visible.map(|(n, v)| (n.clone(), v.clone())).collect();
            &shown
        } else {
            &entry.labels
        };
        for m in &self.metrics {
            m.record(entry, labels, now, self.language.as_ref());
        }
        true
    }
}
