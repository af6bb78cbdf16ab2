//! The alerts of one rule: pending, firing, resolved.
//!
//! Owns: the state machine and the decision when an alert is sent again.
//! Knows nothing of: expressions, templates, stores, receivers. The time is an argument, in ms.
//!
//! Source of the transitions: the documentation of Prometheus' alerting rules.

use std::collections::{BTreeMap, BTreeSet};

use engine::model::Labels;

/// How long a resolved alert is kept, and sent again.
const RESOLVED_KEPT_MS: i64 = 15 * 60 * 1000;
/// An alert is valid for so many intervals after it was sent.
const VALID_INTERVALS: i64 = 4;

/// Texts of an alert, by name.
pub(crate) type Annotations = BTreeMap<String, String>;

/// Where an alert stands. The order is that of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Was firing.
    Inactive,
    /// Holds, but not long enough.
    Pending,
    /// Holds.
    Firing,
}

impl State {
    /// The word that APIs and series use.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// One element of the expression's answer, as an alert.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// Identity.
    pub(crate) labels: Labels,
    /// Texts.
    pub(crate) annotations: Annotations,
    /// The value; zero for a histogram.
    pub(crate) value: f64,
}

/// An alert. Times in ms since 1970.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    /// Texts of the last time it held.
    pub(crate) annotations: Annotations,
    /// Value of the last time it held.
    pub(crate) value: f64,
    /// Where it stands.
    pub(crate) state: State,
    /// Since when it holds.
    pub(crate) active_at: i64,
    /// Since when it fires.
    pub(crate) fired_at: Option<i64>,
    /// When it stopped.
    pub(crate) resolved_at: Option<i64>,
    /// When it was sent last.
    pub(crate) sent_at: Option<i64>,
    /// Since when it only fires because it is kept firing.
    pub(crate) kept_since: Option<i64>,
}

/// An alert on its way out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    /// Identity.
    pub(crate) labels: Labels,
    /// Texts.
    pub(crate) annotations: Annotations,
    /// Since when it fires, ms.
    pub(crate) starts_at: i64,
    /// When it stopped, or until when the receiver may believe that it fires, ms.
    pub(crate) ends_at: i64,
    /// Whether it stopped.
    pub(crate) resolved: bool,
}

/// How a rule treats its alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Patience {
    /// How long an alert holds before it fires, ms.
    pub(crate) hold_ms: i64,
    /// How long it fires after it no longer holds, ms.
    pub(crate) keep_firing_ms: i64,
    /// Most alerts; none when not positive.
    pub(crate) limit: i64,
}

/// All alerts of a rule, by their labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Alerts {
    pub(crate) by_labels: BTreeMap<Labels, Alert>,
}

impl Alerts {
    /// Takes the answer of the evaluation at `ts`.
    ///
    /// # Errors
    /// When two elements have the same labels, or there are more alerts than the limit: after the
    /// first nothing has changed, after the second there are no alerts any more.
    pub(crate) fn step(&mut self, found: Vec<Found>, ts: i64, p: &Patience) -> Result<(), String> {
        let mut present = BTreeSet::new();
        for f in &found {
            if !present.insert(f.labels.clone()) {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels"
                        .into(),
                );
            }
        }
        for f in found {
            match self.by_labels.get_mut(&f.labels) {
                Some(a) if a.state != State::Inactive => {
                    a.value = f.value;
                    a.annotations = f.annotations;
                }
                _ => {
                    let new = Alert {
                        annotations: f.annotations,
                        value: f.value,
                        state: State::Pending,
                        active_at: ts,
                        fired_at: None,
                        resolved_at: None,
                        sent_at: None,
                        kept_since: None,
                    };
                    self.by_labels.insert(f.labels, new);
                }
            }
        }
        self.by_labels
            .retain(|labels, a| a.advance(present.contains(labels), ts, p));
        let active = self.active().count();
        if p.limit > 0 && i64::try_from(active).unwrap_or(i64::MAX) > p.limit {
            self.by_labels.clear();
            return Err(format!(
                "exceeded limit of {} with {active} alerts",
                p.limit
            ));
        }
        Ok(())
    }

    /// Alerts that are pending or firing.
    pub(crate) fn active(&self) -> impl Iterator<Item = (&Labels, &Alert)> {
        self.by_labels
            .iter()
            .filter(|(_, a)| a.state != State::Inactive)
    }

    /// The alerts that are to be sent at `ts`; they count as sent.
    pub(crate) fn due(&mut self, ts: i64, resend_ms: i64, interval_ms: i64) -> Vec<Outgoing> {
        let valid_until = ts + VALID_INTERVALS * interval_ms.max(resend_ms);
        let mut out = Vec::new();
        for (labels, a) in &mut self.by_labels {
            if !a.is_due(ts, resend_ms) {
                continue;
            }
            a.sent_at = Some(ts);
            out.push(Outgoing {
                labels: labels.clone(),
                annotations: a.annotations.clone(),
                starts_at: a.fired_at.unwrap_or(a.active_at),
                ends_at: a.resolved_at.unwrap_or(valid_until),
                resolved: a.resolved_at.is_some(),
            });
        }
        out
    }
}

impl Alert {
    /// Moves on to `ts`; false when the alert is to be forgotten.
    fn advance(&mut self, present: bool, ts: i64, p: &Patience) -> bool {
        if !present {
            return match self.state {
                State::Pending => false,
                State::Firing => {
                    let kept = p.keep_firing_ms > 0
                        && ts - *self.kept_since.get_or_insert(ts) < p.keep_firing_ms;
                    if !kept {
                        self.state = State::Inactive;
                        self.resolved_at = Some(ts);
                    }
                    true
                }
                State::Inactive => self.resolved_at.is_none_or(|t| ts - t <= RESOLVED_KEPT_MS),
            };
        }
        self.kept_since = None;
        let long_enough = ts - self.active_at >= p.hold_ms;
        match self.state {
            State::Pending if long_enough => {
                self.state = State::Firing;
                self.fired_at = Some(ts);
            }
            // After a restart, or when the rule got more patient.
            State::Firing if !long_enough => {
                self.state = State::Pending;
                self.fired_at = None;
                self.sent_at = None;
            }
            _ => {}
        }
        true
    }

    fn is_due(&self, ts: i64, resend_ms: i64) -> bool {
        if self.state == State::Pending {
            return false;
        }
        match (self.sent_at, self.resolved_at) {
            (None, _) => true,
            (Some(sent), Some(resolved)) if resolved > sent => true,
            (Some(sent), _) => sent + resend_ms < ts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: i64 = 60_000;

    fn found(name: &str) -> Found {
        Found {
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: Annotations::new(),
            value: 1.0,
        }
    }

    fn patience(hold: i64, keep: i64) -> Patience {
        Patience {
            hold_ms: hold * MIN,
            keep_firing_ms: keep * MIN,
            limit: 0,
        }
    }

    /// States of alert `a` when it holds at the minutes marked `x`.
    fn states(timeline: &str, p: &Patience) -> Vec<String> {
        let mut alerts = Alerts::default();
        let mut out = Vec::new();
        for (i, c) in timeline.chars().enumerate() {
            let now = if c == 'x' { vec![found("a")] } else { vec![] };
            alerts.step(now, i as i64 * MIN, p).unwrap();
            let state = alerts.by_labels.values().next();
            out.push(state.map_or("none", |a| a.state.word()).to_owned());
        }
        out
    }

    #[test]
    fn an_alert_holds_fires_and_resolves() {
        assert_eq!(
            states("x.x", &patience(0, 0)),
            ["firing", "inactive", "firing"]
        );
        assert_eq!(
            states("xxx.", &patience(2, 0)),
            ["pending", "pending", "firing", "inactive"]
        );
        assert_eq!(
            states("xx.x", &patience(2, 0)),
            ["pending", "pending", "none", "pending"]
        );
        // True until 0, kept at 1 and 2, resolved at 3.
        assert_eq!(
            states("x...", &patience(0, 2)),
            ["firing", "firing", "firing", "inactive"]
        );
        assert_eq!(
            states("x.x..x", &patience(0, 2)),
            ["firing", "firing", "firing", "firing", "firing", "firing"]
        );
        let forgotten = states(&format!("x{}", ".".repeat(18)), &patience(0, 0));
        assert_eq!(forgotten.iter().filter(|s| *s == "inactive").count(), 16);
        assert_eq!(forgotten.last().map(String::as_str), Some("none"));
    }

    #[test]
    fn doubles_change_nothing_and_too_many_clear_everything() {
        let mut alerts = Alerts::default();
        let p = Patience {
            limit: 2,
            ..Patience::default()
        };
        alerts.step(vec![found("a")], 0, &p).unwrap();
        let before = alerts.clone();
        assert!(alerts.step(vec![found("b"), found("b")], MIN, &p).is_err());
        assert_eq!(alerts, before);
        let three = vec![found("a"), found("b"), found("c")];
        assert_eq!(
            alerts.step(three, MIN, &p),
            Err("exceeded limit of 2 with 3 alerts".into())
        );
        assert!(alerts.by_labels.is_empty());
    }

    #[test]
    fn firing_alerts_are_sent_again_and_resolved_ones_too() {
        let mut alerts = Alerts::default();
        let p = patience(0, 0);
        let mut sent = Vec::new();
        for i in 0..60 {
            let ts = i * MIN / 2;
            let now = if i < 10 { vec![found("a")] } else { vec![] };
            alerts.step(now, ts, &p).unwrap();
            for o in alerts.due(ts, MIN, MIN / 2) {
                sent.push((i, o.resolved));
                assert_eq!(o.starts_at, 0);
                let until = if o.resolved { 5 * MIN } else { ts + 4 * MIN };
                assert_eq!(o.ends_at, until);
            }
        }
        // Every third evaluation: a minute must be over, not just reached.
        let times: Vec<i64> = sent.iter().filter(|s| !s.1).map(|s| s.0).collect();
        assert_eq!(times, [0, 3, 6, 9]);
        let times: Vec<i64> = sent.iter().filter(|s| s.1).map(|s| s.0).collect();
        assert_eq!(times, [10, 13, 16, 19, 22, 25, 28, 31, 34, 37, 40]);
    }

    #[test]
    fn more_patience_takes_a_firing_alert_back() {
        let mut alerts = Alerts::default();
        alerts.step(vec![found("a")], 0, &patience(0, 0)).unwrap();
        alerts.due(0, MIN, MIN);
        alerts.step(vec![found("a")], MIN, &patience(5, 0)).unwrap();
        let a = alerts.by_labels.values().next().unwrap();
        assert_eq!(a.state, State::Pending);
        assert_eq!((a.active_at, a.fired_at, a.sent_at), (0, None, None));
    }
}
