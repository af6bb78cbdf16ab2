//! The `_over_time` family.

use std::sync::Arc;

use engine::model::{CounterResetHint, FloatHistogram};

use super::kahan;
use super::window::{Env, Window};
use crate::promql::eval::series::{Point, Steps};
use crate::promql::eval::windows::Windows;
use crate::promql::histogram::{self as hist, IncompatibleSchemas};

/// Quantile by linear interpolation between the two nearest ranks; sorts the values, NaN first.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| {
        a.partial_cmp(b)
            .unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
    });
    quantile_sorted(q, values)
}

fn quantile_sorted(q: f64, values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let rank = q * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(n - 1.0);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

fn sum(vals: &[f64]) -> f64 {
    let (mut s, mut c) = (0.0, 0.0);
    for v in vals {
        (s, c) = kahan::inc(*v, s, c);
    }
    if f64::is_infinite(s) { s } else { s + c }
}

fn avg(vals: &[f64]) -> f64 {
    let (mut s, mut c) = (vals[0], 0.0);
    for (i, v) in vals.iter().enumerate().skip(1) {
        let next = kahan::inc(*v, s, c);
        if next.0.is_infinite() {
            return incremental_avg(vals, i, s, c);
        }
        (s, c) = next;
    }
    let n = vals.len() as f64;
    s / n + c / n
}

/// The mean when the sum of the first `i` (which is `s + c`) cannot take the next value.
fn incremental_avg(vals: &[f64], i: usize, s: f64, c: f64) -> f64 {
    let (mut mean, mut c) = (s / i as f64, c / i as f64);
    for (i, v) in vals.iter().enumerate().skip(i) {
        let n = (i + 1) as f64;
        let q = (n - 1.0) / n;
        (mean, c) = kahan::inc(v / n, q * mean, q * c);
    }
    mean + c
}

fn variance(vals: &[f64]) -> f64 {
    let (mut mean, mut aux, mut n) = ((0.0, 0.0), (0.0, 0.0), 0.0);
    for v in vals {
        n += 1.0;
        let delta = v - (mean.0 + mean.1);
        mean = kahan::inc(delta / n, mean.0, mean.1);
        aux = kahan::inc(delta * (v - (mean.0 + mean.1)), aux.0, aux.1);
    }
    (aux.0 + aux.1) / n
}

/// Median of the distances to the median.
fn mad(vals: &[f64]) -> f64 {
    if vals.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let mut v = vals.to_vec();
    let median = quantile(0.5, &mut v);
    v.iter_mut().for_each(|x| *x = (*x - median).abs());
    quantile(0.5, &mut v)
}

/// Index of the extreme value: numbers before NaN; of equals the first, or the last with `last`.
fn extreme(vals: &[f64], max: bool, last: bool) -> usize {
    let mut best = 0;
    for (i, v) in vals.iter().enumerate() {
        let b = vals[best];
        let better = if max { *v > b } else { *v < b };
        if better || b.is_nan() || (last && *v == b) {
            best = i;
        }
    }
    best
}

/// The functions of the family that need no parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OverTime {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Mad,
    First,
    Last,
    Present,
    TsOfFirst,
    TsOfLast,
    TsOfMin,
    TsOfMax,
}

impl OverTime {
    #[inline]
    fn of_floats(self, ts: &[i64], vals: &[f64]) -> f64 {
        let seconds = |i: usize| ts[i] as f64 / 1000.0;
        match self {
            Self::Sum => sum(vals),
            Self::Avg => avg(vals),
            Self::Min => vals[extreme(vals, false, false)],
            Self::Max => vals[extreme(vals, true, false)],
            Self::Count => vals.len() as f64,
            Self::Stddev => variance(vals).sqrt(),
            Self::Stdvar => variance(vals),
            Self::Mad => mad(vals),
            Self::First => vals[0],
            Self::Last => vals[vals.len() - 1],
            Self::Present => 1.0,
            Self::TsOfFirst => seconds(0),
            Self::TsOfLast => seconds(ts.len() - 1),
            Self::TsOfMin => seconds(extreme(vals, false, true)),
            Self::TsOfMax => seconds(extreme(vals, true, true)),
        }
    }

    /// Floats only: the hot path.
    pub(crate) fn float_column(self, ts: &[i64], vals: &[f64], w: &Windows, out: &mut Steps) {
        match self {
            Self::Sum if exact_sums(vals) => prefix_sums(vals, w, out, false),
            Self::Avg if exact_sums(vals) => prefix_sums(vals, w, out, true),
            Self::Min | Self::Max => sliding_extreme(self == Self::Max, vals, w, out),
            _ => {
                for k in 0..out.n() {
                    let (lo, hi) = w.bounds(k);
                    if hi > lo {
                        out.set(k, self.of_floats(&ts[lo..hi], &vals[lo..hi]));
                    }
                }
            }
        }
    }

    /// Any window.
    pub(crate) fn window(self, w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
        if w.vals.is_empty() && w.hists.is_empty() {
            return None;
        }
        let mixed = !w.vals.is_empty() && !w.hists.is_empty();
        let times = || w.ts.iter().copied().chain(w.hists.iter().map(|h| h.t));
        match self {
            Self::Sum | Self::Avg if mixed => {
                env.note(|a, m, s| a.mixed_floats_histograms(m, s));
                None
            }
            Self::Sum | Self::Avg if w.vals.is_empty() => merge(self == Self::Avg, w, env),
            Self::Count => Some(Point::Float((w.vals.len() + w.hists.len()) as f64)),
            Self::Present => Some(Point::Float(1.0)),
            Self::First | Self::Last => {
                let (f, h) = if self == Self::First {
                    (w.ts.first(), w.hists.first())
                } else {
                    (w.ts.last(), w.hists.last())
                };
                match (f, h) {
                    (Some(t), Some(h)) if (self == Self::First) == (*t < h.t) => {
                        Some(Point::Float(self.of_floats(w.ts, w.vals)))
                    }
                    (_, Some(h)) => Some(Point::Hist(h.h.clone())),
                    (_, None) => Some(Point::Float(self.of_floats(w.ts, w.vals))),
                }
            }
            Self::TsOfFirst => times().min().map(|t| Point::Float(t as f64 / 1000.0)),
            Self::TsOfLast => times().max().map(|t| Point::Float(t as f64 / 1000.0)),
            _ => {
                if w.vals.is_empty() {
                    return None;
                }
                if mixed {
                    env.note(|a, m, s| a.histograms_in_mixed_range(m, s));
                }
                Some(Point::Float(self.of_floats(w.ts, w.vals)))
            }
        }
    }
}

/// True when every partial sum is a whole number below 2^53: then sums are exact in any order, and
/// compensated summation has nothing to compensate.
fn exact_sums(vals: &[f64]) -> bool {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    let mut total = 0.0;
    for v in vals {
        // NaN fails the comparison.
        if !(v.trunc() == *v) || (*v == 0.0 && v.is_sign_negative()) {
            return false;
        }
        total += v.abs();
    }
    total < LIMIT
}

fn prefix_sums(vals: &[f64], w: &Windows, out: &mut Steps, mean: bool) {
    let mut prefix = Vec::with_capacity(vals.len() + 1);
    let mut s = 0.0;
    prefix.push(0.0);
    for v in vals {
        s += v;
        prefix.push(s);
    }
    for k in 0..out.n() {
        let (lo, hi) = w.bounds(k);
        if hi > lo {
            let v: f64 = prefix[hi] - prefix[lo];
            out.set(k, if mean { v / (hi - lo) as f64 } else { v });
        }
    }
}

/// Minimum or maximum of sliding windows: candidates in a queue, each value enters and leaves once.
fn sliding_extreme(max: bool, vals: &[f64], w: &Windows, out: &mut Steps) {
    let mut queue: std::collections::VecDeque<usize> = std::collections::VecDeque::new();
    let mut next = 0;
    for k in 0..out.n() {
        let (lo, hi) = w.bounds(k);
        if hi <= lo {
            continue;
        }
        if lo > next {
            next = lo;
        }
        while queue.front().is_some_and(|i| *i < lo) {
            queue.pop_front();
        }
        while next < hi {
            let v = vals[next];
            // A candidate stays only while it is strictly better than what came after it; equal
            // values keep the earlier one, as 0 and -0 are equal but not the same.
            let beaten = |old: f64| old.is_nan() || if max { v > old } else { v < old };
            if v.is_nan() {
                if queue.is_empty() {
                    queue.push_back(next);
                }
            } else {
                while queue.back().is_some_and(|i| beaten(vals[*i])) {
                    queue.pop_back();
                }
                queue.push_back(next);
            }
            next += 1;
        }
        match queue.front() {
            Some(i) => out.set(k, vals[*i]),
            // All that is left are NaN that had better neighbours when they came.
            None => out.set(k, vals[hi - 1]),
        }
    }
}

fn merge(mean: bool, w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
    let has = |hint: CounterResetHint| w.hists.iter().any(|p| p.h.hint == hint);
    let mut reconciled = false;
    let hists: Vec<&FloatHistogram> = w.hists.iter().map(|p| &*p.h).collect();
    let merged = merge_histograms(&hists, mean, &mut reconciled);
    match merged {
        Ok(h) => {
            if has(CounterResetHint::Reset) && has(CounterResetHint::NotReset) {
                env.note(|a, _, s| a.reset_collision("aggregation", s));
            }
            if reconciled {
                env.note(|a, _, s| a.bounds_reconciled("aggregation", s));
            }
            Some(Point::Hist(Arc::new(h)))
        }
        Err(IncompatibleSchemas) => {
            env.note(|a, m, s| a.mixed_schemas(m, s));
            None
        }
    }
}

/// Compensated sum or mean of at least one histogram.
fn merge_histograms(
    hists: &[&FloatHistogram],
    mean: bool,
    reconciled: &mut bool,
) -> Result<FloatHistogram, IncompatibleSchemas> {
    let mut acc = HistogramMean::new(hists[0]);
    for h in &hists[1..] {
        *reconciled |= if mean {
            acc.add_to_mean(h)?
        } else {
            acc.add(h)?
        };
    }
    acc.finish(mean)
}

/// A compensated sum of histograms that turns into a running mean before it overflows.
#[derive(Debug, Clone)]
pub(crate) struct HistogramMean {
    value: FloatHistogram,
    comp: Option<FloatHistogram>,
    count: f64,
    incremental: bool,
}

impl HistogramMean {
    pub(crate) fn new(h: &FloatHistogram) -> Self {
        Self {
            value: h.clone(),
            comp: None,
            count: 1.0,
            incremental: false,
        }
    }

    /// For sums. True when custom bounds were reconciled.
    pub(crate) fn add(&mut self, h: &FloatHistogram) -> Result<bool, IncompatibleSchemas> {
        self.count += 1.0;
        Ok(hist::kahan_add(&mut self.value, h, &mut self.comp)?.bounds_reconciled)
    }

    /// For means.
    pub(crate) fn add_to_mean(&mut self, h: &FloatHistogram) -> Result<bool, IncompatibleSchemas> {
        self.count += 1.0;
        let n = self.count;
        if !self.incremental {
            let mut value = self.value.clone();
            let mut comp = self.comp.clone();
            let done = hist::kahan_add(&mut value, h, &mut comp)?;
            if !hist::has_overflow(&value) {
                self.value = value;
                self.comp = comp;
                return Ok(done.bounds_reconciled);
            }
            self.incremental = true;
            hist::div(&mut self.value, n - 1.0);
            if let Some(c) = &mut self.comp {
                hist::div(c, n - 1.0);
            }
        }
        let q = (n - 1.0) / n;
        if let Some(c) = &mut self.comp {
            hist::mul(c, q);
        }
        hist::mul(&mut self.value, q);
        let mut part = h.clone();
        hist::div(&mut part, n);
        Ok(hist::kahan_add(&mut self.value, &part, &mut self.comp)?.bounds_reconciled)
    }

    pub(crate) fn finish(mut self, mean: bool) -> Result<FloatHistogram, IncompatibleSchemas> {
        if mean && !self.incremental {
            hist::div(&mut self.value, self.count);
            if let Some(c) = &mut self.comp {
                hist::div(c, self.count);
            }
        }
        if let Some(c) = &self.comp {
            hist::add(&mut self.value, c)?;
        }
        Ok(self.value)
    }
}

/// `quantile_over_time` over floats: the window is kept sorted while it slides.
pub(crate) fn quantile_column(
    q: impl Fn(usize) -> f64,
    vals: &[f64],
    w: &Windows,
    env: &Env<'_>,
    out: &mut Steps,
) {
    let order = |a: &f64, b: &f64| {
        a.partial_cmp(b)
            .unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
    };
    let place = |sorted: &[f64], v: f64| sorted.partition_point(|x| order(x, &v).is_lt());
    let mut sorted: Vec<f64> = Vec::with_capacity(w.largest);
    let (mut from, mut to) = (0, 0);
    for k in 0..out.n() {
        let (lo, hi) = w.bounds(k);
        if lo >= hi {
            continue;
        }
        if lo >= to || (lo - from) + (hi - to) > hi - lo {
            sorted.clear();
            sorted.extend_from_slice(&vals[lo..hi]);
            sorted.sort_unstable_by(order);
        } else {
            for v in &vals[from..lo] {
                let i = place(&sorted, *v);
                sorted.remove(i.min(sorted.len() - 1));
            }
            for v in &vals[to..hi] {
                sorted.insert(place(&sorted, *v), *v);
            }
        }
        (from, to) = (lo, hi);
        let q = q(k);
        if !(0.0..=1.0).contains(&q) {
            env.note(|a, _, s| a.invalid_quantile(q, s));
        }
        out.set(
            k,
            if q.is_nan() {
                f64::NAN
            } else if q < 0.0 {
                f64::NEG_INFINITY
            } else if q > 1.0 {
                f64::INFINITY
            } else {
                quantile_sorted(q, &sorted)
            },
        );
    }
}

/// `quantile_over_time`.
pub(crate) fn quantile_window(q: f64, w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
    if w.vals.is_empty() {
        return None;
    }
    if q.is_nan() || !(0.0..=1.0).contains(&q) {
        env.note(|a, _, s| a.invalid_quantile(q, s));
    }
    if !w.hists.is_empty() {
        env.note(|a, m, s| a.histograms_in_mixed_range(m, s));
    }
    Some(Point::Float(quantile(q, &mut w.vals.to_vec())))
}
