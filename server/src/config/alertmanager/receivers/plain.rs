//! Webhook, mail and SNS.

use std::collections::BTreeMap;

use super::super::HostPort;
use super::super::global::{GlobalConfig, one_of};
use super::super::url::SecretUrlTemplate;
use super::{Section, receiver};
use crate::config::fields::{Check, Omit, config};
use crate::config::prometheus::{SigV4Config, TlsConfig};
use crate::config::{LabelMap, PromDuration, Secret};

receiver! {
    /// Posts JSON to any address.
    WebhookConfig("config.WebhookConfig"), send_resolved: true, files: [url_file] {
        url: SecretUrlTemplate;
        url_file: String;
        /// Alerts in a message at most; 0 for any number.
        max_alerts: u64;
        timeout: PromDuration;
        /// Replaces the body; its texts are templates.
        payload: Option<serde_json::Value>;
    }
}

impl Check for WebhookConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.url.is_empty() && self.url_file.is_empty() {
            return Err("one of url or url_file must be configured".into());
        }
        one_of("url", !self.url.is_empty(), &self.url_file)
    }
}

impl WebhookConfig {
    fn complete(&mut self, _: &GlobalConfig) -> Result<(), String> {
        Ok(())
    }
}

config! {
    /// How mails of one group are put into one thread.
    pub(crate) struct EmailThreading("config.ThreadingConfig") {
        enabled: bool;
        thread_by_date: String = "daily".into();
    }
}
impl Check for EmailThreading {
    fn check(&mut self) -> Result<(), String> {
        if !matches!(self.thread_by_date.as_str(), "daily" | "none" | "") {
            return Err(format!(
                "threading thread_by_date must be either \"daily\" or \"none\", got {:?}",
                self.thread_by_date
            ));
        }
        Ok(())
    }
}
impl Omit for EmailThreading {
    fn omit(&self) -> bool {
        *self == Self::default()
    }
}

config! {
    /// Mail.
    pub(crate) struct EmailConfig("config.EmailConfig") {
        send_resolved: bool => keep;
        to: String;
        from: String;
        /// Name we greet the server with.
        hello: String;
        smarthost: HostPort;
        auth_username: String;
        auth_password: Secret;
        auth_password_file: String;
        auth_secret: Secret;
        auth_secret_file: String;
        auth_identity: String;
        headers: LabelMap;
        html: String = "{{ template \"email.default.html\" . }}".into();
        text: String;
        require_tls: Option<bool>;
        force_implicit_tls: Option<bool>;
        tls_config: Option<TlsConfig>;
        threading: EmailThreading;
    }
}

/// A header's name in its usual form: `reply-to` is `Reply-To`.
fn canonical(name: &str) -> String {
    let mut first = true;
    name.chars()
        .map(|c| {
            let out = if first {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            first = c == '-';
            out
        })
        .collect()
}

impl Check for EmailConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.to.is_empty() {
            return Err("missing to address in email config".into());
        }
        one_of(
            "auth_password",
            !self.auth_password.is_empty(),
            &self.auth_password_file,
        )?;
        one_of(
            "auth_secret",
            !self.auth_secret.is_empty(),
            &self.auth_secret_file,
        )?;
        let mut headers = BTreeMap::new();
        for (name, value) in self.headers.iter() {
            let name = canonical(name);
            if headers.contains_key(&name) {
                return Err(format!("duplicate header {name:?} in email config"));
            }
            headers.insert(name, value.to_owned());
        }
        self.headers = LabelMap(headers);
        Ok(())
    }
}

/// Gives `own` the value of `global` when it says nothing.
pub(super) fn fill<T: Omit + Clone>(own: &mut T, global: &T) {
    if own.omit() {
        own.clone_from(global);
    }
}

/// A value that may also stand in a file: gives `own` what `global` says when it says nothing in
/// either way. True when there is one then.
pub(super) fn twin<T: Omit + Clone>(own: (&mut T, &mut String), global: (&T, &String)) -> bool {
    if own.0.omit() && own.1.is_empty() {
        own.0.clone_from(global.0);
        own.1.clone_from(global.1);
    }
    !(own.0.omit() && own.1.is_empty())
}

impl Section for EmailConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), String> {
        if self.smarthost.omit() && global.smtp_smarthost.omit() {
            return Err("no global SMTP smarthost set".into());
        }
        if self.from.is_empty() && global.smtp_from.is_empty() {
            return Err("no global SMTP from set".into());
        }
        fill(&mut self.smarthost, &global.smtp_smarthost);
        fill(&mut self.from, &global.smtp_from);
        fill(&mut self.hello, &global.smtp_hello);
        fill(&mut self.auth_username, &global.smtp_auth_username);
        if self.auth_password.is_empty() && self.auth_password_file.is_empty() {
            self.auth_password.clone_from(&global.smtp_auth_password);
            self.auth_password_file
                .clone_from(&global.smtp_auth_password_file);
        }
        if self.auth_secret.is_empty() && self.auth_secret_file.is_empty() {
            self.auth_secret.clone_from(&global.smtp_auth_secret);
            self.auth_secret_file
                .clone_from(&global.smtp_auth_secret_file);
        }
        fill(&mut self.auth_identity, &global.smtp_auth_identity);
        fill(&mut self.require_tls, &Some(global.smtp_require_tls));
        fill(
            &mut self.force_implicit_tls,
            &global.smtp_force_implicit_tls,
        );
        fill(&mut self.tls_config, &global.smtp_tls_config);
        Ok(())
    }

    fn files(&mut self, visit: &dyn Fn(&mut String)) {
        visit(&mut self.auth_password_file);
        visit(&mut self.auth_secret_file);
        if let Some(t) = &mut self.tls_config {
            t.files().into_iter().for_each(visit);
        }
    }
}

receiver! {
    /// Amazon's notification service.
    SnsConfig("config.SNSConfig"), send_resolved: true, files: [] {
        api_url: String;
        sigv4: Option<SigV4Config>;
        topic_arn: String;
        phone_number: String;
        target_arn: String;
        subject: String = "{{ template \"sns.default.subject\" . }}".into();
        message: String = "{{ template \"sns.default.message\" . }}".into();
        attributes: LabelMap;
    }
}

impl Check for SnsConfig {
    fn check(&mut self) -> Result<(), String> {
        let targets = [&self.topic_arn, &self.phone_number, &self.target_arn];
        if targets.into_iter().filter(|t| !t.is_empty()).count() != 1 {
            return Err(
                "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config"
                    .into(),
            );
        }
        Ok(())
    }
}

impl SnsConfig {
    fn complete(&mut self, _: &GlobalConfig) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn header_names_have_one_form() {
        assert_eq!(canonical("reply-TO"), "Reply-To");
        assert_eq!(canonical("subject"), "Subject");
    }
}
