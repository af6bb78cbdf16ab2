//! Metric queries.

use engine::model::Labels;

use super::{Control, QueryError, Series, aggregate, binary, range};
use crate::logql::ast::{LabelReplace, MetricExpr, RangeOp, VectorAggregation, VectorOp};
use crate::logql::source::LogSource;
use crate::regex::GoRegex;

/// Evaluation times: `start`, `start + step`, ...; ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// First time.
    pub start: i64,
    /// Distance, at least 1.
    pub step: i64,
    /// How many, at least 1.
    pub steps: u64,
}

impl Grid {
    /// One time.
    #[must_use]
    pub fn instant(at: i64) -> Self {
        Self {
            start: at,
            step: 1,
            steps: 1,
        }
    }

    /// All times from `start` to `end`.
    #[must_use]
    pub fn range(start: i64, end: i64, step: i64) -> Self {
        let step = step.max(1);
        let steps = (end.saturating_sub(start).max(0) / step) as u64 + 1;
        Self { start, step, steps }
    }

    /// Time of step `k`.
    #[must_use]
    pub fn at(&self, k: u64) -> i64 {
        let by = i64::try_from(k)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.step);
        self.start.saturating_add(by)
    }

    /// First and last step whose window of length `range` holds time `t`:
    /// `at(k) - range < t <= at(k)`.
    pub(super) fn window_steps(&self, t: i64, range: i64) -> Option<(u64, u64)> {
        let ahead = t.saturating_sub(self.start);
        let first = if ahead <= 0 {
            0
        } else {
            (ahead - 1) / self.step + 1
        };
        let last = ahead.saturating_add(range).saturating_sub(1);
        if last < 0 {
            return None;
        }
        let last = ((last / self.step) as u64).min(self.steps - 1);
        let first = first as u64;
        (first <= last).then_some((first, last))
    }

    /// First and last of the times around `t` that have the same [`Grid::window_steps`].
    pub(super) fn same_steps(&self, t: i64, range: i64) -> (i64, i64) {
        let wide = i128::from;
        let (start, step, range) = (wide(self.start), wide(self.step), wide(range));
        let (ever, never) = (wide(i64::MAX) * 4, wide(i64::MIN) * 4);
        let ahead = wide(t) - start;
        let first = match ahead {
            ..=0 => (never, 0),
            _ => {
                let before = (ahead - 1) / step * step;
                (before + 1, before + step)
            }
        };
        let end = i128::from(self.steps - 1);
        let last = match (ahead + range - 1).div_euclid(step) {
            ..0 => (never, -range),
            k if k >= end => (end * step - range + 1, ever),
            k => (k * step - range + 1, (k + 1) * step - range),
        };
        let narrow = |x: i128| {
            let x = (start + x).clamp(wide(i64::MIN), wide(i64::MAX));
            i64::try_from(x).unwrap_or(0)
        };
        (narrow(first.0.max(last.0)), narrow(first.1.min(last.1)))
    }
}

/// A point: time in ms, value.
pub type Point = (i64, f64);

/// The answer to a metric query.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricAnswer {
    /// A number at a time (ms).
    Scalar(i64, f64),
    /// One point each.
    Vector(Vec<(Labels, Point)>),
    /// Points over time.
    Matrix(Vec<(Labels, Vec<Point>)>),
}

/// A value over the grid.
pub(super) enum Val {
    Scalar(f64),
    Vector(Vec<Series>),
}

/// What a query's parts share.
pub(super) struct Context<'q> {
    pub(super) source: &'q dyn LogSource,
    pub(super) grid: Grid,
    pub(super) control: &'q Control<'q>,
}

/// Evaluates `expr` at one time (`instant`) or over a grid.
///
/// # Errors
/// See [`QueryError`].
pub fn run_metric(
    source: &dyn LogSource,
    expr: &MetricExpr,
    grid: Grid,
    instant: bool,
    control: &Control<'_>,
) -> Result<MetricAnswer, QueryError> {
    let cx = Context {
        source,
        grid,
        control,
    };
    let ms = |k: u64| grid.at(k).div_euclid(1_000_000);
    let value = cx.eval(expr)?;
    let mut series = match value {
        Val::Scalar(v) if instant => return Ok(MetricAnswer::Scalar(ms(0), v)),
        Val::Scalar(v) => vec![cx.constant(v)],
        Val::Vector(s) => s,
    };
    let max = control.limits.series_max;
    if max > 0 && series.len() > max {
        return Err(QueryError::Limit(format!(
            "maximum number of series ({max}) reached for a single query; consider reducing query \
             cardinality by adding more specific stream selectors, reducing the time range, or \
             aggregating results with functions like sum(), count() or topk()"
        )));
    }
    let sorted = matches!(expr, MetricExpr::Vector(v) if matches!(v.op, VectorOp::Sort | VectorOp::SortDesc));
    if !(sorted && instant) {
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    Ok(if instant {
        let first = |s: Series| Some((s.labels, (ms(0), s.points.first()?.1)));
        MetricAnswer::Vector(series.into_iter().filter_map(first).collect())
    } else {
        let points = |s: Series| {
            let points = s.points.iter().map(|(k, v)| (ms(u64::from(*k)), *v));
            (s.labels, points.collect())
        };
        MetricAnswer::Matrix(series.into_iter().map(points).collect())
    })
}

/// Aggregations whose sum may be taken while entries are read.
fn takes_outer_sum(op: RangeOp) -> bool {
    matches!(
        op,
        RangeOp::BytesOverTime
            | RangeOp::BytesRate
            | RangeOp::SumOverTime
            | RangeOp::Rate
            | RangeOp::CountOverTime
    )
}

impl Context<'_> {
    /// A series without labels and the same value everywhere.
    pub(super) fn constant(&self, v: f64) -> Series {
        Series {
            labels: Labels::empty(),
            points: (0..self.grid.steps).map(|k| (k as u32, v)).collect(),
        }
    }

    pub(super) fn eval(&self, expr: &MetricExpr) -> Result<Val, QueryError> {
        self.control.check()?;
        Ok(match expr {
            MetricExpr::Literal(v) => Val::Scalar(*v),
            MetricExpr::VectorOf(v) => Val::Vector(vec![self.constant(*v)]),
            MetricExpr::Range(r) => Val::Vector(range::aggregate(
                self.source,
                r,
                None,
                &self.grid,
                self.control,
            )?),
            MetricExpr::Vector(v) => Val::Vector(self.vector_aggregation(v)?),
            MetricExpr::Binary(b) => binary::eval(self, b)?,
            MetricExpr::LabelReplace(l) => Val::Vector(self.label_replace(l)?),
        })
    }

    fn series(&self, expr: &MetricExpr) -> Result<Vec<Series>, QueryError> {
        Ok(match self.eval(expr)? {
            Val::Vector(s) => s,
            Val::Scalar(v) => vec![self.constant(v)],
        })
    }

    fn vector_aggregation(&self, v: &VectorAggregation) -> Result<Vec<Series>, QueryError> {
        if v.op == VectorOp::ApproxTopk && !self.control.limits.approx_topk {
            return Err(QueryError::Unsupported(
                "approx_topk is not enabled. See -limits.shard_aggregations".to_owned(),
            ));
        }
        let inner = match &v.inner {
            MetricExpr::Range(r)
                if v.op == VectorOp::Sum && r.grouping.is_none() && takes_outer_sum(r.op) =>
            {
                range::aggregate(self.source, r, Some(&v.grouping), &self.grid, self.control)?
            }
            inner => self.series(inner)?,
        };
        self.control.check()?;
        aggregate::aggregate(v, inner, &self.grid)
    }

    fn label_replace(&self, l: &LabelReplace) -> Result<Vec<Series>, QueryError> {
        let re = GoRegex::anchored(&l.regex)
            .map_err(|e| QueryError::Parse(super::ParseError::new(e.to_string())))?;
        let mut series = self.series(&l.inner)?;
        for s in &mut series {
            let value = s.labels.get(&l.src).unwrap_or("").to_owned();
            if let Some(found) = re.find_submatch(&value) {
                let mut text = String::new();
                re.expand(&l.replacement, &found, &mut text);
                s.labels = s.labels.with(&l.dst, &text);
            }
        }
        Ok(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_on_the_left() {
        let g = Grid::range(100, 200, 10);
        assert_eq!(g.steps, 11);
        assert_eq!(g.window_steps(100, 10), Some((0, 0)));
        assert_eq!(g.window_steps(101, 10), Some((1, 1)));
        assert_eq!(g.window_steps(90, 10), None);
        assert_eq!(g.window_steps(91, 10), Some((0, 0)));
        assert_eq!(g.window_steps(100, 25), Some((0, 2)));
        assert_eq!(g.window_steps(200, 1000), Some((10, 10)));
        assert_eq!(g.window_steps(201, 1000), None);
        assert_eq!(g.window_steps(105, 3), None);
    }

    #[test]
    fn times_with_the_same_steps_stand_together() {
        for g in [
            Grid::range(100, 200, 10),
            Grid::instant(100),
            Grid::range(-7, 50, 13),
        ] {
            for range in [1, 3, 10, 25, 1000] {
                for t in -1200..400 {
                    let (low, high) = g.same_steps(t, range);
                    assert!(low <= t && t <= high, "{t} in {low}..={high}");
                    for other in low.max(t - 50)..=high.min(t + 50) {
                        let (a, b) = (g.window_steps(t, range), g.window_steps(other, range));
                        assert_eq!(a, b, "{t} {other} {range}");
                    }
                }
                let ends = [i64::MIN, i64::MAX].map(|t| g.same_steps(t, range));
                assert!(ends[0].0 == i64::MIN && ends[1].1 == i64::MAX);
            }
        }
    }
}
