//! Rocket.Chat.

use std::future::Future;
use std::pin::Pin;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::http::Http;
use super::{Built, Failure, Message, Notifier, Sent, cut, secret};
use crate::config::alertmanager::RocketChatConfig;

/// Longest title, characters.
const TITLE_CHARS_MAX: usize = 1024;

struct RocketChat {
    config: RocketChatConfig,
    http: Http,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &RocketChatConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[])?;
    let config = c.clone();
    Ok((Box::new(RocketChat { config, http }), 0.0))
}

fn filled(m: &Message, pairs: &[(&str, &str)]) -> Result<Map<String, Value>, Failure> {
    let mut out = Map::new();
    for (name, text) in pairs {
        let text = m.text(text)?;
        if !text.is_empty() {
            out.insert((*name).into(), text.into());
        }
    }
    Ok(out)
}

impl RocketChat {
    fn body(&self, m: &Message) -> Result<Value, Failure> {
        let c = &self.config;
        let mut attachment = filled(
            m,
            &[
                ("title", &c.title),
                ("title_link", &c.title_link),
                ("text", &c.text),
                ("image_url", &c.image_url),
                ("thumb_url", &c.thumb_url),
                ("color", &c.color),
            ],
        )?;
        if let Some(Value::String(t)) = attachment.get_mut("title") {
            *t = cut(t, TITLE_CHARS_MAX);
        }
        let fields = c.fields.iter().map(|f| {
            let mut field = filled(m, &[("title", &f.title), ("value", &f.value)])?;
            field.insert("short".into(), f.short.unwrap_or(c.short_fields).into());
            Ok(field.into())
        });
        let fields = fields.collect::<Result<Vec<Value>, Failure>>()?;
        if !fields.is_empty() {
            attachment.insert("fields".into(), fields.into());
        }
        let mut actions = Vec::new();
        for a in &c.actions {
            let text = |name: &str| a.get(name).and_then(Value::as_str).unwrap_or_default();
            let pairs = [
                ("text", text("text")),
                ("url", text("url")),
                ("msg", text("msg")),
            ];
            let mut action = filled(m, &pairs)?;
            // There are no others.
            action.insert("type".into(), "button".into());
            actions.push(Value::Object(action));
        }
        if !actions.is_empty() {
            attachment.insert("actions".into(), actions.into());
        }
        let mut body = filled(
            m,
            &[
                ("channel", &c.channel),
                ("emoji", &c.emoji),
                ("avatar", &c.icon_url),
            ],
        )?;
        body.insert("attachments".into(), json!([attachment]));
        Ok(body.into())
    }
}

impl Notifier for RocketChat {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            let token = secret(c.token.expose(), &c.token_file)?;
            let id = secret(c.token_id.expose(), &c.token_id_file)?;
            let headers = [("x-auth-token", token.as_str()), ("x-user-id", id.as_str())];
            let base = c.api_url.expose().trim_end_matches('/');
            let url = format!("{base}/api/v1/chat.postMessage");
            let body = self.body(m)?;
            let answer = self.http.json(Method::POST, &url, &body, &headers).await?;
            let d = answer.document();
            match d.get("success").and_then(Value::as_bool) {
                Some(true) => Ok(String::new()),
                Some(false) => {
                    let why = d.get("error").and_then(Value::as_str);
                    let why = why.unwrap_or("no reason given");
                    Err(Failure::last(format!(
                        "error response from Rocketchat: {why}"
                    )))
                }
                None => Err(Failure::later("the answer is not the one of Rocketchat")),
            }
        })
    }
}
