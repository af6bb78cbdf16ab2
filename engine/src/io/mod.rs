//! The I/O seam: the only place where the engine meets a disk, a clock or randomness.
//!
//! Owns: the [`Fs`], [`File`] and [`Clock`] traits, their real back ends, the simulated disk,
//! atomic file replacement and checksums.
//! Knows nothing of: what the bytes mean.
//!
//! Invariants
//! - I1  Bytes are durable only after [`File::sync`] returned success; a directory entry only
//!   after [`Fs::sync_dir`] of its directory.
//! - I2  Only sealed files are mapped: never truncated or rewritten while mapped.

mod atomic;
mod checksum;
mod clock;
mod fs;
mod lock;
mod real;
pub mod sim;

pub use atomic::{read_sealed, replace_file, write_sealed};
pub use checksum::{Crc, crc32, crc32c};
pub use clock::{Clock, ManualClock, SystemClock};
pub use fs::{DirEntry, File, Fs, FsExt, Mapping, OpenMode, is_no_space, read_full, write_full};
pub use lock::DirLock;
pub use real::RealFs;

/// Seedable pseudo-random numbers (SplitMix64). Not for secrets.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator with a fixed seed: the same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator seeded from the operating system's address space and time randomness.
    #[must_use]
    pub fn from_entropy() -> Self {
        use std::hash::{BuildHasher, Hasher};
        Self(std::hash::RandomState::new().build_hasher().finish())
    }

    /// Next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next_u64() % n }
    }

    /// True with probability `num / den`.
    pub fn chance(&mut self, num: u64, den: u64) -> bool {
        self.below(den) < num
    }
}
