//! Data and well-typed queries from a seed, and what of the language the queries covered.
//!
//! Owns: the random numbers, the grammar, the list of everything that has to be covered.
//! Knows nothing of: what a query means.

use std::collections::BTreeMap;
use std::rc::Rc;

use engine::model::{FloatHistogram, Labels, Span, stale_nan};
use query::promql::ast::{
    AggOp, BinOp, Binary, Cardinality, DurationArg, DurationExpr, Expr, Subquery, ValueType,
    VectorSelector,
};
use query::promql::functions::FUNCTIONS;

use super::{Hist, Stored, Val};

#[path = "../rng.rs"]
mod rng;

pub use rng::Rng;

/// Samples are 15 s apart, from 0 to half an hour.
pub const SAMPLE_STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 120;

fn exponential(schema: i32, counts: &[f64], first: i32, zero: f64) -> FloatHistogram {
    let count: f64 = counts.iter().sum::<f64>() + zero;
    FloatHistogram {
        schema,
        zero_threshold: 0.001,
        zero_count: zero,
        count,
        sum: counts
            .iter()
            .enumerate()
            .map(|(i, c)| c * (i as f64 + 0.5))
            .sum(),
        positive_spans: vec![Span {
            offset: first,
            length: counts.len() as u32,
        }],
        positive: counts.to_vec(),
        ..FloatHistogram::default()
    }
}

/// A series maker: turns steps into points, with gaps and staleness markers.
struct Maker<'r> {
    rng: &'r mut Rng,
    out: Vec<Stored>,
}

impl Maker<'_> {
    fn series(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        gaps: bool,
        mut value: impl FnMut(&mut Rng, i64) -> Val,
    ) {
        let pairs = labels.iter().copied().chain([("__name__", name)]);
        let labels = Labels::from_pairs(pairs);
        let mut points = Vec::new();
        let mut missing = 0;
        for i in 0..SAMPLES {
            let v = value(self.rng, i);
            if missing > 0 {
                missing -= 1;
                continue;
            }
            if gaps && self.rng.chance(3) {
                missing = self.rng.below(30);
                if self.rng.chance(60) {
                    points.push((i * SAMPLE_STEP_MS, Val::F(stale_nan())));
                }
                continue;
            }
            let jitter = if gaps { self.rng.below(900) as i64 } else { 0 };
            points.push((i * SAMPLE_STEP_MS + jitter, v));
        }
        self.out.push(Stored { labels, points });
    }
}

/// Series of all kinds, in label order.
pub fn data(rng: &mut Rng) -> Vec<Stored> {
    let mut m = Maker {
        rng,
        out: Vec::new(),
    };
    for job in ["a", "b"] {
        let limit = if job == "a" { 40.0 } else { 7.5 };
        m.series("limits", &[("job", job), ("team", "x10")], false, |_, _| {
            Val::F(limit)
        });
        for instance in ["0", "1", "2"] {
            let own = [("job", job), ("instance", instance)];
            if instance != "2" {
                let more = [
                    own[0],
                    own[1],
                    ("version", if job == "a" { "v2" } else { "v10" }),
                ];
                m.series("target_info", &more, false, |_, _| Val::F(1.0));
                m.series(
                    "build_info",
                    &[own[0], own[1], ("rev", "r1")],
                    true,
                    |_, _| Val::F(1.0),
                );
            }
            m.series("gauge", &own, true, |r, i| {
                Val::F(match r.below(60) {
                    0 => f64::NAN,
                    1 => f64::INFINITY,
                    2 => f64::NEG_INFINITY,
                    3 => 0.0,
                    4 => -0.0,
                    _ => ((i * 37) % 101) as f64 / 4.0 - 12.0 + r.below(100) as f64 / 8.0,
                })
            });
            m.series("level", &own, false, |r, _| Val::F(r.below(4) as f64));
            let mut total = 0.0;
            m.series("requests_total", &own, true, |r, _| {
                total = if r.chance(2) {
                    0.0
                } else {
                    total + r.below(50) as f64
                };
                Val::F(total)
            });
            let mut buckets = [0.0; 4];
            let mut rows: Vec<[f64; 4]> = Vec::new();
            for _ in 0..SAMPLES {
                let hit = m.rng.below(4);
                buckets
                    .iter_mut()
                    .skip(hit)
                    .for_each(|b| *b += 1.0 + (hit * 3) as f64);
                rows.push(buckets);
            }
            for (b, le) in ["0.1", "1", "10", "+Inf"].iter().enumerate() {
                m.series(
                    "lat_bucket",
                    &[own[0], own[1], ("le", le)],
                    false,
                    |_, i| Val::F(rows[i as usize][b]),
                );
            }
            natives(&mut m, &own, instance);
        }
    }
    let mut out = m.out;
    out.sort_by(|a, b| a.labels.cmp(&b.labels));
    out
}

fn natives(m: &mut Maker<'_>, own: &[(&str, &str); 2], instance: &str) {
    let hist = |h: FloatHistogram| Val::H(Rc::new(Hist::read(&h)));
    let schema = match instance {
        "0" => 0,
        "1" => 1,
        _ => 3,
    };
    let mut counts = vec![1.0, 0.0, 2.0, 0.0];
    let mut zero = 0.0;
    m.series("native", own, true, |r, _| {
        counts[r.below(4)] += r.below(5) as f64;
        zero += r.below(2) as f64;
        hist(exponential(schema, &counts, -1, zero))
    });
    let mut counts = vec![1.0, 1.0, 1.0];
    m.series("native_resets", own, true, |r, _| {
        if r.chance(4) {
            counts = vec![0.0; 3];
        }
        counts[r.below(3)] += 1.0 + r.below(5) as f64;
        hist(exponential(1, &counts, 1, 2.0))
    });
    m.series("native_gauge", own, false, |r, _| {
        let counts: Vec<f64> = (0..3).map(|_| r.below(9) as f64).collect();
        let mut h = exponential(0, &counts, 0, r.below(3) as f64);
        h.negative_spans = vec![Span {
            offset: 0,
            length: 2,
        }];
        h.negative = vec![r.below(5) as f64, 1.0];
        h.count += h.negative.iter().sum::<f64>();
        h.hint = engine::model::CounterResetHint::Gauge;
        hist(h)
    });
    let bounds = match instance {
        "0" => vec![1.0, 2.0, 5.0],
        "1" => vec![1.0, 5.0],
        _ => vec![-1.0, 1.0, 3.0, 5.0],
    };
    let mut counts = vec![0.0; bounds.len() + 1];
    m.series("custom", own, false, |r, _| {
        let i = r.below(counts.len());
        counts[i] += 1.0 + r.below(4) as f64;
        let mut h = exponential(-53, &counts, 0, 0.0);
        h.zero_threshold = 0.0;
        h.custom_values.clone_from(&bounds);
        hist(h)
    });
    let mut counts = vec![1.0, 1.0];
    m.series("mixed", own, true, |r, i| {
        counts[r.below(2)] += 1.0;
        if (i / 20) % 2 == 0 {
            Val::F(i as f64)
        } else {
            hist(exponential(0, &counts, 0, 1.0))
        }
    });
}

const FLOATS: [&str; 6] = [
    "gauge",
    "level",
    "requests_total",
    "limits",
    "lat_bucket",
    "target_info",
];
const OTHERS: [&str; 4] = ["native", "native_gauge", "custom", "mixed"];
const MATCHERS: [&str; 10] = [
    "",
    "",
    "{job=\"a\"}",
    "{instance!=\"1\"}",
    "{instance=~\"0|2\"}",
    "{job!~\"b.*\"}",
    "{instance=~\".+\",job=\"b\"}",
    "{job=\"a\",instance=\"0\"}",
    "{nope=\"\"}",
    "{job=\"none\"}",
];

/// Writes queries.
pub struct Generator<'r> {
    pub rng: &'r mut Rng,
}

impl Generator<'_> {
    fn modifiers(&mut self) -> &'static str {
        self.rng.pick(&[
            "",
            "",
            "",
            "",
            "",
            "",
            " offset 90s",
            " offset -45s",
            " @ 700",
            " @ start()",
            " @ end() offset 1m",
            " offset (2*step() + 30s)",
            " @ 900.5",
        ])
    }

    fn range(&mut self) -> &'static str {
        self.rng.pick(&[
            "1m",
            "3m",
            "5m",
            "5m",
            "10m",
            "20s",
            "7m30s",
            "1m * 3",
            "max_of(2m, step())",
            "min_of(range() + 1m, 4m)",
            "90",
            "2m + 30s",
        ])
    }

    fn selector(&mut self) -> String {
        let name = if self.rng.chance(78) {
            self.rng.pick(&FLOATS)
        } else {
            self.rng.pick(&OTHERS)
        };
        if self.rng.chance(4) {
            return self
                .rng
                .pick(&[
                    "{__name__=~\"gauge|level\"}",
                    "{__name__=~\".*info\",job=\"a\"}",
                    "{job=\"a\",__name__!~\"native.*|custom|mixed|lat.*\"}",
                ])
                .to_owned();
        }
        format!("{name}{}", self.rng.pick(&MATCHERS))
    }

    /// A range vector.
    pub fn matrix(&mut self, depth: usize) -> String {
        if depth > 1 && self.rng.chance(25) {
            let inner = self.vector(depth - 1);
            let step = self.rng.pick(&["30s", "17s", "1m", "", "step() + 20s"]);
            let range = self.range();
            let modifiers = self.modifiers();
            return format!("({inner})[{range}:{step}]{modifiers}");
        }
        let selector = if self.rng.chance(6) {
            format!("native_resets{}", self.rng.pick(&MATCHERS))
        } else {
            self.selector()
        };
        format!("{selector}[{}]{}", self.range(), self.modifiers())
    }

    pub fn scalar(&mut self, depth: usize) -> String {
        if depth > 0 && self.rng.chance(35) {
            return match self.rng.below(5) {
                0 => format!("scalar({})", self.vector(depth - 1)),
                1 => {
                    let op = self.rng.pick(&["+", "-", "*", "/", "%", "^", "atan2"]);
                    format!(
                        "({} {op} {})",
                        self.scalar(depth - 1),
                        self.scalar(depth - 1)
                    )
                }
                2 => {
                    let op = self.rng.pick(&["==", "!=", "<", "<=", ">", ">="]);
                    format!(
                        "({} {op} bool {})",
                        self.scalar(depth - 1),
                        self.scalar(depth - 1)
                    )
                }
                3 => {
                    let f = self.rng.pick(&["max_of", "min_of"]);
                    format!(
                        "{f}({}, {})",
                        self.scalar(depth - 1),
                        self.scalar(depth - 1)
                    )
                }
                _ => format!("-{}", self.scalar(depth - 1)),
            };
        }
        self.rng
            .pick(&[
                "1", "0", "2.5", "-3", "0.5", "10", "1m", "0x10", "NaN", "Inf", "time()", "pi()",
                "start()", "end()", "step()", "range()", "0.9", "100",
            ])
            .to_owned()
    }

    pub fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            let smoothed = if self.rng.chance(4) { " smoothed" } else { "" };
            return format!("{}{smoothed}{}", self.selector(), self.modifiers());
        }
        match self.rng.below(20) {
            0 | 1 => self.vector(0),
            2..=8 => self.call(depth),
            9..=13 => self.aggregate(depth),
            14..=18 => self.binary(depth),
            _ => {
                let sign = self.rng.pick(&["-", "-", "+"]);
                format!("{sign}({})", self.vector(depth - 1))
            }
        }
    }

    fn labels(&mut self) -> &'static str {
        self.rng.pick(&[
            "job",
            "instance",
            "job, instance",
            "",
            "le",
            "nope, job",
            "__name__",
        ])
    }

    fn aggregate(&mut self, depth: usize) -> String {
        const ALL: [&str; 14] = [
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "group",
            "stddev",
            "stdvar",
            "quantile",
            "topk",
            "bottomk",
            "count_values",
            "limitk",
            "limit_ratio",
        ];
        let op = self.rng.pick(&ALL);
        let param = match op {
            "quantile" => format!(
                "{}, ",
                self.rng.pick(&["0.5", "0.9", "0", "1", "1.5", "NaN"])
            ),
            "topk" | "bottomk" | "limitk" => {
                format!("{}, ", self.rng.pick(&["1", "2", "3", "100", "0", "2.7"]))
            }
            "limit_ratio" => format!("{}, ", self.rng.pick(&["1", "-1", "0", "2", "0.5"])),
            "count_values" => "\"v\", ".to_owned(),
            _ => String::new(),
        };
        let word = self.rng.pick(&["by", "by", "without", ""]);
        let labels = self.labels();
        let group = if word.is_empty() {
            String::new()
        } else {
            format!(" {word} ({labels})")
        };
        // Only counted values: a sum printed in full turns on its last bit.
        let inner = match op {
            "count_values" if self.rng.chance(80) => {
                format!("level{}", self.rng.pick(&MATCHERS))
            }
            "limitk" if self.rng.chance(60) => self.selector(),
            _ => self.vector(depth - 1),
        };
        if self.rng.chance(50) {
            format!("{op}{group} ({param}{inner})")
        } else {
            format!("{op}({param}{inner}){group}")
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let op = self.rng.pick(&[
            "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "and", "or",
            "unless", "</", ">/",
        ]);
        let set = ["and", "or", "unless"].contains(&op);
        let trim = ["</", ">/"].contains(&op);
        let comparison = op.starts_with(['=', '!', '<', '>']) && !trim;
        let bool = if comparison && self.rng.chance(40) {
            " bool"
        } else {
            ""
        };
        if trim {
            let h = self.rng.pick(&[
                "native",
                "native_gauge",
                "custom",
                "rate(native[3m])",
                "mixed",
            ]);
            return format!("({h} {op} {})", self.scalar(1));
        }
        if !set && self.rng.chance(30) {
            return if self.rng.chance(60) {
                format!("({} {op}{bool} {})", self.vector(depth - 1), self.scalar(1))
            } else {
                format!("({} {op}{bool} {})", self.scalar(1), self.vector(depth - 1))
            };
        }
        let fill = |g: &mut Self| {
            if g.rng.chance(70) {
                return "";
            }
            g.rng.pick(&[
                " fill (0)",
                " fill_left (1)",
                " fill_right (2)",
                " fill_left (3) fill_right (NaN)",
            ])
        };
        if set {
            let on = self.rng.pick(&[
                "",
                " on (job)",
                " ignoring (instance)",
                " on ()",
                " ignoring (le, team)",
            ]);
            return format!(
                "({} {op}{on} {})",
                self.vector(depth - 1),
                self.vector(depth - 1)
            );
        }
        match self.rng.below(10) {
            0..=3 => {
                // Same series on both sides: these meet one to one.
                let (a, b) = (
                    self.rng
                        .pick(&["gauge", "level", "requests_total", "native", "mixed"]),
                    self.rng
                        .pick(&["gauge", "level", "requests_total", "native", "custom"]),
                );
                let on = self
                    .rng
                    .pick(&["", " on (job, instance)", " ignoring (le)"]);
                let (x, y) = (self.rng.pick(&MATCHERS), self.rng.pick(&MATCHERS));
                let fill = fill(self);
                format!("({a}{x} {op}{bool}{on}{fill} {b}{y})")
            }
            4..=6 => {
                let many = self.rng.pick(&[
                    "gauge",
                    "requests_total",
                    "sum by (job, instance) (lat_bucket)",
                    "native",
                ]);
                let include = self.rng.pick(&["", "team", "team, nope", "instance"]);
                let fill = fill(self);
                let x = self.rng.pick(&["", "", "{job=\"a\"}"]);
                if self.rng.chance(50) {
                    format!("({many} {op}{bool} on (job) group_left ({include}){fill} limits{x})")
                } else {
                    format!("(limits{x} {op}{bool} on (job) group_right ({include}){fill} {many})")
                }
            }
            7 => {
                let many = self.vector(depth - 1);
                let fill = fill(self);
                format!("({many} {op}{bool} ignoring (instance, le) group_left{fill} limits)")
            }
            _ => {
                let on = self.rng.pick(&[
                    "",
                    " on (job)",
                    " on (job, instance)",
                    " ignoring (instance)",
                ]);
                let fill = fill(self);
                format!(
                    "({} {op}{bool}{on}{fill} {})",
                    self.vector(depth - 1),
                    self.vector(depth - 1)
                )
            }
        }
    }

    fn of(&mut self, t: ValueType, depth: usize) -> String {
        match t {
            ValueType::Scalar => self.scalar(depth.min(1)),
            ValueType::Vector => self.vector(depth),
            ValueType::Matrix => self.matrix(depth),
            ValueType::String => "\"x\"".to_owned(),
        }
    }

    fn extended(&mut self) -> String {
        let (word, f) = match self.rng.below(2) {
            0 => (
                "anchored",
                self.rng
                    .pick(&["rate", "increase", "delta", "changes", "resets"]),
            ),
            _ => ("smoothed", self.rng.pick(&["rate", "increase", "delta"])),
        };
        let name = self.rng.pick(&[
            "gauge",
            "requests_total",
            "native",
            "native_resets",
            "mixed",
            "custom",
        ]);
        let (matchers, modifiers) = (self.rng.pick(&MATCHERS), self.modifiers());
        format!("{f}({name}{matchers}[{}] {word}{modifiers})", self.range())
    }

    fn call(&mut self, depth: usize) -> String {
        if self.rng.chance(8) {
            return self.extended();
        }
        let f = loop {
            let f = &FUNCTIONS[self.rng.below(FUNCTIONS.len())];
            if f.returns == ValueType::Vector {
                break f;
            }
        };
        let inner = depth - 1;
        let args = match f.name {
            "histogram_quantile" | "histogram_fraction" | "histogram_quantiles" => {
                let v = match self.rng.below(4) {
                    0 => "sum by (le, job) (rate(lat_bucket[3m]))".to_owned(),
                    1 => format!("lat_bucket{}", self.rng.pick(&MATCHERS)),
                    2 => {
                        let h = self.rng.pick(&[
                            "native",
                            "native_gauge",
                            "custom",
                            "mixed",
                            "rate(native[4m])",
                        ]);
                        h.to_owned()
                    }
                    _ => self.vector(inner),
                };
                let q = self
                    .rng
                    .pick(&["0.5", "0.9", "0.123", "0", "1", "-1", "2", "NaN"]);
                match f.name {
                    "histogram_quantile" => format!("{q}, {v}"),
                    "histogram_fraction" => {
                        let low = self.rng.pick(&["0", "-1", "0.3", "-Inf", "2"]);
                        format!(
                            "{low}, {}, {v}",
                            self.rng.pick(&["1", "0.5", "4", "Inf", "7.7"])
                        )
                    }
                    _ => format!("{v}, \"q\", {q}, 0.75"),
                }
            }
            "double_exponential_smoothing" => {
                format!(
                    "{}, 0.3, {}",
                    self.matrix(inner),
                    self.rng.pick(&["0.6", "0.1", "1.5"])
                )
            }
            "label_replace" => {
                let template = self.rng.pick(&["$1-y", "${1}z", "", "fix$2"]);
                let dst = self.rng.pick(&["x", "job", "instance"]);
                let re = self.rng.pick(&["(.*)", "(a)|b", "[0-9]", "()"]);
                format!(
                    "{}, \"{dst}\", \"{template}\", \"job\", \"{re}\"",
                    self.vector(inner)
                )
            }
            "label_join" => {
                let dst = self.rng.pick(&["x", "job"]);
                format!(
                    "{}, \"{dst}\", \"-\", \"job\", \"instance\"",
                    self.vector(inner)
                )
            }
            "sort_by_label" | "sort_by_label_desc" => {
                format!("{}, \"instance\", \"job\"", self.vector(inner))
            }
            "info" => {
                let v = if self.rng.chance(70) {
                    format!("gauge{}", self.rng.pick(&MATCHERS))
                } else {
                    self.vector(0)
                };
                let data = self.rng.pick(&[
                    "",
                    ", {version=~\"v.*\"}",
                    ", {rev=\"r1\"}",
                    ", {__name__=\"build_info\"}",
                    ", {__name__=~\"build_info|target_info\",version=~\".*\"}",
                ]);
                format!("{v}{data}")
            }
            "clamp" => format!(
                "{}, -2, {}",
                self.vector(inner),
                self.rng.pick(&["9", "-5", "NaN"])
            ),
            "quantile_over_time" => {
                format!(
                    "{}, {}",
                    self.rng.pick(&["0.5", "0.99", "0", "-1", "NaN"]),
                    self.matrix(inner)
                )
            }
            _ => {
                let least = f.args_min();
                let n = if self.rng.chance(50) {
                    least
                } else {
                    f.args.len()
                };
                let args: Vec<String> = f.args[..n].iter().map(|t| self.of(*t, inner)).collect();
                args.join(", ")
            }
        };
        format!("{}({args})", f.name)
    }
}

/// How often each part of the language was in a query that had a value.
pub type Coverage = BTreeMap<String, usize>;

fn note(c: &mut Coverage, what: impl Into<String>) {
    *c.entry(what.into()).or_insert(0) += 1;
}

fn note_duration(c: &mut Coverage, d: Option<&DurationExpr>) {
    let Some(d) = d else { return };
    note(c, format!("duration {}", d.op.symbol()));
    for a in [&d.lhs, &d.rhs].into_iter().flatten() {
        if let DurationArg::Expr(e) = a {
            note_duration(c, Some(e));
        }
    }
}

fn note_selector(c: &mut Coverage, v: &VectorSelector, range: bool) {
    let kind = if range { "range" } else { "instant" };
    note(c, format!("{kind} selector"));
    for m in &v.matchers {
        let op = match &m.op {
            engine::model::MatchOp::Equal => "=",
            engine::model::MatchOp::NotEqual => "!=",
            engine::model::MatchOp::Regex(_) => "=~",
            engine::model::MatchOp::NotRegex(_) => "!~",
        };
        note(c, format!("matcher {op}"));
    }
    if v.offset_ms > 0 {
        note(c, "offset");
    }
    if v.offset_ms < 0 {
        note(c, "negative offset");
    }
    if v.at_ms.is_some() {
        note(c, "@");
    }
    if let Some(edge) = v.at_edge {
        note(c, format!("@ {}()", edge.name()));
    }
    if v.anchored {
        note(c, "anchored");
    }
    if v.smoothed {
        note(c, format!("{kind} smoothed"));
    }
    note_duration(c, v.offset_expr.as_deref());
}

fn note_binary(c: &mut Coverage, b: &Binary) {
    let sides = (b.lhs.value_type(), b.rhs.value_type());
    let kind = match sides {
        (ValueType::Scalar, ValueType::Scalar) => "scalars",
        (ValueType::Vector, ValueType::Vector) => "vectors",
        _ => "vector and scalar",
    };
    note(c, format!("{kind} {}", b.op.symbol()));
    if b.return_bool {
        note(c, format!("bool {}", b.op.symbol()));
    }
    let Some(m) = b
        .matching
        .as_ref()
        .filter(|_| sides == (ValueType::Vector, ValueType::Vector))
    else {
        return;
    };
    if m.on {
        note(c, "on");
    } else if !m.labels.is_empty() {
        note(c, "ignoring");
    }
    match m.card {
        Cardinality::ManyToOne => note(c, "group_left"),
        Cardinality::OneToMany => note(c, "group_right"),
        Cardinality::OneToOne => note(c, "one-to-one"),
        Cardinality::ManyToMany => note(c, "many-to-many"),
    }
    if !m.include.is_empty() {
        note(c, "group labels");
    }
    if m.fill_left.is_some() {
        note(c, "fill_left");
    }
    if m.fill_right.is_some() {
        note(c, "fill_right");
    }
}

fn note_subquery(c: &mut Coverage, s: &Subquery) {
    note(c, "subquery");
    if s.step_ms == 0 && s.step_expr.is_none() {
        note(c, "subquery without step");
    }
    if s.at_ms.is_some() || s.at_edge.is_some() {
        note(c, "subquery @");
    }
    if s.offset_ms != 0 {
        note(c, "subquery offset");
    }
    for d in [&s.range_expr, &s.step_expr, &s.offset_expr] {
        note_duration(c, d.as_deref());
    }
}

/// Adds everything in `e`.
pub fn cover(c: &mut Coverage, e: &Expr) {
    match e {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Paren(p) => cover(c, &p.expr),
        Expr::Unary(u) => {
            note(c, if u.negative { "unary -" } else { "unary +" });
            cover(c, &u.expr);
        }
        Expr::Vector(v) => note_selector(c, v, false),
        Expr::Matrix(m) => {
            note_selector(c, &m.selector, true);
            note_duration(c, m.range_expr.as_deref());
        }
        Expr::Subquery(s) => {
            note_subquery(c, s);
            cover(c, &s.expr);
        }
        Expr::Call(call) => {
            note(c, format!("{}()", call.func.name));
            call.args.iter().for_each(|a| cover(c, a));
        }
        Expr::Aggregate(a) => {
            let how = if a.without {
                " without"
            } else if a.grouping.is_empty() {
                ""
            } else {
                " by"
            };
            note(c, format!("{}{how}", a.op.name()));
            cover(c, &a.expr);
            if let Some(p) = &a.param {
                cover(c, p);
            }
        }
        Expr::Binary(b) => {
            note_binary(c, b);
            cover(c, &b.lhs);
            cover(c, &b.rhs);
        }
    }
}

/// Everything that has to be covered.
pub fn required() -> Vec<String> {
    let mut all: Vec<String> = FUNCTIONS
        .iter()
        // Without start timestamps it never has a value.
        .filter(|f| f.name != "start_timestamp")
        .map(|f| format!("{}()", f.name))
        .collect();
    for op in [
        AggOp::Avg,
        AggOp::Bottomk,
        AggOp::Count,
        AggOp::CountValues,
        AggOp::Group,
        AggOp::Max,
        AggOp::Min,
        AggOp::Quantile,
        AggOp::Stddev,
        AggOp::Stdvar,
        AggOp::Sum,
        AggOp::Topk,
        AggOp::Limitk,
        AggOp::LimitRatio,
    ] {
        all.extend(["", " by", " without"].map(|how| format!("{}{how}", op.name())));
    }
    use BinOp::{Add, And, Atan2, Div, Eq, Ge, Gt, Le, Lt, Mod, Mul, Ne, Or, Pow, Sub, Unless};
    for op in [Add, Sub, Mul, Div, Mod, Pow, Atan2, Eq, Ne, Lt, Le, Gt, Ge] {
        all.extend(
            ["scalars", "vectors", "vector and scalar"].map(|k| format!("{k} {}", op.symbol())),
        );
    }
    for op in [Eq, Ne, Lt, Le, Gt, Ge] {
        all.push(format!("bool {}", op.symbol()));
    }
    for op in [And, Or, Unless] {
        all.push(format!("vectors {}", op.symbol()));
    }
    for op in [BinOp::TrimUpper, BinOp::TrimLower] {
        all.push(format!("vector and scalar {}", op.symbol()));
    }
    let rest = "instant selector;range selector;matcher =;matcher !=;matcher =~;matcher !~;offset;\
        negative offset;@;@ start();@ end();anchored;instant smoothed;range smoothed;on;ignoring;\
        group_left;group_right;one-to-one;many-to-many;group labels;fill_left;fill_right;subquery;\
        subquery without step;subquery @;subquery offset;unary -;unary +;duration +;duration *;\
        duration step;duration range;duration max_of;duration min_of";
    all.extend(rest.split(';').map(str::to_owned));
    all
}
