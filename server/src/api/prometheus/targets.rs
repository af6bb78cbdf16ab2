//! `/targets`, `/scrape_pools`.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::model::Labels;
use serde::Serialize;
use serde_json::json;

use crate::api::call::{Answer, Call, Reply};
use crate::api::encode::JsonLabels;
use crate::api::error::ApiError;
use crate::api::state::rfc3339;
use crate::config::PromDuration;
use crate::relabel::Relabel;
use crate::scrape::{DroppedTarget, Health, PoolView, TargetView};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Active<'a> {
    discovered_labels: JsonLabels<'a>,
    labels: JsonLabels<'a>,
    scrape_pool: &'a str,
    scrape_url: &'a str,
    global_url: String,
    last_error: &'a str,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dropped<'a> {
    discovered_labels: JsonLabels<'a>,
    scrape_pool: &'a str,
}

/// How Go writes a time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn active<'a>(t: &'a TargetView, external: &str) -> Active<'a> {
    let at = jiff::Timestamp::from_millisecond(t.last_scrape_ms).unwrap_or_default();
    let shown = |d: Duration| {
        PromDuration::from_ms(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)).to_string()
    };
    Active {
        discovered_labels: JsonLabels(&t.discovered),
        labels: JsonLabels(&t.labels),
        scrape_pool: &t.pool,
        scrape_url: &t.url,
        global_url: global_url(&t.url, external),
        last_error: &t.last_error,
        last_scrape: if t.last_scrape_ms == 0 {
            NEVER.into()
        } else {
            rfc3339(at)
        },
        last_scrape_duration: t.last_seconds,
        health: Health::as_str(t.health),
        scrape_interval: shown(t.interval),
        scrape_timeout: shown(t.timeout),
    }
}

/// The target's URL for somebody elsewhere: our own host by its outside name.
fn global_url(url: &str, external: &str) -> String {
    let (Ok(mut target), Ok(external)) = (url::Url::parse(url), url::Url::parse(external)) else {
        return url.to_owned();
    };
    let local = matches!(
        target.host_str(),
        Some("localhost" | "127.0.0.1" | "[::1]" | "::1")
    );
    if local && target.set_host(external.host_str()).is_err() {
        return url.to_owned();
    }
    target.to_string()
}

/// Targets by state.
pub(super) async fn targets(call: Call) -> Answer {
    let state = call.params.get("state").to_ascii_lowercase();
    let pool = call.params.get("scrapePool");
    let shows = |s: &str| matches!(state.as_str(), "" | "any") || state == s;
    let wanted = |p: &str| pool.is_empty() || pool == p;
    let scraper = call.api.scraper();
    let mut all: Vec<TargetView> = Vec::new();
    let mut gone: Vec<DroppedTarget> = Vec::new();
    let mut counts = None;
    if let Some(s) = &scraper {
        if shows("active") {
            all = s.targets();
            all.retain(|t| wanted(&t.pool));
        }
        if shows("dropped") {
            gone = s.dropped();
            gone.retain(|t| wanted(&t.pool));
            let pools = s.pools().into_iter().filter(|p| wanted(&p.name));
            let by_name: BTreeMap<String, usize> =
                pools.map(|p: PoolView| (p.name, p.dropped)).collect();
            counts = Some(by_name);
        }
    }
    let external = &call.api.options.external_url;
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Targets<'a> {
        active_targets: Vec<Active<'a>>,
        dropped_targets: Vec<Dropped<'a>>,
        dropped_target_counts: Option<BTreeMap<String, usize>>,
    }
    Ok(Reply::data(&Targets {
        active_targets: all.iter().map(|t| active(t, external)).collect(),
        dropped_targets: gone
            .iter()
            .map(|t| Dropped {
                discovered_labels: JsonLabels(&t.discovered),
                scrape_pool: &t.pool,
            })
            .collect(),
        dropped_target_counts: counts,
    }))
}

/// Names of the jobs that are scraped.
pub(super) async fn pools(call: Call) -> Answer {
    let pools = call.api.scraper().map_or(Vec::new(), |s| s.pools());
    let mut names: Vec<String> = pools.into_iter().map(|p: PoolView| p.name).collect();
    names.sort_unstable();
    Ok(Reply::data(&json!({ "scrapePools": names })))
}

/// The job that a call names.
fn pool_name(call: &Call) -> Result<&str, ApiError> {
    match call.params.get("scrapePool") {
        "" => Err(ApiError::bad("no scrapePool parameter provided")),
        name => Ok(name),
    }
}

fn no_pool(name: &str) -> ApiError {
    ApiError::bad(format!("scrape pool {name:?} not found"))
}

/// One job's configuration.
pub(super) async fn pool_config(call: Call) -> Answer {
    let name = pool_name(&call)?;
    let yaml = call.api.config.load().render_job(name);
    let yaml = yaml.ok_or_else(|| no_pool(name))?;
    Ok(Reply::data(&json!({ "yaml": yaml })))
}

/// What each rule of a job does with a label set.
pub(super) async fn relabel_steps(call: Call) -> Answer {
    let name = pool_name(&call)?;
    let parsed = serde_json::from_str::<BTreeMap<String, String>>(call.params.get("labels"));
    let parsed = parsed.map_err(|e| ApiError::bad(format!("error parsing labels: {e}")))?;
    let config = call.api.config.load();
    let job = config.jobs.iter().find(|j| j.job_name == name);
    let job = job.ok_or_else(|| no_pool(name))?;
    let legacy = job.metric_name_validation_scheme == "legacy";
    let compiled = Relabel::compile(&job.relabel_configs, legacy);
    let compiled = compiled.map_err(|e| ApiError::bad(e.to_string()))?;
    let outputs = compiled.steps(&Labels::from_pairs(parsed));
    let steps: Vec<_> = job
        .relabel_configs
        .iter()
        .zip(&outputs)
        .map(|(rule, (output, keep))| {
            json!({ "rule": rule, "output": JsonLabels(output), "keep": keep })
        })
        .collect();
    Ok(Reply::data(&json!({ "steps": steps })))
}

#[cfg(test)]
mod tests {
    use super::global_url;

    #[test]
    fn own_hosts_get_their_outside_name() {
        for (url, want) in [
            (
                "http://localhost:9090/metrics",
                "http://outside:9090/metrics",
            ),
            (
                "http://127.0.0.1:9100/metrics?a=b",
                "http://outside:9100/metrics?a=b",
            ),
            ("http://other:1/x", "http://other:1/x"),
        ] {
            assert_eq!(global_url(url, "http://outside:9090"), want);
        }
    }
}
