//! The doors of the metric store: requests, answers and errors. No logic.

use std::fmt;

use crate::budget::Stop;
use crate::model::{Exemplar, InvalidLabels, Labels};
use crate::wal::Position;

/// How a batch with refused samples is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendMode {
    /// The first refused sample refuses the whole batch (remote write 1.0, OTLP). Series whose labels
    /// are no label set are left out without refusing the rest, as Prometheus does.
    Atomic,
    /// Good samples are stored, refused ones are reported (remote write 2.0, scraping, rules).
    Partial,
}

/// Options of one append.
#[derive(Debug, Clone, Copy)]
pub struct AppendOptions {
    /// What to do with refused samples.
    pub mode: AppendMode,
    /// Wall clock of the server in ms; samples more than 10 minutes ahead of it are refused.
    pub now_ms: i64,
    /// Whether samples may be out of order within the configured window. Scrapes of targets with
    /// their own timestamps and rule results use the same rule as remote write.
    pub allow_out_of_order: bool,
}

impl AppendOptions {
    /// Options for `mode` at `now_ms`, out-of-order samples allowed as configured.
    #[must_use]
    pub fn new(mode: AppendMode, now_ms: i64) -> Self {
        Self {
            mode,
            now_ms,
            allow_out_of_order: true,
        }
    }
}

/// What was stored.
#[derive(Debug, Clone, Default)]
pub struct Appended {
    /// Float samples stored (exact duplicates count, as in Prometheus).
    pub samples: u64,
    /// Histogram samples stored.
    pub histograms: u64,
    /// Exemplars stored.
    pub exemplars: u64,
    /// Series that did not exist before.
    pub new_series: u64,
    /// Refused samples and series: all counted, the first [`Rejections::KEEP`] kept.
    pub rejected: Rejections,
    /// Durable once the log is synced up to here.
    pub position: Position,
}

/// Refused points of one batch.
#[derive(Debug, Clone, Default)]
pub struct Rejections {
    /// The first ones, in batch order.
    pub first: Vec<Rejection>,
    /// How many in all.
    pub total: u64,
}

impl Rejections {
    /// At most this many rejections are kept with their labels.
    pub const KEEP: usize = 100;

    /// Counts a rejection, and keeps it if it is among the first.
    pub fn push(&mut self, r: Rejection) {
        self.total += 1;
        if self.first.len() < Self::KEEP {
            self.first.push(r);
        }
    }

    /// True when nothing was refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// One refused point or series.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// Index of the series in the batch.
    pub series: usize,
    /// Labels of the series, as far as they could be read.
    pub labels: Labels,
    /// Timestamp of the point in ms; 0 when the series itself was refused.
    pub t: i64,
    /// Why.
    pub reason: RejectReason,
}

/// Why a point was refused. The texts are Prometheus'.
#[derive(Debug, Clone, PartialEq)]
pub enum RejectReason {
    /// Older than the newest sample of its series, no out-of-order window.
    OutOfOrder,
    /// Same timestamp, other value.
    Duplicate {
        /// Stored value.
        existing: f64,
        /// Refused value.
        new: f64,
    },
    /// Same timestamp, other histogram.
    DuplicateHistogram,
    /// Older than the out-of-order window.
    TooOld,
    /// Older than the head accepts.
    OutOfBounds,
    /// More than 10 minutes in the future.
    TooFarInFuture,
    /// Labels that no series may have (no metric name, duplicate name, invalid UTF-8).
    InvalidLabels(InvalidLabels),
    /// Histogram that contradicts itself.
    InvalidHistogram(String),
    /// A limit on what one series may be: it will never be taken. The text names the limit, its
    /// value and the offending label.
    Limit(String),
    /// The tenant has as many series as it may have: the same may be taken once others have ended.
    TooManySeries(String),
    /// Exemplar older than the newest one of its series.
    ExemplarOutOfOrder,
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder => f.write_str("out of order sample"),
            Self::Duplicate { existing, new } => write!(
                f,
                "duplicate sample for timestamp; overrides not allowed: existing {existing}, new value {new}"
            ),
            Self::DuplicateHistogram => f.write_str(
                "duplicate sample for timestamp; overrides not allowed: existing histogram differs",
            ),
            Self::TooOld => f.write_str("too old sample"),
            Self::OutOfBounds => f.write_str("out of bounds"),
            Self::TooFarInFuture => {
                f.write_str("out of bounds: timestamp is too far in the future")
            }
            Self::InvalidLabels(e) => e.fmt(f),
            Self::InvalidHistogram(s) | Self::Limit(s) | Self::TooManySeries(s) => f.write_str(s),
            Self::ExemplarOutOfOrder => f.write_str("out of order exemplar"),
        }
    }
}

/// Why nothing of a batch was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Atomic mode: at least one sample was refused; answer 400, do not retry.
    #[error("{}", .0.first.first().map_or(String::new(), |r| r.reason.to_string()))]
    Rejected(Rejections),
    /// The disk is full: answer 503 with Retry-After; nothing was stored, retry later.
    #[error("no space left on device ({free_bytes} bytes free)")]
    NoSpace {
        /// Free bytes on the data disk.
        free_bytes: u64,
    },
    /// The log failed earlier and takes nothing any more: answer 503, restart needed.
    #[error("write-ahead log is poisoned by an earlier I/O error: {0}")]
    Poisoned(String),
    /// The store is closing: answer 503.
    #[error("storage is closing")]
    Closed,
    /// I/O failed now: answer 500, the sender retries.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// Whoever watches the read ended it.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// A file could not be read or is damaged: answer 500; the file is quarantined.
    #[error("{0}")]
    Storage(String),
}

/// An exemplar query's answer for one series.
#[derive(Debug, Clone)]
pub struct SeriesExemplars {
    /// Labels of the series.
    pub series: Labels,
    /// Its exemplars by time.
    pub exemplars: Vec<Exemplar>,
}

/// Size and range of the head, for status pages.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadStats {
    /// Series in the head.
    pub series: u64,
    /// Distinct name/value pairs.
    pub label_pairs: u64,
    /// Chunks.
    pub chunks: u64,
    /// Oldest sample, ms; `i64::MAX` when empty.
    pub min_t: i64,
    /// Newest sample, ms; `i64::MIN` when empty.
    pub max_t: i64,
}

/// One row of a cardinality table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cardinality {
    /// What is counted (metric, label name, or `name=value`).
    pub name: String,
    /// How many, or how many bytes.
    pub value: u64,
}

/// Cardinality tables of the head, each in descending order.
#[derive(Debug, Clone, Default)]
pub struct CardinalityStats {
    /// Series by metric name.
    pub series_by_metric: Vec<Cardinality>,
    /// Distinct values by label name.
    pub values_by_label: Vec<Cardinality>,
    /// Bytes of all values by label name.
    pub bytes_by_label: Vec<Cardinality>,
    /// Series by `name=value`.
    pub series_by_pair: Vec<Cardinality>,
}
