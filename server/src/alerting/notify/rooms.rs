//! Rooms that take a message by webhook: Discord, both kinds of Teams, Mattermost; and Webex.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value, json};

use super::http::Http;
use super::{Built, Failure, Message, Notifier, Sent, cut, secret};
use crate::config::alertmanager::{
    DiscordConfig, MattermostConfig, MsTeamsConfig, MsTeamsV2Config, WebexConfig,
};
use crate::config::prometheus::HttpClientFile;

/// Makes the document of a message.
type Body<C> = fn(&C, &Message) -> Result<Value, Failure>;
/// Where the document goes.
type Address<C> = fn(&C) -> Result<String, Failure>;

struct Room<C> {
    config: C,
    http: Http,
    address: Address<C>,
    body: Body<C>,
}

fn room<C: Clone + Send + Sync + 'static>(
    config: &C,
    options: Option<&HttpClientFile>,
    address: Address<C>,
    body: Body<C>,
) -> Built {
    let room = Room {
        http: Http::new(options, &[])?,
        config: config.clone(),
        address,
        body,
    };
    Ok((Box::new(room), 0.0))
}

impl<C: Send + Sync> Notifier for Room<C> {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let url = (self.address)(&self.config)?;
            let body = (self.body)(&self.config, m)?;
            self.http.post(&url, &body).await?;
            Ok(String::new())
        })
    }
}

/// Adds what is not empty.
fn add(out: &mut Map<String, Value>, name: &str, text: String) {
    if !text.is_empty() {
        out.insert(name.into(), text.into());
    }
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn discord(c: &DiscordConfig) -> Built {
    let address = |c: &DiscordConfig| secret(c.webhook_url.expose(), &c.webhook_url_file);
    room(c, c.http_config.as_deref(), address, |c, m| {
        let mut body = Map::new();
        body.insert("content".into(), cut(&m.text(&c.content)?, 2000).into());
        body.insert(
            "embeds".into(),
            json!([{
                "title": cut(&m.text(&c.title)?, 256),
                "description": cut(&m.text(&c.message)?, 4096),
                // Dark red and green.
                "color": if m.fires() { 10_038_562 } else { 3_066_993 },
            }]),
        );
        add(&mut body, "username", m.text(&c.username)?);
        add(&mut body, "avatar_url", m.text(&c.avatar_url)?);
        Ok(body.into())
    })
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn msteams(c: &MsTeamsConfig) -> Built {
    let address = |c: &MsTeamsConfig| secret(c.webhook_url.expose(), &c.webhook_url_file);
    room(c, c.http_config.as_deref(), address, |c, m| {
        Ok(json!({
            "@context": "http://schema.org/extensions",
            "type": "MessageCard",
            "title": m.text(&c.title)?,
            "summary": m.text(&c.summary)?,
            "text": m.text(&c.text)?,
            "themeColor": if m.fires() { "8C1A1A" } else { "2DC72D" },
        }))
    })
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn msteamsv2(c: &MsTeamsV2Config) -> Built {
    let address = |c: &MsTeamsV2Config| secret(c.webhook_url.expose(), &c.webhook_url_file);
    room(c, c.http_config.as_deref(), address, |c, m| {
        let title = json!({
            "type": "TextBlock",
            "text": m.text(&c.title)?,
            "weight": "Bolder",
            "size": "Medium",
            "wrap": true,
            "style": "heading",
            "color": if m.fires() { "Attention" } else { "Good" },
        });
        let text = json!({ "type": "TextBlock", "text": m.text(&c.text)?, "wrap": true });
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.2",
            "body": [title, text],
            "msteams": { "width": "full" },
        });
        Ok(json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": card,
            }],
        }))
    })
}

/// Longest text of Mattermost, characters.
const MATTERMOST_CHARS_MAX: usize = 16_383;

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn mattermost(c: &MattermostConfig) -> Built {
    let address = |c: &MattermostConfig| secret(c.webhook_url.expose(), &c.webhook_url_file);
    room(c, c.http_config.as_deref(), address, |c, m| {
        let mut body = Map::new();
        let text = cut(&m.text(&c.text)?, MATTERMOST_CHARS_MAX);
        body.insert("text".into(), text.into());
        for (name, text) in [
            ("channel", &c.channel),
            ("username", &c.username),
            ("icon_url", &c.icon_url),
            ("icon_emoji", &c.icon_emoji),
            ("type", &c.r#type),
        ] {
            add(&mut body, name, m.text(text)?);
        }
        for (name, part) in [("attachments", &c.attachments), ("props", &c.props)] {
            let Some(part) = part else { continue };
            let part = without_empty(m.document(part)?);
            if !is_empty(&part) {
                body.insert(name.into(), part);
            }
        }
        if let Some(p) = &c.priority {
            let p = m.document(p)?;
            if let Some(p) = priority(&p) {
                body.insert("priority".into(), p);
            }
        }
        Ok(body.into())
    })
}

/// The priority as Mattermost takes it: what a lower one may not ask for is not asked for.
fn priority(p: &Value) -> Option<Value> {
    let word = p.get("priority")?.as_str().filter(|w| !w.is_empty())?;
    let word = word.to_lowercase();
    let word = match word.as_str() {
        w @ ("urgent" | "important") => w,
        _ => "standard",
    };
    let on = |name: &str| p.get(name) == Some(&Value::Bool(true));
    let mut out = Map::new();
    out.insert("priority".into(), word.into());
    if on("requested_ack") && word != "standard" {
        out.insert("requested_ack".into(), true.into());
    }
    if on("persistent_notifications") && word == "urgent" {
        out.insert("persistent_notifications".into(), true.into());
    }
    Some(out.into())
}

fn is_empty(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        _ => false,
    }
}

/// A document without empty texts and lists.
fn without_empty(v: Value) -> Value {
    match v {
        Value::Array(a) => Value::Array(a.into_iter().map(without_empty).collect()),
        Value::Object(o) => {
            let each = o.into_iter().map(|(k, v)| (k, without_empty(v)));
            Value::Object(each.filter(|(_, v)| !is_empty(v)).collect())
        }
        v => v,
    }
}

/// Longest text of Webex, bytes.
const WEBEX_BYTES_MAX: usize = 7439;

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn webex(c: &WebexConfig) -> Built {
    let address = |c: &WebexConfig| Ok(c.api_url.expose().to_owned());
    room(c, c.http_config.as_deref(), address, |c, m| {
        Ok(json!({
            "markdown": cut_bytes(&m.text(&c.message)?, WEBEX_BYTES_MAX),
            "roomId": m.text(&c.room_id)?,
        }))
    })
}

/// `s` cut to `max` bytes between two characters; what was cut shows as an ellipsis.
fn cut_bytes(s: &str, max: usize) -> String {
    if s.len() <= max {
        return s.to_owned();
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !s.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", s.get(..end).unwrap_or_default())
}
