//! OpsGenie.

use std::future::Future;
use std::pin::Pin;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::http::Http;
use super::{Built, Failure, Message, Notifier, Sent, cut, secret};
use crate::config::alertmanager::OpsGenieConfig;

/// Longest message, characters; the service's limit.
const MESSAGE_CHARS_MAX: usize = 130;

struct OpsGenie {
    config: OpsGenieConfig,
    http: Http,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &OpsGenieConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[429])?;
    let config = c.clone();
    Ok((Box::new(OpsGenie { config, http }), 0.0))
}

/// Texts between commas, without blanks around them and without empty ones.
fn listed(text: &str) -> Vec<&str> {
    let each = text.split(',').map(str::trim);
    each.filter(|t| !t.is_empty()).collect()
}

impl OpsGenie {
    fn responders(&self, m: &Message) -> Result<Vec<Value>, Failure> {
        let mut out = Vec::new();
        for r in &self.config.responders {
            let mut one = Map::new();
            for (name, text) in [
                ("id", &r.id),
                ("name", &r.name),
                ("username", &r.username),
                ("type", &r.r#type),
            ] {
                let text = m.text(text)?;
                if !text.is_empty() {
                    one.insert(name.into(), text.into());
                }
            }
            // A list of teams is one responder each.
            if one.get("type").and_then(Value::as_str) == Some("teams") {
                let names = one.get("name").and_then(Value::as_str).unwrap_or_default();
                let each = listed(names).into_iter();
                out.extend(each.map(|n| json!({"name": n, "type": "team"})));
            } else if one.len() > 1 {
                out.push(one.into());
            }
        }
        Ok(out)
    }

    fn body(&self, m: &Message, alias: &str) -> Result<Value, Failure> {
        let c = &self.config;
        let mut details = m.data.common_labels.clone();
        for (name, text) in c.details.iter() {
            details.insert(name.to_owned(), m.text(text)?);
        }
        let mut body = Map::new();
        body.insert("alias".into(), alias.into());
        body.insert(
            "message".into(),
            cut(&m.text(&c.message)?, MESSAGE_CHARS_MAX).into(),
        );
        body.insert("details".into(), json!(details));
        for (name, text) in [
            ("description", &c.description),
            ("source", &c.source),
            ("note", &c.note),
            ("priority", &c.priority),
            ("entity", &c.entity),
        ] {
            let text = m.text(text)?;
            if !text.is_empty() {
                body.insert(name.into(), text.into());
            }
        }
        let responders = self.responders(m)?;
        if !responders.is_empty() {
            body.insert("responders".into(), responders.into());
        }
        for (name, text) in [("tags", &c.tags), ("actions", &c.actions)] {
            let text = m.text(text)?;
            let list = listed(&text);
            if !list.is_empty() {
                body.insert(name.into(), json!(list));
            }
        }
        Ok(body.into())
    }
}

impl Notifier for OpsGenie {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            let key = secret(c.api_key.expose(), &c.api_key_file)?;
            let key = format!("GenieKey {}", m.text(&key)?);
            let headers = [("authorization", key.as_str())];
            let alias = m.group_hash();
            let base = format!("{}v2/alerts", c.api_url.expose());
            if !m.fires() {
                let url = format!("{base}/{alias}/close?identifierType=alias");
                let body = json!({ "source": m.text(&c.source)? });
                self.http.json(Method::POST, &url, &body, &headers).await?;
                return Ok(String::new());
            }
            let body = self.body(m, &alias)?;
            self.http.json(Method::POST, &base, &body, &headers).await?;
            if c.update_alerts {
                for name in ["message", "description"] {
                    let text = body.get(name).cloned().unwrap_or_else(|| "".into());
                    let url = format!("{base}/{alias}/{name}?identifierType=alias");
                    let change = json!({ name: text });
                    self.http.json(Method::PUT, &url, &change, &headers).await?;
                }
            }
            Ok(String::new())
        })
    }
}
