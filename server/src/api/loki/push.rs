//! `/push` and `/otlp/v1/logs`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::wire::inflate::Encoding;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode};

use super::{Fault, params, store_of, writer};
use crate::api::Api;
use crate::config::limits;
use crate::http::{body, empty};
use crate::ingest::received::{Received, inflated, media, word};

/// Takes lines.
pub(super) async fn push(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    match store(&api, request).await {
        Ok(()) => empty(StatusCode::NO_CONTENT),
        Err(e) => refusal(e),
    }
}

/// Takes lines from OpenTelemetry.
pub(super) async fn otlp(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    match store_otlp(&api, request).await {
        Ok(()) => empty(StatusCode::NO_CONTENT),
        Err(e) => {
            // google.rpc.Status{1: code, 2: message}
            let mut bytes = Vec::new();
            let mut w = engine::wire::proto::Writer::new(&mut bytes);
            w.uint(1, u64::from(e.status.as_u16()));
            w.bytes(2, e.text.as_bytes());
            let mut r = Response::new(Body::from(bytes));
            *r.status_mut() = e.status;
            let kind = HeaderValue::from_static("application/octet-stream");
            r.headers_mut().insert(CONTENT_TYPE, kind);
            retry_later(e.status, &mut r);
            r
        }
    }
}

fn refusal(e: Fault) -> Response {
    let status = e.status;
    let mut r = e.into_response();
    retry_later(status, &mut r);
    r
}

fn retry_later(status: StatusCode, r: &mut Response) {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        r.headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
}

async fn read(api: &Api, request_body: Body) -> Result<Vec<u8>, Fault> {
    let mut sent = Vec::new();
    let (limit, timeout) = (limits::PUSH_BODY_BYTES_MAX, api.options.read_timeout);
    body::read(request_body, limit, timeout, &mut sent)
        .await
        .map_err(|e| Fault::new(e.status(), e.to_string()))?;
    Ok(sent)
}

async fn store(api: &Arc<Api>, request: Request<Body>) -> Result<(), Fault> {
    let (parts, request_body) = request.into_parts();
    let stores = store_of(api)?;
    let tenant = writer(api, &stores, &parts.headers)?;
    let kind = Received::new(&parts.headers)?;
    let sent = read(api, request_body).await?;
    let mut plain = Vec::new();
    let streams = kind.decode(&sent, &mut plain)?;
    let whose = (tenant.id, tenant.name.as_str());
    let pushed = api.logs.push(&stores.logs, whose, streams, params::now());
    Ok(pushed.await?)
}

async fn store_otlp(api: &Arc<Api>, request: Request<Body>) -> Result<(), Fault> {
    let (parts, request_body) = request.into_parts();
    let stores = store_of(api)?;
    let tenant = writer(api, &stores, &parts.headers)?;
    let json = match media(&parts.headers) {
        "application/json" => true,
        "application/x-protobuf" => false,
        other => {
            return Err(Fault::bad(format!(
                "content type: {other} is not supported"
            )));
        }
    };
    let encoding = match word(&parts.headers, CONTENT_ENCODING) {
        "" => Encoding::Identity,
        "gzip" => Encoding::Gzip,
        "zstd" => Encoding::Zstd,
        "lz4" => Encoding::Lz4,
        other => {
            return Err(Fault::bad(format!(
                "{other} compression not supported: supported are gzip, zstd, lz4"
            )));
        }
    };
    let sent = read(api, request_body).await?;
    let mut plain = Vec::new();
    let raw = inflated(encoding, &sent, &mut plain)?;
    let limits = api.logs.limits(&tenant.name);
    let settings =
        engine::wire::otlp::logs::Settings::from_json(&limits.otlp, limits.otlp_severity_label);
    let now = params::now();
    let decoded = engine::wire::otlp::logs::decode(raw, json, &settings, now);
    let streams = decoded.map_err(|e| Fault::bad(e.to_string()))?;
    let whose = (tenant.id, tenant.name.as_str());
    Ok(api.logs.push(&stores.logs, whose, streams, now).await?)
}
