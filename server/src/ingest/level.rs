//! The level of a line: out of labels, metadata, or the line itself.

use std::borrow::Cow;

use query::logql::stages::scan_level_fields;

/// Name of the metadata that holds it.
pub(super) const DETECTED: &str = "detected_level";

const UNKNOWN: &str = "unknown";

/// The usual word for a level, when the text is one.
fn known(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "trace" | "trc" => "trace",
        "debug" | "dbg" => "debug",
        "info" | "inf" | "information" => "info",
        "warn" | "wrn" | "warning" => "warn",
        "error" | "err" => "error",
        "critical" => "critical",
        "fatal" => "fatal",
        _ => return None,
    })
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
        if json {
            return UNKNOWN;
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

/// The leftmost word that is a level.
fn of_words(line: &str) -> &'static str {
    let b = line.as_bytes();
    let opens = |c: u8| c.is_ascii_whitespace() || b"[({\"'=|".contains(&c);
    let closes = |c: u8| c.is_ascii_whitespace() || b"[](){}:,!\"'=|".contains(&c);
    let mut start = true;
    for i in 0..b.len() {
        if start {
            for (word, level) in WORDS {
                let end = i + word.len();
                let is = b
                    .get(i..end)
                    .is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()));
                if is && b.get(end).is_none_or(|c| closes(*c)) {
                    return level;
                }
            }
        }
        start = opens(b[i]);
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
            ("{\"msg\":\"error\"}", "unknown"),
            ("level=err msg=x", "error"),
            ("LEVEL=info a=1", "info"),
            ("a=1 error: b", "error"),
            ("[WARNING] x", "warn"),
            ("terror", "unknown"),
            ("it failed with error", "error"),
            ("info error", "info"),
            ("", "unknown"),
        ] {
            assert_eq!(level(line), want, "{line}");
        }
        assert_eq!(of_number("17"), "error");
        assert_eq!(of_number("x"), "info");
    }
}
