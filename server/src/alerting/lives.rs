//! Random lives of the service against what must hold for any of them.
//!
//! Alerts come, end and come again; the process crashes at any moment, also while it sends; the
//! receiver answers, refuses, hangs, or takes a message without its answer being seen. Time passes
//! only when nobody has anything to do, and then at once.
//!
//! What must hold: at the end the last message that was answered says exactly what fires, and the
//! same thing was told twice in a row only when the answer to the first was not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::alerts::PostedAlert;
use super::force::{InForce, Source};
use super::keep::Keeper;
use super::notify::{Class, Failure, Integration, Message, Notifier, Sent};
use super::service::{AlertingOptions, Alertmanager, Clock};

/// Seconds after which the receiver is well and nothing crashes any more.
const TROUBLE_S: u64 = 150;
/// Seconds of a life.
const LIFE_S: u64 = 240;
/// How often senders repeat what they know, s.
const RESEND_S: u64 = 5;
const ALERTS: usize = 4;

const CONFIG: &str =
    "route: {receiver: r, group_wait: 3s, group_interval: 10s, repeat_interval: 1h}
receivers: [{name: r, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]";

/// A time that passes when it is told to.
struct Time {
    state: Mutex<(Timestamp, Vec<(Timestamp, Waker)>)>,
}

struct Until(Arc<Time>, Timestamp);

impl Future for Until {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state.lock();
        if state.0 >= self.1 {
            return Poll::Ready(());
        }
        state.1.push((self.1, cx.waker().clone()));
        Poll::Pending
    }
}

/// The time of one life.
#[derive(Clone)]
struct LifeClock(Arc<Time>);

impl Clock for LifeClock {
    fn now(&self) -> Timestamp {
        self.0.state.lock().0
    }
    fn wait_until(&self, t: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Until(self.0.clone(), t))
    }
}

impl LifeClock {
    /// Lets everybody do what they can, then time pass, up to `t`.
    async fn pass_until(&self, t: Timestamp) {
        loop {
            // Nobody waits for anything outside: after a few rounds everybody waits for time.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            let mut state = self.0.state.lock();
            let next = state.1.iter().map(|(t, _)| *t).min().unwrap_or(t).min(t);
            if state.0 >= t {
                return;
            }
            state.0 = next.max(state.0);
            let now = state.0;
            state.1.retain(|(at, waker)| {
                let due = *at <= now;
                if due {
                    waker.wake_by_ref();
                }
                !due
            });
        }
    }
}

/// Random numbers that a life can be repeated with.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A message that the receiver took.
#[derive(Debug, Clone)]
struct Taken {
    firing: BTreeSet<String>,
    resolved: BTreeSet<String>,
    answered: bool,
}

struct Receiver {
    taken: Mutex<Vec<Taken>>,
    random: Mutex<Random>,
    well_from: Timestamp,
    clock: LifeClock,
}

struct Line(Arc<Receiver>);

impl Receiver {
    fn take(&self, m: &Message, answered: bool) -> usize {
        let names = |status: &str| {
            let some = m.data.alerts.iter().filter(|a| a.status == status);
            some.map(|a| a.labels["a"].clone()).collect()
        };
        let mut taken = self.taken.lock();
        taken.push(Taken {
            firing: names("firing"),
            resolved: names("resolved"),
            answered,
        });
        taken.len() - 1
    }
}

impl Notifier for Line {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let r = &self.0;
            let (what, slow) = {
                let mut random = r.random.lock();
                (random.below(10), random.below(8_000) as i64)
            };
            if r.clock.now() >= r.well_from || what < 3 {
                r.take(m, true);
                return Ok(String::new());
            }
            match what {
                3 => Err(Failure::later("500")),
                4 => Err(Failure::last("400")),
                5 => Err(Failure {
                    class: Class::Client,
                    ..Failure::later("429")
                }),
                // The answer is cut.
                6 => {
                    r.take(m, false);
                    Err(Failure::later("connection reset"))
                }
                // It hangs, before or after it has read the message.
                7 => {
                    if slow % 2 == 0 {
                        r.take(m, false);
                    }
                    std::future::pending().await
                }
                _ => {
                    let i = r.take(m, false);
                    let end = r.clock.now() + SignedDuration::from_millis(slow);
                    r.clock.wait_until(end).await;
                    r.taken.lock()[i].answered = true;
                    Ok(String::new())
                }
            }
        })
    }
}

fn service(receiver: &Arc<Receiver>, keeper: &Keeper, clock: &LifeClock) -> Arc<Alertmanager> {
    let source = Source::Text(CONFIG.into());
    let mut in_force = InForce::load(&source).unwrap();
    let own = Integration {
        kind: "webhook",
        index: 0,
        send_resolved: true,
        timeout_s: 0.0,
        notifier: Box::new(Line(receiver.clone())),
    };
    in_force.receivers.get_mut("r").unwrap().integrations = vec![own];
    let options = AlertingOptions {
        source,
        external_url: "http://x".into(),
        retention: SignedDuration::from_hours(120),
        gc_interval: SignedDuration::from_secs(30),
        maintenance_interval: SignedDuration::from_secs(60),
        start_delay: SignedDuration::ZERO,
        alerts_per_name: 0,
        silences_max: 0,
        silence_bytes_max: 0,
    };
    let (keeper, clock) = (keeper.clone(), Arc::new(clock.clone()));
    Arc::new(Alertmanager::new(options, in_force, keeper, clock))
}

/// What a sender knows of an alert.
#[derive(Debug, Clone, Copy)]
struct Known {
    since: Timestamp,
    over: Option<Timestamp>,
}

fn posts(known: &BTreeMap<usize, Known>, now: Timestamp) -> Vec<PostedAlert> {
    let each = known.iter().map(|(i, k)| PostedAlert {
        labels: [("a".to_owned(), i.to_string())].into(),
        starts_at: Some(k.since),
        ends_at: Some(k.over.unwrap_or(now + SignedDuration::from_mins(4))),
        ..PostedAlert::default()
    });
    each.collect()
}

/// Lives once; gives what the receiver took and what fires at the end.
async fn live(seed: u64) -> (Vec<Taken>, BTreeSet<String>) {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = LifeClock(Arc::new(Time {
        state: Mutex::new((begin, Vec::new())),
    }));
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let receiver = Arc::new(Receiver {
        taken: Mutex::default(),
        random: Mutex::new(Random(seed.wrapping_mul(0xd134_2543_de82_ef95) | 1)),
        well_from: begin + SignedDuration::from_secs(TROUBLE_S as i64),
        clock: clock.clone(),
    });
    let keeper = Keeper::Memory(Arc::default());
    let mut crashes: Vec<(u64, u64)> = (0..random.below(4))
        .map(|_| (random.below(TROUBLE_S * 1000), random.below(20_000)))
        .collect();
    crashes.sort_unstable();
    let mut changes: Vec<(u64, usize)> = (0..2 + random.below(12))
        .map(|_| (random.below(130), random.below(ALERTS as u64) as usize))
        .collect();
    changes.sort_unstable();
    let mut known: BTreeMap<usize, Known> = BTreeMap::new();
    let (_stop, stopped) = watch::channel(false);
    let start = |r: &Arc<Receiver>| {
        let s = service(r, &keeper, &clock);
        (s.clone(), tokio::spawn(s.run(stopped.clone())))
    };
    let mut running = Some(start(&receiver));
    let mut back_at = 0;
    for second in 0..LIFE_S {
        let until = |ms: u64| begin + SignedDuration::from_millis(ms as i64);
        while let Some((at, down)) = crashes
            .first()
            .copied()
            .filter(|(at, _)| *at < second * 1000)
        {
            crashes.remove(0);
            if let Some((_, task)) = running.take() {
                clock.pass_until(until(at)).await;
                task.abort();
                drop(task.await);
            }
            back_at = (at + down).max(back_at);
        }
        clock.pass_until(until(second * 1000)).await;
        if running.is_none() && second * 1000 >= back_at {
            running = Some(start(&receiver));
        }
        let now = clock.now();
        for (_, i) in changes.iter().filter(|(s, _)| *s == second) {
            let fires = known.get(i).is_some_and(|k| k.over.is_none());
            match known.get_mut(i) {
                Some(k) if fires => k.over = Some(now),
                _ => drop(known.insert(
                    *i,
                    Known {
                        since: now,
                        over: None,
                    },
                )),
            }
        }
        let changed = changes.iter().any(|(s, _)| *s == second);
        if let (Some((s, _)), true) = (&running, changed || second.is_multiple_of(RESEND_S)) {
            assert!(s.put(posts(&known, now)).is_empty());
        }
    }
    if let Some((_, task)) = running {
        task.abort();
    }
    let firing = known.iter().filter(|(_, k)| k.over.is_none());
    let firing = firing.map(|(i, _)| i.to_string()).collect();
    let taken = receiver.taken.lock().clone();
    (taken, firing)
}

#[test]
fn random_lives_lose_nothing_and_repeat_only_what_was_not_answered() {
    let (mut messages, mut unanswered) = (0, 0);
    for seed in 1..=1000 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (taken, firing) = runtime.block_on(live(seed));
        messages += taken.len();
        unanswered += taken.iter().filter(|t| !t.answered).count();
        let last = taken.iter().rfind(|t| t.answered);
        let last = last.map(|t| t.firing.clone()).unwrap_or_default();
        assert_eq!(last, firing, "life {seed}: {taken:#?}");
        for pair in taken.windows(2) {
            let same = pair[0].firing == pair[1].firing && pair[0].resolved == pair[1].resolved;
            assert!(
                !same || !pair[0].answered,
                "life {seed}: told twice: {taken:#?}"
            );
        }
    }
    // The lives were worth living: there was a lot to tell, and enough went wrong.
    assert!(
        messages > 5000 && unanswered > 500,
        "{messages} {unanswered}"
    );
}

#[test]
fn the_configuration_of_lives_is_one() {
    assert!(crate::config::alertmanager::load_text(Path::new("am.yml"), CONFIG).is_ok());
}
