//! Sextant's engine: bytes to facts.
//!
//! Owns: the model, wire formats, the I/O seam, the write-ahead log, chunks, indexes, the metric
//! store, the log store, small durable state tables, budgets of reads and offline verification.
//! Knows nothing of: HTTP, an async runtime, a query language, a configuration file.

pub mod budget;
pub mod chunk;
pub mod index;
pub mod io;
pub mod logs;
pub mod metrics;
pub mod model;
pub mod state;
pub mod store;
pub mod verify;
pub mod wal;
pub mod wire;
