//! Planning a read: which runs of which parts and memtables hold what is asked for.
//!
//! Owns: the snapshot of the store that a reader keeps, the order of its units, and where the same
//! entry may be in two places.
//! Knows nothing of: how a page looks, what a filter is.
//!
//! A *unit* is what is read at once: the wanted runs of one row group, of one memtable, or an
//! *overlap*. Where the runs of one stream overlap in time (late entries, retried pushes), an entry
//! may be there twice; these stretches of time are cut out of the plain units and read by overlap
//! units, which merge their sources. So plain units need no comparing.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use super::api::{Direction, EntryBatch, ReadError, ScanOptions};
use super::batch::PushBatch;
use super::db::{Inner, LivePart};
use super::deletion::Deletion;
use super::mem::{Row, sort_rows};
use super::scan::Reader;
use crate::index::matching_series;
use crate::model::{Labels, Matcher};

/// Where rows come from.
pub(super) enum Source {
    Group {
        part: Arc<LivePart>,
        group: usize,
        /// Number of the run in the group, and its stream in the selection.
        runs: Vec<(usize, u32)>,
    },
    Mem {
        batches: Arc<Vec<Arc<PushBatch>>>,
        /// Stream in the selection, and its rows in range, sorted.
        streams: Vec<(u32, Vec<Row>)>,
    },
}

/// Times in which a stream has several sources, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) min: i64,
    pub(super) max: i64,
}

/// What is read at once.
pub(super) enum Unit {
    /// One source, without the spans that overlap units read.
    Plain(usize),
    /// Spans of streams whose rows in these sources have to be merged.
    Overlap {
        sources: Vec<usize>,
        spans: BTreeMap<u32, Vec<Span>>,
    },
}

struct Planned {
    unit: Unit,
    min: i64,
    max: i64,
}

/// Entries of a stream in a selection, from the directories of parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamSize {
    /// Entries; those of runs that are only partly in range are estimated.
    pub entries: u64,
    /// Bytes of their lines, estimated likewise.
    pub bytes: u64,
    /// Runs.
    pub runs: u64,
}

/// Takes entries on a thread of its own; gets the number of their unit in the order of the scan.
pub type Visitor<'v> = Box<dyn FnMut(u32, &EntryBatch) -> ControlFlow<()> + Send + 'v>;

/// Streams and a consistent view of their entries in a time range.
pub struct Selection {
    streams: Vec<Labels>,
    sizes: Vec<StreamSize>,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) sources: Vec<Source>,
    /// By stream: spans that plain units leave out, ascending.
    pub(super) cut: HashMap<u32, Vec<Span>>,
    pub(super) deletions: Arc<Vec<Deletion>>,
    units: Vec<Planned>,
}

impl Selection {
    pub(super) fn new(
        inner: &Inner,
        tenant: u32,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Self {
        let table = inner.table(tenant);
        let deletions = inner.deletions.read().get(&tenant).cloned();
        let mut sel = Self {
            streams: Vec::new(),
            sizes: Vec::new(),
            from,
            to,
            sources: Vec::new(),
            cut: HashMap::new(),
            deletions: deletions.unwrap_or_default(),
            units: Vec::new(),
        };
        if from >= to {
            return sel;
        }
        let wanted = matching_series(&*table.read(), matchers);
        let parts = sel.collect_memory(inner, tenant, &wanted);
        sel.collect_parts(tenant, &parts, &wanted);
        sel.number_streams(&table.read());
        sel.plan();
        sel
    }

    /// Copies the rows of memtables; gives the parts that belong to the same moment (V1).
    fn collect_memory(
        &mut self,
        inner: &Inner,
        tenant: u32,
        wanted: &roaring::RoaringBitmap,
    ) -> Vec<Arc<LivePart>> {
        let active = inner.active.read();
        let view = Arc::clone(&inner.view.read());
        let frozen: Vec<&super::mem::Mem> = view.frozen.iter().map(|f| &*f.mem).collect();
        for mem in frozen.into_iter().chain([&active.mem]) {
            let Some(t) = mem.tenants.get(&tenant) else {
                continue;
            };
            let mut streams = Vec::new();
            for (id, s) in &t.streams {
                if !wanted.contains(*id) {
                    continue;
                }
                let inside = |r: &&Row| (self.from..self.to).contains(&r.time);
                let mut rows: Vec<Row> = if s.unsorted {
                    s.rows.iter().filter(inside).copied().collect()
                } else {
                    let a = s.rows.partition_point(|r| r.time < self.from);
                    let b = s.rows.partition_point(|r| r.time < self.to);
                    s.rows[a..b].to_vec()
                };
                if s.unsorted {
                    sort_rows(&mut rows, &mem.batches);
                }
                if !rows.is_empty() {
                    streams.push((*id, rows));
                }
            }
            if !streams.is_empty() {
                self.sources.push(Source::Mem {
                    batches: Arc::new(mem.batches.clone()),
                    streams,
                });
            }
        }
        view.parts.clone()
    }

    fn collect_parts(
        &mut self,
        tenant: u32,
        parts: &[Arc<LivePart>],
        wanted: &roaring::RoaringBitmap,
    ) {
        for part in parts {
            let f = &part.part.footer;
            if f.tenant != tenant || f.min >= self.to || f.max < self.from {
                continue;
            }
            for (group, g) in f.groups.iter().enumerate() {
                let mut runs = Vec::new();
                for (i, run) in g.runs.iter().enumerate() {
                    let id = part.streams[run.stream as usize];
                    if run.min < self.to && run.max >= self.from && wanted.contains(id) {
                        runs.push((i, id));
                    }
                }
                if !runs.is_empty() {
                    self.sources.push(Source::Group {
                        part: Arc::clone(part),
                        group,
                        runs,
                    });
                }
            }
        }
    }

    /// Replaces the store's stream numbers by places in label order.
    fn number_streams(&mut self, table: &crate::index::LabelTable) {
        let mut ids: Vec<u32> = Vec::new();
        for s in &self.sources {
            match s {
                Source::Group { runs, .. } => ids.extend(runs.iter().map(|r| r.1)),
                Source::Mem { streams, .. } => ids.extend(streams.iter().map(|s| s.0)),
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let mut named: Vec<(Labels, u32)> = ids.iter().map(|id| (table.labels(*id), *id)).collect();
        named.sort();
        let place: HashMap<u32, u32, foldhash::fast::RandomState> = named
            .iter()
            .enumerate()
            .map(|(i, n)| (n.1, i as u32))
            .collect();
        self.streams = named.into_iter().map(|n| n.0).collect();
        self.sizes = vec![StreamSize::default(); self.streams.len()];
        for s in &mut self.sources {
            match s {
                Source::Group { part, group, runs } => {
                    for r in runs {
                        r.1 = place[&r.1];
                        let run = &part.part.footer.groups[*group].runs[r.0];
                        let size = &mut self.sizes[r.1 as usize];
                        let share = share(run.min, run.max, self.from, self.to);
                        size.entries += (f64::from(run.rows) * share) as u64;
                        size.bytes += (run.text as f64 * share) as u64;
                        size.runs += 1;
                    }
                }
                Source::Mem { streams, batches } => {
                    for (id, rows) in streams.iter_mut() {
                        *id = place[id];
                        let size = &mut self.sizes[*id as usize];
                        size.entries += rows.len() as u64;
                        let line = |r: &Row| batches[r.batch as usize].line(r.row as usize).len();
                        size.bytes += rows.iter().map(|r| line(r) as u64).sum::<u64>();
                        size.runs += 1;
                    }
                    streams.sort_by_key(|s| s.0);
                }
            }
        }
    }

    /// Finds overlaps and makes units.
    fn plan(&mut self) {
        // By stream: first time, last time, source.
        let mut runs: BTreeMap<u32, Vec<(i64, i64, usize)>> = BTreeMap::new();
        for (i, s) in self.sources.iter().enumerate() {
            let (mut min, mut max) = (i64::MAX, i64::MIN);
            let mut add = |stream: u32, first: i64, last: i64| {
                runs.entry(stream).or_default().push((first, last, i));
                min = min.min(first);
                max = max.max(last);
            };
            match s {
                Source::Group { part, group, runs } => {
                    for (run, stream) in runs {
                        let r = &part.part.footer.groups[*group].runs[*run];
                        add(*stream, r.min, r.max);
                    }
                }
                Source::Mem { streams, .. } => {
                    for (stream, rows) in streams {
                        if let (Some(a), Some(b)) = (rows.first(), rows.last()) {
                            add(*stream, a.time, b.time);
                        }
                    }
                }
            }
            self.units.push(Planned {
                unit: Unit::Plain(i),
                min: min.max(self.from),
                max: max.min(self.to - 1),
            });
        }
        let mut overlaps: BTreeMap<Vec<usize>, BTreeMap<u32, Vec<Span>>> = BTreeMap::new();
        for (stream, mut list) in runs {
            if list.len() < 2 {
                continue;
            }
            list.sort_unstable();
            for span in overlap_spans(&list) {
                let sources: Vec<usize> = list
                    .iter()
                    .filter(|r| r.0 <= span.max && r.1 >= span.min)
                    .map(|r| r.2)
                    .collect();
                self.cut.entry(stream).or_default().push(span);
                let streams = overlaps.entry(sources).or_default();
                streams.entry(stream).or_default().push(span);
            }
        }
        for (sources, spans) in overlaps {
            let all = spans.values().flatten();
            let min = all.clone().map(|s| s.min).min().unwrap_or(self.from);
            let max = all.map(|s| s.max).max().unwrap_or(self.to);
            self.units.push(Planned {
                unit: Unit::Overlap { sources, spans },
                min: min.max(self.from),
                max: max.min(self.to - 1),
            });
        }
    }

    /// Number of streams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// True when nothing matched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Labels of stream `i`; ascending in `i`.
    #[must_use]
    pub fn labels(&self, i: usize) -> &Labels {
        &self.streams[i]
    }

    /// How much stream `i` has in range.
    #[must_use]
    pub fn size(&self, i: usize) -> StreamSize {
        self.sizes[i]
    }

    /// Numbers of the units in the order of `direction`, with the frontier after each: no later
    /// one has an entry beyond it. Units can be read in any order and by several threads.
    #[must_use]
    pub fn order(&self, direction: Direction) -> Vec<(usize, i64)> {
        let mut order: Vec<usize> = (0..self.units.len()).collect();
        let key = |i: &usize| match direction {
            Direction::Backward => (self.units[*i].max.wrapping_neg(), *i),
            Direction::Forward => (self.units[*i].min, *i),
        };
        order.sort_by_key(key);
        let frontier = |next: Option<&usize>| match (direction, next) {
            (Direction::Backward, Some(n)) => self.units[*n].max,
            (Direction::Forward, Some(n)) => self.units[*n].min,
            (Direction::Backward, None) => i64::MIN,
            (Direction::Forward, None) => i64::MAX,
        };
        (0..order.len())
            .map(|k| (order[k], frontier(order.get(k + 1))))
            .collect()
    }

    /// Number of units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// A reader with buffers of its own, one a thread.
    #[must_use]
    pub fn reader<'a>(&'a self, options: &'a ScanOptions<'a>) -> Reader<'a> {
        Reader::new(self, options)
    }

    pub(super) fn unit(&self, i: usize) -> &Unit {
        &self.units[i].unit
    }

    /// Hands all entries that pass to `visit`, unit by unit in the order of the direction. Units
    /// are read by up to [`ScanOptions::threads`] threads and visited by the calling one.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn scan(
        &self,
        options: &ScanOptions<'_>,
        visit: &mut dyn FnMut(&EntryBatch) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let order = self.order(options.direction);
        let helpers = options.threads.clamp(1, order.len().max(1)) - 1;
        if helpers == 0 {
            let mut reader = self.reader(options);
            let mut batch = EntryBatch::default();
            for (unit, frontier) in order {
                reader.read(unit, &mut batch)?;
                batch.frontier = frontier;
                if !batch.is_empty() && visit(&batch).is_break() {
                    break;
                }
            }
            return Ok(());
        }
        self.scan_with(helpers, &order, options, visit)
    }

    /// Hands all entries that pass to the visitors, one thread each, unit by unit and in no order; a
    /// visitor gets the number that the unit has in the order of the direction with each batch.
    /// When a visitor breaks, all end soon.
    ///
    /// # Errors
    /// See [`ReadError`]; of several, that of the first unit.
    pub fn scan_by(
        &self,
        options: &ScanOptions<'_>,
        visitors: Vec<Visitor<'_>>,
    ) -> Result<(), ReadError> {
        let order = self.order(options.direction);
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let failed: Mutex<Option<(usize, ReadError)>> = Mutex::default();
        let work = |mut visit: Visitor<'_>| {
            let mut reader = self.reader(options);
            let mut batch = EntryBatch::default();
            while !stop.load(Ordering::Relaxed) {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some((unit, frontier)) = order.get(i) else {
                    return;
                };
                let done = match reader.read(*unit, &mut batch) {
                    Ok(()) => {
                        batch.frontier = *frontier;
                        !batch.is_empty() && visit(i as u32, &batch).is_break()
                    }
                    Err(e) => {
                        let mut failed = failed.lock();
                        if failed.as_ref().is_none_or(|f| i < f.0) {
                            *failed = Some((i, e));
                        }
                        true
                    }
                };
                if done {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            let mut visitors = visitors.into_iter();
            let own = visitors.next();
            let work = &work;
            for v in visitors.take(order.len().saturating_sub(1)) {
                scope.spawn(move || work(v));
            }
            own.into_iter().for_each(work);
        });
        match failed.into_inner() {
            Some((_, e)) => Err(e),
            None => Ok(()),
        }
    }

    /// Helpers read ahead; the calling thread reads what they have not begun and visits in order.
    fn scan_with(
        &self,
        helpers: usize,
        order: &[(usize, i64)],
        options: &ScanOptions<'_>,
        visit: &mut dyn FnMut(&EntryBatch) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        // How far ahead helpers may be: bounds the memory.
        let ahead = 2 * helpers;
        let taken: Vec<AtomicBool> = order.iter().map(|_| AtomicBool::new(false)).collect();
        let done: Mutex<BTreeMap<usize, Result<EntryBatch, ReadError>>> = Mutex::default();
        let (ready, visited, stop) = (Condvar::new(), AtomicUsize::new(0), AtomicBool::new(false));
        let take = |i: usize| !taken[i].swap(true, Ordering::AcqRel);
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|| {
                    let mut reader = self.reader(options);
                    // The first unit is the caller's.
                    for (i, (unit, _)) in order.iter().enumerate().skip(1) {
                        {
                            let mut waiting = done.lock();
                            while i > visited.load(Ordering::Acquire) + ahead
                                && !stop.load(Ordering::Acquire)
                            {
                                ready.wait(&mut waiting);
                            }
                        }
                        if stop.load(Ordering::Acquire) {
                            return;
                        }
                        if i < visited.load(Ordering::Acquire) || !take(i) {
                            continue;
                        }
                        let mut batch = EntryBatch::default();
                        let read = reader.read(*unit, &mut batch).map(|()| batch);
                        done.lock().insert(i, read);
                        ready.notify_all();
                    }
                });
            }
            let mut reader = self.reader(options);
            let mut own = EntryBatch::default();
            let mut result = Ok(());
            for (i, (unit, frontier)) in order.iter().enumerate() {
                let batch = if take(i) {
                    reader
                        .read(*unit, &mut own)
                        .map(|()| std::mem::take(&mut own))
                } else {
                    let mut map = done.lock();
                    loop {
                        match map.remove(&i) {
                            Some(b) => break b,
                            None => ready.wait(&mut map),
                        }
                    }
                };
                let flow = match batch {
                    Ok(mut b) => {
                        b.frontier = *frontier;
                        let flow = if b.is_empty() {
                            ControlFlow::Continue(())
                        } else {
                            visit(&b)
                        };
                        own = b;
                        flow
                    }
                    Err(e) => {
                        result = Err(e);
                        ControlFlow::Break(())
                    }
                };
                if flow.is_break() {
                    break;
                }
                let _map = done.lock();
                visited.store(i + 1, Ordering::Release);
                ready.notify_all();
            }
            let _map = done.lock();
            stop.store(true, Ordering::Release);
            ready.notify_all();
            result
        })
    }
}

/// Part of `[min, max]` that lies in `[from, to)`.
fn share(min: i64, max: i64, from: i64, to: i64) -> f64 {
    if min >= from && max < to {
        return 1.0;
    }
    let inside = max
        .min(to - 1)
        .saturating_sub(min.max(from))
        .saturating_add(1);
    let all = max.saturating_sub(min).saturating_add(1);
    (inside as f64 / all as f64).clamp(0.0, 1.0)
}

/// Maximal spans that at least two of the intervals share; `list` ascends by first time.
fn overlap_spans(list: &[(i64, i64, usize)]) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    let mut end = list[0].1;
    for r in &list[1..] {
        if r.0 <= end {
            let max = r.1.min(end);
            match out.last_mut() {
                Some(s) if s.max >= r.0 => s.max = s.max.max(max),
                _ => out.push(Span { min: r.0, max }),
            }
        }
        end = end.max(r.1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_where_two_intervals_meet() {
        let spans = |l: &[(i64, i64)]| {
            let l: Vec<_> = l.iter().map(|x| (x.0, x.1, 0)).collect();
            overlap_spans(&l)
                .iter()
                .map(|s| (s.min, s.max))
                .collect::<Vec<_>>()
        };
        assert_eq!(spans(&[(0, 5), (6, 9)]), []);
        assert_eq!(spans(&[(0, 5), (5, 9)]), [(5, 5)]);
        assert_eq!(spans(&[(0, 10), (5, 7), (8, 20)]), [(5, 7), (8, 10)]);
        assert_eq!(spans(&[(0, 10), (5, 7), (6, 20)]), [(5, 10)]);
        assert_eq!(spans(&[(0, 100), (10, 20), (30, 40)]), [(10, 20), (30, 40)]);
    }
}
