//! Native histograms: as stored (integer or float counts) and as evaluated (always float).
//!
//! Layout follows Prometheus' remote-write messages: bucket `i` of schema `s` covers
//! `(2^((i-1)*2^-s), 2^(i*2^-s)]`; schema -53 has explicit upper bounds instead.

/// Smallest exponential schema.
pub const EXPONENTIAL_SCHEMA_MIN: i32 = -4;
/// Largest exponential schema that is stored; finer ones are reduced on the way in.
pub const EXPONENTIAL_SCHEMA_MAX: i32 = 8;
/// Schema number of histograms with custom bucket bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// What is known about a counter reset between a histogram and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum CounterResetHint {
    /// Compare the two to find out.
    #[default]
    Unknown = 0,
    /// There was a reset.
    Reset = 1,
    /// There was none.
    NotReset = 2,
    /// A gauge histogram: resets have no meaning.
    Gauge = 3,
}

impl CounterResetHint {
    /// From the wire number; unknown numbers count as [`Self::Unknown`].
    #[must_use]
    pub fn from_number(n: u64) -> Self {
        match n {
            1 => Self::Reset,
            2 => Self::NotReset,
            3 => Self::Gauge,
            _ => Self::Unknown,
        }
    }
}

/// A run of consecutive buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First span: index of its first bucket. Later spans: gap to the end of the one before.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// Bucket counts in the form in which they were sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Counts {
    /// Integer histogram.
    Integer {
        /// All observations.
        count: u64,
        /// Observations in the zero bucket.
        zero: u64,
        /// Positive buckets: first absolute, then differences to the bucket before.
        positive: Vec<i64>,
        /// Negative buckets, likewise.
        negative: Vec<i64>,
    },
    /// Float histogram.
    Float {
        /// All observations.
        count: f64,
        /// Observations in the zero bucket.
        zero: f64,
        /// Positive buckets, absolute.
        positive: Vec<f64>,
        /// Negative buckets, absolute.
        negative: Vec<f64>,
    },
}

/// A native histogram as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Counter reset hint.
    pub hint: CounterResetHint,
    /// -4..=8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Sum of observations. The staleness marker here marks the whole sample as stale.
    pub sum: f64,
    /// Layout of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Layout of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// Upper bounds without `+Inf`; only for [`CUSTOM_BUCKETS_SCHEMA`].
    pub custom_values: Vec<f64>,
    /// The counts.
    pub counts: Counts,
}

/// A native histogram with absolute float counts, the form in which queries compute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FloatHistogram {
    /// Counter reset hint.
    pub hint: CounterResetHint,
    /// -4..=8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of observations.
    pub sum: f64,
    /// Layout of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Layout of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// Positive buckets, absolute.
    pub positive: Vec<f64>,
    /// Negative buckets, absolute.
    pub negative: Vec<f64>,
    /// Upper bounds without `+Inf`; only for [`CUSTOM_BUCKETS_SCHEMA`].
    pub custom_values: Vec<f64>,
}

/// Why a histogram cannot be stored. The message names what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HistogramError(pub String);

impl Histogram {
    /// A stale marker in histogram form (stale markers of histogram series carry no buckets).
    #[must_use]
    pub fn stale() -> Self {
        Self {
            hint: CounterResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            sum: super::stale_nan(),
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
            counts: Counts::Integer {
                count: 0,
                zero: 0,
                positive: vec![],
                negative: vec![],
            },
        }
    }

    /// True when this sample marks the end of the series.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        super::is_stale(self.sum)
    }

    /// True for integer counts.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        matches!(self.counts, Counts::Integer { .. })
    }

    /// The form in which queries compute. Cost: one pass over the buckets.
    #[must_use]
    pub fn to_float(&self) -> FloatHistogram {
        let absolute = |deltas: &[i64]| {
            let mut sum = 0i64;
            deltas
                .iter()
                .map(|d| {
                    sum = sum.wrapping_add(*d);
                    sum as f64
                })
                .collect::<Vec<f64>>()
        };
        let (count, zero_count, positive, negative) = match &self.counts {
            Counts::Integer {
                count,
                zero,
                positive,
                negative,
            } => (
                *count as f64,
                *zero as f64,
                absolute(positive),
                absolute(negative),
            ),
            Counts::Float {
                count,
                zero,
                positive,
                negative,
            } => (*count, *zero, positive.clone(), negative.clone()),
        };
        FloatHistogram {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive,
            negative,
            custom_values: self.custom_values.clone(),
        }
    }
}

impl FloatHistogram {
    /// The stored form.
    #[must_use]
    pub fn into_stored(self) -> Histogram {
        Histogram {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            positive_spans: self.positive_spans,
            negative_spans: self.negative_spans,
            custom_values: self.custom_values,
            counts: Counts::Float {
                count: self.count,
                zero: self.zero_count,
                positive: self.positive,
                negative: self.negative,
            },
        }
    }
}
