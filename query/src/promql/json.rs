//! The syntax tree as plain data for parse_query; whoever serves it chooses the encoding.

use super::ast::{
    DurationArg, DurationExpr, Expr, Matching, StartOrEnd, ValueType, VectorSelector,
};
use super::functions::Arity;
use crate::text::float;

/// A value of a JSON document.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A float (fill values).
    Float(f64),
    /// A string.
    Str(String),
    /// A list.
    List(Vec<Json>),
    /// An object; members sorted by name.
    Object(Vec<(&'static str, Json)>),
}

fn object(mut members: Vec<(&'static str, Json)>) -> Json {
    members.sort_unstable_by_key(|m| m.0);
    Json::Object(members)
}

fn text(s: &str) -> Json {
    Json::Str(s.to_owned())
}

fn strings(list: &[String]) -> Json {
    Json::List(list.iter().map(|s| text(s)).collect())
}

/// How the API writes an arity: 0 for none optional, -1 for no limit.
fn variadic(arity: Arity) -> i64 {
    match arity {
        Arity::Fixed => 0,
        Arity::UpTo(n) => i64::try_from(n).unwrap_or(i64::MAX),
        Arity::AnyNumber => -1,
    }
}

/// The tree of `expr`.
#[must_use]
pub fn tree(expr: &Expr) -> Json {
    match expr {
        Expr::Aggregate(a) => object(vec![
            ("type", text("aggregation")),
            ("op", text(a.op.name())),
            ("expr", tree(&a.expr)),
            ("param", a.param.as_ref().map_or(Json::Null, tree)),
            ("grouping", strings(&a.grouping)),
            ("without", Json::Bool(a.without)),
        ]),
        Expr::Binary(b) => object(vec![
            ("type", text("binaryExpr")),
            ("op", text(b.op.symbol())),
            ("lhs", tree(&b.lhs)),
            ("rhs", tree(&b.rhs)),
            ("matching", b.matching.as_ref().map_or(Json::Null, matching)),
            ("bool", Json::Bool(b.return_bool)),
        ]),
        Expr::Call(c) => {
            let types = c
                .func
                .args
                .iter()
                .map(|t: &ValueType| text(t.name()))
                .collect();
            let func = object(vec![
                ("name", text(c.func.name)),
                ("argTypes", Json::List(types)),
                ("variadic", Json::Int(variadic(c.func.arity))),
                ("returnType", text(c.func.returns.name())),
            ]);
            object(vec![
                ("type", text("call")),
                ("func", func),
                ("args", Json::List(c.args.iter().map(tree).collect())),
            ])
        }
        Expr::Matrix(m) => {
            let mut members = selector(&m.selector);
            members.extend([
                ("type", text("matrixSelector")),
                ("range", Json::Int(m.range_ms)),
                ("rangeExpr", duration(m.range_expr.as_deref())),
            ]);
            object(members)
        }
        Expr::Subquery(s) => object(vec![
            ("type", text("subquery")),
            ("expr", tree(&s.expr)),
            ("range", Json::Int(s.range_ms)),
            ("rangeExpr", duration(s.range_expr.as_deref())),
            ("offset", Json::Int(s.offset_ms)),
            ("offsetExpr", duration(s.offset_expr.as_deref())),
            ("step", Json::Int(s.step_ms)),
            ("stepExpr", duration(s.step_expr.as_deref())),
            ("timestamp", s.at_ms.map_or(Json::Null, Json::Int)),
            ("startOrEnd", edge(s.at_edge)),
        ]),
        Expr::Number(n) => object(vec![
            ("type", text("numberLiteral")),
            ("val", Json::Str(float::plain(n.val))),
        ]),
        Expr::String(s) => object(vec![("type", text("stringLiteral")), ("val", text(&s.val))]),
        Expr::Paren(p) => object(vec![("type", text("parenExpr")), ("expr", tree(&p.expr))]),
        Expr::Unary(u) => object(vec![
            ("type", text("unaryExpr")),
            ("op", text(if u.negative { "-" } else { "+" })),
            ("expr", tree(&u.expr)),
        ]),
        Expr::Vector(v) => {
            let mut members = selector(v);
            members.push(("type", text("vectorSelector")));
            object(members)
        }
    }
}

fn matching(m: &Matching) -> Json {
    let fill = |v: Option<f64>| v.map_or(Json::Null, Json::Float);
    object(vec![
        ("card", text(m.card.name())),
        ("labels", strings(&m.labels)),
        ("on", Json::Bool(m.on)),
        ("include", strings(&m.include)),
        (
            "fillValues",
            object(vec![
                ("lhs", fill(m.fill_left)),
                ("rhs", fill(m.fill_right)),
            ]),
        ),
    ])
}

fn selector(v: &VectorSelector) -> Vec<(&'static str, Json)> {
    let matchers = v.matchers.iter().map(|m| {
        object(vec![
            ("name", text(&m.name)),
            ("value", text(&m.value)),
            ("type", text(m.op_str())),
        ])
    });
    vec![
        ("name", text(&v.name)),
        ("offset", Json::Int(v.offset_ms)),
        ("offsetExpr", duration(v.offset_expr.as_deref())),
        ("matchers", Json::List(matchers.collect())),
        ("timestamp", v.at_ms.map_or(Json::Null, Json::Int)),
        ("startOrEnd", edge(v.at_edge)),
        ("anchored", Json::Bool(v.anchored)),
        ("smoothed", Json::Bool(v.smoothed)),
    ]
}

fn edge(e: Option<StartOrEnd>) -> Json {
    e.map_or(Json::Null, |e| text(e.name()))
}

fn duration(e: Option<&DurationExpr>) -> Json {
    let arg = |a: &Option<DurationArg>| match a {
        None => Json::Null,
        Some(DurationArg::Expr(e)) => duration(Some(e)),
        Some(DurationArg::Number(n)) => object(vec![
            ("type", text("numberLiteral")),
            ("val", Json::Str(float::plain(n.val))),
            ("duration", Json::Bool(n.duration)),
        ]),
    };
    e.map_or(Json::Null, |e| {
        object(vec![
            ("type", text("durationExpr")),
            ("op", text(e.op.symbol())),
            ("lhs", arg(&e.lhs)),
            ("rhs", arg(&e.rhs)),
            ("wrapped", Json::Bool(e.wrapped)),
        ])
    })
}
