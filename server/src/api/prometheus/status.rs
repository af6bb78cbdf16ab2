//! `/status/*`, `/version` and the page at `/`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::response::Response;
use engine::metrics::Cardinality;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::json;

use super::labels::blocking;
use crate::api::call::{Answer, Call, Reply};
use crate::api::encode::to_vec;
use crate::api::error::ApiError;
use crate::api::state::rfc3339;
use crate::api::{Api, BuildInfo};
use crate::http::plain;

/// The configuration in force.
pub(super) async fn config(call: Call) -> Answer {
    let yaml = call.api.config.load().render();
    Ok(Reply::data(&json!({ "yaml": yaml })))
}

/// The command line in force.
pub(super) async fn flags(call: Call) -> Answer {
    Ok(Reply::data(&call.api.flags))
}

/// The process.
pub(super) async fn runtime(call: Call) -> Answer {
    let api = &call.api;
    let cwd = std::env::current_dir().unwrap_or_default();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    Ok(Reply::data(&json!({
        "startTime": rfc3339(api.started),
        "CWD": cwd.to_string_lossy(),
        "hostname": host.trim(),
        "serverTime": rfc3339(jiff::Timestamp::now()),
        "reloadConfigSuccess": api.reload_ok.load(Ordering::Relaxed),
        "lastConfigTime": rfc3339(**api.config_loaded.load()),
        "corruptionCount": 0,
        "goroutineCount": tasks,
        "GOMAXPROCS": threads,
        "GOMEMLIMIT": i64::MAX,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": api.options.retention_text,
    })))
}

fn build_info() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("version", BuildInfo::VERSION),
        ("revision", BuildInfo::REVISION),
        ("branch", ""),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", BuildInfo::TOOLCHAIN),
    ])
}

/// The binary.
pub(super) async fn build(_call: Call) -> Answer {
    Ok(Reply::data(&build_info()))
}

/// `/version`: the same outside the envelope.
pub(super) async fn version() -> Response {
    let text = String::from_utf8_lossy(&to_vec(&build_info())).into_owned();
    plain(StatusCode::OK, text)
}

/// `/`: what answers where.
pub(super) async fn home(State(api): State<Arc<Api>>) -> Response {
    let p = &api.options.route_prefix;
    let mut r = plain(
        StatusCode::OK,
        format!(
            "<!doctype html><meta charset=utf-8><title>Sextant</title><h1>Sextant {}</h1>\
             <ul><li><a href=\"{p}/metrics\">metrics of this server</a>\
             <li><a href=\"{p}/api/v1/targets\">targets</a>\
             <li><a href=\"{p}/api/v1/status/config\">configuration</a>\
             <li><a href=\"{p}/api/v1/status/tsdb\">storage</a>\
             <li><a href=\"{p}/api/v1/openapi.yaml\">the API</a></ul>\n",
            BuildInfo::VERSION
        ),
    );
    r.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    r
}

/// Most entries of a cardinality table.
const STATS_LIMIT_MAX: usize = 10_000;

/// Size and cardinality of the head.
pub(super) async fn tsdb(call: Call) -> Answer {
    let limit = match call.params.get("limit") {
        "" => 10,
        text => match text.parse::<usize>() {
            Ok(n) if (1..=STATS_LIMIT_MAX).contains(&n) => n,
            Ok(n) if n > STATS_LIMIT_MAX => {
                return Err(ApiError::bad(format!(
                    "limit must not exceed {STATS_LIMIT_MAX}"
                )));
            }
            _ => return Err(ApiError::bad("limit must be a positive number")),
        },
    };
    #[derive(Serialize)]
    struct Row {
        name: String,
        value: u64,
    }
    let rows = |list: Vec<Cardinality>| -> Vec<Row> {
        let rows = list.into_iter().map(|c| Row {
            name: c.name,
            value: c.value,
        });
        rows.collect()
    };
    let (db, tenant) = (call.db()?, call.api.tenant());
    let read = move || Ok::<_, ApiError>((db.head_stats(tenant), db.cardinality(tenant, limit)));
    let (head, tables) = blocking(read).await?;
    Ok(Reply::data(&json!({
        "headStats": {
            "numSeries": head.series,
            "numLabelPairs": head.label_pairs,
            "chunkCount": head.chunks,
            "minTime": head.min_t,
            "maxTime": head.max_t,
        },
        "seriesCountByMetricName": rows(tables.series_by_metric),
        "labelValueCountByLabelName": rows(tables.values_by_label),
        "memoryInBytesByLabelName": rows(tables.bytes_by_label),
        "seriesCountByLabelValuePair": rows(tables.series_by_pair),
    })))
}

/// Blocks on disk.
pub(super) async fn blocks(call: Call) -> Answer {
    let blocks = call.db()?.blocks();
    let list: Vec<_> = blocks
        .iter()
        .map(|b| {
            json!({
                "ulid": b.ulid,
                "minTime": b.min_t,
                // The family's upper bounds are exclusive.
                "maxTime": b.max_t + 1,
                "stats": {
                    "numSamples": b.stats.float_samples + b.stats.histogram_samples,
                    "numFloatSamples": b.stats.float_samples,
                    "numHistogramSamples": b.stats.histogram_samples,
                    "numSeries": b.stats.series,
                    "numChunks": b.stats.chunks,
                },
                "compaction": { "level": b.level, "sources": [b.ulid] },
                "version": 1,
            })
        })
        .collect();
    Ok(Reply::data(&json!({ "blocks": list })))
}

/// Progress of reading the log at start.
pub(super) async fn wal_replay(call: Call) -> Answer {
    let p = &call.api.replay;
    let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
    Ok(Reply::data(
        &json!({ "min": get(&p.first), "max": get(&p.last), "current": get(&p.current) }),
    ))
}
