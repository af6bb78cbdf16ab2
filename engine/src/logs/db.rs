//! The store: memtables, parts, log and manifest together.
//!
//! Owns: the view that readers take, the push and read doors.
//! Knows nothing of: when maintenance runs (`maintain.rs`).
//!
//! Invariants
//! - V1  Every entry is in exactly one of: the active memtable, a frozen one, a live part; a reader
//!   that locks `active` first and clones `view` under it sees each once.
//! - V2  The manifest names a part only after it is durable; its `wal_from` moves only when all
//!   records before it are in parts that it names.
//! - V3  Whoever holds `active` may take a tenant's table; nobody takes `active` while holding one.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use super::api::PushError;
use super::batch::PushBatch;
use super::deletion::Deletion;
use super::manifest::Manifest;
use super::mem::Mem;
use super::open::{Opening, Recovery, stream_id};
use super::options::DbOptions;
use super::part::Part;
use super::record;
use super::retention::Retentions;
use super::select::Selection;
use crate::index::LabelTable;
use crate::io::{Fs, Rng};
use crate::model::{Labels, Matcher, TenantId};
use crate::wal::{LogHandle, Position, WalError, WalOptions, open_shared};

/// How long a push waits for room before it is refused.
const ROOM_WAIT: Duration = Duration::from_secs(20);

/// A part in service, with the store's numbers of its streams.
pub(super) struct LivePart {
    pub(super) part: Part,
    pub(super) streams: Vec<u32>,
}

/// What pushes go into.
#[derive(Default)]
pub(super) struct Active {
    pub(super) mem: Mem,
    /// When its first entry came.
    pub(super) since_ms: i64,
}

/// A memtable on its way to parts.
#[derive(Clone)]
pub(super) struct Frozen {
    pub(super) mem: Arc<Mem>,
    /// All its records are before this.
    pub(super) until: Position,
}

/// Everything immutable.
pub(super) struct View {
    /// Oldest first.
    pub(super) frozen: Vec<Frozen>,
    pub(super) parts: Vec<Arc<LivePart>>,
}

/// Counters of the store.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) pushes: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) merges: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) dropped_parts: AtomicU64,
}

/// Counters for status pages and metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct DbStats {
    /// Entries stored since start.
    pub entries: u64,
    /// Bytes of their lines.
    pub bytes: u64,
    /// Entries that were there already.
    pub duplicates: u64,
    /// Memtables written to parts.
    pub flushes: u64,
    /// Merges of parts.
    pub merges: u64,
    /// Failed flushes and merges.
    pub failures: u64,
    /// Parts dropped by retention.
    pub dropped_parts: u64,
    /// Live parts.
    pub parts: u64,
    /// Their bytes.
    pub part_bytes: u64,
    /// Entries in parts.
    pub part_entries: u64,
    /// Entries in memory.
    pub memory_entries: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Streams of all tenants.
    pub streams: u64,
    /// Damaged things found at start.
    pub corruptions: u64,
}

pub(super) struct Inner {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    pub(super) opts: DbOptions,
    pub(super) wal: LogHandle,
    pub(super) tenants: RwLock<HashMap<u32, Arc<RwLock<LabelTable>>>>,
    pub(super) active: RwLock<Active>,
    pub(super) view: RwLock<Arc<View>>,
    pub(super) manifest: Mutex<Manifest>,
    /// Held by flushes, merges and retention.
    pub(super) maintenance: Mutex<()>,
    pub(super) counters: Counters,
    pub(super) rng: Mutex<Rng>,
    pub(super) retention: RwLock<Arc<Retentions>>,
    /// When parts were last looked at for it, ms.
    pub(super) retained_ms: AtomicI64,
    pub(super) deletions: RwLock<HashMap<u32, Arc<Vec<Deletion>>>>,
    pub(super) stop: Mutex<bool>,
    pub(super) wake: Condvar,
    /// The last attempt to write a memtable failed.
    pub(super) stuck: Mutex<bool>,
    /// A memtable was written, or could not be.
    pub(super) room: Condvar,
    pub(super) closed: AtomicBool,
    pub(super) recovery: Recovery,
}

/// The log store of a data directory.
pub struct Db {
    inner: Arc<Inner>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Db {
    pub(super) fn from_inner(
        inner: Arc<Inner>,
        thread: Option<std::thread::JoinHandle<()>>,
    ) -> Self {
        Self {
            inner,
            thread: Mutex::new(thread),
        }
    }

    /// Opens or makes a store in `dir` with a log of its own (tests and tools; a server shares one
    /// log between its stores, see [`crate::store::Store`]).
    ///
    /// # Errors
    /// I/O errors. Damage is no error: see [`Db::recovery`].
    pub fn open(dir: &Path, opts: DbOptions, wal: WalOptions) -> io::Result<Self> {
        let fs = Arc::clone(&opts.fs);
        let mut opening = Opening::start(dir, opts)?;
        let from = [opening.wal_from()];
        let (mut handles, _) = open_shared(fs, &dir.join("wal"), &from, wal, &mut |r| {
            opening.replay(&r);
        })
        .map_err(io::Error::other)?;
        let handle = handles.pop().ok_or(io::ErrorKind::NotFound)?;
        opening.finish(handle)
    }

    /// What recovery found at start.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// Stores a batch. Returns as soon as it is visible; it is durable after
    /// [`Db::wait_durable`] of the returned position. Streams need at least one label.
    /// Cost: LZ4 and CRC of the lines, about 60 ns an entry. Blocks while more waits to be written
    /// to parts than the configured backlog, so call it where blocking is allowed.
    ///
    /// # Errors
    /// See [`PushError`]; nothing is stored then.
    pub fn push(&self, tenant: TenantId, batch: PushBatch) -> Result<Position, PushError> {
        let i = &*self.inner;
        if i.closed.load(Ordering::Acquire) {
            return Err(PushError::Closed);
        }
        if batch.is_empty() {
            return Ok(i.wal.appended());
        }
        let records = record::encode(&batch);
        let records: Vec<(u8, u32, &[u8])> = records
            .iter()
            .map(|r| (record::KIND_ENTRIES, tenant.0, r.as_slice()))
            .collect();
        let (entries, bytes) = (batch.len() as u64, batch.text_bytes() as u64);
        i.wait_for_room()?;
        let mut active = i.active.write();
        let ids = self.number_streams(tenant, &batch)?;
        // Log and memtable change under one lock: a flush sees both or none.
        let end = i.wal.append(&records)?;
        if active.mem.entries == 0 {
            active.since_ms = i.opts.clock.now_ms();
        }
        let duplicates = active.mem.apply(tenant.0, batch, &ids);
        let full = active.mem.bytes >= i.opts.memtable_bytes;
        drop(active);
        let c = &i.counters;
        c.entries.fetch_add(entries, Ordering::Relaxed);
        c.bytes.fetch_add(bytes, Ordering::Relaxed);
        c.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        c.pushes.fetch_add(1, Ordering::Relaxed);
        if full {
            i.wake.notify_all();
        }
        Ok(end)
    }

    /// Numbers of the streams of a batch. The lock on the active memtable is held, so that no
    /// stream is forgotten between getting its number and its first entry.
    fn number_streams(&self, tenant: TenantId, batch: &PushBatch) -> Result<Vec<u32>, PushError> {
        let table = self.inner.table(tenant.0);
        let mut t = table.write();
        let limit = self.inner.opts.streams_max;
        let mut ids = Vec::with_capacity(batch.streams.len());
        for (labels, _) in &batch.streams {
            let before = t.live();
            let id = stream_id(&mut t, labels);
            if limit > 0 && t.live() > before && before >= limit {
                t.remove_series(id);
                return Err(PushError::StreamLimit {
                    limit,
                    stream: labels.clone(),
                });
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// Blocks until everything up to `position` is durable.
    ///
    /// # Errors
    /// When the log failed: nothing after the last success is durable.
    pub fn wait_durable(&self, position: Position) -> Result<(), PushError> {
        Ok(self.inner.wal.wait_durable(position)?)
    }

    /// Calls `done` once everything up to `position` is durable, from another thread or at once.
    pub fn on_durable(
        &self,
        position: Position,
        done: Box<dyn FnOnce(Result<(), PushError>) + Send>,
    ) {
        self.inner.wal.on_durable(
            position,
            Box::new(move |r| done(r.map_err(PushError::from))),
        );
    }

    /// Streams that match all matchers and have entries in `[from, to)` (ns), and the way to those
    /// entries. Cost: matchers against the label index and a look at the directories of parts; no
    /// lines are read.
    #[must_use]
    pub fn select(&self, tenant: TenantId, matchers: &[Matcher], from: i64, to: i64) -> Selection {
        Selection::new(&self.inner, tenant.0, matchers, from, to)
    }

    /// Puts the delete requests of a tenant in force, all at once; entries they name are invisible
    /// from here on, and those of final requests leave the disk when their part is next rewritten.
    pub fn set_deletions(&self, tenant: TenantId, deletions: Vec<Deletion>) {
        self.inner
            .deletions
            .write()
            .insert(tenant.0, Arc::new(deletions));
    }

    /// Rewrites the parts that hold entries of final delete requests; gives how many. Cost: decoding and encoding
    /// those parts.
    ///
    /// # Errors
    /// When a part cannot be written; the entries stay invisible.
    pub fn purge(&self, tenant: TenantId) -> Result<u64, PushError> {
        self.inner.purge(tenant.0)
    }

    /// Changes how long entries are kept.
    pub fn set_retention(&self, retentions: Retentions) {
        *self.inner.retention.write() = Arc::new(retentions);
        self.inner.retained_ms.store(i64::MIN, Ordering::Relaxed);
    }

    /// Streams of a tenant that have entries in memory, and which of `streams` are not among them.
    /// Cost: a look at the label index for each.
    #[must_use]
    pub fn active_streams(&self, tenant: TenantId, streams: &[Labels]) -> (u64, Vec<bool>) {
        let table = self.inner.table(tenant.0);
        let active = self.inner.active.read();
        let table = table.read();
        let own = active.mem.tenants.get(&tenant.0);
        let new = streams.iter().map(|l| {
            let id = table.find_labels(l);
            !id.is_some_and(|id| own.is_some_and(|t| t.streams.contains_key(&id)))
        });
        let count = own.map_or(0, |t| t.streams.len() as u64);
        (count, new.collect())
    }

    /// Writes everything in memory to parts and releases the log.
    ///
    /// # Errors
    /// When a part cannot be written; nothing is lost, the log has it.
    pub fn flush(&self) -> Result<(), PushError> {
        self.inner.maintain(true)
    }

    /// Runs due maintenance now.
    ///
    /// # Errors
    /// The first failure; what was done stays done.
    pub fn maintain(&self) -> Result<(), PushError> {
        self.inner.maintain(false)
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> DbStats {
        let i = &*self.inner;
        let c = &i.counters;
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let (entries, bytes) = {
            let a = i.active.read();
            (a.mem.entries, a.mem.bytes as u64)
        };
        let view = Arc::clone(&i.view.read());
        let tables = i.tenants.read();
        DbStats {
            entries: get(&c.entries),
            bytes: get(&c.bytes),
            duplicates: get(&c.duplicates),
            flushes: get(&c.flushes),
            merges: get(&c.merges),
            failures: get(&c.failures),
            dropped_parts: get(&c.dropped_parts),
            parts: view.parts.len() as u64,
            part_bytes: view.parts.iter().map(|p| p.part.bytes).sum(),
            part_entries: view.parts.iter().map(|p| p.part.footer.rows).sum(),
            memory_entries: entries + view.frozen.iter().map(|f| f.mem.entries).sum::<u64>(),
            memory_bytes: bytes + view.frozen.iter().map(|f| f.mem.bytes as u64).sum::<u64>(),
            streams: tables.values().map(|t| t.read().live()).sum(),
            corruptions: i.recovery.corruptions(),
        }
    }

    /// Reads every page of every part; gives what is damaged.
    #[must_use]
    pub fn verify(&self) -> Vec<String> {
        let view = Arc::clone(&self.inner.view.read());
        view.parts
            .iter()
            .filter_map(|p| Some(format!("{}: {}", p.part.name, p.part.verify().err()?)))
            .collect()
    }

    /// Stops accepting and writes what is in memory to parts. The log stays open: other stores may
    /// use it. A second call does nothing.
    ///
    /// # Errors
    /// When a part cannot be written; the next start replays the log.
    pub fn close(&self) -> Result<(), PushError> {
        let i = &*self.inner;
        if i.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        *i.stop.lock() = true;
        i.wake.notify_all();
        if let Some(t) = self.thread.lock().take()
            && t.join().is_err()
        {
            i.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
        i.maintain(true)
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if self.close().is_err() {
            // Nobody is left to tell; the log has everything that was acknowledged.
            self.inner.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Inner {
    /// Lets a push wait while parts are written more slowly than lines come.
    fn wait_for_room(&self) -> Result<(), PushError> {
        let waiting = || -> usize {
            let view = Arc::clone(&self.view.read());
            view.frozen.iter().map(|f| f.mem.bytes).sum()
        };
        if !self.opts.background || waiting() <= self.opts.backlog_bytes {
            return Ok(());
        }
        let deadline = Instant::now() + ROOM_WAIT;
        let mut failed = self.stuck.lock();
        while waiting() > self.opts.backlog_bytes {
            let timed_out = self.room.wait_until(&mut failed, deadline).timed_out();
            if *failed || timed_out {
                let free_bytes = self.fs.free_space(&self.dir).unwrap_or(0);
                return Err(PushError::Log(WalError::NoSpace { free_bytes }));
            }
        }
        Ok(())
    }

    pub(super) fn table(&self, tenant: u32) -> Arc<RwLock<LabelTable>> {
        if let Some(t) = self.tenants.read().get(&tenant) {
            return Arc::clone(t);
        }
        Arc::clone(self.tenants.write().entry(tenant).or_default())
    }
}
