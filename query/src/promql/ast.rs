//! The syntax tree. Every node knows its place in the text; durations that are computed from the
//! query's step and range stay expressions until a query is planned.

use engine::model::Matcher;

use super::functions::Function;

/// Byte range in the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
}

impl Span {
    /// From `start` of the first to `end` of the last.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        Self {
            start: self.start,
            end: last.end,
        }
    }

    /// `line:column`, both from 1, columns in bytes; `unknown position` for an empty text.
    #[must_use]
    pub fn position_in(self, text: &str) -> String {
        if text.is_empty() {
            return "unknown position".to_owned();
        }
        let Some(before) = text.as_bytes().get(..self.start as usize) else {
            return "invalid position".to_owned();
        };
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        format!("{line}:{column}")
    }
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// At most one sample per series and step.
    Vector,
    /// Samples in a window per series.
    Matrix,
    /// A string.
    String,
}

impl ValueType {
    /// Name in the API: `vector`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }

    /// Name in messages: `instant vector`.
    #[must_use]
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }
}

/// Binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Unless,
    TrimUpper,
    TrimLower,
}

impl BinOp {
    /// As written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }

    /// `== != < <= > >=`.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Eq | Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge
        )
    }

    /// `and or unless`.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// True when results are no longer samples of the metric they came from.
    #[must_use]
    pub fn drops_name(self) -> bool {
        matches!(
            self,
            Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod | Self::Pow | Self::Atan2
        )
    }
}

/// Aggregation operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AggOp {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
    Limitk,
    LimitRatio,
}

impl AggOp {
    /// As written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Bottomk => "bottomk",
            Self::Count => "count",
            Self::CountValues => "count_values",
            Self::Group => "group",
            Self::Max => "max",
            Self::Min => "min",
            Self::Quantile => "quantile",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Sum => "sum",
            Self::Topk => "topk",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// Takes a parameter before the expression.
    #[must_use]
    pub fn has_param(self) -> bool {
        matches!(
            self,
            Self::Topk
                | Self::Bottomk
                | Self::CountValues
                | Self::Quantile
                | Self::Limitk
                | Self::LimitRatio
        )
    }

    /// Makes one value of a group, to which every element contributes, rather than a choice or a
    /// count of its elements.
    #[must_use]
    pub fn folds(self) -> bool {
        !self.has_param() || self == Self::Quantile
    }

    /// Must be enabled in the options.
    #[must_use]
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
}

/// How many series of either side may match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// Neither side has a partner twice.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

impl Cardinality {
    /// Name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneToOne => "one-to-one",
            Self::ManyToOne => "many-to-one",
            Self::OneToMany => "one-to-many",
            Self::ManyToMany => "many-to-many",
        }
    }
}

/// How series of two vectors find each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// Cardinality.
    pub card: Cardinality,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// `on` rather than `ignoring`.
    pub on: bool,
    /// Labels of `group_left`/`group_right`.
    pub include: Vec<String>,
    /// Value for a missing left sample.
    pub fill_left: Option<f64>,
    /// Value for a missing right sample.
    pub fill_right: Option<f64>,
}

/// Start or end of the query as an `@` time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOrEnd {
    /// `start()`.
    Start,
    /// `end()`.
    End,
}

impl StartOrEnd {
    /// `start` or `end`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
        }
    }
}

/// Operation of a duration expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DurationOp {
    Step,
    Range,
    MinOf,
    MaxOf,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
}

impl DurationOp {
    /// As written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Range => "range",
            Self::MinOf => "min_of",
            Self::MaxOf => "max_of",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
        }
    }
}

/// A computed duration: `5m * 2`, `-step()`, `max_of(1m, step())`.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationExpr {
    /// Operation.
    pub op: DurationOp,
    /// Left operand; absent for unary operations, `step()` and `range()`.
    pub lhs: Option<DurationArg>,
    /// Right operand.
    pub rhs: Option<DurationArg>,
    /// Written in parentheses.
    pub wrapped: bool,
    /// Place in the text.
    pub span: Span,
}

/// Operand of a computed duration.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationArg {
    /// A number of seconds or a duration literal.
    Number(NumberLiteral),
    /// A computed duration.
    Expr(Box<DurationExpr>),
}

impl DurationArg {
    /// Place in the text.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Number(n) => n.span,
            Self::Expr(e) => e.span,
        }
    }
}

/// A number, or a duration as a number of seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    /// Value (seconds for durations).
    pub val: f64,
    /// Written as a duration.
    pub duration: bool,
    /// Place in the text.
    pub span: Span,
}

/// `"text"`.
#[derive(Debug, Clone, PartialEq)]
pub struct StringLiteral {
    /// Value without quotes.
    pub val: String,
    /// Place in the text.
    pub span: Span,
}

/// `name{...}` with its modifiers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorSelector {
    /// Name before the braces, or empty.
    pub name: String,
    /// All matchers; the one of `name` last.
    pub matchers: Vec<Matcher>,
    /// `offset` in ms.
    pub offset_ms: i64,
    /// Computed `offset`.
    pub offset_expr: Option<Box<DurationExpr>>,
    /// `@` time in ms.
    pub at_ms: Option<i64>,
    /// `@ start()` or `@ end()`.
    pub at_edge: Option<StartOrEnd>,
    /// `anchored`.
    pub anchored: bool,
    /// `smoothed`.
    pub smoothed: bool,
    /// The second argument of `info()` may match everything.
    pub allow_empty: bool,
    /// Place in the text.
    pub span: Span,
}

/// `selector[range]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// The selector; carries the modifiers of the whole.
    pub selector: VectorSelector,
    /// Range in ms.
    pub range_ms: i64,
    /// Computed range.
    pub range_expr: Option<Box<DurationExpr>>,
    /// Place in the text.
    pub span: Span,
}

/// `expr[range:step]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// Inner expression.
    pub expr: Expr,
    /// Range in ms.
    pub range_ms: i64,
    /// Computed range.
    pub range_expr: Option<Box<DurationExpr>>,
    /// Step in ms, 0 for the default.
    pub step_ms: i64,
    /// Computed step.
    pub step_expr: Option<Box<DurationExpr>>,
    /// `offset` in ms.
    pub offset_ms: i64,
    /// Computed `offset`.
    pub offset_expr: Option<Box<DurationExpr>>,
    /// `@` time in ms.
    pub at_ms: Option<i64>,
    /// `@ start()` or `@ end()`.
    pub at_edge: Option<StartOrEnd>,
    /// Place in the text.
    pub span: Span,
}

/// `sum by (a) (expr)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Operator.
    pub op: AggOp,
    /// Expression.
    pub expr: Expr,
    /// Parameter, where the operator has one.
    pub param: Option<Expr>,
    /// Labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// `without` rather than `by`.
    pub without: bool,
    /// Place in the text.
    pub span: Span,
}

/// `lhs op rhs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinOp,
    /// Left side.
    pub lhs: Expr,
    /// Right side.
    pub rhs: Expr,
    /// Between two vectors: how they match.
    pub matching: Option<Matching>,
    /// `bool`.
    pub return_bool: bool,
    /// Place of the operator.
    pub op_span: Span,
    /// Place in the text.
    pub span: Span,
}

/// `name(args)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub func: &'static Function,
    /// Arguments.
    pub args: Vec<Expr>,
    /// Place in the text.
    pub span: Span,
}

/// `-expr`, `+expr`.
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// Minus rather than plus.
    pub negative: bool,
    /// Operand.
    pub expr: Expr,
    /// Place in the text.
    pub span: Span,
}

/// `(expr)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Paren {
    /// Inner expression.
    pub expr: Expr,
    /// Place in the text.
    pub span: Span,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Expr {
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Call(Box<Call>),
    Matrix(Box<MatrixSelector>),
    Number(NumberLiteral),
    Paren(Box<Paren>),
    String(StringLiteral),
    Subquery(Box<Subquery>),
    Unary(Box<Unary>),
    Vector(Box<VectorSelector>),
}

impl Expr {
    /// Type of the value. Cost: depth of the expression.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Aggregate(_) | Self::Vector(_) => ValueType::Vector,
            Self::Binary(b) => {
                if b.lhs.value_type() == ValueType::Scalar
                    && b.rhs.value_type() == ValueType::Scalar
                {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
            Self::Call(c) => c.func.returns,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Number(_) => ValueType::Scalar,
            Self::Paren(p) => p.expr.value_type(),
            Self::String(_) => ValueType::String,
            Self::Unary(u) => u.expr.value_type(),
        }
    }

    /// Place in the text.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Aggregate(e) => e.span,
            Self::Binary(e) => e.span,
            Self::Call(e) => e.span,
            Self::Matrix(e) => e.span,
            Self::Number(e) => e.span,
            Self::Paren(e) => e.span,
            Self::String(e) => e.span,
            Self::Subquery(e) => e.span,
            Self::Unary(e) => e.span,
            Self::Vector(e) => e.span,
        }
    }

    /// The expression inside any parentheses.
    #[must_use]
    pub fn unwrap_parens(&self) -> &Self {
        let mut e = self;
        while let Self::Paren(p) = e {
            e = &p.expr;
        }
        e
    }
}

/// Calls `f` for `expr` and everything below it, parents first, in the order of evaluation.
/// The selector of a range selector is visited as a [`Expr::Vector`] too.
pub fn walk(expr: &Expr, f: &mut dyn FnMut(&Expr)) {
    f(expr);
    match expr {
        Expr::Aggregate(a) => {
            walk(&a.expr, f);
            if let Some(p) = &a.param {
                walk(p, f);
            }
        }
        Expr::Binary(b) => {
            walk(&b.lhs, f);
            walk(&b.rhs, f);
        }
        Expr::Call(c) => c.args.iter().for_each(|a| walk(a, f)),
        Expr::Matrix(m) => f(&Expr::Vector(Box::new(m.selector.clone()))),
        Expr::Paren(p) => walk(&p.expr, f),
        Expr::Subquery(s) => walk(&s.expr, f),
        Expr::Unary(u) => walk(&u.expr, f),
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) => {}
    }
}
