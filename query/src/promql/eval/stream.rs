//! Series by series: selectors, range functions and whatever maps one series to one series push
//! their results into a sink, so that an aggregation never needs all of them at once.

use std::sync::Arc;

use engine::model::{Labels, METRIC_NAME};

use super::binary;
use super::context::{Collisions, Context};
use super::plan::{BinaryNode, CallNode, Node};
use super::series::{Grid, METADATA_LABELS, Scalar, Series, Steps, without_metadata};
use super::{EResult, Val};
use crate::promql::ast::ValueType;
use crate::promql::functions::math;
use crate::promql::functions::range::RangeFn;
use crate::promql::histogram as hist;

/// Which label sets could collide once names are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dup {
    /// None.
    Never,
    /// Equal ones are an error when they share a step.
    Overlap,
    /// Equal ones are an error.
    Always,
}

/// One series on its way to a sink.
pub(super) struct Item<'a> {
    /// Position in the order of the source.
    pub(super) index: usize,
    pub(super) labels: &'a Labels,
    /// The metadata labels of `labels` are gone.
    pub(super) stripped: bool,
    pub(super) drop_name: bool,
    pub(super) dup: Dup,
    /// The sink may take it.
    pub(super) steps: &'a mut Steps,
}

/// Where series go. Items without any sample are not sent.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Item<'_>) -> EResult<()>;

impl<'a> Item<'a> {
    pub(super) fn plain(index: usize, labels: &'a Labels, steps: &'a mut Steps) -> Self {
        Self {
            index,
            labels,
            stripped: false,
            drop_name: false,
            dup: Dup::Never,
            steps,
        }
    }

    /// The labels as an operator above sees them.
    pub(super) fn owned_labels(&self) -> Labels {
        if self.stripped {
            without_metadata(self.labels)
        } else {
            self.labels.clone()
        }
    }

    /// The labels as an operator above sees them, as bytes, without an allocation.
    pub(super) fn visible_labels(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
        let stripped = self.stripped;
        self.labels
            .byte_pairs()
            .filter(move |(n, _)| !stripped || !METADATA_LABELS.contains(n))
    }
}

/// A per-series operation.
enum Op<'a> {
    Negate,
    Math(fn(f64, &[f64]) -> f64, Vec<Scalar>),
    WithScalar {
        node: &'a BinaryNode,
        scalar: Scalar,
        scalar_left: bool,
    },
}

impl Context<'_> {
    /// Evaluates a vector node into `sink`, series by series where possible.
    pub(super) fn stream(&self, node: &Node, grid: &Grid, sink: Sink<'_>) -> EResult<()> {
        self.check()?;
        match node {
            Node::Selector(s) => self.stream_selector(s, grid, sink),
            Node::Call(c) if streams(c) => self.stream_call(c, grid, sink),
            Node::Unary {
                negative: false,
                expr,
            } => self.stream(expr, grid, sink),
            Node::Unary { expr, .. } => self.stream_op(&Op::Negate, expr, grid, sink),
            Node::Binary(b) if streams_binary(b) => self.stream_binary(b, grid, sink),
            _ => self.push_evaluated(node, grid, sink),
        }
    }

    /// A call that [`streams`].
    pub(super) fn stream_call(&self, c: &CallNode, grid: &Grid, sink: Sink<'_>) -> EResult<()> {
        let (Some(f), Some((arg, params))) = (math::find(c.func.name), c.args.split_first()) else {
            return self.stream_range_call(c, grid, sink);
        };
        let params = params
            .iter()
            .map(|p| self.scalar(p, grid))
            .collect::<EResult<Vec<_>>>()?;
        self.stream_op(&Op::Math(f, params), arg, grid, sink)
    }

    /// A vector with a scalar, on either side.
    pub(super) fn stream_binary(&self, b: &BinaryNode, grid: &Grid, sink: Sink<'_>) -> EResult<()> {
        let scalar_left = b.types.0 == ValueType::Scalar;
        let (vector, scalar) = if scalar_left {
            (&b.rhs, &b.lhs)
        } else {
            (&b.lhs, &b.rhs)
        };
        let scalar = self.scalar(scalar, grid)?;
        let op = Op::WithScalar {
            node: b,
            scalar,
            scalar_left,
        };
        self.stream_op(&op, vector, grid, sink)
    }

    /// Applies `op` to every series of `node`.
    fn stream_op(&self, op: &Op<'_>, node: &Node, grid: &Grid, sink: Sink<'_>) -> EResult<()> {
        let mut each = |item: Item<'_>| self.apply(op, item, sink);
        if matches!(op, Op::Negate) {
            return self.stream(node, grid, &mut each);
        }
        self.stream_unique(node, grid, &mut each)
    }

    /// Like [`Self::stream`] for sinks that leave out samples or labels: label sets that are equal
    /// because names were dropped are refused before that can hide it.
    pub(super) fn stream_unique(&self, node: &Node, grid: &Grid, sink: Sink<'_>) -> EResult<()> {
        let mut collisions = Collisions::default();
        self.stream(node, grid, &mut |item| {
            if item.stripped && item.dup != Dup::Never {
                let disjoint = item.dup == Dup::Overlap;
                collisions.see(item.owned_labels(), &item.steps.present(), disjoint)?;
            }
            sink(item)
        })
    }

    fn push_evaluated(&self, node: &Node, grid: &Grid, sink: Sink<'_>) -> EResult<()> {
        let Val::Vector(series) = self.eval(node, grid)? else {
            return Ok(());
        };
        for (index, mut s) in series.into_iter().enumerate() {
            let samples = s.steps.weight();
            if !s.steps.any() {
                self.release(samples);
                continue;
            }
            sink(Item {
                drop_name: s.drop_name,
                ..Item::plain(index, &s.labels, &mut s.steps)
            })?;
            self.release(samples);
        }
        Ok(())
    }

    /// Streams `node` into a list, in the order of the source.
    pub(super) fn collect(&self, node: &Node, grid: &Grid) -> EResult<Vec<Series>> {
        self.collect_with(grid, &|sink| self.stream(node, grid, sink))
    }

    pub(super) fn collect_with(
        &self,
        grid: &Grid,
        run: &dyn Fn(Sink<'_>) -> EResult<()>,
    ) -> EResult<Vec<Series>> {
        let mut out: Vec<(usize, Series)> = Vec::new();
        let mut merge = Dup::Never;
        let n = grid.n;
        run(&mut |item| {
            if item.dup != Dup::Never && merge != Dup::Always {
                merge = item.dup;
            }
            let (labels, drop_name, index) = (item.owned_labels(), item.drop_name, item.index);
            let steps = if n < 64 {
                item.steps.clone()
            } else {
                std::mem::replace(item.steps, Steps::new(n))
            };
            self.keep(steps.weight());
            out.push((
                index,
                Series {
                    labels,
                    drop_name,
                    steps,
                },
            ));
            Ok(())
        })?;
        if !out.is_sorted_by_key(|(i, _)| *i) {
            out.sort_by_key(|(i, _)| *i);
        }
        let series: Vec<Series> = out.into_iter().map(|(_, s)| s).collect();
        match merge {
            Dup::Never => Ok(series),
            Dup::Overlap => super::context::merge_same_labels(series),
            Dup::Always => {
                let mut seen = Collisions::default();
                for s in &series {
                    seen.see(s.labels.clone(), &s.steps.mask, false)?;
                }
                Ok(series)
            }
        }
    }

    /// How a streaming operator marks an item whose name it drops.
    pub(super) fn mark_stripped(&self, item: &mut Item<'_>, dup: Dup) {
        item.drop_name = true;
        if self.options.delayed_name_removal || item.stripped {
            return;
        }
        item.stripped = true;
        item.dup = dup;
    }

    fn apply(&self, op: &Op<'_>, mut item: Item<'_>, sink: Sink<'_>) -> EResult<()> {
        let before = item.steps.samples();
        match op {
            Op::Negate => {
                negate(item.steps);
                self.mark_stripped(&mut item, Dup::Overlap);
            }
            Op::Math(f, params) => {
                map_floats(item.steps, *f, params);
                self.mark_stripped(&mut item, Dup::Overlap);
            }
            Op::WithScalar {
                node,
                scalar,
                scalar_left,
            } => {
                binary::with_scalar(self, node, item.steps, scalar, *scalar_left);
                if node.op.drops_name() || node.return_bool {
                    self.mark_stripped(&mut item, Dup::Overlap);
                }
            }
        }
        if !item.steps.any() {
            return Ok(());
        }
        let after = item.steps.samples();
        if after > before {
            self.charge(after - before)?;
            let done = sink(item);
            self.release(after - before);
            return done;
        }
        sink(item)
    }

    /// True when all series of a selector have the same name, so that dropping it makes no two
    /// label sets equal.
    pub(super) fn one_name(matchers: &[engine::model::Matcher]) -> bool {
        matchers
            .iter()
            .any(|m| m.name == METRIC_NAME && m.op_str() == "=")
    }
}

/// Range functions and functions of one float give one series for each.
fn streams(c: &CallNode) -> bool {
    is_streamed(c.func.name)
}

/// Whether the function called `name` gives one series for each.
pub(super) fn is_streamed(name: &str) -> bool {
    math::find(name).is_some() || RangeFn::find(name).is_some_and(|f| f != RangeFn::Absent)
}

fn streams_binary(b: &BinaryNode) -> bool {
    matches!(
        b.types,
        (ValueType::Vector, ValueType::Scalar) | (ValueType::Scalar, ValueType::Vector)
    )
}

/// `-x`, histograms included.
pub(super) fn negate(steps: &mut Steps) {
    steps.vals.iter_mut().for_each(|v| *v = -*v);
    for h in steps.hists.iter_mut().flatten().flatten() {
        let mut negated = (**h).clone();
        hist::mul(&mut negated, -1.0);
        *h = Arc::new(negated);
    }
}

/// `f` of every float; histograms are dropped.
pub(super) fn map_floats(steps: &mut Steps, f: fn(f64, &[f64]) -> f64, params: &[Scalar]) {
    steps.hists = None;
    let constant: Option<Vec<f64>> = params
        .iter()
        .map(|p| {
            if let Scalar::Const(v) = p {
                Some(*v)
            } else {
                None
            }
        })
        .collect();
    if let Some(p) = constant {
        if p.len() == 2 && p[1] < p[0] {
            // clamp with an empty interval.
            let n = steps.n();
            steps.mask.reset(n);
            return;
        }
        steps.vals.iter_mut().for_each(|v| *v = f(*v, &p));
        return;
    }
    for k in 0..steps.n() {
        let p: Vec<f64> = params.iter().map(|p| p.at(k)).collect();
        if p.len() == 2 && p[1] < p[0] {
            steps.mask.unset(k);
        } else {
            steps.vals[k] = f(steps.vals[k], &p);
        }
    }
}
