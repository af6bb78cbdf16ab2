//! Label matchers of the alerting family: two grammars, one meaning.
//!
//! Owns: both parsers (the old one, whose bare value is the rest of the text, and the UTF-8 one),
//! the choice between them, the printed form that group keys are made of.
//! Knows nothing of: alerts, routes, silences.
//!
//! Invariants
//! - AMM1  What the old grammar reads keeps its meaning: where both read a text, the old one wins.
//! - AMM2  A missing label has the empty value; patterns match the whole value.

use std::fmt;
use std::sync::Arc;

use query::regex::GoRegex;
use query::text::quote;

/// Longest list of matchers that is read: bounds the work on what a request brings.
const MATCHERS_BYTES_MAX: usize = 64 * 1024;

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator of a silence's two flags.
    pub(crate) fn of(is_regex: bool, is_equal: bool) -> Self {
        match (is_regex, is_equal) {
            (false, true) => Self::Equal,
            (false, false) => Self::NotEqual,
            (true, true) => Self::Regex,
            (true, false) => Self::NotRegex,
        }
    }

    /// Whether the value is a pattern.
    pub(crate) fn is_regex(self) -> bool {
        matches!(self, Self::Regex | Self::NotRegex)
    }

    /// Whether the value has to match, not to differ.
    pub(crate) fn is_equal(self) -> bool {
        matches!(self, Self::Equal | Self::Regex)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }

    /// The operator at the start of `s`, and what follows.
    fn strip(s: &str) -> Option<(Self, &str)> {
        [Self::Regex, Self::NotRegex, Self::NotEqual, Self::Equal]
            .into_iter()
            .find_map(|op| s.strip_prefix(op.text()).map(|rest| (op, rest)))
    }
}

/// One condition on one label.
#[derive(Clone)]
pub(crate) struct Matcher {
    /// The label.
    pub(crate) name: String,
    /// The comparison.
    pub(crate) op: MatchOp,
    /// Text or pattern.
    pub(crate) value: String,
    pattern: Option<Arc<GoRegex>>,
}

impl Matcher {
    /// A matcher.
    ///
    /// # Errors
    /// When the pattern does not compile.
    pub(crate) fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, String> {
        let pattern = match op.is_regex() {
            true => Some(Arc::new(
                GoRegex::anchored(value).map_err(|e| e.to_string())?,
            )),
            false => None,
        };
        Ok(Self {
            name: name.to_owned(),
            op,
            value: value.to_owned(),
            pattern,
        })
    }

    /// Whether a label's value (empty when missing) fulfils the condition (AMM2).
    pub(crate) fn matches(&self, value: &str) -> bool {
        let same = match &self.pattern {
            Some(p) => p.is_match(value),
            None => self.value == value,
        };
        same == self.op.is_equal()
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `name="value"`; the form that group keys are made of.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = self.op.text();
        if self.name.chars().any(is_reserved) {
            return write!(
                f,
                "{}{op}{}",
                quote::quote(&self.name),
                quote::quote(&self.value)
            );
        }
        write!(f, "{}{op}\"", self.name)?;
        for c in self.value.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Characters that a bare word of the UTF-8 grammar cannot hold.
fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

/// Whether `name` is a label name of the old data model.
pub(crate) fn is_classic_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Matchers of a configuration entry or a filter: one or several, with or without braces.
///
/// # Errors
/// In the words of the old grammar, when neither reads the text.
pub(crate) fn parse_matchers(text: &str) -> Result<Vec<Matcher>, String> {
    if text.len() > MATCHERS_BYTES_MAX {
        return Err(format!(
            "matchers of {} bytes, more than the limit of {MATCHERS_BYTES_MAX} bytes",
            text.len()
        ));
    }
    // AMM1
    classic_matchers(text).or_else(|e| utf8_matchers(text).ok_or(e))
}

/// One matcher without braces, as a filter of the API.
///
/// # Errors
/// As [`parse_matchers`]; also for braces and for more than one.
pub(crate) fn parse_matcher(text: &str) -> Result<Matcher, String> {
    let bad = || format!("bad matcher format: {text}");
    if text.len() > MATCHERS_BYTES_MAX || text.trim_start().starts_with('{') {
        return Err(bad());
    }
    if let Ok(m) = classic_matcher(text) {
        return Ok(m);
    }
    let mut all = utf8_matchers(text).ok_or_else(bad)?;
    match (all.pop(), all.is_empty()) {
        (Some(m), true) => Ok(m),
        _ => Err(bad()),
    }
}

fn classic_matchers(text: &str) -> Result<Vec<Matcher>, String> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let mut parts = Vec::new();
    for (i, c) in text.char_indices() {
        match c {
            ',' if !quoted => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    if parts.last().is_some_and(|p| p.trim().is_empty()) {
        // A comma may end the list, and a list may be empty.
        parts.pop();
    }
    parts.into_iter().map(classic_matcher).collect()
}

fn classic_matcher(text: &str) -> Result<Matcher, String> {
    let bad = || format!("bad matcher format: {text}");
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .ok_or_else(bad)?;
    let (name, rest) = trimmed.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let (op, raw) = MatchOp::strip(rest.trim_start()).ok_or_else(bad)?;
    Matcher::new(name, op, &classic_value(raw.trim())?)
}

/// A value between quotes or bare; an unknown escape stands for itself.
fn classic_value(raw: &str) -> Result<String, String> {
    let quoted = raw.starts_with('"');
    let body = raw.strip_prefix('"').unwrap_or(raw);
    let stray = || format!("matcher value contains unescaped double quote: {raw}");
    let mut out = String::with_capacity(body.len());
    let mut chars = body.chars();
    let mut closed = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.as_str().is_empty() => closed = true,
            '"' => return Err(stray()),
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(c @ ('"' | '\\')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    if quoted != closed {
        return Err(stray());
    }
    Ok(out)
}

fn utf8_matchers(text: &str) -> Option<Vec<Matcher>> {
    let mut rest = text.trim();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner.strip_suffix('}')?.trim();
    }
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (name, after) = utf8_word(rest)?;
        let (op, after) = MatchOp::strip(after.trim_start())?;
        let (value, after) = utf8_word(after.trim_start())?;
        if name.is_empty() {
            return None;
        }
        out.push(Matcher::new(&name, op, &value).ok()?);
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some(out)
}

/// A quoted text or a bare word at the start of `s`, and what follows.
fn utf8_word(s: &str) -> Option<(String, &str)> {
    if !s.starts_with('"') {
        let end = s.find(is_reserved).unwrap_or(s.len());
        return (end > 0).then(|| (s[..end].to_owned(), &s[end..]));
    }
    let mut escaped = false;
    let end = s.char_indices().skip(1).find_map(|(i, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(i + 1)
    })?;
    Some((quote::unquote(&s[..end]).ok()?, &s[end..]))
}

/// A list of entries as written in a file, each one or several matchers.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct MatcherList(pub(crate) Vec<Matcher>);

impl<'de> serde::Deserialize<'de> for MatcherList {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut all = Vec::new();
        for entry in Vec::<String>::deserialize(d)? {
            all.extend(parse_matchers(&entry).map_err(serde::de::Error::custom)?);
        }
        Ok(Self(all))
    }
}

impl serde::Serialize for MatcherList {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl crate::config::fields::Omit for MatcherList {
    fn omit(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        parse_matchers(text).map(|all| {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            all.join(" ")
        })
    }

    #[test]
    fn both_grammars_are_read() {
        for (text, printed) in [
            ("a=b", r#"a="b""#),
            (r#"{a="1",b=~"x.*"}"#, r#"a="1" b=~"x.*""#),
            (r#"c="with, comma""#, r#"c="with, comma""#),
            (r#"e = "quo\"te""#, r#"e="quo\"te""#),
            (r#"f =~ "a|b" , g !~ "z+""#, r#"f=~"a|b" g!~"z+""#),
            ("h=", r#"h="""#),
            (r#"path="c:\\dir""#, r#"path="c:\\dir""#),
            (r#""foo.bar" = "x""#, r#"foo.bar="x""#),
            (r#""a b" !~ "x y.*""#, r#""a b"!~"x y.*""#),
            ("süß != \"\"", "süß!=\"\""),
            ("emoji = \"🙂\"", "emoji=\"🙂\""),
            // Read by both: the old grammar wins, an unknown escape stands for itself.
            (r#"a="\d""#, r#"a="\\d""#),
            ("a=b c", r#"a="b c""#),
            ("a==b", r#"a="=b""#),
            ("{}", ""),
            ("a=1,", r#"a="1""#),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(printed), "{text}");
        }
    }

    #[test]
    fn what_neither_reads_is_refused_in_the_old_words() {
        for (text, error) in [
            ("nooperator", "bad matcher format: nooperator"),
            ("a=1,,b=2", "bad matcher format: "),
            ("=x", "bad matcher format: =x"),
            (
                r#"a="x"y"#,
                r#"matcher value contains unescaped double quote: "x"y"#,
            ),
        ] {
            assert_eq!(shown(text).unwrap_err(), error, "{text}");
        }
        assert!(shown("a=~(").is_err());
        assert_eq!(
            parse_matcher("{a=b}").unwrap_err(),
            "bad matcher format: {a=b}"
        );
        assert!(parse_matcher("süß=a,b=c").is_err());
    }

    #[test]
    fn missing_labels_are_empty_and_patterns_are_anchored() {
        let m = |t: &str| parse_matchers(t).unwrap().pop().unwrap();
        assert!(m("a=").matches(""));
        assert!(m("a!~.+").matches(""));
        assert!(m("a=~b|c").matches("c"));
        assert!(!m("a=~b").matches("bb"));
        assert!(m("a!=b").matches(""));
        assert!(m("a=~(?i)CASE").matches("case"));
    }

    proptest! {
        #[test]
        fn prop_what_is_printed_is_read_back(name in "\\PC{1,8}", value in "\\PC{0,8}") {
            let m = Matcher::new(&name, MatchOp::NotEqual, &value).unwrap();
            prop_assert_eq!(parse_matchers(&m.to_string()).unwrap(), vec![m]);
        }

        #[test]
        fn prop_any_text_is_answered(text in "\\PC{0,40}") {
            drop(parse_matchers(&text));
            drop(parse_matcher(&text));
        }
    }
}
