//! Bucket bounds and iteration over all buckets of a histogram.
//!
//! Owns: where the buckets of every schema end, their order, how observations are taken to be
//! spread inside one.
//! Knows nothing of: quantiles, arithmetic, spans as such.
//!
//! Bounds of an exponential schema are the powers of `2^(2^-schema)`. They are part of every
//! answer that prints a bucket, so they have to be equal to the last bit to those of Prometheus
//! and its client libraries, which are not the correctly rounded powers: they come from one
//! refinement after the other, see [`MANTISSAS`].

use std::sync::LazyLock;

use engine::model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram};

use super::{pairs, uses_custom_buckets};

/// Finest exponential schema.
const SCHEMA_MAX: i32 = 8;

/// Bounds of [`SCHEMA_MAX`] in `[0.5, 1)`; coarser schemas use every second, fourth, ... entry.
///
/// A schema keeps the bounds of the next coarser one and puts one more after each: that bound
/// times the schema's growth factor, rounded once. The factors are repeated square roots of two,
/// but for the first, which upstream has one unit in the last place too low; every bound above
/// `sqrt(0.5)` inherits that. No bound is further than four units from the exact power.
static MANTISSAS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let mut bounds = vec![0.5];
    let mut root = 2f64;
    for schema in 1..=SCHEMA_MAX {
        root = root.sqrt();
        let factor = if schema == 1 { root.next_down() } else { root };
        bounds = bounds.iter().flat_map(|b| [*b, b * factor]).collect();
    }
    bounds
});

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to the bucket.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to the bucket.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
    /// Index in its side.
    pub index: i32,
}

/// How observations are taken to be spread inside a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    /// Evenly: zero buckets and custom buckets.
    Linear,
    /// Evenly on a logarithmic scale: exponential buckets.
    Logarithmic,
}

impl Bucket {
    /// The spread of this bucket in a histogram with or without custom bounds.
    pub(super) fn spread(&self, custom: bool) -> Spread {
        if custom || (self.lower <= 0.0 && self.upper >= 0.0) {
            Spread::Linear
        } else {
            Spread::Logarithmic
        }
    }

    /// Distance of the bounds from 0 in powers of two.
    fn logs(&self) -> (f64, f64) {
        (self.lower.abs().log2(), self.upper.abs().log2())
    }

    /// Share of the bucket below `v`, which is inside.
    pub(super) fn share_below(&self, v: f64, spread: Spread) -> f64 {
        if spread == Spread::Linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let ((low, high), at) = (self.logs(), v.abs().log2());
        if v > 0.0 {
            (at - low) / (high - low)
        } else {
            1.0 - (at - high) / (low - high)
        }
    }

    /// The value below which `share` of the bucket lies: the inverse of [`Self::share_below`].
    pub(super) fn value_at(&self, share: f64, spread: Spread) -> f64 {
        if spread == Spread::Linear {
            return self.lower + (self.upper - self.lower) * share;
        }
        let (low, high) = self.logs();
        if self.lower > 0.0 {
            (low + (high - low) * share).exp2()
        } else {
            -(high + (low - high) * (1.0 - share)).exp2()
        }
    }
}

/// `mantissa * 2^exponent` without overflow on the way.
fn scale(mantissa: f64, exponent: i64) -> f64 {
    if exponent > 1024 {
        return f64::INFINITY;
    }
    if exponent < -1080 {
        return 0.0;
    }
    let half = exponent / 2;
    let pow2 = |e: i64| 2f64.powi(i32::try_from(e).unwrap_or(0));
    mantissa * pow2(half) * pow2(exponent - half)
}

/// Upper bound of positive bucket `index` of an exponential schema.
#[must_use]
pub fn upper_bound(index: i32, schema: i32) -> f64 {
    if schema < 0 {
        let exponent = i64::from(index) << (-schema).min(16);
        // The largest bucket ends at the largest float, not at infinity.
        return if exponent == 1024 {
            f64::MAX
        } else {
            scale(1.0, exponent)
        };
    }
    let schema = schema.min(SCHEMA_MAX);
    let fraction = index & ((1 << schema) - 1);
    let mantissa = usize::try_from(fraction << (SCHEMA_MAX - schema))
        .ok()
        .and_then(|i| MANTISSAS.get(i));
    let mantissa = mantissa.copied().unwrap_or(0.5);
    let exponent = i64::from(index >> schema) + 1;
    if mantissa == 0.5 && exponent == 1025 {
        f64::MAX
    } else {
        scale(mantissa, exponent)
    }
}

/// Upper bound of bucket `index`, for any schema. Indexes outside custom bounds are infinite.
pub(super) fn bound(h: &FloatHistogram, index: i32) -> f64 {
    if !uses_custom_buckets(h) {
        return upper_bound(index, h.schema);
    }
    match usize::try_from(index) {
        Err(_) => f64::NEG_INFINITY,
        Ok(i) => h.custom_values.get(i).copied().unwrap_or(f64::INFINITY),
    }
}

/// The buckets of the positive side as they are, in index order.
pub(super) fn positive(h: &FloatHistogram) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
    let custom = h.schema == CUSTOM_BUCKETS_SCHEMA;
    let list: Vec<(i32, f64)> = pairs(&h.positive_spans, &h.positive).collect();
    list.into_iter().map(move |(index, count)| Bucket {
        lower: bound(h, index.wrapping_sub(1)),
        upper: bound(h, index),
        lower_inclusive: custom && index == 0,
        upper_inclusive: true,
        count,
        index,
    })
}

/// The buckets of the negative side as they are, in index order (towards minus infinity).
pub(super) fn negative(h: &FloatHistogram) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
    let list: Vec<(i32, f64)> = pairs(&h.negative_spans, &h.negative).collect();
    list.into_iter().map(move |(index, count)| Bucket {
        lower: -bound(h, index),
        upper: -bound(h, index.wrapping_sub(1)),
        lower_inclusive: true,
        upper_inclusive: false,
        count,
        index,
    })
}

/// All buckets from the lowest value to the highest; a zero bucket only when it has observations.
/// Buckets that overlap the zero bucket are cut at its border.
/// Cost: one allocation per side.
pub fn all_buckets(h: &FloatHistogram) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
    let zero = h.zero_threshold;
    let cut = move |mut b: Bucket| {
        if b.upper < 0.0 && b.upper > -zero {
            b.upper = -zero;
        } else if b.lower > 0.0 && b.lower < zero {
            b.lower = zero;
        }
        b
    };
    let middle = (h.zero_count > 0.0 && !uses_custom_buckets(h)).then_some(Bucket {
        lower: -zero,
        upper: zero,
        lower_inclusive: true,
        upper_inclusive: true,
        count: h.zero_count,
        index: 0,
    });
    negative(h)
        .rev()
        .map(cut)
        .chain(middle)
        .chain(positive(h).map(cut))
}

/// The bounds of a bucket from [`all_buckets`] without the cut.
pub(super) fn plain_bounds(h: &FloatHistogram, b: &Bucket) -> (f64, f64) {
    if b.lower_inclusive && b.upper_inclusive && !uses_custom_buckets(h) {
        (b.lower, b.upper)
    } else if b.upper <= 0.0 && !uses_custom_buckets(h) {
        (-bound(h, b.index), -bound(h, b.index.wrapping_sub(1)))
    } else {
        (bound(h, b.index.wrapping_sub(1)), bound(h, b.index))
    }
}
