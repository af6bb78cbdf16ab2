//! `/index/stats`, `/index/volume`, `/index/volume_range`, `/index/shards`.

use std::collections::BTreeMap;

use engine::model::{Labels, Matcher};
use hyper::StatusCode;

use super::labels::{matchers, measure, with_streams};
use super::tenants::{ManyTenants, TENANT, TenantStreams};
use super::{Answer, Ask, Fault, Said, Tenant, params};
use crate::api::encode::JsonLabels;

/// Steps of a volume answer at most: each is a look at the directories of the store.
const STEPS_MAX: i64 = 1000;

/// `/index/stats`.
pub(super) async fn stats(ask: Ask) -> Answer {
    let bounds = params::ordered_bounds(&ask.params)?;
    let matchers = query_matchers(&ask)?;
    let (streams, chunks, bytes, entries) = with_streams(&ask, matchers, bounds, |all| {
        let mut sum = (0u64, 0u64, 0u64, 0u64);
        for s in all {
            for size in measure(&s.selection) {
                sum.0 += 1;
                sum.1 += size.runs;
                sum.2 += size.bytes;
                sum.3 += size.entries;
            }
        }
        sum
    })
    .await?;
    Ok(Said::bare(&serde_json::json!({
        "streams": streams, "chunks": chunks, "bytes": bytes, "entries": entries,
    })))
}

/// The selector of `query`; a pipeline behind it does not matter here.
fn query_matchers(ask: &Ask) -> Result<Vec<Matcher>, Fault> {
    use ::query::logql::ast::Expr;
    match ::query::logql::parse_unchecked_selectors(ask.params.get("query"))? {
        Expr::Log(l) => Ok(l.matchers),
        Expr::Metric(_) => matchers(ask.params.get("query")),
    }
}

/// How volumes are added up.
#[derive(Clone)]
struct Plan {
    matchers: Vec<Matcher>,
    /// Labels that are kept.
    targets: Vec<String>,
    /// One volume for each label name instead of each combination of values.
    by_label: bool,
    limit: usize,
}

fn plan(ask: &Ask) -> Result<Plan, Fault> {
    let limits = ask.limits();
    if !limits.volume_enabled {
        return Err(Fault::new(StatusCode::NOT_FOUND, "not found"));
    }
    let matchers = matchers(ask.params.get("query"))?;
    let targets = ask.params.get("targetLabels");
    let limit = params::limit(&ask.params, "limit", 100)?;
    if limit > limits.volume_max_series.max(1) {
        return Err(Fault::bad(format!(
            "limit ({limit}) exceeds the maximum of volume_max_series ({})",
            limits.volume_max_series
        )));
    }
    let by_label = match ask.params.get("aggregateBy") {
        "" | "series" => false,
        "labels" => true,
        other => {
            return Err(Fault::bad(format!(
                "invalid aggregation option: {other:?} is none of series, labels"
            )));
        }
    };
    let mut targets: Vec<String> = if targets.is_empty() {
        let named = matchers.iter().filter(|_| !by_label);
        named.map(|m| m.name.clone()).collect()
    } else {
        targets.split(',').map(|t| t.trim().to_owned()).collect()
    };
    targets.sort_unstable();
    targets.dedup();
    Ok(Plan {
        matchers,
        targets,
        by_label,
        limit,
    })
}

impl Plan {
    /// Adds the streams of a tenant. Volumes of several tenants are added up, unless whose they
    /// are is asked for.
    fn add_all(&self, of: &TenantStreams<'_>, out: &mut BTreeMap<Labels, u64>) {
        let apart = self.targets.iter().any(|t| t == TENANT);
        for (i, size) in measure(&of.selection).iter().enumerate() {
            if apart {
                self.add(&of.labelled(i), size.bytes, out);
            } else {
                self.add(of.selection.labels(i), size.bytes, out);
            }
        }
    }

    /// Adds a stream's bytes to the volumes it belongs to.
    fn add(&self, labels: &Labels, bytes: u64, out: &mut BTreeMap<Labels, u64>) {
        let wanted = |n: &str| self.targets.is_empty() || self.targets.iter().any(|t| t == n);
        if self.by_label {
            for (n, _) in labels.iter().filter(|(n, _)| wanted(n)) {
                *out.entry(Labels::from_sorted(&[(n, "")])).or_insert(0) += bytes;
            }
            return;
        }
        let own = labels.filter(wanted);
        if !own.is_empty() {
            *out.entry(own).or_insert(0) += bytes;
        }
    }
}

/// Largest first.
fn ranked(all: BTreeMap<Labels, u64>, limit: usize) -> Vec<(Labels, u64)> {
    let mut list: Vec<(Labels, u64)> = all.into_iter().collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(limit);
    list
}

/// `/index/volume`.
pub(super) async fn volume(ask: Ask) -> Answer {
    let (start, end) = params::ordered_bounds(&ask.params)?;
    let plan = plan(&ask)?;
    let (matchers, limit) = (plan.matchers.clone(), plan.limit);
    let found = with_streams(&ask, matchers, (start, end), move |all| {
        let mut sums = BTreeMap::new();
        for s in all {
            plan.add_all(s, &mut sums);
        }
        sums
    })
    .await?;
    let at = end as f64 / 1e9;
    let result: Vec<serde_json::Value> = ranked(found, limit)
        .iter()
        .map(|(l, n)| {
            serde_json::json!({"metric": JsonLabels(l), "value": [at.floor(), n.to_string()]})
        })
        .collect();
    Ok(Said::data(&serde_json::json!({
        "resultType": "vector", "result": result, "stats": {},
    })))
}

/// `/index/volume_range`.
pub(super) async fn volume_range(ask: Ask) -> Answer {
    if ask.params.get("step").is_empty() {
        return volume(ask).await;
    }
    let (start, end) = params::ordered_bounds(&ask.params)?;
    let step = params::step(&ask.params, start, end)?;
    let steps = ((end - start) + step - 1) / step;
    if steps <= 1 {
        return volume(ask).await;
    }
    if steps > STEPS_MAX {
        return Err(Fault::bad(format!(
            "exceeded maximum resolution of {STEPS_MAX} points per time series. Try increasing the \
             value of the step parameter"
        )));
    }
    let plan = plan(&ask)?;
    let store = ask.store.clone();
    let tenants: Vec<Tenant> = ask.tenants().cloned().collect();
    let limit = plan.limit;
    let (points, totals) = super::in_background(&ask.api, move |cancel| {
        let mut points: BTreeMap<Labels, Vec<(i64, u64)>> = BTreeMap::new();
        let mut totals: BTreeMap<Labels, u64> = BTreeMap::new();
        let source = ManyTenants::new(&store.logs, &tenants);
        for k in 0..steps {
            if cancel.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
            let from = start + k * step;
            let to = (from + step).min(end);
            let mut sums = BTreeMap::new();
            for s in source.each_tenant(&plan.matchers, from, to) {
                plan.add_all(&s, &mut sums);
            }
            for (l, n) in sums {
                *totals.entry(l.clone()).or_insert(0) += n;
                points.entry(l).or_default().push((to, n));
            }
        }
        Ok((points, totals))
    })
    .await?;
    let result: Vec<serde_json::Value> = ranked(totals, limit)
        .iter()
        .filter_map(|(l, _)| {
            let values: Vec<serde_json::Value> = points
                .get(l)?
                .iter()
                .map(|(t, n)| serde_json::json!([*t as f64 / 1e9, n.to_string()]))
                .collect();
            Some(serde_json::json!({"metric": JsonLabels(l), "values": values}))
        })
        .collect();
    Ok(Said::data(&serde_json::json!({
        "resultType": "matrix", "result": result, "stats": {},
    })))
}

/// `/index/shards`: queries are not sharded by their senders here; the answer is one shard.
pub(super) async fn shards(ask: Ask) -> Answer {
    query_matchers(&ask)?;
    Ok(Said::bare(&serde_json::json!({
        "shards": [{"bounds": {"min": 0, "max": u64::MAX}, "stats": null}],
        "statistics": {},
    })))
}
