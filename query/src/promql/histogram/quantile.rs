//! Quantiles and fractions of native histograms.
//!
//! Both read the histogram as a cumulative count over the values: a quantile looks up the value of
//! a count, a fraction the counts of two values. Inside a bucket the count grows by its
//! [`Spread`](super::bounds::Spread).
//!
//! Observations of NaN are in the total count but in no bucket. A sum of NaN tells that there are
//! some; they then count as larger than everything else.

use engine::model::FloatHistogram;

use super::bounds::Bucket;
use super::{all_buckets, uses_custom_buckets};

/// What observations of NaN did to a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NanNote {
    /// The quantile falls among them: the result is NaN.
    Result,
    /// They count as larger than everything else.
    Skewed,
    /// They are part of no fraction.
    Excluded,
}

/// The zero bucket reaches only to the side that has buckets, if that is one side.
fn fit_zero_bucket(h: &FloatHistogram, mut b: Bucket) -> Bucket {
    match (h.negative.is_empty(), h.positive.is_empty()) {
        (true, false) => b.lower = 0.0,
        (false, true) => b.upper = 0.0,
        _ => {}
    }
    b
}

/// Observations in all buckets, which leaves those of NaN out.
fn in_buckets(h: &FloatHistogram) -> f64 {
    all_buckets(h).fold(0.0, |n, b| n + b.count)
}

/// A bucket found by counting, and the observations up to and including its own.
struct Reached {
    bucket: Bucket,
    count: f64,
}

/// Counts bucket by bucket until `rank` observations are reached; the last bucket when they are
/// not. `None` without buckets.
fn reach(buckets: impl Iterator<Item = Bucket>, rank: f64) -> Option<Reached> {
    let mut last = None;
    let mut count = 0.0;
    for bucket in buckets {
        count += bucket.count;
        let reached = count >= rank && bucket.count != 0.0;
        last = Some(Reached { bucket, count });
        if reached {
            break;
        }
    }
    last
}

/// Quantile `q`: -Inf below 0, +Inf above 1, NaN without observations.
#[must_use]
pub fn quantile(q: f64, h: &FloatHistogram) -> (f64, Option<NanNote>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    // Counting from the nearer end keeps rounding small; NaN observations have no place at the
    // upper end to count from.
    let has_nan = h.sum.is_nan();
    let upwards = has_nan || q < 0.5;
    let rank = if upwards { q } else { 1.0 - q } * h.count;
    let reached = if upwards {
        reach(all_buckets(h), rank)
    } else {
        reach(all_buckets(h).rev(), rank)
    };
    let Reached { bucket, count } = reached.unwrap_or(Reached {
        bucket: Bucket {
            lower: 0.0,
            upper: 0.0,
            lower_inclusive: false,
            upper_inclusive: false,
            count: 0.0,
            index: 0,
        },
        count: 0.0,
    });
    let custom = uses_custom_buckets(h);
    let bucket = match bucket {
        // The outermost custom buckets have no width: their inner bound is the answer, except
        // that a first bucket below a positive bound starts at 0.
        b if custom && b.lower == f64::NEG_INFINITY => {
            if b.upper <= 0.0 {
                return (b.upper, None);
            }
            Bucket { lower: 0.0, ..b }
        }
        b if custom && b.upper == f64::INFINITY => return (b.lower, None),
        b if !custom && b.lower < 0.0 && b.upper > 0.0 => fit_zero_bucket(h, b),
        b => b,
    };
    // Adding up may have come out above the total.
    let count = count.min(h.count);
    if count < rank {
        return if has_nan {
            (f64::NAN, Some(NanNote::Result))
        } else {
            (bucket.upper, None)
        };
    }
    let inside = if upwards {
        rank - (count - bucket.count)
    } else {
        count - rank
    };
    let note = (has_nan && in_buckets(h) < h.count).then_some(NanNote::Skewed);
    let spread = bucket.spread(custom);
    (bucket.value_at(inside / bucket.count, spread), note)
}

/// Observations below `v`; `None` when all buckets are.
fn count_below(h: &FloatHistogram, v: f64) -> Option<f64> {
    let custom = uses_custom_buckets(h);
    let mut below = 0.0;
    for b in all_buckets(h) {
        let spread = b.spread(custom);
        let b = if b.lower <= 0.0 && b.upper >= 0.0 {
            fit_zero_bucket(h, b)
        } else {
            b
        };
        if v <= b.lower {
            return Some(below);
        }
        if v < b.upper {
            // Nothing is known of where observations lie in a bucket without a lower bound.
            let share = if b.lower == f64::NEG_INFINITY {
                1.0
            } else {
                b.share_below(v, spread)
            };
            return Some(below + b.count * share);
        }
        below += b.count;
    }
    None
}

/// Share of the observations between `lower` and `upper`.
#[must_use]
pub fn fraction(lower: f64, upper: f64, h: &FloatHistogram) -> (f64, Option<NanNote>) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let total = if h.sum.is_nan() {
        in_buckets(h)
    } else {
        h.count
    };
    let note = (total < h.count && h.sum.is_nan()).then_some(NanNote::Excluded);
    let below = |v: f64| count_below(h, v).map_or(total, |n| if n > total { total } else { n });
    ((below(upper) - below(lower)) / h.count, note)
}
