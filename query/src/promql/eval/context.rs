//! One query's execution: options, budget, cancellation, statistics, annotations.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::answer::{CancelToken, EngineOptions, QueryError};
use super::series::{Mask, Series, without_metadata};
use super::{EResult, Val};
use crate::promql::annotations::Annotations;
use crate::source::Source;
use engine::budget::{Share, Stop, ThreadShare, Watch};
use engine::metrics::SelectError;
use engine::model::Labels;
use hashbrown::HashMap;

/// Counters of a query.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Samples that functions and selectors looked at, per step.
    pub(crate) queryable: Cell<u64>,
    /// Samples read from the source.
    pub(crate) read: Cell<u64>,
    /// Most samples held at a time.
    pub(crate) peak: Cell<u64>,
    /// `queryable` and `read` of every step of the grid at hand, when they were asked for.
    pub(crate) per_step: RefCell<Option<Vec<StepCount>>>,
}

/// What one step looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StepCount {
    pub(crate) queryable: u64,
    pub(crate) read: u64,
}

/// See the module header.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) options: &'a EngineOptions,
    pub(crate) lookback: i64,
    pub(crate) cancel: &'a CancelToken,
    pub(crate) clock: Option<&'a dyn Fn() -> Duration>,
    pub(crate) deadline: Option<Duration>,
    /// The memory of the query, and what this thread has of it.
    pub(crate) memory: Option<&'a Share>,
    pub(crate) here: Option<ThreadShare<'a>>,
    pub(crate) annotations: RefCell<Annotations>,
    pub(crate) stats: Counters,
    pub(crate) held: Cell<u64>,
    pub(crate) ticks: Cell<u32>,
}

/// The clock and the memory are looked at once in so many checks: it may be slow.
const CHECKS_PER_LOOK: u32 = 32;

/// Longest label value that is not charged.
const LABEL_BYTES_FREE: usize = 256;
/// A sample stands for 16 bytes; a label value is held about twice, by a series and by the group,
/// join or answer made of it.
const LABEL_BYTES_PER_SAMPLE: usize = 8;

impl Context<'_> {
    /// Called at every series and operator.
    #[inline]
    pub(crate) fn check(&self) -> EResult<()> {
        if self.cancel.is_canceled() {
            return Err(QueryError::Canceled);
        }
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        if ticks % CHECKS_PER_LOOK == 1 {
            self.look(0)?;
        }
        Ok(())
    }

    /// Looks at the clock, and whether `bytes` more of memory may be taken.
    pub(crate) fn look(&self, bytes: usize) -> EResult<()> {
        if let (Some(clock), Some(deadline)) = (self.clock, self.deadline)
            && clock() > deadline
        {
            return Err(QueryError::Timeout);
        }
        if let Some(here) = &self.here {
            here.check(bytes)?;
        }
        Ok(())
    }

    /// Takes `samples` from the budget.
    #[inline]
    pub(crate) fn charge(&self, samples: usize) -> EResult<()> {
        let held = self.held.get() + samples as u64;
        self.held.set(held);
        if held > self.stats.peak.get() {
            self.stats.peak.set(held);
        }
        if held > self.options.max_samples {
            Err(QueryError::TooManySamples)
        } else {
            Ok(())
        }
    }

    /// Takes a label value that the query made from the budget, until the query ends: series share
    /// what the store gave them, but not this. Values as long as honest ones cost nothing.
    pub(crate) fn charge_label(&self, bytes: usize) -> EResult<()> {
        if bytes <= LABEL_BYTES_FREE {
            return Ok(());
        }
        self.charge(bytes / LABEL_BYTES_PER_SAMPLE)
    }

    /// Keeps samples that the producer has charged and will release: no check, no peak.
    #[inline]
    pub(crate) fn keep(&self, samples: usize) {
        self.held.set(self.held.get() + samples as u64);
    }

    /// Gives samples back.
    #[inline]
    pub(crate) fn release(&self, samples: usize) {
        self.held
            .set(self.held.get().saturating_sub(samples as u64));
    }

    pub(crate) fn release_all(&self, series: &[Series]) {
        self.release(series.iter().map(|s| s.steps.weight()).sum());
    }

    pub(crate) fn charge_all(&self, series: &[Series]) -> EResult<()> {
        self.charge(series.iter().map(|s| s.steps.weight()).sum())
    }

    pub(crate) fn count(&self, queryable: u64, read: u64) {
        self.stats
            .queryable
            .set(self.stats.queryable.get() + queryable);
        self.stats.read.set(self.stats.read.get() + read);
    }

    /// Tells the steps apart that a [`Self::count`] is made of: `each` gives those of step `k`.
    pub(crate) fn count_steps(&self, each: impl Fn(usize) -> StepCount) {
        if let Some(steps) = self.stats.per_step.borrow_mut().as_mut() {
            for (k, step) in steps.iter_mut().enumerate() {
                let more = each(k);
                step.queryable += more.queryable;
                step.read += more.read;
            }
        }
    }

    /// The same for a single step.
    pub(crate) fn count_step(&self, k: usize, queryable: u64, read: u64) {
        let mut all = self.stats.per_step.borrow_mut();
        if let Some(step) = all.as_mut().and_then(|s| s.get_mut(k)) {
            step.queryable += queryable;
            step.read += read;
        }
    }

    /// Counts the steps of an inner grid of `n` steps apart from those of the grid at hand; gives
    /// them beside the result.
    pub(crate) fn with_inner_steps<T>(
        &self,
        n: usize,
        run: impl FnOnce() -> T,
    ) -> (T, Vec<StepCount>) {
        let outer = self.stats.per_step.take();
        if outer.is_some() {
            self.stats
                .per_step
                .replace(Some(vec![StepCount::default(); n]));
        }
        let out = run();
        let inner = self.stats.per_step.replace(outer);
        (out, inner.unwrap_or_default())
    }

    pub(crate) fn note(&self, f: impl FnOnce(&mut Annotations)) {
        f(&mut self.annotations.borrow_mut());
    }

    /// Removes marked names at the end of the query.
    pub(crate) fn finish_names(&self, val: Val, instant: bool) -> EResult<Val> {
        let Val::Vector(mut v) = val else {
            return Ok(val);
        };
        if !self.options.delayed_name_removal {
            return Ok(Val::Vector(v));
        }
        let mut stripped = false;
        for s in v.iter_mut().filter(|s| s.drop_name) {
            s.labels = without_metadata(&s.labels);
            s.drop_name = false;
            stripped = true;
        }
        if stripped || !instant {
            v = merge_same_labels(v)?;
        }
        Ok(Val::Vector(v))
    }
}

impl Watch for Context<'_> {
    fn go_on(&self, bytes: usize) -> Result<(), Stop> {
        if self.cancel.is_canceled() {
            return Err(Stop::Canceled);
        }
        match self.look(bytes) {
            Ok(()) => Ok(()),
            Err(QueryError::OverMemory(e)) => Err(Stop::Memory(e)),
            Err(_) => Err(Stop::TimedOut),
        }
    }
}

impl From<Stop> for QueryError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Canceled => Self::Canceled,
            Stop::Memory(e) => Self::OverMemory(e),
            _ => Self::Timeout,
        }
    }
}

impl From<SelectError> for QueryError {
    fn from(e: SelectError) -> Self {
        match e {
            SelectError::Stopped(stop) => stop.into(),
            SelectError::Storage(text) => Self::Storage(format!("expanding series: {text}")),
            other => Self::Storage(format!("expanding series: {other}")),
        }
    }
}

/// The error for two samples of one label set at one step.
pub(crate) fn same_labelset() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

/// Joins series with equal labels; their samples must be at different steps. A name that will be
/// dropped makes labels different from those whose name stays.
pub(crate) fn merge_same_labels(series: Vec<Series>) -> EResult<Vec<Series>> {
    if series.len() < 2 {
        return Ok(series);
    }
    let mut index: HashMap<(Labels, bool), usize, foldhash::fast::RandomState> =
        HashMap::with_capacity_and_hasher(series.len(), foldhash::fast::RandomState::default());
    let mut out: Vec<Series> = Vec::with_capacity(series.len());
    for s in series {
        let key = (s.labels.clone(), s.drop_name);
        match index.get(&key) {
            None => {
                index.insert(key, out.len());
                out.push(s);
            }
            Some(&i) => {
                if out[i]
                    .steps
                    .present()
                    .first_common(&s.steps.present())
                    .is_some()
                {
                    return Err(same_labelset());
                }
                out[i].steps.absorb(&s.steps);
            }
        }
    }
    Ok(out)
}

/// Tells whether dropping names makes label sets collide while series stream by.
#[derive(Default)]
pub(crate) struct Collisions {
    seen: HashMap<Labels, Mask, foldhash::fast::RandomState>,
}

impl Collisions {
    /// `disjoint`: equal labels are allowed at different steps.
    pub(crate) fn see(&mut self, labels: Labels, present: &Mask, disjoint: bool) -> EResult<()> {
        match self.seen.get_mut(&labels) {
            None => {
                self.seen.insert(labels, present.clone());
                Ok(())
            }
            Some(m) if disjoint && m.first_common(present).is_none() => {
                m.or(present);
                Ok(())
            }
            Some(_) => Err(same_labelset()),
        }
    }
}
