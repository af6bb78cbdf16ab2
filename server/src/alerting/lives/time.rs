//! A time that passes when it is told to, and random numbers that a life can be repeated with.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::alerting::service::Clock;

struct State {
    now: Timestamp,
    waiting: Vec<(Timestamp, Waker)>,
}

struct Until(Arc<Mutex<State>>, Timestamp);

impl Future for Until {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.now >= self.1 {
            return Poll::Ready(());
        }
        state.waiting.push((self.1, cx.waker().clone()));
        Poll::Pending
    }
}

/// The time of one life.
#[derive(Clone)]
pub(super) struct LifeClock {
    state: Arc<Mutex<State>>,
    /// Rounds after which everybody waits for time.
    rounds: usize,
}

impl Clock for LifeClock {
    fn now(&self) -> Timestamp {
        self.time()
    }
    fn wait_until(&self, t: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Until(self.state.clone(), t))
    }
}

impl LifeClock {
    /// A time that begins at `begin`. A change takes at most `rounds` steps from task to task until
    /// everybody waits for time again.
    pub(super) fn new(begin: Timestamp, rounds: usize) -> Self {
        let state = State {
            now: begin,
            waiting: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            rounds,
        }
    }

    /// The time.
    pub(super) fn time(&self) -> Timestamp {
        self.state.lock().now
    }

    /// Ends after `d`.
    pub(super) async fn pause(&self, d: SignedDuration) {
        self.wait_until(self.time() + d).await;
    }

    /// Lets everybody do what they can, then time pass, up to `t`.
    pub(super) async fn pass_until(&self, t: Timestamp) {
        loop {
            for _ in 0..self.rounds {
                tokio::task::yield_now().await;
            }
            let mut state = self.state.lock();
            let next = state.waiting.iter().map(|(t, _)| *t).min();
            let next = next.unwrap_or(t).min(t);
            if state.now >= t {
                return;
            }
            state.now = next.max(state.now);
            let now = state.now;
            state.waiting.retain(|(at, waker)| {
                let due = *at <= now;
                if due {
                    waker.wake_by_ref();
                }
                !due
            });
        }
    }
}

/// Random numbers that a life can be repeated with.
pub(super) struct Random(u64);

impl Random {
    /// Numbers of `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    /// Moments in the first `span_s` seconds, in order, with a length below `length_ms` each, ms.
    pub(super) fn moments(&mut self, most: u64, span_s: u64, length_ms: u64) -> Vec<(u64, u64)> {
        let n = self.below(most);
        let mut all: Vec<(u64, u64)> = (0..n)
            .map(|_| (self.below(span_s * 1000), self.below(length_ms)))
            .collect();
        all.sort_unstable();
        all
    }
}
