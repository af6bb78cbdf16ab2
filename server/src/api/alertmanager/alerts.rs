//! `/alerts`, `/alerts/groups`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Fault, Said, document, instant, shown};
use crate::alerting::{AlertView, PostedAlert};
use crate::config::limits;

/// An alert as it is posted. What must be there is checked by hand: the answers differ.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
}

/// The alerts of a document.
pub(super) fn posted(body: &[u8]) -> Result<Vec<PostedAlert>, Fault> {
    let all: Vec<Posted> = document("alerts", body)?;
    if all.len() > limits::ALERTS_PER_POST_MAX {
        return Err(Fault::bad(format!(
            "{} alerts in one request, the limit is {}",
            all.len(),
            limits::ALERTS_PER_POST_MAX
        )));
    }
    let each = all.into_iter().enumerate().map(|(i, p)| {
        let time = |t: Option<String>, field| instant(field, &t.unwrap_or_default());
        Ok(PostedAlert {
            labels: p
                .labels
                .ok_or_else(|| Fault::required(&format!("{i}.labels")))?,
            annotations: p.annotations.unwrap_or_default(),
            starts_at: time(p.starts_at, "startsAt")?,
            ends_at: time(p.ends_at, "endsAt")?,
            generator_url: p.generator_url.unwrap_or_default(),
        })
    });
    each.collect()
}

/// Takes alerts.
pub(super) async fn post(ask: Ask) -> Answer {
    let refused = ask.service.put(posted(&ask.body)?);
    match refused.is_empty() {
        true => Ok(Said::Nothing),
        false => Err(Fault::bad(refused.join("; "))),
    }
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    state: &'static str,
    silenced_by: &'a [String],
    inhibited_by: Vec<String>,
    muted_by: &'a [String],
}

/// An alert in answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    annotations: &'a BTreeMap<String, String>,
    ends_at: String,
    fingerprint: String,
    receivers: Vec<Named<'a>>,
    starts_at: String,
    status: Status<'a>,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    labels: &'a BTreeMap<String, String>,
}

pub(super) fn show(v: &AlertView) -> Shown<'_> {
    let a = &v.alert;
    Shown {
        annotations: &a.annotations,
        ends_at: shown(a.ends_at),
        fingerprint: format!("{:016x}", a.fingerprint),
        receivers: v.receivers.iter().map(|name| Named { name }).collect(),
        starts_at: shown(a.starts_at),
        status: Status {
            state: if v.suppressed() {
                "suppressed"
            } else {
                "active"
            },
            silenced_by: &v.silenced_by,
            inhibited_by: v.inhibited_by.iter().map(|f| format!("{f:016x}")).collect(),
            muted_by: &v.muted_by,
        },
        updated_at: shown(a.updated_at),
        generator_url: &a.generator_url,
        labels: &a.labels,
    }
}

/// Which alerts are asked for, by their state.
struct States {
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
}

impl States {
    fn of(ask: &Ask) -> Self {
        Self {
            active: ask.on("active"),
            silenced: ask.on("silenced"),
            inhibited: ask.on("inhibited"),
            muted: ask.on("muted"),
        }
    }

    fn wanted(&self, v: &AlertView) -> bool {
        (self.active || v.suppressed())
            && (self.silenced || v.silenced_by.is_empty())
            && (self.inhibited || v.inhibited_by.is_empty())
            && (self.muted || v.muted_by.is_empty())
    }
}

/// Alerts that fire and are asked for.
pub(super) fn wanted(ask: &Ask) -> Result<Vec<AlertView>, Fault> {
    let (filter, receivers) = (ask.matchers("filter")?, ask.receivers()?);
    let states = States::of(ask);
    let mut all = ask.service.alerts();
    all.retain(|v| {
        v.receivers.iter().any(|r| receivers(r)) && v.matches(&filter) && states.wanted(v)
    });
    Ok(all)
}

/// Alerts that fire.
pub(super) async fn list(ask: Ask) -> Answer {
    let all = wanted(&ask)?;
    Ok(Said::json(&all.iter().map(show).collect::<Vec<_>>()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownGroup<'a> {
    alerts: Vec<Shown<'a>>,
    labels: &'a BTreeMap<String, String>,
    receiver: Named<'a>,
    route_labels: &'a BTreeMap<String, String>,
}

/// Alerts that fire, by group.
pub(super) async fn groups(ask: Ask) -> Answer {
    let (filter, receivers) = (ask.matchers("filter")?, ask.receivers()?);
    let states = States::of(&ask);
    let all = ask.service.groups();
    let each = all.iter().filter(|g| receivers(&g.receiver)).map(|g| {
        let wanted = g.alerts.iter();
        let wanted = wanted.filter(|v| v.matches(&filter) && states.wanted(v));
        ShownGroup {
            alerts: wanted.map(show).collect(),
            labels: &g.labels,
            receiver: Named { name: &g.receiver },
            route_labels: &g.route_labels,
        }
    });
    let each: Vec<_> = each.filter(|g| !g.alerts.is_empty()).collect();
    Ok(Said::json(&each))
}
