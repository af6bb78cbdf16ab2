//! Everything a data directory holds, over one log: metrics, lines and state tables.
//!
//! Owns: the lock on the directory, the order of recovery and of closing, and that each record of
//! the log reaches the store that wrote it.
//! Knows nothing of: what the records say.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::io::sim::SimFs;
use crate::io::{DirLock, Fs};
use crate::wal::{Record, WalOptions, open_shared};
use crate::{logs, metrics, state};

/// How often the state tables are looked at.
const KEEP_EVERY: Duration = Duration::from_secs(2);
/// Record kinds below this belong to metrics.
const LOG_KINDS: u8 = 16;
/// Record kinds from here to [`LOG_KINDS`] belong to lines, later ones to state tables.
const STATE_KINDS: u8 = 24;

/// Settings of all stores. The metric store's file system, clock and log settings count for all.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// The metric store, the log, the lock.
    pub metrics: metrics::DbOptions,
    /// The log store.
    pub logs: logs::DbOptions,
}

impl StoreOptions {
    /// Defaults on `fs` without threads and without a lock: nothing happens but what is called.
    #[must_use]
    pub fn without_threads(fs: Arc<dyn Fs>) -> Self {
        Self {
            metrics: metrics::DbOptions::without_threads(fs),
            logs: logs::DbOptions {
                background: false,
                ..logs::DbOptions::default()
            },
        }
    }
}

/// The stores of a data directory.
pub struct Store {
    /// State tables.
    pub state: Arc<state::Tables>,
    /// Lines.
    pub logs: Arc<logs::Db>,
    /// Metrics. Closed last: it records the clean end of the log.
    pub metrics: Arc<metrics::Db>,
    keeper: Keeper,
}

/// The thread that keeps the state tables' share of the log short.
#[derive(Default)]
struct Keeper {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Keeper {
    fn start(state: Arc<state::Tables>) -> io::Result<Self> {
        let keeper = Self::default();
        let stop = Arc::clone(&keeper.stop);
        let thread = std::thread::Builder::new()
            .name("state-maintenance".into())
            .spawn(move || {
                loop {
                    {
                        let mut stopped = stop.0.lock();
                        if !*stopped {
                            stop.1.wait_for(&mut stopped, KEEP_EVERY);
                        }
                        if *stopped {
                            return;
                        }
                    }
                    // A failure is counted by the tables and tried again the next time.
                    drop(state.maintain());
                }
            })?;
        *keeper.thread.lock() = Some(thread);
        Ok(keeper)
    }

    fn stop(&self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(t) = self.thread.lock().take() {
            // The thread has no panic of its own.
            drop(t.join());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Store {
    /// Opens or makes the stores in `dir` and recovers what the log holds.
    ///
    /// # Errors
    /// See [`metrics::OpenError`]. Damage in files is no error: each store reports its own.
    pub fn open(dir: &Path, opts: StoreOptions) -> Result<Self, metrics::OpenError> {
        let failed = |source: io::Error| metrics::OpenError::Io {
            path: dir.to_owned(),
            source,
        };
        let lock = if opts.metrics.lock {
            Some(DirLock::acquire(dir).map_err(metrics::OpenError::Locked)?)
        } else {
            None
        };
        let fs = Arc::clone(&opts.metrics.fs);
        let background = opts.metrics.background;
        let opts_wal = opts.metrics.wal.clone();
        let log_opts = logs::DbOptions {
            fs: Arc::clone(&fs),
            clock: Arc::clone(&opts.metrics.clock),
            ..opts.logs
        };
        let mut metrics = metrics::Opening::start(dir, opts.metrics)?;
        let mut lines = logs::Opening::start(dir, log_opts).map_err(failed)?;
        let mut tables = state::Opening::start(Arc::clone(&fs), dir).map_err(failed)?;
        let froms = [metrics.wal_from(), lines.wal_from(), tables.wal_from()];
        let wal_opts = WalOptions {
            known_durable: metrics.known_durable(),
            ..opts_wal
        };
        let mut visit = |r: Record<'_>| match r.kind {
            k if k < LOG_KINDS => metrics.replay(&r),
            k if k < STATE_KINDS => lines.replay(&r),
            _ => tables.replay(&r),
        };
        let (handles, report) = open_shared(fs, &dir.join("wal"), &froms, wal_opts, &mut visit)?;
        let mut handles = handles.into_iter();
        let mut next = || handles.next().ok_or(crate::wal::WalError::Closed);
        let (for_metrics, for_logs, for_state) = (next()?, next()?, next()?);
        let metrics = Arc::new(metrics.finish(for_metrics, report, lock)?);
        let state = Arc::new(tables.finish(for_state));
        let keeper = if background {
            Keeper::start(Arc::clone(&state)).map_err(failed)?
        } else {
            Keeper::default()
        };
        Ok(Self {
            keeper,
            state,
            logs: Arc::new(lines.finish(for_logs).map_err(failed)?),
            metrics,
        })
    }

    /// Empty stores on a simulated disk, without threads.
    #[must_use]
    pub fn in_memory() -> Self {
        let opts = StoreOptions::without_threads(Arc::new(SimFs::new()));
        match Self::open(Path::new("/store"), opts) {
            Ok(store) => store,
            // A simulated disk without injected faults has no errors.
            Err(e) => unreachable!("in-memory store: {e}"),
        }
    }

    /// Closes everything in order: lines to parts, tables to their file, then metrics and the log.
    ///
    /// # Errors
    /// The first failure; the rest is closed all the same, and the next start replays the log.
    pub fn close(&self) -> Result<(), String> {
        self.keeper.stop();
        let lines = self.logs.close().map_err(|e| e.to_string());
        let tables = self.state.close().map_err(|e| e.to_string());
        let metrics = self.metrics.close().map_err(|e| e.to_string());
        lines.and(tables).and(metrics)
    }
}

#[cfg(test)]
mod tables;
#[cfg(test)]
mod tests;
