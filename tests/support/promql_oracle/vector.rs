//! Functions of scalars and instant vectors.

use std::cmp::Ordering;

use engine::model::Labels;
use query::promql::ast::{self, Call, Expr, VectorSelector};

use super::range::absent_labels;
use super::{El, Oracle, Out, Res, SAME_LABELS, Val, fail, stripped, unique};

fn maximum(a: f64, b: f64) -> f64 {
    // As in IEEE 754-2019: infinity beats NaN, positive zero beats negative zero.
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == b {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

fn minimum(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == b {
        if a.is_sign_negative() { a } else { b }
    } else {
        a.min(b)
    }
}

/// A float function and whether a jump of it is near.
fn math(o: &Oracle<'_>, name: &str, v: f64, p: &[f64]) -> Option<f64> {
    let p = |i: usize| p.get(i).copied().unwrap_or(f64::NAN);
    let jump = |x: f64| {
        if (x - x.round()).abs() <= 1e-9 * x.abs() {
            o.mark_open();
        }
        x
    };
    Some(match name {
        "abs" => v.abs(),
        "ceil" => jump(v).ceil(),
        "floor" => jump(v).floor(),
        "sqrt" => v.sqrt(),
        "exp" => v.exp(),
        "ln" => v.ln(),
        "log2" => v.log2(),
        "log10" => v.log10(),
        "sin" => v.sin(),
        "cos" => v.cos(),
        "tan" => v.tan(),
        "asin" => v.asin(),
        "acos" => v.acos(),
        "atan" => v.atan(),
        "sinh" => v.sinh(),
        "cosh" => v.cosh(),
        "tanh" => v.tanh(),
        "asinh" if v.abs() > 1e150 => (v.abs().ln() + std::f64::consts::LN_2).copysign(v),
        "asinh" => v.asinh(),
        "acosh" => v.acosh(),
        "atanh" => v.atanh(),
        "rad" => v * std::f64::consts::PI / 180.0,
        "deg" => v * 180.0 / std::f64::consts::PI,
        "sgn" if v > 0.0 => 1.0,
        "sgn" if v < 0.0 => -1.0,
        "sgn" => v,
        "round" => {
            let inverse = 1.0 / p(0);
            let x = v * inverse + 0.5;
            jump(x);
            x.floor() / inverse
        }
        "clamp" => maximum(p(0), minimum(p(1), v)),
        "clamp_min" => maximum(p(0), v),
        "clamp_max" => minimum(p(0), v),
        _ => return None,
    })
}

/// A part of a date.
fn date(o: &Oracle<'_>, name: &str, v: f64) -> Option<f64> {
    const PARTS: [&str; 8] = [
        "minute",
        "hour",
        "day_of_week",
        "day_of_month",
        "day_of_year",
        "days_in_month",
        "month",
        "year",
    ];
    if !PARTS.contains(&name) {
        return None;
    }
    if v.fract() != 0.0 {
        o.mark_close(v, v.round());
    }
    let Ok(t) = jiff::Timestamp::from_second(v as i64) else {
        o.mark_open();
        return Some(f64::NAN);
    };
    if !v.is_finite() {
        o.mark_open();
    }
    let z = t.to_zoned(jiff::tz::TimeZone::UTC);
    Some(match name {
        "minute" => f64::from(z.minute()),
        "hour" => f64::from(z.hour()),
        "day_of_week" => f64::from(z.weekday().to_sunday_zero_offset()),
        "day_of_month" => f64::from(z.day()),
        "day_of_year" => f64::from(z.day_of_year()),
        "days_in_month" => f64::from(z.days_in_month()),
        "month" => f64::from(z.month()),
        _ => f64::from(z.year()),
    })
}

/// Upper bounds with cumulative counts of one classic histogram.
type Buckets = Vec<(f64, f64)>;

fn classic_prepare(b: &mut Buckets) -> bool {
    b.sort_by(|x, y| x.0.total_cmp(&y.0));
    let mut merged: Buckets = Vec::new();
    for (bound, count) in b.iter() {
        match merged.last_mut() {
            Some(m) if m.0 == *bound => m.1 += count,
            _ => merged.push((*bound, *count)),
        }
    }
    *b = merged;
    b.last().is_some_and(|x| x.0 == f64::INFINITY)
}

fn classic_quantile(o: &Oracle<'_>, q: f64, mut b: Buckets) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if !classic_prepare(&mut b) || b.len() < 2 {
        return f64::NAN;
    }
    if b.iter().any(|x| x.1.is_nan()) {
        o.mark_open();
    }
    for i in 1..b.len() {
        // Counts only grow; what rounding makes of equal ones does not count either.
        let (before, now) = (b[i - 1].1, b[i].1);
        let near = (now - before).abs() <= 1e-12 * (now.abs() + before.abs());
        if now < before || near {
            b[i].1 = before;
        }
    }
    let total = b[b.len() - 1].1;
    if total == 0.0 {
        return f64::NAN;
    }
    let rank = q * total;
    let i = b.iter().position(|x| x.1 >= rank).unwrap_or(b.len() - 1);
    for x in &b {
        o.mark_close(x.1, rank);
    }
    if i == b.len() - 1 {
        return b[i - 1].0;
    }
    if i == 0 && b[0].0 <= 0.0 {
        return b[0].0;
    }
    let (low, below) = if i == 0 { (0.0, 0.0) } else { b[i - 1] };
    low + (b[i].0 - low) * ((rank - below) / (b[i].1 - below))
}

fn classic_fraction(o: &Oracle<'_>, low: f64, high: f64, mut b: Buckets) -> f64 {
    if !classic_prepare(&mut b) || low.is_nan() || high.is_nan() {
        return f64::NAN;
    }
    let total = b[b.len() - 1].1;
    if b.iter().any(|x| x.1.is_nan()) || b.windows(2).any(|w| w[1].1 < w[0].1) {
        // Without monotonic counts there is no distribution to ask.
        o.mark_open();
    }
    if total == 0.0 {
        return f64::NAN;
    }
    if low >= high {
        return 0.0;
    }
    let start = if b[0].0 <= 0.0 {
        f64::NEG_INFINITY
    } else {
        0.0
    };
    let below = |v: f64| {
        let (mut from, mut count) = (start, 0.0);
        for (bound, c) in &b {
            if v <= from {
                return count;
            }
            if v < *bound {
                return if from == f64::NEG_INFINITY {
                    *c
                } else {
                    count + (c - count) * (v - from) / (bound - from)
                };
            }
            (from, count) = (*bound, *c);
        }
        total
    };
    (below(high) - below(low)) / total
}

/// Runs of digits compare as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    fn chunks(s: &str) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for c in s.chars() {
            match out.last_mut() {
                Some(l) if l.ends_with(|x: char| x.is_ascii_digit()) == c.is_ascii_digit() => {
                    l.push(c);
                }
                _ => out.push(c.to_string()),
            }
        }
        out
    }
    let (a, b) = (chunks(a), chunks(b));
    for (x, y) in a.iter().zip(&b) {
        let order = match (x.parse::<u64>(), y.parse::<u64>()) {
            (Ok(i), Ok(j)) => i.cmp(&j),
            _ => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

impl Oracle<'_> {
    pub(super) fn call(&self, c: &Call, t: i64) -> Res<Out> {
        if let Some(v) = self.range_call(c, t) {
            return Ok(Out::Vector(v?));
        }
        let name = c.func.name;
        let seconds = t as f64 / 1000.0;
        let scalar = |i: usize| self.scalar(&c.args[i], t);
        let element = |labels, v| {
            Out::Vector(vec![El {
                labels,
                v: Val::F(v),
            }])
        };
        Ok(match name {
            "time" => Out::Scalar(seconds),
            "pi" => Out::Scalar(std::f64::consts::PI),
            "start" => Out::Scalar(self.start as f64 / 1000.0),
            "end" => Out::Scalar(self.end as f64 / 1000.0),
            "step" => {
                if self.start == self.end && self.step != 0 {
                    // A range query of one step: the documentation does not say whether it has one.
                    self.mark_open();
                }
                Out::Scalar(self.step as f64 / 1000.0)
            }
            "range" => Out::Scalar((self.end - self.start) as f64 / 1000.0),
            "max_of" => Out::Scalar(maximum(scalar(0)?, scalar(1)?)),
            "min_of" => Out::Scalar(minimum(scalar(0)?, scalar(1)?)),
            "vector" => element(Labels::empty(), scalar(0)?),
            "scalar" => {
                let v = self.vector(&c.args[0], t)?;
                let floats: Vec<f64> = v.iter().filter_map(|e| e.v.float()).collect();
                Out::Scalar(match floats.as_slice() {
                    [one] => *one,
                    _ => f64::NAN,
                })
            }
            "absent" => {
                if self.vector(&c.args[0], t)?.is_empty() {
                    element(absent_labels(&c.args[0]), 1.0)
                } else {
                    Out::Vector(Vec::new())
                }
            }
            "timestamp" => Out::Vector(unique(match c.args[0].unwrap_parens() {
                // The time of a sample; interpolating values does not move it.
                Expr::Vector(v) => self
                    .instant(
                        &VectorSelector {
                            smoothed: false,
                            ..(**v).clone()
                        },
                        t,
                    )?
                    .into_iter()
                    .map(|(labels, at, _)| El {
                        labels: stripped(&labels),
                        v: Val::F(at as f64 / 1000.0),
                    })
                    .collect(),
                other => self
                    .vector(other, t)?
                    .into_iter()
                    .map(|e| El {
                        labels: stripped(&e.labels),
                        v: Val::F(seconds),
                    })
                    .collect(),
            })?),
            // Start timestamps are off.
            "start_timestamp" => {
                self.vector(&c.args[0], t)?;
                Out::Vector(Vec::new())
            }
            "sort" | "sort_desc" => {
                let mut v = self.vector(&c.args[0], t)?;
                v.retain(|e| e.v.float().is_some());
                Out::Vector(unique(v)?)
            }
            "sort_by_label" | "sort_by_label_desc" => {
                let mut names = Vec::new();
                for a in &c.args[1..] {
                    names.push(self.text(a, t)?);
                }
                let mut v = self.vector(&c.args[0], t)?;
                v.sort_by(|a, b| {
                    let of = |e: &El, n: &str| e.labels.get(n).unwrap_or("").to_owned();
                    let by = names
                        .iter()
                        .map(|n| natural(&of(a, n), &of(b, n)))
                        .find(|o| o.is_ne());
                    by.unwrap_or_else(|| a.labels.cmp(&b.labels))
                });
                if name.ends_with("_desc") {
                    v.reverse();
                }
                Out::Vector(unique(v)?)
            }
            "label_replace" => Out::Vector(self.label_replace(c, t)?),
            "label_join" => Out::Vector(self.label_join(c, t)?),
            "info" => Out::Vector(self.info(c, t)?),
            "histogram_quantile" => {
                let q = scalar(0)?;
                Out::Vector(unique(self.of_distributions(
                    &c.args[1],
                    t,
                    Ask::Quantile(q),
                )?)?)
            }
            "histogram_fraction" => {
                let ask = Ask::Fraction(scalar(0)?, scalar(1)?);
                Out::Vector(unique(self.of_distributions(&c.args[2], t, ask)?)?)
            }
            "histogram_quantiles" => {
                let label = self.text(&c.args[1], t)?;
                let mut out = Vec::new();
                for a in &c.args[2..] {
                    let q = self.scalar(a, t)?;
                    let text = if q.fract() == 0.0 {
                        format!("{q:.1}")
                    } else {
                        format!("{q}")
                    };
                    for e in self.of_distributions(&c.args[0], t, Ask::Quantile(q))? {
                        out.push(El {
                            labels: e.labels.with(&label, &text),
                            v: e.v,
                        });
                    }
                }
                Out::Vector(unique(out)?)
            }
            _ => return self.each(c, t),
        })
    }

    /// Functions of one element.
    fn each(&self, c: &Call, t: i64) -> Res<Out> {
        let name = c.func.name;
        let input = match c.args.first() {
            Some(a) => self.vector(a, t)?,
            None => vec![El {
                labels: Labels::empty(),
                v: Val::F((t.div_euclid(1000)) as f64),
            }],
        };
        let mut params = Vec::new();
        for a in c.args.iter().skip(1) {
            params.push(self.scalar(a, t)?);
        }
        if name == "round" && params.is_empty() {
            params.push(1.0);
        }
        if name == "clamp" && params[0] > params[1] {
            return Ok(Out::Vector(Vec::new()));
        }
        let mut out = Vec::new();
        for e in input {
            let v = match &e.v {
                Val::F(v) => math(self, name, *v, &params).or_else(|| date(self, name, *v)),
                Val::H(h) => match name {
                    "histogram_count" => Some(h.count),
                    "histogram_sum" => Some(h.sum),
                    "histogram_avg" => Some(h.sum / h.count),
                    "histogram_stdvar" => Some(h.variance()),
                    "histogram_stddev" => Some(h.variance().sqrt()),
                    _ => None,
                },
            };
            if let Some(v) = v {
                out.push(El {
                    labels: stripped(&e.labels),
                    v: Val::F(v),
                });
            }
        }
        Ok(Out::Vector(unique(out)?))
    }

    fn label_replace(&self, c: &Call, t: i64) -> Res<Vec<El>> {
        let text = |i: usize| self.text(&c.args[i], t);
        let (dst, template, src, pattern) = (text(1)?, text(2)?, text(3)?, text(4)?);
        let Ok(re) = regex::Regex::new(&format!("^(?s:{pattern})$")) else {
            return fail("invalid regular expression in label_replace()");
        };
        let mut out = Vec::new();
        for e in self.vector(&c.args[0], t)? {
            let value = e.labels.get(&src).unwrap_or("");
            let labels = match re.captures(value) {
                None => e.labels.clone(),
                Some(found) => {
                    let mut new = String::new();
                    found.expand(&template, &mut new);
                    e.labels.with(&dst, &new)
                }
            };
            out.push(El { labels, v: e.v });
        }
        unique(out)
    }

    fn label_join(&self, c: &Call, t: i64) -> Res<Vec<El>> {
        let (dst, separator) = (self.text(&c.args[1], t)?, self.text(&c.args[2], t)?);
        let mut names = Vec::new();
        for a in &c.args[3..] {
            names.push(self.text(a, t)?);
        }
        let joined = |e: El| {
            let parts: Vec<&str> = names
                .iter()
                .map(|n| e.labels.get(n).unwrap_or(""))
                .collect();
            El {
                labels: e.labels.with(&dst, &parts.join(&separator)),
                v: e.v,
            }
        };
        unique(
            self.vector(&c.args[0], t)?
                .into_iter()
                .map(joined)
                .collect(),
        )
    }

    /// Classic and native histograms alike; a label set that is both has no answer.
    fn of_distributions(&self, arg: &Expr, t: i64, ask: Ask) -> Res<Vec<El>> {
        let mut classic: Vec<(Labels, Buckets)> = Vec::new();
        let mut native: Vec<El> = Vec::new();
        for e in self.vector(arg, t)? {
            let Some(count) = e.v.float() else {
                native.push(e);
                continue;
            };
            let Some(bound) = e.labels.get("le").and_then(|l| l.parse::<f64>().ok()) else {
                continue;
            };
            let key = e.labels.without(&["le"]);
            match classic.iter_mut().find(|c| c.0 == key) {
                Some(c) => c.1.push((bound, count)),
                None => classic.push((key, vec![(bound, count)])),
            }
        }
        let mut out = Vec::new();
        for e in &native {
            if classic.iter().any(|c| c.0 == e.labels) {
                continue;
            }
            let Val::H(h) = &e.v else { continue };
            if h.has_negative_counts() {
                self.mark_open();
            }
            let v = match ask {
                Ask::Quantile(q) => {
                    if h.rank_margin(q) < 1e-9 || !h.count.is_finite() {
                        self.mark_open();
                    }
                    h.quantile(q)
                }
                Ask::Fraction(a, b) => {
                    if h.straddles_zero_at(&[a, b]) {
                        self.mark_open();
                    }
                    h.fraction(a, b)
                }
            };
            out.push(El {
                labels: stripped(&e.labels),
                v: Val::F(v),
            });
        }
        for (labels, buckets) in classic {
            if native.iter().any(|e| e.labels == labels) {
                continue;
            }
            let v = match ask {
                Ask::Quantile(q) => classic_quantile(self, q, buckets),
                Ask::Fraction(a, b) => classic_fraction(self, a, b, buckets),
            };
            out.push(El {
                labels: stripped(&labels),
                v: Val::F(v),
            });
        }
        Ok(out)
    }

    /// `info`: labels of info metrics with the same instance and job.
    fn info(&self, c: &Call, t: i64) -> Res<Vec<El>> {
        let base = self.vector(&c.args[0], t)?;
        let mut wanted = Vec::new();
        let mut names = Vec::new();
        if let Some(Expr::Vector(v)) = c.args.get(1) {
            for m in &v.matchers {
                if m.name == "__name__" {
                    names.push(m.clone());
                } else {
                    wanted.push(m.clone());
                }
            }
        }
        if names.is_empty() {
            names.push(engine::model::Matcher::equal("__name__", "target_info"));
        }
        let selector = VectorSelector {
            matchers: names.iter().chain(&wanted).cloned().collect(),
            ..VectorSelector::default()
        };
        // Info metrics are read where the first selector of the first argument is.
        let mut first = None;
        ast::walk(&c.args[0], &mut |e| {
            if let (Expr::Vector(v), None) = (e, &first) {
                first = Some(v.clone());
            }
        });
        let at = first.map_or(Ok(t), |v| self.time_of(&v, t))?;
        let infos = self.instant(&selector, at)?;
        let mut out = Vec::new();
        for e in base {
            if names.iter().all(|m| super::matches(m, &e.labels)) {
                out.push(e);
                continue;
            }
            let same =
                |l: &Labels, n: &str| l.get(n).unwrap_or("") == e.labels.get(n).unwrap_or("");
            let anywhere = e.labels.get("instance").is_some() || e.labels.get("job").is_some();
            let own: Vec<_> = infos
                .iter()
                .filter(|(l, _, _)| anywhere && same(l, "instance") && same(l, "job"))
                .collect();
            if own.is_empty() {
                if wanted.iter().all(|m| super::matches(m, &Labels::empty())) {
                    out.push(e);
                }
                continue;
            }
            let mut labels = e.labels.clone();
            for (info, at, _) in &own {
                let metric = info.metric_name();
                let newer = own.iter().any(|o| o.0.metric_name() == metric && o.1 > *at);
                if newer {
                    continue;
                }
                if own
                    .iter()
                    .filter(|o| o.0.metric_name() == metric && o.1 == *at)
                    .count()
                    > 1
                {
                    return fail("found duplicate series for info metric");
                }
                for (n, v) in info {
                    let asked = wanted.is_empty() || wanted.iter().any(|m| m.name == n);
                    if n == "__name__" || !asked || e.labels.get(n).is_some() {
                        continue;
                    }
                    if labels.get(n).is_some_and(|x| x != v) {
                        return fail("conflicting label");
                    }
                    labels = labels.with(n, v);
                }
            }
            out.push(El { labels, v: e.v });
        }
        let before = out.len();
        unique(out).map_err(|_| super::Fail(format!("{SAME_LABELS} ({before})")))
    }
}

/// What is asked of a distribution.
#[derive(Clone, Copy)]
enum Ask {
    Quantile(f64),
    Fraction(f64, f64),
}
