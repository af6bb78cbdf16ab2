//! The doors of the log store: requests, answers and errors. No logic of the store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::needle::ByteSet;
use crate::model::Labels;
use crate::wal::WalError;

/// Why entries could not be stored; none of the batch was.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The log refused; a full disk and a poisoned log are told apart by [`WalError`].
    #[error("{0}")]
    Log(#[from] WalError),
    /// The tenant has as many streams as it may have.
    #[error("maximum active stream limit exceeded: {limit} streams, stream {stream} is one more")]
    StreamLimit {
        /// The limit.
        limit: u64,
        /// The first stream that was too many.
        stream: Labels,
    },
    /// The store is shutting down.
    #[error("the log store is closed")]
    Closed,
    /// A file could not be written.
    #[error("{0}")]
    Io(Arc<std::io::Error>),
}

impl From<std::io::Error> for PushError {
    fn from(e: std::io::Error) -> Self {
        Self::Io(Arc::new(e))
    }
}

/// Why entries could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A part is damaged; the damage is counted and the rest stays readable.
    #[error("damaged log part {part}: {what}")]
    Damaged {
        /// Name of the part.
        part: String,
        /// What is wrong.
        what: String,
    },
    /// I/O error.
    #[error("log part {part}: {source}")]
    Io {
        /// Name of the part.
        part: String,
        /// What happened.
        source: Arc<std::io::Error>,
    },
    /// The reader gave up ([`ScanOptions::cancel`]).
    #[error("the scan was cancelled")]
    Cancelled,
}

/// In which order of time a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    #[default]
    Backward,
}

/// How much of each line a scan must hand out; less is cheaper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum WantedLines {
    /// Only streams and times: [`EntryBatch::line`] is empty.
    Nothing,
    /// Lengths: [`EntryBatch::line_len`] is right, [`EntryBatch::line`] is empty.
    Lengths,
    /// The bytes.
    #[default]
    Bytes,
}

/// A necessary condition on the bytes of a line, used to skip what cannot match (L2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Needs {
    /// No condition.
    #[default]
    Anything,
    /// The line holds these bytes.
    Substring(Vec<u8>),
    /// The line holds a run of bytes, each out of its set.
    Run(Vec<ByteSet>),
    /// Every one of these.
    All(Vec<Needs>),
    /// At least one of these.
    Any(Vec<Needs>),
}

/// A test on line bytes that is pushed down into the store.
#[derive(Clone)]
pub struct LineTest {
    /// Must hold for every line for which `matches` is true.
    pub needs: Needs,
    /// `needs` alone decides: it holds exactly when `matches` is true.
    pub exact: bool,
    /// The test itself. Pure: the same bytes always give the same answer.
    pub matches: Arc<dyn Fn(&[u8]) -> bool + Send + Sync>,
}

impl fmt::Debug for LineTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineTest")
            .field("needs", &self.needs)
            .field("exact", &self.exact)
            .finish_non_exhaustive()
    }
}

/// What may stand in a hole of a skeleton, so that the line around it is read as it always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Text between quotes, as it was cut: without a quote that is not escaped.
    Quoted,
    /// A JSON number, `true`, `false` or `null`.
    Scalar,
    /// Bytes above the blank, without `=` and `"`.
    Word,
}

/// How much a reader cares for the value in a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// [`Glance::may_pass`] looks at it, and so does everything after.
    Early,
    /// It is looked at.
    Seen,
    /// Any value of the form gives the same.
    Ignored,
}

/// A hole in a skeleton, to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// What must stand there.
    pub form: Form,
    /// Whether what stands there matters.
    pub care: Care,
}

/// A reader that looks at some values of a line only. Lines are then handed out with the other
/// values replaced, and lines that are the same to such a reader once ([`EntryBatch::shared`]).
pub trait Glance: fmt::Debug + Send + Sync {
    /// The holes of lines that are built from these pieces, one less than pieces. `None`: such
    /// lines are needed as they are.
    fn holes(&self, pieces: &[&[u8]]) -> Option<Vec<Hole>>;
    /// Whether a line of this stream may be of use, judged by the values of early holes alone;
    /// others are replaced in `line`.
    fn may_pass(&self, stream: &Labels, metadata: Option<&Labels>, line: &[u8]) -> bool;
}

/// What a scan does.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions<'a> {
    /// Order of batches, see [`EntryBatch::frontier`].
    pub direction: Direction,
    /// Only lines that pass.
    pub test: Option<LineTest>,
    /// What is needed of each line that passes.
    pub want: WantedLines,
    /// What of the bytes is looked at; everything when absent. Entries that are not in parts come
    /// with their whole lines nevertheless.
    pub glance: Option<&'a dyn Glance>,
    /// Whether structured metadata is needed.
    pub metadata: bool,
    /// Threads that read; 0 and 1 = only the calling one.
    pub threads: usize,
    /// Becomes true when the reader has gone; looked at between row groups.
    pub cancel: Option<&'a AtomicBool>,
    /// Counters that the scan adds to.
    pub stats: Option<&'a ScanStats>,
}

/// What scans cost, for query statistics. Relaxed counters, shared by the threads of a query.
#[derive(Debug, Default)]
pub struct ScanStats {
    /// Bytes of lines that were looked at (as pushed, not as stored).
    pub bytes: AtomicU64,
    /// Lines that were looked at.
    pub lines: AtomicU64,
    /// Lines that passed.
    pub passed: AtomicU64,
    /// Row groups read.
    pub groups: AtomicU64,
    /// Row groups that were skipped because nothing in them could match.
    pub skipped: AtomicU64,
    /// Entries dropped as duplicates of another one.
    pub duplicates: AtomicU64,
    /// Bytes read from parts, compressed.
    pub compressed_bytes: AtomicU64,
}

impl ScanStats {
    /// Adds `n` to a counter.
    pub fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// Entries on their way to a reader: columns, one row an entry.
///
/// Rows are ordered by stream, then by time; of one stream and time, as they were pushed. Streams
/// are numbers of the selection that the scan belongs to.
#[derive(Debug, Clone, Default)]
pub struct EntryBatch {
    /// Stream of each entry.
    pub streams: Vec<u32>,
    /// Time of each entry, ns.
    pub times: Vec<i64>,
    /// All lines, one after the other.
    pub text: Vec<u8>,
    /// Where each line ends in `text`.
    pub ends: Vec<u32>,
    /// Line of each entry. Empty when every entry has its own, in order.
    pub lines: Vec<u32>,
    /// This many first lines are those of several entries, see [`Glance`].
    pub shared: u32,
    /// Set of structured metadata of each entry, an index into `metadata_sets`. Empty when no entry
    /// has any or none was asked for.
    pub metadata: Vec<u32>,
    /// Distinct sets of structured metadata.
    pub metadata_sets: Vec<Labels>,
    /// No later batch of this scan has an entry that is newer (backward) or older (forward) than
    /// this. A reader that has all it wants on this side of it can stop.
    pub frontier: i64,
}

impl EntryBatch {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// True without entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Number of the line of entry `i`.
    fn number(&self, i: usize) -> usize {
        self.lines.get(i).map_or(i, |n| *n as usize)
    }

    /// The line of entry `i`, when it is that of several.
    #[must_use]
    pub fn shared_line(&self, i: usize) -> Option<u32> {
        self.lines.get(i).copied().filter(|n| *n < self.shared)
    }

    /// Bytes of the line of entry `i`.
    #[must_use]
    pub fn line(&self, i: usize) -> &[u8] {
        let i = self.number(i);
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        self.text
            .get(start..self.ends[i] as usize)
            .unwrap_or_default()
    }

    /// Length of the line of entry `i` in bytes.
    #[must_use]
    pub fn line_len(&self, i: usize) -> usize {
        let i = self.number(i);
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        (self.ends[i] - start) as usize
    }

    /// Structured metadata of entry `i`, if it has any.
    #[must_use]
    pub fn metadata(&self, i: usize) -> Option<&Labels> {
        let set = *self.metadata.get(i)?;
        self.metadata_sets
            .get(set as usize)
            .filter(|s| !s.is_empty())
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.streams.clear();
        self.times.clear();
        self.text.clear();
        self.ends.clear();
        self.lines.clear();
        self.shared = 0;
        self.metadata.clear();
        self.metadata_sets.clear();
    }
}
