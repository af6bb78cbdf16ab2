//! From exposed labels to stored ones: target labels, conflicts, limits.

use engine::model::{Labels, LabelsBuilder, METRIC_NAME};
use engine::wire::exposition::Pairs;

use crate::relabel::Relabel;

/// What holds for every sample of a target.
pub(super) struct Rules {
    /// The target's labels, those that start with `__` not among them.
    pub(super) target: Labels,
    /// Exposed labels win.
    pub(super) honor_labels: bool,
    /// `metric_relabel_configs`.
    pub(super) relabel: Relabel,
    /// Names must be of the old kind.
    pub(super) legacy_names: bool,
    /// Most labels, 0 for no limit.
    pub(super) label_limit: u64,
    /// Longest name.
    pub(super) name_length_limit: u64,
    /// Longest value.
    pub(super) value_length_limit: u64,
}

/// Outcome for one exposed series.
pub(super) enum Outcome {
    /// Stored under these labels.
    Keep(Labels),
    /// Dropped by a rule.
    Drop,
}

impl Rules {
    /// Labels of a series exposed with `pairs`.
    ///
    /// # Errors
    /// A text that fails the whole scrape.
    pub(super) fn apply(&self, pairs: &Pairs<'_>) -> Result<Outcome, String> {
        for (i, (n, _)) in pairs.iter().enumerate() {
            if pairs[..i].iter().any(|(m, _)| m == n) {
                return Err(format!("label name {n:?} is not unique: invalid sample"));
            }
        }
        let mut b = LabelsBuilder::new();
        for (n, v) in pairs {
            b.set(n, v);
        }
        self.merge_target(pairs, &mut b);
        if !self.relabel.apply(&mut b) || b.iter().next().is_none() {
            return Ok(Outcome::Drop);
        }
        let labels = b.build();
        let Some(name) = labels.metric_name() else {
            return Err("missing metric name (__name__ label)".into());
        };
        self.check_names(name, &labels)?;
        self.check_limits(name, &labels)?;
        Ok(Outcome::Keep(labels))
    }

    fn merge_target(&self, pairs: &Pairs<'_>, b: &mut LabelsBuilder) {
        if self.honor_labels {
            for (n, v) in &self.target {
                // An exposed label counts also when it is empty.
                if !pairs.iter().any(|(m, _)| m == n) {
                    b.set(n, v);
                }
            }
            return;
        }
        let mut conflicts: Vec<(String, String)> = Vec::new();
        for (n, v) in &self.target {
            if let Some(exposed) = b.get(n) {
                conflicts.push((n.to_owned(), exposed.to_owned()));
            }
            b.set(n, v);
        }
        conflicts.sort_by_key(|(n, _)| n.len());
        for (n, v) in conflicts {
            let mut name = format!("exported_{n}");
            while b.get(&name).is_some() {
                name.insert_str(0, "exported_");
            }
            b.set(&name, &v);
        }
    }

    fn check_names(&self, metric: &str, labels: &Labels) -> Result<(), String> {
        use engine::wire::exposition::negotiate::is_legacy_name;
        let legacy = |n: &str| !self.legacy_names || is_legacy_name(n, std::ptr::eq(n, metric));
        let bad = !legacy(metric)
            || labels
                .iter()
                .any(|(n, _)| n.is_empty() || (n != METRIC_NAME && !legacy(n)));
        if bad {
            return Err(format!("invalid metric name or label names: {labels}"));
        }
        Ok(())
    }

    fn check_limits(&self, metric: &str, labels: &Labels) -> Result<(), String> {
        let over = |n: usize, limit: u64| limit > 0 && n as u64 > limit;
        let n = labels.len();
        if over(n, self.label_limit) {
            return Err(format!(
                "label_limit exceeded (metric: {}, number of labels: {n}, limit: {})",
                cut(metric),
                self.label_limit
            ));
        }
        for (n, v) in labels {
            if over(n.len(), self.name_length_limit) {
                return Err(format!(
                    "label_name_length_limit exceeded (metric: {}, label name: {}, length: {}, limit: {})",
                    cut(metric),
                    cut(n),
                    n.len(),
                    self.name_length_limit
                ));
            }
            if over(v.len(), self.value_length_limit) {
                return Err(format!(
                    "label_value_length_limit exceeded (metric: {}, label name: {}, value: {:?}, length: {}, limit: {})",
                    cut(metric),
                    cut(n),
                    cut(v),
                    v.len(),
                    self.value_length_limit
                ));
            }
        }
        Ok(())
    }
}

/// At most 50 characters.
fn cut(s: &str) -> &str {
    s.char_indices().nth(50).map_or(s, |(i, _)| &s[..i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn rules(honor_labels: bool, target: &[(&str, &str)]) -> Rules {
        Rules {
            target: Labels::from_pairs(target.iter().copied()),
            honor_labels,
            relabel: Relabel::default(),
            legacy_names: false,
            label_limit: 0,
            name_length_limit: 0,
            value_length_limit: 0,
        }
    }

    fn apply(r: &Rules, pairs: &[(&'static str, &'static str)]) -> Result<String, String> {
        let pairs = pairs
            .iter()
            .map(|(n, v)| (Cow::Borrowed(*n), Cow::Borrowed(*v)))
            .collect();
        Ok(match r.apply(&pairs)? {
            Outcome::Keep(l) => l.to_string(),
            Outcome::Drop => "dropped".into(),
        })
    }

    #[test]
    fn the_servers_labels_win_unless_the_targets_are_honored() {
        let exposed = [("__name__", "m"), ("job", "a"), ("exported_job", "b")];
        assert_eq!(
            apply(&rules(false, &[("job", "j")]), &exposed).unwrap(),
            r#"{__name__="m", exported_exported_job="a", exported_job="b", job="j"}"#
        );
        assert_eq!(
            apply(&rules(true, &[("job", "j"), ("instance", "i")]), &exposed).unwrap(),
            r#"{__name__="m", exported_job="b", instance="i", job="a"}"#
        );
        let empty = [("__name__", "m"), ("instance", "")];
        assert_eq!(
            apply(&rules(true, &[("instance", "i")]), &empty).unwrap(),
            r#"{__name__="m"}"#
        );
    }

    #[test]
    fn limits_and_mistakes_fail_the_scrape() {
        let mut r = rules(false, &[("job", "j")]);
        assert!(apply(&r, &[("a", "b")]).unwrap_err().contains("__name__"));
        assert_eq!(
            apply(&r, &[("__name__", "m"), ("a", "1"), ("a", "2")]).unwrap_err(),
            "label name \"a\" is not unique: invalid sample"
        );
        r.label_limit = 2;
        assert!(apply(&r, &[("__name__", "m")]).is_ok());
        assert_eq!(
            apply(&r, &[("__name__", "m"), ("a", "1")]).unwrap_err(),
            "label_limit exceeded (metric: m, number of labels: 3, limit: 2)"
        );
        r.label_limit = 0;
        r.value_length_limit = 3;
        assert!(
            apply(&r, &[("__name__", "m"), ("a", "long")])
                .unwrap_err()
                .starts_with("label_value_length_limit exceeded")
        );
    }
}
