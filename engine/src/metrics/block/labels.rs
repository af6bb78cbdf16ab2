//! The label index of a block.
//!
//! Owns: names, values, and which series have them. Knows nothing of: files, chunks, time.

use roaring::RoaringBitmap;

use super::VALUES_PER_FRAME;
use crate::chunk::varint::Reader;
use crate::chunk::{ChunkError, frame};
use crate::index::{LabelIndex, Union, series_of};

/// Names and values, read on first use.
pub(super) struct Tables {
    /// Name, first pair, number of pairs.
    pub(super) names: Vec<(String, u32, u32)>,
    values: Vec<u8>,
    /// Where value `i` ends in `values`.
    ends: Vec<u32>,
    /// Where the postings of pair `i` are in the section.
    postings: Vec<(u32, u32)>,
}

impl Tables {
    /// Reads the sections of names, values and postings.
    pub(super) fn read(names: &[u8], pairs: &[u8], postings: &[u8]) -> Result<Self, ChunkError> {
        let mut t = Self {
            names: Vec::new(),
            values: Vec::new(),
            ends: Vec::new(),
            postings: Vec::new(),
        };
        let mut r = Reader::new(names);
        let mut first = 0u32;
        for _ in 0..r.index(r.rest.len() + 1)? {
            let name = std::str::from_utf8(r.block()?).map_err(|_| ChunkError("name"))?;
            let n = r.index(1 << 31)? as u32;
            t.names.push((name.to_owned(), first, n));
            first = first.checked_add(n).ok_or(ChunkError("too many pairs"))?;
        }
        let mut r = Reader::new(pairs);
        let mut left = first as usize;
        while left > 0 {
            let bytes = r.index(1 << 28)?;
            let len = r.index(r.rest.len() + 1)?;
            let raw = frame::unframe(r.bytes(len)?, bytes)?;
            let mut f = Reader::new(&raw);
            for _ in 0..left.min(VALUES_PER_FRAME) {
                let v = f.block()?;
                std::str::from_utf8(v).map_err(|_| ChunkError("value is not UTF-8"))?;
                t.values.extend_from_slice(v);
                t.ends
                    .push(u32::try_from(t.values.len()).map_err(|_| ChunkError("values"))?);
                left -= 1;
            }
        }
        let mut r = Reader::new(postings);
        for _ in 0..first {
            let n = r.index(r.rest.len() + 1)?;
            t.postings
                .push(((postings.len() - r.rest.len()) as u32, n as u32));
            r.bytes(n)?;
        }
        Ok(t)
    }

    pub(super) fn name(&self, name: &str) -> Option<(u32, u32)> {
        let i = self
            .names
            .binary_search_by(|x| x.0.as_str().cmp(name))
            .ok()?;
        Some((self.names[i].1, self.names[i].2))
    }

    /// Number of the name of `pair`, and the pair.
    pub(super) fn pair(&self, pair: u32) -> (usize, (&[u8], &[u8])) {
        let i = self.names.partition_point(|x| x.1 <= pair);
        // Names without values do not exist, so the last one that starts at or before is it.
        let name = self.names.get(i.wrapping_sub(1));
        let name = name.map_or(&[][..], |x| x.0.as_bytes());
        (i, (name, self.value_bytes(pair)))
    }

    pub(super) fn value(&self, pair: u32) -> &str {
        std::str::from_utf8(self.value_bytes(pair)).unwrap_or("")
    }

    fn value_bytes(&self, pair: u32) -> &[u8] {
        let p = pair as usize;
        let start = if p == 0 {
            0
        } else {
            self.ends.get(p - 1).copied().unwrap_or(0)
        };
        let end = self.ends.get(p).copied().unwrap_or(start);
        self.values.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// Pair ids of the values of `name` from the first one `>= value`.
    fn seek(&self, name: &str, value: &str) -> std::ops::Range<u32> {
        let Some((first, n)) = self.name(name) else {
            return 0..0;
        };
        let (mut lo, mut hi) = (first, first + n);
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            if self.value(mid) < value {
                lo = mid + 1
            } else {
                hi = mid
            }
        }
        lo..first + n
    }
}

/// [`Tables`] with the postings they point into.
pub(super) struct Index<'a> {
    pub(super) tables: &'a Tables,
    /// The section of postings.
    pub(super) postings: &'a [u8],
    /// Number of series.
    pub(super) series: u32,
}

impl Index<'_> {
    /// The series that have pair number `pair`.
    pub(super) fn series_of(&self, pair: u32) -> RoaringBitmap {
        series_of(&mut |to| self.add(pair, to))
    }

    fn add(&self, pair: u32, to: &mut Union) {
        let Some((at, n)) = self.tables.postings.get(pair as usize).copied() else {
            return;
        };
        let Some(b) = self.postings.get(at as usize..(at + n) as usize) else {
            return;
        };
        let mut r = Reader::new(b);
        match r.u8() {
            Ok(0) => {
                let mut left = r.varint().unwrap_or(0);
                let mut at = 0u32;
                to.list(std::iter::from_fn(|| {
                    left = left.checked_sub(1)?;
                    at = at.wrapping_add(r.varint().ok()? as u32);
                    Some(at)
                }));
            }
            Ok(1) => {
                if let Ok(b) = RoaringBitmap::deserialize_from(r.rest) {
                    to.set(&b);
                }
            }
            _ => {}
        }
    }
}

impl LabelIndex for Index<'_> {
    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.series);
        all
    }

    fn add_pair(&self, name: &str, value: &str, to: &mut Union) {
        let mut range = self.tables.seek(name, value);
        if let Some(p) = range.next().filter(|p| self.tables.value(*p) == value) {
            self.add(p, to);
        }
    }

    fn add_values(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
        to: &mut Union,
    ) {
        for p in self.tables.seek(name, prefix) {
            let v = self.tables.value(p);
            if !v.starts_with(prefix) {
                break;
            }
            if keep(v) {
                self.add(p, to);
            }
        }
    }
}
