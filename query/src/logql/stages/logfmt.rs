//! `| logfmt [--strict] [--keep-empty] [a="b", c]`.

use std::borrow::Cow;

use super::json_scan::unescape;
use super::labels::{Category, clean, sanitize, sanitize_into};
use super::{Entry, Step, Surroundings};
use crate::logql::ast::Extraction;
use crate::logql::parse::ParseError;

/// The error of a line with a fault, when faults count.
const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// The stage for a parser with or without expressions.
pub(super) fn stage(
    strict: bool,
    keep_empty: bool,
    expressions: &[Extraction],
) -> Result<Box<dyn Step>, ParseError> {
    if expressions.is_empty() {
        return Ok(Box::new(Logfmt { strict, keep_empty }));
    }
    for e in expressions {
        let key = e.expression.trim();
        let blank_inside = key.contains(|c: char| c <= ' ' || matches!(c, '"' | '='));
        if key.is_empty() || blank_inside {
            return Err(ParseError::new(format!(
                "cannot parse expression [{}]: syntax error: unexpected {}",
                e.expression,
                if key.is_empty() { "$end" } else { "character" }
            )));
        }
    }
    Ok(Box::new(LogfmtExpressions {
        strict,
        keys: expressions
            .iter()
            .map(|e| (e.label.clone(), e.expression.trim().to_owned()))
            .collect(),
    }))
}

/// Reads `k=v` pairs; a faulty pair is skipped.
pub(super) struct Pairs<'l> {
    line: &'l str,
    at: usize,
}

/// One step of reading.
pub(super) enum Pair<'l> {
    /// Key and value; bare keys have an empty one.
    Good(&'l str, Cow<'l, str>),
    /// Something that is no pair.
    Fault(&'static str),
}

impl<'l> Pairs<'l> {
    pub(super) fn new(line: &'l str) -> Self {
        Self { line, at: 0 }
    }

    /// Leaves the faulty pair: up to the next blank.
    fn skip(&mut self, why: &'static str) -> Option<Pair<'l>> {
        let rest = self.line.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|c| *c <= b' ').unwrap_or(rest.len());
        Some(Pair::Fault(why))
    }

    fn until(&self, stop: impl Fn(u8) -> bool) -> usize {
        let rest = self.line.as_bytes().get(self.at..).unwrap_or_default();
        self.at + rest.iter().position(|c| stop(*c)).unwrap_or(rest.len())
    }

    fn quoted(&mut self, key: &'l str) -> Option<Pair<'l>> {
        let from = self.at + 1;
        let (mut escaped, mut any) = (false, false);
        let bytes = self.line.as_bytes();
        for i in from..bytes.len() {
            match bytes[i] {
                _ if escaped => escaped = false,
                b'\\' => (escaped, any) = (true, true),
                b'"' => {
                    self.at = i + 1;
                    let raw = &self.line[from..i];
                    if !any {
                        return Some(Pair::Good(key, raw.into()));
                    }
                    // Go's reader also takes an escaped apostrophe.
                    return match unescape(&raw.replace("\\'", "'")) {
                        Some(v) => Some(Pair::Good(key, v.into())),
                        None => self.skip("invalid quoted value"),
                    };
                }
                _ => {}
            }
        }
        self.at = bytes.len();
        Some(Pair::Fault("unterminated quoted value"))
    }
}

impl<'l> Iterator for Pairs<'l> {
    type Item = Pair<'l>;

    fn next(&mut self) -> Option<Pair<'l>> {
        self.at = self.until(|c| c > b' ');
        let bytes = self.line.as_bytes();
        if self.at >= bytes.len() {
            return None;
        }
        let from = self.at;
        self.at = self.until(|c| c <= b' ' || matches!(c, b'=' | b'"'));
        let key = &self.line[from..self.at];
        match bytes.get(self.at) {
            Some(b'"') => return self.skip("unexpected '\"'"),
            Some(b'=') if key.is_empty() => return self.skip("unexpected '='"),
            Some(b'=') => {}
            _ => return Some(Pair::Good(key, "".into())),
        }
        if key.contains('\u{fffd}') {
            return self.skip("invalid key");
        }
        self.at += 1;
        match bytes.get(self.at) {
            Some(b'"') => return self.quoted(key),
            Some(c) if *c > b' ' => {}
            _ => return Some(Pair::Good(key, "".into())),
        }
        let from = self.at;
        self.at = self.until(|c| c <= b' ' || matches!(c, b'=' | b'"'));
        match bytes.get(self.at) {
            Some(b'=') => self.skip("unexpected '='"),
            Some(b'"') => self.skip("unexpected '\"'"),
            _ => Some(Pair::Good(key, self.line[from..self.at].into())),
        }
    }
}

/// Every pair.
struct Logfmt {
    strict: bool,
    keep_empty: bool,
}

impl Step for Logfmt {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        let labels = &mut entry.labels;
        if labels.needs_nothing() {
            return true;
        }
        let mut name = String::new();
        for pair in Pairs::new(&entry.line) {
            let (key, value) = match pair {
                Pair::Good(k, v) => (k, v),
                Pair::Fault(why) if self.strict => {
                    labels.fail(LOGFMT_ERROR, why);
                    break;
                }
                Pair::Fault(_) => continue,
            };
            name.clear();
            sanitize_into(&mut name, key, true);
            if name.is_empty() || (value.is_empty() && !self.keep_empty) {
                continue;
            }
            let free = labels.free_name(&name);
            if !labels.should_extract(&free) {
                continue;
            }
            labels.set(Category::Parsed, &free, &clean(&value));
            if labels.all_extracted() {
                break;
            }
        }
        true
    }
}

/// Chosen keys; each label is set, the last of equal keys wins.
struct LogfmtExpressions {
    strict: bool,
    /// Label and key.
    keys: Vec<(String, String)>,
}

impl Step for LogfmtExpressions {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        let labels = &mut entry.labels;
        if labels.needs_nothing() {
            return true;
        }
        for (label, _) in &self.keys {
            if !labels.conflicts(label) {
                labels.set(Category::Parsed, label, "");
            }
        }
        for pair in Pairs::new(&entry.line) {
            let (key, value) = match pair {
                Pair::Good(k, v) => (k, v),
                Pair::Fault(why) if self.strict => {
                    labels.fail(LOGFMT_ERROR, why);
                    break;
                }
                Pair::Fault(_) => continue,
            };
            let key = sanitize_key(key);
            let by_key = self.keys.iter().find(|(_, k)| *k == key);
            let found = by_key.or_else(|| self.keys.iter().find(|(l, _)| *l == key));
            let Some((label, _)) = found else { continue };
            let free = labels.free_name(label);
            if matches!(free, Cow::Owned(_)) && !labels.should_extract(&free) {
                break;
            }
            labels.set(Category::Parsed, &free, &clean(&value));
        }
        true
    }
}

/// Keys here keep a leading digit.
pub(super) fn sanitize_key(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return key.into();
    }
    sanitize(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(String, String)> {
        Pairs::new(line)
            .map(|p| match p {
                Pair::Good(k, v) => (k.to_owned(), v.into_owned()),
                Pair::Fault(why) => ("!".to_owned(), why.to_owned()),
            })
            .collect()
    }

    #[test]
    fn faulty_pairs_are_skipped() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            read(r#"a=1 b="x \"y\"\n" c d= =x e=f=g h"i=2 j=k"#),
            [
                pair("a", "1"),
                pair("b", "x \"y\"\n"),
                pair("c", ""),
                pair("d", ""),
                pair("!", "unexpected '='"),
                pair("!", "unexpected '='"),
                pair("!", "unexpected '\"'"),
                pair("j", "k"),
            ]
        );
        assert_eq!(read("a=\"b"), [pair("!", "unterminated quoted value")]);
        assert_eq!(
            read("a=\"\\x\" b=1"),
            [pair("!", "invalid quoted value"), pair("b", "1")]
        );
    }
}
