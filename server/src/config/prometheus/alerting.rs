//! `alerting`: where alerts are sent.

use super::remote::SigV4Config;
use super::{RelabelConfig, scrape::check_addresses};
use crate::config::PromDuration;
use crate::config::fields::{Check, Omit, config};

config! {
    /// Where alerts are sent.
    pub(crate) struct AlertingConfig("config.AlertingConfig") {
        /// Rules for all alerts.
        alert_relabel_configs: Vec<RelabelConfig>;
        /// The receivers.
        alertmanagers: Vec<AlertmanagerConfig>;
    }
}
impl Check for AlertingConfig {}
impl Omit for AlertingConfig {
    fn omit(&self) -> bool {
        *self == Self::default()
    }
}

config! {
    /// A set of alert receivers.
    pub(crate) struct AlertmanagerConfig("config.AlertmanagerConfig") + discovery + http {
        /// Signing of requests.
        sigv4: Option<SigV4Config>;
        /// `http` or `https`.
        scheme: String = "http".into();
        /// Prefix of the paths.
        path_prefix: String;
        /// How long a request may take.
        timeout: PromDuration = PromDuration::from_secs(10);
        /// Version of the API: only `v2` is left.
        api_version: String = "v2".into() => keep;
        /// Rules for receivers.
        relabel_configs: Vec<RelabelConfig>;
        /// Rules for alerts to these receivers.
        alert_relabel_configs: Vec<RelabelConfig>;
    }
}

impl Check for AlertmanagerConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.api_version != "v2" {
            return Err(format!(
                "expected Alertmanager api version to be one of [v2] but got {}",
                self.api_version
            ));
        }
        self.http_client().check()?;
        let authentications = [
            self.basic_auth.is_some(),
            self.authorization.is_some(),
            self.oauth2.is_some(),
        ];
        if self.sigv4.is_some() && authentications.contains(&true) {
            return Err(
                "at most one of basic_auth, authorization, oauth2, or sigv4 must be configured"
                    .into(),
            );
        }
        if self.relabel_configs.is_empty() {
            check_addresses(&self.static_configs)?;
        }
        Ok(())
    }
}
