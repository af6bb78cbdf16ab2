//! Text forms shared by the query languages: Go string literals, durations, floats and time layouts,
//! byte sizes.
//!
//! Owns: quoting and unquoting, durations in both dialects, float layouts, time layouts, byte sizes.
//! Knows nothing of: expressions, labels, JSON documents.

pub mod bytes;
pub mod duration;
pub mod float;
pub mod go_duration;
pub mod layout;
pub mod quote;
