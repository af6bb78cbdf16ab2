//! Columns to lines.

use super::{
    DICTIONARY_MAX, HOLE, KIND_CONSTANT, KIND_DECIMAL, KIND_DICTIONARY, KIND_HEX, KIND_INTEGER,
    KIND_PADDED, KIND_PLAIN, KIND_SPLIT, KIND_TIME, kinds,
    pack::{self, Packed},
};
use std::borrow::Cow;

use crate::chunk::ChunkError;
use crate::chunk::ints;
use crate::chunk::varint::Reader;

/// Splits inside splits that a reader follows.
pub(super) const NESTING_MAX: u32 = 8;

/// Rebuilds `n` lines of `bytes` bytes together at the end of `out`.
///
/// # Errors
/// When the page is damaged.
pub(in crate::logs) fn decode(
    page: &[u8],
    n: usize,
    bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), ChunkError> {
    let packed = open(page, n, bytes)?;
    let mut d = Decoder::new(&packed, bytes);
    let mut lines = d.column(n, 0)?;
    if lines.bytes.len() != bytes {
        return Err(ChunkError("lines have the wrong length"));
    }
    if out.is_empty() {
        std::mem::swap(out, &mut lines.bytes);
    } else {
        out.extend_from_slice(&lines.bytes);
    }
    Ok(())
}

/// Reads the outer layer of a page.
pub(super) fn open(page: &[u8], n: usize, bytes: usize) -> Result<Packed<'_>, ChunkError> {
    // Numbers of a payload take at most ten bytes more than what they stand for.
    let max = bytes
        .saturating_add(n.saturating_mul(32))
        .saturating_add(1 << 16);
    pack::unpack(page, max.saturating_mul(2))
}

/// Values of a column.
#[derive(Default)]
pub(super) struct Values {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<u32>,
}

impl Values {
    fn end(&mut self, max: usize) -> Result<(), ChunkError> {
        if self.bytes.len() > max {
            return Err(ChunkError("a column is longer than the lines"));
        }
        self.ends.push(self.bytes.len() as u32);
        Ok(())
    }
}

/// A walk over the tree of a page.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'a> {
    pub(super) tree: Reader<'a>,
    packed: &'a Packed<'a>,
    next: usize,
    max: usize,
}

/// Skeletons of a split.
pub(super) struct Skeletons<'a> {
    /// Pieces around the holes, and the column of each hole.
    pub(super) list: Vec<(Vec<&'a [u8]>, Vec<usize>)>,
    /// Skeleton of each row.
    pub(super) rows: Vec<i64>,
    /// Number of values of each column.
    pub(super) sizes: Vec<usize>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(packed: &'a Packed<'a>, max: usize) -> Self {
        Self {
            tree: Reader::new(&packed.tree),
            packed,
            next: 0,
            max,
        }
    }

    pub(super) fn payload(&mut self) -> Result<Cow<'a, [u8]>, ChunkError> {
        self.next += 1;
        self.packed.payload(self.next - 1)
    }

    /// Goes on where `other`, a walk over the same page, has come to.
    pub(super) fn follow(&mut self, other: &Decoder<'_>) {
        let left = other.tree.rest.len();
        let skip = self.tree.rest.len().saturating_sub(left);
        self.tree.rest = self.tree.rest.get(skip..).unwrap_or_default();
        self.next = other.next;
    }

    /// Passes a payload without unpacking it.
    pub(super) fn skip_payload(&mut self) {
        self.next += 1;
    }

    pub(super) fn numbers(&mut self, n: usize) -> Result<Vec<i64>, ChunkError> {
        let mut out = Vec::with_capacity(n);
        ints::decode(&mut Reader::new(&self.payload()?), n, &mut out)?;
        Ok(out)
    }

    /// The next column of the tree, with `n` values.
    pub(super) fn column(&mut self, n: usize, nesting: u32) -> Result<Values, ChunkError> {
        let kind = self.tree.u8()?;
        let mut v = Values::default();
        if n == 0 && kind != KIND_SPLIT {
            return Err(ChunkError("a column without values"));
        }
        v.ends.reserve(n);
        match kind {
            KIND_PLAIN => {
                let payload = self.payload()?;
                let mut p = Reader::new(&payload);
                let mut lengths = Vec::with_capacity(n);
                ints::decode(&mut p, n, &mut lengths)?;
                for len in lengths {
                    let len = usize::try_from(len).map_err(|_| ChunkError("negative length"))?;
                    v.bytes.extend_from_slice(p.bytes(len)?);
                    v.end(self.max)?;
                }
            }
            KIND_CONSTANT => {
                let value = self.tree.block()?;
                for _ in 0..n {
                    v.bytes.extend_from_slice(value);
                    v.end(self.max)?;
                }
            }
            KIND_DICTIONARY => {
                let count = self.tree.index(DICTIONARY_MAX + 1)?;
                let mut values = Vec::with_capacity(count);
                for _ in 0..count {
                    values.push(self.tree.block()?);
                }
                let payload = self.payload()?;
                for i in Reader::new(&payload).bytes(n)? {
                    let value = values
                        .get(usize::from(*i))
                        .ok_or(ChunkError("number outside the dictionary"))?;
                    v.bytes.extend_from_slice(value);
                    v.end(self.max)?;
                }
            }
            KIND_INTEGER => {
                let mut digits = itoa::Buffer::new();
                for x in self.numbers(n)? {
                    v.bytes.extend_from_slice(digits.format(x).as_bytes());
                    v.end(self.max)?;
                }
            }
            KIND_PADDED => {
                let width = self.tree.index(19)?;
                for x in self.numbers(n)? {
                    kinds::put_padded(&mut v.bytes, x, width);
                    v.end(self.max)?;
                }
            }
            KIND_DECIMAL => {
                let payload = self.payload()?;
                let mut p = Reader::new(&payload);
                let (mut digits, mut decimals) = (Vec::with_capacity(n), Vec::with_capacity(n));
                ints::decode(&mut p, n, &mut digits)?;
                ints::decode(&mut p, n, &mut decimals)?;
                for (x, d) in digits.into_iter().zip(decimals) {
                    kinds::put_decimal(&mut v.bytes, x, d);
                    v.end(self.max)?;
                }
            }
            KIND_HEX => {
                let digits = self.tree.index(self.max + 1)?;
                let payload = self.payload()?;
                let mut p = Reader::new(&payload);
                for _ in 0..n {
                    kinds::put_hex(&mut v.bytes, p.bytes(digits.div_ceil(2))?, digits);
                    v.end(self.max)?;
                }
            }
            KIND_TIME => {
                let layout = kinds::TimeLayout {
                    decimals: self.tree.index(10)?,
                    between: self.tree.u8()?,
                    suffix: self.tree.block()?.to_vec(),
                };
                // Far outside any year that is written; keeps the calendar in range.
                let scale = 10i64.pow(layout.decimals as u32);
                for x in self.numbers(n)? {
                    if !(0..=8_000_000_000).contains(&(x / scale)) {
                        return Err(ChunkError("time out of range"));
                    }
                    kinds::put_time(&mut v.bytes, x, &layout);
                    v.end(self.max)?;
                }
            }
            KIND_SPLIT if nesting < NESTING_MAX => return self.split(n, nesting),
            _ => return Err(ChunkError("unknown kind of column")),
        }
        Ok(v)
    }

    /// Skeletons of a split with `n` rows; its columns follow.
    pub(super) fn skeletons(&mut self, n: usize) -> Result<Skeletons<'a>, ChunkError> {
        let limit = self.tree.rest.len() + 1;
        let count = self.tree.index(limit)?;
        let mut list: Vec<(Vec<&'a [u8]>, Vec<usize>)> = Vec::with_capacity(count);
        for _ in 0..count {
            let bytes = self.tree.block()?;
            let pieces: Vec<&[u8]> = bytes.split(|b| *b == HOLE).collect();
            let holes = self.tree.index(limit)?;
            let mut columns = Vec::with_capacity(holes);
            for _ in 0..holes {
                columns.push(self.tree.index(limit)?);
            }
            if pieces.len() != holes + 1 {
                return Err(ChunkError("a skeleton with other holes than columns"));
            }
            list.push((pieces, columns));
        }
        let columns = self.tree.index(limit)?;
        let rows = self.numbers(n)?;
        let mut uses = vec![0usize; count];
        for x in &rows {
            let used = usize::try_from(*x).ok().and_then(|x| uses.get_mut(x));
            *used.ok_or(ChunkError("number of an unknown skeleton"))? += 1;
        }
        let mut sizes = vec![0usize; columns];
        for ((_, names), uses) in list.iter().zip(&uses) {
            for c in names {
                let size = sizes.get_mut(*c).ok_or(ChunkError("an unknown column"))?;
                *size = size.saturating_add(*uses);
            }
        }
        // A row has at most as many values as its skeleton has bytes, so this bounds the memory.
        let total: usize = sizes.iter().fold(0, |a, b| a.saturating_add(*b));
        if total > self.max.saturating_mul(4).saturating_add(1 << 20) {
            return Err(ChunkError("more values than the lines can hold"));
        }
        Ok(Skeletons { list, rows, sizes })
    }

    fn split(&mut self, n: usize, nesting: u32) -> Result<Values, ChunkError> {
        let s = self.skeletons(n)?;
        let mut values = Vec::with_capacity(s.sizes.len());
        for size in s.sizes {
            values.push((self.column(size, nesting + 1)?, 0usize, 0usize));
        }
        let mut out = Values::default();
        out.ends.reserve(n);
        for x in s.rows {
            let (pieces, names) = &s.list[x as usize];
            for (piece, c) in pieces.iter().zip(names) {
                out.bytes.extend_from_slice(piece);
                let (v, next, from) = &mut values[*c];
                let to = v.ends[*next] as usize;
                out.bytes.extend_from_slice(&v.bytes[*from..to]);
                (*next, *from) = (*next + 1, to);
            }
            out.bytes
                .extend_from_slice(pieces.last().copied().unwrap_or_default());
            out.end(self.max)?;
        }
        Ok(out)
    }
}
