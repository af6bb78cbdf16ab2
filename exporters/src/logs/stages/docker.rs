//! `docker`: the lines of the container engine's JSON files.

use super::{Build, Flow, Now, Pipeline, Stage};
use crate::logs::entry::Entry;
use crate::logs::settings::Node;

pub(super) fn text(t: &str) -> Node {
    Node::Text(t.into())
}

/// One stage as it would stand in a file.
pub(super) fn stage(name: &str, settings: &[(&str, Node)]) -> Node {
    let pairs = settings.iter().map(|(k, v)| (text(k), v.clone()));
    Node::Map(vec![(text(name), Node::Map(pairs.collect()))])
}

/// Stages that stand for one.
pub(super) struct Nested(pub(super) Pipeline);

impl Nested {
    /// What one entry gives. Only for stages that let no entry wait.
    pub(super) fn one(&mut self, entry: Entry, now: Now<'_>) -> Option<Entry> {
        let mut out = None;
        self.0.from(0, entry, now.ns, &mut |e| out = Some(e));
        out
    }
}

impl Stage for Nested {
    fn run(&mut self, entry: Entry, now: Now<'_>) -> Flow {
        self.one(entry, now).map_or(Flow::Gone, Flow::On)
    }
}

pub(super) fn build(b: &Build<'_>) -> Result<Box<dyn Stage>, String> {
    let expressions = [
        ("output", "log"),
        ("stream", "stream"),
        ("timestamp", "time"),
    ];
    let expressions = expressions.map(|(k, v)| (text(k), text(v)));
    let stages = Node::List(vec![
        stage("json", &[("expressions", Node::Map(expressions.to_vec()))]),
        stage("labels", &[("stream", text("stream"))]),
        stage(
            "timestamp",
            &[
                ("source", text("timestamp")),
                ("format", text("RFC3339Nano")),
            ],
        ),
        stage("output", &[("source", text("output"))]),
    ]);
    Ok(Box::new(Nested(b.pipeline(&stages)?)))
}
