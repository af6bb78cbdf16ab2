//! Sources that are no files: each a task (or several) that feeds its job's pipeline.
//!
//! Owns: which of them a configuration asks for, their start and stop, what they count.
//! Knows nothing of: files, sending.
//!
//! Invariants
//! - SRC1  A source whose address cannot be had stops the start; one whose other side is missing
//!   (an engine, a journal) waits for it and says so once.
//!
//! Read next: `syslog.rs`, `docker.rs`, `push.rs`, `journal.rs`.

mod docker;
mod hosts;
mod journal;
mod push;
mod syslog;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use exporters::logs::cursors::Cursors;
use exporters::logs::positions::Known;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::feed::Feed;
use crate::config::promtail::JobConfig;
use crate::discovery::Manager;
use crate::http::ListenerOptions;

/// How often waiting stages are looked at.
const TICK: Duration = Duration::from_millis(100);

/// What sources count.
#[derive(Debug, Default)]
pub(crate) struct SourceNumbers {
    /// Sources at work: listeners, containers, journals.
    pub(crate) active: AtomicU64,
    pub(crate) syslog_entries: AtomicU64,
    pub(crate) syslog_errors: AtomicU64,
    pub(crate) syslog_empty: AtomicU64,
    pub(crate) docker_entries: AtomicU64,
    pub(crate) docker_errors: AtomicU64,
    pub(crate) push_entries: AtomicU64,
    pub(crate) journal_entries: AtomicU64,
    pub(crate) journal_errors: AtomicU64,
}

fn count(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Relaxed);
}

/// One more at work as long as it lives.
struct Active(Arc<SourceNumbers>);

impl Active {
    fn new(numbers: &Arc<SourceNumbers>) -> Self {
        count(&numbers.active, 1);
        Self(numbers.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

/// What every source is given.
#[derive(Clone)]
struct Common {
    feed: Arc<Feed>,
    numbers: Arc<SourceNumbers>,
    cursors: Arc<Cursors>,
    stop: watch::Receiver<bool>,
}

/// Returns once sources have to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can say stop any more, which is a stop.
    drop(stop.wait_for(|s| *s).await);
}

/// Ends `work` when sources have to end; none then. For waiting only: entries that are dropped on
/// their way would count as done (LOG1).
async fn unless_stopped<T>(
    stop: &mut watch::Receiver<bool>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = stopped(stop) => None,
    }
}

/// All sources of a configuration.
pub(super) struct Sources {
    feeds: Vec<Arc<Feed>>,
    tasks: JoinSet<()>,
    /// Finds containers.
    managers: Vec<Manager>,
    stop: watch::Sender<bool>,
    numbers: Arc<SourceNumbers>,
    cursors: Arc<Cursors>,
}

/// Whether a job has sources that feed a pipeline.
pub(super) fn has_any(c: &JobConfig) -> bool {
    c.syslog.is_some()
        || c.loki_push_api.is_some()
        || c.journal.is_some()
        || !c.docker_sd_configs.is_empty()
}

impl Sources {
    /// No sources yet.
    pub(super) fn new() -> Self {
        Self {
            feeds: Vec::new(),
            tasks: JoinSet::new(),
            managers: Vec::new(),
            stop: watch::channel(false).0,
            numbers: Arc::default(),
            cursors: Arc::default(),
        }
    }

    /// What they count.
    pub(super) fn numbers(&self) -> Arc<SourceNumbers> {
        self.numbers.clone()
    }

    /// How far they are.
    pub(super) fn cursors(&self) -> Arc<Cursors> {
        self.cursors.clone()
    }

    /// Starts the sources of one job.
    ///
    /// # Errors
    /// Why one cannot start (SRC1).
    pub(super) async fn start(
        &mut self,
        c: &JobConfig,
        feed: Feed,
        known: &Known,
        options: &ListenerOptions,
    ) -> Result<(), String> {
        let feed = Arc::new(feed);
        self.feeds.push(feed.clone());
        let common = Common {
            feed,
            numbers: self.numbers.clone(),
            cursors: self.cursors.clone(),
            stop: self.stop.subscribe(),
        };
        let named = |e: String| format!("job {:?}: {e}", c.job_name);
        if let Some(s) = &c.syslog {
            let bound = syslog::bind(s).await.map_err(named)?;
            self.tasks
                .spawn(syslog::run(bound, s.clone(), common.clone()));
        }
        if let Some(p) = &c.loki_push_api {
            let served = push::bind(p, common.clone(), options).await;
            self.tasks.spawn(served.map_err(named)?);
        }
        if let Some(j) = &c.journal {
            let run = journal::run(j.clone(), common.clone(), known);
            self.tasks.spawn(run);
        }
        for d in &c.docker_sd_configs {
            let started = docker::start(d, common.clone(), known.clone());
            let (manager, reading) = started.map_err(named)?;
            self.managers.push(manager);
            self.tasks.spawn(reading);
        }
        Ok(())
    }

    /// Begins to look after what waits in pipelines. Once, after all have started.
    pub(super) fn run(&mut self) {
        let (feeds, mut stop) = (self.feeds.clone(), self.stop.subscribe());
        self.tasks.spawn(async move {
            while unless_stopped(&mut stop, tokio::time::sleep(TICK))
                .await
                .is_some()
            {
                for f in &feeds {
                    f.tick().await;
                }
            }
        });
    }

    /// Ends all sources and hands on what waits in their pipelines.
    pub(super) async fn finish(mut self) {
        self.stop.send_replace(true);
        self.feeds.iter().for_each(|f| f.end());
        self.managers.iter().for_each(Manager::stop);
        while self.tasks.join_next().await.is_some() {}
        for f in &self.feeds {
            f.finish().await;
        }
    }
}
