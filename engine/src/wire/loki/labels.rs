//! Stream labels as text: `{a="b", c="d"}`.

use std::borrow::Cow;

use super::{Pairs, PushDecodeError};
use crate::wire::LABELS_MAX;

/// The pairs of a label set in text form.
///
/// # Errors
/// When it is none, or has more than [`LABELS_MAX`] labels.
pub fn parse_labels(text: &str) -> Result<Pairs<'_>, PushDecodeError> {
    let fail = |what: &str| {
        PushDecodeError(format!(
            "error parsing labels '{text}' with error: 1:1: parse error: {what}"
        ))
    };
    let mut rest = text
        .trim()
        .strip_prefix('{')
        .ok_or_else(|| fail("unexpected character, expected \"{\""))?
        .trim_start();
    let mut out: Pairs<'_> = Vec::new();
    loop {
        if let Some(tail) = rest.strip_prefix('}') {
            if tail.trim().is_empty() {
                return Ok(out);
            }
            return Err(fail("unexpected characters after \"}\""));
        }
        let len = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let (name, tail) = rest.split_at(len);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(fail("expected a label name or \"}\""));
        }
        let tail = tail
            .trim_start()
            .strip_prefix('=')
            .ok_or_else(|| fail("expected \"=\" after a label name"))?;
        let (value, tail) = quoted(tail.trim_start()).ok_or_else(|| fail("expected a string"))?;
        if out.len() == LABELS_MAX {
            return Err(fail("too many labels"));
        }
        out.push((name.into(), value));
        rest = tail.trim_start();
        match rest.strip_prefix(',') {
            Some(tail) => rest = tail.trim_start(),
            None if rest.starts_with('}') => {}
            None => return Err(fail("expected \",\" or \"}\"")),
        }
    }
}

/// A string in Go's dialect at the start of `s`, and what follows.
fn quoted(s: &str) -> Option<(Cow<'_, str>, &str)> {
    if let Some(body) = s.strip_prefix('`') {
        let end = body.find('`')?;
        return Some((body[..end].into(), &body[end + 1..]));
    }
    let body = s.strip_prefix('"')?;
    let end = body.find(['"', '\\'])?;
    if body.as_bytes()[end] == b'"' {
        return Some((body[..end].into(), &body[end + 1..]));
    }
    let mut out: Vec<u8> = body.as_bytes()[..end].to_vec();
    let mut rest = &body[end..];
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Some((String::from_utf8_lossy(&out).into_owned().into(), rest)),
            '\n' => return None,
            '\\' => rest = escape(rest, &mut out)?,
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// One escape after its backslash; gives what follows.
fn escape<'s>(s: &'s str, out: &mut Vec<u8>) -> Option<&'s str> {
    let e = *s.as_bytes().first()?;
    let simple = match e {
        b'a' => Some(7),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(11),
        b'\\' | b'"' | b'\'' => Some(e),
        _ => None,
    };
    if let Some(b) = simple {
        out.push(b);
        return s.get(1..);
    }
    let (from, len, base) = match e {
        b'x' => (1, 2, 16),
        b'u' => (1, 4, 16),
        b'U' => (1, 8, 16),
        b'0'..=b'7' => (0, 3, 8),
        _ => return None,
    };
    let n = u32::from_str_radix(s.get(from..from + len)?, base).ok()?;
    if matches!(e, b'u' | b'U') {
        out.extend_from_slice(char::from_u32(n)?.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(n).ok()?);
    }
    s.get(from + len..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_texts() {
        let parsed = parse_labels("{a=\"b\", c=`d`,e=\"\\u00e9\\n\",}").unwrap();
        let want: Pairs<'_> = vec![
            ("a".into(), "b".into()),
            ("c".into(), "d".into()),
            ("e".into(), "é\n".into()),
        ];
        assert_eq!(parsed, want);
        assert_eq!(parse_labels("{}").unwrap(), []);
        for bad in [
            "",
            "{",
            "{a}",
            "{a=b}",
            "{a=\"b\"",
            "{a=\"b\"}x",
            "{1=\"b\"}",
            "{a=\"\\q\"}",
            "{a=\"b\" c=\"d\"}",
        ] {
            assert!(parse_labels(bad).is_err(), "{bad}");
        }
    }
}
