//! Fully anchored patterns for label matchers.

use engine::model::StringMatcher;

use super::fast::{Fast, analyse};
use super::{
    COMPILED_BYTES_MAX, LITERAL_PATTERN_BYTES_MAX, PATTERN_BYTES_MAX, RegexError, translate,
};

/// A compiled pattern that must match the whole value; `.` matches line feeds too.
///
/// Cost of a match: string operations for sets of literals, prefixes, suffixes and substrings,
/// an automaton otherwise.
#[derive(Debug)]
pub struct LabelRegex {
    pattern: String,
    prefix: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Fast(Fast),
    Regex(regex::Regex),
}

impl LabelRegex {
    /// Compiles a Go pattern (without anchors).
    ///
    /// # Errors
    /// See [`RegexError`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        if pattern.len() > LITERAL_PATTERN_BYTES_MAX {
            return Err(too_large(pattern));
        }
        let inner = format!("(?s:{})", translate(pattern)?);
        let hir = regex_syntax::Parser::new()
            .parse(&inner)
            .map_err(|_| RegexError::syntax("invalid or unsupported Perl syntax", pattern))?;
        let fast = analyse(&hir);
        let prefix = match &fast {
            Some(f) => f.prefix(),
            None => leading_literal(&hir),
        };
        let kind = match fast {
            Some(f) => Kind::Fast(f),
            None if pattern.len() > PATTERN_BYTES_MAX => return Err(too_large(pattern)),
            None => Kind::Regex(
                regex::RegexBuilder::new(&format!("^{inner}$"))
                    .size_limit(COMPILED_BYTES_MAX)
                    .build()
                    .map_err(|_| too_large(pattern))?,
            ),
        };
        Ok(Self {
            pattern: pattern.to_owned(),
            prefix,
            kind,
        })
    }
}

fn too_large(pattern: &str) -> RegexError {
    let mut shown: String = pattern.chars().take(64).collect();
    if shown.len() < pattern.len() {
        shown.push_str("...");
    }
    RegexError::TooLarge(shown)
}

fn leading_literal(hir: &regex_syntax::hir::Hir) -> String {
    use regex_syntax::hir::HirKind;
    match hir.kind() {
        HirKind::Literal(l) => String::from_utf8(l.0.to_vec()).unwrap_or_default(),
        HirKind::Capture(c) => leading_literal(&c.sub),
        HirKind::Concat(parts) => parts.first().map(leading_literal).unwrap_or_default(),
        _ => String::new(),
    }
}

impl StringMatcher for LabelRegex {
    fn is_match(&self, value: &str) -> bool {
        match &self.kind {
            Kind::Fast(f) => f.is_match(value),
            Kind::Regex(r) => r.is_match(value),
        }
    }

    fn pattern(&self) -> &str {
        &self.pattern
    }

    fn literals(&self) -> Option<&[String]> {
        match &self.kind {
            Kind::Fast(Fast::Literals(set)) => Some(set),
            _ => None,
        }
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }
}
