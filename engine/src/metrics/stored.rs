//! Columns with histograms as they were stored: for copies to other servers, where integer
//! histograms must stay integer histograms. Queries count in floats and use [`Selection::scan`].

use std::ops::{ControlFlow, Range};

use super::api::SelectError;
use super::select::{Selection, start_at};
use crate::model::HistogramPoint;

/// The points of one series in the asked range, in time order, each timestamp once.
pub struct StoredColumn<'a> {
    /// Timestamps of `values`, ms, strictly ascending.
    pub ts: &'a [i64],
    /// Float values, one per timestamp; staleness markers included.
    pub values: &'a [f64],
    /// Start timestamps, parallel to `values`, or empty when none is known.
    pub start_ts: &'a [i64],
    /// Histogram points, strictly ascending by `t`.
    pub histograms: &'a [HistogramPoint],
}

impl Selection {
    /// As [`Self::scan`], with histograms as they were stored. Cost: a copy of each histogram.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn scan_stored(
        &self,
        range: Range<usize>,
        visit: &mut dyn FnMut(usize, StoredColumn<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        let mut histograms: Vec<HistogramPoint> = Vec::new();
        let mut start_ts: Vec<i64> = Vec::new();
        self.scan_points(range, &mut |i, p| {
            histograms.clear();
            histograms.extend(p.histograms.iter().map(|h| HistogramPoint {
                t: h.t,
                start_t: h.start_t,
                h: (*h.h).clone(),
            }));
            start_ts.clear();
            if !p.starts.is_empty() {
                start_ts.extend(p.ts.iter().map(|t| start_at(p.starts, *t)));
            }
            let column = StoredColumn {
                ts: p.ts,
                values: p.values,
                start_ts: &start_ts,
                histograms: &histograms,
            };
            visit(i, column)
        })
    }
}
