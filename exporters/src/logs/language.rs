//! The door to the languages that settings of stages are written in: this room uses patterns,
//! templates, selectors and time layouts, somebody else knows how they are read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::entry::LabelSet;

/// Byte ranges of the groups of one match, the whole match first; none for a group that took no
/// part.
pub type Groups = Vec<Option<Range<usize>>>;

/// A compiled pattern that may match anywhere.
pub trait Pattern: Send + Sync {
    /// Whether it matches.
    fn is_match(&self, text: &str) -> bool;
    /// The first match.
    fn find(&self, text: &str) -> Option<Groups>;
    /// All matches that do not overlap.
    fn find_all(&self, text: &str) -> Vec<Groups>;
    /// Number and name of each named group.
    fn names(&self) -> &[(usize, String)];
}

/// A compiled template.
pub trait Template: Send + Sync {
    /// Its output over `data`.
    ///
    /// # Errors
    /// The reason, as the language words it.
    fn run(&self, data: &BTreeMap<String, String>) -> Result<String, String>;
}

/// A compiled selector of entries: matchers and what follows them.
pub trait Selector: Send + Sync {
    /// Whether an entry with these labels and this line is selected.
    fn selects(&self, labels: &LabelSet, line: &str, time_ns: i64) -> bool;
}

/// Reads what settings say.
pub trait Language: Send + Sync {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The reason.
    fn pattern(&self, text: &str) -> Result<Arc<dyn Pattern>, String>;
    /// Compiles a template.
    ///
    /// # Errors
    /// The reason.
    fn template(&self, text: &str) -> Result<Arc<dyn Template>, String>;
    /// Compiles a selector.
    ///
    /// # Errors
    /// The reason.
    fn selector(&self, text: &str) -> Result<Arc<dyn Selector>, String>;
    /// Reads a time in a layout; `zone` applies when the text names none. The year is 0 when the
    /// layout has none.
    fn time(&self, layout: &str, text: &str, zone: &TimeZone) -> Option<Zoned>;
    /// A duration like `1h30m` in ns.
    fn duration(&self, text: &str) -> Option<i64>;
    /// A text as JSON; what HTML reads is escaped.
    fn json_text(&self, text: &str) -> String;
    /// A number as JSON.
    fn json_number(&self, value: f64) -> String;
    /// A line without the sequences that colour terminals.
    fn decolorize(&self, line: &str) -> String;
}
