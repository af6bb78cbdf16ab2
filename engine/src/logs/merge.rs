//! Merging parts: all are sorted by stream and time, so one pass with a row group of each in memory
//! does it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::db::LivePart;
use super::deletion::Deletion;
use super::distinct::Distinct;
use super::part::{PartError, PartWriter, Rows};
use crate::model::Labels;

/// Where a part is read.
struct Cursor<'a> {
    part: &'a LivePart,
    /// Place of each stream of the part among all streams.
    places: Vec<u32>,
    group: usize,
    run: usize,
    /// Row in the run, and in the group.
    in_run: u32,
    row: usize,
    rows: Rows,
}

impl Cursor<'_> {
    /// Stream and time of the next entry; `None` at the end.
    fn key(&self) -> Option<(u32, i64)> {
        let g = self.part.part.footer.groups.get(self.group)?;
        let run = g.runs.get(self.run)?;
        Some((self.places[run.stream as usize], self.rows.times[self.row]))
    }

    fn load(&mut self) -> Result<(), PartError> {
        let groups = &self.part.part.footer.groups;
        // A group without rows cannot be written, but may be read.
        while groups.get(self.group).is_some_and(|g| g.rows() == 0) {
            self.group += 1;
        }
        (self.run, self.in_run, self.row) = (0, 0, 0);
        if self.group < groups.len() {
            self.part
                .part
                .read(self.group, true, true, &mut self.rows)?;
            self.skip_empty_runs();
        }
        Ok(())
    }

    fn skip_empty_runs(&mut self) {
        let runs = &self.part.part.footer.groups[self.group].runs;
        while runs.get(self.run).is_some_and(|r| self.in_run >= r.rows) {
            self.run += 1;
            self.in_run = 0;
        }
    }

    fn advance(&mut self) -> Result<(), PartError> {
        self.row += 1;
        self.in_run += 1;
        self.skip_empty_runs();
        if self.run >= self.part.part.footer.groups[self.group].runs.len() {
            self.group += 1;
            self.load()?;
        }
        Ok(())
    }
}

/// Writes the entries of all parts, each once, without deleted ones and the streams `gone`.
pub(super) fn merge(
    parts: &[Arc<LivePart>],
    deletions: &[Deletion],
    gone: &[Labels],
    w: &mut PartWriter,
) -> io::Result<()> {
    let mut streams: Vec<&Labels> = parts.iter().flat_map(|p| &p.part.footer.streams).collect();
    streams.sort_unstable();
    streams.dedup();
    let place: HashMap<&Labels, u32> = streams
        .iter()
        .enumerate()
        .map(|(i, l)| (*l, i as u32))
        .collect();
    let mut cursors = Vec::with_capacity(parts.len());
    for p in parts {
        let mut c = Cursor {
            part: p,
            places: p.part.footer.streams.iter().map(|l| place[l]).collect(),
            group: 0,
            run: 0,
            in_run: 0,
            row: 0,
            rows: Rows::default(),
        };
        c.load().map_err(io::Error::other)?;
        cursors.push(c);
    }
    let mut looked_up: Option<u32> = None;
    let mut is_gone = false;
    let mut named: Option<u32> = None;
    let mut concerned: Vec<&Deletion> = Vec::new();
    // Entries already written with the same stream and time, when several parts have it: a part
    // alone has no entry twice.
    let mut same: Vec<(Vec<u8>, Option<Labels>)> = Vec::new();
    let mut seen = Distinct::default();
    let mut shared = false;
    let mut last = None;
    loop {
        let least = cursors
            .iter()
            .enumerate()
            .filter_map(|(i, c)| Some((c.key()?, i)))
            .min();
        let Some((key, i)) = least else {
            return Ok(());
        };
        let (stream, time) = key;
        if looked_up != Some(stream) {
            looked_up = Some(stream);
            let labels = streams[stream as usize];
            is_gone = gone.contains(labels);
            let all = deletions.iter();
            concerned = all
                .filter(|d| d.is_final && d.concerns(labels, i64::MIN, i64::MAX))
                .collect();
        }
        if last != Some(key) {
            same.clear();
            seen.clear();
            shared = cursors.iter().filter(|c| c.key() == Some(key)).count() > 1;
            last = Some(key);
        }
        let c = &mut cursors[i];
        let line = c.rows.line(c.row);
        let metadata = c.rows.metadata(c.row);
        let known = shared && {
            same.push((line.to_vec(), metadata.cloned()));
            let n = same.len() as u32 - 1;
            let new = seen.add(n, |n| {
                let (line, metadata) = &same[n as usize];
                (line, metadata.as_ref())
            });
            if !new {
                same.pop();
            }
            !new
        };
        if !known && !is_gone && !concerned.iter().any(|d| d.deletes(time, line)) {
            // A stream whose entries are all deleted is not named.
            if named != Some(stream) {
                w.stream(streams[stream as usize]);
                named = Some(stream);
            }
            w.entry(time, line, metadata)?;
        }
        c.advance().map_err(io::Error::other)?;
    }
}
