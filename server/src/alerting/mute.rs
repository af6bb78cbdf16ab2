//! Muting: which alerts of a flush are told.
//!
//! Owns: the order of the reasons not to tell.
//! Knows nothing of: groups, the log, receivers.
//!
//! Invariants
//! - MUT1  Inhibition comes first, then the time intervals of the route, then silences.
//! - MUT2  Outside of every named active interval, and inside any named mute interval, nothing is
//!   told; with both, the mute interval wins.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::alert::Alert;
use super::inhibit::Inhibitor;
use super::route::RouteOptions;
use super::silence::Silences;
use crate::config::alertmanager::NamedInterval;

/// Why an alert is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Muted {
    /// Another one fires.
    Inhibited(u64),
    /// The route's intervals, by name.
    Time(Vec<String>),
    /// Silences, by name.
    Silenced(Vec<String>),
}

/// Everything that can keep an alert from being told.
pub(crate) struct Muter<'m> {
    /// Rules of inhibition.
    pub(crate) inhibitor: &'m Inhibitor,
    /// Intervals by name.
    pub(crate) intervals: &'m BTreeMap<String, NamedInterval>,
    /// All silences.
    pub(crate) silences: &'m Silences,
}

impl Muter<'_> {
    /// The intervals that mute a route now; the active ones when none of them holds (MUT2).
    pub(crate) fn muting(&self, route: &RouteOptions, now: Timestamp) -> Option<Vec<String>> {
        let holds = |name: &&String| self.intervals.get(*name).is_some_and(|i| i.contains(now));
        let mute: Vec<String> = route.mute.iter().filter(holds).cloned().collect();
        if !mute.is_empty() {
            return Some(mute);
        }
        let active = !route.active.is_empty() && !route.active.iter().any(|n| holds(&n));
        active.then(|| route.active.clone())
    }

    /// The first reason not to tell an alert (MUT1).
    pub(crate) fn reason(
        &self,
        alert: &Alert,
        route: &RouteOptions,
        now: Timestamp,
    ) -> Option<Muted> {
        if let Some(by) = self.inhibitor.inhibited_by(alert, now) {
            return Some(Muted::Inhibited(by));
        }
        if let Some(names) = self.muting(route, now) {
            return Some(Muted::Time(names));
        }
        let holding = self.silences.holding(&|name| alert.label(name), now);
        (!holding.is_empty()).then_some(Muted::Silenced(holding))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::alert::tests::alert;
    use super::super::route::Route;
    use super::super::silence::{Condition, Silence};
    use super::*;
    use crate::config::alertmanager::load_text;

    #[test]
    fn reasons_come_in_order() {
        let loaded = load_text(
            Path::new("am.yml"),
            "route:\n  receiver: r\n  routes:\n  - {matchers: ['t=1'], mute_time_intervals: [sun], active_time_intervals: [sun]}\n\
             \x20 - {matchers: ['t=2'], active_time_intervals: [mon]}\n\
             receivers: [{name: r}]\n\
             inhibit_rules: [{source_matchers: ['s=1'], target_matchers: ['i=1']}]\n\
             time_intervals: [{name: sun, time_intervals: [{weekdays: [sunday]}]}, {name: mon, time_intervals: [{weekdays: [monday]}]}]\n",
        )
        .unwrap();
        let c = &loaded.document;
        let tree = Route::new(c.route.as_ref().unwrap());
        let named = c.intervals().map(|i| (i.name.clone(), i.clone()));
        let (mut inhibitor, intervals) = (Inhibitor::new(&c.inhibit_rules), named.collect());
        let mut silences = Silences::default();
        let sunday: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let hours = |n: i64| jiff::SignedDuration::from_hours(n);
        silences.restore(Silence {
            id: "hush".into(),
            matchers: vec![Condition {
                name: "q".into(),
                value: "1".into(),
                is_regex: false,
                is_equal: true,
            }],
            starts_at: sunday - hours(1),
            ends_at: sunday + hours(99),
            updated_at: sunday,
            created_by: String::new(),
            comment: String::new(),
            annotations: BTreeMap::new(),
        });
        let mut source = alert(&[("s", "1")], 0, 1);
        source.ends_at = sunday + hours(99);
        inhibitor.note(&source);
        let m = Muter {
            inhibitor: &inhibitor,
            intervals: &intervals,
            silences: &silences,
        };
        let ask = |pairs: &[(&str, &str)], now| {
            let a = alert(pairs, 0, 1);
            let nodes = tree.takers(&|n| a.label(n));
            m.reason(&a, nodes[0].options(), now)
        };
        let print = source.fingerprint;
        let all = [("t", "1"), ("i", "1"), ("q", "1")];
        assert_eq!(ask(&all, sunday), Some(Muted::Inhibited(print)));
        assert_eq!(
            ask(&[("t", "1"), ("q", "1")], sunday),
            Some(Muted::Time(vec!["sun".into()]))
        );
        assert_eq!(
            ask(&[("t", "2")], sunday),
            Some(Muted::Time(vec!["mon".into()]))
        );
        assert_eq!(ask(&[("t", "2")], sunday + hours(24)), None);
        assert_eq!(
            ask(&[("q", "1")], sunday),
            Some(Muted::Silenced(vec!["hush".into()]))
        );
        assert_eq!(ask(&[], sunday), None);
    }
}
