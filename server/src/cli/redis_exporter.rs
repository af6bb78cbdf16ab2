//! `sextant redis-exporter`: the command line of the Redis exporter.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::{ArgMatches, Command};
use exporters::metrics::redis::{Encrypt, Options, Place, Stream, Target};
use rustls_pki_types::ServerName;

use super::exporters as shared;
use super::flags::{self, Flag, Kind, Values, flag, ignored};
use crate::config::prometheus::TlsConfig;
use crate::exporting::{Exporter, RedisExporter, RedisOptions, WebOptions};
use crate::http::tls_client::client_config;
use crate::lifecycle::ExporterPlan;

/// The address of the family.
const PORT: &str = "0.0.0.0:9121";

/// All flags of the original, each with its variable.
static FLAGS: &[Flag] = &[
    flag(
        "redis.addr",
        "redis://localhost:6379",
        Kind::Text,
        "Server to ask; empty when requests name it",
    )
    .from("REDIS_ADDR"),
    flag("redis.user", "", Kind::Text, "User to log in as").from("REDIS_USER"),
    flag("redis.password", "", Kind::Text, "Password of the server").from("REDIS_PASSWORD"),
    flag(
        "redis.password-file",
        "",
        Kind::Text,
        "JSON file with passwords by address",
    )
    .from("REDIS_PASSWORD_FILE"),
    flag("namespace", "redis", Kind::Text, "First word of all names")
        .from("REDIS_EXPORTER_NAMESPACE"),
    flag(
        "web.listen-address",
        PORT,
        Kind::List,
        "Address to listen on",
    )
    .from("REDIS_EXPORTER_WEB_LISTEN_ADDRESS"),
    flag(
        "web.telemetry-path",
        "/metrics",
        Kind::Text,
        "Path of the metrics",
    )
    .from("REDIS_EXPORTER_WEB_TELEMETRY_PATH"),
    flag(
        "web.config.file",
        "",
        Kind::Text,
        "File with TLS settings and users",
    ),
    flag(
        "connection-timeout",
        "15s",
        Kind::Text,
        "How long a scrape may take",
    )
    .from("REDIS_EXPORTER_CONNECTION_TIMEOUT"),
    flag(
        "config-command",
        "CONFIG",
        Kind::Text,
        "Command that shows the configuration, - for none",
    )
    .from("REDIS_EXPORTER_CONFIG_COMMAND"),
    flag(
        "set-client-name",
        "true",
        Kind::Bool,
        "Give the connection a name",
    )
    .from("REDIS_EXPORTER_SET_CLIENT_NAME"),
    flag(
        "is-cluster",
        "false",
        Kind::Bool,
        "Ask for the state of the cluster",
    )
    .from("REDIS_EXPORTER_IS_CLUSTER"),
    flag(
        "include-config-metrics",
        "false",
        Kind::Bool,
        "Show the whole configuration",
    )
    .from("REDIS_EXPORTER_INCL_CONFIG_METRICS"),
    flag(
        "include-system-metrics",
        "false",
        Kind::Bool,
        "Show the machine's memory",
    )
    .from("REDIS_EXPORTER_INCL_SYSTEM_METRICS"),
    flag(
        "include-metrics-for-empty-databases",
        "true",
        Kind::Bool,
        "Show databases without keys",
    )
    .from("REDIS_EXPORTER_INCL_METRICS_FOR_EMPTY_DATABASES"),
    flag(
        "append-instance-role-label",
        "false",
        Kind::Bool,
        "Show the role in a metric of its own",
    )
    .from("REDIS_EXPORTER_APPEND_INSTANCE_ROLE_LABEL"),
    flag(
        "include-go-runtime-metrics",
        "false",
        Kind::Bool,
        "Show numbers of the exporter's process",
    )
    .from("REDIS_EXPORTER_INCL_GO_RUNTIME_METRICS"),
    flag(
        "tls-client-key-file",
        "",
        Kind::Text,
        "Key to show to the server",
    )
    .from("REDIS_EXPORTER_TLS_CLIENT_KEY_FILE"),
    flag(
        "tls-client-cert-file",
        "",
        Kind::Text,
        "Certificate to show to the server",
    )
    .from("REDIS_EXPORTER_TLS_CLIENT_CERT_FILE"),
    flag(
        "tls-ca-cert-file",
        "",
        Kind::Text,
        "Authorities of the server's certificate",
    )
    .from("REDIS_EXPORTER_TLS_CA_CERT_FILE"),
    flag(
        "skip-tls-verification",
        "false",
        Kind::Bool,
        "Take any certificate of the server",
    )
    .from("REDIS_EXPORTER_SKIP_TLS_VERIFICATION"),
    flag(
        "log-level",
        "info",
        Kind::Text,
        "debug, info, warn or error",
    )
    .from("REDIS_EXPORTER_LOG_LEVEL"),
    flag("log-format", "txt", Kind::Text, "txt or json").from("REDIS_EXPORTER_LOG_FORMAT"),
    ignored("debug", "false", Kind::Bool).from("REDIS_EXPORTER_DEBUG"),
    ignored("redis-only-metrics", "false", Kind::Bool).from("REDIS_EXPORTER_REDIS_ONLY_METRICS"),
    ignored("ping-on-connect", "false", Kind::Bool).from("REDIS_EXPORTER_PING_ON_CONNECT"),
    ignored("include-modules-metrics", "false", Kind::Bool)
        .from("REDIS_EXPORTER_INCL_MODULES_METRICS"),
    ignored("export-client-list", "false", Kind::Bool).from("REDIS_EXPORTER_EXPORT_CLIENT_LIST"),
    ignored("export-client-port", "false", Kind::Bool).from("REDIS_EXPORTER_EXPORT_CLIENT_PORT"),
    ignored("check-keys", "", Kind::Text).from("REDIS_EXPORTER_CHECK_KEYS"),
    ignored("check-single-keys", "", Kind::Text).from("REDIS_EXPORTER_CHECK_SINGLE_KEYS"),
    ignored("check-streams", "", Kind::Text).from("REDIS_EXPORTER_CHECK_STREAMS"),
    ignored("check-single-streams", "", Kind::Text).from("REDIS_EXPORTER_CHECK_SINGLE_STREAMS"),
    ignored("count-keys", "", Kind::Text).from("REDIS_EXPORTER_COUNT_KEYS"),
    ignored("check-key-groups", "", Kind::Text).from("REDIS_EXPORTER_CHECK_KEY_GROUPS"),
    ignored("check-keys-batch-size", "1000", Kind::Number)
        .from("REDIS_EXPORTER_CHECK_KEYS_BATCH_SIZE"),
    ignored("max-distinct-key-groups", "100", Kind::Number)
        .from("REDIS_EXPORTER_MAX_DISTINCT_KEY_GROUPS"),
    ignored("script", "", Kind::Text).from("REDIS_EXPORTER_SCRIPT"),
];

/// The verb with its flags.
pub(super) fn command() -> Command {
    let c = Command::new("redis-exporter")
        .about("Shows metrics of Redis servers with the command line of the Redis exporter")
        .version(crate::api::BuildInfo::VERSION);
    flags::add(c, FLAGS)
}

/// Reads `{"redis://host:port": "password"}`.
fn passwords(file: &str) -> Result<BTreeMap<String, String>, String> {
    if file.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wrong = |e: &dyn std::fmt::Display| format!("--redis.password-file {file:?}: {e}");
    let text = std::fs::read_to_string(file).map_err(|e| wrong(&e))?;
    // The parser's own message would repeat a password.
    let parsed = serde_json::from_str(&text);
    parsed.map_err(|e| wrong(&format!("line {}: no JSON object of texts", e.line())))
}

/// What encrypts connections to servers whose address asks for it. Files that are named are read at
/// once; the certificates of the system, a third of a megabyte, only when a connection needs them.
fn encrypt(v: &Values<'_>) -> Result<Encrypt, String> {
    let settings = TlsConfig {
        ca_file: v.text("tls-ca-cert-file"),
        cert_file: v.text("tls-client-cert-file"),
        key_file: v.text("tls-client-key-file"),
        insecure_skip_verify: v.on("skip-tls-verification"),
        ..TlsConfig::default()
    };
    let files = [&settings.ca_file, &settings.cert_file, &settings.key_file];
    let named = files.iter().any(|f| !f.is_empty());
    let made = OnceLock::new();
    let config =
        move || -> Result<_, String> { made.get_or_init(|| client_config(&settings)).clone() };
    if named {
        config()?;
    }
    Ok(Arc::new(move |socket: TcpStream, host: &str| {
        let config = config().map_err(io::Error::other)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let client = rustls::ClientConnection::new(config, name).map_err(io::Error::other)?;
        let stream: Box<dyn Stream> = Box::new(rustls::StreamOwned::new(client, socket));
        Ok(stream)
    }))
}

/// `15s`, `500ms`.
fn timeout(v: &Values<'_>) -> Result<Duration, String> {
    let text = v.text("connection-timeout");
    let parsed = text.parse::<crate::config::PromDuration>();
    let d = parsed.map_err(|e| format!("--connection-timeout {text:?}: {e}"))?;
    if d.is_zero() {
        return Err("--connection-timeout must be more than nothing".into());
    }
    Ok(d.as_std())
}

fn exporter(v: &Values<'_>) -> Result<Arc<dyn Exporter>, String> {
    let options = RedisOptions {
        address: v.text("redis.addr"),
        user: v.text("redis.user"),
        password: v.text("redis.password"),
        passwords: passwords(&v.text("redis.password-file"))?,
        encrypt: Some(encrypt(v)?),
        scrape: Options {
            namespace: v.text("namespace"),
            timeout: timeout(v)?,
            config_command: v.text("config-command"),
            set_client_name: v.on("set-client-name"),
            config_metrics: v.on("include-config-metrics"),
            empty_databases: v.on("include-metrics-for-empty-databases"),
            system_metrics: v.on("include-system-metrics"),
            cluster: v.on("is-cluster"),
            role_label: v.on("append-instance-role-label"),
        },
    };
    Ok(Arc::new(RedisExporter::new(options)))
}

fn web(v: &Values<'_>) -> WebOptions {
    WebOptions {
        telemetry_path: v.text("web.telemetry-path"),
        requests_max: 0,
        own_metrics: v.on("include-go-runtime-metrics"),
    }
}

/// Runs the exporter.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let v = Values::new(m, FLAGS);
    let format = match v.text("log-format").as_str() {
        "json" => "json",
        _ => "logfmt",
    };
    let level = v.text("log-level").to_lowercase();
    shared::run(&v, (&level, format), web(&v), || exporter(&v))
}

/// The exporter as part of everything, if the server of the environment, or one on this host, is
/// reachable.
pub(super) fn beside(address: &str) -> Result<Option<ExporterPlan>, String> {
    let matches = command()
        .try_get_matches_from(["redis-exporter"])
        .map_err(|e| e.to_string())?;
    let v = Values::new(&matches, FLAGS);
    let target = Target::parse(&v.text("redis.addr")).map_err(|e| format!("REDIS_ADDR: {e}"))?;
    let place = match &target.place {
        Place::Tcp { address, .. } => address,
        Place::Unix(path) => path,
    };
    if !shared::reachable(place) {
        return Ok(None);
    }
    Ok(Some(shared::beside(exporter(&v)?, address, web(&v))))
}
