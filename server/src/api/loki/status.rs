//! Status pages and what other programs ask first.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::{JSON, store_of, text, yaml};
use crate::api::encode::to_vec;
use crate::api::{Api, BuildInfo, Phase};
use crate::http::{empty, plain};

fn json(value: &serde_json::Value) -> Response {
    let mut r = text(String::from_utf8_lossy(&to_vec(value)).into_owned());
    r.headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    r
}

/// `/ready`.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    match api.phase() {
        Phase::Ready => text("ready\n"),
        _ => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "Ingester not ready: starting\n",
        ),
    }
}

/// `/services`.
pub(super) async fn services() -> Response {
    let names = [
        "server",
        "store",
        "ingester",
        "distributor",
        "querier",
        "compactor",
    ];
    let lines: String = names.iter().map(|n| format!("{n} => Running\n")).collect();
    text(lines)
}

/// Which configuration is shown.
#[derive(serde::Deserialize)]
pub(super) struct ConfigQuery {
    #[serde(default)]
    mode: String,
}

/// `/config`: what was read; the modes of the original show less or more of the same.
pub(super) async fn config(
    State(api): State<Arc<Api>>,
    Query(query): Query<ConfigQuery>,
) -> Response {
    let c = &api.logs.config;
    let empty_document = serde_json::json!({});
    let document = match query.mode.as_str() {
        "defaults" => &empty_document,
        _ => &c.document,
    };
    let mut all = serde_json::json!({
        "auth_enabled": c.auth_enabled,
        "server": {"http_listen_address": c.listen_address, "http_listen_port": c.listen_port},
    });
    if let (Some(all), Some(given)) = (all.as_object_mut(), document.as_object()) {
        if query.mode == "diff" {
            all.clear();
        }
        for (k, v) in given {
            all.insert(k.clone(), v.clone());
        }
    }
    yaml(crate::config::render_yaml(&all))
}

/// `/loki/api/v1/status/buildinfo`.
pub(super) async fn build() -> Response {
    json(&serde_json::json!({
        "version": BuildInfo::VERSION,
        "revision": BuildInfo::REVISION,
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": BuildInfo::TOOLCHAIN,
    }))
}

/// `/loki/api/v1/drilldown-limits`: needs a tenant even without multi-tenancy, as the original.
pub(super) async fn drilldown_limits(
    State(api): State<Arc<Api>>,
    headers: hyper::HeaderMap,
) -> Response {
    let Some(name) = headers.get("x-scope-orgid").and_then(|v| v.to_str().ok()) else {
        return plain(StatusCode::UNAUTHORIZED, "no org id");
    };
    let l = api.logs.limits(name);
    json(&serde_json::json!({
        "limits": {
            "discover_log_levels": l.discover_levels,
            "discover_service_name": l.service_names,
            "max_entries_limit_per_query": l.max_entries,
            "max_query_series": l.max_query_series,
            "retention_period": format!("{}s", l.retention_ms / 1000),
            "volume_enabled": l.volume_enabled,
            "volume_max_series": l.volume_max_series,
        },
        "pattern_ingester_enabled": api.logs.config.patterns,
        "version": BuildInfo::VERSION,
    }))
}

/// `/log_level`, read.
pub(super) async fn log_level(State(api): State<Arc<Api>>) -> Response {
    let configured = || api.logs.config.log_level.clone();
    let level = crate::telemetry::log::level();
    let level = level.map_or_else(configured, |l| l.to_string().to_lowercase());
    json(&serde_json::json!({"message": format!("Current log level is {level}")}))
}

/// `/log_level`, changed by the parameter `log_level`.
pub(super) async fn set_log_level(ask: super::Ask) -> super::Answer {
    let given = ask.params.get("log_level");
    let known = ["debug", "info", "warn", "error"].contains(&given);
    let level = given.parse::<tracing::Level>().ok().filter(|_| known);
    let changed = level.is_some_and(crate::telemetry::log::set_level);
    let (status, told) = if changed {
        let message = format!("Log level set to {given}");
        (
            StatusCode::OK,
            serde_json::json!({"status": "success", "message": message}),
        )
    } else {
        let message = format!("unrecognized log level {given:?}: debug, info, warn or error");
        (
            StatusCode::BAD_REQUEST,
            serde_json::json!({"status": "failed", "message": message}),
        )
    };
    let mut r = json(&told);
    *r.status_mut() = status;
    Ok(super::Said::Raw(r))
}

/// `/flush`.
pub(super) async fn flush(State(api): State<Arc<Api>>) -> Response {
    let store = match store_of(&api) {
        Ok(s) => s,
        Err(e) => return e.into_response(),
    };
    match tokio::task::spawn_blocking(move || store.logs.flush()).await {
        Ok(Ok(())) => empty(StatusCode::NO_CONTENT),
        Ok(Err(e)) => plain(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"),
    }
}

/// `/ring`: one member.
pub(super) async fn ring() -> Response {
    let mut r = text(
        "<!DOCTYPE html><html><head><title>Ring Status</title></head><body><h1>Ring Status</h1>\
         <table><tr><th>Instance ID</th><th>State</th></tr>\
         <tr><td>sextant</td><td>ACTIVE</td></tr></table></body></html>\n",
    );
    r.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    r
}
