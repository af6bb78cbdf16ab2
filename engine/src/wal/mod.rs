//! The write-ahead log: every accepted sample and log line is here before it is acknowledged.
//!
//! Owns: segment files `wal/NNNNNNNN`, group commit, replay, truncation.
//! Knows nothing of: labels, chunks, HTTP. A record is bytes with a kind and a tenant number.
//! Format: `engine/docs/format/wal.md`.
//!
//! Invariants
//! - W1  A waiter is told success only after the sync of the segment (and of the directory, for a
//!   new one) returned success, unless the configured mode says otherwise.
//! - W2  After a failed sync the log is poisoned: nothing is acknowledged any more.
//! - W3  Replay gives records in the order of their positions, each once; what is missing is
//!   either unacknowledged (a torn tail) or reported as damage.
//! - W4  Repair never deletes: damaged ranges are copied to `quarantine/` and counted.
//!
//! Read next: `writer.rs` (append), `commit.rs` (group commit), `replay.rs`, `shared.rs` (several stores).

mod commit;
mod frame;
mod replay;
mod shared;
mod writer;

pub use commit::SyncMode;
pub use frame::{FRAME_HEADER_BYTES, HEADER_BYTES, RECORD_BYTES_MAX, SEGMENT_BYTES};
pub use replay::{Damage, Record, ReplayProgress, ReplayReport, inspect};
pub use shared::{LogHandle, open_shared};
pub use writer::{Wal, WalError, WalOptions, WalStats};

use std::fmt;

/// A place in the log: `segment << 32 | offset`. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Position of `offset` in `segment`.
    #[must_use]
    pub fn new(segment: u64, offset: u64) -> Self {
        Self(segment << 32 | (offset & 0xffff_ffff))
    }

    /// Number of the segment.
    #[must_use]
    pub fn segment(self) -> u64 {
        self.0 >> 32
    }

    /// Offset in the segment.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.0 & 0xffff_ffff
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}:{}", self.segment(), self.offset())
    }
}

#[cfg(test)]
mod tests;
