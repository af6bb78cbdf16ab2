//! Fully anchored patterns for label matchers.

use engine::model::StringMatcher;
use regex_automata::meta;
use regex_syntax::hir::{Hir, HirKind, Look};

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
    Regex(meta::Regex),
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
                meta::Builder::new()
                    .configure(
                        meta::Config::new()
                            .nfa_size_limit(Some(COMPILED_BYTES_MAX))
                            .utf8_empty(true)
                            // A whole automaton costs more than it saves over thousands of
                            // values; one that grows as it goes is built from those met.
                            .dfa(false)
                            .onepass(false),
                    )
                    .build_from_hir(&whole(hir))
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

/// The pattern from the first to the last byte of a value.
fn whole(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

fn too_large(pattern: &str) -> RegexError {
    let mut shown: String = pattern.chars().take(64).collect();
    if shown.len() < pattern.len() {
        shown.push_str("...");
    }
    RegexError::TooLarge(shown)
}

fn leading_literal(hir: &Hir) -> String {
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
