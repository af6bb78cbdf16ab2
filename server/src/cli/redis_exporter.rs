//! `sextant redis-exporter`: the command line of the Redis exporter.

use std::io;
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::{ArgMatches, Command};
use exporters::metrics::redis::{
    Encrypt, IndexNames, KeyList, KeyOptions, Options, Place, Script, Stream, Target,
};
use rustls_pki_types::ServerName;

use super::complain;
use super::exporters as shared;
use super::flags::{self, Flag, Kind, Values, flag, ignored};
use crate::config::prometheus::TlsConfig;
use crate::exporting::{Exporter, Login, RedisExporter, RedisOptions, WebOptions};
use crate::http::tls_client::client_config;
use crate::lifecycle::{Exit, ExporterPlan};

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
    .from("REDIS_EXPORTER_INCLUDE_GO_RUNTIME_METRICS"),
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
    flag(
        "tls-server-name",
        "",
        Kind::Text,
        "Name that the server's certificate is for",
    )
    .from("REDIS_EXPORTER_TLS_SERVER_NAME"),
    flag(
        "debug",
        "false",
        Kind::Bool,
        "Log all there is, whatever log-level says",
    )
    .from("REDIS_EXPORTER_DEBUG"),
    flag(
        "redis-only-metrics",
        "false",
        Kind::Bool,
        "Leave out the numbers of the exporter itself",
    )
    .from("REDIS_EXPORTER_REDIS_ONLY_METRICS"),
    flag(
        "ping-on-connect",
        "false",
        Kind::Bool,
        "Show how long an empty command takes",
    )
    .from("REDIS_EXPORTER_PING_ON_CONNECT"),
    flag(
        "include-modules-metrics",
        "false",
        Kind::Bool,
        "Show what modules tell",
    )
    .from("REDIS_EXPORTER_INCL_MODULES_METRICS"),
    flag(
        "include-search-indexes-metrics",
        "false",
        Kind::Bool,
        "Show indexes of the module for searching",
    )
    .from("REDIS_EXPORTER_INCL_SEARCH_INDEXES_METRICS"),
    flag(
        "check-search-indexes",
        ".*",
        Kind::Text,
        "Names of indexes to show, as a regular expression",
    )
    .from("REDIS_EXPORTER_CHECK_SEARCH_INDEXES"),
    flag(
        "include-sentinel-peer-info",
        "false",
        Kind::Bool,
        "Show every sentinel beside the one that is asked",
    )
    .from("REDIS_EXPORTER_INCL_SENTINEL_PEER_INFO"),
    flag(
        "include-rdb-file-size-metric",
        "false",
        Kind::Bool,
        "Show the size of the dump, for a server on this host",
    )
    .from("REDIS_EXPORTER_INCL_RDB_FILE_SIZE_METRIC"),
    flag(
        "redact-config-metrics",
        "true",
        Kind::Bool,
        "Hide secrets of the configuration",
    )
    .from("REDIS_EXPORTER_REDACT_CONFIG_METRICS"),
    flag(
        "exclude-latency-histogram-metrics",
        "false",
        Kind::Bool,
        "Leave latencies out",
    )
    .from("REDIS_EXPORTER_EXCLUDE_LATENCY_HISTOGRAM_METRICS"),
    flag(
        "export-client-list",
        "false",
        Kind::Bool,
        "Show every client",
    )
    .from("REDIS_EXPORTER_EXPORT_CLIENT_LIST"),
    flag(
        "export-client-port",
        "false",
        Kind::Bool,
        "Show clients with their port",
    )
    .from("REDIS_EXPORTER_EXPORT_CLIENT_PORT"),
    flag("is-tile38", "false", Kind::Bool, "The server is Tile38").from("REDIS_EXPORTER_IS_TILE38"),
    flag(
        "cluster-discover-hostnames",
        "false",
        Kind::Bool,
        "Tell nodes of a cluster by their host names",
    )
    .from("REDIS_EXPORTER_CLUSTER_DISCOVER_HOSTNAMES"),
    flag(
        "check-keys",
        "",
        Kind::Text,
        "Patterns of keys to show: db0=user:*,counter:*",
    )
    .from("REDIS_EXPORTER_CHECK_KEYS"),
    flag(
        "check-single-keys",
        "",
        Kind::Text,
        "Keys to show: db0=visitors",
    )
    .from("REDIS_EXPORTER_CHECK_SINGLE_KEYS"),
    flag(
        "check-streams",
        "",
        Kind::Text,
        "Patterns of streams to show",
    )
    .from("REDIS_EXPORTER_CHECK_STREAMS"),
    flag("check-single-streams", "", Kind::Text, "Streams to show")
        .from("REDIS_EXPORTER_CHECK_SINGLE_STREAMS"),
    flag(
        "streams-exclude-consumer-metrics",
        "false",
        Kind::Bool,
        "Leave consumers of streams out",
    )
    .from("REDIS_EXPORTER_STREAMS_EXCLUDE_CONSUMER_METRICS"),
    flag(
        "count-keys",
        "",
        Kind::Text,
        "Patterns whose keys are counted",
    )
    .from("REDIS_EXPORTER_COUNT_KEYS"),
    flag(
        "check-key-groups",
        "",
        Kind::Text,
        "Lua patterns whose captures name groups of keys, separated by commas",
    )
    .from("REDIS_EXPORTER_CHECK_KEY_GROUPS"),
    flag(
        "check-keys-batch-size",
        "1000",
        Kind::Number,
        "Keys per step of a search",
    )
    .from("REDIS_EXPORTER_CHECK_KEYS_BATCH_SIZE"),
    flag(
        "max-distinct-key-groups",
        "100",
        Kind::Number,
        "Groups of keys to show per database",
    )
    .from("REDIS_EXPORTER_MAX_DISTINCT_KEY_GROUPS"),
    flag(
        "disable-exporting-key-values",
        "false",
        Kind::Bool,
        "Leave values of keys out",
    )
    .from("REDIS_EXPORTER_DISABLE_EXPORTING_KEY_VALUES"),
    flag(
        "skip-checkkeys-for-role-master",
        "false",
        Kind::Bool,
        "Ask replicas only about keys",
    )
    .from("REDIS_EXPORTER_SKIP_CHECKKEYS_FOR_ROLE_MASTER"),
    flag(
        "script",
        "",
        Kind::Text,
        "Files with Lua scripts to run, separated by commas",
    )
    .from("REDIS_EXPORTER_SCRIPT"),
    flag(
        "lua-script-read-only",
        "false",
        Kind::Bool,
        "Run scripts as such that change nothing",
    )
    .from("REDIS_EXPORTER_LUA_SCRIPT_READ_ONLY"),
    flag(
        "basic-auth-username",
        "",
        Kind::Text,
        "User who may see the pages",
    )
    .from("REDIS_EXPORTER_BASIC_AUTH_USERNAME"),
    flag(
        "basic-auth-password",
        "",
        Kind::Text,
        "Password of that user",
    )
    .from("REDIS_EXPORTER_BASIC_AUTH_PASSWORD"),
    flag(
        "basic-auth-hash-password",
        "",
        Kind::Text,
        "Hash of the password, in bcrypt's form",
    )
    .from("REDIS_EXPORTER_BASIC_AUTH_HASH_PASSWORD"),
    flag(
        "disable-scrape-endpoint",
        "false",
        Kind::Bool,
        "Requests may not name servers",
    )
    .from("REDIS_EXPORTER_DISABLE_SCRAPE_ENDPOINT"),
    flag(
        "tls-server-key-file",
        "",
        Kind::Text,
        "Not here: TLS of the pages is set in web.config.file",
    )
    .from("REDIS_EXPORTER_TLS_SERVER_KEY_FILE"),
    flag(
        "tls-server-cert-file",
        "",
        Kind::Text,
        "Not here: TLS of the pages is set in web.config.file",
    )
    .from("REDIS_EXPORTER_TLS_SERVER_CERT_FILE"),
    flag(
        "tls-server-ca-cert-file",
        "",
        Kind::Text,
        "Not here: TLS of the pages is set in web.config.file",
    )
    .from("REDIS_EXPORTER_TLS_SERVER_CA_CERT_FILE"),
    ignored("tls-server-min-version", "TLS1.2", Kind::Text)
        .from("REDIS_EXPORTER_TLS_SERVER_MIN_VERSION"),
];

/// The verb with its flags.
pub(super) fn command() -> Command {
    let c = Command::new("redis-exporter")
        .about("Shows metrics of Redis servers with the command line of the Redis exporter")
        .version(crate::api::BuildInfo::VERSION);
    flags::add(c, FLAGS)
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

/// Scripts of the files that are named.
fn scripts(v: &Values<'_>) -> Result<Vec<Script>, String> {
    let files = v.text("script");
    let each = files.split(',').filter(|f| !f.is_empty()).map(|file| {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|e| format!("--script {file:?}: {e}"))?;
        Ok(Script {
            file: file.to_owned(),
            text,
        })
    });
    each.collect()
}

/// What is asked about keys.
fn keys(v: &Values<'_>) -> Result<KeyOptions, String> {
    let list = |flag: &str| {
        let read = KeyList::parse(&v.text(flag));
        read.map_err(|e| format!("couldn't parse {flag}: {e}"))
    };
    let batch = v.number("check-keys-batch-size");
    Ok(KeyOptions {
        patterns: list("check-keys")?,
        single: list("check-single-keys")?,
        count: list("count-keys")?,
        streams: list("check-streams")?,
        single_streams: list("check-single-streams")?,
        batch: u32::try_from(batch).unwrap_or(u32::MAX).max(1),
        values: !v.on("disable-exporting-key-values"),
        consumers: !v.on("streams-exclude-consumer-metrics"),
        replicas_only: v.on("skip-checkkeys-for-role-master"),
        groups: patterns(&v.text("check-key-groups"))?,
        groups_max: v.number("max-distinct-key-groups"),
    })
}

/// A line of comma-separated values; one in quotes may hold commas.
fn patterns(text: &str) -> Result<Vec<String>, String> {
    let (mut all, mut one, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => one.extend(chars.next()),
            '"' if quoted || one.trim().is_empty() => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut one)),
            c => one.push(c),
        }
    }
    if quoted {
        return Err(format!(
            "--check-key-groups {text:?}: a quote is not closed"
        ));
    }
    all.push(one);
    let all = all.iter().map(|p| p.trim().to_owned());
    Ok(all.filter(|p| !p.is_empty()).collect())
}

fn scrape(v: &Values<'_>) -> Result<Options, String> {
    let indexes = v.on("include-search-indexes-metrics").then(|| {
        let pattern = v.text("check-search-indexes");
        let read = IndexNames::parse(&pattern);
        read.map_err(|e| format!("--check-search-indexes {pattern:?}: {e}"))
    });
    Ok(Options {
        namespace: v.text("namespace"),
        timeout: timeout(v)?,
        config_command: v.text("config-command"),
        set_client_name: v.on("set-client-name"),
        config_metrics: v.on("include-config-metrics"),
        empty_databases: v.on("include-metrics-for-empty-databases"),
        system_metrics: v.on("include-system-metrics"),
        cluster: v.on("is-cluster"),
        role_label: v.on("append-instance-role-label"),
        keys: keys(v)?,
        scripts: scripts(v)?,
        scripts_read_only: v.on("lua-script-read-only"),
        clients: v
            .on("export-client-list")
            .then(|| v.on("export-client-port")),
        redact_config: v.on("redact-config-metrics"),
        latencies: !v.on("exclude-latency-histogram-metrics"),
        ping: v.on("ping-on-connect"),
        rdb_size: v.on("include-rdb-file-size-metric"),
        modules: v.on("include-modules-metrics"),
        indexes: indexes.transpose()?,
        sentinel_peers: v.on("include-sentinel-peer-info"),
        tile38: v.on("is-tile38"),
    })
}

fn exporter(v: &Values<'_>) -> Result<Arc<dyn Exporter>, String> {
    for flag in [
        "tls-server-key-file",
        "tls-server-cert-file",
        "tls-server-ca-cert-file",
    ] {
        // Pages in the clear would be worse than none.
        if !v.text(flag).is_empty() {
            return Err(format!(
                "--{flag}: TLS of the exporter's own pages is set with tls_server_config in --web.config.file"
            ));
        }
    }
    let options = RedisOptions {
        address: v.text("redis.addr"),
        user: v.text("redis.user"),
        password: v.text("redis.password"),
        password_file: v.text("redis.password-file"),
        server_name: v.text("tls-server-name"),
        targets: !v.on("disable-scrape-endpoint"),
        hostnames: v.on("cluster-discover-hostnames"),
        build: !v.on("redis-only-metrics"),
        encrypt: Some(encrypt(v)?),
        scrape: scrape(v)?,
    };
    Ok(Arc::new(RedisExporter::new(options)?))
}

fn web(v: &Values<'_>) -> Result<WebOptions, String> {
    let login = Login::new(
        &v.text("basic-auth-username"),
        &v.text("basic-auth-password"),
        &v.text("basic-auth-hash-password"),
    )?;
    Ok(WebOptions {
        telemetry_path: v.text("web.telemetry-path"),
        requests_max: 0,
        own_metrics: !v.on("redis-only-metrics"),
        login: login.map(Arc::new),
    })
}

/// Runs the exporter.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let v = Values::new(m, FLAGS);
    let format = match v.text("log-format").as_str() {
        "json" => "json",
        _ => "logfmt",
    };
    let level = match v.on("debug") {
        true => "debug".to_owned(),
        false => v.text("log-level").to_lowercase(),
    };
    let web = match web(&v) {
        Ok(w) => w,
        Err(e) => {
            complain(&format!("{e}\n"));
            return Exit::Runtime.code();
        }
    };
    shared::run(&v, (&level, format), web, || exporter(&v))
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
    Ok(Some(shared::beside(exporter(&v)?, address, web(&v)?)))
}
