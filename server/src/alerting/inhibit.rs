//! Inhibition: alerts that are not told while others fire.
//!
//! Owns: the two sides of a rule and the labels that tie them together.
//! Knows nothing of: silences, routes, groups.
//!
//! Invariants
//! - INH1  An alert that is on both sides of a rule is not inhibited by another that is too, so
//!   never by itself.
//! - INH2  Any source that qualifies inhibits; none is overlooked because another was seen first.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::alert::Alert;
use crate::config::alertmanager::{InhibitRule, Matcher};

/// The rules of a configuration with the alerts that may inhibit others.
#[derive(Debug, Default)]
pub(crate) struct Inhibitor {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    source: Vec<Matcher>,
    target: Vec<Matcher>,
    equal: Vec<String>,
    /// Alerts of the source side by the values that tie the sides together: a look-up instead of
    /// a walk through all alerts.
    sources: BTreeMap<Vec<String>, BTreeMap<u64, Source>>,
}

/// An alert of the source side.
#[derive(Debug)]
struct Source {
    ends_at: Timestamp,
    two_sided: bool,
}

fn all(matchers: &[Matcher], alert: &Alert) -> bool {
    matchers.iter().all(|m| m.matches(alert.label(&m.name)))
}

impl Rule {
    fn tie(&self, alert: &Alert) -> Vec<String> {
        let values = self.equal.iter();
        values.map(|l| alert.label(l).to_owned()).collect()
    }
}

impl Inhibitor {
    /// The rules as written, without alerts.
    pub(crate) fn new(rules: &[InhibitRule]) -> Self {
        let rules = rules.iter().map(|r| Rule {
            source: r.source(),
            target: r.target(),
            equal: r.equal.clone(),
            sources: BTreeMap::new(),
        });
        Self {
            rules: rules.collect(),
        }
    }

    /// Takes note of what is known of an alert now. Cost: the rules.
    pub(crate) fn note(&mut self, alert: &Alert) {
        for r in &mut self.rules {
            if all(&r.source, alert) {
                let source = Source {
                    ends_at: alert.ends_at,
                    two_sided: all(&r.target, alert),
                };
                let tied = r.sources.entry(r.tie(alert)).or_default();
                tied.insert(alert.fingerprint, source);
            }
        }
    }

    /// Forgets alerts that are over.
    pub(crate) fn collect(&mut self, now: Timestamp) {
        for r in &mut self.rules {
            r.sources.retain(|_, tied| {
                tied.retain(|_, s| s.ends_at > now);
                !tied.is_empty()
            });
        }
    }

    /// The firing alert because of which `alert` is not told. Cost: rules times the alerts that
    /// share the tied values.
    pub(crate) fn inhibited_by(&self, alert: &Alert, now: Timestamp) -> Option<u64> {
        self.rules
            .iter()
            .filter(|r| all(&r.target, alert))
            .find_map(|r| {
                // INH1, INH2
                let two_sided = all(&r.source, alert);
                let tied = r.sources.get(&r.tie(alert))?;
                let holds = |s: &Source| s.ends_at > now && !(two_sided && s.two_sided);
                tied.iter().find(|(_, s)| holds(s)).map(|(f, _)| *f)
            })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::alert::tests::{alert, at};
    use super::*;
    use crate::config::alertmanager::load_text;

    fn rules(text: &str, known: &[&Alert]) -> Inhibitor {
        let text =
            format!("route: {{receiver: r}}\nreceivers: [{{name: r}}]\ninhibit_rules: {text}");
        let loaded = load_text(Path::new("am.yml"), &text).unwrap();
        let mut i = Inhibitor::new(&loaded.document.inhibit_rules);
        known.iter().for_each(|a| i.note(a));
        i
    }

    #[test]
    fn firing_sources_with_equal_labels_inhibit() {
        let source = alert(&[("sev", "crit"), ("cluster", "1")], 0, 100);
        let text = "[{source_matchers: ['sev=crit'], target_match_re: {sev: 'warn|info'}, equal: [cluster]}]";
        let mut i = rules(text, &[&source]);
        let by = |t: &Alert, now| i.inhibited_by(t, at(now));
        let target = alert(&[("sev", "warn"), ("cluster", "1")], 0, 100);
        assert_eq!(by(&target, 10), Some(source.fingerprint));
        assert_eq!(by(&target, 100), None, "the source is over");
        assert_eq!(
            by(&alert(&[("sev", "warn"), ("cluster", "2")], 0, 9), 1),
            None
        );
        assert_eq!(by(&alert(&[("sev", "warn")], 0, 9), 1), None);
        let bare = alert(&[("sev", "crit")], 0, 100);
        let t = alert(&[("sev", "info")], 0, 100);
        i.note(&bare);
        assert!(
            i.inhibited_by(&t, at(1)).is_some(),
            "missing on both sides is equal"
        );
        i.collect(at(100));
        assert!(
            i.inhibited_by(&t, at(1)).is_none(),
            "what is over is forgotten"
        );
    }

    #[test]
    fn both_sides_at_once_do_not_inhibit_each_other() {
        let text = "[{source_matchers: ['a=1'], target_matchers: ['b=1'], equal: [c]}]";
        let both = alert(&[("a", "1"), ("b", "1"), ("x", "1")], 0, 9);
        let other = alert(&[("a", "1"), ("b", "1"), ("x", "2")], 0, 9);
        let source = alert(&[("a", "1")], 0, 9);
        let mut i = rules(text, &[&both, &other]);
        assert_eq!(i.inhibited_by(&both, at(1)), None);
        // INH2: the one-sided source counts although there are two-sided ones.
        i.note(&source);
        assert_eq!(i.inhibited_by(&both, at(1)), Some(source.fingerprint));
    }
}
