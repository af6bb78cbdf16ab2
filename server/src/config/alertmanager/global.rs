//! `global`: what receivers take over when they do not say it themselves.

use super::HostPort;
use super::url::{HttpUrl, SecretUrl};
use crate::config::fields::{Check, Omit, config};
use crate::config::prometheus::{HttpClientFile, TlsConfig};
use crate::config::{PromDuration, Secret};

config! {
    /// Defaults of all receivers. A name with `_file` is where the value of that name is read.
    pub(crate) struct GlobalConfig("config.GlobalConfig") {
        /// How long an alert without an end lasts.
        resolve_timeout: PromDuration = PromDuration::from_secs(300) => keep;
        http_config: Option<Box<HttpClientFile>>;
        smtp_from: String;
        /// Name we greet the mail server with.
        smtp_hello: String = "localhost".into();
        smtp_smarthost: HostPort;
        smtp_auth_username: String;
        smtp_auth_password: Secret;
        smtp_auth_password_file: String;
        smtp_auth_secret: Secret;
        smtp_auth_secret_file: String;
        smtp_auth_identity: String;
        smtp_require_tls: bool = true => keep;
        smtp_tls_config: Option<TlsConfig>;
        smtp_force_implicit_tls: Option<bool>;
        slack_api_url: SecretUrl;
        slack_api_url_file: String;
        slack_app_token: Secret;
        slack_app_token_file: String;
        slack_app_url: HttpUrl = "https://slack.com/api/chat.postMessage".into();
        pagerduty_url: HttpUrl = "https://events.pagerduty.com/v2/enqueue".into();
        opsgenie_api_url: HttpUrl = "https://api.opsgenie.com/".into();
        opsgenie_api_key: Secret;
        opsgenie_api_key_file: String;
        wechat_api_url: HttpUrl = "https://qyapi.weixin.qq.com/cgi-bin/".into();
        wechat_api_secret: Secret;
        wechat_api_secret_file: String;
        wechat_api_corp_id: String;
        victorops_api_url: HttpUrl =
            "https://alert.victorops.com/integrations/generic/20131114/alert/".into();
        victorops_api_key: Secret;
        victorops_api_key_file: String;
        telegram_api_url: HttpUrl = "https://api.telegram.org".into();
        telegram_bot_token: Secret;
        telegram_bot_token_file: String;
        webex_api_url: HttpUrl = "https://webexapis.com/v1/messages".into();
        jira_api_url: HttpUrl;
        rocketchat_api_url: HttpUrl = "https://open.rocket.chat/".into();
        rocketchat_token: Secret;
        rocketchat_token_file: String;
        rocketchat_token_id: Secret;
        rocketchat_token_id_file: String;
        mattermost_webhook_url: SecretUrl;
        mattermost_webhook_url_file: String;
    }
}

impl Omit for GlobalConfig {
    fn omit(&self) -> bool {
        false
    }
}

/// At most one of a value and the file that holds it.
///
/// # Errors
/// Names both fields.
pub(super) fn one_of(name: &str, given: bool, file: &str) -> Result<(), String> {
    if given && !file.is_empty() {
        return Err(format!(
            "at most one of {name} & {name}_file must be configured"
        ));
    }
    Ok(())
}

impl Check for GlobalConfig {
    fn check(&mut self) -> Result<(), String> {
        let set = |s: &Secret| !s.is_empty();
        for (name, given, file) in [
            (
                "smtp_auth_password",
                set(&self.smtp_auth_password),
                &self.smtp_auth_password_file,
            ),
            (
                "smtp_auth_secret",
                set(&self.smtp_auth_secret),
                &self.smtp_auth_secret_file,
            ),
            (
                "slack_api_url",
                !self.slack_api_url.is_empty(),
                &self.slack_api_url_file,
            ),
            (
                "slack_app_token",
                set(&self.slack_app_token),
                &self.slack_app_token_file,
            ),
            (
                "opsgenie_api_key",
                set(&self.opsgenie_api_key),
                &self.opsgenie_api_key_file,
            ),
            (
                "wechat_api_secret",
                set(&self.wechat_api_secret),
                &self.wechat_api_secret_file,
            ),
            (
                "victorops_api_key",
                set(&self.victorops_api_key),
                &self.victorops_api_key_file,
            ),
            (
                "telegram_bot_token",
                set(&self.telegram_bot_token),
                &self.telegram_bot_token_file,
            ),
            (
                "rocketchat_token",
                set(&self.rocketchat_token),
                &self.rocketchat_token_file,
            ),
            (
                "rocketchat_token_id",
                set(&self.rocketchat_token_id),
                &self.rocketchat_token_id_file,
            ),
            (
                "mattermost_webhook_url",
                !self.mattermost_webhook_url.is_empty(),
                &self.mattermost_webhook_url_file,
            ),
        ] {
            one_of(name, given, file)?;
        }
        for url in [
            &mut self.opsgenie_api_url,
            &mut self.wechat_api_url,
            &mut self.victorops_api_url,
        ] {
            url.end_with_slash();
        }
        Ok(())
    }
}

impl GlobalConfig {
    /// Every name of a file, to make it relative to the document's folder.
    pub(super) fn files(&mut self, visit: &dyn Fn(&mut String)) {
        for f in [
            &mut self.smtp_auth_password_file,
            &mut self.smtp_auth_secret_file,
            &mut self.slack_api_url_file,
            &mut self.slack_app_token_file,
            &mut self.opsgenie_api_key_file,
            &mut self.wechat_api_secret_file,
            &mut self.victorops_api_key_file,
            &mut self.telegram_bot_token_file,
            &mut self.rocketchat_token_file,
            &mut self.rocketchat_token_id_file,
            &mut self.mattermost_webhook_url_file,
        ] {
            visit(f);
        }
        if let Some(h) = &mut self.http_config {
            h.http_client_files(visit);
        }
        if let Some(t) = &mut self.smtp_tls_config {
            t.files().into_iter().for_each(visit);
        }
    }
}
