//! `regex`: values of named groups.

use std::sync::Arc;

use super::{Build, Now, Simple};
use crate::logs::entry::{Entry, Value};
use crate::logs::language::Pattern;
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct Regex {
    pattern: Arc<dyn Pattern>,
    source: Option<String>,
}

impl Regex {
    pub(super) fn new(s: Settings<'_>, b: &Build<'_>) -> Result<Self, String> {
        Ok(Self {
            pattern: b.pattern("expression", &s.required("expression")?)?,
            source: s.source()?,
        })
    }
}

impl Simple for Regex {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        let Some(text) = entry.input(self.source.as_deref()) else {
            return true;
        };
        let Some(groups) = self.pattern.find(&text) else {
            return true;
        };
        let names = self.pattern.names().iter();
        let found: Vec<(String, Value)> = names
            .map(|(i, name)| {
                let range = groups.get(*i).cloned().flatten();
                let value = range.and_then(|r| text.get(r)).unwrap_or("");
                (name.clone(), Value::Text(value.to_owned()))
            })
            .collect();
        entry.extracted.extend(found);
        true
    }
}
