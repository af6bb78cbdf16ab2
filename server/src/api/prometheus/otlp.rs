//! `/otlp/v1/metrics`: metrics from OpenTelemetry.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::metrics::{AppendError, AppendMode, AppendOptions};
use engine::model::WriteBatch;
use engine::wire::inflate::{Caps, Encoding, InflateError, inflate};
use engine::wire::otlp::{Settings, Strategy, decode_json, decode_protobuf, translate};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Request, StatusCode};
use tokio::sync::oneshot;

use crate::api::Api;
use crate::config::prometheus::OtlpConfig;
use crate::http::{body, empty, plain};

type Failed = (StatusCode, String);

/// Takes metrics.
pub(super) async fn write(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    if !api.options.otlp {
        return plain(
            StatusCode::NOT_FOUND,
            "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n",
        );
    }
    match store(&api, request).await {
        Ok(()) => empty(StatusCode::OK),
        Err((status, text)) => {
            let mut r = plain(status, format!("{text}\n"));
            if status == StatusCode::SERVICE_UNAVAILABLE {
                r.headers_mut()
                    .insert(RETRY_AFTER, hyper::header::HeaderValue::from_static("5"));
            }
            r
        }
    }
}

fn settings(c: &OtlpConfig, lookback_ms: i64) -> Settings {
    Settings {
        strategy: Strategy::from_word(&c.translation_strategy).unwrap_or_default(),
        promote_resource_attributes: c.promote_resource_attributes.clone(),
        promote_all_resource_attributes: c.promote_all_resource_attributes,
        ignore_resource_attributes: c.ignore_resource_attributes.clone(),
        keep_identifying_resource_attributes: c.keep_identifying_resource_attributes,
        convert_histograms_to_nhcb: c.convert_histograms_to_nhcb,
        promote_scope_metadata: c.promote_scope_metadata,
        label_name_underscore_sanitization: c.label_name_underscore_sanitization,
        preserve_multiple_underscores: c.label_name_preserve_multiple_underscores,
        lookback_ms,
    }
}

async fn store(api: &Arc<Api>, request: Request<Body>) -> Result<(), Failed> {
    let bad = |e: String| (StatusCode::BAD_REQUEST, e);
    let (parts, request_body) = request.into_parts();
    let header = |name| parts.headers.get(name).map_or(&b""[..], |v| v.as_bytes());
    let json = match header(CONTENT_TYPE) {
        b"application/x-protobuf" => false,
        b"application/json" => true,
        other => {
            return Err(bad(format!(
                "unsupported content type: {}, supported: [application/json, application/x-protobuf]",
                String::from_utf8_lossy(other)
            )));
        }
    };
    let encoding = match header(CONTENT_ENCODING) {
        b"" => Encoding::Identity,
        b"gzip" => Encoding::Gzip,
        other => {
            return Err(bad(format!(
                "unsupported compression: {}, supported: [gzip, none]",
                String::from_utf8_lossy(other)
            )));
        }
    };
    let Some(db) = api.db() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "TSDB not ready".into()));
    };
    let mut sent = Vec::new();
    let (limits, timeout) = (api.options.write, api.options.read_timeout);
    let caps = Caps {
        compressed: limits.body_bytes,
        decompressed: limits.decoded_bytes,
    };
    body::read(request_body, limits.body_bytes, timeout, &mut sent)
        .await
        .map_err(|e| (e.status(), e.to_string()))?;
    let settings = settings(&api.config.load().document.otlp, api.options.lookback_ms);
    let (done, durable) = oneshot::channel();
    let store = {
        let (db, tenant) = (db.clone(), api.tenant());
        move || -> Result<(), Failed> {
            let mut inflated = Vec::new();
            let raw = inflate(encoding, &sent, caps, &mut inflated)
                .map_err(|e: InflateError| bad(e.to_string()))?;
            let decoded = if json {
                decode_json(raw)
            } else {
                decode_protobuf(raw)
            };
            let decoded = decoded.map_err(|e| bad(e.to_string()))?;
            let mut batch = WriteBatch::default();
            let translated = translate(&decoded, &settings, db.key_secret(), &mut batch)
                .map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
            for (what, n, limit) in [
                ("series", batch.series.len(), limits.series),
                ("samples", batch.samples.len(), limits.samples),
            ] {
                if n > limit {
                    return Err(bad(format!(
                        "too many {what} in one request (limit {limit})"
                    )));
                }
            }
            let now_ms = jiff::Timestamp::now().as_millisecond();
            let options = AppendOptions::new(AppendMode::Atomic, now_ms);
            let stored = db.append(tenant, &batch, &translated.labels, &options);
            let appended = stored.map_err(|e| failure(&e))?;
            // Nobody waits any more when the client is gone.
            db.on_durable(appended.position, Box::new(move |r| drop(done.send(r))));
            Ok(())
        }
    };
    let closed = || {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "storage is closing".to_owned(),
        )
    };
    tokio::task::spawn_blocking(store)
        .await
        .map_err(|_| closed())??;
    match durable.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(failure(&e)),
        Err(_) => Err(closed()),
    }
}

fn failure(e: &AppendError) -> Failed {
    (super::write::failure_status(e), e.to_string())
}
