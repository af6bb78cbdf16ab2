//! Parameters of a request: those of a posted form, then those of the URL.

use axum::response::Response;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode, Uri};

use super::body;
use crate::config::limits;

/// Decoded name/value pairs in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the form, if the request posts one, and the URL's query.
    ///
    /// # Errors
    /// The answer to give when the body cannot be read.
    pub(crate) async fn read(
        method: &Method,
        uri: &Uri,
        headers: &hyper::HeaderMap,
        request_body: axum::body::Body,
        timeout: std::time::Duration,
    ) -> Result<Self, Response> {
        let mut pairs = Vec::new();
        let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let media = content_type
            .unwrap_or("")
            .split(';')
            .next()
            .unwrap_or("")
            .trim();
        if *method == Method::POST && media.eq_ignore_ascii_case(FORM) {
            let limit = limits::FORM_BODY_BYTES_MAX;
            let mut bytes = Vec::new();
            match body::read(request_body, limit, timeout, &mut bytes).await {
                Ok(()) => parse(&bytes, &mut pairs),
                Err(e) => return Err(super::plain(e.status(), format!("{e}\n"))),
            }
        }
        parse(uri.query().unwrap_or("").as_bytes(), &mut pairs);
        Ok(Self(pairs))
    }

    /// First value of `name`, or the empty text.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.first(name).unwrap_or("")
    }

    /// First value of `name`, if it was sent at all.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// All values of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Pairs that are not valid (a bare `;`, broken escapes) are left out, as the family does.
fn parse(text: &[u8], out: &mut Vec<(String, String)>) {
    for pair in text.split(|b| *b == b'&') {
        if pair.is_empty() || pair.contains(&b';') {
            continue;
        }
        let at = pair.iter().position(|b| *b == b'=');
        let (name, value) = at.map_or((pair, &[][..]), |i| (&pair[..i], &pair[i + 1..]));
        if let (Some(n), Some(v)) = (unescape(name), unescape(value)) {
            out.push((n, v));
        }
    }
}

/// Decodes `+` and `%XX`; invalid UTF-8 is replaced, a broken escape refuses the text.
fn unescape(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [b, tail @ ..] = rest {
        rest = tail;
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let (hex, tail) = rest.split_at_checked(2)?;
                out.push(hex_digit(hex[0])? << 4 | hex_digit(hex[1])?);
                rest = tail;
            }
            b => out.push(*b),
        }
    }
    Some(match String::from_utf8(out) {
        Ok(s) => s,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    })
}

fn hex_digit(b: u8) -> Option<u8> {
    char::from(b)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

/// Status of a body that could not be read.
impl body::BodyError {
    /// What to answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_and_bad_pairs_left_out() {
        let mut p = Vec::new();
        parse(b"a=1+2&b=%7B%22x%22%7D&c&=d&e=%zz&f=a;b&a=3&g=%ff", &mut p);
        let p = Params(p);
        assert_eq!(p.get("a"), "1 2");
        assert_eq!(p.all("a").collect::<Vec<_>>(), ["1 2", "3"]);
        assert_eq!(p.get("b"), "{\"x\"}");
        assert_eq!(p.first("c"), Some(""));
        assert_eq!((p.first("e"), p.first("f")), (None, None));
        assert_eq!(p.get("g"), "\u{fffd}");
    }
}
