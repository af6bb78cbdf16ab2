//! `match`: stages for the entries that a selector takes, or their end.

use std::sync::Arc;
use std::time::Duration;

use super::{Build, Flow, Now, Pipeline, Stage};
use crate::logs::entry::Entry;
use crate::logs::language::Selector;
use crate::logs::settings::{Node, Settings};

/// The stage.
struct Match {
    selector: Arc<dyn Selector>,
    /// None drops what is selected.
    stages: Option<Pipeline>,
    reason: String,
}

pub(super) fn build(s: Settings<'_>, b: &Build<'_>) -> Result<Box<dyn Stage>, String> {
    let selector = b.outside.language.selector(&s.required("selector")?);
    let selector = selector.map_err(|e| format!("selector: {e}"))?;
    if s.text("pipeline_name")?.is_some_and(|n| n.is_empty()) {
        return Err("pipeline_name is empty: name the pipeline, or leave it out".into());
    }
    let stages = s.get("stages").unwrap_or(&Node::Null);
    let none = matches!(stages, Node::Null) || matches!(stages, Node::List(l) if l.is_empty());
    let stages = match s.text("action")?.as_deref().unwrap_or("keep") {
        "" | "keep" if none => return Err("stages: action keep requires at least one".into()),
        "" | "keep" => Some(b.pipeline(stages)?),
        "drop" if none => None,
        "drop" => return Err("stages: action drop takes none".into()),
        other => return Err(format!("action: {other:?} is none of keep, drop")),
    };
    let reason = s.text("drop_counter_reason")?.filter(|r| !r.is_empty());
    Ok(Box::new(Match {
        selector,
        stages,
        reason: reason.unwrap_or("match_stage".into()).into_owned(),
    }))
}

impl Match {
    fn released(&mut self, release: impl FnOnce(&mut Pipeline, &mut Vec<Entry>)) -> Vec<Entry> {
        let mut out = Vec::new();
        if let Some(p) = &mut self.stages {
            release(p, &mut out);
        }
        out
    }
}

impl Stage for Match {
    fn run(&mut self, entry: Entry, now: Now<'_>) -> Flow {
        let (line, time) = (&entry.line, entry.time_ns);
        if !self.selector.selects(&entry.labels, line, time) {
            return Flow::On(entry);
        }
        let Some(stages) = &mut self.stages else {
            now.numbers.dropped(&self.reason);
            return Flow::Gone;
        };
        let mut out = Vec::with_capacity(1);
        stages.from(0, entry, now.ns, &mut |e| out.push(e));
        Flow::Several(out)
    }

    fn tick(&mut self, now: Now<'_>) -> Vec<Entry> {
        self.released(|p, out| {
            p.tick(now.ns, &mut |e| out.push(e));
        })
    }

    fn finish(&mut self, now: Now<'_>) -> Vec<Entry> {
        self.released(|p, out| p.finish(now.ns, &mut |e| out.push(e)))
    }

    fn pause(&mut self) -> Duration {
        self.stages.as_mut().map_or(Duration::ZERO, Pipeline::pause)
    }
}
