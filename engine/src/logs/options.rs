//! Settings of the log store.

use std::sync::Arc;
use std::time::Duration;

use crate::io::{Clock, Fs, RealFs, SystemClock};

/// Settings of a store. Sizes in bytes, 0 = no limit.
#[derive(Clone)]
pub struct DbOptions {
    /// Where files are.
    pub fs: Arc<dyn Fs>,
    /// What time it is: for names of parts and for retention.
    pub clock: Arc<dyn Clock>,
    /// A memtable with more bytes of lines than this is written to parts.
    pub memtable_bytes: usize,
    /// A memtable older than this is written to parts.
    pub memtable_age: Duration,
    /// Pushes wait, and are refused as for a full disk after a while, when memtables with more
    /// than this wait to be written.
    pub backlog_bytes: usize,
    /// Streams per tenant.
    pub streams_max: u64,
    /// Parts whose newest entry is older than this are dropped, ms.
    pub retention_ms: i64,
    /// Run a maintenance thread; otherwise call [`super::Db::maintain`].
    pub background: bool,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            fs: Arc::new(RealFs::default()),
            clock: Arc::new(SystemClock),
            memtable_bytes: 48 << 20,
            memtable_age: Duration::from_secs(600),
            backlog_bytes: 64 << 20,
            streams_max: 0,
            retention_ms: 0,
            background: true,
        }
    }
}
