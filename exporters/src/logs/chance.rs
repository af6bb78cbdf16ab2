//! Random numbers that need not be good.

use std::hash::{BuildHasher as _, RandomState};

/// A generator (xorshift64*), seeded by the system.
#[derive(Debug)]
pub struct Chance(u64);

impl Default for Chance {
    fn default() -> Self {
        // The standard library seeds its hashers from the system.
        Self(RandomState::new().hash_one(0) | 1)
    }
}

impl Chance {
    /// The next number in `0..1`.
    pub fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}
