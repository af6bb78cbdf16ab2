//! `/targets`, `/scrape_pools`, `/alertmanagers`.

use serde_json::{Map, Value, json};

use crate::api::call::{Answer, Call, Reply};
use crate::api::error::ApiError;

/// Targets by state.
pub(super) async fn targets(call: Call) -> Answer {
    let state = call.params.get("state").to_ascii_lowercase();
    let shows = |s: &str| matches!(state.as_str(), "" | "any") || state == s;
    let counts = if shows("dropped") {
        let config = call.api.config.load();
        let jobs = config.jobs.iter().map(|j| (j.job_name.clone(), json!(0)));
        Value::Object(jobs.collect::<Map<_, _>>())
    } else {
        Value::Null
    };
    Ok(Reply::data(&json!({
        "activeTargets": [],
        "droppedTargets": [],
        "droppedTargetCounts": counts,
    })))
}

/// Names of the jobs.
pub(super) async fn pools(call: Call) -> Answer {
    let config = call.api.config.load();
    let mut names: Vec<&str> = config.jobs.iter().map(|j| j.job_name.as_str()).collect();
    names.sort_unstable();
    Ok(Reply::data(&json!({ "scrapePools": names })))
}

/// One job's configuration.
pub(super) async fn pool_config(call: Call) -> Answer {
    let name = call.params.get("scrapePool");
    if name.is_empty() {
        return Err(ApiError::bad("no scrapePool parameter provided"));
    }
    let yaml = call.api.config.load().render_job(name);
    let yaml = yaml.ok_or_else(|| ApiError::bad(format!("scrape pool {name:?} not found")))?;
    Ok(Reply::data(&json!({ "yaml": yaml })))
}

/// What each rule of a job does with a label set.
pub(super) async fn relabel_steps(call: Call) -> Answer {
    let name = call.params.get("scrapePool");
    if name.is_empty() {
        return Err(ApiError::bad("no scrapePool parameter provided"));
    }
    let labels = call.params.get("labels");
    let parsed = serde_json::from_str::<std::collections::BTreeMap<String, String>>(labels);
    parsed.map_err(|e| ApiError::bad(format!("error parsing labels: {e}")))?;
    let config = call.api.config.load();
    if !config.jobs.iter().any(|j| j.job_name == name) {
        return Err(ApiError::bad(format!("scrape pool {name:?} not found")));
    }
    Ok(Reply::data(&json!({ "steps": [] })))
}

/// Where alerts are sent.
pub(super) async fn alertmanagers(_call: Call) -> Answer {
    Ok(Reply::data(&json!({
        "activeAlertmanagers": [],
        "droppedAlertmanagers": [],
    })))
}
