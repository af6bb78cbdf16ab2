//! Printing: the canonical one-line form (which parses back to the same tree) and the form of
//! format_query, which breaks what does not fit [`LINE_BYTES_MAX`].

use engine::model::{METRIC_NAME, Matcher};

use super::ast::{
    Aggregate, BinOp, Binary, Cardinality, DurationArg, DurationExpr, DurationOp, Expr,
    MatrixSelector, NumberLiteral, StartOrEnd, Subquery, VectorSelector,
};
use crate::text::quote::{quote, quote_into};
use crate::text::{duration, float};

/// Longest line that the pretty printer leaves in one piece.
pub const LINE_BYTES_MAX: usize = 100;

const INDENT: &str = "  ";

impl std::fmt::Display for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        write_expr(&mut out, self);
        f.write_str(&out)
    }
}

/// The multi-line form of format_query.
#[must_use]
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    pretty_into(&mut out, expr, 0);
    out
}

fn write_expr(out: &mut String, e: &Expr) {
    match e {
        Expr::Aggregate(a) => {
            aggregate_head(out, a);
            out.push('(');
            if let Some(p) = &a.param {
                write_expr(out, p);
                out.push_str(", ");
            }
            write_expr(out, &a.expr);
            out.push(')');
        }
        Expr::Binary(b) => {
            write_expr(out, &b.lhs);
            out.push(' ');
            binary_head(out, b);
            out.push(' ');
            write_expr(out, &b.rhs);
        }
        Expr::Call(c) => {
            out.push_str(c.func.name);
            out.push('(');
            for (i, a) in c.args.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_expr(out, a);
            }
            out.push(')');
        }
        Expr::Matrix(m) => matrix(out, m),
        Expr::Number(n) => number(out, n),
        Expr::Paren(p) => {
            out.push('(');
            write_expr(out, &p.expr);
            out.push(')');
        }
        Expr::String(s) => quote_into(out, &s.val),
        Expr::Subquery(s) => {
            write_expr(out, &s.expr);
            subquery_tail(out, s);
        }
        Expr::Unary(u) => {
            out.push(if u.negative { '-' } else { '+' });
            write_expr(out, &u.expr);
        }
        Expr::Vector(v) => {
            selector_body(out, v);
            at(out, v.at_ms, v.at_edge);
            extended(out, v);
            offset(out, v.offset_ms, v.offset_expr.as_deref());
        }
    }
}

fn aggregate_head(out: &mut String, a: &Aggregate) {
    out.push_str(a.op.name());
    if a.without || !a.grouping.is_empty() {
        out.push_str(if a.without { " without (" } else { " by (" });
        label_list(out, &a.grouping);
        out.push_str(") ");
    }
}

fn binary_head(out: &mut String, b: &Binary) {
    out.push_str(b.op.symbol());
    if b.return_bool {
        out.push_str(" bool");
    }
    let Some(m) = &b.matching else { return };
    let grouped = matches!(m.card, Cardinality::ManyToOne | Cardinality::OneToMany);
    if !m.labels.is_empty() || m.on || grouped {
        out.push_str(if m.on { " on (" } else { " ignoring (" });
        label_list(out, &m.labels);
        out.push(')');
    }
    if grouped {
        out.push_str(if m.card == Cardinality::ManyToOne {
            " group_left ("
        } else {
            " group_right ("
        });
        label_list(out, &m.include);
        out.push(')');
    }
    let mut fill = |word: &str, v: f64| {
        out.push_str(word);
        float::write_general(out, v);
        out.push(')');
    };
    match (m.fill_left, m.fill_right) {
        (Some(l), Some(r)) if l == r => fill(" fill (", l),
        (l, r) => {
            if let Some(l) = l {
                fill(" fill_left (", l);
            }
            if let Some(r) = r {
                fill(" fill_right (", r);
            }
        }
    }
}

fn label_list(out: &mut String, labels: &[String]) {
    for (i, l) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        label_name(out, l);
    }
}

/// True for names that need no quotes.
fn is_classic(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .enumerate()
            .all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()))
}

fn label_name(out: &mut String, name: &str) {
    if is_classic(name) {
        out.push_str(name);
    } else {
        quote_into(out, name);
    }
}

fn number(out: &mut String, n: &NumberLiteral) {
    if n.duration {
        out.push_str(&duration::format((n.val * 1000.0).round() as i64));
    } else {
        float::write_plain(out, n.val);
    }
}

/// A matcher as in braces: `a=~"x"`.
pub fn write_matcher(out: &mut String, m: &Matcher) {
    label_name(out, &m.name);
    out.push_str(m.op_str());
    quote_into(out, &m.value);
}

fn selector_body(out: &mut String, v: &VectorSelector) {
    let mut matchers: Vec<String> = v
        .matchers
        .iter()
        .filter(|m| {
            !(m.name == METRIC_NAME
                && m.op_str() == "="
                && m.value == v.name
                && !m.value.is_empty())
        })
        .map(|m| {
            let mut s = String::new();
            write_matcher(&mut s, m);
            s
        })
        .collect();
    out.push_str(&v.name);
    if !matchers.is_empty() {
        matchers.sort_unstable();
        out.push('{');
        out.push_str(&matchers.join(","));
        out.push('}');
    } else if v.name.is_empty() {
        out.push_str("{}");
    }
}

fn at(out: &mut String, at_ms: Option<i64>, edge: Option<StartOrEnd>) {
    if let Some(t) = at_ms {
        let sign = if t < 0 { "-" } else { "" };
        let t = t.unsigned_abs();
        out.push_str(&format!(" @ {sign}{}.{:03}", t / 1000, t % 1000));
    } else if let Some(e) = edge {
        out.push_str(" @ ");
        out.push_str(e.name());
        out.push_str("()");
    }
}

fn extended(out: &mut String, v: &VectorSelector) {
    if v.anchored {
        out.push_str(" anchored");
    } else if v.smoothed {
        out.push_str(" smoothed");
    }
}

fn offset(out: &mut String, ms: i64, expr: Option<&DurationExpr>) {
    if let Some(e) = expr {
        out.push_str(" offset ");
        duration_expr(out, e);
    } else if ms != 0 {
        out.push_str(" offset ");
        out.push_str(&duration::format(ms));
    }
}

fn duration_or_expr(out: &mut String, ms: i64, expr: Option<&DurationExpr>) {
    match expr {
        Some(e) => duration_expr(out, e),
        None => out.push_str(&duration::format(ms)),
    }
}

fn duration_arg(out: &mut String, a: &DurationArg) {
    match a {
        DurationArg::Number(n) => number(out, n),
        DurationArg::Expr(e) => duration_expr(out, e),
    }
}

fn duration_expr(out: &mut String, e: &DurationExpr) {
    if e.wrapped {
        out.push('(');
    }
    match (e.op, &e.lhs, &e.rhs) {
        (DurationOp::Step | DurationOp::Range, ..) => {
            out.push_str(e.op.symbol());
            out.push_str("()");
        }
        (DurationOp::MinOf | DurationOp::MaxOf, Some(l), Some(r)) => {
            out.push_str(e.op.symbol());
            out.push('(');
            duration_arg(out, l);
            out.push_str(", ");
            duration_arg(out, r);
            out.push(')');
        }
        (op, None, Some(r)) => {
            if op == DurationOp::Sub {
                out.push('-');
            }
            duration_arg(out, r);
        }
        (op, Some(l), Some(r)) => {
            duration_arg(out, l);
            out.push(' ');
            out.push_str(op.symbol());
            out.push(' ');
            duration_arg(out, r);
        }
        _ => {}
    }
    if e.wrapped {
        out.push(')');
    }
}

fn matrix(out: &mut String, m: &MatrixSelector) {
    let v = &m.selector;
    selector_body(out, v);
    out.push('[');
    duration_or_expr(out, m.range_ms, m.range_expr.as_deref());
    out.push(']');
    extended(out, v);
    at(out, v.at_ms, v.at_edge);
    offset(out, v.offset_ms, v.offset_expr.as_deref());
}

fn subquery_tail(out: &mut String, s: &Subquery) {
    out.push('[');
    duration_or_expr(out, s.range_ms, s.range_expr.as_deref());
    out.push(':');
    if s.step_ms != 0 || s.step_expr.is_some() {
        duration_or_expr(out, s.step_ms, s.step_expr.as_deref());
    }
    out.push(']');
    at(out, s.at_ms, s.at_edge);
    offset(out, s.offset_ms, s.offset_expr.as_deref());
}

fn indent(out: &mut String, level: usize) {
    for _ in 0..level {
        out.push_str(INDENT);
    }
}

fn pretty_into(out: &mut String, e: &Expr, level: usize) {
    let flat = e.to_string();
    let fits = flat.len() <= LINE_BYTES_MAX;
    match e {
        Expr::Aggregate(a) if !fits => {
            indent(out, level);
            aggregate_head(out, a);
            out.push_str("(\n");
            if let Some(p) = &a.param {
                pretty_into(out, p, level + 1);
                out.push_str(",\n");
            }
            pretty_into(out, &a.expr, level + 1);
            out.push('\n');
            indent(out, level);
            out.push(')');
        }
        Expr::Binary(b) if !fits => {
            pretty_into(out, &b.lhs, level + 1);
            out.push('\n');
            indent(out, level);
            binary_head(out, b);
            out.push('\n');
            pretty_into(out, &b.rhs, level + 1);
        }
        Expr::Call(c) if !fits => {
            indent(out, level);
            out.push_str(c.func.name);
            out.push_str("(\n");
            for (i, a) in c.args.iter().enumerate() {
                if i > 0 {
                    out.push_str(",\n");
                }
                pretty_into(out, a, level + 1);
            }
            out.push('\n');
            indent(out, level);
            out.push(')');
        }
        Expr::Paren(p) if !fits => {
            indent(out, level);
            out.push_str("(\n");
            pretty_into(out, &p.expr, level + 1);
            out.push('\n');
            indent(out, level);
            out.push(')');
        }
        // A subquery that fits is not indented: Prometheus' output, kept for equality.
        Expr::Subquery(_) if fits => out.push_str(&flat),
        Expr::Subquery(s) => {
            pretty_into(out, &s.expr, level);
            subquery_tail(out, s);
        }
        Expr::Unary(u) => {
            let mut inner = String::new();
            pretty_into(&mut inner, &u.expr, level);
            indent(out, level);
            out.push(if u.negative { '-' } else { '+' });
            out.push_str(inner.trim());
        }
        _ => {
            indent(out, level);
            out.push_str(&flat);
        }
    }
}

/// `op` as messages quote it.
#[must_use]
pub fn quoted_symbol(op: BinOp) -> String {
    quote(op.symbol())
}
