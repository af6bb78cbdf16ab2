//! Operators, calls, aggregations, literals and the modifiers that follow an expression.

use super::{PResult, Parser};
use crate::promql::ast::{
    AggOp, Aggregate, BinOp, Binary, Call, Cardinality, Expr, Matching, NumberLiteral, Paren, Span,
    StringLiteral, Unary,
};
use crate::promql::functions;
use crate::promql::lex::{Tok, Token};
use crate::text::quote::{is_label_name, quote};
use crate::text::{duration, float};

/// Binding power of unary plus and minus: that of `*`.
const UNARY_POWER: u8 = 5;

/// Operator and its binding power; only `^` groups to the right.
fn binary_operator(t: Tok) -> Option<(BinOp, u8)> {
    Some(match t {
        Tok::Or => (BinOp::Or, 1),
        Tok::And => (BinOp::And, 2),
        Tok::Unless => (BinOp::Unless, 2),
        Tok::EqualEqual => (BinOp::Eq, 3),
        Tok::NotEqual => (BinOp::Ne, 3),
        Tok::Less => (BinOp::Lt, 3),
        Tok::LessEqual => (BinOp::Le, 3),
        Tok::Greater => (BinOp::Gt, 3),
        Tok::GreaterEqual => (BinOp::Ge, 3),
        Tok::TrimUpper => (BinOp::TrimUpper, 3),
        Tok::TrimLower => (BinOp::TrimLower, 3),
        Tok::Add => (BinOp::Add, 4),
        Tok::Sub => (BinOp::Sub, 4),
        Tok::Mul => (BinOp::Mul, 5),
        Tok::Div => (BinOp::Div, 5),
        Tok::Mod => (BinOp::Mod, 5),
        Tok::Atan2 => (BinOp::Atan2, 5),
        Tok::Pow => (BinOp::Pow, 6),
        _ => return None,
    })
}

fn aggregator(word: &str) -> Option<AggOp> {
    Some(match word.to_ascii_lowercase().as_str() {
        "sum" => AggOp::Sum,
        "avg" => AggOp::Avg,
        "count" => AggOp::Count,
        "min" => AggOp::Min,
        "max" => AggOp::Max,
        "group" => AggOp::Group,
        "stddev" => AggOp::Stddev,
        "stdvar" => AggOp::Stdvar,
        "topk" => AggOp::Topk,
        "bottomk" => AggOp::Bottomk,
        "count_values" => AggOp::CountValues,
        "quantile" => AggOp::Quantile,
        "limitk" => AggOp::Limitk,
        "limit_ratio" => AggOp::LimitRatio,
        _ => return None,
    })
}

impl Parser<'_> {
    /// An expression of operators that bind tighter than `power`.
    pub(super) fn expression(&mut self, power: u8) -> PResult<Expr> {
        self.enter()?;
        let mut lhs = self.unary()?;
        let mut height = self.height;
        while let Some((op, p)) = binary_operator(self.peek().tok) {
            if p <= power {
                break;
            }
            let op_token = self.bump();
            let (return_bool, matching) = self.binary_modifiers()?;
            let right_power = if op == BinOp::Pow { p - 1 } else { p };
            let rhs = self.expression(right_power)?;
            self.grow(height.max(self.height))?;
            height = self.height;
            let span = lhs.span().to(rhs.span());
            if !self.options.binop_fill_modifiers
                && (matching.fill_left.is_some() || matching.fill_right.is_some())
            {
                return Err(self.error(
                    span,
                    "binop fill modifiers are experimental and not enabled",
                ));
            }
            lhs = Expr::Binary(Box::new(Binary {
                op,
                lhs,
                rhs,
                matching: Some(matching),
                return_bool,
                op_span: op_token.span,
                span,
            }));
        }
        self.height = height;
        self.leave();
        Ok(lhs)
    }

    fn unary(&mut self) -> PResult<Expr> {
        let t = self.peek();
        if !matches!(t.tok, Tok::Add | Tok::Sub) {
            let primary = self.primary()?;
            return self.postfix(primary);
        }
        self.bump();
        let negative = t.tok == Tok::Sub;
        let mut expr = self.expression(UNARY_POWER)?;
        if let Expr::Number(n) = &mut expr {
            if negative {
                n.val = -n.val;
            }
            n.span.start = t.span.start;
            return Ok(expr);
        }
        self.grow(self.height)?;
        let span = t.span.to(expr.span());
        Ok(Expr::Unary(Box::new(Unary {
            negative,
            expr,
            span,
        })))
    }

    fn primary(&mut self) -> PResult<Expr> {
        let t = self.peek();
        self.height = 1;
        let called = self.peek_at(1).tok == Tok::LeftParen;
        match t.tok {
            Tok::LeftParen => {
                self.bump();
                let expr = self.expression(0)?;
                let close = self.expect(Tok::RightParen, "", "")?;
                self.grow(self.height)?;
                Ok(Expr::Paren(Box::new(Paren {
                    expr,
                    span: t.span.to(close.span),
                })))
            }
            Tok::Number | Tok::Duration => Ok(Expr::Number(self.number_literal()?)),
            Tok::String => {
                self.bump();
                Ok(Expr::String(StringLiteral {
                    val: self.string_value(t)?,
                    span: t.span,
                }))
            }
            Tok::Aggregator if self.starts_aggregation() => self.aggregation(),
            Tok::Identifier
            | Tok::Start
            | Tok::End
            | Tok::Step
            | Tok::Range
            | Tok::MaxOf
            | Tok::MinOf
                if called =>
            {
                self.call()
            }
            _ => Ok(Expr::Vector(Box::new(self.vector_selector()?))),
        }
    }

    /// An aggregator's name may be a metric's name where no aggregation can follow.
    fn starts_aggregation(&self) -> bool {
        let next = self.peek_at(1).tok;
        !(next.is_operator()
            || matches!(
                next,
                Tok::Eof
                    | Tok::LeftBrace
                    | Tok::LeftBracket
                    | Tok::RightParen
                    | Tok::Comma
                    | Tok::Offset
                    | Tok::Anchored
                    | Tok::Smoothed
            ))
    }

    /// A number or duration literal.
    pub(super) fn number_literal(&mut self) -> PResult<NumberLiteral> {
        let t = self.bump();
        let text = self.text_of(t);
        if t.tok == Tok::Duration {
            let ms = duration::parse(text).map_err(|e| self.error(t.span, e.to_string()))?;
            return Ok(NumberLiteral {
                val: ms as f64 / 1000.0,
                duration: true,
                span: t.span,
            });
        }
        let val = float::parse_number(text).ok_or_else(|| {
            self.error(
                t.span,
                format!(
                    "error parsing number: strconv.ParseFloat: parsing {}: invalid syntax",
                    quote(text)
                ),
            )
        })?;
        Ok(NumberLiteral {
            val,
            duration: false,
            span: t.span,
        })
    }

    fn call(&mut self) -> PResult<Expr> {
        let t = self.bump();
        let name = self.text_of(t);
        let args = self.call_args()?;
        let Some(func) = functions::find(name) else {
            return Err(self.error(
                t.span,
                format!("unknown function with name {}", quote(name)),
            ));
        };
        if func.experimental && !self.options.experimental_functions {
            return Err(self.error(t.span, format!("function {} is not enabled", quote(name))));
        }
        let span = Span {
            start: t.span.start,
            end: self.last_end(),
        };
        Ok(Expr::Call(Box::new(Call { func, args, span })))
    }

    fn call_args(&mut self) -> PResult<Vec<Expr>> {
        self.expect(Tok::LeftParen, "", "")?;
        let mut args = Vec::new();
        if self.accept(Tok::RightParen).is_some() {
            return Ok(args);
        }
        let mut height = 0;
        loop {
            args.push(self.expression(0)?);
            height = height.max(self.height);
            let Some(comma) = self.accept(Tok::Comma) else {
                break;
            };
            if self.peek().tok == Tok::RightParen {
                return Err(self.error(
                    comma.span,
                    "trailing commas not allowed in function call args",
                ));
            }
        }
        self.expect(Tok::RightParen, "", "")?;
        self.grow(height)?;
        Ok(args)
    }

    fn aggregation(&mut self) -> PResult<Expr> {
        let t = self.bump();
        let Some(op) = aggregator(self.text_of(t)) else {
            return Err(self.unexpected("", ""));
        };
        self.aggregations += 1;
        let mut modifier = self.aggregation_modifier()?;
        let args = self.call_args()?;
        if modifier.is_none() {
            modifier = self.aggregation_modifier()?;
        }
        self.aggregations -= 1;
        let (without, grouping) = modifier.unwrap_or_default();
        let span = Span {
            start: t.span.start,
            end: self.last_end(),
        };
        self.finish_aggregation(op, args, without, grouping, span)
    }

    fn finish_aggregation(
        &self,
        op: AggOp,
        args: Vec<Expr>,
        without: bool,
        grouping: Vec<String>,
        span: Span,
    ) -> PResult<Expr> {
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let name = op.name();
            return Err(self.error(
                span,
                format!(
                    "{name}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
                ),
            ));
        }
        let wanted = if op.has_param() { 2 } else { 1 };
        let given = args.len();
        let mut args = args.into_iter();
        let wrong = || {
            self.error(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {given}"
                ),
            )
        };
        if given != wanted {
            return Err(wrong());
        }
        let param = if op.has_param() { args.next() } else { None };
        let expr = args.next().ok_or_else(wrong)?;
        Ok(Expr::Aggregate(Box::new(Aggregate {
            op,
            expr,
            param,
            grouping,
            without,
            span,
        })))
    }

    fn aggregation_modifier(&mut self) -> PResult<Option<(bool, Vec<String>)>> {
        let without = match self.peek().tok {
            Tok::By => false,
            Tok::Without => true,
            _ => return Ok(None),
        };
        self.bump();
        Ok(Some((without, self.grouping_labels()?)))
    }

    fn grouping_labels(&mut self) -> PResult<Vec<String>> {
        const CONTEXT: &str = "grouping opts";
        self.expect(Tok::LeftParen, CONTEXT, "\"(\"")?;
        self.list_until(
            Tok::RightParen,
            CONTEXT,
            "\",\" or \")\"",
            Self::grouping_label,
        )
    }

    fn grouping_label(&mut self) -> PResult<String> {
        let t = self.peek();
        let name = match t.tok {
            Tok::String => self.string_value(t)?,
            Tok::Number => return Err(self.unexpected("grouping opts", "label")),
            _ if is_word(t.tok) => self.text_of(t).to_owned(),
            _ => return Err(self.unexpected("grouping opts", "label")),
        };
        if !is_label_name(&name) {
            return Err(self.error(
                t.span,
                format!("invalid label name for grouping: {}", quote(&name)),
            ));
        }
        self.bump();
        Ok(name)
    }

    fn binary_modifiers(&mut self) -> PResult<(bool, Matching)> {
        let mut m = Matching::default();
        let return_bool = self.accept(Tok::Bool).is_some();
        let on = match self.peek().tok {
            Tok::On => Some(true),
            Tok::Ignoring => Some(false),
            _ => None,
        };
        if let Some(on) = on {
            self.bump();
            m.on = on;
            m.labels = self.grouping_labels()?;
            let card = match self.peek().tok {
                Tok::GroupLeft => Some(Cardinality::ManyToOne),
                Tok::GroupRight => Some(Cardinality::OneToMany),
                _ => None,
            };
            if let Some(card) = card {
                self.bump();
                m.card = card;
                if self.peek().tok == Tok::LeftParen {
                    m.include = self.grouping_labels()?;
                }
            }
        }
        match self.peek().tok {
            Tok::Fill => {
                self.bump();
                let v = self.fill_value()?;
                m.fill_left = Some(v);
                m.fill_right = Some(v);
            }
            Tok::FillLeft => {
                self.bump();
                m.fill_left = Some(self.fill_value()?);
                if self.accept(Tok::FillRight).is_some() {
                    m.fill_right = Some(self.fill_value()?);
                }
            }
            Tok::FillRight => {
                self.bump();
                m.fill_right = Some(self.fill_value()?);
                if self.accept(Tok::FillLeft).is_some() {
                    m.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok((return_bool, m))
    }

    fn fill_value(&mut self) -> PResult<f64> {
        self.expect(Tok::LeftParen, "", "")?;
        let sign = self.sign();
        let n = self.number_token()?;
        self.expect(Tok::RightParen, "", "")?;
        Ok(sign * n.val)
    }

    /// -1 after a minus, 1 otherwise; consumes the sign.
    fn sign(&mut self) -> f64 {
        match self.peek().tok {
            Tok::Sub => {
                self.bump();
                -1.0
            }
            Tok::Add => {
                self.bump();
                1.0
            }
            _ => 1.0,
        }
    }

    fn number_token(&mut self) -> PResult<NumberLiteral> {
        if matches!(self.peek().tok, Tok::Number | Tok::Duration) {
            self.number_literal()
        } else {
            Err(self.unexpected("", ""))
        }
    }

    /// `[...]`, `offset`, `@`, `anchored`, `smoothed` after an expression.
    fn postfix(&mut self, mut expr: Expr) -> PResult<Expr> {
        loop {
            let t = self.peek();
            expr = match t.tok {
                Tok::LeftBracket => self.brackets(expr)?,
                Tok::Offset => {
                    self.bump();
                    self.offset(expr)?
                }
                Tok::At => {
                    self.bump();
                    self.at(expr)?
                }
                Tok::Anchored | Tok::Smoothed => {
                    self.bump();
                    self.extended(expr, t)?
                }
                _ => return Ok(expr),
            };
        }
    }

    fn at(&mut self, mut expr: Expr) -> PResult<Expr> {
        use crate::promql::ast::StartOrEnd;
        let t = self.peek();
        let edge = match t.tok {
            Tok::Start => Some(StartOrEnd::Start),
            Tok::End => Some(StartOrEnd::End),
            _ => None,
        };
        if edge.is_some() {
            self.bump();
            self.expect(Tok::LeftParen, "@", "timestamp")?;
            self.expect(Tok::RightParen, "@", "timestamp")?;
            self.set_at(&mut expr, None, edge)?;
            return Ok(expr);
        }
        let sign = self.sign();
        if !matches!(self.peek().tok, Tok::Number | Tok::Duration) {
            return Err(self.unexpected("@", "timestamp"));
        }
        let seconds = sign * self.number_literal()?.val;
        if !seconds.is_finite() || seconds.abs() >= 9.223_372_036_854_776e18 {
            let shown = if seconds.is_finite() {
                format!("{seconds:.6}")
            } else {
                float::plain(seconds)
            };
            return Err(self.error(
                expr.span(),
                format!("timestamp out of bounds for @ modifier: {shown}"),
            ));
        }
        self.set_at(&mut expr, Some((seconds * 1000.0).round() as i64), None)?;
        Ok(expr)
    }

    fn extended(&mut self, mut expr: Expr, word: Token) -> PResult<Expr> {
        let anchored = word.tok == Tok::Anchored;
        let name = if anchored { "anchored" } else { "smoothed" };
        let span = expr.span();
        if !self.options.extended_range_selectors {
            return Err(self.error(
                span,
                format!("{name} modifier is experimental and not enabled"),
            ));
        }
        let end = word.span.end;
        let selector = match &mut expr {
            Expr::Vector(v) => {
                v.span.end = end;
                v.as_mut()
            }
            Expr::Matrix(m) => {
                m.span.end = end;
                &mut m.selector
            }
            Expr::Subquery(_) => {
                return Err(self.error(
                    span,
                    format!("{name} modifier is not supported for subqueries"),
                ));
            }
            _ => return Err(self.error(span, format!("{name} modifier not implemented"))),
        };
        if anchored {
            selector.anchored = true;
        } else {
            selector.smoothed = true;
        }
        if selector.anchored && selector.smoothed {
            return Err(self.error(
                span,
                "anchored and smoothed modifiers cannot be used together",
            ));
        }
        Ok(expr)
    }
}

/// Tokens that may stand for a label name in a list.
fn is_word(t: Tok) -> bool {
    matches!(
        t,
        Tok::Identifier
            | Tok::MetricIdentifier
            | Tok::Aggregator
            | Tok::Bool
            | Tok::By
            | Tok::GroupLeft
            | Tok::GroupRight
            | Tok::Fill
            | Tok::FillLeft
            | Tok::FillRight
            | Tok::Ignoring
            | Tok::And
            | Tok::Or
            | Tok::Unless
            | Tok::Offset
            | Tok::On
            | Tok::Start
            | Tok::End
            | Tok::Atan2
            | Tok::Step
            | Tok::Range
            | Tok::Anchored
            | Tok::Smoothed
            | Tok::MaxOf
            | Tok::MinOf
    )
}
