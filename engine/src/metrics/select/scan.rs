//! Reading: found series handed out as columns with shared timestamps.
//!
//! Owns: decoding, trimming to the asked range, tombstones, the merge of a series' parts.
//! Knows nothing of: how series were found, who reads.
//!
//! Invariants
//! - S1  A column is strictly ascending in time.
//! - S2  Series whose points lie at the same timestamps in the same sources get the same `Arc`.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::super::api::SelectError;
use super::super::block::ChunkRef;
use super::super::head::{HistPoint, ReadCache};
use super::Selection;
use crate::chunk::values;
use crate::model::{Column, HistogramSample};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// All points of one series in the asked range, as stored.
pub(in crate::metrics) struct SeriesPoints<'a> {
    pub(in crate::metrics) ts: &'a Arc<[i64]>,
    pub(in crate::metrics) values: &'a [f64],
    pub(in crate::metrics) histograms: &'a [HistPoint],
    pub(in crate::metrics) starts: &'a [(i64, i64)],
}

/// Start timestamp in force at `t`, 0 when unknown.
pub(in crate::metrics) fn start_at(starts: &[(i64, i64)], t: i64) -> i64 {
    let i = starts.partition_point(|s| s.0 <= t);
    if i == 0 { 0 } else { starts[i - 1].1 }
}

/// Part of a series: timestamps, the range of them that was asked for, where its values are.
#[derive(Clone)]
struct Part {
    ts: Arc<[i64]>,
    lo: usize,
    hi: usize,
    values: usize,
}

/// Reads series of a [`Selection`] for one thread.
pub struct Reader<'a> {
    pub(super) scan: Scan<'a>,
    pub(super) histograms: Vec<HistogramSample>,
    pub(super) start_ts: Vec<i64>,
}

impl Reader<'_> {
    /// Decodes `series`, best in the order of [`Selection::scan_order`], and hands their columns to
    /// `visit`, which stops with `Break`. True when all were handed out.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn read(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<bool, SelectError> {
        let (histograms, start_ts) = (&mut self.histograms, &mut self.start_ts);
        self.scan.read_all(series, &mut |i, p| {
            histograms.clear();
            histograms.extend(p.histograms.iter().map(|h| HistogramSample {
                t: h.t,
                start_t: h.start_t,
                h: Arc::new(h.h.to_float()),
            }));
            start_ts.clear();
            if !p.starts.is_empty() {
                start_ts.extend(p.ts.iter().map(|t| start_at(p.starts, *t)));
            }
            let column = Column {
                ts: p.ts,
                values: p.values,
                start_ts,
                histograms,
            };
            visit(i, column)
        })
    }
}

type PartKey = SmallVec<[(usize, usize, usize); 3]>;

/// State of one scan.
pub(super) struct Scan<'a> {
    sel: &'a Selection,
    no_side: bool,
    /// Keep one histogram before the range.
    context: bool,
    cache: ReadCache,
    moved_cache: ReadCache,
    /// Timestamp columns of blocks.
    columns: Map<(u32, u32), Arc<[i64]>>,
    /// Trimmed and joined timestamps, by the parts they are made of; the parts are kept alive.
    joined: Map<PartKey, (Arc<[i64]>, Vec<Arc<[i64]>>)>,
    decoded: Vec<f64>,
    scratch: values::Scratch,
    own_ts: Vec<i64>,
    // The series at hand.
    ts: Arc<[i64]>,
    values: Vec<f64>,
    histograms: Vec<HistPoint>,
    starts: Vec<(i64, i64)>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(sel: &'a Selection, context: bool) -> Self {
        Self {
            sel,
            no_side: sel.head.as_ref().is_none_or(|h| h.no_side_data()),
            context,
            cache: ReadCache::default(),
            moved_cache: ReadCache::default(),
            columns: Map::default(),
            joined: Map::default(),
            decoded: Vec::new(),
            scratch: values::Scratch::default(),
            own_ts: Vec::new(),
            ts: Arc::from(&[][..]),
            values: Vec::new(),
            histograms: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Reads `series` one after the other; neighbours of one head group are copied together. True
    /// when `visit` saw all of them.
    pub(super) fn read_all(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, SeriesPoints<'_>) -> ControlFlow<()>,
    ) -> Result<bool, SelectError> {
        let sel = self.sel;
        let head_group = |i: u32| sel.entries[i as usize].head.as_ref().map(|h| h.place.0);
        for run in series.chunk_by(|a, b| head_group(*a) == head_group(*b)) {
            self.begin(head_group(run[0]), run)?;
            for (k, i) in run.iter().enumerate() {
                self.read(*i as usize, k)?;
                let points = SeriesPoints {
                    ts: &self.ts,
                    values: &self.values,
                    histograms: &self.histograms,
                    starts: &self.starts,
                };
                if visit(*i as usize, points).is_break() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// From when on the head's rows count.
    fn head_min(&self) -> i64 {
        self.sel.min_t.max(self.sel.head_from)
    }

    /// Copies what the series of a run have in the head.
    fn begin(&mut self, group: Option<u32>, run: &[u32]) -> Result<(), SelectError> {
        if let (Some(g), Some(head)) = (group, &self.sel.head) {
            let slots: Vec<u16> = run
                .iter()
                .map(|i| {
                    self.sel.entries[*i as usize]
                        .head
                        .as_ref()
                        .map_or(0, |h| h.place.1)
                })
                .collect();
            head.snapshot(g, &slots, self.head_min(), self.sel.max_t, &mut self.cache)?;
        }
        // Joined timestamps of earlier groups are not met again.
        if self.joined.len() > 4096 {
            self.joined.clear();
        }
        Ok(())
    }

    /// Reads series `i`, the `k`-th of its run, into `ts`, `values`, `histograms`, `starts`.
    fn read(&mut self, i: usize, k: usize) -> Result<(), SelectError> {
        let sel = self.sel;
        let e = &sel.entries[i];
        self.decoded.clear();
        self.histograms.clear();
        self.starts.clear();
        let mut parts: SmallVec<[Part; 4]> = SmallVec::new();
        for p in sel.parts.of(e) {
            let block = &sel.blocks[p.block as usize];
            let deleted = if block.tombstones.read().is_empty() {
                Vec::new()
            } else {
                block.deleted(p.id)
            };
            let before = (parts.len(), self.histograms.len());
            for c in sel.parts.chunks(p) {
                match c {
                    ChunkRef::Float { column, .. } => {
                        let ts = match self.columns.get(&(p.block, *column)) {
                            Some(ts) => Arc::clone(ts),
                            None => {
                                let ts = block.timestamps(*column)?;
                                self.columns.insert((p.block, *column), Arc::clone(&ts));
                                ts
                            }
                        };
                        let values = self.decoded.len();
                        let want = ts.partition_point(|t| *t <= sel.max_t);
                        block.values(c, want, &mut self.decoded, &mut self.scratch)?;
                        push_part(&mut parts, ts, values, sel.min_t, sel.max_t);
                    }
                    ChunkRef::Histogram { .. } => block.histograms(c, &mut self.histograms)?,
                }
            }
            self.starts.extend_from_slice(sel.parts.starts(p));
            if !deleted.is_empty() {
                self.delete(&mut parts, before.0, &deleted);
                let mut k = 0;
                self.histograms.retain(|h| {
                    k += 1;
                    k <= before.1 || !is_deleted(&deleted, h.t)
                });
            }
        }
        let mut sparse: Vec<(i64, f64)> = Vec::new();
        if let (Some(h), Some(head)) = (&e.head, &sel.head) {
            let before = parts.len();
            for (g, slot) in head.earlier_places(h.sid) {
                head.snapshot(
                    g,
                    &[slot],
                    self.head_min(),
                    sel.max_t,
                    &mut self.moved_cache,
                )?;
                let mut cache = std::mem::take(&mut self.moved_cache);
                self.head_part(&mut cache, 0, slot, &mut parts)?;
                self.moved_cache = cache;
            }
            let mut cache = std::mem::take(&mut self.cache);
            let read = self.head_part(&mut cache, k, h.place.1, &mut parts);
            self.cache = cache;
            read?;
            if !self.no_side {
                let side = head.side_data(h.sid, sel.min_t, sel.max_t, self.context);
                sparse = side.sparse;
                self.histograms.extend(side.histograms);
                self.starts.extend(side.starts);
                // Rows only: what is beside them was removed when it was deleted.
                self.delete(&mut parts, before, &side.tombstones);
            }
        }
        self.starts.sort_unstable();
        self.starts.dedup();
        if !self.histograms.is_empty() {
            let (a, b) = (sel.min_t, sel.max_t);
            self.histograms.sort_by_key(|h| h.t);
            self.histograms.dedup_by_key(|h| h.t);
            let first = self.histograms.partition_point(|h| h.t < a);
            self.histograms
                .drain(..first.saturating_sub(usize::from(self.context)));
            self.histograms.retain(|h| h.t <= b);
        }
        let ascending = parts
            .windows(2)
            .all(|w| w[0].ts[w[0].hi - 1] < w[1].ts[w[1].lo]);
        if ascending && sparse.is_empty() {
            self.join(&parts);
        } else {
            self.merge(&parts, sparse);
        }
        Ok(())
    }

    /// Takes deleted points out of the parts from number `from` on.
    fn delete(&mut self, parts: &mut SmallVec<[Part; 4]>, from: usize, ranges: &[(i64, i64)]) {
        for i in from..parts.len() {
            let p = parts[i].clone();
            if ranges.is_empty() || !p.ts[p.lo..p.hi].iter().any(|t| is_deleted(ranges, *t)) {
                continue;
            }
            let values = self.decoded.len();
            self.own_ts.clear();
            for k in p.lo..p.hi {
                if !is_deleted(ranges, p.ts[k]) {
                    self.own_ts.push(p.ts[k]);
                    self.decoded.push(self.decoded[p.values + k]);
                }
            }
            let ts: Arc<[i64]> = self.own_ts.as_slice().into();
            parts[i] = Part {
                lo: 0,
                hi: ts.len(),
                ts,
                values,
            };
        }
        parts.retain(|p| p.lo < p.hi);
    }

    fn head_part(
        &mut self,
        cache: &mut ReadCache,
        k: usize,
        slot: u16,
        parts: &mut SmallVec<[Part; 4]>,
    ) -> Result<(), SelectError> {
        let values = self.decoded.len();
        self.own_ts.clear();
        let full = cache.slot(k, slot, &mut self.own_ts, &mut self.decoded)?;
        let ts = if full {
            cache.full_ts()
        } else {
            self.own_ts.as_slice().into()
        };
        push_part(parts, ts, values, self.head_min(), self.sel.max_t);
        Ok(())
    }

    /// The common case: parts follow each other.
    fn join(&mut self, parts: &[Part]) {
        self.values.clear();
        for p in parts {
            let at = p.values;
            self.values
                .extend_from_slice(&self.decoded[at + p.lo..at + p.hi]);
        }
        self.ts = match parts {
            [] => Arc::from(&[][..]),
            [p] if p.lo == 0 && p.hi == p.ts.len() => Arc::clone(&p.ts),
            _ => {
                let key: PartKey = parts
                    .iter()
                    .map(|p| (p.ts.as_ptr() as usize, p.lo, p.hi))
                    .collect();
                let made = self.joined.entry(key).or_insert_with(|| {
                    let all: Vec<i64> = parts
                        .iter()
                        .flat_map(|p| p.ts[p.lo..p.hi].iter().copied())
                        .collect();
                    (
                        all.into(),
                        parts.iter().map(|p| Arc::clone(&p.ts)).collect(),
                    )
                });
                Arc::clone(&made.0)
            }
        };
    }

    /// Overlapping parts and out-of-order samples.
    fn merge(&mut self, parts: &[Part], sparse: Vec<(i64, f64)>) {
        let mut all: Vec<(i64, f64)> = Vec::with_capacity(self.decoded.len() + sparse.len());
        for p in parts {
            all.extend((p.lo..p.hi).map(|k| (p.ts[k], self.decoded[p.values + k])));
        }
        all.extend(sparse);
        all.sort_by_key(|p| p.0);
        all.dedup_by_key(|p| p.0); // S1; the part that came first wins
        self.values.clear();
        self.values.extend(all.iter().map(|p| p.1));
        self.ts = all.iter().map(|p| p.0).collect();
    }
}

fn is_deleted(ranges: &[(i64, i64)], t: i64) -> bool {
    ranges.iter().any(|r| r.0 <= t && t <= r.1)
}

/// Notes a part, cut to `[min_t, max_t]`, unless nothing is left of it.
fn push_part(
    parts: &mut SmallVec<[Part; 4]>,
    ts: Arc<[i64]>,
    values: usize,
    min_t: i64,
    max_t: i64,
) {
    let lo = ts.partition_point(|t| *t < min_t);
    let hi = ts.partition_point(|t| *t <= max_t);
    if lo < hi {
        parts.push(Part { ts, lo, hi, values });
    }
}
