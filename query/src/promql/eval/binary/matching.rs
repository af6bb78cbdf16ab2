//! Vectors with vectors: series find their partners once per query, samples meet column by column.

use engine::model::Labels;
use hashbrown::HashMap;

use super::element::{Outcome, combine};
use super::{arithmetic, compare, signature};
use crate::promql::ast::{BinOp, Cardinality, Matching};
use crate::promql::eval::context::{Context, merge_same_labels, same_labelset};
use crate::promql::eval::plan::BinaryNode;
use crate::promql::eval::series::{Grid, Mask, Point, Series, Steps, is_metadata_label};
use crate::promql::eval::{EResult, QueryError};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Series of both sides that share the labels they match on.
#[derive(Default)]
struct Group {
    left: Vec<usize>,
    right: Vec<usize>,
}

fn groups(m: &Matching, left: &[Series], right: &[Series]) -> Vec<Group> {
    let names: Vec<&str> = m.labels.iter().map(String::as_str).collect();
    let mut index: Map<Labels, usize> = Map::default();
    let mut out: Vec<Group> = Vec::new();
    let mut place = |s: &Series, out: &mut Vec<Group>| {
        *index
            .entry(signature(&s.labels, &names, m.on))
            .or_insert_with(|| {
                out.push(Group::default());
                out.len() - 1
            })
    };
    for (i, s) in left.iter().enumerate() {
        let g = place(s, &mut out);
        out[g].left.push(i);
    }
    for (i, s) in right.iter().enumerate() {
        let g = place(s, &mut out);
        out[g].right.push(i);
    }
    out
}

/// Steps at which any of `which` has a sample.
fn union(series: &[Series], which: &[usize], n: usize) -> Mask {
    let mut m = Mask::empty(n);
    which.iter().for_each(|i| m.or(&series[*i].steps.present()));
    m
}

fn all(series: &[Series], n: usize) -> Mask {
    let mut m = Mask::empty(n);
    series.iter().for_each(|s| m.or(&s.steps.present()));
    m
}

impl Context<'_> {
    pub(super) fn vectors(&self, b: &BinaryNode, grid: &Grid) -> EResult<Vec<Series>> {
        let left = self.vector(&b.lhs, grid)?;
        let right = self.vector(&b.rhs, grid)?;
        let held: usize = left.iter().chain(&right).map(|s| s.steps.weight()).sum();
        let out = if b.op.is_set() {
            merge_same_labels(self.set_operation(b, left, right, grid)?)?
        } else {
            Join {
                cx: self,
                b,
                grid,
                out: Vec::new(),
                index: Map::default(),
            }
            .run(left, right)?
        };
        self.charge_all(&out)?;
        self.release(held);
        Ok(out)
    }

    fn set_operation(
        &self,
        b: &BinaryNode,
        mut left: Vec<Series>,
        mut right: Vec<Series>,
        grid: &Grid,
    ) -> EResult<Vec<Series>> {
        let groups = groups(&b.matching, &left, &right);
        for g in &groups {
            self.check()?;
            if b.op == BinOp::Or {
                let hide = union(&left, &g.left, grid.n);
                g.right
                    .iter()
                    .for_each(|i| retain(&mut right[*i].steps, |m| m.and_not(&hide)));
            } else {
                let partners = union(&right, &g.right, grid.n);
                let and = b.op == BinOp::And;
                g.left.iter().for_each(|i| {
                    retain(&mut left[*i].steps, |m| {
                        if and {
                            m.and(&partners)
                        } else {
                            m.and_not(&partners)
                        }
                    });
                });
            }
        }
        if b.op == BinOp::Or {
            left.extend(right);
        }
        left.retain(|s| s.steps.any());
        Ok(left)
    }
}

/// Changes the set of steps that have a sample.
fn retain(steps: &mut Steps, change: impl Fn(&mut Mask)) {
    change(&mut steps.mask);
    if steps.hists.is_some() {
        let mut present = steps.present();
        change(&mut present);
        for (k, h) in steps.hists.iter_mut().flatten().enumerate() {
            if !present.get(k) {
                *h = None;
            }
        }
    }
}

/// A join in progress.
struct Join<'a, 'c> {
    cx: &'a Context<'c>,
    b: &'a BinaryNode,
    grid: &'a Grid,
    out: Vec<Output>,
    index: Map<Labels, usize>,
}

struct Output {
    series: Series,
    /// Steps at which a pair made this label set, kept by a filter or not, and in which group.
    matched: Mask,
    group: usize,
}

/// One side of a pair: a series, or the fill value under the labels of the match.
#[derive(Clone, Copy)]
struct Side<'s> {
    labels: &'s Labels,
    steps: Option<&'s Steps>,
    fill: f64,
}

impl Side<'_> {
    fn at(&self, k: usize) -> Option<Point> {
        match self.steps {
            None => Some(Point::Float(self.fill)),
            Some(s) => s.get(k),
        }
    }
}

impl Join<'_, '_> {
    /// `many` below is the side whose series may share a partner (for one-to-one the left one).
    fn run(mut self, left: Vec<Series>, right: Vec<Series>) -> EResult<Vec<Series>> {
        let m = &self.b.matching;
        let swapped = m.card == Cardinality::OneToMany;
        let (many, one) = if swapped {
            (right, left)
        } else {
            (left, right)
        };
        let n = self.grid.n;
        let filled = m.fill_left.is_some() || m.fill_right.is_some();
        if many.is_empty() && one.is_empty() || (many.is_empty() || one.is_empty()) && !filled {
            return Ok(Vec::new());
        }
        // Without a sample on either side nothing is matched at a step, not even in vain.
        let mut active = all(&many, n);
        let one_side = all(&one, n);
        if filled {
            active.or(&one_side);
        } else {
            active.and(&one_side);
        }
        for (gi, g) in groups(m, &many, &one).iter().enumerate() {
            self.cx.check()?;
            self.refuse_duplicates(&one, &g.right, &active, swapped)?;
            let one_mask = union(&one, &g.right, n);
            let mut taken = Mask::empty(n);
            for i in &g.left {
                let l = &many[*i];
                for j in &g.right {
                    let r = &one[*j];
                    let mut at = l.steps.present();
                    at.and(&r.steps.present());
                    if m.card == Cardinality::OneToOne && at.first_common(&taken).is_some() {
                        return Err(multiple(
                            "many-to-one matching must be explicit (group_left/group_right)",
                        ));
                    }
                    taken.or(&at);
                    self.pair(gi, side(l), side(r), &at, swapped)?;
                }
                if let Some(fill) = m.fill_right {
                    let mut at = l.steps.present();
                    at.and_not(&one_mask);
                    if m.card == Cardinality::OneToOne && at.first_common(&taken).is_some() {
                        return Err(multiple(
                            "many-to-one matching must be explicit (group_left/group_right)",
                        ));
                    }
                    taken.or(&at);
                    let labels = matched_labels(&l.labels, m);
                    self.pair(
                        gi,
                        side(l),
                        Side {
                            labels: &labels,
                            steps: None,
                            fill,
                        },
                        &at,
                        swapped,
                    )?;
                }
            }
            if let Some(fill) = m.fill_left {
                let many_mask = union(&many, &g.left, n);
                for j in &g.right {
                    let r = &one[*j];
                    let mut at = r.steps.present();
                    at.and_not(&many_mask);
                    let labels = matched_labels(&r.labels, m);
                    self.pair(
                        gi,
                        Side {
                            labels: &labels,
                            steps: None,
                            fill,
                        },
                        side(r),
                        &at,
                        swapped,
                    )?;
                }
            }
        }
        Ok(self
            .out
            .into_iter()
            .map(|o| o.series)
            .filter(|s| s.steps.any())
            .collect())
    }

    fn refuse_duplicates(
        &self,
        one: &[Series],
        which: &[usize],
        active: &Mask,
        swapped: bool,
    ) -> EResult<()> {
        if which.len() < 2 {
            return Ok(());
        }
        let mut seen: Vec<(usize, Mask)> = Vec::new();
        for i in which {
            let mut m = one[*i].steps.present();
            m.and(active);
            if let Some((j, _)) = seen.iter().find(|(_, s)| s.first_common(&m).is_some()) {
                let group = matched_labels(&one[*i].labels, &self.b.matching);
                let (mut a, mut b) = (one[*i].labels.to_string(), one[*j].labels.to_string());
                if a > b {
                    std::mem::swap(&mut a, &mut b);
                }
                let side = if swapped { "left" } else { "right" };
                return Err(QueryError::Execution(format!(
                    "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{a}, {b}];many-to-many matching not allowed: matching labels must be unique on one side"
                )));
            }
            seen.push((*i, m));
        }
        Ok(())
    }

    /// Combines two sides at the steps of `at`.
    fn pair(
        &mut self,
        group: usize,
        many: Side<'_>,
        one: Side<'_>,
        at: &Mask,
        swapped: bool,
    ) -> EResult<()> {
        if !at.any() {
            return Ok(());
        }
        let b = self.b;
        let (l, r) = if swapped { (one, many) } else { (many, one) };
        let mut steps = Steps::new(self.grid.n);
        let mut matched = at.clone();
        if !self.fast(l, r, at, &mut steps) {
            for k in at.ones() {
                let (Some(x), Some(y)) = (l.at(k), r.at(k)) else {
                    continue;
                };
                let Some(Outcome { value, keep }) =
                    combine(b.op, &x, &y, |rk| self.cx.remark(rk, b.op, b.span))
                else {
                    matched.unset(k);
                    continue;
                };
                if b.return_bool {
                    steps.set(k, if keep { 1.0 } else { 0.0 });
                } else if keep {
                    steps.put(k, value);
                }
            }
        }
        let labels = self.result_labels(many.labels, one.labels);
        let Some(&i) = self.index.get(&labels) else {
            self.index.insert(labels.clone(), self.out.len());
            let series = Series {
                labels,
                drop_name: b.return_bool,
                steps,
            };
            self.out.push(Output {
                series,
                matched,
                group,
            });
            return Ok(());
        };
        let grouped = b.matching.card != Cardinality::OneToOne;
        let o = &mut self.out[i];
        if grouped && o.group == group && o.matched.first_common(&matched).is_some() {
            return Err(multiple("grouping labels must ensure unique matches"));
        }
        if o.series
            .steps
            .present()
            .first_common(&steps.present())
            .is_some()
        {
            return Err(same_labelset());
        }
        o.series.steps.absorb(&steps);
        if o.group == group {
            o.matched.or(&matched);
        } else {
            o.group = group;
            o.matched = matched;
        }
        Ok(())
    }

    /// Floats with floats or a fill value: whole columns at once. False when there are histograms.
    fn fast(&self, l: Side<'_>, r: Side<'_>, at: &Mask, steps: &mut Steps) -> bool {
        let hists = |s: Side<'_>| s.steps.is_some_and(|s| s.hists.is_some());
        let op = self.b.op;
        if hists(l) || hists(r) || !(op.drops_name() || op.is_comparison()) {
            return false;
        }
        let n = self.grid.n;
        let constant_l;
        let constant_r;
        let a = match l.steps {
            Some(s) => &s.vals,
            None => {
                constant_l = vec![l.fill; n];
                &constant_l
            }
        };
        let b = match r.steps {
            Some(s) => &s.vals,
            None => {
                constant_r = vec![r.fill; n];
                &constant_r
            }
        };
        let rows = steps.vals.iter_mut().zip(a.iter().zip(b));
        if op.is_comparison() {
            for (k, (slot, (x, y))) in rows.enumerate() {
                if !at.get(k) {
                    continue;
                }
                let keep = compare(op, *x, *y);
                *slot = match (self.b.return_bool, keep) {
                    (true, true) => 1.0,
                    (true, false) => 0.0,
                    (false, _) => *x,
                };
                if keep || self.b.return_bool {
                    steps.mask.set(k);
                }
            }
            return true;
        }
        match op {
            BinOp::Add => rows.for_each(|(s, (x, y))| *s = x + y),
            BinOp::Sub => rows.for_each(|(s, (x, y))| *s = x - y),
            BinOp::Mul => rows.for_each(|(s, (x, y))| *s = x * y),
            BinOp::Div => rows.for_each(|(s, (x, y))| *s = x / y),
            _ => rows.for_each(|(s, (x, y))| *s = arithmetic(op, *x, *y)),
        }
        steps.mask = at.clone();
        true
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let (b, m) = (self.b, &self.b.matching);
        let drop_metadata =
            b.op.drops_name() || (b.return_bool && !self.cx.options.delayed_name_removal);
        let one_to_one = m.card == Cardinality::OneToOne;
        let mut labels = many.filter(|n| {
            !(drop_metadata && is_metadata_label(n))
                && (!one_to_one || m.labels.iter().any(|l| l == n) == m.on)
        });
        for name in &m.include {
            labels = labels.with(name, one.get(name).unwrap_or(""));
        }
        labels
    }
}

fn side(s: &Series) -> Side<'_> {
    Side {
        labels: &s.labels,
        steps: Some(&s.steps),
        fill: 0.0,
    }
}

fn multiple(what: &str) -> QueryError {
    QueryError::Execution(format!("multiple matches for labels: {what}"))
}

/// The labels a match is made on.
fn matched_labels(labels: &Labels, m: &Matching) -> Labels {
    let names: Vec<&str> = m.labels.iter().map(String::as_str).collect();
    signature(labels, &names, m.on)
}
