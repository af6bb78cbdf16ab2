//! `http_sd_configs`.

use crate::config::fields::{Check, config};
use crate::config::{ConfigUrl, PromDuration};

config! {
    /// Targets from an endpoint that answers with the JSON of a target file.
    pub(crate) struct HttpSdConfig("http.SDConfig") + http {
        /// The endpoint.
        url: ConfigUrl => keep;
        /// How often it is asked.
        refresh_interval: PromDuration = PromDuration::from_secs(60);
    }
}

impl Check for HttpSdConfig {
    fn check(&mut self) -> Result<(), String> {
        let Some(url) = self.url.parsed() else {
            return Err("URL is missing".into());
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err("URL scheme must be 'http' or 'https'".into());
        }
        if url.host_str().unwrap_or("").is_empty() {
            return Err("host is missing in URL".into());
        }
        self.http_client().check()
    }
}
