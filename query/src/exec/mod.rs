//! Threads that queries may use beside the one they run on.
//!
//! Owns: the number of such threads in this process, and who has them.
//! Knows nothing of: languages, stores, what the threads do.
//!
//! Invariant
//! - X1  All queries together have at most one helping thread per core but one. Nobody waits for
//!   one: a query that gets none runs alone.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Helping threads that nobody has.
fn free() -> &'static AtomicUsize {
    static FREE: OnceLock<AtomicUsize> = OnceLock::new();
    FREE.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        AtomicUsize::new(cores - 1)
    })
}

/// Leave to start threads; given back when dropped.
#[derive(Debug)]
pub struct Helpers {
    count: usize,
    counted: bool,
}

impl Helpers {
    /// Leave for as many of `wanted` threads as are free now, perhaps none. Cost: an atomic
    /// operation.
    #[must_use]
    pub fn take(wanted: usize) -> Self {
        let mut count = 0;
        let taken = free().fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
            count = wanted.min(free);
            (count > 0).then(|| free - count)
        });
        Self {
            count: if taken.is_ok() { count } else { 0 },
            counted: true,
        }
    }

    /// Leave for exactly `count` threads, whatever the machine: for tests of what they do.
    #[must_use]
    pub fn uncounted(count: usize) -> Self {
        Self {
            count,
            counted: false,
        }
    }

    /// How many threads may be started.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        if self.counted {
            free().fetch_add(self.count, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leave_is_bounded_and_comes_back() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let all = Helpers::take(usize::MAX);
        assert!(all.count() < cores);
        drop(all);
        assert!(Helpers::take(1).count() <= 1);
        assert_eq!(Helpers::uncounted(7).count(), 7);
    }
}
