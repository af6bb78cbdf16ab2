//! Scraping: targets are fetched on a schedule and what they expose is stored.
//!
//! Owns: targets (labels, URLs, limits), the schedule, fetching, the cache of known series,
//! staleness, report series, target health and metadata.
//! Knows nothing of: discovery kinds, chunks, queries. Facts go to the store through [`Appender`].
//!
//! Invariants
//! - SCR1  A scrape with a fatal error stores nothing but staleness markers and `up` 0.
//! - SCR2  A series that vanishes is marked stale at the time of the scrape that misses it.
//! - SCR3  A reload does not touch loops of targets whose job and labels did not change.
//!
//! Read next: `manager.rs` (pools), `target.rs` (groups to targets), `run.rs` (one loop),
//! `ingest.rs` (a body to a batch).

mod cache;
#[cfg(test)]
#[path = "../../../tests/conformance/exposition.rs"]
mod conformance;
mod fetch;
mod ingest;
mod labels;
mod manager;
mod numbers;
mod run;
mod service;
mod target;
#[cfg(test)]
mod tests;

use engine::metrics::{AppendError, AppendMode, AppendOptions, Appended, Db};
use engine::model::{LabelsSource, TenantId, WriteBatch};

pub(crate) use manager::{DroppedTarget, PoolView, Scraper, TargetView};
pub(crate) use service::Service;
pub(crate) use target::Health;

/// Where scraped facts go.
pub(crate) trait Appender: Send + Sync + 'static {
    /// Key secret for series keys, see `SeriesKey`.
    fn key_secret(&self) -> u64;

    /// Stores what is good of `batch` and reports the rest.
    ///
    /// # Errors
    /// When nothing can be stored.
    fn append(
        &self,
        batch: &WriteBatch,
        labels: &dyn LabelsSource,
        now_ms: i64,
    ) -> Result<Appended, AppendError>;
}

impl Appender for Db {
    fn key_secret(&self) -> u64 {
        Db::key_secret(self)
    }

    fn append(
        &self,
        batch: &WriteBatch,
        labels: &dyn LabelsSource,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        let options = AppendOptions::new(AppendMode::Partial, now_ms);
        Db::append(self, TenantId::DEFAULT, batch, labels, &options)
    }
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
