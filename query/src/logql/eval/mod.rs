//! Evaluation: entries to streams, entries to series over a step grid.
//!
//! Owns: limits, windows, aggregations, binary operators, error texts of running queries.
//! Knows nothing of: the clock, encodings.
//!
//! Invariants
//! - LE1  A selector is read once; entries outside every window are not run through the pipeline.
//! - LE2  [`Control`] is asked at every batch and every aggregation: a query can always be stopped.
//! - LE3  Memory is bounded by the limits: entries and samples held are counted.
//! - LE4  What the store leaves out or replaces, and the number of threads, change no answer.

mod aggregate;
mod binary;
mod extract;
mod log;
mod metric;
mod range;
mod tail;
mod window;

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;

use engine::logs::{ReadError, ScanStats};
use engine::model::Labels;

pub use log::{Interval, LogAnswer, LogQuery, OutEntry, OutStream, run_log};
pub use metric::{Grid, MetricAnswer, Point, run_metric};
pub use tail::Tailer;

use super::ast::BinaryOp;
use super::parse::ParseError;
use super::stages::Surroundings;

pub(crate) use binary::scalar;

/// Threads that read for one query.
fn scan_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(8))
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Not a query: answer 400.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// Lines that a stage could not handle: answer 400.
    #[error("{0}")]
    Pipeline(String),
    /// Over a limit of the tenant: answer 400.
    #[error("{0}")]
    Limit(String),
    /// Sides of an operator that do not match: answer 500.
    #[error("{0}")]
    Matching(String),
    /// Switched off: answer 500.
    #[error("{0}")]
    Unsupported(String),
    /// Took too long: answer 504.
    #[error("context deadline exceeded")]
    Timeout,
    /// The caller gave up: answer 499.
    #[error("context canceled")]
    Canceled,
    /// The store failed: answer 500.
    #[error("{0}")]
    Storage(String),
}

impl From<ReadError> for QueryError {
    fn from(e: ReadError) -> Self {
        match e {
            ReadError::Cancelled => Self::Canceled,
            e => Self::Storage(e.to_string()),
        }
    }
}

/// Limits of one query. 0 means none.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Series of an answer.
    pub series_max: usize,
    /// Entries and samples held at a time.
    pub samples_max: u64,
    /// Bytes of lines held at a time.
    pub bytes_max: u64,
    /// `approx_topk` is allowed.
    pub approx_topk: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series_max: 500,
            samples_max: 50_000_000,
            bytes_max: 1 << 30,
            approx_topk: false,
        }
    }
}

/// What is the same for the parts of one query.
pub struct Control<'a> {
    /// See [`Limits`].
    pub limits: Limits,
    /// What templates may know.
    pub around: Surroundings,
    /// Becomes true when the caller has gone.
    pub cancel: &'a AtomicBool,
    /// True when the time is over.
    pub expired: &'a (dyn Fn() -> bool + Sync),
    /// What the scans cost.
    pub stats: &'a ScanStats,
}

impl Control<'_> {
    fn check(&self) -> Result<(), QueryError> {
        if self.cancel.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(QueryError::Canceled);
        }
        if (self.expired)() {
            return Err(QueryError::Timeout);
        }
        Ok(())
    }
}

/// A series with points at some steps of the grid.
#[derive(Debug, Clone, PartialEq)]
struct Series {
    labels: Labels,
    /// Step and value, ascending.
    points: Vec<(u32, f64)>,
}

/// The error of a series with `__error__`.
fn pipeline_error(labels: &Labels) -> QueryError {
    let error = labels.get(super::stages::ERROR).unwrap_or("");
    QueryError::Pipeline(format!(
        "pipeline error: '{error}' for series: '{labels}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{error}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. \
         (e.g | unwrap latency | __error__=\"\" )\n"
    ))
}
