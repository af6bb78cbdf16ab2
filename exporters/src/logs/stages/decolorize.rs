//! `decolorize`: the sequences that colour terminals go.

use std::sync::Arc;

use super::{Build, Now, Simple};
use crate::logs::entry::Entry;
use crate::logs::language::Language;

/// The stage.
pub(super) struct Decolorize(Arc<dyn Language>);

impl Decolorize {
    pub(super) fn new(b: &Build<'_>) -> Self {
        Self(b.outside.language.clone())
    }
}

impl Simple for Decolorize {
    fn apply(&mut self, entry: &mut Entry, _now: Now<'_>) -> bool {
        if entry.line.contains(['\x1b', '\u{9b}']) {
            entry.line = self.0.decolorize(&entry.line);
        }
        true
    }
}
