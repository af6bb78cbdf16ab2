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
use crate::ingest::LogService;

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

/// A request that waits to be carried out.
const RECEIVED: &str = "received";
/// A request whose lines are gone.
const PROCESSED: &str = "processed";

impl Request {
    /// It can no longer be taken back, and its lines are to leave the disk.
    fn is_due(&self, service: &LogService, now_ms: i64) -> bool {
        let name = match self.user_id.as_str() {
            "" => super::NO_TENANT,
            name => name,
        };
        let age_ms = now_ms as f64 - self.created_at * 1000.0;
        self.status == RECEIVED
            && age_ms >= service.config.delete_cancel_ms as f64
            && service.limits(name).deletion_mode == "filter-and-delete"
    }
}

/// Puts the kept requests of every tenant in force; called once the store is open.
pub(super) fn in_force(service: &LogService, store: &Store) {
    let mut tenants: Vec<u32> = all(store, None).iter().map(|r| r.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    for t in tenants {
        apply(service, store, TenantId(t));
    }
}

/// Carries out the requests that can no longer be taken back: rewrites what holds their lines and
/// notes that. Cost: decoding and encoding those parts.
///
/// # Errors
/// Why lines are still there; the request is tried again.
pub(super) fn carry_out(service: &LogService, store: &Store) -> Result<usize, String> {
    let now_ms = params::now() / 1_000_000;
    let requests = all(store, None).into_iter();
    let mut due: Vec<Request> = requests.filter(|r| r.is_due(service, now_ms)).collect();
    if due.is_empty() {
        return Ok(0);
    }
    // What is in memory is not looked at by a purge.
    store.logs.flush().map_err(|e| e.to_string())?;
    let mut tenants: Vec<u32> = due.iter().map(|r| r.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    for t in tenants.iter().map(|t| TenantId(*t)) {
        apply(service, store, t);
        store.logs.purge(t).map_err(|e| e.to_string())?;
    }
    for r in &mut due {
        r.status = PROCESSED.into();
        let value = serde_json::to_vec(r).map_err(|e| e.to_string())?;
        let key = key(TenantId(r.tenant), &r.request_id);
        let put = store.state.put(TABLE, &key, &value);
        put.map_err(|e| e.to_string())?;
    }
    // Lines that come later with such times are no longer meant.
    for t in tenants {
        apply(service, store, TenantId(t));
    }
    Ok(due.len())
}

fn apply(service: &LogService, store: &Store, tenant: TenantId) {
    let now_ms = params::now() / 1_000_000;
    let requests = all(store, Some(tenant));
    let waiting = requests.iter().filter(|r| r.status == RECEIVED);
    let deletions = waiting.filter_map(|r| {
        let expr = ::query::logql::parse_log(&r.query).ok()?;
        Some(Deletion {
            test: deletion_test(&expr.stages).ok()?,
            matchers: expr.matchers,
            from: (r.start_time * 1e9) as i64,
            to: (r.end_time * 1e9) as i64,
            is_final: r.is_due(service, now_ms),
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
        status: RECEIVED.into(),
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
    let service = Arc::clone(&ask.api.logs);
    super::in_background(&ask.api, move |_| {
        let value = serde_json::to_vec(&request).unwrap_or_default();
        let key = key(tenant, &request.request_id);
        let put = store.state.put(TABLE, &key, &value);
        put.map_err(|e| Fault::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
        apply(&service, &store, tenant);
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
    if request.status != RECEIVED {
        return Err(Fault::bad(
            "deletion of request which is in process or already processed is not allowed",
        ));
    }
    let age_ms = params::now() as f64 / 1e6 - request.created_at * 1000.0;
    let force = ask.params.get("force") == "true";
    if age_ms > ask.api.logs.config.delete_cancel_ms as f64 && !force {
        return Err(Fault::bad(
            "deletion of request past the deadline is not allowed",
        ));
    }
    let (store, tenant) = (ask.store.clone(), ask.tenant.id);
    let service = Arc::clone(&ask.api.logs);
    super::in_background(&ask.api, move |_| {
        let removed = store.state.remove(TABLE, &key(tenant, &id));
        removed.map_err(|e| Fault::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
        apply(&service, &store, tenant);
        Ok(())
    })
    .await?;
    Ok(Said::Nothing)
}
