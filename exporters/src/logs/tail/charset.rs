//! Character sets of files: where their lines end, and what they say.
//!
//! Owns: names of the IANA's register, UTF-16 with its two bytes for a line feed.
//! Knows nothing of: files.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use memchr::{memchr_iter, memrchr_iter};

/// Names of ISO-8859-1 that stand for another set on the web, where all of them are windows-1252.
const LATIN1: [&str; 11] = [
    "iso-8859-1",
    "iso_8859-1",
    "iso_8859-1:1987",
    "iso8859-1",
    "iso88591",
    "iso-ir-100",
    "latin1",
    "l1",
    "ibm819",
    "cp819",
    "csisolatin1",
];

/// A character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charset {
    /// Bytes are UTF-8; what is none is replaced.
    #[default]
    Utf8,
    /// Every byte is the character of its number.
    Latin1,
    /// Two bytes a unit, the high one first or last; the first unit of the file may say which.
    Utf16 {
        /// The high byte comes first.
        big: bool,
    },
    /// Any other whose line feed is one byte.
    Other(&'static Encoding),
}

impl Charset {
    /// The set with an IANA name; an empty one is UTF-8.
    ///
    /// # Errors
    /// When nobody knows the name.
    pub fn named(name: &str) -> Result<Self, String> {
        let low = name.trim().to_ascii_lowercase();
        if LATIN1.contains(&low.as_str()) {
            return Ok(Self::Latin1);
        }
        // The register gives UTF-16 without a mark to the high byte first, the web the other way.
        if low == "utf-16" || low == "csutf16" {
            return Ok(Self::Utf16 { big: true });
        }
        let known = match low.as_str() {
            "" => Some(UTF_8),
            _ => Encoding::for_label_no_replacement(low.as_bytes()),
        };
        let known = known.ok_or_else(|| {
            format!(
                "encoding {name:?} is not known: use an IANA name like UTF-16LE or windows-1252"
            )
        })?;
        Ok(if known == UTF_8 {
            Self::Utf8
        } else if known == UTF_16BE {
            Self::Utf16 { big: true }
        } else if known == UTF_16LE {
            Self::Utf16 { big: false }
        } else if known == WINDOWS_1252 && low.contains("ascii") {
            Self::Utf8
        } else {
            Self::Other(known)
        })
    }

    /// The set of a file that begins with `head`: a byte order mark says more than the name.
    #[must_use]
    pub fn of(self, head: &[u8]) -> Self {
        match (self, head) {
            (Self::Utf16 { .. }, [0xff, 0xfe, ..]) => Self::Utf16 { big: false },
            (Self::Utf16 { .. }, [0xfe, 0xff, ..]) => Self::Utf16 { big: true },
            _ => self,
        }
    }

    /// The set, when a unit of it is two bytes.
    pub(super) fn of_two_bytes(self) -> Option<&'static Encoding> {
        match self {
            Self::Utf16 { big: true } => Some(UTF_16BE),
            Self::Utf16 { big: false } => Some(UTF_16LE),
            _ => None,
        }
    }

    /// Where the line feed whose byte is at `i` ends. None when that byte is half of another
    /// character; `at` is the place of `bytes` in the file.
    fn feed_end(self, bytes: &[u8], i: usize, at: u64) -> Option<usize> {
        let Self::Utf16 { big } = self else {
            return Some(i + 1);
        };
        let is_low = (at + i as u64) % 2 == u64::from(big);
        let other = match big {
            true => i.checked_sub(1),
            false => Some(i + 1),
        };
        let whole = other.and_then(|o| bytes.get(o)) == Some(&0);
        (is_low && whole).then_some(if big { i + 1 } else { i + 2 })
    }

    /// Where the lines of `bytes` end, which stand at `at` in the file.
    pub(super) fn ends(self, bytes: &[u8], at: u64) -> impl Iterator<Item = usize> {
        memchr_iter(b'\n', bytes).filter_map(move |i| self.feed_end(bytes, i, at))
    }

    /// Where the last line of `bytes` ends, looking at no byte before `from`.
    pub(super) fn last_end(self, bytes: &[u8], from: usize, at: u64) -> Option<usize> {
        // A unit of two bytes may have come in two halves.
        let from = from.saturating_sub(1);
        let mut feeds = memrchr_iter(b'\n', bytes.get(from..).unwrap_or_default());
        feeds.find_map(|i| self.feed_end(bytes, from + i, at))
    }

    /// The text of a line, which may still have its line feed. The feed and a byte order mark are
    /// not part of it; bytes that mean nothing are replaced.
    #[must_use]
    pub fn line(self, bytes: &[u8]) -> Cow<'_, str> {
        let plain = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        match self {
            Self::Utf8 => String::from_utf8_lossy(plain),
            Self::Latin1 => encoding_rs::mem::decode_latin1(plain),
            Self::Other(e) => e.decode_without_bom_handling(plain).0,
            Self::Utf16 { .. } => {
                let set = self.of_two_bytes().unwrap_or(UTF_16LE);
                let (text, _) = set.decode_with_bom_removal(bytes);
                match text {
                    Cow::Borrowed(t) => t.strip_suffix('\n').unwrap_or(t).into(),
                    Cow::Owned(mut t) => {
                        if t.ends_with('\n') {
                            t.pop();
                        }
                        t.into()
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(set: Charset, bytes: &[u8]) -> Vec<String> {
        let mut from = 0;
        let mut out = Vec::new();
        for end in set.ends(bytes, 0) {
            out.push(set.line(&bytes[from..end]).into_owned());
            from = end;
        }
        assert_eq!(set.last_end(bytes, 0, 0), (from > 0).then_some(from));
        out
    }

    #[test]
    fn names_of_the_register() {
        assert_eq!(Charset::named(""), Ok(Charset::Utf8));
        assert_eq!(Charset::named("UTF-8"), Ok(Charset::Utf8));
        assert_eq!(Charset::named("US-ASCII"), Ok(Charset::Utf8));
        assert_eq!(Charset::named("ISO-8859-1"), Ok(Charset::Latin1));
        assert_eq!(
            Charset::named("UTF-16LE"),
            Ok(Charset::Utf16 { big: false })
        );
        for name in [
            "windows-1251",
            "Shift_JIS",
            "GB18030",
            "KOI8-R",
            "ISO-8859-15",
        ] {
            assert!(
                matches!(Charset::named(name), Ok(Charset::Other(_))),
                "{name}"
            );
        }
        assert!(Charset::named("nosuch").unwrap_err().contains("\"nosuch\""));
    }

    #[test]
    fn lines_of_several_sets() {
        let wide = |big: bool, text: &str| -> Vec<u8> {
            let each = text.encode_utf16();
            each.flat_map(|u| {
                if big {
                    u.to_be_bytes()
                } else {
                    u.to_le_bytes()
                }
            })
            .collect()
        };
        // U+0A0A and U+010A hold a byte that is a line feed elsewhere.
        let text = "\u{feff}añ\u{a0a}\n\n\u{10a}€\nrest";
        for big in [false, true] {
            let bytes = wide(big, text);
            let set = Charset::named("utf-16").unwrap().of(&bytes);
            assert_eq!(set, Charset::Utf16 { big });
            assert_eq!(lines(set, &bytes), ["añ\u{a0a}", "", "\u{10a}€"]);
        }
        assert_eq!(lines(Charset::Latin1, b"\xe9\x80\n"), ["é\u{80}"]);
        let cyrillic = Charset::named("windows-1251").unwrap();
        assert_eq!(lines(cyrillic, b"\xef\xf0\xe8\r\n"), ["при\r"]);
        assert_eq!(lines(Charset::Utf8, b"a\xff\nb\n"), ["a\u{fffd}", "b"]);
    }
}
