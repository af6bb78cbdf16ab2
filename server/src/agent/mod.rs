//! The log agent: reads what its configuration names and sends it on.
//!
//! Owns: which targets there are, the thread that reads, the tasks that send, the agent's numbers
//! and pages.
//! Knows nothing of: how files are followed and what stages do (`exporters::logs`), the command
//! line.
//!
//! Invariants
//! - AGT1  A position is saved only when all that was read before it is with every receiver, or was
//!   given up after the last retry: a kill at any moment loses no line.
//! - AGT4  What a receiver has taken is noted before it is sent more: after a kill no more comes
//!   again than what it was sent last.
//! - AGT2  While a receiver is behind nothing is read: what waits is bounded by the batches.
//! - AGT3  A source that does not exist here is refused by its name when the configuration is
//!   loaded, never ignored.
//!
//! Read next: `targets.rs` and `read.rs` for files, `sources/` and `feed.rs` for the rest,
//! `send.rs` and `local.rs`, `pages.rs`, `language.rs`.

mod backoff;
mod feed;
mod functions;
mod job;
mod language;
mod local;
mod pages;
mod read;
mod send;
mod sources;
mod tally;
mod targets;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use engine::model::{Labels, LabelsBuilder};
use exporters::logs::entry::{Entry, LabelSet};
use exporters::logs::numbers::Numbers;
use exporters::logs::positions::{self, Known, Ledger};
use exporters::logs::stages::{Inspect, Outside, Pipeline, TENANT_LABEL};
use exporters::logs::tail::Files;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::promtail::PromtailConfig;
use crate::discovery::{Manager, TargetGroup};
use crate::http::ListenerOptions;
use crate::relabel::Relabel;
use feed::Feed;
use job::JobLine;
use language::Languages;
pub(crate) use local::Local;
pub(crate) use pages::{Door, Pages, Reload, router};
use read::{Periods, Reading, Stopped, View};
use send::Sender;
use sources::Sources;
use tally::Tally;
use targets::{FileJob, FileTargets, Found, Inbox};

/// Pieces that wait for a receiver besides the one it works on.
const QUEUE: usize = 2;

/// Everything that a configuration means, checked.
pub(crate) struct Plan {
    config: PromtailConfig,
    outside: Outside,
    jobs: Vec<Job>,
}

/// One job.
struct Job {
    /// For lines of files.
    pipeline: Pipeline,
    file: FileJob,
}

/// Where entries go.
pub(crate) enum Destination {
    /// To the clients of the configuration.
    Clients,
    /// To this process' own store.
    Local(Local),
    /// To whoever prints them; no position is kept.
    Print(fn(&Entry)),
}

/// The name of this host as targets know it: in a pod that is its node, which the environment says.
fn node_name() -> String {
    let said = std::env::var("HOSTNAME").unwrap_or_default();
    if said.is_empty() { hostname() } else { said }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Labels of lines: those of a target without the inner ones.
fn visible(labels: &LabelsBuilder) -> LabelSet {
    let all = labels.iter();
    all.filter(|(n, _)| !n.starts_with("__") || *n == TENANT_LABEL)
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

impl Plan {
    /// Checks what the document says.
    ///
    /// # Errors
    /// Names the job and what is wrong.
    pub(crate) fn new(config: PromtailConfig) -> Result<Self, String> {
        Self::inspected(config, None)
    }

    /// The same; somebody is told what each stage does.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub(crate) fn inspected(
        config: PromtailConfig,
        inspect: Option<Inspect>,
    ) -> Result<Self, String> {
        let outside = Outside {
            language: Arc::new(Languages),
            numbers: Arc::new(Numbers::default()),
            rate: config.limits_config.rate().map(Arc::new),
            inspect,
        };
        let mut jobs = Vec::new();
        let here = node_name();
        for (number, c) in config.scrape_configs.iter().enumerate() {
            let named = |e: &dyn std::fmt::Display| format!("job {:?}: {e}", c.job_name);
            let pipeline = Pipeline::new(&c.pipeline_stages, &outside).map_err(|e| named(&e))?;
            let rules = Relabel::compile(&c.relabel_configs, true).map_err(|e| named(&e))?;
            let file = FileJob {
                name: c.job_name.clone(),
                rules: Arc::new(rules),
                manner: c.manner().map_err(|e| named(&e))?,
            };
            // Paths that stand here are checked now, those of discovery when they come.
            for s in &c.static_configs {
                let group = TargetGroup::from_static(String::new(), s, &[]);
                for labels in targets::each(&group) {
                    let target = targets::file_target(number, &file, labels, &here);
                    if target.map_err(|e| named(&e))?.is_none() {
                        tracing::info!(job = %c.job_name, "no path for target");
                    }
                }
            }
            jobs.push(Job { pipeline, file });
        }
        Ok(Self {
            config,
            outside,
            jobs,
        })
    }

    /// Who is told what each stage does.
    pub(crate) fn inspect(&self) -> Option<Inspect> {
        self.outside.inspect
    }

    /// The document.
    pub(crate) fn config(&self) -> &PromtailConfig {
        &self.config
    }

    /// Runs lines through the pipeline of the first job, as standard input is read; empty ones are
    /// passed over.
    fn stdin(&mut self, lines: impl Iterator<Item = String>, out: &mut dyn FnMut(Entry)) {
        let job = self.config.scrape_configs.first();
        let labels: LabelSet = match job.and_then(|j| j.static_configs.first()) {
            None => [
                ("job".to_owned(), "stdin".to_owned()),
                ("hostname".to_owned(), hostname()),
            ]
            .into(),
            Some(s) => visible(&Labels::from_pairs(s.labels.iter()).to_builder()),
        };
        let labels = Arc::new(labels);
        let mut none = Pipeline::empty(&self.outside);
        let p = self.jobs.first_mut().map_or(&mut none, |j| &mut j.pipeline);
        for line in lines.filter(|l| !l.is_empty()) {
            let now = read::now_ns();
            let entry = Entry::new(now, line, labels.clone());
            let mut left = Vec::new();
            let pause = p.process(entry, now, &mut |e| left.push(e));
            std::thread::sleep(pause);
            left.into_iter().for_each(&mut *out);
        }
        p.finish(read::now_ns(), out);
    }

    /// The same to `to`; returns when all of it was taken or given up.
    ///
    /// # Errors
    /// When there is no receiver.
    pub(crate) async fn stdin_to(
        mut self,
        to: Destination,
        lines: impl Iterator<Item = String> + Send + 'static,
    ) -> Result<(), String> {
        let Receivers { ways, tasks, .. } = Receivers::start(&self.config, to, &Arc::default())?;
        let reading = tokio::task::spawn_blocking(move || {
            self.stdin(lines, &mut |e| read::hand_over(&ways, &mut vec![e]));
        });
        drop(reading.await);
        for t in tasks {
            drop(t.await);
        }
        Ok(())
    }
}

/// What else stands there is of a format that is not known here: writing it anew would lose it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PositionsFile {
    #[serde(default)]
    positions: Option<Offsets>,
}

/// Offsets by path.
type Offsets = std::collections::BTreeMap<String, String>;

/// What is known of positions, and what the positions file says.
fn known(config: &PromtailConfig) -> Result<(Known, Offsets), String> {
    let file = Path::new(&config.positions.filename);
    if !file.exists() {
        return Ok(Default::default());
    }
    let read = crate::config::yaml::read(file);
    let parsed = read.and_then(|t| crate::config::parse_yaml::<PositionsFile>(file, &t));
    let offsets = match parsed {
        Ok(p) => p.positions.unwrap_or_default(),
        Err(e) if config.positions.ignore_invalid_yaml => {
            tracing::warn!(error = %e, "the positions file is not valid and is ignored");
            Default::default()
        }
        Err(e) => return Err(format!("positions: {e}")),
    };
    Ok((positions::known(file, offsets.clone()), offsets))
}

/// An agent at work.
pub(crate) struct Agent {
    stop: Arc<AtomicBool>,
    reading: JoinHandle<Stopped>,
    sources: Sources,
    discovery: Manager,
    senders: Vec<JoinHandle<()>>,
    ledger: Arc<Ledger>,
    pages: Arc<Pages>,
}

/// Receivers of entries, at work.
#[derive(Default)]
struct Receivers {
    ways: Vec<mpsc::Sender<Vec<Entry>>>,
    tasks: Vec<JoinHandle<()>>,
    numbers: Vec<Arc<Tally>>,
}

/// Notes what a receiver has taken, before it is sent more (AGT4).
async fn note(ledger: &Arc<Ledger>) {
    let own = ledger.clone();
    let noted = tokio::task::spawn_blocking(move || own.note()).await;
    if let Ok(Err(e)) = noted {
        tracing::error!(error = %e, "a position cannot be noted, it is saved later");
    }
}

impl Receivers {
    fn start(
        config: &PromtailConfig,
        to: Destination,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, String> {
        let mut all = Self::default();
        match to {
            Destination::Clients => {
                if config.clients.is_empty() {
                    return Err("at least one client config must be provided".into());
                }
                for c in &config.clients {
                    let s = Sender::new(
                        c,
                        (&config.limits_config, config.lag_labels(c)),
                        ledger.clone(),
                    );
                    let s = s.map_err(|e| format!("client {}: {e}", c.url.redacted()))?;
                    all.numbers.push(s.numbers());
                    let rx = all.way();
                    all.tasks.push(tokio::spawn(s.run(rx)));
                }
            }
            Destination::Local(local) => {
                all.numbers.push(local.numbers());
                let rx = all.way();
                all.tasks.push(tokio::spawn(local.run(rx, ledger.clone())));
            }
            Destination::Print(print) => {
                let mut rx = all.way();
                all.tasks.push(tokio::spawn(async move {
                    while let Some(entries) = rx.recv().await {
                        entries.iter().for_each(print);
                    }
                }));
            }
        }
        Ok(all)
    }

    fn way(&mut self) -> mpsc::Receiver<Vec<Entry>> {
        let (tx, rx) = mpsc::channel(QUEUE);
        self.ways.push(tx);
        rx
    }
}

impl Agent {
    /// Starts reading and sending. Sources that listen for HTTP do so with `options`.
    ///
    /// # Errors
    /// Why it cannot start.
    pub(crate) async fn start(
        plan: Plan,
        to: Destination,
        options: &ListenerOptions,
    ) -> Result<Self, String> {
        let Plan {
            config,
            outside,
            jobs,
        } = plan;
        let keep = !matches!(to, Destination::Print(_));
        let (known, offsets) = known(&config)?;
        let mut sources = Sources::new();
        let file = keep.then(|| config.positions.filename.clone().into());
        let ledger = Arc::new(Ledger::new(file, &offsets, sources.cursors()));
        // From here on what is delivered is noted (AGT4).
        read::save(&ledger, || known.clone());
        let receivers = Receivers::start(&config, to, &ledger)?;
        for (c, job) in config.scrape_configs.iter().zip(&jobs) {
            if !sources::has_any(c) {
                continue;
            }
            let pipeline = Pipeline::new(&c.pipeline_stages, &outside);
            let pipeline = pipeline.map_err(|e| format!("job {:?}: {e}", c.job_name))?;
            let ways = receivers.ways.clone();
            let feed = Feed::new(&c.job_name, job.file.rules.clone(), pipeline, ways);
            sources.start(c, feed, &known, options).await?;
        }
        sources.run();
        let inbox = Inbox::default();
        let here = node_name();
        let (pipelines, file_jobs): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|j| (j.pipeline, j.file)).unzip();
        let found = Arc::new(Found::default());
        let file_targets = FileTargets::new(file_jobs, found.clone(), inbox.clone());
        let discovery = Manager::new(Arc::new(file_targets));
        let wanted = config.scrape_configs.iter();
        discovery.apply(wanted.map(|c| (c.job_name.clone(), c.files(&here))));
        let view = Arc::new(Mutex::new(View::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (poll_min, poll_max) = config.poll();
        let reading = Reading {
            files: Files::new(known, ledger.clone()),
            inbox,
            ledger: ledger.clone(),
            jobs: pipelines.into_iter().map(JobLine::new).collect(),
            receivers: receivers.ways,
            periods: Periods {
                refresh: config.target_config.sync_period.as_std(),
                sync: config.positions.sync_period.as_std(),
                poll_min,
                poll_max,
            },
            view: view.clone(),
            stop: stop.clone(),
        };
        let numbers = (outside.numbers, sources.numbers(), receivers.numbers);
        let pages = Arc::new(Pages::new(&config, numbers, (view, found)));
        Ok(Self {
            stop,
            reading: tokio::task::spawn_blocking(|| reading.run()),
            sources,
            discovery,
            senders: receivers.tasks,
            ledger,
            pages,
        })
    }

    /// What pages show.
    pub(crate) fn pages(&self) -> Arc<Pages> {
        self.pages.clone()
    }

    /// Stops reading, sends what was read, saves positions. Waits at most `patience`: what no
    /// receiver took until then is read again at the next start.
    pub(crate) async fn stop(self, patience: Duration) {
        self.discovery.stop();
        self.stop.store(true, Relaxed);
        let aborts: Vec<_> = self.senders.iter().map(JoinHandle::abort_handle).collect();
        let end = async {
            self.sources.finish().await;
            let stopped = self.reading.await;
            for s in self.senders {
                drop(s.await);
            }
            if let Ok(s) = stopped {
                s.save();
            }
        };
        if tokio::time::timeout(patience, end).await.is_err() {
            tracing::warn!(
                "receivers did not take everything in time: it is read again at the next start"
            );
            // What is given up now is not done (AGT1).
            self.ledger.close();
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}
