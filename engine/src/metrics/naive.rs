//! The store as simple as it can be: a map from labels to points, in memory.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use parking_lot::RwLock;

use super::api::*;
use crate::model::{
    Column, Histogram, HistogramSample, Labels, LabelsSource, METRIC_NAME, Matcher, SeriesKey,
    TenantId, WriteBatch,
};

type Series = BTreeMap<i64, (f64, Option<Histogram>)>;

/// The metric store.
#[derive(Default)]
pub struct Db {
    series: RwLock<BTreeMap<(TenantId, Labels), Series>>,
}

impl Db {
    /// An empty store in memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Key for [`SeriesKey::of_bytes`]; random per data directory.
    #[must_use]
    pub fn key_secret(&self) -> u64 {
        0
    }

    /// Stores a batch. Returns as soon as it is visible; it is durable after
    /// [`Db::wait_durable`] of the returned position.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing is stored then.
    pub fn append(
        &self,
        tenant: TenantId,
        batch: &WriteBatch,
        labels: &dyn LabelsSource,
        _opts: &AppendOptions,
    ) -> Result<Appended, AppendError> {
        let mut out = Appended::default();
        let mut db = self.series.write();
        for (i, s) in batch.series.iter().enumerate() {
            let mut pairs = Vec::new();
            if let Err(e) = labels.collect(s.labels, &mut pairs) {
                out.rejected.push(Rejection {
                    series: i,
                    labels: Labels::empty(),
                    t: 0,
                    reason: RejectReason::InvalidLabels(e.0),
                });
                continue;
            }
            let l = Labels::from_pairs(pairs);
            if l.get(METRIC_NAME).is_none() {
                continue;
            }
            let points = db.entry((tenant, l)).or_default();
            for p in batch.samples_of(s) {
                points.entry(p.t).or_insert((p.v, None));
                out.samples += 1;
            }
            for h in batch.extra_of(s).map_or(&[][..], |e| &e.histograms) {
                points.entry(h.t).or_insert((0.0, Some(h.h.clone())));
                out.histograms += 1;
            }
        }
        Ok(out)
    }

    /// Blocks until everything up to `position` is durable.
    ///
    /// # Errors
    /// When the log failed: nothing after the last success is durable.
    pub fn wait_durable(&self, _position: Position) -> Result<(), AppendError> {
        Ok(())
    }

    /// Calls `done` once everything up to `position` is durable, from another thread or at once.
    pub fn on_durable(
        &self,
        _position: Position,
        done: Box<dyn FnOnce(Result<(), AppendError>) + Send>,
    ) {
        done(Ok(()));
    }

    /// Series that match all matchers and may have points in `[min_t, max_t]`, in label order.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn select(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
    ) -> Result<Selection, SelectError> {
        let db = self.series.read();
        let series = db
            .iter()
            .filter(|((t, l), _)| *t == tenant && Matcher::all_match(matchers, l))
            .filter(|(_, p)| p.range(min_t..=max_t).next().is_some())
            .map(|((_, l), p)| {
                (
                    l.clone(),
                    p.range(min_t..=max_t)
                        .map(|(t, v)| (*t, v.clone()))
                        .collect(),
                )
            })
            .collect();
        Ok(Selection { series })
    }

    /// Sorted label names of series that match any of `selectors` (all when empty).
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn label_names(
        &self,
        tenant: TenantId,
        selectors: &[Vec<Matcher>],
        _min_t: i64,
        _max_t: i64,
    ) -> Result<Vec<String>, SelectError> {
        let mut names: Vec<String> = Vec::new();
        for l in self.matching(tenant, selectors) {
            names.extend(l.iter().map(|(n, _)| n.to_owned()));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Sorted values of label `name` over series that match any of `selectors` (all when empty).
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn label_values(
        &self,
        tenant: TenantId,
        name: &str,
        selectors: &[Vec<Matcher>],
        _min_t: i64,
        _max_t: i64,
    ) -> Result<Vec<String>, SelectError> {
        let mut values: Vec<String> = self
            .matching(tenant, selectors)
            .iter()
            .filter_map(|l| l.get(name).map(str::to_owned))
            .collect();
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    /// Label sets of series that match any of `selectors`, sorted, without duplicates.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn series(
        &self,
        tenant: TenantId,
        selectors: &[Vec<Matcher>],
        _min_t: i64,
        _max_t: i64,
    ) -> Result<Vec<Labels>, SelectError> {
        Ok(self.matching(tenant, selectors))
    }

    /// Exemplars in `[min_t, max_t]` of series that match any of `selectors`.
    #[must_use]
    pub fn exemplars(
        &self,
        _tenant: TenantId,
        _selectors: &[Vec<Matcher>],
        _min_t: i64,
        _max_t: i64,
    ) -> Vec<SeriesExemplars> {
        Vec::new()
    }

    /// Makes points of matching series in `[min_t, max_t]` invisible at once (tombstones).
    ///
    /// # Errors
    /// When the tombstones cannot be made durable.
    pub fn delete_series(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
    ) -> Result<(), AppendError> {
        let mut db = self.series.write();
        for ((t, l), p) in db.iter_mut() {
            if *t == tenant && Matcher::all_match(matchers, l) {
                p.retain(|t, _| *t < min_t || *t > max_t);
            }
        }
        db.retain(|_, p| !p.is_empty());
        Ok(())
    }

    /// Rewrites blocks without deleted points.
    ///
    /// # Errors
    /// When a block cannot be rewritten.
    pub fn clean_tombstones(&self) -> Result<(), AppendError> {
        Ok(())
    }

    /// Writes a consistent copy below `snapshots/` of the data directory and gives its name.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub fn snapshot(&self, _skip_head: bool) -> Result<String, AppendError> {
        Err(AppendError::Closed)
    }

    /// Size and range of the head.
    #[must_use]
    pub fn head_stats(&self, _tenant: TenantId) -> HeadStats {
        HeadStats {
            min_t: i64::MAX,
            max_t: i64::MIN,
            ..HeadStats::default()
        }
    }

    /// The `limit` largest entries of each cardinality table.
    #[must_use]
    pub fn cardinality(&self, _tenant: TenantId, _limit: usize) -> CardinalityStats {
        CardinalityStats::default()
    }

    fn matching(&self, tenant: TenantId, selectors: &[Vec<Matcher>]) -> Vec<Labels> {
        let db = self.series.read();
        db.keys()
            .filter(|(t, l)| {
                *t == tenant
                    && (selectors.is_empty() || selectors.iter().any(|s| Matcher::all_match(s, l)))
            })
            .map(|(_, l)| l.clone())
            .collect()
    }

    /// Key of a parsed label set.
    #[must_use]
    pub fn key_of(&self, labels: &Labels) -> SeriesKey {
        SeriesKey::of_labels(self.key_secret(), labels)
    }
}

/// The series of one select, in label order, with their points still encoded.
pub struct Selection {
    series: Vec<(Labels, Vec<(i64, (f64, Option<Histogram>))>)>,
}

impl Selection {
    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// True when nothing matched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Labels of series `i`.
    #[must_use]
    pub fn labels(&self, i: usize) -> &Labels {
        &self.series[i].0
    }

    /// Decodes the series in `range` and hands their columns to `visit`, in an order that keeps
    /// series with shared timestamps together (not necessarily ascending). `visit` stops the scan
    /// with `Break`. May be called from several threads at once for disjoint ranges.
    ///
    /// # Errors
    /// See [`SelectError`].
    pub fn scan(
        &self,
        range: Range<usize>,
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        for i in range {
            let points = &self.series[i].1;
            let floats = points.iter().filter(|(_, (_, h))| h.is_none());
            let ts: Arc<[i64]> = floats.clone().map(|(t, _)| *t).collect();
            let values: Vec<f64> = floats.map(|(_, (v, _))| *v).collect();
            let histograms: Vec<HistogramSample> = points
                .iter()
                .filter_map(|(t, (_, h))| {
                    h.as_ref().map(|h| HistogramSample {
                        t: *t,
                        start_t: 0,
                        h: Arc::new(h.to_float()),
                    })
                })
                .collect();
            let col = Column {
                ts: &ts,
                values: &values,
                start_ts: &[],
                histograms: &histograms,
            };
            if visit(i, col).is_break() {
                break;
            }
        }
        Ok(())
    }
}
