//! `/metrics` and `/status/self_metrics`: this server about itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use exporters::emit::{CONTENT_TYPE, Sink};
use exporters::metrics::process;
use hyper::HeaderMap;
use query::regex::GoRegex;
use serde_json::{Value, json};

use crate::api::call::{Answer, Call, Reply};
use crate::api::error::ApiError;
use crate::api::{Api, BuildInfo};
use crate::http::{Coding, finish};
use crate::telemetry::{Family, Kind, Sample, Suffix, emit, runtime_families};

/// All families, sorted by name.
fn families(api: &Api) -> Vec<Family> {
    let mut all = api.metrics.families();
    let own = process::numbers(api.started.as_millisecond() as f64 / 1000.0).into_iter();
    all.extend(own.map(|(name, help, kind, v)| Family::single(name, help, kind, v)));
    all.extend(runtime_families());
    let mut build = Family::single(
        "prometheus_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch and toolchain from which the server was built.",
        Kind::Gauge,
        1.0,
    );
    let labels = [
        ("branch", ""),
        ("goarch", std::env::consts::ARCH),
        ("goos", std::env::consts::OS),
        ("goversion", BuildInfo::TOOLCHAIN),
        ("revision", BuildInfo::REVISION),
        ("tags", ""),
        ("version", BuildInfo::VERSION),
    ];
    if let Some(s) = build.samples.first_mut() {
        s.labels = labels.map(|(n, v)| (n, v.to_owned())).to_vec();
    }
    all.push(build);
    all.extend([
        Family::single(
            "sextant_query_memory_bytes",
            "Memory that running queries hold.",
            Kind::Gauge,
            api.query_memory.held() as f64,
        ),
        Family::single(
            "sextant_query_memory_refused_total",
            "Queries that were ended because they needed too much memory.",
            Kind::Counter,
            api.query_memory.refused() as f64,
        ),
    ]);
    if let Some(db) = api.db() {
        all.extend(super::storage_metrics::families(&db, api.tenant()));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The text of `/metrics`, also for scraping ourselves.
pub(in crate::api) async fn metrics(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let mut sink = Sink::new();
    emit(&families(&api), &mut sink);
    let text = sink.text();
    let size = text.len();
    finish(
        Box::new(text.into_bytes()),
        size,
        CONTENT_TYPE,
        Coding::accepted(&headers),
    )
}

/// The same as JSON in the shape of the protobuf messages.
pub(super) async fn self_metrics(call: Call) -> Answer {
    let pattern = call.params.get("metric_name_pattern");
    let pattern = if pattern.is_empty() { ".*" } else { pattern };
    let re =
        GoRegex::anchored(pattern).map_err(|e| ApiError::parameter("metric_name_pattern", e))?;
    let all = families(&call.api);
    let shown = all.iter().filter(|f| re.is_match(&f.name));
    Ok(Reply::data(&shown.map(as_json).collect::<Vec<_>>()))
}

fn as_json(f: &Family) -> Value {
    let number = |v: f64| {
        if v.is_finite() {
            json!(v)
        } else {
            json!(query::text::float::general(v))
        }
    };
    let mut metrics: Vec<Value> = Vec::new();
    match f.kind {
        Kind::Counter | Kind::Gauge | Kind::Untyped => {
            for s in &f.samples {
                metrics.push(json!({
                    "label": label_pairs(s),
                    f.kind.word(): { "value": number(s.value) },
                }));
            }
        }
        Kind::Histogram | Kind::Summary => {
            let mut buckets = Vec::new();
            let mut sum = 0.0;
            for s in &f.samples {
                match s.suffix {
                    Suffix::Bucket => buckets.push(json!({
                        "cumulativeCount": (s.value as u64).to_string(),
                        "upperBound": s.labels.iter().find(|(n, _)| *n == "le").map_or("", |(_, v)| v),
                    })),
                    Suffix::Sum => sum = s.value,
                    _ => metrics.push(json!({
                        "label": label_pairs(s),
                        f.kind.word(): {
                            "sampleCount": (s.value as u64).to_string(),
                            "sampleSum": number(sum),
                            "bucket": std::mem::take(&mut buckets),
                        },
                    })),
                }
            }
        }
    }
    json!({
        "name": f.name,
        "help": f.help,
        "type": f.kind.word().to_ascii_uppercase(),
        "metric": metrics,
    })
}

fn label_pairs(s: &Sample) -> Vec<Value> {
    let pairs = s.labels.iter().filter(|(n, _)| *n != "le");
    pairs
        .map(|(n, v)| json!({ "name": n, "value": v }))
        .collect()
}
