//! Calls that take instant vectors and scalars.

use engine::model::Labels;

use super::context::{Context, merge_same_labels, same_labelset};
use super::plan::{CallNode, Node};
use super::series::{Grid, Scalar, Series, Steps};
use super::{EResult, QueryError, Val};
use crate::promql::functions::range::RangeFn;
use crate::promql::functions::{dates, math, natural};
use crate::promql::histogram as hist;

impl Context<'_> {
    pub(super) fn call(&self, c: &CallNode, grid: &Grid) -> EResult<Val> {
        let name = c.func.name;
        if let Some(f) = RangeFn::find(name) {
            return Ok(Val::Vector(if f == RangeFn::Absent {
                self.absent_over_time(c, grid)?
            } else {
                self.collect_call(c, grid)?
            }));
        }
        if math::find(name).is_some() {
            return Ok(Val::Vector(self.collect_call(c, grid)?));
        }
        if let Some(f) = dates::find(name) {
            return Ok(Val::Vector(self.dates(c, grid, f)?));
        }
        Ok(match name {
            "time" => Val::Scalar(Scalar::Steps(
                (0..grid.n).map(|k| grid.t(k) as f64 / 1000.0).collect(),
            )),
            "pi" => Val::Scalar(Scalar::Const(std::f64::consts::PI)),
            "max_of" => Val::Scalar(self.two_scalars(c, grid, math::max)?),
            "min_of" => Val::Scalar(self.two_scalars(c, grid, math::min)?),
            "vector" => Val::Vector(self.vector_of(c, grid)?),
            "scalar" => Val::Scalar(self.scalar_of(c, grid)?),
            "absent" => Val::Vector(self.absent(c, grid)?),
            "timestamp" => Val::Vector(self.timestamp(c, grid)?),
            "start_timestamp" => Val::Vector(self.start_timestamp(c, grid)?),
            "sort" | "sort_desc" => Val::Vector(self.sort(c, grid, name == "sort_desc")?),
            "sort_by_label" | "sort_by_label_desc" => {
                Val::Vector(self.sort_by_label(c, grid, name == "sort_by_label_desc")?)
            }
            "label_replace" => Val::Vector(self.label_replace(c, grid)?),
            "label_join" => Val::Vector(self.label_join(c, grid)?),
            "histogram_count" => Val::Vector(self.of_histograms(c, grid, |h| h.count)?),
            "histogram_sum" => Val::Vector(self.of_histograms(c, grid, |h| h.sum)?),
            "histogram_avg" => Val::Vector(self.of_histograms(c, grid, |h| h.sum / h.count)?),
            "histogram_stdvar" => Val::Vector(self.of_histograms(c, grid, hist::variance)?),
            "histogram_stddev" => {
                Val::Vector(self.of_histograms(c, grid, |h| hist::variance(h).sqrt())?)
            }
            "histogram_quantile" => Val::Vector(self.histogram_quantile(c, grid)?),
            "histogram_quantiles" => Val::Vector(self.histogram_quantiles(c, grid)?),
            "histogram_fraction" => Val::Vector(self.histogram_fraction(c, grid)?),
            "info" => Val::Vector(self.info(c, grid)?),
            _ => {
                return Err(QueryError::Execution(format!(
                    "function {name} is not implemented"
                )));
            }
        })
    }

    fn collect_call(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        self.collect_with(grid, &|sink| self.stream_call(c, grid, sink))
    }

    /// Argument `i`, which the check made sure is there.
    pub(super) fn arg<'n>(&self, c: &'n CallNode, i: usize) -> EResult<&'n Node> {
        c.args
            .get(i)
            .ok_or_else(|| QueryError::Execution(format!("missing argument of {}", c.func.name)))
    }

    pub(super) fn string_arg<'n>(&self, c: &'n CallNode, i: usize) -> EResult<&'n str> {
        match self.arg(c, i)? {
            Node::Str(s) => Ok(s),
            _ => Err(QueryError::Execution("expected a string".to_owned())),
        }
    }

    fn two_scalars(&self, c: &CallNode, grid: &Grid, f: fn(f64, f64) -> f64) -> EResult<Scalar> {
        let a = self.scalar(self.arg(c, 0)?, grid)?;
        let b = self.scalar(self.arg(c, 1)?, grid)?;
        Ok(match (&a, &b) {
            (Scalar::Const(a), Scalar::Const(b)) => Scalar::Const(f(*a, *b)),
            _ => Scalar::Steps((0..grid.n).map(|k| f(a.at(k), b.at(k))).collect()),
        })
    }

    fn vector_of(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let steps = match self.scalar(self.arg(c, 0)?, grid)? {
            Scalar::Const(v) => Steps::constant(v, grid.n),
            Scalar::Steps(vals) => Steps {
                vals,
                ..Steps::constant(0.0, grid.n)
            },
        };
        self.charge(grid.n)?;
        Ok(vec![Series {
            labels: Labels::empty(),
            drop_name: false,
            steps,
        }])
    }

    /// The only float of a step, or NaN.
    fn scalar_of(&self, c: &CallNode, grid: &Grid) -> EResult<Scalar> {
        let series = self.vector(self.arg(c, 0)?, grid)?;
        let mut vals = vec![f64::NAN; grid.n];
        let mut seen = vec![0u8; grid.n];
        for s in &series {
            for k in s.steps.mask.ones() {
                seen[k] = seen[k].saturating_add(1);
                vals[k] = if seen[k] == 1 {
                    s.steps.vals[k]
                } else {
                    f64::NAN
                };
            }
        }
        self.release_all(&series);
        Ok(Scalar::Steps(vals))
    }

    fn absent(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let mut seen = super::series::Mask::empty(grid.n);
        self.stream_unique(self.arg(c, 0)?, grid, &mut |item| {
            seen.or(&item.steps.present());
            Ok(())
        })?;
        self.where_nothing_was(&seen, c, grid, false)
    }

    /// One series, 1 at the steps that `seen` leaves open; none when it leaves none.
    pub(super) fn where_nothing_was(
        &self,
        seen: &super::series::Mask,
        c: &CallNode,
        grid: &Grid,
        drop_name: bool,
    ) -> EResult<Vec<Series>> {
        let mut steps = Steps::constant(1.0, grid.n);
        steps.mask.and_not(seen);
        if !steps.any() {
            return Ok(Vec::new());
        }
        self.charge(steps.weight())?;
        Ok(vec![Series {
            labels: c.absent_labels.clone(),
            drop_name,
            steps,
        }])
    }

    /// Sample times for selectors, step times for anything else.
    fn timestamp(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let arg = self.arg(c, 0)?;
        let mut series = match arg {
            Node::Selector(s) => self.sample_times(s, grid, false)?,
            _ => {
                let mut series = self.vector(arg, grid)?;
                for s in &mut series {
                    let present = s.steps.present();
                    s.steps.reset(grid.n);
                    present
                        .ones()
                        .for_each(|k| s.steps.set(k, grid.t(k) as f64 / 1000.0));
                }
                series
            }
        };
        series.iter_mut().for_each(|s| self.strip(s));
        self.merge_stripped(series)
    }

    fn start_timestamp(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let arg = self.arg(c, 0)?;
        let mut series = match arg {
            Node::Selector(s) if self.options.use_start_timestamps => {
                self.sample_times(s, grid, true)?
            }
            _ => {
                let series = self.vector(arg, grid)?;
                self.release_all(&series);
                Vec::new()
            }
        };
        series.iter_mut().for_each(|s| self.strip(s));
        self.merge_stripped(series)
    }

    fn dates(&self, c: &CallNode, grid: &Grid, f: fn(i128) -> f64) -> EResult<Vec<Series>> {
        let Some(arg) = c.args.first() else {
            let vals: Vec<f64> = (0..grid.n)
                .map(|k| f(i128::from(grid.t(k) / 1000)))
                .collect();
            self.charge(grid.n)?;
            let steps = Steps {
                vals,
                ..Steps::constant(0.0, grid.n)
            };
            return Ok(vec![Series {
                labels: Labels::empty(),
                drop_name: false,
                steps,
            }]);
        };
        let mut series = self.vector(arg, grid)?;
        for s in &mut series {
            s.steps.hists = None;
            s.steps
                .vals
                .iter_mut()
                .for_each(|v| *v = f(dates::seconds(*v)));
            self.strip(s);
        }
        series.retain(|s| s.steps.any());
        self.merge_stripped(series)
    }

    /// A float of every histogram; floats are dropped.
    fn of_histograms(
        &self,
        c: &CallNode,
        grid: &Grid,
        f: impl Fn(&engine::model::FloatHistogram) -> f64,
    ) -> EResult<Vec<Series>> {
        let mut series = self.vector(self.arg(c, 0)?, grid)?;
        self.release_all(&series);
        for s in &mut series {
            self.check()?;
            let hists = s.steps.hists.take();
            s.steps.reset(grid.n);
            for (k, h) in hists.iter().flatten().enumerate() {
                if let Some(h) = h {
                    s.steps.set(k, f(h));
                }
            }
            s.drop_name = true;
            if !self.options.delayed_name_removal {
                s.labels = s.labels.without(&[engine::model::METRIC_NAME]);
            }
        }
        series.retain(|s| s.steps.any());
        self.charge_all(&series)?;
        self.merge_stripped(series)
    }

    fn sort(&self, c: &CallNode, grid: &Grid, descending: bool) -> EResult<Vec<Series>> {
        let mut series = self.vector(self.arg(c, 0)?, grid)?;
        series.iter_mut().for_each(|s| s.steps.hists = None);
        series.retain(|s| s.steps.any());
        if grid.is_instant() {
            let value = |s: &Series| s.steps.vals[0];
            series.sort_by(|a, b| {
                let (x, y) = (value(a), value(b));
                let order = if descending {
                    y.partial_cmp(&x)
                } else {
                    x.partial_cmp(&y)
                };
                // NaN last either way.
                order.unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
            });
            self.refuse_same_labels(&series)?;
        } else {
            self.warn_sort(c);
        }
        Ok(series)
    }

    fn sort_by_label(&self, c: &CallNode, grid: &Grid, descending: bool) -> EResult<Vec<Series>> {
        let names = (1..c.args.len())
            .map(|i| self.string_arg(c, i))
            .collect::<EResult<Vec<_>>>()?;
        let mut series = self.vector(self.arg(c, 0)?, grid)?;
        if grid.is_instant() {
            series.sort_by(|a, b| {
                let of = |s: &Series, n: &str| s.labels.get(n).unwrap_or("").to_owned();
                let order = names
                    .iter()
                    .map(|n| natural::compare(&of(a, n), &of(b, n)))
                    .find(|o| o.is_ne())
                    .unwrap_or_else(|| a.labels.cmp(&b.labels));
                if descending { order.reverse() } else { order }
            });
            self.refuse_same_labels(&series)?;
        } else {
            self.warn_sort(c);
        }
        Ok(series)
    }

    fn warn_sort(&self, c: &CallNode) {
        self.note(|a| {
            a.warn(
                c.span,
                "sort is ineffective for range queries since results are always ordered by labels",
            );
        });
    }

    fn refuse_same_labels(&self, series: &[Series]) -> EResult<()> {
        if self.options.delayed_name_removal {
            return Ok(());
        }
        let n = series.len();
        if merge_same_labels(series.to_vec())?.len() != n {
            return Err(same_labelset());
        }
        Ok(())
    }
}
