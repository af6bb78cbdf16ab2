//! Canonical text of a query, on one line or broken.

use std::fmt::Write as _;

use engine::model::Matcher;

use super::ast::{
    Binary, Cardinality, Conversion, Expr, Extraction, Grouping, LabelFilter, LabelPick, LogExpr,
    MetricExpr, RangeAggregation, Stage, Unwrap, VectorAggregation,
};
use crate::text::quote::quote;
use crate::text::{bytes, duration, float, go_duration};

/// Expressions longer than this are broken over several lines.
const LINE_CHARS_MAX: usize = 100;

/// The expression on one line.
#[must_use]
pub fn print(expr: &Expr) -> String {
    match expr {
        Expr::Log(l) => log(l),
        Expr::Metric(m) => metric(m),
    }
}

/// The expression as people like to read it: long parts are broken and indented.
#[must_use]
pub fn pretty(expr: &Expr) -> String {
    match expr {
        Expr::Log(l) => pretty_log(l, 0),
        Expr::Metric(m) => pretty_metric(m, 0),
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn join<T>(items: &[T], sep: &str, one: impl Fn(&T) -> String) -> String {
    items.iter().map(one).collect::<Vec<_>>().join(sep)
}

fn matcher(m: &Matcher) -> String {
    format!("{}{}{}", m.name, m.op_str(), quote(&m.value))
}

fn selector(l: &LogExpr) -> String {
    format!("{{{}}}", join(&l.matchers, ", ", matcher))
}

fn log(l: &LogExpr) -> String {
    let mut out = selector(l);
    for s in &l.stages {
        out.push(' ');
        out.push_str(&stage(s));
    }
    out
}

fn extractions(e: &[Extraction]) -> String {
    join(e, ",", |e| format!("{}={}", e.label, quote(&e.expression)))
}

fn picks(p: &[LabelPick]) -> String {
    join(p, ",", |p| match p {
        LabelPick::Name(n) => n.clone(),
        LabelPick::Match(m) => matcher(m),
    })
}

fn stage(s: &Stage) -> String {
    match s {
        Stage::Line(op, alternatives) => {
            let all = join(alternatives, " or ", |a| {
                if a.ip {
                    format!("ip({})", quote(&a.text))
                } else {
                    quote(&a.text)
                }
            });
            format!("{} {all}", op.text())
        }
        Stage::Json(e) if e.is_empty() => "| json".to_owned(),
        Stage::Json(e) => format!("| json {}", extractions(e)),
        Stage::Logfmt {
            strict,
            keep_empty,
            expressions,
        } => {
            let mut out = "| logfmt".to_owned();
            if *strict {
                out.push_str(" --strict");
            }
            if *keep_empty {
                out.push_str(" --keep-empty");
            }
            if !expressions.is_empty() {
                out.push(' ');
                out.push_str(&extractions(expressions));
            }
            out
        }
        Stage::Regexp(re) => format!("| regexp {}", quote(re)),
        Stage::Pattern(p) => format!("| pattern {}", quote(p)),
        Stage::Unpack => "| unpack".to_owned(),
        Stage::Decolorize => "| decolorize".to_owned(),
        Stage::Label(f) => format!("| {}", label_filter(f)),
        Stage::LineFormat(t) => format!("| line_format {}", quote(t)),
        Stage::LabelFormat(terms) => {
            let all = join(terms, ",", |t| {
                if t.rename {
                    format!("{}={}", t.target, t.source)
                } else {
                    format!("{}={}", t.target, quote(&t.source))
                }
            });
            format!("| label_format {all}")
        }
        Stage::Drop(p) => format!("| drop {}", picks(p)),
        Stage::Keep(p) => format!("| keep {}", picks(p)),
    }
}

fn label_filter(f: &LabelFilter) -> String {
    match f {
        LabelFilter::Text(m) => matcher(m),
        LabelFilter::Number(n, op, v) => format!("{n}{}{}", op.text(), float::plain(*v)),
        LabelFilter::Duration(n, op, ns) => {
            format!("{n}{}{}", op.text(), go_duration::format(*ns))
        }
        LabelFilter::Bytes(n, op, v) => format!("{n}{}{}", op.text(), bytes::format(*v)),
        LabelFilter::Ip(n, equal, address) => {
            let op = if *equal { "=" } else { "!=" };
            format!("{n}{op}ip({})", quote(address))
        }
        LabelFilter::And(a, b) => format!("( {} , {} )", label_filter(a), label_filter(b)),
        LabelFilter::Or(a, b) => format!("( {} or {} )", label_filter(a), label_filter(b)),
    }
}

fn unwrap(u: &Unwrap) -> String {
    let mut out = match u.conversion {
        Conversion::Float => format!("| unwrap {}", u.label),
        Conversion::Bytes => format!("| unwrap bytes({})", u.label),
        Conversion::Duration => format!("| unwrap duration({})", u.label),
        Conversion::DurationSeconds => format!("| unwrap duration_seconds({})", u.label),
    };
    for f in &u.filters {
        out.push_str(" | ");
        out.push_str(&label_filter(f));
    }
    out
}

fn grouping(g: Option<&Grouping>) -> String {
    match g {
        None => String::new(),
        Some(g) => {
            let word = if g.without { "without" } else { "by" };
            format!(" {word} ({})", g.labels.join(","))
        }
    }
}

/// A range or offset in Prometheus' units; what has no millisecond form is printed as Go does.
fn prom_duration(ns: i64) -> String {
    if ns % 1_000_000 == 0 {
        duration::format(ns / 1_000_000)
    } else {
        go_duration::format(ns)
    }
}

fn metric(m: &MetricExpr) -> String {
    match m {
        MetricExpr::Literal(v) => float::general(*v),
        MetricExpr::VectorOf(v) => format!("vector({v:.6})"),
        MetricExpr::Range(r) => range(r),
        MetricExpr::Vector(v) => {
            let param = if v.op.has_param() {
                format!("{},", v.param)
            } else {
                String::new()
            };
            format!(
                "{}{}({param}{})",
                v.op.name(),
                grouping(v.grouping.as_ref()),
                metric(&v.inner)
            )
        }
        MetricExpr::Binary(b) => {
            format!("({} {} {})", metric(&b.left), operator(b), metric(&b.right))
        }
        MetricExpr::LabelReplace(l) => format!(
            "label_replace({},{},{},{},{})",
            metric(&l.inner),
            quote(&l.dst),
            quote(&l.replacement),
            quote(&l.src),
            quote(&l.regex)
        ),
    }
}

fn range(r: &RangeAggregation) -> String {
    let mut out = format!("{}(", r.op.name());
    if let Some(p) = r.param {
        out.push_str(&float::plain(p));
        out.push(',');
    }
    out.push_str(&log(&r.log));
    if let Some(u) = &r.unwrap {
        out.push(' ');
        out.push_str(&unwrap(u));
    }
    // Writing to a string cannot fail.
    let written = write!(out, "[{}]", prom_duration(r.range));
    debug_assert!(written.is_ok());
    if r.offset != 0 {
        out.push_str(" offset ");
        out.push_str(&go_duration::format(r.offset));
    }
    out.push(')');
    out.push_str(&grouping(r.grouping.as_ref()));
    out
}

fn operator(b: &Binary) -> String {
    let mut out = b.op.text().to_owned();
    if b.return_bool {
        out.push_str(" bool");
    }
    if let Some(m) = &b.matching {
        let word = if m.on { "on" } else { "ignoring" };
        out.push_str(&format!(" {word} ({})", m.labels.join(",")));
        let (word, include) = match &m.cardinality {
            Cardinality::OneToOne => return out,
            Cardinality::GroupLeft(i) => ("group_left", i),
            Cardinality::GroupRight(i) => ("group_right", i),
        };
        out.push(' ');
        out.push_str(word);
        if !include.is_empty() {
            out.push_str(&format!(" ({})", include.join(",")));
        }
    }
    out
}

fn fits(text: &str) -> bool {
    text.chars().count() <= LINE_CHARS_MAX
}

fn pretty_log(l: &LogExpr, level: usize) -> String {
    let line = log(l);
    if l.stages.is_empty() || fits(&line) {
        return indent(level) + &line;
    }
    let mut out = indent(level) + &selector(l);
    for s in &l.stages {
        out.push('\n');
        out.push_str(&indent(level + 1));
        out.push_str(&stage(s));
    }
    out
}

fn pretty_metric(m: &MetricExpr, level: usize) -> String {
    let line = metric(m);
    if fits(&line) {
        return indent(level) + &line;
    }
    match m {
        MetricExpr::Literal(_) | MetricExpr::VectorOf(_) => indent(level) + &line,
        MetricExpr::Range(r) => pretty_range(r, level),
        MetricExpr::Vector(v) => pretty_vector(v, level),
        MetricExpr::Binary(b) => format!(
            "{}\n{}{}\n{}",
            pretty_metric(&b.left, level + 1),
            indent(level),
            operator(b),
            pretty_metric(&b.right, level + 1)
        ),
        MetricExpr::LabelReplace(l) => {
            let mut params = vec![pretty_metric(&l.inner, level + 1)];
            for t in [&l.dst, &l.replacement, &l.src, &l.regex] {
                params.push(indent(level + 1) + &quote(t));
            }
            call(level, "label_replace", "", &params)
        }
    }
}

fn call(level: usize, name: &str, grouping: &str, params: &[String]) -> String {
    format!(
        "{}{name}{grouping}(\n{}\n{})",
        indent(level),
        params.join(",\n"),
        indent(level)
    )
}

fn pretty_vector(v: &VectorAggregation, level: usize) -> String {
    let mut params = Vec::new();
    if v.op.has_param() {
        params.push(format!("{}{}", indent(level + 1), v.param));
    }
    params.push(pretty_metric(&v.inner, level + 1));
    call(level, v.op.name(), &grouping(v.grouping.as_ref()), &params)
}

fn pretty_range(r: &RangeAggregation, level: usize) -> String {
    let mut inner = pretty_log(&r.log, level + 1);
    if let Some(u) = &r.unwrap {
        inner.push('\n');
        inner.push_str(&indent(level + 2));
        inner.push_str(&unwrap(u));
    }
    inner.push_str(&format!(" [{}]", prom_duration(r.range)));
    if r.offset != 0 {
        inner.push_str(&format!(" offset {}", prom_duration(r.offset)));
    }
    let mut params = Vec::new();
    if let Some(p) = r.param {
        params.push(format!("{}{}", indent(level + 1), float::plain(p)));
    }
    params.push(inner);
    call(level, r.op.name(), "", &params) + &grouping(r.grouping.as_ref())
}
