//! Text forms shared by the query languages: Go string literals, Prometheus durations, Go floats.
//!
//! Owns: quoting and unquoting, duration parsing and printing, float layouts.
//! Knows nothing of: expressions, labels, JSON documents.

pub mod duration;
pub mod float;
pub mod quote;
