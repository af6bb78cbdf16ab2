//! `consul_sd_configs`.

use crate::config::fields::{Check, config};
use crate::config::{LabelMap, PromDuration, Secret};

config! {
    /// Services of a Consul catalogue.
    pub(crate) struct ConsulSdConfig("consul.SDConfig") + http {
        /// Address of an agent.
        server: String = "localhost:8500".into();
        /// Prefix of its API's paths.
        path_prefix: String;
        /// Access token.
        token: Secret;
        /// Datacenter, by default the agent's.
        datacenter: String;
        /// Namespace.
        namespace: String;
        /// Admin partition.
        partition: String;
        /// What stands between tags in the tag label.
        tag_separator: String = ",".into() => keep;
        /// `http` or `https`.
        scheme: String = "http".into();
        /// Old form of `basic_auth.username`.
        username: String;
        /// Old form of `basic_auth.password`.
        password: Secret;
        /// Whether any server may answer.
        allow_stale: bool = true => keep;
        /// How often the list of services is asked for.
        refresh_interval: PromDuration = PromDuration::from_secs(30);
        /// Services; all when empty.
        services: Vec<String>;
        /// Tags that a service must have.
        tags: Vec<String>;
        /// Metadata that its node must have.
        node_meta: LabelMap;
        /// Filter expression of the catalogue.
        filter: String;
        /// Filter expression of the health endpoint.
        health_filter: String;
    }
}

impl Check for ConsulSdConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.server.trim().is_empty() {
            return Err("consul SD configuration requires a server address".into());
        }
        if !self.username.is_empty() || !self.password.is_empty() {
            if self.basic_auth.is_some() {
                return Err("at most one of consul SD configuration username and password and basic auth can be configured".into());
            }
            self.basic_auth = Some(Box::new(crate::config::prometheus::BasicAuth {
                username: std::mem::take(&mut self.username),
                password: std::mem::take(&mut self.password),
                ..Default::default()
            }));
        }
        if !self.token.is_empty() && (self.authorization.is_some() || self.oauth2.is_some()) {
            return Err(
                "at most one of consul SD token, authorization, or oauth2 can be configured".into(),
            );
        }
        self.http_client().check()
    }
}
