//! `/delete`: requests to make lines disappear.
//!
//! Requests are kept in the state table [`TABLE`]; the store hides what they name at once.

use std::sync::Arc;

use ::query::logql::stages::deletion_test;
use axum::routing::{MethodFilter, MethodRouter};
use engine::logs::Deletion;
use engine::model::TenantId;
use engine::store::Store;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde::{Deserialize, Serialize};

use super::{Answer, Api, Ask, Fault, Said, params};

const TABLE: &str = "log_deletes";

/// A request as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Request {
    request_id: String,
    /// Seconds.
    start_time: f64,
    /// Seconds.
    end_time: f64,
    query: String,
    status: String,
    /// Seconds.
    created_at: f64,
    user_id: String,
    /// Number of the tenant; not shown.
    #[serde(default)]
    tenant: u32,
}

fn all(store: &Store, tenant: Option<TenantId>) -> Vec<Request> {
    let rows = store.state.list(TABLE);
    let parsed = rows
        .iter()
        .filter_map(|(_, v)| serde_json::from_slice::<Request>(v).ok());
    parsed
        .filter(|r| tenant.is_none_or(|t| t.0 == r.tenant))
        .collect()
}

/// Puts the kept requests of every tenant in force; called once the store is open.
pub(crate) fn in_force(store: &Store) {
    let mut tenants: Vec<u32> = all(store, None).iter().map(|r| r.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    for t in tenants {
        apply(store, TenantId(t));
    }
}

fn apply(store: &Store, tenant: TenantId) {
    let requests = all(store, Some(tenant));
    let deletions = requests.iter().filter_map(|r| {
        let expr = ::query::logql::parse_log(&r.query).ok()?;
        Some(Deletion {
            test: deletion_test(&expr.stages).ok()?,
            matchers: expr.matchers,
            from: (r.start_time * 1e9) as i64,
            to: (r.end_time * 1e9) as i64,
        })
    });
    store.logs.set_deletions(tenant, deletions.collect());
}

/// The route for all methods.
pub(super) fn route() -> MethodRouter<Arc<Api>> {
    super::route(MethodFilter::GET, list)
        .merge(super::route(
            MethodFilter::POST.or(MethodFilter::PUT),
            create,
        ))
        .merge(super::route(MethodFilter::DELETE, cancel))
}

/// Deletion is there when retention and a store for requests are configured.
fn enabled(ask: &Ask) -> Result<(), Fault> {
    let c = &ask.api.logs.config;
    if !c.retention_enabled {
        return Err(Fault::bad("Retention is not enabled"));
    }
    if ask.limits().deletion_mode == "disabled" {
        return Err(Fault::new(
            StatusCode::FORBIDDEN,
            "deletion is not available for this tenant",
        ));
    }
    Ok(())
}

/// A time of this call: RFC 3339 or Unix seconds.
fn time(text: &str, what: &str) -> Result<f64, Fault> {
    if let Some(s) = ::query::text::float::parse_float(text) {
        return Ok(s);
    }
    let t: Result<jiff::Timestamp, _> = text.parse();
    t.map(|t| t.as_nanosecond() as f64 / 1e9).map_err(|_| {
        Fault::bad(format!(
            "invalid {what} time: require unix seconds or RFC3339 format"
        ))
    })
}

async fn create(ask: Ask) -> Answer {
    enabled(&ask)?;
    let query = ask.params.get("query").to_owned();
    if query.is_empty() {
        return Err(Fault::bad("query not set"));
    }
    let invalid = |_| Fault::bad("invalid query expression");
    let expr = ::query::logql::parse_log(&query).map_err(invalid)?;
    deletion_test(&expr.stages).map_err(invalid)?;
    let now = params::now() as f64 / 1e9;
    let start = match ask.params.get("start") {
        "" => return Err(Fault::bad("start time not set")),
        t => time(t, "start")?,
    };
    let end = match ask.params.get("end") {
        "" => now,
        t => time(t, "end")?,
    };
    if end > now + 1.0 {
        return Err(Fault::bad("deletes in future not allowed"));
    }
    if start > end {
        return Err(Fault::bad("start time can't be greater than end time"));
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let request = Request {
        request_id: id.get(..8).unwrap_or(&id).to_owned(),
        start_time: start,
        end_time: end,
        query,
        status: "received".into(),
        created_at: (now * 1000.0).floor() / 1000.0,
        user_id: if ask.api.logs.config.auth_enabled {
            ask.tenant.name.clone()
        } else {
            String::new()
        },
        tenant: ask.tenant.id.0,
    };
    let header = HeaderValue::from_str(&request.request_id);
    let (store, tenant) = (ask.store.clone(), ask.tenant.id);
    super::in_background(&ask.api, move |_| {
        let value = serde_json::to_vec(&request).unwrap_or_default();
        let key = key(tenant, &request.request_id);
        let put = store.state.put(TABLE, &key, &value);
        put.map_err(|e| Fault::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
        apply(&store, tenant);
        Ok(())
    })
    .await?;
    let mut r = crate::http::empty(StatusCode::NO_CONTENT);
    if let Ok(v) = header {
        r.headers_mut().insert("x-delete-request-id", v);
    }
    Ok(Said::Raw(r))
}

fn key(tenant: TenantId, id: &str) -> Vec<u8> {
    let mut key = tenant.0.to_be_bytes().to_vec();
    key.extend_from_slice(id.as_bytes());
    key
}

async fn list(ask: Ask) -> Answer {
    enabled(&ask)?;
    let mut found = all(&ask.store, Some(ask.tenant.id));
    found.sort_by(|a, b| a.created_at.total_cmp(&b.created_at));
    let shown: Vec<serde_json::Value> = found
        .iter()
        .filter_map(|r| {
            let mut v = serde_json::to_value(r).ok()?;
            v.as_object_mut()?.remove("tenant");
            Some(v)
        })
        .collect();
    Ok(Said::bare(&shown))
}

async fn cancel(ask: Ask) -> Answer {
    enabled(&ask)?;
    let id = ask.params.get("request_id").to_owned();
    let found = all(&ask.store, Some(ask.tenant.id));
    let Some(request) = found.iter().find(|r| r.request_id == id) else {
        return Err(Fault::new(
            StatusCode::NOT_FOUND,
            "could not find delete request with given id",
        ));
    };
    let age_ms = params::now() as f64 / 1e6 - request.created_at * 1000.0;
    let force = ask.params.get("force") == "true";
    if age_ms > ask.api.logs.config.delete_cancel_ms as f64 && !force {
        return Err(Fault::bad(
            "deletion of request past the deadline is not allowed",
        ));
    }
    let (store, tenant) = (ask.store.clone(), ask.tenant.id);
    super::in_background(&ask.api, move |_| {
        let removed = store.state.remove(TABLE, &key(tenant, &id));
        removed.map_err(|e| Fault::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
        apply(&store, tenant);
        Ok(())
    })
    .await?;
    Ok(Said::Nothing)
}
