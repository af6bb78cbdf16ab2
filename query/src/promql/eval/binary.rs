//! Binary operators: element by element, and which elements meet.

mod element;
mod matching;

use engine::model::Labels;

pub(super) use element::with_scalar;

use super::context::Context;
use super::plan::BinaryNode;
use super::series::{Grid, Scalar};
use super::{EResult, Val};
use crate::promql::ast::{BinOp, ValueType};
use crate::promql::functions::math;

impl Context<'_> {
    pub(super) fn binary(&self, b: &BinaryNode, grid: &Grid) -> EResult<Val> {
        match b.types {
            (ValueType::Scalar, ValueType::Scalar) => {
                let l = self.scalar(&b.lhs, grid)?;
                let r = self.scalar(&b.rhs, grid)?;
                Ok(Val::Scalar(match (&l, &r) {
                    (Scalar::Const(l), Scalar::Const(r)) => Scalar::Const(of_scalars(b.op, *l, *r)),
                    _ => Scalar::Steps(
                        (0..grid.n)
                            .map(|k| of_scalars(b.op, l.at(k), r.at(k)))
                            .collect(),
                    ),
                }))
            }
            (ValueType::Vector, ValueType::Vector) => Ok(Val::Vector(self.vectors(b, grid)?)),
            _ => Ok(Val::Vector(self.collect_with(grid, &|sink| {
                self.stream_binary(b, grid, sink)
            })?)),
        }
    }
}

/// `l op r`; comparisons give 0 or 1.
pub(super) fn of_scalars(op: BinOp, l: f64, r: f64) -> f64 {
    let truth = |b: bool| if b { 1.0 } else { 0.0 };
    match op {
        BinOp::Eq => truth(l == r),
        BinOp::Ne => truth(l != r),
        BinOp::Lt => truth(l < r),
        BinOp::Le => truth(l <= r),
        BinOp::Gt => truth(l > r),
        BinOp::Ge => truth(l >= r),
        op => arithmetic(op, l, r),
    }
}

/// Arithmetic of floats. Other operators give NaN; nothing asks for them.
#[inline]
pub(super) fn arithmetic(op: BinOp, l: f64, r: f64) -> f64 {
    match op {
        BinOp::Add => l + r,
        BinOp::Sub => l - r,
        BinOp::Mul => l * r,
        BinOp::Div => l / r,
        BinOp::Mod => math::modulo(l, r),
        BinOp::Pow => l.powf(r),
        BinOp::Atan2 => l.atan2(r),
        _ => f64::NAN,
    }
}

/// Comparison of floats; false for other operators.
#[inline]
pub(super) fn compare(op: BinOp, l: f64, r: f64) -> bool {
    match op {
        BinOp::Eq => l == r,
        BinOp::Ne => l != r,
        BinOp::Lt => l < r,
        BinOp::Le => l <= r,
        BinOp::Gt => l > r,
        BinOp::Ge => l >= r,
        _ => false,
    }
}

/// Labels two series match on, packed for hashing.
fn signature(labels: &Labels, names: &[&str], on: bool) -> Labels {
    labels.filter(|n| names.contains(&n) == on && (on || n != engine::model::METRIC_NAME))
}
