//! Selectors: from columns to steps (instant) or to raw points (range).

use std::ops::ControlFlow;
use std::sync::Arc;

use engine::model::{Column, CounterResetHint, FloatHistogram, HistogramSample, is_stale};

use super::answer::MatrixSeries;
use super::context::{Context, StepCount};
use super::plan::{RangeSelector, Selector};
use super::series::{Grid, Point, Series, Steps};
use super::stream::{Item, Sink};
use super::windows::{Lookups, WindowSpec, Windows, any_nan};
use super::{EResult, QueryError};
use crate::promql::functions::extended;
use crate::promql::functions::window::Window;
use crate::promql::histogram as hist;
use crate::source::{SelectHints, SeriesSet};

impl Context<'_> {
    /// Series of a selector that may have samples in the time bounds of `spec`.
    pub(super) fn open(
        &self,
        s: &Selector,
        spec: &WindowSpec,
        range: i64,
    ) -> EResult<Box<dyn SeriesSet>> {
        let (from, to) = spec.time_bounds();
        let hints = SelectHints {
            func: s.hint.to_owned(),
            range_ms: range,
            step_ms: if spec.grid.n > 1 { spec.grid.step } else { 0 },
            unordered: s.unordered,
        };
        Ok(self.source.select(&s.matchers, from, to, &hints, self)?)
    }

    /// Scans all series of a set, stopping at the first error of `visit`.
    pub(super) fn scan(
        &self,
        set: &dyn SeriesSet,
        visit: &mut dyn FnMut(usize, Column<'_>) -> EResult<()>,
    ) -> EResult<()> {
        let mut failed = None;
        let mut reader = set.reader();
        reader.read(&set.order(), &mut |i, column| match self
            .check()
            .and_then(|()| visit(i, column))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn instant_spec(&self, s: &Selector, grid: &Grid) -> WindowSpec {
        WindowSpec {
            grid: *grid,
            at: s.at,
            offset: s.offset,
            range: self.lookback,
            before: 0,
            after: 0,
        }
    }

    /// Instant selector: the newest sample within the lookback at every step.
    pub(super) fn stream_selector(&self, s: &Selector, grid: &Grid, sink: Sink<'_>) -> EResult<()> {
        if s.smoothed {
            return self.stream_smoothed(s, grid, sink);
        }
        let spec = self.instant_spec(s, grid);
        let set = self.open(s, &spec, 0)?;
        let own = || (None, Steps::new(grid.n));
        self.scan_items(
            &*set,
            grid,
            &own,
            &|cx, (lookups, steps), i, col, sink| {
                steps.reset(grid.n);
                let samples = if col.histograms.is_empty() {
                    pick_floats(col, Lookups::cached(lookups, col.ts, &spec), steps)
                } else {
                    cx.pick_mixed(s, col, &spec, steps, |_, p| p)
                };
                if samples == 0 {
                    return Ok(());
                }
                cx.count_found(steps, samples);
                cx.charge(samples)?;
                let done = sink(Item::plain(i, &set.labels(i), steps));
                cx.release(samples);
                done
            },
            sink,
        )
    }

    /// Counts the samples that an instant selector found: each step reads what it looks at.
    fn count_found(&self, steps: &Steps, samples: usize) {
        self.count(samples as u64, samples as u64);
        self.count_steps(|k| {
            let here = steps.samples_at(k) as u64;
            StepCount {
                queryable: here,
                read: here,
            }
        });
    }

    /// Newest float or histogram per step; `f` sees the time of the sample. Gives the number of
    /// samples found.
    fn pick_mixed(
        &self,
        s: &Selector,
        col: &Column<'_>,
        spec: &WindowSpec,
        steps: &mut Steps,
        f: impl Fn(i64, Point) -> Point,
    ) -> usize {
        let mut samples = 0;
        for k in 0..spec.grid.n {
            if let Some((t, p)) = newest(col, spec.range_at(k)) {
                let p = match p {
                    Point::Hist(h) if s.stats_only => {
                        let hint = hint_in_lookback(col, t, spec.range_at(k).0);
                        Point::Hist(without_buckets(&h, hint))
                    }
                    p => p,
                };
                let p = f(t, p);
                samples += match &p {
                    Point::Float(_) => 1,
                    Point::Hist(h) => hist::sample_size(h),
                };
                steps.put(k, p);
            }
        }
        samples
    }

    /// Time of the newest sample per step (`timestamp`), or its start timestamp. Series without
    /// any are left out.
    pub(super) fn sample_times(
        &self,
        s: &Selector,
        grid: &Grid,
        starts: bool,
    ) -> EResult<Vec<Series>> {
        let spec = self.instant_spec(s, grid);
        let set = self.open(s, &spec, 0)?;
        let mut out = Vec::new();
        self.scan(&*set, &mut |i, col| {
            let mut steps = Steps::new(grid.n);
            for k in 0..grid.n {
                if let Some((t, p)) = newest(&col, spec.range_at(k)) {
                    if let (Point::Hist(_), "info") = (p, s.hint) {
                        let text = "this should be an info metric, with float samples";
                        return Err(QueryError::Execution(format!("{text}: {}", set.labels(i))));
                    }
                    let t = if starts { start_of(&col, t) } else { t };
                    steps.set(k, t as f64 / 1000.0);
                }
            }
            let samples = steps.samples();
            if samples > 0 {
                self.count_found(&steps, samples);
                self.charge(samples)?;
                out.push((
                    i,
                    Series {
                        labels: set.labels(i),
                        drop_name: false,
                        steps,
                    },
                ));
            }
            Ok(())
        })?;
        out.sort_by_key(|(i, _)| *i);
        Ok(out.into_iter().map(|(_, s)| s).collect())
    }

    /// Instant selector with `smoothed`: interpolation between the neighbours of the step.
    fn stream_smoothed(&self, s: &Selector, grid: &Grid, sink: Sink<'_>) -> EResult<()> {
        let spec = WindowSpec {
            after: self.lookback,
            ..self.instant_spec(s, grid)
        };
        let set = self.open(s, &spec, 0)?;
        let mut steps = Steps::new(grid.n);
        self.scan(&*set, &mut |i, col| {
            let clean = Clean::of(&col, false);
            let labels = &set.labels(i);
            let name = labels.metric_name().unwrap_or("");
            steps.reset(grid.n);
            for k in 0..grid.n {
                let (start, t) = spec.range_at(k);
                let end = t.saturating_add(self.lookback);
                if let Some(p) = self.smooth_at(&clean, (start, t, end), name, s) {
                    steps.put(k, p);
                }
            }
            let samples = steps.samples();
            if samples == 0 {
                return Ok(());
            }
            self.count_found(&steps, samples);
            self.charge(samples)?;
            let done = sink(Item::plain(i, labels, &mut steps));
            self.release(samples);
            done
        })
    }

    fn smooth_at(
        &self,
        c: &Clean,
        (start, t, end): (i64, i64, i64),
        name: &str,
        s: &Selector,
    ) -> Option<Point> {
        let part = |n: &dyn Fn(i64) -> usize| (n(start), n(end));
        let (f0, f1) = part(&|x| c.ts.partition_point(|v| *v <= x));
        let (h0, h1) = part(&|x| c.hists.partition_point(|p| p.t <= x));
        let (ts, vals, hists) = (&c.ts[f0..f1], &c.vals[f0..f1], &c.hists[h0..h1]);
        if !ts.is_empty() && !hists.is_empty() {
            self.note(|a| a.mixed_floats_histograms(name, s.span));
            return None;
        }
        if hists.is_empty() {
            let i = ts.partition_point(|v| *v < t);
            if ts.get(i) == Some(&t) {
                return Some(Point::Float(vals[i]));
            }
            let before = i.checked_sub(1)?;
            return Some(Point::Float(match ts.get(i) {
                Some(next) => {
                    extended::interpolate((ts[before], vals[before]), (*next, vals[i]), t, false)
                }
                None => vals[before],
            }));
        }
        let i = hists.partition_point(|p| p.t < t);
        if let Some(p) = hists.get(i).filter(|p| p.t == t) {
            return Some(Point::Hist(p.h.clone()));
        }
        let before = &hists[i.checked_sub(1)?];
        let Some(next) = hists.get(i) else {
            let h = FloatHistogram {
                hint: CounterResetHint::Unknown,
                ..(*before.h).clone()
            };
            return Some(Point::Hist(Arc::new(h)));
        };
        let gauge = |p: &HistogramSample| p.h.hint == CounterResetHint::Gauge;
        let mixed = hist::uses_custom_buckets(&before.h) != hist::uses_custom_buckets(&next.h);
        let done = if mixed {
            Err(hist::IncompatibleSchemas)
        } else {
            let counter = !(gauge(before) && gauge(next));
            extended::interpolate_histograms(before, next, t, counter, |op| {
                self.note(|a| a.bounds_reconciled(op, s.span));
            })
        };
        match done {
            Ok(h) => Some(Point::Hist(Arc::new(h))),
            Err(_) => {
                self.note(|a| a.mixed_schemas(name, s.span));
                None
            }
        }
    }

    /// A range selector as the result of a query: raw points.
    pub(super) fn matrix_points(
        &self,
        r: &RangeSelector,
        grid: &Grid,
    ) -> EResult<Vec<MatrixSeries>> {
        let s = &r.selector;
        let spec = self.range_spec(s, r.range, grid);
        let set = self.open(s, &spec, r.range)?;
        let (start, end) = spec.range_at(0);
        let mut out = Vec::new();
        self.scan(&*set, &mut |i, col| {
            let c = Clean::of(&col, false);
            let (f0, f1) = Windows::of(&c.ts, &spec).bounds(0);
            let inside = |t: i64| {
                t > start.saturating_sub(spec.before) && t <= end.saturating_add(spec.after)
            };
            let hists: Vec<_> = c
                .hists
                .iter()
                .filter(|p| inside(p.t))
                .map(|p| (p.t, p.h.clone()))
                .collect();
            let mut floats: Vec<(i64, f64)> = (f0..f1).map(|i| (c.ts[i], c.vals[i])).collect();
            if s.anchored || s.smoothed {
                if !hists.is_empty() {
                    let word = if s.anchored { "anchored" } else { "smoothed" };
                    let text = format!("{word} modifier is not supported with histograms");
                    return Err(QueryError::Execution(text));
                }
                let w = Window {
                    ts: &c.ts[f0..f1],
                    vals: &c.vals[f0..f1],
                    sts: &[],
                    hists: &[],
                    t: end,
                    start,
                    end,
                };
                floats = extended::border_points(&w, s.smoothed);
            }
            let samples = floats.len()
                + hists
                    .iter()
                    .map(|(_, h)| hist::sample_size(h))
                    .sum::<usize>();
            if samples > 0 {
                self.count(samples as u64, samples as u64);
                self.count_step(0, samples as u64, samples as u64);
                self.charge(samples)?;
                out.push(MatrixSeries {
                    labels: set.labels(i),
                    floats,
                    histograms: hists,
                });
            }
            Ok(())
        })?;
        Ok(out)
    }

    pub(super) fn range_spec(&self, s: &Selector, range: i64, grid: &Grid) -> WindowSpec {
        WindowSpec {
            grid: *grid,
            at: s.at,
            offset: s.offset,
            range,
            before: if s.anchored || s.smoothed {
                self.lookback
            } else {
                0
            },
            after: if s.smoothed { self.lookback } else { 0 },
        }
    }
}

/// The hot path of instant selectors. Gives the number of samples.
fn pick_floats(col: &Column<'_>, lookups: &Lookups, steps: &mut Steps) -> usize {
    let values = col.values;
    // One pass decides whether staleness markers have to be looked for at all.
    let any_nan = any_nan(values);
    if lookups.complete && !any_nan {
        for (slot, i) in steps.vals.iter_mut().zip(&lookups.index) {
            *slot = values[*i as usize];
        }
        steps.mask.fill();
        return lookups.index.len();
    }
    let mut n = 0;
    for (k, i) in lookups.index.iter().enumerate() {
        if let Some(v) = values.get(*i as usize)
            && *i != Lookups::NONE
            && !is_stale(*v)
        {
            steps.set(k, *v);
            n += 1;
        }
    }
    n
}

/// The newest sample in `(start, end]`, unless it is a staleness marker.
fn newest(col: &Column<'_>, (start, end): (i64, i64)) -> Option<(i64, Point)> {
    let f = col.ts.partition_point(|t| *t <= end).checked_sub(1);
    let h = col
        .histograms
        .partition_point(|p| p.t <= end)
        .checked_sub(1);
    let hist_newer = match (f, h) {
        (Some(f), Some(h)) => col.histograms[h].t > col.ts[f],
        (None, Some(_)) => true,
        _ => false,
    };
    if let (true, Some(h)) = (hist_newer, h) {
        let p = &col.histograms[h];
        return (p.t > start && !is_stale(p.h.sum)).then(|| (p.t, Point::Hist(p.h.clone())));
    }
    let f = f?;
    let v = *col.values.get(f)?;
    (col.ts[f] > start && !is_stale(v)).then_some((col.ts[f], Point::Float(v)))
}

fn start_of(col: &Column<'_>, t: i64) -> i64 {
    match col.ts.binary_search(&t) {
        Ok(i) => col.start_ts.get(i).copied().unwrap_or(0),
        Err(_) => col
            .histograms
            .iter()
            .find(|p| p.t == t)
            .map_or(0, |p| p.start_t),
    }
}

/// The counter reset hint of the histogram at `t`; an open one is settled by the sample before it,
/// if that is after `start`.
fn hint_in_lookback(col: &Column<'_>, t: i64, start: i64) -> CounterResetHint {
    let i = col.histograms.partition_point(|p| p.t < t);
    let Some(now) = col.histograms.get(i) else {
        return CounterResetHint::Unknown;
    };
    let before = i.checked_sub(1).map(|j| &col.histograms[j]);
    match before.filter(|b| b.t > start && !is_stale(b.h.sum)) {
        Some(b) if now.h.hint == CounterResetHint::Unknown => {
            if hist::detect_reset(&now.h, &b.h) {
                CounterResetHint::Reset
            } else {
                CounterResetHint::NotReset
            }
        }
        _ => now.h.hint,
    }
}

/// The histogram with count and sum only.
fn without_buckets(h: &FloatHistogram, hint: CounterResetHint) -> Arc<FloatHistogram> {
    Arc::new(FloatHistogram {
        hint,
        schema: h.schema,
        count: h.count,
        sum: h.sum,
        ..FloatHistogram::default()
    })
}

/// A column without staleness markers.
pub(super) struct Clean {
    pub(super) ts: Vec<i64>,
    pub(super) vals: Vec<f64>,
    pub(super) sts: Vec<i64>,
    pub(super) hists: Vec<HistogramSample>,
}

impl Clean {
    /// `stats_only`: histograms keep count and sum; resets are found while the buckets are there.
    pub(super) fn of(col: &Column<'_>, stats_only: bool) -> Self {
        let keep = || {
            col.values
                .iter()
                .enumerate()
                .filter(|(_, v)| !is_stale(**v))
                .map(|(i, _)| i)
        };
        let mut hists: Vec<HistogramSample> = col
            .histograms
            .iter()
            .filter(|p| !is_stale(p.h.sum))
            .cloned()
            .collect();
        if stats_only {
            let full: Vec<Arc<FloatHistogram>> = hists.iter().map(|p| p.h.clone()).collect();
            for (i, p) in hists.iter_mut().enumerate() {
                let hint = match (full[i].hint, i.checked_sub(1)) {
                    (CounterResetHint::Unknown, Some(before))
                        if hist::detect_reset(&full[i], &full[before]) =>
                    {
                        CounterResetHint::Reset
                    }
                    (CounterResetHint::Unknown, Some(_)) => CounterResetHint::NotReset,
                    (hint, _) => hint,
                };
                p.h = without_buckets(&full[i], hint);
            }
        }
        Self {
            ts: keep().map(|i| col.ts[i]).collect(),
            vals: keep().map(|i| col.values[i]).collect(),
            sts: keep()
                .filter_map(|i| col.start_ts.get(i).copied())
                .collect(),
            hists,
        }
    }
}
