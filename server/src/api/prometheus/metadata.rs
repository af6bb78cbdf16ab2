//! `/metadata`, `/targets/metadata`: what targets say about their metrics.

use std::collections::{BTreeMap, BTreeSet};

use engine::model::{Labels, Matcher};
use serde::Serialize;

use super::selector;
use crate::api::call::{Answer, Call, Reply};
use crate::api::encode::JsonLabels;
use crate::api::error::ApiError;

/// A limit; none when absent or negative.
fn number(call: &Call, name: &str) -> Result<Option<usize>, ApiError> {
    match call.params.get(name) {
        "" => Ok(None),
        text => match text.parse::<i64>() {
            Ok(n) => Ok(usize::try_from(n).ok()),
            Err(_) => Err(ApiError::bad(format!("{name} must be a number"))),
        },
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Entry {
    r#type: &'static str,
    help: String,
    unit: String,
}

/// Metadata by metric name.
pub(super) async fn metadata(call: Call) -> Answer {
    let limit = number(&call, "limit")?;
    let per_metric = number(&call, "limit_per_metric")?.filter(|n| *n > 0);
    let metric = call.params.get("metric");
    let mut all: BTreeMap<String, BTreeSet<Entry>> = BTreeMap::new();
    if let Some(s) = call.api.scraper() {
        s.visit_metadata(&mut |_, family, m| {
            if !metric.is_empty() && family != metric {
                return;
            }
            if !all.contains_key(family) && limit.is_some_and(|l| all.len() >= l) {
                return;
            }
            let entries = all.entry(family.to_owned()).or_default();
            if per_metric.is_none_or(|l| entries.len() < l) {
                entries.insert(Entry {
                    r#type: m.kind.as_str(),
                    help: m.help.clone(),
                    unit: m.unit.clone(),
                });
            }
        });
    }
    Ok(Reply::data(&all))
}

/// Metadata by target.
pub(super) async fn of_targets(call: Call) -> Answer {
    let limit = number(&call, "limit")?.unwrap_or(usize::MAX);
    let metric = call.params.get("metric");
    let matchers = match call.params.get("match_target") {
        "" => Vec::new(),
        text => selector::parse(text).map_err(|e| ApiError::parameter("match_target", e))?,
    };
    let mut all: Vec<(Labels, String, Entry)> = Vec::new();
    if let Some(s) = call.api.scraper() {
        s.visit_metadata(&mut |target, family, m| {
            let wanted = metric.is_empty() || family == metric;
            if all.len() < limit && wanted && Matcher::all_match(&matchers, target) {
                let entry = Entry {
                    r#type: m.kind.as_str(),
                    help: m.help.clone(),
                    unit: m.unit.clone(),
                };
                all.push((target.clone(), family.to_owned(), entry));
            }
        });
    }
    #[derive(Serialize)]
    struct Row<'a> {
        target: JsonLabels<'a>,
        #[serde(skip_serializing_if = "str::is_empty")]
        metric: &'a str,
        r#type: &'static str,
        help: &'a str,
        unit: &'a str,
    }
    let rows = all.iter().map(|(target, family, e)| Row {
        target: JsonLabels(target),
        metric: if metric.is_empty() { family } else { "" },
        r#type: e.r#type,
        help: &e.help,
        unit: &e.unit,
    });
    Ok(Reply::data(&rows.collect::<Vec<_>>()))
}
