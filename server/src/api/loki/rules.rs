//! Rules over lines: `/loki/api/v1/rules` in YAML, `/prometheus/api/v1/rules` and `alerts` in JSON.
//!
//! Source of shapes and codes: Loki's HTTP documentation, and answers of Loki 3.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use hyper::{HeaderMap, Request, StatusCode};
use serde_json::json;

use super::{Answer, Ask, Fault, Said, tenant_name, yaml};
use crate::api::Api;
use crate::api::encode::to_vec;
use crate::api::prometheus::{RuleFilter, alert_bodies, group_bodies};
use crate::config::render_yaml;
use crate::http::{body, plain};
use crate::ruler::{GROUP_BYTES_MAX, Ruler, RulerError};

const NONE: &str = "no rule groups found";

impl From<RulerError> for Fault {
    fn from(e: RulerError) -> Self {
        let status = match e {
            RulerError::Unknown(_) => StatusCode::NOT_FOUND,
            RulerError::Bad(_) => StatusCode::BAD_REQUEST,
            RulerError::Files(_) | RulerError::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, e.to_string())
    }
}

/// The rules, and whose are asked for.
fn asked(api: &Api, headers: &HeaderMap) -> Result<(Arc<Ruler>, String), Fault> {
    let tenant = tenant_name(api, headers)?;
    let ruler = api.ruler().filter(|r| r.has_api());
    let ruler = ruler.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, NONE))?;
    Ok((ruler, tenant))
}

fn answer(result: Result<Response, Fault>) -> Response {
    result.unwrap_or_else(Fault::into_response)
}

/// What a change is answered with.
fn accepted() -> Response {
    let body = json!({"status": "success", "data": null, "errorType": "", "error": ""});
    super::json(StatusCode::ACCEPTED, to_vec(&body))
}

async fn all(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    answer(shown(&api, &headers, None))
}

async fn namespace(
    State(api): State<Arc<Api>>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
) -> Response {
    answer(shown(&api, &headers, Some(&namespace)))
}

fn shown(api: &Api, headers: &HeaderMap, only: Option<&str>) -> Result<Response, Fault> {
    let (ruler, tenant) = asked(api, headers)?;
    let mut all = tokio::task::block_in_place(|| ruler.namespaces(&tenant))?;
    all.retain(|name, _| only.is_none_or(|o| o == name));
    if all.is_empty() {
        return Err(Fault::new(StatusCode::NOT_FOUND, NONE));
    }
    Ok(yaml(render_yaml(&all)))
}

async fn group(
    State(api): State<Arc<Api>>,
    Path((namespace, group)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let found = || -> Result<Response, Fault> {
        let (ruler, tenant) = asked(&api, &headers)?;
        let all = tokio::task::block_in_place(|| ruler.namespaces(&tenant))?;
        let groups = all.get(&namespace).into_iter().flatten();
        let one = groups.into_iter().find(|g| g.name == group);
        let one = one.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "group does not exist"))?;
        Ok(yaml(render_yaml(one)))
    };
    answer(found())
}

async fn set(
    State(api): State<Arc<Api>>,
    Path(namespace): Path<String>,
    request: Request<Body>,
) -> Response {
    let (ruler, tenant) = match asked(&api, request.headers()) {
        Ok(a) => a,
        Err(e) => return e.into_response(),
    };
    let mut bytes = Vec::new();
    let timeout = api.options.read_timeout;
    if let Err(e) = body::read(request.into_body(), GROUP_BYTES_MAX, timeout, &mut bytes).await {
        return plain(e.status(), e.to_string());
    }
    let Ok(text) = String::from_utf8(bytes) else {
        return Fault::bad("the rule group is not UTF-8").into_response();
    };
    if namespace.contains('\0') {
        return Fault::bad("a namespace does not hold NUL").into_response();
    }
    let done = ruler.set_group((&tenant, &namespace), &text).await;
    answer(done.map(|()| accepted()).map_err(Fault::from))
}

async fn remove_namespace(
    State(api): State<Arc<Api>>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
) -> Response {
    removed(&api, &headers, (&namespace, None)).await
}

async fn remove_group(
    State(api): State<Arc<Api>>,
    Path((namespace, group)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    removed(&api, &headers, (&namespace, Some(&group))).await
}

async fn removed(
    api: &Api,
    headers: &HeaderMap,
    (namespace, group): (&str, Option<&str>),
) -> Response {
    let (ruler, tenant) = match asked(api, headers) {
        Ok(a) => a,
        Err(e) => return e.into_response(),
    };
    let done = ruler.remove((&tenant, namespace), group).await;
    answer(done.map(|()| accepted()).map_err(Fault::from))
}

/// `/rules`.
pub(super) fn all_route() -> MethodRouter<Arc<Api>> {
    get(all)
}

/// `/rules/{namespace}`.
pub(super) fn namespace_route() -> MethodRouter<Arc<Api>> {
    get(namespace).post(set).delete(remove_namespace)
}

/// `/rules/{namespace}/{group}`.
pub(super) fn group_route() -> MethodRouter<Arc<Api>> {
    get(group).delete(remove_group)
}

/// The answers in Prometheus' shapes have two more fields.
fn envelope(data: &serde_json::Value) -> Said {
    Said::bare(&json!({"status": "success", "data": data, "errorType": "", "error": ""}))
}

/// `/prometheus/api/v1/rules`.
pub(super) async fn states(ask: Ask) -> Answer {
    let filter = RuleFilter::new(&ask.params).map_err(|e| Fault::bad(e.text))?;
    let groups = ask.api.ruler().map(|r| r.groups(&ask.tenant.name));
    let groups = groups.unwrap_or_default();
    let bodies = group_bodies(&groups, &filter);
    Ok(envelope(&json!({ "groups": bodies })))
}

/// `/prometheus/api/v1/alerts`.
pub(super) async fn alerts(ask: Ask) -> Answer {
    let groups = ask.api.ruler().map(|r| r.groups(&ask.tenant.name));
    let bodies = alert_bodies(&groups.unwrap_or_default());
    Ok(envelope(&json!({ "alerts": bodies })))
}
