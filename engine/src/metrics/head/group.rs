//! A group: series that share timestamps, as rows of raw floats with sealed runs behind them.
//!
//! Appending a scrape is one row; nothing per series is touched but its cell and its newest
//! timestamp. When enough rows are full, the oldest are transposed and encoded.
//!
//! Invariants
//! - G1  `ts` is strictly ascending and every open row is newer than every sealed one.
//! - G2  A cell is [`ABSENT`] or a stored value; a value with that bit pattern is never stored here.
//! - G3  `last[slot]` is the newest timestamp of the slot's series over all stores of the head.

use std::sync::Arc;

use crate::chunk::varint::{self, Reader};
use crate::chunk::{ChunkError, ints, values};

/// Bits of the cell that holds nothing: a signalling NaN no exporter sends.
pub(super) const ABSENT_BITS: u64 = 0x7ff4_5e87_a1b0_0001;
/// Rows that are encoded together.
pub(super) const SEAL_ROWS: usize = 32;
/// Open rows at which sealing starts: late fragments of a scrape still find their row.
pub(super) const SEAL_AT: usize = 40;
/// Series a group takes at most: a row is then 8 KiB.
pub(super) const SLOTS_MAX: usize = 1024;

/// The empty cell.
pub(super) fn absent() -> f64 {
    f64::from_bits(ABSENT_BITS)
}

#[inline]
pub(super) fn is_absent(v: f64) -> bool {
    v.to_bits() == ABSENT_BITS
}

/// A sealed run of rows.
pub(super) struct Sealed {
    pub(super) min_t: i64,
    pub(super) max_t: i64,
    pub(super) rows: u16,
    /// Encoded timestamps, then the slots' values.
    data: Box<[u8]>,
    /// Where the values of slot `i` end; they start where those of the slot before end.
    ends: Box<[u32]>,
    ts_end: u32,
}

/// Working memory for sealing and reading.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) values: values::Scratch,
    ints: ints::Scratch,
    col: Vec<f64>,
    decoded: Vec<i64>,
}

#[derive(Default)]
pub(super) struct Group {
    pub(super) sids: Vec<u32>,
    pub(super) last: Vec<i64>,
    pub(super) ts: Vec<i64>,
    /// Row-major, `stride` cells a row.
    vals: Vec<f64>,
    stride: usize,
    pub(super) sealed: Vec<Arc<Sealed>>,
    pub(super) sealed_max: i64,
}

impl Group {
    pub(super) fn new() -> Self {
        Self {
            sealed_max: i64::MIN,
            ..Self::default()
        }
    }

    /// Forgets all slots and points.
    pub(super) fn reset(&mut self) {
        *self = Self {
            sealed_max: self.sealed_max,
            ..Self::default()
        };
    }

    pub(super) fn slots(&self) -> usize {
        self.sids.len()
    }

    /// Adds a slot for `sid` whose newest timestamp is `last`.
    pub(super) fn add_slot(&mut self, sid: u32, last: i64) -> u16 {
        let slot = self.sids.len();
        self.sids.push(sid);
        self.last.push(last);
        if !self.ts.is_empty() && slot >= self.stride {
            let stride = (slot + 1 + slot / 4)
                .next_multiple_of(8)
                .min(SLOTS_MAX.max(slot + 1));
            let mut vals = Vec::with_capacity(self.ts.len() * stride);
            for row in 0..self.ts.len() {
                vals.extend_from_slice(&self.vals[row * self.stride..(row + 1) * self.stride]);
                vals.resize((row + 1) * stride, absent());
            }
            self.vals = vals;
            self.stride = stride;
        }
        slot as u16
    }

    /// The cells of row `row`.
    pub(super) fn row(&self, row: usize) -> &[f64] {
        let at = row * self.stride;
        &self.vals[at..at + self.slots().min(self.stride)]
    }

    fn cell_mut(&mut self, row: usize, slot: usize) -> &mut f64 {
        &mut self.vals[row * self.stride + slot]
    }

    /// The row with timestamp `t`, made if possible; `None` when it would lie before a sealed one.
    pub(super) fn row_for(&mut self, t: i64) -> Option<usize> {
        match self.ts.last() {
            Some(newest) if *newest == t => return Some(self.ts.len() - 1),
            Some(newest) if *newest > t => {}
            _ if t <= self.sealed_max => return None,
            _ => {
                if self.ts.is_empty() {
                    self.stride = self.slots().next_multiple_of(4);
                    self.vals.clear();
                }
                self.ts.push(t);
                self.vals.resize(self.ts.len() * self.stride, absent());
                return Some(self.ts.len() - 1);
            }
        }
        match self.ts.binary_search(&t) {
            Ok(row) => Some(row),
            Err(_) if t <= self.sealed_max => None,
            Err(row) => {
                self.ts.insert(row, t);
                let at = row * self.stride;
                self.vals
                    .splice(at..at, std::iter::repeat_n(absent(), self.stride));
                Some(row)
            }
        }
    }

    /// Stores `v` at `row` and moves the slot's newest timestamp forward.
    #[inline]
    pub(super) fn set(&mut self, row: usize, slot: u16, t: i64, v: f64) {
        *self.cell_mut(row, slot as usize) = v;
        let last = &mut self.last[slot as usize];
        if *last < t {
            *last = t;
        }
    }

    /// The open or sealed value of `slot` at `t`.
    pub(super) fn value_at(&self, slot: u16, t: i64, s: &mut Scratch) -> Option<f64> {
        if let Ok(row) = self.ts.binary_search(&t) {
            let v = self.row(row).get(slot as usize).copied()?;
            return (!is_absent(v)).then_some(v);
        }
        let sealed = self
            .sealed
            .iter()
            .rev()
            .find(|x| x.min_t <= t && t <= x.max_t)?;
        let mut ts = Vec::new();
        sealed.timestamps(&mut ts, s).ok()?;
        let (mut out_ts, mut out) = (Vec::new(), Vec::new());
        sealed
            .slot(slot as usize, &ts, &mut out_ts, &mut out, s)
            .ok()?;
        let i = out_ts.binary_search(&t).ok()?;
        out.get(i).copied()
    }

    /// Encodes the oldest rows when there are enough, or (with `all`) everything.
    pub(super) fn seal(&mut self, all: bool, s: &mut Scratch) {
        while self.ts.len() >= SEAL_AT || (all && !self.ts.is_empty()) {
            let rows = SEAL_ROWS.min(self.ts.len());
            self.seal_rows(rows, s);
        }
    }

    fn seal_rows(&mut self, rows: usize, s: &mut Scratch) {
        let mut data = Vec::with_capacity(rows * self.slots());
        let mut ends = Vec::with_capacity(self.slots());
        ints::encode(&self.ts[..rows], &mut data, &mut s.ints);
        let ts_end = data.len() as u32;
        let mut col = std::mem::take(&mut s.col);
        let width = self.slots().min(self.stride);
        for slot in 0..width {
            col.clear();
            let mut present = 0u64;
            for row in 0..rows {
                let v = self.vals[row * self.stride + slot];
                if !is_absent(v) {
                    present |= 1 << row;
                    col.push(v);
                }
            }
            if col.len() == rows {
                data.push(0);
                values::encode(&col, &mut data, &mut s.values);
            } else if !col.is_empty() {
                data.push(1);
                varint::put(&mut data, present);
                values::encode(&col, &mut data, &mut s.values);
            }
            ends.push(data.len() as u32);
        }
        s.col = col;
        self.sealed_max = self.ts[rows - 1];
        self.sealed.push(Arc::new(Sealed {
            min_t: self.ts[0],
            max_t: self.sealed_max,
            rows: rows as u16,
            data: data.into(),
            ends: ends.into(),
            ts_end,
        }));
        self.ts.drain(..rows);
        self.vals.drain(..rows * self.stride);
        if self.vals.capacity() > 4 * self.vals.len().max(SEAL_AT * self.stride) {
            self.vals.shrink_to(SEAL_AT * self.stride);
        }
    }

    /// Forgets sealed runs that end before `t`, and open rows older than `t`.
    pub(super) fn drop_before(&mut self, t: i64) {
        self.sealed.retain(|s| s.max_t >= t);
        let old = self.ts.partition_point(|x| *x < t);
        self.ts.drain(..old);
        self.vals.drain(..old * self.stride);
    }

    /// True without any point.
    pub(super) fn is_empty(&self) -> bool {
        self.ts.is_empty() && self.sealed.is_empty()
    }

    /// Oldest and newest timestamp.
    pub(super) fn bounds(&self) -> Option<(i64, i64)> {
        let first = self
            .sealed
            .first()
            .map(|s| s.min_t)
            .or(self.ts.first().copied())?;
        let last = self.ts.last().copied().unwrap_or(self.sealed_max);
        Some((first, last))
    }

    /// Share of cells in the open rows that hold a value, in percent.
    pub(super) fn fill_percent(&self) -> usize {
        let cells = self.ts.len() * self.slots();
        if cells == 0 {
            return 100;
        }
        let used: usize = (0..self.ts.len())
            .map(|r| self.row(r).iter().filter(|v| !is_absent(**v)).count())
            .sum();
        used * 100 / cells
    }

    /// For every slot the open rows in which it has a value, as bits.
    pub(super) fn presence(&self) -> Vec<u64> {
        (0..self.slots())
            .map(|slot| {
                (0..self.ts.len().min(64))
                    .filter(|r| self.row(*r).get(slot).is_some_and(|v| !is_absent(*v)))
                    .fold(0, |b, r| b | 1 << r)
            })
            .collect()
    }

    /// Appends the group to a checkpoint.
    pub(super) fn write(&self, out: &mut Vec<u8>, s: &mut Scratch) {
        varint::put(out, self.slots() as u64);
        let mut last = Vec::with_capacity(self.slots());
        for (sid, t) in self.sids.iter().zip(&self.last) {
            varint::put(out, u64::from(*sid));
            last.push(*t);
        }
        if !last.is_empty() {
            ints::encode(&last, out, &mut s.ints);
        }
        varint::put_signed(out, self.sealed_max);
        varint::put(out, self.sealed.len() as u64);
        for x in &self.sealed {
            varint::put_signed(out, x.min_t);
            varint::put_signed(out, x.max_t);
            varint::put(out, u64::from(x.rows));
            varint::put(out, u64::from(x.ts_end));
            varint::put(out, x.ends.len() as u64);
            let mut at = x.ts_end;
            for e in &x.ends {
                varint::put(out, u64::from(e - at));
                at = *e;
            }
            varint::put(out, x.data.len() as u64);
            out.extend_from_slice(&x.data);
        }
        varint::put(out, self.ts.len() as u64);
        if !self.ts.is_empty() {
            ints::encode(&self.ts, out, &mut s.ints);
            let mut col = Vec::with_capacity(self.ts.len());
            for slot in 0..self.slots() {
                col.clear();
                col.extend(
                    (0..self.ts.len())
                        .map(|r| self.row(r).get(slot).copied().unwrap_or_else(absent)),
                );
                values::encode(&col, out, &mut s.values);
            }
        }
    }

    /// Reads what [`Self::write`] wrote.
    pub(super) fn read(r: &mut Reader<'_>, s: &mut Scratch) -> Result<Self, ChunkError> {
        let mut g = Self::new();
        let slots = r.index(1 << 20)?;
        for _ in 0..slots {
            g.sids.push(r.index(1 << 32)? as u32);
        }
        if slots > 0 {
            ints::decode(r, slots, &mut g.last)?;
        }
        g.sealed_max = r.signed()?;
        for _ in 0..r.index(1 << 24)? {
            let min_t = r.signed()?;
            let max_t = r.signed()?;
            let rows = r.index(65)? as u16;
            let ts_end = r.index(1 << 31)? as u32;
            let n = r.index(1 << 20)?;
            let mut ends = Vec::with_capacity(n);
            let mut at = ts_end;
            for _ in 0..n {
                at = at
                    .checked_add(r.index(1 << 31)? as u32)
                    .ok_or(ChunkError("slot offsets overflow"))?;
                ends.push(at);
            }
            let data = r.block()?;
            if at as usize > data.len() {
                return Err(ChunkError("slot past the end of its run"));
            }
            let (data, ends) = (data.into(), ends.into());
            g.sealed.push(Arc::new(Sealed {
                min_t,
                max_t,
                rows,
                data,
                ends,
                ts_end,
            }));
        }
        let rows = r.index(4096)?;
        if rows > 0 {
            ints::decode(r, rows, &mut g.ts)?;
            g.stride = slots.next_multiple_of(4);
            g.vals.resize(rows * g.stride, absent());
            let mut col = Vec::new();
            for slot in 0..slots {
                col.clear();
                values::decode(r, rows, &mut col, &mut s.values)?;
                for (row, v) in col.iter().enumerate() {
                    *g.cell_mut(row, slot) = *v;
                }
            }
        }
        Ok(g)
    }
}

impl Sealed {
    /// Appends the timestamps of the run to `out`.
    pub(super) fn timestamps(&self, out: &mut Vec<i64>, s: &mut Scratch) -> Result<(), ChunkError> {
        let mut r = Reader::new(self.data.get(..self.ts_end as usize).unwrap_or(&[]));
        ints::decode(&mut r, self.rows as usize, &mut s.decoded)?;
        out.extend_from_slice(&s.decoded);
        Ok(())
    }

    /// Appends the points of one slot; `ts` are the run's timestamps.
    pub(super) fn slot(
        &self,
        slot: usize,
        ts: &[i64],
        out_ts: &mut Vec<i64>,
        out: &mut Vec<f64>,
        s: &mut Scratch,
    ) -> Result<(), ChunkError> {
        match self.slot_bytes(slot) {
            None => Ok(()),
            Some((0, mut r)) => {
                out_ts.extend_from_slice(ts);
                values::decode(&mut r, ts.len(), out, &mut s.values)
            }
            Some((_, mut r)) => {
                let present = r.varint()?;
                let before = out_ts.len();
                out_ts.extend(
                    ts.iter()
                        .enumerate()
                        .filter(|(i, _)| present >> i & 1 == 1)
                        .map(|(_, t)| *t),
                );
                values::decode(&mut r, out_ts.len() - before, out, &mut s.values)
            }
        }
    }

    /// Appends only the values of a slot that has all rows; false when it has not.
    pub(super) fn full_slot(
        &self,
        slot: usize,
        out: &mut Vec<f64>,
        s: &mut Scratch,
    ) -> Result<bool, ChunkError> {
        match self.slot_bytes(slot) {
            Some((0, mut r)) => {
                values::decode(&mut r, self.rows as usize, out, &mut s.values)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn slot_bytes(&self, slot: usize) -> Option<(u8, Reader<'_>)> {
        let end = *self.ends.get(slot)? as usize;
        let start = if slot == 0 {
            self.ts_end
        } else {
            self.ends[slot - 1]
        } as usize;
        let (tag, rest) = self.data.get(start..end)?.split_first()?;
        Some((*tag, Reader::new(rest)))
    }
}
