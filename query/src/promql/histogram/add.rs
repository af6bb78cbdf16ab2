//! Addition and subtraction: schemas meet at the coarser one, zero buckets at the wider one,
//! custom bounds at their intersection.

use engine::model::{CounterResetHint, FloatHistogram, Span};

use super::bounds::upper_bound;
use super::custom;
use super::side::Side;
use super::{IncompatibleSchemas, uses_custom_buckets};
use crate::promql::functions::kahan;

/// What happened besides the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Combined {
    /// One operand said "reset", the other "not reset".
    pub reset_collision: bool,
    /// Custom bounds differed and were reduced to the common ones.
    pub bounds_reconciled: bool,
}

/// `h += other`.
///
/// # Errors
/// [`IncompatibleSchemas`]; `h` is unchanged then.
pub fn add(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
) -> Result<Combined, IncompatibleSchemas> {
    combine(h, other, None, false)
}

/// `h -= other`.
///
/// # Errors
/// [`IncompatibleSchemas`]; `h` is unchanged then.
pub fn sub(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
) -> Result<Combined, IncompatibleSchemas> {
    combine(h, other, None, true)
}

/// `h += other` with the rounding errors kept in `comp`, which starts as `None` and has the layout
/// of `h` afterwards.
///
/// # Errors
/// [`IncompatibleSchemas`]; nothing is changed then.
pub fn kahan_add(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
    comp: &mut Option<FloatHistogram>,
) -> Result<Combined, IncompatibleSchemas> {
    if uses_custom_buckets(h) != uses_custom_buckets(other) {
        return Err(IncompatibleSchemas);
    }
    let c = comp.get_or_insert_with(|| FloatHistogram {
        hint: h.hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        custom_values: h.custom_values.clone(),
        positive: vec![0.0; h.positive.len()],
        negative: vec![0.0; h.negative.len()],
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        ..FloatHistogram::default()
    });
    combine(h, other, Some(c), false)
}

fn combine(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
    mut comp: Option<&mut FloatHistogram>,
    subtract: bool,
) -> Result<Combined, IncompatibleSchemas> {
    let custom = uses_custom_buckets(h);
    if custom != uses_custom_buckets(other) {
        return Err(IncompatibleSchemas);
    }
    let mut out = Combined {
        reset_collision: merge_hints(h, other.hint),
        ..Combined::default()
    };
    let sign = |v: f64| if subtract { -v } else { v };
    let compensated = comp.is_some();

    if !custom {
        let other_zero = align_zero_buckets(h, other, comp.as_deref_mut());
        match comp.as_deref_mut() {
            Some(c) => {
                (h.zero_count, c.zero_count) = kahan::inc(other_zero, h.zero_count, c.zero_count)
            }
            None => h.zero_count += sign(other_zero),
        }
    }
    match comp.as_deref_mut() {
        Some(c) => {
            (h.count, c.count) = kahan::inc(other.count, h.count, c.count);
            (h.sum, c.sum) = kahan::inc(other.sum, h.sum, c.sum);
        }
        None => {
            h.count += sign(other.count);
            h.sum += sign(other.sum);
        }
    }

    if custom {
        if h.custom_values == other.custom_values {
            let mine = Side::read(
                &h.positive_spans,
                &h.positive,
                comp.as_deref().map(|c| &c.positive[..]),
            );
            let theirs = Side::read(&other.positive_spans, &other.positive, None);
            store_positive(h, comp, mine.merge(theirs, compensated, subtract));
        } else {
            out.bounds_reconciled = true;
            custom::add_mismatched(h, other, comp, subtract);
        }
        return Ok(out);
    }

    let schema = h.schema.min(other.schema);
    let threshold = h.zero_threshold;
    let join = |spans: (&[Span], &[Span]), counts: (&[f64], &[f64]), c: Option<&[f64]>| {
        let mine = Side::read(spans.0, counts.0, c).reduced(h.schema, schema, compensated);
        let mut theirs =
            Side::read(spans.1, counts.1, None).reduced(other.schema, schema, compensated);
        // What lies in the zero bucket was counted there.
        let inside = theirs
            .0
            .iter()
            .take_while(|b| upper_bound(b.index, schema) <= threshold)
            .count();
        theirs.0.drain(..inside);
        mine.merge(theirs, compensated, subtract)
    };
    let positive = join(
        (&h.positive_spans, &other.positive_spans),
        (&h.positive, &other.positive),
        comp.as_deref().map(|c| &c.positive[..]),
    );
    let negative = join(
        (&h.negative_spans, &other.negative_spans),
        (&h.negative, &other.negative),
        comp.as_deref().map(|c| &c.negative[..]),
    );
    h.schema = schema;
    let (spans, counts, comps) = negative.write();
    if let Some(c) = comp.as_deref_mut() {
        c.schema = schema;
        c.zero_threshold = threshold;
        c.negative = comps;
        c.negative_spans.clone_from(&spans);
    }
    h.negative_spans = spans;
    h.negative = counts;
    store_positive(h, comp, positive);
    Ok(out)
}

pub(super) fn store_positive(
    h: &mut FloatHistogram,
    comp: Option<&mut FloatHistogram>,
    side: Side,
) {
    let (spans, counts, comps) = side.write();
    if let Some(c) = comp {
        c.positive = comps;
        c.positive_spans.clone_from(&spans);
    }
    h.positive_spans = spans;
    h.positive = counts;
}

/// The hint of a sum; true when the operands contradict each other.
fn merge_hints(h: &mut FloatHistogram, other: CounterResetHint) -> bool {
    use CounterResetHint::{Gauge, Unknown};
    if h.hint == other || h.hint == Gauge {
        return false;
    }
    if other == Gauge {
        h.hint = Gauge;
        return false;
    }
    let collision = h.hint != Unknown && other != Unknown;
    h.hint = Unknown;
    collision
}

/// Widens the narrower zero bucket until both are equally wide. `h` is changed; for `other` the
/// count of its widened zero bucket is returned.
fn align_zero_buckets(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
    mut comp: Option<&mut FloatHistogram>,
) -> f64 {
    let mut other_count = other.zero_count;
    let mut other_threshold = other.zero_threshold;
    // Each round widens one of them to a bucket bound: at most one round per bucket.
    let rounds =
        4 + h.positive.len() + h.negative.len() + other.positive.len() + other.negative.len();
    for _ in 0..rounds {
        if other_threshold == h.zero_threshold
            || other_threshold.is_nan()
            || h.zero_threshold.is_nan()
        {
            break;
        }
        if h.zero_threshold > other_threshold {
            (other_count, other_threshold, _) = widened_zero_bucket(other, h.zero_threshold, None);
        }
        if other_threshold > h.zero_threshold {
            let (count, threshold, c) = widened_zero_bucket(h, other_threshold, comp.as_deref());
            h.zero_count = count;
            h.zero_threshold = threshold;
            if let Some(comp) = comp.as_deref_mut() {
                comp.zero_count = c;
            }
            drop_inside_zero_bucket(h, comp.as_deref_mut());
        }
    }
    other_count
}

/// Count, threshold and compensation of the zero bucket of `h` when it is at least `threshold`
/// wide. It ends at a bucket bound when that bucket has observations.
pub(super) fn widened_zero_bucket(
    h: &FloatHistogram,
    mut threshold: f64,
    comp: Option<&FloatHistogram>,
) -> (f64, f64, f64) {
    let mut c = comp.map_or(0.0, |c| c.zero_count);
    if threshold <= h.zero_threshold {
        return (h.zero_count, h.zero_threshold.max(threshold), c);
    }
    let positive = Side::read(
        &h.positive_spans,
        &h.positive,
        comp.map(|c| &c.positive[..]),
    );
    let negative = Side::read(
        &h.negative_spans,
        &h.negative,
        comp.map(|c| &c.negative[..]),
    );
    'widen: loop {
        let mut count = h.zero_count;
        for (side, restart) in [(&positive, false), (&negative, true)] {
            for b in &side.0 {
                if upper_bound(b.index.wrapping_sub(1), h.schema) >= threshold {
                    break;
                }
                (count, c) = kahan::inc(b.count, count, c);
                (count, c) = kahan::inc(b.comp, count, c);
                let upper = upper_bound(b.index, h.schema);
                if upper > threshold {
                    if b.count != 0.0 {
                        threshold = upper;
                        if restart {
                            // The positive side has to reach as far.
                            continue 'widen;
                        }
                    }
                    break;
                }
            }
        }
        return (count, threshold, c);
    }
}

fn drop_inside_zero_bucket(h: &mut FloatHistogram, comp: Option<&mut FloatHistogram>) {
    let (schema, threshold) = (h.schema, h.zero_threshold);
    let outside = |spans: &[Span], counts: &[f64], c: Option<&[f64]>| {
        let mut side = Side::read(spans, counts, c);
        side.retain(|b| {
            upper_bound(b.index.wrapping_sub(1), schema) >= threshold
                && (b.count != 0.0 || b.comp != 0.0)
        });
        side.write()
    };
    let positive = outside(
        &h.positive_spans,
        &h.positive,
        comp.as_deref().map(|c| &c.positive[..]),
    );
    let negative = outside(
        &h.negative_spans,
        &h.negative,
        comp.as_deref().map(|c| &c.negative[..]),
    );
    (h.positive_spans, h.positive) = (positive.0, positive.1);
    (h.negative_spans, h.negative) = (negative.0, negative.1);
    if let Some(c) = comp {
        c.positive_spans.clone_from(&h.positive_spans);
        c.negative_spans.clone_from(&h.negative_spans);
        c.positive = positive.2;
        c.negative = negative.2;
    }
}
