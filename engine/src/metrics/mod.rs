//! The metric store: samples in, columns out.
//!
//! Owns: series identity, acceptance rules, the head, blocks, compaction, retention, deletion.
//! Knows nothing of: HTTP, wire formats, PromQL. Reads and writes through `io`, logs through `wal`.
//!
//! Read next: `api.rs` (the doors), `db.rs`.

mod api;
mod block;
mod bound;
mod checkpoint;
mod db;
mod head;
pub(crate) mod inspect;
mod maintain;
mod manifest;
mod open;
mod options;
mod select;
mod stored;
mod transfer;
pub mod tsdb;

pub use api::*;
pub use block::{BlockMeta, BlockStats};
pub use db::{Db, DbStats, real_fs};
pub use open::{OpenError, Opening, Recovery};
pub use options::DbOptions;
pub use select::{Reader, Selection};
pub use stored::StoredColumn;
pub use transfer::{TransferError, Transferred};

pub use crate::wal::Position;

#[cfg(test)]
mod tests;
