//! The door of this room: engine, options, answers, errors.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::budget::{OverMemory, Pool, Share};
use engine::model::{FloatHistogram, Labels};

use super::context::{Context, Counters, StepCount};
use super::parallel::Parallelism;
use super::plan::{Node, PlanContext, plan};
use super::series::{Grid, Series, Steps};
use super::{EResult, Val};
use crate::promql::annotations::Annotations;
use crate::promql::ast::{Expr, ValueType};
use crate::promql::parse::{ParseError, ParseOptions, parse};
use crate::source::Source;

/// What is the same for all queries of a server.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Parts of the language that are on.
    pub parse: ParseOptions,
    /// How long a sample stays current, ms.
    pub lookback_ms: i64,
    /// Samples a query may hold at a time (a histogram counts by its size).
    pub max_samples: u64,
    /// Longest evaluation; needs [`QueryOptions::clock`].
    pub timeout: Duration,
    /// Step of subqueries without one, ms.
    pub default_subquery_step_ms: i64,
    /// Names are dropped at the end of a query instead of by each function.
    pub delayed_name_removal: bool,
    /// Start timestamps tell counter resets.
    pub use_start_timestamps: bool,
    /// `__type__` labels decide what is a counter.
    pub type_and_unit_labels: bool,
    /// How scans are shared among threads.
    pub parallelism: Parallelism,
    /// Where the memory of queries is counted; nowhere without.
    pub memory: Option<Arc<Pool>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            parse: ParseOptions::default(),
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            timeout: Duration::from_secs(120),
            default_subquery_step_ms: 60_000,
            delayed_name_removal: false,
            use_start_timestamps: false,
            type_and_unit_labels: false,
            parallelism: Parallelism::default(),
            memory: None,
        }
    }
}

/// Lets another thread stop a query. Clones share the switch.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Stops the query at its next check.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True once [`CancelToken::cancel`] was called.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one query may override.
#[derive(Clone, Copy, Default)]
pub struct QueryOptions<'a> {
    /// Lookback in ms; `None` or 0 for the engine's.
    pub lookback_ms: Option<i64>,
    /// Longest evaluation; capped by the engine's.
    pub timeout: Option<Duration>,
    /// Stops the query.
    pub cancel: Option<&'a CancelToken>,
    /// Counts samples for every step, see [`Answer::per_step`].
    pub per_step: bool,
    /// A monotonic clock for the timeout and the timings. Without it neither exists.
    pub clock: Option<&'a dyn Fn() -> Duration>,
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Not a query: answer 400.
    #[error("{0}")]
    Parse(ParseError),
    /// A query that cannot be run as asked: answer 400.
    #[error("{0}")]
    Invalid(String),
    /// Failed while running: answer 422.
    #[error("{0}")]
    Execution(String),
    /// Over the sample budget: answer 422.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// Over its memory: answer 422.
    #[error(transparent)]
    OverMemory(#[from] OverMemory),
    /// Took too long: answer 503.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The caller gave up: answer 499.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The store failed: answer 500.
    #[error("{0}")]
    Storage(String),
}

/// A float or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// Element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels.
    pub labels: Labels,
    /// Evaluation time, ms.
    pub t: i64,
    /// Value.
    pub value: SampleValue,
}

/// Element of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// Labels.
    pub labels: Labels,
    /// (ms, value) in time order.
    pub floats: Vec<(i64, f64)>,
    /// (ms, histogram) in time order.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

/// A typed result.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Evaluation time (ms) and number.
    Scalar(i64, f64),
    /// Evaluation time (ms) and text.
    String(i64, String),
    /// An instant vector; ordered only by sorting functions and top/bottom aggregations.
    Vector(Vec<Sample>),
    /// Sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// How much work a query was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples looked at, counted at every step that saw them.
    pub total_queryable_samples: u64,
    /// Samples read from the source.
    pub samples_read: u64,
    /// Most samples held at a time.
    pub peak_samples: u64,
}

/// How much work a step was. Sums to [`Stats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepStats {
    /// Evaluation time, ms.
    pub t: i64,
    /// Samples looked at.
    pub queryable_samples: u64,
    /// Samples read from the source that no earlier step had read.
    pub samples_read: u64,
}

/// Where the time went. All zero without a clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Parsing and planning.
    pub preparation: Duration,
    /// Evaluating.
    pub inner_eval: Duration,
    /// Ordering the result.
    pub result_sort: Duration,
    /// All of it.
    pub total: Duration,
}

/// A result with what is to be said about it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// Warnings and infos; render them with the query's text.
    pub annotations: Annotations,
    /// Work done.
    pub stats: Stats,
    /// Work done for every step, when it was asked for.
    pub per_step: Vec<StepStats>,
    /// Time spent.
    pub timings: Timings,
    /// The memory of the query; keep it as long as the value.
    pub memory: Option<Arc<Share>>,
}

/// Evaluates queries. Cheap to clone; holds no state between queries.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    /// Options.
    pub options: EngineOptions,
}

impl Engine {
    /// Evaluates `text` at `time_ms`.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn instant(
        &self,
        source: &dyn Source,
        text: &str,
        time_ms: i64,
        opts: QueryOptions<'_>,
    ) -> Result<Answer, QueryError> {
        let expr = parse(text, self.options.parse).map_err(QueryError::Parse)?;
        self.instant_expr(source, &expr, time_ms, opts)
    }

    /// Evaluates a parsed expression at `time_ms` (rules are parsed once).
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn instant_expr(
        &self,
        source: &dyn Source,
        expr: &Expr,
        time_ms: i64,
        opts: QueryOptions<'_>,
    ) -> Result<Answer, QueryError> {
        let grid = Grid {
            start: time_ms,
            step: 1,
            n: 1,
        };
        self.run(source, expr, grid, time_ms, 0, opts)
    }

    /// Evaluates `text` at `start_ms`, `start_ms + step_ms`, ... up to `end_ms`.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn range(
        &self,
        source: &dyn Source,
        text: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        opts: QueryOptions<'_>,
    ) -> Result<Answer, QueryError> {
        let expr = parse(text, self.options.parse).map_err(QueryError::Parse)?;
        self.range_expr(source, &expr, start_ms, end_ms, step_ms, opts)
    }

    /// Like [`Engine::range`] for a parsed expression.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn range_expr(
        &self,
        source: &dyn Source,
        expr: &Expr,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        opts: QueryOptions<'_>,
    ) -> Result<Answer, QueryError> {
        let t = expr.value_type();
        if !matches!(t, ValueType::Scalar | ValueType::Vector) {
            return Err(QueryError::Invalid(format!(
                "invalid expression type {} for range query, must be Scalar or instant Vector",
                crate::text::quote::quote(t.documented())
            )));
        }
        if step_ms <= 0 {
            return Err(QueryError::Invalid(
                "zero or negative query resolution step widths are not accepted. Try a positive integer".to_owned(),
            ));
        }
        if end_ms < start_ms {
            return Err(QueryError::Invalid(
                "end timestamp must not be before start time".to_owned(),
            ));
        }
        let span = i128::from(end_ms) - i128::from(start_ms);
        let n = usize::try_from(span / i128::from(step_ms) + 1)
            .map_err(|_| QueryError::TooManySamples)?;
        let grid = Grid {
            start: start_ms,
            step: step_ms,
            n,
        };
        self.run(source, expr, grid, end_ms, step_ms, opts)
    }

    fn run(
        &self,
        source: &dyn Source,
        expr: &Expr,
        grid: Grid,
        end: i64,
        step: i64,
        opts: QueryOptions<'_>,
    ) -> Result<Answer, QueryError> {
        let now = || opts.clock.map_or(Duration::ZERO, |c| c());
        let begin = now();
        let memory = self.options.memory.as_ref().map(|p| Arc::new(p.share()));
        let cx = PlanContext {
            start: grid.start,
            end,
            step,
            default_subquery_step: self.options.default_subquery_step_ms,
        };
        let root = plan(expr, &cx).map_err(QueryError::Invalid)?;
        let never = CancelToken::default();
        let timeout = opts
            .timeout
            .map_or(self.options.timeout, |t| t.min(self.options.timeout));
        let ctx = Context {
            source,
            options: &self.options,
            lookback: opts
                .lookback_ms
                .filter(|l| *l > 0)
                .unwrap_or(self.options.lookback_ms),
            cancel: opts.cancel.unwrap_or(&never),
            clock: opts.clock,
            deadline: opts.clock.map(|_| begin + timeout),
            memory: memory.as_deref(),
            here: memory.as_deref().map(Share::thread),
            annotations: RefCell::default(),
            stats: Counters::default(),
            held: Cell::new(0),
            ticks: Cell::new(0),
        };
        ctx.check_steps(grid.n)?;
        if opts.per_step {
            let none = vec![StepCount::default(); grid.n];
            ctx.stats.per_step.replace(Some(none));
        }
        let planned = now();
        let instant = step == 0;
        let value = if instant && expr.value_type() == ValueType::Matrix {
            Value::Matrix(ctx.range_vector(&root, &grid)?)
        } else {
            let val = ctx.eval(&root, &grid)?;
            let val = ctx.finish_names(val, instant)?;
            if instant {
                ctx.instant_value(val, &grid)?
            } else {
                Value::Matrix(ctx.matrix(val, &grid)?)
            }
        };
        let evaluated = now();
        let value = match value {
            Value::Matrix(mut m) => {
                m.sort_by(|a, b| a.labels.cmp(&b.labels));
                Value::Matrix(m)
            }
            other => other,
        };
        let done = now();
        // What is held now belongs to the answer.
        drop(ctx.here);
        let per_step = ctx.stats.per_step.take().unwrap_or_default();
        let per_step = per_step.iter().enumerate().map(|(k, c)| StepStats {
            t: grid.t(k),
            queryable_samples: c.queryable,
            samples_read: c.read,
        });
        Ok(Answer {
            per_step: per_step.collect(),
            value,
            annotations: ctx.annotations.into_inner(),
            stats: Stats {
                total_queryable_samples: ctx.stats.queryable.get(),
                samples_read: ctx.stats.read.get(),
                peak_samples: ctx.stats.peak.get(),
            },
            timings: Timings {
                preparation: planned.saturating_sub(begin),
                inner_eval: evaluated.saturating_sub(planned),
                result_sort: done.saturating_sub(evaluated),
                total: done.saturating_sub(begin),
            },
            memory: memory.clone(),
        })
    }
}

impl Context<'_> {
    /// Columns are as long as the grid: refuses grids that no budget could fill.
    pub(super) fn check_steps(&self, n: usize) -> EResult<()> {
        const STEPS_MIN: u64 = 1 << 20;
        if n as u64 > (self.options.max_samples / 8).max(STEPS_MIN) {
            return Err(QueryError::TooManySamples);
        }
        Ok(())
    }

    /// The points of a range query.
    fn matrix(&self, val: Val, grid: &Grid) -> EResult<Vec<MatrixSeries>> {
        match val {
            Val::Scalar(s) => {
                self.look(grid.n * size_of::<(i64, f64)>())?;
                let floats = (0..grid.n).map(|k| (grid.t(k), s.at(k))).collect();
                Ok(vec![MatrixSeries {
                    labels: Labels::empty(),
                    floats,
                    histograms: Vec::new(),
                }])
            }
            Val::Vector(v) => {
                self.look(v.len() * size_of::<MatrixSeries>())?;
                let mut out = Vec::with_capacity(v.len());
                for s in v {
                    self.check()?;
                    if s.steps.any() {
                        let (floats, histograms) = points(&s.steps, grid);
                        out.push(MatrixSeries {
                            labels: s.labels,
                            floats,
                            histograms,
                        });
                    }
                }
                Ok(out)
            }
            Val::Str(_) => Ok(Vec::new()),
        }
    }

    fn instant_value(&self, val: Val, grid: &Grid) -> EResult<Value> {
        let t = grid.start;
        Ok(match val {
            Val::Scalar(s) => Value::Scalar(t, s.at(0)),
            Val::Str(s) => Value::String(t, s),
            Val::Vector(v) => {
                self.look(v.len() * size_of::<Sample>())?;
                Value::Vector(v.into_iter().filter_map(|s| instant_sample(s, t)).collect())
            }
        })
    }

    fn range_vector(&self, node: &Node, grid: &Grid) -> EResult<Vec<MatrixSeries>> {
        match node {
            Node::Invariant(inner) => self.range_vector(inner, grid),
            Node::Range(r) => self.matrix_points(r, grid),
            Node::Subquery(s) => {
                let (sub, series) = self.subquery(s, grid)?;
                let seen = series.iter().map(|s| s.steps.samples() as u64).sum();
                self.count(seen, 0);
                self.count_step(0, seen, 0);
                let done = self.finish_names(Val::Vector(series), false)?;
                self.matrix(done, &sub)
            }
            _ => Err(QueryError::Execution("expected a range vector".to_owned())),
        }
    }
}

fn points(steps: &Steps, grid: &Grid) -> (Vec<(i64, f64)>, Vec<(i64, Arc<FloatHistogram>)>) {
    let floats = steps
        .mask
        .ones()
        .map(|k| (grid.t(k), steps.vals[k]))
        .collect();
    let hists = steps
        .hists
        .iter()
        .flatten()
        .enumerate()
        .filter_map(|(k, h)| h.as_ref().map(|h| (grid.t(k), h.clone())))
        .collect();
    (floats, hists)
}

fn instant_sample(s: Series, t: i64) -> Option<Sample> {
    let value = if s.steps.mask.get(0) {
        SampleValue::Float(s.steps.vals[0])
    } else {
        SampleValue::Histogram(s.steps.hist(0)?.clone())
    };
    Some(Sample {
        labels: s.labels,
        t,
        value,
    })
}
