//! `global` and `scrape_configs`: what to scrape, how often, within which limits.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{RelabelConfig, StaticConfig};
use crate::config::fields::{Check, Omit, config};
use crate::config::{ByteSize, LabelMap, MultiMap, PromDuration};

/// Exposition formats that a scrape can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ScrapeProtocol {
    /// Protobuf.
    PrometheusProto,
    /// Text 0.0.4.
    PrometheusText004,
    /// Text 1.0.0.
    PrometheusText100,
    /// OpenMetrics 0.0.1.
    OpenMetricsText001,
    /// OpenMetrics 1.0.0.
    OpenMetricsText100,
}

impl ScrapeProtocol {
    const NAMES: [(&'static str, Self); 5] = [
        ("OpenMetricsText0.0.1", Self::OpenMetricsText001),
        ("OpenMetricsText1.0.0", Self::OpenMetricsText100),
        ("PrometheusProto", Self::PrometheusProto),
        ("PrometheusText0.0.4", Self::PrometheusText004),
        ("PrometheusText1.0.0", Self::PrometheusText100),
    ];

    /// What is asked for when nothing is configured.
    pub(crate) const DEFAULT: [Self; 4] = [
        Self::OpenMetricsText100,
        Self::OpenMetricsText001,
        Self::PrometheusText100,
        Self::PrometheusText004,
    ];

    /// What is asked for when native histograms are wanted.
    pub(crate) const WITH_HISTOGRAMS: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText100,
        Self::OpenMetricsText001,
        Self::PrometheusText100,
        Self::PrometheusText004,
    ];

    /// The name in configuration files.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, p)| *p == self)
            .map_or("", |(n, _)| n)
    }
}

impl<'de> Deserialize<'de> for ScrapeProtocol {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        let found = Self::NAMES.iter().find(|(n, _)| *n == name);
        found.map(|(_, p)| *p).ok_or_else(|| {
            let known: Vec<&str> = Self::NAMES.iter().map(|(n, _)| *n).collect();
            serde::de::Error::custom(format!(
                "unknown scrape protocol {name}, supported: [{}]",
                known.join(" ")
            ))
        })
    }
}
impl Serialize for ScrapeProtocol {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

fn check_protocols(protocols: &[ScrapeProtocol]) -> Result<(), String> {
    for (i, p) in protocols.iter().enumerate() {
        if protocols.iter().take(i).any(|q| q == p) {
            return Err(format!(
                "duplicated protocol in scrape_protocols, got {}",
                p.name()
            ));
        }
    }
    Ok(())
}

fn one_of(field: &str, value: &str, known: &[&str]) -> Result<(), String> {
    if value.is_empty() || known.contains(&value) {
        return Ok(());
    }
    Err(format!(
        "unknown {field} {value:?}, must be one of {}",
        known.join(", ")
    ))
}

/// Rules for metric and label names.
const VALIDATION_SCHEMES: [&str; 2] = ["utf8", "legacy"];
/// How names are escaped for targets that cannot send them.
const ESCAPING_SCHEMES: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

config! {
    /// Defaults of all jobs.
    pub(crate) struct GlobalConfig("config.GlobalConfig") {
        /// How often targets are scraped.
        scrape_interval: PromDuration => keep;
        /// How long a scrape may take.
        scrape_timeout: PromDuration => keep;
        /// Formats to ask for, best first.
        scrape_protocols: Vec<ScrapeProtocol>;
        /// How often rules are evaluated.
        evaluation_interval: PromDuration => keep;
        /// How far in the past rules are evaluated.
        rule_query_offset: PromDuration;
        /// Labels of everything that leaves this server.
        external_labels: LabelMap;
        /// File for a line per query.
        query_log_file: String;
        /// File for a line per failed scrape.
        scrape_failure_log_file: String;
        /// Largest answer of a target.
        body_size_limit: ByteSize;
        /// Most samples of a scrape.
        sample_limit: u64;
        /// Most targets of a job.
        target_limit: u64;
        /// Most labels of a sample.
        label_limit: u64;
        /// Longest label name.
        label_name_length_limit: u64;
        /// Longest label value.
        label_value_length_limit: u64;
        /// How many dropped targets are kept for display.
        keep_dropped_targets: u64;
        /// Rules for names.
        metric_name_validation_scheme: String;
        /// Escaping of names.
        metric_name_escaping_scheme: String;
        /// Whether native histograms are scraped.
        scrape_native_histograms: Option<bool>;
        /// Whether classic histograms are stored as native ones with custom buckets.
        convert_classic_histograms_to_nhcb: Option<bool>;
        /// Whether classic histograms are stored beside native ones.
        always_scrape_classic_histograms: Option<bool>;
        /// Whether limits and timeout are stored as metrics of the target.
        extra_scrape_metrics: Option<bool>;
    }
}

impl Check for GlobalConfig {
    fn check(&mut self) -> Result<(), String> {
        self.fill();
        if self.scrape_timeout > self.scrape_interval {
            return Err("global scrape timeout greater than scrape interval".into());
        }
        check_protocols(&self.scrape_protocols)?;
        one_of(
            "metric_name_validation_scheme",
            &self.metric_name_validation_scheme,
            &VALIDATION_SCHEMES,
        )?;
        one_of(
            "metric_name_escaping_scheme",
            &self.metric_name_escaping_scheme,
            &ESCAPING_SCHEMES,
        )?;
        for (name, _) in self.external_labels.iter() {
            if name.is_empty() {
                return Err(format!("{name:?} is not a valid label name"));
            }
        }
        Ok(())
    }
}

impl GlobalConfig {
    const INTERVAL: PromDuration = PromDuration::from_secs(60);
    const TIMEOUT: PromDuration = PromDuration::from_secs(10);

    /// Puts the defaults in place of what is zero.
    pub(super) fn fill(&mut self) {
        if self.scrape_interval.is_zero() {
            self.scrape_interval = Self::INTERVAL;
        }
        if self.scrape_timeout.is_zero() {
            self.scrape_timeout = Self::TIMEOUT.min(self.scrape_interval);
        }
        if self.evaluation_interval.is_zero() {
            self.evaluation_interval = Self::INTERVAL;
        }
        if self.scrape_protocols.is_empty() {
            self.scrape_protocols = if self.scrape_native_histograms == Some(true) {
                ScrapeProtocol::WITH_HISTOGRAMS.to_vec()
            } else {
                ScrapeProtocol::DEFAULT.to_vec()
            };
        }
        if self.metric_name_validation_scheme.is_empty() {
            self.metric_name_validation_scheme = "utf8".into();
        }
        if self.metric_name_escaping_scheme.is_empty() {
            self.metric_name_escaping_scheme = escaping_of(&self.metric_name_validation_scheme);
        }
        self.scrape_native_histograms.get_or_insert(false);
        self.convert_classic_histograms_to_nhcb.get_or_insert(false);
        self.always_scrape_classic_histograms.get_or_insert(false);
        self.extra_scrape_metrics.get_or_insert(false);
    }
}

fn escaping_of(validation: &str) -> String {
    if validation == "legacy" {
        "underscores".into()
    } else {
        "allow-utf-8".into()
    }
}

config! {
    /// One job: a set of targets that are scraped alike.
    pub(crate) struct ScrapeConfig("config.ScrapeConfig") + discovery + http {
        /// Name; the default of the label `job`.
        job_name: String => keep;
        /// The target's labels win over the server's.
        honor_labels: bool;
        /// The target's timestamps are kept.
        honor_timestamps: bool = true => keep;
        /// Series with the target's timestamps get staleness markers too.
        track_timestamps_staleness: bool => keep;
        /// URL parameters.
        params: MultiMap;
        /// How often.
        scrape_interval: PromDuration;
        /// How long it may take.
        scrape_timeout: PromDuration;
        /// Formats to ask for, best first.
        scrape_protocols: Vec<ScrapeProtocol>;
        /// Format of answers that do not say which.
        fallback_scrape_protocol: Option<ScrapeProtocol>;
        /// Whether native histograms are scraped.
        scrape_native_histograms: Option<bool>;
        /// Whether classic histograms are stored beside native ones.
        always_scrape_classic_histograms: Option<bool>;
        /// Whether classic histograms are stored as native ones with custom buckets.
        convert_classic_histograms_to_nhcb: Option<bool>;
        /// File for a line per failed scrape.
        scrape_failure_log_file: String;
        /// Path of the metrics.
        metrics_path: String = "/metrics".into();
        /// `http` or `https`.
        scheme: String = "http".into();
        /// Whether compressed answers are asked for.
        enable_compression: bool = true => keep;
        /// Largest answer of a target.
        body_size_limit: ByteSize;
        /// Most samples of a scrape.
        sample_limit: u64;
        /// Most targets.
        target_limit: u64;
        /// Most labels of a sample.
        label_limit: u64;
        /// Longest label name.
        label_name_length_limit: u64;
        /// Longest label value.
        label_value_length_limit: u64;
        /// Most buckets of a native histogram.
        native_histogram_bucket_limit: u64;
        /// Smallest growth factor of a native histogram's buckets.
        native_histogram_min_bucket_factor: f64;
        /// How many dropped targets are kept for display.
        keep_dropped_targets: u64;
        /// Rules for names.
        metric_name_validation_scheme: String;
        /// Escaping of names.
        metric_name_escaping_scheme: String;
        /// Whether limits and timeout are stored as metrics of the target.
        extra_scrape_metrics: Option<bool>;
        /// Rules for targets.
        relabel_configs: Vec<RelabelConfig>;
        /// Rules for samples.
        metric_relabel_configs: Vec<RelabelConfig>;
    }
}

impl Check for ScrapeConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.job_name.is_empty() {
            return Err("job_name is empty".into());
        }
        self.http_client().check()?;
        check_protocols(&self.scrape_protocols)?;
        if !matches!(self.scheme.as_str(), "http" | "https") {
            return Err(format!(
                "scheme {:?} of scrape config with job name {:?} is not http or https",
                self.scheme, self.job_name
            ));
        }
        one_of(
            "metric_name_validation_scheme",
            &self.metric_name_validation_scheme,
            &VALIDATION_SCHEMES,
        )?;
        one_of(
            "metric_name_escaping_scheme",
            &self.metric_name_escaping_scheme,
            &ESCAPING_SCHEMES,
        )?;
        if self.relabel_configs.is_empty() {
            check_addresses(&self.static_configs)?;
        }
        Ok(())
    }
}

/// Addresses with a path are mistakes, unless relabelling may repair them.
pub(super) fn check_addresses(groups: &[StaticConfig]) -> Result<(), String> {
    let bad = groups
        .iter()
        .flat_map(|g| &g.targets)
        .find(|t| t.contains('/'));
    bad.map_or(Ok(()), |t| Err(format!("{t:?} is not a valid hostname")))
}

impl ScrapeConfig {
    /// Takes from `global` what the job does not set.
    ///
    /// # Errors
    /// When job and global values contradict each other.
    pub(super) fn inherit(&mut self, global: &GlobalConfig) -> Result<(), String> {
        if self.scrape_interval.is_zero() {
            self.scrape_interval = global.scrape_interval;
        }
        if self.scrape_timeout > self.scrape_interval {
            return Err(format!(
                "scrape timeout greater than scrape interval for scrape config with job name {:?}",
                self.job_name
            ));
        }
        if self.scrape_timeout.is_zero() {
            self.scrape_timeout = global.scrape_timeout.min(self.scrape_interval);
        }
        inherit(&mut self.body_size_limit, &global.body_size_limit);
        inherit(&mut self.sample_limit, &global.sample_limit);
        inherit(&mut self.target_limit, &global.target_limit);
        inherit(&mut self.label_limit, &global.label_limit);
        inherit(
            &mut self.label_name_length_limit,
            &global.label_name_length_limit,
        );
        inherit(
            &mut self.label_value_length_limit,
            &global.label_value_length_limit,
        );
        inherit(&mut self.keep_dropped_targets, &global.keep_dropped_targets);
        inherit(
            &mut self.scrape_failure_log_file,
            &global.scrape_failure_log_file,
        );
        inherit(
            &mut self.scrape_native_histograms,
            &global.scrape_native_histograms,
        );
        inherit(
            &mut self.always_scrape_classic_histograms,
            &global.always_scrape_classic_histograms,
        );
        inherit(
            &mut self.convert_classic_histograms_to_nhcb,
            &global.convert_classic_histograms_to_nhcb,
        );
        inherit(&mut self.extra_scrape_metrics, &global.extra_scrape_metrics);
        if self.metric_name_escaping_scheme.is_empty() {
            self.metric_name_escaping_scheme = if self.metric_name_validation_scheme.is_empty() {
                global.metric_name_escaping_scheme.clone()
            } else {
                escaping_of(&self.metric_name_validation_scheme)
            };
        }
        inherit(
            &mut self.metric_name_validation_scheme,
            &global.metric_name_validation_scheme,
        );
        if self.metric_name_validation_scheme == "legacy"
            && self.metric_name_escaping_scheme == "allow-utf-8"
        {
            return Err(format!(
                "utf8 metric names requested but validation scheme is not set to UTF8 for scrape config with job name {:?}",
                self.job_name
            ));
        }
        if self.scrape_protocols.is_empty() {
            let wants_histograms = self.scrape_native_histograms == Some(true);
            let from_global = global.scrape_native_histograms == self.scrape_native_histograms;
            self.scrape_protocols = match (wants_histograms, from_global) {
                (_, true) => global.scrape_protocols.clone(),
                (true, false) => ScrapeProtocol::WITH_HISTOGRAMS.to_vec(),
                (false, false) => ScrapeProtocol::DEFAULT.to_vec(),
            };
        }
        Ok(())
    }
}

fn inherit<T: Omit + Clone>(field: &mut T, global: &T) {
    if field.omit() {
        field.clone_from(global);
    }
}

config! {
    /// A file of jobs, named by `scrape_config_files`.
    pub(crate) struct ScrapeConfigFile("config.ScrapeConfigs") {
        /// The jobs.
        scrape_configs: Vec<Option<ScrapeConfig>>;
    }
}
impl Check for ScrapeConfigFile {}
