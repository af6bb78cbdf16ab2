//! OAuth 2.0 client credentials (RFC 6749, section 4.4): a token from an endpoint, kept until it
//! is about to expire.
//!
//! Owns: the token request, its two ways of naming the client, the cache.
//! Knows nothing of: where the token is used.
//!
//! Invariants
//! - OA1  Without a token there is an error, never a request without credentials.
//! - OA2  A secret never reaches an error text; of an answer at most its first bytes do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::client::{self, ClientError, ClientLimits};
use crate::config::prometheus::{HttpClientConfig, OAuth2, ProxyConfig};

/// A token is replaced so long before it expires: requests under way still carry it.
const EARLY: Duration = Duration::from_secs(10);
/// Largest answer of a token endpoint.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// So much of a refusal is shown.
const REASON_BYTES_MAX: usize = 256;

/// How the client names itself: endpoints differ, so the first way that works is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As user and password.
    Header,
    /// In the form.
    Form,
}

/// Tokens of one client.
#[derive(Debug)]
pub(super) struct Tokens {
    config: OAuth2,
    client: reqwest::Client,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    style: Option<Style>,
    /// The header with the token and when it expires, if ever.
    token: Option<(HeaderValue, Option<Instant>)>,
}

/// An answer of the endpoint.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    access_token: String,
    token_type: String,
    /// Seconds; some endpoints quote the number.
    expires_in: serde_json::Value,
}

impl Tokens {
    /// Tokens as `config` describes.
    ///
    /// # Errors
    /// When the endpoint's client cannot be built.
    pub(super) fn new(config: &OAuth2, limits: ClientLimits) -> Result<Self, ClientError> {
        let http = HttpClientConfig {
            tls_config: config.tls_config.clone(),
            proxy: ProxyConfig {
                url: config.proxy_url.clone(),
                no_proxy: config.no_proxy.clone(),
                from_environment: config.proxy_from_environment,
                connect_header: config.proxy_connect_header.clone(),
            },
            ..HttpClientConfig::default()
        };
        Ok(Self {
            config: config.clone(),
            client: client::build(&http, limits)?,
            state: Mutex::default(),
        })
    }

    /// The `Authorization` header. Cost: a request when the last token is about to expire.
    ///
    /// # Errors
    /// When no token can be had (OA1).
    pub(super) async fn header(&self) -> Result<HeaderValue, ClientError> {
        let mut state = self.state.lock().await;
        if let Some((header, expires)) = &state.token
            && expires.is_none_or(|at| Instant::now() + EARLY < at)
        {
            return Ok(header.clone());
        }
        state.token = None;
        let asked = Instant::now();
        let answer = match state.style {
            Some(style) => self.ask(style).await?,
            None => match self.ask(Style::Header).await {
                Ok(a) => {
                    state.style = Some(Style::Header);
                    a
                }
                Err(first) => match self.ask(Style::Form).await {
                    Ok(a) => {
                        state.style = Some(Style::Form);
                        a
                    }
                    Err(_) => return Err(first),
                },
            },
        };
        let header = authorization(&answer)?;
        let expires = lifetime(&answer.expires_in).map(|d| asked + d);
        state.token = Some((header.clone(), expires));
        Ok(header)
    }

    async fn ask(&self, style: Style) -> Result<Answer, ClientError> {
        let c = &self.config;
        let secret = client::text(
            c.client_secret.expose(),
            &c.client_secret_file,
            "oauth2 client_secret_file",
        )?;
        let secret = secret.trim();
        let mut form = BTreeMap::from([("grant_type", "client_credentials".to_owned())]);
        if !c.scopes.is_empty() {
            form.insert("scope", c.scopes.join(" "));
        }
        for (name, value) in &c.endpoint_params {
            if name != "grant_type" && form.contains_key(name.as_str()) {
                return Err(failed(&format!("endpoint_params cannot replace {name:?}")));
            }
            form.insert(name, value.clone());
        }
        let mut request = self.client.post(&c.token_url);
        match style {
            Style::Header => {
                let quoted =
                    |s: &str| form_urlencoded::byte_serialize(s.as_bytes()).collect::<String>();
                request = request.basic_auth(quoted(&c.client_id), Some(quoted(secret)));
            }
            Style::Form => {
                form.insert("client_id", c.client_id.clone());
                form.insert("client_secret", secret.to_owned());
            }
        }
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut answer = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(body)
            .send()
            .await
            .map_err(|e| failed(&crate::discovery::error_text(&e)))?;
        let mut body = Vec::new();
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|e| failed(&crate::discovery::error_text(&e)))?
        {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(failed("the answer is larger than 1 MiB"));
            }
            body.extend_from_slice(&piece);
        }
        let status = answer.status();
        if !status.is_success() {
            let said = body.get(..REASON_BYTES_MAX).unwrap_or(&body);
            let said = String::from_utf8_lossy(said);
            return Err(failed(&format!("{status}: {}", said.trim())));
        }
        let media = answer.headers().get(CONTENT_TYPE);
        let media = media.and_then(|v| v.to_str().ok()).unwrap_or_default();
        parse(media, &body)
    }
}

fn failed(why: &str) -> ClientError {
    ClientError::Token(why.to_owned())
}

/// Reads an answer: JSON, or a form where the endpoint says so.
fn parse(media: &str, body: &[u8]) -> Result<Answer, ClientError> {
    let kind = media.split(';').next().unwrap_or_default().trim();
    if kind != "application/x-www-form-urlencoded" && kind != "text/plain" {
        return serde_json::from_slice(body)
            .map_err(|_| failed("the answer is not the JSON of a token"));
    }
    let mut out = Answer::default();
    for (name, value) in form_urlencoded::parse(body) {
        match &*name {
            "access_token" => out.access_token = value.into_owned(),
            "token_type" => out.token_type = value.into_owned(),
            "expires_in" => out.expires_in = value.into_owned().into(),
            _ => {}
        }
    }
    Ok(out)
}

/// `Bearer` unless the endpoint names another kind.
fn authorization(a: &Answer) -> Result<HeaderValue, ClientError> {
    if a.access_token.is_empty() {
        return Err(failed("the answer holds no access_token"));
    }
    let kind = match a.token_type.to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer",
        "mac" => "MAC",
        "basic" => "Basic",
        _ => &a.token_type,
    };
    let mut value = HeaderValue::from_str(&format!("{kind} {}", a.access_token))
        .map_err(|_| failed("the token cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// How long a token lives; `None` when the endpoint does not say.
fn lifetime(v: &serde_json::Value) -> Option<Duration> {
    let seconds = v
        .as_u64()
        .or_else(|| v.as_f64().map(|f| f as u64))
        .or_else(|| v.as_str()?.trim().parse().ok())?;
    // A clock cannot hold more than some centuries.
    (seconds > 0).then(|| Duration::from_secs(seconds.min(100 * 365 * 86_400)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// An endpoint that knows the client only in the form, or only in the header.
    async fn endpoint(
        in_form: bool,
        expires: u64,
    ) -> (String, Arc<AtomicUsize>, Arc<parking_lot::Mutex<String>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let (issued, last) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (count, seen): (_, Arc<parking_lot::Mutex<String>>) =
            (issued.clone(), Arc::clone(&last));
        tokio::spawn(async move {
            while let Ok((mut s, _)) = listener.accept().await {
                let mut text = String::new();
                let mut buf = [0; 4096];
                // The form is the last line and ends with the largest parameter name.
                while !text.contains("scope=") {
                    let n = s.read(&mut buf).await.unwrap();
                    text.push_str(&String::from_utf8_lossy(&buf[..n]));
                }
                let ok = if in_form {
                    text.contains("client_id=id&client_secret=s%26t")
                } else {
                    // id:s%26t
                    text.contains("Basic aWQ6cyUyNnQ=")
                };
                let (status, body) = if ok {
                    let n = count.fetch_add(1, Relaxed);
                    (
                        "200 OK",
                        format!(
                            "{{\"access_token\":\"t{n}\",\"token_type\":\"bearer\",\"expires_in\":\"{expires}\"}}"
                        ),
                    )
                } else {
                    (
                        "401 Unauthorized",
                        "{\"error\":\"invalid_client\"}".to_owned(),
                    )
                };
                *seen.lock() = text;
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                s.write_all(head.as_bytes()).await.unwrap();
            }
        });
        (url, issued, last)
    }

    fn tokens(url: &str, secret: &str) -> Tokens {
        let config = OAuth2 {
            client_id: "id".into(),
            client_secret: Secret::new(secret),
            token_url: url.into(),
            scopes: vec!["a".into(), "b".into()],
            endpoint_params: [("audience".to_owned(), "x y".to_owned())].into(),
            ..OAuth2::default()
        };
        let limits = ClientLimits {
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(60),
        };
        Tokens::new(&config, limits).unwrap()
    }

    #[tokio::test]
    async fn tokens_are_kept_until_they_expire_and_both_styles_are_tried() {
        for in_form in [false, true] {
            let (url, issued, last) = endpoint(in_form, 3600).await;
            let t = tokens(&url, "s&t");
            assert_eq!(t.header().await.unwrap(), "Bearer t0");
            assert_eq!(t.header().await.unwrap(), "Bearer t0");
            assert_eq!(issued.load(Relaxed), 1);
            let form = last.lock().lines().last().unwrap().to_owned();
            assert!(form.starts_with("audience=x+y"), "{form}");
            assert!(
                form.ends_with("grant_type=client_credentials&scope=a+b"),
                "{form}"
            );
        }
    }

    #[tokio::test]
    async fn a_token_about_to_expire_is_replaced() {
        let (url, _, _) = endpoint(false, 5).await;
        let t = tokens(&url, "s&t");
        assert_eq!(t.header().await.unwrap(), "Bearer t0");
        assert_eq!(t.header().await.unwrap(), "Bearer t1");
    }

    #[tokio::test]
    async fn without_a_token_there_is_an_error_without_the_secret() {
        let (url, _, _) = endpoint(false, 5).await;
        // OA1, OA2
        let e = tokens(&url, "wrong")
            .header()
            .await
            .unwrap_err()
            .to_string();
        assert!(
            e.contains("401") && e.contains("invalid_client") && !e.contains("wrong"),
            "{e}"
        );
    }

    #[test]
    fn answers_are_read_in_all_forms() {
        let a = parse(
            "text/plain; charset=utf-8",
            b"access_token=a&expires_in=7&token_type=mac",
        )
        .unwrap();
        assert_eq!(authorization(&a).unwrap(), "MAC a");
        assert_eq!(lifetime(&a.expires_in), Some(Duration::from_secs(7)));
        assert!(parse("application/json", b"<html>").is_err());
        assert!(authorization(&parse("", b"{}").unwrap()).is_err());
        assert_eq!(lifetime(&serde_json::json!(0)), None);
        assert!(lifetime(&serde_json::json!(1e300)).is_some());
    }
}
