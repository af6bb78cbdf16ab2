//! The life of one destination: window after window, until it is told to end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use engine::metrics::Db;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::batch::{Batch, Series, batches, lanes};
use super::gather::{Gather, Rules, Slice, Window};
use super::now_ms;
use super::numbers::Numbers;
use super::place::{Marks, Place};
use super::send::{Outcome, Sender};
use crate::config::prometheus::QueueConfig;

/// The longest window; a destination that was away gets the past in pieces of it.
const WINDOW_MS: i64 = 10 * 60_000;
/// How far back each pass looks for samples that became visible after later ones of other series:
/// a scrape stores its samples when it ends, under the time at which it began.
const LATE_MS: i64 = 2 * 60_000;
/// How far back it looks for series that were silent, and now and then for all: senders that were
/// away deliver what they kept.
const VERY_LATE_MS: i64 = 60 * 60_000;
/// How often.
const VERY_LATE_EVERY: Duration = Duration::from_secs(300);
/// How long sending may go on after the order to end.
const LAST: Duration = Duration::from_secs(5);
/// Pause after the store could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// What a queue has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Send.
    Run,
    /// End, and remember how far it got.
    Stop,
    /// End, and forget everything: the destination is gone.
    Forget,
}

/// The queue was told to end before everything was sent.
#[derive(Debug)]
struct Ended;

/// One destination.
pub(super) struct Queue {
    /// Its name in logs.
    pub(super) name: String,
    /// Its URL without user information.
    pub(super) url: String,
    /// The store.
    pub(super) db: Arc<Db>,
    /// Sizes and pauses.
    pub(super) config: QueueConfig,
    /// What becomes of series.
    pub(super) rules: Arc<Rules>,
    /// The way.
    pub(super) sender: Sender,
    /// The memory.
    pub(super) place: Arc<Place>,
    /// The numbers.
    pub(super) numbers: Arc<Numbers>,
    /// The cursor of a destination that was never served, ms.
    pub(super) begin: i64,
    /// What to do.
    pub(super) orders: watch::Receiver<Order>,
}

/// How far a destination is.
struct Progress {
    cursor: i64,
    /// Series without a mark begin here.
    base: i64,
    marks: Arc<Mutex<Marks>>,
    looked_far_back: Instant,
}

/// Where series begin of which nothing was sent. A destination that goes on looks back: a series may
/// be new since a sample that became visible only after the cursor had passed its time. After a crash
/// some samples are sent twice that way, after an orderly stop the marks prevent it.
fn base(cursor: i64, goes_on: bool) -> i64 {
    match goes_on {
        true => cursor.saturating_sub(LATE_MS),
        false => cursor,
    }
}

/// Runs `f` where blocking is allowed; none when it panicked, which ends the process' work anyway.
async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(f).await.ok()
}

impl Queue {
    /// Sends until the order to end.
    pub(super) async fn run(self) {
        let place = Arc::clone(&self.place);
        let saved = blocking(move || place.load()).await.flatten();
        let known = saved.is_some();
        let (cursor, marks) = saved.unwrap_or_else(|| (self.begin, Marks::default()));
        let mut progress = Progress {
            cursor,
            base: base(cursor, known),
            marks: Arc::new(Mutex::new(marks)),
            looked_far_back: Instant::now(),
        };
        if !known {
            self.save_cursor(cursor).await;
        }
        tracing::info!(remote = %self.name, url = %self.url, behind_ms = now_ms() - cursor, "remote write started");
        self.work(&mut progress).await;
        if *self.orders.borrow() == Order::Forget {
            let place = Arc::clone(&self.place);
            blocking(move || place.forget()).await;
            return;
        }
        let (place, marks, cursor) = (
            Arc::clone(&self.place),
            Arc::clone(&progress.marks),
            progress.cursor,
        );
        let saved = blocking(move || place.save(cursor, &marks.lock())).await;
        if let Some(Err(e)) = saved {
            tracing::error!(remote = %self.name, error = %e, "the place of remote write could not be saved");
        }
    }

    async fn work(&self, progress: &mut Progress) {
        let pause = self.config.batch_send_deadline.as_std();
        let pause = pause.max(Duration::from_millis(10));
        loop {
            // What is seen now gets one more pass, so that a stop leaves nothing behind.
            let last = *self.orders.borrow() != Order::Run;
            let behind = tokio::select! {
                done = self.pass(progress) => match done {
                    Ok(behind) => behind,
                    Err(Ended) => return,
                },
                () = self.overdue() => return,
            };
            if last {
                return;
            }
            if !behind {
                let mut orders = self.orders.clone();
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = orders.wait_for(|o| *o != Order::Run) => {}
                }
            }
        }
    }

    /// Ends some time after the order to end; at once when nothing needs to be kept.
    async fn overdue(&self) {
        let mut orders = self.orders.clone();
        let order = orders.wait_for(|o| *o != Order::Run).await.map(|o| *o);
        if !matches!(order, Ok(Order::Forget)) {
            tokio::time::sleep(LAST).await;
        }
    }

    async fn save_cursor(&self, cursor: i64) {
        let place = Arc::clone(&self.place);
        if let Some(Err(e)) = blocking(move || place.save_cursor(cursor)).await {
            tracing::error!(remote = %self.name, error = %e, "the cursor of remote write could not be saved");
        }
    }

    /// Sends one window. True when there is more at once.
    async fn pass(&self, p: &mut Progress) -> Result<bool, Ended> {
        let now = now_ms();
        let to = now.min(p.cursor.saturating_add(WINDOW_MS));
        let far = p.looked_far_back.elapsed() >= VERY_LATE_EVERY;
        let back = if far { VERY_LATE_MS } else { LATE_MS };
        let window = Window {
            floor: p.cursor.min(to).saturating_sub(back),
            far: p.cursor.min(to).saturating_sub(VERY_LATE_MS),
            base: p.base,
            to,
            too_old: self.too_old(now),
        };
        let db = Arc::clone(&self.db);
        let mut gather = match blocking(move || Gather::new(&db, window)).await {
            Some(Ok(g)) => g,
            Some(Err(e)) => return self.unreadable(&e.to_string()).await,
            None => return Err(Ended),
        };
        loop {
            let (db, rules) = (Arc::clone(&self.db), Arc::clone(&self.rules));
            let marks = Arc::clone(&p.marks);
            let next = blocking(move || {
                let slice = gather.next(&db, &rules, &marks.lock());
                (gather, slice)
            });
            let Some((walk, slice)) = next.await else {
                return Err(Ended);
            };
            gather = walk;
            match slice {
                Ok(Some(s)) => self.send_slice(s, &p.marks).await?,
                Ok(None) => break,
                Err(e) => return self.unreadable(&e.to_string()).await,
            }
        }
        if far {
            p.looked_far_back = Instant::now();
            // Beyond the farthest look back nothing asks for a mark.
            let oldest = to.saturating_sub(VERY_LATE_MS);
            p.marks.lock().retain(|_, t| *t > oldest);
        }
        p.cursor = to;
        self.save_cursor(to).await;
        Ok(to < now)
    }

    /// The store could not be read: the same window is tried again after a pause.
    async fn unreadable(&self, error: &str) -> Result<bool, Ended> {
        tracing::error!(remote = %self.name, error, "remote write cannot read the store, trying again");
        self.pause(STORE_PAUSE).await?;
        Ok(true)
    }

    /// Waits, unless the queue is told to end.
    async fn pause(&self, d: Duration) -> Result<(), Ended> {
        let mut orders = self.orders.clone();
        tokio::select! {
            () = tokio::time::sleep(d) => Ok(()),
            _ = orders.wait_for(|o| *o != Order::Run) => Err(Ended),
        }
    }

    /// Points up to here are not sent any more.
    fn too_old(&self, now: i64) -> i64 {
        match self.config.sample_age_limit.as_ms() {
            limit if limit > 0 => now.saturating_sub(limit),
            _ => i64::MIN,
        }
    }

    async fn send_slice(&self, slice: Slice, marks: &Mutex<Marks>) -> Result<(), Ended> {
        let n = &self.numbers;
        n.dropped_by_rule.fetch_add(slice.dropped, Relaxed);
        n.dropped_too_old.fetch_add(slice.too_old, Relaxed);
        if let Some(t) = slice.series.iter().map(Series::newest).max() {
            n.seen(t);
        }
        marks.lock().extend(slice.settled);
        let per_request = size(self.config.max_samples_per_send);
        let most = size(self.config.max_shards);
        let least = size(self.config.min_shards).min(most);
        let shards = slice.points.div_ceil(per_request).clamp(least, most);
        n.shards.store(shards as u64, Relaxed);
        n.shards_max.store(most as u64, Relaxed);
        let lanes = lanes(slice.series, shards);
        let sending = lanes.iter().map(|lane| async move {
            for batch in batches(lane, per_request) {
                self.deliver(&batch).await?;
                let done = batch.parts.iter().map(|p| (p.series.key, p.newest()));
                marks.lock().extend(done);
            }
            Ok(())
        });
        // All of them, also after one has ended: what is under way must be known to have arrived.
        join_all(sending).await.into_iter().collect()
    }

    /// Sends one request until it is settled.
    async fn deliver(&self, batch: &Batch<'_>) -> Result<(), Ended> {
        let counts = batch.counts();
        let most = self.config.max_backoff.as_std();
        let mut backoff = self.config.min_backoff.as_std().min(most);
        let mut protocol = self.sender.protocol();
        let mut body = batch.body(protocol);
        let mut attempt: u32 = 0;
        loop {
            if attempt > 0 && batch.newest() <= self.too_old(now_ms()) {
                let points = counts.samples + counts.histograms;
                self.numbers.dropped_too_old.fetch_add(points, Relaxed);
                return Ok(());
            }
            let started = Instant::now();
            let outcome = self.sender.send(body.clone(), protocol, attempt).await;
            self.numbers
                .seconds
                .observe(started.elapsed().as_secs_f64());
            match outcome {
                Outcome::Accepted => {
                    self.numbers.sent(counts, batch.newest(), body.len());
                    return Ok(());
                }
                Outcome::Refused(reason) => {
                    self.numbers.failed(counts);
                    tracing::error!(remote = %self.name, url = %self.url, samples = counts.samples, error = %reason, "samples were refused and are not sent again");
                    return Ok(());
                }
                Outcome::OnlyV1 => {
                    tracing::warn!(remote = %self.name, url = %self.url, "the receiver does not take version 2, version 1 is sent");
                    self.sender.fall_back();
                    protocol = self.sender.protocol();
                    body = batch.body(protocol);
                }
                Outcome::Later(wait, reason) => {
                    self.numbers.retried(counts);
                    // The first failure and then ever more rarely.
                    if attempt.is_power_of_two() || attempt == 0 {
                        tracing::warn!(remote = %self.name, url = %self.url, attempt, error = %reason, "samples could not be sent, trying again");
                    }
                    self.pause(wait.unwrap_or(backoff)).await?;
                    backoff = (backoff * 2).max(Duration::from_millis(1)).min(most);
                    attempt = attempt.saturating_add(1);
                }
            }
        }
    }
}

/// A configured number of things, at least one.
fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scrape was under way when the cursor passed its time, and the sender was stopped before it
    /// looked again: the first sample of a series that is new since then must still be sent.
    #[test]
    fn who_goes_on_looks_back_for_new_series() {
        let window = |base| super::super::gather::Window {
            floor: 1_000_000 - LATE_MS,
            far: 0,
            base,
            to: 1_000_300,
            too_old: i64::MIN,
        };
        let seen_late = 999_990;
        assert!(window(base(1_000_000, true)).after(None) < seen_late);
        assert!(window(base(1_000_000, false)).after(None) > seen_late);
        // What was sent is not sent again.
        assert_eq!(window(base(1_000_000, true)).after(Some(999_990)), 999_990);
    }
}
