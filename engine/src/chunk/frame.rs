//! Zstandard frames in memory.
//!
//! Owns: who keeps the state that unpacking needs: making it costs more than a small frame does.
//! Knows nothing of: what is in a frame, where it came from.

use std::cell::RefCell;

use super::ChunkError;

/// Unpacks frames; kept from frame to frame.
pub(crate) struct Unpacker(RefCell<Option<zstd::bulk::Decompressor<'static>>>);

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacker")
    }
}

impl Default for Unpacker {
    fn default() -> Self {
        Self(RefCell::new(zstd::bulk::Decompressor::new().ok()))
    }
}

impl Unpacker {
    /// The content of a frame, at most `len` bytes.
    pub(crate) fn unframe(&self, packed: &[u8], len: usize) -> Result<Vec<u8>, ChunkError> {
        let mut out = Vec::with_capacity(len);
        let mut zstd = self.0.borrow_mut();
        let zstd = zstd.as_mut().ok_or(ChunkError("no room to unpack"))?;
        zstd.decompress_to_buffer(packed, &mut out)
            .map_err(|_| ChunkError("a frame cannot be unpacked"))?;
        Ok(out)
    }

    /// The content of a frame that states its size, as ours do, up to `max` bytes.
    pub(crate) fn unframe_sized(&self, packed: &[u8], max: usize) -> Result<Vec<u8>, ChunkError> {
        let len = zstd::zstd_safe::get_frame_content_size(packed)
            .ok()
            .flatten();
        let len = len.and_then(|l| usize::try_from(l).ok());
        match len.filter(|l| *l <= max) {
            Some(len) => self.unframe(packed, len),
            None => Err(ChunkError("a frame cannot be unpacked")),
        }
    }
}

thread_local! {
    static OF_THREAD: Unpacker = Unpacker::default();
}

/// The content of a frame, at most `len` bytes, for who meets frames one at a time. A thread that
/// has unpacked one keeps about 100 kB for the next.
pub(crate) fn unframe(packed: &[u8], len: usize) -> Result<Vec<u8>, ChunkError> {
    OF_THREAD.with(|u| u.unframe(packed, len))
}
