//! `| json a="x.y[0].z", b`: chosen values of an object.

use super::json::JSON_ERROR;
use super::json_scan::{Kind, Stop, element, object, unescape, value};
use super::labels::{Category, clean};
use super::{Entry, Step, Surroundings};
use crate::logql::ast::Extraction;
use crate::logql::parse::ParseError;
use crate::text::quote;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
}

/// The stage.
pub(super) struct JsonExpressions(Vec<(String, Vec<Segment>)>);

impl JsonExpressions {
    pub(super) fn new(extractions: &[Extraction]) -> Result<Self, ParseError> {
        let mut out = Vec::with_capacity(extractions.len());
        for e in extractions {
            let path = path(&e.expression).ok_or_else(|| {
                ParseError::new(format!(
                    "cannot parse expression [{}]: syntax error: unexpected {}",
                    e.expression,
                    if e.expression.is_empty() {
                        "$end"
                    } else {
                        "character"
                    }
                ))
            })?;
            out.push((e.label.clone(), path));
        }
        Ok(Self(out))
    }
}

impl JsonExpressions {
    /// Labels whose values depend on what stands at this path of keys. What is in an array has the
    /// path of the array.
    pub(super) fn labels_at<'s>(&'s self, path: &'s [String]) -> impl Iterator<Item = &'s str> {
        let meets = move |segments: &[Segment]| {
            segments.iter().zip(path).all(|(s, key)| match s {
                Segment::Key(k) => k == key,
                Segment::Index(_) => true,
            })
        };
        let all = self.0.iter().filter(move |(_, s)| meets(s));
        all.map(|(label, _)| label.as_str())
    }
}

/// `a.b[0]["c d"]` as segments.
fn path(text: &str) -> Option<Vec<Segment>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(body) = rest.strip_prefix('[') {
            let body = body.trim_start();
            if let Some(quoted) = body.strip_prefix('"') {
                let close = quoted.char_indices().scan(false, |escaped, (i, c)| {
                    let end = c == '"' && !*escaped;
                    *escaped = c == '\\' && !*escaped;
                    Some(end.then_some(i))
                });
                let close = close.flatten().next()? + 1;
                out.push(Segment::Key(quote::unquote(&body[..=close]).ok()?));
                rest = body[close + 1..].trim_start().strip_prefix(']')?;
            } else {
                let (n, tail) = body.split_once(']')?;
                out.push(Segment::Index(n.trim().parse().ok()?));
                rest = tail;
            }
            continue;
        }
        let name = match rest.strip_prefix('.') {
            Some(tail) => tail,
            None if out.is_empty() => rest,
            None => return None,
        };
        let len = name
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(name.len());
        if len == 0 || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        out.push(Segment::Key(name[..len].to_owned()));
        rest = &name[len..];
    }
    (!out.is_empty()).then_some(out)
}

/// The value at a path.
fn find<'s>(text: &'s str, kind: Kind, path: &[Segment]) -> Option<(&'s str, Kind)> {
    let Some((first, rest)) = path.split_first() else {
        return Some((text, kind));
    };
    match (first, kind) {
        (Segment::Index(i), Kind::Array) => {
            let (text, kind) = element(text, *i)?;
            find(text, kind, rest)
        }
        (Segment::Key(wanted), Kind::Object) => {
            let mut found = None;
            // A fault later in the line does not matter here.
            object(text, &mut |key, value, kind| {
                if key == wanted {
                    found = find(value, kind, rest);
                    if found.is_some() {
                        return Err(Stop::Enough);
                    }
                }
                Ok(())
            })
            .unwrap_or_default();
            found
        }
        _ => None,
    }
}

impl Step for JsonExpressions {
    fn apply(&self, entry: &mut Entry<'_>, _around: &Surroundings) -> bool {
        let labels = &mut entry.labels;
        if entry.line.is_empty() || labels.needs_nothing() {
            return true;
        }
        let line: &str = &entry.line;
        let kind = match line.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Text,
            _ => {
                labels.fail(JSON_ERROR, "");
                return true;
            }
        };
        // An object that is cut off still gives what stands before the cut.
        let whole = value(line, 0).map_or(line, |v| v.0);
        let mut missing = false;
        for (label, path) in &self.0 {
            let Some((text, kind)) = find(whole, kind, path) else {
                missing = true;
                continue;
            };
            let free = labels.free_name(label);
            match kind {
                Kind::Null => labels.set(Category::Parsed, &free, ""),
                Kind::Object => labels.set(Category::Parsed, &free, text),
                _ => {
                    let text = unescape(text).unwrap_or_default();
                    labels.set(Category::Parsed, &free, &clean(&text));
                }
            }
        }
        if missing {
            for (label, _) in &self.0 {
                if labels.get(label).is_none() {
                    labels.set(Category::Parsed, label, "");
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let key = |k: &str| Segment::Key(k.to_owned());
        assert_eq!(
            path("a.b[0]"),
            Some(vec![key("a"), key("b"), Segment::Index(0)])
        );
        assert_eq!(path("[\"a b\"].c"), Some(vec![key("a b"), key("c")]));
        assert_eq!(path(".a"), Some(vec![key("a")]));
        assert_eq!(path("[2].a"), Some(vec![Segment::Index(2), key("a")]));
        for bad in ["", "a..b", "a[", "a[x]", "a b", "1a", "["] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
