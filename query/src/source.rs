//! Where queries read from: the one door between the languages and a store.

use std::ops::ControlFlow;
use std::sync::Arc;

use engine::budget::Watch;
use engine::metrics::{Db, Reader, SelectError, Selection};
use engine::model::{
    Column, CounterResetHint, FloatHistogram, HistogramSample, Labels, Matcher, TenantId, is_stale,
};

/// What the plan knows about a selector, so that a store can do less work.
#[derive(Debug, Clone, Default)]
pub struct SelectHints {
    /// Name of the function applied directly to the selector, or empty.
    pub func: String,
    /// Range of a range selector in ms, 0 for an instant selector.
    pub range_ms: i64,
    /// Step of the query in ms, 0 for an instant query.
    pub step_ms: i64,
    /// The series may come in any order, which saves sorting them.
    pub unordered: bool,
}

/// A store of series that PromQL can read.
pub trait Source: Send + Sync {
    /// Series that match all matchers and may have points in `[min_t, max_t]` (ms, inclusive),
    /// in label order unless `hints` ask for none. Points outside the range may be handed out too.
    /// `watch` is asked while series are looked for.
    ///
    /// # Errors
    /// See [`SelectError`].
    fn select(
        &self,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
        hints: &SelectHints,
        watch: &dyn Watch,
    ) -> Result<Box<dyn SeriesSet>, SelectError>;

    /// At most so many series would be found, if that can be told at once and without I/O.
    fn bound(&self, _: &[Matcher], _min_t: i64, _max_t: i64) -> Option<u64> {
        None
    }
}

/// The answer to one select.
pub trait SeriesSet: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;
    /// True when nothing matched.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Labels of series `i`; ascending in `i` where the select asked for order.
    /// Cost: they may have to be put together.
    fn labels(&self, i: usize) -> Labels;
    /// The series in the order in which they are best read: those with shared timestamps next to
    /// each other, those with histograms last and in label order.
    fn order(&self) -> Vec<u32> {
        (0..self.len() as u32).collect()
    }
    /// A reader for one thread; several may be at work at a time.
    fn reader(&self) -> Box<dyn SeriesReader + '_>;
}

/// Reads the series of a set.
pub trait SeriesReader {
    /// Hands the columns of `series` to `visit` with their index, in this order, until it breaks.
    ///
    /// # Errors
    /// See [`SelectError`].
    fn read(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError>;
}

/// One tenant's view of the metric store.
pub struct TenantSource<'a> {
    /// The store.
    pub db: &'a Db,
    /// Whose series are visible.
    pub tenant: TenantId,
}

impl Source for TenantSource<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
        hints: &SelectHints,
        watch: &dyn Watch,
    ) -> Result<Box<dyn SeriesSet>, SelectError> {
        let range = (min_t, max_t);
        let found =
            self.db
                .select_watched(self.tenant, matchers, range, !hints.unordered, watch)?;
        Ok(Box::new(found))
    }

    fn bound(&self, matchers: &[Matcher], min_t: i64, max_t: i64) -> Option<u64> {
        self.db.series_bound(self.tenant, matchers, min_t, max_t)
    }
}

impl SeriesSet for Selection {
    fn len(&self) -> usize {
        Selection::len(self)
    }
    fn labels(&self, i: usize) -> Labels {
        Selection::labels(self, i)
    }
    fn order(&self) -> Vec<u32> {
        self.scan_order(0..Selection::len(self))
    }
    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(Hinted {
            reader: Selection::reader(self, true),
            min_t: self.min_t(),
            hinted: Vec::new(),
        })
    }
}

/// A reader that settles the counter reset hints of histograms.
struct Hinted<'a> {
    reader: Reader<'a>,
    min_t: i64,
    hinted: Vec<HistogramSample>,
}

impl SeriesReader for Hinted<'_> {
    fn read(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        let (hinted, min_t) = (&mut self.hinted, self.min_t);
        let done = self.reader.read(series, &mut |i, c| {
            if c.histograms.is_empty() {
                return visit(i, c);
            }
            hinted.clear();
            for p in c.histograms {
                let before = hinted.last().filter(|b| {
                    let next = c.ts.partition_point(|t| *t <= b.t);
                    c.ts.get(next).is_none_or(|t| *t > p.t)
                });
                let hint = stored_hint(&p.h, before.map(|b| &*b.h));
                let mut sample = p.clone();
                if hint != sample.h.hint {
                    Arc::make_mut(&mut sample.h).hint = hint;
                }
                hinted.push(sample);
            }
            let first = hinted.partition_point(|h| h.t < min_t);
            visit(
                i,
                Column {
                    histograms: &hinted[first..],
                    ..c
                },
            )
        });
        done.map(drop)
    }
}

/// The counter reset hint with which a histogram is handed out: what is known to continue its
/// neighbour says so; everything else but a gauge stays open. This is what Prometheus' chunks
/// answer, and what warnings about conflicting resets are built on.
#[must_use]
pub fn stored_hint(h: &FloatHistogram, before: Option<&FloatHistogram>) -> CounterResetHint {
    use CounterResetHint::{Gauge, NotReset, Unknown};
    if h.hint == Gauge {
        return Gauge;
    }
    let Some(before) = before.filter(|b| b.hint != Gauge && !is_stale(b.sum)) else {
        return Unknown;
    };
    let open = FloatHistogram {
        hint: if h.hint == NotReset { Unknown } else { h.hint },
        ..h.clone()
    };
    let same_layout = h.schema == before.schema
        && h.zero_threshold == before.zero_threshold
        && h.custom_values == before.custom_values;
    if same_layout && !crate::promql::histogram::detect_reset(&open, before) {
        NotReset
    } else {
        Unknown
    }
}
