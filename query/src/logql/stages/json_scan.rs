//! A lenient reader of JSON objects, member by member, without a tree.
//!
//! It gives what stands before a fault: values are found by their brackets and quotes, numbers are
//! not checked digit by digit, and text after the closing brace is not looked at.

/// Kind of a member's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text between quotes, escapes untouched.
    Text,
    /// A number as written.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
    /// With its braces.
    Object,
    /// With its brackets.
    Array,
}

/// Why reading ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The text is not what it should be.
    Fault(&'static str),
    /// The visitor has enough.
    Enough,
}

const OBJECT: Stop = Stop::Fault("Value looks like object, but can't find closing '}' symbol");
const JSON: Stop = Stop::Fault("Malformed JSON error");
const ARRAY: Stop = Stop::Fault("Value is array, but can't find closing ']' symbol");
const TEXT: Stop = Stop::Fault("Value is string, but can't find closing '\"' symbol");
const UNKNOWN: Stop = Stop::Fault("Unknown value type");

pub(super) fn blank(s: &str, at: usize) -> usize {
    let b = s.as_bytes();
    let rest = b.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|c| matches!(c, b' ' | b'\n' | b'\r' | b'\t'))
        .count()
}

/// Where a string that starts after its quote at `at` ends (its closing quote).
fn string_end(s: &str, at: usize) -> Option<usize> {
    let b = s.as_bytes();
    let mut i = at;
    loop {
        i += memchr::memchr2(b'"', b'\\', b.get(i..)?)?;
        if b[i] == b'"' {
            return Some(i);
        }
        i += 2;
    }
}

/// Where the block that opens at `at` ends (after its closing bracket).
fn block_end(s: &str, at: usize, open: u8, close: u8) -> Option<usize> {
    let b = s.as_bytes();
    let mut depth = 0usize;
    let mut i = at;
    while let Some(c) = b.get(i) {
        match *c {
            b'"' => i = string_end(s, i + 1)?,
            c if c == open => depth += 1,
            c if c == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            _ => {}
        }
        i += 1;
    }
    None
}

/// The value at `at`: its text, its kind and where it ends.
pub(super) fn value(s: &str, at: usize) -> Result<(&str, Kind, usize), Stop> {
    let b = s.as_bytes();
    match b.get(at) {
        None => Err(JSON),
        Some(b'"') => {
            let end = string_end(s, at + 1).ok_or(TEXT)?;
            Ok((&s[at + 1..end], Kind::Text, end + 1))
        }
        Some(b'{') => {
            let end = block_end(s, at, b'{', b'}').ok_or(OBJECT)?;
            Ok((&s[at..end], Kind::Object, end))
        }
        Some(b'[') => {
            let end = block_end(s, at, b'[', b']').ok_or(ARRAY)?;
            Ok((&s[at..end], Kind::Array, end))
        }
        Some(first) => {
            let len = b[at..]
                .iter()
                .position(|c| matches!(c, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']'))
                .ok_or(JSON)?;
            let text = s.get(at..at + len).ok_or(UNKNOWN)?;
            let kind = match (first, text) {
                (_, "true" | "false") => Kind::Bool,
                (_, "null") => Kind::Null,
                (b'0'..=b'9' | b'-', _) => Kind::Number,
                _ => return Err(UNKNOWN),
            };
            Ok((text, kind, at + len))
        }
    }
}

/// Hands the members of the object in `s` to `visit`: key (unescaped), text, kind.
pub(super) fn object<'s>(
    s: &'s str,
    visit: &mut dyn FnMut(&str, &'s str, Kind) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let b = s.as_bytes();
    let mut at = blank(s, 0);
    if b.get(at) != Some(&b'{') {
        return Err(OBJECT);
    }
    at = blank(s, at + 1);
    if b.get(at) == Some(&b'}') {
        return Ok(());
    }
    loop {
        match b.get(at) {
            Some(b'"') => {}
            Some(b'}') => return Ok(()),
            Some(_) => return Err(OBJECT),
            None => return Err(JSON),
        }
        let end = string_end(s, at + 1).ok_or(JSON)?;
        let raw = &s[at + 1..end];
        at = blank(s, end + 1);
        if b.get(at) != Some(&b':') {
            return Err(JSON);
        }
        let (text, kind, after) = value(s, blank(s, at + 1))?;
        if raw.contains('\\') {
            let key = unescape(raw).ok_or(Stop::Fault(
                "Encountered an invalid escape sequence in a string",
            ))?;
            visit(&key, text, kind)?;
        } else {
            visit(raw, text, kind)?;
        }
        at = blank(s, after);
        match b.get(at) {
            Some(b'}') => return Ok(()),
            Some(b',') => at = blank(s, at + 1),
            Some(_) => return Err(OBJECT),
            None => return Err(ARRAY),
        }
    }
}

/// The elements of the array in `s`, up to a fault.
pub(super) fn element(s: &str, wanted: usize) -> Option<(&str, Kind)> {
    let mut at = blank(s, 1);
    for i in 0.. {
        let (text, kind, after) = value(s, at).ok()?;
        if i == wanted {
            return Some((text, kind));
        }
        at = blank(s, after);
        if s.as_bytes().get(at) != Some(&b',') {
            return None;
        }
        at = blank(s, at + 1);
    }
    None
}

/// The text of a JSON string; `None` when an escape is none.
pub(super) fn unescape(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let e = rest.as_bytes().get(at + 1)?;
        let mut len = 2;
        match e {
            b'"' => out.push('"'),
            b'\\' => out.push('\\'),
            b'/' => out.push('/'),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let high = hex(rest, at + 2)?;
                len = 6;
                let c = if (0xd800..0xdc00).contains(&high) {
                    if rest.as_bytes().get(at + 6..at + 8)? != b"\\u" {
                        return None;
                    }
                    let low = hex(rest, at + 8)?;
                    len = 12;
                    let low = low.checked_sub(0xdc00).filter(|l| *l < 0x400)?;
                    0x10000 + ((high - 0xd800) << 10) + low
                } else {
                    high
                };
                out.push(char::from_u32(c).unwrap_or('\u{fffd}'));
            }
            _ => return None,
        }
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    Some(out)
}

fn hex(s: &str, at: usize) -> Option<u32> {
    let digits = s.get(at..at + 4)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(s: &str) -> (Vec<(String, String, Kind)>, bool) {
        let mut out = Vec::new();
        let r = object(s, &mut |k, v, kind| {
            out.push((k.to_owned(), v.to_owned(), kind));
            Ok(())
        });
        (out, r.is_ok())
    }

    #[test]
    fn members_before_a_fault_are_given() {
        let (m, ok) = members(r#"{"a":1, "b":{"c":[1,"}"]} ,"d":nul}"#);
        assert_eq!(m.len(), 2);
        assert_eq!(m[1].1, r#"{"c":[1,"}"]}"#);
        assert!(!ok);
        assert_eq!(members(r#"  {"a":"x\"y"} rest"#).0[0].1, r#"x\"y"#);
        for bad in [
            "",
            "[]",
            "{",
            "{\"a\"}",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":\"x",
        ] {
            assert!(!members(bad).1, "{bad}");
        }
        assert_eq!(
            element("[1, {\"a\":2}, 3]", 1),
            Some(("{\"a\":2}", Kind::Object))
        );
        assert_eq!(element("[1]", 1), None);
    }

    #[test]
    fn escapes() {
        assert_eq!(
            unescape(r#"a\n\u00e9\ud83d\ude80\"\/"#).as_deref(),
            Some("a\né🚀\"/")
        );
        for bad in [r"\x", r"\u12", r"\ud800x", "\\"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
