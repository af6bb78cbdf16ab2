//! Columns to lines.

use super::{
    DICTIONARY_MAX, HOLE, KIND_CONSTANT, KIND_DECIMAL, KIND_DICTIONARY, KIND_HEX, KIND_INTEGER,
    KIND_PADDED, KIND_PLAIN, KIND_SPLIT, KIND_TIME, kinds, pack,
};
use crate::chunk::ChunkError;
use crate::chunk::ints;
use crate::chunk::varint::Reader;

/// Splits inside splits that a reader follows.
const NESTING_MAX: u32 = 8;

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
    // Numbers of a payload take at most ten bytes more than what they stand for.
    let max = bytes
        .saturating_add(n.saturating_mul(32))
        .saturating_add(1 << 16);
    let packed = pack::unpack(page, max.saturating_mul(2))?;
    let mut d = Decoder {
        tree: Reader::new(&packed.tree),
        payloads: packed.payloads.iter(),
        max: bytes,
    };
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

/// Values of a column.
#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    ends: Vec<u32>,
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

struct Decoder<'a> {
    tree: Reader<'a>,
    payloads: std::slice::Iter<'a, Vec<u8>>,
    max: usize,
}

impl<'a> Decoder<'a> {
    fn payload(&mut self) -> Result<Reader<'a>, ChunkError> {
        let p = self
            .payloads
            .next()
            .ok_or(ChunkError("a payload is missing"))?;
        Ok(Reader::new(p))
    }

    fn numbers(&mut self, n: usize) -> Result<Vec<i64>, ChunkError> {
        let mut out = Vec::with_capacity(n);
        let mut p = self.payload()?;
        ints::decode(&mut p, n, &mut out)?;
        Ok(out)
    }

    fn column(&mut self, n: usize, nesting: u32) -> Result<Values, ChunkError> {
        let kind = self.tree.u8()?;
        let mut v = Values::default();
        if n == 0 && kind != KIND_SPLIT {
            return Err(ChunkError("a column without values"));
        }
        v.ends.reserve(n);
        match kind {
            KIND_PLAIN => {
                let mut p = self.payload()?;
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
                for i in self.payload()?.bytes(n)? {
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
                let mut p = self.payload()?;
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
                let mut p = self.payload()?;
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

    fn split(&mut self, n: usize, nesting: u32) -> Result<Values, ChunkError> {
        let limit = self.tree.rest.len() + 1;
        let count = self.tree.index(limit)?;
        // Pieces around the holes, and the column of each hole.
        let mut skeletons: Vec<(Vec<&'a [u8]>, Vec<usize>)> = Vec::with_capacity(count);
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
            skeletons.push((pieces, columns));
        }
        let columns = self.tree.index(limit)?;
        let numbers = self.numbers(n)?;
        let mut uses = vec![0usize; count];
        for x in &numbers {
            let used = usize::try_from(*x).ok().and_then(|x| uses.get_mut(x));
            *used.ok_or(ChunkError("number of an unknown skeleton"))? += 1;
        }
        let mut sizes = vec![0usize; columns];
        for ((_, names), uses) in skeletons.iter().zip(&uses) {
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
        let mut values = Vec::with_capacity(columns);
        for size in sizes {
            values.push((self.column(size, nesting + 1)?, 0usize, 0usize));
        }
        let mut out = Values::default();
        out.ends.reserve(n);
        for x in numbers {
            let (pieces, names) = &skeletons[x as usize];
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
