//! What the grammar cannot say: which selectors, functions, parameters and patterns are valid.

use super::ast::{Expr, LogExpr, MetricExpr, RangeAggregation, RangeOp, Stage, walk_ranges};
use super::parse::ParseError;
use super::stages::Pipeline;
use crate::regex::GoRegex;

/// Every selector names at least one stream label that must be there.
pub(super) fn selectors(expr: &Expr) -> Result<(), ParseError> {
    let mut first = None;
    let mut see = |l: &LogExpr| {
        if l.matchers.iter().all(|m| m.matches_empty()) && first.is_none() {
            first = Some(());
        }
    };
    match expr {
        Expr::Log(l) => see(l),
        Expr::Metric(m) => walk_ranges(m, &mut |r| see(&r.log)),
    }
    match first {
        None => Ok(()),
        Some(()) => Err(ParseError::new(
            "queries require at least one regexp or equality matcher that does not have an \
             empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but \
             app=~\".+\" will",
        )),
    }
}

/// Stages whose texts are patterns and templates.
pub(super) fn stages(stages: &[Stage]) -> Result<(), ParseError> {
    Pipeline::compile(stages).map(drop)
}

/// A metric expression.
pub(super) fn metric(expr: &MetricExpr) -> Result<(), ParseError> {
    match expr {
        MetricExpr::Range(r) => range(r),
        MetricExpr::Vector(v) => metric(&v.inner),
        MetricExpr::Binary(b) => {
            metric(&b.left)?;
            metric(&b.right)
        }
        MetricExpr::LabelReplace(l) => {
            GoRegex::anchored(&l.regex)
                .map_err(|e| ParseError::new(format!("invalid regex in label_replace: {e}")))?;
            metric(&l.inner)
        }
        MetricExpr::Literal(_) | MetricExpr::VectorOf(_) => Ok(()),
    }
}

fn range(r: &RangeAggregation) -> Result<(), ParseError> {
    use RangeOp as R;
    let name = r.op.name();
    match (r.op == R::QuantileOverTime, r.param) {
        (true, None) => {
            return Err(ParseError::new(format!(
                "parameter required for operation {name}"
            )));
        }
        (false, Some(_)) => {
            return Err(ParseError::new(format!(
                "parameter not supported for operation {name}"
            )));
        }
        _ => {}
    }
    let groups = matches!(
        r.op,
        R::AvgOverTime
            | R::StddevOverTime
            | R::StdvarOverTime
            | R::QuantileOverTime
            | R::MaxOverTime
            | R::MinOverTime
            | R::FirstOverTime
            | R::LastOverTime
    );
    if r.grouping.is_some() && !groups {
        return Err(ParseError::new(format!(
            "grouping not allowed for {name} aggregation"
        )));
    }
    let lines_only = matches!(r.op, R::CountOverTime | R::BytesOverTime | R::BytesRate);
    let either = matches!(r.op, R::Rate | R::AbsentOverTime);
    match &r.unwrap {
        Some(_) if lines_only => Err(ParseError::new(format!(
            "invalid aggregation {name} with unwrap"
        ))),
        None if !lines_only && !either => Err(ParseError::new(format!(
            "invalid aggregation {name} without unwrap"
        ))),
        _ => stages(&r.log.stages),
    }
}
