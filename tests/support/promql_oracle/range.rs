//! Functions of a range vector: each takes the samples of one series in one window.

use std::rc::Rc;

use engine::model::Labels;
use query::promql::ast::{Call, Expr};

use super::aggregate::{extreme, mean, merge, quantile, sum, variance};
use super::histogram::Mixed;
use super::{El, Hist, Oracle, Res, Val, Win, stripped, unique};

/// Histogram at `share` of the way from `a` to `b`; a counter that was reset starts from nothing.
pub fn between(a: &Hist, b: &Hist, share: f64, counter: bool) -> Result<Hist, Mixed> {
    if counter && b.is_reset_of(a) {
        return Ok(b.times(share));
    }
    b.plus(a, -1.0)?.times(share).plus(a, 1.0)
}

/// The samples of a window by kind.
struct Split {
    floats: Vec<(i64, f64)>,
    hists: Vec<(i64, Rc<Hist>)>,
}

fn split(w: &Win) -> Split {
    Split {
        floats: w
            .points
            .iter()
            .filter_map(|(t, v)| Some((*t, v.float()?)))
            .collect(),
        hists: w
            .points
            .iter()
            .filter_map(|(t, v)| Some((*t, v.hist()?.clone())))
            .collect(),
    }
}

impl Split {
    fn values(&self) -> Vec<f64> {
        self.floats.iter().map(|p| p.1).collect()
    }
}

/// How a rate-like function sees its window.
#[derive(Clone, Copy)]
struct Kind {
    counter: bool,
    per_second: bool,
}

fn hist(h: Hist) -> Option<Val> {
    Some(Val::H(Rc::new(h)))
}

/// Last minus first, with what was lost in resets added back.
fn hist_delta(points: &[Rc<Hist>], counter: bool) -> Option<Hist> {
    let (first, last) = (points.first()?, points.last()?);
    // A reset right after the first sample makes it irrelevant, its layout included.
    let mut from = (**first).clone();
    if counter && points.len() > 1 && points[1].is_reset_of(first) {
        from = points[1].emptied();
    }
    let custom = from.is_custom();
    if last.is_custom() != custom {
        return None;
    }
    if counter && points[1..].iter().any(|p| p.is_custom() != custom) {
        return None;
    }
    let mut h = last.plus(&from, -1.0).ok()?;
    if counter {
        let mut before = from;
        for p in &points[1..] {
            if p.is_reset_of(&before) {
                h = h.plus(&before, 1.0).ok()?;
            }
            before = (**p).clone();
        }
    }
    h.gauge = true;
    Some(h)
}

/// rate, increase, delta: the change over the window, extended to its borders.
fn extrapolated(w: &Win, kind: Kind) -> Option<Val> {
    let s = split(w);
    if !s.floats.is_empty() && !s.hists.is_empty() {
        return None;
    }
    let n = w.points.len();
    if n < 2 {
        return None;
    }
    let (t0, t1) = (w.points[0].0, w.points[n - 1].0);
    let sampled = (t1 - t0) as f64 / 1000.0;
    let average = sampled / (n - 1) as f64;
    let gap = |ms: i64| {
        let gap = ms as f64 / 1000.0;
        // Farther than a sample away: the series is taken to begin or end in between.
        if gap >= average * 1.1 {
            average / 2.0
        } else {
            gap
        }
    };
    let (mut to_start, to_end) = (gap(t0 - w.start), gap(w.end - t1));
    let mut delta = 0.0;
    let mut h = None;
    let (first, total) = if s.hists.is_empty() {
        delta = s.floats[n - 1].1 - s.floats[0].1;
        if kind.counter {
            let lost: f64 = s
                .floats
                .windows(2)
                .filter(|p| p[1].1 < p[0].1)
                .fold(0.0, |sum, p| sum + p[0].1);
            delta += lost;
        }
        (s.floats[0].1, delta)
    } else {
        let hists: Vec<Rc<Hist>> = s.hists.iter().map(|p| p.1.clone()).collect();
        let d = hist_delta(&hists, kind.counter)?.compacted();
        let total = d.count;
        h = Some(d);
        (hists[0].count, total)
    };
    if kind.counter && total > 0.0 && first >= 0.0 {
        // A counter was not below zero before its first sample.
        let to_zero = sampled * (first / total);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if kind.per_second {
        factor /= (w.end - w.start) as f64 / 1000.0;
    }
    match h {
        Some(h) => hist(h.times(factor)),
        None => Some(Val::F(delta * factor)),
    }
}

/// Samples that decide the borders of an extended window: the last at or before the start (else the
/// first), and the last, or with `smoothed` the first at or after the end.
fn deciding(times: &[i64], w: &Win, smoothed: bool) -> Option<(usize, usize)> {
    let last = times.len().checked_sub(1)?;
    let from = times.iter().rposition(|t| *t <= w.start).unwrap_or(0);
    let to = if smoothed {
        times.iter().position(|t| *t >= w.end).unwrap_or(last)
    } else {
        last
    };
    if times[to] <= w.start || (smoothed && times[from] > w.end) {
        return None;
    }
    Some((from, to))
}

/// rate, increase, delta of an `anchored` or `smoothed` window.
fn extended(w: &Win, kind: Kind, smoothed: bool) -> Option<Val> {
    let s = split(w);
    if !s.floats.is_empty() && !s.hists.is_empty() {
        return None;
    }
    let seconds = (w.end - w.start) as f64 / 1000.0;
    let times: Vec<i64> = w.points.iter().map(|p| p.0).collect();
    let (from, to) = deciding(&times, w, smoothed)?;
    let share = |a: usize, b: usize, t: i64| (t - times[a]) as f64 / (times[b] - times[a]) as f64;
    let left_between = smoothed && times[from] < w.start && from + 1 < times.len();
    let right_between = smoothed && to > 0 && times[to] > w.end;
    let inner: Vec<usize> = (0..times.len())
        .filter(|i| times[*i] > w.start && times[*i] < w.end && *i >= from && *i <= to)
        .collect();
    if s.hists.is_empty() {
        let v = s.values();
        let line = |a: usize, b: usize, t: i64| {
            let base = if kind.counter && v[b] < v[a] {
                0.0
            } else {
                v[a]
            };
            base + (v[b] - base) * (t - times[a]) as f64 / (times[b] - times[a]) as f64
        };
        let left = if left_between {
            line(from, from + 1, w.start)
        } else {
            v[from]
        };
        let right = if right_between {
            line(to - 1, to, w.end)
        } else {
            v[to]
        };
        let mut delta = right - left;
        if kind.counter {
            let mut before = left;
            for x in inner.iter().map(|i| v[*i]).chain([right]) {
                if x < before {
                    delta += before;
                }
                before = x;
            }
        }
        return Some(Val::F(if kind.per_second {
            delta / seconds
        } else {
            delta
        }));
    }
    let h = |i: usize| (*s.hists[i].1).clone();
    let custom = h(from).is_custom();
    if (from..=to).any(|i| h(i).is_custom() != custom) {
        return None;
    }
    let left = if left_between {
        between(
            &h(from),
            &h(from + 1),
            share(from, from + 1, w.start),
            kind.counter,
        )
        .ok()?
    } else {
        h(from)
    };
    let right = if right_between {
        between(&h(to - 1), &h(to), share(to - 1, to, w.end), kind.counter).ok()?
    } else {
        h(to)
    };
    let mut delta = right.plus(&left, -1.0).ok()?;
    if kind.counter {
        let mut before = left;
        let mut path: Vec<Hist> = inner.iter().map(|i| h(*i)).collect();
        path.push(right);
        // The left border of a reset is a part of the sample after it: no reset of its own.
        let mut skip = left_between && h(from + 1).is_reset_of(&h(from));
        for p in path {
            if !skip && p.is_reset_of(&before) {
                delta = delta.plus(&before, 1.0).ok()?;
            }
            skip = false;
            before = p;
        }
    }
    if kind.per_second {
        delta = delta.over(seconds);
    }
    delta.gauge = true;
    hist(delta.compacted())
}

/// irate and idelta: the last two samples.
fn last_two(w: &Win, rate: bool) -> Option<Val> {
    let [.., (t0, a), (t1, b)] = w.points.as_slice() else {
        return None;
    };
    let seconds = (t1 - t0) as f64 / 1000.0;
    match (a, b) {
        (Val::F(a), Val::F(b)) => Some(Val::F(match (rate, b < a) {
            (true, true) => b / seconds,
            (true, false) => (b - a) / seconds,
            (false, _) => b - a,
        })),
        (Val::H(a), Val::H(b)) => {
            let mut h = (**b).clone();
            if !(rate && b.is_reset_of(a)) {
                h = b.plus(a, -1.0).ok()?;
            }
            h.gauge = true;
            let h = h.compacted();
            hist(if rate { h.over(seconds) } else { h })
        }
        _ => None,
    }
}

/// resets and changes: steps from one sample to the next that count.
fn transitions(w: &Win, resets: bool, anchored: bool) -> Option<Val> {
    let mut points = w.points.as_slice();
    if anchored {
        let after = points.iter().position(|p| p.0 > w.start)?;
        points = &points[after.saturating_sub(1)..];
    }
    if points.is_empty() {
        return None;
    }
    let counts = |a: &Val, b: &Val| match (a, b) {
        (Val::F(a), Val::F(b)) if resets => b < a,
        (Val::F(a), Val::F(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Val::H(a), Val::H(b)) if resets => b.is_reset_of(a),
        (Val::H(a), Val::H(b)) => {
            a.layout != b.layout
                || a.positive != b.positive
                || a.negative != b.negative
                || (a.count, a.sum, a.zero) != (b.count, b.sum, b.zero)
        }
        _ => true,
    };
    let n = points
        .windows(2)
        .filter(|p| counts(&p[0].1, &p[1].1))
        .count();
    Some(Val::F(n as f64))
}

/// Least squares over seconds since `at`: slope and value there.
fn line(points: &[(i64, f64)], at: i64) -> (f64, f64) {
    if points.iter().all(|p| p.1 == points[0].1) {
        return if points[0].1.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, points[0].1)
        };
    }
    let x: Vec<f64> = points.iter().map(|p| (p.0 - at) as f64 / 1000.0).collect();
    let y: Vec<f64> = points.iter().map(|p| p.1).collect();
    let (mx, my) = (mean(&x), mean(&y));
    let xy: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).collect();
    let xx: Vec<f64> = x.iter().map(|x| (x - mx) * (x - mx)).collect();
    let slope = sum(&xy) / sum(&xx);
    (slope, my - slope * mx)
}

fn smoothing(v: &[f64], level: f64, trend: f64) -> Option<f64> {
    if v.len() < 2 {
        return None;
    }
    let (mut s, mut b) = (v[0], v[1] - v[0]);
    for (i, x) in v.iter().enumerate().skip(1) {
        let next = level * x + (1.0 - level) * (s + b);
        if i + 1 < v.len() {
            b = trend * (next - s) + (1.0 - trend) * b;
        }
        s = next;
    }
    Some(s)
}

/// Time of the extreme value, the last of equal ones.
fn time_of_extreme(points: &[(i64, f64)], max: bool) -> f64 {
    let values: Vec<f64> = points.iter().map(|p| p.1).collect();
    let best = extreme(&values, max);
    let same = |v: f64| v == best || (best.is_nan() && v.is_nan());
    let at = points.iter().rev().find(|p| same(p.1)).map_or(0, |p| p.0);
    at as f64 / 1000.0
}

impl Oracle<'_> {
    /// A call of a function with a range vector. `None` when it is none.
    pub(super) fn range_call(&self, c: &Call, t: i64) -> Option<Res<Vec<El>>> {
        let name = c.func.name;
        let arg = match name {
            "quantile_over_time" => 1,
            "rate"
            | "increase"
            | "delta"
            | "irate"
            | "idelta"
            | "resets"
            | "changes"
            | "deriv"
            | "predict_linear"
            | "double_exponential_smoothing" => 0,
            _ if name.ends_with("_over_time") => 0,
            _ => return None,
        };
        Some(self.of_windows(c, &c.args[arg], t))
    }

    fn of_windows(&self, c: &Call, arg: &Expr, t: i64) -> Res<Vec<El>> {
        let name = c.func.name;
        let windows = self.matrix(arg, t)?;
        let inner = arg.unwrap_parens();
        let (anchored, smoothed) = match inner {
            Expr::Matrix(m) => (m.selector.anchored, m.selector.smoothed),
            _ => (false, false),
        };
        let mut params = Vec::new();
        for a in &c.args {
            if !matches!(a.unwrap_parens(), Expr::Matrix(_) | Expr::Subquery(_)) {
                params.push(self.scalar(a, t)?);
            }
        }
        if name == "double_exponential_smoothing" {
            for (i, what) in ["smoothing", "trend"].iter().enumerate() {
                if !(params[i] > 0.0 && params[i] < 1.0)
                    && windows.iter().any(|w| !w.points.is_empty())
                {
                    return super::fail(format!("invalid {what} factor"));
                }
            }
        }
        if name == "absent_over_time" {
            return Ok(if windows.iter().any(|w| !w.points.is_empty()) {
                Vec::new()
            } else {
                vec![El {
                    labels: absent_labels(inner),
                    v: Val::F(1.0),
                }]
            });
        }
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        let mut out = Vec::new();
        for w in windows.iter().filter(|w| !w.points.is_empty()) {
            if let Some(v) = self.of_window(name, &params, w, t, (anchored, smoothed)) {
                out.push(El {
                    labels: if keeps_name {
                        w.labels.clone()
                    } else {
                        stripped(&w.labels)
                    },
                    v,
                });
            }
        }
        unique(out)
    }

    fn of_window(
        &self,
        name: &str,
        params: &[f64],
        w: &Win,
        t: i64,
        (anchored, smoothed): (bool, bool),
    ) -> Option<Val> {
        let kind = match name {
            "rate" => Some((true, true)),
            "increase" => Some((true, false)),
            "delta" => Some((false, false)),
            _ => None,
        };
        let gauges = || w.points.iter().any(|p| p.1.hist().is_some_and(|h| h.gauge));
        if matches!(name, "rate" | "increase" | "irate" | "resets") && gauges() {
            // Misuse, with a warning: whether a gauge was reset is not a question.
            self.mark_open();
        }
        if let Some((counter, per_second)) = kind {
            let kind = Kind {
                counter,
                per_second,
            };
            return if anchored || smoothed {
                extended(w, kind, smoothed)
            } else {
                extrapolated(w, kind)
            };
        }
        match name {
            "irate" => return last_two(w, true),
            "idelta" => return last_two(w, false),
            "resets" => return transitions(w, true, anchored),
            "changes" => return transitions(w, false, anchored),
            "count_over_time" => return Some(Val::F(w.points.len() as f64)),
            "present_over_time" => return Some(Val::F(1.0)),
            "first_over_time" => return w.points.first().map(|p| p.1.clone()),
            "last_over_time" => return w.points.last().map(|p| p.1.clone()),
            "ts_of_first_over_time" => {
                return w.points.first().map(|p| Val::F(p.0 as f64 / 1000.0));
            }
            "ts_of_last_over_time" => {
                return w.points.last().map(|p| Val::F(p.0 as f64 / 1000.0));
            }
            _ => {}
        }
        let s = split(w);
        if matches!(name, "sum_over_time" | "avg_over_time") && !s.hists.is_empty() {
            if !s.floats.is_empty() {
                return None;
            }
            let hists: Vec<Rc<Hist>> = s.hists.iter().map(|p| p.1.clone()).collect();
            return hist(merge(&hists, name == "avg_over_time")?);
        }
        let v = s.values();
        if v.is_empty() {
            return None;
        }
        if matches!(name, "stddev_over_time" | "stdvar_over_time") {
            self.mark_narrow(&v);
        }
        let finite = |v: &[f64]| v.iter().all(|v| v.is_finite());
        if matches!(name, "deriv" | "predict_linear") && !(finite(&v) && finite(params)) {
            // There is no line through infinity; what comes out is an order of operations.
            self.mark_open();
        }
        let param = |i: usize| params.get(i).copied().unwrap_or(f64::NAN);
        Some(Val::F(match name {
            "sum_over_time" => sum(&v),
            "avg_over_time" => mean(&v),
            "min_over_time" => extreme(&v, false),
            "max_over_time" => extreme(&v, true),
            "stddev_over_time" => variance(&v).sqrt(),
            "stdvar_over_time" => variance(&v),
            "quantile_over_time" => quantile(param(0), &v),
            "mad_over_time" => {
                if v.iter().any(|v| v.is_nan()) {
                    f64::NAN
                } else {
                    let middle = quantile(0.5, &v);
                    let away: Vec<f64> = v.iter().map(|x| (x - middle).abs()).collect();
                    quantile(0.5, &away)
                }
            }
            "ts_of_min_over_time" => time_of_extreme(&s.floats, false),
            "ts_of_max_over_time" => time_of_extreme(&s.floats, true),
            "deriv" if v.len() > 1 => {
                let slope = line(&s.floats, s.floats[0].0).0;
                // Ups and downs that cancel out leave what was rounded.
                let seconds = (s.floats[v.len() - 1].0 - s.floats[0].0) as f64 / 1000.0;
                let largest = v.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                let level = v.iter().all(|x| *x == v[0]);
                if !level && (slope * seconds).abs() <= 1e-9 * largest {
                    self.mark_open();
                }
                slope
            }
            "predict_linear" if v.len() > 1 => {
                let (slope, at) = line(&s.floats, t);
                slope * param(0) + at
            }
            "double_exponential_smoothing" => smoothing(&v, param(0), param(1))?,
            _ => return None,
        }))
    }
}

/// Labels of the result of `absent` and `absent_over_time`: those that the selector pins.
pub fn absent_labels(e: &Expr) -> Labels {
    let matchers = match e.unwrap_parens() {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut out = Labels::empty();
    for m in matchers.iter().filter(|m| m.name != "__name__") {
        let alone = matchers.iter().filter(|o| o.name == m.name).count() == 1;
        if alone && matches!(m.op, engine::model::MatchOp::Equal) {
            out = out.with(&m.name, &m.value);
        }
    }
    out
}
