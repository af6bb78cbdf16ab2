//! `sextant prometheus`: the command line of the Prometheus server.

use std::path::PathBuf;

use clap::{ArgMatches, Command};

use super::flags::{self, Flag, Kind, Values, flag, ignored};
use super::{complain, personality};
use crate::api::ServerOptions;
use crate::config::limits::{SeriesLimits, WriteLimits};
use crate::config::prometheus::PROTOBUF_MESSAGES;
use crate::http::ListenerOptions;
use crate::lifecycle::{self, ConfigSource, Exit, Plan, StorageOptions};
use crate::rules::{Restoring, RuleOptions, SendOptions};

/// All flags of the original, and ours.
pub(super) const FLAGS: &[Flag] = &[
    flag(
        "config.file",
        "prometheus.yml",
        Kind::Text,
        "Configuration file",
    ),
    flag(
        "config.auto-reload-interval",
        "30s",
        Kind::Duration,
        "How often the configuration is looked at for changes, with the feature auto-reload-config",
    ),
    flag(
        "web.listen-address",
        "0.0.0.0:9090",
        Kind::List,
        "Address to listen on, may be repeated",
    ),
    flags::AUTO_GOMAXPROCS,
    ignored("auto-gomemlimit", "true", Kind::Bool),
    flags::AUTO_GOMEMLIMIT_RATIO,
    flags::WEB_CONFIG_FILE,
    flag(
        "web.read-timeout",
        "5m",
        Kind::Duration,
        "How long a client may take for a request, and be idle",
    ),
    flag(
        "web.max-connections",
        "512",
        Kind::Number,
        "Connections at a time",
    ),
    ignored("web.max-notifications-subscribers", "16", Kind::Number),
    flags::WEB_EXTERNAL_URL,
    flags::WEB_ROUTE_PREFIX,
    ignored("web.user-assets", "", Kind::Text),
    flag(
        "web.enable-lifecycle",
        "false",
        Kind::Bool,
        "Lets HTTP requests reload and stop the server",
    ),
    flag(
        "web.enable-admin-api",
        "false",
        Kind::Bool,
        "Lets HTTP requests delete series and make snapshots",
    ),
    flag(
        "web.enable-remote-write-receiver",
        "false",
        Kind::Bool,
        "Takes remote write requests",
    ),
    flag(
        "web.remote-write-receiver.accepted-protobuf-messages",
        "",
        Kind::List,
        "Messages that remote write takes",
    ),
    flag(
        "web.enable-otlp-receiver",
        "false",
        Kind::Bool,
        "Takes OTLP metrics",
    ),
    ignored("web.console.templates", "consoles", Kind::Text),
    ignored("web.console.libraries", "console_libraries", Kind::Text),
    ignored("web.local-assets", "", Kind::Text),
    ignored(
        "web.page-title",
        "Prometheus Time Series Collection and Processing Server",
        Kind::Text,
    ),
    flag(
        "web.cors.origin",
        ".*",
        Kind::Text,
        "Origins that browsers may call from, an anchored pattern",
    ),
    ignored("web.search.max-limit", "10000", Kind::Number),
    flag(
        "storage.tsdb.path",
        "data/",
        Kind::Text,
        "Directory of the data",
    ),
    flag(
        "storage.tsdb.retention.time",
        "",
        Kind::Duration,
        "How long data is kept (15d when neither time nor size is given)",
    ),
    flag(
        "storage.tsdb.retention.size",
        "",
        Kind::Size,
        "How many bytes of blocks are kept",
    ),
    flag(
        "storage.tsdb.retention",
        "",
        Kind::Duration,
        "Old name of --storage.tsdb.retention.time",
    ),
    flag(
        "storage.wal.sync",
        "always",
        Kind::Text,
        "When samples are synced: always (before they are acknowledged), interval:<duration>, off",
    ),
    flag(
        "storage.mmap",
        "on",
        Kind::Text,
        "Whether sealed files are mapped: on, off",
    ),
    flag(
        "storage.tsdb.min-block-duration",
        "2h",
        Kind::Duration,
        "Range of the blocks that are cut from the head. For testing",
    ),
    ignored("storage.tsdb.max-block-duration", "", Kind::Duration),
    ignored("storage.tsdb.max-block-chunk-segment-size", "", Kind::Size),
    ignored("storage.tsdb.wal-segment-size", "", Kind::Size),
    ignored("storage.tsdb.no-lockfile", "false", Kind::Bool),
    ignored("storage.tsdb.use-lockfile", "false", Kind::Bool),
    ignored("storage.tsdb.allow-overlapping-blocks", "true", Kind::Bool),
    ignored(
        "storage.tsdb.allow-overlapping-compaction",
        "true",
        Kind::Bool,
    ),
    ignored("storage.tsdb.wal-compression", "true", Kind::Bool),
    ignored("storage.tsdb.wal-compression-type", "snappy", Kind::Text),
    ignored(
        "storage.tsdb.head-chunks-write-queue-size",
        "0",
        Kind::Number,
    ),
    ignored("storage.tsdb.samples-per-chunk", "120", Kind::Number),
    ignored("storage.tsdb.block-reload-interval", "1m", Kind::Duration),
    ignored(
        "storage.tsdb.delayed-compaction.max-percent",
        "10",
        Kind::Number,
    ),
    ignored("storage.tsdb.delay-compact-file.path", "", Kind::Text),
    ignored("storage.agent.path", "data-agent/", Kind::Text),
    ignored("storage.agent.wal-segment-size", "", Kind::Size),
    ignored("storage.agent.wal-compression", "true", Kind::Bool),
    ignored("storage.agent.wal-compression-type", "snappy", Kind::Text),
    ignored("storage.agent.wal-truncate-frequency", "", Kind::Duration),
    ignored("storage.agent.retention.min-time", "", Kind::Duration),
    ignored("storage.agent.retention.max-time", "", Kind::Duration),
    ignored("storage.agent.no-lockfile", "false", Kind::Bool),
    ignored("storage.agent.use-lockfile", "false", Kind::Bool),
    ignored("storage.remote.flush-deadline", "1m", Kind::Duration),
    flag(
        "storage.remote.read-sample-limit",
        "50000000",
        Kind::Number,
        "Samples a remote read may ask for",
    ),
    flag(
        "storage.remote.read-concurrent-limit",
        "10",
        Kind::Number,
        "Remote reads at a time",
    ),
    flag(
        "storage.remote.read-max-bytes-in-frame",
        "1048576",
        Kind::Number,
        "Largest frame of a streamed remote read",
    ),
    flag(
        "rules.alert.for-outage-tolerance",
        "1h",
        Kind::Duration,
        "Longest outage after which pending and firing alerts go on",
    ),
    flag(
        "rules.alert.for-grace-period",
        "10m",
        Kind::Duration,
        "Shortest time between a restart and an alert that goes on; rules with less patience start anew",
    ),
    flag(
        "rules.alert.resend-delay",
        "1m",
        Kind::Duration,
        "Shortest time before an alert is sent again",
    ),
    ignored("rules.max-concurrent-evals", "4", Kind::Number),
    ignored("scrape.adjust-timestamps", "true", Kind::Bool),
    ignored("scrape.timestamp-tolerance", "2ms", Kind::Duration),
    ignored("scrape.name-escaping-scheme", "values", Kind::Text),
    ignored("scrape.discovery-reload-interval", "5s", Kind::Duration),
    flag(
        "alertmanager.notification-queue-capacity",
        "10000",
        Kind::Number,
        "Alerts that wait for one Alertmanager",
    ),
    flag(
        "alertmanager.notification-batch-size",
        "256",
        Kind::Number,
        "Alerts in one request",
    ),
    flag(
        "alertmanager.drain-notification-queue-on-shutdown",
        "true",
        Kind::Bool,
        "Send the alerts that wait before the server ends",
    ),
    ignored("alertmanager.timeout", "", Kind::Duration),
    flag(
        "limits.series",
        "0",
        Kind::Number,
        "Series in memory, 0 for any number; beyond it new ones are refused with 429",
    ),
    flag(
        "limits.labels-per-series",
        "1024",
        Kind::Number,
        "Labels of a series, 0 for any number",
    ),
    flag(
        "limits.label-name-length",
        "4096",
        Kind::Number,
        "Bytes of a label name, 0 for any number",
    ),
    flag(
        "limits.label-value-length",
        "65536",
        Kind::Number,
        "Bytes of a label value, 0 for any number",
    ),
    flag(
        "limits.write-body-size",
        "32MB",
        Kind::Size,
        "Largest body of a write request as sent; larger ones are refused with 413",
    ),
    flag(
        "limits.write-decoded-size",
        "32MB",
        Kind::Size,
        "Largest body of a write request after decompression",
    ),
    flag(
        "limits.write-series",
        "1000000",
        Kind::Number,
        "Series of a write request",
    ),
    flag(
        "limits.write-samples",
        "1000000",
        Kind::Number,
        "Samples of a write request",
    ),
    flag(
        "query.lookback-delta",
        "5m",
        Kind::Duration,
        "How old the newest sample of a series may be",
    ),
    flag("query.timeout", "2m", Kind::Duration, "Longest query"),
    flag(
        "query.max-concurrency",
        "20",
        Kind::Number,
        "Queries at a time",
    ),
    flag(
        "query.max-samples",
        "50000000",
        Kind::Number,
        "Samples a query may hold in memory",
    ),
    flag(
        "query.max-memory",
        "160MB",
        Kind::Size,
        "Memory that all running queries may hold together, a single one three quarters of it",
    ),
    flag(
        "enable-feature",
        "",
        Kind::List,
        "Features to switch on, separated by commas",
    ),
    flag("agent", "false", Kind::Bool, "Agent mode (not supported)"),
    flags::LOG_LEVEL,
    flags::LOG_FORMAT,
];

/// The verb with its flags.
pub(super) fn command() -> Command {
    let c = Command::new("prometheus")
        .about("Runs the metrics server with the command line of Prometheus")
        .version(crate::api::BuildInfo::VERSION);
    flags::add(c, FLAGS)
}

/// Runs the server.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let v = Values::new(m, FLAGS);
    if let Err(e) = personality::start_log(&v.text("log.level"), &v.text("log.format")) {
        complain(&format!("{e}\n"));
        return Exit::Start.code();
    }
    if v.on("agent") {
        tracing::error!("--agent is not supported");
        return Exit::WrongMode.code();
    }
    for name in v.without_effect() {
        tracing::warn!(flag = %format!("--{name}"), "flag is accepted without effect");
    }
    match plan(&v) {
        Ok(plan) => lifecycle::run(plan).code(),
        Err(e) => {
            tracing::error!("{e}");
            Exit::Start.code()
        }
    }
}

/// The plan that the flags ask for.
///
/// # Errors
/// Names the flag with its value.
pub(super) fn plan(v: &Values<'_>) -> Result<Plan, String> {
    let listen = v.list("web.listen-address");
    let given_prefix = v
        .given("web.route-prefix")
        .then(|| v.text("web.route-prefix"));
    let first = listen.first().map_or("", String::as_str);
    let (external_url, route_prefix) =
        personality::urls(&v.text("web.external-url"), given_prefix.as_deref(), first)?;
    let features = v.words("enable-feature");
    let mut messages = v.words("web.remote-write-receiver.accepted-protobuf-messages");
    if let Some(unknown) = messages
        .iter()
        .find(|m| !PROTOBUF_MESSAGES.contains(&m.as_str()))
    {
        return Err(format!(
            "--web.remote-write-receiver.accepted-protobuf-messages: unknown message {unknown:?}, known are {}",
            PROTOBUF_MESSAGES.join(", ")
        ));
    }
    if messages.is_empty() {
        messages = PROTOBUF_MESSAGES.map(str::to_owned).to_vec();
    }
    let mmap = match v.text("storage.mmap").as_str() {
        "on" => true,
        "off" => false,
        other => return Err(format!("--storage.mmap {other:?} is none of on, off")),
    };
    let wal_sync = v.text("storage.wal.sync").parse();
    let wal_sync = wal_sync.map_err(|e| format!("--storage.wal.sync {e}"))?;
    let old = v.duration("storage.tsdb.retention");
    let mut retention_time = v.duration("storage.tsdb.retention.time");
    if retention_time.is_zero() {
        retention_time = old;
    }
    let retention_size = v.size("storage.tsdb.retention.size");
    if retention_time.is_zero() && retention_size.0 == 0 {
        retention_time = crate::config::PromDuration::from_secs(15 * 24 * 3600);
    }
    let mut retention_text = Vec::new();
    if !retention_time.is_zero() {
        retention_text.push(retention_time.to_string());
    }
    if retention_size.0 > 0 {
        retention_text.push(retention_size.to_string());
    }
    let dir = PathBuf::from(v.text("storage.tsdb.path"));
    let web_config = v.text("web.config.file");
    let bytes = |name: &str| match usize::try_from(v.size(name).0) {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("--{name} must be larger than 0")),
    };
    let auto = features.iter().any(|f| f == "auto-reload-config");
    Ok(Plan {
        config: ConfigSource::File(v.text("config.file").into()),
        web_config: (!web_config.is_empty()).then(|| web_config.into()),
        listener: ListenerOptions {
            connections_max: v.number("web.max-connections"),
            read_timeout: v.duration("web.read-timeout").as_std(),
        },
        options: ServerOptions {
            external_url,
            route_prefix,
            lifecycle: v.on("web.enable-lifecycle"),
            admin: v.on("web.enable-admin-api"),
            remote_write: v.on("web.enable-remote-write-receiver"),
            remote_write_messages: messages,
            otlp: v.on("web.enable-otlp-receiver"),
            write: WriteLimits {
                body_bytes: bytes("limits.write-body-size")?,
                decoded_bytes: bytes("limits.write-decoded-size")?,
                series: v.number("limits.write-series"),
                samples: v.number("limits.write-samples"),
            },
            cors_origin: v.text("web.cors.origin"),
            read_timeout: v.duration("web.read-timeout").as_std(),
            query_timeout: v.duration("query.timeout").as_std(),
            query_max_samples: v.number("query.max-samples"),
            query_max_memory: bytes("query.max-memory")?,
            query_concurrency: v.number("query.max-concurrency"),
            lookback_ms: v.duration("query.lookback-delta").as_ms(),
            read_concurrency: v.number("storage.remote.read-concurrent-limit"),
            read_sample_limit: v.number("storage.remote.read-sample-limit"),
            read_frame_bytes: v.number("storage.remote.read-max-bytes-in-frame"),
            retention_text: retention_text.join(" or "),
            features,
        },
        flags: v.shown(),
        rules: RuleOptions {
            restoring: Restoring {
                tolerance_ms: v.duration("rules.alert.for-outage-tolerance").as_ms(),
                grace_ms: v.duration("rules.alert.for-grace-period").as_ms(),
            },
            resend_ms: v.duration("rules.alert.resend-delay").as_ms(),
            send: SendOptions {
                capacity: v.number("alertmanager.notification-queue-capacity"),
                batch: v.number("alertmanager.notification-batch-size"),
                drain: v.on("alertmanager.drain-notification-queue-on-shutdown"),
            },
        },
        storage: StorageOptions {
            dir,
            wal_sync,
            mmap,
            retention_time,
            retention_size,
            block_range: v.duration("storage.tsdb.min-block-duration"),
            limits: SeriesLimits {
                series: v.number("limits.series") as u64,
                labels: v.number("limits.labels-per-series"),
                name_bytes: v.number("limits.label-name-length"),
                value_bytes: v.number("limits.label-value-length"),
            },
        },
        auto_reload: auto.then(|| v.duration("config.auto-reload-interval").as_std()),
        loki: crate::config::loki::LokiConfig::default(),
        familiar: Vec::new(),
        alertmanager: None,
        agent: None,
        exporters: Vec::new(),
        announce: None,
        listen,
    })
}
