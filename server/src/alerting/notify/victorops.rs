//! VictorOps.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use super::http::Http;
use super::{Built, Message, Notifier, Sent, cut, secret};
use crate::config::alertmanager::VictorOpsConfig;

/// Longest state message, characters; the service's limit.
const STATE_CHARS_MAX: usize = 20_480;
/// Kinds of messages that open an incident; anything else is taken for the gravest.
const OPENING: [&str; 3] = ["CRITICAL", "WARNING", "INFO"];

struct VictorOps {
    config: VictorOpsConfig,
    http: Http,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &VictorOpsConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[])?;
    let config = c.clone();
    Ok((Box::new(VictorOps { config, http }), 0.0))
}

impl Notifier for VictorOps {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            let key = secret(c.api_key.expose(), &c.api_key_file)?;
            let routing = m.text(&c.routing_key)?;
            let url = format!("{}{key}/{routing}", c.api_url.expose());
            let own = m.text(&c.message_type)?;
            let kind = match m.fires() {
                false => "RECOVERY",
                true if OPENING.contains(&own.as_str()) => own.as_str(),
                true => "CRITICAL",
            };
            let mut body = serde_json::Map::<String, Value>::new();
            for (name, text) in c.custom_fields.iter() {
                body.insert(name.to_owned(), m.text(text)?.into());
            }
            let state = cut(&m.text(&c.state_message)?, STATE_CHARS_MAX);
            for (name, text) in [
                ("message_type", kind.to_owned()),
                ("entity_id", m.group_hash()),
                ("entity_display_name", m.text(&c.entity_display_name)?),
                ("state_message", state),
                ("monitoring_tool", m.text(&c.monitoring_tool)?),
            ] {
                body.insert(name.into(), text.into());
            }
            self.http.post(&url, &body.into()).await?;
            Ok(String::new())
        })
    }
}
