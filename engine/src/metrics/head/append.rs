//! Taking samples: check the whole batch, log it, apply it (H2).

use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::accept::{Bounds, FUTURE_MS, Limits, Verdict, canonical, check_limits, widest_label};
use super::group::{Group, SLOTS_MAX, is_absent};
use super::record::{self, Cell};
use super::{Alias, Head, HistPoint, Index, Writer, alias_hash, alias_key};
use crate::chunk::{histogram, varint};
use crate::metrics::api::{
    AppendError, AppendMode, AppendOptions, Appended, RejectReason, Rejection,
};
use crate::model::{
    BatchSeries, Exemplar, Histogram, HistogramPoint, Labels, LabelsSource, SeriesKey, WriteBatch,
};
use crate::wal::{LogHandle, Position, WalError};

/// Labels of a refused series that are kept for the message.
const REFUSED_LABELS: usize = 64;

/// A checked batch on its way to the log. Reused.
#[derive(Default)]
pub(super) struct Plan {
    /// Series of each batch entry; `u32::MAX` when refused.
    sids: Vec<u32>,
    pub(super) cells: Vec<Cell>,
    pub(super) sparse: Vec<(u32, i64, f64)>,
    pub(super) histograms: Vec<(u32, HistPoint, bool)>,
    pub(super) starts: Vec<(u32, i64, i64)>,
    pub(super) exemplars: Vec<(u32, Exemplar)>,
    pub(super) metadata: Vec<(String, crate::model::MetricMetadata)>,
    bytes: [Vec<u8>; 7],
    pairs: Vec<u32>,
    /// Groups that took new series of this batch, by first timestamp.
    open: SmallVec<[(i64, u32); 8]>,
}

impl Plan {
    fn clear(&mut self) {
        self.sids.clear();
        self.cells.clear();
        self.sparse.clear();
        self.histograms.clear();
        self.starts.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.open.clear();
        self.bytes.iter_mut().for_each(Vec::clear);
    }
}

impl Head {
    /// Checks, logs and applies a batch.
    pub(in crate::metrics) fn append(
        &self,
        wal: &LogHandle,
        tenant: u32,
        batch: &WriteBatch,
        labels: &dyn LabelsSource,
        opts: &AppendOptions,
        limits: &Limits,
    ) -> Result<Appended, AppendError> {
        let mut guard = self.writer.lock();
        let w = &mut *guard;
        let mut out = Appended::default();
        w.plan.clear();
        if !w.series_out.is_empty() {
            // Definitions that an earlier, refused batch left behind.
            self.log_definitions(w, wal, tenant)?;
        }
        self.resolve(w, batch, labels, limits, &mut out);
        self.check(w, batch, labels, opts, limits, &mut out);
        if opts.mode == AppendMode::Atomic {
            let fatal = |r: &Rejection| {
                !matches!(
                    r.reason,
                    RejectReason::InvalidLabels(_) | RejectReason::ExemplarOutOfOrder
                )
            };
            if out.rejected.first.iter().any(fatal) {
                out.rejected.first.retain(fatal);
                return Err(AppendError::Rejected(out.rejected));
            }
        }
        let position = self.log(w, wal, tenant)?;
        out.position = position;
        self.apply(w, position.0);
        self.samples.fetch_add(
            out.samples + out.histograms,
            std::sync::atomic::Ordering::Relaxed,
        );
        Ok(out)
    }

    fn log_definitions(
        &self,
        w: &mut Writer,
        wal: &LogHandle,
        tenant: u32,
    ) -> Result<(), AppendError> {
        wal.append(&[
            (record::KIND_PAIRS, tenant, &w.pairs_out),
            (record::KIND_SERIES, tenant, &w.series_out),
        ])?;
        w.pairs_out.clear();
        w.series_out.clear();
        Ok(())
    }

    /// Finds or makes the series of every batch entry.
    fn resolve(
        &self,
        w: &mut Writer,
        batch: &WriteBatch,
        labels: &dyn LabelsSource,
        limits: &Limits,
        out: &mut Appended,
    ) {
        let mut missing: SmallVec<[usize; 8]> = SmallVec::new();
        for (i, s) in batch.series.iter().enumerate() {
            let key = alias_key(s.key);
            match w.alias.find(alias_hash(key), |a| a.key == key) {
                Some(a) => w.plan.sids.push(a.sid),
                None => {
                    w.plan.sids.push(u32::MAX);
                    missing.push(i);
                }
            }
        }
        if missing.is_empty() {
            return;
        }
        let mut idx = self.index.write();
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(32);
        for i in missing {
            let s = &batch.series[i];
            // The same new series may come twice in one batch.
            let key = alias_key(s.key);
            if let Some(a) = w.alias.find(alias_hash(key), |a| a.key == key) {
                w.plan.sids[i] = a.sid;
                continue;
            }
            pairs.clear();
            let t = first_time(batch, s);
            let made = labels
                .collect(s.labels, &mut pairs)
                .and_then(|()| canonical(&mut pairs))
                .map_err(RejectReason::InvalidLabels)
                .and_then(|()| self.find_or_make(w, &mut idx, &pairs, t, limits, out));
            match made {
                Ok(sid) => {
                    w.plan.sids[i] = sid;
                    remember(w, s.key, sid);
                }
                Err(reason) => out.rejected.push(Rejection {
                    series: i,
                    labels: Labels::from_pairs(pairs.iter().copied().take(REFUSED_LABELS)),
                    t: 0,
                    reason,
                }),
            }
        }
    }

    fn find_or_make(
        &self,
        w: &mut Writer,
        idx: &mut Index,
        pairs: &[(&str, &str)],
        t: i64,
        limits: &Limits,
        out: &mut Appended,
    ) -> Result<u32, RejectReason> {
        check_limits(pairs, limits)?;
        let mut ids = std::mem::take(&mut w.plan.pairs);
        ids.clear();
        for (n, v) in pairs {
            let (id, new) = idx.table.intern(n, v);
            if new {
                varint::put(&mut w.pairs_out, u64::from(id));
                record::put_str(&mut w.pairs_out, n);
                record::put_str(&mut w.pairs_out, v);
            }
            ids.push(id);
        }
        let found = idx.table.find_series(&ids);
        let sid = match found {
            Some(sid) => sid,
            None => {
                if limits.series > 0 && idx.table.live() >= limits.series {
                    w.plan.pairs = ids;
                    return Err(RejectReason::TooManySeries(format!(
                        "limit of {} series per tenant reached; label {:?} has the most values of this series' labels",
                        limits.series,
                        widest_label(idx, pairs)
                    )));
                }
                let sid = w.next_sid;
                w.next_sid += 1;
                let (group, slot) = place(&mut w.plan, idx, sid, t);
                idx.table.insert_series(sid, &ids);
                idx.loc.resize(sid as usize + 1, (u32::MAX, 0));
                idx.loc[sid as usize] = (group, slot);
                put_series(&mut w.series_out, sid, group, slot, &ids);
                out.new_series += 1;
                sid
            }
        };
        w.plan.pairs = ids;
        Ok(sid)
    }

    /// Runs the acceptance rules over the batch and fills the plan.
    fn check(
        &self,
        w: &mut Writer,
        batch: &WriteBatch,
        labels: &dyn LabelsSource,
        opts: &AppendOptions,
        limits: &Limits,
        out: &mut Appended,
    ) {
        let max_t = self.max_t();
        let bounds = Bounds {
            max_t,
            min_valid: self
                .min_valid()
                .max(max_t.saturating_sub(limits.half_block_ms)),
            window: if opts.allow_out_of_order {
                limits.out_of_order_ms
            } else {
                0
            },
            future: opts.now_ms.saturating_add(FUTURE_MS),
        };
        let idx = self.index.read();
        let mut current: Option<(u32, parking_lot::MutexGuard<'_, Group>)> = None;
        for (i, s) in batch.series.iter().enumerate() {
            let sid = w.plan.sids[i];
            if sid == u32::MAX {
                continue;
            }
            let (gid, slot) = idx.loc[sid as usize];
            if current.as_ref().is_none_or(|c| c.0 != gid) {
                // Release before locking: a group may come back.
                drop(current.take());
                current = Some((gid, idx.groups[gid as usize].lock()));
            }
            let Some((_, group)) = &mut current else {
                continue;
            };
            let last = group.last[slot as usize];
            let mut refuse = |t: i64, reason: RejectReason| {
                out.rejected.push(Rejection {
                    series: i,
                    labels: read_labels(labels, s.labels),
                    t,
                    reason,
                });
            };
            for (k, p) in batch.samples_of(s).iter().enumerate() {
                let verdict = bounds.judge(last, p.t, || {
                    match group.value_at(slot, p.t, &mut w.scratch) {
                        Some(old) if old.to_bits() == p.v.to_bits() => None,
                        Some(old) => Some(RejectReason::Duplicate {
                            existing: old,
                            new: p.v,
                        }),
                        None => self.duplicate_elsewhere(sid, p.t, p.v),
                    }
                });
                match verdict {
                    Verdict::InOrder if is_absent(p.v) => w.plan.sparse.push((sid, p.t, p.v)),
                    Verdict::InOrder => {
                        w.plan.cells.push(Cell {
                            group: gid,
                            slot,
                            t: p.t,
                            v: p.v,
                        });
                    }
                    Verdict::OutOfOrder => w.plan.sparse.push((sid, p.t, p.v)),
                    Verdict::Same => {}
                    Verdict::Refused(reason) => {
                        refuse(p.t, reason);
                        continue;
                    }
                }
                out.samples += 1;
                let at = s.first_sample as usize + k;
                if let Some(st) = batch.start_ts.get(at).copied().filter(|st| *st != 0) {
                    w.plan.starts.push((sid, p.t, st));
                }
            }
            let Some(extra) = batch.extra_of(s) else {
                continue;
            };
            for p in &extra.histograms {
                let verdict = bounds.judge(last, p.t, || self.same_histogram(sid, p));
                let in_order = match verdict {
                    Verdict::InOrder => true,
                    Verdict::OutOfOrder => false,
                    Verdict::Same => {
                        out.histograms += 1;
                        continue;
                    }
                    Verdict::Refused(reason) => {
                        refuse(p.t, reason);
                        continue;
                    }
                };
                let point = HistPoint {
                    t: p.t,
                    start_t: p.start_t,
                    h: Arc::new(p.h.clone()),
                };
                w.plan.histograms.push((sid, point, in_order));
                out.histograms += 1;
            }
            for e in &extra.exemplars {
                let newest = w.exemplar_last.get(&sid).copied().unwrap_or(i64::MIN);
                if e.t < newest {
                    refuse(e.t, RejectReason::ExemplarOutOfOrder);
                } else if self.exemplars_max > 0 {
                    if e.t > newest || !self.has_exemplar(sid, e) {
                        w.plan.exemplars.push((sid, e.clone()));
                        w.exemplar_last.insert(sid, e.t);
                    }
                    out.exemplars += 1;
                }
            }
            if let Some(m) = &extra.metadata
                && let Some(name) = idx.table.labels(sid).metric_name()
                && self.side.read().metadata.get(name) != Some(m)
            {
                w.plan.metadata.push((name.to_owned(), m.clone()));
            }
        }
    }

    /// The newest point is not in the rows: it is out of order data, a histogram, or flushed.
    fn duplicate_elsewhere(&self, sid: u32, t: i64, v: f64) -> Option<RejectReason> {
        let side = self.side.read();
        for map in [&side.sparse, &side.sparse_cut] {
            let Some(list) = map.get(&sid) else { continue };
            if let Ok(i) = list.binary_search_by_key(&t, |p| p.0) {
                let existing = list[i].1;
                let same = existing.to_bits() == v.to_bits();
                return (!same).then_some(RejectReason::Duplicate { existing, new: v });
            }
        }
        let newest = side.histograms.get(&sid).and_then(|l| l.last());
        newest
            .is_some_and(|h| h.t == t)
            .then_some(RejectReason::DuplicateHistogram)
    }

    fn same_histogram(&self, sid: u32, p: &HistogramPoint) -> Option<RejectReason> {
        let side = self.side.read();
        let newest = side.histograms.get(&sid).and_then(|l| l.last());
        let same = newest.is_some_and(|n| n.t == p.t && same_bits(&n.h, &p.h));
        (!same).then_some(RejectReason::DuplicateHistogram)
    }

    fn has_exemplar(&self, sid: u32, e: &Exemplar) -> bool {
        self.side
            .read()
            .exemplars
            .iter()
            .rev()
            .any(|(s, x)| *s == sid && x == e)
    }

    /// Writes definitions and points of the plan to the log, all or nothing.
    fn log(&self, w: &mut Writer, wal: &LogHandle, tenant: u32) -> Result<Position, AppendError> {
        let Writer {
            plan,
            pairs_out,
            series_out,
            ..
        } = w;
        let Plan {
            bytes,
            cells,
            sparse,
            histograms,
            starts,
            exemplars,
            metadata,
            ..
        } = plan;
        let [rows, b_sparse, b_hist, b_start, b_ex, b_meta, _] = bytes;
        record::put_rows(rows, cells);
        for (sid, t, v) in sparse.iter() {
            varint::put(b_sparse, u64::from(*sid));
            varint::put_signed(b_sparse, *t);
            b_sparse.extend_from_slice(&v.to_bits().to_le_bytes());
        }
        for (sid, p, _) in histograms.iter() {
            varint::put(b_hist, u64::from(*sid));
            varint::put_signed(b_hist, p.t);
            varint::put_signed(b_hist, p.start_t);
            histogram::put(b_hist, &p.h);
        }
        for (sid, t, st) in starts.iter() {
            varint::put(b_start, u64::from(*sid));
            varint::put_signed(b_start, *t);
            varint::put_signed(b_start, *st);
        }
        exemplars
            .iter()
            .for_each(|(sid, e)| record::put_exemplar(b_ex, *sid, e));
        metadata
            .iter()
            .for_each(|(n, m)| record::put_metadata(b_meta, n, m));
        let mut records: SmallVec<[(u8, u32, &[u8]); 8]> = SmallVec::new();
        for (kind, payload) in [
            (record::KIND_PAIRS, &*pairs_out),
            (record::KIND_SERIES, &*series_out),
            (record::KIND_ROWS, &*rows),
            (record::KIND_SPARSE, &*b_sparse),
            (record::KIND_HISTOGRAM, &*b_hist),
            (record::KIND_START, &*b_start),
            (record::KIND_EXEMPLAR, &*b_ex),
            (record::KIND_METADATA, &*b_meta),
        ] {
            if !payload.is_empty() {
                records.push((kind, tenant, payload.as_slice()));
            }
        }
        if records.is_empty() {
            return Ok(wal.appended());
        }
        let position = wal.append(&records)?;
        drop(records);
        pairs_out.clear();
        series_out.clear();
        Ok(position)
    }
}

pub(super) fn put_series(out: &mut Vec<u8>, sid: u32, group: u32, slot: u16, ids: &[u32]) {
    varint::put(out, u64::from(sid));
    varint::put(out, u64::from(group));
    varint::put(out, u64::from(slot));
    varint::put(out, ids.len() as u64);
    ids.iter().for_each(|i| varint::put(out, u64::from(*i)));
}

fn first_time(batch: &WriteBatch, s: &BatchSeries) -> i64 {
    let float = batch.samples_of(s).first().map(|p| p.t);
    let hist = || {
        batch
            .extra_of(s)
            .and_then(|e| e.histograms.first())
            .map(|p| p.t)
    };
    float.or_else(hist).unwrap_or(0)
}

/// Chooses a group for a new series whose first sample is at `t`: the one that took the other new
/// series of this batch at this time, or a new one.
fn place(plan: &mut Plan, idx: &mut Index, sid: u32, t: i64) -> (u32, u16) {
    if let Some((_, gid)) = plan.open.iter().find(|o| o.0 == t) {
        let mut g = idx.groups[*gid as usize].lock();
        if g.slots() < SLOTS_MAX {
            return (*gid, g.add_slot(sid, i64::MIN));
        }
    }
    // A single newcomer among known series joins the group of its neighbour in the batch.
    let at = plan.sids.iter().rposition(|s| *s != u32::MAX && *s != sid);
    if let Some((gid, _)) = at.and_then(|i| idx.loc.get(plan.sids[i] as usize)).copied()
        && let Some(g) = idx.groups.get(gid as usize)
    {
        let mut g = g.lock();
        let near = g.ts.last().is_some_and(|n| *n == t);
        if near && g.slots() < SLOTS_MAX {
            return (gid, g.add_slot(sid, i64::MIN));
        }
    }
    let gid = idx.groups.len() as u32;
    let mut g = Group::new();
    let slot = g.add_slot(sid, i64::MIN);
    idx.groups.push(Arc::new(Mutex::new(g)));
    plan.open.retain(|o| o.0 != t);
    plan.open.push((t, gid));
    (gid, slot)
}

fn remember(w: &mut Writer, key: SeriesKey, sid: u32) {
    let key = alias_key(key);
    w.alias
        .insert_unique(alias_hash(key), Alias { key, sid }, |a| alias_hash(a.key));
}

fn read_labels(labels: &dyn LabelsSource, handle: u64) -> Labels {
    let mut pairs = Vec::new();
    match labels.collect(handle, &mut pairs) {
        Ok(()) => Labels::from_pairs(pairs.into_iter().take(REFUSED_LABELS)),
        Err(_) => Labels::empty(),
    }
}

fn same_bits(a: &Histogram, b: &Histogram) -> bool {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    histogram::put(&mut x, a);
    histogram::put(&mut y, b);
    x == y
}

impl From<WalError> for AppendError {
    fn from(e: WalError) -> Self {
        match e {
            WalError::NoSpace { free_bytes } => Self::NoSpace { free_bytes },
            WalError::Poisoned(why) => Self::Poisoned(why),
            WalError::Closed => Self::Closed,
            WalError::TooLarge { .. } | WalError::Version { .. } => {
                Self::Io(std::io::Error::other(e.to_string()))
            }
            WalError::Io(e) => Self::Io(std::io::Error::new(e.kind(), e.to_string())),
        }
    }
}
