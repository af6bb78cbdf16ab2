//! The facts Sextant stores, and nothing about how they are stored.
//!
//! Owns: label sets, matchers, samples, native histograms, exemplars, metadata, tenants, the
//! borrowed write batch that every way in produces and the column that every reader receives.
//! Knows nothing of: bytes on disk, wire formats, HTTP, query languages.
//!
//! Units: every timestamp is `i64` milliseconds since the Unix epoch; every value is `f64` and is
//! kept to the bit (NaN payloads and the sign of zero included).

mod batch;
mod column;
mod exemplar;
pub mod float;
mod histogram;
mod histogram_check;
mod labels;
mod matcher;
mod metadata;
mod tenant;
mod text;

pub use batch::{
    BatchExtra, BatchSeries, HistogramPoint, InvalidLabels, LabelsSource, SeriesKey, WriteBatch,
};
pub use column::{Column, HistogramSample};
pub use exemplar::Exemplar;
pub use histogram::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Counts, EXPONENTIAL_SCHEMA_MAX,
    EXPONENTIAL_SCHEMA_MIN, FloatHistogram, Histogram, HistogramError, Span,
};
pub use histogram_check::EXPONENTIAL_SCHEMA_MAX_RESERVED;
pub use labels::{Labels, LabelsBuilder, LabelsIter, METRIC_NAME};
pub use matcher::{MatchOp, Matcher, StringMatcher};
pub use metadata::{MetricMetadata, MetricType};
pub use tenant::TenantId;
pub use text::lossy_text;

/// Bit pattern of the NaN that marks a series as ended (Prometheus' staleness marker).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
/// Bit pattern Prometheus stores for an ordinary NaN read from text.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// True when `v` is the staleness marker. Cost: one compare.
#[inline]
#[must_use]
pub fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// The staleness marker as a float.
#[inline]
#[must_use]
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// One float sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub t: i64,
    /// The value, bit-exact.
    pub v: f64,
}
