//! Which lines hold a substring, without putting the lines together.
//!
//! A substring of a line lies in a piece of its skeleton, in one of its values, or across a border
//! of the two. Pieces and dictionaries are searched once for all lines that share them; number
//! columns are passed over when the substring has bytes that no number has; the borders are ruled
//! out by what the pieces end and begin with. What is left undecided is put together and searched,
//! so the answer is exact.

use memchr::memmem::Finder;

use super::decode::{Decoder, NESTING_MAX, Skeletons, Values, open};
use super::{
    DICTIONARY_MAX, KIND_CONSTANT, KIND_DECIMAL, KIND_DICTIONARY, KIND_HEX, KIND_INTEGER,
    KIND_PADDED, KIND_PLAIN, KIND_SPLIT, KIND_TIME,
};
use crate::chunk::ChunkError;
use crate::chunk::ints;
use crate::chunk::varint::Reader;

/// For each value whether it holds the needle; `None` when none does.
type Hits = Option<Vec<bool>>;

/// Lines of a page that hold the needle, which is not empty; `None` when none does.
///
/// # Errors
/// When the page is damaged.
pub(in crate::logs) fn search(
    page: &[u8],
    n: usize,
    bytes: usize,
    needle: &Finder<'_>,
) -> Result<Hits, ChunkError> {
    let packed = open(page, n, bytes)?;
    let mut s = Searcher {
        at: Decoder::new(&packed, bytes),
        needle,
    };
    s.column(n, 0)
}

struct Searcher<'a, 'n> {
    at: Decoder<'a>,
    needle: &'n Finder<'n>,
}

impl Searcher<'_, '_> {
    fn holds(&self, bytes: &[u8]) -> bool {
        self.needle.find(bytes).is_some()
    }

    /// Whether values made of bytes that `alphabet` accepts can hold the needle.
    fn possible(&self, alphabet: impl Fn(u8) -> bool) -> bool {
        self.needle.needle().iter().all(|b| alphabet(*b))
    }

    fn column(&mut self, n: usize, nesting: u32) -> Result<Hits, ChunkError> {
        let start = self.at;
        let kind = self.at.tree.u8()?;
        let digit = |b: u8| b.is_ascii_digit();
        match kind {
            KIND_CONSTANT => {
                let value = self.at.tree.block()?;
                Ok(self.holds(value).then(|| vec![true; n]))
            }
            KIND_DICTIONARY => {
                let count = self.at.tree.index(DICTIONARY_MAX + 1)?;
                let mut hits = Vec::with_capacity(count);
                for _ in 0..count {
                    let value = self.at.tree.block()?;
                    hits.push(self.holds(value));
                }
                if !hits.contains(&true) {
                    self.at.skip_payload();
                    return Ok(None);
                }
                let payload = self.at.payload()?;
                let numbers = Reader::new(&payload).bytes(n)?.iter();
                let hit = |i: &u8| hits.get(usize::from(*i)).copied().unwrap_or(false);
                Ok(Some(numbers.map(hit).collect()))
            }
            KIND_PLAIN => {
                let payload = self.at.payload()?;
                let mut r = Reader::new(&payload);
                let mut lengths = Vec::with_capacity(n);
                ints::decode(&mut r, n, &mut lengths)?;
                let mut ends = Vec::with_capacity(n);
                let mut end = 0u64;
                for len in lengths {
                    end = end.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
                    ends.push(u32::try_from(end).map_err(|_| ChunkError("length out of range"))?);
                }
                if end > r.rest.len() as u64 {
                    return Err(ChunkError("ends early"));
                }
                Ok(self.in_values(r.rest, &ends))
            }
            KIND_INTEGER if !self.possible(|b| digit(b) || b == b'-') => {
                self.at.skip_payload();
                Ok(None)
            }
            KIND_PADDED if !self.possible(digit) => {
                self.at.tree.varint()?;
                self.at.skip_payload();
                Ok(None)
            }
            KIND_DECIMAL if !self.possible(|b| digit(b) || b == b'.' || b == b'-') => {
                self.at.skip_payload();
                Ok(None)
            }
            KIND_HEX => {
                let digits = self.at.tree.varint()?;
                let hex = |b: u8| digit(b) || (b'a'..=b'f').contains(&b);
                if self.needle.needle().len() as u64 > digits || !self.possible(hex) {
                    self.at.skip_payload();
                    return Ok(None);
                }
                self.whole(start, n, nesting)
            }
            KIND_TIME => {
                self.at.tree.varint()?;
                let between = self.at.tree.u8()?;
                let suffix = self.at.tree.block()?;
                let known =
                    |b: u8| digit(b) || b"-:.".contains(&b) || b == between || suffix.contains(&b);
                if !self.possible(known) {
                    self.at.skip_payload();
                    return Ok(None);
                }
                self.whole(start, n, nesting)
            }
            KIND_SPLIT if nesting < NESTING_MAX => self.split(start, n, nesting),
            _ => self.whole(start, n, nesting),
        }
    }

    /// Puts the values of the column at `start` together and searches them.
    fn whole(&mut self, start: Decoder<'_>, n: usize, nesting: u32) -> Result<Hits, ChunkError> {
        let mut d = start;
        let values: Values = d.column(n, nesting)?;
        // Where the tree goes on: the same column, walked by the searcher's own copy.
        self.at.follow(&d);
        Ok(self.in_values(&values.bytes, &values.ends))
    }

    /// Searches values that lie back to back.
    fn in_values(&self, bytes: &[u8], ends: &[u32]) -> Hits {
        let mut hits: Hits = None;
        let (mut at, mut i) = (0usize, 0usize);
        let len = self.needle.needle().len();
        while let Some(found) = bytes.get(at..).and_then(|rest| self.needle.find(rest)) {
            let found = at + found;
            i += ends[i..].partition_point(|e| *e as usize <= found);
            let Some(end) = ends.get(i).map(|e| *e as usize) else {
                break;
            };
            if found + len > end {
                // Across two values: not a hit. The next one may begin one byte later.
                at = found + 1;
                continue;
            }
            hits.get_or_insert_with(|| vec![false; ends.len()])[i] = true;
            at = end;
        }
        hits
    }

    fn split(&mut self, start: Decoder<'_>, n: usize, nesting: u32) -> Result<Hits, ChunkError> {
        let s: Skeletons<'_> = self.at.skeletons(n)?;
        let mut columns: Vec<(Hits, usize)> = Vec::with_capacity(s.sizes.len());
        for size in &s.sizes {
            // A column without values has no place in a tree, so this one is damaged.
            columns.push((self.column(*size, nesting + 1)?, 0));
        }
        let needle = self.needle.needle();
        let verdicts: Vec<(bool, bool)> = s
            .list
            .iter()
            .map(|(pieces, _)| {
                let inside = pieces.iter().any(|p| self.holds(p));
                (inside, !inside && may_cross(pieces, needle))
            })
            .collect();
        let in_columns = columns.iter().any(|c| c.0.is_some());
        let in_pieces = verdicts.iter().any(|v| v.0);
        let across = verdicts.iter().any(|v| v.1);
        if !in_columns && !in_pieces && !across {
            return Ok(None);
        }
        let mut hits = vec![false; n];
        let mut undecided = false;
        for (hit, x) in hits.iter_mut().zip(&s.rows) {
            let x = *x as usize;
            let (inside, may_cross) = verdicts[x];
            *hit = inside;
            if in_columns {
                for c in &s.list[x].1 {
                    let (column, next) = &mut columns[*c];
                    if let Some(column) = column {
                        *hit |= column.get(*next).copied().unwrap_or(false);
                        *next += 1;
                    }
                }
            }
            undecided |= may_cross && !*hit;
        }
        if undecided {
            let mut d = start;
            let values = d.column(n, nesting)?;
            return Ok(self.in_values(&values.bytes, &values.ends));
        }
        Ok(hits.contains(&true).then_some(hits))
    }
}

/// Whether the needle can lie across a border of a piece and a value.
fn may_cross(pieces: &[&[u8]], needle: &[u8]) -> bool {
    let n = needle.len();
    (1..pieces.len()).any(|hole| {
        let (left, right) = (pieces[hole - 1], pieces[hole]);
        // At the first hole nothing is before an empty piece, at the last nothing after one.
        let open_left = hole > 1;
        let open_right = hole + 1 < pieces.len();
        (1..n).any(|k| {
            let (head, tail) = needle.split_at(k);
            let from_left = left.ends_with(head) || (open_left && head.ends_with(left));
            let to_right = right.starts_with(tail) || (open_right && tail.starts_with(right));
            from_left || to_right
        })
    })
}
