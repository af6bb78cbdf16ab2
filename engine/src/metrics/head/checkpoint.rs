//! The head as one file, so that the log can be cut. Format: `engine/docs/format/checkpoint.md`.

use std::sync::Arc;

use parking_lot::Mutex;

use super::append::put_series;
use super::group::{Group, Scratch};
use super::record::{self, get_str};
use super::replay::define_pair;
use super::{Head, HistPoint};
use crate::chunk::varint::{self, Reader};
use crate::chunk::{ChunkError, histogram};

/// Section kinds of a head in a checkpoint.
pub(in crate::metrics) const SECTION_PAIRS: u8 = 1;
pub(in crate::metrics) const SECTION_SERIES: u8 = 2;
pub(in crate::metrics) const SECTION_GROUPS: u8 = 3;
pub(in crate::metrics) const SECTION_SIDE: u8 = 4;

/// A section is cut when it reaches this size, so that neither side needs much memory.
const SECTION_BYTES: usize = 1 << 20;

impl Head {
    /// Hands the head's sections to `put`. Concurrent appends may or may not be included; all that
    /// were logged before the call are.
    ///
    /// # Errors
    /// Those of `put`.
    pub(in crate::metrics) fn write_checkpoint<E>(
        &self,
        put: &mut dyn FnMut(u8, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out = Vec::new();
        // An append that was logged before the caller noted the position ends before this lock.
        let pairs = {
            let _writer = self.writer.lock();
            self.index.read().table.pair_count() as u32
        };
        for id in 0..pairs {
            {
                let idx = self.index.read();
                if out.is_empty() {
                    varint::put(&mut out, u64::from(id));
                }
                let (n, v) = idx.table.pair(id);
                record::put_str(&mut out, n);
                record::put_str(&mut out, v);
            }
            flush(SECTION_PAIRS, &mut out, put, SECTION_BYTES)?;
        }
        flush(SECTION_PAIRS, &mut out, put, 0)?;
        let series = self.index.read().loc.len() as u32;
        for sid in 0..series {
            {
                let idx = self.index.read();
                let ids = idx.table.ids(sid);
                // Pairs that came after the list above are in the log, and so is the series.
                if !ids.is_empty() && ids.iter().all(|i| *i < pairs) {
                    for (g, slot) in idx.moved.get(&sid).map_or(&[][..], |m| m) {
                        put_series(&mut out, sid, *g, *slot, ids);
                    }
                    let (g, slot) = idx.loc[sid as usize];
                    put_series(&mut out, sid, g, slot, ids);
                }
            }
            flush(SECTION_SERIES, &mut out, put, SECTION_BYTES)?;
        }
        flush(SECTION_SERIES, &mut out, put, 0)?;
        let groups = self.index.read().groups.len();
        let mut scratch = Scratch::default();
        for gid in 0..groups {
            let g = Arc::clone(&self.index.read().groups[gid]);
            let g = g.lock();
            if g.slots() > 0 || !g.is_empty() {
                varint::put(&mut out, gid as u64);
                g.write(&mut out, &mut scratch);
            }
            drop(g);
            flush(SECTION_GROUPS, &mut out, put, SECTION_BYTES)?;
        }
        flush(SECTION_GROUPS, &mut out, put, 0)?;
        self.write_side(&mut out);
        put(SECTION_SIDE, &out)
    }

    fn write_side(&self, out: &mut Vec<u8>) {
        let side = self.side.read();
        varint::put(out, side.applied);
        varint::put(out, (side.sparse.len() + side.sparse_cut.len()) as u64);
        for (sid, list) in side.sparse.iter().chain(&side.sparse_cut) {
            varint::put(out, u64::from(*sid));
            varint::put(out, list.len() as u64);
            for (t, v) in list {
                varint::put_signed(out, *t);
                out.extend_from_slice(&v.to_bits().to_le_bytes());
            }
        }
        varint::put(
            out,
            (side.histograms.len() + side.histograms_cut.len()) as u64,
        );
        for (sid, list) in side.histograms.iter().chain(&side.histograms_cut) {
            varint::put(out, u64::from(*sid));
            varint::put(out, list.len() as u64);
            for p in list {
                varint::put_signed(out, p.t);
                varint::put_signed(out, p.start_t);
                histogram::put(out, &p.h);
            }
        }
        for map in [&side.starts, &side.tombstones] {
            varint::put(out, map.len() as u64);
            for (sid, list) in map {
                varint::put(out, u64::from(*sid));
                varint::put(out, list.len() as u64);
                for (a, b) in list {
                    varint::put_signed(out, *a);
                    varint::put_signed(out, *b);
                }
            }
        }
        varint::put(out, side.exemplars.len() as u64);
        side.exemplars
            .iter()
            .for_each(|(sid, e)| record::put_exemplar(out, *sid, e));
        varint::put(out, side.metadata.len() as u64);
        side.metadata
            .iter()
            .for_each(|(n, m)| record::put_metadata(out, n, m));
    }

    /// Takes a section back. Sections must come in the order in which they were written.
    ///
    /// # Errors
    /// When the bytes are not a section of this kind.
    pub(in crate::metrics) fn read_section(
        &self,
        kind: u8,
        payload: &[u8],
    ) -> Result<(), ChunkError> {
        let mut r = Reader::new(payload);
        match kind {
            SECTION_PAIRS => {
                let mut idx = self.index.write();
                let mut id = r.index(1 << 32)? as u32;
                while !r.rest.is_empty() {
                    let (n, v) = (get_str(&mut r)?, get_str(&mut r)?);
                    if n.is_empty() {
                        idx.table.skip_lost_pairs(id + 1);
                    } else {
                        define_pair(&mut idx, id, n, v)?;
                    }
                    id += 1;
                }
                Ok(())
            }
            SECTION_SERIES => self.replay(record::KIND_SERIES, payload, 0),
            SECTION_GROUPS => {
                let mut scratch = Scratch::default();
                while !r.rest.is_empty() {
                    let gid = r.index(1 << 31)?;
                    let mut g = Group::read(&mut r, &mut scratch)?;
                    let newest = g.sids.iter().filter(|s| **s != u32::MAX).max();
                    let mut w = self.writer.lock();
                    w.next_sid = w.next_sid.max(newest.map_or(0, |s| s + 1));
                    drop(w);
                    let mut idx = self.index.write();
                    while idx.groups.len() <= gid {
                        idx.groups.push(Arc::new(Mutex::new(Group::new())));
                    }
                    if let Some((a, b)) = g.bounds() {
                        self.saw(a.max(self.min_valid()));
                        self.saw(b);
                    }
                    // A slot that was added while the checkpoint was written keeps its place.
                    let cell = Arc::clone(&idx.groups[gid]);
                    let mut old = cell.lock();
                    for slot in g.slots()..old.slots() {
                        g.add_slot(old.sids[slot], old.last[slot]);
                    }
                    *old = g;
                    drop(old);
                    drop(idx);
                }
                Ok(())
            }
            SECTION_SIDE => self.read_side(&mut r),
            _ => Err(ChunkError("unknown section")),
        }
    }

    fn read_side(&self, r: &mut Reader<'_>) -> Result<(), ChunkError> {
        let mut guard = self.side.write();
        let side = &mut *guard;
        side.applied = r.varint()?;
        for _ in 0..r.index(1 << 32)? {
            let sid = r.index(1 << 32)? as u32;
            for _ in 0..r.index(1 << 32)? {
                let t = r.signed()?;
                self.saw(t);
                super::replay::sparse_from(side, sid, t, f64::from_bits(r.u64()?));
            }
        }
        for _ in 0..r.index(1 << 32)? {
            let sid = r.index(1 << 32)? as u32;
            let mut list = Vec::new();
            for _ in 0..r.index(1 << 32)? {
                let (t, start_t) = (r.signed()?, r.signed()?);
                self.saw(t);
                list.push(HistPoint {
                    t,
                    start_t,
                    h: Arc::new(histogram::get(r)?),
                });
            }
            let all = side.histograms.entry(sid).or_default();
            all.extend(list);
            all.sort_by_key(|p| p.t);
        }
        for starts in [true, false] {
            for _ in 0..r.index(1 << 32)? {
                let sid = r.index(1 << 32)? as u32;
                let mut list = Vec::new();
                for _ in 0..r.index(1 << 32)? {
                    list.push((r.signed()?, r.signed()?));
                }
                if starts {
                    &mut side.starts
                } else {
                    &mut side.tombstones
                }
                .insert(sid, list);
            }
        }
        for _ in 0..r.index(1 << 32)? {
            side.exemplars.push_back(record::get_exemplar(r)?);
        }
        for _ in 0..r.index(1 << 32)? {
            let (n, m) = record::get_metadata(r)?;
            side.metadata.insert(n, m);
        }
        Ok(())
    }
}

fn flush<E>(
    kind: u8,
    out: &mut Vec<u8>,
    put: &mut dyn FnMut(u8, &[u8]) -> Result<(), E>,
    at: usize,
) -> Result<(), E> {
    if out.len() > at {
        put(kind, out)?;
        out.clear();
    }
    Ok(())
}
