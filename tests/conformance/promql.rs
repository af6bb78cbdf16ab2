//! Upstream's PromQL acceptance tests, run natively: every eval of the corpus, each instant query
//! again with `@` and again as a range query.
//!
//! The corpus is found at `$SEXTANT_SHARED` or beside the workspace; without it the test says so
//! and passes, except where `CI` is set.

#![allow(missing_docs, clippy::unwrap_used, unreachable_pub)]

#[path = "promql_support/nhcb.rs"]
mod nhcb;
#[path = "promql_support/script.rs"]
mod script;
#[path = "promql_support/source.rs"]
mod source;

use std::path::PathBuf;
use std::time::Duration;

use engine::model::{FloatHistogram, Labels, is_stale};
use query::promql::ast::Expr;
use query::promql::parse::SequenceValue;
use query::promql::{
    Answer, Engine, EngineOptions, Level, MatrixSeries, Parallelism, ParseOptions, QueryError,
    QueryOptions, SampleValue, Value, histogram,
};

use script::{Command, Eval, Expected, Text};
use source::MemorySource;

fn corpus() -> Option<PathBuf> {
    let base = std::env::var_os("SEXTANT_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let dir = base.join("conformance/promql/upstream");
    dir.is_dir().then_some(dir)
}

fn engine(parallelism: Parallelism) -> Engine {
    Engine {
        options: EngineOptions {
            parse: ParseOptions::all(),
            lookback_ms: 300_000,
            max_samples: 10_000,
            timeout: Duration::from_secs(100),
            default_subquery_step_ms: 60_000,
            delayed_name_removal: true,
            use_start_timestamps: true,
            type_and_unit_labels: false,
            parallelism,
            memory: None,
        },
    }
}

#[test]
fn upstream_corpus() {
    let Some(dir) = corpus() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "the PromQL corpus is missing"
        );
        println!("PromQL corpus not found: set SEXTANT_SHARED; skipping");
        return;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "test"))
        .collect();
    files.sort();
    let only = std::env::var("SEXTANT_PROMQL_FILE").ok();
    let (mut passed, mut failed) = (0, 0);
    for f in files {
        let name = f.file_name().unwrap().to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|o| !name.contains(o.as_str())) {
            continue;
        }
        let text = std::fs::read_to_string(&f).unwrap();
        let (p, mut errors) = run_file(&text, Parallelism::default());
        // Threads change nothing.
        let (q, more) = run_file(&text, Parallelism::always());
        if q != p {
            errors.push(format!(" {q} passed with several threads, {p} with one"));
        }
        errors.extend(more);
        for e in &errors {
            println!("{name}:{e}");
        }
        println!("{name}: {p} passed, {} failed", errors.len());
        passed += p;
        failed += errors.len();
    }
    println!("total: {passed} passed, {failed} failed");
    assert_eq!(failed, 0);
}

fn run_file(text: &str, parallelism: Parallelism) -> (usize, Vec<String>) {
    let (commands, syntax) = script::parse_file(text);
    let engine = engine(parallelism);
    let mut source = MemorySource::default();
    let (mut passed, mut errors) = (0, Vec::new());
    for c in commands {
        match c {
            Command::Clear => source = MemorySource::default(),
            Command::Load {
                series,
                with_nhcb,
                line,
            } => {
                let native = if with_nhcb {
                    nhcb::convert(&series)
                } else {
                    Ok(Vec::new())
                };
                let done = native.and_then(|native| {
                    series
                        .iter()
                        .chain(&native)
                        .try_for_each(|s| source.append(&s.labels, &s.points))
                });
                if let Err(e) = done {
                    errors.push(format!("{line}: load: {e}"));
                    return (passed, errors);
                }
                source.seal();
            }
            Command::Eval(e) => match run_eval(&engine, &source, &e) {
                Ok(()) => passed += 1,
                Err(x) => errors.push(format!("{}: {}: {x}", e.line, e.text)),
            },
        }
    }
    errors.extend(syntax);
    (passed, errors)
}

type Check = Result<(), String>;

fn run_eval(engine: &Engine, source: &MemorySource, e: &Eval) -> Check {
    let (start, end, step) = e.times;
    if step > 0 {
        let got = engine.range(source, &e.text, start, end, step, QueryOptions::default());
        let Some(answer) = check_failure(&got, e)? else {
            return Ok(());
        };
        check_annotations(answer, &e.text, e)?;
        let Value::Matrix(m) = &answer.value else {
            return Err("not a matrix".to_owned());
        };
        return check_matrix(m, e, (start, end, step));
    }
    let mut queries = vec![(start, e.text.clone())];
    if let Some(pinned) = pin_times(&e.expr, start) {
        let times = if start == 0 {
            vec![-1000, 0, 1000]
        } else {
            vec![-10 * start, 0, start / 5, start, 10 * start]
        };
        let text = pinned.to_string();
        queries.extend(times.into_iter().map(|t| (t, text.clone())));
    }
    for (t, text) in queries {
        let at = |x: String| format!("[{text} at {t}] {x}");
        run_instant(engine, source, e, &text, t).map_err(at)?;
    }
    Ok(())
}

fn run_instant(engine: &Engine, source: &MemorySource, e: &Eval, text: &str, t: i64) -> Check {
    let got = engine.instant(source, text, t, QueryOptions::default());
    let Some(answer) = check_failure(&got, e)? else {
        return Ok(());
    };
    check_annotations(answer, text, e)?;
    let x = &e.expect;
    if let Some(want) = &x.string {
        return match &answer.value {
            Value::String(_, s) if s == want => Ok(()),
            v => Err(format!("expected string {want:?}, got {v:?}")),
        };
    }
    if let Some(times) = x.range_vector {
        let Value::Matrix(m) = &answer.value else {
            return Err("not a range vector".to_owned());
        };
        return check_matrix(m, e, times);
    }
    match (&answer.value, x.scalar) {
        (Value::Scalar(_, v), Some(want)) => {
            if !almost(want, *v) {
                return Err(format!("expected {want}, got {v}"));
            }
        }
        (Value::Vector(v), None) => {
            let got: Vec<(Labels, SampleValue)> = v
                .iter()
                .map(|s| (s.labels.clone(), s.value.clone()))
                .collect();
            check_vector(&got, &x.series, x.ordered)?;
        }
        (v, _) => return Err(format!("wrong kind of result: {v:?}")),
    }
    check_as_range(engine, source, e, text, t).map_err(|x| format!("as range: {x}"))
}

fn check_as_range(engine: &Engine, source: &MemorySource, e: &Eval, text: &str, t: i64) -> Check {
    let context = regex::Regex::new(r"(start|end|range|step)\(\)").unwrap();
    if context.is_match(text) {
        return Ok(());
    }
    let minute = 60_000;
    let got = engine
        .range(
            source,
            text,
            t - minute,
            t + minute,
            minute,
            QueryOptions::default(),
        )
        .map_err(|e| e.to_string())?;
    let Value::Matrix(m) = got.value else {
        return Err("not a matrix".to_owned());
    };
    check_sorted(&m)?;
    if e.expect.ordered {
        return Ok(());
    }
    let mut at = Vec::new();
    for s in &m {
        let float = s
            .floats
            .iter()
            .find(|p| p.0 == t)
            .map(|p| SampleValue::Float(p.1));
        let hist = s
            .histograms
            .iter()
            .find(|p| p.0 == t)
            .map(|p| SampleValue::Histogram(p.1.clone()));
        if let Some(v) = float.or(hist) {
            at.push((s.labels.clone(), v));
        }
    }
    match e.expect.scalar {
        None => check_vector(&at, &e.expect.series, false),
        Some(want) => match at.as_slice() {
            [(l, SampleValue::Float(v))] if l.is_empty() && almost(want, *v) => Ok(()),
            other => Err(format!("expected {want}, got {other:?}")),
        },
    }
}

/// The answer to look at, or `None` when the query failed as expected.
fn check_failure<'a>(
    got: &'a Result<Answer, QueryError>,
    e: &Eval,
) -> Result<Option<&'a Answer>, String> {
    match (got, &e.expect.fail) {
        (Ok(a), None) => Ok(Some(a)),
        (Ok(_), Some(_)) => Err("expected a failure".to_owned()),
        (Err(x), None) => Err(format!("failed: {x}")),
        (Err(x), Some(want)) => {
            if want.matches(&x.to_string()) {
                Ok(None)
            } else {
                Err(format!(
                    "failed with {:?}, expected {want:?}",
                    x.to_string()
                ))
            }
        }
    }
}

fn check_annotations(a: &Answer, text: &str, e: &Eval) -> Check {
    let x = &e.expect;
    for (level, wanted, none) in [
        (Level::Warning, &x.warn, x.no_warn),
        (Level::Info, &x.info, x.no_info),
    ] {
        let got: Vec<String> = a
            .annotations
            .iter()
            .filter(|n| n.level == level)
            .map(|n| n.render(text))
            .collect();
        if none && !got.is_empty() {
            return Err(format!("unexpected {level:?}: {got:?}"));
        }
        if let Some(w) = wanted.iter().find(|w| !got.iter().any(|g| w.matches(g))) {
            return Err(format!("missing {level:?} {w:?}, got {got:?}"));
        }
        let fits = |g: &String| wanted.iter().any(|w: &Text| w.matches(g));
        if !wanted.is_empty()
            && let Some(g) = got.iter().find(|g| !fits(g))
        {
            return Err(format!("{level:?} {g:?} fits none of {wanted:?}"));
        }
    }
    Ok(())
}

fn check_sorted(m: &[MatrixSeries]) -> Check {
    if m.is_sorted_by(|a, b| a.labels < b.labels) {
        Ok(())
    } else {
        Err("not sorted".to_owned())
    }
}

fn check_vector(got: &[(Labels, SampleValue)], want: &[Expected], ordered: bool) -> Check {
    for (i, w) in want.iter().enumerate() {
        let found = got.iter().position(|(l, _)| *l == w.labels);
        let Some(at) = found else {
            return Err(format!("missing {}, got {got:?}", w.labels));
        };
        if ordered && at != i {
            return Err(format!("{} is number {at}, expected {i}", w.labels));
        }
        let value = w.values.first().unwrap_or(&SequenceValue::Omitted);
        same_value(value, &got[at].1).map_err(|e| format!("{}: {e}", w.labels))?;
    }
    match got
        .iter()
        .find(|(l, _)| !want.iter().any(|w| w.labels == *l))
    {
        Some((l, v)) => Err(format!("unexpected {l} {v:?}")),
        None if got.len() != want.len() => Err(format!("{} results for {}", got.len(), want.len())),
        None => Ok(()),
    }
}

fn check_matrix(m: &[MatrixSeries], e: &Eval, (start, end, step): (i64, i64, i64)) -> Check {
    check_sorted(m)?;
    for w in &e.expect.series {
        let Some(s) = m.iter().find(|s| s.labels == w.labels) else {
            return Err(format!("missing {}, got {m:?}", w.labels));
        };
        let (mut floats, mut hists) = (s.floats.iter(), s.histograms.iter());
        for (i, v) in w.values.iter().enumerate() {
            let t = start + step * i as i64;
            if t > end {
                return Err("expected value after the end".to_owned());
            }
            let (at, got) = match v {
                SequenceValue::Omitted => continue,
                SequenceValue::Float(_) => match floats.next() {
                    Some((t, v)) => (*t, SampleValue::Float(*v)),
                    None => return Err(format!("{}: no float at {t}", w.labels)),
                },
                SequenceValue::Histogram(..) => match hists.next() {
                    Some((t, h)) => (*t, SampleValue::Histogram(h.clone())),
                    None => return Err(format!("{}: no histogram at {t}", w.labels)),
                },
            };
            if at != t {
                return Err(format!("{}: point at {at}, expected {t} ({s:?})", w.labels));
            }
            same_value(v, &got).map_err(|e| format!("{} at {t}: {e}", w.labels))?;
        }
        if let Some((t, v)) = floats.next() {
            return Err(format!("{}: unexpected {v} at {t}", w.labels));
        }
        if hists.next().is_some() {
            return Err(format!("{}: unexpected histogram", w.labels));
        }
    }
    match m
        .iter()
        .find(|s| !e.expect.series.iter().any(|w| w.labels == s.labels))
    {
        Some(s) => Err(format!("unexpected {} {:?}", s.labels, s.floats)),
        None => Ok(()),
    }
}

fn same_value(want: &SequenceValue, got: &SampleValue) -> Check {
    match (want, got) {
        (SequenceValue::Float(w), SampleValue::Float(g)) if almost(*w, *g) => Ok(()),
        (SequenceValue::Histogram(w, hint), SampleValue::Histogram(g)) => {
            let (mut w, mut g) = ((**w).clone(), (**g).clone());
            histogram::compact(&mut w);
            histogram::compact(&mut g);
            if same_histogram(&w, &g) && (!hint || w.hint == g.hint) {
                return Ok(());
            }
            Err(format!("expected {w:?}, got {g:?}"))
        }
        _ => Err(format!("expected {want:?}, got {got:?}")),
    }
}

fn same_histogram(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let all =
        |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| almost(*x, *y));
    a.schema == b.schema
        && (!histogram::uses_custom_buckets(a) || a.custom_values == b.custom_values)
        && a.zero_threshold == b.zero_threshold
        && almost(a.count, b.count)
        && almost(a.sum, b.sum)
        && almost(a.zero_count, b.zero_count)
        && all(&a.positive, &b.positive)
        && all(&a.negative, &b.negative)
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
}

fn almost(a: f64, b: f64) -> bool {
    const EPSILON: f64 = 1e-6;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < EPSILON * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < EPSILON
}

/// The expression with every selector fixed at `t`; `None` when a function in it would still
/// depend on the evaluation time.
fn pin_times(expr: &Expr, t: i64) -> Option<Expr> {
    const UNSAFE: [&str; 15] = [
        "days_in_month",
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "hour",
        "minute",
        "month",
        "year",
        "predict_linear",
        "time",
        "timestamp",
        "start",
        "end",
        "range",
        "step",
    ];
    let mut safe = true;
    query::promql::ast::walk(expr, &mut |e| {
        if let Expr::Call(c) = e {
            safe &= !UNSAFE.contains(&c.func.name);
        }
    });
    let mut e = expr.clone();
    pin(&mut e, t);
    safe.then_some(e)
}

fn pin(e: &mut Expr, t: i64) {
    match e {
        Expr::Vector(v) => {
            v.at_ms.get_or_insert(t);
            v.at_edge = None;
        }
        Expr::Matrix(m) => {
            m.selector.at_ms.get_or_insert(t);
            m.selector.at_edge = None;
        }
        Expr::Subquery(s) => {
            s.at_ms.get_or_insert(t);
            s.at_edge = None;
        }
        Expr::Aggregate(a) => {
            pin(&mut a.expr, t);
            a.param.iter_mut().for_each(|p| pin(p, t));
        }
        Expr::Binary(b) => {
            pin(&mut b.lhs, t);
            pin(&mut b.rhs, t);
        }
        Expr::Call(c) => c.args.iter_mut().for_each(|a| pin(a, t)),
        Expr::Paren(p) => pin(&mut p.expr, t),
        Expr::Unary(u) => pin(&mut u.expr, t),
        Expr::Number(_) | Expr::String(_) => {}
    }
}
