//! Text to tokens. The whole text is scanned at once; an error token ends the list.
//!
//! Inside braces keywords are plain identifiers, inside brackets only durations, their arithmetic
//! and the step separator are words of the language.

use super::ast::Span;
use crate::text::quote::{quote, quote_char};

/// Kind of a token. The text of a token is the slice of the query at its span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tok {
    Eof,
    Error,
    Identifier,
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Equal,
    Colon,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    EqualEqual,
    NotEqual,
    LessEqual,
    Less,
    GreaterEqual,
    Greater,
    TrimUpper,
    TrimLower,
    RegexEqual,
    RegexNotEqual,
    At,
    And,
    Or,
    Unless,
    Atan2,
    Aggregator,
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Tok {
    fn is_keyword(self) -> bool {
        matches!(
            self,
            Self::Offset
                | Self::Smoothed
                | Self::Anchored
                | Self::By
                | Self::Without
                | Self::On
                | Self::Ignoring
                | Self::GroupLeft
                | Self::GroupRight
                | Self::Fill
                | Self::FillLeft
                | Self::FillRight
                | Self::Bool
        )
    }

    pub(super) fn is_operator(self) -> bool {
        matches!(
            self,
            Self::Add
                | Self::Sub
                | Self::Mul
                | Self::Div
                | Self::Mod
                | Self::Pow
                | Self::EqualEqual
                | Self::NotEqual
                | Self::LessEqual
                | Self::Less
                | Self::GreaterEqual
                | Self::Greater
                | Self::TrimUpper
                | Self::TrimLower
                | Self::RegexEqual
                | Self::RegexNotEqual
                | Self::At
                | Self::And
                | Self::Or
                | Self::Unless
                | Self::Atan2
        )
    }
}

fn keyword(word: &str) -> Option<Tok> {
    Some(match word {
        "and" => Tok::And,
        "or" => Tok::Or,
        "unless" => Tok::Unless,
        "atan2" => Tok::Atan2,
        "sum" | "avg" | "count" | "min" | "max" | "group" | "stddev" | "stdvar" | "topk"
        | "bottomk" | "count_values" | "quantile" | "limitk" | "limit_ratio" => Tok::Aggregator,
        "offset" => Tok::Offset,
        "smoothed" => Tok::Smoothed,
        "anchored" => Tok::Anchored,
        "by" => Tok::By,
        "without" => Tok::Without,
        "on" => Tok::On,
        "ignoring" => Tok::Ignoring,
        "group_left" => Tok::GroupLeft,
        "group_right" => Tok::GroupRight,
        "fill" => Tok::Fill,
        "fill_left" => Tok::FillLeft,
        "fill_right" => Tok::FillRight,
        "bool" => Tok::Bool,
        "start" => Tok::Start,
        "end" => Tok::End,
        "step" => Tok::Step,
        "range" => Tok::Range,
        "max_of" => Tok::MaxOf,
        "min_of" => Tok::MinOf,
        "inf" | "nan" => Tok::Number,
        _ => return None,
    })
}

/// One token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) tok: Tok,
    pub(super) span: Span,
}

/// All tokens of `text`, the last one [`Tok::Eof`] or [`Tok::Error`], and the message of the latter.
pub(super) fn lex(text: &str) -> (Vec<Token>, String) {
    let mut l = Lexer {
        text,
        pos: 0,
        start: 0,
        tokens: Vec::with_capacity(text.len() / 4 + 2),
        paren_depth: 0,
        in_braces: false,
        in_brackets: false,
        got_colon: false,
        got_duration: false,
        after_number: false,
    };
    let mut message = String::new();
    loop {
        match l.next_token() {
            Ok(true) => {}
            Ok(false) => break,
            Err(m) => {
                message = m;
                let span = Span {
                    start: to_u32(l.start),
                    end: to_u32(text.len()),
                };
                l.tokens.push(Token {
                    tok: Tok::Error,
                    span,
                });
                break;
            }
        }
    }
    (l.tokens, message)
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// How a token reads in a message: `identifier "x"`, `<by>`, `<op:+>`, `")"`, `end of input`.
pub(super) fn describe(token: Token, text: &str) -> String {
    let val = text
        .get(token.span.start as usize..token.span.end as usize)
        .unwrap_or("");
    let shown = || {
        if val.chars().count() > 10 {
            let short: String = val.chars().take(10).collect();
            format!("{}...", quote(&short))
        } else {
            quote(val)
        }
    };
    match token.tok {
        Tok::Eof => "end of input".to_owned(),
        Tok::Identifier => format!("identifier {}", quote(val)),
        Tok::MetricIdentifier => format!("metric identifier {}", quote(val)),
        Tok::String => format!("string {}", shown()),
        Tok::Number => format!("number {}", shown()),
        Tok::Duration => format!("duration {}", shown()),
        Tok::Aggregator => format!("<aggr:{val}>"),
        t if t.is_keyword() => format!("<{val}>"),
        t if t.is_operator() => format!("<op:{val}>"),
        _ => shown(),
    }
}

struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    start: usize,
    tokens: Vec<Token>,
    paren_depth: u32,
    in_braces: bool,
    in_brackets: bool,
    got_colon: bool,
    got_duration: bool,
    /// A number was read since the bracket: unknown characters get the general messages.
    after_number: bool,
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.pos..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        let ok = self.peek().is_some_and(|c| set.contains(c));
        if ok {
            self.pos += 1;
        }
        ok
    }

    fn skip_while(&mut self, f: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&f) {
            self.bump();
        }
    }

    fn word(&self) -> &str {
        &self.text[self.start..self.pos]
    }

    fn emit(&mut self, tok: Tok) {
        self.tokens.push(Token {
            tok,
            span: Span {
                start: to_u32(self.start),
                end: to_u32(self.pos),
            },
        });
        self.start = self.pos;
    }

    fn skip_blank(&mut self) {
        loop {
            self.skip_while(is_space);
            if self.in_brackets || self.peek() != Some('#') {
                break;
            }
            self.skip_while(|c| c != '\n' && c != '\r');
        }
        self.start = self.pos;
    }

    /// False at the end of the text.
    fn next_token(&mut self) -> Result<bool, String> {
        self.skip_blank();
        if self.in_braces {
            self.inside_braces()?;
        } else if self.in_brackets {
            self.inside_brackets()?;
        } else {
            return self.outside();
        }
        Ok(true)
    }

    fn outside(&mut self) -> Result<bool, String> {
        let Some(c) = self.bump() else {
            if self.paren_depth != 0 {
                return Err("unclosed left parenthesis".to_owned());
            }
            self.emit(Tok::Eof);
            return Ok(false);
        };
        let tok = match c {
            ',' => Tok::Comma,
            '*' => Tok::Mul,
            '/' => Tok::Div,
            '%' => Tok::Mod,
            '+' => Tok::Add,
            '-' => Tok::Sub,
            '^' => Tok::Pow,
            '@' => Tok::At,
            '=' => match self.peek() {
                Some('=') => {
                    self.bump();
                    Tok::EqualEqual
                }
                Some('~') => return Err("unexpected character after '=': '~'".to_owned()),
                _ => Tok::Equal,
            },
            '!' => {
                if !self.accept("=") {
                    let t = self.peek().unwrap_or(char::REPLACEMENT_CHARACTER);
                    return Err(format!("unexpected character after '!': {}", quote_char(t)));
                }
                Tok::NotEqual
            }
            '<' if self.accept("=") => Tok::LessEqual,
            '<' if self.accept("/") => Tok::TrimUpper,
            '<' => Tok::Less,
            '>' if self.accept("=") => Tok::GreaterEqual,
            '>' if self.accept("/") => Tok::TrimLower,
            '>' => Tok::Greater,
            '(' => {
                self.paren_depth += 1;
                Tok::LeftParen
            }
            ')' => {
                self.close_paren()?;
                Tok::RightParen
            }
            '{' => {
                self.in_braces = true;
                Tok::LeftBrace
            }
            '[' => {
                self.in_brackets = true;
                self.got_colon = false;
                self.got_duration = false;
                self.after_number = false;
                Tok::LeftBracket
            }
            ']' => return Err("unexpected right bracket ']'".to_owned()),
            '"' | '\'' | '`' => {
                self.string(c)?;
                Tok::String
            }
            _ if c.is_ascii_digit()
                || (c == '.' && self.peek().is_some_and(|d| d.is_ascii_digit())) =>
            {
                self.pos = self.start;
                self.number_or_duration()?
            }
            _ if is_alpha(c) || c == ':' => self.keyword_or_identifier(),
            _ => return Err(format!("unexpected character: {}", quote_char(c))),
        };
        self.emit(tok);
        Ok(true)
    }

    fn close_paren(&mut self) -> Result<(), String> {
        match self.paren_depth.checked_sub(1) {
            Some(d) => {
                self.paren_depth = d;
                Ok(())
            }
            None => Err("unexpected right parenthesis ')'".to_owned()),
        }
    }

    fn inside_braces(&mut self) -> Result<(), String> {
        let Some(c) = self.bump() else {
            return Err("unexpected end of input inside braces".to_owned());
        };
        let tok = match c {
            ',' => Tok::Comma,
            '"' | '\'' | '`' => {
                self.string(c)?;
                Tok::String
            }
            '=' if self.accept("~") => Tok::RegexEqual,
            '=' => Tok::Equal,
            '!' if self.accept("~") => Tok::RegexNotEqual,
            '!' if self.accept("=") => Tok::NotEqual,
            '!' => {
                let t = self.peek().unwrap_or(char::REPLACEMENT_CHARACTER);
                return Err(format!(
                    "unexpected character after '!' inside braces: {}",
                    quote_char(t)
                ));
            }
            '{' => return Err("unexpected left brace '{'".to_owned()),
            '}' => {
                self.in_braces = false;
                Tok::RightBrace
            }
            _ if is_alpha(c) => {
                self.skip_while(is_alphanumeric);
                Tok::Identifier
            }
            _ => {
                return Err(format!(
                    "unexpected character inside braces: {}",
                    quote_char(c)
                ));
            }
        };
        self.emit(tok);
        Ok(())
    }

    fn inside_brackets(&mut self) -> Result<(), String> {
        let Some(c) = self.bump() else {
            return Err(match (self.after_number, self.paren_depth) {
                (false, _) => "unexpected end of input in duration expression".to_owned(),
                (true, 0) => "unclosed left bracket".to_owned(),
                (true, _) => "unclosed left parenthesis".to_owned(),
            });
        };
        let tok = match c {
            ']' => {
                self.in_brackets = false;
                Tok::RightBracket
            }
            ':' => {
                if !self.got_duration {
                    return Err(
                        "unexpected colon before duration in duration expression".to_owned()
                    );
                }
                if self.got_colon && self.after_number {
                    return Err("unexpected colon ':'".to_owned());
                }
                if self.got_colon {
                    return Err("unexpected repeated colon in duration expression".to_owned());
                }
                self.got_colon = true;
                Tok::Colon
            }
            '(' => {
                self.paren_depth += 1;
                Tok::LeftParen
            }
            ')' => {
                self.close_paren()?;
                Tok::RightParen
            }
            '+' => Tok::Add,
            '-' => Tok::Sub,
            '*' => Tok::Mul,
            '/' => Tok::Div,
            '%' => Tok::Mod,
            '^' => Tok::Pow,
            ',' => Tok::Comma,
            _ if c.is_ascii_digit()
                || (c == '.' && self.peek().is_some_and(|d| d.is_ascii_digit())) =>
            {
                self.pos = self.start;
                self.got_duration = true;
                self.after_number = true;
                self.number_or_duration()?
            }
            _ => {
                self.skip_while(is_alpha);
                let tok = match keyword(&self.word().to_ascii_lowercase()) {
                    Some(t @ (Tok::Step | Tok::Range | Tok::MaxOf | Tok::MinOf)) => t,
                    _ => return Err(self.bad_in_brackets(c)),
                };
                self.got_duration = true;
                tok
            }
        };
        self.emit(tok);
        Ok(())
    }

    fn bad_in_brackets(&self, c: char) -> String {
        let shown = quote_char(c);
        match c {
            _ if !self.after_number => {
                format!("unexpected character in duration expression: {shown}")
            }
            '[' => "unexpected left bracket '['".to_owned(),
            _ if is_alpha(c) => format!("unexpected character: {shown}, expected ':'"),
            _ => format!("unexpected character: {shown}"),
        }
    }

    fn keyword_or_identifier(&mut self) -> Tok {
        self.skip_while(|c| is_alphanumeric(c) || c == ':');
        let word = self.word();
        match keyword(&word.to_ascii_lowercase()) {
            // So that metrics may be called "fill", which was possible before the modifier existed.
            Some(Tok::Fill | Tok::FillLeft | Tok::FillRight)
                if !self.text[self.pos..]
                    .trim_start_matches(is_space)
                    .starts_with('(') =>
            {
                Tok::Identifier
            }
            Some(k) => k,
            None if word.contains(':') => Tok::MetricIdentifier,
            None => Tok::Identifier,
        }
    }

    fn string(&mut self, open: char) -> Result<(), String> {
        loop {
            match self.bump() {
                None if open == '`' => return Err("unterminated raw string".to_owned()),
                None => return Err("unterminated quoted string".to_owned()),
                Some('\n') if open != '`' => return Err("unterminated quoted string".to_owned()),
                Some('\\') if open != '`' => self.escape(open)?,
                Some(c) if c == open => return Ok(()),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, open: char) -> Result<(), String> {
        let unterminated = || "escape sequence not terminated".to_owned();
        let c = self.bump().ok_or_else(unterminated)?;
        let (digits, base, max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if c == open => return Ok(()),
            '0'..='7' => {
                self.pos -= 1;
                (3, 8, 255)
            }
            'x' => (2, 16, 255),
            'u' => (4, 16, 0x10_ffff),
            'U' => (8, 16, 0x10_ffff),
            _ => return Err(format!("unknown escape sequence {}", code_point(c))),
        };
        let mut v: u32 = 0;
        for _ in 0..digits {
            let c = self.bump().ok_or_else(unterminated)?;
            let d = c
                .to_digit(base)
                .ok_or_else(|| format!("illegal character {} in escape sequence", code_point(c)))?;
            v = v.wrapping_mul(base).wrapping_add(d);
        }
        if v > max || (0xd800..0xe000).contains(&v) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }

    fn number_or_duration(&mut self) -> Result<Tok, String> {
        if self.number() {
            return Ok(Tok::Number);
        }
        if self.duration_tail() {
            return Ok(Tok::Duration);
        }
        Err(format!(
            "bad number or duration syntax: {}",
            quote(self.word())
        ))
    }

    /// Scans what may be a number; leaves the position where it stopped being one.
    fn number(&mut self) -> bool {
        let begin = self.pos;
        let mut hex = false;
        if self.accept("0") && self.accept("xX") {
            self.accept("_");
            hex = true;
        }
        let digits = if hex {
            "0123456789abcdefABCDEF"
        } else {
            "0123456789"
        };
        self.accept(".");
        self.accept(digits);
        let (mut dot, mut exponent) = (false, false);
        while let Some(c) = self.peek() {
            if digits.contains(c) {
                self.bump();
            } else if c == '.' {
                self.bump();
                if dot || hex || self.accept("_.") {
                    return false;
                }
                dot = true;
            } else if c == 'e' || c == 'E' {
                self.bump();
                if exponent {
                    return false;
                }
                exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if c == '_' {
                self.bump();
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                break;
            }
        }
        self.pos > begin && !self.peek().is_some_and(is_alphanumeric)
    }

    /// The unit of the number just scanned and any further number and unit pairs.
    fn duration_tail(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept("0123456789") {
            while self.accept("0123456789") {}
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.bump();
            return false;
        }
        true
    }
}

/// A character as Go's `%#U` prints it: `U+0071 'q'`.
fn code_point(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}
