//! Where log queries read from: the one door between the language and a store of lines.

use std::ops::ControlFlow;

use engine::logs::{Db, EntryBatch, ReadError, ScanOptions, Selection, Visitor};
use engine::model::{Labels, Matcher, TenantId};

/// A store of lines.
pub trait LogSource: Send + Sync {
    /// Streams that match all matchers and may have entries in `[from, to)` (ns), in label order.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn select(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<Box<dyn StreamSet + '_>, ReadError>;
}

/// The answer to one select.
pub trait StreamSet: Send + Sync {
    /// Number of streams.
    fn len(&self) -> usize;
    /// True when nothing matched.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Labels of stream `i`; ascending in `i`.
    fn labels(&self, i: usize) -> &Labels;
    /// Hands every entry in range that passes the test to `visit`, in batches, see
    /// [`EntryBatch`].
    ///
    /// # Errors
    /// See [`ReadError`].
    fn scan(
        &self,
        options: &ScanOptions<'_>,
        visit: &mut dyn FnMut(&EntryBatch) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;
    /// Hands every entry in range that passes the test to one of the visitors, each on a thread of
    /// its own, in batches without order, with the number that the batch has in order.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn scan_by(
        &self,
        options: &ScanOptions<'_>,
        visitors: Vec<Visitor<'_>>,
    ) -> Result<(), ReadError>;
}

/// One tenant's view of the log store.
pub struct TenantLogs<'a> {
    /// The store.
    pub db: &'a Db,
    /// Whose streams are visible.
    pub tenant: TenantId,
}

impl LogSource for TenantLogs<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<Box<dyn StreamSet + '_>, ReadError> {
        Ok(Box::new(self.db.select(self.tenant, matchers, from, to)))
    }
}

impl StreamSet for Selection {
    fn len(&self) -> usize {
        Selection::len(self)
    }
    fn labels(&self, i: usize) -> &Labels {
        Selection::labels(self, i)
    }
    fn scan(
        &self,
        options: &ScanOptions<'_>,
        visit: &mut dyn FnMut(&EntryBatch) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        Selection::scan(self, options, visit)
    }
    fn scan_by(
        &self,
        options: &ScanOptions<'_>,
        visitors: Vec<Visitor<'_>>,
    ) -> Result<(), ReadError> {
        Selection::scan_by(self, options, visitors)
    }
}
