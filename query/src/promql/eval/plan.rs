//! From syntax tree to plan: durations resolved, query context folded in, step-invariant parts
//! marked, parentheses gone.

use engine::model::{Labels, LabelsBuilder, METRIC_NAME, Matcher};

use crate::promql::ast::{
    AggOp, BinOp, DurationArg, DurationExpr, DurationOp, Expr, Matching, Span, StartOrEnd,
    ValueType, VectorSelector,
};
use crate::promql::functions::Function;
use crate::promql::functions::math;

/// An instant selector.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) offset: i64,
    pub(crate) at: Option<i64>,
    pub(crate) anchored: bool,
    pub(crate) smoothed: bool,
    /// Nearest function or aggregation around it.
    pub(crate) hint: &'static str,
    /// Only counts and sums of histograms are needed.
    pub(crate) stats_only: bool,
    /// An aggregation takes the series one by one: their order does not matter.
    pub(crate) unordered: bool,
    pub(crate) span: Span,
}

/// A range selector.
#[derive(Debug)]
pub(crate) struct RangeSelector {
    pub(crate) selector: Selector,
    pub(crate) range: i64,
}

/// A subquery.
#[derive(Debug)]
pub(crate) struct SubqueryNode {
    pub(crate) expr: Node,
    pub(crate) range: i64,
    pub(crate) step: i64,
    pub(crate) offset: i64,
    pub(crate) at: Option<i64>,
}

/// A call.
#[derive(Debug)]
pub(crate) struct CallNode {
    pub(crate) func: &'static Function,
    pub(crate) args: Vec<Node>,
    pub(crate) arg_spans: Vec<Span>,
    pub(crate) span: Span,
    /// For absent functions: the labels of the result.
    pub(crate) absent_labels: Labels,
    /// For `info`: where the first selector of the first argument reads.
    pub(crate) info_at: Option<i64>,
    pub(crate) info_offset: i64,
    /// For `info`: matchers of the second argument.
    pub(crate) info_matchers: Option<Vec<Matcher>>,
}

/// An aggregation.
#[derive(Debug)]
pub(crate) struct AggNode {
    pub(crate) op: AggOp,
    pub(crate) expr: Node,
    pub(crate) expr_span: Span,
    pub(crate) param: Option<Node>,
    pub(crate) param_span: Span,
    /// Sorted.
    pub(crate) grouping: Vec<String>,
    pub(crate) without: bool,
    pub(crate) span: Span,
}

/// A binary operation.
#[derive(Debug)]
pub(crate) struct BinaryNode {
    pub(crate) op: BinOp,
    pub(crate) lhs: Node,
    pub(crate) rhs: Node,
    pub(crate) types: (ValueType, ValueType),
    pub(crate) matching: Matching,
    pub(crate) return_bool: bool,
    pub(crate) span: Span,
}

/// A planned expression.
#[derive(Debug)]
pub(crate) enum Node {
    Number(f64),
    Str(String),
    Selector(Box<Selector>),
    Range(Box<RangeSelector>),
    Subquery(Box<SubqueryNode>),
    Call(Box<CallNode>),
    Aggregate(Box<AggNode>),
    Unary {
        negative: bool,
        expr: Box<Node>,
    },
    Binary(Box<BinaryNode>),
    /// Evaluated once, at the first step.
    Invariant(Box<Node>),
}

/// What the plan depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanContext {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// 0 for instant queries.
    pub(crate) step: i64,
    pub(crate) default_subquery_step: i64,
}

/// Functions whose result depends on the step even when their arguments do not.
fn depends_on_step(name: &str) -> bool {
    matches!(
        name,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "time"
            | "timestamp"
    )
}

/// Plans `expr`.
///
/// # Errors
/// The text for a computed duration that is not usable.
pub(crate) fn plan(expr: &Expr, cx: &PlanContext) -> Result<Node, String> {
    let built = Planner { cx }.node(expr, Hint::default())?;
    Ok(built.wrapped())
}

/// A node, whether its value is the same at all steps, and whether it is worth evaluating once.
struct Built {
    node: Node,
    invariant: bool,
    wrap: bool,
}

impl Built {
    fn wrapped(self) -> Node {
        if self.wrap {
            Node::Invariant(Box::new(self.node))
        } else {
            self.node
        }
    }
}

/// What is known from above about the series of a node.
#[derive(Clone, Copy, Default)]
struct Hint {
    name: &'static str,
    stats_only: bool,
    /// See [`Selector::unordered`].
    unordered: bool,
}

struct Planner<'a> {
    cx: &'a PlanContext,
}

impl Planner<'_> {
    fn node(&self, expr: &Expr, hint: Hint) -> Result<Built, String> {
        let constant = |node| {
            Ok(Built {
                node,
                invariant: true,
                wrap: false,
            })
        };
        match expr {
            Expr::Number(n) => constant(Node::Number(n.val)),
            Expr::String(s) => constant(Node::Str(s.val.clone())),
            Expr::Paren(p) => self.node(&p.expr, hint),
            Expr::Unary(u) => {
                let b = self.node(&u.expr, hint)?;
                let node = Node::Unary {
                    negative: u.negative,
                    expr: Box::new(b.node),
                };
                Ok(Built { node, ..b })
            }
            Expr::Vector(v) => {
                let s = self.selector(v, hint)?;
                let fixed = s.at.is_some();
                Ok(Built {
                    node: Node::Selector(Box::new(s)),
                    invariant: fixed,
                    wrap: fixed,
                })
            }
            Expr::Matrix(m) => {
                let selector = self.selector(&m.selector, hint)?;
                let range = self.duration(m.range_ms, m.range_expr.as_deref(), false)?;
                let invariant = selector.at.is_some();
                let node = Node::Range(Box::new(RangeSelector { selector, range }));
                Ok(Built {
                    node,
                    invariant,
                    wrap: false,
                })
            }
            Expr::Subquery(s) => {
                let inner = self.node(
                    &s.expr,
                    Hint {
                        stats_only: false,
                        unordered: false,
                        ..hint
                    },
                )?;
                let expr = if inner.invariant {
                    Node::Invariant(Box::new(inner.node))
                } else {
                    inner.node
                };
                let step = self.duration(s.step_ms, s.step_expr.as_deref(), false)?;
                let at = self.at(s.at_ms, s.at_edge);
                let node = Node::Subquery(Box::new(SubqueryNode {
                    expr,
                    range: self.duration(s.range_ms, s.range_expr.as_deref(), false)?,
                    step: if step == 0 {
                        self.cx.default_subquery_step.max(1)
                    } else {
                        step
                    },
                    offset: self.duration(s.offset_ms, s.offset_expr.as_deref(), true)?,
                    at,
                }));
                Ok(Built {
                    node,
                    invariant: at.is_some(),
                    wrap: false,
                })
            }
            Expr::Binary(b) => {
                let trim = matches!(b.op, BinOp::TrimUpper | BinOp::TrimLower);
                let vectors = [&b.lhs, &b.rhs].map(|e| e.value_type() == ValueType::Vector);
                let side = Hint {
                    name: "",
                    stats_only: hint.stats_only && !trim,
                    // A join looks series up by their labels, in order.
                    unordered: hint.unordered && vectors != [true, true],
                };
                let l = self.node(&b.lhs, side)?;
                let r = self.node(&b.rhs, side)?;
                let invariant = l.invariant && r.invariant;
                let (lhs, rhs) = if invariant {
                    (l.node, r.node)
                } else {
                    (l.wrapped(), r.wrapped())
                };
                let node = Node::Binary(Box::new(BinaryNode {
                    op: b.op,
                    lhs,
                    rhs,
                    types: (b.lhs.value_type(), b.rhs.value_type()),
                    matching: b.matching.clone().unwrap_or_default(),
                    return_bool: b.return_bool,
                    span: b.span,
                }));
                Ok(Built {
                    node,
                    invariant,
                    wrap: invariant,
                })
            }
            Expr::Aggregate(a) => {
                let inner = a.expr.unwrap_parens();
                let hint = Hint {
                    name: a.op.name(),
                    unordered: false,
                    ..hint
                };
                let folds = Hint {
                    unordered: a.op.folds(),
                    ..hint
                };
                let b = self.node(inner, folds)?;
                let param_expr = a.param.as_ref().map(Expr::unwrap_parens);
                let param = param_expr.map(|p| self.node(p, hint)).transpose()?;
                let invariant = b.invariant && param.as_ref().is_none_or(|p| p.invariant);
                let unwrapped = |b: Built| if invariant { b.node } else { b.wrapped() };
                let wrap = b.wrap && invariant;
                let mut grouping = a.grouping.clone();
                grouping.sort_unstable();
                let node = Node::Aggregate(Box::new(AggNode {
                    op: a.op,
                    expr: unwrapped(b),
                    expr_span: inner.span(),
                    param: param.map(unwrapped),
                    param_span: param_expr.map_or(a.span, Expr::span),
                    grouping,
                    without: a.without,
                    span: a.span,
                }));
                Ok(Built {
                    node,
                    invariant,
                    wrap,
                })
            }
            Expr::Call(c) => self.call(c, hint),
        }
    }

    fn call(&self, c: &crate::promql::ast::Call, hint: Hint) -> Result<Built, String> {
        let name = c.func.name;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let folded = match name {
            "start" => Some(seconds(self.cx.start)),
            "end" => Some(seconds(self.cx.end)),
            "range" => Some(seconds(self.cx.end.saturating_sub(self.cx.start))),
            "step" if self.cx.start == self.cx.end => Some(0.0),
            "step" => Some(seconds(self.cx.step)),
            _ => None,
        };
        if let Some(v) = folded {
            return Ok(Built {
                node: Node::Number(v),
                invariant: true,
                wrap: false,
            });
        }
        let stats_only = match name {
            "histogram_count" | "histogram_sum" | "histogram_avg" => true,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => false,
            _ => hint.stats_only,
        };
        let inner_hint = Hint {
            name,
            stats_only,
            unordered: hint.unordered && super::stream::is_streamed(name),
        };
        let exprs: Vec<&Expr> = c.args.iter().map(Expr::unwrap_parens).collect();
        let built: Vec<Built> = exprs
            .iter()
            .map(|e| self.node(e, inner_hint))
            .collect::<Result<_, _>>()?;
        let all_invariant = built.iter().all(|b| b.invariant);
        let only_selectors = exprs.iter().all(|e| matches!(e, Expr::Vector(_)));
        let invariant =
            all_invariant && (!depends_on_step(name) || (name == "timestamp" && only_selectors));
        let args = built
            .into_iter()
            .map(|b| if invariant { b.node } else { b.wrapped() })
            .collect();
        let (info_at, info_offset) = if name == "info" {
            self.first_selector_time(exprs.first().copied())?
        } else {
            (None, 0)
        };
        let info_matchers = match exprs.get(1) {
            Some(Expr::Vector(v)) if name == "info" => Some(v.matchers.clone()),
            _ => None,
        };
        let node = Node::Call(Box::new(CallNode {
            func: c.func,
            args,
            arg_spans: exprs.iter().map(|e| e.span()).collect(),
            span: c.span,
            absent_labels: exprs
                .first()
                .map_or_else(Labels::empty, |e| absent_labels(e)),
            info_at,
            info_offset,
            info_matchers,
        }));
        Ok(Built {
            node,
            invariant,
            wrap: invariant,
        })
    }

    fn selector(&self, v: &VectorSelector, hint: Hint) -> Result<Selector, String> {
        Ok(Selector {
            matchers: v.matchers.clone(),
            offset: self.duration(v.offset_ms, v.offset_expr.as_deref(), true)?,
            at: self.at(v.at_ms, v.at_edge),
            anchored: v.anchored,
            smoothed: v.smoothed,
            hint: hint.name,
            stats_only: hint.stats_only,
            unordered: hint.unordered,
            span: v.span,
        })
    }

    fn at(&self, at: Option<i64>, edge: Option<StartOrEnd>) -> Option<i64> {
        at.or(edge.map(|e| match e {
            StartOrEnd::Start => self.cx.start,
            StartOrEnd::End => self.cx.end,
        }))
    }

    fn duration(&self, ms: i64, expr: Option<&DurationExpr>, signed: bool) -> Result<i64, String> {
        let Some(e) = expr else { return Ok(ms) };
        let seconds = self.seconds(e)?;
        let bad = |what: &str| Err(format!("{}:{}: {what}", e.span.start, e.span.end));
        if !seconds.is_finite() {
            return bad("duration is NaN or infinite");
        }
        if seconds <= 0.0 && !signed {
            return bad("duration must be greater than 0");
        }
        if seconds.abs() > 9_223_372_036.854_775 {
            return bad("duration is out of range");
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn seconds(&self, e: &DurationExpr) -> Result<f64, String> {
        let arg = |a: &Option<DurationArg>| match a {
            None => Ok(0.0),
            Some(DurationArg::Number(n)) => Ok(n.val),
            Some(DurationArg::Expr(e)) => self.seconds(e),
        };
        let (l, r) = (arg(&e.lhs)?, arg(&e.rhs)?);
        let zero = |what: &str| Err(format!("{}:{}: {what} by zero", e.span.start, e.span.end));
        Ok(match e.op {
            DurationOp::Step => self.cx.step as f64 / 1000.0,
            DurationOp::Range => self.cx.end.saturating_sub(self.cx.start) as f64 / 1000.0,
            DurationOp::MinOf => math::min(l, r),
            DurationOp::MaxOf => math::max(l, r),
            DurationOp::Add => l + r,
            DurationOp::Sub => l - r,
            DurationOp::Mul => l * r,
            DurationOp::Div if r == 0.0 => return zero("division"),
            DurationOp::Div => l / r,
            DurationOp::Mod if r == 0.0 => return zero("modulo"),
            DurationOp::Mod => l % r,
            DurationOp::Pow => l.powf(r),
        })
    }

    /// `@` and offset of the first selector below `expr`, subqueries on the way included.
    fn first_selector_time(&self, expr: Option<&Expr>) -> Result<(Option<i64>, i64), String> {
        let Some(expr) = expr else {
            return Ok((None, 0));
        };
        Ok(self.selector_time(expr)?.unwrap_or((None, 0)))
    }

    fn selector_time(&self, e: &Expr) -> Result<Option<(Option<i64>, i64)>, String> {
        Ok(match e {
            Expr::Vector(v) => {
                let offset = self.duration(v.offset_ms, v.offset_expr.as_deref(), true)?;
                Some((self.at(v.at_ms, v.at_edge), offset))
            }
            Expr::Matrix(m) => self.selector_time(&Expr::Vector(Box::new(m.selector.clone())))?,
            Expr::Subquery(s) => match self.selector_time(&s.expr)? {
                Some((None, offset)) => {
                    let own = self.duration(s.offset_ms, s.offset_expr.as_deref(), true)?;
                    Some((self.at(s.at_ms, s.at_edge), offset.saturating_add(own)))
                }
                found => found,
            },
            Expr::Paren(p) => self.selector_time(&p.expr)?,
            Expr::Unary(u) => self.selector_time(&u.expr)?,
            Expr::Aggregate(a) => match (self.selector_time(&a.expr)?, &a.param) {
                (None, Some(p)) => self.selector_time(p)?,
                (found, _) => found,
            },
            Expr::Binary(b) => match self.selector_time(&b.lhs)? {
                None => self.selector_time(&b.rhs)?,
                found => found,
            },
            Expr::Call(c) => {
                for a in &c.args {
                    if let Some(found) = self.selector_time(a)? {
                        return Ok(Some(found));
                    }
                }
                None
            }
            Expr::Number(_) | Expr::String(_) => None,
        })
    }
}

/// What `absent` says about a selector: the labels that equality matchers pin down.
fn absent_labels(arg: &Expr) -> Labels {
    let matchers = match arg {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut b = LabelsBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    for m in matchers.iter().filter(|m| m.name != METRIC_NAME) {
        if m.op_str() == "=" && !seen.contains(&m.name.as_str()) {
            b.set(&m.name, &m.value);
            seen.push(&m.name);
        } else {
            b.remove(&m.name);
        }
    }
    b.build()
}
