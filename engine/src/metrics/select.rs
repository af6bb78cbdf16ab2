//! Finding: the series of head and blocks that match, as one set with their points still encoded.
//!
//! Owns: the merge of sources, label order, what a found series costs. Reading is in `scan`.
//! Knows nothing of: query languages, how blocks come to be.
//!
//! Invariant
//! - S3  A series that was found costs about 40 bytes, and about 60 more for each block that has
//!   it; its labels only where the order or a block needs them. The watch is asked before each of
//!   these tables grows.

mod scan;

use std::hash::BuildHasher as _;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use hashbrown::HashTable;

use super::api::SelectError;
use super::block::{Block, BlockError, ChunkRef};
use super::db::View;
use super::head::{Head, HeadSeries};
use crate::budget::Watch;
use crate::chunk::ChunkError;
use crate::model::{Column, Labels, Matcher};

pub use scan::Reader;
use scan::Scan;
pub(in crate::metrics) use scan::{SeriesPoints, start_at};

/// The watch is asked once in so many series.
const CHECK_SERIES: usize = 1024;

/// No part, no further part.
const NONE: u32 = u32::MAX;

/// A series' part in one block.
struct BlockPart {
    block: u32,
    id: u32,
    /// Its chunks among [`Parts::chunks`].
    chunks: (u32, u32),
    /// Its start timestamps among [`Parts::starts`].
    starts: (u32, u32),
    /// The part in the next block.
    next: u32,
}

/// What series have in blocks. One table each, because a selection may have a million series.
#[derive(Default)]
struct Parts {
    all: Vec<BlockPart>,
    chunks: Vec<ChunkRef>,
    starts: Vec<(i64, i64)>,
}

impl Parts {
    /// The parts of a series, in the order of the blocks.
    fn of(&self, e: &Entry) -> impl Iterator<Item = &BlockPart> {
        let mut at = e.first_part;
        std::iter::from_fn(move || {
            let part = self.all.get(at as usize)?;
            at = part.next;
            Some(part)
        })
    }

    fn chunks(&self, p: &BlockPart) -> &[ChunkRef] {
        &self.chunks[p.chunks.0 as usize..p.chunks.1 as usize]
    }

    fn starts(&self, p: &BlockPart) -> &[(i64, i64)] {
        &self.starts[p.starts.0 as usize..p.starts.1 as usize]
    }

    /// Appends a part to those of `e`.
    fn push(&mut self, e: &mut Entry, part: BlockPart) {
        let new = self.all.len() as u32;
        let mut last = NONE;
        let mut at = e.first_part;
        while let Some(p) = self.all.get(at as usize) {
            (last, at) = (at, p.next);
        }
        match self.all.get_mut(last as usize) {
            Some(p) => p.next = new,
            None => e.first_part = new,
        }
        self.all.push(part);
    }
}

struct Entry {
    /// Where they had to be known while searching; otherwise the head puts them together when
    /// they are asked for, and a million of them need not be there at once.
    labels: Option<Labels>,
    head: Option<HeadSeries>,
    first_part: u32,
}

/// Finds series again by their labels.
#[derive(Default)]
struct ByLabels {
    table: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
}

impl ByLabels {
    fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn find(&self, entries: &[Entry], labels: &Labels) -> Option<u32> {
        let hash = self.hasher.hash_one(labels);
        let equal = |i: &u32| entries[*i as usize].labels.as_ref() == Some(labels);
        self.table.find(hash, equal).copied()
    }

    /// Notes the entry that was pushed last.
    fn note_last(&mut self, entries: &[Entry]) {
        let hash = |i: &u32| match &entries[*i as usize].labels {
            Some(labels) => self.hasher.hash_one(labels),
            None => 0,
        };
        let last = entries.len() as u32 - 1;
        self.table.insert_unique(hash(&last), last, hash);
    }
}

/// The series of one select, in label order unless that was waived, with their points still
/// encoded.
pub struct Selection {
    head: Option<Arc<Head>>,
    /// The head answers from here on.
    head_from: i64,
    blocks: Vec<Arc<Block>>,
    entries: Vec<Entry>,
    parts: Parts,
    min_t: i64,
    max_t: i64,
    /// Keeps the head from dropping what this selection still needs (D1).
    view: Option<Arc<View>>,
}

impl From<BlockError> for SelectError {
    fn from(e: BlockError) -> Self {
        Self::Storage(e.to_string())
    }
}

impl From<ChunkError> for SelectError {
    fn from(e: ChunkError) -> Self {
        Self::Storage(format!("head: {e}"))
    }
}

impl Selection {
    /// Finds the series and puts them in label order; nothing is decoded yet.
    pub(super) fn new(
        head: Option<Arc<Head>>,
        head_from: i64,
        blocks: Vec<Arc<Block>>,
        matchers: &[Matcher],
        range: (i64, i64),
        watch: &dyn Watch,
    ) -> Result<Self, SelectError> {
        let mut found = Self::unordered(head, head_from, blocks, matchers, range, watch)?;
        found.sort(watch)?;
        Ok(found)
    }

    /// Finds the series. They are in label order only where scanning depends on it, as it does with
    /// histograms: warnings name the series that was met first.
    pub(super) fn unordered(
        head: Option<Arc<Head>>,
        head_from: i64,
        blocks: Vec<Arc<Block>>,
        matchers: &[Matcher],
        (min_t, max_t): (i64, i64),
        watch: &dyn Watch,
    ) -> Result<Self, SelectError> {
        let head_in_range = |h: &&Arc<Head>| h.max_t() >= min_t && h.min_t() <= max_t;
        let several =
            blocks.len() + usize::from(head.as_ref().is_some_and(|h| head_in_range(&h))) > 1;
        let mut found = Self {
            head: None,
            head_from,
            blocks: Vec::new(),
            entries: Vec::new(),
            parts: Parts::default(),
            min_t,
            max_t,
            view: None,
        };
        let mut by_labels = ByLabels::default();
        for (b, block) in blocks.iter().enumerate() {
            found.add_block(
                b as u32,
                block,
                matchers,
                several.then_some(&mut by_labels),
                watch,
            )?;
        }
        if let Some(head) = head.as_ref().filter(head_in_range) {
            found.add_head(head, matchers, &by_labels, watch)?;
        }
        (found.head, found.blocks) = (head, blocks);
        if !found.floats_only() {
            found.sort(watch)?;
        }
        Ok(found)
    }

    /// Adds what matches in the block with number `b`.
    fn add_block(
        &mut self,
        b: u32,
        block: &Block,
        matchers: &[Matcher],
        mut by_labels: Option<&mut ByLabels>,
        watch: &dyn Watch,
    ) -> Result<(), SelectError> {
        let ids = block.select(matchers)?;
        let (entries, parts) = (&mut self.entries, &mut self.parts);
        let (min_t, max_t) = (self.min_t, self.max_t);
        let mut seen = 0_usize;
        block.entries(ids.iter(), &mut |id, e| {
            seen += 1;
            if seen.is_multiple_of(CHECK_SERIES) {
                watch.go_on(growth(entries, CHECK_SERIES) + growth(&parts.chunks, CHECK_SERIES))?;
            }
            let from = parts.chunks.len();
            let overlapping = |c: &&ChunkRef| overlaps(block, c, min_t, max_t);
            parts
                .chunks
                .extend(e.chunks.iter().filter(overlapping).copied());
            if parts.chunks.len() == from {
                return Ok(());
            }
            let chunks = (from as u32, parts.chunks.len() as u32);
            let from = parts.starts.len() as u32;
            parts.starts.extend_from_slice(&e.starts);
            let part = BlockPart {
                block: b,
                id,
                chunks,
                starts: (from, parts.starts.len() as u32),
                next: NONE,
            };
            let labels = block.labels(e)?;
            let known = by_labels.as_ref().and_then(|l| l.find(entries, &labels));
            let at = known.unwrap_or_else(|| {
                entries.push(Entry {
                    labels: Some(labels),
                    head: None,
                    first_part: NONE,
                });
                if let Some(by_labels) = &mut by_labels {
                    by_labels.note_last(entries);
                }
                entries.len() as u32 - 1
            });
            parts.push(&mut entries[at as usize], part);
            Ok(())
        })
    }

    /// Adds what matches in the head.
    fn add_head(
        &mut self,
        head: &Head,
        matchers: &[Matcher],
        by_labels: &ByLabels,
        watch: &dyn Watch,
    ) -> Result<(), SelectError> {
        let found = head.select(matchers);
        let entries = &mut self.entries;
        watch.go_on((entries.len() + found.len()) * size_of::<Entry>())?;
        entries.reserve(found.len());
        for (k, s) in found.iter().enumerate() {
            if k.is_multiple_of(CHECK_SERIES) {
                watch.go_on(0)?;
            }
            let known = match by_labels.is_empty() {
                true => None,
                false => by_labels.find(entries, &found.labels(s.sid)),
            };
            match known {
                Some(i) => entries[i as usize].head = Some(s),
                None => entries.push(Entry {
                    labels: None,
                    head: Some(s),
                    first_part: NONE,
                }),
            }
        }
        Ok(())
    }

    /// Cost: little where blocks, which are sorted, hold everything.
    fn sort(&mut self, watch: &dyn Watch) -> Result<(), SelectError> {
        for i in 0..self.entries.len() {
            if i.is_multiple_of(CHECK_SERIES) {
                watch.go_on(0)?;
            }
            self.entries[i].labels = Some(self.labels(i));
        }
        // A sort that keeps sorted runs takes room for half of the entries.
        watch.go_on(self.entries.len() / 2 * size_of::<Entry>())?;
        self.entries.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(watch.go_on(0)?)
    }

    /// True when no series can have histograms or samples beside the rows.
    fn floats_only(&self) -> bool {
        self.head.as_ref().is_none_or(|h| h.no_side_data())
            && self
                .blocks
                .iter()
                .all(|b| b.meta.stats.histogram_samples == 0)
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when nothing matched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Labels of series `i`; none when it left the head meanwhile, and then it has no points either.
    #[must_use]
    pub fn labels(&self, i: usize) -> Labels {
        let e = &self.entries[i];
        let in_head = || Some(self.head.as_ref()?.labels(e.head.as_ref()?.sid));
        let labels = e.labels.clone().or_else(in_head);
        labels.unwrap_or_else(Labels::empty)
    }

    pub(super) fn hold(&mut self, view: Arc<View>) {
        self.view = Some(view);
    }

    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Ids of the head's series.
    pub(super) fn head_sids(&self) -> Vec<u32> {
        let mut v: Vec<u32> = self
            .entries
            .iter()
            .filter_map(|e| e.head.as_ref())
            .map(|h| h.sid)
            .collect();
        v.sort_unstable();
        v
    }

    /// Ids of the series in block `b`.
    pub(super) fn block_ids(&self, b: usize) -> Vec<u32> {
        let parts = self.parts.all.iter();
        parts
            .filter(|p| p.block as usize == b)
            .map(|p| p.id)
            .collect()
    }

    /// Decodes the series in `range` and hands their columns to `visit`, in an order that keeps
    /// series with shared timestamps together (not necessarily ascending). `visit` stops the scan
    /// with `Break`. May be called from several threads at once for disjoint ranges.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn scan(
        &self,
        range: Range<usize>,
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        let order = self.scan_order(range);
        self.reader(false).read(&order, visit).map(drop)
    }

    /// Start of the asked range, ms.
    #[must_use]
    pub fn min_t(&self) -> i64 {
        self.min_t
    }

    pub(super) fn scan_points(
        &self,
        range: Range<usize>,
        visit: &mut dyn FnMut(usize, SeriesPoints<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        let order = self.scan_order(range);
        let mut scan = Scan::new(self, false);
        scan.read_all(&order, visit).map(drop)
    }

    /// The series of `range` as scans hand them out: those with shared timestamps together, those
    /// with histograms last and in label order, since warnings name the series that was met when
    /// something did not fit.
    #[must_use]
    pub fn scan_order(&self, range: Range<usize>) -> Vec<u32> {
        let mut order: Vec<u32> = range.map(|i| i as u32).collect();
        if self.floats_only() {
            order.sort_by_key(|i| self.group_key(*i as usize));
            return order;
        }
        let has = |i: &u32| self.has_histograms(*i as usize);
        let (hists, mut floats): (Vec<u32>, Vec<u32>) = order.iter().partition(|i| has(i));
        floats.sort_by_key(|i| self.group_key(*i as usize));
        floats.extend(hists);
        floats
    }

    /// A reader of single series, for one thread of several. With `context` a histogram before
    /// [`Self::min_t`] may come first in a column: the neighbour that tells whether the first one
    /// in range continues it. What series share is decoded once per reader.
    #[must_use]
    pub fn reader(&self, context: bool) -> Reader<'_> {
        Reader {
            scan: Scan::new(self, context),
            histograms: Vec::new(),
            start_ts: Vec::new(),
        }
    }

    fn has_histograms(&self, i: usize) -> bool {
        let e = &self.entries[i];
        let in_block = |p: &BlockPart| {
            let mut chunks = self.parts.chunks(p).iter();
            chunks.any(|c| matches!(c, ChunkRef::Histogram { .. }))
        };
        let in_head = |h: &HeadSeries| {
            self.head
                .as_ref()
                .is_some_and(|head| head.has_histograms(h.sid))
        };
        self.parts.of(e).any(in_block) || e.head.as_ref().is_some_and(in_head)
    }

    /// Series with equal keys are likely to share timestamps.
    fn group_key(&self, i: usize) -> (u32, u32, u32, u16) {
        let e = &self.entries[i];
        let (g, slot) = e.head.as_ref().map_or((u32::MAX, 0), |h| h.place);
        let column = |p: &BlockPart| match self.parts.chunks(p).first() {
            Some(ChunkRef::Float { column, .. }) => *column,
            _ => u32::MAX,
        };
        let first = self.parts.of(e).next();
        let (b, c) = first.map_or((0, 0), |p| (p.block, column(p)));
        (g, b, c, slot)
    }
}

/// Bytes that `v` allocates when it grows by `n` elements.
fn growth<T>(v: &Vec<T>, n: usize) -> usize {
    if v.len() + n > v.capacity() {
        2 * v.capacity() * size_of::<T>()
    } else {
        0
    }
}

fn overlaps(block: &Block, c: &ChunkRef, min_t: i64, max_t: i64) -> bool {
    match c {
        ChunkRef::Float { column, .. } => block
            .columns
            .get(*column as usize)
            .is_none_or(|c| c.max_t >= min_t && c.min_t <= max_t),
        ChunkRef::Histogram {
            min_t: a, max_t: b, ..
        } => *b >= min_t && *a <= max_t,
    }
}
