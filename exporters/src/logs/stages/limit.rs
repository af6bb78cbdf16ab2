//! `limit`: so many entries a second; and the limit of all pipelines together.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::{Flow, Now, Stage};
use crate::logs::entry::Entry;
use crate::logs::numbers::Numbers;
use crate::logs::settings::Settings;

/// Label values with a bucket of their own, at least as many as the setting says.
const DISTINCT_MIN: usize = 10_000;
/// Largest number of them.
const DISTINCT_MAX: usize = 1_000_000;
/// Why entries end here.
const REASON: &str = "ratelimit_drop_stage";
/// The same for all pipelines together.
const REASON_ALL: &str = "global_rate_limiter_drop";

/// Tokens that come back with time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_ns: i64,
}

impl Bucket {
    /// Fills up; gives what is there after taking one, negative when that was owed.
    fn take(&mut self, rate: f64, burst: f64, now_ns: i64, may_owe: bool) -> f64 {
        let passed = now_ns.saturating_sub(self.at_ns).max(0) as f64 / 1e9;
        self.tokens = (self.tokens + passed * rate).min(burst);
        self.at_ns = self.at_ns.max(now_ns);
        let left = self.tokens - 1.0;
        if left >= 0.0 || may_owe {
            self.tokens = left;
        }
        left
    }
}

/// How long until the tokens that are owed have come.
fn until_paid(left: f64, rate: f64) -> Duration {
    Duration::from_secs_f64((-left / rate).clamp(0.0, 3600.0))
}

/// A limit that every entry passes behind its stages, whichever pipeline it comes from.
#[derive(Debug)]
pub struct ReadRate {
    bucket: Mutex<Option<Bucket>>,
    rate: f64,
    burst: f64,
    drop: bool,
}

impl ReadRate {
    /// So many a second, and so many at once; with `drop` those beyond end, else they wait.
    #[must_use]
    pub fn new(rate: f64, burst: i64, drop: bool) -> Self {
        Self {
            bucket: Mutex::default(),
            rate,
            burst: burst as f64,
            drop,
        }
    }

    /// Hands an entry on, or ends it. Gives how long to wait before the next one.
    pub(super) fn pass(
        &self,
        entry: Entry,
        now_ns: i64,
        numbers: &Numbers,
        out: &mut dyn FnMut(Entry),
    ) -> Duration {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = bucket.get_or_insert(Bucket {
            tokens: self.burst,
            at_ns: now_ns,
        });
        let left = bucket.take(self.rate, self.burst, now_ns, !self.drop);
        if left < 0.0 && self.drop {
            numbers.dropped(REASON_ALL);
            return Duration::ZERO;
        }
        out(entry);
        until_paid(left, self.rate)
    }
}

/// The stage.
pub(super) struct Limit {
    rate: f64,
    burst: f64,
    drop: bool,
    label: Option<String>,
    distinct_max: usize,
    all: Option<Bucket>,
    by_value: HashMap<String, Bucket, RandomState>,
    owed: Duration,
}

impl Limit {
    pub(super) fn new(s: Settings<'_>) -> Result<Self, String> {
        let positive = |v: Option<f64>, name: &str| match v {
            Some(v) if v > 0.0 => Ok(v),
            _ => Err(format!("{name}: a number above 0 is required")),
        };
        let s = s.weak();
        let drop = s.flag("drop", false)?;
        let label = s.text("by_label_name")?.filter(|l| !l.is_empty());
        if label.is_some() && !drop {
            return Err("by_label_name: needs drop: true, entries of one value cannot wait".into());
        }
        let distinct = s.count("max_distinct_labels", DISTINCT_MIN)?;
        Ok(Self {
            rate: positive(s.float("rate")?, "rate")?,
            burst: positive(s.int("burst")?.map(|n| n as f64), "burst")?,
            drop,
            label: label.map(|l| l.into_owned()),
            distinct_max: distinct.clamp(DISTINCT_MIN, DISTINCT_MAX),
            all: None,
            by_value: HashMap::default(),
            owed: Duration::ZERO,
        })
    }

    fn bucket(&mut self, value: Option<&str>, now_ns: i64) -> &mut Bucket {
        let full = Bucket {
            tokens: self.burst,
            at_ns: now_ns,
        };
        let Some(value) = value else {
            return self.all.get_or_insert(full);
        };
        if self.by_value.len() >= self.distinct_max && !self.by_value.contains_key(value) {
            // Forgetting all is what the original does too, and costs nobody an entry.
            self.by_value.clear();
        }
        self.by_value.entry(value.to_owned()).or_insert(full)
    }
}

impl Stage for Limit {
    fn run(&mut self, entry: Entry, now: Now<'_>) -> Flow {
        let value = match &self.label {
            None => None,
            Some(l) => match entry.labels.get(l) {
                Some(v) => Some(v.clone()),
                None => return Flow::On(entry),
            },
        };
        let (rate, burst, waits) = (self.rate, self.burst, !self.drop);
        let bucket = self.bucket(value.as_deref(), now.ns);
        let left = bucket.take(rate, burst, now.ns, waits);
        if left >= 0.0 {
            return Flow::On(entry);
        }
        if waits {
            self.owed = until_paid(left, rate);
            return Flow::On(entry);
        }
        now.numbers.dropped(REASON);
        if let (Some(l), Some(v)) = (&self.label, &value) {
            now.numbers.dropped_by_label(l, v);
        }
        Flow::Gone
    }

    fn pause(&mut self) -> Duration {
        std::mem::take(&mut self.owed)
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;

    #[test]
    fn tokens_come_back_with_time() {
        let mut b = Bucket {
            tokens: 1.0,
            at_ns: 0,
        };
        assert!(b.take(2.0, 1.0, 0, false) >= 0.0);
        assert!(b.take(2.0, 1.0, 0, false) < 0.0);
        assert!(b.take(2.0, 1.0, 500_000_000, false) >= 0.0);
        // What waits owes: the next one waits longer.
        assert_eq!(b.take(2.0, 1.0, 500_000_000, true), -1.0);
        assert_eq!(b.take(2.0, 1.0, 500_000_000, true), -2.0);
    }
}
