//! `cri`: the lines of container runtimes, joined where they were cut.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::docker::{Nested, stage, text};
use super::{Build, Flow, Now, Stage};
use crate::logs::entry::{Entry, LabelSet};
use crate::logs::settings::{Node, Settings};

/// Time, stream, flags and content, separated by single spaces.
const PATTERN: &str =
    r"^(?s)(?P<time>\S+?) (?P<stream>stdout|stderr) (?P<flags>\S+?) (?P<content>.*)$";

/// Longest joined line when no limit is set. Somebody who never ends a line costs no more.
const JOINED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The stage.
struct Cri {
    base: Nested,
    sets_max: usize,
    bytes_max: usize,
    truncate: bool,
    waiting: BTreeMap<Arc<LabelSet>, Entry>,
}

pub(super) fn build(s: Settings<'_>, b: &Build<'_>) -> Result<Box<dyn Stage>, String> {
    let stages = Node::List(vec![
        stage("regex", &[("expression", text(PATTERN))]),
        stage("labels", &[("stream", Node::Null)]),
        stage(
            "timestamp",
            &[("source", text("time")), ("format", text("RFC3339Nano"))],
        ),
        stage("output", &[("source", text("content"))]),
    ]);
    let s = s.weak();
    let sets_max = s.count("max_partial_lines", 100)?;
    Ok(Box::new(Cri {
        base: Nested(b.pipeline(&stages)?),
        sets_max: if sets_max == 0 { 100 } else { sets_max },
        bytes_max: s.count("max_partial_line_size", 0)?,
        truncate: s.flag("max_partial_line_size_truncate", false)?,
        waiting: BTreeMap::new(),
    }))
}

impl Cri {
    fn cut(&self, line: &mut String) {
        let max = match self.bytes_max {
            n if n > 0 && self.truncate => n,
            _ => JOINED_BYTES_MAX,
        };
        if line.len() > max {
            line.truncate(line.floor_char_boundary(max));
        }
    }

    /// Puts what waits for the same labels before `entry`.
    fn joined(&self, first: Entry, mut entry: Entry) -> Entry {
        let mut line = first.line;
        line.push_str(&entry.line);
        self.cut(&mut line);
        entry.line = line;
        // PST2
        entry.ticket = first.ticket.or(entry.ticket);
        entry
    }
}

impl Stage for Cri {
    fn run(&mut self, entry: Entry, now: Now<'_>) -> Flow {
        let Some(mut entry) = self.base.one(entry, now) else {
            return Flow::Gone;
        };
        if entry.text("flags").as_deref() != Some("P") {
            return Flow::On(match self.waiting.remove(&entry.labels) {
                Some(first) => self.joined(first, entry),
                None => entry,
            });
        }
        let mut flushed = Vec::new();
        if self.waiting.len() >= self.sets_max {
            flushed.extend(std::mem::take(&mut self.waiting).into_values());
        }
        if let Some(first) = self.waiting.remove(&entry.labels) {
            entry = self.joined(first, entry);
        } else {
            self.cut(&mut entry.line);
        }
        self.waiting.insert(entry.labels.clone(), entry);
        Flow::Several(flushed)
    }
}
