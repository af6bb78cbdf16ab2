//! deriv, predict_linear, double_exponential_smoothing.

use super::kahan;
use super::window::{Env, Window};
use crate::promql::eval::series::Point;

/// Least squares: slope per second and value at `at`.
fn linear(w: &Window<'_>, at: i64) -> (f64, f64) {
    let first = w.vals[0];
    if w.vals.iter().skip(1).all(|v| *v == first) {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let [mut x, mut y, mut xy, mut x2] = [(0.0, 0.0); 4];
    for (t, v) in w.ts.iter().zip(w.vals) {
        let s = (t - at) as f64 / 1e3;
        x = kahan::inc(s, x.0, x.1);
        y = kahan::inc(*v, y.0, y.1);
        xy = kahan::inc(s * v, xy.0, xy.1);
        x2 = kahan::inc(s * s, x2.0, x2.1);
    }
    let n = w.vals.len() as f64;
    let [x, y, xy, x2] = [x, y, xy, x2].map(|(sum, c)| sum + c);
    let slope = (xy - x * y / n) / (x2 - x * x / n);
    (slope, y / n - slope * x / n)
}

/// Notes histograms beside floats; `None` with fewer than two floats.
fn enough(w: &Window<'_>, env: &Env<'_>) -> Option<()> {
    if !w.hists.is_empty() && !w.vals.is_empty() {
        env.note(|a, m, s| a.histograms_in_mixed_range(m, s));
    }
    (w.vals.len() >= 2).then_some(())
}

pub(crate) fn deriv(w: &Window<'_>, env: &Env<'_>) -> Option<Point> {
    enough(w, env)?;
    Some(Point::Float(linear(w, w.ts[0]).0))
}

pub(crate) fn predict_linear(w: &Window<'_>, env: &Env<'_>, seconds: f64) -> Option<Point> {
    enough(w, env)?;
    let (slope, intercept) = linear(w, w.t);
    Some(Point::Float(slope * seconds + intercept))
}

/// Smoothing factor and trend factor are between 0 and 1, checked by the caller.
pub(crate) fn double_exponential(w: &Window<'_>, env: &Env<'_>, sf: f64, tf: f64) -> Option<Point> {
    enough(w, env)?;
    let mut trend = w.vals[1] - w.vals[0];
    let (mut before, mut level) = (0.0, w.vals[0]);
    for (i, v) in w.vals.iter().enumerate().skip(1) {
        if i > 1 {
            trend = tf * (level - before) + (1.0 - tf) * trend;
        }
        (before, level) = (level, sf * v + (1.0 - sf) * (level + trend));
    }
    Some(Point::Float(level))
}
