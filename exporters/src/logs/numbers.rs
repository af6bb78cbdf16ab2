//! Numbers of pipelines: discarded entries, and the metrics that stages make of lines.
//!
//! Owns: their names, series, idle series' end.
//! Knows nothing of: which stage counts what.
//!
//! Invariants
//! - NUM1  Series are bounded: beyond [`SERIES_MAX`] of one metric new label sets are not counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::entry::LabelSet;
use crate::emit::{Kind, Sink, Suffix};

/// Series of one metric at a time. Labels come from lines, and lines from anybody.
pub const SERIES_MAX: usize = 10_000;

/// What a metric of a stage is.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Upper bounds, ascending.
    Histogram(Vec<f64>),
}

#[derive(Debug)]
struct Series {
    value: f64,
    /// Observations, and those of each bucket.
    count: u64,
    buckets: Vec<u64>,
    touched_ns: i64,
}

#[derive(Debug)]
struct Metric {
    help: String,
    shape: Shape,
    idle_ns: i64,
    series: BTreeMap<LabelSet, Series>,
}

/// Numbers of all pipelines of an agent.
#[derive(Debug, Default)]
pub struct Numbers {
    dropped: Mutex<BTreeMap<String, u64>>,
    dropped_by_label: Mutex<BTreeMap<(String, String), u64>>,
    custom: Mutex<BTreeMap<String, Metric>>,
}

/// A panic elsewhere leaves plain numbers behind: they are still good.
fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Numbers {
    /// Counts a discarded entry.
    pub fn dropped(&self, reason: &str) {
        let mut all = lock(&self.dropped);
        match all.get_mut(reason) {
            Some(n) => *n += 1,
            None => drop(all.insert(reason.to_owned(), 1)),
        }
    }

    /// Counts an entry that a limit by label discarded.
    pub fn dropped_by_label(&self, name: &str, value: &str) {
        let mut all = lock(&self.dropped_by_label);
        if all.len() < SERIES_MAX || all.contains_key(&(name.to_owned(), value.to_owned())) {
            *all.entry((name.to_owned(), value.to_owned())).or_default() += 1;
        }
    }

    /// Makes a metric known. One name may be declared by several pipelines, in one shape.
    ///
    /// # Errors
    /// When it is declared in another shape.
    pub fn declare(
        &self,
        name: &str,
        help: &str,
        shape: Shape,
        idle_ns: i64,
    ) -> Result<(), String> {
        let mut all = lock(&self.custom);
        if let Some(m) = all.get(name) {
            if m.shape != shape {
                return Err(format!("metric {name} is declared twice with another type"));
            }
            return Ok(());
        }
        let metric = Metric {
            help: help.to_owned(),
            shape,
            idle_ns,
            series: BTreeMap::new(),
        };
        all.insert(name.to_owned(), metric);
        Ok(())
    }

    /// Changes the series of `name` with `labels`; for histograms `change` gives the observed
    /// value, else the new one from the old.
    pub fn change(
        &self,
        name: &str,
        labels: &LabelSet,
        now_ns: i64,
        change: impl FnOnce(f64) -> f64,
    ) {
        let mut all = lock(&self.custom);
        let Some(m) = all.get_mut(name) else { return };
        if m.series.len() >= SERIES_MAX && !m.series.contains_key(labels) {
            return;
        }
        let buckets = match &m.shape {
            Shape::Histogram(b) => b.len(),
            _ => 0,
        };
        // Most changes are of a series that exists: no label is copied for those.
        if !m.series.contains_key(labels) {
            let new = Series {
                value: 0.0,
                count: 0,
                buckets: vec![0; buckets],
                touched_ns: now_ns,
            };
            m.series.insert(labels.clone(), new);
        }
        let Some(s) = m.series.get_mut(labels) else {
            return;
        };
        s.touched_ns = now_ns;
        match &m.shape {
            Shape::Histogram(bounds) => {
                let v = change(0.0);
                s.value += v;
                s.count += 1;
                for (n, bound) in s.buckets.iter_mut().zip(bounds) {
                    *n += u64::from(v <= *bound);
                }
            }
            _ => s.value = change(s.value),
        }
    }

    /// Adds all families to `out`. Series that rested for too long at `now_ns` vanish.
    pub fn collect(&self, out: &mut Sink, now_ns: i64) {
        let family = out.family(
            "logentry_dropped_lines_total",
            "A count of all log lines dropped as a result of a pipeline stage",
            Kind::Counter,
        );
        for (reason, n) in lock(&self.dropped).iter() {
            out.add(family, &[("reason", reason)], *n as f64);
        }
        let by_label = lock(&self.dropped_by_label);
        if !by_label.is_empty() {
            let family = out.family(
                "logentry_dropped_lines_by_label_total",
                "A count of all log lines dropped as a result of a pipeline stage",
                Kind::Counter,
            );
            for ((name, value), n) in by_label.iter() {
                let labels = [("label_name", name.as_str()), ("label_value", value)];
                out.add(family, &labels, *n as f64);
            }
        }
        for (name, m) in lock(&self.custom).iter_mut() {
            let idle = m.idle_ns;
            m.series
                .retain(|_, s| now_ns.saturating_sub(s.touched_ns) < idle);
            m.collect(name, out);
        }
    }
}

impl Metric {
    fn collect(&self, name: &str, out: &mut Sink) {
        if self.series.is_empty() {
            return;
        }
        let kind = match self.shape {
            Shape::Counter => Kind::Counter,
            Shape::Gauge => Kind::Gauge,
            Shape::Histogram(_) => Kind::Histogram,
        };
        let family = out.family(name.to_owned(), self.help.clone(), kind);
        for (labels, s) in &self.series {
            let pairs = || labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            let Shape::Histogram(bounds) = &self.shape else {
                out.put(family, Suffix::None, pairs(), s.value);
                continue;
            };
            for (bound, n) in bounds.iter().zip(&s.buckets) {
                let le = bound.to_string();
                let mut labels: Vec<(&str, &str)> = pairs().collect();
                labels.push(("le", &le));
                out.add_suffixed(family, Suffix::Bucket, &labels, *n as f64);
            }
            let labels = pairs().chain([("le", "+Inf")]);
            out.put(family, Suffix::Bucket, labels, s.count as f64);
            out.put(family, Suffix::Sum, pairs(), s.value);
            out.put(family, Suffix::Count, pairs(), s.count as f64);
        }
    }
}
