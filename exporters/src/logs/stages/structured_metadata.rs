//! `structured_metadata`: values that travel with the entry without being labels.

use super::labels::named;
use super::{Now, Simple};
use crate::logs::entry::Entry;
use crate::logs::settings::Node;

/// The stage.
pub(super) struct StructuredMetadata {
    pairs: Vec<(String, String)>,
}

impl StructuredMetadata {
    pub(super) fn new(node: &Node) -> Result<Self, String> {
        Ok(Self {
            pairs: named(node)?,
        })
    }
}

impl Simple for StructuredMetadata {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        for (name, source) in &self.pairs {
            let label = entry.labels.get(source);
            let value = match entry.text(source) {
                Some(v) => v.into_owned(),
                None => match label {
                    Some(l) => l.clone(),
                    None => continue,
                },
            };
            // A label that says the same would say it twice.
            if label == Some(&value) {
                entry.remove_label(source);
            }
            match entry.metadata.iter_mut().find(|(n, _)| n == name) {
                Some((_, v)) => *v = value,
                None => entry.metadata.push((name.clone(), value)),
            }
        }
        true
    }
}
