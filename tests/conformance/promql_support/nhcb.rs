//! Classic histograms of a load as native histograms with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Labels, METRIC_NAME, Span};
use query::text::float;

use super::script::LoadSeries;
use super::source::{Point, PointValue};

#[derive(Default)]
struct Collected {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The series to store besides the loaded ones.
pub fn convert(series: &[LoadSeries]) -> Result<Vec<LoadSeries>, String> {
    let mut all: BTreeMap<Labels, BTreeMap<i64, Collected>> = BTreeMap::new();
    for s in series {
        let name = s.labels.metric_name().unwrap_or("");
        let Some((base, suffix)) = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|x| name.strip_suffix(x).map(|b| (b, *x)))
        else {
            continue;
        };
        let le = s.labels.get("le").and_then(float::parse_float);
        if suffix == "_bucket" && le.is_none_or(f64::is_nan) {
            continue;
        }
        let labels = s.labels.without(&["le"]).with(METRIC_NAME, base);
        let by_time = all.entry(labels).or_default();
        for p in &s.points {
            let PointValue::Float(v) = p.value else {
                continue;
            };
            if engine::model::is_stale(v) {
                continue;
            }
            let c = by_time.entry(p.t).or_default();
            match (suffix, le) {
                ("_bucket", Some(le)) => c.buckets.push((le, v)),
                ("_count", _) => c.count = Some(v),
                _ => c.sum = v,
            }
        }
    }
    all.into_iter()
        .map(|(labels, by_time)| {
            let points = by_time
                .into_iter()
                .map(|(t, c)| {
                    let h = histogram(c).map_err(|e| format!("{labels} at {t}: {e}"))?;
                    Ok(Point {
                        t,
                        start_t: 0,
                        value: PointValue::Histogram(Arc::new(h)),
                    })
                })
                .collect::<Result<Vec<_>, String>>()?;
            Ok(LoadSeries { labels, points })
        })
        .collect()
}

fn histogram(mut c: Collected) -> Result<FloatHistogram, String> {
    c.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut before = 0.0;
    for (_, v) in &c.buckets {
        if *v < before {
            return Err("buckets are not cumulative".to_owned());
        }
        before = *v;
    }
    let count = c.count.unwrap_or(before);
    match c.buckets.last() {
        Some((le, v)) if le.is_infinite() => {
            if *v != count {
                return Err("count differs from the +Inf bucket".to_owned());
            }
        }
        _ => c.buckets.push((f64::INFINITY, count)),
    }
    let mut previous = 0.0;
    let positive: Vec<f64> = c
        .buckets
        .iter()
        .map(|(_, v)| {
            let d = v - previous;
            previous = *v;
            d
        })
        .collect();
    Ok(FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count,
        sum: c.sum,
        positive_spans: vec![Span {
            offset: 0,
            length: positive.len() as u32,
        }],
        positive,
        custom_values: c
            .buckets
            .iter()
            .map(|(le, _)| *le)
            .filter(|le| le.is_finite())
            .collect(),
        ..FloatHistogram::default()
    })
}
