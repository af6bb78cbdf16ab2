//! Aggregations: groups, then one value per group or a choice among its elements.

use std::rc::Rc;

use engine::model::Labels;
use query::promql::ast::{AggOp, Aggregate, Expr};

use super::{El, Hist, Oracle, Res, Val, fail};

/// Neumaier's compensated sum.
pub fn sum(values: &[f64]) -> f64 {
    let (mut s, mut c) = (0.0f64, 0.0f64);
    for v in values {
        let t = s + v;
        if t.is_infinite() {
            c = 0.0;
        } else if s.abs() >= v.abs() {
            c += (s - t) + v;
        } else {
            c += (v - t) + s;
        }
        s = t;
    }
    s + c
}

/// The arithmetic mean, also where the sum overflows.
pub fn mean(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let s = sum(values);
    if s.is_infinite() && values.iter().all(|v| v.is_finite()) {
        return values.iter().map(|v| v / n).sum();
    }
    s / n
}

/// Population variance around the mean.
pub fn variance(values: &[f64]) -> f64 {
    let m = mean(values);
    let squares: Vec<f64> = values.iter().map(|v| (v - m) * (v - m)).collect();
    sum(&squares) / values.len() as f64
}

/// Between the two nearest ranks; NaN sorts lowest.
pub fn quantile(q: f64, values: &[f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let mut v = values.to_vec();
    v.sort_by(|a, b| a.partial_cmp(b).unwrap_or(b.is_nan().cmp(&a.is_nan())));
    let rank = q * (v.len() - 1) as f64;
    let (low, high) = (
        rank.floor() as usize,
        (rank.floor() as usize + 1).min(v.len() - 1),
    );
    let part = rank - rank.floor();
    v[low] * (1.0 - part) + v[high] * part
}

/// Numbers win over NaN.
pub fn extreme(values: &[f64], max: bool) -> f64 {
    let mut best = f64::NAN;
    for v in values {
        if best.is_nan() || (max && *v > best) || (!max && *v < best) {
            best = *v;
        }
    }
    best
}

/// Sum or mean of histograms; `None` when they cannot be added.
pub fn merge(hists: &[Rc<Hist>], average: bool) -> Option<Hist> {
    let (first, rest) = hists.split_first()?;
    let mut h = (**first).clone();
    for other in rest {
        h = h.plus(other, 1.0).ok()?;
    }
    Some(if average {
        h.over(hists.len() as f64)
    } else {
        h
    })
}

struct Group {
    labels: Labels,
    members: Vec<El>,
}

fn floats(members: &[El]) -> Vec<f64> {
    members.iter().filter_map(|e| e.v.float()).collect()
}

impl Oracle<'_> {
    pub(super) fn aggregate(&self, a: &Aggregate, t: i64) -> Res<Vec<El>> {
        let kept = |l: &Labels| {
            l.filter(|n| {
                let listed = a.grouping.iter().any(|g| g == n);
                if a.without {
                    !listed && n != "__name__"
                } else {
                    listed
                }
            })
        };
        let param = match (&a.param, a.op) {
            (Some(p), AggOp::CountValues) => {
                let label = self.text(p, t)?;
                return self.count_values(a, &label, t);
            }
            (Some(p), _) => self.scalar(p, t)?,
            (None, _) => f64::NAN,
        };
        let input = self.vector(&a.expr, t)?;
        let mut groups: Vec<Group> = Vec::new();
        for e in input {
            let labels = kept(&e.labels);
            match groups.iter_mut().find(|g| g.labels == labels) {
                Some(g) => g.members.push(e),
                None => groups.push(Group {
                    labels,
                    members: vec![e],
                }),
            }
        }
        let choice = matches!(
            a.op,
            AggOp::Topk | AggOp::Bottomk | AggOp::Limitk | AggOp::LimitRatio
        );
        if choice {
            return self.choose(a, param, groups);
        }
        Ok(groups
            .into_iter()
            .filter_map(|g| {
                let v = self.fold(a.op, param, &g.members)?;
                Some(El {
                    labels: g.labels,
                    v,
                })
            })
            .collect())
    }

    fn fold(&self, op: AggOp, q: f64, members: &[El]) -> Option<Val> {
        let f = floats(members);
        if matches!(op, AggOp::Sum | AggOp::Avg) {
            let hists: Vec<Rc<Hist>> = members.iter().filter_map(|e| e.v.hist().cloned()).collect();
            if !hists.is_empty() {
                if !f.is_empty() {
                    return None;
                }
                if hists.len() > 1 && hists.iter().any(|h| h.count.is_nan()) {
                    // Which one the others are added to shows in what is not added: the zero bucket
                    // of custom buckets.
                    self.mark_open();
                }
                let mut h = merge(&hists, op == AggOp::Avg)?;
                h.gauge = hists.iter().any(|h| h.gauge);
                return Some(Val::H(Rc::new(h.compacted())));
            }
        }
        match op {
            AggOp::Count => return Some(Val::F(members.len() as f64)),
            AggOp::Group => return Some(Val::F(1.0)),
            _ if f.is_empty() => return None,
            _ => {}
        }
        if matches!(op, AggOp::Stddev | AggOp::Stdvar) {
            self.mark_narrow(&f);
        }
        Some(Val::F(match op {
            AggOp::Sum => sum(&f),
            AggOp::Avg => mean(&f),
            AggOp::Min => extreme(&f, false),
            AggOp::Max => extreme(&f, true),
            AggOp::Stddev => variance(&f).sqrt(),
            AggOp::Stdvar => variance(&f),
            AggOp::Quantile => quantile(q, &f),
            _ => return None,
        }))
    }

    fn choose(&self, a: &Aggregate, param: f64, groups: Vec<Group>) -> Res<Vec<El>> {
        if a.op == AggOp::LimitRatio {
            if param.is_nan() {
                return fail("Ratio value is NaN");
            }
            let all: Vec<El> = groups.into_iter().flat_map(|g| g.members).collect();
            if param == 0.0 {
                return Ok(Vec::new());
            }
            if param.abs() < 1.0 && !all.is_empty() {
                // Which share it is depends on a hash.
                self.mark_open();
            }
            return Ok(all);
        }
        if param.is_nan() {
            return fail("Parameter value is NaN");
        }
        if param < 1.0 {
            return Ok(Vec::new());
        }
        if param >= 9.3e18 {
            return fail("Scalar value overflows int64");
        }
        self.mark_close(param, param.round());
        let k = param as usize;
        let mut out = Vec::new();
        for mut g in groups {
            if a.op == AggOp::Limitk {
                if k < g.members.len() && !matches!(a.expr.unwrap_parens(), Expr::Vector(_)) {
                    self.mark_open();
                }
                g.members.sort_by(|x, y| x.labels.cmp(&y.labels));
                g.members.truncate(k);
                out.extend(g.members);
                continue;
            }
            let top = a.op == AggOp::Topk;
            let mut ranked: Vec<(f64, El)> = g
                .members
                .into_iter()
                .filter_map(|e| e.v.float().map(|v| (v, e)))
                .collect();
            ranked.sort_by(|(x, _), (y, _)| {
                let order = if top {
                    y.partial_cmp(x)
                } else {
                    x.partial_cmp(y)
                };
                order.unwrap_or(x.is_nan().cmp(&y.is_nan()))
            });
            if let (Some(last), Some(next)) = (ranked.get(k.wrapping_sub(1)), ranked.get(k)) {
                self.mark_close(last.0, next.0);
                if last.0 == next.0 || (last.0.is_nan() && next.0.is_nan()) {
                    self.mark_open();
                }
            }
            out.extend(ranked.into_iter().take(k).map(|(_, e)| e));
        }
        Ok(out)
    }

    fn count_values(&self, a: &Aggregate, label: &str, t: i64) -> Res<Vec<El>> {
        let mut out: Vec<El> = Vec::new();
        for e in self.vector(&a.expr, t)? {
            let Val::F(v) = e.v else {
                // The text of a histogram is checked elsewhere.
                self.mark_open();
                continue;
            };
            if v.is_finite() && (v * 8.0).fract() != 0.0 {
                // Printed in full it turns on its last bit.
                self.mark_open();
            }
            let text = if v.is_nan() {
                "NaN".to_owned()
            } else if v.is_infinite() {
                if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
            } else {
                format!("{v}")
            };
            let with = e.labels.with(label, &text);
            let labels = with.filter(|n| {
                let listed = a.grouping.iter().any(|g| g == n);
                if a.without {
                    !listed && n != "__name__"
                } else {
                    listed || n == label
                }
            });
            match out.iter_mut().find(|o| o.labels == labels) {
                Some(o) => {
                    if let Val::F(n) = &mut o.v {
                        *n += 1.0;
                    }
                }
                None => out.push(El {
                    labels,
                    v: Val::F(1.0),
                }),
            }
        }
        Ok(out)
    }
}
