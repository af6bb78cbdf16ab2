//! String literals in Go's dialect: `"..."` and `'...'` with escapes, backquoted raw strings.

use std::fmt::Write as _;

/// Why a literal cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnquoteError(pub &'static str);

const SYNTAX: UnquoteError = UnquoteError("invalid syntax");

/// The value of a literal including its quotes.
///
/// Byte escapes (`\xff`, `\377`) that do not form UTF-8 become private characters of the last
/// plane, which [`quote`] turns back and which are no part of any label name.
///
/// # Errors
/// When the quotes do not match or an escape is malformed.
pub fn unquote(s: &str) -> Result<String, UnquoteError> {
    let mut chars = s.chars();
    let quote = chars.next().ok_or(SYNTAX)?;
    if s.len() < 2 || !s.ends_with(quote) {
        return Err(SYNTAX);
    }
    let body = &s[1..s.len() - 1];
    match quote {
        '`' if body.contains('`') => Err(SYNTAX),
        '`' => Ok(body.to_owned()),
        '"' | '\'' if body.contains('\n') => Err(SYNTAX),
        '"' | '\'' => unescape(body, quote),
        _ => Err(SYNTAX),
    }
}

/// Whether an unquoted text can be a label name: not empty, and nothing in it was not UTF-8.
#[must_use]
pub fn is_label_name(s: &str) -> bool {
    !s.is_empty() && !s.chars().any(|c| kept_byte(c).is_some())
}

fn unescape(body: &str, quote: char) -> Result<String, UnquoteError> {
    if !body.contains(['\\', quote]) {
        return Ok(body.to_owned());
    }
    let mut out: Vec<u8> = Vec::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        if c == quote {
            return Err(SYNTAX);
        }
        if c != '\\' {
            push_char(&mut out, c);
            continue;
        }
        let e = rest.next().ok_or(SYNTAX)?;
        match e {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            c if c == quote => push_char(&mut out, c),
            'x' => out.push(number(&mut rest, 2, 16, 0)? as u8),
            'u' => push_code(&mut out, number(&mut rest, 4, 16, 0)?)?,
            'U' => push_code(&mut out, number(&mut rest, 8, 16, 0)?)?,
            '0'..='7' => {
                let first = e.to_digit(8).unwrap_or(0);
                let v = number(&mut rest, 2, 8, first)?;
                out.push(u8::try_from(v).map_err(|_| SYNTAX)?);
            }
            _ => return Err(SYNTAX),
        }
    }
    Ok(String::from_utf8(out).unwrap_or_else(|e| keep_bytes(e.as_bytes())))
}

/// First of the private characters that stand for bytes which are not UTF-8.
const BYTE_BASE: u32 = 0x10_ff00;

fn keep_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(
            chunk
                .invalid()
                .iter()
                .filter_map(|b| char::from_u32(BYTE_BASE + u32::from(*b))),
        );
    }
    out
}

/// The byte a private character stands for.
fn kept_byte(c: char) -> Option<u32> {
    (c as u32).checked_sub(BYTE_BASE).filter(|b| *b >= 0x80)
}

fn number(
    rest: &mut std::str::Chars<'_>,
    digits: u32,
    base: u32,
    start: u32,
) -> Result<u32, UnquoteError> {
    let mut v = start;
    for _ in 0..digits {
        let d = rest.next().and_then(|c| c.to_digit(base)).ok_or(SYNTAX)?;
        v = v.wrapping_mul(base).wrapping_add(d);
    }
    Ok(v)
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_code(out: &mut Vec<u8>, code: u32) -> Result<(), UnquoteError> {
    push_char(out, char::from_u32(code).ok_or(SYNTAX)?);
    Ok(())
}

/// Appends `s` as a double-quoted literal; printable characters stay as they are.
pub fn quote_into(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        if c == '"' {
            out.push_str("\\\"");
        } else {
            escape_into(out, c);
        }
    }
    out.push('"');
}

/// `s` as a double-quoted literal.
#[must_use]
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    quote_into(&mut out, s);
    out
}

/// A character as Go's `%q` prints it: `';'`.
#[must_use]
pub fn quote_char(c: char) -> String {
    let mut out = String::from("'");
    if c == '\'' {
        out.push_str("\\'");
    } else {
        escape_into(&mut out, c);
    }
    out.push('\'');
    out
}

fn escape_into(out: &mut String, c: char) {
    let simple = match c {
        '\\' => "\\\\",
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\x0b' => "\\v",
        _ => "",
    };
    if !simple.is_empty() {
        out.push_str(simple);
        return;
    }
    let code = c as u32;
    // Writing to a string cannot fail.
    let written = if let Some(b) = kept_byte(c) {
        write!(out, "\\x{b:02x}")
    } else if is_printable(c) {
        out.push(c);
        Ok(())
    } else if code < 0x20 || code == 0x7f {
        write!(out, "\\x{code:02x}")
    } else if code < 0x1_0000 {
        write!(out, "\\u{code:04x}")
    } else {
        write!(out, "\\U{code:08x}")
    };
    debug_assert!(written.is_ok());
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space: what Go calls printable.
fn is_printable(c: char) -> bool {
    let code = c as u32;
    if code < 0x7f {
        return code >= 0x20;
    }
    if c.is_control() || c.is_whitespace() {
        return false;
    }
    !matches!(
        code,
        0xad | 0x600..=0x605
            | 0x61c
            | 0x6dd
            | 0x70f
            | 0x180e
            | 0x200b..=0x200f
            | 0x202a..=0x202e
            | 0x2060..=0x206f
            | 0xe000..=0xf8ff
            | 0xfeff
            | 0xfff0..=0xfffb
            | 0xfffe..=0xffff
            | 0xe0000..=0x10_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquote_reads_all_escapes() {
        assert_eq!(
            unquote(r#""a\tb\"\\\x41\101é\U0001F600""#).as_deref(),
            Ok("a\tb\"\\AAé😀")
        );
        assert_eq!(unquote(r"'it\'s'").as_deref(), Ok("it's"));
        assert_eq!(unquote(r"`raw\n`").as_deref(), Ok(r"raw\n"));
        assert_eq!(unquote(r#""""#).as_deref(), Ok(""));
    }

    #[test]
    fn bytes_that_are_not_utf8_survive() {
        let s = unquote(r#""a\xc5z""#).unwrap_or_default();
        assert!(!is_label_name(&s) && is_label_name("a"));
        assert_eq!(quote(&s), r#""a\xc5z""#);
    }

    #[test]
    fn unquote_refuses_malformed_literals() {
        for bad in [
            "",
            "\"",
            "\"a",
            "a",
            "\"\\q\"",
            "\"\\x4\"",
            "\"\\ud800\"",
            "'\\\"'",
            "\"\\400\"",
        ] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quote_keeps_printable_and_escapes_the_rest() {
        assert_eq!(
            quote("a\"b\\\n\u{1}é\u{feff}\u{a0}"),
            r#""a\"b\\\n\x01é\ufeff\u00a0""#
        );
        assert_eq!(quote_char(';'), "';'");
    }
}
