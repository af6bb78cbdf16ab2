//! `sextant alertmanager`: the command line of Alertmanager.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use jiff::SignedDuration;

use super::flags::{self, Flag, Kind, Values, flag, ignored};
use super::{personality, prometheus};
use crate::alerting::{AlertingOptions, ClusterOptions, Source};
use crate::api::alertmanager::RequestLimits;
use crate::lifecycle::{self, AlertmanagerPlan, ClusterPlan, ConfigSource, Exit, Plan};

/// A server that only tells scrapes nothing.
const NO_SCRAPING: &str = "global: {}\n";

/// Alerting without a configuration: alerts can be seen and silenced, nobody is told.
const BUILT_IN: &str =
    "route: {receiver: nobody, group_by: [alertname]}\nreceivers: [{name: nobody}]\n";

/// Where other instances reach this one when no flag says so.
const DEFAULT_CLUSTER: &str = "0.0.0.0:9094";

/// All flags of the original.
const FLAGS: &[Flag] = &[
    flag(
        "config.file",
        "alertmanager.yml",
        Kind::Text,
        "Configuration file",
    ),
    flag("storage.path", "data/", Kind::Text, "Directory of the data"),
    flag(
        "data.retention",
        "120h",
        Kind::Duration,
        "How long ended silences and the log of notifications are kept",
    ),
    flag(
        "data.maintenance-interval",
        "15m",
        Kind::Duration,
        "How often what is older is forgotten",
    ),
    flag(
        "alerts.gc-interval",
        "30m",
        Kind::Duration,
        "How often alerts that are over are forgotten",
    ),
    flag(
        "alerts.per-alertname-limit",
        "0",
        Kind::Number,
        "Alerts of one name, 0 for any number",
    ),
    flag(
        "silences.max-silences",
        "0",
        Kind::Number,
        "Silences, 0 for any number",
    ),
    flag(
        "silences.max-silence-size-bytes",
        "0",
        Kind::Number,
        "Bytes of a silence, 0 for any number",
    ),
    ignored("dispatch.maintenance-interval", "30s", Kind::Duration),
    flag(
        "dispatch.start-delay",
        "0s",
        Kind::Duration,
        "Nothing is told earlier than this after the start",
    ),
    flag(
        "web.listen-address",
        ":9093",
        Kind::List,
        "Address to listen on, may be repeated",
    ),
    flags::WEB_EXTERNAL_URL,
    flags::WEB_ROUTE_PREFIX,
    flag(
        "web.get-concurrency",
        "0",
        Kind::Number,
        "GET requests at a time; 0 for as many as processors, at least 8",
    ),
    flag(
        "web.timeout",
        "0",
        Kind::Duration,
        "How long an answer may take, 0 for any time",
    ),
    flags::WEB_CONFIG_FILE,
    ignored("web.systemd-socket", "false", Kind::Bool),
    flag(
        "cluster.listen-address",
        DEFAULT_CLUSTER,
        Kind::Text,
        "Address to listen on for other instances; empty for none",
    ),
    flag(
        "cluster.advertise-address",
        "",
        Kind::Text,
        "Address under which other instances reach this one",
    ),
    flag(
        "cluster.peer",
        "",
        Kind::List,
        "Another instance, host:port, may be repeated",
    ),
    flag(
        "cluster.peer-timeout",
        "15s",
        Kind::Duration,
        "How long each instance waits for the one before it to notify",
    ),
    flag(
        "cluster.peers-resolve-timeout",
        "15s",
        Kind::Duration,
        "How long the addresses of a peer may take to be found",
    ),
    flag(
        "cluster.gossip-interval",
        "200ms",
        Kind::Duration,
        "Shortest time between two questions to a peer that bring nothing",
    ),
    // A peer is asked for all that is new at any time, so nothing is left to exchange as a whole.
    ignored("cluster.pushpull-interval", "1m", Kind::Duration),
    flag(
        "cluster.tcp-timeout",
        "10s",
        Kind::Duration,
        "How long a peer may take to answer",
    ),
    ignored("cluster.probe-timeout", "500ms", Kind::Duration),
    flag(
        "cluster.probe-interval",
        "1s",
        Kind::Duration,
        "How often a peer is heard of at least",
    ),
    flag(
        "cluster.settle-timeout",
        "1m",
        Kind::Duration,
        "How long notifications wait at the start for what peers know",
    ),
    flag(
        "cluster.reconnect-interval",
        "10s",
        Kind::Duration,
        "How often a peer that is gone is tried",
    ),
    flag(
        "cluster.reconnect-timeout",
        "6h",
        Kind::Duration,
        "How long a peer that is gone is tried when no flag names it",
    ),
    ignored(
        "cluster.allow-insecure-public-advertise-address-discovery",
        "false",
        Kind::Bool,
    ),
    flag(
        "cluster.label",
        "",
        Kind::Text,
        "Instances with another label are strangers",
    ),
    flag(
        "cluster.peer-name",
        "",
        Kind::Text,
        "Name of this instance, random by default; names decide who notifies first",
    ),
    flag(
        "cluster.name",
        "",
        Kind::Text,
        "The same as --cluster.peer-name",
    ),
    flag(
        "cluster.tls-config",
        "",
        Kind::Text,
        "File with TLS settings between instances",
    ),
    ignored("enable-feature", "", Kind::List),
    flags::AUTO_GOMAXPROCS,
    ignored("auto-gomemlimit", "false", Kind::Bool),
    flags::AUTO_GOMEMLIMIT_RATIO,
    flags::LOG_LEVEL,
    flags::LOG_FORMAT,
];

/// The verb with its flags.
pub(super) fn command() -> Command {
    let c = Command::new("alertmanager")
        .about("Runs the alert receiver with the command line of Alertmanager")
        .version(crate::api::BuildInfo::VERSION);
    flags::add(c, FLAGS)
}

/// Runs the server. Whatever keeps it from starting ends it with 1, as with the original.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let v = Values::new(m, FLAGS);
    if let Err(e) = personality::start_log(&v.text("log.level"), &v.text("log.format")) {
        super::complain(&format!("{e}\n"));
        return Exit::Runtime.code();
    }
    for name in v.without_effect() {
        tracing::warn!(flag = %format!("--{name}"), "flag is accepted without effect");
    }
    match plan(&v).map(lifecycle::run) {
        Ok(Exit::Ok) => Exit::Ok.code(),
        Ok(_) => Exit::Runtime.code(),
        Err(e) => {
            tracing::error!("{e}");
            Exit::Runtime.code()
        }
    }
}

fn span(d: crate::config::PromDuration) -> SignedDuration {
    SignedDuration::from_millis(d.as_ms())
}

/// Other instances as the flags name them.
fn cluster(v: &Values<'_>) -> Result<Option<ClusterPlan>, String> {
    let listen = v.text("cluster.listen-address");
    if listen.is_empty() {
        return Ok(None);
    }
    let peers = v.words("cluster.peer");
    for p in &peers {
        let port = p.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(port)) if port > 0) {
            return Err(format!("--cluster.peer {p:?} is not host:port"));
        }
    }
    let name = match v.text("cluster.peer-name") {
        n if n.is_empty() => v.text("cluster.name"),
        n => n,
    };
    let tls = v.text("cluster.tls-config");
    let time = |name: &str| span(v.duration(name));
    Ok(Some(ClusterPlan {
        listen_is_optional: listen == DEFAULT_CLUSTER && peers.is_empty(),
        listen,
        tls: (!tls.is_empty()).then(|| tls.into()),
        resolve_timeout: v.duration("cluster.peers-resolve-timeout").as_std(),
        options: ClusterOptions {
            name,
            advertise: v.text("cluster.advertise-address"),
            label: v.text("cluster.label"),
            peers,
            peer_timeout: time("cluster.peer-timeout"),
            settle_timeout: time("cluster.settle-timeout"),
            gossip_interval: time("cluster.gossip-interval"),
            probe_interval: time("cluster.probe-interval"),
            tcp_timeout: time("cluster.tcp-timeout"),
            reconnect_interval: time("cluster.reconnect-interval"),
            reconnect_timeout: time("cluster.reconnect-timeout"),
        },
    }))
}

/// The plan that the flags ask for: everything else as the other personalities have it.
fn plan(v: &Values<'_>) -> Result<Plan, String> {
    let listen = v.list("web.listen-address");
    let given = v
        .given("web.route-prefix")
        .then(|| v.text("web.route-prefix"));
    let first = listen.first().map_or("", String::as_str);
    let (external_url, route_prefix) =
        personality::urls(&v.text("web.external-url"), given.as_deref(), first)?;
    let web_config = v.text("web.config.file");
    let dir = v.text("storage.path");
    let words = [
        "prometheus".to_owned(),
        format!("--storage.tsdb.path={dir}"),
    ];
    let matches = prometheus::command()
        .try_get_matches_from(words)
        .map_err(|e| e.to_string())?;
    let mut plan = prometheus::plan(&Values::new(&matches, prometheus::FLAGS))?;
    plan.config = ConfigSource::Text(NO_SCRAPING.into());
    plan.listen.clear();
    plan.alertmanager = Some(AlertmanagerPlan {
        options: AlertingOptions {
            source: Source::File(v.text("config.file").into()),
            external_url,
            retention: span(v.duration("data.retention")),
            gc_interval: span(v.duration("alerts.gc-interval")),
            maintenance_interval: span(v.duration("data.maintenance-interval")),
            start_delay: span(v.duration("dispatch.start-delay")),
            alerts_per_name: v.number("alerts.per-alertname-limit"),
            silences_max: v.number("silences.max-silences"),
            silence_bytes_max: v.number("silences.max-silence-size-bytes"),
        },
        listen,
        port_is_optional: false,
        web_config: (!web_config.is_empty()).then(|| web_config.into()),
        route_prefix,
        limits: RequestLimits {
            reads: v.number("web.get-concurrency"),
            timeout: v.duration("web.timeout").as_std(),
        },
        cluster: cluster(v)?,
    });
    Ok(plan)
}

/// Alerting as part of everything: with the file of a folder, as far as it can be used, or the
/// built-in configuration.
pub(super) fn beside(file: Option<PathBuf>, main: &Plan) -> Result<AlertmanagerPlan, String> {
    let matches = command()
        .try_get_matches_from(["alertmanager"])
        .map_err(|e| e.to_string())?;
    let mut own = plan(&Values::new(&matches, FLAGS))?
        .alertmanager
        .ok_or("alerting has no plan")?;
    own.options.source = match file {
        Some(f) => Source::Usable(f),
        None => Source::Text(BUILT_IN.into()),
    };
    let host = personality::host(&main.listen);
    let shown = if host.is_empty() { "localhost" } else { host };
    own.options.external_url = format!("http://{shown}:9093");
    own.route_prefix = String::new();
    own.cluster = None;
    own.listen = vec![format!("{host}:9093")];
    own.port_is_optional = true;
    own.web_config.clone_from(&main.web_config);
    Ok(own)
}

/// The configuration of alerting in a folder of a monitoring stack.
pub(super) fn find(dir: &Path) -> Option<PathBuf> {
    let names = ["alertmanager.yml", "alertmanager.yaml"];
    let places = ["", "alertmanager", "prometheus", "config"].map(|p| dir.join(p));
    let candidates = places.iter().flat_map(|d| names.map(|n| d.join(n)));
    candidates.into_iter().find(|f| f.is_file())
}
