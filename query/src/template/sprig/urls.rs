//! `urlParse` and `urlJoin`: a URL as a map of its parts, and back.
//!
//! Facts: RFC 3986, with the parts as Go's `net/url` names them. A crate for URLs would bring them
//! into the form of browsers, where templates want what was written.

use std::sync::Arc;

use super::super::args::{M, T, kind_of, map, text};
use super::super::{Function, Map, Value};

/// The functions.
pub(super) const TABLE: &[Function] = &[
    Function::pure("urlParse", &[T], |a| {
        let wrong = |e| format!("unable to parse url: parse {:?}: {e}", text(a, 0));
        let u = Parts::parse(text(a, 0)).map_err(wrong)?;
        let hostname = u.hostname().to_owned();
        let pairs = [
            ("scheme", u.scheme),
            ("host", u.host),
            ("hostname", hostname),
            ("path", u.path),
            ("query", u.query),
            ("opaque", u.opaque),
            ("fragment", u.fragment),
            ("userinfo", u.user.unwrap_or_default()),
        ];
        let entries = pairs.map(|(k, v)| (k.into(), v.into()));
        Ok(Value::Map(Arc::new(Map {
            entries: entries.into(),
            texts: false,
        })))
    }),
    Function::pure("urlJoin", &[M], |a| {
        let m = map(a, 0);
        let part = |key: &str| match m.entries.get(key) {
            None => Ok(String::new()),
            Some(v) => v.as_text().map(str::to_owned).ok_or_else(|| {
                format!(
                    "unable to parse {key} key, must be of type string, but {} found",
                    kind_of(v)
                )
            }),
        };
        let user = match part("userinfo")? {
            u if u.is_empty() => None,
            u => {
                let wrong = |e| format!("unable to parse userinfo in dict: {e}");
                Parts::parse(&format!("proto://{u}@host"))
                    .map_err(wrong)?
                    .user
            }
        };
        let parts = Parts {
            scheme: part("scheme")?,
            opaque: part("opaque")?,
            user,
            host: part("host")?,
            path: part("path")?,
            query: part("query")?,
            fragment: part("fragment")?,
        };
        Ok(parts.text().into())
    }),
];

/// What a URL consists of, without its escapes except in the query and the user.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    scheme: String,
    opaque: String,
    user: Option<String>,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

/// Bytes that stand for themselves everywhere.
fn plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.~".contains(&b)
}

fn escape(s: &str, also: &[u8]) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        if plain(b) || also.contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

fn unescape(s: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s.as_bytes();
    while let Some((b, after)) = rest.split_first() {
        if *b != b'%' {
            out.push(*b);
            rest = after;
            continue;
        }
        let digits = after
            .get(..2)
            .filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let byte = digits
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 16).ok());
        let Some(byte) = byte else {
            let shown = rest.get(..rest.len().min(3)).unwrap_or_default();
            let shown = String::from_utf8_lossy(shown).into_owned();
            return Err(format!("invalid URL escape {shown:?}"));
        };
        out.push(byte);
        rest = after.get(2..).unwrap_or_default();
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The scheme and the rest.
fn scheme(s: &str) -> Result<(&str, &str), String> {
    for (i, b) in s.bytes().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((s.get(..i).unwrap_or(""), s.get(i + 1..).unwrap_or(""))),
            _ => break,
        }
    }
    Ok(("", s))
}

impl Parts {
    fn parse(s: &str) -> Result<Self, String> {
        let (s, fragment) = s.split_once('#').unwrap_or((s, ""));
        let fragment = unescape(fragment)?;
        if s.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (scheme, rest) = scheme(s)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = Self {
            scheme: scheme.to_ascii_lowercase(),
            query: query.to_owned(),
            fragment,
            ..Self::default()
        };
        let mut path = rest;
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                rest.clone_into(&mut parts.opaque);
                return Ok(parts);
            }
            if rest
                .split('/')
                .next()
                .is_some_and(|first| first.contains(':'))
            {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let relative = scheme.is_empty() && rest.starts_with("///");
        if let Some(after) = rest.strip_prefix("//").filter(|_| !relative) {
            let end = after.find('/').unwrap_or(after.len());
            let (authority, rest) = after.split_at(end);
            parts.authority(authority)?;
            path = rest;
        }
        parts.path = unescape(path)?;
        Ok(parts)
    }

    fn authority(&mut self, s: &str) -> Result<(), String> {
        let host = match s.rsplit_once('@') {
            None => s,
            Some((user, host)) => {
                let allowed = |b: u8| plain(b) || b"!$&'()*+,;=:%@".contains(&b);
                if !user.bytes().all(allowed) {
                    return Err("net/url: invalid userinfo".to_owned());
                }
                let (name, password) = match user.split_once(':') {
                    Some((n, p)) => (n, Some(p)),
                    None => (user, None),
                };
                let again = |s: &str| Ok::<_, String>(escape(&unescape(s)?, b"$&+,;="));
                self.user = Some(match password {
                    Some(p) => format!("{}:{}", again(name)?, again(p)?),
                    None => again(name)?,
                });
                host
            }
        };
        let port = match host.strip_prefix('[') {
            Some(inner) => {
                let (_, after) = inner.split_once(']').ok_or("missing ']' in host")?;
                after
            }
            None => host.find(':').map_or("", |i| host.get(i..).unwrap_or("")),
        };
        let digits = port.strip_prefix(':').unwrap_or(port);
        if !port.is_empty() && (digits == port || !digits.bytes().all(|b| b.is_ascii_digit())) {
            return Err(format!("invalid port {port:?} after host"));
        }
        if let Some(b) = host.bytes().find(|b| b" ^`{|}\\".contains(b)) {
            let shown = char::from(b).to_string();
            return Err(format!("invalid character {shown:?} in host name"));
        }
        self.host = unescape(host)?;
        Ok(())
    }

    /// The host without port and brackets.
    fn hostname(&self) -> &str {
        match self.host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((inner, _)) => inner,
            None => self.host.split(':').next().unwrap_or(""),
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        if !self.scheme.is_empty() {
            out = format!("{}:", self.scheme);
        }
        if self.opaque.is_empty() {
            let known = !self.scheme.is_empty() || !self.host.is_empty() || self.user.is_some();
            if known && (!self.host.is_empty() || !self.path.is_empty() || self.user.is_some()) {
                out.push_str("//");
                if let Some(user) = &self.user {
                    out.push_str(user);
                    out.push('@');
                }
                out.push_str(&escape(&self.host, b"!$&'()*+,;=:[]<>\""));
            }
            let path = match self.path.as_str() {
                "*" => "*".to_owned(),
                p => escape(p, b"$&+,/:;=@"),
            };
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                out.push('/');
            }
            // Otherwise the first part would be read as a scheme.
            let first = path.split('/').next().unwrap_or("");
            if out.is_empty() && first.contains(':') {
                out.push_str("./");
            }
            out.push_str(&path);
        } else {
            out.push_str(&self.opaque);
        }
        if !self.query.is_empty() {
            out.push('?');
            out.push_str(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push('#');
            out.push_str(&escape(&self.fragment, b"$&+,/:;=@?!()*"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_back_as_they_were() {
        for url in [
            "http://admin:secret@server.com:8080/api?list=false#anchor",
            "https://example.com",
            "https://example.com/a%20b?q=1%202",
            "http://[fe80::1]:8080/",
            "mailto:user@host.com",
            "file:///etc/passwd",
            "//server/x",
            "path/only",
            "http://us%2Fer:p%3Aw@h/",
            "*",
            "",
        ] {
            let parts = Parts::parse(url).unwrap();
            assert_eq!(parts.text(), url, "{parts:?}");
        }
        let parts = Parts::parse("HTTP://[::1]:80/a%2Fb?x#y%20z").unwrap();
        assert_eq!(
            (parts.scheme.as_str(), parts.hostname(), parts.path.as_str()),
            ("http", "::1", "/a/b")
        );
        assert_eq!(
            (parts.host.as_str(), parts.fragment.as_str()),
            ("[::1]:80", "y z")
        );
        for bad in [
            "http://h/%zz",
            ":x",
            "a:b/c d\u{7f}",
            "1a:b/c",
            "http://h:x/",
            "http://[::1/",
            "http://a b/",
            "http://a^@h/",
        ] {
            assert!(Parts::parse(bad).is_err(), "{bad}");
        }
    }
}
