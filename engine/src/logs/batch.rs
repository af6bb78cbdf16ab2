//! A batch of entries to push: filled once by the decoder, written to the log as it is.

use crate::model::Labels;

/// Entries of one request: columns over one arena of line bytes.
///
/// Decoders call [`PushBatch::stream`] for each stream and then [`PushBatch::entry`] for each of its
/// entries. Cost: one copy of the line.
#[derive(Debug, Clone, Default)]
pub struct PushBatch {
    /// Label set of each stream, and the number of its first entry.
    pub(super) streams: Vec<(Labels, u32)>,
    pub(super) times: Vec<i64>,
    pub(super) text: Vec<u8>,
    pub(super) ends: Vec<u32>,
    /// Set of each entry, 0 = none; empty while no entry has metadata.
    pub(super) metadata: Vec<u32>,
    /// Distinct sets; set `n` is at `n - 1`.
    pub(super) metadata_sets: Vec<Labels>,
}

impl PushBatch {
    /// Bytes that the lines of one batch may have together.
    pub const TEXT_BYTES_MAX: usize = u32::MAX as usize;

    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the next stream. The same label set may come several times.
    pub fn stream(&mut self, labels: Labels) {
        let first = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        self.streams.push((labels, first));
    }

    /// Adds an entry to the current stream: time in ns, line, structured metadata (sorted, may be
    /// empty). False, and nothing added, when no stream was started or the batch is full.
    pub fn entry(&mut self, time: i64, line: &[u8], metadata: &Labels) -> bool {
        let end = self.text.len() + line.len();
        let (Ok(end), false) = (u32::try_from(end), self.streams.is_empty()) else {
            return false;
        };
        if !metadata.is_empty() || !self.metadata.is_empty() {
            self.metadata.resize(self.times.len(), 0);
            let set = self.metadata_set(metadata);
            self.metadata.push(set);
        }
        self.times.push(time);
        self.text.extend_from_slice(line);
        self.ends.push(end);
        true
    }

    /// Number of a set. Entries next to each other usually share theirs.
    fn metadata_set(&mut self, metadata: &Labels) -> u32 {
        if metadata.is_empty() {
            return 0;
        }
        // A short look back: more distinct sets than that are rarely repeated.
        let recent = self.metadata_sets.iter().rev().take(8);
        let found = recent.enumerate().find(|(_, s)| *s == metadata);
        let n = match found {
            Some((back, _)) => self.metadata_sets.len() - back,
            None => {
                self.metadata_sets.push(metadata.clone());
                self.metadata_sets.len()
            }
        };
        u32::try_from(n).unwrap_or(0)
    }

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

    /// Bytes of all lines.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Streams with the numbers of their entries.
    #[must_use]
    pub fn streams(&self) -> Streams<'_> {
        Streams {
            batch: self,
            next: 0,
        }
    }

    /// Time of entry `i`, ns.
    #[must_use]
    pub fn time(&self, i: usize) -> i64 {
        self.times[i]
    }

    /// Line of entry `i`.
    #[must_use]
    pub fn line(&self, i: usize) -> &[u8] {
        &self.text[self.text_start(i)..self.ends[i] as usize]
    }

    pub(super) fn text_start(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.ends[i - 1] as usize }
    }

    /// Gives back memory that was reserved and not used; the batch is kept from here on.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.times.shrink_to_fit();
        self.metadata.shrink_to_fit();
    }

    /// Structured metadata of entry `i`, if it has any.
    #[must_use]
    pub fn metadata(&self, i: usize) -> Option<&Labels> {
        let set = *self.metadata.get(i)? as usize;
        self.metadata_sets.get(set.checked_sub(1)?)
    }
}

/// Streams of a batch, in the order they were started.
#[derive(Debug)]
pub struct Streams<'a> {
    batch: &'a PushBatch,
    next: usize,
}

impl<'a> Iterator for Streams<'a> {
    type Item = (&'a Labels, std::ops::Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let (labels, first) = self.batch.streams.get(self.next)?;
        self.next += 1;
        let end = self
            .batch
            .streams
            .get(self.next)
            .map_or(self.batch.times.len(), |s| s.1 as usize);
        Some((labels, *first as usize..end))
    }
}
