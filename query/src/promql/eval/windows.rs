//! Which samples of a column belong to which step: computed once per timestamp column and grid.

use std::sync::Arc;

use super::series::Grid;

/// A range over a grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowSpec {
    pub(crate) grid: Grid,
    /// The range ends here at every step.
    pub(crate) at: Option<i64>,
    pub(crate) offset: i64,
    pub(crate) range: i64,
    /// Further samples handed out before and after the range (extended selectors).
    pub(crate) before: i64,
    pub(crate) after: i64,
}

impl WindowSpec {
    /// The range `(start, end]` of step `k`.
    #[inline]
    pub(crate) fn range_at(&self, k: usize) -> (i64, i64) {
        let end = self
            .at
            .unwrap_or_else(|| self.grid.t(k))
            .saturating_sub(self.offset);
        (end.saturating_sub(self.range), end)
    }

    /// First and last timestamp that any step reads.
    pub(crate) fn time_bounds(&self) -> (i64, i64) {
        let first = self
            .range_at(0)
            .0
            .saturating_sub(self.before)
            .saturating_add(1);
        let last = self
            .range_at(self.grid.n.saturating_sub(1))
            .1
            .saturating_add(self.after);
        (first, last)
    }
}

/// Index ranges of all steps for one column of timestamps.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    key: Option<Arc<[i64]>>,
    bounds: Vec<(u32, u32)>,
    range: i64,
    /// Samples in all windows together.
    pub(crate) total: u64,
    /// Samples of the first window and those that each later step adds.
    pub(crate) read: u64,
    /// Largest window.
    pub(crate) largest: usize,
    /// Smallest window.
    pub(crate) smallest: usize,
}

impl Windows {
    pub(crate) fn of(ts: &[i64], spec: &WindowSpec) -> Self {
        let mut w = Self {
            key: None,
            bounds: Vec::with_capacity(spec.grid.n),
            range: spec.range,
            total: 0,
            read: 0,
            largest: 0,
            smallest: usize::MAX,
        };
        let (mut lo, mut hi, mut old) = (0usize, 0usize, 0usize);
        for k in 0..spec.grid.n {
            let (start, end) = spec.range_at(k);
            let (from, to) = (
                start.saturating_sub(spec.before),
                end.saturating_add(spec.after),
            );
            advance(ts, &mut lo, from);
            advance(ts, &mut hi, to);
            let hi = hi.max(lo);
            w.bounds.push((lo as u32, hi as u32));
            let n = hi - lo;
            w.total += n as u64;
            w.largest = w.largest.max(n);
            w.smallest = w.smallest.min(n);
            if k == 0 {
                w.read += n as u64;
            } else if spec.at.is_none() {
                advance(ts, &mut old, to.saturating_sub(spec.grid.step));
                w.read += (hi - old.clamp(lo, hi)) as u64;
            }
        }
        w
    }

    /// The windows of a shared column, which are those of the last call when the column is.
    pub(crate) fn cached<'c>(
        slot: &'c mut Option<Self>,
        ts: &Arc<[i64]>,
        spec: &WindowSpec,
    ) -> (&'c Self, bool) {
        let hit = slot
            .as_ref()
            .is_some_and(|w| w.key.as_ref().is_some_and(|k| Arc::ptr_eq(k, ts)));
        if !hit {
            let mut w = Self::of(ts, spec);
            w.key = Some(ts.clone());
            *slot = Some(w);
        }
        (slot.get_or_insert_with(|| Self::of(ts, spec)), hit)
    }

    #[inline]
    pub(crate) fn bounds(&self, k: usize) -> (usize, usize) {
        let (lo, hi) = self.bounds[k];
        (lo as usize, hi as usize)
    }

    /// Samples of window `k`, and how many of them no earlier window had.
    pub(crate) fn samples_at(&self, k: usize) -> (usize, usize) {
        let (lo, hi) = self.bounds(k);
        let seen = match k.checked_sub(1) {
            Some(before) => self.bounds(before).1.clamp(lo, hi),
            None => lo,
        };
        (hi - lo, hi - seen)
    }

    pub(crate) fn range_ms(&self) -> i64 {
        self.range
    }
}

/// Moves `i` to the first timestamp after `t`. Steps are ascending, so this is a short walk; the
/// first one jumps.
#[inline]
fn advance(ts: &[i64], i: &mut usize, t: i64) {
    if ts.get(*i + 16).is_some_and(|x| *x <= t) {
        *i += ts[*i..].partition_point(|x| *x <= t);
        return;
    }
    while ts.get(*i).is_some_and(|x| *x <= t) {
        *i += 1;
    }
}

/// Whether any value is NaN. Whole blocks at a time, so that the compiler vectorises it.
pub(crate) fn any_nan(values: &[f64]) -> bool {
    values
        .chunks(64)
        .any(|c| c.iter().fold(false, |a, v| a | v.is_nan()))
}

/// Newest sample per step for instant selectors.
pub(crate) struct Lookups {
    key: Arc<[i64]>,
    /// Index per step, or `NONE`.
    pub(crate) index: Vec<u32>,
    /// True when every step has one.
    pub(crate) complete: bool,
}

impl Lookups {
    pub(crate) const NONE: u32 = u32::MAX;

    pub(crate) fn cached<'c>(
        slot: &'c mut Option<Self>,
        ts: &Arc<[i64]>,
        spec: &WindowSpec,
    ) -> &'c Self {
        let hit = slot.as_ref().is_some_and(|w| Arc::ptr_eq(&w.key, ts));
        if !hit {
            *slot = Some(Self::of(ts, spec));
        }
        slot.get_or_insert_with(|| Self::of(ts, spec))
    }

    /// `spec.range` is the lookback.
    fn of(ts: &Arc<[i64]>, spec: &WindowSpec) -> Self {
        let mut next = 0;
        let mut complete = true;
        let index = (0..spec.grid.n)
            .map(|k| {
                let (start, end) = spec.range_at(k);
                advance(ts, &mut next, end);
                match next.checked_sub(1) {
                    Some(i) if ts[i] > start => i as u32,
                    _ => {
                        complete = false;
                        Self::NONE
                    }
                }
            })
            .collect();
        Self {
            key: ts.clone(),
            index,
            complete,
        }
    }
}
