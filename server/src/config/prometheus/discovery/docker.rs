//! `docker_sd_configs`.

use crate::config::PromDuration;
use crate::config::fields::{Check, config};

config! {
    /// Containers of one Docker engine.
    pub(crate) struct DockerSdConfig("moby.DockerSDConfig") + http {
        /// Address of the engine, `unix://`, `tcp://` or `http://`.
        host: String => keep;
        /// Port of containers that expose none.
        port: u16 = 80 => keep;
        /// Which containers.
        filters: Vec<DockerFilter> => keep;
        /// Address of containers in the host's network.
        host_networking_host: String = "localhost".into() => keep;
        /// Only the first of a container's networks.
        match_first_network: bool = true => keep;
        /// How often the engine is asked.
        refresh_interval: PromDuration = PromDuration::from_secs(60) => keep;
    }
}

config! {
    /// One filter of the engine's container list.
    pub(crate) struct DockerFilter("moby.Filter") {
        /// Its name.
        name: String => keep;
        /// Values, any of which is accepted.
        values: Vec<String> => keep;
    }
}
impl Check for DockerFilter {}

impl Check for DockerSdConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.host.is_empty() {
            return Err("host missing".into());
        }
        if let Err(e) = url::Url::parse(&self.host) {
            return Err(format!("invalid host {:?}: {e}", self.host));
        }
        self.http_client().check()
    }
}
