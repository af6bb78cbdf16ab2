//! What a native histogram must satisfy to be stored, and how a too fine one is made coarser.
//! Texts are Prometheus'.

use super::{
    CUSTOM_BUCKETS_SCHEMA, Counts, EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN, Histogram,
    HistogramError, Span,
};

/// Finest exponential schema that senders may use; stored at [`EXPONENTIAL_SCHEMA_MAX`].
pub const EXPONENTIAL_SCHEMA_MAX_RESERVED: i32 = 52;

const NEGATIVE_BUCKET: &str = "histogram has a bucket whose observation count is negative";
const SPAN_OFFSET: &str = "histogram has a span whose offset is negative";
const SPANS_MISMATCH: &str = "histogram spans specify different number of buckets than provided";

fn fail<T>(text: impl Into<String>) -> Result<T, HistogramError> {
    Err(HistogramError(text.into()))
}

impl Histogram {
    /// The histogram as it may be stored: schemas 9 to 52 reduced to 8, then validated.
    /// Stale markers are always acceptable.
    ///
    /// # Errors
    /// When the histogram contradicts itself.
    pub fn accept(mut self) -> Result<Self, HistogramError> {
        if self.is_stale() {
            return Ok(self);
        }
        if self.schema > EXPONENTIAL_SCHEMA_MAX && self.schema <= EXPONENTIAL_SCHEMA_MAX_RESERVED {
            self = self.reduced_to(EXPONENTIAL_SCHEMA_MAX)?;
        }
        self.validate()?;
        Ok(self)
    }

    /// Checks spans against buckets, counts against the total, bounds and schema.
    /// Cost: one pass over the buckets.
    ///
    /// # Errors
    /// When the histogram contradicts itself.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let (positive, negative, zero_is_0) = match &self.counts {
            Counts::Integer {
                positive,
                negative,
                zero,
                ..
            } => (positive.len(), negative.len(), *zero == 0),
            Counts::Float {
                positive,
                negative,
                zero,
                ..
            } => (positive.len(), negative.len(), *zero == 0.0),
        };
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            check_custom(&self.custom_values, &self.positive_spans, positive)
                .map_err(|e| HistogramError(format!("custom buckets: {}", e.0)))?;
            if !zero_is_0 {
                return fail("custom buckets: must have zero count of 0");
            }
            if self.zero_threshold != 0.0 {
                return fail("custom buckets: must have zero threshold of 0");
            }
            if !self.negative_spans.is_empty() {
                return fail("custom buckets: must not have negative spans");
            }
            if negative > 0 {
                return fail("custom buckets: must not have negative buckets");
            }
        } else if (EXPONENTIAL_SCHEMA_MIN..=EXPONENTIAL_SCHEMA_MAX).contains(&self.schema) {
            check_spans(&self.positive_spans, positive).map_err(|e| side("positive", &e))?;
            check_spans(&self.negative_spans, negative).map_err(|e| side("negative", &e))?;
        } else {
            return fail(format!(
                "histogram has an invalid schema, which must be between {EXPONENTIAL_SCHEMA_MIN} and {EXPONENTIAL_SCHEMA_MAX} for exponential buckets, or {CUSTOM_BUCKETS_SCHEMA} for custom buckets: got {}",
                self.schema
            ));
        }
        match &self.counts {
            Counts::Integer {
                count,
                zero,
                positive,
                negative,
            } => self.validate_integer(*count, *zero, positive, negative)?,
            Counts::Float {
                count,
                zero,
                positive,
                negative,
            } => {
                check_floats(negative).map_err(|e| side("negative", &e))?;
                if *zero < 0.0 {
                    return fail(format!(
                        "zero bucket has observation count of {zero}: {NEGATIVE_BUCKET}"
                    ));
                }
                if *count < 0.0 {
                    return fail(format!(
                        "observation count is  {count}: histogram's observation count is negative"
                    ));
                }
                check_floats(positive).map_err(|e| side("positive", &e))?;
            }
        }
        if self.schema != CUSTOM_BUCKETS_SCHEMA && !self.custom_values.is_empty() {
            return fail("histogram with exponential schema must not have custom bounds");
        }
        Ok(())
    }

    fn validate_integer(
        &self,
        count: u64,
        zero: u64,
        positive: &[i64],
        negative: &[i64],
    ) -> Result<(), HistogramError> {
        let n = sum_deltas(negative).map_err(|e| side("negative", &e))?;
        let p = sum_deltas(positive).map_err(|e| side("positive", &e))?;
        let in_buckets = n.wrapping_add(p).wrapping_add(zero);
        let found = || {
            format!("{in_buckets} observations found in buckets, but the Count field is {count}")
        };
        // Observations of NaN are counted but are in no bucket.
        if self.sum.is_nan() {
            if in_buckets > count {
                return fail(format!(
                    "{}: histogram's observation count should be at least the number of observations found in the buckets",
                    found()
                ));
            }
        } else if in_buckets != count {
            return fail(format!(
                "{}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)",
                found()
            ));
        }
        Ok(())
    }

    /// The same observations with `2^(schema - to)` buckets merged into one.
    ///
    /// # Errors
    /// When the schema is not exponential or finer, or spans and buckets disagree.
    pub fn reduced_to(mut self, to: i32) -> Result<Self, HistogramError> {
        let by = self.schema.saturating_sub(to);
        if self.schema == CUSTOM_BUCKETS_SCHEMA || !(0..=64).contains(&by) {
            return fail(format!(
                "cannot reduce resolution from schema {} to {to}",
                self.schema
            ));
        }
        match &mut self.counts {
            Counts::Integer {
                positive, negative, ..
            } => {
                *positive = to_deltas(&merge(
                    &mut self.positive_spans,
                    &to_absolute(positive),
                    by,
                    i64::wrapping_add,
                )?);
                *negative = to_deltas(&merge(
                    &mut self.negative_spans,
                    &to_absolute(negative),
                    by,
                    i64::wrapping_add,
                )?);
            }
            Counts::Float {
                positive, negative, ..
            } => {
                *positive = merge(&mut self.positive_spans, positive, by, |a, b| a + b)?;
                *negative = merge(&mut self.negative_spans, negative, by, |a, b| a + b)?;
            }
        }
        self.schema = to;
        Ok(self)
    }

    /// Number of buckets, the zero bucket not counted.
    #[must_use]
    pub fn bucket_count(&self) -> usize {
        match &self.counts {
            Counts::Integer {
                positive, negative, ..
            } => positive.len() + negative.len(),
            Counts::Float {
                positive, negative, ..
            } => positive.len() + negative.len(),
        }
    }

    /// Reduces the resolution step by step until at most `limit` buckets are left.
    ///
    /// # Errors
    /// When the coarsest schema still has more, or the bounds are custom and cannot be merged.
    pub fn limited_to(mut self, limit: usize) -> Result<Self, HistogramError> {
        while self.bucket_count() > limit {
            if self.schema == CUSTOM_BUCKETS_SCHEMA || self.schema <= EXPONENTIAL_SCHEMA_MIN {
                return fail("histogram bucket limit exceeded");
            }
            let to = self.schema - 1;
            self = self.reduced_to(to)?;
        }
        Ok(self)
    }
}

fn side(name: &str, e: &HistogramError) -> HistogramError {
    HistogramError(format!("{name} side: {}", e.0))
}

fn check_spans(spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    let mut need = 0u64;
    for (i, s) in spans.iter().enumerate() {
        if i > 0 && s.offset < 0 {
            return fail(format!(
                "span number {} with offset {}: {SPAN_OFFSET}",
                i + 1,
                s.offset
            ));
        }
        need += u64::from(s.length);
    }
    if need != buckets as u64 {
        return fail(format!(
            "spans need {need} buckets, have {buckets} buckets: {SPANS_MISMATCH}"
        ));
    }
    Ok(())
}

fn check_custom(bounds: &[f64], spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    let mut prev = f64::NEG_INFINITY;
    for (i, b) in bounds.iter().enumerate() {
        if b.is_nan() {
            return fail("histogram custom bounds must not be NaN");
        }
        if i > 0 && *b <= prev {
            return fail(format!(
                "previous bound is {prev:.6} and current is {b:.6}: histogram custom bounds must be in strictly increasing order"
            ));
        }
        prev = *b;
    }
    if prev == f64::INFINITY {
        return fail(
            "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
        );
    }
    let mut reach = 0u64;
    for (i, s) in spans.iter().enumerate() {
        let Ok(offset) = u64::try_from(s.offset) else {
            return fail(format!(
                "span number {} with offset {}: {SPAN_OFFSET}",
                i + 1,
                s.offset
            ));
        };
        reach += u64::from(s.length) + offset;
    }
    check_spans(spans, buckets)?;
    if (bounds.len() as u64) + 1 < reach {
        return fail(format!(
            "only {} custom bounds defined which is insufficient to cover total span length of {reach}: histogram custom bounds are too few",
            bounds.len()
        ));
    }
    Ok(())
}

fn sum_deltas(deltas: &[i64]) -> Result<u64, HistogramError> {
    let (mut current, mut sum) = (0i64, 0u64);
    for (i, d) in deltas.iter().enumerate() {
        current = current.wrapping_add(*d);
        let Ok(c) = u64::try_from(current) else {
            return fail(format!(
                "bucket number {} has observation count of {current}: {NEGATIVE_BUCKET}",
                i + 1
            ));
        };
        sum = sum.wrapping_add(c);
    }
    Ok(sum)
}

fn check_floats(counts: &[f64]) -> Result<(), HistogramError> {
    match counts.iter().position(|c| *c < 0.0) {
        None => Ok(()),
        Some(i) => fail(format!(
            "bucket number {} has observation count of {}: {NEGATIVE_BUCKET}",
            i + 1,
            counts[i]
        )),
    }
}

fn to_absolute(deltas: &[i64]) -> Vec<i64> {
    let mut sum = 0i64;
    deltas
        .iter()
        .map(|d| {
            sum = sum.wrapping_add(*d);
            sum
        })
        .collect()
}

fn to_deltas(absolute: &[i64]) -> Vec<i64> {
    let mut prev = 0i64;
    absolute
        .iter()
        .map(|c| c.wrapping_sub(std::mem::replace(&mut prev, *c)))
        .collect()
}

/// Merges `2^by` neighbours into one; rewrites the spans.
fn merge<T: Copy>(
    spans: &mut Vec<Span>,
    counts: &[T],
    by: i32,
    add: impl Fn(T, T) -> T,
) -> Result<Vec<T>, HistogramError> {
    check_spans(spans, counts.len())?;
    let mut out: Vec<T> = Vec::new();
    let mut new_spans: Vec<Span> = Vec::new();
    let (mut index, mut next) = (0i64, counts.iter());
    // Index of the last bucket written.
    let mut last = 0i64;
    for s in spans.iter() {
        index += i64::from(s.offset);
        for _ in 0..s.length {
            let Some(c) = next.next() else { break };
            let target = ((index - 1) >> by.min(63)) + 1;
            index += 1;
            match (out.last_mut(), new_spans.last_mut()) {
                (Some(o), Some(_)) if target == last => *o = add(*o, *c),
                (Some(_), Some(span)) if target == last + 1 => {
                    span.length += 1;
                    out.push(*c);
                }
                (_, before) => {
                    let gap = match before {
                        Some(_) => target - last - 1,
                        None => target,
                    };
                    let offset = i32::try_from(gap)
                        .map_err(|_| HistogramError("span offset out of range".into()))?;
                    new_spans.push(Span { offset, length: 1 });
                    out.push(*c);
                }
            }
            last = target;
        }
    }
    *spans = new_spans;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CounterResetHint;

    fn integer(schema: i32, spans: &[(i32, u32)], deltas: &[i64]) -> Histogram {
        let positive = deltas.to_vec();
        let count = sum_deltas(deltas).unwrap_or(0);
        Histogram {
            hint: CounterResetHint::Unknown,
            schema,
            zero_threshold: 0.0,
            sum: 1.0,
            positive_spans: spans
                .iter()
                .map(|&(offset, length)| Span { offset, length })
                .collect(),
            negative_spans: vec![],
            custom_values: vec![],
            counts: Counts::Integer {
                count,
                zero: 0,
                positive,
                negative: vec![],
            },
        }
    }

    #[test]
    fn neighbours_merge_and_gaps_close() {
        // Buckets 0,1,2 and 5,6 with counts 1,2,3 and 4,5.
        let h = integer(1, &[(0, 3), (2, 2)], &[1, 1, 1, 1, 1]);
        let h = h.reduced_to(0).expect("exponential");
        // 0 -> 0; 1,2 -> 1; 5,6 -> 3.
        assert_eq!(
            h.positive_spans,
            [
                Span {
                    offset: 0,
                    length: 2
                },
                Span {
                    offset: 1,
                    length: 1
                }
            ]
        );
        assert_eq!(h.to_float().positive, [1.0, 5.0, 9.0]);
        assert_eq!(h.validate(), Ok(()));
    }

    #[test]
    fn fine_schemas_are_accepted_coarser() {
        let h = integer(10, &[(-3, 4)], &[1, 0, 0, 0]).accept().expect("ok");
        assert_eq!(h.schema, 8);
        assert_eq!(h.to_float().positive.iter().sum::<f64>(), 4.0);
        assert!(integer(53, &[(0, 1)], &[1]).accept().is_err());
        assert!(integer(-5, &[(0, 1)], &[1]).accept().is_err());
    }

    #[test]
    fn limits_halve_the_resolution_until_it_fits() {
        let h = integer(3, &[(1, 16)], &[1; 16]);
        let h = h.limited_to(5).expect("reducible");
        assert_eq!((h.schema, h.bucket_count()), (1, 4));
        let mut custom = integer(CUSTOM_BUCKETS_SCHEMA, &[(0, 3)], &[1, 0, 0]);
        custom.custom_values = vec![1.0, 2.0];
        assert_eq!(custom.validate(), Ok(()));
        assert!(custom.limited_to(2).is_err());
    }

    #[test]
    fn contradictions_are_named() {
        let text = |h: Histogram| h.validate().expect_err("invalid").0;
        assert_eq!(
            text(integer(0, &[(0, 2)], &[1])),
            "positive side: spans need 2 buckets, have 1 buckets: histogram spans specify different number of buckets than provided"
        );
        assert_eq!(
            text(integer(0, &[(0, 1), (-1, 1)], &[1, 0])),
            "positive side: span number 2 with offset -1: histogram has a span whose offset is negative"
        );
        assert_eq!(
            text(integer(0, &[(0, 2)], &[1, -3])),
            "positive side: bucket number 2 has observation count of -2: histogram has a bucket whose observation count is negative"
        );
        let mut h = integer(0, &[(0, 1)], &[2]);
        if let Counts::Integer { count, .. } = &mut h.counts {
            *count = 3;
        }
        assert_eq!(
            text(h.clone()),
            "2 observations found in buckets, but the Count field is 3: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
        );
        h.sum = f64::NAN;
        assert_eq!(h.validate(), Ok(()));
    }
}
