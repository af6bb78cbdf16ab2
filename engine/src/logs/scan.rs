//! Reading units: decode, cut to the time range, filter, hand out.
//!
//! Owns: the work buffers of one reader, and how a line test is evaluated over many lines at once.
//! Knows nothing of: LogQL.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use memchr::memmem;

use super::api::{EntryBatch, LineTest, Needs, ReadError, ScanOptions, ScanStats, WantedLines};
use super::batch::PushBatch;
use super::deletion::Deletion;
use super::mem::Row;
use super::part::{Found, PartError, Rows};
use super::select::{Selection, Source, Span, Unit};
use crate::model::Labels;

/// Reads the units of a selection, keeping its buffers.
pub struct Reader<'a> {
    sel: &'a Selection,
    options: &'a ScanOptions<'a>,
    finder: Option<memmem::Finder<'a>>,
    rows: Rows,
    /// Rows that pass, numbers in `rows`.
    passed: Vec<u32>,
    set_places: Vec<u32>,
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
        let needle = options.test.as_ref().and_then(|t| rarest(&t.needs));
        Self {
            sel,
            options,
            finder: needle.map(memmem::Finder::new),
            rows: Rows::default(),
            passed: Vec::new(),
            set_places: Vec::new(),
        }
    }

    /// Reads unit `unit` (see [`Selection::order`]) into `batch`, which is emptied first. The
    /// frontier is left alone.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&mut self, unit: usize, batch: &mut EntryBatch) -> Result<(), ReadError> {
        batch.clear();
        let gone = self
            .options
            .cancel
            .is_some_and(|c| c.load(Ordering::Relaxed));
        if gone {
            return Err(ReadError::Cancelled);
        }
        match self.sel.unit(unit) {
            Unit::Plain(s) => match &self.sel.sources[*s] {
                Source::Group { part, group, runs } => {
                    self.read_group(&part.part, *group, runs, batch)
                }
                Source::Mem { batches, streams } => {
                    self.read_mem(batches, streams, batch);
                    Ok(())
                }
            },
            Unit::Overlap { sources, spans } => self.read_overlap(sources, spans, batch),
        }
    }

    fn count(&self, f: impl FnOnce(&ScanStats)) {
        if let Some(s) = self.options.stats {
            f(s);
        }
    }

    fn read_group(
        &mut self,
        part: &super::part::Part,
        group: usize,
        runs: &[(usize, u32)],
        batch: &mut EntryBatch,
    ) -> Result<(), ReadError> {
        let footer = &part.footer.groups[group];
        let deletions: Vec<Vec<&Deletion>> = runs
            .iter()
            .map(|(run, stream)| {
                let r = &footer.runs[*run];
                self.deletions_of(*stream, r.min, r.max)
            })
            .collect();
        let by_line = deletions.iter().flatten().any(|d| d.test.is_some());
        let named = |e: PartError| match e {
            PartError::Io(source) => ReadError::Io {
                part: part.name.clone(),
                source: Arc::new(source),
            },
            e => ReadError::Damaged {
                part: part.name.clone(),
                what: e.to_string(),
            },
        };
        part.read(group, self.options.metadata, false, &mut self.rows)
            .map_err(named)?;
        self.count(|s| {
            ScanStats::add(&s.groups, 1);
            ScanStats::add(&s.compressed_bytes, footer.bytes());
        });
        let found = match &self.finder {
            Some(f) => part.search(group, f, &mut self.rows).map_err(named)?,
            None => None,
        };
        if matches!(found, Some(Found::Nowhere)) {
            self.count(|s| ScanStats::add(&s.skipped, 1));
        }
        let decided = self.options.test.as_ref().is_none_or(decided);
        let text = match &found {
            Some(Found::Nowhere) => false,
            Some(Found::In(_)) => self.options.want == WantedLines::Bytes || by_line || !decided,
            None => {
                self.options.want == WantedLines::Bytes || self.options.test.is_some() || by_line
            }
        };
        if text {
            part.rebuild(group, &mut self.rows).map_err(named)?;
        }
        let mut first = 0usize;
        let mut next = 0usize;
        self.begin_sets(batch);
        for ((run, stream), deletions) in runs.iter().zip(deletions) {
            while next < *run {
                first += footer.runs[next].rows as usize;
                next += 1;
            }
            let end = first + footer.runs[*run].rows as usize;
            let times = &self.rows.times[first..end];
            let a = first + times.partition_point(|t| *t < self.sel.from);
            let b = first + times.partition_point(|t| *t < self.sel.to);
            let cut = self.sel.cut.get(stream).map_or(&[][..], Vec::as_slice);
            for r in without(&self.rows.times, a..b, cut) {
                self.emit(*stream, r, found.as_ref(), &deletions, batch);
            }
        }
        Ok(())
    }

    fn deletions_of(&self, stream: u32, min: i64, max: i64) -> Vec<&'a Deletion> {
        let labels = self.sel.labels(stream as usize);
        let all = self.sel.deletions.iter();
        all.filter(|d| d.concerns(labels, min, max)).collect()
    }

    /// Puts the metadata sets of the loaded group into the batch.
    fn begin_sets(&mut self, batch: &mut EntryBatch) {
        self.set_places.clear();
        if self.rows.distinct.is_empty() || !self.options.metadata {
            return;
        }
        batch.metadata_sets.push(Labels::empty());
        self.set_places.push(0);
        for s in &self.rows.distinct {
            self.set_places.push(batch.metadata_sets.len() as u32);
            batch.metadata_sets.push(s.clone());
        }
    }

    /// Filters rows of one stream and appends what passes.
    fn emit(
        &mut self,
        stream: u32,
        rows: Range<usize>,
        found: Option<&Found>,
        deletions: &[&Deletion],
        batch: &mut EntryBatch,
    ) {
        if rows.is_empty() {
            return;
        }
        let start = if rows.start == 0 {
            0
        } else {
            self.rows.ends[rows.start - 1]
        };
        let bytes = self.rows.ends[rows.end - 1] - start;
        self.passed.clear();
        match (&self.options.test, found) {
            (None, _) => self.passed.extend(rows.start as u32..rows.end as u32),
            (Some(_), Some(Found::Nowhere)) => {}
            (Some(test), Some(Found::In(hits))) => {
                let sure = decided(test);
                let r = &self.rows;
                let passes = |i: &usize| hits[*i] && (sure || (test.matches)(r.line(*i)));
                self.passed
                    .extend(rows.clone().filter(passes).map(|i| i as u32));
            }
            (Some(test), None) => filter(
                &self.rows,
                rows.clone(),
                test,
                self.finder.as_ref(),
                &mut self.passed,
            ),
        }
        if !deletions.is_empty() {
            let r = &self.rows;
            self.passed.retain(|i| {
                let i = *i as usize;
                let line = if r.text.is_empty() {
                    &[][..]
                } else {
                    r.line(i)
                };
                !deletions.iter().any(|d| d.deletes(r.times[i], line))
            });
        }
        self.count(|s| {
            ScanStats::add(&s.lines, rows.len());
            ScanStats::add(&s.bytes, bytes as usize);
            ScanStats::add(&s.passed, self.passed.len());
        });
        for &i in &self.passed {
            let i = i as usize;
            batch.streams.push(stream);
            batch.times.push(self.rows.times[i]);
            let before = batch.ends.last().copied().unwrap_or(0);
            match self.options.want {
                WantedLines::Nothing => batch.ends.push(before),
                WantedLines::Lengths => {
                    let from = if i == 0 { 0 } else { self.rows.ends[i - 1] };
                    batch.ends.push(before + (self.rows.ends[i] - from));
                }
                WantedLines::Bytes => {
                    batch.text.extend_from_slice(self.rows.line(i));
                    batch.ends.push(batch.text.len() as u32);
                }
            }
            if let Some(set) = self.rows.sets.get(i)
                && !self.set_places.is_empty()
            {
                let place = usize::try_from(*set)
                    .ok()
                    .and_then(|s| self.set_places.get(s));
                batch.metadata.push(place.copied().unwrap_or(0));
            }
        }
    }

    fn read_mem(
        &mut self,
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
        &mut self,
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
                        .read(*group, true, true, &mut self.rows)
                        .map_err(|e| ReadError::Damaged {
                            part: part.part.name.clone(),
                            what: e.to_string(),
                        })?;
                    let footer = &part.part.footer.groups[*group];
                    for (run, stream) in runs {
                        let first: usize =
                            footer.runs[..*run].iter().map(|r| r.rows as usize).sum();
                        for i in first..first + footer.runs[*run].rows as usize {
                            if inside(*stream, self.rows.times[i]) {
                                late.push(Late {
                                    stream: *stream,
                                    time: self.rows.times[i],
                                    line: self.rows.line(i).to_vec(),
                                    metadata: self.rows.metadata(i).cloned(),
                                });
                            }
                        }
                    }
                }
            }
        }
        let before = late.len();
        late.sort_by_key(|e| (e.stream, e.time));
        let mut kept: Vec<Late> = Vec::with_capacity(late.len());
        for e in late {
            let same = kept.iter().rev();
            let mut same = same.take_while(|k| k.stream == e.stream && k.time == e.time);
            if !same.any(|k| k.line == e.line && k.metadata == e.metadata) {
                kept.push(e);
            }
        }
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

/// The substring to look for first: the longest that every matching line must hold.
fn rarest(needs: &Needs) -> Option<&[u8]> {
    match needs {
        Needs::Substring(s) if !s.is_empty() => Some(s),
        Needs::All(list) => list.iter().filter_map(rarest).max_by_key(|s| s.len()),
        _ => None,
    }
}

/// Whether a line that holds the substring passes for that reason alone.
fn decided(test: &LineTest) -> bool {
    test.exact && matches!(test.needs, Needs::Substring(_))
}

/// Rows of `rows` whose times are in none of `cut`.
fn without(times: &[i64], rows: Range<usize>, cut: &[Span]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut at = rows.start;
    for s in cut {
        let t = &times[at..rows.end];
        let a = at + t.partition_point(|t| *t < s.min);
        let b = at + t.partition_point(|t| *t <= s.max);
        if a > at {
            out.push(at..a);
        }
        at = b;
    }
    if at < rows.end {
        out.push(at..rows.end);
    }
    out
}

/// Appends the rows whose lines pass. With a needed substring the lines are searched as one text,
/// and only lines that hold it are tested.
fn filter(
    r: &Rows,
    rows: Range<usize>,
    test: &LineTest,
    finder: Option<&memmem::Finder<'_>>,
    out: &mut Vec<u32>,
) {
    let Some(finder) = finder else {
        out.extend(
            rows.filter(|i| (test.matches)(r.line(*i)))
                .map(|i| i as u32),
        );
        return;
    };
    let decided = decided(test);
    let n = finder.needle().len();
    let start_of = |i: usize| if i == 0 { 0 } else { r.ends[i - 1] as usize };
    let end = r.ends[rows.end - 1] as usize;
    let mut at = start_of(rows.start);
    let mut row = rows.start;
    while at < end {
        let Some(hit) = finder.find(&r.text[at..end]) else {
            return;
        };
        let hit = at + hit;
        row += r.ends[row..rows.end].partition_point(|e| *e as usize <= hit);
        let line_end = r.ends[row] as usize;
        if hit + n > line_end {
            // Across two lines: not a hit. The next one may begin one byte later.
            at = hit + 1;
            continue;
        }
        if decided || (test.matches)(r.line(row)) {
            out.push(row as u32);
        }
        at = line_end;
        row += 1;
        if row >= rows.end {
            return;
        }
    }
}
