//! The metric store: samples in, columns out.
//!
//! Owns: series identity, acceptance rules, the head, blocks, compaction, retention, deletion.
//! Knows nothing of: HTTP, wire formats, PromQL. Reads and writes through `io`, logs through `wal`.
//!
//! Read next: `api.rs` (the doors), `db.rs`.

mod api;
mod naive;

pub use api::*;
pub use naive::{Db, Selection};
