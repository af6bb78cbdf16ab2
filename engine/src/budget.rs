//! How long reads are told to stop, and how much memory they may take.
//!
//! Owns: the question that long reads ask while they go on, the count of bytes that threads hold
//! for one reader and for all readers together.
//! Knows nothing of: the allocator that counts (a function is handed in), who reads, the clock.
//!
//! Memory is measured and not estimated: what a thread has allocated and not given back since a
//! [`Share`] began belongs to it, wherever in the code it was taken. Big pieces are announced
//! before they are allocated.
//!
//! Invariants
//! - B1  What all shares of a pool hold is what [`Pool::held`] says; a dropped share holds nothing.
//! - B2  A share is refused when it alone, or all of them, would be over the limit. Nobody waits.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Why a read was ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// The caller gave up.
    #[error("query was canceled")]
    Canceled,
    /// It took too long.
    #[error("query timed out")]
    TimedOut,
    /// It needs more memory than it may have.
    #[error(transparent)]
    Memory(#[from] OverMemory),
}

/// More memory was asked for than may be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverMemory {
    /// One reader wants more than a single one may hold.
    #[error(
        "query needs more than the {limit} bytes of memory that one query may hold; \
         narrow its selectors or its time range, or raise --query.max-memory"
    )]
    One {
        /// What one may hold, bytes.
        limit: u64,
    },
    /// All readers together would hold more than they may.
    #[error(
        "the queries running now need more than the {limit} bytes of memory that all of them may \
         hold; try again later or raise --query.max-memory"
    )]
    All {
        /// What all may hold, bytes.
        limit: u64,
    },
}

/// What a long read asks while it goes on.
pub trait Watch {
    /// Asked once in a while, and before `bytes` more are allocated at once.
    ///
    /// # Errors
    /// The reason to stop now.
    fn go_on(&self, bytes: usize) -> Result<(), Stop>;
}

/// Nobody watches: for the store's own work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn go_on(&self, _: usize) -> Result<(), Stop> {
        Ok(())
    }
}

/// Bytes that the calling thread has allocated and not given back since it began; only differences
/// count.
pub type Meter = fn() -> i64;

/// The memory of all readers.
#[derive(Debug)]
pub struct Pool {
    meter: Meter,
    all: u64,
    one: u64,
    held: AtomicI64,
    refused: AtomicU64,
}

impl Pool {
    /// A pool of `all` bytes of which one share takes up to three quarters, so that a greedy one
    /// leaves something to the others.
    #[must_use]
    pub fn new(meter: Meter, all: u64) -> Arc<Self> {
        Arc::new(Self {
            meter,
            all,
            one: all - all / 4,
            held: AtomicI64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Bytes held by all shares.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed).max(0).unsigned_abs()
    }

    /// How many shares were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Begins a share that holds nothing yet.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share {
            pool: Arc::clone(self),
            held: AtomicI64::new(0),
            refused: AtomicBool::new(false),
        }
    }
}

/// What one reader holds, on however many threads. Given back when dropped.
#[derive(Debug)]
pub struct Share {
    pool: Arc<Pool>,
    held: AtomicI64,
    refused: AtomicBool,
}

impl Share {
    /// Counts the calling thread from now on.
    #[must_use]
    pub fn thread(&self) -> ThreadShare<'_> {
        ThreadShare {
            share: self,
            last: Cell::new((self.pool.meter)()),
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed).max(0).unsigned_abs()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let held = self.held.load(Ordering::Relaxed);
        self.pool.held.fetch_sub(held, Ordering::Relaxed);
    }
}

/// One thread's part of a share. What the thread does between two calls of [`Self::check`] is
/// counted at the second one, and the rest when it is dropped.
#[derive(Debug)]
pub struct ThreadShare<'a> {
    share: &'a Share,
    last: Cell<i64>,
}

impl ThreadShare<'_> {
    fn count(&self) -> (i64, i64) {
        let now = (self.share.pool.meter)();
        let more = now.wrapping_sub(self.last.replace(now));
        let one = self.share.held.fetch_add(more, Ordering::Relaxed) + more;
        let all = self.share.pool.held.fetch_add(more, Ordering::Relaxed) + more;
        (one, all)
    }

    /// Counts what the thread has taken since the last call. Cost: two atomic additions.
    ///
    /// # Errors
    /// [`OverMemory`] when the share or the pool holds too much, or would with `bytes` more.
    pub fn check(&self, bytes: usize) -> Result<(), OverMemory> {
        let (one, all) = self.count();
        let would = |held: i64| held.max(0).unsigned_abs().saturating_add(bytes as u64);
        let pool = &self.share.pool;
        let refused = if would(one) > pool.one {
            OverMemory::One { limit: pool.one }
        } else if would(all) > pool.all {
            OverMemory::All { limit: pool.all }
        } else {
            return Ok(());
        };
        if !self.share.refused.swap(true, Ordering::Relaxed) {
            pool.refused.fetch_add(1, Ordering::Relaxed);
        }
        Err(refused)
    }
}

impl Watch for ThreadShare<'_> {
    fn go_on(&self, bytes: usize) -> Result<(), Stop> {
        Ok(self.check(bytes)?)
    }
}

impl Drop for ThreadShare<'_> {
    fn drop(&mut self) {
        self.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static HELD: Cell<i64> = const { Cell::new(0) };
    }

    fn meter() -> i64 {
        HELD.get()
    }

    fn take(bytes: i64) {
        HELD.set(HELD.get() + bytes);
    }

    #[test]
    fn what_threads_take_belongs_to_the_share() {
        let pool = Pool::new(meter, 1000);
        take(5_000); // before anything began: nobody's
        let share = pool.share();
        let here = share.thread();
        take(300);
        assert_eq!(here.check(0), Ok(()));
        std::thread::scope(|s| {
            s.spawn(|| {
                let there = share.thread();
                take(200);
                assert_eq!(there.check(250), Ok(()));
                assert_eq!(there.check(251), Err(OverMemory::One { limit: 750 }));
                take(-50);
            });
        });
        assert_eq!((share.held(), pool.held()), (450, 450));
        take(-300);
        assert_eq!(here.check(0), Ok(()));
        assert_eq!(pool.held(), 150);
        drop(here);
        drop(share);
        assert_eq!((pool.held(), pool.refused()), (0, 1));
    }

    #[test]
    fn all_together_have_a_limit_too() {
        let pool = Pool::new(meter, 1000);
        let (a, b) = (pool.share(), pool.share());
        let (x, y) = (a.thread(), b.thread());
        take(600);
        assert_eq!(x.check(0), Ok(()));
        // The second share's thread is this one: it sees the same bytes.
        assert_eq!(y.check(0), Err(OverMemory::All { limit: 1000 }));
        take(-600);
        drop((x, y));
        assert_eq!(pool.held(), 0);
        drop((a, b));
        assert_eq!(pool.held(), 0);
    }
}
