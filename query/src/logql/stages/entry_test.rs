//! A whole log query as a test of single entries, for those who have entries without a store.

use engine::model::{Labels, Matcher};

use super::{Entry, Hints, Pipeline, Surroundings};
use crate::logql::parse::{ParseError, parse_log};

/// A compiled log query.
#[derive(Debug)]
pub struct EntryTest {
    matchers: Vec<Matcher>,
    pipeline: Pipeline,
}

impl EntryTest {
    /// Compiles a log query.
    ///
    /// # Errors
    /// When the text is none.
    pub fn new(query: &str) -> Result<Self, ParseError> {
        let query = parse_log(query)?;
        Ok(Self {
            pipeline: Pipeline::compile(&query.stages)?,
            matchers: query.matchers,
        })
    }

    /// Whether the matchers take a stream. `get` gives the value of a label, empty without one.
    pub fn takes<'v>(&self, get: impl Fn(&str) -> &'v str) -> bool {
        self.matchers.iter().all(|m| m.matches(get(&m.name)))
    }

    /// Whether the stages let a line of a stream pass. Cost: the labels are not read when there are
    /// only line filters.
    #[must_use]
    pub fn passes(&self, labels: impl FnOnce() -> Labels, line: &str, time_ns: i64) -> bool {
        let test = self.pipeline.test();
        if test.is_some_and(|t| !(t.matches)(line.as_bytes())) {
            return false;
        }
        if self.pipeline.is_empty() {
            return true;
        }
        let labels = labels();
        let mut entry = Entry::new(Hints::default());
        entry.take(time_ns, line.as_bytes(), &labels, None);
        self.pipeline.apply(&mut entry, &Surroundings::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_filters_and_stages_all_count() {
        let test = EntryTest::new(r#"{a=~"x|y"} |= "b" != "c" | logfmt | n > 1"#).unwrap();
        assert!(test.takes(|n| if n == "a" { "x" } else { "" }));
        assert!(!test.takes(|_| ""));
        let passes = |line| test.passes(Labels::default, line, 0);
        assert!(passes("b n=2"));
        assert!(!passes("b n=1"));
        assert!(!passes("b c n=2"));
        assert!(EntryTest::new("rate({a=\"x\"}[1m])").is_err());
    }
}
