//! Parts: immutable files of sorted entries. Format: `engine/docs/format/logs-part.md`.
//!
//! Owns: the bytes of a part, and that damage in one is noticed.
//! Knows nothing of: which parts are live, the memtable, matchers.

mod footer;
mod reader;
mod writer;

pub(super) use reader::{Part, PartError, Rows, StoredText};
pub(super) use writer::PartWriter;

pub(super) const PART_VERSION: u16 = 1;
pub(super) const PART_HEADER_BYTES: u64 = 16;
pub(super) const PART_TRAILER_BYTES: u64 = 24;
/// A row group is closed when its lines reach this.
pub(super) const GROUP_TEXT_BYTES: usize = 4 << 20;
/// Or when it has this many entries.
pub(super) const GROUP_ROWS_MAX: usize = 131_072;
pub(super) const MAGIC: &[u8; 8] = b"SXLPART\n";
pub(super) const END_MAGIC: &[u8; 8] = b"SXLPEND\n";
/// All lines as one zstd frame.
const CODEC_WHOLE: u8 = 0;
/// See `columns`.
const CODEC_COLUMNS: u8 = 1;
/// One line may be longer than a group; nothing else makes a page larger than this.
pub(super) const PAGE_BYTES_MAX: usize = 1 << 30;
