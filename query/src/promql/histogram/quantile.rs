//! Quantiles and fractions of native histograms: logarithmic interpolation in exponential buckets,
//! linear in the zero bucket and in custom buckets.

use engine::model::FloatHistogram;

use super::bounds::Bucket;
use super::{all_buckets, uses_custom_buckets};

/// Observations of NaN are counted in the total but in no bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NanNote {
    /// The quantile falls among them: the result is NaN.
    Result,
    /// They count as larger than everything else.
    Skewed,
    /// They are part of no fraction.
    Excluded,
}

/// With only positive (negative) buckets the zero bucket has no negative (positive) half.
fn trim_zero_bucket(h: &FloatHistogram, b: &mut Bucket) {
    if h.negative.is_empty() && !h.positive.is_empty() {
        b.lower = 0.0;
    } else if h.positive.is_empty() && !h.negative.is_empty() {
        b.upper = 0.0;
    }
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
    // From the nearer end, unless NaN observations make the count at the upper end unreliable.
    let forward = h.sum.is_nan() || q < 0.5;
    let mut rank = if forward {
        q * h.count
    } else {
        (1.0 - q) * h.count
    };
    let mut count = 0.0;
    let mut bucket = Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_inclusive: false,
        upper_inclusive: false,
        count: 0.0,
        index: 0,
    };
    let mut buckets = all_buckets(h);
    while let Some(b) = if forward {
        buckets.next()
    } else {
        buckets.next_back()
    } {
        bucket = b;
        if b.count == 0.0 {
            continue;
        }
        count += b.count;
        if count >= rank {
            break;
        }
    }
    let custom = uses_custom_buckets(h);
    if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        trim_zero_bucket(h, &mut bucket);
    }
    // Rounding may have pushed it over.
    count = count.min(h.count);
    if count < rank {
        return if h.sum.is_nan() {
            (f64::NAN, Some(NanNote::Result))
        } else {
            (bucket.upper, None)
        };
    }
    rank = if forward {
        rank - (count - bucket.count)
    } else {
        count - rank
    };
    let mut note = None;
    if h.sum.is_nan() {
        let total = count + buckets.map(|b| b.count).sum::<f64>();
        if total < h.count {
            note = Some(NanNote::Skewed);
        }
    }
    let fraction = rank / bucket.count;
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (
            bucket.lower + (bucket.upper - bucket.lower) * fraction,
            note,
        );
    }
    let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let v = if bucket.lower > 0.0 {
        (low + (high - low) * fraction).exp2()
    } else {
        -(high + (low - high) * (1.0 - fraction)).exp2()
    };
    (v, note)
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
    let custom = uses_custom_buckets(h);
    let (mut count, mut rank) = (0.0, 0.0);
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut buckets = all_buckets(h);
    for mut b in buckets.by_ref() {
        count += b.count;
        let zero = b.lower <= 0.0 && b.upper >= 0.0;
        if zero {
            trim_zero_bucket(h, &mut b);
        }
        let rank_at = |v: f64| {
            if (custom || zero) && b.lower == f64::NEG_INFINITY {
                b.count
            } else {
                rank + b.count * b.fraction_below(v, custom || zero)
            }
        };
        for (slot, v) in [(&mut lower_rank, lower), (&mut upper_rank, upper)] {
            if slot.is_none() && b.lower >= v {
                *slot = Some(rank);
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        for (slot, v) in [(&mut lower_rank, lower), (&mut upper_rank, upper)] {
            if slot.is_none() && b.lower < v && b.upper > v {
                *slot = Some(rank_at(v));
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += b.count;
    }
    let mut note = None;
    if h.sum.is_nan() {
        count += buckets.map(|b| b.count).sum::<f64>();
        if count < h.count {
            note = Some(NanNote::Excluded);
        }
    } else {
        count = h.count;
    }
    let cap = |r: Option<f64>| r.filter(|r| *r <= count).unwrap_or(count);
    ((cap(upper_rank) - cap(lower_rank)) / h.count, note)
}
