//! Token buckets for tenants and streams.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

/// Buckets kept at a time; full ones are forgotten first (ING2).
const BUCKETS_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Buckets by key.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<u64, Bucket, foldhash::fast::RandomState>>);

impl Rates {
    /// Takes `bytes` out of the bucket of `key`; false, and nothing taken, when they are not there.
    pub(super) fn take(&self, key: u64, bytes: f64, rate: f64, burst: f64) -> bool {
        let now = Instant::now();
        let mut all = self.0.lock();
        if all.len() >= BUCKETS_MAX && !all.contains_key(&key) {
            all.retain(|_, b| b.tokens + now.duration_since(b.at).as_secs_f64() * rate < burst);
            if all.len() >= BUCKETS_MAX {
                return true;
            }
        }
        let b = all.entry(key).or_insert(Bucket {
            tokens: burst,
            at: now,
        });
        b.tokens = (b.tokens + now.duration_since(b.at).as_secs_f64() * rate).min(burst);
        b.at = now;
        if bytes > b.tokens {
            return false;
        }
        b.tokens -= bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_no_more_than_its_burst() {
        let r = Rates::default();
        assert!(r.take(1, 60.0, 0.001, 100.0));
        assert!(!r.take(1, 60.0, 0.001, 100.0));
        assert!(r.take(1, 30.0, 0.001, 100.0));
        assert!(r.take(2, 100.0, 0.001, 100.0));
        assert!(!r.take(3, 101.0, 0.001, 100.0));
    }
}
