//! Native histogram arithmetic on [`FloatHistogram`].
//!
//! Owns: bucket bounds, addition and subtraction over different schemas, zero buckets and custom
//! bounds, compensated addition, compaction, reset detection, trimming, quantiles, fractions.
//! Knows nothing of: series, steps, annotations' positions.
//!
//! Layouts are worked on as lists of (bucket index, count); spans exist only at the edges.

mod add;
mod bounds;
mod classic;
mod custom;
mod quantile;
mod resets;
mod side;
mod trim;

use engine::model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram};

pub use add::{Combined, add, kahan_add, sub};
pub use bounds::{Bucket, all_buckets, upper_bound};
pub use classic::{ClassicBucket, ForcedMonotonicity, classic_fraction, classic_quantile};
pub use quantile::{NanNote, fraction, quantile};
pub use resets::detect_reset;
pub(crate) use side::{compact_side, pairs};
pub use trim::trim;

use crate::text::float;

/// Two histograms, one with exponential and one with custom buckets, cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
)]
pub struct IncompatibleSchemas;

/// True for schema -53.
#[inline]
#[must_use]
pub fn uses_custom_buckets(h: &FloatHistogram) -> bool {
    h.schema == CUSTOM_BUCKETS_SCHEMA
}

/// Multiplies all counts and the sum. A negative factor makes a gauge.
pub fn mul(h: &mut FloatHistogram, factor: f64) {
    h.zero_count *= factor;
    h.count *= factor;
    h.sum *= factor;
    h.positive
        .iter_mut()
        .chain(&mut h.negative)
        .for_each(|b| *b *= factor);
    if factor < 0.0 {
        h.hint = CounterResetHint::Gauge;
    }
}

/// Divides all counts and the sum. Division by zero leaves no buckets; a negative divisor makes a
/// gauge.
pub fn div(h: &mut FloatHistogram, scalar: f64) {
    h.zero_count /= scalar;
    h.count /= scalar;
    h.sum /= scalar;
    if scalar == 0.0 {
        h.positive.clear();
        h.negative.clear();
        h.positive_spans.clear();
        h.negative_spans.clear();
        return;
    }
    h.positive
        .iter_mut()
        .chain(&mut h.negative)
        .for_each(|b| *b /= scalar);
    if scalar < 0.0 {
        h.hint = CounterResetHint::Gauge;
    }
}

/// Drops empty buckets and merges adjacent spans.
pub fn compact(h: &mut FloatHistogram) {
    compact_side(&mut h.positive_spans, &mut h.positive);
    compact_side(&mut h.negative_spans, &mut h.negative);
}

/// The histogram at a coarser schema; custom buckets and finer schemas are left alone.
#[must_use]
pub fn at_schema(h: &FloatHistogram, schema: i32) -> FloatHistogram {
    let mut out = h.clone();
    if uses_custom_buckets(h) || schema >= h.schema || schema == CUSTOM_BUCKETS_SCHEMA {
        return out;
    }
    let reduce = |spans: &[engine::model::Span], counts: &[f64]| {
        side::Side::read(spans, counts, None)
            .reduced(h.schema, schema, false)
            .write()
    };
    (out.positive_spans, out.positive, _) = reduce(&h.positive_spans, &h.positive);
    (out.negative_spans, out.negative, _) = reduce(&h.negative_spans, &h.negative);
    out.schema = schema;
    out.hint = CounterResetHint::Unknown;
    out
}

/// Bit-exact equality, except for counter reset hints and spans of length 0.
#[must_use]
pub fn equals(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let same = |x: f64, y: f64| x.to_bits() == y.to_bits();
    let all_same =
        |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(*x, *y));
    let indices = |spans: &[engine::model::Span], counts: &[f64]| -> Vec<i32> {
        pairs(spans, counts).map(|(i, _)| i).collect()
    };
    a.schema == b.schema
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && (!uses_custom_buckets(a) || a.custom_values == b.custom_values)
        && a.zero_threshold == b.zero_threshold
        && same(a.zero_count, b.zero_count)
        && all_same(&a.positive, &b.positive)
        && all_same(&a.negative, &b.negative)
        && indices(&a.positive_spans, &a.positive) == indices(&b.positive_spans, &b.positive)
        && indices(&a.negative_spans, &a.negative) == indices(&b.negative_spans, &b.negative)
}

/// True when any number in it is infinite.
#[must_use]
pub fn has_overflow(h: &FloatHistogram) -> bool {
    h.zero_count.is_infinite()
        || h.count.is_infinite()
        || h.sum.is_infinite()
        || h.positive
            .iter()
            .chain(&h.negative)
            .chain(&h.custom_values)
            .any(|v| v.is_infinite())
}

/// What the sample limit counts for a histogram: its size in units of a float sample (16 bytes).
#[must_use]
pub fn sample_size(h: &FloatHistogram) -> usize {
    let parts = h.positive_spans.len()
        + h.negative_spans.len()
        + h.positive.len()
        + h.negative.len()
        + h.custom_values.len();
    (168 + 8 * parts + 8) / 16
}

/// Variance of the observations, each taken at the middle of its bucket (geometric middle for
/// exponential buckets, 0 for the zero bucket).
#[must_use]
pub fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut c) = (0.0, 0.0);
    for b in all_buckets(h) {
        if b.count == 0.0 {
            continue;
        }
        let at = if uses_custom_buckets(h) {
            (b.upper + b.lower) / 2.0
        } else if b.lower <= 0.0 && b.upper >= 0.0 {
            0.0
        } else if b.upper < 0.0 {
            -(b.upper * b.lower).sqrt()
        } else {
            (b.upper * b.lower).sqrt()
        };
        let delta = at - mean;
        (sum, c) = crate::promql::functions::kahan::inc(b.count * delta * delta, sum, c);
    }
    (sum + c) / h.count
}

/// The text that `count_values` uses: `{count:3, sum:5, (0.5,1]:3}`.
#[must_use]
pub fn to_text(h: &FloatHistogram) -> String {
    let mut out = format!(
        "{{count:{}, sum:{}",
        float::general(h.count),
        float::general(h.sum)
    );
    for b in all_buckets(h) {
        if b.count == 0.0 {
            continue;
        }
        // Bounds are printed as they are, not cut at the zero bucket.
        let (lower, upper) = bounds::plain_bounds(h, &b);
        out.push_str(", ");
        out.push(if b.lower_inclusive { '[' } else { '(' });
        float::write_general(&mut out, lower);
        out.push(',');
        float::write_general(&mut out, upper);
        out.push(if b.upper_inclusive { ']' } else { ')' });
        out.push(':');
        float::write_general(&mut out, b.count);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests;
