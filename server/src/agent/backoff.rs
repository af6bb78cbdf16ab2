//! How long a batch waits before it is sent again.

use std::time::Duration;

use exporters::logs::chance::Chance;

use crate::config::promtail::BackoffConfig;

/// Waits of one batch: each a random time out of a span that doubles, so that agents that were
/// refused together do not come back together.
#[derive(Debug)]
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    max: Duration,
    left: Option<u32>,
    chance: Chance,
}

impl Backoff {
    /// Nothing has failed yet. No number of tries is endless ones.
    pub(super) fn new(c: &BackoffConfig) -> Self {
        let max = c.max_period.as_std();
        let least = c.min_period.as_std();
        Self {
            least,
            most: (least * 2).min(max),
            max,
            left: (c.max_retries > 0).then_some(c.max_retries),
            chance: Chance::default(),
        }
    }

    /// How long to wait after a failure.
    pub(super) fn wait(&mut self) -> Duration {
        let span = self.most.saturating_sub(self.least);
        let wait = self.least + span.mul_f64(self.chance.share());
        if self.most < self.max {
            self.least = (self.least * 2).min(self.max);
            self.most = (self.most * 2).min(self.max);
        }
        if let Some(n) = &mut self.left {
            *n = n.saturating_sub(1);
        }
        wait
    }

    /// Whether all tries have failed.
    pub(super) fn is_over(&self) -> bool {
        self.left == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PromDuration;

    #[test]
    fn spans_double_up_to_the_longest() {
        let secs = PromDuration::from_secs;
        let mut b = Backoff::new(&BackoffConfig {
            min_period: secs(1),
            max_period: secs(5),
            max_retries: 4,
        });
        for (least, most) in [(1, 2), (2, 4), (4, 5), (4, 5)] {
            assert!(!b.is_over());
            let wait = b.wait();
            let span = Duration::from_secs(least)..=Duration::from_secs(most);
            assert!(span.contains(&wait), "{wait:?} is not in {span:?}");
        }
        assert!(b.is_over());
        let mut endless = Backoff::new(&BackoffConfig {
            max_retries: 0,
            ..BackoffConfig::default()
        });
        endless.wait();
        assert!(!endless.is_over());
    }
}
