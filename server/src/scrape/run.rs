//! The loop of one target.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ingest::{Body, Ingest, Outcomes};
use super::numbers::{Numbers, count};
use super::target::{Health, Last, Shared};
use super::{Appender, now_ms};
use crate::scrape::fetch::{FetchError, Fetcher};

/// What a loop is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Run,
    /// The target is gone: end its series, unless it comes back in time.
    Gone,
    /// Stop without a trace: the server ends, or another loop takes over.
    Stop,
}

/// Timestamps this close to the ideal tick are moved there, so that they compress well.
const ALIGN_MS_MAX: i64 = 2;

/// Bodies up to this size are stored on the thread that fetched them: about a millisecond.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// True on a runtime that can move its other tasks to another thread.
fn threads() -> bool {
    let kind = tokio::runtime::Handle::current().runtime_flavor();
    kind == tokio::runtime::RuntimeFlavor::MultiThread
}

/// The timestamp of a scrape that starts at `now` and was due at `due`.
pub(super) fn align(now: i64, due: i64, interval: Duration) -> i64 {
    let percent = i64::try_from(interval.as_millis() / 100).unwrap_or(i64::MAX);
    let tolerance = ALIGN_MS_MAX.min(percent);
    if (now - due).abs() <= tolerance {
        due
    } else {
        now
    }
}

/// First tick at or after `now` of a target with this `hash`.
pub(super) fn first_tick(now: i64, interval_ms: i64, hash: u64) -> i64 {
    let interval = interval_ms.max(1);
    let offset = (hash % interval.cast_unsigned()).cast_signed();
    let base = now - now.rem_euclid(interval) + offset;
    if base >= now { base } else { base + interval }
}

/// A loop with everything it needs.
pub(super) struct Loop {
    pub(super) shared: Arc<Shared>,
    pub(super) ingest: Ingest,
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) appender: Arc<dyn Appender>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) orders: watch::Receiver<Order>,
    /// Spreads targets over the interval.
    pub(super) hash: u64,
    /// Where failures are written down, one JSON object a line; empty for nowhere.
    pub(super) failure_log: String,
    /// Job of the configuration.
    pub(super) job: String,
}

impl Loop {
    /// Scrapes until it is ordered otherwise. Gives its state back for a loop that takes over.
    pub(super) async fn run(mut self) -> Ingest {
        let interval = self.shared.target.interval;
        let interval_ms = i64::try_from(interval.as_millis())
            .unwrap_or(i64::MAX)
            .max(1);
        let mut due = first_tick(now_ms(), interval_ms, self.hash);
        let mut last = None;
        loop {
            let wait = u64::try_from(due - now_ms()).unwrap_or(0);
            if !self.sleep(Duration::from_millis(wait)).await {
                break;
            }
            let t = align(now_ms(), due, interval);
            if !self.scrape(t).await {
                break;
            }
            last = Some(due);
            due += interval_ms;
            let now = now_ms();
            if due < now {
                // Missed ticks are not made up for.
                due += (now - due) / interval_ms * interval_ms;
            }
        }
        if let Some(last) = last {
            self.end(last + interval_ms, interval).await;
        }
        self.ingest
    }

    /// False when an order interrupts.
    async fn sleep(&mut self, d: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(d) => true,
            () = ordered(&mut self.orders) => false,
        }
    }

    /// One scrape. False when an order interrupts it.
    async fn scrape(&mut self, t: i64) -> bool {
        let start = Instant::now();
        let forced = self.shared.forced.lock().clone();
        let fetched = match forced {
            Some(text) => Err(FetchError::from(text)),
            None => {
                let target = &self.shared.target;
                tokio::select! {
                    f = self.fetcher.fetch(&target.url, target.timeout) => f,
                    () = ordered(&mut self.orders) => return false,
                }
            }
        };
        if fetched.as_ref().is_err_and(|e| e.too_large) {
            count(&self.numbers.body_size);
        }
        let size = match &fetched {
            Ok(f) => f.body.len() as f64,
            Err(e) if e.too_large => -1.0,
            Err(_) => 0.0,
        };
        let body = match &fetched {
            Ok(f) => Ok(Body {
                format: f.format,
                bytes: &f.body,
            }),
            Err(e) => Err(e.text.clone()),
        };
        let seconds = || start.elapsed().as_secs_f64();
        let store = || {
            let mut metadata = self.shared.metadata.lock();
            self.ingest
                .scrape(body, size, t, &mut metadata, &*self.appender, seconds)
        };
        // A large body would hold up the other loops of this thread.
        let large = fetched
            .as_ref()
            .is_ok_and(|f| f.body.len() > INLINE_BYTES_MAX);
        let result = if large && threads() {
            tokio::task::block_in_place(store)
        } else {
            store()
        };
        let error = match result {
            Ok(o) => {
                log_rejections(&self.shared, &o);
                self.numbers.refused(&o.appended.rejected);
                if o.over_sample_limit {
                    count(&self.numbers.sample_limit);
                }
                o.error
            }
            Err(e) => Some(e.to_string()),
        };
        if let Some(e) = &error {
            tracing::debug!(url = %self.shared.target.url, error = %e, "scrape failed");
            self.log_failure(e);
        }
        *self.shared.last.lock() = Last {
            health: if error.is_none() {
                Health::Up
            } else {
                Health::Down
            },
            error: error.unwrap_or_default(),
            at: t,
            seconds: seconds(),
        };
        true
    }

    fn log_failure(&self, error: &str) {
        if self.failure_log.is_empty() {
            return;
        }
        let line = serde_json::json!({
            "time": jiff::Timestamp::now().to_string(),
            "level": "ERROR",
            "msg": error,
            "job_name": self.job,
            "target": self.shared.target.url,
        });
        let path = self.failure_log.clone();
        // Writing blocks; nobody waits for it.
        tokio::task::spawn_blocking(move || {
            use std::io::Write;
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path);
            let written = file.and_then(|mut f| f.write_all(format!("{line}\n").as_bytes()));
            if let Err(e) = written {
                tracing::warn!(file = path, error = %e, "cannot write scrape failure log");
            }
        });
    }

    /// Ends the series of a target that is gone: two ticks later, so that a target that comes
    /// back in time wins, with the time of the first tick that was missed.
    async fn end(&mut self, missed: i64, interval: Duration) {
        if *self.orders.borrow_and_update() != Order::Gone {
            return;
        }
        let until = missed + i64::try_from((interval + interval / 10).as_millis()).unwrap_or(0);
        let wait = u64::try_from(until - now_ms()).unwrap_or(0);
        if !self.sleep(Duration::from_millis(wait)).await {
            return;
        }
        if let Err(e) = self.ingest.end(missed, &*self.appender) {
            tracing::warn!(url = %self.shared.target.url, error = %e, "cannot end series");
        }
    }
}

/// Returns when the order changes, or nobody can give one any more.
async fn ordered(orders: &mut watch::Receiver<Order>) {
    let gone = *orders.borrow() == Order::Gone;
    if orders.changed().await.is_err() && gone {
        // Nobody will stop us, and what is left to do has been ordered.
        std::future::pending::<()>().await;
    }
}

fn log_rejections(shared: &Shared, o: &Outcomes) {
    if o.appended.rejected.total > 0 {
        let first = o.appended.rejected.first.first();
        tracing::warn!(
            url = %shared.target.url,
            num_dropped = o.appended.rejected.total,
            error = %first.map_or(String::new(), |r| r.reason.to_string()),
            "samples of a scrape were refused"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_stable_and_spread() {
        let i = 15_000;
        for now in [0i64, 1, 14_999, 1_700_000_000_123] {
            let t = first_tick(now, i, 7);
            assert!(t >= now && t < now + i);
            assert_eq!(t % i, 7);
        }
        assert_ne!(first_tick(0, i, 1), first_tick(0, i, 2));
    }

    #[test]
    fn timestamps_near_a_tick_are_moved_there() {
        let s = Duration::from_secs(15);
        assert_eq!(align(1002, 1000, s), 1000);
        assert_eq!(align(1003, 1000, s), 1003);
        // At most a percent of the interval.
        assert_eq!(align(1002, 1000, Duration::from_millis(100)), 1002);
    }
}
