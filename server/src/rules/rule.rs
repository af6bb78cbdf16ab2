//! One rule: from the answer of its expression to samples and alerts.
//!
//! Owns: compiled rules, labels and texts of what they produce, the synthetic series.
//! Knows nothing of: schedules, where answers come from ([`Host`]).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use engine::model::{FloatHistogram, Labels, METRIC_NAME};
use query::promql::{SampleValue, histogram};
use query::template::prometheus::{self as texts, Scope, Source};
use query::template::{Template, Value};

use super::alert::{Alert, Alerts, Found, Patience};
use super::expression::{Expression, Language};
use super::memory::{self, Change, Memory};
use crate::config::prometheus::{Rule as RuleConfig, RuleGroup};

/// Series that tells which alerts there are.
pub(crate) const ALERTS: &str = "ALERTS";
/// Series that tells since when they hold.
pub(crate) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// Label with the name of an alert.
pub(crate) const ALERT_NAME: &str = "alertname";
/// Label with the state of an alert.
const ALERT_STATE: &str = "alertstate";

/// One element of an expression's answer.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    /// Labels.
    pub(crate) labels: Labels,
    /// Value.
    pub(crate) value: SampleValue,
}

/// A sample that a rule writes.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// Labels.
    pub(crate) labels: Labels,
    /// Value.
    pub(crate) value: SampleValue,
}

/// What rules ask of the world.
pub(crate) trait Host: Send + Sync {
    /// The answer of an expression at `ts` ms; a scalar is one element without labels.
    ///
    /// # Errors
    /// The text of the error.
    fn query(&self, expr: &Expression, ts: i64) -> Result<Vec<Element>, String>;
    /// The same for the text of an expression, as templates ask.
    ///
    /// # Errors
    /// The text of the error.
    fn query_text(&self, text: &str, ts: i64) -> Result<Vec<Element>, String>;
    /// Stores samples at `ts` ms; those that cannot be stored are reported there.
    fn store(&self, samples: &[Written], ts: i64);
    /// The newest point of the series with exactly `labels` in `[from, to]` ms.
    fn newest(&self, labels: &Labels, from: i64, to: i64) -> Option<(i64, f64)>;
    /// Rows that were remembered of a group's alerts, under any of its rules.
    fn remembered(&self, _group: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }
    /// Remembers rows, before anybody is told of what they say.
    fn remember(&self, _changes: &[Change]) {}
    /// URL under which users reach the server, perhaps empty.
    fn external_url(&self) -> &str;
    /// The same, where there is a server that can be linked to.
    fn server_url(&self) -> Option<&str>;
    /// Labels of this server.
    fn external_labels(&self) -> Vec<(String, String)>;
}

/// A text of an alerting rule.
#[derive(Debug, Clone)]
struct Text {
    name: String,
    template: Arc<Template>,
}

/// What is particular to the kind of a rule.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Records the answer under another name.
    Recording,
    /// Raises alerts.
    Alerting(Box<Alerting>),
}

/// An alerting rule.
#[derive(Debug, Clone)]
pub(crate) struct Alerting {
    labels: Vec<Text>,
    annotations: Vec<Text>,
    /// When alerts fire.
    pub(crate) patience: Patience,
    /// Its alerts.
    pub(crate) alerts: Alerts,
    /// Whether what was before a restart is known: from then on the synthetic series are written.
    pub(crate) restored: bool,
    /// What outlives the process, where that is more than the series.
    memory: Option<Memory>,
}

/// How the last evaluation went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Health {
    /// There was none.
    #[default]
    Unknown,
    /// Well.
    Good,
    /// Not well.
    Bad(String),
}

/// A compiled rule with its state.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// What the file says, group labels included.
    pub(crate) config: Arc<RuleConfig>,
    /// The expression.
    pub(crate) expr: Arc<Expression>,
    /// The expression in its canonical form.
    pub(crate) text: Arc<str>,
    /// Kind.
    pub(crate) kind: Kind,
    /// How the last evaluation went.
    pub(crate) health: Health,
    /// When it was, ms, and how long it took, s.
    pub(crate) evaluated: Option<(i64, f64)>,
    limit: i64,
    /// Series of the last evaluation that went well.
    pub(super) wrote: HashSet<Labels>,
}

impl Rule {
    /// Compiles rule `config` of `group`; `grace_ms` is the shortest `for` that series restore.
    ///
    /// # Errors
    /// What is wrong with its expression or its texts.
    pub(crate) fn new(
        config: &RuleConfig,
        group: &RuleGroup,
        language: Language,
        grace_ms: i64,
    ) -> Result<Self, String> {
        let mut config = config.clone();
        for (name, value) in group.labels.iter() {
            let own = config.labels.0.entry(name.to_owned());
            own.or_insert_with(|| value.to_owned());
        }
        let (expr, text) = Expression::parse(&config.expr, language)
            .map_err(|e| format!("could not parse expression: {e}"))?;
        let kind = if config.record.is_empty() {
            let compile = |map: &crate::config::prometheus::LabelMap| {
                let each = map.iter().map(|(name, text)| {
                    Ok(Text {
                        name: name.to_owned(),
                        template: Arc::new(
                            texts::parse(&config.alert, text).map_err(|e| e.to_string())?,
                        ),
                    })
                });
                each.collect::<Result<Vec<_>, String>>()
            };
            let patience = Patience {
                hold_ms: config.r#for.as_ms(),
                keep_firing_ms: config.keep_firing_for.as_ms(),
                limit: group.limit,
            };
            Kind::Alerting(Box::new(Alerting {
                labels: compile(&config.labels)?,
                annotations: compile(&config.annotations)?,
                memory: memory::remembers(&patience, grace_ms).then(Memory::default),
                patience,
                alerts: Alerts::default(),
                restored: false,
            }))
        } else {
            Kind::Recording
        };
        Ok(Self {
            text: text.into(),
            config: Arc::new(config),
            expr: Arc::new(expr),
            kind,
            health: Health::Unknown,
            evaluated: None,
            limit: group.limit,
            wrote: HashSet::new(),
        })
    }

    /// The recorded metric or the alert.
    pub(crate) fn name(&self) -> &str {
        self.config.name()
    }

    /// The alerting part, if it is an alerting rule.
    pub(crate) fn alerting(&self) -> Option<&Alerting> {
        match &self.kind {
            Kind::Alerting(a) => Some(a),
            Kind::Recording => None,
        }
    }

    /// The alerting part, if it is an alerting rule.
    pub(crate) fn alerting_mut(&mut self) -> Option<&mut Alerting> {
        match &mut self.kind {
            Kind::Alerting(a) => Some(a),
            Kind::Recording => None,
        }
    }

    /// Takes over what `old`, a rule of the same name and labels, knows.
    pub(super) fn inherit(&mut self, old: &mut Self) {
        self.wrote = std::mem::take(&mut old.wrote);
        if let (Some(new), Some(old)) = (self.alerting_mut(), old.alerting_mut()) {
            new.alerts = std::mem::take(&mut old.alerts);
            new.restored = old.restored;
            if let (Some(new), Some(old)) = (&mut new.memory, &mut old.memory) {
                *new = std::mem::take(old);
            }
        }
    }

    /// Evaluates the rule at `ts`, reading at `ts - offset` ms; gives the samples to write.
    ///
    /// # Errors
    /// Why the rule failed; then it writes nothing.
    pub(super) fn evaluate(
        &mut self,
        host: &dyn Host,
        ts: i64,
        offset: i64,
    ) -> Result<Vec<Written>, String> {
        let found = host.query(&self.expr, ts - offset)?;
        match &mut self.kind {
            Kind::Recording => record(&self.config, self.limit, found),
            Kind::Alerting(a) => {
                let found = alerts_of(&self.config, a, found, host, ts);
                a.alerts.step(found, ts, &a.patience)?;
                if !a.restored {
                    return Ok(Vec::new());
                }
                let active = a.alerts.active();
                let series = active.flat_map(|(l, x)| synthetic(&self.config, l, x));
                Ok(series.collect())
            }
        }
    }

    /// Where in the memory of `group` the alerts of this rule are.
    fn memory_prefix(&self, group: &str) -> Vec<u8> {
        let labels: BTreeMap<&str, &str> = self.config.labels.iter().collect();
        memory::prefix(group, self.name(), &labels)
    }

    /// Where in the memory of `group` the alerts of this rule are, when they are remembered.
    pub(super) fn memory(&self, group: &str) -> Option<Vec<u8>> {
        let remembered = self.alerting()?.memory.is_some();
        remembered.then(|| self.memory_prefix(group))
    }

    /// What is to be remembered of the last evaluation, as a rule of `group` (MEM2).
    pub(super) fn remember(&mut self, group: &str) -> Vec<Change> {
        let Some(prefix) = self.memory(group) else {
            return Vec::new();
        };
        let Some(a) = self.alerting_mut().filter(|a| a.restored) else {
            return Vec::new();
        };
        let changes = a.memory.as_mut().map(|m| m.changes(&prefix, &a.alerts));
        changes.unwrap_or_default()
    }

    /// Forgets what is remembered of a rule that goes.
    pub(super) fn forget(&mut self, group: &str) -> Vec<Change> {
        let prefix = self.memory_prefix(group);
        let memory = self.alerting_mut().and_then(|a| a.memory.as_mut());
        memory.map(|m| m.clear(&prefix)).unwrap_or_default()
    }

    /// Looks up since when the alerts held before a restart at `ts`; see [`Restoring`]. `kept` is
    /// what was remembered of `group`.
    pub(super) fn restore(
        &mut self,
        host: &dyn Host,
        ts: i64,
        r: &Restoring,
        (group, kept): (&str, &[(Vec<u8>, Vec<u8>)]),
    ) {
        let prefix = self.memory_prefix(group);
        let config = &self.config;
        let Kind::Alerting(a) = &mut self.kind else {
            return;
        };
        if let Some(m) = &mut a.memory {
            m.recall(&prefix, kept);
            let seen = |labels: &Labels, alert: &Alert| {
                let [_, state] = synthetic(config, labels, alert);
                let found = host.newest(&state.labels, ts - r.tolerance_ms, ts);
                found.filter(|(_, v)| !v.is_nan()).map(|(t, _)| t)
            };
            m.restore(&mut a.alerts, &a.patience, (r.grace_ms, ts), &seen);
        }
        let hold = a.patience.hold_ms;
        if hold >= r.grace_ms {
            for (labels, alert) in &mut a.alerts.by_labels {
                if alert.state == super::alert::State::Inactive {
                    continue;
                }
                let [_, state] = synthetic(config, labels, alert);
                let found = host.newest(&state.labels, ts - r.tolerance_ms, ts);
                if let Some((t, since)) = found.filter(|(_, v)| !v.is_nan()) {
                    alert.active_at = r.active_at(ts, t, since as i64 * 1000, hold);
                }
            }
        }
        a.restored = true;
    }
}

/// When alerts of before a restart are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restoring {
    /// Longest outage, ms.
    pub(crate) tolerance_ms: i64,
    /// Shortest time that is left before an alert fires, ms; rules with less patience start anew.
    pub(crate) grace_ms: i64,
}

impl Restoring {
    /// Since when an alert holds that was seen last at `t`, holding since `since`.
    fn active_at(&self, now: i64, t: i64, since: i64, hold: i64) -> i64 {
        let remaining = hold - (t - since);
        if remaining <= 0 {
            since
        } else if remaining < self.grace_ms {
            now + self.grace_ms - hold
        } else {
            since + (now - t)
        }
    }
}

fn record(config: &RuleConfig, limit: i64, found: Vec<Element>) -> Result<Vec<Written>, String> {
    let mut seen = HashSet::new();
    let mut out = Vec::with_capacity(found.len());
    for e in found {
        let mut b = e.labels.to_builder();
        b.set(METRIC_NAME, &config.record);
        for (name, value) in config.labels.iter() {
            if value.is_empty() {
                b.remove(name);
            } else {
                b.set(name, value);
            }
        }
        let labels = b.build();
        if !seen.insert(labels.clone()) {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels".into(),
            );
        }
        out.push(Written {
            labels,
            value: e.value,
        });
    }
    if limit > 0 && i64::try_from(out.len()).unwrap_or(i64::MAX) > limit {
        return Err(format!(
            "exceeded limit of {limit} with {} series",
            out.len()
        ));
    }
    Ok(out)
}

/// A value as templates see it.
fn template_value(v: &SampleValue) -> Value {
    match v {
        SampleValue::Float(f) => Value::Float(*f),
        SampleValue::Histogram(h) => histogram::to_text(h).into(),
    }
}

/// Templates ask the host at the time of the evaluation.
struct Asking<'h> {
    host: &'h dyn Host,
    ts: i64,
}

impl Source for Asking<'_> {
    fn query(&mut self, expression: &str) -> Result<Vec<texts::Sample>, String> {
        let found = self.host.query_text(expression, self.ts)?;
        let each = found.into_iter().map(|e| texts::Sample {
            labels: pairs(&e.labels),
            value: template_value(&e.value),
        });
        Ok(each.collect())
    }
    fn now_ms(&self) -> i64 {
        self.ts
    }
    fn external_url(&self) -> Option<&str> {
        self.host.server_url()
    }
}

fn pairs(labels: &Labels) -> Vec<(String, String)> {
    let each = labels.iter();
    each.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn alerts_of(
    config: &RuleConfig,
    rule: &Alerting,
    found: Vec<Element>,
    host: &dyn Host,
    ts: i64,
) -> Vec<Found> {
    if found.is_empty() {
        return Vec::new();
    }
    let external = host.external_labels();
    let external = external.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let mut scope = Scope {
        labels: Value::Nil,
        external_labels: Value::texts(external),
        external_url: host.external_url().into(),
        value: Value::Nil,
    };
    let mut asking = Asking { host, ts };
    let mut out = Vec::with_capacity(found.len());
    for e in found {
        scope.labels = Value::texts(e.labels.iter());
        scope.value = template_value(&e.value);
        let mut b = e.labels.to_builder();
        b.remove(METRIC_NAME);
        for t in &rule.labels {
            let value = texts::expand(&t.template, &scope, &mut asking);
            if value.is_empty() {
                b.remove(&t.name);
            } else {
                b.set(&t.name, &value);
            }
        }
        b.set(ALERT_NAME, &config.alert);
        let annotations = rule.annotations.iter().map(|t| {
            let text = texts::expand(&t.template, &scope, &mut asking);
            (t.name.clone(), text)
        });
        out.push(Found {
            annotations: annotations.collect(),
            labels: b.build(),
            value: match e.value {
                SampleValue::Float(f) => f,
                SampleValue::Histogram(_) => 0.0,
            },
        });
    }
    out
}

/// The two series that tell of an alert.
fn synthetic(config: &RuleConfig, labels: &Labels, alert: &Alert) -> [Written; 2] {
    let mut b = Labels::empty().to_builder();
    for (n, v) in config.labels.iter().chain(labels.iter()) {
        b.set(n, v);
    }
    b.set(ALERT_NAME, &config.alert);
    let mut of_state = b.clone();
    of_state.set(METRIC_NAME, ALERTS_FOR_STATE);
    b.set(METRIC_NAME, ALERTS)
        .set(ALERT_STATE, alert.state.word());
    let written = |labels, v| Written {
        labels,
        value: SampleValue::Float(v),
    };
    [
        written(b.build(), 1.0),
        written(of_state.build(), alert.active_at.div_euclid(1000) as f64),
    ]
}

/// What a series that ended gets.
pub(super) fn stale(labels: Labels) -> Written {
    Written {
        labels,
        value: SampleValue::Float(engine::model::stale_nan()),
    }
}

/// A histogram for the store, where it is one.
pub(super) fn histogram_of(v: &SampleValue) -> Option<&Arc<FloatHistogram>> {
    match v {
        SampleValue::Histogram(h) => Some(h),
        SampleValue::Float(_) => None,
    }
}
