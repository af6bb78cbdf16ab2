//! Functions on texts, encodings included.

use std::sync::Arc;

use base64::Engine as _;

use super::super::args::{A, I, T, any, int, text, texts};
use super::super::{Function, Map, Value, byte_slice};
use super::MADE_MAX;
use crate::text::quote::quote;

/// The functions.
pub(super) const TABLE: &[Function] = &[
    Function::pure("hello", &[], |_| Ok("Hello!".into())),
    Function::pure("nospace", &[T], |a| {
        let kept = text(a, 0).chars().filter(|c| !c.is_whitespace());
        Ok(kept.collect::<String>().into())
    }),
    Function::pure("initials", &[T], |a| {
        let words = text(a, 0).split_whitespace();
        let each = words.filter_map(|w| w.chars().next());
        Ok(each.collect::<String>().into())
    }),
    Function::pure("abbrev", &[I, T], |a| {
        Ok(match usize::try_from(int(a, 0)) {
            Ok(width) if width >= 4 => abbreviated(text(a, 1), 0, width).into(),
            _ => any(a, 1),
        })
    }),
    Function::pure("abbrevboth", &[I, I, T], |a| {
        let (left, right) = (int(a, 0), int(a, 1));
        Ok(match usize::try_from(right) {
            Ok(width) if width >= 4 && (left <= 0 || width >= 7) => {
                let left = usize::try_from(left).unwrap_or(0);
                abbreviated(text(a, 2), left, width).into()
            }
            _ => any(a, 2),
        })
    }),
    Function::pure("wrap", &[I, T], |a| {
        Ok(wrapped(text(a, 1), int(a, 0), "\n", false).into())
    }),
    Function::pure("wrapWith", &[I, T, T], |a| {
        let by = match text(a, 1) {
            "" => "\n",
            by => by,
        };
        Ok(wrapped(text(a, 2), int(a, 0), by, true).into())
    }),
    Function::pure("cat", &[], |a| {
        let given = a.iter().filter(|v| !matches!(v, Value::Nil));
        Ok(given.map(Value::text).collect::<Vec<_>>().join(" ").into())
    })
    .with_rest(A),
    Function::pure("quote", &[], |a| {
        let given = a.iter().filter(|v| !matches!(v, Value::Nil));
        let each: Vec<String> = given.map(|v| quote(&v.text())).collect();
        Ok(each.join(" ").into())
    })
    .with_rest(A),
    Function::pure("squote", &[], |a| {
        let given = a.iter().filter(|v| !matches!(v, Value::Nil));
        let each: Vec<String> = given.map(|v| format!("'{}'", v.text())).collect();
        Ok(each.join(" ").into())
    })
    .with_rest(A),
    Function::pure("plural", &[T, T, I], |a| {
        Ok(text(a, usize::from(int(a, 2) != 1)).into())
    }),
    Function::pure("toString", &[A], |a| Ok(any(a, 0).text().into())),
    Function::pure("toStrings", &[A], |a| {
        Ok(Value::list_of_texts(texts(&any(a, 0))))
    }),
    Function::pure("split", &[T, T], |a| {
        Ok(numbered(pieces(text(a, 0), text(a, 1), -1)))
    }),
    Function::pure("splitn", &[T, I, T], |a| {
        Ok(numbered(pieces(text(a, 0), text(a, 2), int(a, 1))))
    }),
    Function::pure("splitList", &[T, T], |a| {
        Ok(Value::list_of_texts(pieces(text(a, 0), text(a, 1), -1)))
    }),
    Function::pure("join", &[T, A], |a| {
        Ok(texts(&any(a, 1)).join(text(a, 0)).into())
    }),
    Function::pure("sortAlpha", &[A], |a| {
        let mut each = texts(&any(a, 0));
        each.sort();
        Ok(Value::list_of_texts(each))
    }),
    Function::pure("fail", &[T], |a| Err(text(a, 0).to_owned())),
    Function::pure("b32enc", &[T], |a| Ok(base32(text(a, 0).as_bytes()).into())),
    Function::pure("b32dec", &[T], |a| {
        Ok(match from_base32(text(a, 0)) {
            Ok(s) => s.into(),
            Err(at) => format!("illegal base32 data at input byte {at}").into(),
        })
    }),
    Function::pure("b64dec", &[T], |a| {
        use base64::DecodeError::{InvalidByte, InvalidLastSymbol};
        let plain = text(a, 0).replace(['\r', '\n'], "");
        let read = base64::engine::general_purpose::STANDARD.decode(&plain);
        Ok(match read {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
            Err(InvalidByte(at, _) | InvalidLastSymbol(at, _)) => {
                format!("illegal base64 data at input byte {at}").into()
            }
            // What is short of padding fails where its last four letters begin.
            Err(_) => format!("illegal base64 data at input byte {}", plain.len() / 4 * 4).into(),
        })
    }),
    Function::pure("adler32sum", &[T], |a| {
        let (mut x, mut y) = (1u32, 0u32);
        for b in text(a, 0).bytes() {
            x = (x + u32::from(b)) % 65_521;
            y = (y + x) % 65_521;
        }
        Ok(((y << 16) | x).to_string().into())
    }),
];

/// At most `n` pieces when it is not negative; without a separator each letter is one.
fn pieces(separator: &str, s: &str, n: i64) -> Vec<String> {
    let most = usize::try_from(n).unwrap_or(usize::MAX);
    match (most, separator.is_empty()) {
        (0, _) => Vec::new(),
        (_, false) => s.splitn(most, separator).map(str::to_owned).collect(),
        (_, true) => {
            let mut rest = s;
            let mut out = Vec::new();
            while let Some(c) = rest.chars().next() {
                let last = out.len() + 1 == most;
                let piece = if last { rest.len() } else { c.len_utf8() };
                let (one, after) = rest.split_at(piece);
                out.push(one.to_owned());
                rest = after;
            }
            out
        }
    }
}

/// `_0`, `_1`, ... to the pieces.
fn numbered(pieces: Vec<String>) -> Value {
    let entries = pieces.into_iter().enumerate();
    Value::Map(Arc::new(Map {
        entries: entries
            .map(|(i, v)| (format!("_{i}").into(), v.into()))
            .collect(),
        texts: true,
    }))
}

/// At most `width` bytes of a text from about `offset`, with dots where something is missing.
fn abbreviated(s: &str, offset: usize, width: usize) -> String {
    let len = s.len();
    let body = width.saturating_sub(3);
    if len <= width {
        return s.to_owned();
    }
    let offset = offset.min(len - body);
    if offset <= 4 {
        return byte_slice(s, 0, body) + "...";
    }
    if offset + body < len {
        let rest = byte_slice(s, offset, len);
        // What is left for the rest is less than a width that can be abbreviated to.
        return match body {
            0..4 => "...".to_owned(),
            body => format!("...{}", abbreviated(&rest, 0, body)),
        };
    }
    format!("...{}", byte_slice(s, len - body, len))
}

/// Lines of at most `width` bytes, broken at blanks; words that are longer are cut, or stay.
fn wrapped(s: &str, width: i64, by: &str, cut_words: bool) -> String {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let bytes = s.as_bytes();
    let mut out = String::with_capacity(s.len() + s.len() / 8);
    let mut at = 0;
    let mut lines = 0;
    while bytes.len() - at > width && lines < MADE_MAX {
        if bytes[at] == b' ' {
            at += 1;
            continue;
        }
        lines += 1;
        let window = &bytes[at..=at + width];
        let (end, next) = match memchr::memrchr(b' ', window) {
            Some(blank) => (at + blank, at + blank + 1),
            None if cut_words => (at + width, at + width),
            None => match memchr::memchr(b' ', &bytes[at + width..]) {
                Some(blank) => (at + width + blank, at + width + blank + 1),
                None => break,
            },
        };
        out.push_str(&byte_slice(s, at, end));
        out.push_str(by);
        at = next;
    }
    out + &byte_slice(s, at, bytes.len())
}

const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// RFC 4648 without a crate for it: five bits a letter.
fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(5) {
        let mut five = [0u8; 8];
        five[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(five);
        let letters = (group.len() * 8).div_ceil(5);
        for i in 0..8 {
            let index = usize::try_from(bits >> (35 - 5 * i) & 31).unwrap_or(0);
            out.push(if i < letters {
                char::from(LETTERS[index])
            } else {
                '='
            });
        }
    }
    out
}

/// Fails with the place of what cannot be read.
fn from_base32(text: &str) -> Result<String, usize> {
    let plain = text.replace(['\r', '\n'], "");
    let letters = plain.trim_end_matches('=');
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for (i, b) in letters.bytes().enumerate() {
        let five = LETTERS.iter().position(|l| *l == b).ok_or(i)?;
        bits = (bits << 5 | u32::try_from(five).unwrap_or(0)) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).unwrap_or_default());
        }
    }
    if !plain.len().is_multiple_of(8) {
        return Err(plain.len());
    }
    // One, three or six letters of eight make no whole number of bytes.
    if matches!(letters.len() % 8, 1 | 3 | 6) || plain.len() - letters.len() > 6 {
        return Err(letters.len());
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
