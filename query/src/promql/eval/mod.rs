//! Evaluation: columns over the whole step grid, series by series.
//!
//! Owns: plans, selectors, windows, operators, aggregations, limits, statistics, how a scan is
//! dealt out to threads.
//! Knows nothing of: how many threads there are, the clock, encodings.
//!
//! Invariants
//! - E1  A series is read once per selector; aggregations take series as they are scanned.
//! - E2  Window bounds are computed once per shared timestamp column and grid.
//! - E3  Cancellation and deadline are checked at every series and every operator.

mod aggregate;
mod answer;
mod binary;
mod brief;
mod call;
mod classic;
mod context;
mod info;
mod labels;
mod parallel;
mod plan;
mod range;
mod select;
pub(crate) mod series;
mod stream;
pub(crate) mod windows;

pub use answer::{
    Answer, CancelToken, Engine, EngineOptions, MatrixSeries, QueryError, QueryOptions, Sample,
    SampleValue, Stats, StepStats, Timings, Value,
};

pub use parallel::Parallelism;

use context::{Context, StepCount};
use plan::Node;
use series::{Grid, Scalar, Series, Steps, without_metadata};

type EResult<T> = Result<T, QueryError>;

/// Value of a node over a grid.
#[derive(Debug)]
enum Val {
    Scalar(Scalar),
    Vector(Vec<Series>),
    Str(String),
}

impl Context<'_> {
    /// Evaluates any node but range vectors.
    fn eval(&self, node: &Node, grid: &Grid) -> EResult<Val> {
        self.check()?;
        Ok(match node {
            Node::Number(v) => Val::Scalar(Scalar::Const(*v)),
            Node::Str(s) => Val::Str(s.clone()),
            Node::Invariant(inner) => self.invariant(inner, grid)?,
            Node::Call(c) => self.call(c, grid)?,
            Node::Binary(b) => self.binary(b, grid)?,
            Node::Unary { negative, expr } => match self.eval(expr, grid)? {
                Val::Scalar(s) if *negative => Val::Scalar(map_scalar(s, |v| -v)),
                Val::Vector(mut v) if *negative => {
                    for s in &mut v {
                        stream::negate(&mut s.steps);
                        self.strip(s);
                    }
                    Val::Vector(self.merge_stripped(v)?)
                }
                other => other,
            },
            Node::Aggregate(a) => Val::Vector(self.aggregate(a, grid)?),
            Node::Selector(_) => Val::Vector(self.collect(node, grid)?),
            Node::Range(_) | Node::Subquery(_) => {
                return Err(QueryError::Execution("unexpected range vector".to_owned()));
            }
        })
    }

    fn vector(&self, node: &Node, grid: &Grid) -> EResult<Vec<Series>> {
        match self.eval(node, grid)? {
            Val::Vector(v) => Ok(v),
            Val::Scalar(_) | Val::Str(_) => Err(QueryError::Execution(
                "expected an instant vector".to_owned(),
            )),
        }
    }

    fn scalar(&self, node: &Node, grid: &Grid) -> EResult<Scalar> {
        match self.eval(node, grid)? {
            Val::Scalar(s) => Ok(s),
            Val::Vector(_) | Val::Str(_) => {
                Err(QueryError::Execution("expected a scalar".to_owned()))
            }
        }
    }

    /// Evaluates at the first step and repeats the result.
    fn invariant(&self, inner: &Node, grid: &Grid) -> EResult<Val> {
        let once = Grid { n: 1, ..*grid };
        let before = self.stats.queryable.get();
        let (val, steps) = self.with_inner_steps(1, || self.eval(inner, &once));
        let val = val?;
        let added = self.stats.queryable.get() - before;
        self.stats.queryable.set(before + added * grid.n as u64);
        // Every step looks at the samples; the first one reads them.
        if let Some(once) = steps.first() {
            self.count_steps(|k| StepCount {
                read: if k == 0 { once.read } else { 0 },
                ..*once
            });
        }
        Ok(match val {
            Val::Scalar(s) => Val::Scalar(Scalar::Const(s.at(0))),
            Val::Vector(mut v) => {
                if grid.n > 1 {
                    for s in &mut v {
                        self.check()?;
                        self.charge(s.steps.samples() * (grid.n - 1))?;
                        let hist = s.steps.hist(0).cloned();
                        s.steps = match hist {
                            Some(h) => Steps {
                                hists: Some(vec![Some(h); grid.n]),
                                ..Steps::new(grid.n)
                            },
                            None => Steps::constant(s.steps.vals[0], grid.n),
                        };
                    }
                }
                Val::Vector(v)
            }
            s @ Val::Str(_) => s,
        })
    }

    /// Joins series that lost their names; with delayed removal that waits until the end.
    fn merge_stripped(&self, series: Vec<Series>) -> EResult<Vec<Series>> {
        if self.options.delayed_name_removal {
            Ok(series)
        } else {
            context::merge_same_labels(series)
        }
    }

    /// What a per-series operator does to names: with delayed removal they are only marked.
    fn strip(&self, s: &mut Series) {
        s.drop_name = true;
        if !self.options.delayed_name_removal {
            s.labels = without_metadata(&s.labels);
        }
    }
}

fn map_scalar(s: Scalar, f: impl Fn(f64) -> f64) -> Scalar {
    match s {
        Scalar::Const(v) => Scalar::Const(f(v)),
        Scalar::Steps(v) => Scalar::Steps(v.into_iter().map(f).collect()),
    }
}

#[cfg(test)]
mod tests;
