//! PagerDuty: events of the second interface (routing key) and of the first (service key).

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use serde_json::{Map, Value, json};

use super::http::Http;
use super::{Built, Failure, Message, Notifier, Sent, cut, secret};
use crate::config::alertmanager::PagerDutyConfig;

/// Where events of the first interface go, whatever `url` says.
const V1_URL: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";
/// Longest summary, characters; the service's limit.
const SUMMARY_CHARS_MAX: usize = 1024;
/// Largest event, bytes; the service's limit. A larger one loses its details.
const EVENT_BYTES_MAX: usize = 512_000;

struct PagerDuty {
    config: PagerDutyConfig,
    http: Http,
    first: bool,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &PagerDutyConfig) -> Built {
    let first = !c.service_key.is_empty() || !c.service_key_file.is_empty();
    let first = first && c.routing_key.is_empty() && c.routing_key_file.is_empty();
    let retry: &[u16] = if first { &[403] } else { &[429] };
    let http = Http::new(c.http_config.as_deref(), retry)?;
    let timeout_s = c.timeout.as_ms() as f64 / 1000.0;
    let config = c.clone();
    Ok((
        Box::new(PagerDuty {
            config,
            http,
            first,
        }),
        timeout_s,
    ))
}

/// Texts that read as another kind of value become that value.
fn typed(v: Value) -> Value {
    match v {
        Value::String(s) => match serde_json::from_str::<Value>(&s) {
            Ok(v) => v,
            Err(_) => match crate::config::parse_yaml::<Value>(Path::new("details"), &s) {
                Ok(v) if !v.is_null() && !v.is_string() => v,
                _ => Value::String(s),
            },
        },
        Value::Array(a) => Value::Array(a.into_iter().map(typed).collect()),
        Value::Object(o) => Value::Object(o.into_iter().map(|(k, v)| (k, typed(v))).collect()),
        v => v,
    }
}

impl PagerDuty {
    fn details(&self, m: &Message) -> Result<Map<String, Value>, Failure> {
        let each = self.config.details.iter();
        let each = each.map(|(name, v)| Ok((name.clone(), typed(m.document(v)?))));
        each.collect()
    }

    fn second_body(&self, m: &Message, key: &str) -> Result<Value, Failure> {
        let c = &self.config;
        let mut payload = Map::new();
        payload.insert(
            "summary".into(),
            cut(&m.text(&c.description)?, SUMMARY_CHARS_MAX).into(),
        );
        payload.insert("source".into(), m.text(&c.source)?.into());
        payload.insert("severity".into(), m.text(&c.severity)?.into());
        let optional = |map: &mut Map<String, Value>, name: &str, text: &str| {
            let text = m.text(text)?;
            if !text.is_empty() {
                map.insert(name.into(), text.into());
            }
            Ok::<_, Failure>(())
        };
        optional(&mut payload, "class", &c.class)?;
        optional(&mut payload, "component", &c.component)?;
        optional(&mut payload, "group", &c.group)?;
        payload.insert("custom_details".into(), self.details(m)?.into());
        let mut body = Map::new();
        body.insert("routing_key".into(), m.text(key)?.into());
        body.insert("dedup_key".into(), m.group_hash().into());
        let action = if m.fires() { "trigger" } else { "resolve" };
        body.insert("event_action".into(), action.into());
        optional(&mut body, "client", &c.client)?;
        optional(&mut body, "client_url", &c.client_url)?;
        let mut images = Vec::new();
        for i in &c.images {
            let mut image = Map::new();
            optional(&mut image, "src", &i.src)?;
            optional(&mut image, "alt", &i.alt)?;
            optional(&mut image, "href", &i.href)?;
            if image.contains_key("src") {
                images.push(image.into());
            }
        }
        let mut links = Vec::new();
        for l in &c.links {
            let mut link = Map::new();
            optional(&mut link, "href", &l.href)?;
            optional(&mut link, "text", &l.text)?;
            if link.contains_key("href") {
                links.push(link.into());
            }
        }
        for (name, list) in [("images", images), ("links", links)] {
            if !list.is_empty() {
                body.insert(name.into(), Value::Array(list));
            }
        }
        body.insert("payload".into(), payload.into());
        let mut body = Value::Object(body);
        if body.to_string().len() > EVENT_BYTES_MAX {
            let text = format!(
                "Custom details have been removed because the original event exceeds the maximum size of {EVENT_BYTES_MAX} bytes"
            );
            if let Some(details) = body.pointer_mut("/payload/custom_details") {
                *details = json!({ "error": text });
            }
        }
        Ok(body)
    }

    fn first_body(&self, m: &Message, key: &str) -> Result<Value, Failure> {
        let c = &self.config;
        let fires = m.fires();
        let mut body = json!({
            "service_key": m.text(key)?,
            "incident_key": m.group_hash(),
            "event_type": if fires { "trigger" } else { "resolve" },
            "description": cut(&m.text(&c.description)?, SUMMARY_CHARS_MAX),
            "details": self.details(m)?,
            "event_action": "",
            "payload": null,
        });
        if let (true, Value::Object(o)) = (fires, &mut body) {
            o.insert("client".into(), m.text(&c.client)?.into());
            o.insert("client_url".into(), m.text(&c.client_url)?.into());
        }
        if let (true, Value::Object(o)) = (body.to_string().len() > EVENT_BYTES_MAX, &mut body) {
            o.insert("details".into(), json!({ "error": "details too large" }));
        }
        Ok(body)
    }
}

impl Notifier for PagerDuty {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            if self.first {
                let key = secret(c.service_key.expose(), &c.service_key_file)?;
                let body = self.first_body(m, &key)?;
                self.http.post(V1_URL, &body).await?;
            } else {
                let key = secret(c.routing_key.expose(), &c.routing_key_file)?;
                let body = self.second_body(m, &key)?;
                self.http.post(c.url.expose(), &body).await?;
            }
            Ok(String::new())
        })
    }
}
