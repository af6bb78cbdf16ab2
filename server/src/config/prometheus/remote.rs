//! `remote_write`, `remote_read`: copies to and answers from other servers.

use std::collections::BTreeMap;

use super::http_client::check_remote_headers;
use super::{LabelMap, RelabelConfig};
use crate::config::fields::{Check, Omit, config};
use crate::config::{ConfigUrl, PromDuration, Secret};

config! {
    /// Signing of requests for AWS.
    pub(crate) struct SigV4Config("sigv4.SigV4Config") {
        /// Region.
        region: String;
        /// Access key.
        access_key: String;
        /// Secret key.
        secret_key: Secret;
        /// Named profile.
        profile: String;
        /// Role to assume.
        role_arn: String;
        /// Id given when the role is assumed.
        external_id: String;
        /// Name of the service.
        service_name: String;
        /// Whether the FIPS endpoints are used.
        use_fips_sts_endpoint: bool;
    }
}
impl Check for SigV4Config {
    fn check(&mut self) -> Result<(), String> {
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return Err("must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config".into());
        }
        Ok(())
    }
}

config! {
    /// Authentication for Azure, read and refused: nothing is sent to such a destination.
    pub(crate) struct AzureAdConfig("azuread.AzureADConfig") {
        /// Cloud.
        cloud: String;
        /// Scope.
        scope: String;
        /// Managed identity.
        managed_identity: BTreeMap<String, Secret>;
        /// Client credentials.
        oauth: BTreeMap<String, Secret>;
        /// Default credentials.
        sdk: BTreeMap<String, Secret>;
        /// Workload identity.
        workload_identity: BTreeMap<String, Secret>;
    }
}
impl Check for AzureAdConfig {}

config! {
    /// Authentication for Google, read and refused: nothing is sent to such a destination.
    pub(crate) struct GoogleIamConfig("googleiam.Config") {
        /// File with credentials.
        credentials_file: String;
    }
}
impl Check for GoogleIamConfig {}

config! {
    /// The queue of a remote write destination.
    pub(crate) struct QueueConfig("config.QueueConfig") {
        /// Samples buffered per shard.
        capacity: u64 = 10_000;
        /// Most shards.
        max_shards: u64 = 50;
        /// Fewest shards.
        min_shards: u64 = 1;
        /// Most samples of a request.
        max_samples_per_send: u64 = 2000;
        /// How long a sample waits for company.
        batch_send_deadline: PromDuration = PromDuration::from_secs(5);
        /// First pause after a failure.
        min_backoff: PromDuration = PromDuration::from_ms(30);
        /// Longest pause after failures.
        max_backoff: PromDuration = PromDuration::from_secs(5);
        /// Whether status 429 is a reason to try again.
        retry_on_http_429: bool;
        /// Samples older than this are not sent.
        sample_age_limit: PromDuration;
    }
}
impl Check for QueueConfig {}
impl Omit for QueueConfig {
    fn omit(&self) -> bool {
        false
    }
}

config! {
    /// How metadata is sent.
    pub(crate) struct MetadataConfig("config.MetadataConfig") {
        /// Whether it is.
        send: bool = true => keep;
        /// How often.
        send_interval: PromDuration = PromDuration::from_secs(60) => keep;
        /// Most entries of a request.
        max_samples_per_send: u64 = 2000;
    }
}
impl Check for MetadataConfig {}
impl Omit for MetadataConfig {
    fn omit(&self) -> bool {
        false
    }
}

/// The two messages of the remote write protocol.
pub(crate) const PROTOBUF_MESSAGES: [&str; 2] =
    ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];

config! {
    /// A destination of copies.
    pub(crate) struct RemoteWriteConfig("config.RemoteWriteConfig") + http {
        /// Where to.
        url: ConfigUrl => keep;
        /// How long a request may take.
        remote_timeout: PromDuration = PromDuration::from_secs(30);
        /// Extra headers.
        headers: BTreeMap<String, String>;
        /// Rules for samples.
        write_relabel_configs: Vec<RelabelConfig>;
        /// Name in metrics and logs.
        name: String;
        /// Whether exemplars are sent.
        send_exemplars: bool;
        /// Whether native histograms are sent.
        send_native_histograms: bool;
        /// Whether addresses of the host take turns.
        round_robin_dns: bool;
        /// Whether refused requests are logged.
        failed_request_logging: bool;
        /// Message, and with it the protocol's version.
        protobuf_message: String = PROTOBUF_MESSAGES[0].into();
        /// The queue.
        queue_config: QueueConfig;
        /// Metadata.
        metadata_config: MetadataConfig;
        /// Signing of requests.
        sigv4: Option<SigV4Config>;
        /// Authentication for Azure.
        azuread: Option<AzureAdConfig>;
        /// Authentication for Google.
        google_iam: Option<GoogleIamConfig>;
    }
}

impl Check for RemoteWriteConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("url for remote_write is empty".into());
        }
        check_remote_headers(&self.headers)?;
        if !PROTOBUF_MESSAGES.contains(&self.protobuf_message.as_str()) {
            return Err(format!(
                "invalid protobuf_message value: unknown type for remote write protobuf message {}, supported: {}",
                self.protobuf_message,
                PROTOBUF_MESSAGES.join(", ")
            ));
        }
        self.http_client().check()?;
        let authentications = [
            self.basic_auth.is_some(),
            self.authorization.is_some(),
            self.oauth2.is_some(),
            self.sigv4.is_some(),
            self.azuread.is_some(),
            self.google_iam.is_some(),
        ];
        if authentications.iter().filter(|a| **a).count() > 1 {
            return Err("at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured".into());
        }
        Ok(())
    }
}

config! {
    /// A server that is asked for older data.
    pub(crate) struct RemoteReadConfig("config.RemoteReadConfig") + http {
        /// Where.
        url: ConfigUrl => keep;
        /// How long a request may take.
        remote_timeout: PromDuration = PromDuration::from_secs(60);
        /// Largest frame of a streamed answer.
        chunked_read_limit: u64 = 50_000_000;
        /// Extra headers.
        headers: BTreeMap<String, String>;
        /// Whether it is asked for ranges that are complete here.
        read_recent: bool;
        /// Name in metrics and logs.
        name: String;
        /// Matchers that a selector must hold for the server to be asked.
        required_matchers: LabelMap;
        /// Whether the external labels are used as matchers.
        filter_external_labels: bool = true => keep;
    }
}

impl Check for RemoteReadConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("url for remote_read is empty".into());
        }
        check_remote_headers(&self.headers)?;
        self.http_client().check()
    }
}
