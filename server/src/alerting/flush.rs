//! One flush of a group: from its alerts to every integration of its receiver.
//!
//! Owns: the order of the steps, attempts and pauses, deadlines, what is noted in the log.
//! Knows nothing of: groups beyond this one, how messages look.
//!
//! Invariants
//! - FL1  An integration is noted as told only after it said so; the entry is durable before the
//!   flush counts as done. A message is sent twice only when its first answer was not seen.
//! - FL2  One integration that fails or hangs holds up no other.
//! - FL3  A flush ends: at the latest at its deadline, or a moment after a reload or a stop.
//! - FL4  Where others tell the same, alerts and log are looked at only after those before us have
//!   had their turn.
//! - FL5  An end is told after such a wait only when nothing has changed since the tick: another
//!   instance may know of alerts that came since. The next tick sees them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::alert::Alert;
use super::changes::RowName;
use super::dispatch::Flush;
use super::force::InForce;
use super::keep::Kept;
use super::log::{LogKey, Prints, Reason, Told, decide};
use super::mute::Muted;
use super::notify::{Class, Failure, Integration, Message, Sent, shared};
use super::service::{Alertmanager, later};
use super::template::{AlertData, Data, ZERO_TIME};

/// Shortest time that a flush has.
const DEADLINE_MIN: SignedDuration = SignedDuration::from_secs(10);
/// Pause before the second attempt; each further one is half as long again.
const PAUSE_FIRST_S: f64 = 0.5;
const PAUSE_FACTOR: f64 = 1.5;
/// Longest pause.
const PAUSE_MAX_S: f64 = 60.0;
/// A pause is up to this share longer or shorter.
const PAUSE_JITTER: f64 = 0.5;
/// How long an attempt in progress may go on after a reload or a stop.
const LEAVE: SignedDuration = SignedDuration::from_secs(5);

/// Two moments that can be told apart.
const INSTANT: SignedDuration = SignedDuration::from_nanos(1);

/// What a flush has to tell.
struct Telling {
    flush: Flush,
    alerts: Vec<Alert>,
    deadline: Timestamp,
    generation: u64,
}

impl Alertmanager {
    /// Does a flush and ends it.
    pub(super) async fn flush(&self, flush: Flush, in_force: Arc<InForce>, generation: u64) {
        let mut flush = flush;
        if !self.may_begin(&mut flush, generation).await {
            self.done(&flush, generation, false);
            return;
        }
        let alerts = self.audible(&flush);
        // Waiting for others is no part of the time to tell.
        let span = flush.options.group_interval.max(DEADLINE_MIN);
        let telling = Telling {
            alerts,
            deadline: later(self.now(), span),
            generation,
            flush,
        };
        let mut worked = true;
        let receiver = in_force.receivers.get(&telling.flush.options.receiver);
        if let (Some(r), false) = (receiver, telling.alerts.is_empty()) {
            // FL2
            let all = r.integrations.iter();
            let all = all.map(|i| self.tell(i, &telling, &in_force));
            let told = futures_util::future::join_all(all).await;
            worked = told.into_iter().all(|ok| ok);
        }
        self.done(&telling.flush, generation, worked);
    }

    /// Waits until other instances have said what they know, and those before this one have had
    /// their time (FL4). False when nobody waits for the flush any more.
    async fn may_begin(&self, flush: &mut Flush, generation: u64) -> bool {
        let Some(cluster) = &self.cluster else {
            return true;
        };
        let turn = async {
            let settling = cluster.status() != "ready";
            cluster.settled().await;
            let wait = cluster.turn();
            if !wait.is_zero() {
                self.clock.wait_until(later(self.now(), wait)).await;
            }
            settling || !wait.is_zero()
        };
        let mut now = self.generation.subscribe();
        let waited = tokio::select! {
            waited = turn => waited,
            _ = async { drop(now.wait_for(|g| *g != generation).await) } => return false,
        };
        if waited {
            let now = self.now();
            self.core.lock().dispatcher.look_again(flush, now);
        }
        true
    }

    /// The alerts of a flush that nothing keeps from being told.
    fn audible(&self, flush: &Flush) -> Vec<Alert> {
        let core = self.core.lock();
        let muter = core.muter();
        let heard = flush.alerts.iter().filter(|a| {
            let reason = muter.reason(a, &flush.options, flush.seen);
            let i = match &reason {
                None => return true,
                Some(Muted::Inhibited(_)) => 0,
                Some(Muted::Time(by)) if by == &flush.options.active => 2,
                Some(Muted::Time(_)) => 1,
                Some(Muted::Silenced(_)) => 3,
            };
            if let Some(n) = self.numbers.suppressed.get(i) {
                n.fetch_add(1, Relaxed);
            }
            false
        });
        heard.cloned().collect()
    }

    /// Tells one integration, when there is something to tell. True unless that failed.
    async fn tell(&self, i: &Integration, t: &Telling, in_force: &InForce) -> bool {
        let options = &t.flush.options;
        let key = LogKey {
            receiver: options.receiver.clone(),
            kind: i.kind.to_owned(),
            index: i.index,
            group: t.flush.key.clone(),
        };
        let turn = {
            let mut core = self.core.lock();
            core.sending.entry(key.clone()).or_default().clone()
        };
        let _turn = turn.lock().await;
        let prints = |over: bool| -> Prints {
            let some = t.alerts.iter().filter(|a| a.resolved(t.flush.seen) == over);
            some.map(|a| a.fingerprint).collect()
        };
        let (firing, resolved) = (prints(false), prints(true));
        let (why, memo, meanwhile) = {
            let core = self.core.lock();
            let told = core.log.get(&key, t.flush.tick);
            let waited = t.flush.seen > t.flush.tick;
            let meanwhile = waited && told.is_some_and(|told| told.at > t.flush.tick);
            let repeat = options.repeat_interval;
            let why = decide(
                told,
                &firing,
                &resolved,
                i.send_resolved,
                repeat,
                t.flush.tick,
            );
            (
                why,
                told.map_or(String::new(), |t| t.memo.clone()),
                meanwhile,
            )
        };
        let Some(why) = why else { return true };
        // FL5
        if !why.is_news() && (meanwhile || t.flush.unsettled) {
            return false;
        }
        let mut memo = memo;
        if i.send_resolved || !firing.is_empty() {
            let message = self.message(t, i, in_force, why, memo);
            match self.attempts(i, t, &message).await {
                Ok(m) => memo = m,
                Err(e) => {
                    self.numbers.failed(i.kind, e.class);
                    tracing::error!(
                        receiver = %options.receiver, integration = i.kind, index = i.index,
                        group = %t.flush.key, error = %e.text, "notification failed"
                    );
                    return false;
                }
            }
            self.numbers.sent(i.kind);
        }
        let keep = (options.repeat_interval * 2).min(self.options.retention);
        let told = {
            let mut core = self.core.lock();
            // Of two entries the later one stays, also where another instance's clock is ahead.
            let before = core.log.entry(&key).map(|t| later(t.at, INSTANT));
            let at = before.map_or(self.now(), |t| t.max(self.now()));
            let told = Told {
                at,
                until: later(at, keep),
                memo,
                firing,
                resolved,
            };
            core.log.put(key.clone(), told.clone());
            self.note(&mut core, RowName::Told(key.clone()));
            told
        };
        // FL1
        self.keep_or_say(vec![Kept::Told(key, told)]).await;
        true
    }

    fn message(
        &self,
        t: &Telling,
        i: &Integration,
        in_force: &InForce,
        why: Reason,
        memo: String,
    ) -> Message {
        let seen = t.flush.seen;
        let told = t
            .alerts
            .iter()
            .filter(|a| i.send_resolved || !a.resolved(seen));
        let told: Vec<&Alert> = told.collect();
        let fires = told.iter().any(|a| !a.resolved(seen));
        let labels = told.iter().map(|a| a.labels.as_ref());
        let annotations = told.iter().map(|a| a.annotations.as_ref());
        let data = Data {
            receiver: quoted(&t.flush.options.receiver),
            status: if fires { "firing" } else { "resolved" }.to_owned(),
            group_labels: t.flush.name.1.clone(),
            common_labels: shared(labels),
            common_annotations: shared(annotations),
            external_url: self.options.external_url.clone(),
            route_labels: t.flush.options.labels.clone(),
            notification_reason: why.text().to_owned(),
            alerts: told.iter().map(|a| alert_data(a, seen)).collect(),
        };
        Message {
            group_key: t.flush.key.clone(),
            data,
            templates: in_force.templates.clone(),
            now: self.now(),
            memo,
        }
    }

    /// Attempts until one works, one fails for good, or the time is over (FL3).
    async fn attempts(
        &self,
        i: &Integration,
        t: &Telling,
        message: &Message,
    ) -> Result<String, Failure> {
        let mut generation = self.generation.subscribe();
        let mut over = Box::pin(async move {
            drop(generation.wait_for(|g| *g != t.generation).await);
        });
        let mut pause = PAUSE_FIRST_S;
        loop {
            let started = Instant::now();
            let longest = match i.timeout_s {
                s if s > 0.0 => t.deadline.min(later(self.now(), seconds(s))),
                _ => t.deadline,
            };
            let mut attempt = i.notifier.send(message);
            let answered = tokio::select! {
                a = &mut attempt => a,
                () = self.clock.wait_until(longest) => late(),
                () = &mut over => tokio::select! {
                    a = &mut attempt => a,
                    () = self.clock.wait_until(later(self.now(), LEAVE)) => late(),
                },
            };
            let took = started.elapsed().as_secs_f64();
            self.numbers.attempt(i.kind, answered.is_ok(), took);
            let failure = match answered {
                Ok(memo) => return Ok(memo),
                Err(f) if !f.retry => return Err(f),
                Err(f) => f,
            };
            tracing::warn!(
                integration = i.kind, group = %message.group_key, error = %failure.text,
                "an attempt to notify failed, it will be repeated"
            );
            let next = later(self.now(), seconds(pause * jitter()));
            pause = (pause * PAUSE_FACTOR).min(PAUSE_MAX_S);
            if *self.generation.borrow() != t.generation {
                return Err(canceled(failure));
            }
            if next >= t.deadline {
                return Err(failure);
            }
            tokio::select! {
                () = self.clock.wait_until(next) => {}
                () = &mut over => return Err(canceled(failure)),
            }
        }
    }
}

fn seconds(s: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(s).unwrap_or(SignedDuration::MAX)
}

/// What an attempt ends with that took too long.
fn late() -> Sent {
    Err(Failure {
        retry: true,
        class: Class::Deadline,
        text: "no answer in time".to_owned(),
    })
}

/// The last failure of attempts that nobody waits for any more.
fn canceled(failure: Failure) -> Failure {
    Failure {
        class: Class::Canceled,
        ..failure
    }
}

/// A random factor around 1.
fn jitter() -> f64 {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The upper bits of a random identifier are all random.
    1.0 + PAUSE_JITTER * (((random >> 32) as f64 / f64::from(u32::MAX)) * 2.0 - 1.0)
}

fn alert_data(a: &Alert, seen: Timestamp) -> AlertData {
    let over = a.resolved(seen);
    AlertData {
        status: if over { "resolved" } else { "firing" }.to_owned(),
        labels: (*a.labels).clone(),
        annotations: (*a.annotations).clone(),
        starts_at: a.starts_at.to_string(),
        ends_at: if over {
            a.ends_at.to_string()
        } else {
            ZERO_TIME.to_owned()
        },
        generator_url: a.generator_url.clone(),
        fingerprint: format!("{:016x}", a.fingerprint),
    }
}

/// A name as a pattern that matches nothing else.
fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
