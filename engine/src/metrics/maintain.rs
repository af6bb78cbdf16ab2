//! Background work: cutting blocks, checkpoints, merging, retention, deletion, snapshots.
//!
//! Owns: when and in which order files change (D2).
//! Knows nothing of: how a block or a checkpoint looks inside.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::api::{AppendError, SelectError};
use super::block::{Block, BlockMeta, BlockWriter, write_tombstones};
use super::checkpoint::{self, CheckpointHeader};
use super::db::{Inner, View, block_path, tombstone_path};
use super::open::open_block;
use super::select::Selection;
use crate::budget::Unwatched;
use crate::chunk::varint;
use crate::model::Matcher;
use crate::wal::SEGMENT_BYTES;

/// How often the maintenance thread looks.
const TICK: Duration = Duration::from_millis(500);
/// A quiet tick is used to shorten the log when it is larger than this and than a quarter of the
/// last checkpoint: a start is faster then, and between scrapes nothing is written for little.
const QUIET_BYTES: u64 = 1 << 20;
/// How much of the log this store keeps for nothing while others write it.
const LAG_BYTES: u64 = 16 << 20;
/// Blocks cut in one round.
const CUTS_MAX: u32 = 16;
/// Series encoded at a time when a block is written.
const BATCH: usize = 8192;
/// Ranges that blocks are merged into, as multiples of the block range: 8 h, 1 d, 7 d, 31 d.
const MERGE_FACTORS: [i64; 4] = [4, 12, 84, 372];

/// Body of the maintenance thread.
pub(super) fn run(inner: &Inner) {
    let mut appends = 0;
    loop {
        {
            let mut stop = inner.stop.lock();
            if !*stop {
                inner.wake.wait_for(&mut stop, TICK);
            }
            if *stop {
                return;
            }
        }
        let now = inner.counters.appends.load(Ordering::Relaxed);
        let quiet = now == appends;
        appends = now;
        let worth = QUIET_BYTES.max(inner.checkpoint_size.load(Ordering::Relaxed) / 4);
        let flush = quiet && inner.wal_since_checkpoint() > worth;
        if inner.maintain(flush).is_err() {
            inner.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Any time.
const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// First time of the range that `t` is in.
fn range_start(t: i64, range: i64) -> i64 {
    t.div_euclid(range).saturating_mul(range)
}

fn select_error(e: SelectError) -> AppendError {
    AppendError::Io(io::Error::other(e.to_string()))
}

impl Inner {
    pub(super) fn wal_since_checkpoint(&self) -> u64 {
        self.wal
            .own_bytes()
            .wrapping_sub(self.checkpoint_at.load(Ordering::Relaxed))
    }

    /// Does what is due; with `flush` also a checkpoint.
    pub(super) fn maintain(&self, flush: bool) -> Result<(), AppendError> {
        let _one = self.maintenance.lock();
        let cut = self.cut_heads()?;
        self.finish_truncations();
        let limit = self
            .opts
            .checkpoint_bytes
            .max(self.checkpoint_size.load(Ordering::Relaxed));
        if flush || cut || self.wal_since_checkpoint() > limit || self.holds_others_up() {
            self.checkpoint()?;
        }
        self.merge_blocks()?;
        self.retain()
    }

    /// Whether the log is long only because other stores wrote it and this one has not let go.
    fn holds_others_up(&self) -> bool {
        let behind = self.wal.others_held().segment();
        let behind = behind.saturating_sub(self.wal.held().segment());
        let size = self.checkpoint_size.load(Ordering::Relaxed);
        // A checkpoint is written for several times its size of log, not more often.
        behind.saturating_mul(SEGMENT_BYTES) > LAG_BYTES.max(size.saturating_mul(4))
    }

    /// Cuts blocks from heads that span more than one and a half block ranges.
    fn cut_heads(&self) -> Result<bool, AppendError> {
        let heads: Vec<(u32, Arc<super::head::Head>)> = self
            .heads
            .read()
            .iter()
            .map(|(t, h)| (*t, Arc::clone(h)))
            .collect();
        let range = self.opts.block_range_ms;
        let mut any = false;
        // Far behind (an import of old data, a clock that jumped): merges get their turn between.
        let mut left = CUTS_MAX;
        for (tenant, head) in heads {
            while left > 0 && head.max_t() > head.min_t() {
                let Some(from) = head.next_t(head.min_t().max(head.min_valid())) else {
                    break;
                };
                if head.max_t().saturating_sub(from) <= range / 2 * 3 {
                    break;
                }
                let end = range_start(from, range).saturating_add(range);
                self.cut(tenant, &head, end)?;
                any = true;
                left -= 1;
            }
        }
        Ok(any)
    }

    /// Writes everything of the head before `end` to blocks and moves the border.
    fn cut(&self, tenant: u32, head: &Arc<super::head::Head>, end: i64) -> Result<(), AppendError> {
        let range = self.opts.block_range_ms;
        let border = head.min_valid();
        head.begin_cut(end);
        let oldest = head
            .side_min_t()
            .unwrap_or(i64::MAX)
            .min(head.min_t().max(border));
        let mut made = Vec::new();
        let mut next = head.next_t(oldest);
        while let Some(from) = next.filter(|t| *t < end) {
            let start = range_start(from, range);
            let sel = Selection::new(
                Some(Arc::clone(head)),
                border,
                Vec::new(),
                &[],
                (start, start.saturating_add(range - 1).min(end - 1)),
                &Unwatched,
            )
            .map_err(select_error)?;
            if let Some(b) = self.write_block(tenant, &sel, 1, Vec::new())? {
                made.push(b);
            }
            next = head.next_t(start.saturating_add(range));
        }
        self.counters.cuts.fetch_add(1, Ordering::Relaxed);
        self.publish(made, &[], Some((tenant, end)))?;
        head.set_min_valid(end);
        Ok(())
    }

    /// Truncates heads whose older views are gone.
    fn finish_truncations(&self) {
        let mut pending = self.pending.lock();
        pending.retain(|(view, tenant, t)| {
            if view.strong_count() > 0 {
                return true;
            }
            if let Some(h) = self.head(*tenant) {
                h.truncate(*t);
            }
            false
        });
    }

    /// Writes a block with everything in `sel`; `None` when there is nothing.
    fn write_block(
        &self,
        tenant: u32,
        sel: &Selection,
        level: u32,
        parents: Vec<String>,
    ) -> Result<Option<Arc<Block>>, AppendError> {
        let name = self.new_ulid();
        let path = block_path(&self.dir, &name);
        let tmp = path.with_extension("tmp");
        let meta = BlockMeta {
            ulid: name.clone(),
            tenant,
            level,
            parents,
            ..BlockMeta::default()
        };
        let mut w = BlockWriter::create(&*self.fs, &tmp, meta)?;
        let mut encoded: Vec<Option<Box<[u8]>>> = Vec::new();
        let mut any = false;
        for start in (0..sel.len()).step_by(BATCH) {
            let end = (start + BATCH).min(sel.len());
            encoded.clear();
            encoded.resize(end - start, None);
            let mut failed = None;
            sel.scan_points(start..end, &mut |i, p| {
                if p.values.is_empty() && p.histograms.is_empty() {
                    return ControlFlow::Continue(());
                }
                match w.encode(&p) {
                    Ok(b) => encoded[i - start] = Some(b),
                    Err(e) => {
                        failed = Some(e);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            })
            .map_err(select_error)?;
            if let Some(e) = failed {
                self.discard(&tmp);
                return Err(io_error(e));
            }
            for (i, e) in encoded.iter_mut().enumerate() {
                if let Some(b) = e.take() {
                    w.add(&sel.labels(start + i), b);
                    any = true;
                }
            }
        }
        if !any {
            drop(w);
            self.fs.remove_file(&tmp)?;
            return Ok(None);
        }
        let finished = w.finish().and_then(|_| {
            self.fs.rename(&tmp, &path)?;
            self.fs.sync_dir(&self.dir.join("blocks"))
        });
        if let Err(e) = finished {
            self.discard(&tmp);
            return Err(io_error(e));
        }
        let block = open_block(&*self.fs, &self.dir, &name, &self.block_cache)
            .map_err(|e| AppendError::Io(io::Error::other(e)))?;
        Ok(Some(Arc::new(block)))
    }

    /// A name for a new block.
    pub(super) fn new_ulid(&self) -> String {
        let mut rng = self.rng.lock();
        let now = u64::try_from(self.opts.clock.now_ms()).unwrap_or(0);
        let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        ulid::Ulid::from_parts(now, random).to_string()
    }

    /// Removes a half-written file; if that fails, the next start does it.
    fn discard(&self, path: &std::path::Path) {
        if self.fs.remove_file(path).is_err() {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes new blocks live and old ones dead, in manifest and view (D1, D2).
    pub(super) fn publish(
        &self,
        add: Vec<Arc<Block>>,
        remove: &[String],
        border: Option<(u32, i64)>,
    ) -> Result<(), AppendError> {
        {
            let mut m = self.manifest.lock();
            let mut next = m.clone();
            next.blocks.retain(|b| !remove.contains(b));
            next.blocks.extend(add.iter().map(|b| b.meta.ulid.clone()));
            if let Some((tenant, t)) = border {
                next.min_valid.insert(tenant, t);
            }
            next.write(&*self.fs, &self.dir)?;
            *m = next;
        }
        let old = {
            let mut view = self.view.write();
            let mut blocks: Vec<Arc<Block>> = view
                .blocks
                .iter()
                .filter(|b| !remove.contains(&b.meta.ulid))
                .cloned()
                .collect();
            blocks.extend(add);
            blocks.sort_by_key(|b| (b.meta.min_t, b.meta.max_t));
            let mut min_valid = view.min_valid.clone();
            if let Some((tenant, t)) = border {
                min_valid.insert(tenant, t);
            }
            std::mem::replace(&mut *view, Arc::new(View { blocks, min_valid }))
        };
        if let Some((tenant, t)) = border {
            self.pending.lock().push((Arc::downgrade(&old), tenant, t));
        }
        drop(old);
        for name in remove {
            // Open maps keep the bytes for readers that still use them.
            for p in [block_path(&self.dir, name), tombstone_path(&self.dir, name)] {
                if self.fs.exists(&p) {
                    self.fs.remove_file(&p)?;
                }
            }
        }
        Ok(())
    }

    /// Writes a checkpoint and drops the log before it.
    pub(super) fn checkpoint(&self) -> Result<(), AppendError> {
        // Everything before this position is applied: appends log and apply under one lock, and
        // `write_checkpoint` takes that lock after this line.
        let from = self.wal.cut()?;
        self.wal.wait_durable(from)?;
        let bytes = self.wal.own_bytes();
        let heads: BTreeMap<u32, Arc<super::head::Head>> = self.heads.read().clone();
        let (name, header) = {
            let m = self.manifest.lock();
            let name = format!("{:08}.ckp", m.generation + 1);
            let header = CheckpointHeader {
                wal_from: from.0,
                key_secret: m.key_secret,
                min_valid: m.min_valid.clone(),
            };
            (name, header)
        };
        let path = self.dir.join("head").join(&name);
        let size = match checkpoint::write(&*self.fs, &path, &header, &heads) {
            Ok(size) => size,
            Err(e) => {
                self.discard(&path.with_extension("tmp"));
                return Err(io_error(e));
            }
        };
        let old = {
            let mut m = self.manifest.lock();
            let mut next = m.clone();
            let old = next.checkpoint.replace(name);
            next.wal_from = from.0;
            next.write(&*self.fs, &self.dir)?;
            *m = next;
            old
        };
        self.checkpoint_size.store(size, Ordering::Relaxed);
        self.checkpoint_at.store(bytes, Ordering::Relaxed);
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        if let Some(old) = old {
            self.fs.remove_file(&self.dir.join("head").join(old))?;
        }
        self.wal.release(from)?;
        Ok(())
    }

    /// Merges blocks that share a larger range, and blocks that overlap.
    fn merge_blocks(&self) -> Result<(), AppendError> {
        while let Some(group) = self.mergeable() {
            let level = group.iter().map(|b| b.meta.level).max().unwrap_or(1) + 1;
            self.rewrite(&group, level)?;
            self.counters.merges.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Replaces blocks by one block with the same samples.
    fn rewrite(&self, group: &[Arc<Block>], level: u32) -> Result<(), AppendError> {
        let tenant = group[0].meta.tenant;
        let names: Vec<String> = group.iter().map(|b| b.meta.ulid.clone()).collect();
        let sel = Selection::new(None, i64::MIN, group.to_vec(), &[], ALL, &Unwatched)
            .map_err(select_error)?;
        let made = self.write_block(tenant, &sel, level, names.clone())?;
        self.publish(made.into_iter().collect(), &names, None)
    }

    fn mergeable(&self) -> Option<Vec<Arc<Block>>> {
        let view = Arc::clone(&self.view.read());
        let tenants: std::collections::BTreeSet<u32> =
            view.blocks.iter().map(|b| b.meta.tenant).collect();
        for tenant in tenants {
            let blocks: Vec<&Arc<Block>> = view
                .blocks
                .iter()
                .filter(|b| b.meta.tenant == tenant)
                .collect();
            // Overlaps come from out-of-order samples.
            let mut end = i64::MIN;
            for (i, b) in blocks.iter().enumerate() {
                if i > 0 && b.meta.min_t <= end {
                    let list = blocks
                        .iter()
                        .filter(|x| x.meta.min_t <= b.meta.max_t && x.meta.max_t >= b.meta.min_t);
                    return Some(list.map(|x| Arc::clone(x)).collect());
                }
                end = end.max(b.meta.max_t);
            }
            let newest = view.min_valid.get(&tenant).copied().unwrap_or(end);
            let keep = self.retention_ms.load(Ordering::Relaxed);
            for f in MERGE_FACTORS {
                let range = self.opts.block_range_ms * f;
                if keep > 0 && range > (keep / 10).max(self.opts.block_range_ms * MERGE_FACTORS[0])
                {
                    break;
                }
                for part in blocks.chunk_by(|a, b| {
                    a.meta.min_t.div_euclid(range) == b.meta.min_t.div_euclid(range)
                }) {
                    let window_end = range_start(part[0].meta.min_t, range).saturating_add(range);
                    let inside = part.iter().all(|b| b.meta.max_t < window_end);
                    if part.len() > 1 && inside && window_end <= newest {
                        return Some(part.iter().map(|b| Arc::clone(b)).collect());
                    }
                }
            }
        }
        None
    }

    /// Drops blocks beyond the configured time and size.
    fn retain(&self) -> Result<(), AppendError> {
        let view = Arc::clone(&self.view.read());
        let keep_ms = self.retention_ms.load(Ordering::Relaxed);
        let keep_bytes = self.retention_bytes.load(Ordering::Relaxed);
        let mut drop_names = Vec::new();
        if keep_ms > 0 {
            for b in &view.blocks {
                let head = self.head(b.meta.tenant).map_or(i64::MIN, |h| h.max_t());
                let newest = view
                    .blocks
                    .iter()
                    .filter(|x| x.meta.tenant == b.meta.tenant);
                let newest = newest.map(|x| x.meta.max_t).max().unwrap_or(head).max(head);
                if newest.saturating_sub(b.meta.max_t) > keep_ms {
                    drop_names.push(b.meta.ulid.clone());
                }
            }
        }
        if keep_bytes > 0 {
            let mut total: u64 = view.blocks.iter().map(|b| b.bytes).sum::<u64>()
                + self.wal.stats().disk_bytes
                + self.checkpoint_size.load(Ordering::Relaxed);
            for b in &view.blocks {
                if total <= keep_bytes {
                    break;
                }
                if !drop_names.contains(&b.meta.ulid) {
                    drop_names.push(b.meta.ulid.clone());
                }
                total = total.saturating_sub(b.bytes);
            }
        }
        if drop_names.is_empty() {
            return Ok(());
        }
        self.counters
            .dropped_blocks
            .fetch_add(drop_names.len() as u64, Ordering::Relaxed);
        self.publish(Vec::new(), &drop_names, None)
    }

    pub(super) fn delete(
        &self,
        tenant: u32,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
    ) -> Result<(), AppendError> {
        let _one = self.maintenance.lock();
        let sel = self
            .find(tenant, matchers, (min_t, max_t), false, &Unwatched)
            .map_err(select_error)?;
        if let Some(head) = self.head(tenant) {
            let sids = sel.head_sids();
            // Later samples of the same series are not deleted in advance.
            let last = max_t.min(head.max_t());
            if !sids.is_empty() && min_t <= last {
                let mut b = Vec::new();
                varint::put_signed(&mut b, min_t);
                varint::put_signed(&mut b, last);
                varint::put(&mut b, sids.len() as u64);
                let mut at = 0;
                for s in &sids {
                    varint::put(&mut b, u64::from(s - at));
                    at = *s;
                }
                let position = self.wal.append(&[(super::head::KIND_DELETE, tenant, &b)])?;
                head.delete(&sids, min_t, last);
                self.wal.wait_durable(position)?;
            }
        }
        for (i, block) in sel.blocks().iter().enumerate() {
            let ids = sel.block_ids(i);
            if ids.is_empty() {
                continue;
            }
            let mut list = block.tombstones.read().clone();
            list.extend(ids.iter().map(|id| (*id, min_t, max_t)));
            let path = tombstone_path(&self.dir, &block.meta.ulid);
            write_tombstones(&*self.fs, &path, &list)?;
            *block.tombstones.write() = list;
        }
        Ok(())
    }

    pub(super) fn clean_tombstones(&self) -> Result<(), AppendError> {
        let _one = self.maintenance.lock();
        let view = Arc::clone(&self.view.read());
        for b in &view.blocks {
            if !b.tombstones.read().is_empty() {
                self.rewrite(std::slice::from_ref(b), b.meta.level)?;
            }
        }
        Ok(())
    }

    pub(super) fn snapshot(&self, skip_head: bool) -> Result<String, AppendError> {
        let _one = self.maintenance.lock();
        if !skip_head {
            self.checkpoint()?;
        }
        let name = self.snapshot_name();
        let to = self.dir.join("snapshots").join(&name);
        for d in ["blocks", "head", "wal"] {
            self.fs.create_dir_all(&to.join(d))?;
        }
        let mut m = self.manifest.lock().clone();
        for b in &m.blocks {
            for (from, to) in [
                (block_path(&self.dir, b), block_path(&to, b)),
                (tombstone_path(&self.dir, b), tombstone_path(&to, b)),
            ] {
                if self.fs.exists(&from) {
                    self.fs.hard_link(&from, &to)?;
                }
            }
        }
        if skip_head {
            m.checkpoint = None;
        } else if let Some(c) = &m.checkpoint {
            let (from, to) = (self.dir.join("head").join(c), to.join("head").join(c));
            self.fs.hard_link(&from, &to)?;
        }
        for d in ["blocks", "head", ""] {
            self.fs.sync_dir(&to.join(d))?;
        }
        m.write(&*self.fs, &to)?;
        Ok(name)
    }

    /// `20171210T211224Z-2be650b6d019eb54`, as Prometheus names snapshots.
    fn snapshot_name(&self) -> String {
        let ms = self.opts.clock.now_ms();
        let (days, secs) = (
            ms.div_euclid(86_400_000),
            ms.div_euclid(1000).rem_euclid(86_400),
        );
        let (y, m, d) = civil(days);
        let (h, min, s) = (secs / 3600, secs / 60 % 60, secs % 60);
        let random = self.rng.lock().next_u64();
        format!("{y:04}{m:02}{d:02}T{h:02}{min:02}{s:02}Z-{random:016x}")
    }
}

/// Year, month and day of a day number since 1970-01-01 (Gregorian, proleptic).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = doy - (153 * mp + 2) / 5 + 1;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(m <= 2), m, d)
}

fn io_error(e: io::Error) -> AppendError {
    if crate::io::is_no_space(&e) {
        AppendError::NoSpace { free_bytes: 0 }
    } else {
        AppendError::Io(e)
    }
}
