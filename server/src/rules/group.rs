//! A group: rules that are evaluated one after the other at the same time.
//!
//! Owns: the order of an evaluation, series that ended, restoration, taking over from a group that
//! was changed.
//! Knows nothing of: when evaluations happen.
//!
//! Invariants
//! - RG1  A rule's samples are stored before the next rule runs.
//! - RG2  A series that a rule wrote and no longer writes gets a staleness marker; a rule that
//!   failed ends nothing.

use std::collections::HashSet;

use engine::model::Labels;

use super::alert::Outgoing;
use super::expression::Language;
use super::memory::Change;
use super::rule::{Health, Host, Kind, Restoring, Rule, Written, stale};
use crate::config::prometheus::RuleGroup;

/// Evaluations before what was before a restart is looked up: by then scrapes have filled the gap.
const EVALUATIONS_BEFORE_RESTORING: u64 = 2;

/// What groups take from the server where they say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Defaults {
    /// Interval, ms.
    pub(crate) interval_ms: i64,
    /// How far in the past is read and written, ms.
    pub(crate) offset_ms: i64,
    /// Shortest time between two sendings of an alert, ms.
    pub(crate) resend_ms: i64,
    /// What rules are written in.
    pub(crate) language: Language,
    /// Shortest `for` that is restored from series, ms; with zero nothing is remembered.
    pub(crate) grace_ms: i64,
}

/// Who gets alerts.
pub(crate) trait Outlet {
    /// Sends alerts that the expression `text` raised.
    fn send(&mut self, text: &str, alerts: Vec<Outgoing>);
}

/// Nobody.
pub(crate) struct Nobody;

impl Outlet for Nobody {
    fn send(&mut self, _text: &str, _alerts: Vec<Outgoing>) {}
}

/// What an evaluation came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Numbers {
    /// Rules that were evaluated.
    pub(crate) rules: u64,
    /// Rules that failed.
    pub(crate) failed: u64,
    /// Samples that were written.
    pub(crate) samples: u64,
    /// Seconds it took.
    pub(crate) seconds: f64,
}

/// A group with its state.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// File that it stands in.
    pub(crate) file: String,
    /// What the file says.
    pub(crate) config: RuleGroup,
    /// Interval, ms.
    pub(crate) interval_ms: i64,
    /// How far in the past is read and written, ms.
    pub(crate) offset_ms: i64,
    /// Its rules.
    pub(crate) rules: Vec<Rule>,
    /// Evaluations so far.
    pub(crate) evaluations: u64,
    /// Evaluations that could not happen in time.
    pub(crate) missed: u64,
    /// When the last evaluation was, ms, and what it came to.
    pub(crate) last: Option<(i64, Numbers)>,
    defaults: Defaults,
    restoring: Option<Restoring>,
    /// Series of rules that are gone.
    orphans: Vec<Labels>,
    /// What is no longer to be remembered of them.
    forgotten: Vec<Change>,
}

impl Group {
    /// Compiles a group; with `restoring`, alerts of before a restart are looked up.
    ///
    /// # Errors
    /// Names the rule that is wrong.
    pub(crate) fn new(
        file: &str,
        config: &RuleGroup,
        defaults: Defaults,
        restoring: Option<Restoring>,
    ) -> Result<Self, String> {
        let mut rules = Vec::with_capacity(config.rules.len());
        for (i, r) in config.rules.iter().enumerate() {
            let mut rule =
                Rule::new(r, config, defaults.language, defaults.grace_ms).map_err(|e| {
                    format!(
                        "{file}: group {:?}, rule {}, {:?}: {e}",
                        config.name,
                        i + 1,
                        r.name()
                    )
                })?;
            if let Some(a) = rule.alerting_mut() {
                a.restored = restoring.is_none();
            }
            rules.push(rule);
        }
        let offset = config.query_offset.map(|d| d.as_ms());
        Ok(Self {
            file: file.to_owned(),
            interval_ms: if config.interval.is_zero() {
                defaults.interval_ms
            } else {
                config.interval.as_ms()
            },
            offset_ms: offset.unwrap_or(defaults.offset_ms),
            config: config.clone(),
            rules,
            evaluations: 0,
            missed: 0,
            last: None,
            defaults,
            restoring,
            orphans: Vec::new(),
            forgotten: Vec::new(),
        })
    }

    /// Name in metrics: file and group.
    pub(crate) fn key(&self) -> String {
        format!("{};{}", self.file, self.config.name)
    }

    /// Whether `other` is the same group, so that it can be left running.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.file == other.file
            && self.config == other.config
            && self.interval_ms == other.interval_ms
            && self.offset_ms == other.offset_ms
            && self.defaults.resend_ms == other.defaults.resend_ms
    }

    /// Takes over what `old` knows, rule by rule: the same names with the same labels, in order.
    pub(crate) fn inherit(&mut self, mut old: Self) {
        let mut forgotten = std::mem::take(&mut old.forgotten);
        let key = self.key();
        for rule in &mut self.rules {
            let heir = old.rules.iter().position(|o| {
                o.name() == rule.name()
                    && o.config.labels == rule.config.labels
                    && std::mem::discriminant(&o.kind) == std::mem::discriminant(&rule.kind)
            });
            let Some(i) = heir else { continue };
            let mut before = old.rules.remove(i);
            rule.inherit(&mut before);
            // What the rule no longer remembers.
            forgotten.extend(before.forget(&key));
        }
        self.orphans = std::mem::take(&mut old.orphans);
        for gone in &mut old.rules {
            self.orphans.extend(gone.wrote.drain());
            forgotten.extend(gone.forget(&key));
        }
        self.forgotten = forgotten;
        self.evaluations = old.evaluations;
        self.missed = old.missed;
        self.restoring = old.restoring;
    }

    /// All series that the group has written and not ended, for a group that goes; what is
    /// remembered of it goes now.
    pub(crate) fn leave(&mut self, host: &dyn Host) -> Vec<Written> {
        let mut forgotten = std::mem::take(&mut self.forgotten);
        let key = self.key();
        for r in &mut self.rules {
            forgotten.extend(r.forget(&key));
        }
        host.remember(&forgotten);
        let mut series = std::mem::take(&mut self.orphans);
        for r in &mut self.rules {
            series.extend(r.wrote.drain());
        }
        series.into_iter().map(stale).collect()
    }

    /// Evaluates all rules at `ts` ms. `seconds` is a clock for how long it takes.
    pub(crate) fn evaluate(
        &mut self,
        host: &dyn Host,
        ts: i64,
        out: &mut dyn Outlet,
        seconds: &dyn Fn() -> f64,
    ) -> Numbers {
        let begin = seconds();
        let mut n = Numbers::default();
        let written_at = ts - self.offset_ms;
        let key = self.key();
        let mut remembered = std::mem::take(&mut self.forgotten);
        for rule in &mut self.rules {
            let started = seconds();
            let result = rule.evaluate(host, ts, self.offset_ms);
            n.rules += 1;
            match result {
                Ok(samples) => {
                    n.samples += samples.len() as u64;
                    remembered.extend(rule.remember(&key));
                    if let Kind::Alerting(a) = &mut rule.kind {
                        let due = a.alerts.due(ts, self.defaults.resend_ms, self.interval_ms);
                        if !due.is_empty() {
                            out.send(&rule.text, due);
                        }
                    }
                    write(host, rule, samples, written_at);
                    rule.health = Health::Good;
                }
                Err(e) => {
                    n.failed += 1;
                    tracing::warn!(
                        group = %self.config.name,
                        file = %self.file,
                        rule = rule.name(),
                        error = %e,
                        "evaluating the rule failed"
                    );
                    rule.health = Health::Bad(e);
                }
            }
            rule.evaluated = Some((ts, seconds() - started));
        }
        if !self.orphans.is_empty() {
            let ended: Vec<Written> = self.orphans.drain(..).map(stale).collect();
            host.store(&ended, written_at);
        }
        host.remember(&remembered);
        self.evaluations += 1;
        if self.evaluations >= EVALUATIONS_BEFORE_RESTORING
            && let Some(r) = self.restoring.take()
        {
            let kept = host.remembered(&key);
            let known: Vec<Vec<u8>> = self.rules.iter().filter_map(|r| r.memory(&key)).collect();
            let own = |row: &[u8]| known.iter().any(|prefix| row.starts_with(prefix));
            let gone = kept.iter().filter(|(row, _)| !own(row));
            self.forgotten = gone.map(|(row, _)| (row.clone(), None)).collect();
            for rule in &mut self.rules {
                rule.restore(host, ts, &r, (&key, &kept));
            }
        }
        n.seconds = seconds() - begin;
        self.last = Some((ts, n));
        n
    }
}

/// Stores what a rule gave, and ends what it no longer gives (RG1, RG2).
fn write(host: &dyn Host, rule: &mut Rule, mut samples: Vec<Written>, ts: i64) {
    let now: HashSet<Labels> = samples.iter().map(|s| s.labels.clone()).collect();
    let ended = rule.wrote.iter().filter(|l| !now.contains(*l)).cloned();
    samples.extend(ended.map(stale));
    rule.wrote = now;
    if !samples.is_empty() {
        host.store(&samples, ts);
    }
}
