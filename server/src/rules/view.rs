//! Groups as interfaces show them, taken after each evaluation so that nobody waits for one.

use std::sync::Arc;

use engine::model::Labels;

use super::alert::{Alert, State};
use super::group::Group;
use super::rule::{Health, Rule};
use crate::config::prometheus::Rule as RuleConfig;

/// A rule with what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct RuleView {
    /// What the file says, group labels included.
    pub(crate) config: Arc<RuleConfig>,
    /// The expression in its canonical form.
    pub(crate) text: Arc<str>,
    /// How the last evaluation went.
    pub(crate) health: Health,
    /// When it was, ms, and how long it took, s.
    pub(crate) evaluated: Option<(i64, f64)>,
    /// Alerts that are pending or firing, of an alerting rule.
    pub(crate) alerts: Option<Vec<(Labels, Alert)>>,
}

impl RuleView {
    fn of(r: &Rule) -> Self {
        let alerts = r.alerting().map(|a| {
            let active = a.alerts.active();
            active.map(|(l, a)| (l.clone(), a.clone())).collect()
        });
        Self {
            config: Arc::clone(&r.config),
            text: Arc::clone(&r.text),
            health: r.health.clone(),
            evaluated: r.evaluated,
            alerts,
        }
    }

    /// The gravest state of its alerts, in the word of the interface.
    pub(crate) fn state(&self) -> &'static str {
        let Some(alerts) = &self.alerts else {
            return "";
        };
        if self.evaluated.is_none() {
            return "unknown";
        }
        let gravest = alerts.iter().map(|(_, a)| a.state).max();
        gravest.unwrap_or(State::Inactive).word()
    }
}

/// A group with what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct GroupView {
    /// Its file.
    pub(crate) file: String,
    /// Its name.
    pub(crate) name: String,
    /// Interval, s.
    pub(crate) interval: f64,
    /// Most series or alerts of a rule.
    pub(crate) limit: i64,
    /// When it was evaluated last, ms, and how long it took, s.
    pub(crate) evaluated: Option<(i64, f64)>,
    /// Its rules.
    pub(crate) rules: Vec<RuleView>,
}

impl GroupView {
    pub(super) fn of(g: &Group) -> Self {
        Self {
            file: g.file.clone(),
            name: g.config.name.clone(),
            interval: g.interval_ms as f64 / 1000.0,
            limit: g.config.limit,
            evaluated: g.last.map(|(t, n)| (t, n.seconds)),
            rules: g.rules.iter().map(RuleView::of).collect(),
        }
    }
}
