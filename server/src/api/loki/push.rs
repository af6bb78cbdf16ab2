//! `/push` and `/otlp/v1/logs`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::wire::inflate::{Caps, Encoding, InflateError, inflate};
use engine::wire::loki::{decode_json, decode_protobuf};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, StatusCode};

use super::{Fault, params, store_of, writer};
use crate::api::Api;
use crate::config::limits;
use crate::http::{body, empty};

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

fn word(headers: &HeaderMap, name: hyper::header::HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("")
        .trim()
}

fn media(headers: &HeaderMap) -> &str {
    word(headers, CONTENT_TYPE)
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
}

const CAPS: Caps = Caps {
    compressed: limits::PUSH_BODY_BYTES_MAX,
    decompressed: limits::PUSH_DECODED_BYTES_MAX,
};

fn inflated<'a>(
    encoding: Encoding,
    sent: &'a [u8],
    out: &'a mut Vec<u8>,
) -> Result<&'a [u8], Fault> {
    inflate(encoding, sent, CAPS, out).map_err(|e| match e {
        InflateError::CompressedTooLarge { .. } | InflateError::DecompressedTooLarge { .. } => {
            Fault::new(StatusCode::PAYLOAD_TOO_LARGE, e.to_string())
        }
        // Whatever is not known to be something else ends up here: senders look for these words.
        _ if encoding == Encoding::Snappy => Fault::bad("snappy: corrupt input"),
        e => Fault::bad(e.to_string()),
    })
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
    let json = media(&parts.headers).eq_ignore_ascii_case("application/json");
    let encoding = match (word(&parts.headers, CONTENT_ENCODING), json) {
        ("", true) => Encoding::Identity,
        ("" | "snappy", false) => Encoding::Snappy,
        ("gzip", _) => Encoding::Gzip,
        ("deflate", _) => Encoding::Deflate,
        (other, _) => {
            return Err(Fault::bad(format!(
                "Content-Encoding {other:?} not supported"
            )));
        }
    };
    let sent = read(api, request_body).await?;
    let mut plain = Vec::new();
    let raw = inflated(encoding, &sent, &mut plain)?;
    let decoded = if json {
        decode_json(raw)
    } else {
        decode_protobuf(raw)
    };
    let streams = decoded.map_err(|e| Fault::bad(e.to_string()))?;
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
