//! Slack: an incoming webhook, or a channel by an application's token.

use std::future::Future;
use std::pin::Pin;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::http::{Answer, Http};
use super::{Built, Failure, Message, Notifier, Sent, cut, secret};
use crate::config::alertmanager::{SlackAction, SlackConfig};

/// Longest title, characters; Slack's limit.
const TITLE_CHARS_MAX: usize = 1024;

struct Slack {
    config: SlackConfig,
    http: Http,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &SlackConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[])?;
    let timeout_s = c.timeout.as_ms() as f64 / 1000.0;
    let config = c.clone();
    Ok((Box::new(Slack { config, http }), timeout_s))
}

/// A document without empty texts.
fn filled(pairs: Vec<(&str, String)>) -> Map<String, Value> {
    let pairs = pairs.into_iter().filter(|(_, v)| !v.is_empty());
    pairs.map(|(k, v)| (k.to_owned(), v.into())).collect()
}

fn action(m: &Message, a: &SlackAction) -> Result<Value, Failure> {
    let mut out = filled(vec![
        ("type", m.text(&a.r#type)?),
        ("text", m.text(&a.text)?),
        ("url", m.text(&a.url)?),
        ("style", m.text(&a.style)?),
        ("name", m.text(&a.name)?),
        ("value", m.text(&a.value)?),
    ]);
    if let Some(c) = &a.confirm {
        let confirm = filled(vec![
            ("title", m.text(&c.title)?),
            ("text", m.text(&c.text)?),
            ("ok_text", m.text(&c.ok_text)?),
            ("dismiss_text", m.text(&c.dismiss_text)?),
        ]);
        out.insert("confirm".into(), confirm.into());
    }
    Ok(out.into())
}

impl Slack {
    fn body(&self, m: &Message) -> Result<Value, Failure> {
        let c = &self.config;
        let mut attachment = filled(vec![
            ("title", cut(&m.text(&c.title)?, TITLE_CHARS_MAX)),
            ("title_link", m.text(&c.title_link)?),
            ("pretext", m.text(&c.pretext)?),
            ("image_url", m.text(&c.image_url)?),
            ("thumb_url", m.text(&c.thumb_url)?),
            ("color", m.text(&c.color)?),
        ]);
        // These are there even when they are empty.
        for (name, text) in [
            ("text", &c.text),
            ("fallback", &c.fallback),
            ("callback_id", &c.callback_id),
            ("footer", &c.footer),
        ] {
            attachment.insert(name.into(), m.text(text)?.into());
        }
        let fields = c.fields.iter().map(|f| {
            Ok(json!({
                "title": m.text(&f.title)?,
                "value": m.text(&f.value)?,
                "short": f.short.unwrap_or(c.short_fields),
            }))
        });
        let fields = fields.collect::<Result<Vec<Value>, Failure>>()?;
        if !fields.is_empty() {
            attachment.insert("fields".into(), fields.into());
        }
        let actions = c.actions.iter().map(|a| action(m, a));
        let actions = actions.collect::<Result<Vec<Value>, Failure>>()?;
        if !actions.is_empty() {
            attachment.insert("actions".into(), actions.into());
        }
        let marked = match c.mrkdwn_in.as_slice() {
            [] => json!(["fallback", "pretext", "text"]),
            own => json!(own),
        };
        attachment.insert("mrkdwn_in".into(), marked);
        let mut body = filled(vec![
            ("channel", m.text(&c.channel)?),
            ("username", m.text(&c.username)?),
            ("icon_emoji", m.text(&c.icon_emoji)?),
            ("icon_url", m.text(&c.icon_url)?),
            ("text", m.text(&c.message_text)?),
        ]);
        if c.link_names {
            body.insert("link_names".into(), true.into());
        }
        body.insert("attachments".into(), json!([attachment]));
        Ok(body.into())
    }

    /// Slack answers 200 for messages that it does not take.
    fn accepted(answer: &Answer) -> Result<(), Failure> {
        if answer.json {
            let d = answer.document();
            if d.get("ok") == Some(&Value::Bool(false)) {
                let why = d
                    .get("error")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason");
                return Err(Failure::last(format!("error response from Slack: {why}")));
            }
            return Ok(());
        }
        match std::str::from_utf8(&answer.body).map(str::trim) {
            Ok("ok") => Ok(()),
            other => {
                let said = cut(other.unwrap_or("no text"), 200);
                Err(Failure::last(format!(
                    "received an error response from Slack: {said}"
                )))
            }
        }
    }
}

impl Notifier for Slack {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            let by_token = !c.app_token.is_empty() || !c.app_token_file.is_empty();
            let mut body = self.body(m)?;
            if !by_token {
                let url = secret(c.api_url.expose(), &c.api_url_file)?;
                let answer = self.http.post(&url, &body).await?;
                Self::accepted(&answer)?;
                return Ok(String::new());
            }
            let token = secret(c.app_token.expose(), &c.app_token_file)?;
            let bearer = format!("Bearer {token}");
            let mut url = c.app_url.expose().to_owned();
            // The place of the message that is to be changed: channel and time.
            let place = m.memo.split_once(' ').filter(|_| c.update_message);
            if let Some((channel, ts)) = place {
                url = url.replace("chat.postMessage", "chat.update");
                if let Value::Object(o) = &mut body {
                    o.insert("channel".into(), channel.into());
                    o.insert("ts".into(), ts.into());
                }
            }
            let headers = [("authorization", bearer.as_str())];
            let answer = self.http.json(Method::POST, &url, &body, &headers).await?;
            Self::accepted(&answer)?;
            let d = answer.document();
            let text = |name: &str| d.get(name).and_then(Value::as_str).unwrap_or_default();
            if !c.update_message || !m.fires() {
                return Ok(String::new());
            }
            Ok(format!("{} {}", text("channel"), text("ts")))
        })
    }
}
