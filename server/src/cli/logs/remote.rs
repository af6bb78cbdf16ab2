//! Requests of the verbs to a server.
//!
//! Owns: addresses, headers, attempts, what went wrong.
//! Knows nothing of: what is asked for, how answers are shown.

use std::time::Duration;

use base64::Engine as _;
use clap::ArgMatches;
use hyper::StatusCode;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::flags::{given, number, on};
use crate::cli::complain;
use crate::config::prometheus::HttpClientConfig;
use crate::http::client::{self, ClientLimits};

/// Longest request; the server has its own, shorter limit.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Until connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait before a further attempt.
const PAUSE: Duration = Duration::from_millis(500);

/// A connection that lines come over.
pub(super) type Socket = WebSocketStream<reqwest::Upgraded>;

/// A server with what every request to it carries.
pub(super) struct Remote<'m> {
    client: reqwest::Client,
    base: String,
    m: &'m ArgMatches,
}

impl<'m> Remote<'m> {
    /// The server that the flags name.
    ///
    /// # Errors
    /// When files cannot be read, or an address is none.
    pub(super) fn new(m: &'m ArgMatches) -> Result<Self, String> {
        let mut config = HttpClientConfig {
            // A WebSocket begins as a request of HTTP/1.1.
            enable_http2: false,
            ..HttpClientConfig::default()
        };
        let file = |name: &str| given(m, name).unwrap_or_default().to_owned();
        config.tls_config.ca_file = file("ca-cert");
        config.tls_config.cert_file = file("cert");
        config.tls_config.key_file = file("key");
        config.tls_config.insecure_skip_verify = on(m, "tls-skip-verify");
        config.proxy.from_environment = true;
        if let Some(p) = given(m, "proxy-url") {
            config.proxy.url = serde_json::from_value(Value::from(p))
                .map_err(|e| format!("--proxy-url {p:?}: {e}"))?;
        }
        let limits = ClientLimits {
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        };
        let base = given(m, "addr").unwrap_or_default().trim_end_matches('/');
        Ok(Self {
            client: client::build(&config, limits).map_err(|e| e.to_string())?,
            base: base.to_owned(),
            m,
        })
    }

    fn request(&self, path: &str, pairs: &[(&str, String)]) -> Result<RequestBuilder, String> {
        let base = &self.base;
        let mut url = url::Url::parse(&format!("{base}/loki/api/v1/{path}"))
            .map_err(|e| format!("--addr {base:?}: {e}"))?;
        for (n, v) in pairs {
            url.query_pairs_mut().append_pair(n, v);
        }
        if !on(self.m, "quiet") {
            complain(&format!("{url}\n"));
        }
        let mut request = self.client.get(url.as_str());
        for (header, flag) in [("X-Scope-OrgID", "org-id"), ("X-Query-Tags", "query-tags")] {
            if let Some(v) = given(self.m, flag) {
                request = request.header(header, v);
            }
        }
        if on(self.m, "nocache") {
            request = request.header("Cache-Control", "no-cache");
        }
        let name = given(self.m, "auth-header").unwrap_or("Authorization");
        if let Some(value) = self.authorization()? {
            request = request.header(name, value);
        }
        Ok(request)
    }

    fn authorization(&self) -> Result<Option<String>, String> {
        if let Some(user) = given(self.m, "username") {
            let password = given(self.m, "password").unwrap_or_default();
            let pair = format!("{user}:{password}");
            let coded = base64::engine::general_purpose::STANDARD.encode(pair);
            return Ok(Some(format!("Basic {coded}")));
        }
        let token = match given(self.m, "bearer-token-file") {
            Some(file) => {
                let read = std::fs::read_to_string(file);
                Some(read.map_err(|e| format!("--bearer-token-file {file}: {e}"))?)
            }
            None => given(self.m, "bearer-token").map(str::to_owned),
        };
        Ok(token.map(|t| format!("Bearer {}", t.trim())))
    }

    /// The answer to a question, as JSON.
    ///
    /// # Errors
    /// When there is none after all attempts.
    pub(super) async fn get(&self, path: &str, pairs: &[(&str, String)]) -> Result<Value, String> {
        let mut left = number(self.m, "retries");
        loop {
            let (wrong, again) = match self.request(path, pairs)?.send().await {
                Ok(a) => match answer(a).await {
                    Ok(v) => return Ok(v),
                    Err(e) => e,
                },
                Err(e) => (e.to_string(), true),
            };
            if left == 0 || !again {
                return Err(wrong);
            }
            left -= 1;
            if !on(self.m, "quiet") {
                complain(&format!("{wrong}; trying again\n"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Opens a WebSocket.
    ///
    /// # Errors
    /// When the server does not take it.
    pub(super) async fn open(
        &self,
        path: &str,
        pairs: &[(&str, String)],
    ) -> Result<Socket, String> {
        let key = base64::engine::general_purpose::STANDARD.encode(uuid::Uuid::new_v4());
        let request = self
            .request(path, pairs)?
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", key);
        let a = request.send().await.map_err(|e| e.to_string())?;
        if a.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(match answer(a).await {
                Ok(_) => "the server does not speak WebSocket".to_owned(),
                Err((e, _)) => e,
            });
        }
        let io = a.upgrade().await.map_err(|e| e.to_string())?;
        Ok(WebSocketStream::from_raw_socket(io, Role::Client, None).await)
    }
}

/// The JSON of an answer; else what is wrong with it, and whether it may be different the next
/// time.
async fn answer(a: Response) -> Result<Value, (String, bool)> {
    let status = a.status();
    let body = a.bytes().await.map_err(|e| (e.to_string(), true))?;
    if !status.is_success() {
        let text = String::from_utf8_lossy(&body);
        let wrong = format!("Error response from server: {} ({status})", text.trim());
        let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        return Err((wrong, again));
    }
    serde_json::from_slice(&body).map_err(|e| (format!("the answer is not JSON: {e}"), false))
}
