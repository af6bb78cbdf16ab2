//! The thread that reads: files to lines, lines through pipelines, entries to receivers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use exporters::logs::entry::Entry;
use exporters::logs::positions::{Known, Ledger};
use exporters::logs::tail::{Event, FileNumbers, Files};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::job::JobLine;
use super::targets::Inbox;

/// Entries and bytes of lines that are handed over together.
const HAND_OVER: usize = 1024;
const HAND_OVER_BYTES: usize = 512 * 1024;
/// Files whose failures are remembered.
const FAILING_MAX: usize = 10_000;

/// What pages show of the reading.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Numbers of files by path.
    pub(crate) files: Vec<(PathBuf, FileNumbers)>,
}

/// Periods of the reading.
#[derive(Debug, Clone)]
pub(crate) struct Periods {
    pub(crate) refresh: Duration,
    pub(crate) sync: Duration,
    pub(crate) poll_min: Duration,
    pub(crate) poll_max: Duration,
}

/// What the thread works with.
pub(crate) struct Reading {
    pub(crate) files: Files,
    /// Targets that discovery has found since.
    pub(crate) inbox: Inbox,
    /// Where positions are kept.
    pub(crate) ledger: Arc<Ledger>,
    /// By number of the job.
    pub(crate) jobs: Vec<JobLine>,
    pub(crate) receivers: Vec<mpsc::Sender<Vec<Entry>>>,
    pub(crate) periods: Periods,
    pub(crate) view: Arc<Mutex<View>>,
    pub(crate) stop: Arc<AtomicBool>,
}

pub(crate) fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Files that cannot be read, with the reason that was told last.
type Failing = BTreeMap<PathBuf, String>;

/// Tells what happened to files; the same failure of a file once.
fn tell(events: &mut Vec<Event>, failing: &mut Failing) {
    for e in events.drain(..) {
        match e {
            Event::Started(p) => {
                failing.remove(&p);
                tracing::info!(path = %p.display(), "tail routine: started");
            }
            Event::Stopped(p) => {
                failing.remove(&p);
                tracing::info!(path = %p.display(), "tail routine: stopped");
            }
            Event::Failed(p, e) if failing.get(&p) == Some(&e) => {}
            Event::Failed(p, e) => {
                tracing::error!(path = %p.display(), error = %e, "a file cannot be read");
                if failing.len() >= FAILING_MAX {
                    failing.clear();
                }
                failing.insert(p, e);
            }
        }
    }
}

/// Gives entries to every receiver. Waits while one is behind (AGT2).
pub(super) fn hand_over(receivers: &[mpsc::Sender<Vec<Entry>>], entries: &mut Vec<Entry>) {
    let all = std::mem::take(entries);
    let Some((last, others)) = receivers.split_last().filter(|_| !all.is_empty()) else {
        return;
    };
    // A receiver that has ended is being stopped: what it did not take stays undone.
    for r in others {
        drop(r.blocking_send(all.clone()));
    }
    drop(last.blocking_send(all));
}

/// Saves all positions. Reading goes on when that fails: the next time may be better.
pub(super) fn save(ledger: &Ledger, known: impl FnOnce() -> Known) {
    if let Err(e) = ledger.save(known) {
        tracing::error!(error = %e, "positions cannot be saved");
    }
}

impl Reading {
    fn save(&self) {
        save(&self.ledger, || self.files.positions());
    }

    fn show(&self) {
        let files = self.files.numbers();
        self.view.lock().files = files.map(|(p, n)| (p.to_owned(), n)).collect();
    }

    /// Reads until told to stop. Gives itself back: positions are saved once more when receivers
    /// have ended.
    pub(crate) fn run(mut self) -> Stopped {
        let (mut events, mut failing) = (Vec::new(), Failing::new());
        let (mut refreshed, mut synced) = (None::<Instant>, Instant::now());
        let mut poll = self.periods.poll_min;
        while !self.stop.load(Relaxed) {
            if let Some(targets) = self.inbox.lock().take() {
                self.files.set_targets(targets);
                refreshed = None;
            }
            let due = refreshed.is_none_or(|at| at.elapsed() >= self.periods.refresh);
            if due || self.files.is_stale() {
                self.files.refresh(now_ns(), &mut events);
                refreshed = Some(Instant::now());
                // A file that is not noted before it is rotated could not be found again; one that
                // is gone may give its inode to another.
                let other = |e: &Event| matches!(e, Event::Started(_) | Event::Stopped(_));
                if events.iter().any(other) {
                    self.save();
                }
            }
            let read = self.turn(&mut events);
            tell(&mut events, &mut failing);
            // Receivers that are being stopped give up entries: then nothing counts as done.
            if synced.elapsed() >= self.periods.sync && !self.stop.load(Relaxed) {
                self.save();
                synced = Instant::now();
            }
            self.show();
            if read == 0 {
                std::thread::sleep(poll.min(self.due()));
                poll = (poll * 2).min(self.periods.poll_max);
            } else {
                poll = self.periods.poll_min;
            }
        }
        let mut out = Vec::new();
        for j in &mut self.jobs {
            j.finish(now_ns(), &mut out);
        }
        hand_over(&self.receivers, &mut out);
        self.receivers.clear();
        Stopped(self)
    }

    /// How long until a line that a limit holds back may go on.
    fn due(&self) -> Duration {
        let next = self.jobs.iter().filter_map(JobLine::due_ns).min();
        let wait = next.map(|at| at.saturating_sub(now_ns()).max(0));
        wait.map_or(Duration::MAX, |ns| Duration::from_nanos(ns.unsigned_abs()))
    }

    /// One turn of all files and of what waits in pipelines.
    fn turn(&mut self, events: &mut Vec<Event>) -> usize {
        let now = now_ns();
        let (mut out, mut bytes) = (Vec::<Entry>::new(), 0);
        let receivers = &self.receivers;
        let held: BTreeSet<usize> = (0..self.jobs.len())
            .filter(|j| self.jobs.get(*j).is_some_and(|j| !j.is_ready()))
            .collect();
        let jobs = &mut self.jobs;
        let read = self.files.read(
            now,
            &|job| !held.contains(&job),
            &mut |job, entry| {
                bytes += entry.line.len();
                if let Some(j) = jobs.get_mut(job) {
                    j.take(entry, now, &mut out);
                }
                if out.len() >= HAND_OVER || bytes >= HAND_OVER_BYTES {
                    hand_over(receivers, &mut out);
                    bytes = 0;
                }
            },
            events,
        );
        for j in &mut self.jobs {
            j.tick(now_ns(), &mut out);
        }
        hand_over(&self.receivers, &mut out);
        read
    }
}

/// A reading that has ended.
pub(crate) struct Stopped(Reading);

impl Stopped {
    /// Saves positions, after receivers have sent what they had.
    pub(crate) fn save(&self) {
        self.0.save();
    }
}
