//! incident.io: as a webhook, with a token and a limit.

use std::future::Future;
use std::pin::Pin;

use reqwest::Method;

use super::http::Http;
use super::webhook::message_json;
use super::{Built, Message, Notifier, Sent, secret};
use crate::config::alertmanager::IncidentIoConfig;

/// Largest message, bytes; the service's limit. Of a larger one the first alert is sent.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;

struct IncidentIo {
    config: IncidentIoConfig,
    http: Http,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &IncidentIoConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[429])?;
    let timeout_s = c.timeout.as_ms() as f64 / 1000.0;
    let config = c.clone();
    Ok((Box::new(IncidentIo { config, http }), timeout_s))
}

impl Notifier for IncidentIo {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            let url = secret(c.url.expose(), &c.url_file)?;
            let token = secret(c.alert_source_token.expose(), &c.alert_source_token_file)?;
            let bearer = format!("Bearer {token}");
            let headers: &[(&str, &str)] = match token.is_empty() {
                true => &[],
                false => &[("authorization", &bearer)],
            };
            let mut body = message_json(m, c.max_alerts);
            body["version"] = "1".into();
            if body.to_string().len() > MESSAGE_BYTES_MAX {
                body = message_json(m, 1);
                body["version"] = "1".into();
            }
            self.http.json(Method::POST, &url, &body, headers).await?;
            Ok(String::new())
        })
    }
}
