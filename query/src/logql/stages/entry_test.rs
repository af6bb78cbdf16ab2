//! Matchers and line filters as a test of single entries, for those who have entries without a
//! store.

use engine::model::{Labels, Matcher};

use super::{Entry, Hints, Pipeline, Surroundings};
use crate::logql::ast::{Expr, LineOp, Stage};
use crate::logql::parse::{ParseError, parse_unchecked_selectors};

/// A compiled selector with its line filters.
#[derive(Debug)]
pub struct EntryTest {
    matchers: Vec<Matcher>,
    pipeline: Pipeline,
}

impl EntryTest {
    /// Compiles what the log agent calls a selector: at least one matcher, which may match
    /// everything, and line filters of one text or pattern each.
    ///
    /// # Errors
    /// When the text says anything else.
    pub fn new(text: &str) -> Result<Self, ParseError> {
        let Expr::Log(query) = parse_unchecked_selectors(text)? else {
            return Err(ParseError::new(
                "only matchers and line filters are supported",
            ));
        };
        if query.matchers.is_empty() {
            return Err(ParseError::new("at least one matcher is required"));
        }
        let plain = |s: &Stage| match s {
            Stage::Line(LineOp::Pattern | LineOp::NotPattern, _) => false,
            Stage::Line(_, one) => matches!(one.as_slice(), [m] if !m.ip),
            _ => false,
        };
        if !query.stages.iter().all(plain) {
            return Err(ParseError::new(
                "only matchers and line filters are supported",
            ));
        }
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
    fn matchers_and_filters_all_count() {
        let test = EntryTest::new(r#"{a=~"x|y"} |= "b" != "c""#).unwrap();
        assert!(test.takes(|n| if n == "a" { "x" } else { "" }));
        assert!(!test.takes(|_| ""));
        let passes = |line| test.passes(Labels::default, line, 0);
        assert!(passes("b"));
        assert!(!passes("a"));
        assert!(!passes("b c"));
    }

    #[test]
    fn selectors_have_matchers_and_line_filters() {
        for good in [
            r#"{a="x"}"#,
            r#"{a=""}"#,
            r#"{a!="x"} |= "b" !~ "c" |~ "d" != "e""#,
        ] {
            assert!(EntryTest::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "{}",
            r#"{a="x"} | json"#,
            r#"{a="x"} |= "b" or "c""#,
            r#"{a="x"} |= ip("10.0.0.0/8")"#,
            r#"{a="x"} |> "<_>""#,
            r#"rate({a="x"}[1m])"#,
            r#"{a="x""#,
        ] {
            assert!(EntryTest::new(bad).is_err(), "{bad}");
        }
    }
}
