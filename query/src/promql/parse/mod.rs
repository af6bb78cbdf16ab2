//! Tokens to a checked syntax tree: recursive descent for selectors and calls, precedence climbing
//! for operators.
//!
//! Owns: grammar, feature switches, error texts and positions.
//! Knows nothing of: evaluation. Types and arities are checked in the sibling `check`.
//!
//! Invariants
//! - Nesting is at most [`DEPTH_MAX`], text at most [`QUERY_BYTES_MAX`].
//! - Errors read `LINE:COLUMN: parse error: TEXT`.

mod duration;
mod expr;
mod selector;
mod series;

use engine::model::{Labels, Matcher};

pub use series::{SequenceValue, parse_series};

use super::ast::{Expr, Span};
use super::lex::{Tok, Token, describe, lex};

/// Deepest nesting of expressions that is accepted.
pub const DEPTH_MAX: u32 = 100;
/// Greatest height of a syntax tree; chains of operators (`a + a + a ...`) grow on the left.
pub const HEIGHT_MAX: u32 = 250;
/// Longest query text.
pub const QUERY_BYTES_MAX: usize = 64 * 1024;

/// Which parts of the language are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions {
    /// Experimental functions and aggregators.
    pub experimental_functions: bool,
    /// Arithmetic in durations.
    pub duration_expressions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub binop_fill_modifiers: bool,
}

impl Default for ParseOptions {
    /// What is on in Prometheus without feature flags.
    fn default() -> Self {
        Self {
            experimental_functions: false,
            duration_expressions: true,
            extended_range_selectors: false,
            binop_fill_modifiers: false,
        }
    }
}

impl ParseOptions {
    /// Everything on.
    #[must_use]
    pub fn all() -> Self {
        Self {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            binop_fill_modifiers: true,
        }
    }
}

/// Why a text is not a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The offending part.
    pub span: Span,
    /// What is wrong, without position.
    pub message: String,
    /// `line:column` of the part.
    pub position: String,
}

impl std::error::Error for ParseError {}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: parse error: {}", self.position, self.message)
    }
}

/// Parses and checks an expression.
///
/// # Errors
/// [`ParseError`] for the first problem found.
pub fn parse(text: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    let mut p = Parser::new(text, options)?;
    if p.peek().tok == Tok::Eof {
        return Err(p.error(Span::default(), "no expression found in input"));
    }
    let mut expr = p.expression(0)?;
    p.expect_end()?;
    super::check::check(&mut expr).map_err(|(span, message)| p.error(span, message))?;
    Ok(expr)
}

/// Parses a bare selector, `name{...}`, as `match[]` parameters have it.
///
/// # Errors
/// [`ParseError`] for the first problem found.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut p = Parser::new(text, ParseOptions::default())?;
    let selector = p.vector_selector()?;
    p.expect_end()?;
    Ok(selector.matchers)
}

/// Parses a label set, `name{a="b"}`.
///
/// # Errors
/// [`ParseError`] for the first problem found.
pub fn parse_metric(text: &str) -> Result<Labels, ParseError> {
    let mut p = Parser::new(text, ParseOptions::default())?;
    let labels = p.metric()?;
    p.expect_end()?;
    Ok(labels)
}

type PResult<T> = Result<T, ParseError>;

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    lex_error: String,
    options: ParseOptions,
    depth: u32,
    /// Height of the expression parsed last.
    height: u32,
    /// Open aggregations: a syntax error inside one says so.
    aggregations: u32,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: ParseOptions) -> PResult<Self> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(ParseError {
                span: Span::default(),
                message: format!("query is longer than {QUERY_BYTES_MAX} bytes"),
                position: "1:1".to_owned(),
            });
        }
        let (tokens, lex_error) = lex(text);
        Ok(Self {
            text,
            tokens,
            next: 0,
            lex_error,
            options,
            depth: 0,
            height: 0,
            aggregations: 0,
        })
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError {
            span,
            message: message.into(),
            position: span.position_in(self.text),
        }
    }

    fn peek(&self) -> Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Token {
        let last = self.tokens.len().saturating_sub(1);
        let i = (self.next + ahead).min(last);
        self.tokens.get(i).copied().unwrap_or(Token {
            tok: Tok::Eof,
            span: Span::default(),
        })
    }

    fn bump(&mut self) -> Token {
        let t = self.peek();
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
        t
    }

    fn accept(&mut self, tok: Tok) -> Option<Token> {
        (self.peek().tok == tok).then(|| self.bump())
    }

    fn text_of(&self, t: Token) -> &'a str {
        self.text
            .get(t.span.start as usize..t.span.end as usize)
            .unwrap_or("")
    }

    /// End of the token before the next one.
    fn last_end(&self) -> u32 {
        self.next
            .checked_sub(1)
            .and_then(|i| self.tokens.get(i))
            .map_or(0, |t| t.span.end)
    }

    /// The error for a token that fits nowhere.
    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let t = self.peek();
        if t.tok == Tok::Error {
            return self.error(t.span, self.lex_error.clone());
        }
        let mut message = format!("unexpected {}", describe(t, self.text));
        let context = if context.is_empty() && self.aggregations > 0 {
            "aggregation"
        } else {
            context
        };
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(t.span, message)
    }

    fn expect(&mut self, tok: Tok, context: &str, expected: &str) -> PResult<Token> {
        self.accept(tok)
            .ok_or_else(|| self.unexpected(context, expected))
    }

    /// Items with commas between them and perhaps one behind, up to `close`; the opening bracket has
    /// been read.
    fn list_until<T>(
        &mut self,
        close: Tok,
        context: &str,
        expected: &str,
        mut item: impl FnMut(&mut Self) -> PResult<T>,
    ) -> PResult<Vec<T>> {
        let mut out = Vec::new();
        loop {
            if self.accept(close).is_some() {
                return Ok(out);
            }
            out.push(item(self)?);
            if self.accept(Tok::Comma).is_none() && self.peek().tok != close {
                return Err(self.unexpected(context, expected));
            }
        }
    }

    fn expect_end(&self) -> PResult<()> {
        if self.peek().tok == Tok::Eof {
            Ok(())
        } else {
            Err(self.unexpected("", ""))
        }
    }

    fn enter(&mut self) -> PResult<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(
                self.peek().span,
                format!("expression is nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        Ok(())
    }

    /// Notes that the expression just built has parts of height `below`.
    fn grow(&mut self, below: u32) -> PResult<()> {
        self.height = below + 1;
        if self.height > HEIGHT_MAX {
            return Err(self.error(
                self.peek().span,
                format!("expression has more than {HEIGHT_MAX} levels"),
            ));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Value of a string token.
    fn string_value(&self, t: Token) -> PResult<String> {
        let raw = self.text_of(t);
        crate::text::quote::unquote(raw).map_err(|e| {
            self.error(
                t.span,
                format!(
                    "error unquoting string {}: {e}",
                    crate::text::quote::quote(raw)
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests;
