//! PromQL hot paths over a source in memory whose series share their timestamps: 4,000 counters
//! and 1,600 histogram buckets, 4 h at 15 s.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::budget::Watch;
use engine::metrics::SelectError;
use engine::model::{Column, Labels, Matcher, StringMatcher as _};
use query::promql::{Engine, EngineOptions, ParseOptions, QueryOptions, parse};
use query::regex::LabelRegex;
use query::source::{SelectHints, SeriesReader, SeriesSet, Source};

const STEP_MS: i64 = 15_000;
const SAMPLES: usize = 960;

struct Bench {
    ts: Vec<Arc<[i64]>>,
    series: Arc<Vec<(Labels, usize, Vec<f64>)>>,
}

struct Found {
    all: Arc<Vec<(Labels, usize, Vec<f64>)>>,
    ts: Vec<Arc<[i64]>>,
    which: Vec<usize>,
    order: Vec<usize>,
    from: Vec<usize>,
    to: Vec<usize>,
}

impl Source for Bench {
    fn select(
        &self,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
        _: &SelectHints,
        _: &dyn Watch,
    ) -> Result<Box<dyn SeriesSet>, SelectError> {
        let which: Vec<usize> = (0..self.series.len())
            .filter(|i| Matcher::all_match(matchers, &self.series[*i].0))
            .collect();
        let mut order: Vec<usize> = (0..which.len()).collect();
        order.sort_by_key(|i| (self.series[which[*i]].1, *i));
        // A store hands out only the asked range; cut columns are shared like whole ones.
        let from: Vec<usize> = self
            .ts
            .iter()
            .map(|t| t.partition_point(|x| *x < min_t))
            .collect();
        let to: Vec<usize> = self
            .ts
            .iter()
            .map(|t| t.partition_point(|x| *x <= max_t))
            .collect();
        let ts = self
            .ts
            .iter()
            .zip(from.iter().zip(&to))
            .map(|(t, (a, b))| t[*a..*b.max(a)].into())
            .collect();
        Ok(Box::new(Found {
            all: self.series.clone(),
            ts,
            which,
            order,
            from,
            to,
        }))
    }
}

impl SeriesSet for Found {
    fn len(&self) -> usize {
        self.which.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.all[self.which[i]].0.clone()
    }

    fn order(&self) -> Vec<u32> {
        self.order.iter().map(|i| *i as u32).collect()
    }

    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(self)
    }
}

impl SeriesReader for &Found {
    fn read(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        for i in series.iter().map(|i| *i as usize) {
            let (_, g, values) = &self.all[self.which[i]];
            let column = Column {
                ts: &self.ts[*g],
                values: &values[self.from[*g]..self.to[*g].max(self.from[*g])],
                start_ts: &[],
                histograms: &[],
            };
            if visit(i, column).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The same numbers every time.
fn next(seed: &mut u64) -> f64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as f64 / f64::from(1u32 << 31)
}

fn source() -> Bench {
    let hosts = 100;
    let ts = (0..hosts)
        .map(|h| {
            (0..SAMPLES as i64)
                .map(|i| i * STEP_MS + h as i64 * 137)
                .collect()
        })
        .collect();
    let mut seed = 42;
    let mut series = Vec::new();
    for h in 0..hosts {
        let host = format!("host-{h:03}");
        for cpu in 0..5 {
            for mode in [
                "idle", "user", "system", "iowait", "irq", "nice", "softirq", "steal",
            ] {
                let labels = Labels::from_pairs([
                    ("__name__", "cpu_seconds_total"),
                    ("instance", &host),
                    ("cpu", &cpu.to_string()),
                    ("mode", mode),
                ]);
                let mut v = 0.0;
                let values = (0..SAMPLES)
                    .map(|_| {
                        v += next(&mut seed) * 15.0;
                        v
                    })
                    .collect();
                series.push((labels, h, values));
            }
        }
        let load = Labels::from_pairs([("__name__", "load1"), ("instance", &host)]);
        series.push((
            load,
            h,
            (0..SAMPLES).map(|_| next(&mut seed) * 8.0).collect(),
        ));
        let mut below = vec![0.0; SAMPLES];
        for le in [
            "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "25",
            "50", "100", "250", "+Inf",
        ] {
            let labels = Labels::from_pairs([
                ("__name__", "request_seconds_bucket"),
                ("instance", &host),
                ("le", le),
            ]);
            let mut v = 0.0;
            for b in &mut below {
                v += (next(&mut seed) * 10.0).floor();
                *b += v;
            }
            series.push((labels, h, below.clone()));
        }
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    Bench {
        ts,
        series: Arc::new(series),
    }
}

fn queries(c: &mut Criterion) {
    let source = source();
    let engine = Engine {
        options: EngineOptions {
            parse: ParseOptions::all(),
            max_samples: u64::MAX / 2,
            ..EngineOptions::default()
        },
    };
    let end = SAMPLES as i64 * STEP_MS;
    let mut g = c.benchmark_group("promql");
    g.sample_size(10);
    for (name, text) in [
        ("selector", "cpu_seconds_total"),
        ("sum_selector", "sum by (mode) (cpu_seconds_total)"),
        ("rate", "rate(cpu_seconds_total[5m])"),
        ("sum_rate", "sum by (mode) (rate(cpu_seconds_total[5m]))"),
        (
            "avg_rate_math",
            "100 * (1 - avg by (instance) (rate(cpu_seconds_total{mode=\"idle\"}[5m])))",
        ),
        (
            "quantile_by_le",
            "histogram_quantile(0.99, sum by (le) (rate(request_seconds_bucket[5m])))",
        ),
        (
            "quantile_by_host",
            "histogram_quantile(0.9, rate(request_seconds_bucket[5m]))",
        ),
        ("topk", "topk(5, rate(cpu_seconds_total[5m]))"),
        (
            "join",
            "sum by (instance) (rate(cpu_seconds_total{mode=\"user\"}[5m])) / on (instance) group_left () (load1 + 0.01)",
        ),
        (
            "ratio",
            "1 - cpu_seconds_total / ignoring (x) cpu_seconds_total",
        ),
        (
            "subquery",
            "max_over_time(sum by (instance) (rate(cpu_seconds_total[5m]))[30m:1m])",
        ),
        ("max_over_time", "max_over_time(load1[1h])"),
        ("sum_over_time", "sum_over_time(load1[1h])"),
        ("quantile_over_time", "quantile_over_time(0.9, load1[30m])"),
        (
            "count_over_time",
            "sum(count_over_time(cpu_seconds_total[10m]))",
        ),
    ] {
        let expr = parse(text, engine.options.parse).unwrap();
        g.throughput(Throughput::Elements(1));
        g.bench_function(format!("{name}_1h15s"), |b| {
            b.iter(|| {
                let a = engine
                    .range_expr(
                        &source,
                        &expr,
                        end - 3_600_000,
                        end,
                        STEP_MS,
                        QueryOptions::default(),
                    )
                    .unwrap();
                black_box(a)
            });
        });
    }
    let expr = parse(
        "sum by (mode) (rate(cpu_seconds_total[5m]))",
        engine.options.parse,
    )
    .unwrap();
    g.bench_function("sum_rate_4h60s", |b| {
        b.iter(|| {
            black_box(
                engine
                    .range_expr(&source, &expr, 0, end, 60_000, QueryOptions::default())
                    .unwrap(),
            )
        });
    });
    g.bench_function("sum_rate_instant", |b| {
        b.iter(|| {
            black_box(
                engine
                    .instant_expr(&source, &expr, end, QueryOptions::default())
                    .unwrap(),
            )
        });
    });
    let text = "histogram_quantile(0.99, sum by (le, job) (rate(request_seconds_bucket{job=~\"a|b\"}[5m]))) > 0.5 or on () vector(0)";
    g.bench_function("parse", |b| {
        b.iter(|| black_box(parse(text, engine.options.parse).unwrap()))
    });
    g.finish();
}

/// Patterns over the values of a label of a million series, as a select without a narrower matcher
/// tries them.
fn matchers(c: &mut Criterion) {
    let values: Vec<String> = (0..1_000_000)
        .map(|i| format!("pod-{i:07}-{}", i % 97))
        .collect();
    let mut g = c.benchmark_group("matchers_1m");
    g.sample_size(10);
    g.throughput(Throughput::Elements(values.len() as u64));
    for (name, pattern) in [
        ("literals", "pod-0000017-17|pod-0999999-8|nothing"),
        ("prefix", "pod-00.*"),
        ("suffix", ".*-42"),
        ("contains", ".*99.*"),
        ("class", "pod-[0-9]+-9[0-6]"),
        ("case_insensitive", "(?i)POD-0.*-1"),
    ] {
        let re = LabelRegex::new(pattern).unwrap();
        g.bench_function(name, |b| {
            b.iter(|| black_box(values.iter().filter(|v| re.is_match(v)).count()));
        });
    }
    g.finish();
}

criterion_group!(benches, queries, matchers);
criterion_main!(benches);
