//! Columns over a step grid: what every operator takes and gives.

use std::sync::Arc;

use engine::model::{FloatHistogram, Labels, METRIC_NAME};
use smallvec::SmallVec;

use crate::promql::histogram::sample_size;

/// The evaluation times of a (sub)query: `start`, `start + step`, ... (`n` of them), in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) start: i64,
    pub(crate) step: i64,
    pub(crate) n: usize,
}

impl Grid {
    #[inline]
    pub(crate) fn t(&self, k: usize) -> i64 {
        self.start
            .saturating_add((k as i64).saturating_mul(self.step))
    }

    pub(crate) fn end(&self) -> i64 {
        self.t(self.n.saturating_sub(1))
    }

    pub(crate) fn is_instant(&self) -> bool {
        self.n == 1
    }
}

/// One bit per step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mask {
    bits: SmallVec<[u64; 2]>,
    n: usize,
}

impl Mask {
    pub(crate) fn empty(n: usize) -> Self {
        Self {
            bits: SmallVec::from_elem(0, n.div_ceil(64)),
            n,
        }
    }

    pub(crate) fn full(n: usize) -> Self {
        let mut m = Self {
            bits: SmallVec::from_elem(u64::MAX, n.div_ceil(64)),
            n,
        };
        m.trim();
        m
    }

    fn trim(&mut self) {
        if !self.n.is_multiple_of(64)
            && let Some(last) = self.bits.last_mut()
        {
            *last &= (1u64 << (self.n % 64)) - 1;
        }
    }

    #[inline]
    pub(crate) fn get(&self, k: usize) -> bool {
        self.bits[k / 64] >> (k % 64) & 1 == 1
    }

    #[inline]
    pub(crate) fn set(&mut self, k: usize) {
        self.bits[k / 64] |= 1 << (k % 64);
    }

    #[inline]
    pub(crate) fn unset(&mut self, k: usize) {
        self.bits[k / 64] &= !(1 << (k % 64));
    }

    pub(crate) fn count(&self) -> usize {
        self.bits.iter().map(|b| b.count_ones() as usize).sum()
    }

    pub(crate) fn any(&self) -> bool {
        self.bits.iter().any(|b| *b != 0)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count() == self.n
    }

    pub(crate) fn reset(&mut self, n: usize) {
        self.n = n;
        self.bits.clear();
        self.bits.resize(n.div_ceil(64), 0);
    }

    pub(crate) fn fill(&mut self) {
        self.bits.iter_mut().for_each(|b| *b = u64::MAX);
        self.trim();
    }

    pub(crate) fn and(&mut self, o: &Self) {
        self.bits.iter_mut().zip(&o.bits).for_each(|(a, b)| *a &= b);
    }

    pub(crate) fn and_not(&mut self, o: &Self) {
        self.bits
            .iter_mut()
            .zip(&o.bits)
            .for_each(|(a, b)| *a &= !b);
    }

    pub(crate) fn or(&mut self, o: &Self) {
        self.bits.iter_mut().zip(&o.bits).for_each(|(a, b)| *a |= b);
    }

    /// First step that both have.
    pub(crate) fn first_common(&self, o: &Self) -> Option<usize> {
        self.bits
            .iter()
            .zip(&o.bits)
            .enumerate()
            .find(|(_, (a, b))| **a & **b != 0)
            .map(|(i, (a, b))| i * 64 + (a & b).trailing_zeros() as usize)
    }

    /// Steps that are set, ascending.
    pub(crate) fn ones(&self) -> Ones<'_> {
        Ones {
            mask: self,
            word: 0,
            bits: self.bits.first().copied().unwrap_or(0),
        }
    }
}

pub(crate) struct Ones<'a> {
    mask: &'a Mask,
    word: usize,
    bits: u64,
}

impl Iterator for Ones<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            self.word += 1;
            self.bits = *self.mask.bits.get(self.word)?;
        }
        let k = self.word * 64 + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(k)
    }
}

/// Histograms of a column, one slot per step.
pub(crate) type Histograms = Vec<Option<Arc<FloatHistogram>>>;

/// One series' samples over the grid. A step has a float (its bit is set), a histogram, or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    pub(crate) vals: Vec<f64>,
    pub(crate) mask: Mask,
    pub(crate) hists: Option<Histograms>,
}

/// A sample of a column.
#[derive(Debug, Clone)]
pub(crate) enum Point {
    Float(f64),
    Hist(Arc<FloatHistogram>),
}

impl Steps {
    pub(crate) fn new(n: usize) -> Self {
        Self {
            vals: vec![0.0; n],
            mask: Mask::empty(n),
            hists: None,
        }
    }

    pub(crate) fn constant(v: f64, n: usize) -> Self {
        Self {
            vals: vec![v; n],
            mask: Mask::full(n),
            hists: None,
        }
    }

    pub(crate) fn n(&self) -> usize {
        self.vals.len()
    }

    /// Empties the column for `n` steps, keeping its memory. Values without their bit are
    /// unspecified.
    pub(crate) fn reset(&mut self, n: usize) {
        self.vals.resize(n, 0.0);
        self.mask.reset(n);
        self.hists = None;
    }

    #[inline]
    pub(crate) fn set(&mut self, k: usize, v: f64) {
        self.vals[k] = v;
        self.mask.set(k);
    }

    pub(crate) fn set_hist(&mut self, k: usize, h: Arc<FloatHistogram>) {
        let n = self.n();
        self.hists.get_or_insert_with(|| vec![None; n])[k] = Some(h);
    }

    pub(crate) fn put(&mut self, k: usize, p: Point) {
        match p {
            Point::Float(v) => self.set(k, v),
            Point::Hist(h) => self.set_hist(k, h),
        }
    }

    pub(crate) fn hist(&self, k: usize) -> Option<&Arc<FloatHistogram>> {
        self.hists.as_ref()?.get(k)?.as_ref()
    }

    pub(crate) fn get(&self, k: usize) -> Option<Point> {
        if self.mask.get(k) {
            return Some(Point::Float(self.vals[k]));
        }
        self.hist(k).map(|h| Point::Hist(h.clone()))
    }

    pub(crate) fn has(&self, k: usize) -> bool {
        self.mask.get(k) || self.hist(k).is_some()
    }

    pub(crate) fn any(&self) -> bool {
        self.mask.any()
            || self
                .hists
                .as_ref()
                .is_some_and(|h| h.iter().any(Option::is_some))
    }

    /// Steps with a float or a histogram.
    pub(crate) fn present(&self) -> Mask {
        let mut m = self.mask.clone();
        if let Some(h) = &self.hists {
            h.iter()
                .enumerate()
                .filter(|(_, h)| h.is_some())
                .for_each(|(k, _)| m.set(k));
        }
        m
    }

    /// What the sample limit counts.
    pub(crate) fn samples(&self) -> usize {
        let hists = self
            .hists
            .as_ref()
            .map_or(0, |h| h.iter().flatten().map(|h| sample_size(h)).sum());
        self.mask.count() + hists
    }

    /// The part of [`Self::samples`] at step `k`.
    pub(crate) fn samples_at(&self, k: usize) -> usize {
        usize::from(self.mask.get(k)) + self.hist(k).map_or(0, |h| sample_size(h))
    }

    /// What keeping the column costs the budget: its samples, or its memory where most steps are
    /// empty. A sample is charged as 16 bytes; an empty step holds 8, of which a quarter is charged
    /// so that ordinary gaps cost nothing extra.
    pub(crate) fn weight(&self) -> usize {
        self.samples().max(self.n() / 4)
    }

    /// Takes over the samples of `other`, whose steps are disjoint from ours.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for k in other.mask.ones() {
            self.set(k, other.vals[k]);
        }
        for (k, h) in other.hists.iter().flatten().enumerate() {
            if let Some(h) = h {
                self.set_hist(k, h.clone());
            }
        }
    }
}

/// A series over the grid.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// The name goes when the query is done (delayed name removal only).
    pub(crate) drop_name: bool,
    pub(crate) steps: Steps,
}

/// Labels that say what a metric is rather than where a sample comes from.
pub(crate) const METADATA_LABELS: [&[u8]; 3] = [METRIC_NAME.as_bytes(), b"__type__", b"__unit__"];

/// Whether `name` is one of [`METADATA_LABELS`].
pub(crate) fn is_metadata_label(name: &str) -> bool {
    METADATA_LABELS.contains(&name.as_bytes())
}

/// The labels without name, type and unit.
pub(crate) fn without_metadata(l: &Labels) -> Labels {
    l.filter(|n| !is_metadata_label(n))
}

/// A scalar over the grid.
#[derive(Debug, Clone)]
pub(crate) enum Scalar {
    Const(f64),
    Steps(Vec<f64>),
}

impl Scalar {
    #[inline]
    pub(crate) fn at(&self, k: usize) -> f64 {
        match self {
            Self::Const(v) => *v,
            Self::Steps(v) => v.get(k).copied().unwrap_or(f64::NAN),
        }
    }
}
