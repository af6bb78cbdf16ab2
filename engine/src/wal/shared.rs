//! One log for several stores: each holds back what it has not yet made durable elsewhere.
//!
//! Owns: the holds, and that a segment goes only when nobody needs it.
//! Knows nothing of: what the stores write.
//!
//! Invariant
//! - H1  A record stays in the log until the store that wrote it has released its position.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::replay::{Record, ReplayReport};
use super::writer::Waiter;
use super::{Position, SyncMode, Wal, WalError, WalOptions, WalStats};
use crate::io::{Fs, Rng};

/// One store's grip on the log.
pub struct LogHandle {
    wal: Arc<Wal>,
    holds: Arc<Mutex<Vec<Position>>>,
    slot: usize,
    /// Payload bytes that this store appended.
    bytes: AtomicU64,
}

/// Opens the log in `dir` for stores that need it from `froms` on, hands every record from the
/// first of these on to `visit`, and gives a handle for each store, in the order of `froms`.
///
/// # Errors
/// See [`Wal::open`].
pub fn open_shared(
    fs: Arc<dyn Fs>,
    dir: &Path,
    froms: &[Position],
    opts: WalOptions,
    visit: &mut dyn FnMut(Record<'_>),
) -> Result<(Vec<LogHandle>, ReplayReport), WalError> {
    let from = froms.iter().min().copied().unwrap_or_default();
    let opts = WalOptions {
        after: froms
            .iter()
            .max()
            .copied()
            .unwrap_or_default()
            .max(opts.after),
        ..opts
    };
    let (wal, report) = Wal::open(fs, dir, from, opts, &mut Rng::from_entropy(), visit)?;
    let wal = Arc::new(wal);
    let holds = Arc::new(Mutex::new(froms.to_vec()));
    let handles = (0..froms.len())
        .map(|slot| LogHandle {
            wal: Arc::clone(&wal),
            holds: Arc::clone(&holds),
            slot,
            bytes: AtomicU64::new(0),
        })
        .collect();
    Ok((handles, report))
}

impl LogHandle {
    /// See [`Wal::append`].
    ///
    /// # Errors
    /// See [`WalError`]; nothing was appended then.
    pub fn append(&self, records: &[(u8, u32, &[u8])]) -> Result<Position, WalError> {
        let end = self.wal.append(records)?;
        let bytes: usize = records.iter().map(|r| r.2.len()).sum();
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(end)
    }

    /// Payload bytes appended through this handle.
    #[must_use]
    pub fn own_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// This store needs nothing before `position` any more; drops what nobody needs (H1).
    ///
    /// # Errors
    /// I/O errors; what could not be removed stays.
    pub fn release(&self, position: Position) -> Result<(), WalError> {
        let least = {
            let mut holds = self.holds.lock();
            let own = &mut holds[self.slot];
            *own = position.max(*own);
            holds.iter().min().copied().unwrap_or_default()
        };
        self.wal.truncate(least)
    }

    /// From where this store needs the log.
    #[must_use]
    pub fn held(&self) -> Position {
        self.holds.lock()[self.slot]
    }

    /// The furthest position that another store has released: an idle store that lags behind it
    /// keeps segments for nothing.
    #[must_use]
    pub fn others_held(&self) -> Position {
        let holds = self.holds.lock();
        let others = holds.iter().enumerate().filter(|(i, _)| *i != self.slot);
        others.map(|(_, p)| *p).max().unwrap_or_default()
    }

    /// See [`Wal::appended`].
    #[must_use]
    pub fn appended(&self) -> Position {
        self.wal.appended()
    }

    /// See [`Wal::cut`].
    ///
    /// # Errors
    /// See [`WalError`].
    pub fn cut(&self) -> Result<Position, WalError> {
        self.wal.cut()
    }

    /// Counters of the whole log.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        self.wal.stats()
    }

    /// See [`Wal::segment_range`].
    #[must_use]
    pub fn segment_range(&self) -> (u64, u64) {
        self.wal.segment_range()
    }

    /// See [`Wal::poisoned`].
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.wal.poisoned()
    }

    /// See [`Wal::sync_mode`].
    #[must_use]
    pub fn sync_mode(&self) -> SyncMode {
        self.wal.sync_mode()
    }

    /// See [`Wal::on_durable`].
    pub fn on_durable(&self, position: Position, done: Waiter) {
        self.wal.on_durable(position, done);
    }

    /// See [`Wal::wait_durable`].
    ///
    /// # Errors
    /// When it cannot become durable.
    pub fn wait_durable(&self, position: Position) -> Result<(), WalError> {
        self.wal.wait_durable(position)
    }

    /// See [`Wal::close`]. The stores that share a log close it last, by any one handle.
    pub fn close(&self) -> Position {
        self.wal.close()
    }
}
