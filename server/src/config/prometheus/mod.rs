//! `prometheus.yml`: the documents, their defaults and checks.
//!
//! Owns: the sections as typed values, inheritance of global defaults, files named by patterns.
//! Knows nothing of: who scrapes, evaluates or sends.
//!
//! Read next: `load.rs` (a file and everything it names), `scrape.rs`, `http_client.rs`,
//! `discovery/`.

mod alerting;
pub(crate) mod discovery;
pub(crate) mod http_client;
mod load;
mod relabel;
mod remote;
mod rules;
mod scrape;
mod storage;

pub(crate) use super::LabelMap;
pub(crate) use alerting::{AlertingConfig, AlertmanagerConfig};
pub(crate) use discovery::{
    ConsulSdConfig, DiscoveryConfigs, DnsRecordType, DnsSdConfig, DockerSdConfig, FileSdConfig,
    HttpSdConfig, KubernetesAttach, KubernetesRole, KubernetesSdConfig, KubernetesSelector,
    StaticConfig,
};
pub(crate) use http_client::{
    Authorization, BasicAuth, HttpClientConfig, HttpClientFile, HttpHeader, OAuth2, ProxyConfig,
    TlsConfig, TlsVersion,
};
pub(crate) use load::{LoadedConfig, expand, load, load_rules, load_text};
pub(in crate::config) use load::{directory_of, resolve};
pub(crate) use relabel::{Pattern, RelabelAction, RelabelConfig};
pub(crate) use remote::{
    MetadataConfig, PROTOBUF_MESSAGES, QueueConfig, RemoteReadConfig, RemoteWriteConfig,
    SigV4Config,
};
pub(crate) use rules::{Rule, RuleFile, RuleGroup, parse_over_lines};
pub(crate) use scrape::{GlobalConfig, ScrapeConfig, ScrapeConfigFile, ScrapeProtocol};
pub(crate) use storage::{OtlpConfig, RuntimeConfig, StorageConfig, TracingConfig};

use super::fields::{Check, config};

config! {
    /// The whole document.
    pub(crate) struct PrometheusConfig("config.Config") {
        /// Defaults of all jobs.
        global: GlobalConfig => keep;
        /// Runtime options.
        runtime: RuntimeConfig;
        /// Where alerts are sent.
        alerting: AlertingConfig;
        /// Patterns of rule files.
        rule_files: Vec<String>;
        /// Patterns of files with more jobs.
        scrape_config_files: Vec<String>;
        /// The jobs.
        scrape_configs: Vec<Option<ScrapeConfig>>;
        /// The store.
        storage: StorageConfig;
        /// Traces.
        tracing: Option<TracingConfig>;
        /// Destinations of copies.
        remote_write: Vec<Option<RemoteWriteConfig>>;
        /// Servers that are asked for older data.
        remote_read: Vec<Option<RemoteReadConfig>>;
        /// OTLP.
        otlp: OtlpConfig;
    }
}

impl PrometheusConfig {
    /// The jobs of the main file (after loading: of all files).
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &ScrapeConfig> {
        self.scrape_configs.iter().flatten()
    }
}

impl Check for PrometheusConfig {
    fn check(&mut self) -> Result<(), String> {
        self.global.fill();
        if self.scrape_configs.contains(&None) {
            return Err("empty or null scrape config section".into());
        }
        if self.remote_write.contains(&None) {
            return Err("empty or null remote write config section".into());
        }
        if self.remote_read.contains(&None) {
            return Err("empty or null remote read config section".into());
        }
        unique("scrape configs", self.jobs().map(|j| j.job_name.as_str()))?;
        unique(
            "remote write configs",
            self.remote_write.iter().flatten().map(|c| c.name.as_str()),
        )?;
        unique(
            "remote read configs",
            self.remote_read.iter().flatten().map(|c| c.name.as_str()),
        )?;
        for job in self.scrape_configs.iter_mut().flatten() {
            job.inherit(&self.global)?;
        }
        for (kind, patterns) in [
            ("rule file", &self.rule_files),
            ("scrape config file", &self.scrape_config_files),
        ] {
            if let Some(p) = patterns.iter().find(|p| !load::is_pattern(p)) {
                return Err(format!("invalid {kind} path {p:?}"));
            }
        }
        Ok(())
    }
}

/// Names must differ; the empty one (not named) may repeat.
fn unique<'n>(what: &str, names: impl Iterator<Item = &'n str>) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names.filter(|n| !n.is_empty()) {
        if !seen.insert(name) {
            return Err(format!("found multiple {what} with job name {name:?}"));
        }
    }
    Ok(())
}
