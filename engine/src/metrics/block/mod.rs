//! Blocks: immutable files of samples. Format: `engine/docs/format/block.md`.
//!
//! Owns: writing and reading block files and their sidecars, and what of them stays unpacked.
//! Knows nothing of: the head, the manifest, when blocks are made or dropped.
//!
//! Invariants
//! - B1  A block is a pure function of the series handed to the writer: no clock, no randomness.
//! - B2  No byte of a page is decoded before its checksum was compared.

mod cache;
mod labels;
mod reader;
mod tombstones;
mod writer;

pub(super) use cache::BlockCache;
pub(super) use reader::{Block, BlockError, ChunkRef};
pub(super) use tombstones::{read_tombstones, write_tombstones};
pub(super) use writer::BlockWriter;

use serde::{Deserialize, Serialize};

pub(super) const MAGIC: &[u8; 8] = b"SXTBLK\x1a\n";
/// Format version.
pub(super) const BLOCK_VERSION: u16 = 1;
/// A page is finished when it reaches this size.
pub(super) const PAGE_BYTES: usize = 65536;
/// Longest chunk.
pub(super) const CHUNK_SAMPLES_MAX: usize = 2048;
/// Label values per compressed frame.
pub(super) const VALUES_PER_FRAME: usize = 1024;
/// Series per compressed frame.
pub(super) const SERIES_PER_FRAME: usize = 64;

/// Offset, length and checksum of a section.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Section {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// Counts of a block.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct BlockStats {
    /// Float samples.
    #[serde(rename = "numFloatSamples")]
    pub float_samples: u64,
    /// Histogram samples.
    #[serde(rename = "numHistogramSamples")]
    pub histogram_samples: u64,
    /// Series.
    #[serde(rename = "numSeries")]
    pub series: u64,
    /// Chunks.
    #[serde(rename = "numChunks")]
    pub chunks: u64,
}

/// What a block is: its footer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BlockMeta {
    /// Name.
    pub ulid: String,
    /// Tenant number.
    pub tenant: u32,
    /// Oldest sample, ms.
    #[serde(rename = "minTime")]
    pub min_t: i64,
    /// Newest sample, ms (inclusive).
    #[serde(rename = "maxTime")]
    pub max_t: i64,
    /// Counts.
    pub stats: BlockStats,
    /// How often its samples were merged: 1 when cut from the head.
    pub level: u32,
    /// Blocks it was merged from.
    pub parents: Vec<String>,
    pub(super) pages: Section,
    pub(super) columns: Section,
    pub(super) names: Section,
    pub(super) pairs: Section,
    pub(super) postings: Section,
    pub(super) series: Section,
}
