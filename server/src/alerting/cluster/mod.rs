//! Several instances that tell each thing once.
//!
//! Each instance gets all alerts and would tell all of them; they share their silences and their
//! notification logs, and wait for one another in the order of their names before they look into
//! the log: the second one finds what the first one has told.
//!
//! Owns: who else is there, whom we reach, our place among them, when we know enough to begin.
//! Knows nothing of: what rows mean, sockets (`link.rs` has the one that asks).
//!
//! Everything is pulled: an instance asks each other one what changed after the last change it
//! knows, and the other one answers as soon as there is something. Nobody can push anything onto
//! an instance but the name of somebody to ask.
//!
//! Invariants
//! - CL1  An instance that is not reached delays nobody: it has no place among the others.
//! - CL2  At most [`MEMBERS_MAX`] instances are asked, each by one request at a time, and those
//!   that answer at once without news at most every gossip interval.
//! - CL3  What an instance knows of another one's changes holds for one start of that one.
//!
//! Read next: `wire.rs`, `link.rs`, `numbers.rs`.

mod link;
mod numbers;
mod options;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

#[cfg(test)]
pub(super) use link::Later;
pub(crate) use link::{HttpLink, Link, PATH};
use numbers::ClusterNumbers;
pub(crate) use options::{ClusterOptions, advertised};
use wire::VERSION;
pub(crate) use wire::{Member, PULL_BYTES_MAX, Page, Pull};
pub(super) use wire::{PAGE_BYTES, ROW_BYTES_MAX};

use super::service::{Alertmanager, Clock, later};

/// Most instances that are asked.
const MEMBERS_MAX: usize = 32;
/// Most questions that wait for an answer at a time.
const WAITING_MAX: usize = 4 * MEMBERS_MAX;
/// An instance that cannot be reached for so many probes is gone.
const PROBES_UNTIL_GONE: i32 = 5;
/// Attempts after which nobody waits for a peer at the start.
const ATTEMPTS_TO_SETTLE: u32 = 3;

/// What is known of another instance.
#[derive(Debug, Clone)]
struct Peer {
    /// Who answered there last.
    member: Option<Member>,
    /// It answers.
    reached: bool,
    /// Everything it had was seen once.
    complete: bool,
    /// Attempts in a row that failed, and since when.
    failures: u32,
    failing_since: Option<Timestamp>,
    /// It stands in the configuration.
    configured: bool,
    /// Ask again now.
    poke: Arc<Notify>,
}

/// Why a question is not answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is none: answer 400.
    #[error("{0}")]
    Bad(String),
    /// It is for others: answer 403.
    #[error("cluster label {got:?} is not {want:?}")]
    Label {
        /// Theirs.
        got: String,
        /// Ours.
        want: String,
    },
    /// Too many wait already: answer 503.
    #[error("too many questions at a time")]
    Busy,
}

/// The others, seen from here.
pub(crate) struct Cluster {
    options: ClusterOptions,
    own: Member,
    peers: Mutex<BTreeMap<String, Peer>>,
    link: Arc<dyn Link>,
    clock: Arc<dyn Clock>,
    numbers: ClusterNumbers,
    settled: watch::Sender<bool>,
    /// Something about peers has changed.
    changed: Notify,
    waiting: Semaphore,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// The others of `options`; [`Cluster::run`] looks for them.
    pub(crate) fn new(
        options: ClusterOptions,
        link: Arc<dyn Link>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let start = uuid::Uuid::new_v4().simple().to_string();
        let name = match options.name.as_str() {
            "" => ulid::Ulid::generate().to_string(),
            name => name.to_owned(),
        };
        let own = Member {
            name,
            address: options.advertise.clone(),
            start,
        };
        let alone = options.peers.is_empty();
        Arc::new(Self {
            options,
            own,
            peers: Mutex::default(),
            link,
            clock,
            numbers: ClusterNumbers::default(),
            settled: watch::channel(alone).0,
            changed: Notify::new(),
            waiting: Semaphore::new(WAITING_MAX),
        })
    }

    /// Looks for the others and follows them until `stop` says so.
    pub(crate) async fn run(
        self: Arc<Self>,
        service: Arc<Alertmanager>,
        stop: watch::Receiver<bool>,
    ) {
        let mut stop = stop;
        let mut follows: JoinSet<String> = JoinSet::new();
        let mut followed: BTreeSet<String> = BTreeSet::new();
        let begin = self.clock.now();
        let patience = later(begin, self.options.settle_timeout);
        let mut next_resolve = begin;
        loop {
            let now = self.clock.now();
            if now >= next_resolve {
                next_resolve = later(now, self.options.reconnect_interval);
                self.resolve().await;
            }
            for address in self.addresses() {
                if followed.insert(address.clone()) {
                    let (this, service) = (self.clone(), service.clone());
                    follows.spawn(async move { this.follow(&service, address).await });
                }
            }
            if !*self.settled.borrow() && (now >= patience || self.knows_enough()) {
                tracing::info!(members = self.members().len(), "the cluster has settled");
                self.settled.send_replace(true);
            }
            let wake = match *self.settled.borrow() {
                true => next_resolve,
                false => next_resolve.min(patience),
            };
            tokio::select! {
                () = self.clock.wait_until(wake) => {}
                () = self.changed.notified() => {}
                Some(gone) = follows.join_next() => {
                    if let Ok(address) = gone {
                        followed.remove(&address);
                    }
                }
                _ = async { drop(stop.wait_for(|s| *s).await) } => return,
            }
        }
    }

    /// Addresses of configured peers.
    async fn resolve(&self) {
        for peer in &self.options.peers {
            let found = self.link.resolve(peer).await;
            self.numbers.refreshed(!found.is_empty());
            for address in found {
                self.add(&address, true);
            }
        }
    }

    fn addresses(&self) -> Vec<String> {
        self.peers.lock().keys().cloned().collect()
    }

    /// Another address to ask (CL2).
    fn add(&self, address: &str, configured: bool) {
        let mut peers = self.peers.lock();
        if address == self.own.address {
            return;
        }
        if let Some(p) = peers.get_mut(address) {
            p.configured |= configured;
            return;
        }
        if peers.len() >= MEMBERS_MAX {
            return;
        }
        let new = Peer {
            member: None,
            reached: false,
            complete: false,
            failures: 0,
            failing_since: None,
            configured,
            poke: Arc::default(),
        };
        peers.insert(address.to_owned(), new);
        drop(peers);
        self.changed.notify_one();
    }

    /// Instances that somebody else reaches.
    fn learn<'m>(&self, members: impl Iterator<Item = &'m Member>) {
        for m in members.take(MEMBERS_MAX).filter(|m| m.is_sane()) {
            let known = {
                let peers = self.peers.lock();
                let same = peers
                    .values()
                    .any(|p| p.reached && p.member.as_ref().is_some_and(|k| k.start == m.start));
                same || m.start == self.own.start
            };
            if !known {
                self.add(&m.address, false);
            }
        }
    }

    /// Asks one address again and again; ends when it need not be asked any more.
    async fn follow(&self, service: &Alertmanager, address: String) -> String {
        let (mut start, mut after) = (String::new(), 0);
        let poke = match self.peers.lock().get(&address) {
            Some(p) => p.poke.clone(),
            None => return address,
        };
        loop {
            let began = self.clock.now();
            let pull = self.question(&start, after);
            let answered = tokio::select! {
                a = self.link.pull(&address, &pull) => a,
                () = self.clock.wait_until(later(began, self.options.longest())) => {
                    Err("no answer in time".to_owned())
                }
            };
            let pause = match answered {
                Ok(page) if page.from.start == self.own.start => {
                    // It is us, under another address.
                    self.peers.lock().remove(&address);
                    self.changed.notify_one();
                    return address;
                }
                Ok(page) if page.version != VERSION || !page.from.is_sane() => {
                    self.failed(&address, "the answer is not understood")
                }
                Ok(page) => {
                    let news = !page.rows.is_empty() || page.more;
                    let took = self.clock.now().duration_since(began);
                    self.numbers.page(page.rows.len(), took);
                    (start, after) = (page.from.start.clone(), page.upto);
                    self.learn(page.members.iter());
                    let complete = !page.more;
                    let (from, rows) = (page.from, page.rows);
                    let refused = service.merge(rows).await;
                    self.numbers.refused(refused);
                    self.reached(&address, from, complete);
                    match news {
                        true => None,
                        // CL2
                        false => Some(later(began, self.options.gossip_interval)),
                    }
                }
                Err(e) => self.failed(&address, &e),
            };
            if let Some(until) = pause {
                if until == Timestamp::MAX {
                    return address;
                }
                tokio::select! {
                    () = self.clock.wait_until(until) => {}
                    () = poke.notified() => {}
                }
            }
        }
    }

    fn question(&self, start: &str, after: u64) -> Pull {
        let wait = self.options.probe_interval.as_millis();
        Pull {
            version: VERSION,
            label: self.options.label.clone(),
            from: self.own.clone(),
            members: self.others(),
            start: start.to_owned(),
            after,
            wait_ms: u64::try_from(wait).unwrap_or(0),
        }
    }

    fn reached(&self, address: &str, member: Member, complete: bool) {
        let mut peers = self.peers.lock();
        let Some(p) = peers.get_mut(address) else {
            return;
        };
        let known = p.member.as_ref() == Some(&member);
        if !p.reached {
            let again = p.failing_since.is_some() && p.member.is_some();
            self.numbers.joined(again);
            tracing::info!(peer = %member.name, %address, "a peer is there");
        } else if !known {
            self.numbers.updated();
        }
        // CL3
        p.complete = complete || (p.complete && known);
        (p.reached, p.failures, p.failing_since) = (true, 0, None);
        p.member = Some(member);
        drop(peers);
        self.changed.notify_one();
    }

    /// Notes an attempt that failed; gives when to try again, the end of time for never.
    fn failed(&self, address: &str, why: &str) -> Option<Timestamp> {
        let now = self.clock.now();
        let o = &self.options;
        let mut peers = self.peers.lock();
        let Some(p) = peers.get_mut(address) else {
            return Some(Timestamp::MAX);
        };
        p.failures += 1;
        let since = *p.failing_since.get_or_insert(now);
        let gone = now.duration_since(since) >= o.probe_interval * PROBES_UNTIL_GONE;
        if p.reached && gone {
            // CL1
            p.reached = false;
            self.numbers.left();
            let name = p.member.as_ref().map_or("", |m| m.name.as_str());
            tracing::warn!(peer = name, address, reason = why, "a peer is gone");
        } else if !p.reached {
            self.numbers.not_reconnected();
            tracing::debug!(address, reason = why, "a peer cannot be reached");
        }
        let (reached, configured) = (p.reached, p.configured);
        let forget = !reached && !configured && now.duration_since(since) > o.reconnect_timeout;
        if forget {
            peers.remove(address);
        }
        // Until the cluster has settled, those who wait for a peer want to know soon.
        let soon = reached || !*self.settled.borrow();
        drop(peers);
        self.changed.notify_one();
        Some(match (forget, soon) {
            (true, _) => Timestamp::MAX,
            (_, true) => later(now, o.probe_interval),
            (_, false) => later(now, o.reconnect_interval),
        })
    }

    /// Whether every peer has told all it has, or cannot.
    fn knows_enough(&self) -> bool {
        let peers = self.peers.lock();
        let enough = |p: &Peer| p.complete || p.failures >= ATTEMPTS_TO_SETTLE;
        peers.values().all(enough)
    }

    /// Waits until enough is known to begin telling.
    pub(super) async fn settled(&self) {
        // The sender lives as long as this.
        drop(self.settled.subscribe().wait_for(|s| *s).await);
    }

    /// Everybody who is reached, without us.
    fn others(&self) -> Vec<Member> {
        let peers = self.peers.lock();
        let reached = peers.values().filter(|p| p.reached);
        let mut all: Vec<Member> = reached.filter_map(|p| p.member.clone()).collect();
        all.sort_by(|a, b| (&a.name, &a.start).cmp(&(&b.name, &b.start)));
        // One instance may answer at several addresses.
        all.dedup_by(|a, b| a.start == b.start);
        all
    }

    /// Everybody who is reached, and us, in the order of names.
    pub(crate) fn members(&self) -> Vec<Member> {
        let mut all = self.others();
        all.push(self.own.clone());
        all.sort_by(|a, b| (&a.name, &a.start).cmp(&(&b.name, &b.start)));
        all
    }

    /// Our place among them, from 0.
    fn position(&self) -> usize {
        let all = self.members();
        let own = all.iter().position(|m| m.start == self.own.start);
        own.unwrap_or(0)
    }

    /// How long to wait before looking whether somebody else has told already.
    pub(super) fn turn(&self) -> SignedDuration {
        let place = i32::try_from(self.position()).unwrap_or(i32::MAX);
        self.options
            .peer_timeout
            .checked_mul(place)
            .unwrap_or(SignedDuration::MAX)
    }

    /// Our name.
    pub(crate) fn name(&self) -> &str {
        &self.own.name
    }

    /// `ready`, or `settling` before enough is known.
    pub(crate) fn status(&self) -> &'static str {
        match *self.settled.borrow() {
            true => "ready",
            false => "settling",
        }
    }

    /// Answers a question: at once when there is something to say, otherwise when there is, or
    /// when the asker does not want to wait any longer.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) async fn answer(&self, service: &Alertmanager, pull: Pull) -> Result<Page, Refusal> {
        if pull.version != VERSION {
            return Err(Refusal::Bad(format!(
                "version {} of the question is not {VERSION}",
                pull.version
            )));
        }
        if pull.label != self.options.label {
            return Err(Refusal::Label {
                got: pull.label.chars().take(64).collect(),
                want: self.options.label.clone(),
            });
        }
        if !pull.from.is_sane() {
            return Err(Refusal::Bad("the asker has no name or address".into()));
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(Refusal::Busy);
        };
        if pull.from.start != self.own.start {
            self.learn(std::iter::once(&pull.from).chain(&pull.members));
            if let Some(p) = self.peers.lock().get(&pull.from.address)
                && !p.reached
            {
                p.poke.notify_one();
            }
        }
        // CL3
        let after = if pull.start == self.own.start {
            pull.after
        } else {
            0
        };
        let wait = i64::try_from(pull.wait_ms).unwrap_or(i64::MAX);
        let wait = SignedDuration::from_millis(wait).min(self.options.tcp_timeout);
        let mut changes = service.changes();
        tokio::select! {
            _ = async { drop(changes.wait_for(|last| *last > after).await) } => {}
            () = self.clock.wait_until(later(self.clock.now(), wait)) => {}
        }
        let (rows, upto, more) = service.rows_after(after);
        self.numbers.answered(rows.len());
        Ok(Page {
            version: VERSION,
            from: self.own.clone(),
            members: self.others(),
            upto,
            more,
            rows,
        })
    }
}
