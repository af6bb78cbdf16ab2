//! PromQL evaluated the slow way: one step after the other, one sample after the other, over plain
//! lists of points. What it answers is what the documentation of the language says; the engine has
//! to agree.
//!
//! Owns: the meaning of every expression at one point in time; data and queries to try it on.
//! Knows nothing of: the engine's plans, columns, windows, histograms; it shares only the parser
//! and the label type with it.
//!
//! Some questions have more than one right answer (which of equal values `topk` keeps), and some
//! turn on the last bit of a sum (`a == b`). The oracle marks them as [`Oracle::is_open`] instead
//! of guessing.

#![allow(missing_docs, unreachable_pub, dead_code)]

mod aggregate;
mod binary;
pub mod generate;
pub mod histogram;
mod range;
mod vector;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use engine::model::{Labels, MatchOp, Matcher, is_stale};
use query::promql::ast::{
    DurationArg, DurationExpr, DurationOp, Expr, StartOrEnd, Subquery, VectorSelector,
};

pub use histogram::Hist;

/// A value of a sample.
#[derive(Debug, Clone)]
pub enum Val {
    F(f64),
    H(Rc<Hist>),
}

impl Val {
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::F(v) => Some(*v),
            Self::H(_) => None,
        }
    }

    pub fn hist(&self) -> Option<&Rc<Hist>> {
        match self {
            Self::F(_) => None,
            Self::H(h) => Some(h),
        }
    }
}

/// A stored series: points in time order. A float may be a staleness marker.
#[derive(Debug, Clone)]
pub struct Stored {
    pub labels: Labels,
    pub points: Vec<(i64, Val)>,
}

/// An element of an instant vector.
#[derive(Debug, Clone)]
pub struct El {
    pub labels: Labels,
    pub v: Val,
}

/// The samples of a series in a window `(start, end]`, without staleness markers. Extended
/// selectors add what lies around it.
#[derive(Debug, Clone)]
pub struct Win {
    pub labels: Labels,
    pub points: Vec<(i64, Val)>,
    pub start: i64,
    pub end: i64,
}

/// What an expression is at a time.
#[derive(Debug, Clone)]
pub enum Out {
    Scalar(f64),
    Str(String),
    Vector(Vec<El>),
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fail(pub String);

pub type Res<T> = Result<T, Fail>;

pub fn fail<T>(text: impl Into<String>) -> Res<T> {
    Err(Fail(text.into()))
}

pub const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// One query over some data.
pub struct Oracle<'a> {
    pub data: &'a [Stored],
    pub start: i64,
    pub end: i64,
    /// 0 for instant queries.
    pub step: i64,
    pub lookback: i64,
    pub default_step: i64,
    open: Cell<bool>,
}

/// `name` is one of those that say what a metric is.
pub fn is_metadata(name: &str) -> bool {
    ["__name__", "__type__", "__unit__"].contains(&name)
}

pub fn stripped(l: &Labels) -> Labels {
    l.filter(|n| !is_metadata(n))
}

/// Refuses equal label sets.
pub fn unique(v: Vec<El>) -> Res<Vec<El>> {
    let mut seen: Vec<&Labels> = v.iter().map(|e| &e.labels).collect();
    seen.sort();
    if seen.windows(2).any(|w| w[0] == w[1]) {
        return fail(SAME_LABELS);
    }
    Ok(v)
}

thread_local! {
    /// Compiled patterns: they cost more than everything else here.
    static PATTERNS: RefCell<HashMap<String, Option<regex::Regex>>> = RefCell::default();
}

fn matches(m: &Matcher, labels: &Labels) -> bool {
    let v = labels.get(&m.name).unwrap_or("");
    let regex = || {
        PATTERNS.with_borrow_mut(|known| {
            known
                .entry(m.value.clone())
                .or_insert_with(|| regex::Regex::new(&format!("^(?s:{})$", m.value)).ok())
                .as_ref()
                .is_some_and(|r| r.is_match(v))
        })
    };
    match &m.op {
        MatchOp::Equal => v == m.value,
        MatchOp::NotEqual => v != m.value,
        MatchOp::Regex(_) => regex(),
        MatchOp::NotRegex(_) => !regex(),
    }
}

impl<'a> Oracle<'a> {
    pub fn new(data: &'a [Stored], start: i64, end: i64, step: i64) -> Self {
        Self {
            data,
            start,
            end,
            step,
            lookback: 300_000,
            default_step: 60_000,
            open: Cell::new(false),
        }
    }

    /// The answer depends on rounding or on an order that is not defined.
    pub fn is_open(&self) -> bool {
        self.open.get()
    }

    pub fn mark_open(&self) {
        self.open.set(true);
    }

    /// Marks a decision between two nearly equal, not identical floats.
    pub fn mark_close(&self, a: f64, b: f64) {
        if a.to_bits() != b.to_bits() && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) && a != b {
            self.mark_open();
        }
    }

    /// Marks a spread of `values` that is small beside the values: rounding decides it.
    pub fn mark_narrow(&self, values: &[f64]) {
        let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        if aggregate::variance(values).sqrt() <= 1e-6 * largest {
            self.mark_open();
        }
    }

    pub fn eval(&self, e: &Expr, t: i64) -> Res<Out> {
        Ok(match e {
            Expr::Number(n) => Out::Scalar(n.val),
            Expr::String(s) => Out::Str(s.val.clone()),
            Expr::Paren(p) => self.eval(&p.expr, t)?,
            Expr::Vector(v) => Out::Vector(
                self.instant(v, t)?
                    .into_iter()
                    .map(|(labels, _, v)| El { labels, v })
                    .collect(),
            ),
            Expr::Unary(u) => match self.eval(&u.expr, t)? {
                Out::Scalar(v) if u.negative => Out::Scalar(-v),
                Out::Vector(v) if u.negative => Out::Vector(unique(
                    v.into_iter()
                        .map(|e| El {
                            labels: stripped(&e.labels),
                            v: match e.v {
                                Val::F(v) => Val::F(-v),
                                Val::H(h) => Val::H(Rc::new(h.times(-1.0))),
                            },
                        })
                        .collect(),
                )?),
                other => other,
            },
            Expr::Binary(b) => self.binary(b, t)?,
            Expr::Aggregate(a) => Out::Vector(self.aggregate(a, t)?),
            Expr::Call(c) => self.call(c, t)?,
            Expr::Matrix(_) | Expr::Subquery(_) => return fail("a range vector has no value"),
        })
    }

    pub fn vector(&self, e: &Expr, t: i64) -> Res<Vec<El>> {
        match self.eval(e, t)? {
            Out::Vector(v) => Ok(v),
            _ => fail("expected an instant vector"),
        }
    }

    pub fn scalar(&self, e: &Expr, t: i64) -> Res<f64> {
        match self.eval(e, t)? {
            Out::Scalar(v) => Ok(v),
            _ => fail("expected a scalar"),
        }
    }

    pub fn text(&self, e: &Expr, t: i64) -> Res<String> {
        match self.eval(e, t)? {
            Out::Str(v) => Ok(v),
            _ => fail("expected a string"),
        }
    }

    /// A duration in ms: as written or computed.
    pub fn duration(&self, ms: i64, expr: Option<&DurationExpr>) -> Res<i64> {
        match expr {
            None => Ok(ms),
            Some(e) => Ok((self.seconds(e)? * 1000.0).round() as i64),
        }
    }

    fn seconds(&self, e: &DurationExpr) -> Res<f64> {
        let arg = |a: &Option<DurationArg>| -> Res<Option<f64>> {
            a.as_ref()
                .map(|a| match a {
                    DurationArg::Number(n) => Ok(n.val),
                    DurationArg::Expr(e) => self.seconds(e),
                })
                .transpose()
        };
        let (l, r) = (arg(&e.lhs)?, arg(&e.rhs)?);
        let right = r.unwrap_or(f64::NAN);
        Ok(match (e.op, l) {
            (DurationOp::Step, _) => self.step as f64 / 1000.0,
            (DurationOp::Range, _) => (self.end - self.start) as f64 / 1000.0,
            (DurationOp::Add, None) => right,
            (DurationOp::Sub, None) => -right,
            (op, Some(l)) => match op {
                DurationOp::Add => l + right,
                DurationOp::Sub => l - right,
                DurationOp::Mul => l * right,
                DurationOp::Div if right == 0.0 => return fail("division by zero"),
                DurationOp::Mod if right == 0.0 => return fail("modulo by zero"),
                DurationOp::Div => l / right,
                DurationOp::Mod => l % right,
                DurationOp::Pow => l.powf(right),
                DurationOp::MinOf => l.min(right),
                DurationOp::MaxOf => l.max(right),
                DurationOp::Step | DurationOp::Range => f64::NAN,
            },
            (_, None) => return fail("missing operand of a duration"),
        })
    }

    fn at(&self, at_ms: Option<i64>, edge: Option<StartOrEnd>) -> Option<i64> {
        match edge {
            Some(StartOrEnd::Start) => Some(self.start),
            Some(StartOrEnd::End) => Some(self.end),
            None => at_ms,
        }
    }

    /// The time a selector looks at.
    pub fn time_of(&self, v: &VectorSelector, t: i64) -> Res<i64> {
        let offset = self.duration(v.offset_ms, v.offset_expr.as_deref())?;
        Ok(self.at(v.at_ms, v.at_edge).unwrap_or(t) - offset)
    }

    pub fn selected(&self, v: &VectorSelector) -> impl Iterator<Item = &'a Stored> {
        let matchers = v.matchers.clone();
        self.data
            .iter()
            .filter(move |s| matchers.iter().all(|m| matches(m, &s.labels)))
    }

    /// An instant selector: labels, time of the sample, value.
    pub fn instant(&self, v: &VectorSelector, t: i64) -> Res<Vec<(Labels, i64, Val)>> {
        let t = self.time_of(v, t)?;
        let mut out = Vec::new();
        for s in self.selected(v) {
            let found = if v.smoothed {
                self.smoothed_at(s, t)
            } else {
                s.points
                    .iter()
                    .rev()
                    .find(|p| p.0 <= t)
                    .filter(|p| p.0 > t - self.lookback && !stale(&p.1))
                    .cloned()
            };
            if let Some((at, val)) = found {
                out.push((s.labels.clone(), at, val));
            }
        }
        Ok(out)
    }

    /// `smoothed`: on the line between the neighbours within the lookback on either side; behind
    /// the last sample, that one.
    fn smoothed_at(&self, s: &Stored, t: i64) -> Option<(i64, Val)> {
        let near: Vec<&(i64, Val)> = s
            .points
            .iter()
            .filter(|p| p.0 > t - self.lookback && p.0 <= t + self.lookback && !stale(&p.1))
            .collect();
        let floats = near.iter().filter(|p| p.1.float().is_some()).count();
        if floats != 0 && floats != near.len() {
            return None;
        }
        let before = near.iter().rev().find(|p| p.0 <= t)?;
        if before.0 == t {
            return Some((*before).clone());
        }
        let Some(after) = near.iter().find(|p| p.0 > t) else {
            return Some((*before).clone());
        };
        let share = (t - before.0) as f64 / (after.0 - before.0) as f64;
        match (&before.1, &after.1) {
            (Val::F(a), Val::F(b)) => {
                // The order of the operations decides the last bit.
                let v = a + (b - a) * (t - before.0) as f64 / (after.0 - before.0) as f64;
                Some((t, Val::F(v)))
            }
            (Val::H(a), Val::H(b)) => {
                let counter = !(a.gauge && b.gauge);
                let h = range::between(a, b, share, counter).ok()?;
                Some((t, Val::H(Rc::new(h))))
            }
            _ => None,
        }
    }

    /// The steps of a subquery at `t`, and its window.
    fn subquery_times(&self, s: &Subquery, t: i64) -> Res<(i64, i64, Vec<i64>)> {
        let offset = self.duration(s.offset_ms, s.offset_expr.as_deref())?;
        let range = self.duration(s.range_ms, s.range_expr.as_deref())?;
        let step = match self.duration(s.step_ms, s.step_expr.as_deref())? {
            0 => self.default_step,
            ms => ms,
        };
        let end = self.at(s.at_ms, s.at_edge).unwrap_or(t) - offset;
        let start = end - range;
        let first = start.div_euclid(step) + 1;
        let last = end.div_euclid(step);
        Ok((start, end, (first..=last).map(|i| i * step).collect()))
    }

    /// A range vector: range selector or subquery.
    pub fn matrix(&self, e: &Expr, t: i64) -> Res<Vec<Win>> {
        match e {
            Expr::Paren(p) => self.matrix(&p.expr, t),
            Expr::Matrix(m) => {
                let end = self.time_of(&m.selector, t)?;
                let range = self.duration(m.range_ms, m.range_expr.as_deref())?;
                if range <= 0 {
                    return fail("duration must be greater than 0");
                }
                let start = end - range;
                let v = &m.selector;
                let before = if v.anchored || v.smoothed {
                    self.lookback
                } else {
                    0
                };
                let after = if v.smoothed { self.lookback } else { 0 };
                Ok(self
                    .selected(v)
                    .map(|s| Win {
                        labels: s.labels.clone(),
                        points: s
                            .points
                            .iter()
                            .filter(|p| p.0 > start - before && p.0 <= end + after && !stale(&p.1))
                            .cloned()
                            .collect(),
                        start,
                        end,
                    })
                    .collect())
            }
            Expr::Subquery(s) => {
                let (start, end, times) = self.subquery_times(s, t)?;
                let mut out: Vec<Win> = Vec::new();
                for at in times {
                    let v = match self.eval(&s.expr, at)? {
                        Out::Vector(v) => unique(v)?,
                        Out::Scalar(v) => vec![El {
                            labels: Labels::empty(),
                            v: Val::F(v),
                        }],
                        Out::Str(_) => return fail("a string has no subquery"),
                    };
                    for e in v {
                        let i = out.iter().position(|w| w.labels == e.labels);
                        let i = i.unwrap_or_else(|| {
                            out.push(Win {
                                labels: e.labels.clone(),
                                points: Vec::new(),
                                start,
                                end,
                            });
                            out.len() - 1
                        });
                        out[i].points.push((at, e.v));
                    }
                }
                Ok(out)
            }
            _ => fail("expected a range vector"),
        }
    }
}

/// A staleness marker, as a float or in a histogram's sum.
pub fn stale(v: &Val) -> bool {
    match v {
        Val::F(v) => is_stale(*v),
        Val::H(h) => is_stale(h.sum),
    }
}
