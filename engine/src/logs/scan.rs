//! Reading units: row groups, memtables, and stretches where both have a stream's entries.
//!
//! Owns: one reader with its work buffers, entries in memory, merging what may be there twice.
//! Knows nothing of: LogQL, how a row group looks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::api::{EntryBatch, ReadError, ScanOptions, ScanStats, WantedLines};
use super::batch::PushBatch;
use super::deletion::Deletion;
use super::distinct::Distinct;
use super::group::{self, GroupBuffers, Sought};
use super::mem::Row;
use super::part::Rows;
use super::select::{Selection, Source, Span, Unit};
use crate::model::Labels;

/// What is the same for all units of a scan.
pub(super) struct Scan<'a> {
    pub(super) sel: &'a Selection,
    pub(super) options: &'a ScanOptions<'a>,
    /// What lines that pass hold.
    pub(super) sought: Sought,
}

impl<'a> Scan<'a> {
    pub(super) fn count(&self, f: impl FnOnce(&ScanStats)) {
        if let Some(s) = self.options.stats {
            f(s);
        }
    }

    pub(super) fn deletions_of(&self, stream: u32, min: i64, max: i64) -> Vec<&'a Deletion> {
        let labels = self.sel.labels(stream as usize);
        let all = self.sel.deletions.iter();
        all.filter(|d| d.concerns(labels, min, max)).collect()
    }
}

/// Reads the units of a selection, keeping its buffers.
pub struct Reader<'a> {
    scan: Scan<'a>,
    buffers: GroupBuffers,
    /// Groups of overlaps.
    rows: Rows,
}

/// An entry of an overlap, with its order of arrival.
struct Late {
    stream: u32,
    time: i64,
    line: Vec<u8>,
    metadata: Option<Labels>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sel: &'a Selection, options: &'a ScanOptions<'a>) -> Self {
        let sought = options.test.as_ref().map(|t| Sought::new(&t.needs));
        Self {
            scan: Scan {
                sel,
                options,
                sought: sought.unwrap_or(Sought::Anything),
            },
            buffers: GroupBuffers::default(),
            rows: Rows::default(),
        }
    }

    /// Reads unit `unit` (see [`Selection::order`]) into `batch`, which is emptied first. The
    /// frontier is left alone.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&mut self, unit: usize, batch: &mut EntryBatch) -> Result<(), ReadError> {
        batch.clear();
        let scan = &self.scan;
        let cancel = scan.options.cancel;
        if cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
            return Err(ReadError::Cancelled);
        }
        match scan.sel.unit(unit) {
            Unit::Plain(s) => match &scan.sel.sources[*s] {
                Source::Group { part, group, runs } => {
                    group::read(scan, &mut self.buffers, &part.part, *group, runs, batch)
                }
                Source::Mem { batches, streams } => {
                    scan.read_mem(batches, streams, batch);
                    Ok(())
                }
            },
            Unit::Overlap { sources, spans } => {
                scan.read_overlap(&mut self.rows, sources, spans, batch)
            }
        }
    }
}

impl Scan<'_> {
    fn read_mem(
        &self,
        batches: &[Arc<PushBatch>],
        streams: &[(u32, Vec<Row>)],
        batch: &mut EntryBatch,
    ) {
        for (stream, rows) in streams {
            let cut = self.sel.cut.get(stream).map_or(&[][..], Vec::as_slice);
            let (Some(a), Some(b)) = (rows.first(), rows.last()) else {
                continue;
            };
            let deletions = self.deletions_of(*stream, a.time, b.time);
            for r in rows {
                if cut.iter().any(|s| (s.min..=s.max).contains(&r.time)) {
                    continue;
                }
                let b = &batches[r.batch as usize];
                let i = r.row as usize;
                self.emit_one(*stream, r.time, b.line(i), b.metadata(i), &deletions, batch);
            }
        }
    }

    /// Filters and appends one entry.
    fn emit_one(
        &self,
        stream: u32,
        time: i64,
        line: &[u8],
        metadata: Option<&Labels>,
        deletions: &[&Deletion],
        batch: &mut EntryBatch,
    ) {
        let o = self.options;
        let passes = o.test.as_ref().is_none_or(|t| (t.matches)(line))
            && !deletions.iter().any(|d| d.deletes(time, line));
        self.count(|s| {
            ScanStats::add(&s.lines, 1);
            ScanStats::add(&s.bytes, line.len());
            ScanStats::add(&s.passed, usize::from(passes));
        });
        if !passes {
            return;
        }
        if o.metadata && (metadata.is_some() || !batch.metadata_sets.is_empty()) {
            if batch.metadata_sets.is_empty() {
                batch.metadata_sets.push(Labels::empty());
            }
            batch.metadata.resize(batch.times.len(), 0);
            let set = match metadata {
                None => 0,
                Some(m) if batch.metadata_sets.last() == Some(m) => batch.metadata_sets.len() - 1,
                Some(m) => {
                    batch.metadata_sets.push(m.clone());
                    batch.metadata_sets.len() - 1
                }
            };
            batch.metadata.push(set as u32);
        }
        batch.streams.push(stream);
        batch.times.push(time);
        let before = batch.ends.last().copied().unwrap_or(0);
        match o.want {
            WantedLines::Nothing => batch.ends.push(before),
            WantedLines::Lengths => batch.ends.push(before + line.len() as u32),
            WantedLines::Bytes => {
                batch.text.extend_from_slice(line);
                batch.ends.push(batch.text.len() as u32);
            }
        }
    }

    /// Merges the rows of `spans` from all `sources`, each distinct entry once.
    fn read_overlap(
        &self,
        group_rows: &mut Rows,
        sources: &[usize],
        spans: &BTreeMap<u32, Vec<Span>>,
        batch: &mut EntryBatch,
    ) -> Result<(), ReadError> {
        let mut late: Vec<Late> = Vec::new();
        let inside = |stream: u32, t: i64| {
            (self.sel.from..self.sel.to).contains(&t)
                && spans
                    .get(&stream)
                    .is_some_and(|s| s.iter().any(|s| (s.min..=s.max).contains(&t)))
        };
        for s in sources {
            match &self.sel.sources[*s] {
                Source::Mem { batches, streams } => {
                    for (stream, rows) in streams {
                        for r in rows.iter().filter(|r| inside(*stream, r.time)) {
                            let b = &batches[r.batch as usize];
                            late.push(Late {
                                stream: *stream,
                                time: r.time,
                                line: b.line(r.row as usize).to_vec(),
                                metadata: b.metadata(r.row as usize).cloned(),
                            });
                        }
                    }
                }
                Source::Group { part, group, runs } => {
                    // Metadata tells entries apart, so it is read even when nobody asked for it.
                    part.part
                        .read(*group, true, true, group_rows)
                        .map_err(|e| ReadError::Damaged {
                            part: part.part.name.clone(),
                            what: e.to_string(),
                        })?;
                    let footer = &part.part.footer.groups[*group];
                    for (run, stream) in runs {
                        let first: usize =
                            footer.runs[..*run].iter().map(|r| r.rows as usize).sum();
                        for i in first..first + footer.runs[*run].rows as usize {
                            if inside(*stream, group_rows.times[i]) {
                                late.push(Late {
                                    stream: *stream,
                                    time: group_rows.times[i],
                                    line: group_rows.line(i).to_vec(),
                                    metadata: group_rows.metadata(i).cloned(),
                                });
                            }
                        }
                    }
                }
            }
        }
        let before = late.len();
        late.sort_by_key(|e| (e.stream, e.time));
        let new = Distinct::of_sorted(
            late.len(),
            |i| (late[i].stream, late[i].time),
            |i| (&late[i].line, late[i].metadata.as_ref()),
        );
        let all = late.into_iter().zip(new);
        let kept: Vec<Late> = all.filter_map(|(e, new)| new.then_some(e)).collect();
        self.count(|s| ScanStats::add(&s.duplicates, before - kept.len()));
        for stream in kept.chunk_by(|a, b| a.stream == b.stream) {
            let (min, max) = (stream[0].time, stream[stream.len() - 1].time);
            let deletions = self.deletions_of(stream[0].stream, min, max);
            for e in stream {
                let m = e.metadata.as_ref();
                self.emit_one(e.stream, e.time, &e.line, m, &deletions, batch);
            }
        }
        Ok(())
    }
}
