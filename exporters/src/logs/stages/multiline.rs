//! `multiline`: lines of one block become one entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Build, Flow, Now, Stage};
use crate::logs::entry::{Entry, LabelSet};
use crate::logs::language::Pattern;
use crate::logs::settings::Settings;

/// Label sets with a block at a time; beyond that the oldest blocks are let go early.
const SETS_MAX: usize = 10_000;
/// Bytes of one block; what follows is the next one's.
const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The block of a label set.
struct Block {
    /// The start line; it stays the model of later blocks until the next one.
    start: Entry,
    text: String,
    lines: usize,
    /// The oldest ticket of the lines in `text`.
    ticket: Option<crate::logs::entry::Ticket>,
    touched_ns: i64,
}

impl Block {
    /// The block as an entry; empties it.
    fn take(&mut self) -> Option<Entry> {
        // Lines of nothing alone make no block; they go on counting.
        if self.text.is_empty() {
            return None;
        }
        let s = &self.start;
        self.lines = 0;
        Some(Entry {
            time_ns: s.time_ns,
            line: std::mem::take(&mut self.text),
            labels: s.labels.clone(),
            metadata: Vec::new(),
            extracted: s.extracted.clone(),
            ticket: self.ticket.take(),
        })
    }

    fn push(&mut self, line: &str, ticket: Option<crate::logs::entry::Ticket>, now_ns: i64) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.lines += 1;
        self.touched_ns = now_ns;
        // PST2
        if self.ticket.is_none() {
            self.ticket = ticket;
        }
    }
}

/// The stage.
pub(super) struct Multiline {
    first: Arc<dyn Pattern>,
    lines_max: usize,
    wait_ns: i64,
    blocks: BTreeMap<Arc<LabelSet>, Block>,
}

impl Multiline {
    pub(super) fn new(s: Settings<'_>, b: &Build<'_>) -> Result<Self, String> {
        let s = s.weak();
        let wait = s.text("max_wait_time")?.unwrap_or("3s".into());
        let lines_max = s.count("max_lines", 128)?;
        let first = s.text("firstline")?.ok_or("firstline is required")?;
        Ok(Self {
            first: b.pattern("firstline", &first)?,
            // None is no bound.
            lines_max: if lines_max == 0 {
                usize::MAX
            } else {
                lines_max
            },
            wait_ns: b.duration("max_wait_time", &wait)?,
            blocks: BTreeMap::new(),
        })
    }

    fn start(&mut self, mut entry: Entry, now_ns: i64, out: &mut Vec<Entry>) {
        if self.blocks.len() >= SETS_MAX && !self.blocks.contains_key(&entry.labels) {
            let all = std::mem::take(&mut self.blocks);
            out.extend(all.into_values().filter_map(|mut b| b.take()));
        }
        let ticket = entry.ticket.take();
        let line = std::mem::take(&mut entry.line);
        let key = entry.labels.clone();
        let mut block = Block {
            start: entry,
            text: String::new(),
            lines: 0,
            ticket: None,
            touched_ns: now_ns,
        };
        block.push(&line, ticket, now_ns);
        if let Some(mut old) = self.blocks.insert(key, block) {
            out.extend(old.take());
        }
    }
}

impl Stage for Multiline {
    fn run(&mut self, entry: Entry, now: Now<'_>) -> Flow {
        let mut out = Vec::new();
        let key = entry.labels.clone();
        if self.first.is_match(&entry.line) {
            self.start(entry, now.ns, &mut out);
        } else if let Some(block) = self.blocks.get_mut(&key) {
            if block.text.len() + entry.line.len() > BLOCK_BYTES_MAX {
                out.extend(block.take());
            }
            block.push(&entry.line, entry.ticket, now.ns);
        } else {
            return Flow::On(entry);
        }
        let max = self.lines_max;
        if let Some(b) = self.blocks.get_mut(&key).filter(|b| b.lines >= max) {
            out.extend(b.take());
        }
        Flow::Several(out)
    }

    fn tick(&mut self, now: Now<'_>) -> Vec<Entry> {
        let wait = self.wait_ns;
        let blocks = self.blocks.values_mut();
        let done = blocks.filter(|b| now.ns.saturating_sub(b.touched_ns) >= wait);
        done.filter_map(Block::take).collect()
    }

    fn finish(&mut self, _now: Now<'_>) -> Vec<Entry> {
        self.blocks.values_mut().filter_map(Block::take).collect()
    }
}
