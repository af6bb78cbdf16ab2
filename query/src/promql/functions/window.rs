//! What a range function sees at one step.

use std::cell::RefCell;

use engine::model::{HistogramSample, Labels};

use crate::promql::annotations::Annotations;
use crate::promql::ast::Span;

/// The samples of one series in one window.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    /// Timestamps of `vals`.
    pub(crate) ts: &'a [i64],
    pub(crate) vals: &'a [f64],
    /// Start timestamps of `vals`, or empty.
    pub(crate) sts: &'a [i64],
    pub(crate) hists: &'a [HistogramSample],
    /// Evaluation time.
    pub(crate) t: i64,
    /// The range is `(start, end]`; extended selectors hand out samples around it.
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Window<'_> {
    pub(crate) fn range_seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }
}

/// What stays the same for all windows of a series.
pub(crate) struct Env<'a> {
    /// Labels of the series as selected.
    pub(crate) labels: &'a Labels,
    /// Place of the first argument.
    pub(crate) span: Span,
    pub(crate) annotations: &'a RefCell<Annotations>,
    /// Start timestamps tell resets.
    pub(crate) use_start: bool,
    pub(crate) anchored: bool,
    pub(crate) smoothed: bool,
}

impl Env<'_> {
    pub(crate) fn metric(&self) -> &str {
        self.labels.metric_name().unwrap_or("")
    }

    pub(crate) fn note(&self, f: impl FnOnce(&mut Annotations, &str, Span)) {
        f(&mut self.annotations.borrow_mut(), self.metric(), self.span);
    }

    /// Start timestamp of float `i` of `w`, 0 when unknown or unused.
    pub(crate) fn start_of(&self, w: &Window<'_>, i: usize) -> i64 {
        if self.use_start {
            w.sts.get(i).copied().unwrap_or(0)
        } else {
            0
        }
    }

    /// Start timestamp of histogram `i` of `w`.
    pub(crate) fn hist_start_of(&self, w: &Window<'_>, i: usize) -> i64 {
        if self.use_start {
            w.hists[i].start_t
        } else {
            0
        }
    }
}

/// Whether the start timestamp of a sample says that the counter was reset since the one before.
pub(crate) fn start_says_reset(prev_start: i64, prev_t: i64, start: i64, t: i64) -> bool {
    if start == 0 || start >= t || start < prev_t {
        return false;
    }
    if start > prev_t {
        return true;
    }
    // The new series starts exactly at the old one's last sample: a reset unless that sample
    // was itself the start, or is not trustworthy.
    prev_start <= prev_t && prev_start != 0 && prev_start != prev_t
}

/// A start timestamp inside the life of the sample before, and not the same life.
pub(crate) fn start_overlaps(prev_start: i64, prev_t: i64, start: i64) -> bool {
    start != 0 && start < prev_t && start != prev_start
}
