//! Reading: series of head and blocks merged, handed out as columns with shared timestamps.
//!
//! Owns: the merge of sources, trimming to the asked range, tombstones.
//! Knows nothing of: query languages, how blocks come to be.
//!
//! Invariants
//! - S1  A column is strictly ascending in time.
//! - S2  Series whose points lie at the same timestamps in the same sources get the same `Arc`.
//! - S3  A series that was found costs about 40 bytes, and about 60 more for each block that has
//!   it; its labels only where the order or a block needs them. The watch is asked before each of
//!   these tables grows.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::api::SelectError;
use super::block::{Block, BlockError, ChunkRef};
use super::db::View;
use super::head::{Head, HeadSeries, HistPoint, ReadCache};
use crate::budget::Watch;
use crate::chunk::{ChunkError, values};
use crate::model::{Column, HistogramSample, Labels, Matcher};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// All points of one series in the asked range, as stored.
pub(super) struct SeriesPoints<'a> {
    pub(super) ts: &'a Arc<[i64]>,
    pub(super) values: &'a [f64],
    pub(super) histograms: &'a [HistPoint],
    pub(super) starts: &'a [(i64, i64)],
}

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
        let several = blocks.len() + usize::from(head.is_some()) > 1;
        let head_in_range = |h: &&Arc<Head>| h.max_t() >= min_t && h.min_t() <= max_t;
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
        block.entries(&ids, &mut |id, e| {
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
            let labels = block.labels(&e)?;
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

/// Start timestamp in force at `t`, 0 when unknown.
pub(super) fn start_at(starts: &[(i64, i64)], t: i64) -> i64 {
    let i = starts.partition_point(|s| s.0 <= t);
    if i == 0 { 0 } else { starts[i - 1].1 }
}

/// Part of a series: timestamps, the range of them that was asked for, where its values are.
#[derive(Clone)]
struct Part {
    ts: Arc<[i64]>,
    lo: usize,
    hi: usize,
    values: usize,
}

/// Reads series of a [`Selection`] for one thread.
pub struct Reader<'a> {
    scan: Scan<'a>,
    histograms: Vec<HistogramSample>,
    start_ts: Vec<i64>,
}

impl Reader<'_> {
    /// Decodes `series`, best in the order of [`Selection::scan_order`], and hands their columns to
    /// `visit`, which stops with `Break`. True when all were handed out.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn read(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<bool, SelectError> {
        let (histograms, start_ts) = (&mut self.histograms, &mut self.start_ts);
        self.scan.read_all(series, &mut |i, p| {
            histograms.clear();
            histograms.extend(p.histograms.iter().map(|h| HistogramSample {
                t: h.t,
                start_t: h.start_t,
                h: Arc::new(h.h.to_float()),
            }));
            start_ts.clear();
            if !p.starts.is_empty() {
                start_ts.extend(p.ts.iter().map(|t| start_at(p.starts, *t)));
            }
            let column = Column {
                ts: p.ts,
                values: p.values,
                start_ts,
                histograms,
            };
            visit(i, column)
        })
    }
}

type PartKey = SmallVec<[(usize, usize, usize); 3]>;

/// State of one scan.
struct Scan<'a> {
    sel: &'a Selection,
    no_side: bool,
    /// Keep one histogram before the range.
    context: bool,
    cache: ReadCache,
    moved_cache: ReadCache,
    /// Timestamp columns of blocks.
    columns: Map<(u32, u32), Arc<[i64]>>,
    /// Trimmed and joined timestamps, by the parts they are made of; the parts are kept alive.
    joined: Map<PartKey, (Arc<[i64]>, Vec<Arc<[i64]>>)>,
    decoded: Vec<f64>,
    scratch: values::Scratch,
    own_ts: Vec<i64>,
    // The series at hand.
    ts: Arc<[i64]>,
    values: Vec<f64>,
    histograms: Vec<HistPoint>,
    starts: Vec<(i64, i64)>,
}

impl<'a> Scan<'a> {
    fn new(sel: &'a Selection, context: bool) -> Self {
        Self {
            sel,
            no_side: sel.head.as_ref().is_none_or(|h| h.no_side_data()),
            context,
            cache: ReadCache::default(),
            moved_cache: ReadCache::default(),
            columns: Map::default(),
            joined: Map::default(),
            decoded: Vec::new(),
            scratch: values::Scratch::default(),
            own_ts: Vec::new(),
            ts: Arc::from(&[][..]),
            values: Vec::new(),
            histograms: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Reads `series` one after the other; neighbours of one head group are copied together. True
    /// when `visit` saw all of them.
    fn read_all(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, SeriesPoints<'_>) -> ControlFlow<()>,
    ) -> Result<bool, SelectError> {
        let sel = self.sel;
        let head_group = |i: u32| sel.entries[i as usize].head.as_ref().map(|h| h.place.0);
        for run in series.chunk_by(|a, b| head_group(*a) == head_group(*b)) {
            self.begin(head_group(run[0]), run)?;
            for (k, i) in run.iter().enumerate() {
                self.read(*i as usize, k)?;
                let points = SeriesPoints {
                    ts: &self.ts,
                    values: &self.values,
                    histograms: &self.histograms,
                    starts: &self.starts,
                };
                if visit(*i as usize, points).is_break() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// From when on the head's rows count.
    fn head_min(&self) -> i64 {
        self.sel.min_t.max(self.sel.head_from)
    }

    /// Copies what the series of a run have in the head.
    fn begin(&mut self, group: Option<u32>, run: &[u32]) -> Result<(), SelectError> {
        if let (Some(g), Some(head)) = (group, &self.sel.head) {
            let slots: Vec<u16> = run
                .iter()
                .map(|i| {
                    self.sel.entries[*i as usize]
                        .head
                        .as_ref()
                        .map_or(0, |h| h.place.1)
                })
                .collect();
            head.snapshot(g, &slots, self.head_min(), self.sel.max_t, &mut self.cache)?;
        }
        // Joined timestamps of earlier groups are not met again.
        if self.joined.len() > 4096 {
            self.joined.clear();
        }
        Ok(())
    }

    /// Reads series `i`, the `k`-th of its run, into `ts`, `values`, `histograms`, `starts`.
    fn read(&mut self, i: usize, k: usize) -> Result<(), SelectError> {
        let sel = self.sel;
        let e = &sel.entries[i];
        self.decoded.clear();
        self.histograms.clear();
        self.starts.clear();
        let mut parts: SmallVec<[Part; 4]> = SmallVec::new();
        for p in sel.parts.of(e) {
            let block = &sel.blocks[p.block as usize];
            let deleted = if block.tombstones.read().is_empty() {
                Vec::new()
            } else {
                block.deleted(p.id)
            };
            let before = (parts.len(), self.histograms.len());
            for c in sel.parts.chunks(p) {
                match c {
                    ChunkRef::Float { column, .. } => {
                        let ts = match self.columns.get(&(p.block, *column)) {
                            Some(ts) => Arc::clone(ts),
                            None => {
                                let ts = block.timestamps(*column)?;
                                self.columns.insert((p.block, *column), Arc::clone(&ts));
                                ts
                            }
                        };
                        let values = self.decoded.len();
                        block.values(c, &mut self.decoded, &mut self.scratch)?;
                        push_part(&mut parts, ts, values, sel.min_t, sel.max_t);
                    }
                    ChunkRef::Histogram { .. } => block.histograms(c, &mut self.histograms)?,
                }
            }
            self.starts.extend_from_slice(sel.parts.starts(p));
            if !deleted.is_empty() {
                self.delete(&mut parts, before.0, &deleted);
                let mut k = 0;
                self.histograms.retain(|h| {
                    k += 1;
                    k <= before.1 || !is_deleted(&deleted, h.t)
                });
            }
        }
        let mut sparse: Vec<(i64, f64)> = Vec::new();
        if let (Some(h), Some(head)) = (&e.head, &sel.head) {
            let before = parts.len();
            for (g, slot) in head.earlier_places(h.sid) {
                head.snapshot(
                    g,
                    &[slot],
                    self.head_min(),
                    sel.max_t,
                    &mut self.moved_cache,
                )?;
                let mut cache = std::mem::take(&mut self.moved_cache);
                self.head_part(&mut cache, 0, slot, &mut parts)?;
                self.moved_cache = cache;
            }
            let mut cache = std::mem::take(&mut self.cache);
            let read = self.head_part(&mut cache, k, h.place.1, &mut parts);
            self.cache = cache;
            read?;
            if !self.no_side {
                let side = head.side_data(h.sid, sel.min_t, sel.max_t, self.context);
                sparse = side.sparse;
                self.histograms.extend(side.histograms);
                self.starts.extend(side.starts);
                // Rows only: what is beside them was removed when it was deleted.
                self.delete(&mut parts, before, &side.tombstones);
            }
        }
        self.starts.sort_unstable();
        self.starts.dedup();
        if !self.histograms.is_empty() {
            let (a, b) = (sel.min_t, sel.max_t);
            self.histograms.sort_by_key(|h| h.t);
            self.histograms.dedup_by_key(|h| h.t);
            let first = self.histograms.partition_point(|h| h.t < a);
            self.histograms
                .drain(..first.saturating_sub(usize::from(self.context)));
            self.histograms.retain(|h| h.t <= b);
        }
        let ascending = parts
            .windows(2)
            .all(|w| w[0].ts[w[0].hi - 1] < w[1].ts[w[1].lo]);
        if ascending && sparse.is_empty() {
            self.join(&parts);
        } else {
            self.merge(&parts, sparse);
        }
        Ok(())
    }

    /// Takes deleted points out of the parts from number `from` on.
    fn delete(&mut self, parts: &mut SmallVec<[Part; 4]>, from: usize, ranges: &[(i64, i64)]) {
        for i in from..parts.len() {
            let p = parts[i].clone();
            if ranges.is_empty() || !p.ts[p.lo..p.hi].iter().any(|t| is_deleted(ranges, *t)) {
                continue;
            }
            let values = self.decoded.len();
            self.own_ts.clear();
            for k in p.lo..p.hi {
                if !is_deleted(ranges, p.ts[k]) {
                    self.own_ts.push(p.ts[k]);
                    self.decoded.push(self.decoded[p.values + k]);
                }
            }
            let ts: Arc<[i64]> = self.own_ts.as_slice().into();
            parts[i] = Part {
                lo: 0,
                hi: ts.len(),
                ts,
                values,
            };
        }
        parts.retain(|p| p.lo < p.hi);
    }

    fn head_part(
        &mut self,
        cache: &mut ReadCache,
        k: usize,
        slot: u16,
        parts: &mut SmallVec<[Part; 4]>,
    ) -> Result<(), SelectError> {
        let values = self.decoded.len();
        self.own_ts.clear();
        let full = cache.slot(k, slot, &mut self.own_ts, &mut self.decoded)?;
        let ts = if full {
            cache.full_ts()
        } else {
            self.own_ts.as_slice().into()
        };
        push_part(parts, ts, values, self.head_min(), self.sel.max_t);
        Ok(())
    }

    /// The common case: parts follow each other.
    fn join(&mut self, parts: &[Part]) {
        self.values.clear();
        for p in parts {
            let at = p.values;
            self.values
                .extend_from_slice(&self.decoded[at + p.lo..at + p.hi]);
        }
        self.ts = match parts {
            [] => Arc::from(&[][..]),
            [p] if p.lo == 0 && p.hi == p.ts.len() => Arc::clone(&p.ts),
            _ => {
                let key: PartKey = parts
                    .iter()
                    .map(|p| (p.ts.as_ptr() as usize, p.lo, p.hi))
                    .collect();
                let made = self.joined.entry(key).or_insert_with(|| {
                    let all: Vec<i64> = parts
                        .iter()
                        .flat_map(|p| p.ts[p.lo..p.hi].iter().copied())
                        .collect();
                    (
                        all.into(),
                        parts.iter().map(|p| Arc::clone(&p.ts)).collect(),
                    )
                });
                Arc::clone(&made.0)
            }
        };
    }

    /// Overlapping parts and out-of-order samples.
    fn merge(&mut self, parts: &[Part], sparse: Vec<(i64, f64)>) {
        let mut all: Vec<(i64, f64)> = Vec::with_capacity(self.decoded.len() + sparse.len());
        for p in parts {
            all.extend((p.lo..p.hi).map(|k| (p.ts[k], self.decoded[p.values + k])));
        }
        all.extend(sparse);
        all.sort_by_key(|p| p.0);
        all.dedup_by_key(|p| p.0); // S1; the part that came first wins
        self.values.clear();
        self.values.extend(all.iter().map(|p| p.1));
        self.ts = all.iter().map(|p| p.0).collect();
    }
}

fn is_deleted(ranges: &[(i64, i64)], t: i64) -> bool {
    ranges.iter().any(|r| r.0 <= t && t <= r.1)
}

/// Notes a part, cut to `[min_t, max_t]`, unless nothing is left of it.
fn push_part(
    parts: &mut SmallVec<[Part; 4]>,
    ts: Arc<[i64]>,
    values: usize,
    min_t: i64,
    max_t: i64,
) {
    let lo = ts.partition_point(|t| *t < min_t);
    let hi = ts.partition_point(|t| *t <= max_t);
    if lo < hi {
        parts.push(Part { ts, lo, hi, values });
    }
}
