//! Prometheus' HTTP interface, one file per endpoint family.
//!
//! Owns: the routes below `/api/v1`, `/-/`, `/federate`, `/metrics`, `/version`.
//! Knows nothing of: other interfaces of the family, which have rooms of their own.

mod admin;
mod features;
mod federate;
mod labels;
pub(crate) mod language;
mod lifecycle;
mod metadata;
mod metrics;
pub(in crate::api) use metrics::metrics as own_metrics;
mod notifications;
mod openapi;
mod otlp;
mod query;
mod query_active;
pub(crate) use query_active::ActiveQueries;
mod read;
mod rules;
pub(crate) use rules::{RuleFilter, alert_bodies, group_bodies};
mod selector;
pub(crate) use selector::parse as parse_selector;
mod status;
mod storage_metrics;
mod targets;
mod time;
pub(crate) use time::parse as parse_time;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get as axum_get, post as axum_post};
use hyper::StatusCode;

use super::Api;
use super::call::{Gate, RouteNames, count, gate, get, get_or_post, post_or_put};
use crate::http::plain;

/// Every route, for metrics. A route that is missing here is counted under `/`.
const ROUTES: &[&str] = &[
    "/",
    "/-/healthy",
    "/-/ready",
    "/-/reload",
    "/-/quit",
    "/metrics",
    "/version",
    "/federate",
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_exemplars",
    "/api/v1/format_query",
    "/api/v1/parse_query",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/label/{name}/values",
    "/api/v1/metadata",
    "/api/v1/targets",
    "/api/v1/targets/metadata",
    "/api/v1/targets/relabel_steps",
    "/api/v1/scrape_pools",
    "/api/v1/scrape_pools/config",
    "/api/v1/alertmanagers",
    "/api/v1/rules",
    "/api/v1/alerts",
    "/api/v1/status/config",
    "/api/v1/status/flags",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/buildinfo",
    "/api/v1/status/tsdb",
    "/api/v1/status/tsdb/blocks",
    "/api/v1/status/walreplay",
    "/api/v1/status/self_metrics",
    "/api/v1/features",
    "/api/v1/notifications",
    "/api/v1/notifications/live",
    "/api/v1/openapi.yaml",
    "/api/v1/admin/tsdb/snapshot",
    "/api/v1/admin/tsdb/delete_series",
    "/api/v1/admin/tsdb/clean_tombstones",
    "/api/v1/write",
    "/api/v1/read",
    "/api/v1/otlp/v1/metrics",
];

/// Patterns with the names under which they are counted.
fn names_of_routes() -> Vec<(&'static str, &'static str)> {
    let named = ROUTES.iter().map(|r| match *r {
        "/api/v1/label/{name}/values" => (*r, "/api/v1/label/:name/values"),
        r => (r, r),
    });
    named.collect()
}

fn api_v1() -> Router<Arc<Api>> {
    Router::new()
        .route("/query", get_or_post(query::instant))
        .route("/query_range", get_or_post(query::range))
        .route("/query_exemplars", get_or_post(query::exemplars))
        .route("/format_query", get_or_post(query::format))
        .route("/parse_query", get_or_post(query::tree))
        .route("/series", get_or_post(labels::series))
        .route("/labels", get_or_post(labels::names))
        .route("/label/{name}/values", get(labels::values))
        .route("/metadata", get(metadata::metadata))
        .route("/targets", get(targets::targets))
        .route("/targets/metadata", get(metadata::of_targets))
        .route("/targets/relabel_steps", get(targets::relabel_steps))
        .route("/scrape_pools", get(targets::pools))
        .route("/scrape_pools/config", get(targets::pool_config))
        .route("/alertmanagers", get(rules::alertmanagers))
        .route("/rules", get(rules::rules))
        .route(
            "/alerts",
            get(rules::alerts).merge(super::alertmanager::v1_post_route()),
        )
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/runtimeinfo", get(status::runtime))
        .route("/status/buildinfo", get(status::build))
        .route("/status/tsdb", get(status::tsdb))
        .route("/status/tsdb/blocks", get(status::blocks))
        .route("/status/walreplay", get(status::wal_replay))
        .route("/status/self_metrics", get(metrics::self_metrics))
        .route("/features", get(features::features))
        .route("/notifications", get(notifications::list))
        .route("/notifications/live", axum_get(notifications::live))
        .route("/openapi.yaml", get(openapi::document))
        .route("/admin/tsdb/snapshot", post_or_put(admin::snapshot))
        .route(
            "/admin/tsdb/delete_series",
            post_or_put(admin::delete_series),
        )
        .route(
            "/admin/tsdb/clean_tombstones",
            post_or_put(admin::clean_tombstones),
        )
        .route("/write", axum_post(write::write))
        .route("/read", axum_post(read::read))
        .route("/otlp/v1/metrics", axum_post(otlp::write))
}

/// All routes, behind the gate.
///
/// # Errors
/// When an option cannot be used.
pub(crate) fn router(api: &Arc<Api>) -> Result<Router, String> {
    let names = Arc::new(RouteNames::new(api, &names_of_routes()));
    let routes = Router::new()
        .nest("/api/v1", api_v1())
        .route("/", axum_get(status::home))
        .route("/metrics", axum_get(metrics::metrics))
        .route("/version", axum_get(status::version))
        .route("/federate", axum_get(federate::federate))
        .route("/-/healthy", axum_get(lifecycle::healthy))
        .route("/-/ready", axum_get(lifecycle::ready))
        .route("/-/reload", lifecycle::reload_route())
        .route("/-/quit", lifecycle::quit_route())
        .route_layer(from_fn_with_state(names, count))
        .merge(super::loki::routes())
        .merge(super::alertmanager::routes())
        .with_state(api.clone());
    let prefix = api.options.route_prefix.as_str();
    let routes = if prefix.is_empty() {
        routes
    } else {
        Router::new().nest(prefix, routes)
    };
    let gated = Arc::new(Gate::new(api.clone())?);
    Ok(routes
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "404 page not found\n") })
        .layer(from_fn_with_state(gated, gate)))
}
