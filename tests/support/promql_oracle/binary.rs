//! Binary operators: scalars, vectors with scalars, joins, set operators.

use std::rc::Rc;

use engine::model::Labels;
use query::promql::ast::{BinOp, Binary, Cardinality, Matching};

use super::{El, Oracle, Out, Res, Val, fail, is_metadata, stripped, unique};

/// The labels on which series meet.
fn signature(l: &Labels, m: &Matching) -> Labels {
    l.filter(|n| {
        let listed = m.labels.iter().any(|x| x == n);
        if m.on {
            listed
        } else {
            !listed && n != "__name__"
        }
    })
}

/// The outcome of an operator on two elements: the value, and whether a filter lets it pass.
/// `None` when the two cannot be combined.
type Pair = Option<(Val, bool)>;

impl Oracle<'_> {
    fn number(&self, op: BinOp, a: f64, b: f64) -> f64 {
        match op {
            BinOp::Add => a + b,
            BinOp::Sub => a - b,
            BinOp::Mul => a * b,
            BinOp::Div => a / b,
            BinOp::Mod => {
                // Near a multiple the remainder jumps.
                let turns = a / b;
                if turns.fract() != 0.0 {
                    self.mark_close(turns, turns.round());
                }
                // After so many turns the last digits of the dividend decide.
                if turns.is_finite() && turns.abs() > 1e6 {
                    self.mark_open();
                }
                a % b
            }
            BinOp::Pow => a.powf(b),
            BinOp::Atan2 => a.atan2(b),
            _ => f64::NAN,
        }
    }

    fn holds(&self, op: BinOp, a: f64, b: f64) -> bool {
        self.mark_close(a, b);
        match op {
            BinOp::Eq => a == b,
            BinOp::Ne => a != b,
            BinOp::Lt => a < b,
            BinOp::Le => a <= b,
            BinOp::Gt => a > b,
            BinOp::Ge => a >= b,
            _ => false,
        }
    }

    fn pair(&self, op: BinOp, l: &Val, r: &Val) -> Pair {
        let of = |h: super::Hist| Some((Val::H(Rc::new(h)), true));
        match (l, r) {
            (Val::F(a), Val::F(b)) => match op {
                BinOp::TrimUpper | BinOp::TrimLower => None,
                _ if op.is_comparison() => Some((l.clone(), self.holds(op, *a, *b))),
                _ => Some((Val::F(self.number(op, *a, *b)), true)),
            },
            (Val::F(f), Val::H(h)) if op == BinOp::Mul => of(h.times(*f).compacted()),
            (Val::H(h), Val::F(f)) => match op {
                BinOp::Mul => of(h.times(*f).compacted()),
                BinOp::Div => of(h.over(*f).compacted()),
                BinOp::TrimUpper | BinOp::TrimLower => {
                    if f.is_nan() {
                        // Nothing is above or below it; what remains then is not documented.
                        self.mark_open();
                    }
                    for c in h.cells() {
                        self.mark_close(c.low, *f);
                        self.mark_close(c.high, *f);
                    }
                    of(h.trimmed(*f, op == BinOp::TrimUpper))
                }
                _ => None,
            },
            (Val::H(a), Val::H(b)) => match op {
                BinOp::Add => of(a.plus(b, 1.0).ok()?.compacted()),
                BinOp::Sub => {
                    let mut h = a.plus(b, -1.0).ok()?.compacted();
                    h.gauge = true;
                    of(h)
                }
                BinOp::Eq | BinOp::Ne => {
                    let same = a.positive == b.positive
                        && a.negative == b.negative
                        && a.layout == b.layout
                        && a.count == b.count
                        && (a.sum == b.sum || a.sum.is_nan() && b.sum.is_nan())
                        && a.zero == b.zero
                        && a.zero_threshold == b.zero_threshold;
                    Some((l.clone(), same == (op == BinOp::Eq)))
                }
                _ => None,
            },
            (Val::F(_), Val::H(_)) => None,
        }
    }

    pub(super) fn binary(&self, b: &Binary, t: i64) -> Res<Out> {
        let (l, r) = (self.eval(&b.lhs, t)?, self.eval(&b.rhs, t)?);
        Ok(match (l, r) {
            (Out::Scalar(x), Out::Scalar(y)) => Out::Scalar(if b.op.is_comparison() {
                f64::from(u8::from(self.holds(b.op, x, y)))
            } else {
                self.number(b.op, x, y)
            }),
            (Out::Vector(v), Out::Scalar(s)) => Out::Vector(self.with_scalar(b, v, s, false)?),
            (Out::Scalar(s), Out::Vector(v)) => Out::Vector(self.with_scalar(b, v, s, true)?),
            (Out::Vector(l), Out::Vector(r)) => Out::Vector(if b.op.is_set() {
                set(b, l, r)
            } else {
                self.join(b, l, r)?
            }),
            _ => return fail("strings have no operators"),
        })
    }

    fn with_scalar(&self, b: &Binary, v: Vec<El>, s: f64, left: bool) -> Res<Vec<El>> {
        let mut out = Vec::new();
        for e in v {
            let s = Val::F(s);
            let pair = if left {
                self.pair(b.op, &s, &e.v)
            } else {
                self.pair(b.op, &e.v, &s)
            };
            let Some((mut value, keep)) = pair else {
                continue;
            };
            if b.return_bool {
                value = Val::F(f64::from(u8::from(keep)));
            } else if !keep {
                continue;
            } else if b.op.is_comparison() {
                // A filter keeps the vector's value, whichever side it is on.
                value = e.v;
            }
            let labels = if b.op.drops_name() || b.return_bool {
                stripped(&e.labels)
            } else {
                e.labels
            };
            out.push(El { labels, v: value });
        }
        unique(out)
    }

    fn join(&self, b: &Binary, left: Vec<El>, right: Vec<El>) -> Res<Vec<El>> {
        let default = Matching::default();
        let m = b.matching.as_ref().unwrap_or(&default);
        let filled = m.fill_left.is_some() || m.fill_right.is_some();
        let none = left.is_empty() && right.is_empty();
        if none || ((left.is_empty() || right.is_empty()) && !filled) {
            return Ok(Vec::new());
        }
        let swapped = m.card == Cardinality::OneToMany;
        let (many, one) = if swapped {
            (&right, &left)
        } else {
            (&left, &right)
        };
        // `fill_right` stands in for the one side and `fill_left` for the many side, also with
        // `group_right`: that is what the recorded answers of upstream say.
        let (fill_many, fill_one) = (m.fill_left, m.fill_right);
        let ones: Vec<Labels> = one.iter().map(|e| signature(&e.labels, m)).collect();
        for (i, s) in ones.iter().enumerate() {
            if ones[..i].contains(s) {
                return fail("found duplicate series for the match group");
            }
        }
        // (signature, labels of the result) of every pair so far.
        let mut seen: Vec<(Labels, Labels)> = Vec::new();
        let mut out = Vec::new();
        let mut add = |s: &Labels, x: &El, y: &El| -> Res<()> {
            let (l, r) = if swapped { (y, x) } else { (x, y) };
            let Some((value, keep)) = self.pair(b.op, &l.v, &r.v) else {
                return Ok(());
            };
            let labels = self.joined(b, m, &x.labels, &y.labels);
            if m.card != Cardinality::OneToOne && seen.contains(&(s.clone(), labels.clone())) {
                return fail("multiple matches: grouping labels must ensure unique matches");
            }
            seen.push((s.clone(), labels.clone()));
            if b.return_bool {
                let v = Val::F(f64::from(u8::from(keep)));
                out.push(El { labels, v });
            } else if keep {
                out.push(El { labels, v: value });
            }
            Ok(())
        };
        let mut met: Vec<Labels> = Vec::new();
        for x in many {
            let s = signature(&x.labels, m);
            let partner = ones.iter().position(|o| *o == s).map(|i| one[i].clone());
            let filled = || {
                fill_one.map(|v| El {
                    labels: s.clone(),
                    v: Val::F(v),
                })
            };
            let Some(y) = partner.or_else(filled) else {
                continue;
            };
            if m.card == Cardinality::OneToOne && met.contains(&s) {
                return fail("multiple matches: many-to-one matching must be explicit");
            }
            met.push(s.clone());
            add(&s, x, &y)?;
        }
        if let Some(v) = fill_many {
            let sides: Vec<Labels> = many.iter().map(|e| signature(&e.labels, m)).collect();
            for (y, s) in one.iter().zip(&ones) {
                if !sides.contains(s) {
                    let x = El {
                        labels: s.clone(),
                        v: Val::F(v),
                    };
                    add(s, &x, y)?;
                }
            }
        }
        unique(out)
    }

    /// Labels of the result of a pair.
    fn joined(&self, b: &Binary, m: &Matching, many: &Labels, one: &Labels) -> Labels {
        let drop = b.op.drops_name() || b.return_bool;
        let mut labels = many.filter(|n| {
            let listed = m.labels.iter().any(|x| x == n);
            !(drop && is_metadata(n)) && (m.card != Cardinality::OneToOne || listed == m.on)
        });
        for name in &m.include {
            labels = labels.with(name, one.get(name).unwrap_or(""));
        }
        labels
    }
}

fn set(b: &Binary, left: Vec<El>, right: Vec<El>) -> Vec<El> {
    let default = Matching::default();
    let m = b.matching.as_ref().unwrap_or(&default);
    let has = |v: &[El], e: &El| {
        let s = signature(&e.labels, m);
        v.iter().any(|x| signature(&x.labels, m) == s)
    };
    match b.op {
        BinOp::And => left.into_iter().filter(|e| has(&right, e)).collect(),
        BinOp::Unless => left.into_iter().filter(|e| !has(&right, e)).collect(),
        _ => {
            let more: Vec<El> = right.into_iter().filter(|e| !has(&left, e)).collect();
            left.into_iter().chain(more).collect()
        }
    }
}
