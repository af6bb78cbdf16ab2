//! Text to tokens.
//!
//! Owns: comments, strings, numbers, durations, byte sizes, which words are reserved.
//! Knows nothing of: the grammar.
//!
//! Invariants
//! - Cost is linear in the text: no token is looked at more than a constant number of times.
//! - Word tokens are reserved in any case (`SUM`); names of functions only before a parenthesis.

use super::parse::ParseError;
use crate::text::{bytes, duration, go_duration, quote};

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name.
    Identifier(String),
    /// A string.
    Text(String),
    /// A number as written, unsigned.
    Number(String),
    /// A duration, ns.
    Duration(i64),
    /// A byte size.
    Bytes(u64),
    /// `[5m]`, ns.
    Range(i64),
    /// `--strict`
    Flag(String),
    /// A reserved word, lower-cased.
    Word(&'static str),
    /// The name of a function that is being called, lower-cased.
    Function(&'static str),
    /// An operator or a bracket.
    Op(&'static str),
    /// The end.
    End,
}

impl Token {
    /// How errors name it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Identifier(_) => "IDENTIFIER".to_owned(),
            Self::Text(_) => "STRING".to_owned(),
            Self::Number(_) => "NUMBER".to_owned(),
            Self::Duration(_) => "DURATION".to_owned(),
            Self::Bytes(_) => "BYTES".to_owned(),
            Self::Range(_) => "RANGE".to_owned(),
            Self::Flag(_) => "PARSER_FLAG".to_owned(),
            Self::Function(f) => f.to_ascii_uppercase(),
            Self::Word(w) | Self::Op(w) => (*w).to_owned(),
            Self::End => "$end".to_owned(),
        }
    }
}

/// A token with where it starts: line and column from 1.
#[derive(Debug, Clone)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) line: usize,
    pub(super) column: usize,
}

const WORDS: [&str; 26] = [
    "by",
    "without",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "offset",
    "unwrap",
    "json",
    "logfmt",
    "regexp",
    "unpack",
    "pattern",
    "decolorize",
    "line_format",
    "label_format",
    "distinct",
    "drop",
    "keep",
    "variants",
    "of",
    "dedup",
];

const FUNCTIONS: [&str; 34] = [
    "count_over_time",
    "rate",
    "rate_counter",
    "bytes_over_time",
    "bytes_rate",
    "absent_over_time",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "stdvar_over_time",
    "stddev_over_time",
    "quantile_over_time",
    "first_over_time",
    "last_over_time",
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "approx_topk",
    "sort",
    "sort_desc",
    "label_replace",
    "vector",
    "bytes",
    "duration",
    "duration_seconds",
    "ip",
    "count_values",
];

/// Longest first where one is the start of another.
const OPERATORS: [&str; 33] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "|", "=", ">", "<", "{", "}", "(",
    ")", ",", "+", "-", "*", "/", "%", "^", ".", "[", "]", "!", "~", "@", ":", ";",
];

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    line_start: usize,
}

/// All tokens of a text, the last one is [`Token::End`].
///
/// # Errors
/// A malformed string, number or range.
pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, ParseError> {
    let mut lexer = Lexer {
        text,
        at: 0,
        line: 1,
        line_start: 0,
    };
    let mut out = Vec::new();
    loop {
        lexer.skip_blanks();
        let (line, column) = lexer.position();
        let token = lexer
            .next()
            .map_err(|text| ParseError::at(line, column, text))?;
        let end = token == Token::End;
        out.push(Spanned {
            token,
            line,
            column,
        });
        if end {
            return Ok(out);
        }
    }
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn position(&self) -> (usize, usize) {
        let column = self.text[self.line_start..self.at].chars().count() + 1;
        (self.line, column)
    }

    fn advance(&mut self, len: usize) {
        for (i, _) in self.text[self.at..self.at + len].match_indices('\n') {
            self.line += 1;
            self.line_start = self.at + i + 1;
        }
        self.at += len;
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let len = if rest.starts_with('#') || rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some(body) = rest.strip_prefix("/*") {
                body.find("*/").map_or(rest.len(), |i| i + 4)
            } else {
                rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len()
            };
            if len == 0 {
                return;
            }
            self.advance(len);
        }
    }

    fn next(&mut self) -> Result<Token, String> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Token::End);
        };
        if first == '"' || first == '`' {
            return self.string(first);
        }
        if first.is_ascii_digit()
            || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            return self.number();
        }
        if first == '_' || first.is_ascii_alphabetic() {
            return Ok(self.word());
        }
        if first == '[' {
            return self.range();
        }
        if let Some(tail) = rest.strip_prefix("--") {
            let len = tail
                .find(|c: char| !(c.is_ascii_alphabetic() || c == '-'))
                .unwrap_or(tail.len());
            let flag = &tail[..len];
            if matches!(flag, "strict" | "keep-empty") {
                self.advance(len + 2);
                return Ok(Token::Flag(flag.to_owned()));
            }
        }
        if first == '-'
            && let Some((ns, len)) = duration_at(rest, 1)
        {
            self.advance(len);
            return Ok(Token::Duration(ns));
        }
        match OPERATORS.iter().find(|o| rest.starts_with(**o)) {
            Some(o) => {
                self.advance(o.len());
                Ok(Token::Op(o))
            }
            None => Err(format!("syntax error: unexpected character {first:?}")),
        }
    }

    fn string(&mut self, mark: char) -> Result<Token, String> {
        let rest = self.rest();
        let mut escaped = false;
        let mut end = None;
        for (i, c) in rest.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == '\\' && mark == '"' {
                escaped = true;
            } else if c == mark {
                end = Some(i + 1);
                break;
            } else if c == '\n' && mark == '"' {
                break;
            }
        }
        let len = end.ok_or("literal not terminated")?;
        let raw = &rest[..len];
        // Go drops carriage returns from raw strings.
        let value = if mark == '`' {
            raw[1..len - 1].replace('\r', "")
        } else {
            quote::unquote(raw).map_err(|e| e.to_string())?
        };
        self.advance(len);
        Ok(Token::Text(value))
    }

    fn number(&mut self) -> Result<Token, String> {
        let rest = self.rest();
        let len = number_len(rest);
        if let Some((ns, len)) = duration_at(rest, len) {
            self.advance(len);
            return Ok(Token::Duration(ns));
        }
        let unit = rest[len..]
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '.')
            .unwrap_or(rest.len() - len);
        if unit > 0
            && let Some(n) = literal_bytes(&rest[..len + unit])
        {
            self.advance(len + unit);
            return Ok(Token::Bytes(n));
        }
        let token = Token::Number(rest[..len].to_owned());
        self.advance(len);
        Ok(token)
    }

    fn word(&mut self) -> Token {
        let rest = self.rest();
        let len = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let word = &rest[..len];
        let after = &rest[len..];
        self.advance(len);
        if let Some(f) = FUNCTIONS.iter().find(|f| f.eq_ignore_ascii_case(word))
            && is_call(after)
        {
            return Token::Function(f);
        }
        match WORDS.iter().find(|w| w.eq_ignore_ascii_case(word)) {
            Some(w) => Token::Word(w),
            None => Token::Identifier(word.to_owned()),
        }
    }

    fn range(&mut self) -> Result<Token, String> {
        let rest = self.rest();
        let end = rest.find(']').ok_or("missing closing ']' in duration")?;
        let ms = duration::parse(&rest[1..end]).map_err(|e| e.to_string())?;
        if &rest[1..end] == "0" {
            return Err("duration must be greater than 0".to_owned());
        }
        self.advance(end + 1);
        Ok(Token::Range(ms.saturating_mul(1_000_000)))
    }
}

/// Length of a Go number literal at the start of `s`.
fn number_len(s: &str) -> usize {
    let b = s.as_bytes();
    if b.len() > 2 && b[0] == b'0' && matches!(b[1] | 0x20, b'x' | b'o' | b'b') {
        let hex = b[1] | 0x20 == b'x';
        let digits = b[2..]
            .iter()
            .take_while(|c| {
                (if hex {
                    c.is_ascii_hexdigit()
                } else {
                    c.is_ascii_digit()
                }) || **c == b'_'
            })
            .count();
        if digits > 0 {
            return 2 + digits;
        }
    }
    let digits = |from: usize| {
        b[from..]
            .iter()
            .take_while(|c| c.is_ascii_digit() || **c == b'_')
            .count()
    };
    let mut len = digits(0);
    if b.get(len) == Some(&b'.') {
        len += 1 + digits(len + 1);
    }
    if matches!(b.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(b.get(len + 1), Some(b'+' | b'-')));
        let exponent = b
            .get(len + 1 + sign..)
            .map_or(0, |t| t.iter().take_while(|c| c.is_ascii_digit()).count());
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}

/// A duration whose first `number` bytes are known to be digits (or a sign), with its length.
fn duration_at(s: &str, number: usize) -> Option<(i64, usize)> {
    let tail = &s[number..];
    let len = tail
        .find(|c: char| {
            !(c.is_ascii_digit()
                || c == '.'
                || matches!(c, 'n' | 'u' | 'µ' | 'μ' | 'm' | 's' | 'h' | 'd' | 'w' | 'y'))
        })
        .unwrap_or(tail.len());
    if len == 0 {
        return None;
    }
    let text = &s[..number + len];
    let ns = match duration::parse(text) {
        Ok(ms) => ms.saturating_mul(1_000_000),
        Err(_) => go_duration::parse(text)?,
    };
    Some((ns, number + len))
}

/// A byte size as a literal: a unit is required, exabytes have none.
fn literal_bytes(text: &str) -> Option<u64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let known = [
        "B", "kB", "KB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB", "PiB", "b", "kb",
        "mb", "gb", "tb", "pb", "kib", "mib", "gib", "tib", "pib", "k", "K", "M", "G", "T", "P",
        "ki", "Ki", "Mi", "Gi", "Ti", "Pi",
    ];
    known.contains(&unit).then(|| bytes::parse(text)).flatten()
}

/// Whether what follows a function's name makes it a call: `(`, `by (`, `without (`.
fn is_call(after: &str) -> bool {
    let rest = after.trim_start();
    if rest.starts_with('(') {
        return true;
    }
    ["by", "without"].iter().any(|w| {
        rest.get(..w.len())
            .is_some_and(|h| h.eq_ignore_ascii_case(w))
            && rest[w.len()..].trim_start().starts_with('(')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<String> {
        tokens(text)
            .unwrap()
            .iter()
            .map(|t| t.token.name())
            .collect()
    }

    #[test]
    fn function_names_are_names_without_a_call() {
        assert_eq!(
            kinds("rate count by"),
            ["IDENTIFIER", "IDENTIFIER", "by", "$end"]
        );
        assert_eq!(kinds("SUM by (x)")[0], "SUM");
    }

    #[test]
    fn numbers_durations_and_sizes_are_told_apart() {
        for (text, want) in [
            ("1.5", "NUMBER"),
            ("0x10", "NUMBER"),
            ("1e3", "NUMBER"),
            ("1h30m", "DURATION"),
            ("1.5h", "DURATION"),
            ("1d", "DURATION"),
            ("-5ms", "DURATION"),
            ("1KB", "BYTES"),
            ("4KiB", "BYTES"),
            ("[5m]", "RANGE"),
            ("--strict", "PARSER_FLAG"),
        ] {
            assert_eq!(kinds(text), [want, "$end"], "{text}");
        }
        for bad in [
            "[5]", "[0.5h]", "[1ns]", "[-5m]", "[5m ]", "'x'", "\"x", "\"\\q\"", "[5m",
        ] {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn comments_and_positions() {
        let t = tokens("# c\n  {a /* b\n */ =").unwrap();
        let at: Vec<_> = t.iter().map(|t| (t.line, t.column)).collect();
        assert_eq!(at, [(2, 3), (2, 4), (3, 5), (3, 6)]);
    }
}
