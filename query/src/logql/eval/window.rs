//! Functions over the samples of one window.

use crate::logql::ast::RangeOp;

/// The samples of a window with its bounds, ns.
pub(super) struct Window<'w> {
    pub(super) times: &'w [i64],
    pub(super) values: &'w [f64],
    /// Excluded.
    pub(super) from: i64,
    /// Included.
    pub(super) to: i64,
}

/// The value of `op`; windows are never empty.
pub(super) fn value(op: RangeOp, param: Option<f64>, w: &Window<'_>) -> f64 {
    let v = w.values;
    let seconds = (w.to - w.from) as f64 / 1e9;
    match op {
        RangeOp::SumOverTime => v.iter().sum(),
        RangeOp::Rate => v.iter().sum::<f64>() / seconds,
        RangeOp::RateCounter => rate_counter(w, seconds),
        RangeOp::AvgOverTime => mean(v),
        RangeOp::MinOverTime => extreme(v, |a, b| a < b),
        RangeOp::MaxOverTime => extreme(v, |a, b| a > b),
        RangeOp::StdvarOverTime => variance(v),
        RangeOp::StddevOverTime => variance(v).sqrt(),
        RangeOp::QuantileOverTime => quantile(param.unwrap_or(f64::NAN), v),
        RangeOp::FirstOverTime => v.first().copied().unwrap_or(f64::NAN),
        RangeOp::LastOverTime => v.last().copied().unwrap_or(f64::NAN),
        RangeOp::CountOverTime
        | RangeOp::BytesOverTime
        | RangeOp::BytesRate
        | RangeOp::AbsentOverTime => v.len() as f64,
    }
}

fn mean(v: &[f64]) -> f64 {
    let (mut mean, mut n) = (0.0, 0.0);
    for x in v {
        n += 1.0;
        if f64::is_infinite(mean) && (x.is_infinite() || x.is_finite()) {
            if mean == *x || x.is_finite() {
                continue;
            }
            mean = f64::NAN;
            continue;
        }
        mean += x / n - mean / n;
    }
    mean
}

/// The first value that `better` prefers to all others; NaN only when there is nothing else.
fn extreme(v: &[f64], better: fn(f64, f64) -> bool) -> f64 {
    let mut best = f64::NAN;
    for x in v {
        if best.is_nan() || better(*x, best) {
            best = *x;
        }
    }
    best
}

/// Population variance (Welford).
pub(super) fn variance(v: &[f64]) -> f64 {
    let (mut n, mut mean, mut aux) = (0.0, 0.0, 0.0);
    for x in v {
        n += 1.0;
        let delta = x - mean;
        mean += delta / n;
        aux += delta * (x - mean);
    }
    aux / n
}

/// Linear interpolation between the two nearest ranks.
fn quantile(q: f64, v: &[f64]) -> f64 {
    if q.is_nan() || v.is_empty() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let mut sorted = v.to_vec();
    // NaN sorts first, as in the original.
    sorted.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        _ => a.total_cmp(b),
    });
    let rank = q * (sorted.len() - 1) as f64;
    let low = rank.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    let weight = rank - rank.floor();
    sorted[low] * (1.0 - weight) + sorted[high] * weight
}

/// Increase of a counter a second, extrapolated to the window as Prometheus' `rate` does; fewer
/// than two samples give 0.
fn rate_counter(w: &Window<'_>, seconds: f64) -> f64 {
    let (Some(first), Some(last)) = (w.values.first(), w.values.last()) else {
        return 0.0;
    };
    let n = w.values.len();
    if n < 2 {
        return 0.0;
    }
    let mut increase = last - first;
    let mut before = 0.0;
    for v in w.values {
        if *v < before {
            increase += before;
        }
        before = *v;
    }
    let span = |a: i64, b: i64| (b - a) as f64 / 1e9;
    let (t0, t1) = (w.times[0], w.times[n - 1]);
    let mut to_start = span(w.from, t0);
    let to_end = span(t1, w.to);
    let sampled = span(t0, t1);
    let average = sampled / (n - 1) as f64;
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    // A counter cannot have been below zero.
    if increase > 0.0 && *first >= 0.0 {
        to_start = to_start.min(sampled * (first / increase));
    }
    let to_end = if to_end < threshold {
        to_end
    } else {
        average / 2.0
    };
    let covered = sampled + to_start + to_end;
    increase * (covered / sampled) / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics() {
        let v = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(mean(&v), 2.5);
        assert_eq!(variance(&v), 1.25);
        assert_eq!(quantile(0.5, &v), 2.5);
        assert_eq!(quantile(1.5, &v), f64::INFINITY);
        assert_eq!(extreme(&[f64::NAN, 2.0, 1.0], |a, b| a < b), 1.0);
        assert_eq!(mean(&[f64::INFINITY, 1.0]), f64::INFINITY);
    }

    #[test]
    fn counters_are_extrapolated_to_the_window() {
        let times: Vec<i64> = (1..=6).map(|i| i * 10_000_000_000).collect();
        let w = Window {
            times: &times,
            values: &[0.0, 10.0, 20.0, 5.0, 15.0, 25.0],
            from: 0,
            to: 60_000_000_000,
        };
        // 45 in 50 s; the counter starts at zero, so nothing is added before it.
        let want = 45.0 / 60.0;
        assert!((value(RangeOp::RateCounter, None, &w) - want).abs() < 1e-12);
    }
}
