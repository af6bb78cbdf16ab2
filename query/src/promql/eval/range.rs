//! Calls over range vectors: windows over columns, and subqueries as sources of columns.

use std::sync::Arc;

use engine::model::{Column, HistogramSample, Labels, is_stale};

use super::context::{Context, StepCount};
use super::plan::{CallNode, Node, SubqueryNode};
use super::select::Clean;
use super::series::{Grid, Scalar, Series, Steps};
use super::stream::{Dup, Item, Sink};
use super::windows::{WindowSpec, Windows, any_nan};
use super::{EResult, QueryError};
use crate::promql::functions::range::RangeFn;
use crate::promql::functions::rate::{self, Gaps};
use crate::promql::functions::window::{Env, Window};
use crate::promql::functions::{changes, over_time};
use crate::promql::histogram as hist;
use crate::text::quote::quote;

/// A call being evaluated: what does not change from series to series.
#[derive(Clone)]
struct RangeCall<'a> {
    func: RangeFn,
    node: &'a CallNode,
    spec: WindowSpec,
    params: Vec<Scalar>,
    anchored: bool,
    smoothed: bool,
    stats_only: bool,
    /// Samples come from the source (not from a subquery).
    from_source: bool,
    /// Windows of the last shared timestamps, and what rate precomputes for them.
    windows: Option<Windows>,
    gaps: Vec<Gaps>,
}

impl Context<'_> {
    /// Evaluates a call with a range argument, series by series.
    pub(super) fn stream_range_call(
        &self,
        c: &CallNode,
        grid: &Grid,
        sink: Sink<'_>,
    ) -> EResult<()> {
        let Some(func) = RangeFn::find(c.func.name) else {
            return Ok(());
        };
        let mut range_arg = None;
        let mut params = Vec::new();
        for a in &c.args {
            match a {
                Node::Range(_) | Node::Subquery(_) => range_arg = Some(a),
                _ => params.push(self.scalar(a, grid)?),
            }
        }
        let mut call = RangeCall {
            func,
            node: c,
            spec: WindowSpec {
                grid: *grid,
                at: None,
                offset: 0,
                range: 0,
                before: 0,
                after: 0,
            },
            params,
            anchored: false,
            smoothed: false,
            stats_only: false,
            from_source: true,
            windows: None,
            gaps: Vec::new(),
        };
        match range_arg {
            Some(Node::Range(r)) => {
                let s = &r.selector;
                check_extended(func, s.anchored, s.smoothed, c.func.name)?;
                call.spec = self.range_spec(s, r.range, grid);
                (call.anchored, call.smoothed, call.stats_only) =
                    (s.anchored, s.smoothed, s.stats_only);
                let set = self.open(s, &call.spec, r.range)?;
                let dup = if Self::one_name(&s.matchers) {
                    Dup::Never
                } else {
                    Dup::Always
                };
                let own = || (call.clone(), Steps::new(grid.n));
                self.scan_items(
                    &*set,
                    grid,
                    &own,
                    &|cx, (call, steps), i, col, sink| {
                        let labels = &set.labels(i);
                        cx.range_series(call, i, labels, col, (false, dup), steps, sink)
                    },
                    sink,
                )
            }
            Some(Node::Subquery(sub)) => {
                let (sub_grid, series) = self.subquery(sub, grid)?;
                call.from_source = false;
                call.spec.at = sub.at;
                call.spec.offset = sub.offset;
                call.spec.range = sub.range;
                let shared: Arc<[i64]> = (0..sub_grid.n).map(|k| sub_grid.t(k)).collect();
                let mut steps = Steps::new(grid.n);
                for (i, s) in series.into_iter().enumerate() {
                    self.check()?;
                    let samples = s.steps.weight();
                    let held = SubColumn::of(&s, &shared, &sub_grid);
                    let col = held.column();
                    self.range_series(
                        &mut call,
                        i,
                        &s.labels,
                        &col,
                        (s.drop_name, Dup::Always),
                        &mut steps,
                        sink,
                    )?;
                    self.release(samples);
                }
                Ok(())
            }
            _ => Err(QueryError::Execution("expected a range vector".to_owned())),
        }
    }

    /// Evaluates one series and hands the result on if there is one.
    fn range_series(
        &self,
        call: &mut RangeCall<'_>,
        index: usize,
        labels: &Labels,
        col: &Column<'_>,
        (drop_name, dup): (bool, Dup),
        steps: &mut Steps,
        sink: Sink<'_>,
    ) -> EResult<()> {
        steps.reset(call.spec.grid.n);
        let env = Env {
            labels,
            span: call.node.arg_spans.first().copied().unwrap_or_default(),
            annotations: &self.annotations,
            use_start: self.options.use_start_timestamps
                && call.from_source
                && call.func.reads_start(),
            anchored: call.anchored,
            smoothed: call.smoothed,
        };
        let held = self.fill(call, col, &env, steps)?;
        let is_rate = matches!(call.func, RangeFn::Rate(k) if k.counter);
        let any = steps.any();
        if is_rate && steps.mask.any() {
            self.note_non_counter(labels, env.span);
        }
        if !any {
            self.release(held);
            return Ok(());
        }
        let samples = steps.samples();
        self.charge(samples)?;
        self.release(held);
        let mut item = Item {
            drop_name,
            ..Item::plain(index, labels, steps)
        };
        if !call.func.keeps_name() {
            self.mark_stripped(&mut item, dup);
        }
        let done = sink(item);
        self.release(samples);
        done
    }

    /// Runs the function over all windows of a column. Gives the samples held meanwhile, charged.
    fn fill(
        &self,
        call: &mut RangeCall<'_>,
        col: &Column<'_>,
        env: &Env<'_>,
        steps: &mut Steps,
    ) -> EResult<usize> {
        let extended = call.anchored || call.smoothed;
        let stale = any_nan(col.values) && col.values.iter().any(|v| is_stale(*v));
        if col.histograms.is_empty() && !extended && !env.use_start {
            let own;
            let (ts, vals, windows, gaps): (&[i64], &[f64], &Windows, &mut Vec<Gaps>) = if stale {
                own = Clean::of(col, false);
                let w = Windows::of(&own.ts, &call.spec);
                return self.fill_floats(
                    call.func,
                    &own.ts,
                    &own.vals,
                    &w,
                    None,
                    env,
                    &call.params,
                    &call.spec,
                    steps,
                    call.from_source,
                );
            } else {
                let (w, hit) = Windows::cached(&mut call.windows, col.ts, &call.spec);
                if !hit {
                    call.gaps.clear();
                }
                (col.ts, col.values, w, &mut call.gaps)
            };
            if gaps.is_empty() && matches!(call.func, RangeFn::Rate(_)) {
                *gaps = window_gaps(ts, windows, &call.spec);
            }
            return self.fill_floats(
                call.func,
                ts,
                vals,
                windows,
                Some(gaps),
                env,
                &call.params,
                &call.spec,
                steps,
                call.from_source,
            );
        }
        let clean = Clean::of(col, call.stats_only);
        self.fill_any(call, &clean, env, steps)
    }

    fn fill_floats(
        &self,
        func: RangeFn,
        ts: &[i64],
        vals: &[f64],
        w: &Windows,
        gaps: Option<&Vec<Gaps>>,
        env: &Env<'_>,
        params: &[Scalar],
        spec: &WindowSpec,
        steps: &mut Steps,
        from_source: bool,
    ) -> EResult<usize> {
        self.count(w.total, if from_source { w.read } else { 0 });
        self.count_steps(|k| {
            let (all, new) = w.samples_at(k);
            StepCount {
                queryable: all as u64,
                read: if from_source { new as u64 } else { 0 },
            }
        });
        self.charge(w.largest)?;
        match func {
            RangeFn::Rate(kind) => match gaps {
                Some(g) => rate::float_column(kind, vals, w, g, steps),
                None => rate::float_column(kind, vals, w, &window_gaps(ts, w, spec), steps),
            },
            RangeFn::Resets => changes::float_column(true, vals, w, steps),
            RangeFn::Changes => changes::float_column(false, vals, w, steps),
            RangeFn::OverTime(f) => f.float_column(ts, vals, w, steps),
            RangeFn::Quantile if params.len() == 1 => {
                over_time::quantile_column(|k| params[0].at(k), vals, w, env, steps);
            }
            _ => {
                let mut p = vec![0.0; params.len()];
                for k in 0..spec.grid.n {
                    let (lo, hi) = w.bounds(k);
                    if lo == hi {
                        continue;
                    }
                    p.iter_mut().zip(params).for_each(|(p, s)| *p = s.at(k));
                    let (start, end) = spec.range_at(k);
                    let window = Window {
                        ts: &ts[lo..hi],
                        vals: &vals[lo..hi],
                        sts: &[],
                        hists: &[],
                        t: spec.grid.t(k),
                        start,
                        end,
                    };
                    check_factors(func, &p)?;
                    if let Some(p) = func.window(&window, env, &p) {
                        steps.put(k, p);
                    }
                }
            }
        }
        Ok(w.largest)
    }

    /// Histograms, start timestamps, extended ranges.
    fn fill_any(
        &self,
        call: &RangeCall<'_>,
        c: &Clean,
        env: &Env<'_>,
        steps: &mut Steps,
    ) -> EResult<usize> {
        let spec = &call.spec;
        let floats = Windows::of(&c.ts, spec);
        let hist_ts: Vec<i64> = c.hists.iter().map(|p| p.t).collect();
        let hists = Windows::of(&hist_ts, spec);
        let sizes: Vec<usize> = c.hists.iter().map(|p| hist::sample_size(&p.h)).collect();
        let mut p = vec![0.0; call.params.len()];
        let (mut total, mut read, mut largest) = (0u64, 0u64, 0usize);
        for k in 0..spec.grid.n {
            let (lo, hi) = floats.bounds(k);
            let (hlo, hhi) = hists.bounds(k);
            if lo == hi && hlo == hhi {
                continue;
            }
            let (start, end) = spec.range_at(k);
            let samples = hi - lo + sizes[hlo..hhi].iter().sum::<usize>();
            total += samples as u64;
            largest = largest.max(samples);
            let mut new = 0;
            if k == 0 {
                new = samples;
            } else if spec.at.is_none() {
                let after = end
                    .saturating_add(spec.after)
                    .saturating_sub(spec.grid.step);
                let new_hists: usize = (hlo..hhi)
                    .filter(|i| hist_ts[*i] > after)
                    .map(|i| sizes[i])
                    .sum();
                new = c.ts[lo..hi].iter().filter(|t| **t > after).count() + new_hists;
            }
            let new = if call.from_source { new as u64 } else { 0 };
            read += new;
            self.count_step(k, samples as u64, new);
            p.iter_mut()
                .zip(&call.params)
                .for_each(|(p, s)| *p = s.at(k));
            let window = Window {
                ts: &c.ts[lo..hi],
                vals: &c.vals[lo..hi],
                sts: c.sts.get(lo..hi).unwrap_or(&[]),
                hists: &c.hists[hlo..hhi],
                t: spec.grid.t(k),
                start,
                end,
            };
            check_factors(call.func, &p)?;
            if let Some(p) = call.func.window(&window, env, &p) {
                steps.put(k, p);
            }
        }
        self.count(total, read);
        self.charge(largest)?;
        Ok(largest)
    }

    fn note_non_counter(&self, labels: &Labels, span: crate::promql::ast::Span) {
        let Some(name) = labels.metric_name() else {
            return;
        };
        if self.options.type_and_unit_labels {
            let t = labels.get("__type__").unwrap_or("");
            if t != "counter" && t != "histogram" {
                self.note(|a| {
                    a.info(
                        span,
                        format_args!(
                            "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                            quote(t),
                            quote(name)
                        ),
                    );
                });
            }
            return;
        }
        if !["_total", "_sum", "_count", "_bucket"]
            .iter()
            .any(|s| name.ends_with(s))
        {
            self.note(|a| {
                a.info(
                    span,
                    format_args!(
                        "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                        quote(name)
                    ),
                );
            });
        }
    }

    /// Evaluates a subquery's expression at the steps its windows need.
    pub(super) fn subquery(&self, s: &SubqueryNode, grid: &Grid) -> EResult<(Grid, Vec<Series>)> {
        let first = s.at.unwrap_or(grid.start).saturating_sub(s.offset);
        let last = s.at.unwrap_or(grid.end()).saturating_sub(s.offset);
        let open = first.saturating_sub(s.range);
        // Steps lie on multiples of the step, the first after the open end of the window.
        let mut start = (open / s.step).saturating_mul(s.step);
        if start <= open {
            start = start.saturating_add(s.step);
        }
        if start > last {
            return Ok((
                Grid {
                    start,
                    step: s.step,
                    n: 0,
                },
                Vec::new(),
            ));
        }
        let n =
            usize::try_from((last - start) / s.step + 1).map_err(|_| QueryError::TooManySamples)?;
        self.check_steps(n)?;
        let sub = Grid {
            start,
            step: s.step,
            n,
        };
        let before = self.stats.queryable.get();
        let (series, inner) = self.with_inner_steps(n, || self.vector(&s.expr, &sub));
        let series = series?;
        // The functions over the subquery count the samples that they see.
        self.stats.queryable.set(before);
        self.count_inner_reads(s, grid, &sub, &inner);
        Ok((sub, series))
    }

    /// What the steps of a subquery read counts for the first step of the query that covers them.
    fn count_inner_reads(&self, s: &SubqueryNode, grid: &Grid, sub: &Grid, inner: &[StepCount]) {
        let mut k = 0;
        for (i, step) in inner.iter().enumerate() {
            let end = |k: usize| s.at.unwrap_or_else(|| grid.t(k)).saturating_sub(s.offset);
            while k + 1 < grid.n && end(k) < sub.t(i) {
                k += 1;
            }
            self.count_step(k, 0, step.read);
        }
    }

    /// `absent_over_time`: one series, at the steps where no other has anything.
    pub(super) fn absent_over_time(&self, c: &CallNode, grid: &Grid) -> EResult<Vec<Series>> {
        let mut seen = super::series::Mask::empty(grid.n);
        self.stream_range_call(c, grid, &mut |item| {
            seen.or(&item.steps.present());
            Ok(())
        })?;
        self.where_nothing_was(&seen, c, grid, true)
    }
}

fn window_gaps(ts: &[i64], w: &Windows, spec: &WindowSpec) -> Vec<Gaps> {
    (0..spec.grid.n)
        .map(|k| {
            let (lo, hi) = w.bounds(k);
            if hi < lo + 2 {
                return Gaps::default();
            }
            let (start, end) = spec.range_at(k);
            rate::gaps(start, end, ts[lo], ts[hi - 1], hi - lo)
        })
        .collect()
}

fn check_extended(func: RangeFn, anchored: bool, smoothed: bool, name: &str) -> EResult<()> {
    if anchored && !func.allows_anchored() {
        let text = format!(
            "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with {name}"
        );
        return Err(QueryError::Execution(text));
    }
    if smoothed && !func.allows_smoothed() {
        let text = format!(
            "smoothed modifier can only be used with: delta, increase, rate - not with {name}"
        );
        return Err(QueryError::Execution(text));
    }
    Ok(())
}

/// A series of a subquery as a column.
struct SubColumn {
    ts: Arc<[i64]>,
    vals: Vec<f64>,
    hists: Vec<HistogramSample>,
}

impl SubColumn {
    /// `shared`: the timestamps of the whole grid, used by series without gaps.
    fn of(s: &Series, shared: &Arc<[i64]>, grid: &Grid) -> Self {
        let full = s.steps.mask.is_full();
        let (ts, vals) = if full {
            (shared.clone(), s.steps.vals.clone())
        } else {
            let ones = || s.steps.mask.ones();
            (
                ones().map(|k| grid.t(k)).collect(),
                ones().map(|k| s.steps.vals[k]).collect(),
            )
        };
        use engine::model::{CounterResetHint as Hint, FloatHistogram};
        let hists = s
            .steps
            .hists
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(k, h)| {
                let h = h.as_ref()?;
                // Samples of a subquery may be any distance apart: what was known about resets
                // between neighbours does not hold.
                let h = match h.hint {
                    Hint::Reset | Hint::NotReset => Arc::new(FloatHistogram {
                        hint: Hint::Unknown,
                        ..(**h).clone()
                    }),
                    _ => h.clone(),
                };
                Some(HistogramSample {
                    t: grid.t(k),
                    start_t: 0,
                    h,
                })
            })
            .collect();
        Self { ts, vals, hists }
    }

    fn column(&self) -> Column<'_> {
        Column {
            ts: &self.ts,
            values: &self.vals,
            start_ts: &[],
            histograms: &self.hists,
        }
    }
}

/// The factors of `double_exponential_smoothing` at a step that has something to smooth.
fn check_factors(func: RangeFn, params: &[f64]) -> EResult<()> {
    if func != RangeFn::DoubleExponential {
        return Ok(());
    }
    for (v, (name, short)) in params.iter().zip([("smoothing", "sf"), ("trend", "tf")]) {
        if *v <= 0.0 || *v >= 1.0 {
            let text = format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {v:.6}");
            return Err(QueryError::Execution(text));
        }
    }
    Ok(())
}
