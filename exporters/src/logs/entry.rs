//! An entry on its way through a pipeline.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Labels by name. Shared between the entries of a source until a stage changes them.
pub type LabelSet = BTreeMap<String, String>;

pub use super::progress::Ticket;

/// A value that a stage found in a line.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Known to be nothing: it has no text.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
}

impl Value {
    /// The text of the value, floats in the shortest plain form; nothing has none.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Bool(b) => Some(Cow::Borrowed(if *b { "true" } else { "false" })),
            // The standard library writes the shortest digits without an exponent.
            Self::Float(v) => Some(Cow::Owned(match v {
                v if v.is_nan() => "NaN".to_owned(),
                v if v.is_infinite() => if *v > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
                v => v.to_string(),
            })),
            Self::Text(t) => Some(Cow::Borrowed(t)),
        }
    }
}

/// What the stages of a pipeline found so far.
pub type Extracted = BTreeMap<String, Value>;

/// A line with everything that belongs to it.
#[derive(Clone)]
pub struct Entry {
    /// Time in ns since 1970.
    pub time_ns: i64,
    /// The line.
    pub line: String,
    /// Its labels.
    pub labels: Arc<LabelSet>,
    /// Structured metadata, in the order of its making.
    pub metadata: Vec<(String, String)>,
    /// What stages found. Starts with the labels when the entry enters a pipeline with stages.
    pub extracted: Extracted,
    /// Proof that the line is not done yet.
    pub ticket: Option<Ticket>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("time_ns", &self.time_ns)
            .field("line", &self.line)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

impl Entry {
    /// A line as it was read.
    #[must_use]
    pub fn new(time_ns: i64, line: String, labels: Arc<LabelSet>) -> Self {
        Self {
            time_ns,
            line,
            labels,
            metadata: Vec::new(),
            extracted: Extracted::new(),
            ticket: None,
        }
    }

    /// Sets a label.
    pub fn set_label(&mut self, name: &str, value: impl Into<String>) {
        Arc::make_mut(&mut self.labels).insert(name.to_owned(), value.into());
    }

    /// Removes a label.
    pub fn remove_label(&mut self, name: &str) {
        if self.labels.contains_key(name) {
            Arc::make_mut(&mut self.labels).remove(name);
        }
    }

    /// Text of an extracted value; none when it is missing or nothing.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        self.extracted.get(key)?.text()
    }

    /// The text a stage works on: the extracted value `source`, or the line without one. None when
    /// there is no such value.
    #[must_use]
    pub fn input(&self, source: Option<&str>) -> Option<Cow<'_, str>> {
        match source {
            None => Some(Cow::Borrowed(&self.line)),
            Some(s) => self.text(s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn numbers_have_the_shortest_plain_text() {
        for (v, text) in [
            (1.5, "1.5"),
            (10.0, "10"),
            (12_345_678_901_234_567_890.0, "12345678901234567000"),
            (1e-7, "0.0000001"),
        ] {
            assert_eq!(Value::Float(v).text().unwrap(), text);
        }
        assert_eq!(Value::Null.text(), None);
    }
}
