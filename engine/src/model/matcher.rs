//! Label matchers: the four operators of a selector.

use std::fmt;
use std::sync::Arc;

use super::Labels;

/// A compiled, fully anchored string pattern in the dialect of the query language.
///
/// The engine does not know regular expressions; the query crate compiles them and tells the
/// engine what it can use to avoid trying every value. Equal patterns accept equal values: what was
/// found for a pattern is remembered.
pub trait StringMatcher: Send + Sync {
    /// True when the whole of `value` matches.
    fn is_match(&self, value: &str) -> bool;
    /// The pattern as the user wrote it, without anchors.
    fn pattern(&self) -> &str;
    /// When the pattern is equivalent to a finite set of strings, that set.
    fn literals(&self) -> Option<&[String]> {
        None
    }
    /// A literal every match starts with, or the empty string.
    fn prefix(&self) -> &str {
        ""
    }
}

/// Operator of a matcher with its compiled form.
#[derive(Clone)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex(Arc<dyn StringMatcher>),
    /// `!~`
    NotRegex(Arc<dyn StringMatcher>),
}

/// One matcher of a selector. A label that is missing has the empty value.
#[derive(Clone)]
pub struct Matcher {
    /// Label name.
    pub name: String,
    /// Operator.
    pub op: MatchOp,
    /// Right-hand side as written (for regex operators the pattern without anchors).
    pub value: String,
}

impl Matcher {
    /// `name="value"`.
    #[must_use]
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: MatchOp::Equal,
            value: value.into(),
        }
    }

    /// `name!="value"`.
    #[must_use]
    pub fn not_equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: MatchOp::NotEqual,
            value: value.into(),
        }
    }

    /// `name=~"pattern"`.
    #[must_use]
    pub fn regex(name: impl Into<String>, re: Arc<dyn StringMatcher>) -> Self {
        let value = re.pattern().to_owned();
        Self {
            name: name.into(),
            op: MatchOp::Regex(re),
            value,
        }
    }

    /// `name!~"pattern"`.
    #[must_use]
    pub fn not_regex(name: impl Into<String>, re: Arc<dyn StringMatcher>) -> Self {
        let value = re.pattern().to_owned();
        Self {
            name: name.into(),
            op: MatchOp::NotRegex(re),
            value,
        }
    }

    /// Whether a label with this value (empty when missing) satisfies the matcher.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match &self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Regex(re) => re.is_match(value),
            MatchOp::NotRegex(re) => !re.is_match(value),
        }
    }

    /// Whether a series without the label satisfies the matcher.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The operator as written: `=`, `!=`, `=~` or `!~`.
    #[must_use]
    pub fn op_str(&self) -> &'static str {
        match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex(_) => "=~",
            MatchOp::NotRegex(_) => "!~",
        }
    }

    /// Whether all of `matchers` accept `labels`. Cost: matchers x labels string compares.
    #[must_use]
    pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
        matchers
            .iter()
            .all(|m| m.matches(labels.get(&m.name).unwrap_or("")))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op_str(), self.value)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op_str() == other.op_str() && self.value == other.value
    }
}
