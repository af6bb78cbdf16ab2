//! Sextant's query languages: text to answers.
//!
//! Owns: PromQL, LogQL, the Go regular-expression dialect, Go templates, execution budgets.
//! Knows nothing of: I/O, JSON encoding of answers, the clock (evaluation time is an argument).

pub mod exec;
pub mod layered;
pub mod logql;
pub mod promql;
pub mod regex;
pub mod source;
pub mod template;
pub mod text;
