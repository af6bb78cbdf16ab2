//! Where queries read from: the one door between the languages and a store.

use std::ops::{ControlFlow, Range};

use engine::metrics::{Db, SelectError, Selection};
use engine::model::{Column, Labels, Matcher, TenantId};

/// What the plan knows about a selector, so that a store can do less work.
#[derive(Debug, Clone, Default)]
pub struct SelectHints {
    /// Name of the function applied directly to the selector, or empty.
    pub func: String,
    /// Range of a range selector in ms, 0 for an instant selector.
    pub range_ms: i64,
    /// Step of the query in ms, 0 for an instant query.
    pub step_ms: i64,
}

/// A store of series that PromQL can read.
pub trait Source: Send + Sync {
    /// Series that match all matchers and may have points in `[min_t, max_t]` (ms, inclusive),
    /// in label order. Points outside the range may be handed out too.
    ///
    /// # Errors
    /// See [`SelectError`].
    fn select(
        &self,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, SelectError>;
}

/// The answer to one select.
pub trait SeriesSet: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;
    /// True when nothing matched.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Labels of series `i`; ascending in `i`.
    fn labels(&self, i: usize) -> &Labels;
    /// Hands the columns of the series in `range` to `visit` with their index, each exactly once,
    /// series with shared timestamps next to each other, in no other particular order.
    /// Callable from several threads for disjoint ranges.
    ///
    /// # Errors
    /// See [`SelectError`].
    fn scan(
        &self,
        range: Range<usize>,
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
        _hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, SelectError> {
        Ok(Box::new(self.db.select(
            self.tenant,
            matchers,
            min_t,
            max_t,
        )?))
    }
}

impl SeriesSet for Selection {
    fn len(&self) -> usize {
        Selection::len(self)
    }
    fn labels(&self, i: usize) -> &Labels {
        Selection::labels(self, i)
    }
    fn scan(
        &self,
        range: Range<usize>,
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        Selection::scan(self, range, visit)
    }
}
