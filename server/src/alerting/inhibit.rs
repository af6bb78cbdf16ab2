//! Inhibition: alerts that are not told while others fire.
//!
//! Owns: the two sides of a rule and the labels that tie them together.
//! Knows nothing of: silences, routes, groups.
//!
//! Invariants
//! - INH1  An alert that is on both sides of a rule is not inhibited by another that is too, so
//!   never by itself.
//! - INH2  Any source that qualifies inhibits; none is overlooked because another was seen first.

use jiff::Timestamp;

use super::alert::Alert;
use crate::config::alertmanager::{InhibitRule, Matcher};

/// The rules of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Inhibitor {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    source: Vec<Matcher>,
    target: Vec<Matcher>,
    equal: Vec<String>,
}

fn all(matchers: &[Matcher], alert: &Alert) -> bool {
    matchers.iter().all(|m| m.matches(alert.label(&m.name)))
}

impl Inhibitor {
    /// The rules as written.
    pub(crate) fn new(rules: &[InhibitRule]) -> Self {
        let rules = rules.iter().map(|r| Rule {
            source: r.source(),
            target: r.target(),
            equal: r.equal.clone(),
        });
        Self {
            rules: rules.collect(),
        }
    }

    /// The firing alert because of which `alert` is not told. Cost: rules times alerts.
    pub(crate) fn inhibited_by<'a>(
        &self,
        alert: &Alert,
        known: impl Iterator<Item = &'a Alert> + Clone,
        now: Timestamp,
    ) -> Option<u64> {
        self.rules
            .iter()
            .filter(|r| all(&r.target, alert))
            .find_map(|r| {
                // INH1
                let two_sided = all(&r.source, alert);
                known.clone().find_map(|s| {
                    let holds = !s.resolved(now)
                        && all(&r.source, s)
                        && r.equal.iter().all(|l| s.label(l) == alert.label(l))
                        && !(two_sided && all(&r.target, s));
                    holds.then_some(s.fingerprint)
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::alert::tests::{alert, at};
    use super::*;
    use crate::config::alertmanager::load_text;

    fn rules(text: &str) -> Inhibitor {
        let text =
            format!("route: {{receiver: r}}\nreceivers: [{{name: r}}]\ninhibit_rules: {text}");
        let loaded = load_text(Path::new("am.yml"), &text).unwrap();
        Inhibitor::new(&loaded.document.inhibit_rules)
    }

    #[test]
    fn firing_sources_with_equal_labels_inhibit() {
        let i = rules(
            "[{source_matchers: ['sev=crit'], target_match_re: {sev: 'warn|info'}, equal: [cluster]}]",
        );
        let source = alert(&[("sev", "crit"), ("cluster", "1")], 0, 100);
        let by = |t: &Alert, now| i.inhibited_by(t, [&source].into_iter(), at(now));
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
        assert!(
            i.inhibited_by(&t, [&bare].into_iter(), at(1)).is_some(),
            "missing on both sides is equal"
        );
    }

    #[test]
    fn both_sides_at_once_do_not_inhibit_each_other() {
        let i = rules("[{source_matchers: ['a=1'], target_matchers: ['b=1'], equal: [c]}]");
        let both = alert(&[("a", "1"), ("b", "1"), ("x", "1")], 0, 9);
        let other = alert(&[("a", "1"), ("b", "1"), ("x", "2")], 0, 9);
        let source = alert(&[("a", "1")], 0, 9);
        let known = [&both, &other];
        assert_eq!(i.inhibited_by(&both, known.into_iter(), at(1)), None);
        // INH2: the one-sided source counts although a two-sided one comes first.
        let known = [&other, &source];
        assert_eq!(
            i.inhibited_by(&both, known.into_iter(), at(1)),
            Some(source.fingerprint)
        );
    }
}
