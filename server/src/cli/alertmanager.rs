//! `sextant alertmanager`: the command line of Alertmanager.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use jiff::SignedDuration;

use super::flags::{self, Flag, Kind, Values, flag, ignored};
use super::{personality, prometheus};
use crate::alerting::{AlertingOptions, Source};
use crate::lifecycle::{self, AlertmanagerPlan, ConfigSource, Exit, Plan};

/// A server that only tells scrapes nothing.
const NO_SCRAPING: &str = "global: {}\n";

/// Alerting without a configuration: alerts can be seen and silenced, nobody is told.
const BUILT_IN: &str =
    "route: {receiver: nobody, group_by: [alertname]}\nreceivers: [{name: nobody}]\n";

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
    flag(
        "web.external-url",
        "",
        Kind::Text,
        "URL under which users reach this server",
    ),
    flag(
        "web.route-prefix",
        "",
        Kind::Text,
        "Prefix of all routes; by default the path of --web.external-url",
    ),
    ignored("web.get-concurrency", "0", Kind::Number),
    ignored("web.timeout", "0", Kind::Duration),
    flag(
        "web.config.file",
        "",
        Kind::Text,
        "File with TLS settings and users",
    ),
    ignored("web.systemd-socket", "false", Kind::Bool),
    ignored("cluster.listen-address", "0.0.0.0:9094", Kind::Text),
    ignored("cluster.advertise-address", "", Kind::Text),
    ignored("cluster.peer", "", Kind::List),
    ignored("cluster.peer-timeout", "15s", Kind::Duration),
    ignored("cluster.peers-resolve-timeout", "15s", Kind::Duration),
    ignored("cluster.gossip-interval", "200ms", Kind::Duration),
    ignored("cluster.pushpull-interval", "1m", Kind::Duration),
    ignored("cluster.tcp-timeout", "10s", Kind::Duration),
    ignored("cluster.probe-timeout", "500ms", Kind::Duration),
    ignored("cluster.probe-interval", "1s", Kind::Duration),
    ignored("cluster.settle-timeout", "1m", Kind::Duration),
    ignored("cluster.reconnect-interval", "10s", Kind::Duration),
    ignored("cluster.reconnect-timeout", "6h", Kind::Duration),
    ignored(
        "cluster.allow-insecure-public-advertise-address-discovery",
        "false",
        Kind::Bool,
    ),
    ignored("cluster.label", "", Kind::Text),
    ignored("cluster.name", "", Kind::Text),
    ignored("cluster.tls-config", "", Kind::Text),
    ignored("enable-feature", "", Kind::List),
    ignored("auto-gomaxprocs", "true", Kind::Bool),
    ignored("auto-gomemlimit", "false", Kind::Bool),
    ignored("auto-gomemlimit.ratio", "0.9", Kind::Text),
    flag(
        "log.level",
        "info",
        Kind::Text,
        "debug, info, warn or error",
    ),
    flag("log.format", "logfmt", Kind::Text, "logfmt or json"),
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
    let host = main.listen.first().and_then(|l| l.rsplit_once(':'));
    let host = host.map_or("127.0.0.1", |(h, _)| h);
    let shown = if host.is_empty() { "localhost" } else { host };
    own.options.external_url = format!("http://{shown}:9093");
    own.route_prefix = String::new();
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
