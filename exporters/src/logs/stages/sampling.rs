//! `sampling`: a share of the entries, chosen at random.

use super::{Now, Simple};
use crate::logs::chance::Chance;
use crate::logs::entry::Entry;
use crate::logs::settings::Settings;

/// The stage.
pub(super) struct Sampling {
    rate: f64,
    reason: String,
    chance: Chance,
}

impl Sampling {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        let s = s.weak();
        let rate = s.float("rate")?.ok_or("rate is required")?;
        if !(0.0..=1.0).contains(&rate) {
            return Err(format!("rate: {rate} is not between 0 and 1"));
        }
        let reason = s.text("drop_counter_reason")?.filter(|r| !r.is_empty());
        Ok(Self {
            rate,
            reason: reason.unwrap_or("sampling_stage".into()).into_owned(),
            chance: Chance::default(),
        })
    }
}

impl Simple for Sampling {
    fn apply(&mut self, _entry: &mut Entry, now: Now<'_>) -> bool {
        let stays = self.chance.share() < self.rate;
        if !stays {
            now.numbers.dropped(&self.reason);
        }
        stays
    }
}
