//! A memtable: entries of the log that are not in parts yet.
//!
//! Owns: the batches as they came, and where the rows of each stream are in them.
//! Invariant: a stream has no two entries equal in time, line and metadata once its rows went
//! through [`sort_rows`]; entries that come in order are compared at once.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::PushBatch;

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
                if s.rows.is_empty() || time > s.last {
                    s.last = time;
                } else if time < s.last {
                    s.unsorted = true;
                } else {
                    let same = s.rows.iter().rev().take_while(|r| r.time == time);
                    let mut same =
                        same.filter_map(|r| Some((self.batches.get(r.batch as usize)?, r)));
                    if same.any(|(b, r)| equal(b, r.row as usize, &batch, i)) {
                        duplicates += 1;
                        continue;
                    }
                }
                s.rows.push(Row {
                    time,
                    batch: number,
                    row: u32::try_from(i).unwrap_or(u32::MAX),
                });
                self.bytes += size_of::<Row>();
                self.entries += 1;
            }
        }
        duplicates
    }
}

/// Whether two entries with the same stream and time are one.
fn equal(a: &PushBatch, i: usize, b: &PushBatch, k: usize) -> bool {
    a.line(i) == b.line(k) && a.metadata(i) == b.metadata(k)
}

/// Sorts rows by time, keeping the order of arrival, and drops entries that are there twice.
pub(super) fn sort_rows(rows: &mut Vec<Row>, batches: &[Arc<PushBatch>]) {
    rows.sort_by_key(|r| r.time);
    let mut kept: Vec<Row> = Vec::with_capacity(rows.len());
    for r in rows.iter() {
        let b = &batches[r.batch as usize];
        let same = kept.iter().rev().take_while(|k| k.time == r.time);
        let mut same = same.map(|k| (&batches[k.batch as usize], k.row as usize));
        if !same.any(|(kb, k)| equal(kb, k, b, r.row as usize)) {
            kept.push(*r);
        }
    }
    *rows = kept;
}
