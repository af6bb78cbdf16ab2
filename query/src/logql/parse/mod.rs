//! Tokens to a checked syntax tree.
//!
//! Owns: the grammar, precedence, error positions and texts.
//! Knows nothing of: evaluation; what is valid beyond the grammar is in `check`.
//!
//! Invariants
//! - LQ1  A text of [`QUERY_BYTES_MAX`] bytes or more is refused; nesting is bounded by
//!   [`DEPTH_MAX`], so no text overflows the stack.
//! - LQ2  Every error is a [`ParseError`]: with line and column for what the grammar refuses,
//!   without for what is wrong in itself.

mod expr;
mod filter;
mod pipeline;
mod selector;

#[cfg(test)]
mod tests;

use std::fmt;

use engine::model::Matcher;

use super::ast::{Expr, LogExpr, MetricExpr};
use super::check;
use super::lex::{Spanned, Token, tokens};

/// Queries of this size and more are refused, as Loki does.
pub const QUERY_BYTES_MAX: usize = 131_072;
/// Deepest nesting of parentheses and operators.
pub const DEPTH_MAX: usize = 200;

/// Why a text is not a query. Answer 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    /// What is wrong.
    pub text: String,
    /// Line and column from 1, when the place is known.
    pub position: Option<(usize, usize)>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => {
                write!(f, "parse error at line {line}, col {column}: {}", self.text)
            }
            None => write!(f, "parse error : {}", self.text),
        }
    }
}

impl ParseError {
    pub(super) fn at(line: usize, column: usize, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            position: Some((line, column)),
        }
    }

    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            position: None,
        }
    }
}

type Parsed<T> = Result<T, ParseError>;

/// The query in a text.
///
/// # Errors
/// See [`ParseError`].
pub fn parse(text: &str) -> Parsed<Expr> {
    let expr = parse_unchecked_selectors(text)?;
    check::selectors(&expr)?;
    Ok(expr)
}

/// Like [`parse`], but selectors may match everything (metadata calls).
///
/// # Errors
/// See [`ParseError`].
pub fn parse_unchecked_selectors(text: &str) -> Parsed<Expr> {
    let mut p = Parser::new(text)?;
    let expr = p.expr(0)?;
    p.end()?;
    if let Expr::Metric(m) = &expr {
        check::metric(m)?;
    }
    if let Expr::Log(l) = &expr {
        check::stages(&l.stages)?;
    }
    Ok(expr)
}

/// A log query.
///
/// # Errors
/// Also when the text is a metric query.
pub fn parse_log(text: &str) -> Parsed<LogExpr> {
    match parse(text)? {
        Expr::Log(l) => Ok(l),
        Expr::Metric(_) => Err(ParseError::new("only log selector is supported")),
    }
}

/// A metric query.
///
/// # Errors
/// Also when the text is a log query.
pub fn parse_metric(text: &str) -> Parsed<MetricExpr> {
    match parse(text)? {
        Expr::Metric(m) => Ok(m),
        Expr::Log(_) => Err(ParseError::new("only metric queries are supported")),
    }
}

/// A bare selector; `{}` and selectors that match everything are allowed when `any` is true.
///
/// # Errors
/// Also when there is a pipeline.
pub fn parse_matchers(text: &str, any: bool) -> Parsed<Vec<Matcher>> {
    let expr = if any {
        parse_unchecked_selectors(text)?
    } else {
        parse(text)?
    };
    match expr {
        Expr::Log(l) if l.stages.is_empty() => Ok(l.matchers),
        _ => Err(ParseError {
            text: "only label matchers are supported".to_owned(),
            position: None,
        }),
    }
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn new(text: &str) -> Parsed<Self> {
        if text.len() >= QUERY_BYTES_MAX {
            return Err(ParseError::new(format!(
                "input size too long ({} > {QUERY_BYTES_MAX})",
                text.len()
            )));
        }
        Ok(Self {
            tokens: tokens(text)?,
            at: 0,
            depth: 0,
        })
    }

    /// The token `ahead` places on; the end repeats.
    fn peek_at(&self, ahead: usize) -> &Token {
        let i = (self.at + ahead).min(self.tokens.len() - 1);
        &self.tokens[i].token
    }

    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn bump(&mut self) -> Token {
        let t = self.peek().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        t
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Token::Op(o) if *o == op)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if *w == word)
    }

    fn take_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        if found {
            self.bump();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.bump();
        }
        found
    }

    /// The error for the current token; `expected` is told when it is short.
    fn unexpected(&self, expected: &[&str]) -> ParseError {
        let t = &self.tokens[self.at];
        let mut text = format!("syntax error: unexpected {}", t.token.name());
        if !expected.is_empty() {
            text.push_str(", expecting ");
            text.push_str(&expected.join(" or "));
        }
        ParseError::at(t.line, t.column, text)
    }

    fn expect_op(&mut self, op: &str) -> Parsed<()> {
        if self.take_op(op) {
            return Ok(());
        }
        Err(self.unexpected(&[op]))
    }

    fn text(&mut self) -> Parsed<String> {
        match self.peek() {
            Token::Text(_) => match self.bump() {
                Token::Text(s) => Ok(s),
                _ => Ok(String::new()),
            },
            _ => Err(self.unexpected(&["STRING"])),
        }
    }

    fn identifier(&mut self) -> Parsed<String> {
        match self.peek() {
            Token::Identifier(_) => match self.bump() {
                Token::Identifier(s) => Ok(s),
                _ => Ok(String::new()),
            },
            _ => Err(self.unexpected(&["IDENTIFIER"])),
        }
    }

    fn end(&self) -> Parsed<()> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected(&[])),
        }
    }

    /// Runs `f` one level deeper (LQ1).
    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ParseError::new(format!(
                "query is nested deeper than {DEPTH_MAX} levels"
            )));
        }
        let r = f(self);
        self.depth -= 1;
        r
    }

    /// `(a, b)`, possibly empty.
    fn names(&mut self) -> Parsed<Vec<String>> {
        self.expect_op("(")?;
        let mut out = Vec::new();
        if self.take_op(")") {
            return Ok(out);
        }
        loop {
            out.push(self.identifier()?);
            if self.take_op(")") {
                return Ok(out);
            }
            if !self.take_op(",") {
                return Err(self.unexpected(&[",", ")"]));
            }
        }
    }
}
