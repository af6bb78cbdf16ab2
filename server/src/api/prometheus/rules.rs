//! `/rules`, `/alerts`, `/alertmanagers`.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::model::{Labels, LabelsBuilder, METRIC_NAME, Matcher};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::selector;
use crate::api::call::{Answer, Call, Reply};
use crate::api::error::ApiError;
use crate::api::state::rfc3339;
use crate::http::Params;
use crate::rules::alert::{Alert, Annotations};
use crate::rules::rule::Health;
use crate::rules::{GroupView, RuleView};

/// What is shown of a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// An alert in answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertBody {
    labels: BTreeMap<String, String>,
    annotations: Annotations,
    state: &'static str,
    active_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_since: Option<String>,
    value: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RuleBody {
    #[serde(rename_all = "camelCase")]
    Alerting {
        state: &'static str,
        name: String,
        query: String,
        duration: f64,
        keep_firing_for: f64,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        alerts: Option<Vec<AlertBody>>,
        health: &'static str,
        #[serde(skip_serializing_if = "String::is_empty")]
        last_error: String,
        evaluation_time: f64,
        last_evaluation: String,
        r#type: &'static str,
    },
    #[serde(rename_all = "camelCase")]
    Recording {
        name: String,
        query: String,
        labels: BTreeMap<String, String>,
        health: &'static str,
        #[serde(skip_serializing_if = "String::is_empty")]
        last_error: String,
        evaluation_time: f64,
        last_evaluation: String,
        r#type: &'static str,
    },
}

/// A group in answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupBody {
    name: String,
    file: String,
    rules: Vec<RuleBody>,
    interval: f64,
    limit: i64,
    evaluation_time: f64,
    last_evaluation: String,
}

/// Ms since 1970, or the time that never was.
fn time(ms: Option<i64>) -> String {
    let t = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    t.map_or_else(|| NEVER.to_owned(), rfc3339)
}

fn alert_body(labels: &Labels, a: &Alert) -> AlertBody {
    let pairs = labels.iter();
    AlertBody {
        labels: pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        annotations: a.annotations.clone(),
        state: a.state.word(),
        active_at: time(Some(a.active_at)),
        keep_firing_since: a.kept_since.map(|t| time(Some(t))),
        value: query::text::float::exponential(a.value),
    }
}

fn rule_body(r: &RuleView, with_alerts: bool) -> RuleBody {
    let (health, last_error) = match &r.health {
        Health::Unknown => ("unknown", String::new()),
        Health::Good => ("ok", String::new()),
        Health::Bad(e) => ("err", e.clone()),
    };
    let evaluation_time = r.evaluated.map_or(0.0, |e| e.1);
    let last_evaluation = time(r.evaluated.map(|e| e.0));
    let name = r.config.name().to_owned();
    let labels = r.config.labels.0.clone().into_iter().collect();
    let query = r.text.to_string();
    match &r.alerts {
        None => RuleBody::Recording {
            name,
            query,
            labels,
            health,
            last_error,
            evaluation_time,
            last_evaluation,
            r#type: "recording",
        },
        Some(alerts) => RuleBody::Alerting {
            state: r.state(),
            name,
            query,
            duration: r.config.r#for.as_ms() as f64 / 1000.0,
            keep_firing_for: r.config.keep_firing_for.as_ms() as f64 / 1000.0,
            labels,
            annotations: r.config.annotations.0.clone().into_iter().collect(),
            alerts: with_alerts.then(|| alerts.iter().map(|(l, a)| alert_body(l, a)).collect()),
            health,
            last_error,
            evaluation_time,
            last_evaluation,
            r#type: "alerting",
        },
    }
}

/// Which rules are wanted, and how much of them.
pub(crate) struct RuleFilter {
    with_alerts: bool,
    kind: String,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    matchers: Vec<Vec<Matcher>>,
}

impl RuleFilter {
    /// What parameters ask for.
    ///
    /// # Errors
    /// Names the parameter that makes no sense.
    pub(crate) fn new(p: &Params) -> Result<Self, ApiError> {
        let kind = p.get("type").to_ascii_lowercase();
        if !matches!(kind.as_str(), "" | "alert" | "record") {
            let text = format!("not supported value {:?}", p.get("type"));
            return Err(ApiError::parameter("type", text));
        }
        let exclude = match p.first("exclude_alerts").filter(|v| !v.is_empty()) {
            Some(v) => super::admin::parse_bool(v)
                .ok_or_else(|| ApiError::bad(format!("invalid value {v:?} for exclude_alerts")))?,
            None => false,
        };
        let all = |name: &str| p.all(name).map(str::to_owned).collect::<Vec<_>>();
        Ok(Self {
            with_alerts: !exclude,
            kind,
            names: all("rule_name[]"),
            groups: all("rule_group[]"),
            files: all("file[]"),
            matchers: selector::selectors(p)?,
        })
    }

    /// Whether anything of a group is wanted.
    fn any(&self, g: &GroupView) -> bool {
        self.group(g) && g.rules.iter().any(|r| self.rule(r))
    }

    fn group(&self, g: &GroupView) -> bool {
        let any = |list: &[String], v: &str| list.is_empty() || list.iter().any(|x| x == v);
        any(&self.groups, &g.name) && any(&self.files, &g.file)
    }

    fn rule(&self, r: &RuleView) -> bool {
        let kind = match self.kind.as_str() {
            "alert" => r.alerts.is_some(),
            "record" => r.alerts.is_none(),
            _ => true,
        };
        let named = self.names.is_empty() || self.names.iter().any(|n| n == r.config.name());
        kind && named && (self.matchers.is_empty() || self.matches(r))
    }

    /// Selectors look at the labels that the rule itself sets.
    fn matches(&self, r: &RuleView) -> bool {
        let mut b = LabelsBuilder::new();
        for (n, v) in r.config.labels.iter() {
            b.set(n, v);
        }
        let labels = b.build();
        self.matchers.iter().any(|m| {
            let own: Vec<Matcher> = m
                .iter()
                .filter(|m| m.name != METRIC_NAME)
                .cloned()
                .collect();
            Matcher::all_match(&own, &labels)
        })
    }
}

/// Where the page that begins with `g` begins.
fn token(g: &GroupView) -> String {
    let hash = Sha256::digest(format!("{};{}", g.file, g.name));
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// The groups of a page, and the token of the next one.
fn page(
    call: &Call,
    groups: Vec<Arc<GroupView>>,
) -> Result<(Vec<Arc<GroupView>>, Option<String>), ApiError> {
    let limit = call.params.get("group_limit");
    let from = call.params.get("group_next_token");
    if limit.is_empty() {
        if !from.is_empty() {
            return Err(ApiError::bad(
                "group_limit needs to be present in the request if group_next_token is set",
            ));
        }
        return Ok((groups, None));
    }
    let number = limit.parse::<i64>().map_err(|_| {
        let text = format!("strconv.ParseInt: parsing {limit:?}: invalid syntax");
        ApiError::parameter("group_limit", text)
    })?;
    let Some(most) = usize::try_from(number).ok().filter(|n| *n > 0) else {
        let text = format!("group_limit must be greater than 0, got {limit}");
        return Err(ApiError::parameter("group_limit", text));
    };
    let first = if from.is_empty() {
        0
    } else {
        let at = groups.iter().position(|g| token(g) == from);
        at.ok_or_else(|| {
            ApiError::bad(format!(
                "invalid group_next_token {from:?}: were rule groups changed?"
            ))
        })?
    };
    let next = groups.get(first + most).map(|g| token(g));
    let page = groups.into_iter().skip(first).take(most);
    Ok((page.collect(), next))
}

/// Groups as answers show them; those of which nothing is wanted are left out.
pub(crate) fn group_bodies(groups: &[Arc<GroupView>], filter: &RuleFilter) -> Vec<GroupBody> {
    let wanted = groups.iter().filter(|g| filter.any(g));
    let bodies = wanted.map(|g| GroupBody {
        name: g.name.clone(),
        file: g.file.clone(),
        rules: {
            let rules = g.rules.iter().filter(|r| filter.rule(r));
            rules.map(|r| rule_body(r, filter.with_alerts)).collect()
        },
        interval: g.interval,
        limit: g.limit,
        evaluation_time: g.evaluated.map_or(0.0, |e| e.1),
        last_evaluation: time(g.evaluated.map(|e| e.0)),
    });
    bodies.collect()
}

/// Alerts of groups that are pending or firing, as answers show them.
pub(crate) fn alert_bodies(groups: &[Arc<GroupView>]) -> Vec<AlertBody> {
    let rules = groups.iter().flat_map(|g| &g.rules);
    let all = rules.filter_map(|r| r.alerts.as_ref()).flatten();
    all.map(|(l, a)| alert_body(l, a)).collect()
}

/// Rule groups with their state.
pub(super) async fn rules(call: Call) -> Answer {
    let filter = RuleFilter::new(&call.params)?;
    let mut wanted = call.api.rules().map_or(Vec::new(), |r| r.groups());
    wanted.retain(|g| filter.any(g));
    let (groups, next) = page(&call, wanted)?;
    let mut data = json!({ "groups": group_bodies(&groups, &filter) });
    if let Some(token) = next {
        data["groupNextToken"] = token.into();
    }
    Ok(Reply::data(&data))
}

/// Alerts that are pending or firing.
pub(super) async fn alerts(call: Call) -> Answer {
    let groups = call.api.rules().map_or(Vec::new(), |r| r.groups());
    Ok(Reply::data(&json!({ "alerts": alert_bodies(&groups) })))
}

/// Where alerts are sent.
pub(super) async fn alertmanagers(call: Call) -> Answer {
    let (active, dropped) = call.api.rules().map(|r| r.receivers()).unwrap_or_default();
    let list =
        |urls: Vec<String>| -> Vec<_> { urls.into_iter().map(|u| json!({ "url": u })).collect() };
    Ok(Reply::data(&json!({
        "activeAlertmanagers": list(active),
        "droppedAlertmanagers": list(dropped),
    })))
}
