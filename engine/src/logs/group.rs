//! Reading one row group: which rows pass, and what is handed out of them.
//!
//! Owns: the order of the steps, so that what is dear is done for few rows: times, then what needles
//! say about columns, then lines.
//! Knows nothing of: which groups are read, LogQL.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use super::api::{EntryBatch, Hole, LineTest, Needs, ReadError, ScanStats, WantedLines};
use super::columns::{Look, Page, Pick, Values};
use super::deletion::Deletion;
use super::needle::Needle;
use super::part::{Part, PartError, Rows, StoredText};
use super::scan::Scan;
use super::select::Span;
use crate::chunk::ChunkError;
use crate::chunk::frame::Unpacker;
use crate::model::Labels;

/// Skeletons whose holes are remembered from group to group.
const KNOWN_SKELETONS_MAX: usize = 20_000;

/// One row in this many is few.
const FEW: usize = 32;

/// [`Needs`] made ready.
pub(super) enum Sought {
    Anything,
    One(Needle),
    All(Vec<Sought>),
    Any(Vec<Sought>),
}

impl Sought {
    pub(super) fn new(needs: &Needs) -> Self {
        let one = |n: Option<Needle>| n.map_or(Self::Anything, Self::One);
        match needs {
            Needs::Anything => Self::Anything,
            Needs::Substring(s) => one(Needle::literal(s)),
            Needs::Run(sets) => one(Needle::new(sets.clone())),
            Needs::All(list) => Self::All(list.iter().map(Self::new).collect()),
            Needs::Any(list) => Self::Any(list.iter().map(Self::new).collect()),
        }
    }

    /// Rows that may pass; `search` finds the rows of a needle. With `exact` no other rows.
    fn rows(
        &self,
        exact: bool,
        search: &dyn Fn(&Needle) -> Result<Option<Vec<bool>>, ChunkError>,
    ) -> Result<Found, ChunkError> {
        Ok(match self {
            Self::Anything => Found::Everywhere,
            Self::One(n) => search(n)?.map_or(Found::Nowhere, Found::In),
            Self::All(list) => {
                let mut all = Found::Everywhere;
                for s in list {
                    all = all.and(s.rows(exact, search)?);
                    let few = match &all {
                        Found::Everywhere => false,
                        Found::Nowhere => true,
                        // Lines of few rows are sooner tested than searched for more.
                        Found::In(hits) => {
                            let n = hits.iter().filter(|h| **h).count();
                            !exact && n * FEW < hits.len()
                        }
                    };
                    if few {
                        break;
                    }
                }
                all
            }
            Self::Any(list) => {
                let mut any = Found::Nowhere;
                for s in list {
                    any = any.or(s.rows(exact, search)?);
                    if matches!(any, Found::Everywhere) {
                        break;
                    }
                }
                any
            }
        })
    }
}

/// Rows of a group.
enum Found {
    Everywhere,
    Nowhere,
    In(Vec<bool>),
}

impl Found {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nowhere, _) | (_, Self::Nowhere) => Self::Nowhere,
            (Self::Everywhere, x) | (x, Self::Everywhere) => x,
            (Self::In(mut a), Self::In(b)) => {
                a.iter_mut().zip(b).for_each(|(a, b)| *a &= b);
                Self::In(a)
            }
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everywhere, _) | (_, Self::Everywhere) => Self::Everywhere,
            (Self::Nowhere, x) | (x, Self::Nowhere) => x,
            (Self::In(mut a), Self::In(b)) => {
                a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
                Self::In(a)
            }
        }
    }
}

/// Rows of one stream among the chosen ones.
struct Piece<'d> {
    stream: u32,
    chosen: Range<usize>,
    deletions: Vec<&'d Deletion>,
}

/// Lines of chosen rows.
enum Lines {
    /// None were needed.
    Absent,
    /// Those of all rows of the group.
    ByRow(Values),
    /// Those of the chosen rows.
    ByChoice(Values),
}

impl Lines {
    fn get(&self, k: usize, row: u32) -> &[u8] {
        match self {
            Self::Absent => &[],
            Self::ByRow(v) => v.get(row as usize),
            Self::ByChoice(v) => v.get(k),
        }
    }
}

/// Work buffers of a reader, kept from group to group.
#[derive(Default)]
pub(super) struct GroupBuffers {
    rows: Rows,
    page: Vec<u8>,
    unpacker: Unpacker,
    chosen: Vec<u32>,
    /// Holes of skeletons that were met.
    holes: HashMap<Vec<u8>, Option<Vec<Hole>>, foldhash::fast::RandomState>,
    /// Whether a row with this early line and set may pass; valid for one piece.
    early: Vec<(u64, bool)>,
    early_piece: u64,
}

/// Reads the wanted runs (number in the group, stream) of a row group into `batch`.
pub(super) fn read(
    scan: &Scan<'_>,
    buffers: &mut GroupBuffers,
    part: &Part,
    group: usize,
    runs: &[(usize, u32)],
    batch: &mut EntryBatch,
) -> Result<(), ReadError> {
    read_named(scan, buffers, part, group, runs, batch).map_err(|e| match e {
        PartError::Io(source) => ReadError::Io {
            part: part.name.clone(),
            source: Arc::new(source),
        },
        e => ReadError::Damaged {
            part: part.name.clone(),
            what: e.to_string(),
        },
    })
}

fn read_named(
    scan: &Scan<'_>,
    buffers: &mut GroupBuffers,
    part: &Part,
    group: usize,
    runs: &[(usize, u32)],
    batch: &mut EntryBatch,
) -> Result<(), PartError> {
    let o = scan.options;
    part.read(group, o.metadata, false, &mut buffers.rows)?;
    scan.count(|s| {
        ScanStats::add(&s.groups, 1);
        ScanStats::add(&s.compressed_bytes, part.footer.groups[group].bytes());
    });
    let mut pieces = choose(scan, part, group, runs, &buffers.rows, &mut buffers.chosen);
    let by_line = pieces.iter().flat_map(|p| &p.deletions);
    let by_line = by_line.clone().any(|d| d.test.is_some());
    let glance = o.glance.filter(|_| o.want == WantedLines::Bytes);
    if o.test.is_none() && !by_line && o.want != WantedLines::Bytes {
        let rows = &buffers.rows;
        buffers.chosen.drop_deleted(&mut pieces, rows);
        return emit(scan, buffers, &pieces, &Lines::Absent, batch);
    }
    let mut stored = std::mem::take(&mut buffers.page);
    let unpacker = std::mem::take(&mut buffers.unpacker);
    let done = (|| {
        part.text_page(group, &mut stored)?;
        let text = part.open_text(group, &stored, &unpacker)?;
        let page = match &text {
            StoredText::Whole(_) => None,
            StoredText::Columns {
                packed,
                rows,
                bytes,
            } => Some(Page::new(packed, *rows, *bytes)?),
        };
        let found = {
            let ends = &buffers.rows.ends;
            let exact = o.test.as_ref().is_some_and(|t| t.exact);
            scan.sought.rows(exact, &|n| match (&page, &text) {
                (Some(p), _) => p.search(n),
                (None, StoredText::Whole(t)) => Ok(n.find_in(t, ends)),
                _ => Ok(None),
            })?
        };
        match found {
            Found::Everywhere => {}
            Found::Nowhere => {
                scan.count(|s| ScanStats::add(&s.skipped, 1));
                return Ok(());
            }
            Found::In(hits) => buffers
                .chosen
                .retain_pieces(&mut pieces, |_, _, i| hits[i as usize]),
        }
        if buffers.chosen.is_empty() {
            return Ok(());
        }
        // What the needles did not decide is tested on the line.
        let test = o.test.as_ref().filter(|t| !t.exact);
        if let (Some(glance), Some(page)) = (glance, &page)
            && test.is_none()
            && !by_line
        {
            let rows = &buffers.rows;
            buffers.chosen.drop_deleted(&mut pieces, rows);
            if glanced(scan, buffers, glance, page, &pieces, batch)? {
                return Ok(());
            }
        }
        let lines = if test.is_some() || by_line || o.want == WantedLines::Bytes {
            lines(page.as_ref(), &text, buffers)?
        } else {
            Lines::Absent
        };
        let lines = keep(test, by_line, lines, buffers, &mut pieces);
        emit(scan, buffers, &pieces, &lines, batch)
    })();
    buffers.page = stored;
    buffers.unpacker = unpacker;
    done
}

/// Rows of the wanted runs that lie in the time range and are not read elsewhere.
fn choose<'s>(
    scan: &Scan<'s>,
    part: &Part,
    group: usize,
    runs: &[(usize, u32)],
    rows: &Rows,
    chosen: &mut Vec<u32>,
) -> Vec<Piece<'s>> {
    let footer = &part.footer.groups[group];
    let mut pieces = Vec::with_capacity(runs.len());
    chosen.clear();
    let (mut first, mut next) = (0usize, 0usize);
    let (mut looked, mut bytes) = (0usize, 0u64);
    for (run, stream) in runs {
        while next < *run {
            first += footer.runs[next].rows as usize;
            next += 1;
        }
        let r = &footer.runs[*run];
        let end = first + r.rows as usize;
        let times = &rows.times[first..end];
        let a = first + times.partition_point(|t| *t < scan.sel.from);
        let b = first + times.partition_point(|t| *t < scan.sel.to);
        let cut = scan.sel.cut.get(stream).map_or(&[][..], Vec::as_slice);
        let from = chosen.len();
        for range in without(&rows.times, a..b, cut) {
            looked += range.len();
            let start = range.start.checked_sub(1).map_or(0, |i| rows.ends[i]);
            bytes += u64::from(rows.ends[range.end - 1] - start);
            chosen.extend(range.start as u32..range.end as u32);
        }
        if chosen.len() > from {
            pieces.push(Piece {
                stream: *stream,
                chosen: from..chosen.len(),
                deletions: scan.deletions_of(*stream, r.min, r.max),
            });
        }
    }
    scan.count(|s| {
        ScanStats::add(&s.lines, looked);
        ScanStats::add(&s.bytes, usize::try_from(bytes).unwrap_or(usize::MAX));
    });
    pieces
}

/// Rows of `rows` whose times are in none of `cut`; none of the ranges is empty.
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

/// Dropping chosen rows while the pieces keep theirs.
trait RetainPieces {
    /// Keeps the rows for which `keep` holds: deletions of the stream, place, row.
    fn retain_pieces(
        &mut self,
        pieces: &mut [Piece<'_>],
        keep: impl FnMut(&[&Deletion], usize, u32) -> bool,
    );

    /// Drops rows that are deleted whatever their lines are.
    fn drop_deleted(&mut self, pieces: &mut [Piece<'_>], rows: &Rows);
}

impl RetainPieces for Vec<u32> {
    fn retain_pieces(
        &mut self,
        pieces: &mut [Piece<'_>],
        mut keep: impl FnMut(&[&Deletion], usize, u32) -> bool,
    ) {
        let mut to = 0;
        for p in pieces.iter_mut() {
            let from = to;
            for k in p.chosen.clone() {
                let row = self[k];
                if keep(&p.deletions, k, row) {
                    self[to] = row;
                    to += 1;
                }
            }
            p.chosen = from..to;
        }
        self.truncate(to);
    }

    fn drop_deleted(&mut self, pieces: &mut [Piece<'_>], rows: &Rows) {
        if pieces.iter().any(|p| !p.deletions.is_empty()) {
            self.retain_pieces(pieces, |deletions, _, i| {
                let time = rows.times[i as usize];
                !deletions.iter().any(|d| d.deletes(time, &[]))
            });
        }
    }
}

fn lines(
    page: Option<&Page<'_>>,
    text: &StoredText<'_>,
    buffers: &GroupBuffers,
) -> Result<Lines, PartError> {
    let (n, chosen) = (buffers.rows.times.len(), &buffers.chosen);
    Ok(match (page, text) {
        (Some(p), _) if chosen.len() * 2 > n => Lines::ByRow(p.lines(Pick::All)?),
        (Some(p), _) => Lines::ByChoice(p.lines(Pick::These(chosen))?),
        (None, StoredText::Whole(bytes)) => Lines::ByRow(Values {
            bytes: bytes.clone(),
            ends: buffers.rows.ends.clone(),
        }),
        (None, StoredText::Columns { .. }) => Lines::Absent,
    })
}

/// Drops chosen rows whose lines do not pass or are deleted.
fn keep(
    test: Option<&LineTest>,
    by_line: bool,
    lines: Lines,
    buffers: &mut GroupBuffers,
    pieces: &mut [Piece<'_>],
) -> Lines {
    let rows = &buffers.rows;
    let before = buffers.chosen.len();
    let mut places: Vec<usize> = Vec::with_capacity(before);
    buffers.chosen.retain_pieces(pieces, |deletions, k, i| {
        let line = if test.is_some() || by_line {
            lines.get(k, i)
        } else {
            &[]
        };
        let kept = test.is_none_or(|t| (t.matches)(line))
            && !deletions
                .iter()
                .any(|d| d.deletes(rows.times[i as usize], line));
        if kept {
            places.push(k);
        }
        kept
    });
    match lines {
        Lines::ByChoice(v) if places.len() < before => {
            let mut left = Values::default();
            places.iter().for_each(|k| left.push(v.get(*k)));
            Lines::ByChoice(left)
        }
        other => other,
    }
}

/// Appends the chosen rows to the batch.
fn emit(
    scan: &Scan<'_>,
    buffers: &GroupBuffers,
    pieces: &[Piece<'_>],
    lines: &Lines,
    batch: &mut EntryBatch,
) -> Result<(), PartError> {
    let (rows, chosen) = (&buffers.rows, &buffers.chosen);
    scan.count(|s| ScanStats::add(&s.passed, chosen.len()));
    entries(scan, rows, pieces, |k| chosen[k], batch);
    let mut end = batch.ends.last().copied().unwrap_or(0);
    match scan.options.want {
        WantedLines::Nothing => batch.ends.resize(batch.times.len(), end),
        WantedLines::Lengths => {
            for i in chosen {
                let i = *i as usize;
                let from = i.checked_sub(1).map_or(0, |i| rows.ends[i]);
                end += rows.ends[i] - from;
                batch.ends.push(end);
            }
        }
        WantedLines::Bytes => {
            for (k, i) in chosen.iter().enumerate() {
                batch.text.extend_from_slice(lines.get(k, *i));
                batch.ends.push(batch.text.len() as u32);
            }
        }
    }
    Ok(())
}

/// Appends streams, times and metadata; `row` gives the row of a chosen one.
fn entries(
    scan: &Scan<'_>,
    rows: &Rows,
    pieces: &[Piece<'_>],
    row: impl Fn(usize) -> u32,
    batch: &mut EntryBatch,
) {
    let sets = scan.options.metadata && !rows.distinct.is_empty();
    if sets {
        // Set 0 is that of entries without metadata.
        batch.metadata_sets.push(Labels::empty());
        batch.metadata_sets.extend(rows.distinct.iter().cloned());
    }
    for p in pieces {
        let n = batch.times.len() + p.chosen.len();
        batch.streams.resize(n, p.stream);
        for k in p.chosen.clone() {
            let i = row(k) as usize;
            batch.times.push(rows.times[i]);
            if sets {
                // In range: checked when the group was read.
                let set = rows.sets.get(i).copied().unwrap_or(0);
                batch.metadata.push(u32::try_from(set).unwrap_or(0));
            }
        }
    }
}

/// Hands out the chosen rows as a reader sees them; false when their lines are needed whole.
fn glanced(
    scan: &Scan<'_>,
    buffers: &mut GroupBuffers,
    glance: &dyn super::api::Glance,
    page: &Page<'_>,
    pieces: &[Piece<'_>],
    batch: &mut EntryBatch,
) -> Result<bool, PartError> {
    let mut looking = Looking {
        scan,
        glance,
        pieces,
        piece: 0,
        rows: &buffers.rows,
        chosen: &buffers.chosen,
        holes: &mut buffers.holes,
        early: &mut buffers.early,
        number: &mut buffers.early_piece,
    };
    *looking.number += 1;
    let Some(seen) = page.glance(&buffers.chosen, &mut looking)? else {
        return Ok(false);
    };
    scan.count(|s| ScanStats::add(&s.passed, seen.kept.len()));
    let mut left = Vec::with_capacity(pieces.len());
    let mut from = 0;
    for p in pieces {
        let to = seen.kept.partition_point(|k| (k.0 as usize) < p.chosen.end);
        left.push(Piece {
            stream: p.stream,
            chosen: from..to,
            deletions: Vec::new(),
        });
        from = to;
    }
    let chosen = &buffers.chosen;
    let row = |k: usize| chosen[seen.kept[k].0 as usize];
    entries(scan, &buffers.rows, &left, row, batch);
    batch.lines.extend(seen.kept.iter().map(|k| k.1));
    batch.shared = seen.shared;
    batch.text = seen.lines.bytes;
    batch.ends = seen.lines.ends;
    Ok(true)
}

/// Asks a reader about the rows of a group.
struct Looking<'a, 's> {
    scan: &'a Scan<'s>,
    glance: &'a dyn super::api::Glance,
    pieces: &'a [Piece<'s>],
    /// Where the current row is.
    piece: usize,
    rows: &'a Rows,
    chosen: &'a [u32],
    holes: &'a mut HashMap<Vec<u8>, Option<Vec<Hole>>, foldhash::fast::RandomState>,
    early: &'a mut Vec<(u64, bool)>,
    /// Of the piece, among all that were ever read.
    number: &'a mut u64,
}

impl Look for Looking<'_, '_> {
    fn holes(&mut self, pieces: &[&[u8]]) -> Option<Vec<Hole>> {
        let key = pieces.join(&super::columns::HOLE);
        if let Some(known) = self.holes.get(&key) {
            return known.clone();
        }
        if self.holes.len() >= KNOWN_SKELETONS_MAX {
            self.holes.clear();
        }
        let holes = self.glance.holes(pieces);
        self.holes.insert(key, holes.clone());
        holes
    }

    fn may_pass(&mut self, k: usize, number: u32, line: &[u8]) -> bool {
        while k >= self.pieces[self.piece].chosen.end {
            self.piece += 1;
            *self.number += 1;
        }
        let sets = self.rows.distinct.len() + 1;
        let row = self.chosen[k] as usize;
        let set = self
            .rows
            .sets
            .get(row)
            .and_then(|s| usize::try_from(*s).ok());
        let at = number as usize * sets + set.unwrap_or(0);
        if self.early.len() <= at {
            self.early.resize(at + 1, (0, false));
        }
        if self.early[at].0 == *self.number {
            return self.early[at].1;
        }
        let stream = self
            .scan
            .sel
            .labels(self.pieces[self.piece].stream as usize);
        let passes = self.glance.may_pass(stream, self.rows.metadata(row), line);
        self.early[at] = (*self.number, passes);
        passes
    }
}
