//! Range aggregations: one scan, then windows over the grid.

use std::ops::ControlFlow;

use engine::logs::{Direction, ScanOptions};
use engine::model::{Labels, MatchOp};

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
    /// Every sample.
    Samples(Vec<(i64, f64)>),
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
    let mut table = SeriesTable::new();
    let mut kept: Vec<Kept> = Vec::new();
    let mut held = 0u64;
    let steps = grid.steps as usize;
    let options = ScanOptions {
        direction: Direction::Forward,
        test: extractor.test(),
        want: extractor.wanted(),
        metadata: extractor.metadata(),
        threads: super::scan_threads(),
        cancel: Some(control.cancel),
        stats: Some(control.stats),
    };
    let mut failed = None;
    set.scan(&options, &mut |batch| {
        let mut sampler = Sampler::new(&extractor, &control.around);
        let mut entry = sampler.entry();
        let done = control.check().and_then(|()| {
            sampler.batch(
                batch,
                &|i| set.labels(i).clone(),
                &mut table,
                &mut entry,
                &|t| grid.window_steps(t, r.range).is_some(),
                &mut |series, t, v| {
                    let at = series as usize;
                    while kept.len() <= at {
                        held += if totals { grid.steps } else { 0 };
                        kept.push(if totals {
                            Kept::Totals(vec![0.0; steps + 1], vec![0; steps + 1])
                        } else {
                            Kept::Samples(Vec::new())
                        });
                    }
                    let Some((first, last)) = grid.window_steps(t, r.range) else {
                        return Ok(());
                    };
                    match &mut kept[at] {
                        Kept::Totals(sums, counts) => {
                            sums[first as usize] += v;
                            sums[last as usize + 1] -= v;
                            counts[first as usize] += 1;
                            counts[last as usize + 1] -= 1;
                        }
                        Kept::Samples(s) => {
                            held += 1;
                            s.push((t, v));
                        }
                    }
                    if control.limits.samples_max > 0 && held > control.limits.samples_max {
                        return Err(too_many(control.limits.samples_max));
                    }
                    Ok(())
                },
            )
        });
        match done {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(e) = failed {
        return Err(e);
    }
    let mut out = Vec::with_capacity(kept.len());
    for (labels, kept) in table.labels.into_iter().zip(kept) {
        control.check()?;
        let points = match kept {
            Kept::Totals(sums, counts) => totals_points(r, &sums, &counts),
            Kept::Samples(samples) => sample_points(r, samples, &grid),
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
