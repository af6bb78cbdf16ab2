//! Groups of alerts and their ticks.
//!
//! Owns: which groups there are, when each is flushed, what is in a flush, what leaves a group
//! after it.
//! Knows nothing of: muting, receivers, what became of a message beyond "it worked".
//!
//! Invariants
//! - DSP1  The ticks of a group lie on a grid: the first after `group_wait` (at once for an alert
//!   that is older), then every `group_interval`. Alerts that join never move them.
//! - DSP2  A group has one flush at a time; a tick that comes during a flush waits for its end.
//! - DSP3  A resolved alert leaves its group only after a flush that worked, and only when nothing
//!   newer came in the meantime.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::alert::{Alert, LabelSet};
use super::route::{GroupBy, Route, RouteOptions};

/// Names a group: the node of the tree and the values of its labels.
pub(crate) type GroupName = (usize, LabelSet);

#[derive(Debug)]
struct Group {
    options: RouteOptions,
    key: String,
    next: Timestamp,
    flushing: bool,
    alerts: BTreeMap<u64, Alert>,
}

/// What one tick of a group has to tell.
#[derive(Debug, Clone)]
pub(crate) struct Flush {
    /// The group.
    pub(crate) name: GroupName,
    /// The group in messages and in the log.
    pub(crate) key: String,
    /// Of the group's node.
    pub(crate) options: RouteOptions,
    /// When the tick was due.
    pub(crate) tick: Timestamp,
    /// When the group was looked at.
    pub(crate) seen: Timestamp,
    /// It had to wait, and something in it has changed since the tick.
    pub(crate) unsettled: bool,
    /// Everything in the group, in the order of messages.
    pub(crate) alerts: Vec<Alert>,
}

/// A group as others see it.
pub(crate) struct GroupView<'g> {
    /// Its labels.
    pub(crate) labels: &'g LabelSet,
    /// Of its node.
    pub(crate) options: &'g RouteOptions,
    /// What is in it.
    pub(crate) alerts: std::collections::btree_map::Values<'g, u64, Alert>,
}

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Dispatcher {
    groups: BTreeMap<GroupName, Group>,
}

impl Dispatcher {
    /// Puts an alert into every group that it belongs to. Cost: the walk through the tree.
    pub(crate) fn accept(&mut self, tree: &Route, alert: &Alert, now: Timestamp) {
        for node in tree.takers(&|name| alert.label(name)) {
            let options = node.options();
            let labels: LabelSet = match &options.group_by {
                GroupBy::All => (*alert.labels).clone(),
                GroupBy::Names(names) => {
                    let own = alert.labels.iter().filter(|(n, _)| names.contains(*n));
                    own.map(|(n, v)| (n.clone(), v.clone())).collect()
                }
            };
            let name = (node.index(), labels);
            let group = self.groups.entry(name).or_insert_with_key(|(_, labels)| {
                let first = now.max(after(now, options.group_wait));
                let old = after(alert.starts_at, options.group_wait) < now;
                Group {
                    key: format!("{}:{}", node.key(), shown(labels)),
                    options: options.clone(),
                    // DSP1
                    next: if old { now } else { first },
                    flushing: false,
                    alerts: BTreeMap::new(),
                }
            });
            group.alerts.insert(alert.fingerprint, alert.clone());
        }
    }

    /// The next moment at which something is due; none while there is nothing to wait for.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let waiting = self.groups.values().filter(|g| !g.flushing);
        waiting.map(|g| g.next).min()
    }

    /// Flushes that are due. Each must be ended with [`Dispatcher::done`].
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Flush> {
        let mut out = Vec::new();
        for (name, g) in &mut self.groups {
            // DSP2
            if g.flushing || g.next > now {
                continue;
            }
            let tick = g.next;
            let on_grid = after(tick, g.options.group_interval);
            g.next = if on_grid > now {
                on_grid
            } else {
                after(now, g.options.group_interval)
            };
            g.flushing = true;
            let mut alerts: Vec<Alert> = g.alerts.values().cloned().collect();
            alerts.sort_by(|a, b| order(a).cmp(&order(b)));
            out.push(Flush {
                name: name.clone(),
                key: g.key.clone(),
                options: g.options.clone(),
                tick,
                seen: tick,
                unsettled: false,
                alerts,
            });
        }
        out
    }

    /// Looks at the alerts of a flush once more, for a flush that had to wait: what is over by now
    /// is no longer told as firing. Alerts that came meanwhile have not had their tick: they are
    /// left to the next one.
    pub(crate) fn look_again(&self, flush: &mut Flush, now: Timestamp) {
        let Some(g) = self.groups.get(&flush.name) else {
            return;
        };
        for old in &mut flush.alerts {
            if let Some(new) = g.alerts.get(&old.fingerprint) {
                flush.unsettled |= old.resolved(flush.seen) != new.resolved(now);
                old.clone_from(new);
            }
        }
        flush.seen = now;
    }

    /// All groups: the node, the labels, what is in them.
    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupView<'_>> {
        self.groups.iter().map(|((_, labels), g)| GroupView {
            labels,
            options: &g.options,
            alerts: g.alerts.values(),
        })
    }

    /// Number of groups.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Ends a flush. When it `worked`, what was over in it leaves the group.
    pub(crate) fn done(&mut self, flush: &Flush, worked: bool) {
        let Some(g) = self.groups.get_mut(&flush.name) else {
            return;
        };
        g.flushing = false;
        if worked {
            // DSP3
            for told in flush.alerts.iter().filter(|a| a.resolved(flush.seen)) {
                if g.alerts.get(&told.fingerprint) == Some(told) {
                    g.alerts.remove(&told.fingerprint);
                }
            }
        }
        if g.alerts.is_empty() {
            self.groups.remove(&flush.name);
        }
    }
}

fn after(t: Timestamp, d: jiff::SignedDuration) -> Timestamp {
    t.checked_add(d).unwrap_or(Timestamp::MAX)
}

/// `{a="1", b="2"}`.
fn shown(labels: &LabelSet) -> String {
    let pairs = labels.iter();
    let pairs = pairs.map(|(n, v)| format!("{n}={}", query::text::quote::quote(v)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// Messages list alerts by job and instance, those without them last, then by all labels.
fn order(a: &Alert) -> (bool, &str, bool, &str, &LabelSet) {
    let (job, instance) = (a.label("job"), a.label("instance"));
    (
        job.is_empty(),
        job,
        instance.is_empty(),
        instance,
        &a.labels,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::super::alert::tests::{alert, at};
    use super::super::log::{Prints, Reason, Told, decide};
    use super::*;
    use crate::config::alertmanager::load_text;

    fn tree(route: &str) -> Route {
        let text = format!("route: {{receiver: r, {route}}}\nreceivers: [{{name: r}}]");
        let loaded = load_text(Path::new("am.yml"), &text).unwrap();
        Route::new(&loaded.document.route.unwrap())
    }

    /// Flushes of one second, all of which work.
    fn tick(d: &mut Dispatcher, now: i64) -> Vec<Flush> {
        let all = d.due(at(now));
        all.iter().for_each(|f| d.done(f, true));
        all
    }

    #[test]
    fn groups_are_named_by_route_and_labels() {
        let t = tree(
            "group_by: [alertname, team], routes: [{match_re: {service: web|db}, matchers: ['zone!=z9'], \
             routes: [{matchers: ['service=db'], group_by: ['...']}]}]",
        );
        let mut d = Dispatcher::default();
        d.accept(&t, &alert(&[("alertname", "A"), ("x", "y")], 0, 99), at(0));
        d.accept(
            &t,
            &alert(&[("service", "web"), ("team", "a\"b")], 0, 99),
            at(0),
        );
        d.accept(&t, &alert(&[("service", "db")], 0, 99), at(0));
        let keys: Vec<String> = d.groups.values().map(|g| g.key.clone()).collect();
        assert_eq!(
            keys,
            [
                r#"{}:{alertname="A"}"#,
                r#"{}/{service=~"^(?:web|db)$",zone!="z9"}:{team="a\"b"}"#,
                r#"{}/{service=~"^(?:web|db)$",zone!="z9"}/{service="db"}:{service="db"}"#,
            ]
        );
    }

    #[test]
    fn ticks_lie_on_a_grid_whatever_joins() {
        let t = tree("group_wait: 3s, group_interval: 10s");
        let mut d = Dispatcher::default();
        d.accept(&t, &alert(&[("a", "1")], 0, 999), at(0));
        assert_eq!(d.next_due(), Some(at(3)));
        d.accept(&t, &alert(&[("a", "2")], 1, 999), at(2));
        assert_eq!(tick(&mut d, 3)[0].alerts.len(), 2);
        d.accept(&t, &alert(&[("a", "3")], 4, 999), at(4));
        assert_eq!(d.next_due(), Some(at(13)));
        // A late look keeps the grid.
        assert_eq!(tick(&mut d, 15)[0].tick, at(13));
        assert_eq!(d.next_due(), Some(at(23)));
    }

    #[test]
    fn an_old_alert_is_told_at_once() {
        let t = tree("group_wait: 30s, group_interval: 10s");
        let mut d = Dispatcher::default();
        d.accept(&t, &alert(&[("a", "1")], 0, 999), at(60));
        assert_eq!(d.next_due(), Some(at(60)));
    }

    #[test]
    fn what_is_over_leaves_after_a_flush_that_worked() {
        let t = tree("group_wait: 0s, group_interval: 10s");
        let mut d = Dispatcher::default();
        d.accept(&t, &alert(&[("a", "1")], 0, 5), at(0));
        tick(&mut d, 0);
        let failed = d.due(at(10));
        assert!(d.due(at(20)).is_empty(), "DSP2: one flush at a time");
        d.done(&failed[0], false);
        let again = d.due(at(20));
        assert_eq!(again[0].alerts.len(), 1, "DSP3: it is tried again");
        d.accept(&t, &alert(&[("a", "1")], 21, 99), at(21));
        d.done(&again[0], true);
        assert_eq!(d.due(at(30))[0].alerts.len(), 1, "DSP3: something newer");
        let mut d = Dispatcher::default();
        d.accept(&t, &alert(&[("a", "1")], 0, 5), at(0));
        tick(&mut d, 0);
        tick(&mut d, 10);
        assert_eq!(d.next_due(), None, "an empty group ends");
    }

    #[test]
    fn messages_list_by_job_and_instance() {
        let t = tree("group_wait: 0s");
        let mut d = Dispatcher::default();
        for pairs in [
            &[("b", "1")][..],
            &[("a", "1")],
            &[("job", "y"), ("instance", "1")],
            &[("job", "x")],
            &[("job", "x"), ("instance", "2")],
        ] {
            d.accept(&t, &alert(pairs, 0, 99), at(0));
        }
        let flush = d.due(at(0));
        let shown: Vec<String> = flush[0].alerts.iter().map(|a| shown(&a.labels)).collect();
        assert_eq!(
            shown,
            [
                r#"{instance="2", job="x"}"#,
                r#"{job="x"}"#,
                r#"{instance="1", job="y"}"#,
                r#"{a="1"}"#,
                r#"{b="1"}"#,
            ]
        );
    }

    const WAIT: i64 = 3;
    const INTERVAL: i64 = 5;
    const REPEAT: i64 = 12;
    const LIFE: i64 = 80;

    /// A message of a life: when, why, what fired in it.
    type Message = (i64, Reason, Prints);

    /// Second by second: alerts come, end and come again; flushes fail at the given ticks.
    fn live(events: &BTreeMap<i64, Vec<(usize, bool)>>, failing: &BTreeSet<i64>) -> Vec<Message> {
        let t = tree("group_wait: 3s, group_interval: 5s");
        let mut d = Dispatcher::default();
        let mut known: BTreeMap<usize, Alert> = BTreeMap::new();
        let mut told: Option<Told> = None;
        let mut out = Vec::new();
        for now in 0..LIFE {
            for &(i, fires) in events.get(&now).into_iter().flatten() {
                if !fires && known.get(&i).is_none_or(|old| old.resolved(at(now))) {
                    continue;
                }
                let i_text = i.to_string();
                let mut a = alert(&[("a", &i_text)], now, if fires { 9999 } else { now });
                if let Some(old) = known.get(&i) {
                    a.starts_at = if fires && old.resolved(at(now)) {
                        at(now)
                    } else {
                        old.starts_at
                    };
                    a = a.merged(old, at(now));
                }
                d.accept(&t, &a, at(now));
                known.insert(i, a);
            }
            for flush in d.due(at(now)) {
                let prints = |over: bool| -> Prints {
                    let some = flush.alerts.iter().filter(|a| a.resolved(at(now)) == over);
                    some.map(|a| a.fingerprint).collect()
                };
                let (firing, resolved) = (prints(false), prints(true));
                let repeat = SignedDuration::from_secs(REPEAT);
                let why = decide(told.as_ref(), &firing, &resolved, true, repeat, at(now));
                let fails = why.is_some() && failing.contains(&now);
                if let (Some(why), false) = (why, fails) {
                    out.push((now, why, firing.clone()));
                    told = Some(Told {
                        at: at(now),
                        until: at(now + 9999),
                        memo: String::new(),
                        firing,
                        resolved,
                    });
                }
                d.done(&flush, !fails);
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn prop_a_life_of_alerts(
            steps in proptest::collection::vec((0..60i64, 0..3usize, any::<bool>()), 1..12),
            failing in proptest::collection::btree_set(0..40i64, 0..10),
        ) {
            let mut events: BTreeMap<i64, Vec<(usize, bool)>> = BTreeMap::new();
            for (when, i, fires) in steps {
                events.entry(when).or_default().push((i, fires));
            }
            let messages = live(&events, &failing);
            for pair in messages.windows(2) {
                let ((t0, _, before), (t1, why, firing)) = (&pair[0], &pair[1]);
                // A group is never told more often than its interval allows, except that a new
                // group waits its own first time.
                prop_assert!(t1 - t0 >= WAIT.min(INTERVAL), "{messages:?}");
                // NL1
                if *why == Reason::Repeat {
                    prop_assert!(t1 - t0 > REPEAT);
                }
                // NL2
                if firing.is_empty() {
                    prop_assert!(!before.is_empty());
                }
            }
            prop_assert!(messages.first().is_none_or(|(_, why, f)| *why == Reason::First && !f.is_empty()));
            // Whatever fires at the end for long enough has been told, and whatever is over too.
            let mut last: BTreeMap<usize, (i64, bool)> = BTreeMap::new();
            for (when, all) in &events {
                for &(i, fires) in all {
                    last.insert(i, (*when, fires));
                }
            }
            let firing: Prints = last
                .iter()
                .filter(|(_, (_, fires))| *fires)
                .map(|(i, _)| alert(&[("a", &i.to_string())], 0, 1).fingerprint)
                .collect();
            let told = messages.last().map(|(_, _, f)| f.clone()).unwrap_or_default();
            prop_assert_eq!(told, firing, "{:?}", messages);
        }
    }
}
