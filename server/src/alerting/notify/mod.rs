//! Notifiers: a message to a service outside.
//!
//! Owns: what a notifier is given and may answer, which notifiers a receiver has.
//! Knows nothing of: groups, the log, repeating: it is told to send, and says whether that worked.
//!
//! One kind, one file; rooms that differ in nothing but the document share `rooms.rs`.
//! Read next: `http.rs`, `webhook.rs`.

mod email;
mod http;
mod incidentio;
mod jira;
mod opsgenie;
mod pagerduty;
mod pushover;
mod rocketchat;
mod rooms;
mod slack;
mod smtp;
mod sns;
mod telegram;
mod victorops;
mod webhook;
mod wechat;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;

pub(super) use webhook::shared;

use super::template::{Data, Templates};
use crate::config::alertmanager::Receiver;

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Whether the same message may be delivered a moment later.
    pub(crate) retry: bool,
    /// The class of the failure in metrics.
    pub(crate) class: Class,
    /// What happened; never holds a secret.
    pub(crate) text: String,
}

/// Classes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The message or the configuration is wrong.
    Client,
    /// The service failed.
    Server,
    /// It took too long.
    Deadline,
    /// The server stops or has a new configuration.
    Canceled,
    /// Anything else: no connection, for example.
    Other,
}

impl Class {
    /// All of them, for metrics.
    pub(crate) const ALL: [Self; 5] = [
        Self::Client,
        Self::Server,
        Self::Deadline,
        Self::Canceled,
        Self::Other,
    ];

    /// The word in metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Client => "clientError",
            Self::Server => "serverError",
            Self::Deadline => "contextDeadlineExceeded",
            Self::Canceled => "contextCanceled",
            Self::Other => "other",
        }
    }
}

impl Failure {
    /// Trying again makes no sense before something changes.
    pub(crate) fn last(text: impl Into<String>) -> Self {
        Self {
            retry: false,
            class: Class::Client,
            text: text.into(),
        }
    }

    /// The same may work later.
    pub(crate) fn later(text: impl Into<String>) -> Self {
        Self {
            retry: true,
            class: Class::Other,
            text: text.into(),
        }
    }
}

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The group.
    pub(crate) group_key: String,
    /// What templates see.
    pub(crate) data: Data,
    /// Definitions that texts may use.
    pub(crate) templates: Arc<Templates>,
    /// When the message is made.
    pub(crate) now: Timestamp,
    /// What this notifier answered for the last message of the group.
    pub(crate) memo: String,
}

impl Message {
    /// Expands a text of the configuration.
    ///
    /// # Errors
    /// When it fails: the message cannot be sent then.
    pub(crate) fn text(&self, text: &str) -> Result<String, Failure> {
        self.templates
            .text(text, &self.data, self.now)
            .map_err(Failure::last)
    }

    /// Expands a text of HTML.
    ///
    /// # Errors
    /// As [`Message::text`].
    pub(crate) fn html(&self, text: &str) -> Result<String, Failure> {
        self.templates
            .html(text, &self.data, self.now)
            .map_err(Failure::last)
    }

    /// Expands every text of a document.
    ///
    /// # Errors
    /// As [`Message::text`].
    pub(crate) fn document(&self, v: &serde_json::Value) -> Result<serde_json::Value, Failure> {
        use serde_json::Value as V;
        Ok(match v {
            V::String(s) => V::String(self.text(s)?),
            V::Array(a) => V::Array(
                a.iter()
                    .map(|v| self.document(v))
                    .collect::<Result<_, _>>()?,
            ),
            V::Object(o) => {
                let mut out = serde_json::Map::new();
                for (k, v) in o {
                    out.insert(self.text(k)?, self.document(v)?);
                }
                V::Object(out)
            }
            other => other.clone(),
        })
    }

    /// Whether any alert fires.
    pub(crate) fn fires(&self) -> bool {
        self.data.firing() > 0
    }

    /// The group as services name it: SHA-256 of its key, in hexadecimal digits.
    pub(crate) fn group_hash(&self) -> String {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(self.group_key.as_bytes());
        hash.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// A notifier's answer: what it wants to know again with the next message of the group.
pub(crate) type Sent = Result<String, Failure>;

/// Sends messages of one integration. What limits the time is around it.
pub(crate) trait Notifier: Send + Sync {
    /// Sends a message once.
    fn send<'a>(&'a self, m: &'a Message) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>>;
}

/// One integration of a receiver.
pub(crate) struct Integration {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// Which of its kind, from 0.
    pub(crate) index: usize,
    /// Whether the end of alerts is told.
    pub(crate) send_resolved: bool,
    /// Longest single attempt, s; 0 for as long as the flush lasts.
    pub(crate) timeout_s: f64,
    /// What sends.
    pub(crate) notifier: Box<dyn Notifier>,
}

/// The names of kinds in metrics and in the log.
pub(crate) const KINDS: [&str; 18] = [
    "discord",
    "email",
    "incidentio",
    "jira",
    "mattermost",
    "msteams",
    "msteamsv2",
    "opsgenie",
    "pagerduty",
    "pushover",
    "rocketchat",
    "slack",
    "sns",
    "telegram",
    "victorops",
    "webex",
    "webhook",
    "wechat",
];

/// An integration that cannot be used, and why.
#[derive(Debug, Clone)]
pub(crate) struct Unusable {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// Which of its kind, from 0.
    pub(crate) index: usize,
    /// Why.
    pub(crate) why: String,
}

/// The integrations of a receiver. One that cannot be used takes no other with it.
pub(crate) fn integrations(r: &Receiver) -> (Vec<Integration>, Vec<Unusable>) {
    let mut out = (Vec::new(), Vec::new());
    macro_rules! all {
        ($($list:ident, $kind:literal, $build:path;)*) => {$(
            for (index, c) in r.$list.iter().enumerate() {
                match $build(c) {
                    Ok((notifier, timeout_s)) => out.0.push(Integration {
                        kind: $kind,
                        index,
                        send_resolved: c.send_resolved,
                        timeout_s,
                        notifier,
                    }),
                    Err(why) => out.1.push(Unusable { kind: $kind, index, why }),
                }
            }
        )*};
    }
    all! {
        discord_configs, "discord", rooms::discord;
        email_configs, "email", email::new;
        incidentio_configs, "incidentio", incidentio::new;
        pagerduty_configs, "pagerduty", pagerduty::new;
        slack_configs, "slack", slack::new;
        webhook_configs, "webhook", webhook::new;
        opsgenie_configs, "opsgenie", opsgenie::new;
        wechat_configs, "wechat", wechat::new;
        pushover_configs, "pushover", pushover::new;
        victorops_configs, "victorops", victorops::new;
        sns_configs, "sns", sns::new;
        telegram_configs, "telegram", telegram::new;
        webex_configs, "webex", rooms::webex;
        msteams_configs, "msteams", rooms::msteams;
        msteamsv2_configs, "msteamsv2", rooms::msteamsv2;
        jira_configs, "jira", jira::new;
        rocketchat_configs, "rocketchat", rocketchat::new;
        mattermost_configs, "mattermost", rooms::mattermost;
    }
    out
}

/// What building a notifier gives: the notifier and its longest attempt, s.
type Built = Result<(Box<dyn Notifier>, f64), String>;

/// `s` cut to `max` characters; what was cut shows as an ellipsis.
fn cut(s: &str, max: usize) -> String {
    match s.char_indices().nth(max) {
        None => s.to_owned(),
        Some(_) if max < 3 => s.chars().take(max).collect(),
        Some(_) => {
            let mut out: String = s.chars().take(max - 1).collect();
            out.push('…');
            out
        }
    }
}

/// A secret that is written in the configuration or in a file; files are read each time.
///
/// # Errors
/// When the file cannot be read.
fn secret(inline: &str, file: &str) -> Result<String, Failure> {
    if file.is_empty() {
        return Ok(inline.to_owned());
    }
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::last(format!("could not read {file}: {e}")))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
