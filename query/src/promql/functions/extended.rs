//! `anchored` and `smoothed` ranges: the values at the borders are the last sample before the
//! border or an interpolation, instead of an extrapolation.

use std::sync::Arc;

use engine::model::{CounterResetHint, FloatHistogram, HistogramSample};

use super::rate::{RateKind, add_noted};
use super::window::{Env, Window};
use crate::promql::eval::series::Point;
use crate::promql::histogram::{self as hist, IncompatibleSchemas};

pub(crate) fn window(kind: RateKind, w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
    match (w.vals.is_empty(), w.hists.is_empty()) {
        (false, false) => {
            env.note(|a, m, s| a.mixed_floats_histograms(m, s));
            None
        }
        (true, false) => histograms(kind, w, env),
        (false, true) => floats(kind, w, env),
        (true, true) => None,
    }
}

/// Indexes of the samples that decide the borders: the last at or before the start (or the first
/// of all) and the last of all or, smoothed, the first at or after the end.
/// `None` when nothing lies inside.
fn borders(
    t: impl Fn(usize) -> i64,
    n: usize,
    w: &Window<'_>,
    smoothed: bool,
) -> Option<(usize, usize)> {
    let mut last = n.checked_sub(1)?;
    let first = (0..last)
        .find(|i| t(*i) > w.start)
        .unwrap_or(last)
        .saturating_sub(1);
    if smoothed {
        last = (0..last).find(|i| t(*i) >= w.end).unwrap_or(last);
    }
    (t(last) > w.start).then_some((first, last))
}

/// Value at `t` between two samples; a counter that went down started from 0.
pub(crate) fn interpolate(p0: (i64, f64), p1: (i64, f64), t: i64, counter: bool) -> f64 {
    let mut from = p0.1;
    if counter && p1.1 < from {
        from = 0.0;
    }
    from + (p1.1 - from) * (t - p0.0) as f64 / (p1.0 - p0.0) as f64
}

/// The values of a window with its borders filled in: one exactly at the start, those strictly
/// between, one exactly at the end.
struct Path<'a> {
    left: f64,
    ts: &'a [i64],
    inner: &'a [f64],
    right: f64,
}

impl<'a> Path<'a> {
    /// `None` when no sample decides the borders.
    fn of(w: &Window<'a>, smoothed: bool, counter: bool) -> Option<Self> {
        let (first, last) = borders(|i| w.ts[i], w.vals.len(), w, smoothed)?;
        let sample = |i: usize| Some((*w.ts.get(i)?, *w.vals.get(i)?));
        let (before, after) = (sample(first)?, sample(last)?);
        let on_line = |a, b, t| smoothed.then(|| interpolate(a, b, t, counter));
        let left = sample(first + 1)
            .filter(|_| before.0 < w.start)
            .and_then(|next| on_line(before, next, w.start));
        let right = last
            .checked_sub(1)
            .and_then(sample)
            .filter(|_| after.0 > w.end)
            .and_then(|previous| on_line(previous, after, w.end));
        let from = first + usize::from(before.0 <= w.start);
        let to = (last + usize::from(after.0 < w.end)).max(from);
        Some(Self {
            left: left.unwrap_or(before.1),
            ts: w.ts.get(from..to).unwrap_or(&[]),
            inner: w.vals.get(from..to).unwrap_or(&[]),
            right: right.unwrap_or(after.1),
        })
    }

    /// What a counter lost in resets on its way from border to border.
    fn lost_in_resets(&self) -> impl Iterator<Item = f64> + '_ {
        let values = || self.inner.iter().copied().chain([self.right]);
        std::iter::once(self.left)
            .chain(values())
            .zip(values())
            .filter(|(before, after)| after < before)
            .map(|(before, _)| before)
    }
}

fn floats(kind: RateKind, w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
    if env.smoothed && w.ts.first().is_some_and(|t| *t > w.end) {
        return None;
    }
    let path = Path::of(w, env.smoothed, kind.counter)?;
    let mut v = path.right - path.left;
    if kind.counter {
        v = path.lost_in_resets().fold(v, |v, lost| v + lost);
    }
    if kind.per_second {
        v /= w.range_seconds();
    }
    Some(Point::Float(v))
}

/// The points of a range selector with border values in place, as a query for the bare range
/// returns them.
pub(crate) fn border_points(w: &Window<'_>, smoothed: bool) -> Vec<(i64, f64)> {
    let Some(path) = Path::of(w, smoothed, false) else {
        return Vec::new();
    };
    let inner = path.ts.iter().copied().zip(path.inner.iter().copied());
    std::iter::once((w.start, path.left))
        .chain(inner)
        .chain([(w.end, path.right)])
        .collect()
}

/// Histogram at `t` between two samples; notes reconciled bounds.
pub(crate) fn interpolate_histograms(
    p0: &HistogramSample,
    p1: &HistogramSample,
    t: i64,
    counter: bool,
    mut reconciled: impl FnMut(&'static str),
) -> Result<FloatHistogram, IncompatibleSchemas> {
    if t == p0.t {
        return Ok((*p0.h).clone());
    }
    if t == p1.t {
        return Ok((*p1.h).clone());
    }
    let fraction = (t - p0.t) as f64 / (p1.t - p0.t) as f64;
    let mut h = (*p1.h).clone();
    if counter && hist::detect_reset(&p1.h, &p0.h) {
        hist::mul(&mut h, fraction);
        return Ok(h);
    }
    if hist::sub(&mut h, &p0.h)?.bounds_reconciled {
        reconciled("subtraction");
    }
    hist::mul(&mut h, fraction);
    if hist::add(&mut h, &p0.h)?.bounds_reconciled {
        reconciled("addition");
    }
    Ok(h)
}

fn histograms(kind: RateKind, w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
    let (points, smoothed) = (w.hists, env.smoothed);
    let (first, last) = borders(|i| points[i].t, points.len(), w, smoothed)?;
    if smoothed && points[first].t > w.end {
        return None;
    }
    let custom = hist::uses_custom_buckets(&points[first].h);
    for p in &points[first..=last] {
        if hist::uses_custom_buckets(&p.h) != custom {
            env.note(|a, m, s| a.mixed_schemas(m, s));
            return None;
        }
        if kind.counter && p.h.hint == CounterResetHint::Gauge {
            env.note(|a, m, s| a.not_counter(m, s));
        }
    }
    let between = |a: usize, b: usize, t: i64| {
        let note = |op: &'static str| env.note(|a, _, s| a.bounds_reconciled(op, s));
        interpolate_histograms(&points[a], &points[b], t, kind.counter, note)
            .map_err(|_| env.note(|a, m, s| a.mixed_schemas(m, s)))
            .ok()
    };
    let left = if smoothed && points[first].t < w.start && first + 1 < points.len() {
        between(first, first + 1, w.start)?
    } else {
        (*points[first].h).clone()
    };
    let right = if smoothed && last > 0 && points[last].t > w.end {
        between(last - 1, last, w.end)?
    } else {
        (*points[last].h).clone()
    };
    let gauge = |h: &FloatHistogram| h.hint == CounterResetHint::Gauge;
    if !(kind.counter || gauge(&left) && gauge(&right)) {
        env.note(|a, m, s| a.not_gauge(m, s));
    }
    let mut h = right.clone();
    match hist::sub(&mut h, &left) {
        Ok(done) if done.bounds_reconciled => {
            env.note(|a, _, s| a.bounds_reconciled("subtraction", s))
        }
        Ok(_) => {}
        Err(_) => {
            env.note(|a, m, s| a.mixed_schemas(m, s));
            return None;
        }
    }
    if kind.counter
        && let Some(correction) = reset_correction(w, env, (first, last), &left, &right)?
    {
        add_noted(&mut h, &correction, env)?;
    }
    if kind.per_second {
        hist::div(&mut h, w.range_seconds());
    }
    h.hint = CounterResetHint::Gauge;
    hist::compact(&mut h);
    Some(Point::Hist(Arc::new(h)))
}

/// Sum of what was lost in resets between the borders. The outer `None` stops the evaluation.
fn reset_correction(
    w: &Window<'_>,
    env: &Env<'_>,
    (first, last): (usize, usize),
    left: &FloatHistogram,
    right: &FloatHistogram,
) -> Option<Option<FloatHistogram>> {
    let points = w.hists;
    let mut from = first + 1;
    let mut before: &FloatHistogram = left;
    // A reset between the sample before the range and the next is already in the left border.
    if env.smoothed
        && points[first].t < w.start
        && let Some(next) = points.get(first + 1)
        && hist::detect_reset(&next.h, &points[first].h)
    {
        before = &next.h;
        from += 1;
    }
    if from > last {
        return Some(None);
    }
    let mut correction: Option<FloatHistogram> = None;
    for h in points[from..last].iter().map(|p| &*p.h).chain([right]) {
        if hist::detect_reset(h, before) {
            match &mut correction {
                None => correction = Some(before.clone()),
                Some(c) => add_noted(c, before, env)?,
            }
        }
        before = h;
    }
    Some(correction)
}
