//! Durations in brackets and after `offset`: literals, arithmetic, `step()`, `range()`.

use super::{PResult, Parser};
use crate::promql::ast::{DurationArg, DurationExpr, DurationOp, NumberLiteral, Span};
use crate::promql::lex::{Tok, Token};

/// Binding power of unary signs: that of `*`.
const UNARY_POWER: u8 = 2;

/// Largest magnitude in seconds: 63 bits of nanoseconds.
pub(crate) const SECONDS_MAX: f64 = 9_223_372_036.854_776;

/// Seconds to whole ms, through nanoseconds as the literal was rounded to.
pub(crate) fn seconds_to_ms(seconds: f64) -> i64 {
    ((seconds * 1e9).round() as i64) / 1_000_000
}

fn operator(t: Tok) -> Option<(DurationOp, u8)> {
    Some(match t {
        Tok::Add => (DurationOp::Add, 1),
        Tok::Sub => (DurationOp::Sub, 1),
        Tok::Mul => (DurationOp::Mul, 2),
        Tok::Div => (DurationOp::Div, 2),
        Tok::Mod => (DurationOp::Mod, 2),
        Tok::Pow => (DurationOp::Pow, 3),
        _ => return None,
    })
}

impl Parser<'_> {
    pub(super) fn starts_duration(&self) -> bool {
        matches!(
            self.peek().tok,
            Tok::Number
                | Tok::Duration
                | Tok::Add
                | Tok::Sub
                | Tok::LeftParen
                | Tok::Step
                | Tok::Range
                | Tok::MaxOf
                | Tok::MinOf
        )
    }

    /// A range or step: ms when it is a literal, else the expression.
    pub(super) fn positive_duration(&mut self) -> PResult<(i64, Option<Box<DurationExpr>>)> {
        match self.duration(0)? {
            DurationArg::Number(n) if n.val <= 0.0 => {
                Err(self.error(n.span, "duration must be greater than 0"))
            }
            DurationArg::Number(n) => Ok((seconds_to_ms(n.val), None)),
            DurationArg::Expr(e) => Ok((0, Some(e))),
        }
    }

    /// After `offset` only one operand belongs to the duration: `a offset 1m + b` adds vectors.
    pub(super) fn offset_duration(&mut self) -> PResult<DurationArg> {
        if !self.starts_duration() {
            return Err(self.unexpected("offset", "number, duration, step(), or range()"));
        }
        let t = self.peek();
        if !matches!(t.tok, Tok::Add | Tok::Sub) {
            return self.duration_primary();
        }
        self.bump();
        let in_parens = self.peek().tok == Tok::LeftParen;
        if !self.starts_duration() || matches!(self.peek().tok, Tok::Add | Tok::Sub) {
            return Err(self.unexpected("offset", "number, duration, step(), or range()"));
        }
        let arg = self.duration_primary()?;
        self.signed(t, arg, in_parens)
    }

    fn duration(&mut self, power: u8) -> PResult<DurationArg> {
        self.enter()?;
        let t = self.peek();
        let mut lhs = if matches!(t.tok, Tok::Add | Tok::Sub) {
            self.bump();
            let arg = self.duration(UNARY_POWER)?;
            self.signed(t, arg, false)?
        } else {
            self.duration_primary()?
        };
        while let Some((op, p)) = operator(self.peek().tok) {
            if p <= power {
                break;
            }
            let op_token = self.bump();
            self.require_arithmetic(lhs.span())?;
            let rhs = self.duration(if op == DurationOp::Pow { p - 1 } else { p })?;
            if let DurationArg::Number(n) = &rhs
                && n.val == 0.0
                && matches!(op, DurationOp::Div | DurationOp::Mod)
            {
                let what = if op == DurationOp::Div {
                    "division by zero"
                } else {
                    "modulo by zero"
                };
                return Err(self.error(op_token.span, what));
            }
            let span = lhs.span().to(rhs.span());
            lhs = DurationArg::Expr(Box::new(DurationExpr {
                op,
                lhs: Some(lhs),
                rhs: Some(rhs),
                wrapped: false,
                span,
            }));
        }
        self.leave();
        Ok(lhs)
    }

    fn duration_primary(&mut self) -> PResult<DurationArg> {
        let t = self.peek();
        match t.tok {
            Tok::Number | Tok::Duration => {
                let n = self.number_literal()?;
                self.check_range(&n, t)?;
                Ok(DurationArg::Number(n))
            }
            Tok::LeftParen => {
                self.bump();
                let inner = self.duration(0)?;
                let close = self.expect(Tok::RightParen, "", "")?;
                self.require_arithmetic(inner.span())?;
                Ok(wrap(inner, t.span.to(close.span)))
            }
            Tok::Step | Tok::Range => {
                self.bump();
                self.expect(Tok::LeftParen, "", "")?;
                let close = self.expect(Tok::RightParen, "", "")?;
                let op = if t.tok == Tok::Step {
                    DurationOp::Step
                } else {
                    DurationOp::Range
                };
                let span = t.span.to(close.span);
                self.require_arithmetic(span)?;
                Ok(DurationArg::Expr(Box::new(DurationExpr {
                    op,
                    lhs: None,
                    rhs: None,
                    wrapped: false,
                    span,
                })))
            }
            Tok::MaxOf | Tok::MinOf => {
                self.bump();
                self.expect(Tok::LeftParen, "", "")?;
                let lhs = self.duration(0)?;
                self.expect(Tok::Comma, "", "")?;
                let rhs = self.duration(0)?;
                let close = self.expect(Tok::RightParen, "", "")?;
                let op = if t.tok == Tok::MaxOf {
                    DurationOp::MaxOf
                } else {
                    DurationOp::MinOf
                };
                let span = t.span.to(close.span);
                self.require_arithmetic(span)?;
                Ok(DurationArg::Expr(Box::new(DurationExpr {
                    op,
                    lhs: Some(lhs),
                    rhs: Some(rhs),
                    wrapped: false,
                    span,
                })))
            }
            _ => Err(self.unexpected("", "")),
        }
    }

    fn signed(&self, sign: Token, arg: DurationArg, in_parens: bool) -> PResult<DurationArg> {
        let negative = sign.tok == Tok::Sub;
        let arg = if in_parens {
            wrap(arg.clone(), arg.span())
        } else {
            arg
        };
        match arg {
            DurationArg::Number(mut n) => {
                if negative {
                    n.val = -n.val;
                }
                self.check_range(&n, sign)?;
                n.span.start = sign.span.start;
                Ok(DurationArg::Number(n))
            }
            DurationArg::Expr(e) if negative => {
                let span = sign.span.to(e.span);
                Ok(DurationArg::Expr(Box::new(DurationExpr {
                    op: DurationOp::Sub,
                    lhs: None,
                    rhs: Some(DurationArg::Expr(e)),
                    wrapped: false,
                    span,
                })))
            }
            plus => Ok(plus),
        }
    }

    fn check_range(&self, n: &NumberLiteral, at: Token) -> PResult<()> {
        if n.val.abs() > SECONDS_MAX {
            return Err(self.error(at.span, "duration out of range"));
        }
        Ok(())
    }

    fn require_arithmetic(&self, span: Span) -> PResult<()> {
        if self.options.duration_expressions {
            Ok(())
        } else {
            Err(self.error(span, "experimental duration expression is not enabled"))
        }
    }
}

/// Marks an operand as written in parentheses.
fn wrap(arg: DurationArg, span: Span) -> DurationArg {
    match arg {
        DurationArg::Expr(mut e) => {
            e.wrapped = true;
            DurationArg::Expr(e)
        }
        number @ DurationArg::Number(_) => DurationArg::Expr(Box::new(DurationExpr {
            op: DurationOp::Add,
            lhs: None,
            rhs: Some(number),
            wrapped: true,
            span,
        })),
    }
}
