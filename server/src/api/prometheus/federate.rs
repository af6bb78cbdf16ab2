//! `/federate`: the newest samples of series, for another server to scrape.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use engine::budget::Watch;
use engine::metrics::SelectError;
use engine::model::{
    CUSTOM_BUCKETS_SCHEMA, Column, FloatHistogram, Labels, METRIC_NAME, MetricType, is_stale,
};
use engine::wire::exposition::Format;
use engine::wire::exposition::negotiate::negotiate;
use engine::wire::exposition::write::{Family, Metric, MetricValue, write_end, write_family};
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{HeaderMap, StatusCode, Uri};

use super::labels::{metric_name, reading};
use super::selector;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::http::{Coding, Params, finish, plain};
use crate::telemetry::Counter;

/// A series' newest sample.
type Newest = (Labels, i64, MetricValue);

/// The samples as text.
pub(super) async fn federate(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let read = Params::read(
        &hyper::Method::GET,
        &uri,
        &headers,
        axum::body::Body::empty(),
        api.options.read_timeout,
    );
    let params = match read.await {
        Ok(p) => p,
        Err(refusal) => return refusal,
    };
    let mut selectors = Vec::new();
    for text in params.all("match[]") {
        match selector::parse(text) {
            Ok(s) => selectors.push(s),
            Err(e) => return plain(StatusCode::BAD_REQUEST, format!("{e}\n")),
        }
    }
    let Some(db) = api.db() else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "TSDB not ready\n");
    };
    let now = jiff::Timestamp::now().as_millisecond();
    let (tenant, from) = (api.tenant(), now - api.options.lookback_ms);
    let collect = move |watch: &dyn Watch| -> Result<Vec<Newest>, ApiError> {
        let mut all: Vec<Newest> = Vec::new();
        for matchers in &selectors {
            let found = db.select_watched(tenant, matchers, (from, now), false, watch)?;
            watch
                .go_on(found.len() * size_of::<Newest>())
                .map_err(SelectError::from)?;
            all.reserve(found.len());
            found.scan(0..found.len(), &mut |i, column| {
                if let Some((t, value)) = newest(&column, from, now) {
                    all.push((found.labels(i), t, value));
                }
                ControlFlow::Continue(())
            })?;
        }
        all.sort_by(|a, b| (metric_name(&a.0), &a.0).cmp(&(metric_name(&b.0), &b.0)));
        all.dedup_by(|a, b| a.0 == b.0);
        Ok(all)
    };
    let samples = match reading(&api, collect).await {
        Ok(s) => s,
        Err(e) => {
            api.metrics.add(Counter::FederationErrors, 1);
            return plain(e.kind.status(), format!("{}\n", e.text));
        }
    };
    let accept = headers
        .get(ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let offer = negotiate(accept, &[Format::Protobuf, Format::Text]);
    let config = api.config.load();
    let external: Vec<(&str, &str)> = config.document.global.external_labels.iter().collect();
    let mut out = Vec::new();
    for family in families(samples, &external) {
        write_family(&offer, &family, &mut out);
    }
    write_end(&offer, &mut out);
    let size = out.len();
    let mut r = finish(
        Box::new(out),
        size,
        "text/plain",
        Coding::accepted(&headers),
    );
    if let Ok(v) = offer.content_type().parse() {
        r.headers_mut().insert(CONTENT_TYPE, v);
    }
    r
}

/// The newest point in `(from, now]`, unless it marks the end of the series.
fn newest(column: &Column<'_>, from: i64, now: i64) -> Option<(i64, MetricValue)> {
    let last = column.ts.partition_point(|t| *t <= now).checked_sub(1);
    let float = last.map(|i| (column.ts[i], column.values[i]));
    let until = column.histograms.partition_point(|h| h.t <= now);
    let histogram = until.checked_sub(1).map(|i| &column.histograms[i]);
    let (t, value, stale) = match (float, histogram) {
        (f, Some(h)) if f.is_none_or(|(t, _)| t < h.t) => {
            (h.t, histogram_value(&h.h), is_stale(h.h.sum))
        }
        (Some((t, v)), _) => (t, MetricValue::Number(v), is_stale(v)),
        (None, _) => return None,
    };
    (t > from && !stale).then_some((t, value))
}

/// Histograms with custom buckets go out as classic ones.
fn histogram_value(h: &FloatHistogram) -> MetricValue {
    if h.schema != CUSTOM_BUCKETS_SCHEMA {
        return MetricValue::Native(h.clone().into_stored());
    }
    let mut counts = vec![0.0; h.custom_values.len() + 1];
    let (mut index, mut values) = (0i64, h.positive.iter());
    for span in &h.positive_spans {
        index += i64::from(span.offset);
        for v in values.by_ref().take(span.length as usize) {
            if let Some(c) = usize::try_from(index).ok().and_then(|i| counts.get_mut(i)) {
                *c = *v;
            }
            index += 1;
        }
    }
    let mut cumulative = 0.0;
    let bounds = h.custom_values.iter().copied().chain([f64::INFINITY]);
    let buckets = bounds.zip(&counts).map(|(bound, c)| {
        cumulative += c;
        (bound, cumulative as u64, None)
    });
    MetricValue::Histogram {
        buckets: buckets.collect(),
        count: h.count as u64,
        sum: h.sum,
    }
}

/// Groups samples (sorted by name) by metric and completes their labels. A series without
/// `instance` gets an empty one, so that a scraper that honours labels does not put its own.
fn families(samples: Vec<Newest>, external: &[(&str, &str)]) -> Vec<Family> {
    let mut out: Vec<Family> = Vec::new();
    for (labels, t, value) in samples {
        let name = metric_name(&labels).to_owned();
        if name.is_empty() {
            continue;
        }
        let kind = match value {
            MetricValue::Number(_) | MetricValue::Summary { .. } => MetricType::Unknown,
            MetricValue::Histogram { .. } | MetricValue::Native(_) => MetricType::Histogram,
        };
        if out.last().is_none_or(|f| f.name != name || f.kind != kind) {
            out.push(Family {
                name,
                help: String::new(),
                unit: String::new(),
                kind,
                metrics: Vec::new(),
            });
        }
        let mut pairs: Vec<(&str, &str)> =
            labels.iter().filter(|(n, _)| *n != METRIC_NAME).collect();
        for (n, v) in external.iter().chain(&[("instance", "")]) {
            if !pairs.iter().any(|(have, _)| have == n) {
                pairs.push((n, v));
            }
        }
        pairs.sort_unstable();
        let t = Some(t);
        let labels = Labels::from_sorted(&pairs);
        if let Some(f) = out.last_mut() {
            f.metrics.push(Metric { labels, t, value });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_grouped_and_labels_completed() {
        let l = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.to_vec());
        let n = MetricValue::Number;
        let samples = vec![
            (l(&[("__name__", "a.b"), ("x", "1\"")]), 5, n(1.5)),
            (
                l(&[("__name__", "c"), ("instance", "i"), ("dc", "own")]),
                6,
                n(2.0),
            ),
        ];
        let all = families(samples, &[("dc", "eu")]);
        let mut out = Vec::new();
        for f in &all {
            write_family(&negotiate("", &[Format::Text]), f, &mut out);
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "# TYPE a_b untyped\na_b{dc=\"eu\",instance=\"\",x=\"1\\\"\"} 1.5 5\n\
             # TYPE c untyped\nc{dc=\"own\",instance=\"i\"} 2 6\n"
        );
    }
}
