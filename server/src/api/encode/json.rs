//! The hot pieces: strings, timestamps and sample values straight into a buffer.

/// Appends `text` with `<`, `>`, `&`, U+2028 and U+2029 escaped, nothing else.
pub(super) fn escape_go(text: &str, out: &mut Vec<u8>) {
    let mut from = 0;
    for (i, b) in text.bytes().enumerate() {
        let escaped: &[u8] = match b {
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
            0xe2 => match text.as_bytes().get(i + 1..i + 3) {
                Some([0x80, 0xa8]) => b"\\u2028",
                Some([0x80, 0xa9]) => b"\\u2029",
                _ => continue,
            },
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..i]);
        out.extend_from_slice(escaped);
        from = i + if b == 0xe2 { 3 } else { 1 };
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
}

/// Appends `text` as a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let plain = |b: u8| b >= 0x20 && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
    if text.bytes().all(plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        let mut from = 0;
        for (i, b) in text.bytes().enumerate() {
            let short = match b {
                b'"' => Some(b'"'),
                b'\\' => Some(b'\\'),
                b'\n' => Some(b'n'),
                b'\r' => Some(b'r'),
                b'\t' => Some(b't'),
                0x08 => Some(b'b'),
                0x0c => Some(b'f'),
                0..0x20 => None,
                _ => continue,
            };
            escape_go(&text[from..i], out);
            match short {
                Some(s) => out.extend_from_slice(&[b'\\', s]),
                None => out.extend_from_slice(format!("\\u{b:04x}").as_bytes()),
            }
            from = i + 1;
        }
        escape_go(&text[from..], out);
    }
    out.push(b'"');
}

/// Appends a time in ms as seconds: three decimals unless they are all zero.
pub(crate) fn write_time(ms: i64, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    if ms < 0 {
        out.push(b'-');
    }
    let abs = ms.unsigned_abs();
    out.extend_from_slice(digits.format(abs / 1000).as_bytes());
    let rest = abs % 1000;
    if rest != 0 {
        let digit = |d: u64| b'0' + u8::try_from(d % 10).unwrap_or(0);
        out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    }
}

/// Appends a sample value as the string it is in JSON. `scratch` is reused.
pub(crate) fn write_value(v: f64, scratch: &mut String, out: &mut Vec<u8>) {
    out.push(b'"');
    // Most values are small whole numbers, for which the general printer is not needed.
    let whole = v as i64;
    if whole as f64 == v && whole.unsigned_abs() < 1 << 53 && (whole != 0 || v.is_sign_positive()) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(whole).as_bytes());
    } else {
        scratch.clear();
        query::text::float::write_json(scratch, v);
        out.extend_from_slice(scratch.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_decimals_or_none() {
        for (ms, want) in [
            (1_435_781_451_781, "1435781451.781"),
            (1_435_781_451_050, "1435781451.050"),
            (1000, "1"),
            (0, "0"),
            (-1, "-0.001"),
            (-1500, "-1.500"),
        ] {
            let mut out = Vec::new();
            write_time(ms, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn values_are_strings_in_gos_layout() {
        for (v, want) in [
            (0.0, "\"0\""),
            (-0.0, "\"-0\""),
            (1.5, "\"1.5\""),
            (1e21, "\"1e+21\""),
            (1e20, "\"100000000000000000000\""),
            (1e-7, "\"1e-07\""),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"+Inf\""),
            (f64::NEG_INFINITY, "\"-Inf\""),
            (9_007_199_254_740_993.0, "\"9007199254740992\""),
        ] {
            let (mut out, mut scratch) = (Vec::new(), String::new());
            write_value(v, &mut scratch, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = Vec::new();
        write_string("a\"\\\n\u{1}<\u{2029}é", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a\\\"\\\\\\n\\u0001\\u003c\\u2029é\""
        );
    }
}
