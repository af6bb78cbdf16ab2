//! Go's regular-expression dialect (RE2 with Perl classes) on the `regex` crate.
//!
//! Owns: translation, size limits, Go's error texts, fast paths for common label patterns,
//! capture groups with Go's `$1` expansion.
//! Knows nothing of: matchers, label sets, where a pattern came from.
//!
//! Invariants
//! - Matching is linear in the input; compiling is bounded by [`PATTERN_BYTES_MAX`] and
//!   [`COMPILED_BYTES_MAX`].
//! - A pattern that Go accepts means the same here; one that Go refuses is refused.

mod fast;
mod matcher;
mod replace;
mod translate;

pub use matcher::LabelRegex;
pub use replace::{Captures, GoRegex};
pub use translate::translate;

/// Longest pattern that is compiled. Plain alternations of literals are exempt: dashboards expand
/// "all values" to long ones, and they need no automaton.
pub const PATTERN_BYTES_MAX: usize = 4 * 1024;
/// Largest alternation of literals.
pub const LITERAL_PATTERN_BYTES_MAX: usize = 60 * 1024;
/// Largest compiled program in bytes; the default of the library (10 MiB) takes over a second.
pub const COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// Go's parser would refuse it too; the text is Go's.
    #[error("error parsing regexp: {reason}: `{part}`")]
    Syntax {
        /// What is wrong.
        reason: &'static str,
        /// The offending part of the pattern.
        part: String,
    },
    /// Valid, but larger than a limit.
    #[error("error parsing regexp: expression too large: `{0}`")]
    TooLarge(String),
}

impl RegexError {
    fn syntax(reason: &'static str, part: &str) -> Self {
        Self::Syntax {
            reason,
            part: part.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
