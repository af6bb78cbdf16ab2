//! One scan by several threads: each takes the next few series, decodes them and runs the function
//! over them; the thread of the query takes the results in the order of the scan.
//!
//! Owns: how series are dealt out and how results come back in order.
//! Knows nothing of: what is done with a series, what the sink makes of it.
//!
//! Invariants
//! - PA1  The sink sees what it would see if one thread did everything, in the same order, with the
//!   same charges: sums, errors, statistics and annotations do not depend on the number of threads.
//! - PA2  Results that wait are bounded: nobody runs ahead of the sink by more than [`AHEAD`]
//!   portions per thread.
//! - PA3  A query that gets no helping thread, or has few series, scans alone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::budget::Share;
use engine::model::Column;
use parking_lot::{Condvar, Mutex};

use super::answer::{CancelToken, EngineOptions, QueryError};
use super::context::{Context, Counters, StepCount};
use super::series::{Histograms, Mask, Steps};
use super::stream::{Dup, Item, Sink};
use super::{EResult, Grid};
use crate::exec::Helpers;
use crate::promql::annotations::Annotations;
use crate::source::{SeriesReader, SeriesSet, Source};

/// Portions that may be finished or under way per thread before the sink has taken the oldest.
const AHEAD: usize = 3;
/// Steps of a portion, all series together: about half a megabyte of values.
const PORTION_STEPS: usize = 64 * 1024;
/// Bounds of the number of series in a portion.
const PORTION_SERIES: (usize, usize) = (16, 1024);

/// How queries use more than one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parallelism {
    /// Selectors with fewer series are read by one thread.
    pub series_min: usize,
    /// Exactly so many helping threads, and series that each takes at a time, instead of what the
    /// machine and the size of the results suggest.
    pub fixed: Option<(usize, usize)>,
}

impl Default for Parallelism {
    fn default() -> Self {
        Self {
            series_min: 256,
            fixed: None,
        }
    }
}

impl Parallelism {
    /// Three threads that take single series, whatever the query: for tests.
    #[must_use]
    pub fn always() -> Self {
        Self {
            series_min: 0,
            fixed: Some((2, 1)),
        }
    }
}

/// What is done with one series: its own state `W` is one per thread.
pub(super) type Each<'f, W> =
    &'f (dyn Fn(&Context<'_>, &mut W, usize, &Column<'_>, Sink<'_>) -> EResult<()> + Sync);

/// One series that was read, for the sink.
struct Record {
    index: usize,
    /// Samples held beyond the result meanwhile.
    peak: usize,
    /// The result, unless there is none.
    result: Option<Flags>,
}

/// An [`Item`] without its values.
struct Flags {
    stripped: bool,
    drop_name: bool,
    dup: Dup,
    hists: Option<Histograms>,
}

/// A portion that was read.
#[derive(Default)]
struct Portion {
    records: Vec<Record>,
    /// Values and bits of the results, one after the other.
    vals: Vec<f64>,
    masks: Vec<Mask>,
    annotations: Annotations,
    queryable: u64,
    read: u64,
    per_step: Option<Vec<StepCount>>,
    failed: Option<QueryError>,
}

impl Portion {
    fn clear(&mut self) {
        self.records.clear();
        self.vals.clear();
        self.masks.clear();
        self.annotations = Annotations::default();
        (self.queryable, self.read) = (0, 0);
        self.failed = None;
    }
}

/// What the threads share.
#[derive(Default)]
struct Board {
    /// First portion that nobody has taken.
    next: usize,
    /// Portions that the sink is done with.
    consumed: usize,
    ready: BTreeMap<usize, Portion>,
    spare: Vec<Portion>,
}

struct Shared<'q> {
    board: Mutex<Board>,
    changed: Condvar,
    stop: AtomicBool,
    portions: Vec<&'q [u32]>,
    ahead: usize,
    // What a context is made of.
    source: &'q dyn Source,
    options: &'q EngineOptions,
    lookback: i64,
    cancel: &'q CancelToken,
    held: u64,
    memory: Option<&'q Share>,
    /// Number of steps that are counted one by one.
    per_step: Option<usize>,
}

/// Delivers a portion, also one whose thread panicked: nobody waits for it in vain.
struct Delivery<'s, 'q> {
    shared: &'s Shared<'q>,
    number: usize,
    portion: Option<Portion>,
}

impl Drop for Delivery<'_, '_> {
    fn drop(&mut self) {
        let portion = self.portion.take().unwrap_or_else(|| Portion {
            failed: Some(QueryError::Execution("a thread of the query ended".into())),
            ..Portion::default()
        });
        let mut board = self.shared.board.lock();
        board.ready.insert(self.number, portion);
        drop(board);
        self.shared.changed.notify_all();
    }
}

impl<'q> Shared<'q> {
    /// The next portion, if there is one that may be read now.
    fn claim(&self, board: &mut Board) -> Option<(usize, Portion)> {
        let free = board.next < self.portions.len() && board.next < board.consumed + self.ahead;
        free.then(|| {
            board.next += 1;
            (board.next - 1, board.spare.pop().unwrap_or_default())
        })
    }

    /// The context of a helping thread, or another one for the thread of the query, which counts
    /// its memory already.
    fn context(&self, helping: bool) -> Context<'q> {
        Context {
            source: self.source,
            options: self.options,
            lookback: self.lookback,
            cancel: self.cancel,
            // The thread of the query looks at the clock, and stops the others.
            clock: None,
            deadline: None,
            memory: self.memory,
            here: self.memory.filter(|_| helping).map(Share::thread),
            annotations: RefCell::default(),
            stats: Counters::default(),
            held: Cell::new(self.held),
            ticks: Cell::new(0),
        }
    }

    /// Reads portion `number` into `portion`.
    fn read<W>(
        &self,
        cx: &Context<'q>,
        own: &mut W,
        reader: &mut dyn SeriesReader,
        (number, mut portion): (usize, Portion),
        each: Each<'_, W>,
    ) {
        let mut delivery = Delivery {
            shared: self,
            number,
            portion: None,
        };
        portion.clear();
        let no_steps = self.per_step.map(|n| vec![StepCount::default(); n]);
        cx.stats.per_step.replace(no_steps);
        let mut failed = None;
        let done = reader.read(self.portions[number], &mut |i, column| {
            if self.stop.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            cx.stats.peak.set(self.held);
            let (vals, masks) = (&mut portion.vals, &mut portion.masks);
            let mut result = None;
            let read = cx.check().and_then(|()| {
                each(cx, own, i, &column, &mut |item: Item<'_>| {
                    vals.extend_from_slice(&item.steps.vals);
                    masks.push(item.steps.mask.clone());
                    result = Some(Flags {
                        stripped: item.stripped,
                        drop_name: item.drop_name,
                        dup: item.dup,
                        hists: item.steps.hists.take(),
                    });
                    Ok(())
                })
            });
            portion.records.push(Record {
                index: i,
                peak: usize::try_from(cx.stats.peak.get() - self.held).unwrap_or(usize::MAX),
                result,
            });
            match read {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => {
                    failed = Some(e);
                    ControlFlow::Break(())
                }
            }
        });
        // An error must not leave its charges behind.
        cx.held.set(self.held);
        portion.failed = failed.or(done.err().map(Into::into));
        portion.annotations = cx.annotations.take();
        portion.queryable = cx.stats.queryable.take();
        portion.read = cx.stats.read.take();
        portion.per_step = cx.stats.per_step.take();
        delivery.portion = Some(portion);
    }

    /// What a helping thread does until there is nothing left.
    fn help<W>(&self, set: &dyn SeriesSet, own: &(dyn Fn() -> W + Sync), each: Each<'_, W>) {
        let (cx, mut own, mut reader) = (self.context(true), own(), set.reader());
        loop {
            let mut board = self.board.lock();
            let claimed = loop {
                if self.stop.load(Ordering::Relaxed) || board.next >= self.portions.len() {
                    return;
                }
                match self.claim(&mut board) {
                    Some(c) => break c,
                    None => self.changed.wait(&mut board),
                }
            };
            drop(board);
            self.read(&cx, &mut own, &mut *reader, claimed, each);
        }
    }

    fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // Whoever looked before waits by now, or sees the flag.
        drop(self.board.lock());
        self.changed.notify_all();
    }
}

/// Ends the helping threads when the thread of the query is done, however that comes about.
struct EndOnDrop<'s, 'q>(&'s Shared<'q>);

impl Drop for EndOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Context<'_> {
    /// Runs `each` over all series of `set`, with several threads where that pays; `own` makes
    /// what a thread keeps for itself. `grid` is that of the results.
    pub(super) fn scan_items<W>(
        &self,
        set: &dyn SeriesSet,
        grid: &Grid,
        own: &(dyn Fn() -> W + Sync),
        each: Each<'_, W>,
        sink: Sink<'_>,
    ) -> EResult<()> {
        let (few, many) = PORTION_SERIES;
        let rules = &self.options.parallelism;
        let size = match rules.fixed {
            Some((_, size)) => size.max(1),
            None => (PORTION_STEPS / grid.n.max(1)).clamp(few, many),
        };
        let portions = set.len().div_ceil(size);
        let alone = set.len() < rules.series_min;
        let helpers = match rules.fixed {
            _ if alone => Helpers::uncounted(0),
            Some((n, _)) => Helpers::uncounted(n),
            None => Helpers::take(portions.saturating_sub(1)),
        };
        if helpers.count() == 0 {
            let mut own = own();
            return self.scan(set, &mut |i, col| each(self, &mut own, i, &col, sink));
        }
        let order = set.order();
        let shared = Shared {
            board: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            portions: order.chunks(size).collect(),
            ahead: AHEAD * (1 + helpers.count()),
            source: self.source,
            options: self.options,
            lookback: self.lookback,
            cancel: self.cancel,
            held: self.held.get(),
            memory: self.memory,
            per_step: self.stats.per_step.borrow().as_ref().map(Vec::len),
        };
        std::thread::scope(|threads| {
            let _end = EndOnDrop(&shared);
            for _ in 0..helpers.count() {
                let helping = std::thread::Builder::new()
                    .name("query".into())
                    .spawn_scoped(threads, || shared.help(set, own, each));
                // A machine without another thread to give leaves the work to this one.
                if helping.is_err() {
                    break;
                }
            }
            self.take_in_order(&shared, set, grid, own, each, sink)
        })
    }

    /// Takes the portions in order; while the next is not ready, reads another one itself.
    fn take_in_order<W>(
        &self,
        shared: &Shared<'_>,
        set: &dyn SeriesSet,
        grid: &Grid,
        own: &(dyn Fn() -> W + Sync),
        each: Each<'_, W>,
        sink: Sink<'_>,
    ) -> EResult<()> {
        let (cx, mut own, mut reader) = (shared.context(false), own(), set.reader());
        let mut steps = Steps::new(grid.n);
        for number in 0..shared.portions.len() {
            let mut portion = loop {
                let mut board = shared.board.lock();
                if let Some(p) = board.ready.remove(&number) {
                    break p;
                }
                if let Some(claimed) = shared.claim(&mut board) {
                    drop(board);
                    shared.read(&cx, &mut own, &mut *reader, claimed, each);
                } else {
                    shared.changed.wait(&mut board);
                }
            };
            self.take(&mut portion, set, &mut steps, grid.n, sink)?;
            let mut board = shared.board.lock();
            board.consumed = number + 1;
            board.spare.push(portion);
            drop(board);
            shared.changed.notify_all();
        }
        Ok(())
    }

    /// Hands the results of a portion on, as if they had just been computed.
    fn take(
        &self,
        portion: &mut Portion,
        set: &dyn SeriesSet,
        steps: &mut Steps,
        n: usize,
        sink: Sink<'_>,
    ) -> EResult<()> {
        self.count(portion.queryable, portion.read);
        if let Some(steps) = portion.per_step.take() {
            self.count_steps(|k| steps[k]);
        }
        self.note(|a| a.absorb(std::mem::take(&mut portion.annotations)));
        let mut found = 0;
        for record in portion.records.drain(..) {
            self.check()?;
            self.charge(record.peak)?;
            self.release(record.peak);
            let Some(flags) = record.result else { continue };
            steps.reset(n);
            steps
                .vals
                .copy_from_slice(&portion.vals[found * n..(found + 1) * n]);
            steps.mask.clone_from(&portion.masks[found]);
            steps.hists = flags.hists;
            found += 1;
            let samples = steps.samples();
            self.charge(samples)?;
            let done = sink(Item {
                stripped: flags.stripped,
                drop_name: flags.drop_name,
                dup: flags.dup,
                ..Item::plain(record.index, &set.labels(record.index), steps)
            });
            self.release(samples);
            done?;
        }
        portion.failed.take().map_or(Ok(()), Err)
    }
}
