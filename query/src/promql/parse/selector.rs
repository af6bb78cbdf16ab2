//! Selectors: names, matchers in braces, ranges, `offset` and `@`.

use std::sync::Arc;

use engine::model::{Labels, LabelsBuilder, METRIC_NAME, Matcher};

use super::{PResult, Parser};
use crate::promql::ast::{
    DurationArg, DurationExpr, Expr, MatrixSelector, Span, StartOrEnd, Subquery, VectorSelector,
};
use crate::promql::lex::{Tok, Token};
use crate::regex::LabelRegex;

const CONTEXT: &str = "label matching";

/// Tokens that may be a metric's name.
pub(super) fn is_metric_name(t: Tok) -> bool {
    matches!(
        t,
        Tok::Identifier
            | Tok::MetricIdentifier
            | Tok::Aggregator
            | Tok::By
            | Tok::Fill
            | Tok::FillLeft
            | Tok::FillRight
            | Tok::And
            | Tok::Or
            | Tok::Unless
            | Tok::Offset
            | Tok::Without
            | Tok::Start
            | Tok::End
            | Tok::Step
            | Tok::Range
            | Tok::Anchored
            | Tok::Smoothed
            | Tok::MaxOf
            | Tok::MinOf
    )
}

impl Parser<'_> {
    pub(super) fn vector_selector(&mut self) -> PResult<VectorSelector> {
        let t = self.peek();
        let mut v = VectorSelector {
            span: t.span,
            ..VectorSelector::default()
        };
        if is_metric_name(t.tok) {
            self.bump();
            self.text_of(t).clone_into(&mut v.name);
        } else if t.tok != Tok::LeftBrace {
            return Err(self.unexpected("", ""));
        }
        if self.accept(Tok::LeftBrace).is_some() {
            v.matchers = self.matchers()?;
            v.span.end = self.last_end();
        }
        if !v.name.is_empty() {
            v.matchers.push(Matcher::equal(METRIC_NAME, v.name.clone()));
        }
        Ok(v)
    }

    fn matchers(&mut self) -> PResult<Vec<Matcher>> {
        self.list_until(Tok::RightBrace, CONTEXT, "\",\" or \"}\"", Self::matcher)
    }

    fn matcher(&mut self) -> PResult<Matcher> {
        let t = self.peek();
        let name = match t.tok {
            Tok::Identifier => self.text_of(t).to_owned(),
            Tok::String => self.string_value(t)?,
            _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
        };
        self.bump();
        let op = self.peek();
        if !matches!(
            op.tok,
            Tok::Equal | Tok::NotEqual | Tok::RegexEqual | Tok::RegexNotEqual
        ) {
            return match t.tok {
                Tok::String => Ok(Matcher::equal(METRIC_NAME, name)),
                _ => Err(self.unexpected(CONTEXT, "label matching operator")),
            };
        }
        self.bump();
        let value = self.expect(Tok::String, CONTEXT, "string")?;
        self.build_matcher(name, op.tok, value, t.span.to(value.span))
    }

    fn build_matcher(&self, name: String, op: Tok, value: Token, span: Span) -> PResult<Matcher> {
        let value = self.string_value(value)?;
        let regex = |v: &str| -> PResult<Arc<LabelRegex>> {
            LabelRegex::new(v)
                .map(Arc::new)
                .map_err(|e| self.error(span, e.to_string()))
        };
        Ok(match op {
            Tok::Equal => Matcher::equal(name, value),
            Tok::NotEqual => Matcher::not_equal(name, value),
            Tok::RegexEqual => Matcher::regex(name, regex(&value)?),
            _ => Matcher::not_regex(name, regex(&value)?),
        })
    }

    /// `name{a="b"}` as a label set.
    pub(super) fn metric(&mut self) -> PResult<Labels> {
        const CONTEXT: &str = "label set";
        let mut b = LabelsBuilder::new();
        let t = self.peek();
        let named = is_metric_name(t.tok);
        if named {
            self.bump();
        }
        if self.accept(Tok::LeftBrace).is_some() {
            while self.accept(Tok::RightBrace).is_none() {
                let t = self.peek();
                let name = match t.tok {
                    Tok::Identifier => self.text_of(t).to_owned(),
                    Tok::String => self.string_value(t)?,
                    _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
                };
                self.bump();
                if self.accept(Tok::Equal).is_some() {
                    let value = self.expect(Tok::String, CONTEXT, "string")?;
                    b.set(&name, &self.string_value(value)?);
                } else if t.tok == Tok::String {
                    b.set(METRIC_NAME, &name);
                } else {
                    return Err(self.unexpected(CONTEXT, "\"=\""));
                }
                if self.accept(Tok::Comma).is_none() && self.peek().tok != Tok::RightBrace {
                    return Err(self.unexpected(CONTEXT, "\",\" or \"}\""));
                }
            }
        }
        if named {
            b.set(METRIC_NAME, self.text_of(t));
        }
        Ok(b.build())
    }

    /// `[range]` or `[range:step]` after `expr`.
    pub(super) fn brackets(&mut self, expr: Expr) -> PResult<Expr> {
        let open = self.bump();
        if !self.starts_duration() {
            return Err(self.unexpected(
                "subquery or range selector",
                "number, duration, step(), or range()",
            ));
        }
        let (range_ms, range_expr) = self.positive_duration()?;
        if self.accept(Tok::Colon).is_some() {
            return self.subquery(expr, range_ms, range_expr);
        }
        let close = self.expect(Tok::RightBracket, "subquery or range", "\":\" or \"]\"")?;
        let brackets = open.span.to(close.span);
        let Expr::Vector(selector) = expr else {
            return Err(self.error(brackets, "ranges only allowed for vector selectors"));
        };
        if selector.offset_ms != 0 || selector.offset_expr.is_some() {
            return Err(self.error(brackets, "no offset modifiers allowed before range"));
        }
        if selector.at_ms.is_some() || selector.at_edge.is_some() {
            return Err(self.error(brackets, "no @ modifiers allowed before range"));
        }
        let span = selector.span.to(close.span);
        Ok(Expr::Matrix(Box::new(MatrixSelector {
            selector: *selector,
            range_ms,
            range_expr,
            span,
        })))
    }

    fn subquery(
        &mut self,
        expr: Expr,
        range_ms: i64,
        range_expr: Option<Box<DurationExpr>>,
    ) -> PResult<Expr> {
        let (mut step_ms, mut step_expr) = (0, None);
        if self.peek().tok != Tok::RightBracket {
            if !self.starts_duration() {
                return Err(self.unexpected(
                    "subquery selector",
                    "number, duration, step(), range(), or \"]\"",
                ));
            }
            (step_ms, step_expr) = self.positive_duration()?;
        }
        let close = self.expect(Tok::RightBracket, "subquery selector", "\"]\"")?;
        self.grow(self.height)?;
        let span = expr.span().to(close.span);
        Ok(Expr::Subquery(Box::new(Subquery {
            expr,
            range_ms,
            range_expr,
            step_ms,
            step_expr,
            offset_ms: 0,
            offset_expr: None,
            at_ms: None,
            at_edge: None,
            span,
        })))
    }

    /// What follows the word `offset`.
    pub(super) fn offset(&mut self, mut expr: Expr) -> PResult<Expr> {
        let arg = self.offset_duration()?;
        let end = self.last_end();
        let span = expr.span();
        let (ms, computed, end_slot) = match &mut expr {
            Expr::Vector(v) => (&mut v.offset_ms, &mut v.offset_expr, &mut v.span.end),
            Expr::Matrix(m) => (
                &mut m.selector.offset_ms,
                &mut m.selector.offset_expr,
                &mut m.span.end,
            ),
            Expr::Subquery(s) => (&mut s.offset_ms, &mut s.offset_expr, &mut s.span.end),
            _ => {
                return Err(self.error(
                    span,
                    "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
                ));
            }
        };
        if *ms != 0 || computed.is_some() {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        match arg {
            DurationArg::Number(n) => *ms = super::duration::seconds_to_ms(n.val),
            DurationArg::Expr(e) => *computed = Some(e),
        }
        *end_slot = end;
        Ok(expr)
    }

    pub(super) fn set_at(
        &self,
        expr: &mut Expr,
        at: Option<i64>,
        edge: Option<StartOrEnd>,
    ) -> PResult<()> {
        let span = expr.span();
        let (at_slot, edge_slot, end_slot) = match expr {
            Expr::Vector(v) => (&mut v.at_ms, &mut v.at_edge, &mut v.span.end),
            Expr::Matrix(m) => (
                &mut m.selector.at_ms,
                &mut m.selector.at_edge,
                &mut m.span.end,
            ),
            Expr::Subquery(s) => (&mut s.at_ms, &mut s.at_edge, &mut s.span.end),
            _ => {
                return Err(self.error(
                    span,
                    "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
                ));
            }
        };
        if at_slot.is_some() || edge_slot.is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        *at_slot = at;
        *edge_slot = edge;
        *end_slot = self.last_end();
        Ok(())
    }
}
