//! Metric queries, one step at a time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use engine::model::MatchOp;
use query::logql::ast::{
    Binary, BinaryOp, Cardinality, Conversion, Grouping, LabelFilter, MetricExpr, RangeAggregation,
    RangeOp, Stage, Unwrap, VectorAggregation, VectorOp,
};

use super::{DETAILS, ERROR, Needs, Oracle, Row, tests_of_text, with_pattern};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fail(pub &'static str);

const PIPELINE: Fail = Fail("pipeline error");
const MATCHING: Fail = Fail("matching");

type Set = BTreeMap<String, String>;

/// Values by label set and step.
pub type Rows = BTreeMap<(Set, u64), f64>;

/// An element of a vector.
type El = (Set, f64);

#[derive(Clone)]
enum Out {
    Scalar(f64),
    Vector(Vec<El>),
}

/// Evaluation times, ns.
#[derive(Debug, Clone, Copy)]
pub struct Steps {
    pub start: i64,
    pub step: i64,
    pub count: u64,
}

impl Steps {
    fn at(&self, k: u64) -> i64 {
        self.start + k as i64 * self.step
    }
}

/// Samples of one series: time and value, in the order of time.
type Samples = Vec<(Set, Vec<(i64, f64)>)>;

/// What is shared by the steps of a query.
struct Query<'o, 'd> {
    oracle: &'o Oracle<'d>,
    steps: Steps,
    /// Samples of each range aggregation, by its address in the syntax tree.
    samples: HashMap<*const RangeAggregation, Rc<Samples>>,
}

impl Oracle<'_> {
    /// The whole query, step by step; the elements of the only step in their order as well.
    pub fn metric(&self, e: &MetricExpr, steps: Steps) -> Result<(Rows, Vec<f64>), Fail> {
        let mut q = Query {
            oracle: self,
            steps,
            samples: HashMap::new(),
        };
        q.read(e, None)?;
        let mut rows = Rows::new();
        let mut order = Vec::new();
        for k in 0..steps.count {
            let vector = match q.eval(e, k)? {
                Out::Scalar(v) => vec![(Set::new(), v)],
                Out::Vector(v) => v,
            };
            order = vector.iter().map(|e| e.1).collect();
            for (labels, v) in vector {
                if rows.insert((labels, k), v).is_some() {
                    self.set_open();
                }
            }
        }
        Ok((rows, order))
    }
}

/// Labels that a template names.
fn fields(t: &str) -> impl Iterator<Item = String> + '_ {
    t.split("{{").skip(1).flat_map(|a| {
        let action = a.split("}}").next().unwrap_or("");
        let word = |w: &str| {
            let name = w.strip_prefix('.')?;
            let end = name
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(name.len());
            (end > 0).then(|| name[..end].to_owned())
        };
        action
            .split([' ', '(', ')', '|'])
            .filter_map(word)
            .collect::<Vec<_>>()
    })
}

fn read_by_filter(f: &LabelFilter, out: &mut BTreeSet<String>) {
    match f {
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            read_by_filter(a, out);
            read_by_filter(b, out);
        }
        LabelFilter::Text(m) => {
            out.insert(m.name.clone());
        }
        LabelFilter::Number(n, ..)
        | LabelFilter::Duration(n, ..)
        | LabelFilter::Bytes(n, ..)
        | LabelFilter::Ip(n, ..) => {
            out.insert(n.clone());
        }
    }
}

fn reads_lines(s: &Stage) -> bool {
    matches!(
        s,
        Stage::Line(..)
            | Stage::Json(_)
            | Stage::Logfmt { .. }
            | Stage::Regexp(_)
            | Stage::Pattern(_)
            | Stage::Unpack
    )
}

/// The stages that a metric query runs: a `line_format` that no filter or parser follows is not
/// among them, unless bytes are counted.
fn stages_of(r: &RangeAggregation) -> Vec<&Stage> {
    let bytes = matches!(r.op, RangeOp::BytesOverTime | RangeOp::BytesRate);
    let stages = &r.log.stages;
    let all = stages.iter().enumerate();
    all.filter(|(i, s)| {
        !matches!(s, Stage::LineFormat(_)) || bytes || stages[*i..].iter().any(reads_lines)
    })
    .map(|(_, s)| s)
    .collect()
}

/// The grouping that decides what is parsed; `None`: every label counts.
fn effective(r: &RangeAggregation, outer: Option<&VectorAggregation>) -> Option<Grouping> {
    let nothing = Grouping {
        labels: Vec::new(),
        without: false,
    };
    if r.op == RangeOp::AbsentOverTime {
        return Some(nothing);
    }
    if r.grouping.is_some() {
        return r.grouping.clone();
    }
    let pushed = matches!(
        r.op,
        RangeOp::CountOverTime
            | RangeOp::Rate
            | RangeOp::BytesOverTime
            | RangeOp::BytesRate
            | RangeOp::SumOverTime
    );
    let outer = outer.filter(|v| v.op == VectorOp::Sum && pushed)?;
    Some(outer.grouping.clone().unwrap_or(nothing))
}

/// What has to be parsed, and whether errors were asked for.
fn needs(r: &RangeAggregation, grouping: Option<&Grouping>) -> (Needs, bool) {
    let mut names = BTreeSet::new();
    for s in stages_of(r) {
        match s {
            Stage::Label(f) => read_by_filter(f, &mut names),
            Stage::LineFormat(t) => names.extend(fields(t)),
            Stage::LabelFormat(terms) => {
                for t in terms {
                    if t.rename {
                        names.insert(t.source.clone());
                    } else {
                        names.extend(fields(&t.source));
                    }
                }
            }
            _ => {}
        }
    }
    if let Some(u) = &r.unwrap {
        names.insert(u.label.clone());
        u.filters.iter().for_each(|f| read_by_filter(f, &mut names));
    }
    names.extend(grouping.iter().flat_map(|g| g.labels.clone()));
    let asked = names.contains(ERROR);
    let originals: Vec<String> = names
        .iter()
        .filter_map(|n| n.strip_suffix("_extracted").map(str::to_owned))
        .collect();
    names.extend(originals);
    let needs = match grouping {
        Some(g) if !g.without => Needs {
            nothing: g.labels.is_empty() && names.is_empty(),
            only: names,
        },
        _ => Needs::default(),
    };
    (needs, asked)
}

/// The labels that decide about a group; labels without a value do not survive.
fn grouped(labels: &Set, g: Option<&Grouping>) -> Set {
    let Some(g) = g else { return Set::new() };
    let kept = labels
        .iter()
        .filter(|(n, v)| g.labels.contains(n) != g.without && !v.is_empty());
    kept.map(|(n, v)| (n.clone(), v.clone())).collect()
}

impl Query<'_, '_> {
    /// Reads the samples of every range aggregation.
    fn read(&mut self, e: &MetricExpr, outer: Option<&VectorAggregation>) -> Result<(), Fail> {
        match e {
            MetricExpr::Range(r) => {
                let samples = self.samples_of(r, outer)?;
                self.samples
                    .insert(std::ptr::from_ref(r.as_ref()), Rc::new(samples));
            }
            MetricExpr::Vector(v) => self.read(&v.inner, Some(v))?,
            MetricExpr::Binary(b) => {
                self.read(&b.left, None)?;
                self.read(&b.right, None)?;
            }
            MetricExpr::LabelReplace(l) => self.read(&l.inner, None)?,
            MetricExpr::Literal(_) | MetricExpr::VectorOf(_) => {}
        }
        Ok(())
    }

    /// Time of step `k` as a range aggregation sees it.
    fn at(&self, r: &RangeAggregation, k: u64) -> i64 {
        self.steps.at(k) - r.offset
    }

    fn in_window(&self, r: &RangeAggregation, k: u64, t: i64) -> bool {
        let at = self.at(r, k);
        at - r.range < t && t <= at
    }

    fn samples_of(
        &self,
        r: &RangeAggregation,
        outer: Option<&VectorAggregation>,
    ) -> Result<Samples, Fail> {
        let grouping = effective(r, outer);
        let (needs, asked) = needs(r, grouping.as_ref());
        let stages = stages_of(r);
        let mut out: BTreeMap<Set, Vec<(i64, f64)>> = BTreeMap::new();
        for e in self.oracle.selected(&r.log.matchers) {
            if !(0..self.steps.count).any(|k| self.in_window(r, k, e.time)) {
                continue;
            }
            let mut row = Row::new(e, &needs);
            if !stages.iter().all(|s| self.oracle.stage(s, &mut row)) {
                continue;
            }
            let value = match (&r.unwrap, r.op) {
                (Some(u), _) => match unwrapped(u, &mut row) {
                    Some(v) => v,
                    None => continue,
                },
                (None, RangeOp::BytesOverTime | RangeOp::BytesRate) => row.len() as f64,
                (None, _) => 1.0,
            };
            if !row.error.is_empty() && !asked {
                return Err(PIPELINE);
            }
            let mut labels = row.all_labels();
            if row.error.is_empty() {
                if let Some(u) = &r.unwrap
                    && grouping.as_ref().is_none_or(|g| g.without)
                {
                    labels.remove(&u.label);
                }
                if let Some(g) = &r.grouping {
                    labels.retain(|n, _| g.labels.contains(n) != g.without);
                }
            }
            // Details tell series apart, and their texts are nobody's promise.
            let summed = grouping.as_ref().filter(|_| r.grouping.is_none());
            let seen = summed.is_none_or(|g| g.labels.iter().any(|l| l == DETAILS) != g.without);
            if seen && labels.contains_key(DETAILS) {
                self.oracle.set_open();
            }
            out.entry(labels).or_default().push((e.time, value));
        }
        Ok(out.into_iter().collect())
    }

    fn eval(&self, e: &MetricExpr, k: u64) -> Result<Out, Fail> {
        Ok(match e {
            MetricExpr::Literal(v) => Out::Scalar(*v),
            MetricExpr::VectorOf(v) => Out::Vector(vec![(Set::new(), *v)]),
            MetricExpr::Range(r) => Out::Vector(self.range(r, k)),
            MetricExpr::Vector(v) => {
                let inner = self.vector(&v.inner, k)?;
                Out::Vector(self.aggregate(v, inner))
            }
            MetricExpr::Binary(b) => self.binary(b, k)?,
            MetricExpr::LabelReplace(l) => {
                let inner = self.vector(&l.inner, k)?;
                let replace = |(mut labels, v): El| {
                    let value = labels.get(&l.src).cloned().unwrap_or_default();
                    let text = with_pattern(&format!("^(?s:{})$", l.regex), |re| {
                        re.captures(&value).map(|c| {
                            let mut out = String::new();
                            c.expand(&l.replacement, &mut out);
                            out
                        })
                    });
                    match text.flatten() {
                        Some(t) if t.is_empty() => {
                            labels.remove(&l.dst);
                        }
                        Some(t) => {
                            labels.insert(l.dst.clone(), t);
                        }
                        None => {}
                    }
                    (labels, v)
                };
                Out::Vector(inner.into_iter().map(replace).collect())
            }
        })
    }

    fn vector(&self, e: &MetricExpr, k: u64) -> Result<Vec<El>, Fail> {
        Ok(match self.eval(e, k)? {
            Out::Vector(v) => v,
            Out::Scalar(v) => vec![(Set::new(), v)],
        })
    }

    fn range(&self, r: &RangeAggregation, k: u64) -> Vec<El> {
        let samples = &self.samples[&std::ptr::from_ref(r)];
        let mut out = Vec::new();
        for (labels, all) in samples.iter() {
            let own = all.iter().filter(|(t, _)| self.in_window(r, k, *t));
            let window: Vec<(i64, f64)> = own.copied().collect();
            if !window.is_empty() {
                out.push((labels.clone(), self.over_time(r, &window, self.at(r, k))));
            }
        }
        if r.op != RangeOp::AbsentOverTime {
            return out;
        }
        if !out.is_empty() {
            return Vec::new();
        }
        let all = &r.log.matchers;
        let once = all.iter().filter(|m| {
            matches!(m.op, MatchOp::Equal)
                && !m.value.is_empty()
                && all.iter().filter(|o| o.name == m.name).count() == 1
        });
        let labels = once.map(|m| (m.name.clone(), m.value.clone()));
        vec![(labels.collect(), 1.0)]
    }

    fn over_time(&self, r: &RangeAggregation, window: &[(i64, f64)], end: i64) -> f64 {
        let v: Vec<f64> = window.iter().map(|w| w.1).collect();
        let n = v.len() as f64;
        let seconds = r.range as f64 / 1e9;
        let sum: f64 = v.iter().sum();
        let tied = |at: usize| {
            let time = window[at].0;
            let same = window.iter().filter(|w| w.0 == time);
            same.clone().count() > 1 && same.clone().any(|w| w.1 != window[at].1)
        };
        match r.op {
            RangeOp::CountOverTime => n,
            RangeOp::BytesOverTime | RangeOp::SumOverTime => sum,
            RangeOp::Rate if r.unwrap.is_none() => n / seconds,
            RangeOp::Rate | RangeOp::BytesRate => sum / seconds,
            RangeOp::AbsentOverTime => 1.0,
            RangeOp::AvgOverTime => mean(&v),
            RangeOp::MinOverTime => v.iter().copied().fold(f64::NAN, f64::min),
            RangeOp::MaxOverTime => v.iter().copied().fold(f64::NAN, f64::max),
            RangeOp::StdvarOverTime => variance(&v),
            RangeOp::StddevOverTime => variance(&v).sqrt(),
            RangeOp::FirstOverTime | RangeOp::LastOverTime => {
                let first = r.op == RangeOp::FirstOverTime;
                let at = if first { 0 } else { v.len() - 1 };
                // Of equal times the order is that of arrival, which means nothing.
                if tied(at) {
                    self.oracle.set_open();
                }
                v[at]
            }
            RangeOp::QuantileOverTime => quantile(r.param.expect("a parameter"), &v),
            RangeOp::RateCounter => {
                if window
                    .windows(2)
                    .any(|w| w[0].0 == w[1].0 && w[0].1 != w[1].1)
                {
                    self.oracle.set_open();
                }
                rate_counter(window, end - r.range, end)
            }
        }
    }

    fn aggregate(&self, a: &VectorAggregation, inner: Vec<El>) -> Vec<El> {
        let mut groups: BTreeMap<Set, Vec<El>> = BTreeMap::new();
        if matches!(a.op, VectorOp::Sort | VectorOp::SortDesc) {
            groups.insert(Set::new(), inner);
        } else {
            for el in inner {
                let g = grouped(&el.0, a.grouping.as_ref());
                groups.entry(g).or_default().push(el);
            }
        }
        let mut out = Vec::new();
        for (labels, mut els) in groups {
            let v: Vec<f64> = els.iter().map(|e| e.1).collect();
            // The original takes the mean step by step, where one infinity is not like two.
            if a.op == VectorOp::Avg && v.iter().any(|v| v.is_infinite()) {
                self.oracle.set_open();
            }
            let one = match a.op {
                VectorOp::Sum => v.iter().sum(),
                VectorOp::Avg => mean(&v),
                VectorOp::Count => v.len() as f64,
                VectorOp::Min => v.iter().copied().fold(f64::NAN, f64::min),
                VectorOp::Max => v.iter().copied().fold(f64::NAN, f64::max),
                VectorOp::Stdvar => variance(&v),
                VectorOp::Stddev => variance(&v).sqrt(),
                VectorOp::Topk
                | VectorOp::Bottomk
                | VectorOp::ApproxTopk
                | VectorOp::Sort
                | VectorOp::SortDesc => {
                    if v.iter().any(|v| v.is_nan()) {
                        self.oracle.set_open();
                    }
                    let up = matches!(a.op, VectorOp::Bottomk | VectorOp::Sort);
                    els.sort_by(|a, b| {
                        let o = a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal);
                        let o = if up { o } else { o.reverse() };
                        // What is no number is last, whichever way.
                        a.1.is_nan().cmp(&b.1.is_nan()).then(o)
                    });
                    if a.op.has_param() && els.len() > a.param {
                        let (last, next) = (els[a.param - 1].1, els[a.param].1);
                        if near(last, next) {
                            self.oracle.set_open();
                        }
                        els.truncate(a.param);
                    }
                    out.extend(els);
                    continue;
                }
            };
            out.push((labels, one));
        }
        out
    }

    fn binary(&self, b: &Binary, k: u64) -> Result<Out, Fail> {
        let (l, r) = (self.eval(&b.left, k)?, self.eval(&b.right, k)?);
        Ok(match (l, r) {
            (Out::Scalar(l), Out::Scalar(r)) => Out::Scalar(self.number(b.op, l, r)),
            (Out::Vector(l), Out::Scalar(r)) => {
                let one = |(labels, v): El| Some((labels, self.pair(b, v, r, v)?));
                Out::Vector(l.into_iter().filter_map(one).collect())
            }
            (Out::Scalar(l), Out::Vector(r)) => {
                let one = |(labels, v): El| Some((labels, self.pair(b, l, v, v)?));
                Out::Vector(r.into_iter().filter_map(one).collect())
            }
            (Out::Vector(l), Out::Vector(r)) if b.op.is_set() => Out::Vector(set(b, l, r)),
            (Out::Vector(l), Out::Vector(r)) => Out::Vector(self.matched(b, l, r)?),
        })
    }

    fn number(&self, op: BinaryOp, l: f64, r: f64) -> f64 {
        if op.is_comparison() && l != r && near(l, r) {
            self.oracle.set_open();
        }
        // Rounding decides whether this is a division by zero.
        if matches!(op, BinaryOp::Div | BinaryOp::Mod) && r != 0.0 && r.abs() < 1e-9 {
            self.oracle.set_open();
        }
        let truth = |b: bool| if b { 1.0 } else { 0.0 };
        match op {
            BinaryOp::Add => l + r,
            BinaryOp::Sub => l - r,
            BinaryOp::Mul => l * r,
            BinaryOp::Div | BinaryOp::Mod if r == 0.0 => f64::NAN,
            BinaryOp::Div => l / r,
            BinaryOp::Mod => {
                // The remainder jumps where the quotient is a whole number.
                let q = l / r;
                if (q - q.round()).abs() < 1e-6 && l.fract().abs() + r.fract().abs() > 0.0 {
                    self.oracle.set_open();
                }
                l % r
            }
            BinaryOp::Pow => l.powf(r),
            BinaryOp::Equal => truth(l == r),
            BinaryOp::NotEqual => truth(l != r),
            BinaryOp::Less => truth(l < r),
            BinaryOp::LessEqual => truth(l <= r),
            BinaryOp::Greater => truth(l > r),
            BinaryOp::GreaterEqual => truth(l >= r),
            BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => unreachable!("no numbers"),
        }
    }

    /// The sample of two values, if there is one.
    fn pair(&self, b: &Binary, l: f64, r: f64, kept: f64) -> Option<f64> {
        let v = self.number(b.op, l, r);
        if !b.op.is_comparison() || b.return_bool {
            return Some(v);
        }
        (v == 1.0).then_some(kept)
    }

    fn matched(&self, b: &Binary, left: Vec<El>, right: Vec<El>) -> Result<Vec<El>, Fail> {
        let cardinality = b.matching.as_ref().map(|m| &m.cardinality);
        let swapped = matches!(cardinality, Some(Cardinality::GroupRight(_)));
        let include: Option<&Vec<String>> = match cardinality {
            Some(Cardinality::GroupLeft(i) | Cardinality::GroupRight(i)) => Some(i),
            _ => None,
        };
        let (many, one) = if swapped {
            (&right, &left)
        } else {
            (&left, &right)
        };
        let ones: Vec<Set> = one.iter().map(|e| key(b, &e.0)).collect();
        if (1..ones.len()).any(|i| ones[..i].contains(&ones[i])) {
            return Err(MATCHING);
        }
        let mut used = Vec::new();
        let mut out: Vec<El> = Vec::new();
        for (labels, m) in many {
            let own = key(b, labels);
            let Some(at) = ones.iter().position(|o| *o == own) else {
                continue;
            };
            if include.is_none() && used.contains(&at) {
                return Err(MATCHING);
            }
            used.push(at);
            let (l, r) = if swapped {
                (one[at].1, *m)
            } else {
                (*m, one[at].1)
            };
            let Some(v) = self.pair(b, l, r, l) else {
                continue;
            };
            let mut labels = labels.clone();
            match (&b.matching, include) {
                (Some(_), Some(include)) => {
                    for n in include {
                        match one[at].0.get(n).filter(|v| !v.is_empty()) {
                            Some(v) => labels.insert(n.clone(), v.clone()),
                            None => labels.remove(n),
                        };
                    }
                }
                (Some(m), None) => labels.retain(|n, _| m.labels.contains(n) == m.on),
                (None, _) => {}
            }
            if out.iter().any(|e| e.0 == labels) {
                return Err(MATCHING);
            }
            out.push((labels, v));
        }
        Ok(out)
    }
}

/// The labels by which two elements match.
fn key(b: &Binary, labels: &Set) -> Set {
    let mut out = labels.clone();
    if let Some(m) = &b.matching {
        out.retain(|n, _| m.labels.contains(n) == m.on);
    }
    out
}

fn set(b: &Binary, left: Vec<El>, right: Vec<El>) -> Vec<El> {
    let has = |of: &[El], e: &El| of.iter().any(|o| key(b, &o.0) == key(b, &e.0));
    match b.op {
        BinaryOp::And => left.into_iter().filter(|e| has(&right, e)).collect(),
        BinaryOp::Unless => left.into_iter().filter(|e| !has(&right, e)).collect(),
        _ => {
            let added: Vec<El> = right.into_iter().filter(|e| !has(&left, e)).collect();
            left.into_iter().chain(added).collect()
        }
    }
}

/// Two numbers that rounding may make equal or tell apart.
fn near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn mean(v: &[f64]) -> f64 {
    // Equal numbers deviate from nothing; rounding must not make them.
    if let Some(first) = v.first().filter(|first| v.iter().all(|x| x == *first)) {
        return *first;
    }
    let n = v.len() as f64;
    v.iter().map(|x| x / n).sum()
}

fn variance(v: &[f64]) -> f64 {
    let m = mean(v);
    v.iter().map(|x| (x - m) * (x - m)).sum::<f64>() / v.len() as f64
}

fn quantile(q: f64, v: &[f64]) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let mut s = v.to_vec();
    // What is no number is smaller than every number.
    s.sort_by(|a, b| {
        a.partial_cmp(b)
            .unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
    });
    let rank = q * (s.len() - 1) as f64;
    let low = rank.floor();
    let high = (low + 1.0).min((s.len() - 1) as f64);
    let part = rank - low;
    s[low as usize] * (1.0 - part) + s[high as usize] * part
}

/// Prometheus' `rate` over a window that is known exactly.
fn rate_counter(w: &[(i64, f64)], from: i64, to: i64) -> f64 {
    if w.len() < 2 {
        return 0.0;
    }
    let (first, last) = (w[0], w[w.len() - 1]);
    let resets: f64 = w
        .windows(2)
        .filter(|p| p[1].1 < p[0].1)
        .map(|p| p[0].1)
        .sum();
    let increase = last.1 - first.1 + resets;
    let s = |ns: i64| ns as f64 / 1e9;
    let sampled = s(last.0 - first.0);
    let between = sampled / (w.len() - 1) as f64;
    let mut before = s(first.0 - from);
    let mut after = s(to - last.0);
    if before >= between * 1.1 {
        before = between / 2.0;
    }
    if after >= between * 1.1 {
        after = between / 2.0;
    }
    if increase > 0.0 && first.1 >= 0.0 {
        before = before.min(sampled * first.1 / increase);
    }
    increase * (sampled + before + after) / sampled / s(to - from)
}

/// The value of an entry, if it has one.
fn unwrapped(u: &Unwrap, row: &mut Row<'_>) -> Option<f64> {
    let text = row.get(&u.label).filter(|t| !t.is_empty())?;
    let v = match u.conversion {
        Conversion::Float => tests_of_text::number(text),
        Conversion::Bytes => tests_of_text::size(text),
        Conversion::Duration | Conversion::DurationSeconds => {
            tests_of_text::duration(text).map(|ns| ns / 1e9)
        }
    };
    let v = v.unwrap_or_else(|| {
        row.fail("SampleExtractionErr", true);
        0.0
    });
    let kept = u.filters.iter().all(|f| tests_of_text::label(f, row));
    kept.then_some(v)
}
