//! `/read`: remote read, as samples or as a stream of chunks.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::budget::Watch;
use engine::metrics::{Db, SelectError, Selection};
use engine::model::{HistogramPoint, Labels, MatchOp, Matcher, Sample};
use engine::wire::inflate::{Caps, Encoding, InflateError, compress_snappy, inflate};
use engine::wire::remote_read::{
    MatchKind, ReadMatcher, ReadQuery, ReadRequest, ResponseType, SamplesResponse, chunks_of,
    write_frames,
};
use engine::wire::remote_write::OutSeries;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use query::regex::LabelRegex;
use tokio::sync::OwnedSemaphorePermit;

use super::labels::{blocking, reading};
use crate::api::Api;
use crate::api::error::{ApiError, ErrorKind};
use crate::config::limits;
use crate::http::{ChunkSource, Coding, body, body_of, plain};
use crate::telemetry::Gauge;

/// Takes the request, gives samples.
pub(super) async fn read(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let Ok(slot) = api.read_slots.clone().acquire_owned().await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "server is stopping\n");
    };
    let running = api.metrics.hold(Gauge::RemoteReads);
    let answer = answer(&api, request, slot).await;
    drop(running);
    answer.unwrap_or_else(|(status, text)| plain(status, format!("{text}\n")))
}

type Failed = (StatusCode, String);

async fn answer(
    api: &Arc<Api>,
    request: Request<Body>,
    slot: OwnedSemaphorePermit,
) -> Result<Response, Failed> {
    let bad = |e: String| (StatusCode::BAD_REQUEST, e);
    let mut sent = Vec::new();
    let (limit, timeout) = (limits::READ_BODY_BYTES_MAX, api.options.read_timeout);
    body::read(request.into_body(), limit, timeout, &mut sent)
        .await
        .map_err(|e| (e.status(), e.to_string()))?;
    let mut plain_bytes = Vec::new();
    let raw = inflate(
        Encoding::Snappy,
        &sent,
        Caps::REMOTE_WRITE,
        &mut plain_bytes,
    );
    let raw = raw.map_err(|e: InflateError| bad(e.to_string()))?;
    let request = ReadRequest::decode(raw).map_err(|e| bad(e.to_string()))?;
    let kind = request.response_type().map_err(|e| bad(e.to_string()))?;
    let Some(db) = api.db() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "TSDB not ready".into()));
    };
    let config = api.config.load();
    let pairs = config.document.global.external_labels.iter();
    let external: Vec<(String, String)> =
        pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let mut queries = Vec::new();
    for q in &request.queries {
        queries.push((q.clone(), matchers(q, &external).map_err(bad)?));
    }
    let tenant = api.tenant();
    let select = {
        let db = db.clone();
        move |watch: &dyn Watch| -> Result<Vec<Selected>, SelectError> {
            let each = queries.into_iter().map(|(q, m)| {
                Ok(Selected {
                    found: db.select_watched(tenant, &m, (q.start_ms, q.end_ms), true, watch)?,
                    start: q.start_ms,
                    end: q.end_ms,
                })
            });
            each.collect()
        }
    };
    let failed = |e: ApiError| (e.kind.status(), e.text);
    let selected = reading(api, select).await.map_err(failed)?;
    let mut r = match kind {
        ResponseType::Samples => {
            let limit = api.options.read_sample_limit;
            let body = blocking(move || samples(&selected, &external, limit)).await;
            let mut r = Response::new(Body::from(body.map_err(failed)?));
            let headers = r.headers_mut();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-protobuf"),
            );
            r
        }
        ResponseType::StreamedXorChunks => {
            let source = Frames {
                selected,
                external,
                query: 0,
                series: 0,
                frame_bytes: api.options.read_frame_bytes,
                _store: db,
                _slot: slot,
            };
            let mut r = Response::new(body_of(Box::new(source), Coding::Identity));
            r.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static(
                    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
                ),
            );
            r
        }
    };
    *r.status_mut() = StatusCode::OK;
    Ok(r)
}

/// The matchers of a query. What asks for an external label is satisfied by every series that
/// does not have the label itself.
fn matchers(q: &ReadQuery, external: &[(String, String)]) -> Result<Vec<Matcher>, String> {
    let compiled = |m: &ReadMatcher| {
        let re = LabelRegex::new(&m.value).map_err(|e| e.to_string())?;
        Ok::<_, String>(Arc::new(re))
    };
    let mut out = Vec::new();
    for m in &q.matchers {
        let mut matcher = match m.kind {
            MatchKind::Equal => Matcher::equal(&m.name, &m.value),
            MatchKind::NotEqual => Matcher::not_equal(&m.name, &m.value),
            MatchKind::Regex => Matcher::regex(&m.name, compiled(m)?),
            MatchKind::NotRegex => Matcher::not_regex(&m.name, compiled(m)?),
        };
        let ours = external.iter().any(|(n, v)| *n == m.name && *v == m.value);
        if ours && matches!(matcher.op, MatchOp::Equal) {
            matcher.value.clear();
        }
        out.push(matcher);
    }
    Ok(out)
}

/// The series of one query.
struct Selected {
    found: Selection,
    start: i64,
    end: i64,
}

/// Points of one series in the asked range.
#[derive(Debug, Default)]
struct Points {
    samples: Vec<Sample>,
    histograms: Vec<HistogramPoint>,
}

impl Selected {
    fn points(&self, i: usize) -> Result<Points, SelectError> {
        let mut p = Points::default();
        let within = |t: i64| t >= self.start && t <= self.end;
        self.found.scan_stored(i..i + 1, &mut |_, column| {
            let pairs = column.ts.iter().zip(column.values);
            let wanted = pairs.filter(|(t, _)| within(**t));
            p.samples
                .extend(wanted.map(|(t, v)| Sample { t: *t, v: *v }));
            let wanted = column.histograms.iter().filter(|h| within(h.t));
            p.histograms.extend(wanted.cloned());
            ControlFlow::Continue(())
        })?;
        Ok(p)
    }

    /// Labels of a series with the external ones it does not have itself.
    fn labels(&self, i: usize, external: &[(String, String)]) -> Labels {
        let mut labels = self.found.labels(i);
        for (n, v) in external {
            if labels.get(n).is_none() {
                labels = labels.with(n, v);
            }
        }
        labels
    }
}

fn samples(
    selected: &[Selected],
    external: &[(String, String)],
    limit: usize,
) -> Result<Vec<u8>, ApiError> {
    let mut out = SamplesResponse::new();
    let mut total = 0;
    for s in selected {
        out.begin_query();
        for i in 0..s.found.len() {
            let p = s.points(i)?;
            total += p.samples.len() + p.histograms.len();
            if limit > 0 && total > limit {
                return Err(ApiError::new(
                    ErrorKind::BadData,
                    format!("exceeded sample limit ({limit})"),
                ));
            }
            if p.samples.is_empty() && p.histograms.is_empty() {
                continue;
            }
            let labels = s.labels(i, external);
            out.series(&OutSeries {
                histograms: &p.histograms,
                ..OutSeries::floats(&labels, &p.samples)
            });
        }
    }
    let mut compressed = Vec::new();
    compress_snappy(&out.finish(), &mut compressed);
    Ok(compressed)
}

/// The chunked answer on its way out. Keeps the store open and the slot taken until its end.
struct Frames {
    selected: Vec<Selected>,
    external: Vec<(String, String)>,
    query: usize,
    series: usize,
    frame_bytes: usize,
    _store: Arc<Db>,
    _slot: OwnedSemaphorePermit,
}

impl ChunkSource for Frames {
    fn next(&mut self, out: &mut Vec<u8>, want: usize) -> bool {
        while let Some(s) = self.selected.get(self.query) {
            if self.series >= s.found.len() {
                self.query += 1;
                self.series = 0;
                continue;
            }
            match s.points(self.series) {
                Ok(p) => {
                    let chunks = chunks_of(&p.samples, &p.histograms);
                    let labels = s.labels(self.series, &self.external);
                    let query = i64::try_from(self.query).unwrap_or(i64::MAX);
                    if !chunks.is_empty() {
                        write_frames(&labels, &chunks, query, self.frame_bytes, out);
                    }
                }
                Err(e) => {
                    // The status is sent already; a frame that is cut short is noticed by its CRC.
                    tracing::error!(error = %e, "a streamed remote read is cut short");
                    out.extend_from_slice(&[0xff; 4]);
                    return false;
                }
            }
            self.series += 1;
            if out.len() >= want {
                return true;
            }
        }
        false
    }
}
