//! Background work: memtables to parts, merging small parts, retention.
//!
//! Owns: when and in which order files change (V2).
//! Knows nothing of: how a part looks inside.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::api::PushError;
use super::db::{Frozen, Inner, LivePart, View};
use super::mem::{Mem, MemTenant, Row, sort_rows};
use super::merge;
use super::open::{live_part, part_path};
use super::part::{Part, PartWriter};
use super::retention::Verdict;
use crate::model::{Labels, TenantId};
use crate::wal::Position;

const TICK: Duration = Duration::from_millis(500);
/// A memtable with this much is written when pushes pause for [`QUIET_TICKS`]: the log becomes
/// short and a start fast.
const QUIET_BYTES: usize = 1 << 20;
const QUIET_TICKS: u32 = 6;
/// Parts hold entries of one UTC day.
const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// This many parts that follow each other and are of the same order of size are merged.
const MERGE_PARTS: usize = 8;
/// Larger parts (bytes of lines) are left as they are.
const MERGE_TEXT_MAX: u64 = 32 << 20;
/// How often parts are looked at for retention when nothing about it has changed, ms.
const RETAIN_EVERY_MS: i64 = 60_000;
/// Segments of the log that an idle store may keep for nothing.
const IDLE_SEGMENTS: u64 = 2;

/// Body of the maintenance thread.
pub(super) fn run(inner: &Inner) {
    let (mut pushes, mut quiet) = (0, 0);
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
        let now = inner.counters.pushes.load(Ordering::Relaxed);
        quiet = if now == pushes { quiet + 1 } else { 0 };
        pushes = now;
        let idle = quiet == QUIET_TICKS && inner.active.read().mem.bytes >= QUIET_BYTES;
        if inner.maintain(idle).is_err() {
            inner.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Order of size by bytes of lines; `None` = large enough.
fn tier(part: &LivePart) -> Option<u32> {
    let text = part.part.footer.text;
    // Below 256 KiB all are alike.
    (text < MERGE_TEXT_MAX).then(|| text.max(1 << 18).ilog2() / 3)
}

impl Inner {
    /// Does what is due; with `flush` everything in memory goes to parts.
    pub(super) fn maintain(&self, flush: bool) -> Result<(), PushError> {
        let _one = self.maintenance.lock();
        self.rotate(flush)?;
        let written = self.write_frozen();
        *self.stuck.lock() = written.is_err();
        self.room.notify_all();
        written?;
        self.retain()?;
        self.merge_small()?;
        self.release_when_idle()
    }

    /// Freezes the active memtable when it is full or old.
    fn rotate(&self, force: bool) -> Result<(), PushError> {
        let mut active = self.active.write();
        let age = self.opts.clock.now_ms().saturating_sub(active.since_ms);
        let old = u128::try_from(age).unwrap_or(0) >= self.opts.memtable_age.as_millis();
        let due = force || old || active.mem.bytes >= self.opts.memtable_bytes;
        if active.mem.entries == 0 || !due {
            return Ok(());
        }
        // Under the lock: what comes later is after this position.
        let until = self.wal.cut()?;
        let mem = Arc::new(std::mem::take(&mut active.mem));
        let mut view = self.view.write();
        let mut frozen = view.frozen.clone();
        frozen.push(Frozen { mem, until });
        *view = Arc::new(View {
            frozen,
            parts: view.parts.clone(),
        });
        Ok(())
    }

    /// Writes frozen memtables to parts, oldest first.
    fn write_frozen(&self) -> Result<(), PushError> {
        loop {
            let Some(f) = self.view.read().frozen.first().cloned() else {
                return Ok(());
            };
            // What is not durable in the log must not become durable in a part first: a crash
            // could otherwise keep an entry that was refused.
            self.wal.wait_durable(f.until)?;
            let mut made = Vec::new();
            for (tenant, t) in &f.mem.tenants {
                self.write_tenant(*tenant, t, &f.mem, &mut made)?;
            }
            self.publish(made, &[], Some(f.until))?;
            self.wal.release(f.until)?;
            self.counters.flushes.fetch_add(1, Ordering::Relaxed);
            *self.stuck.lock() = false;
            self.room.notify_all();
        }
    }

    /// One part a day.
    fn write_tenant(
        &self,
        tenant: u32,
        t: &MemTenant,
        mem: &Mem,
        made: &mut Vec<Arc<LivePart>>,
    ) -> Result<(), PushError> {
        let mut streams: Vec<(Labels, Vec<Row>)> = {
            let table = self.table(tenant);
            let table = table.read();
            let rows = |s: &super::mem::MemStream| s.rows.clone();
            t.streams
                .iter()
                .map(|(id, s)| (table.labels(*id), rows(s)))
                .collect()
        };
        streams.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, rows) in &mut streams {
            if !rows.is_sorted_by_key(|r| r.time) {
                sort_rows(rows, &mem.batches);
            }
        }
        let mut days: BTreeMap<i64, Vec<(usize, std::ops::Range<usize>)>> = BTreeMap::new();
        for (i, (_, rows)) in streams.iter().enumerate() {
            let mut at = 0;
            for day in rows.chunk_by(|a, b| a.time.div_euclid(DAY_NS) == b.time.div_euclid(DAY_NS))
            {
                let number = day[0].time.div_euclid(DAY_NS);
                let list = days.entry(number).or_default();
                list.push((i, at..at + day.len()));
                at += day.len();
            }
        }
        for pieces in days.values() {
            let part = self.write_part(tenant, |w| {
                for (i, range) in pieces {
                    let (labels, rows) = &streams[*i];
                    w.stream(labels);
                    for r in &rows[range.clone()] {
                        let b = &mem.batches[r.batch as usize];
                        let i = r.row as usize;
                        w.entry(r.time, b.line(i), b.metadata(i))?;
                    }
                }
                Ok(())
            })?;
            made.extend(part);
        }
        Ok(())
    }

    /// Writes a part with what `fill` puts into it; `None` when that is nothing.
    fn write_part(
        &self,
        tenant: u32,
        fill: impl FnOnce(&mut PartWriter) -> io::Result<()>,
    ) -> Result<Option<Arc<LivePart>>, PushError> {
        let name = {
            let mut rng = self.rng.lock();
            let now = u64::try_from(self.opts.clock.now_ms()).unwrap_or(0);
            let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
            ulid::Ulid::from_parts(now, random).to_string()
        };
        let path = part_path(&self.dir, &name);
        let tmp = path.with_extension("tmp");
        let written = PartWriter::create(&*self.fs, &tmp, tenant).and_then(|mut w| {
            fill(&mut w)?;
            if w.is_empty() {
                return Ok(false);
            }
            w.finish()?;
            self.fs.rename(&tmp, &path)?;
            self.fs.sync_dir(&self.dir.join("logs").join("parts"))?;
            Ok(true)
        });
        if !matches!(written, Ok(true))
            && self.fs.exists(&tmp)
            && self.fs.remove_file(&tmp).is_err()
        {
            // The next start removes it.
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
        if !written.map_err(wal_error)? {
            return Ok(None);
        }
        let part = Part::open(&*self.fs, &path).map_err(io::Error::other)?;
        let mut tenants = self.tenants.write();
        Ok(Some(Arc::new(live_part(part, &mut tenants))))
    }

    /// Makes new parts live and old ones dead, in manifest and view (V1, V2). With `flushed`, the
    /// oldest frozen memtable is in `add` and the log before that position not needed.
    fn publish(
        &self,
        add: Vec<Arc<LivePart>>,
        remove: &[String],
        flushed: Option<Position>,
    ) -> Result<(), PushError> {
        {
            let mut m = self.manifest.lock();
            let mut next = m.clone();
            next.parts.retain(|p| !remove.contains(p));
            next.parts.extend(add.iter().map(|p| p.part.name.clone()));
            if let Some(p) = flushed {
                next.wal_from = p.0;
            }
            next.write(&*self.fs, &self.dir.join("logs"))
                .map_err(wal_error)?;
            *m = next;
        }
        {
            let mut view = self.view.write();
            let kept = |p: &&Arc<LivePart>| !remove.contains(&p.part.name);
            let mut parts: Vec<Arc<LivePart>> = view.parts.iter().filter(kept).cloned().collect();
            parts.extend(add);
            let frozen = view.frozen.iter().skip(usize::from(flushed.is_some()));
            *view = Arc::new(View {
                frozen: frozen.cloned().collect(),
                parts,
            });
        }
        // What is new may be too old already.
        self.retained_ms.store(i64::MIN, Ordering::Relaxed);
        for name in remove {
            // Open files keep the bytes for readers that still use them.
            self.fs.remove_file(&part_path(&self.dir, name))?;
        }
        Ok(())
    }

    /// Drops what is older than its retention: whole parts, and streams from parts with others.
    fn retain(&self) -> Result<(), PushError> {
        let now = self.opts.clock.now_ms();
        let last = self.retained_ms.load(Ordering::Relaxed);
        if (last..last.saturating_add(RETAIN_EVERY_MS)).contains(&now) {
            return Ok(());
        }
        let retentions = Arc::clone(&self.retention.read());
        let view = Arc::clone(&self.view.read());
        let mut names = Vec::new();
        let mut thinned = false;
        for p in &view.parts {
            let f = &p.part.footer;
            match retentions.verdict(TenantId(f.tenant), f.max, &f.streams, now) {
                Verdict::Keep => {}
                Verdict::Drop => names.push(p.part.name.clone()),
                Verdict::Without(gone) => {
                    self.rewrite_without(std::slice::from_ref(p), &gone)?;
                    thinned = true;
                }
            }
        }
        if !names.is_empty() {
            self.publish(Vec::new(), &names, None)?;
            self.counters
                .dropped_parts
                .fetch_add(names.len() as u64, Ordering::Relaxed);
        }
        if thinned || !names.is_empty() {
            self.forget_streams();
        }
        self.retained_ms.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// Removes streams that have no entries any more from the index.
    fn forget_streams(&self) {
        // Pushes number their streams under this lock, so none is between number and entry.
        let active = self.active.write();
        let view = Arc::clone(&self.view.read());
        for (tenant, table) in self.tenants.read().iter() {
            let mut used: HashSet<u32> = HashSet::new();
            let parts = view.parts.iter();
            let parts = parts.filter(|p| p.part.footer.tenant == *tenant);
            used.extend(parts.flat_map(|p| p.streams.iter().copied()));
            let frozen = view.frozen.iter().map(|f| &*f.mem);
            for mem in frozen.chain([&active.mem]) {
                let streams = mem.tenants.get(tenant);
                used.extend(streams.into_iter().flat_map(|t| t.streams.keys().copied()));
            }
            let mut table = table.write();
            let gone: Vec<u32> = table
                .live_series()
                .iter()
                .filter(|id| !used.contains(id))
                .collect();
            gone.into_iter().for_each(|id| table.remove_series(id));
        }
    }

    /// Merges parts of a tenant and day that are of the same order of size.
    fn merge_small(&self) -> Result<(), PushError> {
        loop {
            let view = Arc::clone(&self.view.read());
            let mut days: BTreeMap<(u32, i64), Vec<Arc<LivePart>>> = BTreeMap::new();
            for p in &view.parts {
                let f = &p.part.footer;
                let day = days.entry((f.tenant, f.min.div_euclid(DAY_NS)));
                day.or_default().push(Arc::clone(p));
            }
            // Neighbours in time only: a merge of others would lie around them, and readers would
            // have to compare what overlaps.
            let group = days.into_values().find_map(|mut parts| {
                parts.sort_by_key(|p| (p.part.footer.min, p.part.footer.max));
                parts
                    .chunk_by(|a, b| tier(a) == tier(b))
                    .find(|c| c.len() >= MERGE_PARTS && tier(&c[0]).is_some())
                    .map(<[_]>::to_vec)
            });
            let Some(group) = group else {
                return Ok(());
            };
            self.rewrite(&group)?;
            self.counters.merges.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Replaces parts by one with the same entries, without those that are finally deleted.
    pub(super) fn rewrite(&self, parts: &[Arc<LivePart>]) -> Result<(), PushError> {
        self.rewrite_without(parts, &[])
    }

    /// The same, without the streams `gone`.
    fn rewrite_without(&self, parts: &[Arc<LivePart>], gone: &[Labels]) -> Result<(), PushError> {
        let tenant = parts[0].part.footer.tenant;
        let deletions = self.deletions.read().get(&tenant).cloned();
        let made = self.write_part(tenant, |w| {
            merge::merge(parts, &deletions.unwrap_or_default(), gone, w)
        })?;
        let names: Vec<String> = parts.iter().map(|p| p.part.name.clone()).collect();
        self.publish(made.into_iter().collect(), &names, None)
    }

    /// Rewrites the parts of a tenant that hold entries named by its final delete requests.
    pub(super) fn purge(&self, tenant: u32) -> Result<u64, PushError> {
        let _one = self.maintenance.lock();
        let Some(deletions) = self.deletions.read().get(&tenant).cloned() else {
            return Ok(0);
        };
        let view = Arc::clone(&self.view.read());
        let mut rewritten = 0;
        for p in &view.parts {
            let f = &p.part.footer;
            let concerned = f.tenant == tenant
                && deletions
                    .iter()
                    .filter(|d| d.is_final)
                    .any(|d| f.streams.iter().any(|l| d.concerns(l, f.min, f.max)));
            if concerned {
                self.rewrite(std::slice::from_ref(p))?;
                rewritten += 1;
            }
        }
        Ok(rewritten)
    }

    /// A store without new entries must not keep the log that others wrote.
    fn release_when_idle(&self) -> Result<(), PushError> {
        let others = self.wal.others_held();
        let held = self.wal.held();
        if others.segment() <= held.segment() + IDLE_SEGMENTS {
            return Ok(());
        }
        {
            let active = self.active.read();
            let waits = active.mem.entries > 0 || !self.view.read().frozen.is_empty();
            if waits {
                return Ok(());
            }
            // Nothing of this store is in the log before `others`: an entry that comes from here
            // on gets a later position.
            let mut m = self.manifest.lock();
            let mut next = m.clone();
            next.wal_from = others.0.max(next.wal_from);
            next.write(&*self.fs, &self.dir.join("logs"))
                .map_err(wal_error)?;
            *m = next;
        }
        Ok(self.wal.release(others)?)
    }
}

fn wal_error(e: io::Error) -> PushError {
    if crate::io::is_no_space(&e) {
        return PushError::Log(crate::wal::WalError::NoSpace { free_bytes: 0 });
    }
    PushError::from(e)
}
