//! Text to pieces: literal text and the tokens of actions, trim markers applied.

use super::TemplateError;
use crate::text::quote;

/// Where something stands: line from 1, column in bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A token inside of `{{ }}`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `.`
    Dot,
    /// `.name`
    Field(String),
    /// `$name` or `$`
    Variable(String),
    /// A word.
    Name(String),
    /// A string: its value, and as written.
    Text(String, String),
    /// A number, as written.
    Number(String),
    /// A character constant's value.
    Char(char),
    /// `|`
    Pipe,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `,`
    Comma,
    /// Blank between two tokens; arguments are separated by it.
    Space,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Literal text.
    Text(String),
    /// An action: its tokens, and where it begins.
    Action(Vec<(Token, At)>, At),
}

/// Turns offsets, which only grow, into places. Cost: one pass over the text in all.
struct Places<'t> {
    text: &'t str,
    offset: usize,
    at: At,
}

impl Places<'_> {
    fn at(&mut self, offset: usize) -> At {
        let passed = self.text.get(self.offset..offset).unwrap_or_default();
        match passed.rfind('\n') {
            Some(i) => {
                self.at.line += passed.matches('\n').count();
                self.at.column = passed.len() - i - 1;
            }
            None => self.at.column += passed.len(),
        }
        self.offset = self.offset.max(offset);
        self.at
    }
}

const TRIM: [char; 4] = [' ', '\t', '\r', '\n'];

/// Splits a template.
///
/// # Errors
/// An action that is not closed or holds something that is no token.
pub(super) fn pieces(name: &str, text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    let mut places = Places {
        text,
        offset: 0,
        at: At { line: 1, column: 0 },
    };
    loop {
        let start = rest.find("{{");
        let mut literal = &rest[..start.unwrap_or(rest.len())];
        if trim_next {
            literal = literal.trim_start_matches(TRIM);
        }
        let Some(start) = start else {
            push_text(&mut out, literal);
            return Ok(out);
        };
        let mut body = &rest[start + 2..];
        if let Some(tail) = body.strip_prefix('-').filter(|t| t.starts_with(TRIM)) {
            literal = literal.trim_end_matches(TRIM);
            body = tail;
        }
        push_text(&mut out, literal);
        let at = places.at(text.len() - body.len());
        let fail = |what: String| TemplateError {
            name: name.to_owned(),
            line: at.line,
            text: what,
        };
        let trimmed = body.trim_start_matches(TRIM);
        let after = if let Some(comment) = trimmed.strip_prefix("/*") {
            let end = comment
                .find("*/")
                .ok_or_else(|| fail("unclosed comment".to_owned()))?;
            let tail = &comment[end + 2..];
            let closed = closing(tail.trim_start_matches(TRIM), tail.starts_with(TRIM));
            closed.ok_or_else(|| fail("comment ends before closing delimiter".to_owned()))?
        } else {
            let (tokens, after) = action(body, &mut places).map_err(fail)?;
            out.push(Piece::Action(tokens, at));
            after
        };
        (rest, trim_next) = after;
    }
}

fn push_text(out: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        out.push(Piece::Text(text.to_owned()));
    }
}

/// What follows `}}`, and whether blanks after it go.
fn closing(s: &str, blank_before: bool) -> Option<(&str, bool)> {
    if let Some(tail) = s.strip_prefix("}}") {
        return Some((tail, false));
    }
    if blank_before {
        return s.strip_prefix("-}}").map(|t| (t, true));
    }
    None
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Tokens with their places.
type Tokens = Vec<(Token, At)>;

/// The tokens of an action and what follows it.
fn action<'b>(body: &'b str, places: &mut Places<'_>) -> Result<(Tokens, (&'b str, bool)), String> {
    let mut out = Vec::new();
    let mut rest = body;
    let mut depth = 0usize;
    loop {
        let trimmed = rest.trim_start_matches(TRIM);
        let blank = trimmed.len() < rest.len();
        if let Some(after) = closing(trimmed, blank) {
            if depth > 0 {
                return Err("unclosed left paren".to_owned());
            }
            return Ok((out, after));
        }
        let at = places.at(places.text.len() - trimmed.len());
        if blank && !out.is_empty() {
            out.push((Token::Space, at));
        }
        rest = trimmed;
        match rest.chars().next() {
            Some('(') => depth += 1,
            Some(')') => depth = depth.checked_sub(1).ok_or("unexpected right paren")?,
            Some(_) => {}
            None => return Err("unclosed action".to_owned()),
        }
        let (token, len) = token(rest)?;
        out.push((token, at));
        rest = &rest[len..];
    }
}

/// The token that `rest` begins with, and its length.
fn token(rest: &str) -> Result<(Token, usize), String> {
    Ok(match rest.chars().next().unwrap_or(' ') {
        mark @ ('"' | '`' | '\'') => quoted(rest, mark)?,
        '|' => (Token::Pipe, 1),
        '(' => (Token::Open, 1),
        ')' => (Token::Close, 1),
        ',' => (Token::Comma, 1),
        '=' => (Token::Assign, 1),
        ':' if rest.starts_with(":=") => (Token::Declare, 2),
        ':' => return Err("expected :=".to_owned()),
        '$' => {
            let len = name_len(&rest[1..]);
            (Token::Variable(rest[..=len].to_owned()), len + 1)
        }
        '.' if !rest[1..].starts_with(|d: char| d.is_ascii_digit()) => {
            let len = name_len(&rest[1..]);
            match len {
                0 => (Token::Dot, 1),
                _ => (Token::Field(rest[1..=len].to_owned()), len + 1),
            }
        }
        c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => {
            let len = number_len(rest);
            (Token::Number(rest[..len].to_owned()), len)
        }
        c if is_name(c) => {
            let len = name_len(rest);
            (Token::Name(rest[..len].to_owned()), len)
        }
        c => return Err(format!("unexpected {} in command", quote::quote_char(c))),
    })
}

fn name_len(s: &str) -> usize {
    s.find(|c: char| !is_name(c)).unwrap_or(s.len())
}

fn number_len(s: &str) -> usize {
    let b = s.as_bytes();
    let mut len = usize::from(matches!(b.first(), Some(b'+' | b'-')));
    while let Some(c) = b.get(len) {
        let sign_in_exponent = matches!(c, b'+' | b'-')
            && matches!(b.get(len.wrapping_sub(1)), Some(b'e' | b'E' | b'p' | b'P'));
        if !(c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_') || sign_in_exponent) {
            break;
        }
        len += 1;
    }
    len
}

fn quoted(rest: &str, mark: char) -> Result<(Token, usize), String> {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && mark != '`' {
            escaped = true;
        } else if c == mark {
            let raw = &rest[..=i];
            let value = quote::unquote(raw).map_err(|e| e.to_string())?;
            let token = if mark == '\'' {
                let mut chars = value.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => Token::Char(c),
                    _ => return Err(format!("malformed character constant: {raw}")),
                }
            } else {
                Token::Text(value, raw.to_owned())
            };
            return Ok((token, i + 1));
        } else if c == '\n' && mark != '`' {
            break;
        }
    }
    Err(match mark {
        '\'' => "unterminated character constant",
        '`' => "unterminated raw quoted string",
        _ => "unterminated quoted string",
    }
    .to_owned())
}
