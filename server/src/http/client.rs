//! The one builder of outbound clients: every request this server makes goes through it.
//!
//! Credentials in files are read when a request is made ([`Credentials`]), so that a rotated file
//! needs no reload.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::oauth2::Tokens;
use super::server_name;
use crate::config::prometheus::{HttpClientConfig, ProxyConfig, TlsConfig, TlsVersion};

/// Why a client cannot be built or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// A file named by the options cannot be read or used.
    #[error("{what} {file}: {reason}")]
    File {
        /// Which option.
        what: &'static str,
        /// Which file.
        file: String,
        /// Why.
        reason: String,
    },
    /// The options contradict what the library can do.
    #[error("{0}")]
    Options(String),
    /// The token endpoint gave no token: the same may work later.
    #[error("oauth2: cannot fetch token: {0}")]
    Token(String),
}

/// Redirects followed at most, as Go does.
const REDIRECTS_MAX: usize = 10;

/// What is set for all requests of a client, whatever the options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientLimits {
    /// Whole request, body included.
    pub(crate) timeout: Duration,
    /// Until connected.
    pub(crate) connect_timeout: Duration,
}

/// A client for `config`.
///
/// # Errors
/// When files cannot be read or options cannot be used.
pub(crate) fn build(
    config: &HttpClientConfig,
    limits: ClientLimits,
) -> Result<reqwest::Client, ClientError> {
    finish(builder(config, limits)?)
}

/// The same for a server behind the Unix socket `socket`, whatever host a URL names.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_for_socket(
    config: &HttpClientConfig,
    limits: ClientLimits,
    socket: &std::path::Path,
) -> Result<reqwest::Client, ClientError> {
    finish(builder(config, limits)?.unix_socket(socket))
}

fn finish(b: reqwest::ClientBuilder) -> Result<reqwest::Client, ClientError> {
    b.build().map_err(|e| ClientError::Options(e.to_string()))
}

fn builder(
    config: &HttpClientConfig,
    limits: ClientLimits,
) -> Result<reqwest::ClientBuilder, ClientError> {
    install_provider();
    let mut b = reqwest::Client::builder()
        .user_agent(concat!("Sextant/", env!("CARGO_PKG_VERSION")))
        .timeout(limits.timeout)
        .connect_timeout(limits.connect_timeout)
        .tcp_nodelay(true)
        // Bodies are decompressed by the one door with a cap, never by the library.
        .no_gzip()
        .redirect(redirects(config.follow_redirects));
    if !config.enable_http2 {
        b = b.http1_only();
    }
    b = proxy(b, &config.proxy)?;
    let t = &config.tls_config;
    Ok(if t.server_name.is_empty() || t.insecure_skip_verify {
        tls(b, t)?
    } else {
        b.tls_backend_preconfigured(server_name::client_config(t, config.enable_http2)?)
    })
}

/// The library's own roots of trust need a crypto provider to be chosen once per process.
fn install_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster: then its choice, the same one, stays.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

/// A bounded number; the library drops credentials when a redirect leaves the host.
fn redirects(follow: bool) -> reqwest::redirect::Policy {
    if !follow {
        return reqwest::redirect::Policy::none();
    }
    reqwest::redirect::Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error(format!("stopped after {REDIRECTS_MAX} redirects"));
        }
        attempt.follow()
    })
}

fn proxy(
    b: reqwest::ClientBuilder,
    p: &ProxyConfig,
) -> Result<reqwest::ClientBuilder, ClientError> {
    if p.url.is_empty() {
        return Ok(if p.from_environment { b } else { b.no_proxy() });
    }
    let mut proxy = reqwest::Proxy::all(p.url.as_str())
        .map_err(|e| ClientError::Options(format!("proxy_url {}: {e}", p.url)))?
        .no_proxy(reqwest::NoProxy::from_string(&p.no_proxy));
    let mut headers = HeaderMap::new();
    for (name, values) in &p.connect_header {
        for v in values {
            append(&mut headers, name, v.expose())?;
        }
    }
    if !headers.is_empty() {
        proxy = proxy.headers(headers);
    }
    Ok(b.proxy(proxy))
}

fn tls(b: reqwest::ClientBuilder, t: &TlsConfig) -> Result<reqwest::ClientBuilder, ClientError> {
    let mut b = b;
    let ca = text(&t.ca, &t.ca_file, "ca_file")?;
    if !ca.is_empty() {
        let roots = reqwest::Certificate::from_pem_bundle(ca.as_bytes());
        b = b.tls_certs_only(roots.map_err(|e| file_error("ca_file", &t.ca_file, &e))?);
    }
    let cert = text(&t.cert, &t.cert_file, "cert_file")?;
    if !cert.is_empty() {
        let key = text(t.key.expose(), &t.key_file, "key_file")?;
        let both = format!("{cert}\n{key}");
        let identity = reqwest::Identity::from_pem(both.as_bytes());
        b = b.identity(identity.map_err(|e| file_error("cert_file", &t.cert_file, &e))?);
    }
    if t.insecure_skip_verify {
        b = b.tls_danger_accept_invalid_certs(true);
    }
    let version = |v| match v {
        TlsVersion::Tls10 => reqwest::tls::Version::TLS_1_0,
        TlsVersion::Tls11 => reqwest::tls::Version::TLS_1_1,
        TlsVersion::Tls12 => reqwest::tls::Version::TLS_1_2,
        TlsVersion::Tls13 => reqwest::tls::Version::TLS_1_3,
    };
    if let Some(v) = t.min_version {
        b = b.tls_version_min(version(v));
    }
    if let Some(v) = t.max_version {
        b = b.tls_version_max(version(v));
    }
    Ok(b)
}

fn file_error(what: &'static str, file: &str, e: &dyn std::fmt::Display) -> ClientError {
    ClientError::File {
        what,
        file: file.to_owned(),
        reason: e.to_string(),
    }
}

/// Text that is configured directly or in a file; empty when neither is.
pub(super) fn text(inline: &str, file: &str, what: &'static str) -> Result<String, ClientError> {
    if file.is_empty() {
        return Ok(inline.to_owned());
    }
    std::fs::read_to_string(file).map_err(|e| file_error(what, file, &e))
}

fn append(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), ClientError> {
    let n = name.parse::<HeaderName>();
    let v = HeaderValue::from_str(value);
    match (n, v) {
        (Ok(n), Ok(mut v)) => {
            v.set_sensitive(true);
            headers.append(n, v);
            Ok(())
        }
        _ => Err(ClientError::Options(format!(
            "header {name:?} is not valid"
        ))),
    }
}

/// The headers that prove who we are, read freshly from the files that hold them.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    config: HttpClientConfig,
    tokens: Option<Arc<Tokens>>,
}

impl Credentials {
    /// Credentials of `config`; `limits` hold for the requests that fetch tokens.
    ///
    /// # Errors
    /// When the client of the token endpoint cannot be built.
    pub(crate) fn new(
        config: &HttpClientConfig,
        limits: ClientLimits,
    ) -> Result<Self, ClientError> {
        let tokens = config.oauth2.as_ref().map(|o| Tokens::new(o, limits));
        Ok(Self {
            config: config.clone(),
            tokens: tokens.transpose()?.map(Arc::new),
        })
    }

    /// Headers of one request. Cost: a request of its own when an OAuth 2.0 token has expired.
    ///
    /// # Errors
    /// When a file cannot be read or a token cannot be had.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, ClientError> {
        let c = &self.config;
        let mut out = HeaderMap::new();
        if let Some(b) = &c.basic_auth {
            let user = text(&b.username, &b.username_file, "username_file")?;
            let password = text(b.password.expose(), &b.password_file, "password_file")?;
            let pair = format!(
                "{}:{}",
                user.trim(),
                password.trim_end_matches(['\r', '\n'])
            );
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            append(&mut out, AUTHORIZATION.as_str(), &format!("Basic {pair}"))?;
        }
        if let Some(a) = &c.authorization {
            let rest = text(
                a.credentials.expose(),
                &a.credentials_file,
                "credentials_file",
            )?;
            let value = format!("{} {}", a.r#type, rest.trim());
            append(&mut out, AUTHORIZATION.as_str(), value.trim_end())?;
        }
        let bearer = text(
            c.bearer_token.expose(),
            &c.bearer_token_file,
            "bearer_token_file",
        )?;
        if !bearer.is_empty() {
            append(
                &mut out,
                AUTHORIZATION.as_str(),
                &format!("Bearer {}", bearer.trim()),
            )?;
        }
        if let Some(t) = &self.tokens {
            out.insert(AUTHORIZATION, t.header().await?);
        }
        for (name, h) in &c.http_headers {
            for v in &h.values {
                append(&mut out, name, v)?;
            }
            for v in &h.secrets {
                append(&mut out, name, v.expose())?;
            }
            for f in &h.files {
                append(&mut out, name, text("", f, "http_headers files")?.trim())?;
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::config::prometheus::BasicAuth;

    #[tokio::test]
    async fn clients_are_built_and_carry_credentials() {
        let config = HttpClientConfig {
            basic_auth: Some(BasicAuth {
                username: "u".into(),
                password: Secret::new("p"),
                ..BasicAuth::default()
            }),
            ..HttpClientConfig::default()
        };
        let limits = ClientLimits {
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
        };
        build(&config, limits).unwrap();
        let headers = Credentials::new(&config, limits).unwrap();
        let headers = headers.headers().await.unwrap();
        assert_eq!(headers[AUTHORIZATION], "Basic dTpw");
    }
}
