//! Pushover: everything is in the query.

use std::future::Future;
use std::pin::Pin;

use reqwest::Method;

use super::http::Http;
use super::{Built, Failure, Message, Notifier, Sent, cut, secret};
use crate::config::alertmanager::PushoverConfig;

const URL: &str = "https://api.pushover.net/1/messages.json";
/// Longest parts, characters; the service's limits.
const TITLE_CHARS_MAX: usize = 250;
const MESSAGE_CHARS_MAX: usize = 1024;
const URL_CHARS_MAX: usize = 512;

struct Pushover {
    config: PushoverConfig,
    http: Http,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &PushoverConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[])?;
    let config = c.clone();
    Ok((Box::new(Pushover { config, http }), 0.0))
}

impl Pushover {
    fn url(&self, m: &Message) -> Result<url::Url, Failure> {
        let c = &self.config;
        let mut url = url::Url::parse(URL).map_err(|e| Failure::last(e.to_string()))?;
        let token = m.text(&secret(c.token.expose(), &c.token_file)?)?;
        let user = m.text(&secret(c.user_key.expose(), &c.user_key_file)?)?;
        let message = match c.html {
            true => m.html(&c.message)?,
            false => m.text(&c.message)?,
        };
        let mut message = cut(&message, MESSAGE_CHARS_MAX).trim().to_owned();
        if message.is_empty() {
            // The service takes no empty message.
            message = "(no details)".into();
        }
        let mut query = url.query_pairs_mut();
        query
            .append_pair("token", &token)
            .append_pair("user", &user)
            .append_pair("title", &cut(&m.text(&c.title)?, TITLE_CHARS_MAX))
            .append_pair("message", &message);
        if c.html {
            query.append_pair("html", "1");
        }
        if c.monospace {
            query.append_pair("monospace", "1");
        }
        let link = cut(&m.text(&c.url)?, URL_CHARS_MAX);
        query
            .append_pair("url", &link)
            .append_pair("url_title", &m.text(&c.url_title)?)
            .append_pair("priority", &m.text(&c.priority)?)
            .append_pair("retry", &(c.retry.as_ms() / 1000).to_string())
            .append_pair("expire", &(c.expire.as_ms() / 1000).to_string())
            .append_pair("device", &m.text(&c.device)?)
            .append_pair("sound", &m.text(&c.sound)?);
        if !c.ttl.is_zero() {
            query.append_pair("ttl", &(c.ttl.as_ms() / 1000).to_string());
        }
        drop(query);
        Ok(url)
    }
}

impl Notifier for Pushover {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let url = self.url(m)?;
            let kind = [("content-type", "text/plain")];
            let answer = self
                .http
                .request(Method::POST, url.as_str(), Vec::new(), &kind);
            self.http.checked(answer.await?)?;
            Ok(String::new())
        })
    }
}
