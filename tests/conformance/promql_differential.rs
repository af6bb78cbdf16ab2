//! Recorded answers of the reference server, replayed natively: values, order, errors with their
//! texts, warnings and infos. Metadata queries need a server and are left out; format_query and
//! parse_query are compared literally.

#![allow(missing_docs, clippy::unwrap_used, unreachable_pub)]

#[path = "promql_support/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::model::{CounterResetHint, FloatHistogram, Labels, Span, stale_nan};
use query::promql::json::Json;
use query::promql::{
    Answer, Engine, EngineOptions, Level, ParseOptions, QueryError, QueryOptions, SampleValue,
    Value, histogram, json, parse, print,
};
use query::text::float;
use serde_json::Value as J;

use source::{MemorySource, Point, PointValue};

/// A UTC midnight, in seconds.
const BASE: i64 = 1_700_006_400;

fn corpus() -> Option<PathBuf> {
    let base = std::env::var_os("SEXTANT_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let dir = base.join("conformance/promql/differential");
    dir.is_dir().then_some(dir)
}

fn read(dir: &Path, name: &str) -> J {
    let mut text = String::new();
    let file = std::fs::File::open(dir.join(name)).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn recorded_answers() {
    let Some(dir) = corpus() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "the recorded PromQL answers are missing"
        );
        println!("recorded PromQL answers not found: set SEXTANT_SHARED; skipping");
        return;
    };
    let source = dataset(&read(&dir, "dataset.json.gz"));
    let parse = ParseOptions {
        duration_expressions: true,
        ..ParseOptions::all()
    };
    let engine = Engine {
        options: EngineOptions {
            parse,
            ..EngineOptions::default()
        },
    };
    let goldens = read(&dir, "goldens.json.gz");
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for g in goldens["queries"].as_array().unwrap() {
        let done = match g["k"].as_str().unwrap() {
            "m" => match meta(g) {
                None => {
                    skipped += 1;
                    continue;
                }
                Some(r) => r,
            },
            _ => check(&engine, &source, g),
        };
        match done {
            Ok(()) => passed += 1,
            Err(e) => {
                failed += 1;
                println!("#{} {} {}: {e}", g["id"], g["c"], g["q"]);
            }
        }
    }
    println!("total: {passed} passed, {failed} failed, {skipped} need a server");
    assert_eq!(failed, 0);
}

fn number(v: &J) -> f64 {
    match v {
        J::String(s) if s == "stale" => stale_nan(),
        J::String(s) => float::parse_float(s).unwrap(),
        v => v.as_f64().unwrap(),
    }
}

fn dataset(d: &J) -> MemorySource {
    let mut out = MemorySource::default();
    for s in d["series"].as_array().unwrap() {
        let labels = Labels::from_pairs(
            s["l"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str().unwrap())),
        );
        let mut points: Vec<(i64, &J)> = Vec::new();
        for (i, v) in s["v"].as_array().into_iter().flatten().enumerate() {
            if !v.is_null() {
                points.push((
                    s["t0"].as_i64().unwrap() + i as i64 * s["step"].as_i64().unwrap(),
                    v,
                ));
            }
        }
        for p in s["p"].as_array().into_iter().flatten() {
            points.push((p[0].as_i64().unwrap(), &p[1]));
        }
        points.sort_by_key(|p| p.0);
        let points: Vec<Point> = points
            .into_iter()
            .map(|(t, v)| {
                let value = if v.is_object() {
                    PointValue::Histogram(Arc::new(dataset_histogram(v)))
                } else {
                    PointValue::Float(number(v))
                };
                Point {
                    t: BASE * 1000 + t,
                    start_t: 0,
                    value,
                }
            })
            .collect();
        out.append(&labels, &points).unwrap();
    }
    out.seal();
    out
}

fn dataset_histogram(v: &J) -> FloatHistogram {
    let list = |k: &str| {
        v[k].as_array()
            .into_iter()
            .flatten()
            .map(number)
            .collect::<Vec<f64>>()
    };
    let spans = |k: &str| {
        v[k].as_array()
            .into_iter()
            .flatten()
            .map(|s| Span {
                offset: s[0].as_i64().unwrap() as i32,
                length: s[1].as_u64().unwrap() as u32,
            })
            .collect::<Vec<_>>()
    };
    let f = |k: &str| v.get(k).map_or(0.0, number);
    FloatHistogram {
        hint: CounterResetHint::from_number(v["hint"].as_u64().unwrap_or(0)),
        schema: v["schema"].as_i64().unwrap_or(0) as i32,
        zero_threshold: f("zt"),
        zero_count: f("zc"),
        count: f("count"),
        sum: f("sum"),
        positive_spans: spans("ps"),
        negative_spans: spans("ns"),
        positive: list("pb"),
        negative: list("nb"),
        custom_values: list("cv"),
    }
}

fn substitute(q: &str) -> String {
    let re = regex::Regex::new(r"\{\{B([+-]\d+(?:\.\d+)?)?\}\}").unwrap();
    re.replace_all(q, |c: &regex::Captures<'_>| {
        let v = BASE as f64 + c.get(1).map_or(0.0, |m| m.as_str().parse().unwrap());
        if v.fract() == 0.0 {
            format!("{v:.0}")
        } else {
            format!("{v:.3}")
        }
    })
    .into_owned()
}

/// Milliseconds of a time relative to the base.
fn ms(v: &J) -> i64 {
    BASE * 1000 + (v.as_f64().unwrap() * 1000.0).round() as i64
}

fn check(engine: &Engine, source: &MemorySource, g: &J) -> Result<(), String> {
    let text = substitute(g["q"].as_str().unwrap());
    let mut opts = QueryOptions::default();
    for x in g["x"].as_array().into_iter().flatten() {
        if x[0] == "lookback_delta" {
            opts.lookback_ms = query::text::duration::parse(x[1].as_str().unwrap()).ok();
        }
    }
    let got = if g["k"] == "i" {
        engine.instant(source, &text, ms(&g["t"]), opts)
    } else {
        let r = &g["r"];
        let step = (r[2].as_f64().unwrap() * 1e9) as i64 / 1_000_000;
        engine.range(source, &text, ms(&r[0]), ms(&r[1]), step, opts)
    };
    let want = &g["want"];
    match (got, want["err"].as_str()) {
        (Err(e), Some(kind)) => check_error(&e, kind, want["msg"].as_str().unwrap_or("")),
        (Err(e), None) => Err(format!("failed: {e}")),
        (Ok(_), Some(kind)) => Err(format!("expected {kind}")),
        (Ok(a), None) => {
            check_annotations(&a, &text, want)?;
            check_value(g, &a.value)
        }
    }
}

fn check_error(e: &QueryError, kind: &str, message: &str) -> Result<(), String> {
    let (got, prefix) = match e {
        QueryError::Parse(_) | QueryError::Invalid(_) => {
            ("bad_data", "invalid parameter \"query\": ")
        }
        _ => ("execution", ""),
    };
    let text: String = format!("{prefix}{e}").chars().take(200).collect();
    // Which of several duplicates is named depends on the order of series.
    let same = text == message
        || (message.contains("found duplicate series") && text.contains("found duplicate series"));
    if got == kind && same {
        Ok(())
    } else {
        Err(format!("{got} {text:?}, expected {kind} {message:?}"))
    }
}

fn check_annotations(a: &Answer, text: &str, want: &J) -> Result<(), String> {
    let position = regex::Regex::new(r"(, from buckets .*)? \(\d+:\d+\)$").unwrap();
    for (level, key) in [(Level::Warning, "warnings"), (Level::Info, "infos")] {
        let got: BTreeSet<String> = a
            .annotations
            .iter()
            .filter(|n| n.level == level)
            .map(|n| position.replace(&n.render(text), "").into_owned())
            .collect();
        let want: BTreeSet<String> = want[key]
            .as_array()
            .into_iter()
            .flatten()
            .map(|s| s.as_str().unwrap().to_owned())
            .collect();
        if got != want {
            return Err(format!("{key}: expected {want:?}, got {got:?}"));
        }
    }
    Ok(())
}

fn labels_json(l: &Labels) -> J {
    J::Object(
        l.iter()
            .map(|(n, v)| (n.to_owned(), J::String(v.to_owned())))
            .collect(),
    )
}

fn histogram_json(h: &FloatHistogram) -> J {
    let buckets: Vec<J> = histogram::all_buckets(h)
        .filter(|b| b.count != 0.0)
        .map(|b| {
            let rule = match (b.lower_inclusive, b.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            let f = |v: f64| J::String(float::json(v));
            J::Array(vec![J::from(rule), f(b.lower), f(b.upper), f(b.count)])
        })
        .collect();
    serde_json::json!({"count": float::json(h.count), "sum": float::json(h.sum), "buckets": buckets})
}

fn point(t: i64, v: J) -> J {
    J::Array(vec![J::from(t - BASE * 1000), v])
}

/// The answer in the goldens' form.
fn normal(v: &Value) -> (&'static str, J) {
    let value = |v: &SampleValue| match v {
        SampleValue::Float(v) => J::String(float::json(*v)),
        SampleValue::Histogram(h) => histogram_json(h),
    };
    match v {
        Value::Scalar(t, v) => ("scalar", point(*t, J::String(float::json(*v)))),
        Value::String(t, s) => ("string", point(*t, J::String(s.clone()))),
        Value::Vector(v) => {
            let rows = v.iter().map(|s| {
                J::Array(vec![
                    labels_json(&s.labels),
                    J::from(s.t - BASE * 1000),
                    value(&s.value),
                ])
            });
            ("vector", J::Array(rows.collect()))
        }
        Value::Matrix(m) => {
            let rows = m.iter().map(|s| {
                let floats = s
                    .floats
                    .iter()
                    .map(|(t, v)| point(*t, J::String(float::json(*v))))
                    .collect();
                let hists: Vec<J> = s
                    .histograms
                    .iter()
                    .map(|(t, h)| point(*t, histogram_json(h)))
                    .collect();
                let mut row = vec![labels_json(&s.labels), J::Array(floats)];
                if !hists.is_empty() {
                    row.push(J::Array(hists));
                }
                J::Array(row)
            });
            ("matrix", J::Array(rows.collect()))
        }
    }
}

/// Points of a packed golden at their times.
fn unpack(g: &J, rows: &J) -> J {
    let step = (g["r"][2].as_f64().unwrap() * 1000.0).round() as i64;
    let first = (g["r"][0].as_f64().unwrap() * 1000.0).round() as i64;
    let points = |p: &J| {
        let mut out = Vec::new();
        for run in p.as_array().unwrap() {
            let at = run[0].as_i64().unwrap();
            for (j, v) in run[1].as_array().unwrap().iter().enumerate() {
                out.push(J::Array(vec![
                    J::from(first + (at + j as i64) * step),
                    v.clone(),
                ]));
            }
        }
        J::Array(out)
    };
    let row = |r: &J| {
        let r = r.as_array().unwrap();
        J::Array(
            std::iter::once(r[0].clone())
                .chain(r[1..].iter().map(points))
                .collect(),
        )
    };
    J::Array(rows.as_array().unwrap().iter().map(row).collect())
}

fn check_value(g: &J, v: &Value) -> Result<(), String> {
    let want = &g["want"];
    let (kind, got) = normal(v);
    if want["rt"] != kind {
        return Err(format!("{kind}, expected {}", want["rt"]));
    }
    let wanted = if want["packed"] == 1 {
        unpack(g, &want["v"])
    } else {
        want["v"].clone()
    };
    let tolerance = g["tol"].as_f64().unwrap_or(1e-9);
    if kind == "scalar" || kind == "string" {
        return same(&wanted, &got, tolerance, 0.0);
    }
    let (mut a, mut b) = (
        wanted.as_array().unwrap().clone(),
        got.as_array().unwrap().clone(),
    );
    let mut scale = 0.0;
    a.iter().for_each(|r| {
        r.as_array().unwrap()[1..]
            .iter()
            .for_each(|x| largest(x, &mut scale))
    });
    if g["k"] == "i" && g["ordered"] != true {
        let key = |r: &J| r[0].to_string();
        a.sort_by_key(key);
        b.sort_by_key(key);
    }
    if a.len() != b.len() {
        return Err(format!(
            "{} series, expected {}: {}",
            b.len(),
            a.len(),
            short(&got)
        ));
    }
    for (x, y) in a.iter().zip(&b) {
        if x[0] != y[0] {
            return Err(format!("labels {}, expected {}", y[0], x[0]));
        }
        same(x, y, tolerance, scale).map_err(|e| format!("{}: {e}", x[0]))?;
    }
    Ok(())
}

fn short(v: &J) -> String {
    v.to_string().chars().take(300).collect()
}

fn largest(v: &J, out: &mut f64) {
    match v {
        J::String(s) => {
            if let Some(f) = float::parse_float(s).filter(|f| f.is_finite()) {
                *out = out.max(f.abs());
            }
        }
        J::Array(a) => a.iter().for_each(|x| largest(x, out)),
        J::Object(o) => o.values().for_each(|x| largest(x, out)),
        _ => {}
    }
}

fn same(a: &J, b: &J, tolerance: f64, scale: f64) -> Result<(), String> {
    let ok = match (a, b) {
        (J::Array(x), J::Array(y)) if x.len() == y.len() => {
            return x
                .iter()
                .zip(y)
                .try_for_each(|(x, y)| same(x, y, tolerance, scale));
        }
        (J::Object(x), J::Object(y)) if x.len() == y.len() => {
            return x
                .iter()
                .try_for_each(|(k, v)| same(v, &y[k], tolerance, scale));
        }
        (J::String(x), J::String(y)) => x == y || close(x, y, tolerance, scale),
        (x, y) => x == y,
    };
    if ok {
        Ok(())
    } else {
        Err(format!("expected {}, got {}", short(a), short(b)))
    }
}

fn close(x: &str, y: &str, tolerance: f64, scale: f64) -> bool {
    let (Some(x), Some(y)) = (float::parse_float(x), float::parse_float(y)) else {
        return false;
    };
    if x.is_nan() || y.is_nan() {
        return x.is_nan() && y.is_nan();
    }
    let diff = (x - y).abs();
    x == y
        || x.is_finite()
            && y.is_finite()
            && (diff <= tolerance * x.abs().max(y.abs())
                || diff <= (1e-12f64).max(tolerance / 1000.0) * scale)
}

/// format_query and parse_query; other metadata needs a server.
fn meta(g: &J) -> Option<Result<(), String>> {
    let text = || g["p"][0][1].as_str().unwrap().to_owned();
    let want = &g["want"];
    let path = g["path"].as_str()?;
    let format = path.ends_with("/format_query");
    if !format && !path.ends_with("/parse_query") {
        return None;
    }
    let expr = match parse(&text(), ParseOptions::all()) {
        Ok(e) => e,
        Err(e) => {
            let message = format!("invalid parameter \"query\": {e}");
            return Some(if want["msg"] == message.as_str() {
                Ok(())
            } else {
                Err(message)
            });
        }
    };
    let got = if format {
        J::String(print::pretty(&expr))
    } else {
        to_json(&json::tree(&expr))
    };
    Some(if got == want["d"] {
        Ok(())
    } else {
        Err(format!("expected {}, got {got}", want["d"]))
    })
}

fn to_json(j: &Json) -> J {
    match j {
        Json::Null => J::Null,
        Json::Bool(b) => J::Bool(*b),
        Json::Int(i) => J::from(*i),
        Json::Float(f) => J::from(*f),
        Json::Str(s) => J::String(s.clone()),
        Json::List(l) => J::Array(l.iter().map(to_json).collect()),
        Json::Object(o) => J::Object(
            o.iter()
                .map(|(k, v)| ((*k).to_owned(), to_json(v)))
                .collect(),
        ),
    }
}
