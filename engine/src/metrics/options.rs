//! Settings of the metric store.

use std::sync::Arc;

use crate::io::{Clock, Fs, RealFs, SystemClock};
use crate::wal::WalOptions;

/// Settings of a store. Times in ms, sizes in bytes, 0 = no limit.
#[derive(Clone)]
pub struct DbOptions {
    /// Where files are.
    pub fs: Arc<dyn Fs>,
    /// What time it is (only for names of snapshots; acceptance gets its own clock).
    pub clock: Arc<dyn Clock>,
    /// Log settings.
    pub wal: WalOptions,
    /// Range of a block cut from the head.
    pub block_range_ms: i64,
    /// Samples older than this behind the newest are dropped.
    pub retention_ms: i64,
    /// Oldest blocks are dropped when the directory is larger.
    pub retention_bytes: u64,
    /// How far behind the newest sample out-of-order samples are taken.
    pub out_of_order_ms: i64,
    /// Exemplars kept per tenant.
    pub exemplars_max: usize,
    /// Series per tenant.
    pub series_max: u64,
    /// Labels per series.
    pub labels_max: usize,
    /// Bytes of a label name.
    pub label_name_bytes_max: usize,
    /// Bytes of a label value.
    pub label_value_bytes_max: usize,
    /// A checkpoint is written when the log since the last one is larger than this and than the
    /// last checkpoint.
    pub checkpoint_bytes: u64,
    /// Run a maintenance thread; otherwise call [`super::Db::maintain`].
    pub background: bool,
    /// Refuse a directory that another process uses.
    pub lock: bool,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            fs: Arc::new(RealFs::default()),
            clock: Arc::new(SystemClock),
            wal: WalOptions::default(),
            block_range_ms: 2 * 3600 * 1000,
            retention_ms: 15 * 24 * 3600 * 1000,
            retention_bytes: 0,
            out_of_order_ms: 0,
            exemplars_max: 100_000,
            series_max: 0,
            // Far beyond what any exporter sends; bounds what one series can cost.
            labels_max: 1024,
            label_name_bytes_max: 4096,
            label_value_bytes_max: 65_536,
            checkpoint_bytes: 24 << 20,
            background: true,
            lock: true,
        }
    }
}

impl DbOptions {
    /// Defaults on `fs` without threads and without a lock: nothing happens but what is called.
    #[must_use]
    pub fn without_threads(fs: Arc<dyn Fs>) -> Self {
        Self {
            fs,
            wal: WalOptions {
                commit_thread: false,
                ..WalOptions::default()
            },
            background: false,
            lock: false,
            ..Self::default()
        }
    }
}
