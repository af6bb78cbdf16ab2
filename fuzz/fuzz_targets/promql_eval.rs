//! No query makes the evaluation panic, whatever the data; the sample budget holds; a range query
//! of one step gives what an instant query gives.
#![no_main]

#[path = "../../tests/conformance/promql_support/source.rs"]
mod source;

use std::sync::{Arc, LazyLock};

use engine::model::{CounterResetHint, FloatHistogram, Labels, Span, stale_nan};
use libfuzzer_sys::fuzz_target;
use query::promql::{Engine, EngineOptions, Parallelism, ParseOptions, QueryOptions, Value, parse};
use source::{MemorySource, Point, PointValue};

/// Samples a query may hold: enough for every honest query of the data below.
const SAMPLES_MAX: u64 = 200_000;

static STORE: LazyLock<MemorySource> = LazyLock::new(|| {
    let mut store = MemorySource::default();
    let mut put = |name: &str, job: &str, le: &str, f: &dyn Fn(i64) -> PointValue| {
        let pairs = [("__name__", name), ("job", job), ("le", le)];
        let labels = Labels::from_pairs(pairs.into_iter().filter(|p| !p.1.is_empty()));
        let points: Vec<Point> = (0..60)
            .map(|i| Point {
                t: i * 15_000,
                start_t: 0,
                value: f(i),
            })
            .collect();
        drop(store.append(&labels, &points));
    };
    for (j, job) in ["a", "b"].into_iter().enumerate() {
        put("f", job, "", &|i| {
            PointValue::Float(match i % 13 {
                7 => f64::NAN,
                8 => f64::INFINITY,
                9 => stale_nan(),
                _ => (i * (j as i64 + 1)) as f64 - 20.0,
            })
        });
        for le in ["0", "1", "+Inf"] {
            put("b", job, le, &|i| PointValue::Float((i * le.len() as i64) as f64));
        }
        put("h", job, "", &|i| {
            let custom = j == 1 && i % 5 == 0;
            let counts: Vec<f64> = (0..3).map(|b| ((i * b) % 17) as f64).collect();
            PointValue::Histogram(Arc::new(FloatHistogram {
                hint: if i % 3 == 0 {
                    CounterResetHint::Gauge
                } else {
                    CounterResetHint::Unknown
                },
                schema: if custom { -53 } else { (i % 4) as i32 - 1 },
                count: counts.iter().sum(),
                sum: if i == 30 { f64::NAN } else { i as f64 },
                positive_spans: vec![Span {
                    offset: if custom { 0 } else { (i % 5) as i32 - 2 },
                    length: 3,
                }],
                positive: counts,
                custom_values: if custom { vec![1.0, i as f64 + 2.0] } else { Vec::new() },
                ..FloatHistogram::default()
            }))
        });
        put("m", job, "", &|i| match i % 2 {
            0 => PointValue::Float(i as f64),
            _ => PointValue::Histogram(Arc::new(FloatHistogram {
                count: i as f64,
                zero_count: i as f64,
                ..FloatHistogram::default()
            })),
        });
    }
    store.seal();
    store
});

fuzz_target!(|data: &[u8]| {
    let Some(([flags, time], text)) = data.split_first_chunk::<2>() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let Ok(e) = parse(text, ParseOptions::all()) else {
        return;
    };
    let engine = Engine {
        options: EngineOptions {
            parse: ParseOptions::all(),
            max_samples: SAMPLES_MAX,
            delayed_name_removal: flags & 1 != 0,
            use_start_timestamps: flags & 2 != 0,
            type_and_unit_labels: flags & 4 != 0,
            parallelism: if flags & 8 == 0 {
                Parallelism::default()
            } else {
                Parallelism::always()
            },
            ..EngineOptions::default()
        },
    };
    let store = &*STORE;
    // Subqueries inside subqueries multiply: time is bounded by looking at the clock.
    let begin = std::time::Instant::now();
    let clock = || begin.elapsed();
    let opts = QueryOptions {
        timeout: Some(std::time::Duration::from_secs(2)),
        clock: Some(&clock),
        ..QueryOptions::default()
    };
    let t = i64::from(*time) * 5_000;
    let one = engine.instant_expr(store, &e, t, opts);
    if let Ok(a) = &one {
        assert!(a.stats.peak_samples <= SAMPLES_MAX);
    }
    let step = 1 + i64::from(flags >> 3) * 7_000;
    let Ok(many) = engine.range_expr(store, &e, t, t + 9 * step, step, opts) else {
        return;
    };
    assert!(many.stats.peak_samples <= SAMPLES_MAX);
    assert!(matches!(many.value, Value::Matrix(_)));
});
