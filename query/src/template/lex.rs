//! Text to pieces: literal text and the tokens of actions, trim markers applied.

use super::TemplateError;
use crate::text::quote;

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
    /// A string.
    Text(String),
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
    /// An action: its tokens, the line it is on, the column from 0.
    Action(Vec<Token>, usize, usize),
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
        let offset = text.len() - body.len();
        let line = 1 + text[..offset].matches('\n').count();
        let column = offset - text[..offset].rfind('\n').map_or(0, |i| i + 1);
        let fail = |what: String| TemplateError {
            name: name.to_owned(),
            line,
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
            let (tokens, after) = action(body).map_err(fail)?;
            out.push(Piece::Action(tokens, line, column));
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

/// The tokens of an action and what follows it.
fn action(body: &str) -> Result<(Vec<Token>, (&str, bool)), String> {
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
        if blank && !out.is_empty() {
            out.push(Token::Space);
        }
        rest = trimmed;
        let Some(c) = rest.chars().next() else {
            return Err("unclosed action".to_owned());
        };
        let len = match c {
            '"' | '`' | '\'' => quoted(rest, c, &mut out)?,
            '|' => one(&mut out, Token::Pipe),
            '(' => {
                depth += 1;
                one(&mut out, Token::Open)
            }
            ')' => {
                depth = depth.checked_sub(1).ok_or("unexpected right paren")?;
                one(&mut out, Token::Close)
            }
            ',' => one(&mut out, Token::Comma),
            '=' => one(&mut out, Token::Assign),
            ':' if rest.starts_with(":=") => one(&mut out, Token::Declare) + 1,
            ':' => return Err("expected :=".to_owned()),
            '$' => {
                let len = name_len(&rest[1..]);
                out.push(Token::Variable(rest[..=len].to_owned()));
                len + 1
            }
            '.' if !rest[1..].starts_with(|d: char| d.is_ascii_digit()) => {
                let len = name_len(&rest[1..]);
                out.push(match len {
                    0 => Token::Dot,
                    _ => Token::Field(rest[1..=len].to_owned()),
                });
                len + 1
            }
            c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => {
                let len = number_len(rest);
                out.push(Token::Number(rest[..len].to_owned()));
                len
            }
            c if is_name(c) => {
                let len = name_len(rest);
                out.push(Token::Name(rest[..len].to_owned()));
                len
            }
            c => return Err(format!("unexpected {} in command", quote::quote_char(c))),
        };
        rest = &rest[len..];
    }
}

fn one(out: &mut Vec<Token>, t: Token) -> usize {
    out.push(t);
    1
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

fn quoted(rest: &str, mark: char, out: &mut Vec<Token>) -> Result<usize, String> {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && mark != '`' {
            escaped = true;
        } else if c == mark {
            let raw = &rest[..=i];
            let value = quote::unquote(raw).map_err(|e| e.to_string())?;
            out.push(if mark == '\'' {
                let mut chars = value.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => Token::Char(c),
                    _ => return Err(format!("malformed character constant: {raw}")),
                }
            } else {
                Token::Text(value)
            });
            return Ok(i + 1);
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
