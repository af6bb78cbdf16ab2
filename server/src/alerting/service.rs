//! The running service: alerts in, notifications out.
//!
//! Owns: the one clock, the one task that drives the state machines, what requests may ask and
//! change, reloading.
//! Knows nothing of: HTTP, how messages look, rules.
//!
//! Invariants
//! - SRV1  Every change of the state machines happens under one lock; nothing waits while it is
//!   held.
//! - SRV2  The task sleeps until the next moment at which something is due, or until something
//!   changes: it never looks around in between.
//! - SRV3  What is answered as done is durable: silences before the answer, entries of the log
//!   before the flush counts as done.
//!
//! Read next: `flush.rs`, `share.rs`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::alert::{Alert, LabelSet};
use super::alerts::{AlertLimits, Alerts, PostedAlert};
use super::changes::{Changes, RowName};
use super::cluster::Cluster;
use super::dispatch::{Dispatcher, Flush};
use super::force::{InForce, Source};
use super::inhibit::Inhibitor;
use super::keep::{Keeper, Kept};
use super::log::{Log, LogKey};
use super::mute::Muter;
use super::numbers::Numbers;
use super::silence::{Silence, SilenceError, Silences, State};
use crate::config::alertmanager::Matcher;

/// How long flushes in progress may take to end when the service stops; a little longer than a
/// flush takes to leave.
const STOP: SignedDuration = SignedDuration::from_secs(6);

/// Options that do not change while the service runs.
#[derive(Debug, Clone)]
pub(crate) struct AlertingOptions {
    /// Where the configuration comes from.
    pub(crate) source: Source,
    /// URL under which users reach the service, without trailing slash.
    pub(crate) external_url: String,
    /// How long ended silences and entries of the log are kept.
    pub(crate) retention: SignedDuration,
    /// How often alerts that are over are forgotten.
    pub(crate) gc_interval: SignedDuration,
    /// How often old silences and entries of the log are forgotten.
    pub(crate) maintenance_interval: SignedDuration,
    /// No group is flushed earlier than this after the start.
    pub(crate) start_delay: SignedDuration,
    /// Alerts of one name; 0 for any number.
    pub(crate) alerts_per_name: usize,
    /// Silences; 0 for any number.
    pub(crate) silences_max: usize,
    /// Bytes of a silence; 0 for any number.
    pub(crate) silence_bytes_max: usize,
}

/// Where the time comes from, and who waits for it.
pub(crate) trait Clock: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;
    /// Ends at `t`, at once when that has passed.
    fn wait_until(&self, t: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wait_until(&self, t: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let wait = t.duration_since(Timestamp::now());
        let wait = wait.max(SignedDuration::ZERO).unsigned_abs();
        Box::pin(tokio::time::sleep(wait))
    }
}

/// Everything that changes (SRV1).
pub(super) struct Core {
    pub(super) alerts: Alerts,
    pub(super) dispatcher: Dispatcher,
    pub(super) silences: Silences,
    pub(super) log: Log,
    /// What other instances have not seen yet.
    pub(super) changes: Changes,
    pub(super) inhibitor: Inhibitor,
    pub(super) in_force: Arc<InForce>,
    /// Counts reloads: flushes of an older one change no groups.
    pub(super) generation: u64,
    /// One message at a time for each integration and group.
    pub(super) sending: BTreeMap<LogKey, Arc<tokio::sync::Mutex<()>>>,
    next_gc: Timestamp,
    next_maintenance: Timestamp,
    hold_until: Timestamp,
}

/// The service.
pub(crate) struct Alertmanager {
    pub(super) core: Mutex<Core>,
    pub(super) options: AlertingOptions,
    pub(super) keeper: Keeper,
    pub(super) numbers: Numbers,
    pub(super) clock: Arc<dyn Clock>,
    /// Other instances, when there may be some.
    pub(super) cluster: Option<Arc<Cluster>>,
    /// Number of the last change.
    pub(super) changed: watch::Sender<u64>,
    wake: Notify,
    /// The generation in force; flushes of older ones hurry up.
    pub(super) generation: watch::Sender<u64>,
    started: Timestamp,
}

impl std::fmt::Debug for Alertmanager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alertmanager").finish_non_exhaustive()
    }
}

/// A number of each thing.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Firing alerts that are told.
    pub(crate) alerts_active: usize,
    /// Firing alerts that are not.
    pub(crate) alerts_suppressed: usize,
    /// Silences: active, pending, expired.
    pub(crate) silences: [usize; 3],
    /// Groups.
    pub(crate) groups: usize,
    /// Entries of the log.
    pub(crate) log: usize,
    /// Receivers.
    pub(crate) receivers: usize,
    /// Integrations that can be used.
    pub(crate) integrations: usize,
    /// Integrations that cannot.
    pub(crate) unusable: usize,
    /// Of the configuration.
    pub(crate) hash: u64,
}

pub(super) fn later(t: Timestamp, d: SignedDuration) -> Timestamp {
    t.checked_add(d).unwrap_or(Timestamp::MAX)
}

impl Alertmanager {
    /// A service with a loaded configuration and what was kept; [`Alertmanager::run`] drives it,
    /// and whoever made `cluster` drives that.
    pub(crate) fn new(
        options: AlertingOptions,
        in_force: InForce,
        keeper: Keeper,
        clock: Arc<dyn Clock>,
        cluster: Option<Arc<Cluster>>,
    ) -> Self {
        let now = clock.now();
        let found = keeper.load();
        if found.damaged > 0 {
            tracing::error!(
                rows = found.damaged,
                "silences or log entries that cannot be read are left out"
            );
        }
        let mut silences = Silences::default();
        found.silences.into_iter().for_each(|s| silences.restore(s));
        let mut log = Log::default();
        found.log.into_iter().for_each(|(k, t)| log.put(k, t));
        let numbers = Numbers::default();
        let ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        numbers.loaded_ms.store(ms, Relaxed);
        let mut core = Core {
            changes: Changes::default(),
            alerts: Alerts::new(AlertLimits {
                per_alertname: options.alerts_per_name,
            }),
            dispatcher: Dispatcher::default(),
            silences,
            log,
            inhibitor: Inhibitor::new(&in_force.inhibit_rules),
            in_force: Arc::new(in_force),
            generation: 0,
            sending: BTreeMap::new(),
            next_gc: later(now, options.gc_interval),
            next_maintenance: later(now, options.maintenance_interval),
            hold_until: later(now, options.start_delay),
        };
        if cluster.is_some() {
            core.note_everything();
        }
        Self {
            changed: watch::channel(core.changes.last()).0,
            core: Mutex::new(core),
            options,
            keeper,
            numbers,
            clock,
            cluster,
            wake: Notify::new(),
            generation: watch::channel(0).0,
            started: now,
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes alerts. Each that is refused gives one sentence; the others are taken. Cost: for each
    /// the walk through the route tree.
    pub(crate) fn put(&self, alerts: Vec<PostedAlert>) -> Vec<String> {
        let now = self.now();
        let mut refused = Vec::new();
        let mut core = self.core.lock();
        let core = &mut *core;
        let timeout = core.in_force.resolve_timeout;
        for posted in alerts {
            match core.alerts.put(posted, timeout, now) {
                Ok(alert) => {
                    let i = usize::from(alert.resolved(now));
                    if let Some(n) = self.numbers.received.get(i) {
                        n.fetch_add(1, Relaxed);
                    }
                    core.inhibitor.note(&alert);
                    core.dispatcher.accept(&core.in_force.tree, &alert, now);
                }
                Err(e) => {
                    self.numbers.invalid.fetch_add(1, Relaxed);
                    refused.push(e);
                }
            }
        }
        self.wake.notify_one();
        refused
    }

    /// Drives everything until `stop` says so; sends in progress then have a moment to end.
    pub(crate) async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let mut stop = stop;
        let mut flushes: JoinSet<()> = JoinSet::new();
        loop {
            let now = self.now();
            for flush in self.due(now) {
                let (flush, in_force, generation) = flush;
                let this = self.clone();
                flushes.spawn(async move { this.flush(flush, in_force, generation).await });
            }
            self.maintain(now).await;
            tokio::select! {
                () = self.clock.wait_until(self.next_due()) => {}
                () = self.wake.notified() => {}
                Some(_) = flushes.join_next() => {}
                _ = async { drop(stop.wait_for(|s| *s).await) } => break,
            }
        }
        self.generation.send_modify(|g| *g += 1);
        let all = async { while flushes.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = self.clock.wait_until(later(self.now(), STOP)) => {
                tracing::warn!("notifications in progress are cut off");
            }
        }
    }

    fn due(&self, now: Timestamp) -> Vec<(Flush, Arc<InForce>, u64)> {
        let mut core = self.core.lock();
        if now < core.hold_until {
            return Vec::new();
        }
        let (in_force, generation) = (core.in_force.clone(), core.generation);
        let due = core.dispatcher.due(now).into_iter();
        due.map(|f| (f, in_force.clone(), generation)).collect()
    }

    /// SRV2
    fn next_due(&self) -> Timestamp {
        let core = self.core.lock();
        let flush = core.dispatcher.next_due().unwrap_or(Timestamp::MAX);
        let flush = flush.max(core.hold_until);
        flush.min(core.next_gc).min(core.next_maintenance)
    }

    async fn maintain(&self, now: Timestamp) {
        let mut gone = Vec::new();
        {
            let mut core = self.core.lock();
            if now >= core.next_gc {
                core.next_gc = later(now, self.options.gc_interval);
                core.alerts.collect(now);
                core.inhibitor.collect(now);
                core.sending.retain(|_, m| Arc::strong_count(m) > 1);
            }
            if now >= core.next_maintenance {
                core.next_maintenance = later(now, self.options.maintenance_interval);
                let horizon = now
                    .checked_sub(self.options.retention)
                    .unwrap_or(Timestamp::MIN);
                for id in core.silences.forget(horizon) {
                    core.changes.forget(&RowName::Silence(id.clone()));
                    gone.push(Kept::SilenceGone(id));
                }
                for key in core.log.forget(now) {
                    core.changes.forget(&RowName::Told(key.clone()));
                    gone.push(Kept::ToldGone(key));
                }
            }
        }
        self.keep_or_say(gone).await;
    }

    /// Keeps rows whose loss costs a repetition at most; failures are counted and logged.
    pub(super) async fn keep_or_say(&self, rows: Vec<Kept>) {
        if let Err(e) = self.keeper.keep(rows).await {
            self.numbers.not_kept.fetch_add(1, Relaxed);
            tracing::error!(error = %e, "the state of alerting could not be kept");
        }
    }

    /// Loads the configuration again. Groups are made anew from the alerts that are known; the log
    /// keeps them from being told again.
    ///
    /// # Errors
    /// Why it cannot be loaded; the old one stays in force then.
    pub(crate) fn reload(&self) -> Result<(), String> {
        let loaded = InForce::load(&self.options.source);
        self.numbers
            .load_failed
            .store(u64::from(loaded.is_err()), Relaxed);
        let in_force = Arc::new(loaded?);
        let now = self.now();
        {
            let mut core = self.core.lock();
            let core = &mut *core;
            core.generation += 1;
            core.in_force = in_force;
            core.inhibitor = Inhibitor::new(&core.in_force.inhibit_rules);
            core.dispatcher = Dispatcher::default();
            for a in core.alerts.iter() {
                core.inhibitor.note(a);
                core.dispatcher.accept(&core.in_force.tree, a, now);
            }
            self.generation.send_replace(core.generation);
        }
        let ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        self.numbers.loaded_ms.store(ms, Relaxed);
        self.wake.notify_one();
        Ok(())
    }

    /// Ends a flush of a generation.
    pub(super) fn done(&self, flush: &Flush, generation: u64, worked: bool) {
        let mut core = self.core.lock();
        if core.generation == generation {
            core.dispatcher.done(flush, worked);
        }
        drop(core);
        self.wake.notify_one();
    }

    /// What is counted.
    pub(crate) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// When the service was started.
    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    /// What is in force.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.core.lock().in_force.clone()
    }

    /// Creates or changes a silence; gives its name.
    ///
    /// # Errors
    /// See [`SilenceError`]. It is in force when it could not be kept; the error says so.
    pub(crate) async fn set_silence(&self, new: Silence) -> Result<String, SilenceError> {
        let now = self.now();
        let bytes = new.size_bytes();
        let max = self.options.silence_bytes_max;
        if max > 0 && bytes > max {
            return Err(SilenceError::Invalid(format!(
                "silence exceeded maximum size: {bytes} bytes (limit: {max} bytes)"
            )));
        }
        let (id, rows) = {
            let mut core = self.core.lock();
            let max = self.options.silences_max;
            if max > 0 && new.id.is_empty() && core.silences.iter().count() >= max {
                return Err(SilenceError::Invalid(format!(
                    "exceeded maximum number of silences: {max} (limit: {max})"
                )));
            }
            let changed = core
                .silences
                .set(new, uuid::Uuid::new_v4().to_string(), now)?;
            let rows = changed
                .iter()
                .filter_map(|id| core.silences.get(id).cloned());
            let rows: Vec<Kept> = rows.map(Kept::Silence).collect();
            for id in &changed {
                self.note(&mut core, RowName::Silence(id.clone()));
            }
            (changed.into_iter().next().unwrap_or_default(), rows)
        };
        // SRV3
        self.keeper
            .keep(rows)
            .await
            .map_err(SilenceError::NotKept)?;
        Ok(id)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// See [`SilenceError`].
    pub(crate) async fn expire_silence(&self, id: &str) -> Result<(), SilenceError> {
        let row = {
            let mut core = self.core.lock();
            core.silences.expire(id, self.now())?;
            self.note(&mut core, RowName::Silence(id.to_owned()));
            core.silences.get(id).cloned()
        };
        let rows = row.map(Kept::Silence).into_iter().collect();
        self.keeper.keep(rows).await.map_err(SilenceError::NotKept)
    }

    /// All silences.
    pub(crate) fn silences(&self) -> Vec<Silence> {
        self.core.lock().silences.iter().cloned().collect()
    }

    /// One silence.
    pub(crate) fn silence(&self, id: &str) -> Option<Silence> {
        self.core.lock().silences.get(id).cloned()
    }

    /// A number of each thing.
    pub(crate) fn census(&self) -> Census {
        let now = self.now();
        let core = self.core.lock();
        let mut out = Census {
            groups: core.dispatcher.len(),
            log: core.log.len(),
            receivers: core.in_force.receivers.len(),
            unusable: core.in_force.unusable,
            hash: core.in_force.hash,
            ..Census::default()
        };
        let receivers = core.in_force.receivers.values();
        out.integrations = receivers.map(|r| r.integrations.len()).sum();
        for s in core.silences.iter() {
            let i = match s.state(now) {
                State::Active => 0,
                State::Pending => 1,
                State::Expired => 2,
            };
            if let Some(n) = out.silences.get_mut(i) {
                *n += 1;
            }
        }
        for a in core.alerts.iter().filter(|a| !a.resolved(now)) {
            let inhibited = core.inhibitor.inhibited_by(a, now).is_some();
            let silenced = || !core.silences.holding(&|n| a.label(n), now).is_empty();
            match inhibited || silenced() {
                true => out.alerts_suppressed += 1,
                false => out.alerts_active += 1,
            }
        }
        out
    }

    /// Firing alerts with what keeps them from being told, for readers.
    pub(crate) fn alerts(&self) -> Vec<AlertView> {
        let now = self.now();
        let core = self.core.lock();
        let firing = core.alerts.iter().filter(|a| !a.resolved(now));
        firing.map(|a| core.view(a, now)).collect()
    }

    /// Groups with their firing alerts, sorted by labels and receiver.
    pub(crate) fn groups(&self) -> Vec<GroupOfAlerts> {
        let now = self.now();
        let core = self.core.lock();
        let muter = core.muter();
        let each = core.dispatcher.groups().map(|g| {
            let muted_by = muter.muting(g.options, now).unwrap_or_default();
            let firing = g.alerts.filter(|a| !a.resolved(now));
            GroupOfAlerts {
                labels: g.labels.clone(),
                receiver: g.options.receiver.clone(),
                route_labels: g.options.labels.clone(),
                alerts: firing
                    .map(|a| AlertView {
                        muted_by: muted_by.clone(),
                        ..core.view(a, now)
                    })
                    .collect(),
            }
        });
        let mut out: Vec<GroupOfAlerts> = each.filter(|g| !g.alerts.is_empty()).collect();
        out.sort_by(|a, b| (&a.labels, &a.receiver).cmp(&(&b.labels, &b.receiver)));
        out
    }
}

/// An alert as readers see it.
#[derive(Debug, Clone)]
pub(crate) struct AlertView {
    /// The alert.
    pub(crate) alert: Alert,
    /// Whom it reaches, in the order of the tree, each once.
    pub(crate) receivers: Vec<String>,
    /// Silences that hold for it.
    pub(crate) silenced_by: Vec<String>,
    /// Alerts that inhibit it.
    pub(crate) inhibited_by: Vec<u64>,
    /// Intervals that mute its group.
    pub(crate) muted_by: Vec<String>,
}

impl AlertView {
    /// Whether it is kept from being told.
    pub(crate) fn suppressed(&self) -> bool {
        !(self.silenced_by.is_empty() && self.inhibited_by.is_empty() && self.muted_by.is_empty())
    }

    /// Whether all conditions hold for its labels.
    pub(crate) fn matches(&self, all: &[Matcher]) -> bool {
        all.iter().all(|m| m.matches(self.alert.label(&m.name)))
    }
}

/// A group as readers see it.
#[derive(Debug, Clone)]
pub(crate) struct GroupOfAlerts {
    /// Labels of the group.
    pub(crate) labels: LabelSet,
    /// Who is told.
    pub(crate) receiver: String,
    /// Labels of the route.
    pub(crate) route_labels: LabelSet,
    /// Its firing alerts.
    pub(crate) alerts: Vec<AlertView>,
}

impl Core {
    pub(super) fn muter(&self) -> Muter<'_> {
        Muter {
            inhibitor: &self.inhibitor,
            intervals: &self.in_force.intervals,
            silences: &self.silences,
        }
    }

    fn view(&self, alert: &Alert, now: Timestamp) -> AlertView {
        let mut receivers: Vec<String> = Vec::new();
        for node in self.in_force.tree.takers(&|n| alert.label(n)) {
            if !receivers.iter().any(|r| r == node.receiver()) {
                receivers.push(node.receiver().to_owned());
            }
        }
        let inhibited = self.inhibitor.inhibited_by(alert, now);
        AlertView {
            receivers,
            silenced_by: self.silences.holding(&|n| alert.label(n), now),
            inhibited_by: inhibited.into_iter().collect(),
            muted_by: Vec::new(),
            alert: alert.clone(),
        }
    }
}
