//! What is remembered of alerts, so that a process that ends takes nothing with it.
//!
//! The series of alerts, which outlive a restart too, tell since when an alert holds, but not that
//! it fires only because it is kept firing; and where the family's rules of restoration do not
//! reach, short `for` times, they are not asked at all. For those rules the state itself is kept.
//!
//! Owns: which alerts are remembered, what of them, when that has changed.
//! Knows nothing of: where rows are kept.
//!
//! Invariants
//! - MEM1  Rows are written only when the state of an alert changes, never with each evaluation.
//! - MEM2  What was remembered is not written over before it was used.

use std::collections::BTreeMap;

use engine::model::Labels;
use serde::{Deserialize, Serialize};

use super::alert::{Alert, Alerts, Annotations, Patience, State};

/// A key and its new value, none to forget it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// An alert as it is remembered. Times in ms since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Remembered {
    active_at: i64,
    fired_at: Option<i64>,
    kept_since: Option<i64>,
    /// Bits of the value: not every number has a JSON form.
    value: u64,
    annotations: Annotations,
}

impl Remembered {
    fn of(a: &Alert) -> Self {
        Self {
            active_at: a.active_at,
            fired_at: a.fired_at,
            kept_since: a.kept_since,
            value: a.value.to_bits(),
            annotations: a.annotations.clone(),
        }
    }

    /// Whether an alert stands where it stood (MEM1).
    fn stands(&self, a: &Alert) -> bool {
        (self.active_at, self.fired_at, self.kept_since) == (a.active_at, a.fired_at, a.kept_since)
    }
}

/// What is remembered of the alerts of one rule.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    rows: BTreeMap<Labels, Remembered>,
}

/// Whether the alerts of a rule are remembered: `grace_ms` is the shortest `for` that the series
/// of alerts restore, zero when nothing is ever restored.
pub(super) fn remembers(p: &Patience, grace_ms: i64) -> bool {
    let short = p.hold_ms > 0 && p.hold_ms < grace_ms;
    grace_ms > 0 && (short || p.keep_firing_ms > 0)
}

/// The beginning of the keys of a rule's alerts: its group, its name and its labels.
pub(super) fn prefix(group: &str, name: &str, labels: &BTreeMap<&str, &str>) -> Vec<u8> {
    let labels = serde_json::to_string(labels).unwrap_or_default();
    format!("{group}\0{name}\0{labels}\0").into_bytes()
}

/// The group that a key belongs to.
pub(super) fn group_of(key: &[u8]) -> Option<&str> {
    let end = key.iter().position(|b| *b == 0)?;
    std::str::from_utf8(key.get(..end)?).ok()
}

fn key(prefix: &[u8], labels: &Labels) -> Vec<u8> {
    let labels: Vec<(&str, &str)> = labels.iter().collect();
    let labels = serde_json::to_vec(&labels).unwrap_or_default();
    [prefix, &labels].concat()
}

impl Memory {
    /// Takes what was kept: rows whose keys begin with `prefix`.
    pub(super) fn recall(&mut self, prefix: &[u8], kept: &[(Vec<u8>, Vec<u8>)]) {
        for (key, value) in kept {
            let Some(labels) = key.strip_prefix(prefix) else {
                continue;
            };
            let labels = serde_json::from_slice::<Vec<(String, String)>>(labels);
            match (labels, serde_json::from_slice(value)) {
                (Ok(l), Ok(row)) => {
                    let pairs = l.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                    self.rows.insert(Labels::from_pairs(pairs), row);
                }
                _ => tracing::warn!("what was remembered of an alert cannot be read"),
            }
        }
    }

    /// Puts alerts back that stand at `ts` as they stood before. `last_seen` tells when an alert
    /// was evaluated last, if that is not too long ago.
    pub(super) fn restore(
        &self,
        alerts: &mut Alerts,
        p: &Patience,
        (grace_ms, ts): (i64, i64),
        last_seen: &dyn Fn(&Labels, &Alert) -> Option<i64>,
    ) {
        for (labels, row) in &self.rows {
            let before = Alert {
                annotations: row.annotations.clone(),
                value: f64::from_bits(row.value),
                state: match row.fired_at {
                    Some(_) => State::Firing,
                    None => State::Pending,
                },
                active_at: row.active_at,
                fired_at: row.fired_at,
                resolved_at: None,
                sent_at: None,
                kept_since: row.kept_since,
            };
            let Some(seen) = last_seen(labels, &before) else {
                continue;
            };
            let now = alerts.by_labels.get_mut(labels);
            match now.filter(|a| a.state != State::Inactive) {
                // The family's own rule holds for those who wait longer.
                Some(a) if p.hold_ms < grace_ms && p.hold_ms > 0 => {
                    let waited = seen - row.active_at >= p.hold_ms;
                    // The time without a process does not count.
                    let gap = if waited { 0 } else { ts - seen };
                    a.active_at = row.active_at.saturating_add(gap).min(a.active_at);
                }
                None if p.keep_firing_ms > 0 && row.fired_at.is_some() => {
                    alerts.by_labels.insert(labels.clone(), before);
                }
                _ => {}
            }
        }
    }

    /// What has changed since the last call.
    pub(super) fn changes(&mut self, prefix: &[u8], alerts: &Alerts) -> Vec<Change> {
        let mut out = Vec::new();
        for (labels, a) in alerts.active() {
            if self.rows.get(labels).is_some_and(|r| r.stands(a)) {
                continue;
            }
            let row = Remembered::of(a);
            // Numbers and texts always have a JSON form.
            let value = serde_json::to_vec(&row).unwrap_or_default();
            out.push((key(prefix, labels), Some(value)));
            self.rows.insert(labels.clone(), row);
        }
        let active = |l: &Labels| {
            let a = alerts.by_labels.get(l);
            a.is_some_and(|a| a.state != State::Inactive)
        };
        self.rows.retain(|labels, _| {
            let stays = active(labels);
            if !stays {
                out.push((key(prefix, labels), None));
            }
            stays
        });
        out
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, prefix: &[u8]) -> Vec<Change> {
        self.changes(prefix, &Alerts::default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::alert::Found;
    use super::*;

    const MIN: i64 = 60_000;

    fn labels() -> Labels {
        Labels::from_pairs([("alertname", "A"), ("x", "\"\0")])
    }

    fn found() -> Vec<Found> {
        vec![Found {
            labels: labels(),
            annotations: [("text".to_owned(), "t".to_owned())].into(),
            value: f64::INFINITY,
        }]
    }

    /// Rows as a table keeps them.
    fn keep(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: Vec<Change>) -> usize {
        let n = changes.len();
        for (key, value) in changes {
            match value {
                Some(v) => rows.insert(key, v),
                None => rows.remove(&key),
            };
        }
        n
    }

    #[test]
    fn states_are_kept_when_they_change_and_found_again() {
        let prefix = prefix("f;g", "A", &[("l", "v")].into());
        assert_eq!(group_of(&prefix), Some("f;g"));
        let p = Patience {
            hold_ms: 2 * MIN,
            keep_firing_ms: 5 * MIN,
            limit: 0,
        };
        assert!(remembers(&p, 10 * MIN) && !remembers(&p, 0));
        let (mut rows, mut alerts, mut memory) =
            (BTreeMap::new(), Alerts::default(), Memory::default());
        let mut counts = Vec::new();
        for k in 0..5 {
            let now = if k < 4 { found() } else { Vec::new() };
            alerts.step(now, k * MIN, &p).unwrap();
            counts.push(keep(&mut rows, memory.changes(&prefix, &alerts)));
        }
        // MEM1: pending, nothing new, firing, nothing new, kept firing.
        assert_eq!(counts, [1, 0, 1, 0, 1]);
        let kept: Vec<(Vec<u8>, Vec<u8>)> = rows.clone().into_iter().collect();
        let mut again = Memory::default();
        again.recall(&prefix, &kept);
        let mut after = Alerts::default();
        again.restore(&mut after, &p, (10 * MIN, 6 * MIN), &|_, _| Some(4 * MIN));
        assert_eq!(after.by_labels[&labels()].kept_since, Some(4 * MIN));
        assert_eq!(after.by_labels[&labels()].annotations["text"], "t");
        // It is over when it was kept long enough, with the process or without it.
        after.step(Vec::new(), 10 * MIN, &p).unwrap();
        assert_eq!(after.by_labels[&labels()].state, State::Inactive);
        keep(&mut rows, again.changes(&prefix, &after));
        assert!(rows.is_empty());
    }

    #[test]
    fn what_was_waited_counts_and_the_time_without_a_process_does_not() {
        let p = Patience {
            hold_ms: 5 * MIN,
            keep_firing_ms: 0,
            limit: 0,
        };
        let mut alerts = Alerts::default();
        alerts.step(found(), 0, &p).unwrap();
        let mut memory = Memory::default();
        memory.changes(b"p", &alerts);
        // Seen last at 3, back at 20.
        let mut after = Alerts::default();
        after.step(found(), 20 * MIN, &p).unwrap();
        memory.restore(&mut after, &p, (10 * MIN, 20 * MIN), &|_, _| Some(3 * MIN));
        assert_eq!(after.by_labels[&labels()].active_at, 17 * MIN);
        // An outage that was too long leaves the new beginning.
        let mut late = Alerts::default();
        late.step(found(), 20 * MIN, &p).unwrap();
        memory.restore(&mut late, &p, (10 * MIN, 20 * MIN), &|_, _| None);
        assert_eq!(late.by_labels[&labels()].active_at, 20 * MIN);
    }
}
