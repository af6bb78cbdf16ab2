//! `loki-config.yml`: what it says that has a meaning here.
//!
//! Owns: reading the file, defaults, which keys are known, warnings about the rest.
//! Knows nothing of: who enforces limits.
//!
//! Invariants
//! - LKC1  An ordinary file of any version starts the server: keys that are unknown or retired are
//!   warned about once, never refused. Only what is no YAML, or a known key with a value of the
//!   wrong kind, is an error.

mod limits;
mod ruler;
mod walk;

use std::path::Path;

use serde_json::Value;

pub(crate) use limits::{RetentionRule, TenantLimits};
pub(crate) use ruler::{RuleStorage, RulerConfig};
use walk::Walk;

use super::{ConfigError, yaml};

/// The configuration.
#[derive(Debug, Clone)]
pub(crate) struct LokiConfig {
    /// Tenants are told apart by `X-Scope-OrgID`.
    pub(crate) auth_enabled: bool,
    /// Address to listen on.
    pub(crate) listen_address: String,
    /// Port to listen on.
    pub(crate) listen_port: u16,
    /// Prefix of all routes.
    pub(crate) path_prefix: String,
    /// Level of our own log.
    pub(crate) log_level: String,
    /// Form of our own log.
    pub(crate) log_format: String,
    /// Folder of the data.
    pub(crate) data_dir: String,
    /// Limits of tenants without overrides.
    pub(crate) limits: TenantLimits,
    /// Limits of single tenants.
    pub(crate) overrides: Vec<(String, TenantLimits)>,
    /// Retention and deletion are on.
    pub(crate) retention_enabled: bool,
    /// Where delete requests are kept; empty switches them off.
    pub(crate) delete_request_store: String,
    /// How long a delete request may be cancelled, ms.
    pub(crate) delete_cancel_ms: i64,
    /// How often delete requests are carried out, ms.
    pub(crate) compaction_ms: i64,
    /// A query may name several tenants.
    pub(crate) multi_tenant: bool,
    /// Limits of single tenants that are read again and again; empty: none.
    pub(crate) runtime_file: String,
    /// How often, ms.
    pub(crate) runtime_ms: i64,
    /// Patterns are found.
    pub(crate) patterns: bool,
    /// Rules over lines.
    pub(crate) ruler: RulerConfig,
    /// The document as read, for display.
    pub(crate) document: Value,
    /// What was not understood.
    pub(crate) warnings: Vec<String>,
}

impl Default for LokiConfig {
    fn default() -> Self {
        Self {
            auth_enabled: false,
            listen_address: String::new(),
            listen_port: 3100,
            path_prefix: String::new(),
            log_level: "info".into(),
            log_format: "logfmt".into(),
            data_dir: String::new(),
            limits: TenantLimits::default(),
            overrides: Vec::new(),
            retention_enabled: false,
            delete_request_store: String::new(),
            delete_cancel_ms: 86_400_000,
            compaction_ms: 600_000,
            multi_tenant: false,
            runtime_file: String::new(),
            runtime_ms: 10_000,
            patterns: true,
            ruler: RulerConfig::default(),
            document: Value::Object(serde_json::Map::new()),
            warnings: Vec::new(),
        }
    }
}

/// Sections that are accepted whole: they arrange processes and stores that are one thing here.
const ACCEPTED: &[&str] = &[
    "target",
    "ballast_bytes",
    "schema_config",
    "storage_config",
    "chunk_store_config",
    "query_range",
    "frontend",
    "frontend_worker",
    "query_scheduler",
    "ingester",
    "ingester_client",
    "ingester_rf1",
    "distributor",
    "memberlist",
    "index_gateway",
    "bloom_build",
    "bloom_gateway",
    "analytics",
    "tracing",
    "operational_config",
    "shutdown_delay",
    "profiling",
    "ui",
    "block_builder",
    "dataobj",
    "kafka_config",
    "kafka",
];

/// Reads a file. With `expand`, `${NAME:default}` takes the value of the environment.
///
/// # Errors
/// When it cannot be read or is no document of this kind.
pub(crate) fn load(file: &Path, expand: bool) -> Result<LokiConfig, ConfigError> {
    let text = yaml::read(file)?;
    let text = if expand { expand_env(&text) } else { text };
    parse(file, &text)
}

/// Reads a document.
///
/// # Errors
/// See [`load`].
pub(crate) fn parse(file: &Path, text: &str) -> Result<LokiConfig, ConfigError> {
    let document: Value = yaml::parse(file, text)?;
    let mut config = LokiConfig {
        // Who writes a file says what is wanted: the original finds none unless told to.
        patterns: false,
        ..LokiConfig::default()
    };
    let mut warnings = Vec::new();
    if !document.is_null() {
        let read = read(&mut config, &document, &mut warnings);
        read.map_err(|e| ConfigError::parse(file, e))?;
        config.document = document;
    }
    config.warnings = warnings;
    Ok(config)
}

fn read(c: &mut LokiConfig, document: &Value, warnings: &mut Vec<String>) -> Result<(), String> {
    let mut top = Walk::new("", document, warnings)?;
    top.bool("auth_enabled", &mut c.auth_enabled)?;
    let port = i64::from(c.listen_port);
    top.section("server", |w| {
        w.text("http_listen_address", &mut c.listen_address)?;
        let mut p = port;
        w.int("http_listen_port", &mut p)?;
        c.listen_port =
            u16::try_from(p).map_err(|_| format!("server.http_listen_port: {p} is not a port"))?;
        w.text("http_path_prefix", &mut c.path_prefix)?;
        w.text("log_level", &mut c.log_level)?;
        w.text("log_format", &mut c.log_format)?;
        w.accept_rest();
        Ok(())
    })?;
    top.section("common", |w| {
        w.text("path_prefix", &mut c.data_dir)?;
        let mut rules = String::new();
        w.section("storage", |w| {
            w.section("filesystem", |w| {
                w.text("rules_directory", &mut rules)?;
                w.accept_rest();
                Ok(())
            })?;
            w.accept_rest();
            Ok(())
        })?;
        if !rules.is_empty() {
            c.ruler.storage = RuleStorage::Local(rules);
        }
        w.accept_rest();
        Ok(())
    })?;
    top.section("ruler", |w| c.ruler.read(w))?;
    c.ruler
        .document()
        .map_err(|e| format!("{e}, for example http://alertmanager:9093"))?;
    let (mut table_retention, mut table_deletes) = (0, false);
    top.section("table_manager", |w| {
        w.duration("retention_period", &mut table_retention)?;
        w.bool("retention_deletes_enabled", &mut table_deletes)?;
        w.accept_rest();
        w.retired_section();
        Ok(())
    })?;
    top.section("compactor", |w| {
        w.bool("retention_enabled", &mut c.retention_enabled)?;
        w.text("delete_request_store", &mut c.delete_request_store)?;
        w.duration("delete_request_cancel_period", &mut c.delete_cancel_ms)?;
        w.duration("compaction_interval", &mut c.compaction_ms)?;
        w.retired("shared_store");
        w.accept_rest();
        Ok(())
    })?;
    top.section("querier", |w| {
        w.bool("multi_tenant_queries_enabled", &mut c.multi_tenant)?;
        w.accept_rest();
        Ok(())
    })?;
    top.section("runtime_config", |w| {
        w.text("file", &mut c.runtime_file)?;
        w.duration("period", &mut c.runtime_ms)?;
        w.accept_rest();
        Ok(())
    })?;
    top.section("pattern_ingester", |w| {
        w.bool("enabled", &mut c.patterns)?;
        w.accept_rest();
        Ok(())
    })?;
    top.section("limits_config", |w| c.limits.read(w))?;
    if c.limits.retention_ms == 0 && table_deletes {
        c.limits.retention_ms = table_retention;
        c.retention_enabled = true;
    }
    read_overrides(&mut top, &c.limits, &mut c.overrides)?;
    for name in ACCEPTED {
        top.accept(name);
    }
    top.finish();
    Ok(())
}

fn read_overrides(
    top: &mut Walk<'_, '_>,
    base: &TenantLimits,
    out: &mut Vec<(String, TenantLimits)>,
) -> Result<(), String> {
    top.section("overrides", |w| {
        w.each(|tenant, w| {
            let mut limits = base.clone();
            limits.read(w)?;
            out.push((tenant.to_owned(), limits));
            Ok(())
        })
    })
}

/// Reads the file of limits that change while the server runs: tenants with their limits over
/// `base`, and what was not understood.
///
/// # Errors
/// When it cannot be read or is no document of this kind.
pub(crate) fn load_overrides(
    file: &Path,
    base: &TenantLimits,
) -> Result<(Vec<(String, TenantLimits)>, Vec<String>), ConfigError> {
    let document: Value = yaml::parse(file, &yaml::read(file)?)?;
    let (mut out, mut warnings) = (Vec::new(), Vec::new());
    let wrong = |e| ConfigError::parse(file, e);
    let mut top = Walk::new("", &document, &mut warnings).map_err(wrong)?;
    read_overrides(&mut top, base, &mut out).map_err(wrong)?;
    // Settings of processes that are one here.
    for name in ["configs", "multi_kv_config"] {
        top.accept(name);
    }
    top.finish();
    Ok((out, warnings))
}

/// `${NAME}` and `${NAME:default}`.
pub(crate) fn expand_env(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let body = &rest[at + 2..];
        let Some(end) = body.find('}') else {
            rest = &rest[at..];
            break;
        };
        let (name, default) = body[..end].split_once(':').unwrap_or((&body[..end], ""));
        match std::env::var(name) {
            Ok(v) if !v.is_empty() => out.push_str(&v),
            _ => out.push_str(default),
        }
        rest = &body[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_start_with_warnings() {
        let text = "auth_enabled: false\nserver:\n  http_listen_port: 3101\n  grpc_listen_port: 9096\n\
            common:\n  path_prefix: /loki\nschema_config:\n  configs: []\n\
            limits_config:\n  enforce_metric_name: false\n  reject_old_samples_max_age: 168h\n  \
            ingestion_rate_mb: 10\n  max_query_series: 7\n  nonsense: 1\n\
            compactor:\n  shared_store: filesystem\n\
            table_manager:\n  retention_deletes_enabled: true\n  retention_period: 744h\nmystery: 1\n";
        let c = parse(Path::new("x.yml"), text).unwrap();
        assert_eq!(c.listen_port, 3101);
        assert!(!c.patterns && LokiConfig::default().patterns);
        assert_eq!(c.data_dir, "/loki");
        assert_eq!(c.limits.max_query_series, 7);
        assert_eq!(c.limits.ingestion_rate_bytes, 10.0 * 1048576.0);
        assert_eq!(c.limits.retention_ms, 744 * 3_600_000);
        for key in [
            "enforce_metric_name",
            "shared_store",
            "table_manager",
            "nonsense",
            "mystery",
        ] {
            let n = c.warnings.iter().filter(|w| w.contains(key)).count();
            assert_eq!(n, 1, "{key}: {:?}", c.warnings);
        }
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        for (text, part) in [
            ("auth_enabled: 3", "auth_enabled"),
            (
                "limits_config:\n  max_query_series: many",
                "limits_config.max_query_series",
            ),
            (
                "limits_config:\n  retention_period: 5x",
                "limits_config.retention_period",
            ),
            ("server: 7", "server"),
            ("[1]", "mapping"),
        ] {
            let e = parse(Path::new("x.yml"), text).unwrap_err().to_string();
            assert!(e.contains(part), "{text}: {e}");
        }
    }

    #[test]
    fn variables_have_defaults() {
        assert_eq!(
            expand_env("a ${SEXTANT_NO_SUCH:x y} ${SEXTANT_NO_SUCH}b ${"),
            "a x y b ${"
        );
    }
}
