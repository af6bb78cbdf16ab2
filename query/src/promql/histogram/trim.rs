//! `</` and `>/`: the part of a histogram below or above a value.

use engine::model::FloatHistogram;

use super::bounds::{Bucket, Spread, negative, positive};
use super::{compact, uses_custom_buckets};

/// Keeps the observations below (`upper`) or above `at`. Count and sum are estimated from the
/// buckets that remain, and only when something was cut off.
pub fn trim(h: &mut FloatHistogram, at: f64, upper: bool) {
    let custom = uses_custom_buckets(h);
    let (mut count, mut sum, mut trimmed) = (0.0, 0.0, false);
    let mut sides: [Vec<Bucket>; 2] = [positive(h).collect(), negative(h).collect()];
    let mut has = [false; 2];
    for (side, buckets) in sides.iter_mut().enumerate() {
        let is_positive = side == 0;
        for b in buckets {
            if b.count == 0.0 {
                continue;
            }
            has[side] = true;
            let whole = if upper { b.upper <= at } else { b.lower >= at };
            let partly = if upper { b.lower < at } else { b.upper > at };
            if whole {
                count += b.count;
                sum += midpoint(b.lower, b.upper, is_positive, custom) * b.count;
            } else if partly {
                let (keep, middle) = cut(b, at, upper, is_positive, custom);
                count += keep;
                sum += middle * keep;
                trimmed |= b.count != keep;
                b.count = keep;
            } else {
                b.count = 0.0;
                trimmed = true;
            }
        }
    }
    let [has_positive, has_negative] = has;
    if h.zero_count > 0.0 && !custom {
        let lower = if has_positive && !has_negative {
            0.0
        } else {
            -h.zero_threshold
        };
        let top = if has_negative && !has_positive {
            0.0
        } else {
            h.zero_threshold
        };
        let (share, middle) = cut_zero(lower, top, at, upper);
        let keep = h.zero_count * share;
        trimmed |= h.zero_count != keep;
        h.zero_count = keep;
        sum += middle * keep;
        count += keep;
    }
    let [p, n] = sides;
    h.positive = p.iter().map(|b| b.count).collect();
    h.negative = n.iter().map(|b| b.count).collect();
    if trimmed {
        h.count = count;
        h.sum = sum;
        compact(h);
    }
}

/// Share of the zero bucket that stays, and where its observations are taken to be.
fn cut_zero(lower: f64, top: f64, at: f64, upper: bool) -> (f64, f64) {
    let all = (1.0, (lower + top) / 2.0);
    let none = (0.0, 0.0);
    if at <= lower {
        return if upper { none } else { all };
    }
    if at >= top {
        return if upper { all } else { none };
    }
    if upper {
        ((at - lower) / (top - lower), (lower + at) / 2.0)
    } else {
        ((top - at) / (top - lower), (at + top) / 2.0)
    }
}

/// Count that stays of a bucket that `at` divides, and where it is taken to be.
fn cut(b: &Bucket, at: f64, upper: bool, is_positive: bool, custom: bool) -> (f64, f64) {
    if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
        return cut_endless(b, at, upper);
    }
    let below = if at <= b.lower {
        0.0
    } else if at >= b.upper {
        b.count
    } else {
        let spread = if custom {
            Spread::Linear
        } else {
            Spread::Logarithmic
        };
        b.count * b.share_below(at, spread)
    };
    if upper {
        (below, midpoint(b.lower, at, is_positive, custom))
    } else {
        (b.count - below, midpoint(at, b.upper, is_positive, custom))
    }
}

/// Count that stays of a bucket without a bound on one side, which `at` divides, and where it is
/// taken to be. Such a bucket has no shape to interpolate in, with one exception: a first bucket
/// with a positive bound is taken to start at 0.
fn cut_endless(b: &Bucket, at: f64, upper: bool) -> (f64, f64) {
    let (all, none) = ((b.count, at), (0.0, 0.0));
    if b.lower != f64::NEG_INFINITY {
        // Observations above the last bound may be anywhere: they stay with what is above.
        return if upper { none } else { all };
    }
    let starts_at_zero = b.upper > 0.0 && b.upper != f64::INFINITY;
    match upper {
        true if b.upper <= 0.0 => all,
        true if starts_at_zero && at > 0.0 => (b.count * at / b.upper, at / 2.0),
        false if starts_at_zero && at >= 0.0 => {
            (b.count * (1.0 - at / b.upper), (at + b.upper) / 2.0)
        }
        _ => none,
    }
}

/// Where the observations of an interval are taken to be.
fn midpoint(lower: f64, upper: f64, is_positive: bool, linear: bool) -> f64 {
    if lower.is_infinite() {
        return if upper.is_infinite() {
            0.0
        } else if upper > 0.0 {
            upper / 2.0
        } else {
            upper
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    if linear {
        return (lower + upper) / 2.0;
    }
    let middle = (lower * upper).abs().sqrt();
    if is_positive { middle } else { -middle }
}
