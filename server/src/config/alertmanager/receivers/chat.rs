//! Rooms people talk in: Slack, Discord, Teams, Webex, WeChat, Telegram, Rocket.Chat, Mattermost.

use super::super::global::{GlobalConfig, one_of};
use super::super::url::{HttpUrl, SecretUrl};
use super::plain::{fill, twin};
use super::receiver;
use crate::config::fields::{Check, config};
use crate::config::{PromDuration, Secret};

config! {
    /// A field of a message.
    pub(crate) struct SlackField("config.SlackField") {
        title: String;
        value: String;
        short: Option<bool>;
    }
}
impl Check for SlackField {
    fn check(&mut self) -> Result<(), String> {
        if self.title.is_empty() {
            return Err("missing title in Slack field configuration".into());
        }
        if self.value.is_empty() {
            return Err("missing value in Slack field configuration".into());
        }
        Ok(())
    }
}

config! {
    /// The question before an action.
    pub(crate) struct SlackConfirm("config.SlackConfirmationField") {
        text: String;
        title: String;
        ok_text: String;
        dismiss_text: String;
    }
}
impl Check for SlackConfirm {
    fn check(&mut self) -> Result<(), String> {
        if self.text.is_empty() {
            return Err("missing text in Slack confirmation configuration".into());
        }
        Ok(())
    }
}

config! {
    /// A button. With an address it loses name, value and question.
    pub(crate) struct SlackAction("config.SlackAction") {
        r#type: String;
        text: String;
        url: String;
        style: String;
        name: String;
        value: String;
        confirm: Option<SlackConfirm>;
    }
}
impl Check for SlackAction {
    fn check(&mut self) -> Result<(), String> {
        if self.r#type.is_empty() {
            return Err("missing type in Slack action configuration".into());
        }
        if self.text.is_empty() {
            return Err("missing text in Slack action configuration".into());
        }
        if !self.url.is_empty() {
            self.name.clear();
            self.value.clear();
            self.confirm = None;
        } else if self.name.is_empty() {
            return Err("missing name or url in Slack action configuration".into());
        }
        Ok(())
    }
}

receiver! {
    /// Slack, by incoming webhook or by an application's token.
    SlackConfig("config.SlackConfig"), send_resolved: false,
    files: [api_url_file, app_token_file] {
        api_url: SecretUrl;
        api_url_file: String;
        app_token: Secret;
        app_token_file: String;
        app_url: HttpUrl;
        channel: String;
        username: String = "{{ template \"slack.default.username\" . }}".into();
        color: String =
            "{{ if eq .Status \"firing\" }}danger{{ else }}good{{ end }}".into();
        title: String = "{{ template \"slack.default.title\" . }}".into();
        title_link: String = "{{ template \"slack.default.titlelink\" . }}".into();
        pretext: String = "{{ template \"slack.default.pretext\" . }}".into();
        text: String = "{{ template \"slack.default.text\" . }}".into();
        message_text: String;
        fields: Vec<SlackField>;
        short_fields: bool;
        footer: String = "{{ template \"slack.default.footer\" . }}".into();
        fallback: String = "{{ template \"slack.default.fallback\" . }}".into();
        callback_id: String = "{{ template \"slack.default.callbackid\" . }}".into();
        icon_emoji: String = "{{ template \"slack.default.iconemoji\" . }}".into();
        icon_url: String = "{{ template \"slack.default.iconurl\" . }}".into();
        image_url: String;
        thumb_url: String;
        link_names: bool;
        mrkdwn_in: Vec<String>;
        actions: Vec<SlackAction>;
        update_message: bool;
        timeout: PromDuration;
    }
}
impl Check for SlackConfig {
    fn check(&mut self) -> Result<(), String> {
        one_of("api_url", !self.api_url.is_empty(), &self.api_url_file)?;
        one_of(
            "app_token",
            !self.app_token.is_empty(),
            &self.app_token_file,
        )?;
        let by_url = !self.api_url.is_empty() || !self.api_url_file.is_empty();
        let by_token = !self.app_token.is_empty() || !self.app_token_file.is_empty();
        if by_url && by_token {
            return Err(
                "at most one of api_url/api_url_file & app_token/app_token_file must be configured"
                    .into(),
            );
        }
        Ok(())
    }
}
impl SlackConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        let own = [
            self.api_url.is_empty(),
            self.api_url_file.is_empty(),
            self.app_token.is_empty(),
            self.app_token_file.is_empty(),
        ];
        fill(&mut self.app_url, &global.slack_app_url);
        if own.contains(&false) {
            return Ok(());
        }
        let by_url = !global.slack_api_url.is_empty() || !global.slack_api_url_file.is_empty();
        let by_token =
            !global.slack_app_token.is_empty() || !global.slack_app_token_file.is_empty();
        if !by_url && !by_token {
            return Err("no Slack API URL nor App token set either inline or in a file".into());
        }
        if by_url {
            self.api_url.clone_from(&global.slack_api_url);
            self.api_url_file.clone_from(&global.slack_api_url_file);
        } else {
            self.app_token.clone_from(&global.slack_app_token);
            self.app_token_file.clone_from(&global.slack_app_token_file);
        }
        Ok(())
    }
}

receiver! {
    /// Discord.
    DiscordConfig("config.DiscordConfig"), send_resolved: true, files: [webhook_url_file] {
        webhook_url: SecretUrl;
        webhook_url_file: String;
        content: String = "{{ template \"discord.default.content\" . }}".into();
        title: String = "{{ template \"discord.default.title\" . }}".into();
        message: String = "{{ template \"discord.default.message\" . }}".into();
        username: String;
        avatar_url: String;
    }
}

receiver! {
    /// Microsoft Teams, by message card.
    MsTeamsConfig("config.MSTeamsConfig"), send_resolved: true, files: [webhook_url_file] {
        webhook_url: SecretUrl;
        webhook_url_file: String;
        title: String = "{{ template \"msteams.default.title\" . }}".into();
        summary: String = "{{ template \"msteams.default.summary\" . }}".into();
        text: String = "{{ template \"msteams.default.text\" . }}".into();
    }
}

receiver! {
    /// Microsoft Teams, by adaptive card.
    MsTeamsV2Config("config.MSTeamsV2Config"), send_resolved: true, files: [webhook_url_file] {
        webhook_url: SecretUrl;
        webhook_url_file: String;
        title: String = "{{ template \"msteamsv2.default.title\" . }}".into();
        text: String = "{{ template \"msteamsv2.default.text\" . }}".into();
    }
}

receiver! {
    /// Mattermost.
    MattermostConfig("config.MattermostConfig"), send_resolved: true, files: [webhook_url_file] {
        webhook_url: SecretUrl;
        webhook_url_file: String;
        channel: String;
        username: String = "{{ template \"mattermost.default.username\" . }}".into();
        text: String = "{{ template \"mattermost.default.text\" . }}".into();
        icon_url: String;
        icon_emoji: String;
        attachments: Option<serde_json::Value>;
        props: Option<serde_json::Value>;
        priority: Option<serde_json::Value>;
        r#type: String;
    }
}

/// Kinds whose only address is `webhook_url`.
macro_rules! needs_webhook_url {
    ($($t:ty),*) => {$(
        impl Check for $t {
            fn check(&mut self) -> Result<(), String> {
                if self.webhook_url.is_empty() && self.webhook_url_file.is_empty() {
                    return Err("one of webhook_url or webhook_url_file must be configured".into());
                }
                one_of("webhook_url", !self.webhook_url.is_empty(), &self.webhook_url_file)
            }
        }
        impl $t {
            fn complete(&mut self, _: &GlobalConfig) -> Result<(), String> {
                Ok(())
            }
        }
    )*};
}
needs_webhook_url!(DiscordConfig, MsTeamsConfig, MsTeamsV2Config);

impl Check for MattermostConfig {
    fn check(&mut self) -> Result<(), String> {
        one_of(
            "webhook_url",
            !self.webhook_url.is_empty(),
            &self.webhook_url_file,
        )
    }
}
impl MattermostConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        let known = twin(
            (&mut self.webhook_url, &mut self.webhook_url_file),
            (
                &global.mattermost_webhook_url,
                &global.mattermost_webhook_url_file,
            ),
        );
        if !known {
            return Err("no Mattermost webhook URL set either inline or in a file".into());
        }
        Ok(())
    }
}

receiver! {
    /// Webex.
    WebexConfig("config.WebexConfig"), send_resolved: true, files: [] {
        api_url: HttpUrl;
        message: String = "{{ template \"webex.default.message\" . }}".into();
        room_id: String;
    }
}
impl Check for WebexConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.room_id.is_empty() {
            return Err("missing room_id on webex_config".into());
        }
        if self
            .http_config
            .as_ref()
            .is_none_or(|h| h.authorization.is_none())
        {
            return Err("missing webex_configs.http_config.authorization".into());
        }
        Ok(())
    }
}
impl WebexConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        fill(&mut self.api_url, &global.webex_api_url);
        Ok(())
    }
}

receiver! {
    /// WeChat.
    WechatConfig("config.WechatConfig"), send_resolved: false, files: [api_secret_file] {
        api_secret: Secret;
        api_secret_file: String;
        corp_id: String;
        message: String = "{{ template \"wechat.default.message\" . }}".into();
        api_url: HttpUrl;
        to_user: String = "{{ template \"wechat.default.to_user\" . }}".into();
        to_party: String = "{{ template \"wechat.default.to_party\" . }}".into();
        to_tag: String = "{{ template \"wechat.default.to_tag\" . }}".into();
        agent_id: String = "{{ template \"wechat.default.agent_id\" . }}".into();
        message_type: String = "text".into();
    }
}
impl Check for WechatConfig {
    fn check(&mut self) -> Result<(), String> {
        one_of(
            "api_secret",
            !self.api_secret.is_empty(),
            &self.api_secret_file,
        )?;
        if !matches!(self.message_type.as_str(), "text" | "markdown") {
            return Err(format!(
                "weChat message type {:?} does not match valid options [text|markdown]",
                self.message_type
            ));
        }
        Ok(())
    }
}
impl WechatConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        fill(&mut self.api_url, &global.wechat_api_url);
        self.api_url.end_with_slash();
        let known = twin(
            (&mut self.api_secret, &mut self.api_secret_file),
            (&global.wechat_api_secret, &global.wechat_api_secret_file),
        );
        if !known {
            return Err("no global Wechat Api Secret set either inline or in a file".into());
        }
        fill(&mut self.corp_id, &global.wechat_api_corp_id);
        if self.corp_id.is_empty() {
            return Err("no global Wechat CorpID set".into());
        }
        Ok(())
    }
}

receiver! {
    /// Telegram.
    TelegramConfig("config.TelegramConfig"), send_resolved: true,
    files: [bot_token_file, chat_id_file] {
        api_url: HttpUrl;
        bot_token: Secret;
        bot_token_file: String;
        chat_id: i64;
        chat_id_file: String;
        message_thread_id: i64;
        message: String = "{{ template \"telegram.default.message\" . }}".into();
        disable_notifications: bool;
        parse_mode: String = "HTML".into() => keep;
    }
}
impl Check for TelegramConfig {
    fn check(&mut self) -> Result<(), String> {
        one_of(
            "bot_token",
            !self.bot_token.is_empty(),
            &self.bot_token_file,
        )?;
        one_of("chat_id", self.chat_id != 0, &self.chat_id_file)?;
        if self.chat_id == 0 && self.chat_id_file.is_empty() {
            return Err("missing chat_id or chat_id_file on telegram_config".into());
        }
        if !matches!(
            self.parse_mode.as_str(),
            "" | "Markdown" | "MarkdownV2" | "HTML"
        ) {
            return Err("unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string".into());
        }
        Ok(())
    }
}
impl TelegramConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        fill(&mut self.api_url, &global.telegram_api_url);
        let known = twin(
            (&mut self.bot_token, &mut self.bot_token_file),
            (&global.telegram_bot_token, &global.telegram_bot_token_file),
        );
        if !known {
            return Err("missing bot_token or bot_token_file on telegram_config".into());
        }
        Ok(())
    }
}

receiver! {
    /// Rocket.Chat.
    RocketChatConfig("config.RocketchatConfig"), send_resolved: false,
    files: [token_file, token_id_file] {
        api_url: HttpUrl;
        channel: String;
        token: Secret;
        token_file: String;
        token_id: Secret;
        token_id_file: String;
        color: String =
            "{{ if eq .Status \"firing\" }}red{{ else }}green{{ end }}".into();
        title: String = "{{ template \"rocketchat.default.title\" . }}".into();
        title_link: String = "{{ template \"rocketchat.default.titlelink\" . }}".into();
        text: String = "{{ template \"rocketchat.default.text\" . }}".into();
        fields: Vec<SlackField>;
        short_fields: bool;
        emoji: String = "{{ template \"rocketchat.default.emoji\" . }}".into();
        icon_url: String = "{{ template \"rocketchat.default.iconurl\" . }}".into();
        image_url: String;
        thumb_url: String;
        link_names: bool;
        actions: Vec<serde_json::Value>;
    }
}
impl Check for RocketChatConfig {
    fn check(&mut self) -> Result<(), String> {
        one_of("token", !self.token.is_empty(), &self.token_file)?;
        one_of("token_id", !self.token_id.is_empty(), &self.token_id_file)
    }
}
impl RocketChatConfig {
    fn complete(&mut self, global: &GlobalConfig) -> Result<(), String> {
        fill(&mut self.api_url, &global.rocketchat_api_url);
        let known = twin(
            (&mut self.token, &mut self.token_file),
            (&global.rocketchat_token, &global.rocketchat_token_file),
        );
        if !known {
            return Err("no global Rocketchat Token set either inline or in a file".into());
        }
        let known = twin(
            (&mut self.token_id, &mut self.token_id_file),
            (
                &global.rocketchat_token_id,
                &global.rocketchat_token_id_file,
            ),
        );
        if !known {
            return Err("no global Rocketchat TokenID set either inline or in a file".into());
        }
        Ok(())
    }
}
