//! The route tree as written.

use std::collections::BTreeSet;

use super::matcher::{MatchOp, Matcher, MatcherList, is_classic_name};
use crate::config::fields::{Check, config};
use crate::config::{LabelMap, PromDuration};

/// The entry of `group_by` that stands for every label.
pub(crate) const GROUP_BY_ALL: &str = "...";

config! {
    /// A node of the tree.
    pub(crate) struct RouteConfig("config.Route") {
        /// Who is told; the parent's when empty.
        receiver: String;
        /// Labels that make a group; the parent's when absent.
        group_by: Option<Vec<String>>;
        /// Whether later siblings are tried as well.
        r#continue: bool;
        /// Exact values, old form.
        r#match: LabelMap;
        /// Patterns, old form.
        match_re: LabelMap;
        /// Conditions.
        matchers: MatcherList;
        /// Until the first notification of a group.
        group_wait: Option<PromDuration>;
        /// Between notifications of a group.
        group_interval: Option<PromDuration>;
        /// Until an unchanged group is told again.
        repeat_interval: Option<PromDuration>;
        /// Named intervals in which nothing is sent.
        mute_time_intervals: Vec<String>;
        /// Named intervals outside of which nothing is sent.
        active_time_intervals: Vec<String>;
        /// Labels for templates; a child's win over its parent's.
        labels: LabelMap;
        /// Children.
        routes: Vec<RouteConfig>;
    }
}

impl Check for RouteConfig {
    fn check(&mut self) -> Result<(), String> {
        for (name, _) in self.r#match.iter().chain(self.match_re.iter()) {
            if !is_classic_name(name) {
                return Err(format!("invalid label name {name:?}"));
            }
        }
        for (name, pattern) in self.match_re.iter() {
            Matcher::new(name, MatchOp::Regex, pattern)?;
        }
        let group_by = self.group_by.as_deref().unwrap_or_default();
        let mut seen = BTreeSet::new();
        for label in group_by {
            if label.is_empty() {
                return Err(format!("invalid label name {label:?} in group_by list"));
            }
            if !seen.insert(label) {
                return Err(format!("duplicated label {label:?} in group_by"));
            }
        }
        if group_by.len() > 1 && group_by.iter().any(|l| l == GROUP_BY_ALL) {
            return Err(format!(
                "cannot have wildcard group_by ({GROUP_BY_ALL:?}) and other labels at the same time"
            ));
        }
        for (what, d) in [
            ("group_interval", self.group_interval),
            ("repeat_interval", self.repeat_interval),
        ] {
            if d.is_some_and(PromDuration::is_zero) {
                return Err(format!("{what} cannot be zero"));
            }
        }
        Ok(())
    }
}

impl RouteConfig {
    /// All conditions in the order of group keys: by name. Old patterns show their anchors there.
    pub(crate) fn conditions(&self) -> Vec<Matcher> {
        let old = |op: MatchOp| move |(n, v): (&str, String)| Matcher::new(n, op, &v).ok();
        let equal = self.r#match.iter().map(|(n, v)| (n, v.to_owned()));
        let pattern = self.match_re.iter().map(|(n, v)| (n, format!("^(?:{v})$")));
        let mut all: Vec<Matcher> = equal
            .filter_map(old(MatchOp::Equal))
            .chain(pattern.filter_map(old(MatchOp::Regex)))
            .chain(self.matchers.0.iter().cloned())
            .collect();
        all.sort_by(|a, b| (&a.name, &a.value, a.op).cmp(&(&b.name, &b.value, b.op)));
        all
    }

    /// What only the root must fulfil.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn check_root(&self) -> Result<(), String> {
        if self.receiver.is_empty() {
            return Err("root route must specify a default receiver".into());
        }
        let conditions = self.r#match.0.len() + self.match_re.0.len() + self.matchers.0.len();
        if conditions > 0 {
            return Err("root route must not have any matchers".into());
        }
        if !self.mute_time_intervals.is_empty() {
            return Err("root route must not have any mute time intervals".into());
        }
        if !self.active_time_intervals.is_empty() {
            return Err("root route must not have any active time intervals".into());
        }
        if self.r#continue {
            return Err("cannot have continue in root route".into());
        }
        Ok(())
    }

    /// Whether every receiver and every interval that is named exists.
    ///
    /// # Errors
    /// Names the first that does not.
    pub(super) fn check_names(
        &self,
        receivers: &BTreeSet<&str>,
        intervals: &BTreeSet<&str>,
    ) -> Result<(), String> {
        if !self.receiver.is_empty() && !receivers.contains(self.receiver.as_str()) {
            return Err(format!(
                "undefined receiver {:?} used in route",
                self.receiver
            ));
        }
        let named = self.mute_time_intervals.iter();
        for name in named.chain(&self.active_time_intervals) {
            if !intervals.contains(name.as_str()) {
                return Err(format!("undefined time interval {name:?} used in route"));
            }
        }
        self.routes
            .iter()
            .try_for_each(|r| r.check_names(receivers, intervals))
    }
}

config! {
    /// Alerts that are not told while others fire.
    pub(crate) struct InhibitRule("config.InhibitRule") {
        name: String;
        source_match: LabelMap;
        source_match_re: LabelMap;
        source_matchers: MatcherList;
        target_match: LabelMap;
        target_match_re: LabelMap;
        target_matchers: MatcherList;
        /// Labels whose values must be the same on both sides.
        equal: Vec<String>;
    }
}

impl Check for InhibitRule {
    fn check(&mut self) -> Result<(), String> {
        let equal = [&self.source_match, &self.target_match];
        let patterns = [&self.source_match_re, &self.target_match_re];
        for (name, _) in equal.into_iter().chain(patterns).flat_map(LabelMap::iter) {
            if !is_classic_name(name) {
                return Err(format!("invalid label name {name:?}"));
            }
        }
        for (name, pattern) in patterns.into_iter().flat_map(LabelMap::iter) {
            Matcher::new(name, MatchOp::Regex, pattern)?;
        }
        if let Some(label) = self.equal.iter().find(|l| l.is_empty()) {
            return Err(format!("invalid label name {label:?} in equal list"));
        }
        Ok(())
    }
}

impl InhibitRule {
    /// Conditions of the side that inhibits.
    pub(crate) fn source(&self) -> Vec<Matcher> {
        side(
            &self.source_match,
            &self.source_match_re,
            &self.source_matchers,
        )
    }

    /// Conditions of the side that is inhibited.
    pub(crate) fn target(&self) -> Vec<Matcher> {
        side(
            &self.target_match,
            &self.target_match_re,
            &self.target_matchers,
        )
    }
}

fn side(equal: &LabelMap, patterns: &LabelMap, list: &MatcherList) -> Vec<Matcher> {
    let make = |op: MatchOp| move |(n, v): (&str, &str)| Matcher::new(n, op, v).ok();
    let equal = equal.iter().filter_map(make(MatchOp::Equal));
    let patterns = patterns.iter().filter_map(make(MatchOp::Regex));
    equal
        .chain(patterns)
        .chain(list.0.iter().cloned())
        .collect()
}
