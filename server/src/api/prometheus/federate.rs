//! `/federate`: the newest samples of series, for another server to scrape.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use engine::model::{Labels, METRIC_NAME, is_stale};
use hyper::header::ACCEPT;
use hyper::{HeaderMap, StatusCode, Uri};

use super::labels::{blocking, metric_name};
use super::selector;
use crate::api::Api;
use crate::api::call::finish;
use crate::api::error::ApiError;
use crate::http::{Coding, Params, plain};
use crate::telemetry::Counter;

/// A series' newest sample.
type Newest = (Labels, i64, f64);

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
    let collect = move || -> Result<Vec<Newest>, ApiError> {
        let mut all: Vec<Newest> = Vec::new();
        for matchers in &selectors {
            let found = db.select(tenant, matchers, from, now)?;
            found.scan(0..found.len(), &mut |i, column| {
                let last = column.ts.partition_point(|t| *t <= now);
                if let Some(last) = last.checked_sub(1)
                    && column.ts[last] > from
                    && !is_stale(column.values[last])
                {
                    let labels = found.labels(i).clone();
                    all.push((labels, column.ts[last], column.values[last]));
                }
                ControlFlow::Continue(())
            })?;
        }
        all.sort_by(|a, b| (metric_name(&a.0), &a.0).cmp(&(metric_name(&b.0), &b.0)));
        all.dedup_by(|a, b| a.0 == b.0);
        Ok(all)
    };
    let samples = match blocking(collect).await {
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
    let utf8 = accept.contains("escaping=allow-utf-8");
    let config = api.config.load();
    let external: Vec<(&str, &str)> = config.document.global.external_labels.iter().collect();
    let mut text = String::new();
    write(&samples, &external, utf8, &mut text);
    let content_type = if utf8 {
        "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    };
    let size = text.len();
    finish(
        Box::new(text.into_bytes()),
        size,
        content_type,
        Coding::accepted(&headers),
    )
}

/// Every character that classic names do not have becomes an underscore.
fn underscored(name: &str, colons: bool) -> String {
    let fits = |i: usize, c: char| {
        c == '_' || c.is_ascii_alphabetic() || (colons && c == ':') || (i > 0 && c.is_ascii_digit())
    };
    let each = name
        .chars()
        .enumerate()
        .map(|(i, c)| if fits(i, c) { c } else { '_' });
    each.collect()
}

fn is_classic(name: &str, colons: bool) -> bool {
    !name.is_empty() && underscored(name, colons) == name
}

fn write(samples: &[Newest], external: &[(&str, &str)], utf8: bool, out: &mut String) {
    let mut family = None;
    for (labels, t, v) in samples {
        let name = metric_name(labels);
        if name.is_empty() {
            continue;
        }
        let shown = if utf8 {
            name.to_owned()
        } else {
            underscored(name, true)
        };
        let quoted = !is_classic(&shown, true);
        if family != Some(name) {
            family = Some(name);
            out.push_str("# TYPE ");
            if quoted {
                query::text::quote::quote_into(out, &shown);
            } else {
                out.push_str(&shown);
            }
            out.push_str(" untyped\n");
        }
        let mut pairs: Vec<(&str, &str)> =
            labels.iter().filter(|(n, _)| *n != METRIC_NAME).collect();
        for (n, v) in external.iter().chain(&[("instance", "")]) {
            if !pairs.iter().any(|(have, _)| have == n) {
                pairs.push((n, v));
            }
        }
        pairs.sort_unstable();
        if !quoted {
            out.push_str(&shown);
        }
        out.push('{');
        if quoted {
            query::text::quote::quote_into(out, &shown);
            out.push(',');
        }
        for (i, (n, v)) in pairs.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            let n = if utf8 {
                (*n).to_owned()
            } else {
                underscored(n, false)
            };
            if is_classic(&n, false) {
                out.push_str(&n);
            } else {
                query::text::quote::quote_into(out, &n);
            }
            out.push_str("=\"");
            for c in v.chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    '"' => out.push_str("\\\""),
                    '\n' => out.push_str("\\n"),
                    c => out.push(c),
                }
            }
            out.push('"');
        }
        out.push_str("} ");
        query::text::float::write_general(out, *v);
        out.push(' ');
        out.push_str(&t.to_string());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_grouped_and_labels_completed() {
        let l = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.to_vec());
        let samples = [
            (l(&[("__name__", "a.b"), ("x", "1\"")]), 5, 1.5),
            (
                l(&[("__name__", "c"), ("instance", "i"), ("dc", "own")]),
                6,
                2.0,
            ),
        ];
        let mut out = String::new();
        write(&samples, &[("dc", "eu")], false, &mut out);
        assert_eq!(
            out,
            "# TYPE a_b untyped\na_b{dc=\"eu\",instance=\"\",x=\"1\\\"\"} 1.5 5\n\
             # TYPE c untyped\nc{dc=\"own\",instance=\"i\"} 2 6\n"
        );
        out.clear();
        write(&samples[..1], &[], true, &mut out);
        assert_eq!(
            out,
            "# TYPE \"a.b\" untyped\n{\"a.b\",instance=\"\",x=\"1\\\"\"} 1.5 5\n"
        );
    }
}
