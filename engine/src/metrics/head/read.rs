//! Reading the head: a group at a time, shared timestamps decoded once.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::RwLockReadGuard;
use roaring::RoaringBitmap;

use super::group::{Scratch, Sealed, is_absent};
use super::{Head, HistPoint, Index};
use crate::chunk::ChunkError;
use crate::index::matching_series;
use crate::model::{Exemplar, Labels, Matcher};

/// A matching series of the head.
#[derive(Debug, Clone)]
pub(in crate::metrics) struct HeadSeries {
    pub(in crate::metrics) sid: u32,
    /// Its group and slot.
    pub(in crate::metrics) place: (u32, u16),
}

/// Matching series while none can come or go.
pub(in crate::metrics) struct HeadMatches<'a> {
    index: RwLockReadGuard<'a, Index>,
    ids: RoaringBitmap,
}

impl HeadMatches<'_> {
    pub(in crate::metrics) fn len(&self) -> usize {
        usize::try_from(self.ids.len()).unwrap_or(usize::MAX)
    }

    /// The series, in id order.
    pub(in crate::metrics) fn iter(&self) -> impl Iterator<Item = HeadSeries> {
        self.ids.iter().map(|sid| HeadSeries {
            sid,
            place: self.index.loc[sid as usize],
        })
    }

    /// Labels of a series. Cost: they are put together from the table.
    pub(in crate::metrics) fn labels(&self, sid: u32) -> Labels {
        self.index.table.labels(sid)
    }
}

/// What a series has outside of rows, in a time range.
#[derive(Default)]
pub(in crate::metrics) struct SideData {
    pub(in crate::metrics) sparse: Vec<(i64, f64)>,
    pub(in crate::metrics) histograms: Vec<HistPoint>,
    pub(in crate::metrics) starts: Vec<(i64, i64)>,
    pub(in crate::metrics) tombstones: Vec<(i64, i64)>,
}

/// A consistent copy of what some slots of one group have in a time range.
#[derive(Default)]
pub(in crate::metrics) struct ReadCache {
    sealed: Vec<Arc<Sealed>>,
    /// Timestamps of all rows: sealed ones, then open ones.
    full: Option<Arc<[i64]>>,
    /// Where each sealed run lies in `full`.
    runs: Vec<Range<usize>>,
    open: Range<usize>,
    /// Cells of the open rows, slot after slot.
    cells: Vec<f64>,
    scratch: Scratch,
}

impl Head {
    /// Labels of a series. Cost: they are put together from the table.
    pub(in crate::metrics) fn labels(&self, sid: u32) -> Labels {
        self.index.read().table.labels(sid)
    }

    /// The series that match. New series wait until the result is dropped.
    pub(in crate::metrics) fn select(&self, matchers: &[Matcher]) -> HeadMatches<'_> {
        let index = self.index.read();
        let ids = matching_series(&index.table, matchers);
        HeadMatches { index, ids }
    }

    /// Ids of the series that match any of `selectors` (`None`: no selectors, all series).
    pub(in crate::metrics) fn matching(&self, selectors: &[Vec<Matcher>]) -> Option<RoaringBitmap> {
        if selectors.is_empty() {
            return None;
        }
        let idx = self.index.read();
        let mut out = RoaringBitmap::new();
        for s in selectors {
            out |= matching_series(&idx.table, s);
        }
        Some(out)
    }

    /// Copies what `slots` of group `gid` have in `[min_t, max_t]`.
    pub(in crate::metrics) fn snapshot(
        &self,
        gid: u32,
        slots: &[u16],
        min_t: i64,
        max_t: i64,
        c: &mut ReadCache,
    ) -> Result<(), ChunkError> {
        c.sealed.clear();
        c.runs.clear();
        c.cells.clear();
        let Some(g) = self.index.read().groups.get(gid as usize).cloned() else {
            c.full = Some(Arc::from(&[][..]));
            c.open = 0..0;
            return Ok(());
        };
        let g = g.lock();
        c.sealed.extend(
            g.sealed
                .iter()
                .filter(|s| s.max_t >= min_t && s.min_t <= max_t)
                .map(Arc::clone),
        );
        let from = g.ts.partition_point(|t| *t < min_t);
        let to = g.ts.partition_point(|t| *t <= max_t).max(from);
        let open: Vec<i64> = g.ts[from..to].to_vec();
        for slot in slots {
            c.cells.extend((from..to).map(|r| {
                g.row(r)
                    .get(*slot as usize)
                    .copied()
                    .unwrap_or_else(super::group::absent)
            }));
        }
        drop(g);
        let mut full = Vec::new();
        for s in &c.sealed {
            let at = full.len();
            s.timestamps(&mut full, &mut c.scratch)?;
            c.runs.push(at..full.len());
        }
        c.open = full.len()..full.len() + open.len();
        full.extend(open);
        c.full = Some(full.into());
        Ok(())
    }

    /// Side data of a series in `[min_t, max_t]`.
    /// With `context` also the histogram before the range.
    pub(in crate::metrics) fn side_data(
        &self,
        sid: u32,
        min_t: i64,
        max_t: i64,
        context: bool,
    ) -> SideData {
        let side = self.side.read();
        let mut out = SideData::default();
        for map in [&side.sparse_cut, &side.sparse] {
            if let Some(l) = map.get(&sid) {
                let from = l.partition_point(|p| p.0 < min_t);
                out.sparse
                    .extend(l[from..].iter().take_while(|p| p.0 <= max_t));
            }
        }
        for map in [&side.histograms_cut, &side.histograms] {
            if let Some(l) = map.get(&sid) {
                let from = l.partition_point(|p| p.t < min_t);
                let from = from.saturating_sub(usize::from(context));
                out.histograms
                    .extend(l[from..].iter().take_while(|p| p.t <= max_t).cloned());
            }
        }
        if let Some(l) = side.starts.get(&sid) {
            out.starts.extend_from_slice(l);
        }
        if let Some(l) = side.tombstones.get(&sid) {
            out.tombstones.extend_from_slice(l);
        }
        out
    }

    /// True when no series has side data: the common case costs one lock.
    pub(in crate::metrics) fn no_side_data(&self) -> bool {
        let side = self.side.read();
        side.sparse.is_empty()
            && side.histograms.is_empty()
            && side.sparse_cut.is_empty()
            && side.histograms_cut.is_empty()
            && side.starts.is_empty()
            && side.tombstones.is_empty()
    }

    /// Whether a series has histograms in the head.
    pub(in crate::metrics) fn has_histograms(&self, sid: u32) -> bool {
        let side = self.side.read();
        side.histograms.contains_key(&sid) || side.histograms_cut.contains_key(&sid)
    }

    /// Earlier places of a series.
    pub(in crate::metrics) fn earlier_places(&self, sid: u32) -> Vec<(u32, u16)> {
        self.index
            .read()
            .moved
            .get(&sid)
            .map_or_else(Vec::new, Vec::clone)
    }

    /// Exemplars in range of matching series, by series.
    pub(in crate::metrics) fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        min_t: i64,
        max_t: i64,
    ) -> Vec<(Labels, Vec<Exemplar>)> {
        let wanted = self.matching(selectors);
        let idx = self.index.read();
        let side = self.side.read();
        let mut by_series: std::collections::BTreeMap<u32, Vec<Exemplar>> = Default::default();
        for (sid, e) in &side.exemplars {
            let hit = wanted.as_ref().is_none_or(|w| w.contains(*sid));
            if hit && e.t >= min_t && e.t <= max_t {
                by_series.entry(*sid).or_default().push(e.clone());
            }
        }
        by_series
            .into_iter()
            .map(|(sid, mut list)| {
                list.sort_by_key(|e| e.t);
                (idx.table.labels(sid), list)
            })
            .collect()
    }
}

impl ReadCache {
    /// Timestamps of all rows of the snapshot.
    pub(in crate::metrics) fn full_ts(&self) -> Arc<[i64]> {
        self.full.clone().unwrap_or_else(|| Arc::from(&[][..]))
    }

    /// Appends the points of the `k`-th asked slot to `values`, and their timestamps to `ts` unless
    /// the slot has every row: then gives `true` and [`Self::full_ts`] holds them.
    pub(in crate::metrics) fn slot(
        &mut self,
        k: usize,
        slot: u16,
        ts: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<bool, ChunkError> {
        let full = self.full_ts();
        let rows = self.open.len();
        let cells = &self.cells[k * rows..(k + 1) * rows];
        let start = values.len();
        if !cells.iter().any(|v| is_absent(*v)) {
            let mut whole = true;
            for s in &self.sealed {
                if !s.full_slot(slot as usize, values, &mut self.scratch)? {
                    whole = false;
                    break;
                }
            }
            if whole {
                values.extend_from_slice(cells);
                return Ok(true);
            }
            values.truncate(start);
        }
        for (s, run) in self.sealed.iter().zip(&self.runs) {
            s.slot(
                slot as usize,
                &full[run.clone()],
                ts,
                values,
                &mut self.scratch,
            )?;
        }
        for (t, v) in full[self.open.clone()].iter().zip(cells) {
            if !is_absent(*v) {
                ts.push(*t);
                values.push(*v);
            }
        }
        Ok(false)
    }
}

impl Index {
    /// Labels of all series, for name and value listings.
    pub(in crate::metrics) fn table(&self) -> &crate::index::LabelTable {
        &self.table
    }
}
