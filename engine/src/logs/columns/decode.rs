//! Columns to values, all of them or some.

use super::tree::{Column, Page, Split, Walk};
use super::{kinds, pack};
use crate::chunk::ChunkError;
use crate::chunk::frame::Unpacker;
use crate::chunk::ints;
use crate::chunk::varint::Reader;

/// Which values of a column are wanted.
#[derive(Debug, Clone, Copy)]
pub(in crate::logs) enum Pick<'l> {
    All,
    /// Those with these numbers, ascending.
    These(&'l [u32]),
}

impl Pick<'_> {
    /// Number of wanted values among `n`.
    fn len(self, n: usize) -> usize {
        match self {
            Self::All => n,
            Self::These(l) => l.len(),
        }
    }

    fn each(
        self,
        n: usize,
        mut f: impl FnMut(usize) -> Result<(), ChunkError>,
    ) -> Result<(), ChunkError> {
        match self {
            Self::All => (0..n).try_for_each(f),
            Self::These(l) => l.iter().try_for_each(|i| f(*i as usize)),
        }
    }
}

/// Values back to back.
#[derive(Debug, Default)]
pub(in crate::logs) struct Values {
    pub(in crate::logs) bytes: Vec<u8>,
    pub(in crate::logs) ends: Vec<u32>,
}

impl Values {
    pub(in crate::logs) fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.bytes[start..self.ends[i] as usize]
    }

    pub(in crate::logs) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as u32);
    }

    fn end(&mut self, max: usize) -> Result<(), ChunkError> {
        if self.bytes.len() > max {
            return Err(ChunkError("a column is longer than the lines"));
        }
        self.ends.push(self.bytes.len() as u32);
        Ok(())
    }
}

/// Unpacks the outer layer of a page.
pub(in crate::logs) fn open<'p>(
    page: &'p [u8],
    rows: usize,
    bytes: usize,
    unpacker: &'p Unpacker,
) -> Result<pack::Packed<'p>, ChunkError> {
    // Numbers of a payload take at most ten bytes more than what they stand for.
    let max = bytes
        .saturating_add(rows.saturating_mul(32))
        .saturating_add(1 << 16);
    pack::unpack(page, max.saturating_mul(2), unpacker)
}

/// A number of a column that has it as an item.
const OUTSIDE: ChunkError = ChunkError("a value is missing");

impl<'p> Page<'p> {
    /// Lines of the page. Cost: about 2 ms a MiB when all are wanted.
    ///
    /// # Errors
    /// When the page is damaged.
    pub(in crate::logs) fn lines(&self, pick: Pick<'_>) -> Result<Values, ChunkError> {
        let lines = self.values(&self.root, self.rows, pick)?;
        if matches!(pick, Pick::All) && lines.bytes.len() != self.max {
            return Err(ChunkError("lines have the wrong length"));
        }
        Ok(lines)
    }

    /// Values of a column that has `n`.
    pub(super) fn values(
        &self,
        column: &Column<'p>,
        n: usize,
        pick: Pick<'_>,
    ) -> Result<Values, ChunkError> {
        if let Column::Split(s) = column {
            return self.values_of_split(s, n, pick);
        }
        if n == 0 {
            return Err(ChunkError("a column without values"));
        }
        let mut v = Values::default();
        v.ends.reserve(pick.len(n));
        let max = self.max;
        match column {
            Column::Plain { payload } => {
                let (ends, bytes) = self.plain(*payload, n)?;
                pick.each(n, |i| {
                    let to = *ends.get(i).ok_or(OUTSIDE)? as usize;
                    let from = if i == 0 { 0 } else { ends[i - 1] as usize };
                    v.bytes
                        .extend_from_slice(bytes.get(from..to).ok_or(OUTSIDE)?);
                    v.end(max)
                })?;
            }
            Column::Constant(value) => pick.each(n, |_| {
                v.bytes.extend_from_slice(value);
                v.end(max)
            })?,
            Column::Dictionary { values, payload } => {
                let codes = self.codes(*payload, n)?;
                pick.each(n, |i| {
                    let code = usize::from(*codes.get(i).ok_or(OUTSIDE)?);
                    let value = values
                        .get(code)
                        .ok_or(ChunkError("number outside the dictionary"))?;
                    v.bytes.extend_from_slice(value);
                    v.end(max)
                })?;
            }
            Column::Integer { payload } => {
                let mut digits = itoa::Buffer::new();
                let numbers = self.numbers(*payload, n)?;
                pick.each(n, |i| {
                    let x = *numbers.get(i).ok_or(OUTSIDE)?;
                    v.bytes.extend_from_slice(digits.format(x).as_bytes());
                    v.end(max)
                })?;
            }
            Column::Padded { width, payload } => {
                let numbers = self.numbers(*payload, n)?;
                pick.each(n, |i| {
                    kinds::put_padded(&mut v.bytes, *numbers.get(i).ok_or(OUTSIDE)?, *width);
                    v.end(max)
                })?;
            }
            Column::Decimal { payload } => {
                let mut p = Reader::new(self.payload(*payload)?);
                let (mut digits, mut decimals) = (Vec::with_capacity(n), Vec::with_capacity(n));
                ints::decode(&mut p, n, &mut digits)?;
                ints::decode(&mut p, n, &mut decimals)?;
                pick.each(n, |i| {
                    let (x, d) = (digits.get(i).ok_or(OUTSIDE)?, decimals.get(i));
                    kinds::put_decimal(&mut v.bytes, *x, *d.ok_or(OUTSIDE)?);
                    v.end(max)
                })?;
            }
            Column::Hex { digits, payload } => {
                let bytes = self.payload(*payload)?;
                let width = digits.div_ceil(2);
                pick.each(n, |i| {
                    let at = i.saturating_mul(width);
                    let value = bytes.get(at..at.saturating_add(width)).ok_or(OUTSIDE)?;
                    kinds::put_hex(&mut v.bytes, value, *digits);
                    v.end(max)
                })?;
            }
            Column::Time { layout, payload } => {
                // Far outside any year that is written; keeps the calendar in range.
                let scale = 10i64.pow(layout.decimals as u32);
                let numbers = self.numbers(*payload, n)?;
                pick.each(n, |i| {
                    let x = *numbers.get(i).ok_or(OUTSIDE)?;
                    if !(0..=8_000_000_000).contains(&(x / scale)) {
                        return Err(ChunkError("time out of range"));
                    }
                    kinds::put_time(&mut v.bytes, x, layout);
                    v.end(max)
                })?;
            }
            Column::Split(_) => {}
        }
        Ok(v)
    }

    /// Where each value of a plain column ends, and its bytes.
    pub(super) fn plain(&self, payload: usize, n: usize) -> Result<(Vec<u32>, &[u8]), ChunkError> {
        let mut r = Reader::new(self.payload(payload)?);
        let mut lengths = Vec::with_capacity(n);
        ints::decode(&mut r, n, &mut lengths)?;
        let mut ends = Vec::with_capacity(n);
        let mut end = 0u64;
        for len in lengths {
            let len = u64::try_from(len).map_err(|_| ChunkError("negative length"))?;
            end = end.saturating_add(len);
            ends.push(u32::try_from(end).map_err(|_| ChunkError("length out of range"))?);
        }
        if end > r.rest.len() as u64 {
            return Err(ChunkError("ends early"));
        }
        Ok((ends, r.rest))
    }

    /// Numbers of the values of a dictionary column.
    pub(super) fn codes(&self, payload: usize, n: usize) -> Result<&[u8], ChunkError> {
        Reader::new(self.payload(payload)?).bytes(n)
    }

    pub(super) fn values_of_split(
        &self,
        split: &Split<'p>,
        n: usize,
        pick: Pick<'_>,
    ) -> Result<Values, ChunkError> {
        let layout = self.layout(split, n)?;
        let mut wanted: Vec<Vec<u32>> = Vec::new();
        let mut rows: Vec<u32> = Vec::new();
        if let Pick::These(list) = pick {
            wanted.resize(split.columns.len(), Vec::new());
            rows.reserve(list.len());
            let mut walk = Walk::new(split, |_| true);
            let mut at = Vec::new();
            let mut list = list.iter().peekable();
            for (row, x) in layout.rows.iter().enumerate() {
                match list.peek() {
                    None => break,
                    Some(r) if **r as usize != row => walk.pass(*x),
                    Some(_) => {
                        list.next();
                        rows.push(*x);
                        walk.take(*x, &mut at);
                        let columns = &split.skeletons[*x as usize].columns;
                        for (c, i) in columns.iter().zip(&at) {
                            wanted[*c].push(*i);
                        }
                    }
                }
            }
        }
        let mut values = Vec::with_capacity(split.columns.len());
        for (i, c) in split.columns.iter().enumerate() {
            let v = match wanted.get(i) {
                Some(list) if list.is_empty() => Values::default(),
                Some(list) => self.values(c, layout.sizes[i], Pick::These(list))?,
                None => self.values(c, layout.sizes[i], Pick::All)?,
            };
            values.push((v, 0usize, 0usize));
        }
        let rows = match pick {
            Pick::All => &layout.rows,
            Pick::These(_) => &rows,
        };
        let mut out = Values::default();
        out.ends.reserve(rows.len());
        for x in rows {
            let s = &split.skeletons[*x as usize];
            for (piece, c) in s.pieces.iter().zip(&s.columns) {
                out.bytes.extend_from_slice(piece);
                let (v, next, from) = &mut values[*c];
                let to = *v.ends.get(*next).ok_or(OUTSIDE)? as usize;
                out.bytes.extend_from_slice(&v.bytes[*from..to]);
                (*next, *from) = (*next + 1, to);
            }
            let last = s.pieces.last().copied().unwrap_or_default();
            out.bytes.extend_from_slice(last);
            out.end(self.max)?;
        }
        Ok(out)
    }
}
