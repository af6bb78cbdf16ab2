//! `sextant node-exporter`: the command line of the node exporter.

use std::sync::{Arc, LazyLock};

use clap::{ArgMatches, Command};
use exporters::metrics::node::{self, FlagKind, Node, Roots, Settings};

use super::exporters as shared;
use super::flags::{self, Flag, Kind, Values, flag, ignored};
use crate::exporting::{Exporter, NodeExporter, WebOptions};
use crate::lifecycle::ExporterPlan;

/// The address of the family.
const PORT: &str = ":9100";

/// Collectors of the original that run on request only and that we do not have.
const ABSENT: [&str; 6] = ["ethtool", "logind", "ntp", "perf", "runit", "supervisord"];

/// Flags of these collectors that take a value.
const ABSENT_FLAGS: [&str; 16] = [
    "collector.ethtool.device-include",
    "collector.ethtool.device-exclude",
    "collector.ethtool.metrics-include",
    "collector.ntp.ip-ttl",
    "collector.ntp.local-offset-tolerance",
    "collector.ntp.max-distance",
    "collector.ntp.protocol-version",
    "collector.ntp.server",
    "collector.ntp.server-port",
    "collector.perf.cache-profilers",
    "collector.perf.cpus",
    "collector.perf.hardware-profilers",
    "collector.perf.software-profilers",
    "collector.perf.tracepoint",
    "collector.runit.servicedir",
    "collector.supervisord.url",
];

/// Switches of these collectors.
const ABSENT_SWITCHES: [&str; 4] = [
    "collector.ntp.server-is-local",
    "collector.perf.disable-cache-profilers",
    "collector.perf.disable-hardware-profilers",
    "collector.perf.disable-software-profilers",
];

/// All flags: the pages', the paths', one switch per collector, the collectors' own.
static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| {
    let mut all = shared::shared(PORT);
    all.extend([
        flag(
            "web.disable-exporter-metrics",
            "false",
            Kind::Bool,
            "Leave out the numbers of the exporter itself",
        ),
        flag(
            "web.max-requests",
            "40",
            Kind::Number,
            "Scrapes at a time, 0 for any number",
        ),
        ignored("runtime.gomaxprocs", "1", Kind::Number),
        flag(
            "path.procfs",
            "/proc",
            Kind::Text,
            "Where procfs is mounted",
        ),
        flag("path.sysfs", "/sys", Kind::Text, "Where sysfs is mounted"),
        flag(
            "path.rootfs",
            "/",
            Kind::Text,
            "Where the root file system is mounted",
        ),
        flag(
            "path.udev.data",
            "/run/udev/data",
            Kind::Text,
            "Where udev keeps its data",
        ),
        flag(
            "collector.disable-defaults",
            "false",
            Kind::Bool,
            "Run no collector but those that are asked for",
        ),
    ]);
    // Collectors of the original that we do not have: a command line that asks for one still
    // starts, with a warning.
    for name in ABSENT {
        let name: &'static str = format!("collector.{name}").leak();
        all.push(ignored(name, "false", Kind::Bool));
    }
    // Some of them may be repeated.
    all.extend(ABSENT_FLAGS.iter().map(|n| ignored(n, "", Kind::List)));
    all.extend(
        ABSENT_SWITCHES
            .iter()
            .map(|n| ignored(n, "false", Kind::Bool)),
    );
    for (name, by_default) in node::collectors() {
        // One small text per collector, made once for the life of the process.
        let name: &'static str = format!("collector.{name}").leak();
        let default = if by_default { "true" } else { "false" };
        all.push(flag(name, default, Kind::Bool, "Run this collector"));
    }
    all.extend(node::flags().map(|f| {
        let kind = match f.kind {
            FlagKind::Text => Kind::Text,
            FlagKind::Switch => Kind::Bool,
            FlagKind::Duration => Kind::Duration,
            FlagKind::List => Kind::List,
        };
        flag(f.name, f.default, kind, f.help)
    }));
    all
});

/// The verb with its flags.
pub(super) fn command() -> Command {
    let c = Command::new("node-exporter")
        .about("Shows metrics of this host with the command line of the node exporter")
        .version(crate::api::BuildInfo::VERSION);
    flags::add(c, &FLAGS)
}

fn node(v: &Values<'_>) -> Result<Node, String> {
    let mut settings = Settings::default();
    settings.none_by_default = v.on("collector.disable-defaults");
    for (name, _) in node::collectors() {
        let flag = format!("collector.{name}");
        if v.given(&flag) {
            settings.switch(name, v.on(&flag));
        }
    }
    for f in node::flags().filter(|f| v.given(f.name)) {
        let values = match f.kind {
            FlagKind::Switch => vec![v.on(f.name).to_string()],
            FlagKind::List => v.list(f.name),
            _ => vec![v.text(f.name)],
        };
        settings.give(f.name, values);
    }
    let roots = Roots {
        procfs: v.text("path.procfs").into(),
        sysfs: v.text("path.sysfs").into(),
        rootfs: v.text("path.rootfs").into(),
        udev: v.text("path.udev.data").into(),
    };
    Node::new(roots, &settings)
}

fn web(v: &Values<'_>) -> WebOptions {
    WebOptions {
        telemetry_path: v.text("web.telemetry-path"),
        requests_max: v.number("web.max-requests"),
        own_metrics: !v.on("web.disable-exporter-metrics"),
        login: None,
    }
}

/// Runs the exporter.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let v = Values::new(m, &FLAGS);
    let log = (v.text("log.level"), v.text("log.format"));
    shared::run(&v, (&log.0, &log.1), web(&v), || {
        let exporter: Arc<dyn Exporter> = Arc::new(NodeExporter::new(node(&v)?));
        Ok(exporter)
    })
}

/// The exporter of this host as part of everything, on `address` if that is free.
pub(super) fn beside(address: &str) -> Result<ExporterPlan, String> {
    let matches = command()
        .try_get_matches_from(["node-exporter"])
        .map_err(|e| e.to_string())?;
    let v = Values::new(&matches, &FLAGS);
    let exporter = Arc::new(NodeExporter::new(node(&v)?));
    Ok(shared::beside(exporter, address, web(&v)))
}
