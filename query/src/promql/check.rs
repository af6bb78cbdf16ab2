//! Types and arities of a parsed expression, in the order in which Prometheus reports problems.

use engine::model::METRIC_NAME;

use super::ast::{
    AggOp, Aggregate, BinOp, Binary, Call, Cardinality, Expr, Span, ValueType, VectorSelector,
};
use crate::text::quote::quote;

type Problem = (Span, String);

/// Checks `expr` and finishes it: set operators become many-to-many, matching between anything but
/// two vectors is removed.
pub(super) fn check(expr: &mut Expr) -> Result<ValueType, Problem> {
    match expr {
        Expr::Aggregate(a) => aggregate(a)?,
        Expr::Binary(b) => binary(b)?,
        Expr::Call(c) => call(c)?,
        Expr::Matrix(m) => selector(&m.selector)?,
        Expr::Paren(p) => {
            check(&mut p.expr)?;
        }
        Expr::Subquery(s) => {
            let t = check(&mut s.expr)?;
            if t != ValueType::Vector {
                let text = format!(
                    "subquery is only allowed on instant vector, got {} instead",
                    t.name()
                );
                return Err((s.span, text));
            }
        }
        Expr::Unary(u) => {
            let t = check(&mut u.expr)?;
            if !matches!(t, ValueType::Scalar | ValueType::Vector) {
                let text = format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                    quote(t.documented())
                );
                return Err((u.span, text));
            }
        }
        Expr::Vector(v) => selector(v)?,
        Expr::Number(_) | Expr::String(_) => {}
    }
    Ok(expr.value_type())
}

fn expect(expr: &mut Expr, want: ValueType, context: &str) -> Result<(), Problem> {
    let got = check(expr)?;
    if got == want {
        return Ok(());
    }
    let (want, got) = (want.documented(), got.documented());
    Err((
        expr.span(),
        format!("expected type {want} in {context}, got {got}"),
    ))
}

fn aggregate(a: &mut Aggregate) -> Result<(), Problem> {
    expect(&mut a.expr, ValueType::Vector, "aggregation expression")?;
    let want = if a.op == AggOp::CountValues {
        ValueType::String
    } else {
        ValueType::Scalar
    };
    match &mut a.param {
        Some(p) => expect(p, want, "aggregation parameter"),
        None => Ok(()),
    }
}

fn binary(b: &mut Binary) -> Result<(), Problem> {
    let lt = check(&mut b.lhs)?;
    let rt = check(&mut b.rhs)?;
    let (span, op) = (b.span, b.op);
    if b.return_bool && !op.is_comparison() {
        return Err((
            b.op_span,
            "bool modifier can only be used on comparison operators".into(),
        ));
    }
    let both = |t: ValueType| lt == t && rt == t;
    if op.is_comparison() && !b.return_bool && both(ValueType::Scalar) {
        return Err((
            b.op_span,
            "comparisons between scalars must use BOOL modifier".into(),
        ));
    }
    let m = b.matching.get_or_insert_default();
    if op.is_set() && m.card == Cardinality::OneToOne {
        m.card = Cardinality::ManyToMany;
    }
    if m.on
        && let Some(l) = m.labels.iter().find(|l| m.include.contains(l))
    {
        let text = format!(
            "label {} must not occur in ON and GROUP clause at once",
            quote(l)
        );
        return Err((b.op_span, text));
    }
    for (t, e) in [(lt, &b.lhs), (rt, &b.rhs)] {
        if !matches!(t, ValueType::Scalar | ValueType::Vector) {
            let text = "binary expression must contain only scalar and instant vector types";
            return Err((e.span(), text.into()));
        }
    }
    let filled = m.fill_left.is_some() || m.fill_right.is_some();
    if !both(ValueType::Vector) {
        if !m.labels.is_empty() {
            return Err((
                span,
                "vector matching only allowed between instant vectors".into(),
            ));
        }
        if filled {
            return Err((
                span,
                "filling in missing series only allowed between instant vectors".into(),
            ));
        }
        b.matching = None;
        if op.is_set() {
            let text = format!(
                "set operator {} not allowed in binary scalar expression",
                quote(op.symbol())
            );
            return Err((span, text));
        }
    } else if op.is_set() {
        if m.card != Cardinality::ManyToMany {
            return Err((
                span,
                format!("no grouping allowed for {} operation", quote(op.symbol())),
            ));
        }
        if filled {
            return Err((
                span,
                "filling in missing series not allowed for set operators".into(),
            ));
        }
    }
    debug_assert!(!matches!(op, BinOp::And) || both(ValueType::Vector));
    Ok(())
}

fn call(c: &mut Call) -> Result<(), Problem> {
    let (name, given, declared) = (quote(c.func.name), c.args.len(), c.func.args.len());
    let wrong = |how: &str, n: usize| {
        Err((
            c.span,
            format!("expected {how}{n} argument(s) in call to {name}, got {given}"),
        ))
    };
    let (least, most) = (c.func.args_min(), c.func.args_max());
    if most == Some(least) && given != least {
        return wrong("", least);
    }
    if given < least {
        return wrong("at least ", least);
    }
    if let Some(most) = most
        && given > most
    {
        return wrong("at most ", most);
    }
    let context = format!("call to function {name}");
    if c.func.name == "info"
        && let Some(arg) = c.args.get_mut(1)
    {
        let (span, t) = (arg.span(), arg.value_type());
        if t != ValueType::Vector {
            let text = format!(
                "expected type instant vector in {context}, got {}",
                t.documented()
            );
            return Err((c.span, text));
        }
        match arg {
            Expr::Vector(v) if v.name.is_empty() => v.allow_empty = true,
            Expr::Vector(_) => {
                let text = "expected label selectors only, got vector selector instead";
                return Err((span, text.into()));
            }
            _ => return Err((span, "expected label selectors only".into())),
        }
    }
    let last = declared.saturating_sub(1);
    for (i, arg) in c.args.iter_mut().enumerate() {
        if let Some(want) = c.func.args.get(i.min(last)) {
            expect(arg, *want, &context)?;
        }
    }
    Ok(())
}

fn selector(v: &VectorSelector) -> Result<(), Problem> {
    if !v.name.is_empty() {
        let others = v.matchers.split_last().map_or(&[][..], |(_, rest)| rest);
        if let Some(m) = others.iter().find(|m| m.name == METRIC_NAME) {
            let (a, b) = (quote(&v.name), quote(&m.value));
            return Err((
                v.span,
                format!("metric name must not be set twice: {a} or {b}"),
            ));
        }
        return Ok(());
    }
    if !v.allow_empty && v.matchers.iter().all(engine::model::Matcher::matches_empty) {
        return Err((
            v.span,
            "vector selector must contain at least one non-empty matcher".into(),
        ));
    }
    Ok(())
}
