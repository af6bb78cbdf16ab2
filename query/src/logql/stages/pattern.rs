//! `| pattern "<ip> - <_>"` and the line filter `|> "<_> error <_>"`.

use super::labels::{Category, clean};
use super::{Entry, Step, Surroundings};
use crate::logql::parse::ParseError;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Text.
    Literal(String),
    /// `<name>`; none for `<_>`.
    Capture(Option<String>),
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some((name, len)) = capture(rest) {
                if matches!(parts.last(), Some(Part::Capture(_))) {
                    return Err(format!(
                        "found consecutive capture: {}: invalid expression",
                        &rest[..len]
                    ));
                }
                parts.push(Part::Capture((name != "_").then(|| name.to_owned())));
                rest = &rest[len..];
                continue;
            }
            let mut later = rest.char_indices().skip(1).map(|(i, _)| i);
            let next = later.find(|i| capture(&rest[*i..]).is_some());
            let len = next.unwrap_or(rest.len());
            parts.push(Part::Literal(rest[..len].to_owned()));
            rest = &rest[len..];
        }
        Ok(Self(parts))
    }

    /// A pattern of a line filter: without names.
    pub(super) fn filter(text: &str) -> Result<Self, String> {
        let p = Self::parse(text)?;
        if let Some(name) = p.names().next() {
            return Err(format!("named captures are not allowed: <{name}>"));
        }
        Ok(p)
    }

    /// A pattern of the parser: with at least one name, each once.
    fn parser(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "syntax error: unexpected $end, expecting IDENTIFIER or LITERAL".to_owned(),
            );
        }
        let p = Self::parse(text)?;
        let mut names: Vec<&str> = p.names().collect();
        if names.is_empty() {
            return Err("at least one capture is required".to_owned());
        }
        names.sort_unstable();
        if let Some(w) = names.windows(2).find(|w| w[0] == w[1]) {
            return Err(format!(
                "duplicate capture name ({}): invalid expression",
                w[0]
            ));
        }
        Ok(p)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|p| match p {
            Part::Capture(Some(n)) => Some(n.as_str()),
            _ => None,
        })
    }

    /// Texts that every matching line holds.
    pub(super) fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|p| match p {
            Part::Literal(l) => Some(l.as_str()),
            Part::Capture(_) => None,
        })
    }

    /// Whether the whole line follows the pattern. A leading literal may stand anywhere; captures
    /// hold at least one byte.
    pub(super) fn test(&self, line: &str) -> bool {
        if self.0.is_empty() || line.is_empty() {
            return self.0.is_empty() && line.is_empty();
        }
        let mut rest = line;
        for (i, literal) in self.0.iter().enumerate() {
            let Part::Literal(literal) = literal else {
                continue;
            };
            match rest.find(literal.as_str()) {
                None => return false,
                Some(0) if i > 0 => return false,
                Some(at) => rest = &rest[at + literal.len()..],
            }
        }
        match self.0.last() {
            Some(Part::Capture(_)) => !rest.is_empty(),
            _ => rest.is_empty(),
        }
    }

    /// Hands out named captures. When a later literal is missing, the capture before it takes the
    /// rest of the line.
    fn captures<'l>(&self, line: &'l str, f: &mut dyn FnMut(&str, &'l str) -> bool) {
        let mut rest = line;
        let mut parts = self.0.as_slice();
        if let [Part::Literal(l), tail @ ..] = parts {
            match rest.strip_prefix(l.as_str()) {
                Some(after) => rest = after,
                None => return,
            }
            parts = tail;
        }
        if line.is_empty() {
            return;
        }
        while let [Part::Capture(name), tail @ ..] = parts {
            let found = match tail.first() {
                Some(Part::Literal(l)) => rest.find(l.as_str()).map(|i| (i, l.len())),
                _ => None,
            };
            let value = found.map_or(rest, |(i, _)| &rest[..i]);
            if let Some(name) = name
                && !f(name, value)
            {
                return;
            }
            match found {
                Some((i, len)) => rest = &rest[i + len..],
                None => return,
            }
            parts = &tail[1..];
        }
    }
}

/// `<name>` at the start of a text: the name and the length with brackets.
fn capture(s: &str) -> Option<(&str, usize)> {
    let body = s.strip_prefix('<')?;
    let len = body
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
        .count();
    let starts = body.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (starts && body.as_bytes().get(len) == Some(&b'>')).then(|| (&body[..len], len + 2))
}

/// The parser.
pub(super) struct PatternParser(Pattern);

impl PatternParser {
    pub(super) fn new(text: &str) -> Result<Self, ParseError> {
        Pattern::parser(text).map(Self).map_err(ParseError::new)
    }
}

impl Step for PatternParser {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        let labels = &mut entry.labels;
        if labels.needs_nothing() {
            return true;
        }
        self.0.captures(&entry.line, &mut |name, value| {
            let free = labels.free_name(name);
            if labels.should_extract(&free) {
                labels.set(Category::Parsed, &free, &clean(value));
            }
            !labels.all_extracted()
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_test_whole_lines() {
        for (pattern, line, want) in [
            ("", "", true),
            ("", "x", false),
            ("<_>", "x", true),
            ("<_>", "", false),
            ("a<_>", "xab", true),
            ("a<_>", "xa", false),
            ("<_>b<_>", "abc", true),
            ("<_>b<_>", "bc", false),
            ("<_>b", "ab", true),
            ("<_>b", "abc", false),
            ("ü<_>", "über", true),
            ("<_>ü", "xü", true),
        ] {
            assert_eq!(
                Pattern::filter(pattern).unwrap().test(line),
                want,
                "{pattern} {line}"
            );
        }
        for bad in ["<a>", "<_><_>"] {
            assert!(Pattern::filter(bad).is_err(), "{bad}");
        }
        for bad in ["", "x", "<_>", "<a><b>", "<a> <a>"] {
            assert!(Pattern::parser(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_missing_literal_gives_the_rest() {
        let p = Pattern::parser("<a> - <b> [<c>]").unwrap();
        let mut got = Vec::new();
        p.captures("x - y z", &mut |n, v| {
            got.push((n.to_owned(), v));
            true
        });
        assert_eq!(got, [("a".to_owned(), "x"), ("b".to_owned(), "y z")]);
    }
}
