//! sum, avg, min, max, count, group, stddev, stdvar, quantile: one accumulator per group, arrays
//! over the steps.

use std::sync::Arc;

use engine::model::{CounterResetHint, FloatHistogram};

use crate::promql::ast::AggOp;
use crate::promql::eval::context::Context;
use crate::promql::eval::plan::AggNode;
use crate::promql::eval::series::{Mask, Scalar, Steps};
use crate::promql::eval::stream::Item;
use crate::promql::functions::kahan;
use crate::promql::functions::over_time::{HistogramMean, quantile};
use crate::promql::histogram as hist;

/// Accumulator of one group.
pub(super) struct Fold {
    op: AggOp,
    n: usize,
    pub(super) drop_name: bool,
    /// Steps with a float.
    seen: Mask,
    value: Vec<f64>,
    /// Compensation of sums, mean of deviations.
    second: Vec<f64>,
    /// Number of samples, where the operator needs it.
    count: Vec<f64>,
    /// avg: steps whose sum would overflow and that went on with a running mean.
    incremental: Option<Mask>,
    hists: Option<Vec<Option<HistFold>>>,
    /// quantile: the columns themselves.
    columns: Vec<Steps>,
}

/// Histograms of one group at one step.
struct HistFold {
    /// `None` when schemas could not be combined.
    acc: Option<HistogramMean>,
    /// The first sample of the step was a float: histograms only mark the step as mixed.
    after_float: bool,
    reset_seen: bool,
    not_reset_seen: bool,
}

impl Fold {
    pub(super) fn new(op: AggOp, n: usize) -> Self {
        let needs_second = matches!(op, AggOp::Sum | AggOp::Avg | AggOp::Stddev | AggOp::Stdvar);
        let needs_count = matches!(op, AggOp::Avg | AggOp::Stddev | AggOp::Stdvar);
        // Adding to minus zero keeps the sign of a first zero.
        let initial = if op == AggOp::Sum || op == AggOp::Avg {
            -0.0
        } else {
            0.0
        };
        Self {
            op,
            n,
            drop_name: false,
            seen: Mask::empty(n),
            value: vec![initial; if op == AggOp::Quantile { 0 } else { n }],
            second: vec![0.0; if needs_second { n } else { 0 }],
            count: vec![0.0; if needs_count { n } else { 0 }],
            incremental: None,
            hists: None,
            columns: Vec::new(),
        }
    }

    /// Adds a series. Gives the samples kept beyond the call.
    pub(super) fn add(&mut self, item: &Item<'_>, a: &AggNode, cx: &Context<'_>) -> usize {
        let steps: &Steps = item.steps;
        self.drop_name |= item.drop_name;
        let kept = self.add_hists(item, a, cx);
        if !steps.mask.any() {
            return kept;
        }
        match self.op {
            AggOp::Sum => self.sum(steps),
            AggOp::Avg => self.avg(steps),
            AggOp::Min | AggOp::Max => self.extreme(steps),
            AggOp::Count => steps.mask.ones().for_each(|k| self.value[k] += 1.0),
            AggOp::Stddev | AggOp::Stdvar => self.deviation(steps),
            AggOp::Quantile => {
                self.columns.push(steps.clone());
                self.seen.or(&steps.mask);
                return steps.weight();
            }
            _ => {}
        }
        self.seen.or(&steps.mask);
        kept
    }

    fn sum(&mut self, steps: &Steps) {
        if steps.mask.is_full() {
            let rows = self.value.iter_mut().zip(&mut self.second).zip(&steps.vals);
            for ((s, c), v) in rows {
                (*s, *c) = kahan::inc(*v, *s, *c);
            }
            return;
        }
        for k in steps.mask.ones() {
            (self.value[k], self.second[k]) =
                kahan::inc(steps.vals[k], self.value[k], self.second[k]);
        }
    }

    fn avg(&mut self, steps: &Steps) {
        for k in steps.mask.ones() {
            let v = steps.vals[k];
            self.count[k] += 1.0;
            let n = self.count[k];
            let mean = self.incremental.as_ref().is_some_and(|m| m.get(k));
            if !mean {
                let (s, c) = kahan::inc(v, self.value[k], self.second[k]);
                // The first value may be infinite.
                if !s.is_infinite() || n == 1.0 {
                    (self.value[k], self.second[k]) = (s, c);
                    continue;
                }
                let size = self.n;
                self.incremental
                    .get_or_insert_with(|| Mask::empty(size))
                    .set(k);
                self.value[k] /= n - 1.0;
                self.second[k] /= n - 1.0;
            }
            let q = (n - 1.0) / n;
            (self.value[k], self.second[k]) =
                kahan::inc(v / n, q * self.value[k], q * self.second[k]);
        }
    }

    fn extreme(&mut self, steps: &Steps) {
        let max = self.op == AggOp::Max;
        for k in steps.mask.ones() {
            let (v, old) = (steps.vals[k], self.value[k]);
            let better = if max { old < v } else { old > v };
            if better || old.is_nan() || !self.seen.get(k) {
                self.value[k] = v;
            }
        }
    }

    /// Welford's method.
    fn deviation(&mut self, steps: &Steps) {
        for k in steps.mask.ones() {
            let v = steps.vals[k];
            self.count[k] += 1.0;
            if self.count[k] == 1.0 {
                self.second[k] = v;
                self.value[k] = if v.is_finite() { 0.0 } else { f64::NAN };
                continue;
            }
            let delta = v - self.second[k];
            self.second[k] += delta / self.count[k];
            self.value[k] += delta * (v - self.second[k]);
        }
    }

    fn add_hists(&mut self, item: &Item<'_>, a: &AggNode, cx: &Context<'_>) -> usize {
        let Some(hists) = &item.steps.hists else {
            return 0;
        };
        let n = self.n;
        let mut kept = 0;
        for (k, h) in hists.iter().enumerate() {
            let Some(h) = h else { continue };
            match self.op {
                AggOp::Count => self.value[k] += 1.0,
                AggOp::Group => {}
                AggOp::Sum | AggOp::Avg => {
                    let first_is_float = self.seen.get(k);
                    let slot = &mut self
                        .hists
                        .get_or_insert_with(|| (0..n).map(|_| None).collect())[k];
                    kept += add_hist(slot, h, first_is_float, self.op == AggOp::Avg, item, a, cx);
                    continue;
                }
                _ => {
                    cx.note(|x| x.histogram_ignored(self.op.name(), a.expr_span));
                    continue;
                }
            }
            self.seen.set(k);
        }
        kept
    }

    /// The column of the group.
    pub(super) fn finish(mut self, a: &AggNode, param: Option<&Scalar>, cx: &Context<'_>) -> Steps {
        let mut out = Steps::new(self.n);
        if self.op == AggOp::Quantile {
            let mut values = Vec::with_capacity(self.columns.len());
            for k in self.seen.ones() {
                values.clear();
                values.extend(
                    self.columns
                        .iter()
                        .filter(|c| c.mask.get(k))
                        .map(|c| c.vals[k]),
                );
                let q = param.map_or(f64::NAN, |p| p.at(k));
                out.set(k, quantile(q, &mut values));
            }
            return out;
        }
        for k in self.seen.ones() {
            let v = self.value[k];
            out.vals[k] = match self.op {
                AggOp::Sum => v + self.second[k],
                AggOp::Avg if self.incremental.as_ref().is_some_and(|m| m.get(k)) => {
                    v + self.second[k]
                }
                AggOp::Avg => v / self.count[k] + self.second[k] / self.count[k],
                AggOp::Stdvar => v / self.count[k],
                AggOp::Stddev => (v / self.count[k]).sqrt(),
                AggOp::Group => 1.0,
                _ => v,
            };
        }
        out.mask = self.seen.clone();
        for (k, slot) in self.hists.take().into_iter().flatten().enumerate() {
            if let Some(fold) = slot {
                if self.seen.get(k) {
                    cx.note(|x| {
                        x.warn(
                            a.expr_span,
                            "encountered a mix of histograms and floats for aggregation",
                        );
                    });
                    out.mask.unset(k);
                } else if let Some(h) = finish_hist(fold, self.op == AggOp::Avg, a, cx) {
                    out.set_hist(k, Arc::new(h));
                }
            }
        }
        out
    }
}

fn add_hist(
    slot: &mut Option<HistFold>,
    h: &FloatHistogram,
    first_is_float: bool,
    mean: bool,
    item: &Item<'_>,
    a: &AggNode,
    cx: &Context<'_>,
) -> usize {
    let Some(f) = slot else {
        *slot = Some(HistFold {
            acc: (!first_is_float).then(|| HistogramMean::new(h)),
            after_float: first_is_float,
            reset_seen: h.hint == CounterResetHint::Reset,
            not_reset_seen: h.hint == CounterResetHint::NotReset,
        });
        return hist::sample_size(h);
    };
    let Some(acc) = &mut f.acc else { return 0 };
    if f.after_float {
        return 0;
    }
    f.reset_seen |= h.hint == CounterResetHint::Reset;
    f.not_reset_seen |= h.hint == CounterResetHint::NotReset;
    match if mean { acc.add_to_mean(h) } else { acc.add(h) } {
        Ok(true) => cx.note(|x| x.bounds_reconciled("aggregation", a.expr_span)),
        Ok(false) => {}
        Err(_) => {
            let name = if item.stripped {
                ""
            } else {
                item.labels.metric_name().unwrap_or("")
            };
            cx.note(|x| x.mixed_schemas(name, a.expr_span));
            f.acc = None;
        }
    }
    0
}

fn finish_hist(f: HistFold, mean: bool, a: &AggNode, cx: &Context<'_>) -> Option<FloatHistogram> {
    let mut h = f.acc?.finish(mean).ok()?;
    hist::compact(&mut h);
    if f.reset_seen && f.not_reset_seen {
        cx.note(|x| x.reset_collision("aggregation", a.expr_span));
    }
    Some(h)
}
