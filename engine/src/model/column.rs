//! What readers receive: one series' points in a time range, with timestamps that series share.

use std::sync::Arc;

use super::histogram::FloatHistogram;

/// A histogram sample as queries see it.
#[derive(Debug, Clone)]
pub struct HistogramSample {
    /// Milliseconds since the epoch.
    pub t: i64,
    /// Start timestamp in ms, 0 when unknown.
    pub start_t: i64,
    /// The histogram; stale when its sum is the staleness marker.
    pub h: Arc<FloatHistogram>,
}

/// The points of one series in the asked range, in time order, each timestamp once.
///
/// Series that were written together share `ts`: readers compute window bounds once per distinct
/// `Arc` (compare with `Arc::ptr_eq`) and reuse them for every series that follows.
/// A timestamp holds a float or a histogram, never both.
pub struct Column<'a> {
    /// Timestamps of `values`, ms, strictly ascending.
    pub ts: &'a Arc<[i64]>,
    /// Float values, one per timestamp; staleness markers included.
    pub values: &'a [f64],
    /// Start timestamps, parallel to `values`, or empty when none is known.
    pub start_ts: &'a [i64],
    /// Histogram points, strictly ascending by `t`.
    pub histograms: &'a [HistogramSample],
}
