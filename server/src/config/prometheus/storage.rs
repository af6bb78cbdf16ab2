//! `storage`, `runtime`, `tracing`, `otlp`.

use std::collections::BTreeMap;

use super::TlsConfig;
use crate::config::fields::{Check, Omit, config};
use crate::config::{ByteSize, PromDuration};

macro_rules! omit_default {
    ($($t:ty),*) => {$(
        impl Omit for $t {
            fn omit(&self) -> bool {
                *self == Self::default()
            }
        }
    )*};
}
omit_default!(
    StorageConfig,
    TsdbConfig,
    RetentionConfig,
    ChunkEncodingConfig,
    ExemplarsConfig,
    OtlpConfig
);

config! {
    /// Where samples are kept.
    pub(crate) struct StorageConfig("config.StorageConfig") {
        /// The metric store.
        tsdb: TsdbConfig;
        /// Exemplars.
        exemplars: ExemplarsConfig;
    }
}
impl Check for StorageConfig {}

config! {
    /// The metric store.
    pub(crate) struct TsdbConfig("config.TSDBConfig") {
        /// How old a sample may be compared with the newest one.
        out_of_order_time_window: PromDuration;
        /// Part of stale series at which the head is compacted early.
        stale_series_compaction_threshold: f64;
        /// How long data is kept.
        retention: RetentionConfig;
        /// Encodings.
        chunk_encoding: ChunkEncodingConfig;
    }
}
impl Check for TsdbConfig {}

config! {
    /// How long data is kept; what is zero does not limit.
    pub(crate) struct RetentionConfig("config.TSDBRetentionConfig") {
        /// By age.
        time: PromDuration;
        /// By size of the blocks.
        size: ByteSize;
        /// By part of the disk.
        percentage: f64;
    }
}
impl Check for RetentionConfig {
    fn check(&mut self) -> Result<(), String> {
        if !(0.0..=100.0).contains(&self.percentage) {
            return Err(format!(
                "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {}",
                self.percentage
            ));
        }
        Ok(())
    }
}

config! {
    /// Encodings, accepted: this store picks its own.
    pub(crate) struct ChunkEncodingConfig("config.ChunkEncodingConfig") {
        /// Of floats.
        floats: String;
    }
}
impl Check for ChunkEncodingConfig {
    fn check(&mut self) -> Result<(), String> {
        match self.floats.as_str() {
            "" | "xor" | "xor2" => Ok(()),
            other => Err(format!(
                "unknown chunk encoding {other:?} for floats, must be xor or xor2"
            )),
        }
    }
}

config! {
    /// Exemplars.
    pub(crate) struct ExemplarsConfig("config.ExemplarsConfig") {
        /// How many are kept in all.
        max_exemplars: i64 = 100_000;
    }
}
impl Check for ExemplarsConfig {}

config! {
    /// Options of the Go runtime: accepted without effect.
    pub(crate) struct RuntimeConfig("config.RuntimeConfig") {
        /// Garbage collector target.
        gogc: i64 = 75;
    }
}
impl Check for RuntimeConfig {}
impl Omit for RuntimeConfig {
    fn omit(&self) -> bool {
        false
    }
}

config! {
    /// Traces of this server: accepted without effect.
    pub(crate) struct TracingConfig("config.TracingConfig") {
        /// `grpc` or `http`.
        client_type: String = "grpc".into();
        /// Where to.
        endpoint: String;
        /// Part of requests that are traced.
        sampling_fraction: f64;
        /// Without TLS.
        insecure: bool;
        /// TLS of the connection.
        tls_config: TlsConfig;
        /// Extra headers.
        headers: BTreeMap<String, crate::config::Secret>;
        /// `gzip` or nothing.
        compression: String;
        /// How long a request may take.
        timeout: PromDuration;
    }
}
impl Check for TracingConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.endpoint.is_empty() {
            return Err("tracing endpoint must be set".into());
        }
        if !matches!(self.client_type.as_str(), "grpc" | "http") {
            return Err(format!(
                "expected tracing client type to be one of [http grpc] but got {}",
                self.client_type
            ));
        }
        if !matches!(self.compression.as_str(), "" | "gzip") {
            return Err(format!(
                "invalid compression type {} provided, valid options: gzip",
                self.compression
            ));
        }
        Ok(())
    }
}

/// How names from OTLP become metric and label names.
const TRANSLATION_STRATEGIES: [&str; 4] = [
    "UnderscoreEscapingWithSuffixes",
    "NoUTF8EscapingWithSuffixes",
    "UnderscoreEscapingWithoutSuffixes",
    "NoTranslation",
];

config! {
    /// How OTLP metrics become series.
    pub(crate) struct OtlpConfig("config.OTLPConfig") {
        /// Resource attributes that become labels.
        promote_resource_attributes: Vec<String>;
        /// All resource attributes become labels.
        promote_all_resource_attributes: bool;
        /// Except these.
        ignore_resource_attributes: Vec<String>;
        /// How names are translated.
        translation_strategy: String = TRANSLATION_STRATEGIES[0].into();
        /// Whether `target_info` keeps the attributes that make `job` and `instance`.
        keep_identifying_resource_attributes: bool;
        /// Whether explicit histograms become native ones with custom buckets.
        convert_histograms_to_nhcb: bool;
        /// Whether scope name, version and attributes become labels.
        promote_scope_metadata: bool;
        /// Whether label names that start with an underscore get a prefix.
        label_name_underscore_sanitization: bool = true => keep;
        /// Whether runs of underscores stay.
        label_name_preserve_multiple_underscores: bool = true => keep;
    }
}
impl Check for OtlpConfig {
    fn check(&mut self) -> Result<(), String> {
        if !TRANSLATION_STRATEGIES.contains(&self.translation_strategy.as_str()) {
            return Err(format!(
                "unsupported OTLP translation strategy {:?}, must be one of {}",
                self.translation_strategy,
                TRANSLATION_STRATEGIES.join(", ")
            ));
        }
        if self.promote_all_resource_attributes && !self.promote_resource_attributes.is_empty() {
            return Err("'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously".into());
        }
        if !self.promote_all_resource_attributes && !self.ignore_resource_attributes.is_empty() {
            return Err("'ignore_resource_attributes' requires 'promote_all_resource_attributes' to be enabled".into());
        }
        for (field, list) in [
            (
                "promote_resource_attributes",
                &mut self.promote_resource_attributes,
            ),
            (
                "ignore_resource_attributes",
                &mut self.ignore_resource_attributes,
            ),
        ] {
            for (i, name) in list.iter_mut().enumerate() {
                *name = name.trim().to_owned();
                if name.is_empty() {
                    return Err(format!(
                        "invalid '{field}': empty OTel resource attribute at index {i}"
                    ));
                }
            }
        }
        Ok(())
    }
}
