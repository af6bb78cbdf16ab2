//! One request and what its answer means.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use url::Url;

use crate::config::prometheus::{PROTOBUF_MESSAGES, RemoteWriteConfig};
use crate::http::client::{self, ClientError, ClientLimits, Credentials};
use crate::http::sigv4::Signer;

/// Nobody may keep us waiting longer than this with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// So much of a refusal is logged.
const REASON_BYTES_MAX: usize = 256;

/// The two versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Protocol {
    fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The other side has it.
    Accepted,
    /// The same may work later; the other side may have said when.
    Later(Option<Duration>, String),
    /// It will never work.
    Refused(String),
    /// The other side does not speak version 2.
    OnlyV1,
}

/// What a status means.
pub(super) fn judge(
    status: u16,
    retry_after: Option<Duration>,
    retry_429: bool,
    protocol: Protocol,
) -> Outcome {
    match status {
        200..=299 => Outcome::Accepted,
        415 if protocol == Protocol::V2 => Outcome::OnlyV1,
        429 if retry_429 => Outcome::Later(retry_after, String::new()),
        500.. => Outcome::Later(retry_after, String::new()),
        _ => Outcome::Refused(String::new()),
    }
}

/// `Retry-After` in seconds or as a date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let wait = match value.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
            let at: SystemTime = at.timestamp().into();
            at.duration_since(now).ok()?
        }
    };
    (!wait.is_zero()).then(|| wait.min(RETRY_AFTER_MAX))
}

/// The way to a destination.
pub(super) struct Sender {
    client: reqwest::Client,
    credentials: Credentials,
    signer: Option<Signer>,
    url: Url,
    headers: HeaderMap,
    retry_429: bool,
    v2: AtomicBool,
}

impl Sender {
    /// The way to the destination of `c`.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub(super) fn new(c: &RemoteWriteConfig) -> Result<Self, String> {
        let config = c.http_client();
        let timeout = c.remote_timeout.as_std().max(Duration::from_millis(1));
        let limits = ClientLimits {
            timeout,
            connect_timeout: timeout,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &c.headers {
            let n = name.parse::<HeaderName>();
            let v = HeaderValue::from_str(value);
            let (Ok(n), Ok(mut v)) = (n, v) else {
                return Err(format!("header {name:?} is not valid"));
            };
            v.set_sensitive(true);
            headers.insert(n, v);
        }
        Ok(Self {
            client: client::build(&config, limits).map_err(|e| e.to_string())?,
            credentials: Credentials::new(&config, limits).map_err(|e| e.to_string())?,
            signer: c.sigv4.as_ref().map(Signer::new).transpose()?,
            url: c.url.as_str().parse().map_err(|e| format!("url: {e}"))?,
            headers,
            retry_429: c.queue_config.retry_on_http_429,
            v2: AtomicBool::new(c.protobuf_message == PROTOBUF_MESSAGES[1]),
        })
    }

    /// The version in use.
    pub(super) fn protocol(&self) -> Protocol {
        if self.v2.load(Relaxed) {
            Protocol::V2
        } else {
            Protocol::V1
        }
    }

    /// Uses version 1 from here on.
    pub(super) fn fall_back(&self) {
        self.v2.store(false, Relaxed);
    }

    /// Headers that prove who sends `body`.
    async fn prove(&self, body: &[u8]) -> Result<HeaderMap, ClientError> {
        let mut headers = self.credentials.headers().await?;
        if let Some(s) = &self.signer {
            headers.extend(s.sign("POST", &self.url, body, Timestamp::now())?);
        }
        Ok(headers)
    }

    /// Sends `body`, which was encoded for `protocol`; `attempt` counts from 0.
    pub(super) async fn send(&self, body: Vec<u8>, protocol: Protocol, attempt: u32) -> Outcome {
        let credentials = match self.prove(&body).await {
            Ok(h) => h,
            // A file that is being rotated comes back, a token endpoint too.
            Err(e) => return Outcome::Later(None, e.to_string()),
        };
        let mut request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .headers(credentials)
            .header(CONTENT_ENCODING, "snappy")
            .header(CONTENT_TYPE, protocol.content_type())
            .header("X-Prometheus-Remote-Write-Version", protocol.version());
        if attempt > 0 {
            request = request.header("Retry-Attempt", attempt.to_string());
        }
        let mut answer = match request.body(body).send().await {
            Ok(a) => a,
            Err(e) => return Outcome::Later(None, crate::discovery::error_text(&e)),
        };
        let status = answer.status();
        let wait = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| retry_after(v, SystemTime::now()));
        let outcome = judge(status.as_u16(), wait, self.retry_429, protocol);
        if matches!(outcome, Outcome::Accepted | Outcome::OnlyV1) {
            return outcome;
        }
        // The first piece says why; what follows is of no use.
        let said = match answer.chunk().await {
            Ok(Some(b)) => b,
            _ => bytes::Bytes::new(),
        };
        let said = String::from_utf8_lossy(said.get(..REASON_BYTES_MAX).unwrap_or(&said));
        let line = said.lines().next().unwrap_or_default();
        let reason = format!("server returned HTTP status {status}: {line}");
        match outcome {
            Outcome::Later(wait, _) => Outcome::Later(wait, reason),
            _ => Outcome::Refused(reason),
        }
    }
}
