//! Wire formats: bytes of other programs to facts, and back.
//!
//! Owns: decompression, protobuf, remote write and read, the exposition formats, OTLP, Loki push.
//! Knows nothing of: sockets, HTTP, the store, configuration files. Everything here is a function
//! of a byte slice.
//!
//! Invariants
//! - No input panics, and memory stays within a small multiple of the body plus the stated limits.
//! - Bodies are only ever inflated by [`inflate`].
//! - Hot paths (remote write, text exposition) do not allocate per series.

pub mod exposition;
pub mod inflate;
pub mod loki;
pub mod otlp;
pub mod proto;
pub mod remote_read;
pub mod remote_write;

/// Labels of one series at most, where a decoder builds label sets itself: building them takes
/// quadratic time. Real series have a few dozen.
pub const LABELS_MAX: usize = 512;

/// Labels of one exemplar at most; OpenMetrics allows 128 characters for all of them.
pub const EXEMPLAR_LABELS_MAX: usize = 128;
