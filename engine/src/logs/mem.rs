//! A memtable: entries of the log that are not in parts yet.
//!
//! Owns: the batches as they came, and where the rows of each stream are in them.
//! Invariant: a stream has no two entries equal in time, line and metadata once its rows went
//! through [`sort_rows`]; entries that come in order are compared at once.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::PushBatch;
use super::distinct::{Content, Distinct};

/// An entry of a stream: time and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) time: i64,
    pub(super) batch: u32,
    pub(super) row: u32,
}

/// Rows of one stream, in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct MemStream {
    pub(super) rows: Vec<Row>,
    /// Newest time.
    pub(super) last: i64,
    /// A row came that is older than one before it.
    pub(super) unsorted: bool,
    /// Entries of the newest time, once there are several.
    newest: Option<Box<Distinct>>,
}

impl MemStream {
    /// Whether the entry that `row` names, of the newest time, is there already. `content` shows
    /// entries by batch and row.
    fn knows<'e>(&mut self, row: Row, content: impl Fn(Row) -> Content<'e>) -> bool {
        let (rows, next) = (&self.rows, self.rows.len() as u32);
        let show = |n: u32| content(rows.get(n as usize).copied().unwrap_or(row));
        let newest = self.newest.get_or_insert_default();
        if newest.is_empty() {
            let tail = rows.iter().rev().take_while(|r| r.time == row.time);
            for n in rows.len() - tail.count()..rows.len() {
                newest.add(n as u32, show);
            }
        }
        !newest.add(next, show)
    }
}

/// Streams of a tenant by their number.
#[derive(Debug, Default)]
pub(super) struct MemTenant {
    pub(super) streams: HashMap<u32, MemStream, foldhash::fast::RandomState>,
}

/// Entries of all tenants since the last flush.
#[derive(Debug, Default)]
pub(super) struct Mem {
    pub(super) tenants: HashMap<u32, MemTenant, foldhash::fast::RandomState>,
    pub(super) batches: Vec<Arc<PushBatch>>,
    /// Bytes of lines and of rows.
    pub(super) bytes: usize,
    pub(super) entries: u64,
}

impl Mem {
    /// Adds the entries of `batch`; `streams` are the numbers of its streams in order. Gives the
    /// number of entries that were there already.
    pub(super) fn apply(&mut self, tenant: u32, mut batch: PushBatch, streams: &[u32]) -> u64 {
        batch.shrink();
        let number = u32::try_from(self.batches.len()).unwrap_or(u32::MAX);
        let batch = Arc::new(batch);
        self.batches.push(Arc::clone(&batch));
        self.bytes += batch.text_bytes() + 128;
        let t = self.tenants.entry(tenant).or_default();
        let mut duplicates = 0;
        for ((_, rows), id) in batch.streams().zip(streams) {
            let s = t.streams.entry(*id).or_default();
            for i in rows {
                let time = batch.time(i);
                let row = Row {
                    time,
                    batch: number,
                    row: u32::try_from(i).unwrap_or(u32::MAX),
                };
                if s.rows.is_empty() || time > s.last {
                    s.last = time;
                    s.newest = None;
                } else if time < s.last {
                    s.unsorted = true;
                } else {
                    if s.knows(row, |r| content(&self.batches, r)) {
                        duplicates += 1;
                        continue;
                    }
                    self.bytes += Distinct::ENTRY_BYTES;
                }
                s.rows.push(row);
                self.bytes += size_of::<Row>();
                self.entries += 1;
            }
        }
        duplicates
    }
}

fn content(batches: &[Arc<PushBatch>], r: Row) -> Content<'_> {
    let b = &batches[r.batch as usize];
    (b.line(r.row as usize), b.metadata(r.row as usize))
}

/// Sorts rows by time, keeping the order of arrival, and drops entries that are there twice.
pub(super) fn sort_rows(rows: &mut Vec<Row>, batches: &[Arc<PushBatch>]) {
    rows.sort_by_key(|r| r.time);
    let all = &*rows;
    let kept = Distinct::of_sorted(all.len(), |i| all[i].time, |i| content(batches, all[i]));
    let mut kept = kept.into_iter();
    rows.retain(|_| kept.next().unwrap_or(true));
}
