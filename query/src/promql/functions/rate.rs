//! rate, increase, delta with extrapolation to the borders of the range; irate, idelta.

use std::sync::Arc;

use engine::model::{CounterResetHint, FloatHistogram, HistogramSample};

use super::window::{Env, Window, start_overlaps, start_says_reset};
use crate::promql::eval::series::{Point, Steps};
use crate::promql::eval::windows::Windows;
use crate::promql::histogram as hist;

/// What of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateKind {
    /// rate and increase: resets count up.
    pub(crate) counter: bool,
    /// rate: per second.
    pub(crate) per_second: bool,
}

/// A gap to the border longer than this many average sample distances is not bridged.
const EXTRAPOLATION_LIMIT: f64 = 1.1;

/// Value-independent part of the extrapolation, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gaps {
    sampled: f64,
    to_start: f64,
    to_end: f64,
}

/// For a window `(start, end]` with `count` samples from `first` to `last`.
#[inline]
pub(crate) fn gaps(start: i64, end: i64, first: i64, last: i64, count: usize) -> Gaps {
    let sampled = (last - first) as f64 / 1000.0;
    let average = if count > 1 {
        sampled / (count - 1) as f64
    } else {
        0.0
    };
    let limit = average * EXTRAPOLATION_LIMIT;
    let bridge = |gap: f64| if gap >= limit { average / 2.0 } else { gap };
    Gaps {
        sampled,
        to_start: bridge((first - start) as f64 / 1000.0),
        to_end: bridge((end - last) as f64 / 1000.0),
    }
}

/// Floats only, no start timestamps: the hot path. `gaps` holds one entry per step.
pub(crate) fn float_column(
    kind: RateKind,
    vals: &[f64],
    w: &Windows,
    gaps: &[Gaps],
    out: &mut Steps,
) {
    let resets = if kind.counter {
        resets_of(vals)
    } else {
        Vec::new()
    };
    let divisor = if kind.per_second {
        w.range_ms() as f64 / 1000.0
    } else {
        1.0
    };
    if resets.is_empty() && w.smallest >= 2 {
        for (k, (slot, gap)) in out.vals.iter_mut().zip(gaps).enumerate() {
            let (lo, hi) = w.bounds(k);
            let (first, last) = (vals[lo], vals[hi - 1]);
            *slot = extrapolate(kind.counter, first, last - first, gap, divisor);
        }
        out.mask.fill();
        return;
    }
    let mut next_reset = 0;
    for (k, gap) in gaps.iter().enumerate() {
        let (lo, hi) = w.bounds(k);
        if hi < lo + 2 {
            continue;
        }
        let (first, last) = (vals[lo], vals[hi - 1]);
        let mut delta = last - first;
        while resets.get(next_reset).is_some_and(|r| *r as usize <= lo) {
            next_reset += 1;
        }
        for r in &resets[next_reset..] {
            if *r as usize >= hi {
                break;
            }
            delta += vals[*r as usize - 1];
        }
        out.set(k, extrapolate(kind.counter, first, delta, gap, divisor));
    }
}

/// Indexes of the values that are below the one before. Most columns have none, which one pass
/// without branches tells.
fn resets_of(vals: &[f64]) -> Vec<u32> {
    let mut out = Vec::new();
    let (before, after) = (vals.iter(), vals.iter().skip(1));
    if !before.zip(after).fold(false, |any, (a, b)| any | (b < a)) {
        return out;
    }
    for i in 1..vals.len() {
        if vals[i] < vals[i - 1] {
            out.push(i as u32);
        }
    }
    out
}

/// The increase `delta` stretched to the borders of the range and divided by `divisor`.
#[inline(always)]
fn extrapolate(counter: bool, first: f64, delta: f64, gap: &Gaps, divisor: f64) -> f64 {
    let mut to_start = gap.to_start;
    if counter && delta > 0.0 && first >= 0.0 {
        // A counter was not below zero before its first sample.
        let to_zero = gap.sampled * (first / delta);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    let mut factor = 1.0;
    if gap.sampled != 0.0 {
        factor = (gap.sampled + to_start + gap.to_end) / gap.sampled;
    }
    delta * (factor / divisor)
}

/// Any window.
pub(crate) fn window(kind: RateKind, w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
    if env.anchored || env.smoothed {
        return super::extended::window(kind, w, env);
    }
    if !w.hists.is_empty() && !w.vals.is_empty() {
        env.note(|a, m, s| a.mixed_floats_histograms(m, s));
        return None;
    }
    let floats = w.hists.is_empty();
    let count = if floats { w.vals.len() } else { w.hists.len() };
    let last_index = count.checked_sub(1)?;
    let t_of = |i: usize| if floats { w.ts[i] } else { w.hists[i].t };
    let (first_t, last_t) = (t_of(0), t_of(last_index));

    let mut delta = 0.0;
    let mut h: Option<FloatHistogram> = None;
    if floats {
        delta = w.vals[last_index] - w.vals[0];
        if kind.counter {
            delta += float_resets(w, env);
        }
    } else if count > 1 {
        h = Some(histogram_delta(w, kind.counter, env)?);
    }

    let mut gap = gaps(w.start, w.end, first_t, last_t, count);
    let start = if !kind.counter || !env.use_start {
        0
    } else if floats {
        env.start_of(w, 0)
    } else {
        env.hist_start_of(w, 0)
    };
    if start != 0 && start > w.start && start < first_t {
        // The series began inside the range: nothing to guess before it.
        gap.to_start = 0.0;
        gap.sampled = (last_t - start) as f64 / 1000.0;
        if floats {
            delta += w.vals[0];
        } else {
            let first = &w.hists[0].h;
            match &mut h {
                None => h = Some((**first).clone()),
                Some(h) => add_noted(h, first, env)?,
            }
        }
    } else if last_index == 0 {
        return None;
    } else if kind.counter {
        let mut to_zero = gap.to_start;
        if floats {
            if delta > 0.0 && w.vals[0] >= 0.0 {
                to_zero = gap.sampled * (w.vals[0] / delta);
            }
        } else if let Some(h) = &h
            && h.count > 0.0
            && w.hists[0].h.count >= 0.0
        {
            to_zero = gap.sampled * (w.hists[0].h.count / h.count);
        }
        if to_zero < gap.to_start {
            gap.to_start = to_zero;
        }
    }
    let mut factor = 1.0;
    if gap.sampled != 0.0 {
        factor = (gap.sampled + gap.to_start + gap.to_end) / gap.sampled;
    }
    if kind.per_second {
        factor /= w.range_seconds();
    }
    Some(match h {
        None => Point::Float(delta * factor),
        Some(mut h) => {
            hist::mul(&mut h, factor);
            Point::Hist(Arc::new(h))
        }
    })
}

fn float_resets(w: &Window<'_>, env: &Env<'_>) -> f64 {
    let mut sum = 0.0;
    let mut overlap = false;
    for i in 1..w.vals.len() {
        let (s0, s1) = (env.start_of(w, i - 1), env.start_of(w, i));
        if !overlap && start_overlaps(s0, w.ts[i - 1], s1) {
            overlap = true;
            env.note(|a, m, s| a.start_time_overlap(m, s));
        }
        if w.vals[i] < w.vals[i - 1] || start_says_reset(s0, w.ts[i - 1], s1, w.ts[i]) {
            sum += w.vals[i - 1];
        }
    }
    sum
}

/// Adds a histogram; what the addition has to say becomes an annotation, and `None` when the two
/// cannot be added.
pub(super) fn add_noted(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
    env: &Env<'_>,
) -> Option<()> {
    match hist::add(h, other) {
        Ok(done) => {
            if done.bounds_reconciled {
                env.note(|a, _, s| a.bounds_reconciled("addition", s));
            }
            Some(())
        }
        Err(_) => {
            env.note(|a, m, s| a.mixed_schemas(m, s));
            None
        }
    }
}

/// Last minus first with resets added back. At least two points.
fn histogram_delta(w: &Window<'_>, counter: bool, env: &Env<'_>) -> Option<FloatHistogram> {
    let points = w.hists;
    let gauge = |h: &FloatHistogram| h.hint == CounterResetHint::Gauge;
    let last = &points[points.len() - 1].h;
    let is_reset = |i: usize, before: &FloatHistogram| {
        let (s0, s1) = (env.hist_start_of(w, i - 1), env.hist_start_of(w, i));
        start_says_reset(s0, points[i - 1].t, s1, points[i].t)
            || hist::detect_reset(&points[i].h, before)
    };
    if counter && (gauge(&points[0].h) || gauge(last)) {
        env.note(|a, m, s| a.not_counter(m, s));
    }
    let mut first = points[0].h.clone();
    let mut custom = hist::uses_custom_buckets(&first);
    if counter && is_reset(1, &first) {
        // The first point does not matter then; its schema must not either.
        let second = &points[1].h;
        first = Arc::new(FloatHistogram {
            schema: second.schema,
            custom_values: second.custom_values.clone(),
            ..FloatHistogram::default()
        });
        custom = hist::uses_custom_buckets(second);
    }
    let mixed = || {
        env.note(|a, m, s| a.mixed_schemas(m, s));
        None
    };
    if hist::uses_custom_buckets(last) != custom {
        return mixed();
    }
    let mut schema = last.schema.min(first.schema);
    if counter {
        for p in &points[1..points.len() - 1] {
            if gauge(&p.h) {
                env.note(|a, m, s| a.not_counter(m, s));
            }
            schema = schema.min(p.h.schema);
            if hist::uses_custom_buckets(&p.h) != custom {
                return mixed();
            }
        }
    }
    let mut h = hist::at_schema(last, schema);
    match hist::sub(&mut h, &first) {
        Ok(done) if done.bounds_reconciled => {
            env.note(|a, _, s| a.bounds_reconciled("subtraction", s))
        }
        Ok(_) => {}
        Err(_) => return mixed(),
    }
    if counter {
        let mut before = first;
        let mut overlap = false;
        for i in 1..points.len() {
            let (s0, s1) = (env.hist_start_of(w, i - 1), env.hist_start_of(w, i));
            if !overlap && start_overlaps(s0, points[i - 1].t, s1) {
                overlap = true;
                env.note(|a, m, s| a.start_time_overlap(m, s));
            }
            if is_reset(i, &before) {
                add_noted(&mut h, &before, env)?;
            }
            before = points[i].h.clone();
        }
    } else if !gauge(&points[0].h) || !gauge(last) {
        env.note(|a, m, s| a.not_gauge(m, s));
    }
    h.hint = CounterResetHint::Gauge;
    hist::compact(&mut h);
    Some(h)
}

/// irate (`counter`) and idelta: the last two samples.
pub(crate) fn instant_window(counter: bool, w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
    #[derive(Clone, Copy)]
    enum Last<'a> {
        Float(f64),
        Hist(&'a HistogramSample),
    }
    let floats = (0..w.vals.len())
        .rev()
        .take(2)
        .map(|i| (w.ts[i], env.start_of(w, i), Last::Float(w.vals[i])));
    let hists = (0..w.hists.len()).rev().take(2).map(|i| {
        (
            w.hists[i].t,
            env.hist_start_of(w, i),
            Last::Hist(&w.hists[i]),
        )
    });
    let mut last: Vec<(i64, i64, Last<'_>)> = floats.chain(hists).collect();
    last.sort_by_key(|p| std::cmp::Reverse(p.0));
    let [(t1, s1, p1), (t0, s0, p0), ..] = last.as_slice() else {
        return None;
    };
    let seconds = (t1 - t0) as f64 / 1000.0;
    if seconds == 0.0 {
        return None;
    }
    let reset = start_says_reset(*s0, *t0, *s1, *t1);
    match (p0, p1) {
        (Last::Float(v0), Last::Float(v1)) => {
            let mut v = *v1;
            if !counter || !(v1 < v0 || reset) {
                v = v1 - v0;
            }
            Some(Point::Float(if counter { v / seconds } else { v }))
        }
        (Last::Hist(h0), Last::Hist(h1)) => {
            let gauge = |h: &HistogramSample| h.h.hint == CounterResetHint::Gauge;
            if counter && (gauge(h0) || gauge(h1)) {
                env.note(|a, m, s| a.not_counter(m, s));
            }
            if !(counter || gauge(h0) && gauge(h1)) {
                env.note(|a, m, s| a.not_gauge(m, s));
            }
            let mut h = (*h1.h).clone();
            if !counter || !(reset || hist::detect_reset(&h1.h, &h0.h)) {
                match hist::sub(&mut h, &h0.h) {
                    Ok(done) if done.bounds_reconciled => {
                        env.note(|a, _, s| a.bounds_reconciled("subtraction", s));
                    }
                    Ok(_) => {}
                    Err(_) => {
                        env.note(|a, m, s| a.mixed_schemas(m, s));
                        return None;
                    }
                }
            }
            h.hint = CounterResetHint::Gauge;
            hist::compact(&mut h);
            if counter {
                hist::div(&mut h, seconds);
            }
            Some(Point::Hist(Arc::new(h)))
        }
        _ => {
            env.note(|a, m, s| a.mixed_floats_histograms(m, s));
            None
        }
    }
}
