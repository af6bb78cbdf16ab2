//! Webhooks: the message as JSON to any address.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Value, json};

use super::http::Http;
use super::{Built, Message, Notifier, Sent, secret};
use crate::alerting::alert::LabelSet;
use crate::alerting::template::{AlertData, Data};
use crate::config::alertmanager::WebhookConfig;

struct Webhook {
    config: WebhookConfig,
    http: Http,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used.
pub(super) fn new(c: &WebhookConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[])?;
    let timeout_s = c.timeout.as_ms() as f64 / 1000.0;
    let config = c.clone();
    Ok((Box::new(Webhook { config, http }), timeout_s))
}

/// An alert as webhooks show it.
pub(super) fn alert_json(a: &AlertData) -> Value {
    json!({
        "status": a.status,
        "labels": a.labels,
        "annotations": a.annotations,
        "startsAt": a.starts_at,
        "endsAt": a.ends_at,
        "generatorURL": a.generator_url,
        "fingerprint": a.fingerprint,
    })
}

/// At most `max` alerts (0 for any number) and how many were left out. What alerts have in common
/// is that of the alerts that stay.
pub(super) fn truncated(data: &Data, max: u64) -> (Data, usize) {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    if max == 0 || data.alerts.len() <= max {
        return (data.clone(), 0);
    }
    let mut data = data.clone();
    let left_out = data.alerts.len() - max;
    data.alerts.truncate(max);
    let common = |of: fn(&AlertData) -> &LabelSet| shared(data.alerts.iter().map(of));
    let (labels, annotations) = (common(|a| &a.labels), common(|a| &a.annotations));
    (data.common_labels, data.common_annotations) = (labels, annotations);
    (data, left_out)
}

/// What all sets hold with the same value.
pub(in crate::alerting) fn shared<'a>(sets: impl Iterator<Item = &'a LabelSet>) -> LabelSet {
    let mut sets = sets;
    let mut out = sets.next().cloned().unwrap_or_default();
    for s in sets {
        out.retain(|n, v| s.get(n) == Some(v));
    }
    out
}

/// The message as webhooks show it.
pub(super) fn message_json(m: &Message, max_alerts: u64) -> Value {
    let (d, left_out) = truncated(&m.data, max_alerts);
    json!({
        "version": "4",
        "groupKey": m.group_key,
        "truncatedAlerts": left_out,
        "status": d.status,
        "receiver": d.receiver,
        "notification_reason": d.notification_reason,
        "groupLabels": d.group_labels,
        "commonLabels": d.common_labels,
        "commonAnnotations": d.common_annotations,
        "routeLabels": d.route_labels,
        "externalURL": d.external_url,
        "alerts": d.alerts.iter().map(alert_json).collect::<Vec<_>>(),
    })
}

impl Notifier for Webhook {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let c = &self.config;
            let url = secret(c.url.expose(), &c.url_file)?;
            let url = m.text(&url)?;
            let body = match &c.payload {
                Some(own) => m.document(own)?,
                None => message_json(m, c.max_alerts),
            };
            self.http.post(&url, &body).await?;
            Ok(String::new())
        })
    }
}
