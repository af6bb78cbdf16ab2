//! The syntax tree of LogQL. Values are resolved (durations in ns, sizes in bytes, strings
//! unquoted); what was written is kept only where printing needs it.

use engine::model::Matcher;

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Lines.
    Log(LogExpr),
    /// Numbers over time.
    Metric(MetricExpr),
}

/// A stream selector with a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct LogExpr {
    /// Which streams.
    pub matchers: Vec<Matcher>,
    /// What happens to their lines, in order.
    pub stages: Vec<Stage>,
}

/// A query with numbers as its answer.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricExpr {
    /// `f(selector [range])`.
    Range(Box<RangeAggregation>),
    /// `sum by (x) (..)`.
    Vector(Box<VectorAggregation>),
    /// `a op b`.
    Binary(Box<Binary>),
    /// A number.
    Literal(f64),
    /// `vector(n)`.
    VectorOf(f64),
    /// `label_replace(..)`.
    LabelReplace(Box<LabelReplace>),
}

/// Functions over a range of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeOp {
    /// Number of entries, or last minus nothing: see LogQL's documentation of each.
    CountOverTime,
    /// Entries (or unwrapped sum) a second.
    Rate,
    /// Counter increase a second.
    RateCounter,
    /// Bytes of lines.
    BytesOverTime,
    /// Bytes of lines a second.
    BytesRate,
    /// 1 where there is nothing.
    AbsentOverTime,
    /// Sum of unwrapped values.
    SumOverTime,
    /// Mean of unwrapped values.
    AvgOverTime,
    /// Smallest unwrapped value.
    MinOverTime,
    /// Largest unwrapped value.
    MaxOverTime,
    /// Population variance.
    StdvarOverTime,
    /// Population standard deviation.
    StddevOverTime,
    /// Quantile, interpolated.
    QuantileOverTime,
    /// Oldest unwrapped value.
    FirstOverTime,
    /// Newest unwrapped value.
    LastOverTime,
}

impl RangeOp {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::CountOverTime,
        Self::Rate,
        Self::RateCounter,
        Self::BytesOverTime,
        Self::BytesRate,
        Self::AbsentOverTime,
        Self::SumOverTime,
        Self::AvgOverTime,
        Self::MinOverTime,
        Self::MaxOverTime,
        Self::StdvarOverTime,
        Self::StddevOverTime,
        Self::QuantileOverTime,
        Self::FirstOverTime,
        Self::LastOverTime,
    ];

    /// The function's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CountOverTime => "count_over_time",
            Self::Rate => "rate",
            Self::RateCounter => "rate_counter",
            Self::BytesOverTime => "bytes_over_time",
            Self::BytesRate => "bytes_rate",
            Self::AbsentOverTime => "absent_over_time",
            Self::SumOverTime => "sum_over_time",
            Self::AvgOverTime => "avg_over_time",
            Self::MinOverTime => "min_over_time",
            Self::MaxOverTime => "max_over_time",
            Self::StdvarOverTime => "stdvar_over_time",
            Self::StddevOverTime => "stddev_over_time",
            Self::QuantileOverTime => "quantile_over_time",
            Self::FirstOverTime => "first_over_time",
            Self::LastOverTime => "last_over_time",
        }
    }
}

/// `f(param, selector [range] offset d) by (..)`.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeAggregation {
    /// Which function.
    pub op: RangeOp,
    /// Parameter of `quantile_over_time`.
    pub param: Option<f64>,
    /// The lines.
    pub log: LogExpr,
    /// The label whose value is taken instead of the line.
    pub unwrap: Option<Unwrap>,
    /// Length of the window, ns.
    pub range: i64,
    /// Shift into the past, ns; may be negative.
    pub offset: i64,
    /// Grouping of unwrapped aggregations.
    pub grouping: Option<Grouping>,
}

/// Conversion of an unwrapped value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// A number.
    Float,
    /// A byte size.
    Bytes,
    /// A duration, in seconds (`duration`).
    Duration,
    /// A duration, in seconds (`duration_seconds`).
    DurationSeconds,
}

/// `| unwrap x | filters`.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    /// The label.
    pub label: String,
    /// How its value is read.
    pub conversion: Conversion,
    /// Filters after it.
    pub filters: Vec<LabelFilter>,
}

/// Aggregations over series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VectorOp {
    /// Sum.
    Sum,
    /// Mean.
    Avg,
    /// Number of series.
    Count,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Population standard deviation.
    Stddev,
    /// Population variance.
    Stdvar,
    /// Largest k.
    Topk,
    /// Smallest k.
    Bottomk,
    /// Largest k; exact here.
    ApproxTopk,
    /// Ascending by value.
    Sort,
    /// Descending by value.
    SortDesc,
}

impl VectorOp {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::ApproxTopk,
        Self::Sort,
        Self::SortDesc,
    ];

    /// The operator's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::ApproxTopk => "approx_topk",
            Self::Sort => "sort",
            Self::SortDesc => "sort_desc",
        }
    }

    /// Whether it takes a number first.
    #[must_use]
    pub fn has_param(self) -> bool {
        matches!(self, Self::Topk | Self::Bottomk | Self::ApproxTopk)
    }
}

/// `by (..)` or `without (..)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// The labels.
    pub labels: Vec<String>,
    /// True for `without`.
    pub without: bool,
}

/// `op by (..) (param, inner)`.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorAggregation {
    /// Which aggregation.
    pub op: VectorOp,
    /// k of topk and its like.
    pub param: usize,
    /// None: all into one.
    pub grouping: Option<Grouping>,
    /// What is aggregated.
    pub inner: MetricExpr,
}

/// Operators of two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `or`
    Or,
    /// `and`
    And,
    /// `unless`
    Unless,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
}

impl BinaryOp {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Or,
        Self::And,
        Self::Unless,
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessEqual,
        Self::Greater,
        Self::GreaterEqual,
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Pow,
    ];

    /// As written.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Unless => "unless",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
        }
    }

    /// `or`, `and`, `unless`.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    /// `==` and its like.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        use BinaryOp as B;
        matches!(
            self,
            B::Equal | B::NotEqual | B::Less | B::LessEqual | B::Greater | B::GreaterEqual
        )
    }

    /// How tightly it binds; larger is tighter.
    #[must_use]
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod => 5,
            Self::Pow => 6,
            _ => 3,
        }
    }
}

/// Which side may have several series for one of the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// Neither.
    #[default]
    OneToOne,
    /// The left one; labels copied from the right.
    GroupLeft(Vec<String>),
    /// The right one; labels copied from the left.
    GroupRight(Vec<String>),
}

/// `on (..)`/`ignoring (..)` with its grouping.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matching {
    /// True for `on`.
    pub on: bool,
    /// The labels.
    pub labels: Vec<String>,
    /// See [`Cardinality`].
    pub cardinality: Cardinality,
}

/// `left op right`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// Comparisons give 0 or 1.
    pub return_bool: bool,
    /// None: all labels must be equal.
    pub matching: Option<Matching>,
    /// Left side.
    pub left: MetricExpr,
    /// Right side.
    pub right: MetricExpr,
}

/// `label_replace(inner, dst, replacement, src, regex)`.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelReplace {
    /// Whose labels.
    pub inner: MetricExpr,
    /// The label that is set.
    pub dst: String,
    /// Template with `$1`.
    pub replacement: String,
    /// The label that is read.
    pub src: String,
    /// Anchored pattern.
    pub regex: String,
}

/// Operators of line filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Matches,
    /// `!~`
    NotMatches,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

impl LineOp {
    /// As written.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Contains => "|=",
            Self::NotContains => "!=",
            Self::Matches => "|~",
            Self::NotMatches => "!~",
            Self::Pattern => "|>",
            Self::NotPattern => "!>",
        }
    }

    /// True for the operators with `!`.
    #[must_use]
    pub fn is_negative(self) -> bool {
        matches!(
            self,
            Self::NotContains | Self::NotMatches | Self::NotPattern
        )
    }
}

/// One alternative of a line filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineMatch {
    /// Text, pattern or address.
    pub text: String,
    /// `ip("..")`.
    pub ip: bool,
}

/// Comparison operators of label filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `=` and `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

impl Compare {
    /// As printed.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }

    /// Whether `a op b` holds.
    #[must_use]
    pub fn holds<T: PartialOrd>(self, a: &T, b: &T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a < b,
            Self::LessEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterEqual => a >= b,
        }
    }
}

/// A test on labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    /// Text; the label's missing value is empty.
    Text(Matcher),
    /// A number.
    Number(String, Compare, f64),
    /// A duration, ns.
    Duration(String, Compare, i64),
    /// A byte size.
    Bytes(String, Compare, u64),
    /// An address range; true for `=`.
    Ip(String, bool, String),
    /// Both.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// At least one.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

/// `name="expression"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    /// The label that is set.
    pub label: String,
    /// What is read.
    pub expression: String,
}

/// One term of `label_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFormat {
    /// The label that is set.
    pub target: String,
    /// Template, or the label that is renamed.
    pub source: String,
    /// A rename.
    pub rename: bool,
}

/// One term of `drop` and `keep`.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelPick {
    /// By name.
    Name(String),
    /// By name and value.
    Match(Matcher),
}

/// A step of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `|= "a" or "b"`.
    Line(LineOp, Vec<LineMatch>),
    /// `| json`, with expressions.
    Json(Vec<Extraction>),
    /// `| logfmt --strict --keep-empty a="b"`.
    Logfmt {
        /// Stop at the first fault.
        strict: bool,
        /// Keep empty values.
        keep_empty: bool,
        /// Only these.
        expressions: Vec<Extraction>,
    },
    /// `| regexp "re"`.
    Regexp(String),
    /// `| pattern "p"`.
    Pattern(String),
    /// `| unpack`.
    Unpack,
    /// `| decolorize`.
    Decolorize,
    /// `| x > 5`.
    Label(LabelFilter),
    /// `| line_format "t"`.
    LineFormat(String),
    /// `| label_format a=b`.
    LabelFormat(Vec<LabelFormat>),
    /// `| drop a`.
    Drop(Vec<LabelPick>),
    /// `| keep a`.
    Keep(Vec<LabelPick>),
}

impl Stage {
    /// Whether it reads the line.
    #[must_use]
    pub fn reads_line(&self) -> bool {
        matches!(
            self,
            Self::Line(..)
                | Self::Json(_)
                | Self::Logfmt { .. }
                | Self::Regexp(_)
                | Self::Pattern(_)
                | Self::Unpack
        )
    }
}

/// Calls `f` with every range aggregation of an expression, in the order of the text.
pub fn walk_ranges<'e>(expr: &'e MetricExpr, f: &mut dyn FnMut(&'e RangeAggregation)) {
    match expr {
        MetricExpr::Range(r) => f(r),
        MetricExpr::Vector(v) => walk_ranges(&v.inner, f),
        MetricExpr::Binary(b) => {
            walk_ranges(&b.left, f);
            walk_ranges(&b.right, f);
        }
        MetricExpr::LabelReplace(l) => walk_ranges(&l.inner, f),
        MetricExpr::Literal(_) | MetricExpr::VectorOf(_) => {}
    }
}
