//! The store: heads, blocks, log and manifest together.
//!
//! Owns: opening and recovery, the view that readers take, the append and read doors.
//! Knows nothing of: when maintenance runs (`maintain.rs` does the work).
//!
//! Invariants
//! - D1  A reader's view is consistent: blocks and the time from which the head answers belong
//!   together, and the head keeps what an older view needs until that view is gone.
//! - D2  The manifest names a file only after the file is durable, and a file is removed only after
//!   a manifest without it is durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex, RwLock};

use super::api::{
    AppendError, AppendOptions, Appended, Cardinality, CardinalityStats, HeadStats, SelectError,
    SeriesExemplars,
};
use super::block::{Block, BlockCache, BlockMeta};
use super::head::{Head, Limits};
use super::manifest::Manifest;
use super::open::{OpenError, Opening, Recovery};
use super::options::DbOptions;
use super::select::Selection;
use crate::budget::{Unwatched, Watch};
use crate::io::sim::SimFs;
use crate::io::{DirLock, Fs, RealFs, Rng};
use crate::model::{
    Labels, LabelsSource, Matcher, MetricMetadata, SeriesKey, TenantId, WriteBatch,
};
use crate::wal::{LogHandle, Position, SyncMode, WalError, WalOptions, WalStats, open_shared};

/// Log records of this kind and above belong to other stores.
const OTHER_KINDS: u8 = 16;

/// Blocks and the times from which heads answer (D1).
#[derive(Default)]
pub(super) struct View {
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) min_valid: BTreeMap<u32, i64>,
}

/// Counters of maintenance.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) cuts: AtomicU64,
    pub(super) merges: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) dropped_blocks: AtomicU64,
    pub(super) appends: AtomicU64,
}

/// Counters for status pages and metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct DbStats {
    /// Blocks cut from the head.
    pub cuts: u64,
    /// Merges of blocks.
    pub merges: u64,
    /// Failed cuts, merges and checkpoints.
    pub failures: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Blocks dropped by retention.
    pub dropped_blocks: u64,
    /// Live blocks.
    pub blocks: u64,
    /// Bytes of live blocks.
    pub block_bytes: u64,
    /// Bytes of the checkpoint.
    pub checkpoint_bytes: u64,
    /// Samples appended since start.
    pub samples_appended: u64,
    /// Damaged things found at start.
    pub corruptions: u64,
    /// Log counters.
    pub wal: WalStats,
}

pub(super) struct Inner {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    pub(super) opts: DbOptions,
    pub(super) wal: LogHandle,
    pub(super) block_cache: Arc<BlockCache>,
    pub(super) heads: RwLock<BTreeMap<u32, Arc<Head>>>,
    pub(super) view: RwLock<Arc<View>>,
    pub(super) manifest: Mutex<Manifest>,
    /// Held by cuts, merges, checkpoints, deletes and snapshots.
    pub(super) maintenance: Mutex<()>,
    /// Truncations that wait for readers of an older view.
    pub(super) pending: Mutex<Vec<(Weak<View>, u32, i64)>>,
    pub(super) counters: Counters,
    pub(super) checkpoint_size: AtomicU64,
    /// Log bytes at the last checkpoint.
    pub(super) checkpoint_at: AtomicU64,
    pub(super) retention_ms: AtomicI64,
    pub(super) retention_bytes: AtomicU64,
    pub(super) out_of_order_ms: AtomicI64,
    pub(super) rng: Mutex<Rng>,
    pub(super) stop: Mutex<bool>,
    pub(super) wake: Condvar,
    pub(super) key_secret: u64,
    pub(super) closed: AtomicBool,
    pub(super) recovery: Recovery,
    pub(super) _lock: Option<DirLock>,
}

/// The metric store of a data directory.
pub struct Db {
    inner: Arc<Inner>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Db {
    /// Opens or makes the store in `dir` with a log of its own and recovers what that holds. When
    /// other stores use the directory too, their share of the log stays as it is: a server opens
    /// all of them, see [`crate::store::Store`].
    ///
    /// # Errors
    /// See [`OpenError`]. Damage in files is no error: see [`Db::recovery`].
    pub fn open(dir: &Path, opts: DbOptions) -> Result<Self, OpenError> {
        let lock = if opts.lock {
            Some(DirLock::acquire(dir).map_err(OpenError::Locked)?)
        } else {
            None
        };
        let wal_opts = opts.wal.clone();
        let mut opening = Opening::start(dir, opts)?;
        // A hold that nobody releases keeps what belongs to others.
        let shared = ["logs", "state"]
            .iter()
            .any(|d| opening.fs().exists(&dir.join(d)));
        let mut froms = vec![opening.wal_from()];
        froms.extend(shared.then_some(Position(0)));
        let (mut handles, report) = open_shared(
            Arc::clone(opening.fs()),
            &dir.join("wal"),
            &froms,
            WalOptions {
                known_durable: opening.known_durable(),
                ..wal_opts
            },
            &mut |r| {
                if r.kind < OTHER_KINDS {
                    opening.replay(&r);
                }
            },
        )?;
        handles.truncate(1);
        let handle = handles.pop().ok_or(WalError::Closed)?;
        opening.finish(handle, report, lock)
    }

    pub(super) fn from_inner(
        inner: Arc<Inner>,
        thread: Option<std::thread::JoinHandle<()>>,
    ) -> Self {
        Self {
            inner,
            thread: Mutex::new(thread),
        }
    }

    /// An empty store on a simulated disk, without threads.
    #[must_use]
    pub fn in_memory() -> Self {
        let opts = DbOptions::without_threads(Arc::new(SimFs::new()));
        match Self::open(Path::new("/db"), opts) {
            Ok(db) => db,
            // A simulated disk without injected faults has no errors.
            Err(e) => unreachable!("in-memory store: {e}"),
        }
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Key for [`SeriesKey::of_bytes`]; random per data directory.
    #[must_use]
    pub fn key_secret(&self) -> u64 {
        self.inner.key_secret
    }

    /// Key of a parsed label set.
    #[must_use]
    pub fn key_of(&self, labels: &Labels) -> SeriesKey {
        SeriesKey::of_labels(self.key_secret(), labels)
    }

    /// What recovery found at start.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// The configured sync mode of the log.
    #[must_use]
    pub fn sync_mode(&self) -> SyncMode {
        self.inner.wal.sync_mode()
    }

    /// First and last segment number of the log.
    #[must_use]
    pub fn wal_segments(&self) -> (u64, u64) {
        self.inner.wal.segment_range()
    }

    /// Changes settings that take effect at once.
    pub fn reconfigure(&self, retention_ms: i64, retention_bytes: u64, out_of_order_ms: i64) {
        self.inner
            .retention_ms
            .store(retention_ms, Ordering::Relaxed);
        self.inner
            .retention_bytes
            .store(retention_bytes, Ordering::Relaxed);
        self.inner
            .out_of_order_ms
            .store(out_of_order_ms, Ordering::Relaxed);
    }

    /// Stores a batch. Returns as soon as it is visible; it is durable after
    /// [`Db::wait_durable`] of the returned position.
    /// Cost: about 50 ns a sample of a known series, about 2 us for a new one.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing is stored then.
    pub fn append(
        &self,
        tenant: TenantId,
        batch: &WriteBatch,
        labels: &dyn LabelsSource,
        opts: &AppendOptions,
    ) -> Result<Appended, AppendError> {
        let inner = &*self.inner;
        if inner.closed.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        let o = &inner.opts;
        let limits = Limits {
            series: o.series_max,
            labels: o.labels_max,
            name_bytes: o.label_name_bytes_max,
            value_bytes: o.label_value_bytes_max,
            out_of_order_ms: inner.out_of_order_ms.load(Ordering::Relaxed),
            half_block_ms: o.block_range_ms / 2,
        };
        let head = inner.head_or_new(tenant.0);
        let out = head.append(&inner.wal, tenant.0, batch, labels, opts, &limits)?;
        inner.counters.appends.fetch_add(1, Ordering::Relaxed);
        Ok(out)
    }

    /// Blocks until everything up to `position` is durable.
    ///
    /// # Errors
    /// When the log failed: nothing after the last success is durable.
    pub fn wait_durable(&self, position: Position) -> Result<(), AppendError> {
        Ok(self.inner.wal.wait_durable(position)?)
    }

    /// Calls `done` once everything up to `position` is durable, from another thread or at once.
    pub fn on_durable(
        &self,
        position: Position,
        done: Box<dyn FnOnce(Result<(), AppendError>) + Send>,
    ) {
        self.inner.wal.on_durable(
            position,
            Box::new(move |r| done(r.map_err(AppendError::from))),
        );
    }

    /// Series that match all matchers and may have points in `[min_t, max_t]`, in label order.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn select(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
    ) -> Result<Selection, SelectError> {
        self.select_watched(tenant, matchers, (min_t, max_t), true, &Unwatched)
    }

    /// Like [`Self::select`] while `watch` is asked whether to go on; in label order only where
    /// `sorted`.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn select_watched(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        range: (i64, i64),
        sorted: bool,
        watch: &dyn Watch,
    ) -> Result<Selection, SelectError> {
        self.inner.find(tenant.0, matchers, range, sorted, watch)
    }

    pub(super) fn head(&self, tenant: TenantId) -> Option<Arc<Head>> {
        self.inner.head(tenant.0)
    }

    /// Blocks of `tenant` that overlap the range.
    pub(super) fn blocks_in(&self, tenant: TenantId, min_t: i64, max_t: i64) -> Vec<Arc<Block>> {
        let view = Arc::clone(&self.inner.view.read());
        blocks_of(&view, tenant.0, min_t, max_t)
    }

    /// Sorted label names of series that match any of `selectors` (all when empty).
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn label_names(
        &self,
        tenant: TenantId,
        selectors: &[Vec<Matcher>],
        min_t: i64,
        max_t: i64,
    ) -> Result<Vec<String>, SelectError> {
        let mut out = Vec::new();
        self.inner
            .for_sources(tenant.0, min_t, max_t, &mut |head, block| {
                if let Some(h) = head {
                    let of = h.matching(selectors);
                    out.extend(h.index.read().table().names(of.as_ref()));
                }
                if let Some(b) = block {
                    out.extend(b.names(block_matching(b, selectors)?.as_ref())?);
                }
                Ok(())
            })?;
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    /// Sorted values of label `name` over series that match any of `selectors` (all when empty).
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn label_values(
        &self,
        tenant: TenantId,
        name: &str,
        selectors: &[Vec<Matcher>],
        min_t: i64,
        max_t: i64,
    ) -> Result<Vec<String>, SelectError> {
        let mut out = Vec::new();
        self.inner
            .for_sources(tenant.0, min_t, max_t, &mut |head, block| {
                if let Some(h) = head {
                    let of = h.matching(selectors);
                    out.extend(h.index.read().table().values(name, of.as_ref()));
                }
                if let Some(b) = block {
                    out.extend(b.label_values(name, block_matching(b, selectors)?.as_ref())?);
                }
                Ok(())
            })?;
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    /// Label sets of series that match any of `selectors`, sorted, without duplicates.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn series(
        &self,
        tenant: TenantId,
        selectors: &[Vec<Matcher>],
        min_t: i64,
        max_t: i64,
        watch: &dyn Watch,
    ) -> Result<Vec<Labels>, SelectError> {
        let mut out = Vec::new();
        for s in selectors {
            let range = (min_t, max_t);
            let sel = self.inner.find(tenant.0, s, range, false, watch)?;
            watch.go_on((out.len() + sel.len()) * size_of::<Labels>())?;
            out.reserve(sel.len());
            for i in 0..sel.len() {
                if i.is_multiple_of(1024) {
                    watch.go_on(0)?;
                }
                // A series that has just left the head has none any more.
                out.extend(Some(sel.labels(i)).filter(|l| !l.is_empty()));
            }
        }
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    /// Exemplars in `[min_t, max_t]` of series that match any of `selectors`.
    #[must_use]
    pub fn exemplars(
        &self,
        tenant: TenantId,
        selectors: &[Vec<Matcher>],
        min_t: i64,
        max_t: i64,
    ) -> Vec<SeriesExemplars> {
        let Some(head) = self.inner.head(tenant.0) else {
            return Vec::new();
        };
        let mut out: Vec<SeriesExemplars> = head
            .exemplars(selectors, min_t, max_t)
            .into_iter()
            .map(|(series, exemplars)| SeriesExemplars { series, exemplars })
            .collect();
        out.sort_by(|a, b| a.series.cmp(&b.series));
        out
    }

    /// Metadata that came with samples (remote write 2.0, OTLP), by metric name.
    #[must_use]
    pub fn metadata(&self, tenant: TenantId) -> Vec<(String, MetricMetadata)> {
        self.inner
            .head(tenant.0)
            .map_or_else(Vec::new, |h| h.metadata())
    }

    /// Makes points of matching series in `[min_t, max_t]` invisible at once (tombstones).
    ///
    /// # Errors
    /// When the tombstones cannot be made durable.
    pub fn delete_series(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
    ) -> Result<(), AppendError> {
        self.inner.delete(tenant.0, matchers, min_t, max_t)
    }

    /// Rewrites blocks without deleted points.
    ///
    /// # Errors
    /// When a block cannot be rewritten.
    pub fn clean_tombstones(&self) -> Result<(), AppendError> {
        self.inner.clean_tombstones()
    }

    /// Writes a consistent copy below `snapshots/` of the data directory and gives its name. The
    /// copy is a data directory of its own.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub fn snapshot(&self, skip_head: bool) -> Result<String, AppendError> {
        self.inner.snapshot(skip_head)
    }

    /// Runs due maintenance now: cuts, checkpoints, merges, retention.
    ///
    /// # Errors
    /// The first failure; what was done stays done.
    pub fn maintain(&self) -> Result<(), AppendError> {
        self.inner.maintain(false)
    }

    /// Writes everything in memory to a checkpoint and drops the log before it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&self) -> Result<(), AppendError> {
        self.inner.maintain(true)
    }

    /// Size and range of the head.
    #[must_use]
    pub fn head_stats(&self, tenant: TenantId) -> HeadStats {
        let Some(h) = self.inner.head(tenant.0) else {
            return HeadStats {
                min_t: i64::MAX,
                max_t: i64::MIN,
                ..HeadStats::default()
            };
        };
        let label_pairs = h.index.read().table().pair_count() as u64;
        HeadStats {
            series: h.series_count(),
            label_pairs,
            chunks: h.chunk_count(),
            min_t: h.min_t(),
            max_t: h.max_t(),
        }
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> DbStats {
        let i = &*self.inner;
        let view = Arc::clone(&i.view.read());
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        DbStats {
            cuts: get(&i.counters.cuts),
            merges: get(&i.counters.merges),
            failures: get(&i.counters.failures),
            checkpoints: get(&i.counters.checkpoints),
            dropped_blocks: get(&i.counters.dropped_blocks),
            blocks: view.blocks.len() as u64,
            block_bytes: view.blocks.iter().map(|b| b.bytes).sum(),
            checkpoint_bytes: get(&i.checkpoint_size),
            samples_appended: i.heads.read().values().map(|h| get(&h.samples)).sum(),
            corruptions: i.recovery.corruptions(),
            wal: i.wal.stats(),
        }
    }

    /// Footers of the live blocks, oldest first.
    #[must_use]
    pub fn blocks(&self) -> Vec<BlockMeta> {
        self.inner
            .view
            .read()
            .blocks
            .iter()
            .map(|b| b.meta.clone())
            .collect()
    }

    /// Reads every page of every block; gives what is damaged.
    #[must_use]
    pub fn verify(&self) -> Vec<String> {
        let view = Arc::clone(&self.inner.view.read());
        view.blocks
            .iter()
            .filter_map(|b| b.verify().err())
            .map(|e| e.to_string())
            .collect()
    }

    /// The `limit` largest entries of each cardinality table.
    #[must_use]
    pub fn cardinality(&self, tenant: TenantId, limit: usize) -> CardinalityStats {
        let Some(h) = self.inner.head(tenant.0) else {
            return CardinalityStats::default();
        };
        let idx = h.index.read();
        let mut by_metric = Vec::new();
        let mut values: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut by_pair = Vec::new();
        idx.table().for_each_pair(|n, v, series| {
            if n == crate::model::METRIC_NAME {
                by_metric.push(Cardinality {
                    name: v.to_owned(),
                    value: series,
                });
            }
            let e = values.entry(n.to_owned()).or_default();
            e.0 += 1;
            e.1 += v.len() as u64;
            by_pair.push(Cardinality {
                name: format!("{n}={v}"),
                value: series,
            });
        });
        let top = |mut list: Vec<Cardinality>| {
            list.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
            list.truncate(limit);
            list
        };
        let of = |f: fn(&(u64, u64)) -> u64| {
            values
                .iter()
                .map(|(n, v)| Cardinality {
                    name: n.clone(),
                    value: f(v),
                })
                .collect()
        };
        CardinalityStats {
            series_by_metric: top(by_metric),
            values_by_label: top(of(|v| v.0)),
            bytes_by_label: top(of(|v| v.1)),
            series_by_pair: top(by_pair),
        }
    }

    /// Stops accepting, writes a checkpoint and closes the log. Called on drop too; a second call
    /// does nothing.
    ///
    /// # Errors
    /// When something could not be written. Everything acknowledged is in the log all the same:
    /// the next start replays it.
    pub fn close(&self) -> Result<(), AppendError> {
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
        // A short log is replayed faster than a checkpoint is written.
        let checkpoint = if i.wal_since_checkpoint() < 1 << 16 {
            Ok(())
        } else {
            i.checkpoint()
        };
        let end = i.wal.close();
        if let Some(why) = i.wal.poisoned() {
            return Err(AppendError::Poisoned(why));
        }
        let mut m = i.manifest.lock();
        m.clean = end.0;
        m.write(&*i.fs, &i.dir)?;
        checkpoint
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
    pub(super) fn head(&self, tenant: u32) -> Option<Arc<Head>> {
        self.heads.read().get(&tenant).cloned()
    }

    fn head_or_new(&self, tenant: u32) -> Arc<Head> {
        if let Some(h) = self.head(tenant) {
            return h;
        }
        let new = || Arc::new(Head::new(self.opts.exemplars_max));
        Arc::clone(self.heads.write().entry(tenant).or_insert_with(new))
    }

    pub(super) fn find(
        &self,
        tenant: u32,
        matchers: &[Matcher],
        (min_t, max_t): (i64, i64),
        sorted: bool,
        watch: &dyn Watch,
    ) -> Result<Selection, SelectError> {
        let view = Arc::clone(&self.view.read());
        let blocks = blocks_of(&view, tenant, min_t, max_t);
        let from = view.min_valid.get(&tenant).copied().unwrap_or(i64::MIN);
        let find = if sorted {
            Selection::new
        } else {
            Selection::unordered
        };
        let range = (min_t, max_t);
        let mut sel = find(self.head(tenant), from, blocks, matchers, range, watch)?;
        sel.hold(view);
        Ok(sel)
    }

    /// Calls `f` with the head and with every block of the tenant that overlaps the range.
    fn for_sources(
        &self,
        tenant: u32,
        min_t: i64,
        max_t: i64,
        f: &mut dyn FnMut(Option<&Head>, Option<&Block>) -> Result<(), SelectError>,
    ) -> Result<(), SelectError> {
        let view = Arc::clone(&self.view.read());
        if let Some(h) = self.head(tenant)
            && h.max_t() >= min_t
            && h.min_t() <= max_t
        {
            f(Some(&h), None)?;
        }
        for b in &view.blocks {
            if b.meta.tenant == tenant && b.meta.max_t >= min_t && b.meta.min_t <= max_t {
                f(None, Some(b))?;
            }
        }
        Ok(())
    }
}

fn blocks_of(view: &View, tenant: u32, min_t: i64, max_t: i64) -> Vec<Arc<Block>> {
    let overlaps =
        |b: &&Arc<Block>| b.meta.tenant == tenant && b.meta.max_t >= min_t && b.meta.min_t <= max_t;
    view.blocks.iter().filter(overlaps).cloned().collect()
}

fn block_matching(
    b: &Block,
    selectors: &[Vec<Matcher>],
) -> Result<Option<roaring::RoaringBitmap>, SelectError> {
    if selectors.is_empty() {
        return Ok(None);
    }
    let mut out = roaring::RoaringBitmap::new();
    for s in selectors {
        out |= &*b.select(s)?;
    }
    Ok(Some(out))
}

pub(super) fn block_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("blocks").join(format!("{name}.sxb"))
}

pub(super) fn tombstone_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("blocks").join(format!("{name}.tomb"))
}

/// The file system for a data directory.
#[must_use]
pub fn real_fs(mmap: bool) -> Arc<dyn Fs> {
    Arc::new(RealFs { mmap })
}
