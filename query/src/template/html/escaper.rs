//! What is done to values of HTML.

use std::fmt::Write as _;

use crate::template::Value;

/// One step on the way from a value to the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escaper {
    /// Nothing: it is escaped already.
    Raw,
    /// The value is left out.
    Nothing,
    /// Text between tags; HTML stays as it is.
    Html,
    /// Text where no tags are read.
    Plain,
    /// A quoted attribute; of HTML only the text stays.
    Attribute,
    /// An attribute without quotes.
    Unquoted,
    /// The name of an attribute.
    Name,
    /// A URL from its beginning: only schemes that run no script.
    UrlScheme,
    /// Part of a URL that may have several.
    UrlPart,
    /// One value in a query.
    UrlQuery,
    /// A list of URLs.
    Srcset,
    /// A value of a script.
    JsValue,
    /// Part of a string of a script.
    JsString,
    /// Part of a template string of a script.
    JsTemplate,
    /// Part of a regular expression of a script.
    JsRegex,
    /// A value of a style.
    CssValue,
    /// Part of a string of a style.
    CssString,
}

impl Escaper {
    /// Whether it does what the function `html` does.
    pub(super) fn is_html(self) -> bool {
        matches!(self, Self::Html | Self::Plain | Self::Attribute)
    }
}

/// What stands where an unsafe value was.
const UNSAFE: &str = "ZgotmplZ";

/// The text of a value after all steps.
pub(in crate::template) fn escaped(v: &Value, steps: &[Escaper]) -> String {
    let mut v = v.clone();
    for step in steps {
        v = one(&v, *step);
    }
    v.text()
}

fn plain(v: &Value) -> String {
    match v {
        Value::Nil => String::new(),
        v => v.text(),
    }
}

fn one(v: &Value, step: Escaper) -> Value {
    let out = match (step, v) {
        (Escaper::Raw, v) => plain(v),
        (Escaper::Nothing, _) => String::new(),
        (Escaper::Html, Value::Safe(_)) => return v.clone(),
        (Escaper::Plain, Value::Safe(s)) => html(s, false),
        (Escaper::Attribute, Value::Safe(s)) => html(&without_tags(s), false),
        (Escaper::Unquoted, Value::Safe(s)) => unquoted(&without_tags(s), false),
        (Escaper::Html | Escaper::Plain | Escaper::Attribute, v) => html(&plain(v), true),
        (Escaper::Unquoted, v) => unquoted(&plain(v), true),
        (Escaper::Name, v) => name(&plain(v)),
        (Escaper::UrlScheme, Value::SafeUrl(_)) => return v.clone(),
        (Escaper::UrlScheme, v) => {
            let text = plain(v);
            match is_safe(&text) {
                true => text,
                false => format!("#{UNSAFE}"),
            }
        }
        (Escaper::UrlPart, v) => url(&plain(v), true),
        (Escaper::UrlQuery, Value::SafeUrl(s)) => url(s, true),
        (Escaper::UrlQuery, v) => url(&plain(v), false),
        (Escaper::Srcset, v) => srcset(v),
        (Escaper::JsValue, v) => js_value(v),
        (Escaper::JsString, v) => js_string(&plain(v)),
        (Escaper::JsTemplate, v) => js_string(&plain(v)).replace('$', "\\u0024"),
        (Escaper::JsRegex, v) => js_regex(&plain(v)),
        (Escaper::CssValue, v) => css_value(&plain(v)),
        (Escaper::CssString, v) => css_string(&plain(v)),
    };
    out.into()
}

/// Escapes what HTML reads; references stay as they are unless `references`.
fn html(s: &str, references: bool) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '&' if references => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '+' => out.push_str("&#43;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn unquoted(s: &str, references: bool) -> String {
    if s.is_empty() {
        // An empty value would let the next attribute become the value.
        return format!("\"{s}\"");
    }
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        match c {
            '\0' => out.push_str("&#xfffd;"),
            '&' if !references => out.push('&'),
            '\t' | '\n' | '\x0b' | '\x0c' | '\r' | ' ' | '"' | '&' | '\'' | '+' | '<' | '='
            | '>' | '`' => {
                let escaped = write!(out, "&#{};", c as u32);
                debug_assert!(escaped.is_ok());
                if c == '&' {
                    out.truncate(out.len() - "&#38;".len());
                    out.push_str("&amp;");
                } else if c == '<' {
                    out.truncate(out.len() - "&#60;".len());
                    out.push_str("&lt;");
                } else if c == '>' {
                    out.truncate(out.len() - "&#62;".len());
                    out.push_str("&gt;");
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// The text of HTML: without tags and comments.
fn without_tags(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut rest = s;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        let end = match tail.starts_with("<!--") {
            true => tail.find("-->").map(|i| i + 3),
            false => tail.find('>').map(|i| i + 1),
        };
        let tag = tail[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!".contains(c));
        rest = match (tag, end) {
            (true, Some(end)) => &tail[end..],
            (true, None) => "",
            (false, _) => {
                out.push('<');
                &tail[1..]
            }
        };
    }
    out + rest
}

fn name(s: &str) -> String {
    let lower = s.to_ascii_lowercase();
    let fine = !lower.is_empty()
        && lower.bytes().all(|b| b.is_ascii_alphanumeric())
        && !lower.starts_with("on")
        && !["src", "uri", "url", "style", "href", "action", "data"]
            .iter()
            .any(|p| lower.contains(p));
    match fine {
        true => lower,
        false => UNSAFE.to_owned(),
    }
}

fn is_safe(url: &str) -> bool {
    match url.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => ["http", "https", "mailto"]
            .iter()
            .any(|s| scheme.eq_ignore_ascii_case(s)),
        _ => true,
    }
}

/// Percent-escapes; with `parts`, what separates parts of a URL stays.
fn url(s: &str, parts: bool) -> String {
    let bytes = s.as_bytes();
    let mut out = String::with_capacity(s.len() + 8);
    for (i, b) in bytes.iter().enumerate() {
        let keep = match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?'
            | b'@' | b'[' | b']' => parts,
            b'%' => {
                let digit = |n: usize| bytes.get(i + n).is_some_and(u8::is_ascii_hexdigit);
                parts && digit(1) && digit(2)
            }
            _ => false,
        };
        if keep {
            out.push(*b as char);
        } else {
            let escaped = write!(out, "%{b:02x}");
            debug_assert!(escaped.is_ok());
        }
    }
    out
}

fn srcset(v: &Value) -> String {
    if let Value::SafeUrl(s) = v {
        return url(s, true).replace(',', "%2c");
    }
    let text = plain(v);
    let each = text.split(',').map(|part| {
        let trimmed = part.trim();
        let (address, size) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
        let sized = size.trim();
        let fine = is_safe(address)
            && sized
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'.');
        match (fine, sized) {
            (false, _) => format!("#{UNSAFE}"),
            (true, "") => url(address, true),
            (true, sized) => format!("{} {sized}", url(address, true)),
        }
    });
    each.collect::<Vec<_>>().join(",")
}

fn js_string(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\x0c' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '/' => out.push_str("\\/"),
            '\\' => out.push_str("\\\\"),
            '\0' | '\x0b' | '"' | '`' | '&' | '\'' | '+' | '<' | '>' | '\u{2028}' | '\u{2029}' => {
                unicode(&mut out, c);
            }
            c => out.push(c),
        }
    }
    out
}

fn unicode(out: &mut String, c: char) {
    let escaped = write!(out, "\\u{:04x}", c as u32);
    debug_assert!(escaped.is_ok());
}

fn js_regex(s: &str) -> String {
    if s.is_empty() {
        return "(?:)".to_owned();
    }
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\x0c' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '$' | '(' | ')' | '*' | '-' | '.' | '/' | '?' | '[' | '\\' | ']' | '^' | '{' | '|'
            | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\0' | '\x0b' | '"' | '&' | '\'' | '+' | '<' | '>' | '`' | '\u{2028}' | '\u{2029}' => {
                unicode(&mut out, c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A value as a script reads it. Blanks keep numbers and words apart from what stands around them.
fn js_value(v: &Value) -> String {
    match v {
        Value::Text(s) | Value::Safe(s) | Value::SafeUrl(s) => format!("\"{}\"", js_string(s)),
        Value::Nil => " null ".to_owned(),
        v => {
            let json = crate::template::json::text(v);
            let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let open = if word(json.chars().next()) { " " } else { "" };
            let close = if word(json.chars().last()) { " " } else { "" };
            format!("{open}{json}{close}")
        }
    }
}

/// Only values that cannot begin a declaration, a string or a script.
fn css_value(s: &str) -> String {
    let bad = |c: char| {
        matches!(
            c,
            '\0' | '"'
                | '\''
                | '('
                | ')'
                | '/'
                | ';'
                | '@'
                | '['
                | '\\'
                | ']'
                | '`'
                | '{'
                | '}'
                | '<'
                | '>'
        )
    };
    let lower = s.to_ascii_lowercase();
    let letters: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    if s.contains(bad)
        || s.contains("--") && !s.ends_with("--") && s.contains("-->")
        || letters.contains("expression")
        || letters.contains("mozbinding")
    {
        return UNSAFE.to_owned();
    }
    s.to_owned()
}

fn css_string(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    let mut chars = s.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\0' | '\t' | '\n' | '\x0c' | '\r' | '"' | '&' | '\'' | '(' | ')' | '+' | '/' | ':'
            | ';' | '<' | '>' | '\\' | '{' | '}' => {
                if c == '\\' {
                    out.push_str("\\\\");
                    continue;
                }
                let escaped = write!(out, "\\{:x}", c as u32);
                debug_assert!(escaped.is_ok());
                // A digit that follows would become part of the number.
                let next = chars.peek();
                if next.is_none_or(|n| n.is_ascii_hexdigit() || n.is_whitespace()) {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
    }
    out
}
