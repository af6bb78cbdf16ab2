//! Delete requests: what must not be seen any more.

use crate::model::{Labels, Matcher};

use super::api::LineTest;

/// Entries of streams that match, between two times, whose line passes a test.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// Streams.
    pub matchers: Vec<Matcher>,
    /// First time, ns.
    pub from: i64,
    /// Last time, ns, inclusive.
    pub to: i64,
    /// Which lines; all when absent.
    pub test: Option<LineTest>,
    /// The entries leave the disk; otherwise they are only hidden, because the request may still be
    /// taken back.
    pub is_final: bool,
}

impl Deletion {
    /// Whether entries of this stream in `[min, max]` may be deleted by it.
    pub(super) fn concerns(&self, labels: &Labels, min: i64, max: i64) -> bool {
        self.from <= max && self.to >= min && Matcher::all_match(&self.matchers, labels)
    }

    /// Whether this entry of a stream that it concerns is deleted.
    pub(super) fn deletes(&self, time: i64, line: &[u8]) -> bool {
        (self.from..=self.to).contains(&time)
            && self.test.as_ref().is_none_or(|t| (t.matches)(line))
    }
}
