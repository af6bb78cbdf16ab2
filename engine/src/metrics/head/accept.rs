//! What is taken: Prometheus' rules for samples, limits and rules for labels.
//!
//! Owns: verdicts. Knows nothing of: where samples are kept; it is told the newest ones.

use super::Index;
use crate::metrics::api::RejectReason;
use crate::model::{InvalidLabels, METRIC_NAME};

/// How far ahead of the wall clock samples may be, ms (Prometheus' ten minutes).
pub(super) const FUTURE_MS: i64 = 10 * 60 * 1000;

/// Configured limits; 0 means none.
#[derive(Debug, Clone, Copy)]
pub(in crate::metrics) struct Limits {
    /// Series in the head of one tenant.
    pub(in crate::metrics) series: u64,
    /// Labels of a series.
    pub(in crate::metrics) labels: usize,
    /// Bytes of a label name.
    pub(in crate::metrics) name_bytes: usize,
    /// Bytes of a label value.
    pub(in crate::metrics) value_bytes: usize,
    /// How far behind the newest sample out-of-order samples are taken, ms.
    pub(in crate::metrics) out_of_order_ms: i64,
    /// Half of a block's range: how far behind in-order samples of new series may be.
    pub(in crate::metrics) half_block_ms: i64,
}

/// What the acceptance rules say about a sample.
pub(super) enum Verdict {
    InOrder,
    /// Stored already, to the bit.
    Same,
    OutOfOrder,
    Refused(RejectReason),
}

/// Bounds of one append.
pub(super) struct Bounds {
    pub(super) max_t: i64,
    pub(super) min_valid: i64,
    pub(super) window: i64,
    pub(super) future: i64,
}

impl Bounds {
    /// Prometheus' rules; `same` tells whether the newest point equals the new one.
    pub(super) fn judge(
        &self,
        last: i64,
        t: i64,
        same: impl FnOnce() -> Option<RejectReason>,
    ) -> Verdict {
        if t > self.future {
            return Verdict::Refused(RejectReason::TooFarInFuture);
        }
        if t >= self.min_valid {
            if t > last {
                return Verdict::InOrder;
            }
            if t == last {
                return same().map_or(Verdict::Same, Verdict::Refused);
            }
        }
        if self.window > 0 && t >= self.max_t.saturating_sub(self.window) {
            return Verdict::OutOfOrder;
        }
        Verdict::Refused(if self.window > 0 {
            RejectReason::TooOld
        } else if t < self.min_valid {
            RejectReason::OutOfBounds
        } else {
            RejectReason::OutOfOrder
        })
    }
}

/// Sorts by name, drops empty values, refuses what Prometheus refuses.
pub(super) fn canonical(pairs: &mut Vec<(&str, &str)>) -> Result<(), InvalidLabels> {
    if !pairs.windows(2).all(|w| w[0].0 < w[1].0) {
        pairs.sort_by(|a, b| a.0.cmp(b.0));
        if let Some(w) = pairs.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(InvalidLabels::Duplicate(w[0].0.to_owned()));
        }
    }
    pairs.retain(|p| !p.1.is_empty());
    if !pairs.iter().any(|p| p.0 == METRIC_NAME) {
        return Err(InvalidLabels::NoMetricName);
    }
    if pairs.iter().any(|p| p.0.is_empty()) {
        return Err(InvalidLabels::EmptyName);
    }
    Ok(())
}

pub(super) fn check_limits(pairs: &[(&str, &str)], limits: &Limits) -> Result<(), RejectReason> {
    let over = |limit: usize, n: usize| limit > 0 && n > limit;
    if over(limits.labels, pairs.len()) || pairs.len() > usize::from(u16::MAX) {
        return Err(RejectReason::Limit(format!(
            "{} labels exceed the limit of {} labels per series",
            pairs.len(),
            limits.labels
        )));
    }
    for (n, v) in pairs {
        if over(limits.name_bytes, n.len()) {
            let start: String = n.chars().take(64).collect();
            return Err(RejectReason::Limit(format!(
                "name of label {start:?}... has {} bytes, more than the limit of {}",
                n.len(),
                limits.name_bytes
            )));
        }
        if over(limits.value_bytes, v.len()) {
            return Err(RejectReason::Limit(format!(
                "value of label {n:?} has {} bytes, more than the limit of {}",
                v.len(),
                limits.value_bytes
            )));
        }
    }
    Ok(())
}

/// The label of the series with the most distinct values in the head.
pub(super) fn widest_label<'a>(idx: &Index, pairs: &[(&'a str, &str)]) -> &'a str {
    let values = |n: &str| idx.table.value_count(n);
    pairs
        .iter()
        .map(|p| p.0)
        .max_by_key(|n| values(n))
        .unwrap_or("")
}
