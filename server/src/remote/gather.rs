//! From the store to series that are ready to be sent, slice by slice.
//!
//! A window is walked metric by metric in the order of names. Nothing of the store is held
//! between slices: sending one may take as long as the other side is away, and compaction must
//! not wait for that.

use std::collections::HashMap;
use std::ops::ControlFlow;

use engine::metrics::{Db, SelectError, Selection, StoredColumn};
use engine::model::{
    Exemplar, HistogramPoint, Labels, METRIC_NAME, Matcher, Sample, SeriesKey, TenantId,
};

use super::batch::Series;
use super::place::Marks;
use crate::relabel::Relabel;

/// A slice is full with so many points...
const SLICE_POINTS: usize = 100_000;
/// ... or so many series.
const SLICE_SERIES: usize = 10_000;
/// Series that are decoded at once; a slice may be too large by what they have.
const SCAN_SERIES: usize = 500;

/// What becomes of a series on its way out.
#[derive(Default)]
pub(super) struct Rules {
    /// Labels of this server, for series that do not have them.
    pub(super) external: Vec<(String, String)>,
    /// Rules of the destination.
    pub(super) relabel: Relabel,
    /// Whether native histograms are sent.
    pub(super) histograms: bool,
    /// Whether exemplars are sent.
    pub(super) exemplars: bool,
}

impl Rules {
    /// The labels that are sent; none when the series is dropped.
    pub(super) fn labels(&self, own: &Labels) -> Option<Labels> {
        let mut b = own.to_builder();
        for (name, value) in &self.external {
            if b.get(name).is_none() {
                b.set(name, value);
            }
        }
        let kept = self.relabel.apply(&mut b).then(|| b.build())?;
        // Nobody takes a series without labels.
        (!kept.is_empty()).then_some(kept)
    }
}

/// The times of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Nothing up to here is looked at...
    pub(super) floor: i64,
    /// ... except for series with news of which nothing was sent since then: they may have older
    /// news too, which must leave first. This is how far back is looked for it.
    pub(super) far: i64,
    /// Where series begin of which nothing was sent.
    pub(super) base: i64,
    /// The newest timestamp, inclusive.
    pub(super) to: i64,
    /// Points up to here are too old to be sent.
    pub(super) too_old: i64,
}

impl Window {
    /// Points of a series up to the result are settled.
    pub(super) fn after(&self, mark: Option<i64>) -> i64 {
        self.floor.max(mark.unwrap_or(self.base))
    }
}

/// Some series of a window.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// What is to be sent.
    pub(super) series: Vec<Series>,
    /// Marks of series of which nothing is sent.
    pub(super) settled: Vec<(SeriesKey, i64)>,
    /// Points in `series`.
    pub(super) points: usize,
    /// Points of series that a rule dropped.
    pub(super) dropped: u64,
    /// Points that were too old.
    pub(super) too_old: u64,
}

impl Slice {
    fn is_full(&self) -> bool {
        self.points >= SLICE_POINTS || self.series.len() + self.settled.len() >= SLICE_SERIES
    }

    fn is_empty(&self) -> bool {
        self.series.is_empty() && self.settled.is_empty()
    }
}

/// A walk through a window.
pub(super) struct Gather {
    window: Window,
    /// Metrics to come, the next one last.
    names: Vec<String>,
    /// Series of the next metric up to here are done.
    after: Option<Labels>,
}

impl Gather {
    /// Starts the walk.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn new(db: &Db, window: Window) -> Result<Self, SelectError> {
        let from = window.floor.saturating_add(1);
        let mut names = db.label_values(TenantId::DEFAULT, METRIC_NAME, &[], from, window.to)?;
        names.reverse();
        Ok(Self {
            window,
            names,
            after: None,
        })
    }

    /// The next slice; none at the end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn next(
        &mut self,
        db: &Db,
        rules: &Rules,
        marks: &Marks,
    ) -> Result<Option<Slice>, SelectError> {
        let mut slice = Slice::default();
        let (from, to) = (self.window.floor.saturating_add(1), self.window.to);
        while let Some(name) = self.names.last() {
            let matchers = [Matcher::equal(METRIC_NAME, name.as_str())];
            let found = db.select(TenantId::DEFAULT, &matchers, from, to)?;
            let exemplars = if rules.exemplars && !found.is_empty() {
                let all = db.exemplars(TenantId::DEFAULT, &[matchers.to_vec()], from, to);
                all.into_iter().map(|e| (e.series, e.exemplars)).collect()
            } else {
                HashMap::new()
            };
            let exemplars_of = |l: &Labels| exemplars.get(l).map_or(&[][..], Vec::as_slice);
            let mut gaps = Vec::new();
            let mut at = self.after.take().map_or(0, |l| first_after(&found, &l));
            while at < found.len() && !slice.is_full() {
                let end = found.len().min(at + SCAN_SERIES);
                found.scan_stored(at..end, &mut |i, column| {
                    let labels = &found.labels(i);
                    let key = db.key_of(labels);
                    let after = self.window.after(marks.get(&key).copied());
                    let gap = after == self.window.floor && self.window.far < after;
                    if gap {
                        gaps.push((key, labels.clone()));
                    } else {
                        let series = (key, labels, exemplars_of(labels));
                        self.window.take(&mut slice, rules, series, &column, after);
                    }
                    ControlFlow::Continue(())
                })?;
                at = end;
            }
            if !gaps.is_empty() {
                let window = Window {
                    floor: self.window.far,
                    ..self.window
                };
                let from = window.floor.saturating_add(1);
                let older = db.select(TenantId::DEFAULT, &matchers, from, to)?;
                for (key, labels) in gaps {
                    let i = first_after(&older, &labels).saturating_sub(1);
                    let after = window.after(marks.get(&key).copied());
                    older.scan_stored(i..older.len().min(i + 1), &mut |i, column| {
                        // A series may have been deleted in between.
                        if older.labels(i) == labels {
                            let series = (key, &labels, exemplars_of(&labels));
                            window.take(&mut slice, rules, series, &column, after);
                        }
                        ControlFlow::Continue(())
                    })?;
                }
            }
            if at < found.len() {
                self.after = Some(found.labels(at - 1));
                break;
            }
            self.names.pop();
            if slice.is_full() {
                break;
            }
        }
        Ok((!slice.is_empty() || !self.names.is_empty()).then_some(slice))
    }
}

/// Index of the first series behind `labels`.
fn first_after(found: &Selection, labels: &Labels) -> usize {
    let (mut low, mut high) = (0, found.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if found.labels(middle) <= *labels {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

impl Window {
    /// Adds what `column` has after `after` to `slice`.
    pub(super) fn take(
        &self,
        slice: &mut Slice,
        rules: &Rules,
        (key, labels, exemplars): (SeriesKey, &Labels, &[Exemplar]),
        column: &StoredColumn<'_>,
        after: i64,
    ) {
        let first = column.ts.partition_point(|t| *t <= after);
        let end = column.ts.partition_point(|t| *t <= self.to);
        let fresh = |h: &&HistogramPoint| h.t > after && h.t <= self.to;
        let histograms = || column.histograms.iter().filter(fresh);
        let newest_float = column.ts[first..end].last().copied();
        let Some(newest) = histograms().map(|h| h.t).chain(newest_float).max() else {
            return;
        };
        let sent_histograms = rules.histograms;
        let points = (end - first)
            + if sent_histograms {
                histograms().count()
            } else {
                0
            };
        let Some(labels) = rules.labels(labels) else {
            slice.dropped += points as u64;
            slice.settled.push((key, newest));
            return;
        };
        let young = first
            .max(column.ts.partition_point(|t| *t <= self.too_old))
            .min(end);
        let mut out = Series {
            key,
            labels,
            samples: column.ts[young..end]
                .iter()
                .zip(&column.values[young..end])
                .map(|(t, v)| Sample { t: *t, v: *v })
                .collect(),
            start_ts: column.start_ts.get(young..end).unwrap_or(&[]).to_vec(),
            histograms: Vec::new(),
            exemplars: exemplars
                .iter()
                .filter(|e| e.t > after && e.t <= newest && e.t > self.too_old)
                .cloned()
                .collect(),
        };
        if sent_histograms {
            let young = histograms().filter(|h| h.t > self.too_old);
            out.histograms.extend(young.cloned());
        }
        slice.too_old += (points - out.points()) as u64;
        if out.points() == 0 {
            slice.settled.push((key, newest));
        } else {
            slice.points += out.points();
            slice.series.push(out);
        }
    }
}
