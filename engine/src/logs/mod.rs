//! The log store: streams of lines over the shared write-ahead log.
//!
//! Owns: memtables, parts, retention and deletion of lines, and the doors `push` and `select`.
//! Knows nothing of: LogQL, HTTP, pipelines. A filter reaches it as a byte test with the substrings
//! that a matching line must hold.
//!
//! Invariants
//! - L1  A line is handed back byte for byte as it was pushed.
//! - L2  Whatever skips lines, runs or row groups is sound: nothing that matches is ever skipped.
//! - L3  An entry that was acknowledged is in the log, in a memtable of it, or in a live part.
//!
//! Read next: `api.rs` (the doors), `db.rs`, `select.rs` (how a read is planned).

pub mod api;
mod batch;
mod columns;
mod db;
mod deletion;
mod distinct;
mod group;
mod maintain;
mod manifest;
mod mem;
mod merge;
mod needle;
mod open;
mod options;
mod part;
mod record;
mod retention;
mod scan;
mod select;

pub use api::{
    Care, Direction, EntryBatch, Form, Glance, Hole, LineTest, Needs, PushError, ReadError,
    ScanOptions, ScanStats, WantedLines,
};
pub use batch::{PushBatch, Streams};
pub use db::{Db, DbStats};
pub use deletion::Deletion;
pub use needle::ByteSet;
pub(crate) use open::inspect;
pub use open::{Opening, Recovery};
pub use options::DbOptions;
pub use retention::{Retention, RetentionRule, Retentions};
pub use scan::Reader;
pub use select::{Selection, StreamSize, Visitor};

#[cfg(test)]
mod tests;
