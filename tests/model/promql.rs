//! Well-typed random PromQL over a small store: what is printed parses back, nothing panics, and a
//! range query gives at every step what an instant query gives at that time. The two take different
//! roads (shared windows, sliding sums, columns against single values), so each checks the other.
//!
//! `SEXTANT_SEED` repeats a run, `SEXTANT_CASES` changes its length.

#![allow(missing_docs, clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "../conformance/promql_support/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::model::{CounterResetHint, FloatHistogram, Labels, Span, stale_nan};
use query::promql::ast::ValueType;
use query::promql::functions::FUNCTIONS;
use query::promql::{
    Engine, EngineOptions, Parallelism, ParseOptions, QueryError, QueryOptions, SampleValue, Value,
    histogram, parse,
};

use source::{MemorySource, Point, PointValue};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const STEP: i64 = 15_000;

/// Gauges and counters with gaps, staleness markers and NaN, classic and native histograms.
fn store(rng: &mut Rng) -> MemorySource {
    let mut out = MemorySource::default();
    for job in ["a", "b"] {
        for instance in ["0", "1", "2"] {
            let labels = |name: &str| {
                Labels::from_pairs([("__name__", name), ("job", job), ("instance", instance)])
            };
            let mut counter = 0.0;
            let (mut g, mut c, mut h) = (Vec::new(), Vec::new(), Vec::new());
            let mut native = FloatHistogram {
                positive_spans: vec![Span {
                    offset: 0,
                    length: 3,
                }],
                positive: vec![0.0; 3],
                ..FloatHistogram::default()
            };
            for i in 0..240 {
                let t = i * STEP + if instance == "2" { 1234 } else { 0 };
                counter += rng.below(10) as f64;
                if rng.chance(2) {
                    counter = 0.0;
                }
                let gauge = match rng.below(50) {
                    0 => f64::NAN,
                    1 => stale_nan(),
                    2 => f64::INFINITY,
                    3 => -0.0,
                    _ => rng.below(1000) as f64 / 8.0 - 20.0,
                };
                let point = |v| Point {
                    t,
                    start_t: 0,
                    value: PointValue::Float(v),
                };
                if job == "a" || !rng.chance(10) {
                    g.push(point(gauge));
                }
                c.push(point(counter));
                for b in 0..3 {
                    let n = rng.below(4) as f64;
                    native.positive[b] += n;
                    native.count += n;
                    native.sum += n * (b as f64 + 0.7);
                }
                native.hint = CounterResetHint::Unknown;
                h.push(Point {
                    t,
                    start_t: 0,
                    value: PointValue::Histogram(Arc::new(native.clone())),
                });
            }
            out.append(&labels("gauge"), &g).unwrap();
            out.append(&labels("requests_total"), &c).unwrap();
            out.append(&labels("native"), &h).unwrap();
            for (le, factor) in [("1", 1.0), ("2", 2.0), ("+Inf", 3.0)] {
                let points: Vec<Point> = c
                    .iter()
                    .map(|p| match &p.value {
                        PointValue::Float(v) => Point {
                            value: PointValue::Float(v * factor),
                            ..p.clone()
                        },
                        PointValue::Histogram(_) => p.clone(),
                    })
                    .collect();
                out.append(&labels("latency_bucket").with("le", le), &points)
                    .unwrap();
            }
        }
    }
    out.seal();
    out
}

/// Generates expressions and counts what it used.
struct Generator<'r> {
    rng: &'r mut Rng,
    used: BTreeMap<String, usize>,
}

impl Generator<'_> {
    fn note(&mut self, what: &str) {
        *self.used.entry(what.to_owned()).or_default() += 1;
    }

    fn selector(&mut self) -> String {
        let name = self
            .rng
            .pick(&["gauge", "requests_total", "native", "latency_bucket"]);
        let matcher = self.rng.pick(&[
            "",
            "",
            "{job=\"a\"}",
            "{instance=~\"0|1\"}",
            "{job!~\"b.*\"}",
        ]);
        format!("{name}{matcher}")
    }

    fn modifiers(&mut self) -> String {
        let offset = self.rng.pick(&["", "", "", " offset 1m", " offset -30s"]);
        let at = self.rng.pick(&["", "", "", "", " @ 1800", " @ end()"]);
        format!("{offset}{at}")
    }

    fn of(&mut self, t: ValueType, depth: usize) -> String {
        match t {
            ValueType::Scalar => self.scalar(depth),
            ValueType::Vector => self.vector(depth),
            ValueType::Matrix => self.matrix(depth),
            ValueType::String => format!("\"{}\"", self.rng.pick(&["job", "instance", "x", "$1"])),
        }
    }

    fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 || self.rng.chance(70) {
            return self
                .rng
                .pick(&["0", "1", "0.5", "2", "-1", "1e3", "NaN", "1m"])
                .to_owned();
        }
        match self.rng.below(3) {
            0 => format!("scalar({})", self.vector(depth - 1)),
            1 => "time()".to_owned(),
            _ => format!("({} * {})", self.scalar(depth - 1), self.scalar(depth - 1)),
        }
    }

    fn matrix(&mut self, depth: usize) -> String {
        let range = self.rng.pick(&["30s", "1m", "2m", "5m", "7m"]);
        if depth > 0 && self.rng.chance(25) {
            self.note("subquery");
            let step = self.rng.pick(&["", "20s", "1m"]);
            return format!(
                "({})[{range}:{step}]{}",
                self.vector(depth - 1),
                self.modifiers()
            );
        }
        let extended = self.rng.pick(&["", "", "", "", " anchored", " smoothed"]);
        format!("{}[{range}]{extended}{}", self.selector(), self.modifiers())
    }

    fn grouping(&mut self) -> &'static str {
        self.rng.pick(&[
            "",
            " by (job)",
            " by (instance, le)",
            " without (instance)",
            " by ()",
        ])
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return format!("{}{}", self.selector(), self.modifiers());
        }
        match self.rng.below(10) {
            0 => format!("{}{}", self.selector(), self.modifiers()),
            1..=3 => self.call(depth),
            4 | 5 => {
                let op = self.rng.pick(&[
                    "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
                ]);
                self.note(op);
                format!("{op}{} ({})", self.grouping(), self.vector(depth - 1))
            }
            6 => {
                let op = self
                    .rng
                    .pick(&["topk", "bottomk", "quantile", "limitk", "limit_ratio"]);
                self.note(op);
                let p = self.rng.pick(&["1", "2", "0.5", "-0.5"]);
                format!("{op}{} ({p}, {})", self.grouping(), self.vector(depth - 1))
            }
            7 => {
                let op = self.rng.pick(&[
                    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", ">", ">= bool", "</",
                    ">/",
                ]);
                self.note(op);
                let (a, b) = (self.vector(depth - 1), self.scalar(depth - 1));
                if self.rng.chance(50) {
                    format!("({a} {op} {b})")
                } else {
                    format!("({b} {op} {a})")
                }
            }
            8 => {
                let op = self.rng.pick(&[
                    "+", "-", "*", "/", "==", "!=", "< bool", "and", "or", "unless",
                ]);
                self.note(op);
                let set = matches!(op, "and" | "or" | "unless");
                let on = if set {
                    self.rng.pick(&["", " on (job)", " ignoring (le)"])
                } else {
                    self.rng.pick(&[
                        "",
                        "",
                        " on (job, instance)",
                        " ignoring (le)",
                        " on (job) group_left ()",
                        " fill (0)",
                    ])
                };
                format!(
                    "({} {op}{on} {})",
                    self.vector(depth - 1),
                    self.vector(depth - 1)
                )
            }
            _ => format!("-{}", self.vector(depth - 1)),
        }
    }

    fn call(&mut self, depth: usize) -> String {
        let f = loop {
            let f = &FUNCTIONS[self.rng.below(FUNCTIONS.len())];
            // Those that depend on the query as a whole cannot agree between the two roads.
            let whole = matches!(
                f.name,
                "start" | "end" | "range" | "step" | "info" | "start_timestamp"
            );
            if f.returns == ValueType::Vector && !whole && !f.name.starts_with("sort") {
                break f;
            }
        };
        self.note(f.name);
        let args: Vec<String> = match f.name {
            "double_exponential_smoothing" => {
                vec![self.matrix(depth - 1), "0.3".into(), "0.6".into()]
            }
            "histogram_quantiles" => vec![
                self.vector(depth - 1),
                "\"q\"".into(),
                "0.5".into(),
                "0.9".into(),
            ],
            "label_replace" => {
                vec![
                    self.vector(depth - 1),
                    "\"x\"".into(),
                    "\"$1-y\"".into(),
                    "\"job\"".into(),
                    "\"(.*)\"".into(),
                ]
            }
            _ => f.args.iter().map(|t| self.of(*t, depth - 1)).collect(),
        };
        format!("{}({})", f.name, args.join(", "))
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

type Row = (Labels, SampleValue);

fn at(v: &Value, t: i64) -> Vec<Row> {
    let mut rows: Vec<Row> = match v {
        Value::Vector(v) => v
            .iter()
            .map(|s| (s.labels.clone(), s.value.clone()))
            .collect(),
        Value::Matrix(m) => m
            .iter()
            .filter_map(|s| {
                let f = s
                    .floats
                    .iter()
                    .find(|p| p.0 == t)
                    .map(|p| SampleValue::Float(p.1));
                let h = || {
                    s.histograms
                        .iter()
                        .find(|p| p.0 == t)
                        .map(|p| SampleValue::Histogram(p.1.clone()))
                };
                Some((s.labels.clone(), f.or_else(h)?))
            })
            .collect(),
        _ => Vec::new(),
    };
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

fn close(a: f64, b: f64) -> bool {
    a.is_nan() && b.is_nan() || a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

fn same(a: &[Row], b: &[Row]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(x, y)| {
            x.0 == y.0
                && match (&x.1, &y.1) {
                    (SampleValue::Float(x), SampleValue::Float(y)) => close(*x, *y),
                    (SampleValue::Histogram(x), SampleValue::Histogram(y)) => {
                        close(x.count, y.count)
                            && close(x.sum, y.sum)
                            && histogram::all_buckets(x)
                                .map(|b| b.index)
                                .eq(histogram::all_buckets(y).map(|b| b.index))
                    }
                    _ => false,
                }
        })
}

#[test]
fn range_queries_agree_with_instant_queries() {
    let seed = number("SEXTANT_SEED", 0x5eed_1234_abcd);
    let cases = number("SEXTANT_CASES", 1500);
    let mut rng = Rng(seed | 1);
    let source = store(&mut rng);
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let (mut compared, mut failed_both, mut points) = (0, 0, 0);
    for case in 0..cases {
        let engine = Engine {
            options: EngineOptions {
                parse: ParseOptions::all(),
                delayed_name_removal: case % 2 == 1,
                parallelism: if case % 4 < 2 {
                    Parallelism::default()
                } else {
                    Parallelism::always()
                },
                ..EngineOptions::default()
            },
        };
        let mut g = Generator {
            rng: &mut rng,
            used: std::mem::take(&mut used),
        };
        let text = g.vector(3);
        used = g.used;
        let expr = parse(&text, ParseOptions::all()).unwrap_or_else(|e| panic!("{text}: {e}"));
        let printed = expr.to_string();
        let again =
            parse(&printed, ParseOptions::all()).unwrap_or_else(|e| panic!("{printed}: {e}"));
        assert_eq!(again.to_string(), printed);

        let (start, step, n) = (600_000 + (case as i64 % 7) * 1111, 37_000, 40);
        let end = start + step * (n - 1);
        let opts = QueryOptions::default();
        // `@ end()` means the end of the query; pin it for the instant road.
        let pinned = text.replace("@ end()", &format!("@ {}.{:03}", end / 1000, end % 1000));
        let whole = engine.range(&source, &pinned, start, end, step, opts);
        let mut all_fine = true;
        for k in 0..n {
            let t = start + k * step;
            match (&whole, engine.instant(&source, &pinned, t, opts)) {
                (Ok(w), Ok(i)) => {
                    if ["topk", "bottomk", "limitk"]
                        .iter()
                        .any(|f| text.contains(f))
                    {
                        // Which of equals is kept depends on what else there is.
                        continue;
                    }
                    let (a, b) = (at(&w.value, t), at(&i.value, t));
                    assert!(
                        same(&a, &b),
                        "seed {seed} case {case}: {text}\nat {t}: range {a:?}\ninstant {b:?}"
                    );
                    points += a.len();
                }
                (Err(QueryError::Execution(_)), Ok(_)) => {}
                (Err(_), Err(_)) => all_fine = false,
                (w, i) => panic!("seed {seed} case {case}: {text}\nat {t}: {w:?}\ninstant {i:?}"),
            }
        }
        if all_fine {
            compared += 1
        } else {
            failed_both += 1
        }
    }
    println!("{compared} compared ({points} points), {failed_both} failed on both roads");
    println!("coverage: {used:?}");
    assert!(compared * 2 > cases, "most expressions should have a value");
}

/// Fragments of the language in any order: no panic, and what parses prints and runs.
#[test]
fn random_texts_do_not_panic() {
    const PARTS: [&str; 40] = [
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ",",
        "=",
        "=~",
        "!=",
        "\"a\"",
        "\"(\"",
        "'",
        "`",
        "5m",
        "1e3",
        "0x",
        ":",
        "@",
        "offset",
        "by",
        "on",
        "ignoring",
        "group_left",
        "bool",
        "sum",
        "topk",
        "rate",
        "gauge",
        "requests_total",
        "+",
        "-",
        "*",
        "^",
        "or",
        "unless",
        "start()",
        "step()",
        "anchored",
        "\u{1F600}",
    ];
    let mut rng = Rng(number("SEXTANT_SEED", 77) | 1);
    let source = store(&mut rng);
    let engine = Engine {
        options: EngineOptions {
            parse: ParseOptions::all(),
            ..EngineOptions::default()
        },
    };
    let mut parsed = 0;
    for _ in 0..number("SEXTANT_CASES", 20_000) {
        let n = 1 + rng.below(9);
        let glue = if rng.chance(50) { " " } else { "" };
        let text: Vec<&str> = (0..n).map(|_| rng.pick(&PARTS)).collect();
        let text = text.join(glue);
        if let Ok(e) = parse(&text, ParseOptions::all()) {
            parsed += 1;
            let printed = e.to_string();
            let again = parse(&printed, ParseOptions::all())
                .unwrap_or_else(|x| panic!("{text} -> {printed}: {x}"));
            assert_eq!(again.to_string(), printed, "{text}");
        }
        let opts = QueryOptions::default();
        drop(engine.instant(&source, &text, 1_000_000, opts));
        drop(engine.range(&source, &text, 0, 600_000, 60_000, opts));
    }
    assert!(parsed > 100, "{parsed}");
}
