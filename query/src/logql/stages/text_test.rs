//! Text tests of label filters.
//!
//! Patterns here are not anchored, unlike everywhere else, with one exception: an alternative that
//! is nothing but literal text must be the whole value. That is how the original behaves (it turns
//! such patterns into comparisons before it compiles anything), and dashboards rely on it.

use engine::model::{MatchOp, Matcher};

use crate::logql::parse::ParseError;
use crate::regex::GoRegex;

pub(super) enum Leg {
    /// The value is this text; true: in any case.
    Equal(String, bool),
    /// The pattern is found in the value.
    Found(GoRegex),
}

/// A compiled test.
pub(super) enum TextTest {
    Plain(Matcher),
    Pattern { negative: bool, any_of: Vec<Leg> },
}

/// What a top-level alternative looks like.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Empty,
    Literal(String),
    /// `.*`, `.+`, text with `.*` around it: searching for it means the same.
    Simple,
    Other,
}

impl TextTest {
    pub(super) fn new(m: &Matcher) -> Result<Self, ParseError> {
        let negative = match m.op {
            MatchOp::Regex(_) => false,
            MatchOp::NotRegex(_) => true,
            _ => return Ok(Self::Plain(m.clone())),
        };
        Ok(Self::Pattern {
            negative,
            any_of: legs(&m.value)?,
        })
    }

    pub(super) fn holds(&self, value: &str) -> bool {
        match self {
            Self::Plain(m) => m.matches(value),
            Self::Pattern { negative, any_of } => {
                let any = any_of.iter().any(|l| match l {
                    Leg::Equal(text, false) => text == value,
                    Leg::Equal(text, true) => text.to_lowercase() == value.to_lowercase(),
                    Leg::Found(re) => re.is_match(value),
                });
                any != *negative
            }
        }
    }
}

fn found(pattern: &str) -> Result<Leg, ParseError> {
    let re = GoRegex::new(pattern).map_err(|e| ParseError::new(e.to_string()))?;
    Ok(Leg::Found(re))
}

fn legs(pattern: &str) -> Result<Vec<Leg>, ParseError> {
    let (fold, body) = match pattern.strip_prefix("(?i)") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let whole = || Ok(vec![found(pattern)?]);
    let Some(parts) = alternatives(ungrouped(body)) else {
        return whole();
    };
    let shapes: Vec<Shape> = parts.iter().map(|p| shape(p)).collect();
    if shapes.contains(&Shape::Other) {
        return whole();
    }
    if let [one] = shapes.as_slice() {
        return Ok(match one {
            Shape::Literal(text) => vec![Leg::Equal(text.clone(), fold)],
            _ => vec![found(pattern)?],
        });
    }
    // Neighbours of one character each become a class, which is searched for.
    let single = |s: &Shape| matches!(s, Shape::Literal(t) if t.chars().count() == 1);
    if shapes.windows(2).any(|w| single(&w[0]) && single(&w[1])) {
        return whole();
    }
    let mut out = Vec::with_capacity(parts.len());
    for (i, (part, shape)) in parts.iter().zip(&shapes).enumerate() {
        let first = |p: &&str| p.chars().next();
        // Neighbours with a common start are searched for, too.
        let shares = |other: Option<&&str>| {
            other.is_some_and(|o| first(o).is_some() && first(o) == first(part))
        };
        let neighbour = shares(parts.get(i + 1)) || (i > 0 && shares(parts.get(i - 1)));
        match shape {
            // An alternative that is always true is left out of the others.
            Shape::Empty => {}
            Shape::Literal(text) if !neighbour => out.push(Leg::Equal(text.clone(), fold)),
            _ if *part == ".*" => {}
            _ if fold => out.push(found(&format!("(?i){part}"))?),
            _ => out.push(found(part)?),
        }
    }
    if out.is_empty() {
        return whole();
    }
    Ok(out)
}

/// Without one pair of parentheses around everything.
fn ungrouped(s: &str) -> &str {
    let inner = s
        .strip_prefix("(?:")
        .or_else(|| s.strip_prefix('(').filter(|r| !r.starts_with('?')))
        .and_then(|r| r.strip_suffix(')'));
    match inner {
        Some(i) if !i.contains(['(', ')', '\\', '[']) => i,
        _ => s,
    }
}

/// Top-level alternatives; `None` when there are groups or classes, which are not looked into.
fn alternatives(s: &str) -> Option<Vec<&str>> {
    if s.contains(['(', ')', '[']) {
        return None;
    }
    let mut out = Vec::new();
    let mut from = 0;
    let mut escaped = false;
    for (i, c) in s.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '|' {
            out.push(&s[from..i]);
            from = i + 1;
        }
    }
    out.push(&s[from..]);
    Some(out)
}

fn shape(part: &str) -> Shape {
    if part.is_empty() {
        return Shape::Empty;
    }
    if let Some(text) = literal(part) {
        return Shape::Literal(text);
    }
    if matches!(part, ".*" | ".+") {
        return Shape::Simple;
    }
    let core = part.strip_prefix(".*").unwrap_or(part);
    let core = core.strip_suffix(".*").unwrap_or(core);
    match literal(core) {
        Some(_) => Shape::Simple,
        None => Shape::Other,
    }
}

/// The text of a pattern without operators.
fn literal(s: &str) -> Option<String> {
    let mut out = String::with_capacity(s.len());
    let mut chars = s.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let e = chars.next()?;
                if e.is_ascii_alphanumeric() {
                    return None;
                }
                out.push(e);
            }
            '.' | '*' | '+' | '?' | '^' | '$' | '{' | '}' | '(' | ')' | '[' | ']' | '|' => {
                return None;
            }
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::regex::LabelRegex;

    #[test]
    fn literals_are_whole_values_and_patterns_are_found() {
        let holds = |pattern: &str, value: &str| {
            let re = LabelRegex::new(pattern).unwrap();
            let m = Matcher::regex("x", Arc::new(re));
            TextTest::new(&m).unwrap().holds(value)
        };
        for (pattern, value, want) in [
            ("prod", "prod", true),
            ("prod", "production", false),
            ("d.*", "prod", true),
            ("^d.*", "prod", false),
            ("", "anything", true),
            ("err.*|warn", "warn", true),
            ("err.*|warn", "warning", false),
            ("err.*|warn", "an error", true),
            ("warn|warning", "forewarned", true),
            ("a|b", "cab", true),
            ("abc|", "x", false),
            ("(foo|bar)", "bar", true),
            ("(foo|bar)", "bars", false),
            ("[0-9]+", "a1", true),
            ("(?i)prod", "PROD", true),
            (".+", "", false),
            (".*", "", true),
        ] {
            assert_eq!(holds(pattern, value), want, "{pattern} {value}");
        }
    }
}
