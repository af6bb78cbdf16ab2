//! Writing a part: rows come sorted by stream and time.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::footer::{Footer, Group, LENGTHS, PAGES, Run, SETS, TEXT, TIMES};
use super::{
    CODEC_COLUMNS, CODEC_WHOLE, END_MAGIC, GROUP_ROWS_MAX, GROUP_TEXT_BYTES, MAGIC,
    PART_HEADER_BYTES, PART_VERSION,
};
use crate::chunk::{ints, varint};
use crate::io::{File, Fs, OpenMode, crc32, write_full};
use crate::logs::columns;
use crate::logs::record::put_labels;
use crate::model::Labels;

/// Columns that pack this many times are taken without trying the other codec.
const WORTH: usize = 4;
/// Level for lines. On this kind of text 3 is as fast as 1 and smaller.
const TEXT_LEVEL: i32 = 3;
const SMALL_LEVEL: i32 = 3;

/// A part file under construction.
pub(in crate::logs) struct PartWriter {
    file: Arc<dyn File>,
    at: u64,
    footer: Footer,
    group: Group,
    times: Vec<i64>,
    lengths: Vec<i64>,
    text: Vec<u8>,
    /// Set of each row of the group; shorter than the rows when the rest has none.
    sets: Vec<i64>,
    distinct: Vec<Labels>,
    lookup: std::collections::HashMap<Labels, i64, foldhash::fast::RandomState>,
    out: Vec<u8>,
    scratch: ints::Scratch,
    zstd: zstd::bulk::Compressor<'static>,
}

impl PartWriter {
    /// Starts a part of `tenant` in a new file.
    pub(in crate::logs) fn create(fs: &dyn Fs, path: &Path, tenant: u32) -> io::Result<Self> {
        let file = fs.open(path, OpenMode::Create)?;
        let mut head = Vec::with_capacity(PART_HEADER_BYTES as usize);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&PART_VERSION.to_le_bytes());
        head.resize(PART_HEADER_BYTES as usize, 0);
        write_full(&*file, &head, 0)?;
        Ok(Self {
            file,
            at: PART_HEADER_BYTES,
            footer: Footer {
                tenant,
                min: i64::MAX,
                max: i64::MIN,
                ..Footer::default()
            },
            group: Group::default(),
            times: Vec::new(),
            lengths: Vec::new(),
            text: Vec::new(),
            sets: Vec::new(),
            distinct: Vec::new(),
            lookup: std::collections::HashMap::default(),
            out: Vec::new(),
            scratch: ints::Scratch::default(),
            zstd: zstd::bulk::Compressor::new(TEXT_LEVEL)?,
        })
    }

    /// Starts the next stream; label sets ascend from call to call.
    pub(in crate::logs) fn stream(&mut self, labels: &Labels) {
        self.footer.streams.push(labels.clone());
    }

    /// Adds an entry to the current stream; times ascend.
    pub(in crate::logs) fn entry(
        &mut self,
        time: i64,
        line: &[u8],
        metadata: Option<&Labels>,
    ) -> io::Result<()> {
        let full = self.times.len() >= GROUP_ROWS_MAX
            || (!self.text.is_empty() && self.text.len() + line.len() > GROUP_TEXT_BYTES);
        if full {
            self.finish_group()?;
        }
        let stream = (self.footer.streams.len() as u32).wrapping_sub(1);
        if self.group.runs.last().is_none_or(|r| r.stream != stream) {
            self.group.runs.push(Run {
                stream,
                rows: 0,
                min: time,
                max: time,
                text: 0,
            });
        }
        if let Some(run) = self.group.runs.last_mut() {
            run.rows += 1;
            run.max = time;
            run.text += line.len() as u64;
        }
        if let Some(m) = metadata {
            let next = self.distinct.len() as i64 + 1;
            let set = match self.lookup.get(m) {
                Some(s) => *s,
                None => {
                    self.distinct.push(m.clone());
                    self.lookup.insert(m.clone(), next);
                    next
                }
            };
            self.sets.resize(self.times.len(), 0);
            self.sets.push(set);
        }
        self.times.push(time);
        self.lengths.push(line.len() as i64);
        self.text.extend_from_slice(line);
        Ok(())
    }

    fn finish_group(&mut self) -> io::Result<()> {
        if self.times.is_empty() {
            return Ok(());
        }
        let mut g = std::mem::take(&mut self.group);
        g.offset = self.at;
        g.scale = [1_000_000_000, 1_000_000, 1000]
            .into_iter()
            .find(|s| self.times.iter().all(|t| t % s == 0))
            .unwrap_or(1);
        g.text = self.text.len() as u64;
        for r in &g.runs {
            self.footer.min = self.footer.min.min(r.min);
            self.footer.max = self.footer.max.max(r.max);
        }
        self.footer.rows += self.times.len() as u64;
        self.footer.text += g.text;
        self.times.iter_mut().for_each(|t| *t /= g.scale);
        let mut pages: [Vec<u8>; PAGES] = Default::default();
        let mut at = 0;
        for r in &g.runs {
            let end = at + r.rows as usize;
            ints::encode(&self.times[at..end], &mut pages[TIMES], &mut self.scratch);
            at = end;
        }
        ints::encode(&self.lengths, &mut pages[LENGTHS], &mut self.scratch);
        if !self.distinct.is_empty() {
            self.sets.resize(self.times.len(), 0);
            let mut raw = Vec::new();
            varint::put(&mut raw, self.distinct.len() as u64);
            self.distinct.iter().for_each(|s| put_labels(&mut raw, s));
            ints::encode(&self.sets, &mut raw, &mut self.scratch);
            pages[SETS] = zstd::bulk::compress(&raw, SMALL_LEVEL)?;
        }
        let mut ends = Vec::with_capacity(self.lengths.len());
        let mut end = 0u32;
        for len in &self.lengths {
            end += *len as u32;
            ends.push(end);
        }
        pages[TEXT] = self.text_page(&ends)?;
        self.out.clear();
        for (i, page) in pages.iter().enumerate() {
            g.page_bytes[i] = u32::try_from(page.len()).map_err(io::Error::other)?;
            g.page_crc[i] = crc32(page);
            self.out.extend_from_slice(page);
        }
        write_full(&*self.file, &self.out, self.at)?;
        self.at += self.out.len() as u64;
        self.footer.groups.push(g);
        self.times.clear();
        self.lengths.clear();
        self.text.clear();
        self.sets.clear();
        self.distinct.clear();
        self.lookup.clear();
        Ok(())
    }

    /// The lines as columns, or whole when that is smaller.
    fn text_page(&mut self, ends: &[u32]) -> io::Result<Vec<u8>> {
        let split = columns::encode(&self.text, ends, &mut self.zstd)?;
        if let Some(page) = &split
            && page.len() * WORTH < self.text.len()
        {
            return Ok([&[CODEC_COLUMNS], page.as_slice()].concat());
        }
        self.zstd.set_compression_level(TEXT_LEVEL)?;
        let whole = self.zstd.compress(&self.text)?;
        Ok(match split {
            Some(page) if page.len() < whole.len() => [&[CODEC_COLUMNS], page.as_slice()].concat(),
            _ => [&[CODEC_WHOLE], whole.as_slice()].concat(),
        })
    }

    /// True while no entry was added.
    pub(in crate::logs) fn is_empty(&self) -> bool {
        self.footer.rows == 0 && self.times.is_empty()
    }

    /// Ends the part durably (but for the directory entry).
    pub(in crate::logs) fn finish(mut self) -> io::Result<()> {
        self.finish_group()?;
        let footer = zstd::bulk::compress(&self.footer.encode(), SMALL_LEVEL)?;
        let mut tail = footer;
        let (len, crc) = (tail.len() as u32, crc32(&tail));
        tail.extend_from_slice(&self.at.to_le_bytes());
        tail.extend_from_slice(&len.to_le_bytes());
        tail.extend_from_slice(&crc.to_le_bytes());
        tail.extend_from_slice(END_MAGIC);
        write_full(&*self.file, &tail, self.at)?;
        self.file.sync()
    }
}
