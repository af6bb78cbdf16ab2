//! Vector aggregations, step by step over all series of a group.

use std::cmp::Ordering;

use engine::model::Labels;
use hashbrown::HashMap;

use super::metric::Grid;
use super::{QueryError, Series};
use crate::logql::ast::{Grouping, VectorAggregation, VectorOp};

/// The labels of the group that `labels` belongs to; empty values do not survive.
fn group_of(labels: &Labels, grouping: Option<&Grouping>) -> Labels {
    let Some(g) = grouping else {
        return Labels::empty();
    };
    let pairs = labels
        .iter()
        .filter(|(n, v)| !v.is_empty() && g.labels.iter().any(|l| l == n) != g.without);
    Labels::from_pairs(pairs)
}

#[derive(Clone, Copy, Default)]
struct Cell {
    n: f64,
    /// Sum, mean or extreme.
    value: f64,
    /// Sum of squared distances.
    aux: f64,
}

impl Cell {
    fn add(&mut self, op: VectorOp, v: f64) {
        self.n += 1.0;
        match op {
            VectorOp::Sum => self.value += v,
            VectorOp::Avg => self.value += (v - self.value) / self.n,
            VectorOp::Min if self.n == 1.0 || self.value.is_nan() || v < self.value => {
                self.value = v;
            }
            VectorOp::Max if self.n == 1.0 || self.value.is_nan() || v > self.value => {
                self.value = v;
            }
            VectorOp::Stddev | VectorOp::Stdvar => {
                let delta = v - self.value;
                self.value += delta / self.n;
                self.aux += delta * (v - self.value);
            }
            _ => {}
        }
    }

    fn result(&self, op: VectorOp) -> f64 {
        match op {
            VectorOp::Count => self.n,
            VectorOp::Stdvar => self.aux / self.n,
            VectorOp::Stddev => (self.aux / self.n).sqrt(),
            _ => self.value,
        }
    }
}

/// Evaluates an aggregation over the series of its inside.
pub(super) fn aggregate(
    v: &VectorAggregation,
    inner: Vec<Series>,
    grid: &Grid,
) -> Result<Vec<Series>, QueryError> {
    let grouping = v.grouping.as_ref();
    Ok(match v.op {
        VectorOp::Topk | VectorOp::ApproxTopk => choose(v.param, inner, grouping, grid, greater),
        VectorOp::Bottomk => choose(v.param, inner, grouping, grid, less),
        VectorOp::Sort => sorted(inner, less),
        VectorOp::SortDesc => sorted(inner, greater),
        op => fold(op, &inner, grouping, grid),
    })
}

fn fold(op: VectorOp, inner: &[Series], grouping: Option<&Grouping>, grid: &Grid) -> Vec<Series> {
    let mut index: HashMap<Labels, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut groups: Vec<(Labels, Vec<Cell>)> = Vec::new();
    for s in inner {
        let labels = group_of(&s.labels, grouping);
        let next = groups.len();
        let at = *index.entry(labels.clone()).or_insert(next);
        if at == next {
            groups.push((labels, vec![Cell::default(); grid.steps as usize]));
        }
        for (k, v) in &s.points {
            groups[at].1[*k as usize].add(op, *v);
        }
    }
    let finished = groups.into_iter().map(|(labels, cells)| Series {
        labels,
        points: cells
            .iter()
            .enumerate()
            .filter(|(_, c)| c.n > 0.0)
            .map(|(k, c)| (k as u32, c.result(op)))
            .collect(),
    });
    finished.filter(|s| !s.points.is_empty()).collect()
}

/// Largest first, NaN last.
fn greater(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Smallest first, NaN last.
fn less(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The first `k` of each group at each step, in the order of `by`.
fn choose(
    k: usize,
    inner: Vec<Series>,
    grouping: Option<&Grouping>,
    grid: &Grid,
    by: fn(f64, f64) -> Ordering,
) -> Vec<Series> {
    let mut index: HashMap<Labels, usize, foldhash::fast::RandomState> = HashMap::default();
    let group: Vec<usize> = inner
        .iter()
        .map(|s| {
            let next = index.len();
            *index.entry(group_of(&s.labels, grouping)).or_insert(next)
        })
        .collect();
    // Present series of each step, by group.
    let mut steps: Vec<Vec<(usize, f64, usize)>> = vec![Vec::new(); grid.steps as usize];
    for (i, s) in inner.iter().enumerate() {
        for (step, v) in &s.points {
            steps[*step as usize].push((group[i], *v, i));
        }
    }
    let mut out: Vec<Series> = inner
        .into_iter()
        .map(|s| Series {
            labels: s.labels,
            points: Vec::new(),
        })
        .collect();
    for (step, mut present) in steps.into_iter().enumerate() {
        present.sort_by(|a, b| a.0.cmp(&b.0).then(by(a.1, b.1)));
        let (mut last, mut taken) = (usize::MAX, 0);
        for (g, v, i) in present {
            if g != last {
                (last, taken) = (g, 0);
            }
            taken += 1;
            if taken <= k {
                out[i].points.push((step as u32, v));
            }
        }
    }
    out.retain(|s| !s.points.is_empty());
    out
}

/// Series in the order of their first point.
fn sorted(mut inner: Vec<Series>, by: fn(f64, f64) -> Ordering) -> Vec<Series> {
    let first = |s: &Series| s.points.first().map_or(f64::NAN, |p| p.1);
    inner.sort_by(|a, b| by(first(a), first(b)));
    inner
}
