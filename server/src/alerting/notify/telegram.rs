//! Telegram.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value};

use super::http::Http;
use super::{Built, Failure, Message, Notifier, Sent, cut, secret};
use crate::config::alertmanager::TelegramConfig;

/// Longest message, characters; the service's limit.
const MESSAGE_CHARS_MAX: usize = 4096;

struct Telegram {
    config: TelegramConfig,
    http: Http,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &TelegramConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[])?;
    let config = c.clone();
    Ok((Box::new(Telegram { config, http }), 0.0))
}

impl Notifier for Telegram {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            let text = match c.parse_mode.as_str() {
                "HTML" => m.html(&c.message)?,
                _ => m.text(&c.message)?,
            };
            let token = secret(c.bot_token.expose(), &c.bot_token_file)?;
            let chat = match c.chat_id {
                0 => secret("", &c.chat_id_file)?,
                id => id.to_string(),
            };
            let mut body = Map::<String, Value>::new();
            let mut add = |name: &str, text: String| body.insert(name.into(), text.into());
            add("chat_id", chat);
            add("text", cut(&text, MESSAGE_CHARS_MAX));
            add("disable_web_page_preview", "true".into());
            if !c.parse_mode.is_empty() {
                add("parse_mode", c.parse_mode.clone());
            }
            if c.disable_notifications {
                add("disable_notification", "true".into());
            }
            if c.message_thread_id != 0 {
                add("message_thread_id", c.message_thread_id.to_string());
            }
            let base = c.api_url.expose().trim_end_matches('/');
            let url = format!("{base}/bot{token}/sendMessage");
            let answer = self.http.post(&url, &body.into()).await?;
            let d = answer.document();
            if d.get("ok") == Some(&Value::Bool(false)) {
                let why = d.get("description").and_then(Value::as_str);
                return Err(Failure::last(why.unwrap_or("telegram refused").to_owned()));
            }
            Ok(String::new())
        })
    }
}
