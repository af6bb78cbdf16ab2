//! LogQL: text to answers over a [`source::LogSource`].
//!
//! Owns: lexing, parsing, checks, printing, pipelines, evaluation of log and metric queries.
//! Knows nothing of: storage, JSON encoding, HTTP, the system clock.
//!
//! Road of a query: [`parse`] (text -> [`ast`], checked) -> `stages` (compiled, filters handed to
//! the store) -> [`eval`] (streams, or series over the step grid).
//!
//! Invariants
//! - No input text and no data makes this room panic: nesting, sizes and work are bounded.
//! - Evaluation never reads a clock; the caller's [`eval::Control`] stops it.

pub mod ast;
mod check;
pub mod eval;
mod lex;
pub mod parse;
pub mod print;
pub mod source;
pub mod stages;

pub use parse::{
    ParseError, parse, parse_log, parse_matchers, parse_metric, parse_unchecked_selectors,
};
