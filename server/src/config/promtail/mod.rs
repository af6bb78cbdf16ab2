//! `promtail-config.yml`: what the log agent reads and where it sends it.
//!
//! Owns: the document with its defaults, what contradicts itself, which sources exist here.
//! Knows nothing of: reading files, sending, what a stage's settings mean.
//!
//! Invariants
//! - PTC1  A source that the file asks for and that does not exist here is an error that names it
//!   (AGT3): lines that nobody reads are lost silently otherwise.

mod sources;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(crate) use sources::{JournalConfig, PushApiConfig, SyslogConfig};

use exporters::logs::settings::Node;
use exporters::logs::stages::ReadRate;
use exporters::logs::tail::{Charset, Format, Manner, Packing};

use super::fields::{Check, Omit, config};
use super::prometheus::{
    ConsulSdConfig, DiscoveryConfigs, DnsSdConfig, DockerSdConfig, FileSdConfig, HttpSdConfig,
    KubernetesRole, KubernetesSdConfig, KubernetesSelector, RelabelConfig, StaticConfig,
};
use super::{ConfigError, ConfigUrl, LabelMap, PromDuration, Secret, yaml};

impl Omit for Node {
    fn omit(&self) -> bool {
        *self == Self::Null
    }
}

config! {
    /// The agent's own pages.
    pub(crate) struct ServerConfig("server.Config") {
        /// Address to listen on.
        http_listen_address: String;
        /// Port to listen on.
        http_listen_port: u16 = 80 => keep;
        /// Address of a second protocol, which nobody speaks here.
        grpc_listen_address: String;
        /// Its port.
        grpc_listen_port: u16 = 9095 => keep;
        /// Level of the log.
        log_level: String = "info".into() => keep;
        /// Form of the log.
        log_format: String = "logfmt".into() => keep;
        /// No pages at all.
        disable: bool => keep;
        /// Readiness waits for a target.
        health_check_target: Option<bool>;
        /// The URL users reach the pages under.
        external_url: String;
        /// Prefix of the pages.
        http_path_prefix: String;
        /// `POST /reload`.
        enable_runtime_reload: bool => keep;
        /// `/debug/pprof`.
        profiling_enabled: bool;
        /// How long a stop may take.
        graceful_shutdown_timeout: PromDuration;
        /// How long a request may take to come.
        http_server_read_timeout: PromDuration;
        /// How long an answer may take to go.
        http_server_write_timeout: PromDuration;
        /// How long a connection may be idle.
        http_server_idle_timeout: PromDuration;
        /// Accepted: numbers of this process are always there.
        register_instrumentation: Option<bool>;
        /// Of the second protocol, which nobody speaks here.
        grpc_server_max_recv_msg_size: Node;
        /// The same.
        grpc_server_max_send_msg_size: Node;
        /// The same.
        grpc_server_max_concurrent_streams: Node;
        /// The same.
        grpc_listen_network: Node;
        /// The same.
        grpc_listen_conn_limit: Node;
        /// The same.
        grpc_tls_config: Node;
        /// Accepted.
        http_listen_network: Node;
        /// Accepted.
        http_listen_conn_limit: Node;
        /// Accepted.
        http_server_read_header_timeout: Node;
        /// Accepted.
        log_source_ips_enabled: Node;
        /// Accepted.
        log_request_headers: Node;
        /// Accepted.
        log_request_at_info_level_enabled: Node;
        /// Pages over TLS, which are not served here.
        http_tls_config: Node;
    }
}
impl Check for ServerConfig {
    fn check(&mut self) -> Result<(), String> {
        match self.http_tls_config {
            Node::Null => Ok(()),
            _ => Err("server: http_tls_config: pages are not served over TLS".into()),
        }
    }
}

config! {
    /// Where positions are kept.
    pub(crate) struct PositionsConfig("positions.Config") {
        /// The file.
        filename: String = "/var/log/positions.yaml".into() => keep;
        /// How often it is written.
        sync_period: PromDuration = PromDuration::from_secs(10) => keep;
        /// A file that is no YAML counts as an empty one.
        ignore_invalid_yaml: bool => keep;
    }
}
impl Check for PositionsConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.sync_period.is_zero() {
            self.sync_period = PromDuration::from_secs(10);
        }
        Ok(())
    }
}

config! {
    /// How long a refused batch waits.
    pub(crate) struct BackoffConfig("backoff.Config") {
        /// The first time.
        min_period: PromDuration = PromDuration::from_ms(500) => keep;
        /// At most.
        max_period: PromDuration = PromDuration::from_secs(300) => keep;
        /// Tries before the batch is dropped; 0 for endless ones.
        max_retries: u32 = 10 => keep;
    }
}
impl Check for BackoffConfig {}
impl Omit for BackoffConfig {
    fn omit(&self) -> bool {
        *self == Self::default()
    }
}

config! {
    /// Where entries are sent.
    pub(crate) struct ClientConfig("client.Config") + http {
        /// The push path.
        url: ConfigUrl => keep;
        /// Name in the log.
        name: String;
        /// Tenant of entries without one.
        tenant_id: String;
        /// How long a batch waits for more.
        batchwait: PromDuration = PromDuration::from_secs(1) => keep;
        /// How large it grows, bytes.
        batchsize: u64 = 1_048_576 => keep;
        /// How long a request may take.
        timeout: PromDuration = PromDuration::from_secs(10) => keep;
        /// Labels of everything that is sent.
        external_labels: LabelMap;
        /// Headers of every request.
        headers: BTreeMap<String, Secret>;
        /// How long a refused batch waits.
        backoff_config: BackoffConfig => keep;
        /// A batch that is refused for its rate is dropped at once.
        drop_rate_limited_batches: bool => keep;
        /// Of older files: labels that tell how far behind a stream is. `options` says it now.
        stream_lag_labels: String;
    }
}
impl Check for ClientConfig {
    fn check(&mut self) -> Result<(), String> {
        self.http_client().check()
    }
}

config! {
    /// Decompression of whole files.
    pub(crate) struct DecompressionConfig("scrapeconfig.DecompressionConfig") {
        /// On.
        enabled: bool => keep;
        /// How long a new file is left alone.
        initial_delay: PromDuration;
        /// `gz`, `z`, `bz2`.
        format: String;
    }
}
impl Check for DecompressionConfig {}

config! {
    /// One job.
    pub(crate) struct JobConfig("scrapeconfig.Config") {
        /// Name, unique.
        job_name: String => keep;
        /// Stages.
        pipeline_stages: Node;
        /// Files that are named here.
        static_configs: Vec<StaticConfig>;
        /// Files that target files name.
        file_sd_configs: Vec<FileSdConfig>;
        /// Rules for targets.
        relabel_configs: Vec<RelabelConfig>;
        /// Character set of the files.
        encoding: String;
        /// Decompression of whole files.
        decompression_config: Option<DecompressionConfig>;
        /// The same.
        decompression: Option<DecompressionConfig>;
        /// Targets from an HTTP endpoint.
        http_sd_configs: Vec<HttpSdConfig>;
        /// Targets from DNS.
        dns_sd_configs: Vec<DnsSdConfig>;
        /// Files of pods and other objects of Kubernetes.
        kubernetes_sd_configs: Vec<KubernetesSdConfig>;
        /// Targets from Consul.
        consul_sd_configs: Vec<ConsulSdConfig>;
        /// Containers, read through their engine.
        docker_sd_configs: Vec<DockerSdConfig>;
        /// The systemd journal.
        journal: Option<JournalConfig>;
        /// A receiver of syslog messages.
        syslog: Option<SyslogConfig>;
        /// A receiver of pushes.
        loki_push_api: Option<PushApiConfig>;
        /// Source.
        gelf: Node;
        /// Source.
        kafka: Node;
        /// Source.
        gcplog: Node;
        /// Source.
        windows_events: Node;
        /// Source.
        cloudflare: Node;
        /// Source.
        heroku_drain: Node;
        /// Source.
        azure_event_hub: Node;
        /// Source.
        azure_event_hubs: Node;
        /// Source.
        consulagent_sd_configs: Node;
        /// Source.
        digitalocean_sd_configs: Node;
        /// Source.
        dockerswarm_sd_configs: Node;
        /// Source.
        ec2_sd_configs: Node;
        /// Source.
        gce_sd_configs: Node;
        /// Source.
        azure_sd_configs: Node;
        /// Source.
        openstack_sd_configs: Node;
        /// Source.
        marathon_sd_configs: Node;
        /// Source.
        nerve_sd_configs: Node;
        /// Source.
        serverset_sd_configs: Node;
        /// Source.
        triton_sd_configs: Node;
    }
}

impl Check for JobConfig {
    fn check(&mut self) -> Result<(), String> {
        let job = &self.job_name;
        if job.is_empty() {
            return Err("job_name is required".into());
        }
        let sources = [
            ("gelf", &self.gelf),
            ("kafka", &self.kafka),
            ("gcplog", &self.gcplog),
            ("windows_events", &self.windows_events),
            ("cloudflare", &self.cloudflare),
            ("heroku_drain", &self.heroku_drain),
            ("azure_event_hub", &self.azure_event_hub),
            ("azure_event_hubs", &self.azure_event_hubs),
            ("consulagent_sd_configs", &self.consulagent_sd_configs),
            ("digitalocean_sd_configs", &self.digitalocean_sd_configs),
            ("dockerswarm_sd_configs", &self.dockerswarm_sd_configs),
            ("ec2_sd_configs", &self.ec2_sd_configs),
            ("gce_sd_configs", &self.gce_sd_configs),
            ("azure_sd_configs", &self.azure_sd_configs),
            ("openstack_sd_configs", &self.openstack_sd_configs),
            ("marathon_sd_configs", &self.marathon_sd_configs),
            ("nerve_sd_configs", &self.nerve_sd_configs),
            ("serverset_sd_configs", &self.serverset_sd_configs),
            ("triton_sd_configs", &self.triton_sd_configs),
        ];
        // PTC1
        if let Some((name, _)) = sources.iter().find(|(_, n)| **n != Node::Null) {
            return Err(format!(
                "job {job:?}: the source {name} is not available here"
            ));
        }
        self.manner()
            .map_err(|e| format!("job {job:?}: {e}"))
            .map(drop)
    }
}

impl JobConfig {
    /// How its files are read.
    ///
    /// # Errors
    /// When nobody knows the character set or the format.
    pub(crate) fn manner(&self) -> Result<Manner, String> {
        let mut packed = self.decompression.iter().chain(&self.decompression_config);
        let packing = match packed.find(|d| d.enabled) {
            None => None,
            Some(d) => Some(Packing {
                format: Format::named(&d.format)?,
                delay: d.initial_delay.as_std(),
            }),
        };
        Ok(Manner {
            charset: Charset::named(&self.encoding)?,
            packing,
        })
    }

    /// Where targets whose files are read come from. Pods are those of the node `host`, whatever else
    /// the file selects: the files of other nodes are not here.
    pub(crate) fn files(&self, host: &str) -> DiscoveryConfigs {
        let mut kubernetes = self.kubernetes_sd_configs.clone();
        for k in kubernetes
            .iter_mut()
            .filter(|k| k.role == Some(KubernetesRole::Pod))
        {
            let own = format!("spec.nodeName={host}");
            if k.selectors.is_empty() {
                k.selectors.push(KubernetesSelector::default());
            }
            for s in &mut k.selectors {
                s.role = Some(KubernetesRole::Pod);
                if s.field.is_empty() {
                    s.field.clone_from(&own);
                } else if !s.field.contains(&own) {
                    s.field = format!("{},{own}", s.field);
                }
            }
        }
        DiscoveryConfigs {
            static_configs: self.static_configs.clone(),
            file: self.file_sd_configs.clone(),
            http: self.http_sd_configs.clone(),
            dns: self.dns_sd_configs.clone(),
            kubernetes,
            consul: self.consul_sd_configs.clone(),
            ..DiscoveryConfigs::default()
        }
    }
}

config! {
    /// Bounds of what is read.
    pub(crate) struct LimitsConfig("limit.Config") {
        /// Lines a second.
        readline_rate: f64 = 10_000.0 => keep;
        /// Lines at once.
        readline_burst: i64 = 10_000 => keep;
        /// The rate counts.
        readline_rate_enabled: bool => keep;
        /// Lines above it are dropped.
        readline_rate_drop: bool = true => keep;
        /// Streams of a batch.
        max_streams: i64 => keep;
        /// Longest line.
        max_line_size: super::ByteSize => keep;
        /// Longer ones are cut.
        max_line_size_truncate: bool => keep;
    }
}
impl Check for LimitsConfig {
    fn check(&mut self) -> Result<(), String> {
        let bad = self.readline_rate <= 0.0 || self.readline_burst <= 0;
        if self.readline_rate_enabled && bad {
            let (rate, burst) = (self.readline_rate, self.readline_burst);
            return Err(format!(
                "limits_config: readline_rate {rate} and readline_burst {burst} have to be above 0"
            ));
        }
        Ok(())
    }
}

impl LimitsConfig {
    /// The limit of all lines together, when it counts.
    pub(crate) fn rate(&self) -> Option<ReadRate> {
        let own = || {
            ReadRate::new(
                self.readline_rate,
                self.readline_burst,
                self.readline_rate_drop,
            )
        };
        self.readline_rate_enabled.then(own)
    }
}

config! {
    /// How often patterns are looked at.
    pub(crate) struct TargetConfig("file.Config") {
        /// The period.
        sync_period: PromDuration = PromDuration::from_secs(10) => keep;
        /// Labels on standard input.
        stdin: bool;
    }
}
impl Check for TargetConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.sync_period.is_zero() {
            self.sync_period = PromDuration::from_secs(10);
        }
        Ok(())
    }
}

config! {
    /// How often files are looked at.
    pub(crate) struct WatchConfig("file.WatchConfig") {
        /// At first.
        min_poll_frequency: PromDuration = PromDuration::from_ms(250) => keep;
        /// At rest.
        max_poll_frequency: PromDuration = PromDuration::from_ms(250) => keep;
    }
}
impl Check for WatchConfig {}

config! {
    /// What concerns all targets.
    pub(crate) struct GlobalConfig("config.GlobalConfig") {
        /// How often files are looked at.
        file_watch_config: WatchConfig;
    }
}
impl Check for GlobalConfig {}

macro_rules! all_omit {
    ($($t:ty),*) => {$(
        impl Omit for $t {
            fn omit(&self) -> bool {
                false
            }
        }
    )*};
}
all_omit!(
    ServerConfig,
    PositionsConfig,
    LimitsConfig,
    TargetConfig,
    WatchConfig,
    GlobalConfig
);

config! {
    /// The document.
    pub(crate) struct PromtailConfig("config.Config") {
        /// The agent's pages.
        server: ServerConfig;
        /// Where positions are kept.
        positions: PositionsConfig;
        /// Old form of `clients`.
        client: Option<ClientConfig>;
        /// Where entries are sent.
        clients: Vec<ClientConfig>;
        /// Jobs.
        scrape_configs: Vec<JobConfig>;
        /// Bounds.
        limits_config: LimitsConfig;
        /// How often patterns are looked at.
        target_config: TargetConfig;
        /// How often files are looked at.
        file_watch_config: WatchConfig;
        /// What concerns all targets.
        global: GlobalConfig;
        /// What belongs nowhere else.
        options: OptionsConfig;
        /// Accepted.
        tracing: Node;
        /// Accepted: positions wait for delivery instead.
        wal: Node;
    }
}

config! {
    /// What belongs nowhere else.
    pub(crate) struct OptionsConfig("config.Options") {
        /// Labels that tell streams apart in the metric of their lag, with commas between.
        stream_lag_labels: String;
    }
}
impl Check for OptionsConfig {}
impl Omit for OptionsConfig {
    fn omit(&self) -> bool {
        *self == Self::default()
    }
}

/// Shortest wait between two looks at files that rest, when the file says nothing.
const POLL_MIN: Duration = Duration::from_millis(20);

/// The label that tells streams apart when nothing else is said.
const LAG_LABEL: &str = "filename";

impl PromtailConfig {
    /// Labels that tell streams of `client` apart in the metric of their lag.
    pub(crate) fn lag_labels(&self, client: &ClientConfig) -> Vec<String> {
        let given = [&client.stream_lag_labels, &self.options.stream_lag_labels];
        let given = given.into_iter().find(|l| !l.trim().is_empty());
        let all = given.map_or(LAG_LABEL, String::as_str).split(',');
        all.map(|l| l.trim().to_owned())
            .filter(|l| !l.is_empty())
            .collect()
    }

    /// Makes the old form one of `clients`, when it has a URL. Its labels are of all clients; what
    /// one of them says itself wins.
    pub(crate) fn settle(&mut self) {
        let Some(old) = self.client.take() else {
            return;
        };
        let labels = old.external_labels.clone();
        if !old.url.is_empty() {
            self.clients.push(old);
        }
        for client in &mut self.clients {
            let own = &mut client.external_labels.0;
            for (name, value) in &labels.0 {
                own.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    /// Shortest and longest wait between two looks at files that rest.
    pub(crate) fn poll(&self) -> (Duration, Duration) {
        let usual = WatchConfig::default();
        let all = [&self.file_watch_config, &self.global.file_watch_config];
        let Some(given) = all.into_iter().find(|w| **w != usual) else {
            return (POLL_MIN, usual.max_poll_frequency.as_std());
        };
        let least = given.min_poll_frequency.as_std();
        let least = least.max(Duration::from_millis(1));
        (least, given.max_poll_frequency.as_std().max(least))
    }
}

impl Check for PromtailConfig {
    fn check(&mut self) -> Result<(), String> {
        let mut names: Vec<&str> = self
            .scrape_configs
            .iter()
            .map(|j| j.job_name.as_str())
            .collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
            return Err(format!("job_name {:?} is used twice", twice[0]));
        }
        // The old form may lack one: it then only says what flags complete.
        if self.clients.iter().any(|c| c.url.is_empty()) {
            return Err(
                "client url is required, for example http://loki:3100/loki/api/v1/push".into(),
            );
        }
        Ok(())
    }
}

/// Reads a file. With `expand`, `${NAME:default}` takes the value of the environment.
///
/// # Errors
/// When it cannot be read or is no document of this kind.
pub(crate) fn load(file: &Path, expand: bool) -> Result<PromtailConfig, ConfigError> {
    let text = yaml::read(file)?;
    let text = if expand {
        super::loki::expand_env(&text)
    } else {
        text
    };
    yaml::parse(file, &text)
}
