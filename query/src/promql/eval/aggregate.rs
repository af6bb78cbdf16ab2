//! Aggregations. Those that fold take series as they are scanned; those that choose among series
//! see all of them.

mod choose;
mod fold;
mod ratio;

use engine::model::{Labels, METRIC_NAME};
use hashbrown::HashMap;

use super::EResult;
use super::context::{Context, merge_same_labels};
use super::plan::AggNode;
use super::series::{Grid, Scalar, Series};
use super::stream::Item;
use crate::promql::ast::AggOp;
use crate::text::quote::{is_label_name, quote};
use fold::Fold;

/// Groups of an aggregation by the labels they keep.
pub(super) struct Groups<'a> {
    node: &'a AggNode,
    index: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    labels: Vec<Labels>,
    key: Vec<u8>,
}

impl<'a> Groups<'a> {
    fn new(node: &'a AggNode) -> Self {
        Self {
            node,
            index: HashMap::default(),
            labels: Vec::new(),
            key: Vec::new(),
        }
    }

    fn keeps(node: &AggNode, name: &[u8]) -> bool {
        let listed = node.grouping.iter().any(|g| g.as_bytes() == name);
        if node.without {
            !listed && name != METRIC_NAME.as_bytes()
        } else {
            listed
        }
    }

    /// The group of a label set given as pairs in name order. Cost: a pass over the pairs.
    fn find<'l>(&mut self, pairs: impl Iterator<Item = (&'l [u8], &'l [u8])> + Clone) -> usize {
        let node = self.node;
        if !node.without && node.grouping.is_empty() {
            if self.labels.is_empty() {
                self.labels.push(Labels::empty());
            }
            return 0;
        }
        self.key.clear();
        let mut missing = node.grouping.len();
        for (n, v) in pairs.clone() {
            if !Self::keeps(node, n) {
                continue;
            }
            // Lengths make the packing unambiguous.
            self.key.extend_from_slice(&(n.len() as u32).to_le_bytes());
            self.key.extend_from_slice(&(v.len() as u32).to_le_bytes());
            self.key.extend_from_slice(n);
            self.key.extend_from_slice(v);
            missing -= usize::from(!node.without);
            if missing == 0 && !node.without {
                break;
            }
        }
        if let Some(g) = self.index.get(self.key.as_slice()) {
            return *g;
        }
        let text = |b: &'l [u8]| std::str::from_utf8(b).unwrap_or("");
        let kept: Vec<(&str, &str)> = pairs
            .filter(|(n, _)| Self::keeps(node, n))
            .map(|(n, v)| (text(n), text(v)))
            .collect();
        self.labels.push(Labels::from_sorted(&kept));
        let g = self.labels.len() - 1;
        self.index.insert(self.key.clone().into_boxed_slice(), g);
        g
    }
}

impl Context<'_> {
    pub(super) fn aggregate(&self, a: &AggNode, grid: &Grid) -> EResult<Vec<Series>> {
        match a.op {
            AggOp::Topk | AggOp::Bottomk | AggOp::Limitk | AggOp::LimitRatio => {
                self.choose(a, grid)
            }
            AggOp::CountValues => self.count_values(a, grid),
            _ => self.fold(a, grid),
        }
    }

    fn fold(&self, a: &AggNode, grid: &Grid) -> EResult<Vec<Series>> {
        let param = match &a.param {
            Some(p) => {
                let q = self.scalar(p, grid)?;
                self.check_quantile_parameter(&q, a, grid);
                Some(q)
            }
            None => None,
        };
        let mut groups = Groups::new(a);
        let mut folds: Vec<Fold> = Vec::new();
        let mut held = 0usize;
        self.stream_unique(&a.expr, grid, &mut |item: Item<'_>| {
            let g = groups.find(item.visible_labels());
            if g == folds.len() {
                folds.push(Fold::new(a.op, grid.n));
                self.charge(grid.n)?;
                held += grid.n;
            }
            let kept = folds[g].add(&item, a, self);
            if kept > 0 {
                self.charge(kept)?;
                held += kept;
            }
            Ok(())
        })?;
        let mut out = Vec::with_capacity(folds.len());
        for (fold, labels) in folds.into_iter().zip(groups.labels) {
            self.check()?;
            let drop_name = fold.drop_name;
            let steps = fold.finish(a, param.as_ref(), self);
            if steps.any() {
                out.push(Series {
                    labels,
                    drop_name,
                    steps,
                });
            }
        }
        self.release(held);
        self.charge_all(&out)?;
        Ok(out)
    }

    fn check_quantile_parameter(&self, q: &Scalar, a: &AggNode, grid: &Grid) {
        let all = (0..if matches!(q, Scalar::Const(_)) {
            1
        } else {
            grid.n
        })
            .map(|k| q.at(k));
        let (mut low, mut high, mut nan) = (f64::MAX, f64::MIN, false);
        for v in all {
            nan |= v.is_nan();
            low = low.min(v);
            high = high.max(v);
        }
        let span = a.param_span;
        self.note(|n| {
            if nan {
                n.invalid_quantile(f64::NAN, span);
            }
            if high > 1.0 {
                n.invalid_quantile(high, span);
            }
            if low < 0.0 {
                n.invalid_quantile(low, span);
            }
        });
    }

    /// One series per group and value, counting how many samples have it.
    fn count_values(&self, a: &AggNode, grid: &Grid) -> EResult<Vec<Series>> {
        use super::plan::Node;
        use super::series::Point;
        let Some(Node::Str(label)) = &a.param else {
            return Err(super::QueryError::Execution("expected a string".to_owned()));
        };
        if !is_label_name(label) {
            return Err(super::QueryError::Execution(format!(
                "invalid label name {}",
                quote(label)
            )));
        }
        let series = self.vector(&a.expr, grid)?;
        let mut node = AggNode {
            expr: Node::Number(0.0),
            param: None,
            grouping: a.grouping.clone(),
            ..*a
        };
        if !a.without {
            node.grouping.push(label.clone());
            node.grouping.sort_unstable();
        }
        let mut groups = Groups::new(&node);
        let mut out: Vec<Series> = Vec::new();
        for s in &series {
            self.check()?;
            let mut last: Option<(u64, usize)> = None;
            for k in 0..grid.n {
                let Some(p) = s.steps.get(k) else { continue };
                let text = match &p {
                    Point::Float(v) => match last {
                        Some((bits, g)) if bits == v.to_bits() => {
                            bump(&mut out[g], k);
                            continue;
                        }
                        _ => crate::text::float::plain(*v),
                    },
                    Point::Hist(h) => crate::promql::histogram::to_text(h),
                };
                self.charge_label(text.len())?;
                let labels = s.labels.with(label, &text);
                let g = groups.find(labels.byte_pairs());
                if g == out.len() {
                    let steps = super::series::Steps::new(grid.n);
                    out.push(Series {
                        labels: groups.labels[g].clone(),
                        drop_name: false,
                        steps,
                    });
                }
                bump(&mut out[g], k);
                if let Point::Float(v) = p {
                    last = Some((v.to_bits(), g));
                }
            }
        }
        self.release_all(&series);
        self.charge_all(&out)?;
        merge_same_labels(out)
    }
}

fn bump(s: &mut Series, k: usize) {
    let v = if s.steps.mask.get(k) {
        s.steps.vals[k]
    } else {
        0.0
    };
    s.steps.set(k, v + 1.0);
}
