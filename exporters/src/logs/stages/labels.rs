//! `labels`, `static_labels`, `labeldrop`, `labelallow`: which labels an entry has.

use std::sync::Arc;

use super::{Now, Simple, is_label_name};
use crate::logs::entry::Entry;
use crate::logs::settings::{Node, Settings, mapping, texts};

/// `labels`: labels from extracted values.
pub(super) struct Labels {
    pairs: Vec<(String, String)>,
}

/// Names of labels and of the values they come from, checked.
pub(super) fn named(node: &Node) -> Result<Vec<(String, String)>, String> {
    let pairs = mapping(node)?;
    if pairs.is_empty() {
        return Err("at least one label is required".into());
    }
    match pairs.iter().find(|(n, _)| !is_label_name(n)) {
        Some((n, _)) => Err(format!("invalid label name: {n}")),
        None => Ok(pairs),
    }
}

impl Labels {
    pub(super) fn new(node: &Node) -> Result<Self, String> {
        Ok(Self {
            pairs: named(node)?,
        })
    }
}

impl Simple for Labels {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        for (name, source) in &self.pairs {
            if let Some(v) = entry.text(source) {
                let v = v.into_owned();
                entry.set_label(name, v);
            }
        }
        true
    }
}

/// `static_labels`: labels with fixed values.
pub(super) struct StaticLabels {
    pairs: Vec<(String, String)>,
}

impl StaticLabels {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        if s.is_empty() {
            return Err("at least one label is required".into());
        }
        let mut pairs = Vec::new();
        for (name, _) in s.iter() {
            // Any text will do, unlike elsewhere.
            if name.is_empty() {
                return Err("invalid label name: it is empty".into());
            }
            // Nothing and the empty text are ignored.
            if let Some(v) = s.text(name)?.filter(|v| !v.is_empty()) {
                pairs.push((name.to_owned(), v.into_owned()));
            }
        }
        Ok(Self { pairs })
    }
}

impl Simple for StaticLabels {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        for (name, v) in &self.pairs {
            entry.set_label(name, v.clone());
        }
        true
    }
}

fn list(node: &Node) -> Result<Vec<String>, String> {
    let names = match node {
        Node::Null => Vec::new(),
        n @ Node::List(_) => texts("list of labels", n)?,
        other => return Err(format!("expected a list of labels, got {}", other.kind())),
    };
    if names.is_empty() {
        return Err("at least one label is required".into());
    }
    Ok(names)
}

/// `labeldrop`: these labels go.
pub(super) struct LabelDrop {
    names: Vec<String>,
}

impl LabelDrop {
    pub(super) fn new(node: &Node) -> Result<Self, String> {
        Ok(Self { names: list(node)? })
    }
}

impl Simple for LabelDrop {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        for n in &self.names {
            entry.remove_label(n);
        }
        true
    }
}

/// `labelallow`: all others go.
pub(super) struct LabelAllow {
    names: Vec<String>,
}

impl LabelAllow {
    pub(super) fn new(node: &Node) -> Result<Self, String> {
        Ok(Self { names: list(node)? })
    }
}

impl Simple for LabelAllow {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        if !entry.labels.keys().all(|n| self.names.contains(n)) {
            Arc::make_mut(&mut entry.labels).retain(|n, _| self.names.contains(n));
        }
        true
    }
}
