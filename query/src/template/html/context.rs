//! Where in an HTML document a place is.
//!
//! Owns: the states of a document and how text moves from one to the next.
//! Knows nothing of: values.

use super::Escaper;

/// What the parser of a browser would be reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum State {
    /// Text between tags.
    #[default]
    Text,
    /// Text of an element without tags inside: a title, a text area.
    Plain,
    /// A comment.
    Comment,
    /// Inside of a tag, before an attribute.
    Tag,
    /// The name of an attribute.
    AttrName,
    /// After the name of an attribute.
    AfterName,
    /// After the equals sign.
    BeforeValue,
    /// The value of an attribute that is only text.
    Attr,
    /// A URL.
    Url,
    /// A list of URLs with sizes.
    Srcset,
    /// A script, outside of its strings.
    Js,
    /// A string of a script, by its quote.
    JsString(char),
    /// A regular expression of a script.
    JsRegex,
    /// A comment of a script or a style: true when it ends with the line.
    CodeComment(bool),
    /// A style, outside of its strings.
    Css,
    /// A string of a style, by its quote.
    CssString(char),
    /// A URL of a style, by its quote; a blank when it has none.
    CssUrl(char),
}

/// What ends the value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Delimiter {
    /// Not in a value.
    #[default]
    None,
    /// `"`
    Double,
    /// `'`
    Single,
    /// A blank or the end of the tag.
    Blank,
}

/// What an attribute's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Kind {
    #[default]
    Plain,
    Script,
    Style,
    Url,
    Srcset,
}

/// The element whose content is special.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Element {
    #[default]
    Other,
    Script,
    Style,
    TextArea,
    Title,
}

impl Element {
    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "script" => Self::Script,
            "style" => Self::Style,
            "textarea" => Self::TextArea,
            "title" => Self::Title,
            _ => Self::Other,
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::Script => "</script",
            Self::Style => "</style",
            Self::TextArea => "</textarea",
            Self::Title => "</title",
            Self::Other => "</",
        }
    }

    fn content(self) -> State {
        match self {
            Self::Script => State::Js,
            Self::Style => State::Css,
            Self::TextArea | Self::Title => State::Plain,
            Self::Other => State::Text,
        }
    }
}

/// How far a URL has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum UrlPart {
    /// Nothing of it is there.
    #[default]
    None,
    /// Scheme, host or path.
    Path,
    /// Query or fragment.
    Query,
    /// One or the other.
    Unknown,
}

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Context {
    pub(super) state: State,
    delimiter: Delimiter,
    url: UrlPart,
    /// In a script: whether a slash divides. Otherwise it begins a regular expression.
    divides: bool,
    kind: Kind,
    element: Element,
}

/// Blanks of HTML.
const BLANKS: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];

impl Context {
    fn to(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// The context of a branch that may end like this or like `other`.
    pub(super) fn join(self, other: Self) -> Option<Self> {
        let (a, b) = (self.nudged(), other.nudged());
        if self == other {
            return Some(self);
        }
        if a == b {
            return Some(a);
        }
        let mut c = a;
        c.url = b.url;
        if c == b {
            return Some(Self {
                url: UrlPart::Unknown,
                ..b
            });
        }
        let mut c = a;
        c.divides = b.divides;
        (c == b).then_some(a)
    }

    /// The context of a value at this place: a value after `=` begins an unquoted attribute.
    fn nudged(self) -> Self {
        match self.state {
            State::Tag => self.to(State::AttrName),
            State::BeforeValue => Self {
                delimiter: Delimiter::Blank,
                ..self.value()
            },
            State::AfterName => self.to(State::AttrName),
            _ => self,
        }
    }

    /// The state in which an attribute's value begins.
    fn value(self) -> Self {
        let state = match self.kind {
            Kind::Plain => State::Attr,
            Kind::Script => State::Js,
            Kind::Style => State::Css,
            Kind::Url => State::Url,
            Kind::Srcset => State::Srcset,
        };
        Self {
            url: UrlPart::None,
            divides: false,
            ..self.to(state)
        }
    }

    /// What is done to a value at this place, and the place after it.
    ///
    /// # Errors
    /// When no value may stand here.
    pub(super) fn escapers(self) -> Result<(Vec<Escaper>, Self), String> {
        let mut c = self.nudged();
        let mut out = Vec::with_capacity(3);
        match c.state {
            State::Text => out.push(Escaper::Html),
            State::Plain => out.push(Escaper::Plain),
            State::Comment | State::CodeComment(_) => return Ok((vec![Escaper::Nothing], c)),
            State::AttrName | State::Tag | State::AfterName | State::BeforeValue => {
                return Ok((vec![Escaper::Name], c.to(State::AttrName)));
            }
            State::Attr => {}
            State::Url | State::CssUrl(_) | State::CssString(_) => {
                match c.url {
                    UrlPart::None => out.extend([Escaper::UrlScheme, Escaper::UrlPart]),
                    UrlPart::Path => out.push(Escaper::UrlPart),
                    UrlPart::Query => out.push(Escaper::UrlQuery),
                    UrlPart::Unknown => {
                        return Err("a value appears in an ambiguous context within a URL".into());
                    }
                }
                if let State::CssString(_) = c.state {
                    out.push(Escaper::CssString);
                }
                if c.url == UrlPart::None {
                    c.url = UrlPart::Path;
                }
            }
            State::Srcset => out.push(Escaper::Srcset),
            State::Js => {
                out.push(Escaper::JsValue);
                c.divides = true;
            }
            State::JsString('`') => out.push(Escaper::JsTemplate),
            State::JsString(_) => out.push(Escaper::JsString),
            State::JsRegex => out.push(Escaper::JsRegex),
            State::Css => out.push(Escaper::CssValue),
        }
        match c.delimiter {
            Delimiter::None => {}
            Delimiter::Blank => out.push(Escaper::Unquoted),
            Delimiter::Double | Delimiter::Single => out.push(Escaper::Attribute),
        }
        Ok((out, c))
    }

    /// The place after a text of the template; what is kept of the text is appended to `out`.
    ///
    /// # Errors
    /// When the text cannot be told to be one thing or another.
    pub(super) fn after(self, text: &str, out: &mut String) -> Result<Self, String> {
        let (mut c, mut rest) = (self, text);
        while !rest.is_empty() {
            let (next, used) = c.piece(rest, out)?;
            (c, rest) = (next, &rest[used..]);
        }
        Ok(c)
    }

    /// One step: the place after the first piece of `rest`, and how long that is.
    fn piece(self, rest: &str, out: &mut String) -> Result<(Self, usize), String> {
        if self.delimiter != Delimiter::None {
            return Ok(self.in_value(rest, out));
        }
        match self.state {
            State::Text => Ok(self.in_text(rest, out)),
            State::Comment => Ok(match rest.find("-->") {
                Some(i) => (Self::default(), i + 3),
                None => (self, rest.len()),
            }),
            State::Plain
            | State::Js
            | State::JsString(_)
            | State::JsRegex
            | State::CodeComment(_)
            | State::Css
            | State::CssString(_)
            | State::CssUrl(_) => Ok(self.in_element(rest, out)),
            _ => self.in_tag(rest, out),
        }
    }

    fn in_text(self, rest: &str, out: &mut String) -> (Self, usize) {
        let Some(at) = rest.find('<') else {
            out.push_str(rest);
            return (self, rest.len());
        };
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if tail.starts_with("!--") {
            return (self.to(State::Comment), at + 4);
        }
        let close = tail.strip_prefix('/');
        let name = close.unwrap_or(tail);
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-');
            let len = name.find(|c| !inside(c)).unwrap_or(name.len());
            let used = at + 1 + (tail.len() - name.len()) + len;
            out.push_str(&rest[at..used]);
            let element = match close {
                None => Element::named(&name[..len]),
                Some(_) => Element::Other,
            };
            let c = Self {
                state: State::Tag,
                element,
                ..Self::default()
            };
            return (c, used);
        }
        let doctype = tail
            .get(..8)
            .is_some_and(|t| t.eq_ignore_ascii_case("!doctype"));
        out.push_str(if doctype { "<" } else { "&lt;" });
        (self, at + 1)
    }

    /// Script, style, title and text area: up to the tag that ends them.
    fn in_element(self, rest: &str, out: &mut String) -> (Self, usize) {
        let end = self.element.end();
        let lower = rest.to_ascii_lowercase();
        let mut from = 0;
        let stop = loop {
            let Some(i) = lower.get(from..).and_then(|l| l.find(end)) else {
                break None;
            };
            let behind = lower.get(from + i + end.len()..).unwrap_or_default();
            if behind.is_empty() || behind.starts_with(BLANKS) || behind.starts_with(['>', '/']) {
                break Some(from + i);
            }
            from += i + end.len();
        };
        let inner = &rest[..stop.unwrap_or(rest.len())];
        let c = match self.state {
            State::Plain => {
                out.push_str(&inner.replace('<', "&lt;"));
                self
            }
            _ => self.in_code(inner, out),
        };
        match stop {
            Some(at) => {
                out.push_str(&rest[at..at + end.len()]);
                (Self::default().to(State::Tag), at + end.len())
            }
            None => (c, rest.len()),
        }
    }

    fn in_tag(self, rest: &str, out: &mut String) -> Result<(Self, usize), String> {
        let trimmed = rest.trim_start_matches(BLANKS);
        let blanks = rest.len() - trimmed.len();
        if blanks > 0 && self.state != State::AttrName {
            out.push_str(&rest[..blanks]);
            return Ok((self, blanks));
        }
        match (self.state, rest.chars().next()) {
            (State::AttrName, _) => {
                let len = name_len(rest)?;
                out.push_str(&rest[..len]);
                let state = if len == rest.len() {
                    State::AttrName
                } else {
                    State::AfterName
                };
                Ok((self.to(state), len))
            }
            (State::AfterName, Some('=')) => {
                out.push('=');
                Ok((self.to(State::BeforeValue), 1))
            }
            (State::AfterName, _) => Ok((self.to(State::Tag), 0)),
            (State::BeforeValue, Some(q @ ('"' | '\''))) => {
                out.push(q);
                let delimiter = if q == '"' {
                    Delimiter::Double
                } else {
                    Delimiter::Single
                };
                let c = Self {
                    delimiter,
                    ..self.value()
                };
                Ok((c, 1))
            }
            (State::BeforeValue, Some('>')) => Ok((self.to(State::Tag), 0)),
            (State::BeforeValue, _) => {
                let delimiter = Delimiter::Blank;
                let c = Self {
                    delimiter,
                    ..self.value()
                };
                Ok((c, 0))
            }
            (_, Some('>')) => {
                out.push('>');
                let c = Self {
                    element: self.element,
                    ..Self::default()
                };
                Ok((c.to(self.element.content()), 1))
            }
            _ => {
                let len = name_len(rest)?;
                if len == 0 {
                    return Err(format!(
                        "expected space, attr name, or end of tag, but got {rest:?}"
                    ));
                }
                out.push_str(&rest[..len]);
                let state = if len == rest.len() {
                    State::AttrName
                } else {
                    State::AfterName
                };
                let kind = kind_of(&rest[..len]);
                Ok((
                    Self {
                        kind,
                        ..self.to(state)
                    },
                    len,
                ))
            }
        }
    }

    /// The value of an attribute, up to its end.
    fn in_value(self, rest: &str, out: &mut String) -> (Self, usize) {
        let stop = match self.delimiter {
            Delimiter::Double => rest.find('"'),
            Delimiter::Single => rest.find('\''),
            _ => rest.find(|c| BLANKS.contains(&c) || c == '>'),
        };
        let inner = &rest[..stop.unwrap_or(rest.len())];
        out.push_str(inner);
        let mut c = self;
        if !inner.is_empty() {
            let mut dropped = String::new();
            let text = unescaped(inner);
            c = match self.state {
                State::Url => Self {
                    url: url_after(self.url, &text),
                    ..self
                },
                State::Attr | State::Srcset => self,
                _ => self.in_code(&text, &mut dropped),
            };
        }
        let Some(at) = stop else {
            return (c, rest.len());
        };
        let done = Self {
            state: State::Tag,
            element: self.element,
            ..Self::default()
        };
        if self.delimiter == Delimiter::Blank {
            return (done, at);
        }
        out.push_str(&rest[at..=at]);
        (done, at + 1)
    }

    /// A script or a style.
    fn in_code(self, text: &str, out: &mut String) -> Self {
        let mut c = self;
        let mut chars = text.char_indices().peekable();
        while let Some((i, x)) = chars.next() {
            let keep = match c.state {
                State::Js => c.js(x, text, i, &mut chars),
                State::JsString(q) | State::CssString(q) => {
                    if x == '\\' {
                        out.push(x);
                        if let Some((_, escaped)) = chars.next() {
                            out.push(escaped);
                        }
                        continue;
                    }
                    if x == q {
                        let code = if matches!(c.state, State::JsString(_)) {
                            State::Js
                        } else {
                            State::Css
                        };
                        c = Self {
                            divides: true,
                            url: UrlPart::None,
                            ..c.to(code)
                        };
                    } else if matches!(c.state, State::CssString(_)) {
                        c.url = url_after(c.url, x.encode_utf8(&mut [0; 4]));
                    }
                    true
                }
                State::JsRegex => {
                    if x == '\\' {
                        out.push(x);
                        if let Some((_, escaped)) = chars.next() {
                            out.push(escaped);
                        }
                        continue;
                    }
                    if x == '/' {
                        c = Self {
                            divides: true,
                            ..c.to(State::Js)
                        };
                    }
                    true
                }
                State::CodeComment(line) => c.comment(line, x, &mut chars),
                State::Css => c.css(x, text, i, &mut chars),
                State::CssUrl(q) => {
                    if x == q || (q == ' ' && (x == ')' || x.is_whitespace())) {
                        c = Self {
                            url: UrlPart::None,
                            ..c.to(State::Css)
                        };
                    } else {
                        c.url = url_after(c.url, x.encode_utf8(&mut [0; 4]));
                    }
                    true
                }
                _ => true,
            };
            if keep {
                out.push(x);
            }
        }
        c
    }

    fn comment(&mut self, line: bool, x: char, rest: &mut Chars<'_>) -> bool {
        let code = match (self.element, self.kind) {
            (Element::Style, _) | (_, Kind::Style) => State::Css,
            _ => State::Js,
        };
        if line && matches!(x, '\n' | '\r' | '\u{2028}' | '\u{2029}') {
            *self = self.to(code);
            return true;
        }
        if !line && x == '*' && rest.peek().is_some_and(|(_, n)| *n == '/') {
            rest.next();
            *self = self.to(code);
        }
        false
    }

    fn js(&mut self, x: char, text: &str, at: usize, rest: &mut Chars<'_>) -> bool {
        let next = rest.peek().map(|(_, n)| *n);
        match x {
            '"' | '\'' | '`' => *self = self.to(State::JsString(x)),
            '/' if next == Some('/') || next == Some('*') => {
                rest.next();
                *self = self.to(State::CodeComment(next == Some('/')));
                return false;
            }
            '/' if self.divides => self.divides = false,
            '/' => *self = self.to(State::JsRegex),
            c if c.is_whitespace() => {}
            ')' | ']' | '}' => self.divides = true,
            c if c.is_alphanumeric() || matches!(c, '_' | '$' | '.') => {
                // After a word that wants a value, a slash begins a regular expression.
                let so_far = &text[..at + c.len_utf8()];
                let before = so_far
                    .trim_end_matches(|w: char| w.is_alphanumeric() || matches!(w, '_' | '$'));
                self.divides = !WANTS_VALUE.contains(&&so_far[before.len()..]);
            }
            _ => self.divides = false,
        }
        true
    }

    fn css(&mut self, x: char, text: &str, at: usize, rest: &mut Chars<'_>) -> bool {
        let next = rest.peek().map(|(_, n)| *n);
        match x {
            '"' | '\'' => {
                self.url = UrlPart::None;
                *self = self.to(State::CssString(x));
            }
            '/' if next == Some('*') || next == Some('/') => {
                rest.next();
                *self = self.to(State::CodeComment(next == Some('/')));
                return false;
            }
            '(' if text[..at].to_ascii_lowercase().ends_with("url") => {
                let quote = text[at + 1..].trim_start_matches(BLANKS).chars().next();
                self.url = UrlPart::None;
                if !matches!(quote, Some('"' | '\'')) {
                    *self = self.to(State::CssUrl(' '));
                }
            }
            _ => {}
        }
        true
    }
}

type Chars<'t> = std::iter::Peekable<std::str::CharIndices<'t>>;

/// Words of scripts after which a value is expected.
const WANTS_VALUE: [&str; 13] = [
    "break",
    "case",
    "continue",
    "delete",
    "do",
    "else",
    "finally",
    "in",
    "instanceof",
    "return",
    "throw",
    "try",
    "typeof",
];

/// Length of an attribute's name.
fn name_len(s: &str) -> Result<usize, String> {
    let end = s.find(|c| BLANKS.contains(&c) || matches!(c, '=' | '>' | '\'' | '"' | '<'));
    let end = end.unwrap_or(s.len());
    match s[end..].chars().next() {
        Some(c @ ('\'' | '"' | '<')) => Err(format!("{c:?} in attribute name: {:.32?}", s)),
        _ => Ok(end),
    }
}

/// What the attribute `name` holds.
fn kind_of(name: &str) -> Kind {
    let name = name.to_ascii_lowercase();
    let name = match name.strip_prefix("data-") {
        Some(own) => own,
        None if name.starts_with("xmlns:") => return Kind::Url,
        None => name.split_once(':').map_or(name.as_str(), |(_, own)| own),
    };
    match name {
        "style" => Kind::Style,
        "srcset" => Kind::Srcset,
        "action" | "archive" | "background" | "cite" | "classid" | "codebase" | "data"
        | "formaction" | "href" | "icon" | "longdesc" | "manifest" | "poster" | "profile"
        | "src" | "usemap" | "xmlns" => Kind::Url,
        n if n.starts_with("on") => Kind::Script,
        n if n.contains("src") || n.contains("uri") || n.contains("url") => Kind::Url,
        _ => Kind::Plain,
    }
}

/// How far a URL has come after more text.
fn url_after(part: UrlPart, text: &str) -> UrlPart {
    if part == UrlPart::Query || text.contains(['?', '#']) {
        return UrlPart::Query;
    }
    match part {
        UrlPart::None if text.chars().all(|c| BLANKS.contains(&c)) => UrlPart::None,
        UrlPart::None => UrlPart::Path,
        part => part,
    }
}

/// Text of an attribute with the references that change what a script or URL says resolved.
fn unescaped(s: &str) -> std::borrow::Cow<'_, str> {
    if !s.contains('&') {
        return s.into();
    }
    let mut out = s.to_owned();
    for (name, c) in [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ] {
        out = out.replace(name, c);
    }
    out.into()
}
