//! `sampling`: a share of the entries, chosen at random.

use std::hash::{BuildHasher as _, RandomState};

use super::{Now, Simple};
use crate::logs::entry::Entry;
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct Sampling {
    rate: f64,
    reason: String,
    /// State of the generator.
    state: u64,
}

impl Sampling {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        let rate = s.float("rate")?.ok_or("rate is required")?;
        if !(0.0..=1.0).contains(&rate) {
            return Err(format!("rate: {rate} is not between 0 and 1"));
        }
        let reason = s.text("drop_counter_reason")?.filter(|r| !r.is_empty());
        Ok(Self {
            rate,
            reason: reason.unwrap_or("sampling_stage").to_owned(),
            // The standard library seeds its hashers from the system.
            state: RandomState::new().hash_one(0) | 1,
        })
    }

    /// The next number in `0..1` (xorshift64*).
    fn next(&mut self) -> f64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

impl Simple for Sampling {
    fn apply(&mut self, _entry: &mut Entry, now: Now<'_>) -> bool {
        let stays = self.next() < self.rate;
        if !stays {
            now.numbers.dropped(&self.reason);
        }
        stays
    }
}
