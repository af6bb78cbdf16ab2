//! `output`: an extracted value becomes the line.

use super::{Now, Simple};
use crate::logs::entry::Entry;
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct Output {
    source: String,
}

impl Output {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        let source = s.required("source")?.into_owned();
        Ok(Self { source })
    }
}

impl Simple for Output {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        if let Some(t) = entry.text(&self.source) {
            entry.line = t.into_owned();
        }
        true
    }
}
