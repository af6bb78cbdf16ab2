//! Range aggregations: one scan by several threads, then windows over the grid.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::logs::{Direction, ScanOptions, Visitor};
use engine::model::{Labels, MatchOp};
use hashbrown::HashMap;

use super::extract::{Extractor, Sampler, SeriesTable};
use super::metric::Grid;
use super::window::{Window, value};
use super::{Control, QueryError, Series};
use crate::logql::ast::{Grouping, RangeAggregation, RangeOp};
use crate::logql::source::LogSource;

/// What is kept of the samples of a series.
enum Kept {
    /// Changes of a running total from step to step: what counts can be summed in any order.
    Totals(Vec<f64>, Vec<i64>),
    /// Every sample, and where those of each unit begin: the order of entries of one time counts.
    Samples(Vec<(i64, f64)>, Vec<(u32, usize)>),
}

impl Kept {
    fn new(totals: bool, steps: usize) -> Self {
        if totals {
            Self::Totals(vec![0.0; steps + 1], vec![0; steps + 1])
        } else {
            Self::Samples(Vec::new(), Vec::new())
        }
    }
}

/// What one thread has made of its units.
struct Partial {
    table: SeriesTable,
    kept: Vec<Kept>,
    /// What went wrong, and in which unit.
    failed: Option<(u32, QueryError)>,
}

/// Steps of times that come in order, mostly: neighbours share theirs.
struct Steps<'g> {
    grid: &'g Grid,
    range: i64,
    /// Times from here to here have these steps.
    same: (i64, i64),
    steps: Option<(u64, u64)>,
}

impl<'g> Steps<'g> {
    fn new(grid: &'g Grid, range: i64) -> Self {
        Self {
            grid,
            range,
            same: (1, 0),
            steps: None,
        }
    }

    fn of(&mut self, t: i64) -> Option<(u64, u64)> {
        if t < self.same.0 || t > self.same.1 {
            self.steps = self.grid.window_steps(t, self.range);
            self.same = self.grid.same_steps(t, self.range);
        }
        self.steps
    }
}

/// Evaluates `r`; `outer` is the grouping of a sum around it.
pub(super) fn aggregate(
    source: &dyn LogSource,
    r: &RangeAggregation,
    outer: Option<&Option<Grouping>>,
    grid: &Grid,
    control: &Control<'_>,
) -> Result<Vec<Series>, QueryError> {
    control.check()?;
    let extractor = Extractor::new(r, outer)?;
    let grid = Grid {
        start: grid.start.saturating_sub(r.offset),
        ..*grid
    };
    let from = grid.start.saturating_sub(r.range).saturating_add(1);
    let to = grid.at(grid.steps - 1).saturating_add(1);
    let set = source.select(&r.log.matchers, from, to)?;
    let totals = r.unwrap.is_none()
        && matches!(
            r.op,
            RangeOp::CountOverTime
                | RangeOp::Rate
                | RangeOp::BytesOverTime
                | RangeOp::BytesRate
                | RangeOp::AbsentOverTime
        );
    let steps = grid.steps as usize;
    let held = AtomicU64::new(0);
    let options = ScanOptions {
        direction: Direction::Forward,
        test: extractor.test(),
        want: extractor.wanted(),
        glance: extractor.glance(),
        metadata: extractor.metadata(),
        threads: super::scan_threads(),
        cancel: Some(control.cancel),
        stats: Some(control.stats),
    };
    let mut partials: Vec<Partial> = (0..super::scan_threads())
        .map(|_| Partial {
            table: SeriesTable::new(),
            kept: Vec::new(),
            failed: None,
        })
        .collect();
    let (set, extractor, held) = (&*set, &extractor, &held);
    let visitors = partials.iter_mut().map(|partial| {
        let mut sampler = Sampler::new(extractor, &control.around);
        let mut at = Steps::new(&grid, r.range);
        let visit: Visitor<'_> = Box::new(move |unit, batch| {
            let Partial { table, kept, .. } = &mut *partial;
            let holds = |n: u64| {
                let held = held.fetch_add(n, Ordering::Relaxed) + n;
                let max = control.limits.samples_max;
                if max > 0 && held > max {
                    return Err(too_many(max));
                }
                Ok(())
            };
            let mut take = |series: u32, steps_of: (u64, u64), t: i64, v: f64| {
                let i = series as usize;
                while kept.len() <= i {
                    holds(if totals { grid.steps } else { 0 })?;
                    kept.push(Kept::new(totals, steps));
                }
                match &mut kept[i] {
                    Kept::Totals(sums, counts) => {
                        let (first, last) = steps_of;
                        sums[first as usize] += v;
                        sums[last as usize + 1] -= v;
                        counts[first as usize] += 1;
                        counts[last as usize + 1] -= 1;
                    }
                    Kept::Samples(samples, units) => {
                        holds(1)?;
                        if units.last().is_none_or(|u| u.0 != unit) {
                            units.push((unit, samples.len()));
                        }
                        samples.push((t, v));
                    }
                }
                Ok(())
            };
            let labels = |i| set.labels(i);
            let done = control
                .check()
                .and_then(|()| sampler.batch(batch, labels, table, |t| at.of(t), &mut take));
            match done {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => {
                    partial.failed = Some((unit, e));
                    ControlFlow::Break(())
                }
            }
        });
        visit
    });
    let visitors: Vec<Visitor<'_>> = visitors.collect();
    set.scan_by(&options, visitors)?;
    let failed = partials.iter_mut().filter_map(|p| p.failed.take());
    if let Some((_, e)) = failed.min_by_key(|f| f.0) {
        return Err(e);
    }
    let (labels, kept) = merged(partials);
    let mut out = Vec::with_capacity(kept.len());
    for (labels, kept) in labels.into_iter().zip(kept) {
        control.check()?;
        let points = match kept {
            Kept::Totals(sums, counts) => totals_points(r, &sums, &counts),
            Kept::Samples(samples, _) => sample_points(r, samples, &grid),
        };
        if !points.is_empty() {
            out.push(Series { labels, points });
        }
    }
    if r.op == RangeOp::AbsentOverTime {
        return Ok(absent(r, &out, steps));
    }
    out.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(out)
}

/// The series of all threads; samples of one time stand in the order of their units.
fn merged(partials: Vec<Partial>) -> (Vec<Labels>, Vec<Kept>) {
    let mut parts = partials.into_iter();
    let Some(first) = parts.next() else {
        return (Vec::new(), Vec::new());
    };
    let (mut labels, mut all) = (first.table.labels, first.kept);
    let mut index: HashMap<Labels, usize, foldhash::fast::RandomState> =
        labels.iter().cloned().zip(0..).collect();
    for p in parts {
        for (l, kept) in p.table.labels.into_iter().zip(p.kept) {
            let next = all.len();
            let at = *index.entry(l.clone()).or_insert(next);
            match (all.get_mut(at), kept) {
                (Some(Kept::Totals(a, b)), Kept::Totals(x, y)) => {
                    a.iter_mut().zip(x).for_each(|(a, x)| *a += x);
                    b.iter_mut().zip(y).for_each(|(b, y)| *b += y);
                }
                (Some(Kept::Samples(a, units)), Kept::Samples(b, more)) => {
                    units.extend(more.iter().map(|(u, at)| (*u, at + a.len())));
                    a.extend(b);
                }
                (_, kept) => {
                    labels.push(l);
                    all.push(kept);
                }
            }
        }
    }
    for kept in &mut all {
        if let Kept::Samples(samples, units) = kept
            && !units.is_sorted()
        {
            let ends = units.iter().skip(1).map(|u| u.1).chain([samples.len()]);
            let mut ranges: Vec<(u32, usize, usize)> = units
                .iter()
                .zip(ends)
                .map(|((unit, from), to)| (*unit, *from, to))
                .collect();
            ranges.sort_unstable();
            let ordered = ranges.iter().flat_map(|(_, a, b)| &samples[*a..*b]);
            *samples = ordered.copied().collect();
        }
    }
    (labels, all)
}

fn too_many(max: u64) -> QueryError {
    QueryError::Limit(format!(
        "the query would hold more than {max} samples in memory; narrow the selector or the time \
         range (exceeds the limit)"
    ))
}

fn totals_points(r: &RangeAggregation, sums: &[f64], counts: &[i64]) -> Vec<(u32, f64)> {
    let seconds = r.range as f64 / 1e9;
    let per_second = matches!(r.op, RangeOp::Rate | RangeOp::BytesRate);
    let (mut sum, mut count) = (0.0, 0);
    let mut out = Vec::new();
    for (k, (s, c)) in sums.iter().zip(counts).enumerate().take(sums.len() - 1) {
        sum += s;
        count += c;
        if count > 0 {
            let v = if per_second { sum / seconds } else { sum };
            out.push((k as u32, v));
        }
    }
    out
}

fn sample_points(
    r: &RangeAggregation,
    mut samples: Vec<(i64, f64)>,
    grid: &Grid,
) -> Vec<(u32, f64)> {
    samples.sort_by_key(|s| s.0);
    let times: Vec<i64> = samples.iter().map(|s| s.0).collect();
    let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
    let (mut low, mut high) = (0, 0);
    let mut out = Vec::new();
    for k in 0..grid.steps {
        let to = grid.at(k);
        let from = to.saturating_sub(r.range);
        while times.get(low).is_some_and(|t| *t <= from) {
            low += 1;
        }
        high = high.max(low);
        while times.get(high).is_some_and(|t| *t <= to) {
            high += 1;
        }
        if low < high {
            let window = Window {
                times: &times[low..high],
                values: &values[low..high],
                from,
                to,
            };
            out.push((k as u32, value(r.op, r.param, &window)));
        }
    }
    out
}

/// 1 at every step without entries, labelled by the equality matchers whose name is used once.
fn absent(r: &RangeAggregation, found: &[Series], steps: usize) -> Vec<Series> {
    let mut present = vec![false; steps];
    for (k, _) in found.iter().flat_map(|s| &s.points) {
        present[*k as usize] = true;
    }
    let matchers = &r.log.matchers;
    let pairs = matchers.iter().filter(|m| {
        matches!(m.op, MatchOp::Equal) && matchers.iter().filter(|o| o.name == m.name).count() == 1
    });
    let labels = Labels::from_pairs(pairs.map(|m| (m.name.as_str(), m.value.as_str())));
    let points: Vec<(u32, f64)> = present
        .iter()
        .enumerate()
        .filter(|(_, p)| !**p)
        .map(|(k, _)| (k as u32, 1.0))
        .collect();
    if points.is_empty() {
        return Vec::new();
    }
    vec![Series { labels, points }]
}
