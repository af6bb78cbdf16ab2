//! Expressions: aggregations, binary operators, literals.

use super::{ParseError, Parsed, Parser};
use crate::logql::ast::{
    Binary, BinaryOp, Cardinality, Expr, Grouping, LabelReplace, LogExpr, Matching, MetricExpr,
    RangeAggregation, RangeOp, VectorAggregation, VectorOp,
};
use crate::logql::lex::Token;
use crate::text::float;

impl Parser {
    /// An expression whose operators bind at least as tightly as `least`.
    pub(super) fn expr(&mut self, least: u8) -> Parsed<Expr> {
        self.nested(|p| p.expr_inner(least))
    }

    fn expr_inner(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = self.operand()?;
        while let Some(op) = self.binary_op() {
            if op.precedence() < least {
                break;
            }
            self.bump();
            let return_bool = self.take_word("bool");
            let matching = self.matching()?;
            let next = if op == BinaryOp::Pow {
                op.precedence()
            } else {
                op.precedence() + 1
            };
            let right = self.expr(next)?;
            left = Expr::Metric(binary(op, return_bool, matching, left, right)?);
        }
        Ok(left)
    }

    fn binary_op(&self) -> Option<BinaryOp> {
        let (Token::Op(text) | Token::Word(text)) = self.peek() else {
            return None;
        };
        BinaryOp::ALL.into_iter().find(|o| o.text() == *text)
    }

    fn operand(&mut self) -> Parsed<Expr> {
        match self.peek().clone() {
            Token::Op("{") => Ok(Expr::Log(self.log_expr()?)),
            Token::Op("(") => {
                self.bump();
                let inner = self.expr(0)?;
                self.expect_op(")")?;
                Ok(inner)
            }
            Token::Number(_) | Token::Op("-" | "+") => {
                Ok(Expr::Metric(MetricExpr::Literal(self.signed_number()?)))
            }
            Token::Function(name) => Ok(Expr::Metric(self.call(name)?)),
            _ => Err(self.unexpected(&[])),
        }
    }

    fn log_expr(&mut self) -> Parsed<LogExpr> {
        let matchers = self.selector()?;
        let stages = self.stages()?;
        Ok(LogExpr { matchers, stages })
    }

    /// A number with an optional sign.
    pub(super) fn signed_number(&mut self) -> Parsed<f64> {
        let negative = self.is_op("-");
        if negative || self.is_op("+") {
            self.bump();
        }
        let v = self.number()?;
        Ok(if negative { -v } else { v })
    }

    /// An unsigned number.
    fn number(&mut self) -> Parsed<f64> {
        value_of(&self.number_text()?)
    }

    fn number_text(&mut self) -> Parsed<String> {
        match self.peek() {
            Token::Number(_) => match self.bump() {
                Token::Number(n) => Ok(n),
                _ => Ok(String::new()),
            },
            _ => Err(self.unexpected(&["NUMBER"])),
        }
    }

    fn call(&mut self, name: &'static str) -> Parsed<MetricExpr> {
        if let Some(op) = RangeOp::ALL.into_iter().find(|o| o.name() == name) {
            return self.range_aggregation(op);
        }
        if let Some(op) = VectorOp::ALL.into_iter().find(|o| o.name() == name) {
            return self.vector_aggregation(op);
        }
        match name {
            "vector" => {
                self.bump();
                self.expect_op("(")?;
                let v = self.number()?;
                self.expect_op(")")?;
                Ok(MetricExpr::VectorOf(v))
            }
            "label_replace" => self.label_replace(),
            _ => Err(self.unexpected(&[])),
        }
    }

    fn label_replace(&mut self) -> Parsed<MetricExpr> {
        self.bump();
        self.expect_op("(")?;
        let inner = self.metric()?;
        let mut texts = Vec::with_capacity(4);
        for _ in 0..4 {
            self.expect_op(",")?;
            texts.push(self.text()?);
        }
        self.expect_op(")")?;
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap_or_default();
        Ok(MetricExpr::LabelReplace(Box::new(LabelReplace {
            inner,
            dst: next(),
            replacement: next(),
            src: next(),
            regex: next(),
        })))
    }

    /// A metric expression as an argument.
    fn metric(&mut self) -> Parsed<MetricExpr> {
        match self.expr(0)? {
            Expr::Metric(m) => Ok(m),
            Expr::Log(_) => Err(self.unexpected(&[])),
        }
    }

    fn range_aggregation(&mut self, op: RangeOp) -> Parsed<MetricExpr> {
        self.bump();
        self.expect_op("(")?;
        let mut param = None;
        if matches!(self.peek(), Token::Number(_)) {
            param = Some(self.number()?);
            self.expect_op(",")?;
        }
        let mut range = self.log_range()?;
        self.expect_op(")")?;
        range.op = op;
        range.param = param;
        range.grouping = self.grouping()?;
        Ok(MetricExpr::Range(Box::new(range)))
    }

    /// Everything between the parentheses of a range aggregation.
    fn log_range(&mut self) -> Parsed<RangeAggregation> {
        // Parentheses belong to the selector when the range follows them, to the whole otherwise.
        if self.is_op("(") {
            return self.nested(|p| {
                p.bump();
                if p.is_op("(") {
                    let inner = p.log_range()?;
                    p.expect_op(")")?;
                    return Ok(inner);
                }
                let mut out = p.open_range()?;
                if out.range == 0 {
                    p.expect_op(")")?;
                    p.range_and_offset(&mut out)?;
                    if out.unwrap.is_none() {
                        out.unwrap = p.unwrap_part()?;
                    }
                } else {
                    p.expect_op(")")?;
                }
                Ok(out)
            });
        }
        let out = self.open_range()?;
        if out.range == 0 {
            return Err(self.unexpected(&[]));
        }
        Ok(out)
    }

    /// A selector with pipeline, unwrap and range in one of their orders; the range may be missing.
    fn open_range(&mut self) -> Parsed<RangeAggregation> {
        let mut out = RangeAggregation {
            op: RangeOp::CountOverTime,
            param: None,
            log: LogExpr {
                matchers: self.selector()?,
                stages: Vec::new(),
            },
            unwrap: None,
            range: 0,
            offset: 0,
            grouping: None,
        };
        if matches!(self.peek(), Token::Range(_)) {
            self.range_and_offset(&mut out)?;
            out.log.stages = self.stages()?;
            out.unwrap = self.unwrap_part()?;
            return Ok(out);
        }
        out.log.stages = self.stages()?;
        out.unwrap = self.unwrap_part()?;
        if matches!(self.peek(), Token::Range(_)) {
            self.range_and_offset(&mut out)?;
        }
        Ok(out)
    }

    fn range_and_offset(&mut self, out: &mut RangeAggregation) -> Parsed<()> {
        let Token::Range(ns) = *self.peek() else {
            return Err(self.unexpected(&["RANGE"]));
        };
        self.bump();
        out.range = ns;
        if self.take_word("offset") {
            let Token::Duration(ns) = *self.peek() else {
                return Err(self.unexpected(&["DURATION"]));
            };
            self.bump();
            out.offset = ns;
        }
        Ok(())
    }

    fn vector_aggregation(&mut self, op: VectorOp) -> Parsed<MetricExpr> {
        self.bump();
        let mut grouping = self.grouping()?;
        self.expect_op("(")?;
        let mut param = None;
        if matches!(self.peek(), Token::Number(_)) && matches!(self.peek_at(1), Token::Op(",")) {
            param = Some(self.number_text()?);
            self.bump();
        }
        let inner = self.metric()?;
        self.expect_op(")")?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let param = vector_param(op, param.as_deref())?;
        if grouping.is_some()
            && matches!(
                op,
                VectorOp::Sort | VectorOp::SortDesc | VectorOp::ApproxTopk
            )
        {
            return Err(ParseError::new(format!(
                "grouping not allowed for {} aggregation",
                op.name()
            )));
        }
        Ok(MetricExpr::Vector(Box::new(VectorAggregation {
            op,
            param,
            grouping,
            inner,
        })))
    }

    /// `by (..)` or `without (..)`, when it follows.
    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.bump();
        let labels = self.names()?;
        Ok(Some(Grouping { labels, without }))
    }

    fn matching(&mut self) -> Parsed<Option<Matching>> {
        let on = self.is_word("on");
        if !on && !self.is_word("ignoring") {
            return Ok(None);
        }
        self.bump();
        let labels = self.names()?;
        let left = self.is_word("group_left");
        let cardinality = if left || self.is_word("group_right") {
            self.bump();
            // A parenthesis may also begin the right side; names and `)` make it a list.
            let list = self.is_op("(")
                && match self.peek_at(1) {
                    Token::Op(")") => true,
                    Token::Identifier(_) => matches!(self.peek_at(2), Token::Op("," | ")")),
                    _ => false,
                };
            let include = if list { self.names()? } else { Vec::new() };
            if left {
                Cardinality::GroupLeft(include)
            } else {
                Cardinality::GroupRight(include)
            }
        } else {
            Cardinality::OneToOne
        };
        Ok(Some(Matching {
            on,
            labels,
            cardinality,
        }))
    }
}

fn value_of(text: &str) -> Parsed<f64> {
    float::parse_number(text).ok_or_else(|| {
        ParseError::new(format!(
            "unable to parse float: strconv.ParseFloat: parsing {text:?}: invalid syntax"
        ))
    })
}

fn vector_param(op: VectorOp, text: Option<&str>) -> Parsed<usize> {
    let name = op.name();
    match (op.has_param(), text) {
        (true, None) => Err(ParseError::new(format!(
            "parameter required for operation {name}"
        ))),
        (true, Some(t)) => match t.parse::<i64>() {
            Ok(n) if n > 0 => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
            Ok(_) => Err(ParseError::new(format!(
                "invalid parameter (must be greater than 0) {name}({t}"
            ))),
            Err(_) => Err(ParseError::new(format!("invalid parameter {name}({t},"))),
        },
        (false, Some(t)) => Err(ParseError::new(format!(
            "unsupported parameter for operation {name}({t},"
        ))),
        (false, None) => Ok(0),
    }
}

/// Joins two sides; two literals become one.
fn binary(
    op: BinaryOp,
    return_bool: bool,
    matching: Option<Matching>,
    left: Expr,
    right: Expr,
) -> Parsed<MetricExpr> {
    let side = |e: Expr, which: &str| match e {
        Expr::Metric(m) => Ok(m),
        Expr::Log(l) => Err(ParseError::new(format!(
            "unexpected type for {which} leg of binary operation ({}): {}",
            op.text(),
            if l.stages.is_empty() {
                "*syntax.MatchersExpr"
            } else {
                "*syntax.PipelineExpr"
            }
        ))),
    };
    let left = side(left, "left")?;
    let right = side(right, "right")?;
    if op.is_set() {
        for (which, e) in [("left", &left), ("right", &right)] {
            if let MetricExpr::Literal(v) = e {
                return Err(ParseError::new(format!(
                    "unexpected literal for {which} leg of logical/set binary operation ({}): {}",
                    op.text(),
                    float::plain(*v)
                )));
            }
        }
    }
    if let (MetricExpr::Literal(a), MetricExpr::Literal(b)) = (&left, &right) {
        let v = crate::logql::eval::scalar(op, *a, *b);
        return Ok(MetricExpr::Literal(v));
    }
    Ok(MetricExpr::Binary(Box::new(Binary {
        op,
        return_bool,
        matching,
        left,
        right,
    })))
}
