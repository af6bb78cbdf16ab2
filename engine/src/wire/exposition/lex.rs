//! What the two text formats share: names, quoted strings, the block in braces, error texts.

use std::borrow::Cow;
use std::ops::Range;

use super::{Pairs, ParseError};
use crate::model::METRIC_NAME;
use crate::wire::LABELS_MAX;

/// Go's `%q` of bytes.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\x0b' => out.push_str("\\v"),
                '\x0c' => out.push_str("\\f"),
                c if (c as u32) < 0x20 || c == '\x7f' => {
                    out.push_str(&format!("\\x{:02x}", c as u32));
                }
                c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
                c => out.push(c),
            }
        }
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out.push('"');
    out
}

/// Longest piece of a body that an error text repeats.
const CONTEXT_BYTES_MAX: usize = 1024;

/// A body with the line that is being read, for error texts.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) body: &'a [u8],
    pub(super) start: usize,
    /// The whole body is UTF-8: no string needs its own check.
    pub(super) utf8: bool,
}

impl<'a> Line<'a> {
    /// The byte at `p`; every body counts as ending in a newline.
    #[inline]
    pub(super) fn at(&self, p: usize) -> u8 {
        match self.body.get(p) {
            Some(b) => *b,
            None => b'\n',
        }
    }

    #[inline]
    pub(super) fn end(&self, p: usize) -> bool {
        p >= self.body.len()
    }

    fn quoted(&self, from: usize, to: usize) -> String {
        let to = to.min(self.body.len() + 1).max(from);
        let cut = to.min(from + CONTEXT_BYTES_MAX);
        let mut piece = self
            .body
            .get(from..cut.min(self.body.len()))
            .unwrap_or(&[])
            .to_vec();
        if cut > self.body.len() {
            piece.push(b'\n');
        }
        quote(&piece)
    }

    /// `expected`, but a token `name` at `from..=last` was found.
    #[cold]
    pub(super) fn unexpected(
        &self,
        expected: &str,
        from: usize,
        last: usize,
        name: &str,
    ) -> ParseError {
        ParseError(format!(
            "{expected}, got {} ({}) while parsing: {}",
            self.quoted(from, last + 1),
            quote(name.as_bytes()),
            self.quoted(self.start, last + 1)
        ))
    }

    /// `text`, with the line up to `to`.
    #[cold]
    pub(super) fn failed(&self, text: &str, to: usize) -> ParseError {
        ParseError(format!(
            "{text} while parsing: {}",
            self.quoted(self.start, to)
        ))
    }

    /// First byte at or after `p` that is neither space nor tab.
    #[inline]
    pub(super) fn skip_blanks(&self, mut p: usize) -> usize {
        while let Some(b' ' | b'\t') = self.body.get(p) {
            p += 1;
        }
        p
    }

    /// End of a metric name (`colon`) or label name at `p`; `p` itself when there is none.
    #[inline]
    pub(super) fn name_end(&self, p: usize, colon: bool) -> usize {
        let mut q = p;
        while let Some(b) = self.body.get(q) {
            let ok = b.is_ascii_alphabetic()
                || *b == b'_'
                || (colon && *b == b':')
                || (q > p && b.is_ascii_digit());
            if !ok {
                break;
            }
            q += 1;
        }
        q
    }

    /// Place of the quote that closes the string opened at `p`. A backslash takes any byte but a
    /// newline with it; with `one_line` a newline ends the search.
    #[inline]
    pub(super) fn string_end(&self, p: usize, one_line: bool) -> Option<usize> {
        let mut q = p + 1;
        loop {
            let rest = self.body.get(q..)?;
            q += memchr::memchr3(b'"', b'\\', if one_line { b'\n' } else { b'"' }, rest)?;
            match self.body[q] {
                b'"' => return Some(q),
                b'\\' if self.body.get(q + 1).is_some_and(|b| *b != b'\n') => q += 2,
                _ => return None,
            }
        }
    }

    #[inline]
    pub(super) fn check_utf8(&self, value: Range<usize>) -> Result<(), ParseError> {
        if !self.utf8 && std::str::from_utf8(&self.body[value.clone()]).is_err() {
            return Err(ParseError(format!(
                "invalid UTF-8 label value: {}",
                self.quoted(value.start - 1, value.end + 1)
            )));
        }
        Ok(())
    }

    /// Walks over the braces whose content starts at `p`; `visit` sees names and pairs. Returns
    /// the place after the closing brace and whether the series has a name.
    #[inline]
    pub(super) fn braces(
        &self,
        mut p: usize,
        strict: bool,
        mut named: bool,
        mut visit: impl FnMut(Piece),
    ) -> Result<(usize, bool), ParseError> {
        let blanks = |p: usize| if strict { p } else { self.skip_blanks(p) };
        loop {
            p = blanks(p);
            let (name, after, quoted) = match self.at(p) {
                b'}' if !self.end(p) => return Ok((p + 1, named)),
                b'"' => match self.string_end(p, false) {
                    Some(q) => (p + 1..q, q + 1, true),
                    None => {
                        return Err(self.unexpected(
                            "expected label name",
                            p,
                            self.body.len(),
                            "INVALID",
                        ));
                    }
                },
                c => {
                    let q = self.name_end(p, false);
                    if q == p {
                        return Err(match c {
                            b',' => self.unexpected("expected label name", p, p + 1, "COMMA"),
                            b'=' => self.unexpected("expected label name", p, p + 1, "EQUAL"),
                            _ => self.unexpected("expected label name", p, p, "INVALID"),
                        });
                    }
                    (p..q, q, false)
                }
            };
            if quoted {
                self.check_utf8(name.clone())?;
            }
            p = blanks(after);
            match self.at(p) {
                b'=' => p = blanks(p + 1),
                c @ (b',' | b'}') if !self.end(p) => {
                    if named {
                        return Err(self.failed("metric name already set", p + 1));
                    }
                    if !quoted {
                        return Err(self.failed("metric name not quoted", p + 1));
                    }
                    named = true;
                    visit(Piece::Name(name));
                    p += 1;
                    if c == b'}' {
                        return Ok((p, named));
                    }
                    continue;
                }
                _ => return Err(self.unexpected("expected equal", p, p, "INVALID")),
            }
            let value = match self.at(p) {
                b'"' => match self.string_end(p, strict) {
                    Some(q) => p + 1..q,
                    None => {
                        return Err(self.unexpected(
                            "expected label value",
                            p,
                            self.body.len(),
                            "INVALID",
                        ));
                    }
                },
                _ => return Err(self.unexpected("expected label value", p, p, "INVALID")),
            };
            self.check_utf8(value.clone())?;
            p = blanks(value.end + 1);
            visit(Piece::Pair(name, value));
            match self.at(p) {
                b',' => p += 1,
                b'}' => {}
                _ if strict => {
                    return Err(self.unexpected("expected comma or brace close", p, p, "INVALID"));
                }
                _ => {}
            }
        }
    }

    /// Walks over a series at `self.start`, in the text format with leading blanks. Returns the
    /// place after it.
    #[inline]
    pub(super) fn series(
        &self,
        strict: bool,
        mut visit: impl FnMut(Piece),
    ) -> Result<usize, ParseError> {
        let p = if strict {
            self.start
        } else {
            self.skip_blanks(self.start)
        };
        if self.at(p) == b'{' {
            let (end, named) = self.braces(p + 1, strict, false, visit)?;
            if !named {
                // The reference names the value in this text; its first byte comes after a blank.
                let value = self.skip_blanks(end);
                let to =
                    memchr::memchr3(b' ', b'\t', b'\n', &self.body[value.min(self.body.len())..])
                        .map_or(self.body.len(), |n| value + n);
                return Err(self.failed("metric name not set", to));
            }
            return Ok(end);
        }
        let q = self.name_end(p, true);
        if q == p {
            return Err(self.unexpected("expected a valid start token", p, p, "INVALID"));
        }
        // Blanks before a name belong to it.
        visit(Piece::Name(self.start..q));
        let open = if strict { q } else { self.skip_blanks(q) };
        if self.at(open) == b'{' {
            return self
                .braces(open + 1, strict, true, visit)
                .map(|(end, _)| end);
        }
        Ok(q)
    }
}

/// What a series is made of, as ranges of the body without quotes.
pub(super) enum Piece {
    Name(Range<usize>),
    Pair(Range<usize>, Range<usize>),
}

/// Reads the pairs of a raw series, the name first.
pub(super) fn read_series<'a>(
    raw: &'a [u8],
    strict: bool,
    out: &mut Pairs<'a>,
) -> Result<(), ParseError> {
    let line = Line {
        body: raw,
        start: 0,
        utf8: false,
    };
    let first = out.len();
    let mut broken = None;
    let mut text = |range: Range<usize>| {
        unescape(&raw[range], true).unwrap_or_else(|e| {
            broken = Some(e);
            Cow::Borrowed("")
        })
    };
    line.series(strict, |piece| match piece {
        Piece::Name(n) => {
            let n = text(n);
            out.insert(first, (Cow::Borrowed(METRIC_NAME), n));
        }
        Piece::Pair(n, v) => {
            let pair = (text(n), text(v));
            out.push(pair);
        }
    })?;
    if out.len() - first > LABELS_MAX + 1 {
        return Err(ParseError(format!(
            "series has more than {LABELS_MAX} labels"
        )));
    }
    broken.map_or(Ok(()), Err)
}

/// Undoes `\\`, `\n` and, with `quotes`, `\"`; other sequences stay.
pub(super) fn unescape(bytes: &[u8], quotes: bool) -> Result<Cow<'_, str>, ParseError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ParseError(format!("invalid UTF-8 label value: {}", quote(bytes))))?;
    if !bytes.contains(&b'\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let rest = chars.as_str();
        match rest.as_bytes().first() {
            Some(b'\\') => out.push('\\'),
            Some(b'n') => out.push('\n'),
            Some(b'"') if quotes => out.push('"'),
            _ => {
                out.push('\\');
                continue;
            }
        }
        chars.next();
    }
    Ok(Cow::Owned(out))
}
