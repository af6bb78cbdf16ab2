//! Applying log records to the head at start-up (H3).

use std::sync::Arc;

use parking_lot::Mutex;

use super::apply::{add_start, insert_sparse};
use super::group::Group;
use super::record::{self, Cell};
use super::{Head, HistPoint, Index};
use crate::chunk::varint::Reader;
use crate::chunk::{ChunkError, histogram};

impl Head {
    /// Applies one record. Records of kinds that are not the head's are ignored.
    ///
    /// # Errors
    /// When the payload does not parse; what came before in it is applied.
    pub(in crate::metrics) fn replay(
        &self,
        kind: u8,
        payload: &[u8],
        position: u64,
    ) -> Result<(), ChunkError> {
        let mut r = Reader::new(payload);
        match kind {
            record::KIND_PAIRS => {
                let mut idx = self.index.write();
                while !r.rest.is_empty() {
                    let id = r.index(1 << 32)? as u32;
                    let (n, v) = (record::get_str(&mut r)?, record::get_str(&mut r)?);
                    define_pair(&mut idx, id, n, v)?;
                }
            }
            record::KIND_SERIES => {
                let mut w = self.writer.lock();
                let mut idx = self.index.write();
                while !r.rest.is_empty() {
                    let sid = replay_series(&mut idx, &mut r)?;
                    w.next_sid = w.next_sid.max(sid.saturating_add(1));
                }
            }
            record::KIND_ROWS => self.replay_rows(payload)?,
            record::KIND_SPARSE => {
                let idx = self.index.read();
                let mut side = self.side.write();
                while !r.rest.is_empty() {
                    let sid = r.index(1 << 32)? as u32;
                    let t = r.signed()?;
                    let v = f64::from_bits(r.u64()?);
                    if !idx.table.ids(sid).is_empty() {
                        self.add_sparse(&idx, &mut side, sid, t, v);
                    }
                }
            }
            record::KIND_HISTOGRAM => {
                let idx = self.index.read();
                let mut side = self.side.write();
                while !r.rest.is_empty() {
                    let sid = r.index(1 << 32)? as u32;
                    let (t, start_t) = (r.signed()?, r.signed()?);
                    let h = Arc::new(histogram::get(&mut r)?);
                    if !idx.table.ids(sid).is_empty() {
                        self.add_histogram(&idx, &mut side, sid, HistPoint { t, start_t, h });
                    }
                }
            }
            record::KIND_START => {
                let mut side = self.side.write();
                while !r.rest.is_empty() {
                    let sid = r.index(1 << 32)? as u32;
                    let (t, st) = (r.signed()?, r.signed()?);
                    add_start(&mut side, sid, t, st);
                }
            }
            record::KIND_EXEMPLAR => {
                let mut w = self.writer.lock();
                let mut side = self.side.write();
                // The one kind that is not idempotent by itself.
                if position <= side.applied {
                    return Ok(());
                }
                while !r.rest.is_empty() {
                    let (sid, e) = record::get_exemplar(&mut r)?;
                    w.exemplar_last.insert(sid, e.t);
                    self.add_exemplar(&mut side, sid, e);
                }
            }
            record::KIND_METADATA => {
                let mut side = self.side.write();
                while !r.rest.is_empty() {
                    let (n, m) = record::get_metadata(&mut r)?;
                    side.metadata.insert(n, m);
                }
            }
            record::KIND_DELETE => {
                let (min_t, max_t) = (r.signed()?, r.signed()?);
                let n = r.index(r.rest.len() + 1)?;
                let mut sid = 0u32;
                let mut sids = Vec::with_capacity(n);
                for _ in 0..n {
                    sid = sid.wrapping_add(r.index(1 << 32)? as u32);
                    sids.push(sid);
                }
                self.delete(&sids, min_t, max_t);
            }
            _ => {}
        }
        Ok(())
    }

    fn replay_rows(&self, payload: &[u8]) -> Result<(), ChunkError> {
        let mut guard = self.writer.lock();
        let w = &mut *guard;
        let idx = self.index.read();
        let mut cells: Vec<Cell> = Vec::new();
        let result = record::get_rows(payload, &mut |c| cells.push(c));
        let min_valid = self.min_valid();
        for part in cells.chunk_by(|a, b| a.group == b.group && a.t == b.t) {
            let Some(g) = idx.groups.get(part[0].group as usize) else {
                continue;
            };
            if part[0].t < min_valid {
                continue; // in a block
            }
            let mut g = g.lock();
            self.apply_row(&mut w.strays, &mut g, part);
            g.seal(false, &mut w.scratch);
        }
        w.strays.clear();
        self.samples
            .fetch_add(cells.len() as u64, std::sync::atomic::Ordering::Relaxed);
        result
    }

    /// Deletes points of series: those in rows are masked until a block is cut, the others go.
    pub(in crate::metrics) fn delete(&self, sids: &[u32], min_t: i64, max_t: i64) {
        let mut guard = self.side.write();
        let side = &mut *guard;
        for s in sids {
            side.tombstones.entry(*s).or_default().push((min_t, max_t));
            for map in [&mut side.sparse, &mut side.sparse_cut] {
                if let Some(l) = map.get_mut(s) {
                    l.retain(|p| p.0 < min_t || p.0 > max_t);
                }
            }
            for map in [&mut side.histograms, &mut side.histograms_cut] {
                if let Some(l) = map.get_mut(s) {
                    l.retain(|p| p.t < min_t || p.t > max_t);
                }
            }
        }
        side.sparse.retain(|_, l| !l.is_empty());
        side.sparse_cut.retain(|_, l| !l.is_empty());
        side.histograms.retain(|_, l| !l.is_empty());
        side.histograms_cut.retain(|_, l| !l.is_empty());
    }
}

/// Gives the pair its id; ids that are missing before it were in a damaged range.
pub(super) fn define_pair(idx: &mut Index, id: u32, n: &str, v: &str) -> Result<(), ChunkError> {
    // Damage may claim any id; a real one is close to the ones before it.
    if id as usize > idx.table.pair_count() + (1 << 24) {
        return Err(ChunkError("pair id out of range"));
    }
    idx.table.skip_lost_pairs(id);
    if idx.table.intern(n, v).0 == id {
        Ok(())
    } else {
        Err(ChunkError("pair id taken"))
    }
}

/// Ids of series and of groups that damage may have taken from between two records: a real id is
/// close to the ones before it, and tables have a place for every id (1 GiB at most for these).
const LOST_SERIES_MAX: usize = 1 << 24;
const LOST_GROUPS_MAX: usize = 1 << 16;

fn replay_series(idx: &mut Index, r: &mut Reader<'_>) -> Result<u32, ChunkError> {
    let sid = r.index(idx.table.len() + LOST_SERIES_MAX)? as u32;
    let group = r.index(idx.groups.len() + LOST_GROUPS_MAX)? as u32;
    let slot = r.index(1 << 16)? as u16;
    let n = r.index(1 << 16)?;
    let mut ids = Vec::with_capacity(n);
    for _ in 0..n {
        ids.push(r.index(idx.table.pair_count())? as u32);
    }
    // Everything that reads labels relies on their order. Pairs that were lost to damage have no
    // name; their series is left out below.
    let name = |id: u32| idx.table.pair(id).0;
    let lost = ids.iter().any(|id| name(*id).is_empty());
    if !lost && !ids.is_sorted_by(|a, b| name(*a) < name(*b)) {
        return Err(ChunkError("labels of a series out of order"));
    }
    put_in_place(idx, sid, group, slot);
    idx.table.insert_series(sid, &ids);
    Ok(sid)
}

fn put_in_place(idx: &mut Index, sid: u32, group: u32, slot: u16) {
    while idx.groups.len() <= group as usize {
        idx.groups.push(Arc::new(Mutex::new(Group::new())));
    }
    if idx.loc.len() <= sid as usize {
        idx.loc.resize(sid as usize + 1, (u32::MAX, 0));
    }
    let old = idx.loc[sid as usize];
    if old == (group, slot) {
        return;
    }
    let mut last = i64::MIN;
    if old.0 != u32::MAX {
        last = idx.groups[old.0 as usize]
            .lock()
            .last
            .get(old.1 as usize)
            .copied()
            .unwrap_or(last);
        let earlier = idx.moved.entry(sid).or_default();
        earlier.retain(|p| *p != (group, slot) && *p != old);
        earlier.push(old);
    }
    {
        let mut g = idx.groups[group as usize].lock();
        while g.slots() <= slot as usize {
            g.add_slot(u32::MAX, i64::MIN);
        }
        g.sids[slot as usize] = sid;
        g.last[slot as usize] = g.last[slot as usize].max(last);
    }
    idx.loc[sid as usize] = (group, slot);
}

/// Kept for the checkpoint reader.
pub(super) fn sparse_from(side: &mut super::Side, sid: u32, t: i64, v: f64) {
    insert_sparse(side, sid, t, v);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::varint;

    /// A record with a large id once made tables of gigabytes.
    #[test]
    fn ids_far_from_all_others_are_refused() {
        let head = Head::new(0);
        for (sid, group, good) in [
            (7, 0, true),
            (1 << 30, 0, false),
            (8, 1 << 30, false),
            (100_000, 1000, true),
        ] {
            let mut series = Vec::new();
            super::super::append::put_series(&mut series, sid, group, 0, &[]);
            let taken = head.replay(record::KIND_SERIES, &series, 0);
            assert_eq!(taken.is_ok(), good, "{sid} {group}");
        }
    }

    /// A damaged record once made label sets that nothing else could read.
    #[test]
    fn labels_out_of_order_are_refused() {
        let head = Head::new(0);
        let mut pairs = Vec::new();
        for (id, name) in [(0, "b"), (1, "a")] {
            varint::put(&mut pairs, id);
            record::put_str(&mut pairs, name);
            record::put_str(&mut pairs, "v");
        }
        head.replay(record::KIND_PAIRS, &pairs, 0).expect("pairs");
        for (ids, good) in [(&[1, 0][..], true), (&[0, 1], false), (&[0, 0], false)] {
            let mut series = Vec::new();
            super::super::append::put_series(&mut series, 7, 0, 0, ids);
            let taken = head.replay(record::KIND_SERIES, &series, 0);
            assert_eq!(taken.is_ok(), good, "{ids:?}");
        }
    }
}
