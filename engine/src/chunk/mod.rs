//! Chunks: runs of samples of one series as compact bytes.
//!
//! Owns: bit streams and the chunk encodings.
//! Knows nothing of: files, series identity, labels.

pub mod gorilla;
pub mod prom_bits;
pub mod prom_histogram;
