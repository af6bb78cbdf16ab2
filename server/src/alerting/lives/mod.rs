//! Random lives of the service against what must hold for any of them.
//!
//! Alerts come, end and come again; processes crash at any moment, also while they send; the
//! receiver answers, refuses, hangs, or takes a message without its answer being seen; instances
//! that know each other lose sight of each other. Time passes only when nobody has anything to do,
//! and then at once.
//!
//! What a life must look like is said without any of the state machines ([`Oracle`]): a group that
//! has not changed for longer than its interval, while nothing was wrong, has had a flush that was
//! due, and the last message that was answered says exactly what fires in it. So each state of each
//! group that lasts is delivered, not only the last one.

mod pair;
mod single;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::alerts::PostedAlert;
use super::cluster::Cluster;
use super::force::{InForce, Source};
use super::keep::Keeper;
use super::notify::{Class, Failure, Integration, Message, Notifier, Sent};
use super::service::{AlertingOptions, Alertmanager};
use time::{LifeClock, Random};

/// How often senders repeat what they know, s.
const RESEND_S: i64 = 5;
const ALERTS: usize = 4;
const GROUPS: usize = 2;
/// Of the configuration, s.
const GROUP_WAIT_S: i64 = 3;
const GROUP_INTERVAL_S: i64 = 5;
/// Longest time that a flush goes on after an attempt has begun, s.
const FLUSH_S: i64 = 10;

const CONFIG: &str =
    "route: {receiver: r, group_by: [g], group_wait: 3s, group_interval: 5s, repeat_interval: 1h}
receivers: [{name: r, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]";

fn seconds(s: i64) -> SignedDuration {
    SignedDuration::from_secs(s)
}

/// Which group an alert belongs to.
fn group_of(alert: usize) -> String {
    (alert % GROUPS).to_string()
}

/// An attempt as the receiver saw it.
#[derive(Debug, Clone)]
struct Attempt {
    group: String,
    by: usize,
    begun: Timestamp,
    /// When it was answered well.
    answered: Option<Timestamp>,
    /// Whether the receiver took the message, with an answer or without.
    taken: bool,
    firing: BTreeSet<String>,
    resolved: BTreeSet<String>,
}

/// Who is told.
struct Receiver {
    attempts: Mutex<Vec<Attempt>>,
    random: Mutex<Random>,
    /// From then on it answers everything well.
    well_from: Timestamp,
    clock: LifeClock,
}

/// What the receiver does with an attempt.
enum Mood {
    Well,
    Refuses(Failure),
    /// It takes the message, and the answer is cut.
    Cut,
    /// It hangs, before or after it has read the message.
    Hangs(bool),
    /// It answers after so many ms.
    Slow(i64),
}

impl Receiver {
    fn new(seed: u64, well_from: Timestamp, clock: &LifeClock) -> Arc<Self> {
        Arc::new(Self {
            attempts: Mutex::default(),
            random: Mutex::new(Random::new(seed ^ 0xd134_2543_de82_ef95)),
            well_from,
            clock: clock.clone(),
        })
    }

    fn mood(&self) -> Mood {
        let mut random = self.random.lock();
        let (what, slow) = (random.below(20), random.below(8_000));
        if self.clock.time() >= self.well_from {
            return Mood::Well;
        }
        match what {
            0 => Mood::Refuses(Failure::later("500")),
            1 => Mood::Refuses(Failure::last("400")),
            2 => Mood::Refuses(Failure {
                class: Class::Client,
                ..Failure::later("429")
            }),
            3 | 4 => Mood::Cut,
            5 | 6 => Mood::Hangs(slow % 2 == 0),
            7 | 8 => Mood::Slow(i64::try_from(slow).unwrap()),
            _ => Mood::Well,
        }
    }

    fn begin(&self, by: usize, m: &Message) -> usize {
        let names = |status: &str| {
            let some = m.data.alerts.iter().filter(|a| a.status == status);
            some.map(|a| a.labels["a"].clone()).collect()
        };
        let mut attempts = self.attempts.lock();
        attempts.push(Attempt {
            group: m.data.group_labels["g"].clone(),
            by,
            begun: self.clock.time(),
            answered: None,
            taken: false,
            firing: names("firing"),
            resolved: names("resolved"),
        });
        attempts.len() - 1
    }

    /// Messages about a group that the receiver took, the oldest first.
    fn taken(&self, group: &str) -> Vec<Attempt> {
        let attempts = self.attempts.lock();
        let own = attempts.iter().filter(|a| a.group == group && a.taken);
        own.cloned().collect()
    }

    /// Since when every attempt to tell a group was answered well and at once.
    fn calm_since(&self, group: &str) -> Timestamp {
        let attempts = self.attempts.lock();
        let mut calm = Timestamp::MIN;
        for a in attempts.iter().filter(|a| a.group == group) {
            calm = calm.max(match a.answered {
                Some(end) => end,
                // The flush goes on, and the next tick waits for its end.
                None => a.begun + seconds(FLUSH_S + GROUP_INTERVAL_S),
            });
        }
        calm
    }
}

/// The way from one instance to the receiver.
struct Line(Arc<Receiver>, usize);

impl Notifier for Line {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let r = &self.0;
            let i = r.begin(self.1, m);
            let take = |answered: bool| {
                let mut attempts = r.attempts.lock();
                attempts[i].taken = true;
                attempts[i].answered = answered.then(|| r.clock.time());
            };
            match r.mood() {
                Mood::Well => {
                    take(true);
                    Ok(String::new())
                }
                Mood::Refuses(f) => Err(f),
                Mood::Cut => {
                    take(false);
                    Err(Failure::later("connection reset"))
                }
                Mood::Hangs(read) => {
                    if read {
                        take(false);
                    }
                    std::future::pending().await
                }
                Mood::Slow(ms) => {
                    take(false);
                    r.clock.pause(SignedDuration::from_millis(ms)).await;
                    take(true);
                    Ok(String::new())
                }
            }
        })
    }
}

fn service(
    number: usize,
    receiver: &Arc<Receiver>,
    keeper: &Keeper,
    clock: &LifeClock,
    cluster: Option<Arc<Cluster>>,
) -> Arc<Alertmanager> {
    let source = Source::Text(CONFIG.into());
    let mut in_force = InForce::load(&source).unwrap();
    let own = Integration {
        kind: "webhook",
        index: 0,
        send_resolved: true,
        timeout_s: 0.0,
        notifier: Box::new(Line(receiver.clone(), number)),
    };
    in_force.receivers.get_mut("r").unwrap().integrations = vec![own];
    let options = AlertingOptions {
        source,
        external_url: "http://x".into(),
        retention: SignedDuration::from_hours(120),
        gc_interval: seconds(30),
        maintenance_interval: seconds(60),
        start_delay: SignedDuration::ZERO,
        alerts_per_name: 0,
        silences_max: 0,
        silence_bytes_max: 0,
    };
    let (keeper, clock) = (keeper.clone(), Arc::new(clock.clone()));
    Arc::new(Alertmanager::new(options, in_force, keeper, clock, cluster))
}

/// What a sender knows of an alert.
#[derive(Debug, Clone, Copy)]
struct Known {
    since: Timestamp,
    over: Option<Timestamp>,
}

/// The senders of alerts: what they know, and when each group changed last.
#[derive(Default)]
struct Senders {
    known: BTreeMap<usize, Known>,
    changed: BTreeMap<String, Timestamp>,
}

impl Senders {
    /// The alert begins, or ends when it fires.
    fn turn(&mut self, alert: usize, now: Timestamp) {
        let fires = |k: &Known| k.over.is_none();
        match self.known.get_mut(&alert) {
            Some(k) if fires(k) => k.over = Some(now),
            _ => {
                let since = now;
                self.known.insert(alert, Known { since, over: None });
            }
        }
        self.changed.insert(group_of(alert), now);
    }

    fn posts(&self, now: Timestamp) -> Vec<PostedAlert> {
        let each = self.known.iter().map(|(i, k)| PostedAlert {
            labels: [
                ("a".to_owned(), i.to_string()),
                ("g".to_owned(), group_of(*i)),
            ]
            .into(),
            starts_at: Some(k.since),
            ends_at: Some(k.over.unwrap_or(now + SignedDuration::from_mins(4))),
            ..PostedAlert::default()
        });
        each.collect()
    }

    /// What fires in a group.
    fn firing(&self, group: &str) -> BTreeSet<String> {
        let own = self.known.iter().filter(|(i, _)| group_of(**i) == group);
        let firing = own.filter(|(_, k)| k.over.is_none());
        firing.map(|(i, _)| i.to_string()).collect()
    }
}

/// Says what has to have been told.
struct Oracle {
    seed: u64,
    /// Longest time until a change is told when nothing is wrong.
    patience: SignedDuration,
    /// Since when the processes run as they do.
    steady: Timestamp,
    /// States of groups that had to be told, each once.
    states: BTreeSet<(String, Timestamp)>,
}

impl Oracle {
    /// Looks at all groups; at least one process runs.
    fn look(&mut self, now: Timestamp, senders: &Senders, receiver: &Receiver) {
        for (group, changed) in &senders.changed {
            let calm = receiver.calm_since(group).max(self.steady).max(*changed);
            if now.duration_since(calm) < self.patience {
                continue;
            }
            let taken = receiver.taken(group);
            let last = taken.iter().rfind(|t| t.answered.is_some());
            let told = last.map(|t| t.firing.clone()).unwrap_or_default();
            let firing = senders.firing(group);
            assert_eq!(
                told, firing,
                "life {} at {now}: group {group} was told something else: {taken:#?}",
                self.seed
            );
            self.states.insert((group.clone(), *changed));
        }
    }

    /// What must hold for the messages of a group one after the other: who no longer fires is said
    /// to be over, by the next message when there is one instance, and the same is told again only
    /// when the first time was not answered, or as `excused` says.
    fn sequence(
        &self,
        receiver: &Receiver,
        instances: usize,
        excused: impl Fn(&Attempt, &Attempt) -> bool,
    ) {
        for group in (0..GROUPS).map(group_of) {
            let taken = receiver.taken(&group);
            for (i, pair) in taken.windows(2).enumerate() {
                let (a, b) = (&pair[0], &pair[1]);
                // An instance may have seen nothing of what another one told: that one then says
                // what became of it.
                let later = if instances == 1 { 1 } else { taken.len() };
                let later = taken.iter().skip(i + 1).take(later);
                let said: BTreeSet<&String> = later
                    .flat_map(|m| m.resolved.iter().chain(&m.firing))
                    .collect();
                assert!(
                    a.answered.is_none() || a.firing.iter().all(|f| said.contains(f)),
                    "life {}: what became of {:?} was not told: {taken:#?}",
                    self.seed,
                    a.firing
                );
                let same = a.firing == b.firing && a.resolved == b.resolved;
                assert!(
                    !same || a.answered.is_none() || excused(a, b),
                    "life {}: told twice: {taken:#?}",
                    self.seed
                );
            }
        }
    }
}

#[test]
fn the_configuration_of_lives_is_one() {
    let loaded = crate::config::alertmanager::load_text(std::path::Path::new("am.yml"), CONFIG);
    let route = loaded.unwrap().document.route.unwrap();
    let s = |d: Option<crate::config::PromDuration>| d.unwrap().as_ms() / 1000;
    assert_eq!(s(route.group_wait), GROUP_WAIT_S);
    assert_eq!(s(route.group_interval), GROUP_INTERVAL_S);
}
