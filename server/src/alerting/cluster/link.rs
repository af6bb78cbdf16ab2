//! Questions to other instances over HTTP.
//!
//! Invariants
//! - CLK1  A peer costs no more than [`PAGE_BYTES_MAX`] of memory and the time of one request,
//!   whatever it answers.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::wire::{PAGE_BYTES_MAX, Page, Pull};
use crate::config::prometheus::{HttpClientConfig, TlsConfig};
use crate::http::client::{self, ClientLimits};

/// Where the question is asked.
pub(crate) const PATH: &str = "/cluster/v1/pull";

/// Something that will be.
pub(in crate::alerting) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How other instances are reached.
pub(crate) trait Link: Send + Sync {
    /// Asks the instance at `address`.
    fn pull<'a>(&'a self, address: &'a str, pull: &'a Pull) -> Later<'a, Result<Page, String>>;
    /// Addresses behind a configured peer.
    fn resolve<'a>(&'a self, peer: &'a str) -> Later<'a, Vec<String>>;
}

/// Over HTTP, with TLS when that is configured.
#[derive(Debug)]
pub(crate) struct HttpLink {
    client: reqwest::Client,
    scheme: &'static str,
    resolve_timeout: Duration,
}

impl HttpLink {
    /// A link; `longest` is the time of a whole request.
    ///
    /// # Errors
    /// When the TLS settings cannot be used.
    pub(crate) fn new(
        tls: Option<TlsConfig>,
        longest: Duration,
        connect: Duration,
        resolve_timeout: Duration,
    ) -> Result<Self, String> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let config = HttpClientConfig {
            tls_config: tls.unwrap_or_default(),
            follow_redirects: false,
            enable_http2: false,
            ..HttpClientConfig::default()
        };
        let limits = ClientLimits {
            timeout: longest,
            connect_timeout: connect,
        };
        Ok(Self {
            client: client::build(&config, limits).map_err(|e| e.to_string())?,
            scheme,
            resolve_timeout,
        })
    }

    async fn ask(&self, address: &str, pull: &Pull) -> Result<Page, String> {
        let request = self
            .client
            .post(format!("{}://{address}{PATH}", self.scheme));
        let answer = request.json(pull).send().await;
        let mut answer = answer.map_err(|e| crate::discovery::error_text(&e))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|e| crate::discovery::error_text(&e))?
        {
            // CLK1
            if body.len() + piece.len() > PAGE_BYTES_MAX {
                return Err(format!("the answer has more than {PAGE_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        if !status.is_success() {
            let text = String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or(&[]));
            return Err(format!("status {status}: {}", text.trim()));
        }
        serde_json::from_slice(&body).map_err(|e| format!("the answer is not understood: {e}"))
    }
}

impl Link for HttpLink {
    fn pull<'a>(&'a self, address: &'a str, pull: &'a Pull) -> Later<'a, Result<Page, String>> {
        Box::pin(self.ask(address, pull))
    }

    fn resolve<'a>(&'a self, peer: &'a str) -> Later<'a, Vec<String>> {
        Box::pin(async move {
            // A certificate is for a name, so with TLS names stay names.
            if self.scheme == "https" {
                return vec![peer.to_owned()];
            }
            let found = tokio::time::timeout(self.resolve_timeout, tokio::net::lookup_host(peer));
            match found.await {
                Ok(Ok(all)) => all.map(|a| a.to_string()).collect(),
                Ok(Err(e)) => {
                    tracing::warn!(peer, error = %e, "a peer has no address");
                    Vec::new()
                }
                Err(_) => {
                    tracing::warn!(peer, "the address of a peer was not found in time");
                    Vec::new()
                }
            }
        })
    }
}
