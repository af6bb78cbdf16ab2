//! One element with another: floats, histograms, and what cannot be combined.

use std::sync::Arc;

use engine::model::{CounterResetHint, FloatHistogram};

use super::{arithmetic, compare};
use crate::promql::ast::{BinOp, Span};
use crate::promql::eval::context::Context;
use crate::promql::eval::plan::BinaryNode;
use crate::promql::eval::series::{Point, Scalar, Steps};
use crate::promql::histogram as hist;
use crate::text::quote::quote;

/// Value and whether a filter keeps it.
pub(super) struct Outcome {
    pub(super) value: Point,
    pub(super) keep: bool,
}

fn kept(value: Point) -> Option<Outcome> {
    Some(Outcome { value, keep: true })
}

/// What else there is to say about an operation, said by the caller.
pub(super) enum Remark {
    Incompatible(&'static str, &'static str),
    BucketLayout,
    ResetCollision(&'static str),
    Reconciled(&'static str),
}

impl Context<'_> {
    pub(super) fn remark(&self, r: Remark, op: BinOp, span: Span) {
        let symbol = op.symbol();
        self.note(|a| match r {
            Remark::Incompatible(l, r) => a.info(
                span,
                format_args!(
                    "incompatible sample types encountered for binary operator {}: {l} {symbol} {r}",
                    quote(symbol)
                ),
            ),
            Remark::BucketLayout => a.warn(
                span,
                format_args!("incompatible bucket layout encountered for binary operator {symbol}"),
            ),
            Remark::ResetCollision(what) => a.reset_collision(what, span),
            Remark::Reconciled(what) => a.bounds_reconciled(what, span),
        });
    }
}

/// `l op r`. `None` when they cannot be combined; `remarks` says why.
pub(super) fn combine(
    op: BinOp,
    l: &Point,
    r: &Point,
    mut remark: impl FnMut(Remark),
) -> Option<Outcome> {
    let trim = matches!(op, BinOp::TrimUpper | BinOp::TrimLower);
    let changed = |h: &FloatHistogram, f: &dyn Fn(&mut FloatHistogram)| {
        let mut h = h.clone();
        f(&mut h);
        kept(Point::Hist(Arc::new(h)))
    };
    match (l, r) {
        (Point::Float(a), Point::Float(b)) => {
            if op.is_comparison() {
                return Some(Outcome {
                    value: l.clone(),
                    keep: compare(op, *a, *b),
                });
            }
            if trim {
                remark(Remark::Incompatible("float", "float"));
                return None;
            }
            kept(Point::Float(arithmetic(op, *a, *b)))
        }
        (Point::Float(a), Point::Hist(h)) if op == BinOp::Mul => changed(h, &|h| {
            hist::mul(h, *a);
            hist::compact(h);
        }),
        (Point::Hist(h), Point::Float(b)) if op == BinOp::Mul => changed(h, &|h| {
            hist::mul(h, *b);
            hist::compact(h);
        }),
        (Point::Hist(h), Point::Float(b)) if op == BinOp::Div => changed(h, &|h| {
            hist::div(h, *b);
            hist::compact(h);
        }),
        (Point::Hist(h), Point::Float(b)) if trim => {
            changed(h, &|h| hist::trim(h, *b, op == BinOp::TrimUpper))
        }
        (Point::Hist(a), Point::Hist(b)) => match op {
            BinOp::Add | BinOp::Sub => add(op == BinOp::Sub, a, b, remark),
            BinOp::Eq | BinOp::Ne => {
                let keep = hist::equals(a, b) == (op == BinOp::Eq);
                Some(Outcome {
                    value: l.clone(),
                    keep,
                })
            }
            _ => {
                remark(Remark::Incompatible("histogram", "histogram"));
                None
            }
        },
        (Point::Float(_), Point::Hist(_)) => {
            remark(Remark::Incompatible("float", "histogram"));
            None
        }
        (Point::Hist(_), Point::Float(_)) => {
            remark(Remark::Incompatible("histogram", "float"));
            None
        }
    }
}

fn add(
    subtract: bool,
    a: &FloatHistogram,
    b: &FloatHistogram,
    mut remark: impl FnMut(Remark),
) -> Option<Outcome> {
    let mut h = a.clone();
    let what = if subtract { "subtraction" } else { "addition" };
    let done = if subtract {
        hist::sub(&mut h, b)
    } else {
        hist::add(&mut h, b)
    };
    let Ok(done) = done else {
        remark(Remark::BucketLayout);
        return None;
    };
    if subtract {
        h.hint = CounterResetHint::Gauge;
    }
    if done.reset_collision {
        // Like the reference: a sum of contradicting histograms has no value.
        remark(Remark::ResetCollision(what));
        return None;
    }
    if done.bounds_reconciled {
        remark(Remark::Reconciled(what));
    }
    hist::compact(&mut h);
    kept(Point::Hist(Arc::new(h)))
}

/// A column with a scalar, in place. Filters keep the vector's value whichever side it is on.
pub(in crate::promql::eval) fn with_scalar(
    cx: &Context<'_>,
    node: &BinaryNode,
    steps: &mut Steps,
    scalar: &Scalar,
    scalar_left: bool,
) {
    let (op, comparison) = (node.op, node.op.is_comparison());
    let floats_only = steps.hists.is_none();
    if floats_only && op.drops_name() {
        let each = |v: &mut f64, s: f64| {
            *v = if scalar_left {
                arithmetic(op, s, *v)
            } else {
                arithmetic(op, *v, s)
            }
        };
        match scalar {
            // One match outside the loops lets the compiler vectorise the common ones.
            Scalar::Const(s) => match (op, scalar_left) {
                (BinOp::Mul, _) => steps.vals.iter_mut().for_each(|v| *v *= s),
                (BinOp::Add, _) => steps.vals.iter_mut().for_each(|v| *v += s),
                (BinOp::Sub, false) => steps.vals.iter_mut().for_each(|v| *v -= s),
                (BinOp::Sub, true) => steps.vals.iter_mut().for_each(|v| *v = s - *v),
                (BinOp::Div, false) => steps.vals.iter_mut().for_each(|v| *v /= s),
                _ => steps.vals.iter_mut().for_each(|v| each(v, *s)),
            },
            Scalar::Steps(_) => {
                steps
                    .vals
                    .iter_mut()
                    .enumerate()
                    .for_each(|(k, v)| each(v, scalar.at(k)));
            }
        }
        return;
    }
    if floats_only && comparison {
        for k in 0..steps.n() {
            if !steps.mask.get(k) {
                continue;
            }
            let (v, s) = (steps.vals[k], scalar.at(k));
            let keep = if scalar_left {
                compare(op, s, v)
            } else {
                compare(op, v, s)
            };
            if node.return_bool {
                steps.vals[k] = if keep { 1.0 } else { 0.0 };
            } else if !keep {
                steps.mask.unset(k);
            }
        }
        return;
    }
    for k in 0..steps.n() {
        let Some(p) = steps.get(k) else { continue };
        steps.mask.unset(k);
        if let Some(h) = &mut steps.hists {
            h[k] = None;
        }
        let s = Point::Float(scalar.at(k));
        let remark = |r| cx.remark(r, op, node.span);
        let outcome = if scalar_left {
            combine(op, &s, &p, remark)
        } else {
            combine(op, &p, &s, remark)
        };
        let Some(o) = outcome else { continue };
        if node.return_bool {
            steps.set(k, if o.keep { 1.0 } else { 0.0 });
        } else if o.keep {
            steps.put(k, if comparison { p } else { o.value });
        }
    }
}
