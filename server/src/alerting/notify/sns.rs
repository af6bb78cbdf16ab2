//! Amazon's notification service.

use std::future::Future;
use std::pin::Pin;

use reqwest::Method;

use super::http::Http;
use super::{Built, Failure, Message, Notifier, Sent, cut};
use crate::config::alertmanager::SnsConfig;
use crate::http::sigv4::Signer;

/// Longest subject, characters; the service's limit.
const SUBJECT_CHARS_MAX: usize = 100;
/// Largest message, bytes; that of a phone is shorter.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
const PHONE_BYTES_MAX: usize = 1600;

struct Sns {
    config: SnsConfig,
    http: Http,
    signer: Signer,
}

/// The notifier of a section.
///
/// # Errors
/// When its HTTP options cannot be used, or nothing says how to sign.
pub(super) fn new(c: &SnsConfig) -> Built {
    let http = Http::new(c.http_config.as_deref(), &[])?;
    let mut sigv4 = c.sigv4.clone().unwrap_or_default();
    sigv4.service_name = "sns".into();
    let signer = Signer::new(&sigv4)?;
    let config = c.clone();
    let notifier = Sns {
        config,
        http,
        signer,
    };
    Ok((Box::new(notifier), 0.0))
}

impl Sns {
    fn form(&self, m: &Message) -> Result<String, Failure> {
        let c = &self.config;
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", "Publish");
        form.append_pair("Version", "2010-03-31");
        let phone = m.text(&c.phone_number)?;
        let topic = m.text(&c.topic_arn)?;
        for (name, text) in [
            ("TopicArn", topic.clone()),
            ("TargetArn", m.text(&c.target_arn)?),
            ("PhoneNumber", phone.clone()),
        ] {
            if !text.is_empty() {
                form.append_pair(name, &text);
            }
        }
        let mut message = m.text(&c.message)?;
        let max = if phone.is_empty() {
            MESSAGE_BYTES_MAX
        } else {
            PHONE_BYTES_MAX
        };
        let mut attributes = Vec::new();
        for (name, text) in c.attributes.iter() {
            attributes.push((m.text(name)?, "String", m.text(text)?));
        }
        if message.len() > max {
            let mut end = max;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            attributes.push(("truncated".into(), "String", "true".into()));
        }
        form.append_pair("Message", &message);
        let subject: String = m.text(&c.subject)?;
        let subject: String = subject
            .chars()
            .filter(|c| (' '..='~').contains(c))
            .collect();
        if !subject.is_empty() {
            form.append_pair(
                "Subject",
                &cut(&subject, SUBJECT_CHARS_MAX).replace('…', "."),
            );
        }
        if topic.ends_with(".fifo") {
            form.append_pair("MessageGroupId", &m.group_hash());
            form.append_pair("MessageDeduplicationId", &uuid::Uuid::new_v4().to_string());
        }
        for (i, (name, kind, value)) in attributes.iter().enumerate() {
            let field = format!("MessageAttributes.entry.{}", i + 1);
            form.append_pair(&format!("{field}.Name"), name);
            form.append_pair(&format!("{field}.Value.DataType"), kind);
            form.append_pair(&format!("{field}.Value.StringValue"), value);
        }
        Ok(form.finish())
    }

    fn url(&self, m: &Message) -> Result<url::Url, Failure> {
        let own = m.text(&self.config.api_url)?;
        let url = match own.as_str() {
            "" => format!("https://sns.{}.amazonaws.com/", self.signer.region()),
            own => own.to_owned(),
        };
        url::Url::parse(&url).map_err(|_| Failure::last("api_url is no URL"))
    }
}

impl Notifier for Sns {
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(async move {
            let (url, body) = (self.url(m)?, self.form(m)?.into_bytes());
            let signed = self
                .signer
                .sign("POST", &url, &body, jiff::Timestamp::now());
            let signed = signed.map_err(|e| Failure::last(e.to_string()))?;
            let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
            headers.extend(
                signed
                    .iter()
                    .filter_map(|(n, v)| Some((n.as_str(), v.to_str().ok()?))),
            );
            let answer = self
                .http
                .request(Method::POST, url.as_str(), body, &headers);
            self.http.checked(answer.await?)?;
            Ok(String::new())
        })
    }
}
