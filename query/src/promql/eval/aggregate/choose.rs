//! topk, bottomk, limitk, limit_ratio: aggregations that keep some of the series.

use super::{Groups, ratio};
use crate::promql::ast::AggOp;
use crate::promql::eval::context::Context;
use crate::promql::eval::plan::AggNode;
use crate::promql::eval::series::{Grid, Scalar, Series, Steps};
use crate::promql::eval::{EResult, QueryError};
use crate::text::float;

impl Context<'_> {
    pub(in crate::promql::eval) fn choose(&self, a: &AggNode, grid: &Grid) -> EResult<Vec<Series>> {
        let param = match &a.param {
            Some(p) => self.scalar(p, grid)?,
            None => Scalar::Const(0.0),
        };
        let series = self.vector(&a.expr, grid)?;
        if !self.parameter_in_range(a, &param, grid)? {
            self.release_all(&series);
            return Ok(Vec::new());
        }
        let mut groups = Groups::new(a);
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (i, s) in series.iter().enumerate() {
            let g = groups.find(s.labels.byte_pairs());
            if g == members.len() {
                members.push(Vec::new());
            }
            members[g].push(i);
        }
        let offsets = a.op == AggOp::LimitRatio;
        let mut kept: Vec<Option<Steps>> = vec![None; series.len()];
        // In instant queries the order of choice is the order of the result.
        let mut order: Vec<usize> = Vec::new();
        for group in &members {
            for k in 0..grid.n {
                self.check()?;
                let chosen = if offsets {
                    let r = param.at(k).clamp(-1.0, 1.0);
                    let here = |i: &&usize| {
                        r != 0.0 && series[**i].steps.has(k) && ratio::keeps(r, &series[**i].labels)
                    };
                    group.iter().filter(here).copied().collect()
                } else {
                    let limit = (param.at(k) as i64).min(series.len() as i64);
                    let Ok(limit @ 1..) = usize::try_from(limit) else {
                        continue;
                    };
                    self.best(a, limit, group, &series, k)
                };
                for i in chosen {
                    if let Some(p) = series[i].steps.get(k) {
                        if kept[i].is_none() {
                            order.push(i);
                        }
                        kept[i].get_or_insert_with(|| Steps::new(grid.n)).put(k, p);
                    }
                }
            }
        }
        if !grid.is_instant() {
            order.sort_unstable();
        }
        self.release_all(&series);
        let mut series: Vec<Option<Series>> = series.into_iter().map(Some).collect();
        let mut out = Vec::with_capacity(order.len());
        for i in order {
            if let (Some(s), Some(steps)) = (series[i].take(), kept[i].take()) {
                out.push(Series { steps, ..s });
            }
        }
        self.charge_all(&out)?;
        Ok(out)
    }

    /// False when nothing is to be kept at any step.
    fn parameter_in_range(&self, a: &AggNode, param: &Scalar, grid: &Grid) -> EResult<bool> {
        let (mut low, mut high, mut nan) = (f64::MAX, f64::MIN, false);
        for k in 0..if matches!(param, Scalar::Const(_)) {
            1
        } else {
            grid.n
        } {
            let v = param.at(k);
            nan |= v.is_nan();
            low = low.min(v);
            high = high.max(v);
        }
        let fail = |text: String| Err(QueryError::Execution(text));
        if a.op == AggOp::LimitRatio {
            if low == 0.0 && high == 0.0 {
                return Ok(false);
            }
            if nan {
                return fail("Ratio value is NaN".to_owned());
            }
            for (v, cap) in [(high, 1.0), (low, -1.0)] {
                if v * cap > 1.0 {
                    let (v, cap) = (float::general(v), float::general(cap));
                    self.note(|n| {
                        n.warn(
                            a.param_span,
                            format_args!(
                                "ratio value should be between -1 and 1, got {v}, capping to {cap}"
                            ),
                        );
                    });
                }
            }
            return Ok(true);
        }
        if nan {
            return fail("Parameter value is NaN".to_owned());
        }
        if high < 1.0 {
            return Ok(false);
        }
        let edge = 9_223_372_036_854_775_807.0;
        if low <= -edge {
            return fail(format!(
                "Scalar value {} underflows int64",
                float::general(low)
            ));
        }
        if high >= edge {
            return fail(format!(
                "Scalar value {} overflows int64",
                float::general(high)
            ));
        }
        Ok(true)
    }

    /// The `limit` first (limitk), largest or smallest floats of a group at a step, best first.
    fn best(
        &self,
        a: &AggNode,
        limit: usize,
        group: &[usize],
        series: &[Series],
        k: usize,
    ) -> Vec<usize> {
        if a.op == AggOp::Limitk {
            return group
                .iter()
                .copied()
                .filter(|i| series[*i].steps.has(k))
                .take(limit)
                .collect();
        }
        let top = a.op == AggOp::Topk;
        let mut heap = Heap {
            items: Vec::new(),
            top,
        };
        for i in group {
            let steps = &series[*i].steps;
            if steps.hist(k).is_some() {
                self.note(|n| n.histogram_ignored(a.op.name(), a.span));
            } else if steps.mask.get(k) {
                heap.offer(limit, steps.vals[k], *i);
            }
        }
        heap.into_best_first()
    }
}

/// The best values so far with the worst of them at the root. The order among equal values is
/// that of a textbook binary heap, on which users of `topk(1, ...)` have come to rely.
struct Heap {
    items: Vec<(f64, usize)>,
    top: bool,
}

impl Heap {
    /// NaN is worse than everything.
    fn worse(&self, a: f64, b: f64) -> bool {
        a.is_nan() || if self.top { a < b } else { a > b }
    }

    fn offer(&mut self, limit: usize, v: f64, i: usize) {
        if self.items.len() < limit {
            self.items.push((v, i));
            let mut at = self.items.len() - 1;
            while at > 0 {
                let parent = (at - 1) / 2;
                if !self.worse(self.items[at].0, self.items[parent].0) {
                    break;
                }
                self.items.swap(at, parent);
                at = parent;
            }
            return;
        }
        let root = self.items[0].0;
        let better = if self.top { root < v } else { root > v };
        if better || (root.is_nan() && !v.is_nan()) {
            self.items[0] = (v, i);
            self.sink();
        }
    }

    fn sink(&mut self) {
        let n = self.items.len();
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= n {
                break;
            }
            let mut child = left;
            if left + 1 < n && self.worse(self.items[left + 1].0, self.items[left].0) {
                child = left + 1;
            }
            if !self.worse(self.items[child].0, self.items[at].0) {
                break;
            }
            self.items.swap(at, child);
            at = child;
        }
    }

    fn into_best_first(mut self) -> Vec<usize> {
        let top = self.top;
        self.items.sort_by(|a, b| {
            let order = if top {
                b.0.partial_cmp(&a.0)
            } else {
                a.0.partial_cmp(&b.0)
            };
            order.unwrap_or_else(|| a.0.is_nan().cmp(&b.0.is_nan()))
        });
        self.items.into_iter().map(|(_, i)| i).collect()
    }
}
