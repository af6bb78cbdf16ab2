//! Loki's HTTP interface, one file per endpoint family.
//!
//! Owns: the routes below `/loki/api/v1`, `/api/prom`, `/otlp/v1/logs` and Loki's status pages;
//! tenants, parameters, plain-text errors.
//! Knows nothing of: how lines are stored, what a query does.
//!
//! Invariants
//! - LK1  An error is a plain text with its status; only `format_query` answers JSON for one.
//! - LK2  Without multi-tenancy the tenant header changes nothing.

mod deletion;
mod detected;
mod format;
mod index;
mod labels;
mod outbox;
mod params;
mod patterns;
mod push;
mod query;
mod rules;
mod status;
mod tail;
mod tenants;
pub(crate) mod upkeep;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, get as axum_get, post as axum_post};
use engine::model::TenantId;
use engine::store::Store;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use super::Api;
use super::call::{self, Received};
use super::encode::to_vec;
use crate::config::loki::TenantLimits;
use crate::http::{ChunkSource, Coding, Params, finish, plain};
use crate::ingest::Refused;

/// The tenant of a server without tenants.
const NO_TENANT: &str = "fake";
/// Tenants that one query may name.
const TENANTS_MAX: usize = 100;
/// The type of answers.
const JSON: &str = "application/json; charset=UTF-8";

/// An error on its way out (LK1).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    status: StatusCode,
    text: String,
}

impl Fault {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    fn into_response(self) -> Response {
        plain(self.status, self.text)
    }
}

impl From<Refused> for Fault {
    fn from(r: Refused) -> Self {
        let status = StatusCode::from_u16(r.status);
        Self::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), r.text)
    }
}

impl From<::query::logql::ParseError> for Fault {
    fn from(e: ::query::logql::ParseError) -> Self {
        Self::bad(e.to_string())
    }
}

/// Whose data a request is about.
#[derive(Debug, Clone)]
struct Tenant {
    id: TenantId,
    name: String,
}

/// A request as handlers see it.
struct Ask {
    api: Arc<Api>,
    store: Arc<Store>,
    params: Params,
    path: String,
    headers: HeaderMap,
    tenant: Tenant,
    /// More tenants, where a query may name several.
    others: Vec<Tenant>,
}

impl Ask {
    fn new(r: Received, many: bool) -> Result<Self, Fault> {
        let store = store_of(&r.api)?;
        let (tenant, others) = if many {
            readers(&r.api, &store, &r.headers)?
        } else {
            (reader(&r.api, &store, &r.headers)?, Vec::new())
        };
        Ok(Self {
            store,
            params: r.params,
            path: r.path,
            headers: r.headers,
            tenant,
            others,
            api: r.api,
        })
    }

    /// Limits of the tenant; of several tenants the strictest.
    fn limits(&self) -> Arc<TenantLimits> {
        let first = self.api.logs.limits(&self.tenant.name);
        if self.others.is_empty() {
            return first;
        }
        let others = self.others.iter().map(|t| self.api.logs.limits(&t.name));
        Arc::new(others.fold((*first).clone(), |all, l| all.strictest(&l)))
    }

    /// Everyone whose data is asked for.
    fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        std::iter::once(&self.tenant).chain(&self.others)
    }
}

/// What a handler answers.
enum Said {
    Nothing,
    Json(Vec<u8>),
    Stream(Box<dyn ChunkSource>),
    Raw(Response),
}

impl Said {
    /// `{"status":"success","data":...}`
    fn data<T: serde::Serialize + ?Sized>(data: &T) -> Self {
        let mut body = b"{\"status\":\"success\",\"data\":".to_vec();
        body.extend_from_slice(&to_vec(data));
        body.push(b'}');
        Self::Json(body)
    }

    /// JSON without the envelope.
    fn bare<T: serde::Serialize + ?Sized>(data: &T) -> Self {
        Self::Json(to_vec(data))
    }
}

type Answer = Result<Said, Fault>;

/// The tenant a request names (LK2).
fn tenant_name(api: &Api, headers: &HeaderMap) -> Result<String, Fault> {
    let mut names = tenant_names(api, headers)?;
    match names.pop() {
        Some(name) if names.is_empty() => Ok(name),
        _ => Err(Fault::bad("multiple org IDs present")),
    }
}

/// The tenants a request names, `a|b`, each once (LK2).
fn tenant_names(api: &Api, headers: &HeaderMap) -> Result<Vec<String>, Fault> {
    if !api.logs.config.auth_enabled {
        return Ok(vec![NO_TENANT.to_owned()]);
    }
    let given = headers
        .get("x-scope-orgid")
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    if given.is_empty() {
        return Err(Fault::new(StatusCode::UNAUTHORIZED, "no org id"));
    }
    let mut names = Vec::new();
    for n in given.split('|') {
        let path = n.contains(['/', '\\']) || n == "." || n == "..";
        if n.is_empty() || n.len() > 150 || path {
            return Err(Fault::bad("tenant ID is not valid"));
        }
        names.push(n.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    if names.len() > TENANTS_MAX {
        return Err(Fault::bad(format!(
            "too many tenants in one query: {} > {TENANTS_MAX}",
            names.len()
        )));
    }
    Ok(names)
}

/// The stores, or why there are none.
fn store_of(api: &Api) -> Result<Arc<Store>, Fault> {
    let not_ready = || Fault::new(StatusCode::SERVICE_UNAVAILABLE, "the log store is not open");
    api.store().ok_or_else(not_ready)
}

/// The tenant of a read: one that has never written has nothing.
fn reader(api: &Api, store: &Store, headers: &HeaderMap) -> Result<Tenant, Fault> {
    Ok(known(api, store, tenant_name(api, headers)?))
}

/// A tenant by its name; one that has never written has a number that nobody has.
fn known(api: &Api, store: &Store, name: String) -> Tenant {
    let id = if api.logs.config.auth_enabled {
        let known = store.state.known_tenant(&name);
        known.unwrap_or(TenantId(u32::MAX))
    } else {
        TenantId::DEFAULT
    };
    Tenant { id, name }
}

/// The tenants of a read, where the configuration allows several.
fn readers(api: &Api, store: &Store, headers: &HeaderMap) -> Result<(Tenant, Vec<Tenant>), Fault> {
    if !api.logs.config.multi_tenant {
        return Ok((reader(api, store, headers)?, Vec::new()));
    }
    let names = tenant_names(api, headers)?;
    let mut all: Vec<Tenant> = names.into_iter().map(|n| known(api, store, n)).collect();
    let first = all.remove(0);
    Ok((first, all))
}

/// The tenant of a write: gets a number when it has none.
fn writer(api: &Api, store: &Store, headers: &HeaderMap) -> Result<Tenant, Fault> {
    let name = tenant_name(api, headers)?;
    if !api.logs.config.auth_enabled {
        return Ok(Tenant {
            id: TenantId::DEFAULT,
            name,
        });
    }
    let id = match store.state.known_tenant(&name) {
        Some(id) => id,
        None => tokio::task::block_in_place(|| store.state.tenant(&name))
            .map_err(|e| Fault::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?,
    };
    Ok(Tenant { id, name })
}

/// A route for reads, GET and POST with a form; a request may be about several tenants.
fn read<F, Fut>(handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Ask) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    routed(MethodFilter::GET.or(MethodFilter::POST), true, handler)
}

/// A route whose requests are about one tenant.
fn route<F, Fut>(methods: MethodFilter, handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Ask) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    routed(methods, false, handler)
}

fn routed<F, Fut>(methods: MethodFilter, many: bool, handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Ask) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    call::route(methods, move |r: Received| {
        let handler = handler.clone();
        async move {
            let coding = r.coding;
            let said = match Ask::new(r, many) {
                Ok(ask) => handler(ask).await,
                Err(e) => Err(e),
            };
            match said {
                Ok(said) => respond(said, coding),
                Err(e) => e.into_response(),
            }
        }
    })
}

fn respond(said: Said, coding: Coding) -> Response {
    let (source, size): (Box<dyn ChunkSource>, usize) = match said {
        Said::Nothing => return crate::http::empty(StatusCode::NO_CONTENT),
        Said::Raw(r) => return r,
        Said::Json(body) => {
            let size = body.len();
            (Box::new(body), size)
        }
        Said::Stream(s) => (s, usize::MAX),
    };
    finish(source, size, JSON, coding)
}

/// A text answer of a status page.
fn text(body: impl Into<String>) -> Response {
    plain(StatusCode::OK, body)
}

/// A JSON answer.
fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut r = Response::new(axum::body::Body::from(body));
    *r.status_mut() = status;
    r.headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    r
}

/// A YAML answer.
fn yaml(body: impl Into<String>) -> Response {
    let mut r = plain(StatusCode::OK, body);
    let kind = HeaderValue::from_static("application/yaml; charset=utf-8");
    r.headers_mut().insert(CONTENT_TYPE, kind);
    r
}

/// Tells work on another thread that nobody waits for it any more.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` off the threads that serve connections; it is told when the client goes.
async fn in_background<T, W>(api: &Api, work: W) -> Result<T, Fault>
where
    T: Send + 'static,
    W: FnOnce(&AtomicBool) -> Result<T, Fault> + Send + 'static,
{
    let gone = || Fault::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
    let slots = Arc::clone(&api.query_slots);
    let slot = slots.acquire_owned().await.map_err(|_| gone())?;
    let canceled = Arc::new(AtomicBool::new(false));
    let guard = Abandon(Arc::clone(&canceled));
    let done = tokio::task::spawn_blocking(move || {
        let result = work(&canceled);
        drop(slot);
        result
    });
    let result = done.await.map_err(|_| gone())?;
    drop(guard);
    result
}

fn api_v1() -> Router<Arc<Api>> {
    Router::new()
        .route("/push", axum_post(push::push))
        .route("/query", read(query::instant))
        .route("/query_range", read(query::range))
        .route("/tail", axum_get(tail::tail))
        .route("/labels", read(labels::names))
        .route("/label", read(labels::names))
        .route("/label/{name}/values", read(labels::values))
        .route("/series", read(labels::series))
        .route("/index/stats", read(index::stats))
        .route("/index/volume", read(index::volume))
        .route("/index/volume_range", read(index::volume_range))
        .route("/index/shards", read(index::shards))
        .route("/patterns", read(patterns::patterns))
        .route("/detected_labels", read(detected::labels))
        .route("/detected_fields", read(detected::fields))
        .route("/detected_field/{name}/values", read(detected::values))
        .route("/format_query", read(format::format))
        .route("/drilldown-limits", axum_get(status::drilldown_limits))
        .route("/status/buildinfo", axum_get(status::build))
        .route("/delete", deletion::route())
        .route("/rules", rules::all_route())
        .route("/rules/{namespace}", rules::namespace_route())
        .route("/rules/{namespace}/{group}", rules::group_route())
}

/// All routes, for the router that carries every interface.
pub(crate) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .nest("/loki/api/v1", api_v1())
        .route("/otlp/v1/logs", axum_post(push::otlp))
        .route("/api/prom/push", axum_post(push::push))
        .route("/api/prom/query", read(query::legacy))
        .route("/api/prom/label", read(labels::names))
        .route("/api/prom/label/{name}/values", read(labels::values))
        .route("/api/prom/series", read(labels::series))
        .route("/api/prom/tail", axum_get(tail::tail))
        .route("/api/prom/rules", rules::all_route())
        .route("/api/prom/rules/{namespace}", rules::namespace_route())
        .route("/api/prom/rules/{namespace}/{group}", rules::group_route())
        .route("/prometheus/api/v1/rules", read(rules::states))
        .route("/prometheus/api/v1/alerts", read(rules::alerts))
        .route("/ready", axum_get(status::ready))
        .route("/config", axum_get(status::config))
        .route("/services", axum_get(status::services))
        .route(
            "/log_level",
            axum_get(status::log_level).merge(route(MethodFilter::POST, status::set_log_level)),
        )
        .route("/flush", axum_post(status::flush))
        .route("/ring", axum_get(status::ring))
        .route("/distributor/ring", axum_get(status::ring))
}
