//! `limits_config`: what one tenant may do.

use serde_json::Value;

use super::walk::Walk;
use crate::config::PromDuration;

const MIB: f64 = 1_048_576.0;

/// How long the streams of a selector are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetentionRule {
    /// Which streams.
    pub(crate) selector: String,
    /// Higher wins.
    pub(crate) priority: i64,
    /// How long, ms.
    pub(crate) period_ms: i64,
}

/// Limits of a tenant; the defaults are Loki's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TenantLimits {
    /// Bytes a second.
    pub(crate) ingestion_rate_bytes: f64,
    /// Bytes at once.
    pub(crate) ingestion_burst_bytes: f64,
    /// Bytes a second into one stream.
    pub(crate) stream_rate_bytes: f64,
    /// Bytes at once into one stream.
    pub(crate) stream_burst_bytes: f64,
    /// Longest line, bytes.
    pub(crate) max_line_bytes: usize,
    /// Longer lines are cut instead of refused.
    pub(crate) max_line_truncate: bool,
    /// Longest label name.
    pub(crate) max_label_name: usize,
    /// Longest label value.
    pub(crate) max_label_value: usize,
    /// Labels of a stream.
    pub(crate) max_label_names: usize,
    /// Old entries are refused.
    pub(crate) reject_old: bool,
    /// Older than this, ms.
    pub(crate) reject_old_ms: i64,
    /// Entries may lie this far ahead, ms.
    pub(crate) grace_ms: i64,
    /// Streams.
    pub(crate) max_streams: usize,
    /// Structured metadata may be sent.
    pub(crate) allow_metadata: bool,
    /// Bytes of structured metadata of an entry.
    pub(crate) max_metadata_bytes: usize,
    /// Pairs of structured metadata of an entry.
    pub(crate) max_metadata_count: usize,
    /// Entries of an answer.
    pub(crate) max_entries: usize,
    /// Series of an answer.
    pub(crate) max_query_series: usize,
    /// Longest time range of a query, ms; 0 = any.
    pub(crate) max_query_length_ms: i64,
    /// Longest range in a query, ms; 0 = any.
    pub(crate) max_query_range_ms: i64,
    /// How far back queries see, ms; 0 = any.
    pub(crate) max_lookback_ms: i64,
    /// Longest run of a query, ms.
    pub(crate) query_timeout_ms: i64,
    /// Tails at a time.
    pub(crate) max_tails: usize,
    /// Series of a volume answer.
    pub(crate) volume_max_series: usize,
    /// Volumes can be asked for.
    pub(crate) volume_enabled: bool,
    /// How long entries are kept, ms; 0 = for ever.
    pub(crate) retention_ms: i64,
    /// Exceptions.
    pub(crate) retention_rules: Vec<RetentionRule>,
    /// Labels that may name the service, in order; empty: not discovered.
    pub(crate) service_names: Vec<String>,
    /// Levels are discovered.
    pub(crate) discover_levels: bool,
    /// Names that may hold a level, in order.
    pub(crate) level_names: Vec<String>,
    /// Aggregations that need sharding in the original.
    pub(crate) shard_aggregations: Vec<String>,
    /// `disabled`, `filter-only` or `filter-and-delete`.
    pub(crate) deletion_mode: String,
    /// Equal timestamps are moved apart by a nanosecond.
    pub(crate) increment_duplicates: bool,
    /// Text severity of OTLP as a label.
    pub(crate) otlp_severity_label: bool,
    /// Attribute actions of OTLP.
    pub(crate) otlp: Value,
}

/// Names that may hold the name of the service.
const SERVICE_NAMES: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// Names that may hold the level.
const LEVEL_NAMES: [&str; 13] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
];

impl Default for TenantLimits {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|s| (*s).to_owned()).collect();
        let mut level_names: Vec<String> = list(&LEVEL_NAMES);
        level_names.push("SEVERITY_TEXT".into());
        Self {
            ingestion_rate_bytes: 4.0 * MIB,
            ingestion_burst_bytes: 6.0 * MIB,
            stream_rate_bytes: 3.0 * MIB,
            stream_burst_bytes: 15.0 * MIB,
            max_line_bytes: 256 * 1024,
            max_line_truncate: false,
            max_label_name: 1024,
            max_label_value: 2048,
            max_label_names: 15,
            reject_old: true,
            reject_old_ms: 7 * 86_400_000,
            grace_ms: 600_000,
            max_streams: 5000,
            allow_metadata: true,
            max_metadata_bytes: 64 * 1024,
            max_metadata_count: 128,
            max_entries: 5000,
            max_query_series: 500,
            max_query_length_ms: 721 * 3_600_000,
            max_query_range_ms: 0,
            max_lookback_ms: 0,
            query_timeout_ms: 60_000,
            max_tails: 10,
            volume_max_series: 1000,
            volume_enabled: true,
            retention_ms: 0,
            retention_rules: Vec::new(),
            service_names: list(&SERVICE_NAMES),
            discover_levels: true,
            level_names,
            shard_aggregations: Vec::new(),
            deletion_mode: "filter-and-delete".into(),
            increment_duplicates: false,
            otlp_severity_label: false,
            otlp: Value::Null,
        }
    }
}

/// Keys that exist and mean nothing here.
const ACCEPTED: &[&str] = &[
    "ingestion_rate_strategy",
    "max_line_size_truncate_identifier",
    "max_streams_per_user",
    "max_chunks_per_query",
    "max_query_parallelism",
    "tsdb_max_query_parallelism",
    "tsdb_max_bytes_per_shard",
    "tsdb_sharding_strategy",
    "cardinality_limit",
    "max_streams_matchers_per_query",
    "split_queries_by_interval",
    "split_metadata_queries_by_interval",
    "split_recent_metadata_queries_by_interval",
    "split_instant_metric_queries_by_interval",
    "min_sharding_lookback",
    "max_querier_bytes_read",
    "max_query_bytes_read",
    "ruler_max_rules_per_rule_group",
    "ruler_max_rule_groups_per_tenant",
    "ruler_evaluation_delay_duration",
    "ruler_alertmanager_config",
    "ruler_tenant_shard_size",
    "ruler_remote_write_disabled",
    "ruler_enable_wal_replay",
    "query_ready_index_num_days",
    "shard_streams",
    "blocked_queries",
    "required_labels",
    "minimum_labels_number",
    "max_queriers_per_tenant",
    "max_query_capacity",
    "index_gateway_shard_size",
    "max_stats_cache_freshness",
    "max_metadata_cache_freshness",
    "max_cache_freshness_per_query",
    "log_level_from_json_max_depth",
    "metric_aggregation_enabled",
    "pattern_persistence_enabled",
    "simulated_push_latency",
    "block_ingestion_until",
    "enforced_labels",
    "policy_stream_mapping",
    "s3_sse_type",
    "bloom_creation_enabled",
    "enable_multi_variant_queries",
    "allow_deletes",
    "discover_generic_fields",
    "ingestion_partitions_tenant_shard_size",
];

/// Keys of earlier versions.
const RETIRED: &[&str] = &[
    "enforce_metric_name",
    "unordered_writes",
    "per_tenant_override_config",
    "per_tenant_override_period",
    "max_concurrent_queries",
    "max_tsdb_query_parallelism",
];

impl TenantLimits {
    /// Takes what is given over what is there.
    pub(super) fn read(&mut self, w: &mut Walk<'_, '_>) -> Result<(), String> {
        let mut mb = self.ingestion_rate_bytes / MIB;
        w.float("ingestion_rate_mb", &mut mb)?;
        self.ingestion_rate_bytes = mb * MIB;
        let mut mb = self.ingestion_burst_bytes / MIB;
        w.float("ingestion_burst_size_mb", &mut mb)?;
        self.ingestion_burst_bytes = mb * MIB;
        w.size("per_stream_rate_limit", &mut self.stream_rate_bytes)?;
        w.size("per_stream_rate_limit_burst", &mut self.stream_burst_bytes)?;
        let mut line = self.max_line_bytes as f64;
        w.size("max_line_size", &mut line)?;
        self.max_line_bytes = line as usize;
        w.bool("max_line_size_truncate", &mut self.max_line_truncate)?;
        w.count("max_label_name_length", &mut self.max_label_name)?;
        w.count("max_label_value_length", &mut self.max_label_value)?;
        w.count("max_label_names_per_series", &mut self.max_label_names)?;
        w.bool("reject_old_samples", &mut self.reject_old)?;
        w.duration("reject_old_samples_max_age", &mut self.reject_old_ms)?;
        w.duration("creation_grace_period", &mut self.grace_ms)?;
        w.count("max_global_streams_per_user", &mut self.max_streams)?;
        w.bool("allow_structured_metadata", &mut self.allow_metadata)?;
        let mut size = self.max_metadata_bytes as f64;
        w.size("max_structured_metadata_size", &mut size)?;
        self.max_metadata_bytes = size as usize;
        w.count(
            "max_structured_metadata_entries_count",
            &mut self.max_metadata_count,
        )?;
        w.count("max_entries_limit_per_query", &mut self.max_entries)?;
        w.count("max_query_series", &mut self.max_query_series)?;
        w.duration("max_query_length", &mut self.max_query_length_ms)?;
        w.duration("max_query_range", &mut self.max_query_range_ms)?;
        w.duration("max_query_lookback", &mut self.max_lookback_ms)?;
        w.duration("query_timeout", &mut self.query_timeout_ms)?;
        w.count("max_concurrent_tail_requests", &mut self.max_tails)?;
        w.count("volume_max_series", &mut self.volume_max_series)?;
        w.bool("volume_enabled", &mut self.volume_enabled)?;
        w.duration("retention_period", &mut self.retention_ms)?;
        w.texts("discover_service_name", &mut self.service_names)?;
        w.bool("discover_log_levels", &mut self.discover_levels)?;
        w.texts("log_level_fields", &mut self.level_names)?;
        w.texts("shard_aggregations", &mut self.shard_aggregations)?;
        w.text("deletion_mode", &mut self.deletion_mode)?;
        w.bool(
            "increment_duplicate_timestamp",
            &mut self.increment_duplicates,
        )?;
        if let Some(v) = w.raw("otlp_config") {
            self.otlp_severity_label = v
                .get("severity_text_as_label")
                .and_then(Value::as_bool)
                .unwrap_or(false);
            self.otlp = v.clone();
        }
        if let Some(v) = w.raw("retention_stream") {
            self.retention_rules = retention_rules(v)?;
        }
        for key in RETIRED {
            w.retired(key);
        }
        for key in ACCEPTED {
            w.accept(key);
        }
        Ok(())
    }

    /// These limits where `other` is not stricter: what a query over both may do.
    pub(crate) fn strictest(mut self, other: &Self) -> Self {
        // 0 is no limit.
        fn least<T: Copy + Ord + Default>(a: &mut T, b: T) {
            let none = T::default();
            if *a <= none || (b > none && b < *a) {
                *a = b;
            }
        }
        least(&mut self.max_entries, other.max_entries);
        least(&mut self.max_query_series, other.max_query_series);
        least(&mut self.max_query_length_ms, other.max_query_length_ms);
        least(&mut self.max_query_range_ms, other.max_query_range_ms);
        least(&mut self.max_lookback_ms, other.max_lookback_ms);
        least(&mut self.query_timeout_ms, other.query_timeout_ms);
        self.shard_aggregations
            .retain(|a| other.shard_aggregations.contains(a));
        self
    }

    /// Whether `approx_topk` may be used.
    pub(crate) fn approx_topk(&self) -> bool {
        self.shard_aggregations.iter().any(|a| a == "approx_topk")
    }
}

fn retention_rules(v: &Value) -> Result<Vec<RetentionRule>, String> {
    let name = "limits_config.retention_stream";
    let list = v
        .as_array()
        .ok_or_else(|| format!("{name}: expected a list"))?;
    let mut out = Vec::with_capacity(list.len());
    for rule in list {
        let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or("");
        let period = text("period");
        let period_ms = period
            .parse::<PromDuration>()
            .map_err(|_| format!("{name}: {period:?} is not a duration"))?
            .as_ms();
        if period_ms < 86_400_000 {
            return Err(format!(
                "{name}: retention period must be >= 24h was {period}"
            ));
        }
        let selector = text("selector").to_owned();
        query::logql::parse_matchers(&selector, false).map_err(|e| format!("{name}: {e}"))?;
        out.push(RetentionRule {
            selector,
            priority: rule.get("priority").and_then(Value::as_i64).unwrap_or(0),
            period_ms,
        });
    }
    Ok(out)
}
