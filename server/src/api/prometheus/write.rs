//! `/write`: the remote write receiver, versions 1 and 2.
//!
//! The road of a request: body into a pooled buffer -> snappy into a second one -> borrowed views
//! -> the store -> wait until it is on disk -> 204. Nothing of it allocates per series.
//!
//! Invariants
//! - W1  A 2xx is sent only after the store said that everything is durable.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::metrics::{
    AppendError, AppendMode, AppendOptions, Appended, RejectReason, Rejection, Rejections,
};
use engine::model::{InvalidLabels, LabelsSource, WriteBatch};
use engine::wire::inflate::{Caps, Encoding, InflateError, inflate};
use engine::wire::remote_write::{Limits, v1, v2};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, StatusCode};
use tokio::sync::oneshot;

use crate::api::Api;
use crate::config::prometheus::PROTOBUF_MESSAGES;
use crate::http::body::{self, Pool};
use crate::http::{empty, plain};
use crate::telemetry::{Counter, Metrics};

/// Memory of one request, used again by the next one.
#[derive(Debug, Default)]
struct Memory {
    body: Vec<u8>,
    inflated: Vec<u8>,
    batch: WriteBatch,
    symbols: v2::Scratch,
}

/// Requests in flight are few (a sender waits for its answer), so few are worth keeping.
static POOL: Pool<Memory> = Pool::new(32);

/// Buffers larger than this are given back to the system.
const KEEP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Requests larger than this are decoded off the threads that serve connections.
const INLINE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Takes samples.
pub(super) async fn write(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    if !api.options.remote_write {
        return plain(
            StatusCode::NOT_FOUND,
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n",
        );
    }
    let (parts, request_body) = request.into_parts();
    let version = match version_of(&parts.headers, &api.options.remote_write_messages) {
        Ok(v) => v,
        Err(e) => return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("{e}\n")),
    };
    let Some(db) = api.db() else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "TSDB not ready\n");
    };
    let mut memory = POOL.take();
    let limit = api.options.write.body_bytes;
    let timeout = api.options.read_timeout;
    if let Err(e) = body::read(request_body, limit, timeout, &mut memory.body).await {
        return plain(e.status(), format!("{e}\n"));
    }
    let outcome = if memory.body.len() > INLINE_BYTES_MAX {
        tokio::task::block_in_place(|| store(&api, &db, version, &mut memory))
    } else {
        store(&api, &db, version, &mut memory)
    };
    let large = memory.body.capacity().max(memory.inflated.capacity()) > KEEP_BYTES_MAX;
    if large {
        memory.discard();
    }
    drop(memory);
    let answer = match outcome {
        Ok(stored) => settle(&db, stored, version).await,
        Err(e) => *e,
    };
    answer.respond(version)
}

/// Which message the request carries.
fn version_of(headers: &HeaderMap, accepted: &[String]) -> Result<Version, String> {
    let content_type = match headers.get(CONTENT_TYPE) {
        None => "",
        Some(v) => v.to_str().map_err(|_| "content-type is not valid text")?,
    };
    let message = message_of(content_type)?;
    if !accepted.iter().any(|a| a == message) {
        return Err(format!(
            "{message} protobuf message is not accepted by this server; only accepts {}",
            accepted.join(", ")
        ));
    }
    if let Some(coding) = headers.get(CONTENT_ENCODING)
        && !coding.is_empty()
        && coding != "snappy"
    {
        return Err(format!(
            "{} encoding (compression) is not accepted by this server; only snappy is acceptable",
            String::from_utf8_lossy(coding.as_bytes())
        ));
    }
    if message == PROTOBUF_MESSAGES[0] {
        Ok(Version::V1)
    } else {
        Ok(Version::V2)
    }
}

/// Parameters are compared as sent, blanks included, as senders of the family expect.
fn message_of(content_type: &str) -> Result<&'static str, String> {
    let mut parts = content_type.split(';');
    let media = parts.next().unwrap_or("");
    if content_type.is_empty() {
        return Ok(PROTOBUF_MESSAGES[0]);
    }
    if media != "application/x-protobuf" {
        return Err(format!(
            "expected application/x-protobuf as the first (media) part, got {content_type} content-type"
        ));
    }
    for parameter in parts {
        let mut pair = parameter.split('=');
        let (Some(name), Some(value), None) = (pair.next(), pair.next(), pair.next()) else {
            return Err(format!(
                "expected parameters to be key-values, got {parameter} in {content_type} content-type"
            ));
        };
        if name == "proto" {
            let known = PROTOBUF_MESSAGES.iter().find(|m| **m == value);
            return known.copied().ok_or_else(|| {
                format!(
                    "got {content_type} content type; unknown remote write protobuf message {value}"
                )
            });
        }
    }
    Ok(PROTOBUF_MESSAGES[0])
}

/// What came of a request, before or after it is on disk.
#[derive(Debug, Default)]
struct Outcome {
    /// What the store took, with what it refused.
    appended: Appended,
    /// Texts of what was refused; none means success.
    refused: Vec<String>,
    /// Whether all of that may be taken later.
    passing: bool,
    /// Failure as a whole, with its status.
    failed: Option<(StatusCode, String)>,
}

impl Outcome {
    fn failed(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            failed: Some((status, text.into())),
            ..Self::default()
        }
    }

    fn respond(self, version: Version) -> Response {
        let mut r = match &self.failed {
            Some((status, text)) => plain(*status, format!("{text}\n")),
            None if self.refused.is_empty() => empty(StatusCode::NO_CONTENT),
            None => plain(
                if self.passing {
                    StatusCode::TOO_MANY_REQUESTS
                } else {
                    StatusCode::BAD_REQUEST
                },
                format!("{}\n", self.refused.join("\n")),
            ),
        };
        if matches!(
            r.status(),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            r.headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if version == Version::V2 {
            for (name, n) in [
                (
                    "x-prometheus-remote-write-samples-written",
                    self.appended.samples,
                ),
                (
                    "x-prometheus-remote-write-histograms-written",
                    self.appended.histograms,
                ),
                (
                    "x-prometheus-remote-write-exemplars-written",
                    self.appended.exemplars,
                ),
            ] {
                r.headers_mut().insert(name, HeaderValue::from(n));
            }
        }
        r
    }
}

/// Decodes and appends. `Err` is final, `Ok` still has to become durable.
fn store(
    api: &Api,
    db: &engine::metrics::Db,
    version: Version,
    memory: &mut Memory,
) -> Result<Outcome, Box<Outcome>> {
    let bad = |text: String| Box::new(Outcome::failed(StatusCode::BAD_REQUEST, text));
    let Memory {
        body,
        inflated,
        batch,
        symbols,
    } = memory;
    let caps = Caps {
        compressed: api.options.write.body_bytes,
        decompressed: api.options.write.decoded_bytes,
    };
    let raw = inflate(Encoding::Snappy, body, caps, inflated).map_err(|e| {
        let too_large = matches!(e, InflateError::CompressedTooLarge { .. });
        let status = if too_large {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        Box::new(Outcome::failed(status, e.to_string()))
    })?;
    let limits = Limits {
        series: api.options.write.series,
        samples: api.options.write.samples,
        ..Limits::default()
    };
    let secret = db.key_secret();
    match version {
        Version::V1 => {
            let labels = v1::decode(raw, secret, &limits, batch).map_err(|e| bad(e.to_string()))?;
            let outcome = append(api, db, batch, &labels, AppendMode::Atomic)?;
            Ok(outcome)
        }
        Version::V2 => {
            let decoded =
                v2::decode(raw, secret, &limits, symbols, batch).map_err(|e| bad(e.to_string()))?;
            let mut outcome = append(api, db, batch, &decoded.labels, AppendMode::Partial)?;
            outcome.passing &= decoded.refused.total == 0;
            let mut refused = decoded.refused.first;
            let more = decoded.refused.total - refused.len() as u64;
            if more > 0 {
                refused.push(format!("{more} more series or samples refused"));
            }
            refused.append(&mut outcome.refused);
            outcome.refused = refused;
            Ok(outcome)
        }
    }
}

fn append(
    api: &Api,
    db: &engine::metrics::Db,
    batch: &WriteBatch,
    labels: &dyn LabelsSource,
    mode: AppendMode,
) -> Result<Outcome, Box<Outcome>> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let options = AppendOptions::new(mode, now_ms);
    match db.append(api.tenant(), batch, labels, &options) {
        Ok(appended) => {
            count_refused(&api.metrics, &appended.rejected);
            let refused = refusals(&appended.rejected, mode);
            Ok(Outcome {
                passing: passing(&appended.rejected),
                appended,
                refused,
                failed: None,
            })
        }
        Err(e) => {
            if let AppendError::Rejected(r) = &e {
                count_refused(&api.metrics, r);
            }
            Err(Box::new(failure(&e)))
        }
    }
}

/// Texts of what was refused. Version 1 drops series with impossible labels silently, unless the
/// bytes of the message itself are broken.
fn refusals(r: &Rejections, mode: AppendMode) -> Vec<String> {
    let told = r.first.iter().filter(|r| match (&r.reason, mode) {
        (RejectReason::InvalidLabels(why), AppendMode::Atomic) => {
            matches!(why, InvalidLabels::Malformed(_))
        }
        (RejectReason::ExemplarOutOfOrder, AppendMode::Atomic) => false,
        _ => true,
    });
    let mut texts: Vec<String> = told
        .map(|r| format!("{} for series {}", r.reason, r.labels))
        .collect();
    let more = r.total - r.first.len() as u64;
    if more > 0 && !texts.is_empty() {
        texts.push(format!("{more} more samples refused"));
    }
    texts
}

/// Whether all that was refused may be taken once other series have ended: 429 tells senders so,
/// where 400 tells them to drop it.
fn passing(r: &Rejections) -> bool {
    let passes = |r: &Rejection| matches!(r.reason, RejectReason::TooManySeries(_));
    r.first.len() as u64 == r.total && r.first.iter().all(passes)
}

/// Status of a failure of the store.
pub(super) fn failure_status(e: &AppendError) -> StatusCode {
    match e {
        AppendError::Rejected(r) if passing(r) => StatusCode::TOO_MANY_REQUESTS,
        AppendError::Rejected(_) => StatusCode::BAD_REQUEST,
        AppendError::NoSpace { .. } | AppendError::Poisoned(_) | AppendError::Closed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer to a failure of the store.
fn failure(e: &AppendError) -> Outcome {
    let status = failure_status(e);
    if status.is_server_error() {
        tracing::error!(error = %e, "samples could not be stored");
    }
    Outcome::failed(status, e.to_string())
}

/// Waits until what was stored is on disk (W1).
async fn settle(db: &engine::metrics::Db, outcome: Outcome, _version: Version) -> Outcome {
    let (done, durable) = oneshot::channel();
    db.on_durable(
        outcome.appended.position,
        // Nobody waits any more when the client is gone.
        Box::new(move |r| drop(done.send(r))),
    );
    match durable.await {
        Ok(Ok(())) => outcome,
        Ok(Err(e)) => failure(&e),
        Err(_) => failure(&AppendError::Closed),
    }
}

fn count_refused(metrics: &Metrics, r: &Rejections) {
    for one in &r.first {
        let counter = match one.reason {
            RejectReason::OutOfOrder => Counter::OutOfOrder,
            RejectReason::OutOfBounds | RejectReason::TooFarInFuture => Counter::OutOfBounds,
            RejectReason::TooOld => Counter::TooOld,
            RejectReason::InvalidLabels(_) => Counter::InvalidLabels,
            _ => continue,
        };
        metrics.add(counter, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_name_the_message() {
        let v1 = Ok(PROTOBUF_MESSAGES[0]);
        let v2 = Ok(PROTOBUF_MESSAGES[1]);
        for (content_type, want) in [
            ("", v1.clone()),
            ("application/x-protobuf", v1.clone()),
            (
                "application/x-protobuf;proto=prometheus.WriteRequest",
                v1.clone(),
            ),
            (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                v2,
            ),
            (
                "application/x-protobuf; proto=io.prometheus.write.v2.Request",
                v1,
            ),
        ] {
            assert_eq!(message_of(content_type), want, "{content_type}");
        }
        for bad in [
            "application/json",
            "application/x-protobuf;proto=x",
            "application/x-protobuf;proto",
        ] {
            assert!(message_of(bad).is_err(), "{bad}");
        }
    }
}
