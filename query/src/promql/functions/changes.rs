//! resets and changes: counting transitions, over floats and histograms in time order.

use engine::model::FloatHistogram;

use super::window::{Env, Window, start_says_reset};
use crate::promql::eval::series::{Point, Steps};
use crate::promql::eval::windows::Windows;
use crate::promql::histogram as hist;

/// Floats only: the number of transitions is a difference of prefix counts.
pub(crate) fn float_column(resets: bool, vals: &[f64], w: &Windows, out: &mut Steps) {
    let mut prefix = Vec::with_capacity(vals.len());
    let mut n = 0u32;
    for i in 0..vals.len() {
        if i > 0 && float_transition(resets, vals[i - 1], vals[i]) {
            n += 1;
        }
        prefix.push(n);
    }
    for k in 0..out.n() {
        let (lo, hi) = w.bounds(k);
        if hi > lo {
            out.set(k, f64::from(prefix[hi - 1] - prefix[lo]));
        }
    }
}

fn float_transition(resets: bool, before: f64, now: f64) -> bool {
    if resets {
        now < before
    } else {
        now != before && !(now.is_nan() && before.is_nan())
    }
}

enum Seen<'a> {
    Float(f64),
    Hist(&'a FloatHistogram),
}

/// Any window.
pub(crate) fn window(resets: bool, w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
    let (mut f, mut h) = first_indexes(w, env)?;
    if f >= w.vals.len() && h >= w.hists.len() {
        return None;
    }
    let mut count = 0u32;
    let mut before: Option<(i64, i64, Seen<'_>)> = None;
    while f < w.vals.len() || h < w.hists.len() {
        let float_next = h >= w.hists.len() || (f < w.vals.len() && w.ts[f] <= w.hists[h].t);
        let now = if float_next {
            f += 1;
            (
                w.ts[f - 1],
                env.start_of(w, f - 1),
                Seen::Float(w.vals[f - 1]),
            )
        } else {
            h += 1;
            (
                w.hists[h - 1].t,
                env.hist_start_of(w, h - 1),
                Seen::Hist(&w.hists[h - 1].h),
            )
        };
        if let Some((t0, s0, p0)) = &before {
            let started = || resets && start_says_reset(*s0, *t0, now.1, now.0);
            let transition = match (p0, &now.2) {
                (Seen::Float(a), Seen::Float(b)) => float_transition(resets, *a, *b) || started(),
                (Seen::Hist(a), Seen::Hist(b)) if resets => started() || hist::detect_reset(b, a),
                (Seen::Hist(a), Seen::Hist(b)) => !hist::equals(b, a),
                _ => true,
            };
            count += u32::from(transition);
        }
        before = Some(now);
    }
    Some(Point::Float(f64::from(count)))
}

/// First float and first histogram to look at. Anchored ranges begin with the last sample at or
/// before the start; `None` when nothing follows it.
fn first_indexes(w: &Window<'_>, env: &Env<'_>) -> Option<(usize, usize)> {
    if !env.anchored {
        return Some((0, 0));
    }
    let f = w.ts.partition_point(|t| *t <= w.start);
    let h = w.hists.partition_point(|p| p.t <= w.start);
    if f >= w.vals.len() && h >= w.hists.len() {
        return None;
    }
    Some(match (f.checked_sub(1), h.checked_sub(1)) {
        (None, None) => (0, 0),
        (Some(a), None) => (a, h),
        (None, Some(b)) => (f, b),
        (Some(a), Some(b)) if w.ts[a] >= w.hists[b].t => (a, h),
        (Some(_), Some(b)) => (f, b),
    })
}
