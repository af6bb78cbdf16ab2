//! `|= "a" or "b"`, `!~ "re"`, `|> "p"`, `|= ip("x")`.

use std::sync::Arc;

use engine::logs::{LineTest, Needs};
use engine::model::lossy_text;
use memchr::memmem::Finder;

use super::ip::IpMatch;
use super::pattern::Pattern;
use super::required::required;
use super::{Entry, Step, Surroundings};
use crate::logql::ast::{LineMatch, LineOp};
use crate::logql::parse::ParseError;
use crate::regex::GoRegex;

enum Test {
    Substring(Box<Finder<'static>>),
    Regex(GoRegex),
    Pattern(Pattern),
    Ip(IpMatch),
}

/// A compiled line filter.
pub(super) struct LineFilter {
    negative: bool,
    any_of: Vec<Test>,
}

impl LineFilter {
    pub(super) fn new(op: LineOp, alternatives: &[LineMatch]) -> Result<Self, ParseError> {
        let mut any_of = Vec::with_capacity(alternatives.len());
        for a in alternatives {
            any_of.push(match op {
                LineOp::Contains | LineOp::NotContains if a.ip => {
                    Test::Ip(IpMatch::new(&a.text).map_err(ParseError::new)?)
                }
                _ if a.ip => {
                    return Err(ParseError::new(format!(
                        "ip: invalid operation for ip filter: {}",
                        op.text()
                    )));
                }
                LineOp::Contains | LineOp::NotContains => {
                    Test::Substring(Box::new(Finder::new(a.text.as_bytes()).into_owned()))
                }
                LineOp::Matches | LineOp::NotMatches => {
                    let re = GoRegex::new(&a.text).map_err(|e| ParseError::new(e.to_string()))?;
                    Test::Regex(re)
                }
                LineOp::Pattern | LineOp::NotPattern => {
                    Test::Pattern(Pattern::filter(&a.text).map_err(ParseError::new)?)
                }
            });
        }
        Ok(Self {
            negative: op.is_negative(),
            any_of,
        })
    }

    fn holds(&self, line: &[u8]) -> bool {
        let any = self.any_of.iter().any(|t| match t {
            Test::Substring(f) => f.find(line).is_some(),
            other => {
                let text = lossy_text(line);
                match other {
                    Test::Regex(re) => re.is_match(&text),
                    Test::Pattern(p) => p.test(&text),
                    Test::Ip(ip) => ip.is_in(&text),
                    Test::Substring(_) => false,
                }
            }
        });
        any != self.negative
    }

    /// What every line that passes must hold, and whether that is all there is to it.
    fn needs(&self) -> (Needs, bool) {
        if self.negative {
            return (Needs::Anything, false);
        }
        let mut exact = true;
        let mut all = Vec::with_capacity(self.any_of.len());
        for t in &self.any_of {
            match t {
                Test::Substring(f) if f.needle().is_empty() => return (Needs::Anything, true),
                Test::Substring(f) => all.push(Needs::Substring(f.needle().to_vec())),
                Test::Pattern(p) => {
                    exact = false;
                    let literals = p.literals().map(|l| Needs::Substring(l.into()));
                    all.push(Needs::All(literals.collect()));
                }
                Test::Regex(re) => {
                    let (needs, own) = required(re.pattern());
                    exact &= own;
                    if needs == Needs::Anything {
                        return (Needs::Anything, false);
                    }
                    all.push(needs);
                }
                Test::Ip(_) => return (Needs::Anything, false),
            }
        }
        match all.pop() {
            Some(one) if all.is_empty() => (one, exact),
            Some(last) => {
                all.push(last);
                (Needs::Any(all), exact)
            }
            None => (Needs::Anything, false),
        }
    }
}

impl Step for LineFilter {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        self.holds(entry.line.as_bytes())
    }
}

/// Filters as one test for the store.
pub(super) fn test(filters: Vec<LineFilter>) -> Option<LineTest> {
    if filters.is_empty() {
        return None;
    }
    let mut exact = true;
    let mut all = Vec::with_capacity(filters.len());
    for f in &filters {
        let (needs, own) = f.needs();
        exact &= own;
        if needs != Needs::Anything {
            all.push(needs);
        }
    }
    let needs = match (all.pop(), all.is_empty()) {
        (None, _) => Needs::Anything,
        (Some(one), true) => one,
        (Some(last), false) => {
            all.push(last);
            Needs::All(all)
        }
    };
    Some(LineTest {
        needs,
        exact,
        matches: Arc::new(move |line| filters.iter().all(|f| f.holds(line))),
    })
}
