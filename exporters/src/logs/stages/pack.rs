//! `pack`: labels and the line become one JSON object.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Build, Now, Simple};
use crate::logs::entry::Entry;
use crate::logs::language::Language;
use crate::logs::settings::Settings;

/// Key of the line.
const ENTRY: &str = "_entry";

/// The stage.
pub(super) struct Pack {
    names: Vec<String>,
    ingest_timestamp: bool,
    language: Arc<dyn Language>,
}

impl Pack {
    pub(super) fn new(s: Settings<'_>, b: &Build<'_>) -> Result<Self, String> {
        let s = s.weak();
        Ok(Self {
            names: s.texts("labels")?.unwrap_or_default(),
            ingest_timestamp: s.flag("ingest_timestamp", true)?,
            language: b.outside.language.clone(),
        })
    }
}

impl Simple for Pack {
    fn apply(&mut self, entry: &mut Entry, now: Now<'_>) -> bool {
        // Labels that the entry came with are among what was extracted; those that a stage has set
        // without that stay labels.
        let mut packed = BTreeMap::new();
        for n in &self.names {
            if let Some(v) = entry.text(n) {
                packed.insert(n.as_str(), v.into_owned());
            }
        }
        let mut line = String::from("{");
        let mut put = |t: &str, behind: char| {
            line.push_str(&self.language.json_text(t));
            line.push(behind);
        };
        for (n, v) in &packed {
            put(n, ':');
            put(v, ',');
        }
        put(ENTRY, ':');
        put(&entry.line, '}');
        for n in packed.keys() {
            entry.remove_label(n);
        }
        entry.line = line;
        if self.ingest_timestamp {
            entry.time_ns = now.ns;
        }
        true
    }
}
