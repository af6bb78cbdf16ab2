//! Requests of notifiers: one client, bounded answers, one rule for what may be tried again.
//!
//! Invariants
//! - NH1  No more than [`ANSWER_BYTES_MAX`] of an answer are read, however long it is.
//! - NH2  An address never appears in an error: it may be a secret.

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::Method;

use super::{Class, Failure};
use crate::config::prometheus::{HttpClientConfig, HttpClientFile};
use crate::http::client::{self, ClientLimits, Credentials};

/// Most of an answer that is read. Services answer with a sentence.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Most of an answer that an error shows.
const SHOWN_BYTES_MAX: usize = 1024;
/// Longest attempt; the deadline of the flush is usually earlier.
const LONGEST: Duration = Duration::from_secs(3600);
/// Until connected.
const CONNECT: Duration = Duration::from_secs(30);

/// Makes the requests of one integration.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    credentials: Credentials,
    /// Status codes besides 5xx after which the same message may work later.
    retry_codes: &'static [u16],
}

/// An answer with its status.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// Whether it says that it is JSON.
    pub(super) json: bool,
    /// What was read of it.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; nothing when it is none.
    pub(super) fn document(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn shown(&self) -> String {
        let end = self.body.len().min(SHOWN_BYTES_MAX);
        let text = String::from_utf8_lossy(self.body.get(..end).unwrap_or_default());
        text.trim().to_owned()
    }
}

impl Http {
    /// A client as the section says.
    ///
    /// # Errors
    /// When the options cannot be used.
    pub(super) fn new(
        options: Option<&HttpClientFile>,
        retry_codes: &'static [u16],
    ) -> Result<Self, String> {
        let config = options.map_or_else(HttpClientConfig::default, HttpClientFile::http_client);
        let limits = ClientLimits {
            timeout: LONGEST,
            connect_timeout: CONNECT,
        };
        Ok(Self {
            client: client::build(&config, limits).map_err(|e| e.to_string())?,
            credentials: Credentials::new(&config, limits).map_err(|e| e.to_string())?,
            retry_codes,
        })
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// As [`Http::request`].
    pub(super) async fn post(
        &self,
        url: &str,
        body: &serde_json::Value,
    ) -> Result<Answer, Failure> {
        self.json(Method::POST, url, body, &[]).await
    }

    /// Sends JSON with further headers.
    ///
    /// # Errors
    /// As [`Http::request`].
    pub(super) async fn json(
        &self,
        method: Method,
        url: &str,
        body: &serde_json::Value,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, Failure> {
        let body = body.to_string().into_bytes();
        let mut all = vec![(CONTENT_TYPE.as_str(), "application/json")];
        all.extend(headers.iter().map(|(n, v)| (*n, *v)));
        let answer = self.request(method, url, body, &all).await?;
        self.checked(answer)
    }

    /// The answer when its status says that it worked.
    ///
    /// # Errors
    /// Otherwise, with what the service says.
    pub(super) fn checked(&self, answer: Answer) -> Result<Answer, Failure> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let status = answer.status;
        let server = status >= 500;
        let class = if server { Class::Server } else { Class::Client };
        let shown = answer.shown();
        let text = match shown.as_str() {
            "" => format!("unexpected status code {status}"),
            shown => format!("unexpected status code {status}: {shown}"),
        };
        Err(Failure {
            retry: server || self.retry_codes.contains(&status),
            class,
            text,
        })
    }

    /// Makes a request; any status is an answer.
    ///
    /// # Errors
    /// When the address or credentials cannot be used (for good), or no answer came (for now).
    pub(super) async fn request(
        &self,
        method: Method,
        url: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let url = url::Url::parse(url)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
            .ok_or_else(|| Failure::last("the address is no http or https URL"))?;
        let mut all = HeaderMap::new();
        all.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("Alertmanager/", env!("CARGO_PKG_VERSION"))),
        );
        for (name, value) in headers {
            let name = name.parse::<HeaderName>();
            let value = HeaderValue::from_str(value);
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(Failure::last("a header holds what headers cannot hold"));
            };
            value.set_sensitive(true);
            all.insert(name, value);
        }
        let own = self.credentials.headers().await;
        all.extend(own.map_err(|e| Failure::later(e.to_string()))?);
        let request = self.client.request(method, url).headers(all).body(body);
        let answer = request.send().await.map_err(|e| failed(&e))?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get(CONTENT_TYPE);
        let json = kind.is_some_and(|k| k.as_bytes().starts_with(b"application/json"));
        let body = bounded(answer).await?;
        Ok(Answer { status, json, body })
    }
}

/// The beginning of an answer (NH1).
async fn bounded(answer: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut answer = answer;
    let mut out = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| failed(&e))? {
        let room = ANSWER_BYTES_MAX - out.len();
        out.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if out.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(out)
}

/// What went wrong, down to its cause (NH2).
fn failed(e: &reqwest::Error) -> Failure {
    let mut text = if e.is_timeout() {
        "timeout".to_owned()
    } else if e.is_connect() {
        "no connection".to_owned()
    } else {
        "request failed".to_owned()
    };
    let mut cause = std::error::Error::source(e);
    while let Some(c) = cause {
        text = format!("{text}: {c}");
        cause = c.source();
    }
    Failure::later(text)
}
