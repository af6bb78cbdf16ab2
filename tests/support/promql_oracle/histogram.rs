//! Native histograms as two maps from bucket index to count: slow, and easy to believe.
//!
//! Owns: conversion from and to the stored form, arithmetic, resets, quantiles, trimming.
//! Knows nothing of: series, steps, spans beyond conversion.

use std::collections::BTreeMap;

use engine::model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};

/// How buckets are bounded.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// Powers of `2^(2^-schema)`.
    Exponential(i32),
    /// Upper bounds as listed, then infinity.
    Custom(Vec<f64>),
}

/// A histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Hist {
    pub gauge: bool,
    pub layout: Layout,
    pub zero_threshold: f64,
    pub zero: f64,
    pub count: f64,
    pub sum: f64,
    pub positive: BTreeMap<i32, f64>,
    pub negative: BTreeMap<i32, f64>,
}

/// A bucket with bounds.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub low: f64,
    pub high: f64,
    pub count: f64,
    /// Even spread rather than logarithmic.
    pub linear: bool,
}

/// The two cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mixed;

fn unpack(spans: &[Span], counts: &[f64]) -> BTreeMap<i32, f64> {
    let mut out = BTreeMap::new();
    let (mut index, mut counts) = (0i32, counts.iter());
    for s in spans {
        index += s.offset;
        for _ in 0..s.length {
            if let Some(c) = counts.next() {
                out.insert(index, *c);
            }
            index += 1;
        }
    }
    out
}

fn pack(buckets: &BTreeMap<i32, f64>) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts): (Vec<Span>, Vec<f64>) = Default::default();
    let mut next = 0;
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(s) if *index == next => s.length += 1,
            _ => spans.push(Span {
                offset: index - next,
                length: 1,
            }),
        }
        next = index + 1;
        counts.push(*count);
    }
    (spans, counts)
}

fn add_to(map: &mut BTreeMap<i32, f64>, index: i32, count: f64) {
    *map.entry(index).or_insert(0.0) += count;
}

impl Hist {
    pub fn read(h: &FloatHistogram) -> Self {
        Self {
            gauge: h.hint == CounterResetHint::Gauge,
            layout: if h.schema == CUSTOM_BUCKETS_SCHEMA {
                Layout::Custom(h.custom_values.clone())
            } else {
                Layout::Exponential(h.schema)
            },
            zero_threshold: h.zero_threshold,
            zero: h.zero_count,
            count: h.count,
            sum: h.sum,
            positive: unpack(&h.positive_spans, &h.positive),
            negative: unpack(&h.negative_spans, &h.negative),
        }
    }

    pub fn write(&self) -> FloatHistogram {
        let (positive_spans, positive) = pack(&self.positive);
        let (negative_spans, negative) = pack(&self.negative);
        let (schema, custom_values) = match &self.layout {
            Layout::Exponential(s) => (*s, Vec::new()),
            Layout::Custom(bounds) => (CUSTOM_BUCKETS_SCHEMA, bounds.clone()),
        };
        FloatHistogram {
            hint: if self.gauge {
                CounterResetHint::Gauge
            } else {
                CounterResetHint::Unknown
            },
            schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero,
            count: self.count,
            sum: self.sum,
            positive_spans,
            negative_spans,
            positive,
            negative,
            custom_values,
        }
    }

    pub fn is_custom(&self) -> bool {
        matches!(self.layout, Layout::Custom(_))
    }

    /// Nothing observed, in the layout of `self`.
    pub fn emptied(&self) -> Self {
        Self {
            gauge: false,
            layout: self.layout.clone(),
            zero_threshold: 0.0,
            zero: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: BTreeMap::new(),
            negative: BTreeMap::new(),
        }
    }

    /// Upper bound of a bucket on the positive side.
    pub fn bound(&self, index: i32) -> f64 {
        match &self.layout {
            Layout::Custom(bounds) => match usize::try_from(index) {
                Err(_) => f64::NEG_INFINITY,
                Ok(i) => bounds.get(i).copied().unwrap_or(f64::INFINITY),
            },
            Layout::Exponential(schema) => {
                let v = (f64::from(index) * (f64::from(-schema)).exp2()).exp2();
                if v == f64::INFINITY && f64::from(index) * f64::from(-schema).exp2() == 1024.0 {
                    f64::MAX
                } else {
                    v
                }
            }
        }
    }

    fn coarser(&mut self, schema: i32) {
        let Layout::Exponential(own) = self.layout else {
            return;
        };
        if own <= schema {
            return;
        }
        let shift = own - schema;
        for side in [&mut self.positive, &mut self.negative] {
            let mut out = BTreeMap::new();
            for (i, c) in side.iter() {
                // Upper bounds: bucket i ends where i rounded up to the coarser grid ends.
                add_to(&mut out, ((i - 1) >> shift) + 1, *c);
            }
            *side = out;
        }
        self.layout = Layout::Exponential(schema);
    }

    /// Widens the zero bucket to at least `threshold`: to the end of a bucket that it would cut,
    /// if that has observations.
    fn widen_zero(&mut self, threshold: f64) {
        let mut threshold = threshold;
        loop {
            let cut = self
                .positive
                .iter()
                .chain(&self.negative)
                .filter(|(i, c)| {
                    **c != 0.0 && self.bound(**i - 1) < threshold && self.bound(**i) > threshold
                })
                .map(|(i, _)| self.bound(*i))
                .fold(threshold, f64::max);
            if cut == threshold {
                break;
            }
            threshold = cut;
        }
        let inside = |h: &Self, i: i32| h.bound(i - 1) < threshold;
        let mut moved = 0.0;
        for side in [&self.positive, &self.negative] {
            moved += side
                .iter()
                .filter(|(i, _)| inside(self, **i))
                .map(|(_, c)| c)
                .sum::<f64>();
        }
        let keep = |h: &Self, side: &BTreeMap<i32, f64>| {
            side.iter()
                .filter(|(i, _)| !inside(h, **i))
                .map(|(i, c)| (*i, *c))
                .collect()
        };
        let (p, n) = (keep(self, &self.positive), keep(self, &self.negative));
        (self.positive, self.negative) = (p, n);
        self.zero += moved;
        self.zero_threshold = threshold;
    }

    /// `self + sign * other`.
    pub fn plus(&self, other: &Self, sign: f64) -> Result<Self, Mixed> {
        let (mut a, mut b) = (self.clone(), other.clone());
        match (&self.layout, &other.layout) {
            (Layout::Exponential(x), Layout::Exponential(y)) => {
                let schema = *x.min(y);
                while a.zero_threshold != b.zero_threshold {
                    if a.zero_threshold < b.zero_threshold {
                        a.widen_zero(b.zero_threshold);
                    } else {
                        b.widen_zero(a.zero_threshold);
                    }
                }
                a.coarser(schema);
                b.coarser(schema);
            }
            (Layout::Custom(x), Layout::Custom(y)) => {
                if x != y {
                    let common: Vec<f64> = x.iter().copied().filter(|v| y.contains(v)).collect();
                    a.rebucket(&common);
                    b.rebucket(&common);
                }
            }
            _ => return Err(Mixed),
        }
        a.gauge |= b.gauge;
        a.zero += sign * b.zero;
        a.count += sign * b.count;
        a.sum += sign * b.sum;
        b.positive
            .iter()
            .for_each(|(i, c)| add_to(&mut a.positive, *i, sign * c));
        b.negative
            .iter()
            .for_each(|(i, c)| add_to(&mut a.negative, *i, sign * c));
        Ok(a)
    }

    fn rebucket(&mut self, bounds: &[f64]) {
        let mut out = BTreeMap::new();
        for (i, c) in &self.positive {
            let own = self.bound(*i);
            let at = bounds
                .iter()
                .position(|b| *b >= own)
                .unwrap_or(bounds.len());
            add_to(&mut out, at as i32, *c);
        }
        self.positive = out;
        self.layout = Layout::Custom(bounds.to_vec());
    }

    pub fn times(&self, f: f64) -> Self {
        let mut h = self.map(|v| v * f);
        h.gauge |= f < 0.0;
        h
    }

    pub fn over(&self, d: f64) -> Self {
        let mut h = self.map(|v| v / d);
        if d == 0.0 {
            h.positive.clear();
            h.negative.clear();
        } else {
            h.gauge |= d < 0.0;
        }
        h
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        let mut h = self.clone();
        (h.zero, h.count, h.sum) = (f(h.zero), f(h.count), f(h.sum));
        h.positive.values_mut().for_each(|v| *v = f(*v));
        h.negative.values_mut().for_each(|v| *v = f(*v));
        h
    }

    /// Buckets without observations are gone.
    pub fn compacted(mut self) -> Self {
        self.positive.retain(|_, c| *c != 0.0);
        self.negative.retain(|_, c| *c != 0.0);
        self
    }

    /// Whether the observations of `self` cannot contain those of `before`.
    pub fn is_reset_of(&self, before: &Self) -> bool {
        if self.count < before.count {
            return true;
        }
        let mut before = before.clone();
        let mut now = self.clone();
        match (&self.layout, &before.layout) {
            (Layout::Exponential(a), Layout::Exponential(b)) => {
                if a > b || self.zero_threshold < before.zero_threshold {
                    return true;
                }
                let schema = *a;
                before.widen_zero(self.zero_threshold);
                if before.zero_threshold != self.zero_threshold || self.zero < before.zero {
                    return true;
                }
                before.coarser(schema);
            }
            (Layout::Custom(a), Layout::Custom(b)) => {
                if a != b {
                    let common: Vec<f64> = a.iter().copied().filter(|v| b.contains(v)).collect();
                    before.rebucket(&common);
                    now.rebucket(&common);
                }
            }
            (Layout::Custom(_), Layout::Exponential(_)) => return true,
            (Layout::Exponential(_), Layout::Custom(_)) => return true,
        }
        let shrank = |now: &BTreeMap<i32, f64>, before: &BTreeMap<i32, f64>| {
            before
                .iter()
                .any(|(i, c)| now.get(i).copied().unwrap_or(0.0) < *c)
        };
        shrank(&now.positive, &before.positive) || shrank(&now.negative, &before.negative)
    }

    /// All buckets from the lowest value to the highest. Exponential ones end at the zero bucket.
    pub fn cells(&self) -> Vec<Cell> {
        let custom = self.is_custom();
        let z = self.zero_threshold;
        let mut out: Vec<Cell> = self
            .negative
            .iter()
            .rev()
            .map(|(i, c)| Cell {
                low: -self.bound(*i),
                high: (-self.bound(*i - 1)).min(if custom { f64::INFINITY } else { -z }),
                count: *c,
                linear: custom,
            })
            .collect();
        if self.zero > 0.0 && !custom {
            let (mut low, mut high) = (-z, z);
            if self.negative.is_empty() && !self.positive.is_empty() {
                low = 0.0;
            } else if self.positive.is_empty() && !self.negative.is_empty() {
                high = 0.0;
            }
            out.push(Cell {
                low,
                high,
                count: self.zero,
                linear: true,
            });
        }
        out.extend(self.positive.iter().map(|(i, c)| Cell {
            low: if custom {
                self.bound(*i - 1)
            } else {
                self.bound(*i - 1).max(z)
            },
            high: self.bound(*i),
            count: *c,
            linear: custom,
        }));
        out
    }

    pub fn quantile(&self, q: f64) -> f64 {
        if q < 0.0 {
            return f64::NEG_INFINITY;
        }
        if q > 1.0 {
            return f64::INFINITY;
        }
        if q.is_nan() || self.count == 0.0 {
            return f64::NAN;
        }
        let cells: Vec<Cell> = self
            .cells()
            .into_iter()
            .filter(|c| c.count != 0.0)
            .collect();
        let total: f64 = cells.iter().map(|c| c.count).sum();
        let rank = q * self.count;
        let mut below = 0.0;
        for (i, c) in cells.iter().enumerate() {
            let last = i + 1 == cells.len();
            // The tolerance keeps a rank on a border in the lower bucket, as exact counting would.
            if below + c.count >= rank - 1e-9 * total.abs() || (last && !self.sum.is_nan()) {
                return c.value_at(((rank - below) / c.count).clamp(0.0, 1.0));
            }
            below += c.count;
        }
        f64::NAN
    }

    /// Distance of the rank of `q` from the nearest bucket border, as a share of all: near 0 the
    /// choice of the bucket depends on rounding.
    pub fn rank_margin(&self, q: f64) -> f64 {
        let mut below = 0.0;
        let mut margin = f64::INFINITY;
        for c in self.cells() {
            below += c.count;
            margin = margin.min((below - q * self.count).abs());
        }
        margin / self.count.abs()
    }

    fn below(&self, v: f64) -> f64 {
        self.cells().iter().map(|c| c.count_below(v)).sum()
    }

    pub fn fraction(&self, low: f64, high: f64) -> f64 {
        if self.count == 0.0 || low.is_nan() || high.is_nan() {
            return f64::NAN;
        }
        if low >= high {
            return 0.0;
        }
        let total: f64 = self.cells().iter().map(|c| c.count).sum();
        let all = if self.sum.is_nan() { total } else { self.count };
        let past_all = |v: f64| self.cells().iter().all(|c| c.high <= v);
        let at = |v: f64| {
            if past_all(v) {
                all
            } else {
                self.below(v).min(all)
            }
        };
        (at(high) - at(low)) / self.count
    }

    /// Negated or subtracted: no distribution, so that it has no quantile.
    pub fn has_negative_counts(&self) -> bool {
        self.count < 0.0 || self.cells().iter().any(|c| c.count < 0.0)
    }

    /// A custom bucket with observations on both sides of zero has one of `values` inside: where
    /// its observations lie is not documented, and recorded answers treat it like a zero bucket.
    pub fn straddles_zero_at(&self, values: &[f64]) -> bool {
        self.is_custom()
            && self.cells().iter().any(|c| {
                let inside = |v: &f64| *v > c.low && *v < c.high;
                c.low.is_finite() && c.low < 0.0 && c.high >= 0.0 && values.iter().any(inside)
            })
    }

    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let mut sum = 0.0;
        for c in self.cells().iter().filter(|c| c.count != 0.0) {
            let zero = !self.is_custom() && c.low <= 0.0 && c.high >= 0.0;
            let at = if zero {
                0.0
            } else if self.is_custom() {
                (c.low + c.high) / 2.0
            } else {
                (c.low * c.high).sqrt().copysign(c.high)
            };
            sum += c.count * (at - mean) * (at - mean);
        }
        sum / self.count
    }

    /// The part below (`upper`) or above `at`.
    pub fn trimmed(&self, at: f64, upper: bool) -> Self {
        let mut out = self.clone();
        let custom = self.is_custom();
        let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
        let sides = [(true, &self.positive), (false, &self.negative)];
        for (positive, side) in sides {
            let target = if positive {
                &mut out.positive
            } else {
                &mut out.negative
            };
            for (i, c) in side.iter().filter(|(_, c)| **c != 0.0) {
                let (low, high) = if positive {
                    (self.bound(*i - 1), self.bound(*i))
                } else {
                    (-self.bound(*i), -self.bound(*i - 1))
                };
                let cell = Cell {
                    low,
                    high,
                    count: *c,
                    linear: custom,
                };
                let (keep, middle) = cell.kept(at, upper);
                changed |= keep != *c;
                target.insert(*i, keep);
                count += keep;
                if keep != 0.0 {
                    sum += keep * middle;
                }
            }
        }
        if self.zero > 0.0 && !custom {
            let some = |side: &BTreeMap<i32, f64>| side.values().any(|c| *c != 0.0);
            let z = self.zero_threshold;
            let cell = Cell {
                low: if some(&self.positive) && !some(&self.negative) {
                    0.0
                } else {
                    -z
                },
                high: if some(&self.negative) && !some(&self.positive) {
                    0.0
                } else {
                    z
                },
                count: self.zero,
                linear: true,
            };
            let (keep, middle) = cell.kept(at, upper);
            changed |= keep != self.zero;
            out.zero = keep;
            count += keep;
            sum += keep * middle;
        }
        if !changed {
            return self.clone();
        }
        (out.count, out.sum) = (count, sum);
        out.compacted()
    }
}

impl Cell {
    /// The value below which `share` of the observations lie.
    fn value_at(&self, share: f64) -> f64 {
        if self.linear {
            if self.low == f64::NEG_INFINITY {
                return if self.high <= 0.0 {
                    self.high
                } else {
                    self.high * share
                };
            }
            if self.high == f64::INFINITY {
                return self.low;
            }
            return self.low + (self.high - self.low) * share;
        }
        self.low * (self.high / self.low).powf(share)
    }

    fn count_below(&self, v: f64) -> f64 {
        // A first custom bucket with a positive bound starts at 0, as in a classic histogram.
        let low = if self.low == f64::NEG_INFINITY && self.high >= 0.0 {
            0.0
        } else {
            self.low
        };
        if v <= low {
            return 0.0;
        }
        if v >= self.high {
            return self.count;
        }
        if self.linear {
            if low == f64::NEG_INFINITY {
                return self.count;
            }
            return self.count * (v - low) / (self.high - low);
        }
        self.count * (v / self.low).ln() / (self.high / self.low).ln()
    }

    fn middle(low: f64, high: f64, linear: bool) -> f64 {
        if linear {
            (low + high) / 2.0
        } else {
            (low * high).sqrt().copysign(low + high)
        }
    }

    /// What trimming at `at` keeps, and the value its observations are taken to have.
    fn kept(&self, at: f64, upper: bool) -> (f64, f64) {
        let open_low = self.low == f64::NEG_INFINITY;
        let open_high = self.high == f64::INFINITY;
        let whole = if upper {
            self.high <= at
        } else {
            self.low >= at
        };
        if whole {
            let middle = match (open_low, open_high) {
                (true, true) => 0.0,
                (true, false) if self.high > 0.0 => self.high / 2.0,
                (true, false) => self.high,
                (false, true) => self.low,
                (false, false) => Self::middle(self.low, self.high, self.linear),
            };
            return (self.count, middle);
        }
        let outside = if upper {
            self.low >= at
        } else {
            self.high <= at
        };
        if outside {
            return (0.0, 0.0);
        }
        if open_low {
            // With a positive bound it starts at 0; otherwise it has no shape.
            return if self.high <= 0.0 {
                if upper { (self.count, at) } else { (0.0, 0.0) }
            } else if open_high || (upper && at <= 0.0) || (!upper && at < 0.0) {
                (0.0, 0.0)
            } else {
                let below = at / self.high;
                if upper {
                    (self.count * below, at / 2.0)
                } else {
                    (self.count * (1.0 - below), (at + self.high) / 2.0)
                }
            };
        }
        if open_high {
            return if upper { (0.0, 0.0) } else { (self.count, at) };
        }
        let below = self.count_below(at);
        if upper {
            (below, Self::middle(self.low, at, self.linear))
        } else {
            (self.count - below, Self::middle(at, self.high, self.linear))
        }
    }
}
