//! Cutting a line into what stays and what varies.

use super::{HOLE, Span};

/// A value of a line, and where the name of its column is, if the line names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) value: Span,
    /// Empty for values without a name.
    pub(super) key: Span,
}

const NO_KEY: Span = Span { from: 0, to: 0 };

/// How a line is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object on one line.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// Anything else.
    Text,
}

/// The shape a line seems to have; a wrong guess costs space, not truth.
pub(super) fn shape(line: &[u8]) -> Shape {
    if line.first() == Some(&b'{') && line.last() == Some(&b'}') {
        return Shape::Json;
    }
    let word = line
        .iter()
        .position(|b| *b == b' ' || *b == b'=' || *b == b'"');
    match word {
        Some(i) if i > 0 && line[i] == b'=' => Shape::Logfmt,
        _ => Shape::Text,
    }
}

/// Cuts `text[at]` into `fields` and the skeleton around them. False when it cannot be cut.
pub(super) fn cut(
    text: &[u8],
    at: Span,
    shape: Shape,
    fields: &mut Vec<Field>,
    skeleton: &mut Vec<u8>,
) -> bool {
    fields.clear();
    skeleton.clear();
    match shape {
        Shape::Json => json(text, at, fields),
        Shape::Logfmt => logfmt(text, at, fields),
        Shape::Text => words(text, at, fields),
    }
    let mut from = at.from as usize;
    for f in fields.iter() {
        skeleton.extend_from_slice(&text[from..f.value.from as usize]);
        skeleton.push(HOLE);
        from = f.value.to as usize;
    }
    skeleton.extend_from_slice(&text[from..at.to as usize]);
    // More marks than fields: the line has the mark itself.
    memchr::memchr_iter(HOLE, skeleton).count() == fields.len()
}

/// End of the string that begins at `i`, at its closing quote or at the end.
fn quoted_end(text: &[u8], mut i: usize, end: usize) -> usize {
    while i < end {
        match memchr::memchr2(b'"', b'\\', &text[i..end]) {
            None => return end,
            Some(p) if text[i + p] == b'"' => return i + p,
            Some(p) => i += p + 2,
        }
    }
    end
}

fn span(from: usize, to: usize) -> Span {
    Span {
        from: from as u32,
        to: to as u32,
    }
}

fn json(text: &[u8], at: Span, fields: &mut Vec<Field>) {
    let end = at.to as usize;
    let mut i = at.from as usize;
    let mut key = NO_KEY;
    while i < end {
        match text[i] {
            b'"' => {
                let close = quoted_end(text, i + 1, end);
                if text.get(close + 1) == Some(&b':') && close + 1 < end {
                    key = span(i + 1, close);
                } else if close > i {
                    fields.push(Field {
                        value: span(i + 1, close.max(i + 1)),
                        key,
                    });
                }
                i = close + 1;
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                let len = text[i..end]
                    .iter()
                    .position(|b| matches!(b, b',' | b'}' | b']' | b' '));
                let stop = len.map_or(end, |n| i + n);
                fields.push(Field {
                    value: span(i, stop),
                    key,
                });
                i = stop;
            }
            _ => i += 1,
        }
    }
}

fn logfmt(text: &[u8], at: Span, fields: &mut Vec<Field>) {
    let end = at.to as usize;
    let mut i = at.from as usize;
    while i < end {
        let Some(eq) = memchr::memchr(b'=', &text[i..end]).map(|p| i + p) else {
            return;
        };
        let start = text[i..eq].iter().rposition(|b| *b == b' ');
        let key = span(start.map_or(i, |p| i + p + 1), eq);
        let from = eq + 1;
        let (from, to) = if text.get(from) == Some(&b'"') && from < end {
            (from + 1, quoted_end(text, from + 1, end))
        } else {
            let stop = memchr::memchr(b' ', &text[from..end]);
            (from, stop.map_or(end, |p| from + p))
        };
        fields.push(Field {
            value: span(from.min(end), to),
            key,
        });
        i = to.min(end);
        if i < end {
            i += 1;
        }
    }
}

/// Quoted strings, and words that hold a digit.
fn words(text: &[u8], at: Span, fields: &mut Vec<Field>) {
    let end = at.to as usize;
    let mut i = at.from as usize;
    while i < end {
        let b = text[i];
        if b == b'"' {
            let close = quoted_end(text, i + 1, end);
            if close < end {
                fields.push(Field {
                    value: span(i + 1, close),
                    key: NO_KEY,
                });
            }
            i = close + 1;
        } else if b.is_ascii_alphanumeric() {
            let start = i;
            let mut digit = false;
            while i < end && text[i].is_ascii_alphanumeric() {
                digit |= text[i].is_ascii_digit();
                i += 1;
            }
            if digit {
                fields.push(Field {
                    value: span(start, i),
                    key: NO_KEY,
                });
            }
        } else {
            i += 1;
        }
    }
}
