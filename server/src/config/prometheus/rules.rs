//! Rule files: groups of recording and alerting rules.

use std::cell::Cell;
use std::path::Path;

use super::LabelMap;
use crate::config::fields::{Check, config};
use crate::config::{ConfigError, PromDuration, yaml};

thread_local! {
    /// Whether rules that are being read are over lines. Sections check themselves while they are
    /// read, so that an error has a position, and cannot be told anything then.
    static OVER_LINES: Cell<bool> = const { Cell::new(false) };
}

/// Reads a document of rules over lines.
///
/// # Errors
/// The first problem, with line and column.
pub(crate) fn parse_over_lines<T: serde::de::DeserializeOwned + Default>(
    file: &Path,
    text: &str,
) -> Result<T, ConfigError> {
    OVER_LINES.set(true);
    let read = yaml::parse(file, text);
    OVER_LINES.set(false);
    read
}

/// What is wrong with the text of an expression.
fn expression_problem(text: &str) -> Option<String> {
    let wrong = if OVER_LINES.get() {
        query::logql::parse_metric(text)
            .err()
            .map(|e| e.to_string())
    } else {
        // Which parts of the language are switched on is known only when the rule is run.
        let all = query::promql::ParseOptions::all();
        query::promql::parse(text, all).err().map(|e| e.to_string())
    };
    wrong.map(|e| format!("could not parse expression: {e}"))
}

config! {
    /// A rule file.
    pub(crate) struct RuleFile("rulefmt.RuleGroups") {
        /// Its groups.
        groups: Vec<RuleGroup> => keep;
    }
}
impl Check for RuleFile {
    fn check(&mut self) -> Result<(), String> {
        for (i, g) in self.groups.iter().enumerate() {
            if self.groups.iter().take(i).any(|h| h.name == g.name) {
                return Err(format!(
                    "groupname: {:?} is repeated in the same file",
                    g.name
                ));
            }
        }
        Ok(())
    }
}

config! {
    /// Rules that are evaluated together, in order, at the same time.
    pub(crate) struct RuleGroup("rulefmt.RuleGroup") {
        /// Name, once per file.
        name: String => keep;
        /// How often; the global interval when zero.
        interval: PromDuration;
        /// How far in the past.
        query_offset: Option<PromDuration>;
        /// Most series or alerts of a rule.
        limit: i64;
        /// Labels of all rules.
        labels: LabelMap;
        /// The rules.
        rules: Vec<Rule> => keep;
    }
}
impl Check for RuleGroup {
    fn check(&mut self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("Groupname must not be empty".into());
        }
        for (i, r) in self.rules.iter().enumerate() {
            r.problem().map_or(Ok(()), |what| {
                Err(format!(
                    "group {:?}, rule {}, {:?}: {what}",
                    self.name,
                    i + 1,
                    r.name()
                ))
            })?;
        }
        Ok(())
    }
}

config! {
    /// One rule.
    pub(crate) struct Rule("rulefmt.Rule") {
        /// Metric that is recorded.
        record: String;
        /// Alert that is raised.
        alert: String;
        /// The expression.
        expr: String => keep;
        /// How long the expression must hold.
        r#for: PromDuration;
        /// How long the alert stays after it no longer holds.
        keep_firing_for: PromDuration;
        /// Labels that are set.
        labels: LabelMap;
        /// Texts of the alert.
        annotations: LabelMap;
    }
}
impl Check for Rule {}

impl Rule {
    /// The recorded metric or the alert.
    pub(crate) fn name(&self) -> &str {
        if self.record.is_empty() {
            &self.alert
        } else {
            &self.record
        }
    }

    /// The first label or text that is no template. What fails only when it is run is no problem
    /// here: the alert then says so.
    fn template_problem(&self) -> Option<String> {
        let kinds = [("label", &self.labels), ("annotation", &self.annotations)];
        kinds.into_iter().find_map(|(kind, map)| {
            map.iter().find_map(|(name, text)| {
                let e = query::template::prometheus::parse(&self.alert, text).err()?;
                Some(format!("{kind} {name:?}: {e}"))
            })
        })
    }

    fn problem(&self) -> Option<String> {
        let recording = !self.record.is_empty();
        Some(match (recording, !self.alert.is_empty()) {
            (true, true) => "only one of 'record' and 'alert' must be set".into(),
            (false, false) => "one of 'record' or 'alert' must be set".into(),
            _ if self.expr.is_empty() => "field 'expr' must be set in rule".into(),
            _ if recording && !self.annotations.0.is_empty() => {
                "invalid field 'annotations' in recording rule".into()
            }
            _ if recording && !self.r#for.is_zero() => {
                "invalid field 'for' in recording rule".into()
            }
            _ if recording && !self.keep_firing_for.is_zero() => {
                "invalid field 'keep_firing_for' in recording rule".into()
            }
            _ if recording && self.record.contains(['{', '}', '"', '\n']) => format!(
                "braces present in the recording rule name; should it be in expr?: {}",
                self.record
            ),
            _ if self
                .labels
                .iter()
                .any(|(n, _)| n.is_empty() || n == "__name__") =>
            {
                "invalid label name in 'labels'".into()
            }
            _ => match expression_problem(&self.expr) {
                None if recording => return None,
                None => return self.template_problem(),
                Some(e) => e,
            },
        })
    }
}
