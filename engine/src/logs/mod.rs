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
//! Doors of `Db`: `push(tenant, &PushBatch) -> Result<Position, PushError>` and `on_durable`;
//! `select(tenant, &[Matcher], from_ns, to_ns)` (half-open) gives a `Selection` with `len`,
//! `labels(i)` in label order and `scan(&ScanOptions, visit(EntryBatch))`; `label_names`,
//! `label_values`, `volume`, `tail`, `delete`.

pub mod api;
mod batch;

pub use api::{
    Direction, EntryBatch, LineTest, Needs, PushError, ReadError, ScanOptions, ScanStats,
    WantedLines,
};
pub use batch::{PushBatch, Streams};
