//! Rules as one service: what starts and stops the server needs no more.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use query::promql::Engine;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::alert::Outgoing;
use super::group::{Defaults, Group, Outlet};
use super::live::Settings;
use super::numbers::Board;
use super::rule::{Host, Restoring};
use super::schedule::Grid;
use super::send::{self, Links, Local, Notifier, SendOptions};
use super::view::GroupView;
use super::world::World;
use crate::config::prometheus::LoadedConfig;
use crate::telemetry::Metrics;

/// How long alerts that wait may take to be sent when the server stops.
const DRAIN: Duration = Duration::from_secs(10);
/// Intervals after which the series of a group that is gone are ended.
const INTERVALS_BEFORE_END: u32 = 2;

/// What the command line says about rules.
#[derive(Debug, Clone)]
pub(crate) struct RuleOptions {
    /// How alerts of before a restart are believed.
    pub(crate) restoring: Restoring,
    /// Shortest time between two sendings of an alert, ms.
    pub(crate) resend_ms: i64,
    /// How alerts are sent.
    pub(crate) send: SendOptions,
}

/// Evaluates rules.
pub(crate) struct Service {
    world: Arc<dyn World>,
    options: RuleOptions,
    notifier: Arc<Notifier>,
    board: Arc<Board>,
    groups: Mutex<BTreeMap<(String, String), Running>>,
    /// The first configuration finds alerts of before the start, later ones those of the process.
    started: Mutex<bool>,
}

/// A group that is being evaluated.
struct Running {
    /// As it was compiled, to be compared with another configuration.
    compiled: Group,
    stop: watch::Sender<bool>,
    task: JoinHandle<Group>,
    view: Arc<ArcSwap<GroupView>>,
}

/// Selectors of rules with fewer series are read by one thread: groups run side by side already,
/// and nobody waits for an answer.
const SERIES_ALONE: usize = 16 * 1024;

/// Rules that can be put in force.
pub(crate) struct Prepared {
    settings: Settings,
    groups: Vec<Group>,
    receivers: send::Prepared,
}

/// Hands alerts to the notifier.
struct Sending<'n>(&'n Notifier);

impl Outlet for Sending<'_> {
    fn send(&mut self, text: &str, alerts: Vec<Outgoing>) {
        self.0.send(text, alerts);
    }
}

impl Service {
    /// A service without rules over `world`, whose alerts link to where `links` says; shows its
    /// numbers through `metrics`, under names that begin with `prefix`.
    pub(crate) fn new(
        world: Arc<dyn World>,
        links: Links,
        options: RuleOptions,
        (metrics, prefix): (&Metrics, &'static str),
    ) -> Self {
        let board = Arc::new(Board::new(prefix));
        metrics.register(board.clone());
        let notifier = Notifier::new(links, options.send, Arc::clone(&board));
        Self {
            world,
            options,
            notifier: Arc::new(notifier),
            board,
            groups: Mutex::default(),
            started: Mutex::new(false),
        }
    }

    /// From now on alerts also go to an Alertmanager in this process.
    pub(crate) fn set_local(&self, local: Arc<dyn Local>) {
        self.notifier.set_local(local);
    }

    /// Looks whether the rules and receivers of `config` can be used with `engine`.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    pub(crate) fn prepare(
        &self,
        config: &LoadedConfig,
        mut engine: Engine,
    ) -> Result<Prepared, String> {
        let global = &config.document.global;
        let threads = &mut engine.options.parallelism;
        threads.series_min = threads.series_min.max(SERIES_ALONE);
        let defaults = Defaults {
            interval_ms: global.evaluation_interval.as_ms(),
            offset_ms: global.rule_query_offset.as_ms(),
            resend_ms: self.options.resend_ms,
            language: self.world.language(&engine),
            grace_ms: self.options.restoring.grace_ms,
        };
        let restoring = (!*self.started.lock()).then_some(self.options.restoring);
        let mut groups = Vec::new();
        for (path, file) in &config.rules {
            let path = path.display().to_string();
            for g in &file.groups {
                groups.push(Group::new(&path, g, defaults, restoring)?);
            }
        }
        let external = global.external_labels.iter();
        Ok(Prepared {
            receivers: self.notifier.prepare(config)?,
            settings: Settings {
                engine,
                external_labels: external
                    .map(|(n, v)| (n.to_owned(), v.to_owned()))
                    .collect(),
            },
            groups,
        })
    }

    /// Puts rules in force (RU2). Must be called within a runtime.
    pub(crate) fn apply(&self, p: Prepared) {
        self.world.set(p.settings);
        self.notifier.apply(p.receivers);
        if !std::mem::replace(&mut *self.started.lock(), true) {
            let known: HashSet<String> = p.groups.iter().map(Group::key).collect();
            self.world.forget_groups(&|key| known.contains(key));
        }
        let mut groups = self.groups.lock();
        let mut old = std::mem::take(&mut *groups);
        for group in p.groups {
            let key = (group.file.clone(), group.config.name.clone());
            let running = match old.remove(&key) {
                Some(r) if r.compiled.same(&group) => r,
                before => self.start(group, before),
            };
            groups.insert(key, running);
        }
        for gone in old.into_values() {
            self.end(gone);
        }
        let mut shown = self.board.groups.lock();
        let keys: Vec<String> = groups.values().map(|r| r.compiled.key()).collect();
        shown.retain(|k, _| keys.contains(k));
    }

    fn start(&self, group: Group, before: Option<Running>) -> Running {
        let (stop, stopped) = watch::channel(false);
        let view = Arc::new(ArcSwap::from_pointee(GroupView::of(&group)));
        let work = Work {
            host: self.world.host(&group.file),
            notifier: Arc::clone(&self.notifier),
            board: Arc::clone(&self.board),
            view: Arc::clone(&view),
        };
        let compiled = group.clone();
        let task = tokio::spawn(async move {
            let mut group = group;
            if let Some(b) = before {
                b.stop.send_replace(true);
                match b.task.await {
                    Ok(old) => group.inherit(old),
                    Err(e) => tracing::error!(error = %e, "a group ended with a panic"),
                }
                work.view.store(Arc::new(GroupView::of(&group)));
            }
            work.run(group, stopped).await
        });
        Running {
            compiled,
            stop,
            task,
            view,
        }
    }

    /// Ends a group that is no longer configured; later its series are ended too, so that a group
    /// that only moved has time to go on with them.
    fn end(&self, gone: Running) {
        gone.stop.send_replace(true);
        let host = self.world.host(&gone.compiled.file);
        tokio::spawn(async move {
            let Ok(mut group) = gone.task.await else {
                return;
            };
            let interval = u64::try_from(group.interval_ms).unwrap_or(0);
            let wait = Duration::from_millis(interval) * INTERVALS_BEFORE_END;
            tokio::time::sleep(wait).await;
            tokio::task::block_in_place(|| {
                let ended = group.leave(&*host);
                if !ended.is_empty() {
                    host.store(&ended, now_ms());
                }
            });
        });
    }

    /// The groups, by file and name.
    pub(crate) fn groups(&self) -> Vec<Arc<GroupView>> {
        self.groups
            .lock()
            .values()
            .map(|r| r.view.load_full())
            .collect()
    }

    /// URLs of Alertmanagers in use, and of those that rules dropped.
    pub(crate) fn receivers(&self) -> (Vec<String>, Vec<String>) {
        self.notifier.receivers()
    }

    /// Ends everything: evaluations first, then what waits to be sent.
    pub(crate) async fn stop(&self) {
        let all = std::mem::take(&mut *self.groups.lock());
        for r in all.values() {
            r.stop.send_replace(true);
        }
        for r in all.into_values() {
            drop(r.task.await);
        }
        self.notifier.stop(DRAIN).await;
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// What the evaluation of a group needs.
struct Work {
    host: Arc<dyn Host>,
    notifier: Arc<Notifier>,
    board: Arc<Board>,
    view: Arc<ArcSwap<GroupView>>,
}

impl Work {
    /// Evaluates the group on its grid until told to stop; gives it back.
    async fn run(self, group: Group, mut stop: watch::Receiver<bool>) -> Group {
        let grid = Grid::new(&group.key(), group.interval_ms);
        let mut ts = grid.after(now_ms());
        self.count(&group);
        // An evaluation that panics leaves the group to the next one.
        let group = Arc::new(Mutex::new(group));
        loop {
            let wait = u64::try_from(ts - now_ms()).unwrap_or(0);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                _ = stop.wait_for(|s| *s) => break,
            }
            let (host, notifier) = (Arc::clone(&self.host), Arc::clone(&self.notifier));
            let runtime = tokio::runtime::Handle::current();
            let cell = Arc::clone(&group);
            let done = tokio::task::spawn_blocking(move || {
                let _within = runtime.enter();
                let started = Instant::now();
                let seconds = || started.elapsed().as_secs_f64();
                let mut out = Sending(&notifier);
                cell.lock().evaluate(&*host, ts, &mut out, &seconds);
            });
            if let Err(e) = done.await {
                tracing::error!(error = %e, "an evaluation ended with a panic");
            }
            let (next, missed) = grid.next(ts, now_ms());
            if missed > 0 {
                let mut g = group.lock();
                tracing::warn!(
                    group = %g.config.name,
                    file = %g.file,
                    missed,
                    "evaluations took longer than the interval"
                );
                g.missed += missed;
            }
            ts = next;
            let g = group.lock();
            self.count(&g);
            self.view.store(Arc::new(GroupView::of(&g)));
        }
        group.lock().clone()
    }

    fn count(&self, g: &Group) {
        let mut groups = self.board.groups.lock();
        let n = groups.entry(g.key()).or_default();
        n.interval = g.interval_ms as f64 / 1000.0;
        n.rules = g.rules.len() as u64;
        n.missed = g.missed;
        if n.iterations != g.evaluations
            && let Some((_, last)) = g.last
        {
            n.evaluations += last.rules;
            n.failures += last.failed;
            let mut all = self.board.evaluations.lock();
            for r in &g.rules {
                all.0 += r.evaluated.map_or(0.0, |e| e.1);
                all.1 += 1;
            }
        }
        n.iterations = g.evaluations;
        n.last = g.last;
    }
}
