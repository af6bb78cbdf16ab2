//! Binary operators.

use engine::model::Labels;
use hashbrown::HashMap;

use super::metric::{Context, Val};
use super::{BinaryOp, QueryError, Series};
use crate::logql::ast::{Binary, Cardinality, Matching};

/// `a op b` for numbers; comparisons give 0 or 1. Division and remainder by zero are NaN.
pub(crate) fn scalar(op: BinaryOp, a: f64, b: f64) -> f64 {
    let truth = |b: bool| f64::from(u8::from(b));
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div if b == 0.0 => f64::NAN,
        BinaryOp::Div => a / b,
        BinaryOp::Mod if b == 0.0 => f64::NAN,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Equal => truth(a == b),
        BinaryOp::NotEqual => truth(a != b),
        BinaryOp::Less => truth(a < b),
        BinaryOp::LessEqual => truth(a <= b),
        BinaryOp::Greater => truth(a > b),
        BinaryOp::GreaterEqual => truth(a >= b),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => f64::NAN,
    }
}

/// The sample for two values; comparisons without `bool` keep `kept` or nothing.
fn sample(b: &Binary, left: f64, right: f64, kept: f64) -> Option<f64> {
    let v = scalar(b.op, left, right);
    if b.op.is_comparison() && !b.return_bool {
        return (v != 0.0).then_some(kept);
    }
    Some(v)
}

pub(super) fn eval(cx: &Context<'_>, b: &Binary) -> Result<Val, QueryError> {
    let left = cx.eval(&b.left)?;
    let right = cx.eval(&b.right)?;
    Ok(match (left, right) {
        (Val::Scalar(l), Val::Scalar(r)) => Val::Scalar(scalar(b.op, l, r)),
        (Val::Vector(l), Val::Scalar(r)) => Val::Vector(map(l, |v| sample(b, v, r, v))),
        (Val::Scalar(l), Val::Vector(r)) => Val::Vector(map(r, |v| sample(b, l, v, v))),
        (Val::Vector(l), Val::Vector(r)) if b.op.is_set() => Val::Vector(set(b, l, r)),
        (Val::Vector(l), Val::Vector(r)) => Val::Vector(match_sides(b, l, r, cx.grid.steps)?),
    })
}

fn map(mut series: Vec<Series>, f: impl Fn(f64) -> Option<f64>) -> Vec<Series> {
    for s in &mut series {
        s.points = s
            .points
            .iter()
            .filter_map(|(k, v)| Some((*k, f(*v)?)))
            .collect();
    }
    series.retain(|s| !s.points.is_empty());
    series
}

/// The labels that decide whether two series match.
fn signature(labels: &Labels, matching: Option<&Matching>) -> Labels {
    match matching {
        None => labels.clone(),
        Some(m) => labels.filter(|n| m.labels.iter().any(|l| l == n) == m.on),
    }
}

/// Numbers of equal signatures.
struct Signatures(HashMap<Labels, usize, foldhash::fast::RandomState>);

impl Signatures {
    fn of(&mut self, series: &[Series], matching: Option<&Matching>) -> Vec<usize> {
        let one = |s: &Series| {
            let next = self.0.len();
            *self.0.entry(signature(&s.labels, matching)).or_insert(next)
        };
        series.iter().map(one).collect()
    }
}

fn set(b: &Binary, left: Vec<Series>, right: Vec<Series>) -> Vec<Series> {
    let matching = b.matching.as_ref();
    let mut all = Signatures(HashMap::default());
    let l = all.of(&left, matching);
    let r = all.of(&right, matching);
    // Steps at which some series of a signature has a point.
    let steps_of = |series: &[Series], sigs: &[usize]| {
        let mut steps: HashMap<(usize, u32), (), foldhash::fast::RandomState> = HashMap::default();
        for (s, sig) in series.iter().zip(sigs) {
            steps.extend(s.points.iter().map(|(k, _)| ((*sig, *k), ())));
        }
        steps
    };
    let keep = |series: Vec<Series>, sigs: &[usize], wanted: &dyn Fn(usize, u32) -> bool| {
        let mut out = Vec::with_capacity(series.len());
        for (mut s, sig) in series.into_iter().zip(sigs) {
            s.points.retain(|(k, _)| wanted(*sig, *k));
            if !s.points.is_empty() {
                out.push(s);
            }
        }
        out
    };
    match b.op {
        BinaryOp::And => {
            let other = steps_of(&right, &r);
            keep(left, &l, &|sig, k| other.contains_key(&(sig, k)))
        }
        BinaryOp::Unless => {
            let other = steps_of(&right, &r);
            keep(left, &l, &|sig, k| !other.contains_key(&(sig, k)))
        }
        _ => {
            let other = steps_of(&left, &l);
            let added = keep(right, &r, &|sig, k| !other.contains_key(&(sig, k)));
            union(left, added)
        }
    }
}

/// Both lists; series of equal labels become one.
fn union(mut left: Vec<Series>, right: Vec<Series>) -> Vec<Series> {
    let mut index: HashMap<Labels, usize, foldhash::fast::RandomState> = left
        .iter()
        .enumerate()
        .map(|(i, s)| (s.labels.clone(), i))
        .collect();
    for s in right {
        match index.get(&s.labels) {
            Some(i) => {
                left[*i].points.extend(s.points);
                left[*i].points.sort_by_key(|p| p.0);
            }
            None => {
                index.insert(s.labels.clone(), left.len());
                left.push(s);
            }
        }
    }
    left
}

fn many_to_many(side: &str) -> QueryError {
    QueryError::Matching(format!(
        "found duplicate series on the {side} hand-side;many-to-many matching not allowed: \
         matching labels must be unique on one side"
    ))
}

/// The values of one step: for each series its value, if it has one.
fn columns(series: &[Series], steps: u64) -> Vec<Vec<(usize, f64)>> {
    let mut out = vec![Vec::new(); steps as usize];
    for (i, s) in series.iter().enumerate() {
        for (k, v) in &s.points {
            out[*k as usize].push((i, *v));
        }
    }
    out
}

fn match_sides(
    b: &Binary,
    left: Vec<Series>,
    right: Vec<Series>,
    steps: u64,
) -> Result<Vec<Series>, QueryError> {
    let matching = b.matching.as_ref();
    let cardinality = matching.map(|m| &m.cardinality);
    let swapped = matches!(cardinality, Some(Cardinality::GroupRight(_)));
    let grouped = swapped || matches!(cardinality, Some(Cardinality::GroupLeft(_)));
    let (many, one) = if swapped {
        (right, left)
    } else {
        (left, right)
    };
    let mut all = Signatures(HashMap::default());
    let many_sigs = all.of(&many, matching);
    let one_sigs = all.of(&one, matching);
    let (many_steps, one_steps) = (columns(&many, steps), columns(&one, steps));
    let mut index: HashMap<Labels, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut out: Vec<Series> = Vec::new();
    let mut pairs: HashMap<(usize, usize), usize, foldhash::fast::RandomState> = HashMap::default();
    for (k, (many_now, one_now)) in many_steps.iter().zip(&one_steps).enumerate() {
        let k = k as u32;
        let mut by_sig: HashMap<usize, (usize, f64), foldhash::fast::RandomState> =
            HashMap::default();
        for (i, v) in one_now {
            if by_sig.insert(one_sigs[*i], (*i, *v)).is_some() {
                return Err(many_to_many(if swapped { "left" } else { "right" }));
            }
        }
        let mut used: HashMap<usize, (), foldhash::fast::RandomState> = HashMap::default();
        for (i, m) in many_now {
            let Some((j, o)) = by_sig.get(&many_sigs[*i]) else {
                continue;
            };
            if !grouped && used.insert(many_sigs[*i], ()).is_some() {
                return Err(QueryError::Matching(
                    "multiple matches for labels: many-to-one matching must be explicit \
                     (group_left/group_right)"
                        .to_owned(),
                ));
            }
            let (l, r) = if swapped { (*o, *m) } else { (*m, *o) };
            let Some(v) = sample(b, l, r, l) else {
                continue;
            };
            let at = *pairs.entry((*i, *j)).or_insert_with(|| {
                let labels = result_labels(&many[*i].labels, &one[*j].labels, matching);
                let next = out.len();
                let at = *index.entry(labels.clone()).or_insert(next);
                if at == next {
                    out.push(Series {
                        labels,
                        points: Vec::new(),
                    });
                }
                at
            });
            if out[at].points.last().is_some_and(|p| p.0 == k) {
                return Err(QueryError::Matching(
                    "multiple matches for labels: grouping labels must ensure unique matches"
                        .to_owned(),
                ));
            }
            out[at].points.push((k, v));
        }
    }
    out.retain(|s| !s.points.is_empty());
    Ok(out)
}

fn result_labels(many: &Labels, one: &Labels, matching: Option<&Matching>) -> Labels {
    let Some(m) = matching else {
        return many.clone();
    };
    match &m.cardinality {
        Cardinality::OneToOne => many.filter(|n| m.labels.iter().any(|l| l == n) == m.on),
        Cardinality::GroupLeft(include) | Cardinality::GroupRight(include) => {
            include.iter().fold(many.clone(), |labels, name| {
                labels.with(name, one.get(name).unwrap_or(""))
            })
        }
    }
}
