//! A page as a tree of columns. Nothing is unpacked until it is asked for.
//!
//! Owns: the shape of a page, the way from a row of a split to its values, and payloads that were
//! unpacked once.
//! Knows nothing of: what is asked of the values.

use std::cell::OnceCell;

use super::kinds::TimeLayout;
use super::pack::Packed;
use super::{
    DICTIONARY_MAX, HOLE, KIND_CONSTANT, KIND_DECIMAL, KIND_DICTIONARY, KIND_HEX, KIND_INTEGER,
    KIND_PADDED, KIND_PLAIN, KIND_SPLIT, KIND_TIME,
};
use crate::chunk::ChunkError;
use crate::chunk::ints;
use crate::chunk::varint::Reader;

/// Splits inside splits that a reader follows.
const NESTING_MAX: u32 = 8;

/// The lines of a row group, as columns.
pub(in crate::logs) struct Page<'p> {
    packed: &'p Packed<'p>,
    /// The column of the lines.
    pub(super) root: Column<'p>,
    /// Number of lines.
    pub(super) rows: usize,
    /// Bytes of all lines: no column is longer.
    pub(super) max: usize,
}

/// A column; `payload` is the number of one.
pub(super) enum Column<'p> {
    Plain {
        payload: usize,
    },
    Constant(&'p [u8]),
    Dictionary {
        values: Vec<&'p [u8]>,
        payload: usize,
    },
    Integer {
        payload: usize,
    },
    Padded {
        width: usize,
        payload: usize,
    },
    Decimal {
        payload: usize,
    },
    Hex {
        digits: usize,
        payload: usize,
    },
    Time {
        layout: TimeLayout,
        payload: usize,
    },
    Split(Split<'p>),
}

/// Values that are put together from pieces and the values of other columns.
pub(super) struct Split<'p> {
    pub(super) skeletons: Vec<Skeleton<'p>>,
    pub(super) columns: Vec<Column<'p>>,
    payload: usize,
    layout: OnceCell<Layout>,
}

/// What is the same in rows that are built alike.
pub(super) struct Skeleton<'p> {
    /// Around the holes: one more than these.
    pub(super) pieces: Vec<&'p [u8]>,
    /// Column of each hole.
    pub(super) columns: Vec<usize>,
}

/// Which row is built how.
pub(super) struct Layout {
    /// Skeleton of each row.
    pub(super) rows: Vec<u32>,
    /// Number of values of each column.
    pub(super) sizes: Vec<usize>,
}

impl<'p> Page<'p> {
    /// Reads the tree of a page with `rows` lines of `bytes` bytes together.
    ///
    /// # Errors
    /// When the page is damaged.
    pub(in crate::logs) fn new(
        packed: &'p Packed<'p>,
        rows: usize,
        bytes: usize,
    ) -> Result<Self, ChunkError> {
        let mut r = Reader::new(&packed.tree);
        let root = column(&mut r, &mut 0, 0)?;
        Ok(Self {
            packed,
            root,
            rows,
            max: bytes,
        })
    }

    pub(super) fn payload(&self, i: usize) -> Result<&[u8], ChunkError> {
        self.packed.payload(i)
    }

    pub(super) fn numbers(&self, payload: usize, n: usize) -> Result<Vec<i64>, ChunkError> {
        let mut out = Vec::with_capacity(n);
        ints::decode(&mut Reader::new(self.payload(payload)?), n, &mut out)?;
        Ok(out)
    }

    /// How the `n` rows of a split are built; `n` is the same in every call.
    pub(super) fn layout<'s>(
        &self,
        split: &'s Split<'p>,
        n: usize,
    ) -> Result<&'s Layout, ChunkError> {
        if let Some(l) = split.layout.get() {
            return Ok(l);
        }
        let numbers = self.numbers(split.payload, n)?;
        let mut rows = Vec::with_capacity(n);
        let mut uses = vec![0usize; split.skeletons.len()];
        for x in numbers {
            let used = usize::try_from(x).ok().and_then(|x| uses.get_mut(x));
            *used.ok_or(ChunkError("number of an unknown skeleton"))? += 1;
            rows.push(x as u32);
        }
        let mut sizes = vec![0usize; split.columns.len()];
        for (s, uses) in split.skeletons.iter().zip(&uses) {
            for c in &s.columns {
                sizes[*c] = sizes[*c].saturating_add(*uses);
            }
        }
        // A row has at most as many values as its skeleton has bytes, so this bounds the memory.
        let total: usize = sizes.iter().fold(0, |a, b| a.saturating_add(*b));
        if total > self.max.saturating_mul(4).saturating_add(1 << 20) {
            return Err(ChunkError("more values than the lines can hold"));
        }
        Ok(split.layout.get_or_init(|| Layout { rows, sizes }))
    }
}

fn column<'p>(
    r: &mut Reader<'p>,
    next: &mut usize,
    nesting: u32,
) -> Result<Column<'p>, ChunkError> {
    let kind = r.u8()?;
    let mut payload = || {
        *next += 1;
        *next - 1
    };
    Ok(match kind {
        KIND_PLAIN => Column::Plain { payload: payload() },
        KIND_CONSTANT => Column::Constant(r.block()?),
        KIND_DICTIONARY => {
            let count = r.index(DICTIONARY_MAX + 1)?;
            let values: Result<Vec<_>, _> = (0..count).map(|_| r.block()).collect();
            Column::Dictionary {
                values: values?,
                payload: payload(),
            }
        }
        KIND_INTEGER => Column::Integer { payload: payload() },
        KIND_PADDED => Column::Padded {
            width: r.index(19)?,
            payload: payload(),
        },
        KIND_DECIMAL => Column::Decimal { payload: payload() },
        KIND_HEX => Column::Hex {
            digits: r.index(u32::MAX as usize)?,
            payload: payload(),
        },
        KIND_TIME => Column::Time {
            layout: TimeLayout {
                decimals: r.index(10)?,
                between: r.u8()?,
                suffix: r.block()?.to_vec(),
            },
            payload: payload(),
        },
        KIND_SPLIT if nesting < NESTING_MAX => Column::Split(split(r, next, nesting)?),
        _ => return Err(ChunkError("unknown kind of column")),
    })
}

fn split<'p>(r: &mut Reader<'p>, next: &mut usize, nesting: u32) -> Result<Split<'p>, ChunkError> {
    let limit = r.rest.len() + 1;
    let count = r.index(limit)?;
    let mut skeletons = Vec::with_capacity(count);
    for _ in 0..count {
        let pieces: Vec<&[u8]> = r.block()?.split(|b| *b == HOLE).collect();
        let holes = r.index(limit)?;
        let columns: Result<Vec<usize>, _> = (0..holes).map(|_| r.index(limit)).collect();
        if pieces.len() != holes + 1 {
            return Err(ChunkError("a skeleton with other holes than columns"));
        }
        skeletons.push(Skeleton {
            pieces,
            columns: columns?,
        });
    }
    let count = r.index(limit)?;
    if skeletons
        .iter()
        .any(|s| s.columns.iter().any(|c| *c >= count))
    {
        return Err(ChunkError("an unknown column"));
    }
    let payload = *next;
    *next += 1;
    let columns: Result<Vec<Column<'p>>, _> =
        (0..count).map(|_| column(r, next, nesting + 1)).collect();
    Ok(Split {
        skeletons,
        columns: columns?,
        payload,
        layout: OnceCell::new(),
    })
}

/// The way through the rows of a split: where the values of a row are in its columns. Rows are
/// taken or passed one after the other; passing costs about a nanosecond.
pub(super) struct Walk {
    /// For each skeleton the holes of live columns, and these.
    live: Vec<Vec<(usize, usize)>>,
    /// Values of each column that are behind.
    next: Vec<u32>,
    /// Rows of each skeleton that were passed and are not in `next` yet.
    passed: Vec<u32>,
    touched: Vec<u32>,
}

impl Walk {
    /// A walk that tells about the columns for which `live` holds.
    pub(super) fn new(split: &Split<'_>, live: impl Fn(usize) -> bool) -> Self {
        let holes = |s: &Skeleton<'_>| -> Vec<(usize, usize)> {
            let all = s.columns.iter().copied().enumerate();
            all.filter(|(_, c)| live(*c)).collect()
        };
        Self {
            live: split.skeletons.iter().map(holes).collect(),
            next: vec![0; split.columns.len()],
            passed: vec![0; split.skeletons.len()],
            touched: Vec::new(),
        }
    }

    /// Goes over a row with skeleton `x`.
    pub(super) fn pass(&mut self, x: u32) {
        if self.live[x as usize].is_empty() {
            return;
        }
        let n = &mut self.passed[x as usize];
        if *n == 0 {
            self.touched.push(x);
        }
        *n += 1;
    }

    /// Goes over a row with skeleton `x`; `at` gets the number of its value for each hole of a live
    /// column.
    pub(super) fn take(&mut self, x: u32, at: &mut Vec<u32>) {
        for t in self.touched.drain(..) {
            let n = std::mem::take(&mut self.passed[t as usize]);
            for (_, c) in &self.live[t as usize] {
                self.next[*c] += n;
            }
        }
        let live = &self.live[x as usize];
        if let Some((last, _)) = live.last()
            && at.len() <= *last
        {
            at.resize(last + 1, 0);
        }
        for (hole, c) in live {
            at[*hole] = self.next[*c];
            self.next[*c] += 1;
        }
    }
}
