//! Relabelling: rules that rewrite, keep or drop a label set.
//!
//! Owns: the eleven actions, their order, compiled patterns.
//! Knows nothing of: targets, samples, alerts; whoever has labels brings them.
//!
//! Invariants
//! - Rules run in order; the first drop ends.
//! - A label that becomes empty is removed.

use engine::model::{Labels, LabelsBuilder};
use md5::{Digest, Md5};
use query::regex::GoRegex;

use crate::config::prometheus::{RelabelAction, RelabelConfig};

/// A list of rules, compiled.
#[derive(Default)]
pub(crate) struct Relabel {
    rules: Vec<Rule>,
}

struct Rule {
    action: RelabelAction,
    source: Vec<String>,
    separator: String,
    regex: GoRegex,
    modulus: u64,
    target: String,
    replacement: String,
    /// Label names that a rule sets must be of the old kind.
    legacy_names: bool,
}

/// Why a rule cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("relabel rule {index}: {reason}")]
pub(crate) struct RelabelError {
    /// Place in the list.
    index: usize,
    /// What the pattern lacks.
    reason: String,
}

impl Relabel {
    /// Compiles `configs`. With `legacy_names` a rule that would set a label outside
    /// `[a-zA-Z_][a-zA-Z0-9_]*` does nothing.
    ///
    /// # Errors
    /// When a pattern does not compile (loading a configuration has checked that before).
    pub(crate) fn compile(
        configs: &[RelabelConfig],
        legacy_names: bool,
    ) -> Result<Self, RelabelError> {
        let rules = configs
            .iter()
            .enumerate()
            .map(|(index, c)| {
                Ok(Rule {
                    action: c.action,
                    source: c.source_labels.clone(),
                    separator: c.separator.clone(),
                    regex: GoRegex::anchored(&c.regex.0).map_err(|e| RelabelError {
                        index,
                        reason: e.to_string(),
                    })?,
                    modulus: c.modulus,
                    target: c.target_label.clone(),
                    replacement: c.replacement.clone(),
                    legacy_names,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// True without rules.
    #[allow(
        dead_code,
        reason = "for labels that are complete: alerts, remote write"
    )]
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Applies the rules to `labels`. False when they are to be dropped.
    pub(crate) fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        self.rules.iter().all(|r| r.apply(labels))
    }

    /// What each rule makes of `labels`: the set after it, and whether it is kept. Ends with the
    /// rule that drops it.
    pub(crate) fn steps(&self, labels: &Labels) -> Vec<(Labels, bool)> {
        let mut b = labels.to_builder();
        let mut steps = Vec::new();
        for r in &self.rules {
            let keep = r.apply(&mut b);
            steps.push((b.build(), keep));
            if !keep {
                break;
            }
        }
        steps
    }

    /// The relabelled set, or `None` when it is dropped.
    #[allow(
        dead_code,
        reason = "for labels that are complete: alerts, remote write"
    )]
    pub(crate) fn process(&self, labels: &Labels) -> Option<Labels> {
        if self.is_empty() {
            return Some(labels.clone());
        }
        let mut b = labels.to_builder();
        self.apply(&mut b).then(|| b.build())
    }
}

impl Rule {
    fn value(&self, labels: &LabelsBuilder) -> String {
        let mut v = String::new();
        for (i, name) in self.source.iter().enumerate() {
            if i > 0 {
                v.push_str(&self.separator);
            }
            v.push_str(labels.get(name).unwrap_or(""));
        }
        v
    }

    /// False when the set is to be dropped.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        use RelabelAction as A;
        match self.action {
            A::Keep => return self.regex.is_match(&self.value(labels)),
            A::Drop => return !self.regex.is_match(&self.value(labels)),
            A::KeepEqual => {
                return labels.get(&self.target).unwrap_or("") == self.value(labels);
            }
            A::DropEqual => {
                return labels.get(&self.target).unwrap_or("") != self.value(labels);
            }
            A::Replace => self.replace(labels),
            A::HashMod => {
                let digest = Md5::digest(self.value(labels).as_bytes());
                let mut last = [0u8; 8];
                last.copy_from_slice(&digest[8..]);
                let n = u64::from_be_bytes(last).checked_rem(self.modulus);
                labels.set(&self.target, &n.unwrap_or(0).to_string());
            }
            A::LabelMap => {
                let matching: Vec<(String, String)> = labels
                    .iter()
                    .filter(|(n, _)| self.regex.is_match(n))
                    .map(|(n, v)| (self.regex.replace_all(n, &self.replacement), v.to_owned()))
                    .collect();
                for (name, value) in matching {
                    if !name.is_empty() {
                        labels.set(&name, &value);
                    }
                }
            }
            A::LabelDrop => self.retain(labels, false),
            A::LabelKeep => self.retain(labels, true),
            A::Lowercase => {
                let v = self.value(labels).to_lowercase();
                labels.set(&self.target, &v);
            }
            A::Uppercase => {
                let v = self.value(labels).to_uppercase();
                labels.set(&self.target, &v);
            }
        }
        true
    }

    fn retain(&self, labels: &mut LabelsBuilder, matching: bool) {
        let names: Vec<String> = labels
            .iter()
            .map(|(n, _)| n.to_owned())
            .filter(|n| self.regex.is_match(n) != matching)
            .collect();
        for n in names {
            labels.remove(&n);
        }
    }

    fn replace(&self, labels: &mut LabelsBuilder) {
        let value = self.value(labels);
        let Some(groups) = self.regex.find_submatch(&value) else {
            return;
        };
        let (mut target, mut replacement) = (String::new(), String::new());
        self.regex.expand(&self.target, &groups, &mut target);
        if !self.valid_name(&target) {
            return;
        }
        self.regex
            .expand(&self.replacement, &groups, &mut replacement);
        labels.set(&target, &replacement);
    }

    fn valid_name(&self, name: &str) -> bool {
        if self.legacy_names {
            engine::wire::exposition::negotiate::is_legacy_name(name, false)
        } else {
            !name.is_empty()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::prometheus::Pattern;

    fn rule(action: RelabelAction) -> RelabelConfig {
        RelabelConfig {
            action,
            ..RelabelConfig::default()
        }
    }

    fn run(rules: &[RelabelConfig], pairs: &[(&str, &str)]) -> Option<String> {
        let r = Relabel::compile(rules, false).unwrap();
        r.process(&Labels::from_pairs(pairs.iter().copied()))
            .map(|l| l.to_string())
    }

    fn sources(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn replace_expands_names_and_values() {
        let replace = |regex: &str, target: &str, replacement: &str| RelabelConfig {
            source_labels: sources(&["a", "b"]),
            regex: Pattern(regex.into()),
            target_label: target.into(),
            replacement: replacement.into(),
            ..rule(RelabelAction::Replace)
        };
        let labels = [("a", "foo"), ("b", "bar")];
        let got = |r: RelabelConfig| run(&[r], &labels).unwrap();
        assert_eq!(
            got(replace("f(.*);(.*)r", "d", "$1-${2}x$$")),
            r#"{a="foo", b="bar", d="oo-bax$"}"#
        );
        // The longest name counts: there is no group `2x`.
        assert_eq!(
            got(replace("f(.*);(.*)r", "d", "<$2x>")),
            r#"{a="foo", b="bar", d="<>"}"#
        );
        assert_eq!(
            got(replace("(.*);(.*)", "x_${1}", "$2")),
            r#"{a="foo", b="bar", x_foo="bar"}"#
        );
        // No match changes nothing; an empty value removes.
        assert_eq!(got(replace("nope", "a", "x")), r#"{a="foo", b="bar"}"#);
        assert_eq!(got(replace("(.*)", "a", "")), r#"{b="bar"}"#);
        // Anchored, and the dot matches a newline.
        assert_eq!(got(replace("oo;bar", "a", "x")), r#"{a="foo", b="bar"}"#);
        let nl = run(
            &[RelabelConfig {
                source_labels: sources(&["a"]),
                target_label: "a".into(),
                replacement: "y".into(),
                ..rule(RelabelAction::Replace)
            }],
            &[("a", "1\n2")],
        );
        assert_eq!(nl.unwrap(), r#"{a="y"}"#);
    }

    #[test]
    fn keep_and_drop_end_the_list() {
        let keep = |action, value: &str| RelabelConfig {
            source_labels: sources(&["a"]),
            regex: Pattern(value.into()),
            ..rule(action)
        };
        let labels = [("a", "x"), ("b", "x"), ("c", "y")];
        assert!(run(&[keep(RelabelAction::Keep, "x|z")], &labels).is_some());
        assert!(run(&[keep(RelabelAction::Keep, "z")], &labels).is_none());
        assert!(run(&[keep(RelabelAction::Drop, "x")], &labels).is_none());
        let equal = |action, target: &str| RelabelConfig {
            source_labels: sources(&["a"]),
            target_label: target.into(),
            ..rule(action)
        };
        assert!(run(&[equal(RelabelAction::KeepEqual, "b")], &labels).is_some());
        assert!(run(&[equal(RelabelAction::KeepEqual, "c")], &labels).is_none());
        assert!(run(&[equal(RelabelAction::DropEqual, "b")], &labels).is_none());
    }

    #[test]
    fn hashmod_takes_the_last_half_of_md5() {
        let r = RelabelConfig {
            source_labels: sources(&["c"]),
            target_label: "d".into(),
            separator: ";".into(),
            modulus: 1000,
            ..rule(RelabelAction::HashMod)
        };
        // Known from the reference implementation's tests.
        assert_eq!(
            run(&[r], &[("a", "foo"), ("b", "bar"), ("c", "baz")]).unwrap(),
            r#"{a="foo", b="bar", c="baz", d="976"}"#
        );
    }

    #[test]
    fn names_are_mapped_kept_and_dropped() {
        let labels = [("a", "foo"), ("b1", "bar"), ("b2", "baz")];
        let by_name = |action, regex: &str, replacement: &str| RelabelConfig {
            regex: Pattern(regex.into()),
            replacement: replacement.into(),
            ..rule(action)
        };
        assert_eq!(
            run(
                &[by_name(RelabelAction::LabelMap, "(b.*)", "bar_${1}")],
                &labels
            )
            .unwrap(),
            r#"{a="foo", b1="bar", b2="baz", bar_b1="bar", bar_b2="baz"}"#
        );
        assert_eq!(
            run(&[by_name(RelabelAction::LabelDrop, "b.*", "$1")], &labels).unwrap(),
            r#"{a="foo"}"#
        );
        assert_eq!(
            run(&[by_name(RelabelAction::LabelKeep, "b.*", "$1")], &labels).unwrap(),
            r#"{b1="bar", b2="baz"}"#
        );
        let upper = RelabelConfig {
            source_labels: sources(&["a"]),
            target_label: "a".into(),
            ..rule(RelabelAction::Uppercase)
        };
        assert_eq!(
            run(&[upper], &labels).unwrap(),
            r#"{a="FOO", b1="bar", b2="baz"}"#
        );
    }
}
