//! PromQL: text to answers over a [`crate::source::Source`].
//!
//! Owns: lexing, parsing, type checks, printing, planning, evaluation, every function and operator.
//! Knows nothing of: storage, JSON encoding, HTTP, the system clock.
//!
//! Road of a query: [`parse`] (text -> [`ast`], checked) -> `eval::plan` (durations resolved,
//! step-invariant parts marked) -> `eval` (columns over the whole step grid) -> [`Value`].
//!
//! Invariants
//! - No input text and no data makes this room panic: recursion is bounded by
//!   [`parse::DEPTH_MAX`], sizes by the options.
//! - Evaluation never reads a clock; a deadline is checked through the caller's closure.

pub mod annotations;
pub mod ast;
mod check;
mod eval;
pub mod functions;
pub mod histogram;
pub mod json;
mod lex;
pub mod parse;
pub mod print;

pub use annotations::{Annotation, Annotations, Level};
pub use eval::{
    Answer, CancelToken, Engine, EngineOptions, MatrixSeries, Parallelism, QueryError,
    QueryOptions, Sample, SampleValue, Stats, StepStats, Timings, Value,
};
pub use parse::{ParseError, ParseOptions, parse, parse_metric, parse_selector};

/// Matchers of every selector of an expression, in the order of the text (query_exemplars).
#[must_use]
pub fn selectors_of(expr: &ast::Expr) -> Vec<Vec<engine::model::Matcher>> {
    let mut out = Vec::new();
    ast::walk(expr, &mut |e| {
        if let ast::Expr::Vector(v) = e {
            out.push(v.matchers.clone());
        }
    });
    out
}
