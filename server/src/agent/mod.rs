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
//! - AGT2  While a receiver is behind nothing is read: what waits is bounded by the batches.
//! - AGT3  A source that does not exist here is refused by its name when the configuration is
//!   loaded, never ignored.
//!
//! Read next: `read.rs`, `send.rs`, `pages.rs`, `language.rs`.

mod language;
mod pages;
mod read;
mod send;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use engine::model::{Labels, LabelsBuilder};
use exporters::logs::entry::{Entry, LabelSet};
use exporters::logs::numbers::Numbers;
use exporters::logs::positions::{self, Known};
use exporters::logs::stages::{Outside, Pipeline, TENANT_LABEL};
use exporters::logs::tail::{Files, PathPattern, Target};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::promtail::PromtailConfig;
use crate::relabel::Relabel;
use language::Languages;
pub(crate) use pages::{Pages, router};
use read::{Periods, Reading, Stopped, View};
use send::Sender;

/// Pieces that wait for a receiver besides the one it works on.
const QUEUE: usize = 2;
/// Shortest wait between two looks at files that rest.
const POLL_MIN: Duration = Duration::from_millis(20);

/// Everything that a configuration means, checked.
pub(crate) struct Plan {
    config: PromtailConfig,
    outside: Outside,
    pipelines: Vec<Pipeline>,
    targets: Vec<Target>,
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
        let outside = Outside {
            language: Arc::new(Languages),
            numbers: Arc::new(Numbers::default()),
        };
        let (mut pipelines, mut targets) = (Vec::new(), Vec::new());
        for (job, c) in config.scrape_configs.iter().enumerate() {
            let named = |e: &dyn std::fmt::Display| format!("job {:?}: {e}", c.job_name);
            let built = Pipeline::new(&c.pipeline_stages, &outside);
            pipelines.push(built.map_err(|e| named(&e))?);
            let rules = Relabel::compile(&c.relabel_configs, true).map_err(|e| named(&e))?;
            for s in &c.static_configs {
                let mut labels = Labels::from_pairs(s.labels.iter()).to_builder();
                let address = s.targets.first().map_or("", String::as_str);
                labels.set("__address__", address);
                if !rules.apply(&mut labels) {
                    continue;
                }
                let host = labels.get("__host__").unwrap_or("");
                if !host.is_empty() && host != hostname() {
                    continue;
                }
                let shown = visible(&labels);
                let Some(path) = labels.get("__path__").filter(|p| !p.is_empty()) else {
                    tracing::info!(job = %c.job_name, "no path for target");
                    continue;
                };
                if shown.is_empty() {
                    continue;
                }
                let exclude = labels.get("__path_exclude__").filter(|p| !p.is_empty());
                targets.push(Target {
                    job,
                    path: PathPattern::new(path).map_err(|e| named(&e))?,
                    exclude: exclude
                        .map(PathPattern::new)
                        .transpose()
                        .map_err(|e| named(&e))?,
                    labels: shown,
                });
            }
        }
        Ok(Self {
            config,
            outside,
            pipelines,
            targets,
        })
    }

    /// The document.
    pub(crate) fn config(&self) -> &PromtailConfig {
        &self.config
    }

    /// Runs lines through the pipeline of the first job, as standard input is read.
    pub(crate) fn stdin(
        &mut self,
        lines: impl Iterator<Item = String>,
        out: &mut dyn FnMut(&Entry),
    ) {
        let job = self.config.scrape_configs.first();
        let labels: LabelSet = match job.and_then(|j| j.static_configs.first()) {
            None => LabelSet::new(),
            Some(s) => visible(&Labels::from_pairs(s.labels.iter()).to_builder()),
        };
        let labels = Arc::new(labels);
        let Some(p) = self.pipelines.first_mut() else {
            return;
        };
        for line in lines {
            let now = read::now_ns();
            let entry = Entry::new(now, line, labels.clone());
            std::thread::sleep(p.process(entry, now, &mut |e| out(&e)));
        }
        p.finish(read::now_ns(), &mut |e| out(&e));
    }
}

#[derive(Deserialize, Default)]
struct PositionsFile {
    #[serde(default)]
    positions: Option<std::collections::BTreeMap<String, String>>,
}

/// What the positions file says.
fn known(config: &PromtailConfig) -> Result<Known, String> {
    let file = Path::new(&config.positions.filename);
    if !file.exists() {
        return Ok(Known::default());
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
    Ok(positions::known(file, offsets))
}

/// An agent at work.
pub(crate) struct Agent {
    stop: Arc<AtomicBool>,
    reading: JoinHandle<Stopped>,
    senders: Vec<JoinHandle<()>>,
    pages: Arc<Pages>,
}

impl Agent {
    /// Starts reading and sending. Must be called within a runtime. With `dry`, entries are printed
    /// and no position is kept.
    ///
    /// # Errors
    /// Why it cannot start.
    pub(crate) fn start(plan: Plan, dry: Option<fn(&Entry)>) -> Result<Self, String> {
        let config = &plan.config;
        if config.clients.is_empty() && dry.is_none() {
            return Err("at least one client config must be provided".into());
        }
        let (mut receivers, mut senders, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for c in config.clients.iter().filter(|_| dry.is_none()) {
            let s = Sender::new(c, &config.limits_config);
            let s = s.map_err(|e| format!("client {}: {e}", c.url.redacted()))?;
            let (tx, rx) = mpsc::channel(QUEUE);
            receivers.push(tx);
            sent.push(s.numbers());
            senders.push(tokio::spawn(s.run(rx)));
        }
        if let Some(print) = dry {
            let (tx, mut rx) = mpsc::channel::<Vec<Entry>>(QUEUE);
            receivers.push(tx);
            senders.push(tokio::spawn(async move {
                while let Some(all) = rx.recv().await {
                    all.iter().for_each(print);
                }
            }));
        }
        let mut files = Files::new(known(config)?);
        files.set_targets(plan.targets);
        let view = Arc::new(Mutex::new(View::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let poll = config.file_watch_config.max_poll_frequency.as_std();
        let reading = Reading {
            files,
            pipelines: plan.pipelines,
            receivers,
            positions: match dry {
                None => Some(config.positions.filename.clone().into()),
                Some(_) => None,
            },
            periods: Periods {
                refresh: config.target_config.sync_period.as_std(),
                sync: config.positions.sync_period.as_std(),
                poll_min: POLL_MIN,
                poll_max: poll.max(POLL_MIN),
            },
            view: view.clone(),
            stop: stop.clone(),
        };
        let pages = Arc::new(Pages::new(config, plan.outside.numbers, sent, view));
        Ok(Self {
            stop,
            reading: tokio::task::spawn_blocking(|| reading.run()),
            senders,
            pages,
        })
    }

    /// What pages show.
    pub(crate) fn pages(&self) -> Arc<Pages> {
        self.pages.clone()
    }

    /// Stops reading, sends what was read, saves positions. Waits at most `patience`.
    pub(crate) async fn stop(self, patience: Duration) {
        self.stop.store(true, Relaxed);
        let end = async {
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
        }
    }
}
