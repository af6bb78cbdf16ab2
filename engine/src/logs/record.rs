//! Payloads of log-line records in the log. Format: `engine/docs/format/logs-wal.md`.

use std::ops::Range;

use super::batch::PushBatch;
use crate::chunk::ChunkError;
use crate::chunk::varint::{self, Reader};
use crate::model::Labels;

/// Entries of one push.
pub(super) const KIND_ENTRIES: u8 = 16;
/// Lines of one record; a larger push makes several.
const RECORD_TEXT_BYTES: usize = 8 << 20;
/// A body never unpacks to more than this.
const BODY_BYTES_MAX: usize = 512 << 20;

pub(super) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    varint::put(out, labels.len() as u64);
    for (n, v) in labels.iter() {
        varint::put_block(out, n.as_bytes());
        varint::put_block(out, v.as_bytes());
    }
}

/// Reads labels; they must be sorted by name, which keeps [`Labels`] honest on hostile bytes.
pub(super) fn get_labels(r: &mut Reader<'_>) -> Result<Labels, ChunkError> {
    let n = r.index(r.rest.len() + 1)?;
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(n.min(64));
    for _ in 0..n {
        let pair = (r.text()?, r.text()?);
        if pairs.last().is_some_and(|p| p.0 >= pair.0) || pair.1.is_empty() {
            return Err(ChunkError("labels are not sorted"));
        }
        pairs.push(pair);
    }
    Ok(Labels::from_sorted(&pairs))
}

/// Encodes a batch as records; at least one entry must be in it.
pub(super) fn encode(batch: &PushBatch) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut body = Vec::new();
    let mut start = 0;
    while start < batch.len() {
        let text_from = batch.text_start(start);
        let limit = text_from + RECORD_TEXT_BYTES;
        let mut end = start + 1;
        while end < batch.len() && batch.ends[end] as usize <= limit {
            end += 1;
        }
        body.clear();
        put_body(&mut body, batch, start..end);
        let mut record = Vec::with_capacity(body.len() / 3);
        varint::put(&mut record, body.len() as u64);
        let head = record.len();
        record.resize(
            head + lz4_flex::block::get_maximum_output_size(body.len()),
            0,
        );
        // The buffer has the size that the codec asks for, so it cannot fail.
        let n = lz4_flex::block::compress_into(&body, &mut record[head..]).unwrap_or(0);
        record.truncate(head + n);
        records.push(record);
        start = end;
    }
    records
}

fn put_body(out: &mut Vec<u8>, b: &PushBatch, rows: Range<usize>) {
    let streams: Vec<(&Labels, usize)> = b
        .streams()
        .map(|(l, r)| {
            (
                l,
                r.end.min(rows.end).saturating_sub(r.start.max(rows.start)),
            )
        })
        .filter(|s| s.1 > 0)
        .collect();
    varint::put(out, streams.len() as u64);
    for (labels, n) in streams {
        put_labels(out, labels);
        varint::put(out, n as u64);
    }
    varint::put(out, rows.len() as u64);
    let mut before = 0i64;
    for t in &b.times[rows.clone()] {
        varint::put_signed(out, t.wrapping_sub(before));
        before = *t;
    }
    for i in rows.clone() {
        varint::put(out, b.line(i).len() as u64);
    }
    let sets = b.metadata.get(rows.start..rows.end.min(b.metadata.len()));
    match sets.filter(|s| s.iter().any(|x| *x > 0)) {
        None => varint::put(out, 0),
        Some(sets) => {
            varint::put(out, b.metadata_sets.len() as u64);
            b.metadata_sets.iter().for_each(|s| put_labels(out, s));
            sets.iter().for_each(|s| varint::put(out, u64::from(*s)));
            // Entries after the last one with metadata.
            (sets.len()..rows.len()).for_each(|_| varint::put(out, 0));
        }
    }
    out.extend_from_slice(&b.text[b.text_start(rows.start)..b.ends[rows.end - 1] as usize]);
}

/// Reads a record back.
pub(super) fn decode(payload: &[u8]) -> Result<PushBatch, ChunkError> {
    let mut r = Reader::new(payload);
    // LZ4 packs at most 255 times.
    let len = r.index(BODY_BYTES_MAX.min(r.rest.len().saturating_mul(256)))?;
    let body =
        lz4_flex::block::decompress(r.rest, len).map_err(|_| ChunkError("LZ4 block is damaged"))?;
    let mut r = Reader::new(&body);
    let mut b = PushBatch::new();
    let streams = r.index(r.rest.len() + 1)?;
    let mut row = 0usize;
    for _ in 0..streams {
        let labels = get_labels(&mut r)?;
        let n = r.index(body.len() + 1)?;
        b.streams
            .push((labels, u32::try_from(row).unwrap_or(u32::MAX)));
        row = row.saturating_add(n);
    }
    let n = r.index(r.rest.len() + 1)?;
    if n != row {
        return Err(ChunkError("entries of the streams do not add up"));
    }
    let mut t = 0i64;
    for _ in 0..n {
        t = t.wrapping_add(r.signed()?);
        b.times.push(t);
    }
    let mut end = 0u32;
    for _ in 0..n {
        let len = u32::try_from(r.varint()?).map_err(|_| ChunkError("line too long"))?;
        end = end.checked_add(len).ok_or(ChunkError("lines too long"))?;
        b.ends.push(end);
    }
    let sets = r.index(r.rest.len() + 1)?;
    for _ in 0..sets {
        b.metadata_sets.push(get_labels(&mut r)?);
    }
    if sets > 0 {
        for _ in 0..n {
            b.metadata.push(r.index(sets + 1)? as u32);
        }
    }
    if r.rest.len() != end as usize {
        return Err(ChunkError("lines do not add up"));
    }
    b.text.extend_from_slice(r.rest);
    Ok(b)
}
