//! The engine against the oracle: random queries over random data give the same answers.
//!
//! `SEXTANT_QUERIES` changes the number of queries, `SEXTANT_SEED` where they begin. A difference
//! names its seed; `SEXTANT_SEED=<that> SEXTANT_QUERIES=1` repeats it alone.

#![allow(missing_docs, clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "../conformance/promql_support/source.rs"]
mod source;

#[path = "../support/promql_oracle/mod.rs"]
mod promql_oracle;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::model::{FloatHistogram, Labels};
use query::promql::ast::{self, AggOp, Expr};
use query::promql::{
    Engine, EngineOptions, Parallelism, ParseOptions, QueryError, QueryOptions, SampleValue,
    StepStats, Value, histogram, parse,
};

use promql_oracle::generate::{Coverage, Generator, Rng, cover, data, required};
use promql_oracle::{Fail, Oracle, Out, SAME_LABELS, Stored, Val};
use source::{MemorySource, Point, PointValue};

/// What the engine and the oracle may differ by where sums are rounded: the documentation promises
/// no order of summation inside a query, and nested sums carry their rounding on.
const TOLERANCE: f64 = 1e-8;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

fn memory(data: &[Stored]) -> MemorySource {
    let mut out = MemorySource::default();
    for s in data {
        let points: Vec<Point> = s
            .points
            .iter()
            .map(|(t, v)| Point {
                t: *t,
                start_t: 0,
                value: match v {
                    Val::F(v) => PointValue::Float(*v),
                    Val::H(h) => PointValue::Histogram(Arc::new(h.write())),
                },
            })
            .collect();
        out.append(&s.labels, &points).unwrap();
    }
    out.seal();
    out
}

/// Samples by label set and time; a scalar has no labels.
type Rows = BTreeMap<(Labels, i64), SampleValue>;

fn rows_of(v: &Value) -> Rows {
    let mut out = Rows::new();
    match v {
        Value::Scalar(t, v) => {
            out.insert((Labels::empty(), *t), SampleValue::Float(*v));
        }
        Value::String(..) => {}
        Value::Vector(v) => {
            for s in v {
                out.insert((s.labels.clone(), s.t), s.value.clone());
            }
        }
        Value::Matrix(m) => {
            for s in m {
                for (t, v) in &s.floats {
                    out.insert((s.labels.clone(), *t), SampleValue::Float(*v));
                }
                for (t, h) in &s.histograms {
                    out.insert((s.labels.clone(), *t), SampleValue::Histogram(h.clone()));
                }
            }
        }
    }
    out
}

/// The whole query, step by step.
fn ask(o: &Oracle<'_>, e: &Expr) -> Result<Rows, Fail> {
    let mut out = Rows::new();
    let step = o.step.max(1);
    let mut t = o.start;
    while t <= o.end {
        let v = match o.eval(e, t)? {
            Out::Scalar(v) => vec![(Labels::empty(), Val::F(v))],
            Out::Str(_) => Vec::new(),
            Out::Vector(v) => promql_oracle::unique(v)?
                .into_iter()
                .map(|e| (e.labels, e.v))
                .collect(),
        };
        for (labels, v) in v {
            let v = match v {
                Val::F(v) => SampleValue::Float(v),
                Val::H(h) => SampleValue::Histogram(Arc::new(h.write())),
            };
            out.insert((labels, t), v);
        }
        t += step;
    }
    Ok(out)
}

fn close(a: f64, b: f64, exact: bool) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if exact {
        return a.to_bits() == b.to_bits() || (a == 0.0 && b == 0.0);
    }
    a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1e-3)
}

fn close_histograms(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let cells = |h: &FloatHistogram| -> Vec<(i64, f64, f64)> {
        histogram::all_buckets(h)
            .filter(|b| b.count != 0.0)
            .map(|b| {
                let side = i64::from(b.upper > 0.0) - i64::from(b.lower < 0.0);
                (i64::from(b.index) * 3 + side, b.upper, b.count)
            })
            .collect()
    };
    let (x, y) = (cells(a), cells(b));
    a.schema == b.schema
        && a.custom_values == b.custom_values
        && close(a.zero_threshold, b.zero_threshold, false)
        && close(a.zero_count, b.zero_count, false)
        && close(a.count, b.count, false)
        && close(a.sum, b.sum, false)
        && x.len() == y.len()
        && x.iter()
            .zip(&y)
            .all(|(x, y)| x.0 == y.0 && close(x.1, y.1, false) && close(x.2, y.2, false))
}

fn first_difference(engine: &Rows, oracle: &Rows, exact: bool) -> Option<String> {
    for (key, v) in engine {
        let same = match (v, oracle.get(key)) {
            (SampleValue::Float(a), Some(SampleValue::Float(b))) => close(*a, *b, exact),
            (SampleValue::Histogram(a), Some(SampleValue::Histogram(b))) => close_histograms(a, b),
            _ => false,
        };
        if !same {
            let other = oracle.get(key);
            return Some(format!(
                "{} at {}: engine {v:?}, oracle {other:?}",
                key.0, key.1
            ));
        }
    }
    let extra = oracle.iter().find(|(k, _)| !engine.contains_key(*k))?;
    Some(format!(
        "{} at {}: engine nothing, oracle {:?}",
        extra.0.0, extra.0.1, extra.1
    ))
}

/// Whether every operation of the query has one defined result down to the last bit: nothing sums
/// in an order of its own, interpolates in logarithms, or works on histograms.
fn is_exact(e: &Expr) -> bool {
    let mut exact = true;
    ast::walk(e, &mut |e| {
        exact &= match e {
            Expr::Aggregate(a) => !matches!(
                a.op,
                AggOp::Sum | AggOp::Avg | AggOp::Stddev | AggOp::Stdvar
            ),
            Expr::Call(c) => {
                let name = c.func.name;
                let sums = [
                    "sum_", "avg_", "stddev_", "stdvar_", "deriv", "predict", "double_",
                ];
                let rates = ["rate", "increase", "delta"];
                let library = ["asinh", "histogram"];
                !sums.iter().chain(&library).any(|p| name.starts_with(p)) && !rates.contains(&name)
            }
            _ => true,
        }
    });
    exact
}

#[derive(Default)]
struct Tally {
    agreed: u64,
    exact: u64,
    failed_both: u64,
    open: u64,
    empty: u64,
    points: u64,
    differences: Vec<String>,
    coverage: Coverage,
}

/// Data in both forms.
struct World {
    number: u64,
    stored: Vec<Stored>,
    source: MemorySource,
}

impl World {
    /// The data changes more slowly than the queries: it is costly to make.
    fn number_of(seed: u64) -> u64 {
        seed / 64 + 1
    }

    fn new(number: u64) -> Self {
        let stored = data(&mut Rng::new(number));
        Self {
            number,
            source: memory(&stored),
            stored,
        }
    }
}

/// One query of a seed.
fn run(seed: u64, world: &World, tally: &mut Tally) {
    let mut rng = Rng::new(seed);
    let depth = 1 + rng.below(3);
    let text = if rng.chance(5) {
        Generator { rng: &mut rng }.scalar(2)
    } else {
        Generator { rng: &mut rng }.vector(depth)
    };
    let start = 400_000 + rng.below(1_500_000) as i64;
    let instant = rng.chance(30);
    let step = if instant {
        0
    } else {
        [7_000, 15_000, 61_000, 240_000][rng.below(4)]
    };
    let end = start + step * rng.below(6) as i64;
    let place = format!("seed {seed}: {text}\n  from {start} to {end} step {step}\n  ");
    compare(world, &text, (start, end, step), &place, tally);
}

/// One query at (start, end, step) ms; step 0 is an instant query.
fn compare(
    world: &World,
    text: &str,
    (start, end, step): (i64, i64, i64),
    place: &str,
    tally: &mut Tally,
) {
    let (stored, source) = (&world.stored, &world.source);
    let expr = match parse(text, ParseOptions::all()) {
        Ok(e) => e,
        Err(e) => {
            tally
                .differences
                .push(format!("{place}does not parse: {e}"));
            return;
        }
    };
    let engine = Engine {
        options: EngineOptions {
            parse: ParseOptions::all(),
            // Threads change nothing.
            parallelism: if text.len().is_multiple_of(2) {
                Parallelism::default()
            } else {
                Parallelism::always()
            },
            ..EngineOptions::default()
        },
    };
    let opts = QueryOptions {
        per_step: true,
        ..QueryOptions::default()
    };
    let answer = if step == 0 {
        engine.instant_expr(source, &expr, start, opts)
    } else {
        engine.range_expr(source, &expr, start, end, step, opts)
    };
    let oracle = Oracle::new(stored, start, end, step);
    let expected = ask(&oracle, &expr);
    match (&answer, &expected) {
        (Ok(a), Ok(b)) => {
            let of = |f: fn(&StepStats) -> u64| a.per_step.iter().map(f).sum::<u64>();
            let steps = (of(|s| s.queryable_samples), of(|s| s.samples_read));
            let whole = (a.stats.total_queryable_samples, a.stats.samples_read);
            if steps != whole {
                let text =
                    format!("{place}steps looked at and read {steps:?}, all of it {whole:?}");
                tally.differences.push(text);
                return;
            }
            let a = rows_of(&a.value);
            let exact = is_exact(&expr);
            match first_difference(&a, b, exact) {
                None => {
                    tally.agreed += 1;
                    tally.exact += u64::from(exact);
                    tally.points += a.len() as u64;
                    if a.is_empty() {
                        tally.empty += 1;
                    } else {
                        cover(&mut tally.coverage, &expr);
                    }
                }
                Some(_) if oracle.is_open() => tally.open += 1,
                Some(d) => tally.differences.push(format!("{place}{d}")),
            }
        }
        (Err(QueryError::Parse(_) | QueryError::Invalid(_)), _) => {
            tally
                .differences
                .push(format!("{place}refused: {answer:?}"));
        }
        (Err(_), Err(_)) => tally.failed_both += 1,
        _ if oracle.is_open() => tally.open += 1,
        // Whole series with equal labels are refused even where their samples never meet, which
        // one step alone cannot see.
        (Err(QueryError::Execution(e)), Ok(_)) if e == SAME_LABELS => tally.failed_both += 1,
        (Err(e), Ok(_)) => tally.differences.push(format!("{place}engine fails: {e}")),
        (Ok(_), Err(e)) => tally
            .differences
            .push(format!("{place}oracle fails: {}", e.0)),
    }
}

#[test]
fn random_queries_have_the_answers_of_the_oracle() {
    let first = number("SEXTANT_SEED", 1);
    let count = number("SEXTANT_QUERIES", 3_000);
    let mut tally = Tally::default();
    let mut world = World::new(World::number_of(first));
    for seed in first..first + count {
        if World::number_of(seed) != world.number {
            world = World::new(World::number_of(seed));
        }
        run(seed, &world, &mut tally);
    }
    let missing: Vec<String> = required()
        .into_iter()
        .filter(|r| !tally.coverage.contains_key(r))
        .collect();
    println!(
        "{count} queries, {} differences: {} agree ({} to the bit, {} points, {} empty), {} fail on both sides, {} with more than one right answer; {} parts of the language covered",
        tally.differences.len(),
        tally.agreed,
        tally.exact,
        tally.points,
        tally.empty,
        tally.failed_both,
        tally.open,
        tally.coverage.len(),
    );
    for d in tally
        .differences
        .iter()
        .take(number("SEXTANT_SHOW", 20) as usize)
    {
        println!("{d}");
    }
    assert!(
        tally.differences.is_empty(),
        "{} differences",
        tally.differences.len()
    );
    if count >= 3_000 {
        assert!(
            missing.is_empty(),
            "never in a query with a value: {missing:?}"
        );
        assert!(
            tally.open * 10 < count,
            "{} queries decide nothing",
            tally.open
        );
    }
}

/// Queries on which the two once differed.
const ONCE_DIFFERENT: [&str; 6] = [
    // A factor out of bounds is an error only where there is something to smooth.
    "double_exponential_smoothing(gauge{job=\"none\"}[5m], 0.3, 1.5)",
    "double_exponential_smoothing(level[5m], 0.3, 1.5)",
    // Dropped names make label sets equal, and what is above must not hide it.
    "abs({job=\"a\",__name__=~\"limits|level|gauge\"}) > 1e9",
    "clamp(-{__name__=~\"level|gauge\"}, 2, 1)",
    "absent(quantile_over_time(0.99, {__name__=~\"level|gauge\"}[5m]))",
    "count(abs({__name__=~\"level|gauge\"}))",
];

#[test]
fn what_once_differed_agrees() {
    let world = World::new(1);
    let mut tally = Tally::default();
    for text in ONCE_DIFFERENT {
        for when in [(1_000_000, 1_000_000, 0), (900_000, 1_200_000, 60_000)] {
            compare(&world, text, when, &format!("{text}\n  "), &mut tally);
        }
    }
    assert!(tally.differences.is_empty(), "{:#?}", tally.differences);
    assert_eq!(tally.open, 0);
}

/// Which series `limit_ratio` takes is a matter of hashing; that a share and its complement make up
/// the whole is not.
#[test]
fn a_ratio_and_its_complement_are_everything() {
    let world = World::new(1);
    let engine = Engine {
        options: EngineOptions {
            parse: ParseOptions::all(),
            ..EngineOptions::default()
        },
    };
    let labels = |text: &str| -> Vec<Labels> {
        let answer = engine.instant(&world.source, text, 1_000_000, QueryOptions::default());
        let rows = rows_of(&answer.unwrap().value);
        rows.into_keys().map(|(l, _)| l).collect()
    };
    let all = labels("{job=~\".+\"}");
    for ratio in ["0.1", "0.3", "0.5", "0.9"] {
        let kept = labels(&format!("limit_ratio({ratio}, {{job=~\".+\"}})"));
        let rest = labels(&format!("limit_ratio({ratio} - 1, {{job=~\".+\"}})"));
        assert!(kept.iter().all(|l| !rest.contains(l)));
        assert_eq!(kept.len() + rest.len(), all.len(), "{ratio}");
    }
}
