//! One request to a target.

use std::time::Duration;

use engine::wire::exposition::Format;
use engine::wire::inflate::{Caps, Encoding, InflateError, inflate};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};

use crate::config::prometheus::{ScrapeConfig, ScrapeProtocol};
use crate::http::client::{self, ClientLimits, Credentials};

/// Largest body of a target whose job sets no limit.
pub(super) const BODY_BYTES_MAX: u64 = 64 << 20;

/// How the targets of a job are asked.
pub(super) struct Fetcher {
    client: reqwest::Client,
    credentials: Credentials,
    accept: String,
    compression: bool,
    fallback: Option<Format>,
    /// Bytes of a body must stay below this.
    body_limit: u64,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) format: Format,
    pub(super) body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FetchError {
    pub(super) text: String,
    /// The body was too large.
    pub(super) too_large: bool,
}

impl From<String> for FetchError {
    fn from(text: String) -> Self {
        Self {
            text,
            too_large: false,
        }
    }
}

fn too_large() -> FetchError {
    FetchError {
        text: "body size limit exceeded".into(),
        too_large: true,
    }
}

fn format_of(p: ScrapeProtocol) -> Format {
    match p {
        ScrapeProtocol::PrometheusProto => Format::Protobuf,
        ScrapeProtocol::PrometheusText004 | ScrapeProtocol::PrometheusText100 => Format::Text,
        ScrapeProtocol::OpenMetricsText001 | ScrapeProtocol::OpenMetricsText100 => {
            Format::OpenMetrics
        }
    }
}

/// The `Accept` header: protocols in order with falling weights, then anything.
pub(super) fn accept(protocols: &[ScrapeProtocol], escaping: &str) -> String {
    let mut parts = Vec::new();
    // One more than there are protocols to choose from.
    let mut weight = 6;
    for p in protocols {
        let media = match p {
            ScrapeProtocol::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            ScrapeProtocol::PrometheusText004 => "text/plain;version=0.0.4",
            ScrapeProtocol::PrometheusText100 => "text/plain;version=1.0.0",
            ScrapeProtocol::OpenMetricsText001 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::OpenMetricsText100 => "application/openmetrics-text;version=1.0.0",
        };
        let escaped = matches!(
            p,
            ScrapeProtocol::PrometheusText100 | ScrapeProtocol::OpenMetricsText100
        );
        let escaping = if escaped {
            format!(";escaping={escaping}")
        } else {
            String::new()
        };
        parts.push(format!("{media}{escaping};q=0.{weight}"));
        weight -= 1;
    }
    parts.push(format!("*/*;q=0.{weight}"));
    parts.join(",")
}

impl Fetcher {
    /// How the targets of `c` are asked.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub(super) fn new(c: &ScrapeConfig) -> Result<Self, String> {
        let config = c.http_client();
        let timeout = c.scrape_timeout.as_std().max(Duration::from_millis(1));
        let limits = ClientLimits {
            // Each request has the timeout of its target, which relabelling may have changed.
            timeout: Duration::from_secs(24 * 3600),
            connect_timeout: timeout,
        };
        let mut escaping = c.metric_name_escaping_scheme.as_str();
        if escaping.is_empty() {
            escaping = "allow-utf-8";
        }
        Ok(Self {
            client: client::build(&config, limits).map_err(|e| e.to_string())?,
            credentials: Credentials::new(&config, limits).map_err(|e| e.to_string())?,
            accept: accept(&c.scrape_protocols, escaping),
            compression: c.enable_compression,
            fallback: c.fallback_scrape_protocol.map(format_of),
            body_limit: match c.body_size_limit.0 {
                0 => BODY_BYTES_MAX + 1,
                n => n,
            },
        })
    }

    /// Asks `url`, waiting at most `timeout`.
    pub(super) async fn fetch(&self, url: &str, timeout: Duration) -> Result<Fetched, FetchError> {
        match tokio::time::timeout(timeout, self.ask(url, timeout)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::from(format!(
                "Get {url:?}: context deadline exceeded"
            ))),
        }
    }

    async fn ask(&self, url: &str, timeout: Duration) -> Result<Fetched, FetchError> {
        let headers = self.credentials.headers().await;
        let headers = headers.map_err(|e| e.to_string())?;
        let encoding = if self.compression { "gzip" } else { "identity" };
        let failed = |e: reqwest::Error| {
            FetchError::from(format!("Get {url:?}: {}", crate::discovery::error_text(&e)))
        };
        let mut resp = self
            .client
            .get(url)
            .header(ACCEPT, &self.accept)
            .header(ACCEPT_ENCODING, encoding)
            .header(
                USER_AGENT,
                concat!(
                    "Prometheus/3.14.0 (Sextant/",
                    env!("CARGO_PKG_VERSION"),
                    ")"
                ),
            )
            .header(
                "X-Prometheus-Scrape-Timeout-Seconds",
                timeout.as_secs_f64().to_string(),
            )
            .headers(headers)
            .send()
            .await
            .map_err(failed)?;
        if resp.status() != reqwest::StatusCode::OK {
            let status = resp.status();
            return Err(FetchError::from(format!(
                "server returned HTTP status {} {}",
                status.as_u16(),
                status.canonical_reason().unwrap_or("")
            )));
        }
        let header = |name| {
            resp.headers()
                .get(name)
                .and_then(|v: &reqwest::header::HeaderValue| v.to_str().ok())
                .unwrap_or("")
                .to_owned()
        };
        let (content_type, content_encoding) = (header(CONTENT_TYPE), header(CONTENT_ENCODING));
        let mut raw = Vec::new();
        while let Some(chunk) = resp.chunk().await.map_err(failed)? {
            if (raw.len() + chunk.len()) as u64 >= self.body_limit {
                return Err(too_large());
            }
            raw.extend_from_slice(&chunk);
        }
        let body = self.plain(raw, &content_encoding)?;
        let format = self.format(&content_type)?;
        Ok(Fetched { format, body })
    }

    fn plain(&self, raw: Vec<u8>, encoding: &str) -> Result<Vec<u8>, FetchError> {
        // Only gzip is undone; what is encoded otherwise fails to parse.
        if encoding != "gzip" {
            return Ok(raw);
        }
        let cap = usize::try_from(self.body_limit - 1).unwrap_or(usize::MAX - 1);
        let caps = Caps {
            compressed: cap,
            decompressed: cap,
        };
        let mut body = Vec::new();
        match inflate(Encoding::Gzip, &raw, caps, &mut body) {
            Ok(_) => Ok(body),
            Err(InflateError::Corrupt { detail, .. }) => Err(FetchError::from(detail)),
            Err(_) => Err(too_large()),
        }
    }

    fn format(&self, content_type: &str) -> Result<Format, FetchError> {
        if let Some(f) = Format::from_content_type(content_type).or(self.fallback) {
            return Ok(f);
        }
        Err(FetchError::from(if content_type.is_empty() {
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target".to_owned()
        } else {
            format!(
                "received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol specified for target"
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_is_the_known_one() {
        assert_eq!(
            accept(&ScrapeProtocol::DEFAULT, "allow-utf-8"),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
    }
}
