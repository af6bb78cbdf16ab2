//! Receivers: who is told, and how.
//!
//! Owns: the sections of all kinds, what they take over from `global`, what each must have.
//! Knows nothing of: requests, messages; a text with `{{` is a template that its notifier expands.
//!
//! Read next: `plain.rs` (webhook, mail, SNS), `chat.rs`, `paging.rs`.

mod chat;
mod paging;
mod plain;

pub(crate) use chat::{
    DiscordConfig, MattermostConfig, MsTeamsConfig, MsTeamsV2Config, RocketChatConfig, SlackAction,
    SlackConfig, SlackConfirm, SlackField, TelegramConfig, WebexConfig, WechatConfig,
};
pub(crate) use paging::{
    IncidentIoConfig, JiraConfig, OpsGenieConfig, OpsGenieResponder, PagerDutyConfig,
    PagerDutyImage, PagerDutyLink, PushoverConfig, VictorOpsConfig,
};
pub(crate) use plain::{EmailConfig, EmailThreading, SnsConfig, WebhookConfig};

use super::global::GlobalConfig;
use crate::config::LabelMap;
use crate::config::fields::{Check, config};

/// What all kinds have in common.
pub(super) trait Section {
    /// Takes over what `global` says and this section does not.
    ///
    /// # Errors
    /// When something that is needed is in neither place.
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), String>;

    /// Every name of a file.
    fn files(&mut self, visit: &dyn Fn(&mut String));
}

/// Declares a kind that makes HTTP requests: its fields and which of them name files.
macro_rules! receiver {
    (
        $(#[$m:meta])* $name:ident($section:literal), send_resolved: $resolved:literal,
        files: [$($file:ident),*] { $($fields:tt)* }
    ) => {
        $crate::config::fields::config! {
            $(#[$m])* pub(crate) struct $name($section) {
                /// Whether the end of alerts is told.
                send_resolved: bool = $resolved => keep;
                /// How requests are made; the global options when absent.
                http_config: Option<Box<$crate::config::prometheus::HttpClientFile>>;
                $($fields)*
            }
        }
        impl $crate::config::alertmanager::receivers::Section for $name {
            fn inherit(
                &mut self,
                global: &$crate::config::alertmanager::global::GlobalConfig,
            ) -> Result<(), String> {
                if self.http_config.is_none() {
                    self.http_config.clone_from(&global.http_config);
                }
                self.complete(global)
            }
            fn files(&mut self, visit: &dyn Fn(&mut String)) {
                $(visit(&mut self.$file);)*
                if let Some(h) = &mut self.http_config {
                    h.http_client_files(visit);
                }
            }
        }
    };
}
use receiver;

/// Declares the list of kinds once: the receiver's fields and what is done for every section.
macro_rules! kinds {
    ($($field:ident: $t:ty;)*) => {
        config! {
            /// A named set of integrations; one without any swallows what it is given.
            pub(crate) struct Receiver("config.Receiver") {
                name: String => keep;
                /// Labels for selecting receivers in the API.
                labels: LabelMap;
                $($field: Vec<$t>;)*
            }
        }
        impl Receiver {
            /// See [`Section::inherit`].
            ///
            /// # Errors
            /// As there.
            pub(super) fn inherit(&mut self, global: &GlobalConfig) -> Result<(), String> {
                $(self.$field.iter_mut().try_for_each(|s| s.inherit(global))?;)*
                Ok(())
            }

            /// See [`Section::files`].
            pub(super) fn files(&mut self, visit: &dyn Fn(&mut String)) {
                $(self.$field.iter_mut().for_each(|s| s.files(visit));)*
            }

            /// Number of integrations.
            pub(crate) fn integrations(&self) -> usize {
                0 $(+ self.$field.len())*
            }
        }
    };
}

kinds! {
    discord_configs: DiscordConfig;
    email_configs: EmailConfig;
    incidentio_configs: IncidentIoConfig;
    pagerduty_configs: PagerDutyConfig;
    slack_configs: SlackConfig;
    webhook_configs: WebhookConfig;
    opsgenie_configs: OpsGenieConfig;
    wechat_configs: WechatConfig;
    pushover_configs: PushoverConfig;
    victorops_configs: VictorOpsConfig;
    sns_configs: SnsConfig;
    telegram_configs: TelegramConfig;
    webex_configs: WebexConfig;
    msteams_configs: MsTeamsConfig;
    msteamsv2_configs: MsTeamsV2Config;
    jira_configs: JiraConfig;
    rocketchat_configs: RocketChatConfig;
    mattermost_configs: MattermostConfig;
}

impl Check for Receiver {
    fn check(&mut self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("missing name in receiver".into());
        }
        Ok(())
    }
}
