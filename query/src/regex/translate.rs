//! Go pattern -> pattern of the `regex` crate, with Go's checks and error texts.

use super::RegexError;
use std::fmt::Write as _;

/// Largest counted repetition, and largest product of nested ones (Go's limit).
const REPEAT_MAX: u32 = 1000;

/// Translates a Go pattern. The result has the same capture groups.
///
/// # Errors
/// [`RegexError::Syntax`] with the text Go would give.
pub fn translate(pattern: &str) -> Result<String, RegexError> {
    let mut t = Translator {
        src: pattern,
        pos: 0,
        out: String::with_capacity(pattern.len() + 16),
        groups: Vec::new(),
        names: Vec::new(),
    };
    t.run()?;
    Ok(t.out)
}

/// What a repetition operator would apply to.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    /// Nothing: start of the pattern, of a group or of an alternative.
    Nothing,
    /// An atom.
    Atom,
    /// An atom with an operator; the start of the operator and the product of its counts.
    Repeated(usize),
}

struct Group {
    /// Largest product of counted repetitions inside.
    product: u32,
    /// Product of the last atom.
    last: u32,
}

struct Translator<'a> {
    src: &'a str,
    pos: usize,
    out: String,
    groups: Vec<Group>,
    names: Vec<&'a str>,
}

impl<'a> Translator<'a> {
    fn rest(&self) -> &'a str {
        &self.src[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn run(&mut self) -> Result<(), RegexError> {
        let mut last = Last::Nothing;
        let mut top = Group {
            product: 1,
            last: 1,
        };
        while let Some(c) = self.peek() {
            let start = self.pos;
            match c {
                '(' => {
                    self.open_group(&mut last)?;
                    continue;
                }
                ')' => {
                    self.bump();
                    let Some(g) = self.groups.pop() else {
                        return Err(RegexError::syntax("unexpected )", self.src));
                    };
                    self.out.push(')');
                    let outer = self.groups.last_mut().unwrap_or(&mut top);
                    outer.product = outer.product.max(g.product);
                    outer.last = g.product;
                    last = Last::Atom;
                    continue;
                }
                '|' => {
                    self.bump();
                    self.out.push('|');
                    last = Last::Nothing;
                    continue;
                }
                '*' | '+' | '?' => {
                    self.bump();
                    last = self.repeat(last, start, None, &mut top)?;
                    continue;
                }
                '{' => {
                    if let Some((min, max, len)) = counted(self.rest()) {
                        self.pos += len;
                        last = self.repeat(last, start, Some((min, max)), &mut top)?;
                        continue;
                    }
                    self.bump();
                    self.out.push_str("\\{");
                }
                '[' => self.class()?,
                '\\' => self.escape()?,
                '.' | '^' | '$' => {
                    self.bump();
                    self.out.push(c);
                }
                _ => {
                    self.bump();
                    push_literal(&mut self.out, c);
                }
            }
            self.groups.last_mut().unwrap_or(&mut top).last = 1;
            last = Last::Atom;
        }
        if !self.groups.is_empty() {
            return Err(RegexError::syntax("missing closing )", self.src));
        }
        Ok(())
    }

    fn repeat(
        &mut self,
        last: Last,
        start: usize,
        count: Option<(u32, Option<u32>)>,
        top: &mut Group,
    ) -> Result<Last, RegexError> {
        let lazy = self.peek() == Some('?');
        if lazy {
            self.bump();
        }
        let op = &self.src[start..self.pos];
        match last {
            Last::Nothing => {
                return Err(RegexError::syntax(
                    "missing argument to repetition operator",
                    op,
                ));
            }
            Last::Repeated(from) => {
                let both = &self.src[from..self.pos];
                return Err(RegexError::syntax(
                    "invalid nested repetition operator",
                    both,
                ));
            }
            Last::Atom => {}
        }
        if let Some((min, max)) = count {
            let high = max.unwrap_or(min);
            if min > REPEAT_MAX || high > REPEAT_MAX || max.is_some_and(|m| m < min) {
                return Err(RegexError::syntax("invalid repeat count", op));
            }
            let group = self.groups.last_mut().unwrap_or(top);
            let product = group.last.saturating_mul(high.max(1));
            if product > REPEAT_MAX {
                return Err(RegexError::syntax("invalid repeat count", op));
            }
            group.product = group.product.max(product);
        }
        self.out.push_str(op);
        Ok(Last::Repeated(start))
    }

    fn open_group(&mut self, last: &mut Last) -> Result<(), RegexError> {
        let start = self.pos;
        let rest = self.rest();
        if !rest.starts_with("(?") {
            self.bump();
            self.out.push('(');
        } else if rest.starts_with("(?P<")
            || (rest.starts_with("(?<") && !rest.starts_with("(?<=") && !rest.starts_with("(?<!"))
        {
            let open = if rest.starts_with("(?P<") { 4 } else { 3 };
            let Some(end) = rest.find('>') else {
                return Err(RegexError::syntax("invalid named capture", rest));
            };
            let name = &rest[open..end];
            let valid =
                !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
            if !valid {
                return Err(RegexError::syntax("invalid named capture", &rest[..=end]));
            }
            if self.names.contains(&name) {
                return Err(RegexError::syntax("duplicate capture group name", name));
            }
            self.names.push(name);
            self.pos += end + 1;
            // The library wants names that start with a letter; digits-first ones get a prefix
            // that `GoRegex` never shows.
            let prefix = if name.starts_with(|c: char| c.is_ascii_digit()) {
                "_"
            } else {
                ""
            };
            let written = write!(self.out, "(?P<{prefix}{name}>");
            debug_assert!(written.is_ok());
        } else {
            return self.flags(start, last);
        }
        self.groups.push(Group {
            product: 1,
            last: 1,
        });
        *last = Last::Nothing;
        Ok(())
    }

    /// `(?i)`, `(?i-s:...)`, `(?:...)`.
    fn flags(&mut self, start: usize, last: &mut Last) -> Result<(), RegexError> {
        let bad = |to: usize| {
            RegexError::syntax("invalid or unsupported Perl syntax", &self.src[start..to])
        };
        let body = &self.src[start + 2..];
        let mut negative = false;
        let mut any_after_minus = false;
        for (i, c) in body.char_indices() {
            let at = start + 2 + i + c.len_utf8();
            match c {
                'i' | 'm' | 's' | 'U' => any_after_minus = true,
                '-' if !negative => {
                    negative = true;
                    any_after_minus = false;
                }
                ':' | ')' => {
                    if negative && !any_after_minus {
                        return Err(bad(at));
                    }
                    let text = &self.src[start..at];
                    self.pos = at;
                    self.out.push_str(if text == "(?)" { "(?:)" } else { text });
                    if c == ':' {
                        self.groups.push(Group {
                            product: 1,
                            last: 1,
                        });
                        *last = Last::Nothing;
                    }
                    return Ok(());
                }
                _ => return Err(bad(at)),
            }
        }
        Err(RegexError::syntax("missing closing )", self.src))
    }

    fn escape(&mut self) -> Result<(), RegexError> {
        let start = self.pos;
        self.bump();
        let Some(c) = self.peek() else {
            return Err(RegexError::syntax(
                "trailing backslash at end of expression",
                "",
            ));
        };
        match c {
            'A' | 'z' => {
                self.bump();
                self.out.push('\\');
                self.out.push(c);
            }
            'b' | 'B' => {
                self.bump();
                // Word boundaries are ASCII in Go. The negated one cannot be ASCII here: it could
                // match inside a character.
                self.out
                    .push_str(if c == 'b' { "(?-u:\\b)" } else { "\\B" });
            }
            'Q' => {
                self.bump();
                let rest = self.rest();
                let (text, skip) = match rest.find("\\E") {
                    Some(end) => (&rest[..end], end + 2),
                    None => (rest, rest.len()),
                };
                self.pos += skip;
                // A repetition after the quote applies to its last character.
                text.chars().for_each(|c| push_literal(&mut self.out, c));
                if text.is_empty() {
                    self.out.push_str("(?:)");
                }
            }
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                self.bump();
                self.out.push('[');
                self.out.push_str(perl_class(c));
                self.out.push(']');
            }
            'p' | 'P' => self.unicode_class()?,
            'C' => return Err(RegexError::syntax("invalid escape sequence", "\\C")),
            _ => {
                let c = self.escaped_char(start)?;
                push_literal(&mut self.out, c);
            }
        }
        Ok(())
    }

    /// The character of an escape; `self.pos` is after the backslash.
    fn escaped_char(&mut self, start: usize) -> Result<char, RegexError> {
        let c = self
            .bump()
            .ok_or_else(|| RegexError::syntax("trailing backslash at end of expression", ""))?;
        let bad = |t: &Self| RegexError::syntax("invalid escape sequence", &t.src[start..t.pos]);
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '1'..='7' if !self.peek().is_some_and(|n| ('0'..='7').contains(&n)) => {
                return Err(bad(self));
            }
            '0'..='7' => {
                let mut v = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(d) = self.peek().and_then(|n| n.to_digit(8)) else {
                        break;
                    };
                    v = v * 8 + d;
                    self.bump();
                }
                char::from_u32(v).ok_or_else(|| bad(self))?
            }
            'x' => {
                let mut v: u32 = 0;
                if self.peek() == Some('{') {
                    self.bump();
                    let mut digits = 0;
                    loop {
                        match self.bump() {
                            Some('}') if digits > 0 => break,
                            Some(h) if h.is_ascii_hexdigit() => {
                                v = v
                                    .saturating_mul(16)
                                    .saturating_add(h.to_digit(16).unwrap_or(0));
                                digits += 1;
                            }
                            _ => return Err(bad(self)),
                        }
                    }
                } else {
                    for _ in 0..2 {
                        let d = self
                            .bump()
                            .and_then(|h| h.to_digit(16))
                            .ok_or_else(|| bad(self))?;
                        v = v * 16 + d;
                    }
                }
                char::from_u32(v).ok_or_else(|| bad(self))?
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(bad(self)),
        })
    }

    /// `\pL`, `\p{Greek}`, `\P{^Greek}`; `self.pos` is at the `p`.
    fn unicode_class(&mut self) -> Result<(), RegexError> {
        let start = self.pos - 1;
        let negated = self.bump() == Some('P');
        let name = if self.peek() == Some('{') {
            let Some(end) = self.rest().find('}') else {
                return Err(RegexError::syntax(
                    "invalid character class range",
                    &self.src[start..],
                ));
            };
            let name = &self.rest()[1..end];
            self.pos += end + 1;
            name
        } else {
            let from = self.pos;
            if self.bump().is_none() {
                return Err(RegexError::syntax(
                    "invalid character class range",
                    &self.src[start..],
                ));
            }
            &self.src[from..self.pos]
        };
        let (flip, name) = name.strip_prefix('^').map_or((false, name), |n| (true, n));
        let p = if negated != flip { 'P' } else { 'p' };
        let text = if name == "Any" {
            format!("\\{p}{{Any}}")
        } else {
            format!("\\{p}{{{name}}}")
        };
        let known = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && regex_syntax::Parser::new().parse(&text).is_ok();
        if !known {
            return Err(RegexError::syntax(
                "invalid character class range",
                &self.src[start..self.pos],
            ));
        }
        self.out.push_str(&text);
        Ok(())
    }

    fn class(&mut self) -> Result<(), RegexError> {
        let start = self.pos;
        self.bump();
        self.out.push('[');
        if self.peek() == Some('^') {
            self.bump();
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            let Some(c) = self.peek() else {
                return Err(RegexError::syntax("missing closing ]", &self.src[start..]));
            };
            if c == ']' && !first {
                self.bump();
                self.out.push(']');
                return Ok(());
            }
            // A minus is literal only at the ends.
            if c == '-' && !first && !rest.starts_with("-]") && !rest.is_empty() && rest.len() > 1 {
                let len = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                return Err(RegexError::syntax(
                    "invalid character class range",
                    &rest[..len],
                ));
            }
            first = false;
            if rest.starts_with("[:")
                && let Some(end) = rest.find(":]")
            {
                let name = &rest[..end + 2];
                if !posix_class(name) {
                    return Err(RegexError::syntax("invalid character class range", name));
                }
                self.out.push_str(name);
                self.pos += end + 2;
                continue;
            }
            if let Some(p) = rest.strip_prefix('\\').and_then(|r| r.chars().next()) {
                if matches!(p, 'd' | 'D' | 's' | 'S' | 'w' | 'W') {
                    self.pos += 2;
                    self.out.push('[');
                    self.out.push_str(perl_class(p));
                    self.out.push(']');
                    continue;
                }
                if matches!(p, 'p' | 'P') {
                    self.bump();
                    self.unicode_class()?;
                    continue;
                }
            }
            let from = self.pos;
            let low = self.class_char(start)?;
            let mut high = low;
            let tail = self.rest();
            if tail.starts_with('-') && !tail.starts_with("-]") && tail.len() > 1 {
                self.bump();
                high = self.class_char(start)?;
                if high < low {
                    let part = &self.src[from..self.pos];
                    return Err(RegexError::syntax("invalid character class range", part));
                }
            }
            push_class_char(&mut self.out, low);
            if high != low {
                self.out.push('-');
                push_class_char(&mut self.out, high);
            }
        }
    }

    fn class_char(&mut self, class_start: usize) -> Result<char, RegexError> {
        let start = self.pos;
        match self.bump() {
            None => Err(RegexError::syntax(
                "missing closing ]",
                &self.src[class_start..],
            )),
            Some('\\') => self.escaped_char(start),
            Some(c) => Ok(c),
        }
    }
}

/// Contents of an ASCII class; `\s` has no vertical tab in Go.
fn perl_class(c: char) -> &'static str {
    match c {
        'd' => "0-9",
        'D' => "^0-9",
        's' => "\\t\\n\\x0C\\r ",
        'S' => "^\\t\\n\\x0C\\r ",
        'w' => "0-9A-Za-z_",
        _ => "^0-9A-Za-z_",
    }
}

fn posix_class(name: &str) -> bool {
    let inner = name.trim_start_matches("[:").trim_end_matches(":]");
    matches!(
        inner.strip_prefix('^').unwrap_or(inner),
        "alnum"
            | "alpha"
            | "ascii"
            | "blank"
            | "cntrl"
            | "digit"
            | "graph"
            | "lower"
            | "print"
            | "punct"
            | "space"
            | "upper"
            | "word"
            | "xdigit"
    )
}

/// `{n}`, `{n,}` or `{n,m}` at the start of `s`: minimum, maximum, length. Anything else is literal.
fn counted(s: &str) -> Option<(u32, Option<u32>, usize)> {
    let end = s.find('}')?;
    let body = &s[1..end];
    let number = |t: &str| -> Option<u32> {
        let ok = !t.is_empty()
            && t.bytes().all(|b| b.is_ascii_digit())
            && (t.len() == 1 || !t.starts_with('0'));
        // Absurd counts are refused by the caller.
        ok.then(|| t.parse().unwrap_or(u32::MAX))
    };
    let (min, max) = match body.split_once(',') {
        None => {
            let n = number(body)?;
            (n, Some(n))
        }
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((min, max, end + 1))
}

fn push_literal(out: &mut String, c: char) {
    if c.is_ascii()
        && !c.is_ascii_alphanumeric()
        && !c.is_ascii_whitespace()
        && !c.is_ascii_control()
        && c != '_'
    {
        out.push('\\');
        // These two are word-boundary assertions when escaped.
        if matches!(c, '<' | '>') {
            out.pop();
        }
    }
    out.push(c);
}

fn push_class_char(out: &mut String, c: char) {
    if matches!(c, '[' | ']' | '\\' | '^' | '-' | '&' | '~') {
        out.push('\\');
    }
    out.push(c);
}
