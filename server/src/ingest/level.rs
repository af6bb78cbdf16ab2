//! The level of a line: out of labels, metadata, or the line itself.

use std::borrow::Cow;
use std::sync::LazyLock;

use engine::model::Labels;
use query::logql::stages::scan_level_fields;

/// Name of the metadata that holds it.
pub(super) const DETECTED: &str = "detected_level";

const UNKNOWN: &str = "unknown";

/// Words for levels and the usual one.
const KNOWN: [(&str, &str); 14] = [
    ("info", "info"),
    ("error", "error"),
    ("warn", "warn"),
    ("debug", "debug"),
    ("trace", "trace"),
    ("fatal", "fatal"),
    ("critical", "critical"),
    ("err", "error"),
    ("inf", "info"),
    ("wrn", "warn"),
    ("dbg", "debug"),
    ("trc", "trace"),
    ("warning", "warn"),
    ("information", "info"),
];

/// The usual word for a level, when the text is one.
fn known(text: &str) -> Option<&'static str> {
    let found = KNOWN.iter().find(|(w, _)| w.eq_ignore_ascii_case(text));
    found.map(|(_, level)| *level)
}

/// The metadata that holds this level and nothing else. Nearly all entries have one of a few
/// levels, and share their sets.
pub(super) fn alone(level: &str) -> Labels {
    static SETS: LazyLock<Vec<(&'static str, Labels)>> = LazyLock::new(|| {
        let all = KNOWN.iter().map(|(_, level)| *level).chain([UNKNOWN]);
        all.map(|l| (l, Labels::from_pairs([(DETECTED, l)])))
            .collect()
    });
    match SETS.iter().find(|(l, _)| *l == level) {
        Some((_, set)) => set.clone(),
        None => Labels::from_pairs([(DETECTED, level)]),
    }
}

/// The usual word, or the text as it is.
fn normalised(text: &str) -> Cow<'_, str> {
    known(text).map_or(Cow::Borrowed(text), Cow::Borrowed)
}

/// OTLP's severity numbers.
fn of_number(text: &str) -> &'static str {
    match text.parse::<i32>() {
        Ok(1..=4) => "trace",
        Ok(5..=8) => "debug",
        Ok(9..=12) => "info",
        Ok(13..=16) => "warn",
        Ok(17..=20) => "error",
        Ok(21..=24) => "fatal",
        Ok(_) => UNKNOWN,
        Err(_) => "info",
    }
}

/// The level of an entry. `find` looks a name up in labels and in metadata, in this order.
pub(super) fn detect<'a>(
    names: &[String],
    labels: impl Fn(&str) -> Option<&'a str>,
    metadata: impl Fn(&str) -> Option<&'a str>,
    line: &str,
) -> Cow<'a, str> {
    for find in [&labels as &dyn Fn(&str) -> Option<&'a str>, &metadata] {
        if let Some(v) = names.iter().find_map(|n| find(n)) {
            return normalised(v);
        }
    }
    if let Some(n) = metadata("severity_number") {
        return of_number(n).into();
    }
    of_line(names, line).into()
}

fn of_line(names: &[String], line: &str) -> &'static str {
    let trimmed = line.trim();
    let json = trimmed.starts_with('{') && trimmed.ends_with('}');
    if json || line.contains('=') {
        let found = scan_level_fields(line, names, json);
        if let Some(level) = found.as_deref().and_then(known) {
            return level;
        }
    }
    of_words(line)
}

const WORDS: [(&str, &str); 9] = [
    ("trace", "trace"),
    ("debug", "debug"),
    ("fatal", "fatal"),
    ("critical", "critical"),
    ("error", "error"),
    ("err", "error"),
    ("warning", "warn"),
    ("warn", "warn"),
    ("info", "info"),
];

/// What a byte may do to words: bits of [`CLASSES`].
const OPENS: u8 = 1;
const CLOSES: u8 = 2;
const BEGINS: u8 = 4;

/// For each byte: whether a word may begin after it, end before it, or begin with it.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let c = b as u8;
        if c.is_ascii_whitespace() || matches!(c, b'[' | b'(' | b'{' | b'"' | b'\'' | b'=' | b'|') {
            table[b] |= OPENS | CLOSES;
        }
        if matches!(c, b']' | b')' | b'}' | b':' | b',' | b'!') {
            table[b] |= CLOSES;
        }
        let mut w = 0;
        while w < WORDS.len() {
            if WORDS[w].0.as_bytes()[0] == c.to_ascii_lowercase() {
                table[b] |= BEGINS;
            }
            w += 1;
        }
        b += 1;
    }
    table
}

/// The leftmost word that is a level.
fn of_words(line: &str) -> &'static str {
    let b = line.as_bytes();
    let mut before = OPENS;
    for (i, c) in b.iter().enumerate() {
        let class = CLASSES[usize::from(*c)];
        // One look for most bytes: few words begin like a level.
        if before & OPENS != 0 && class & BEGINS != 0 {
            for (word, level) in WORDS {
                let end = i + word.len();
                let is = b
                    .get(i..end)
                    .is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()));
                let closes = |c: &u8| CLASSES[usize::from(*c)] & CLOSES != 0;
                if is && b.get(end).is_none_or(closes) {
                    return level;
                }
            }
        }
        before = class;
    }
    UNKNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(line: &str) -> String {
        let names = crate::config::loki::TenantLimits::default().level_names;
        detect(&names, |_| None, |_| None, line).into_owned()
    }

    #[test]
    fn lines() {
        for (line, want) in [
            ("{\"level\":\"WARN\",\"msg\":\"error\"}", "warn"),
            ("{\"a\":{\"lvl\":\"dbg\"}}", "debug"),
            ("{\"msg\":\"error\"}", "error"),
            ("{\"msg\":\"no error-free\"}", "unknown"),
            ("{\"level\":\"own\",\"msg\":\"it is fatal\"}", "fatal"),
            ("{\"level\":3,\"severity\":\"warn\"}", "warn"),
            (
                "{\"a\":{\"b\":{\"level\":\"debug\"}},\"lvl\":\"trc\"}",
                "trace",
            ),
            ("level=err msg=x", "error"),
            ("LEVEL=info a=1", "info"),
            ("a=1 error: b", "error"),
            ("[WARNING] x", "warn"),
            ("terror", "unknown"),
            ("it failed with error", "error"),
            ("info error", "info"),
            ("", "unknown"),
            ("ERR", "error"),
            ("x=\"y\" Fatal!", "fatal"),
            ("warn-ing (Info)", "info"),
            ("errors critical{", "critical"),
            (
                "{\"lvl\":\"info\",\"level\":\"error\",\"Level\":\"warn\"}",
                "info",
            ),
            ("{\"LeVel\":\"debug\"}", "debug"),
            ("lvl=info severity=warn level=error level=debug", "error"),
        ] {
            assert_eq!(level(line), want, "{line}");
        }
        for l in ["info", "unknown", "own word"] {
            assert_eq!(alone(l), Labels::from_pairs([(DETECTED, l)]));
        }
        assert_eq!(of_number("17"), "error");
        assert_eq!(of_number("x"), "info");
    }
}
