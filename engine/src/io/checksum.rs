//! CRC-32 (IEEE), the checksum of every file the engine writes, and CRC-32C, that of Prometheus'
//! files and frames.
//!
//! Under a fuzzer (`cfg(fuzzing)`) every checksum is 0: random bytes then reach the decoders behind
//! it, which must hold without its help.

/// CRC-32 of `bytes`. Cost: about 0.06 ns a byte.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    if cfg!(fuzzing) {
        return 0;
    }
    crc32fast::hash(bytes)
}

/// CRC-32C (Castagnoli) of `bytes`. Cost: about 0.06 ns a byte.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    if cfg!(fuzzing) {
        return 0;
    }
    ::crc32c::crc32c(bytes)
}

/// A CRC-32 over several slices.
#[derive(Clone, Default)]
pub struct Crc(crc32fast::Hasher);

impl Crc {
    /// A checksum over nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// The checksum so far.
    #[must_use]
    pub fn value(&self) -> u32 {
        if cfg!(fuzzing) {
            return 0;
        }
        self.0.clone().finalize()
    }
}
