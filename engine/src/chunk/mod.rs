//! Encoded runs of timestamps and values.
//!
//! Owns: bit and byte codecs. Knows nothing of: series, files, time ranges.
//! Formats: `engine/docs/format/chunk.md`.
//!
//! Invariants
//! - C1  Decoding what was encoded gives the same bits.
//! - C2  Decoders return an error on any other bytes; they never panic and never allocate more
//!   than the asked number of values.

pub(crate) mod frame;
pub mod gorilla;
pub mod histogram;
pub mod ints;
pub mod prom_bits;
pub mod prom_histogram;
pub mod values;
pub mod varint;

/// Bytes that are not an encoded run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged chunk: {0}")]
pub struct ChunkError(pub &'static str);
