//! `sextant loki`: the command line of Loki.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};

use super::args::{given, on, rest, switch, tell_rest, text};
use super::flags::Values;
use super::{complain, personality, print, prometheus};
use crate::config::loki::{self, LokiConfig};
use crate::lifecycle::{self, ConfigSource, Exit, Plan};

/// The configuration of metrics for a server that only takes lines: nothing is scraped, and what
/// rules record goes where the ruler's remote write says.
fn of_metrics(config: &LokiConfig) -> String {
    let mut document = serde_json::json!({"global": {}});
    if !config.ruler.remote_write.is_empty() {
        document["remote_write"] = config.ruler.remote_write.clone().into();
    }
    crate::config::render_yaml(&document)
}

/// The verb.
pub(super) fn command() -> Command {
    Command::new("loki")
        .about("Runs the log server with the command line of Loki")
        .version(crate::api::BuildInfo::VERSION)
        .arg(text("config.file", "Configuration file").default_value(""))
        .arg(switch(
            "config.expand-env",
            "Replace ${NAME:default} in the file",
        ))
        .arg(switch(
            "verify-config",
            "Read the file, say what is wrong, and end",
        ))
        .arg(switch("print-config-stderr", "Print the configuration"))
        .arg(text("target", "Parts to run; all of them are one here").default_value("all"))
        .arg(text("server.http-listen-address", "Address to listen on"))
        .arg(text("server.http-listen-port", "Port to listen on"))
        .arg(text("log.level", "debug, info, warn or error"))
        .arg(text("common.path-prefix", "Folder of the data"))
        .arg(rest())
}

/// Loki, Promtail and the Redis exporter write long flags with one dash.
pub(super) fn dashes(args: Vec<OsString>) -> Vec<OsString> {
    if args
        .get(1)
        .is_none_or(|a| a != "loki" && a != "promtail" && a != "redis-exporter")
    {
        return args;
    }
    let each = args.into_iter().map(|a| match a.to_str() {
        Some(t) if t.len() > 2 && t.starts_with('-') && !t.starts_with("--") => {
            format!("-{t}").into()
        }
        _ => a,
    });
    each.collect()
}

fn config(m: &ArgMatches) -> Result<LokiConfig, String> {
    let mut c = match given(m, "config.file") {
        Some(f) => loki::load(Path::new(f), on(m, "config.expand-env"))
            .map_err(|e| format!("failed parsing config: {e}"))?,
        None => LokiConfig::default(),
    };
    if let Some(a) = given(m, "server.http-listen-address") {
        c.listen_address.clone_from(a);
    }
    if let Some(p) = given(m, "server.http-listen-port") {
        c.listen_port = p
            .parse()
            .map_err(|_| format!("--server.http-listen-port {p:?} is not a port"))?;
    }
    if let Some(d) = given(m, "common.path-prefix") {
        c.data_dir.clone_from(d);
    }
    Ok(c)
}

/// Runs the server.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let config = match config(m) {
        Ok(c) => c,
        Err(e) => {
            complain(&format!("{e}\n"));
            return Exit::Runtime.code();
        }
    };
    if on(m, "print-config-stderr") {
        complain(&crate::config::render_yaml(&config.document));
    }
    if on(m, "verify-config") {
        for w in &config.warnings {
            complain(&format!("warning: {w}\n"));
        }
        print("config is valid\n");
        return Exit::Ok.code();
    }
    let level = given(m, "log.level").unwrap_or(&config.log_level);
    let format = match config.log_format.as_str() {
        "json" => "json",
        _ => "logfmt",
    };
    if let Err(e) = personality::start_log(level, format) {
        complain(&format!("{e}\n"));
        return Exit::Runtime.code();
    }
    tell_rest(m);
    match plan(config) {
        Ok(plan) => lifecycle::run(plan).code(),
        Err(e) => {
            tracing::error!("{e}");
            Exit::Runtime.code()
        }
    }
}

/// Says what of the configuration has no effect.
pub(super) fn warn(config: &LokiConfig) {
    for w in &config.warnings {
        tracing::warn!("{w}");
    }
}

/// The plan of a server for lines: everything else as the other personalities have it by default.
fn plan(config: LokiConfig) -> Result<Plan, String> {
    warn(&config);
    let dir = if config.data_dir.is_empty() {
        "./data".to_owned()
    } else {
        config.data_dir.clone()
    };
    let listen = format!("{}:{}", config.listen_address, config.listen_port);
    let words = [
        "prometheus".to_owned(),
        format!("--web.listen-address={listen}"),
        format!("--storage.tsdb.path={dir}"),
        format!("--web.route-prefix={}", config.path_prefix),
    ];
    let matches = prometheus::command()
        .try_get_matches_from(words)
        .map_err(|e| e.to_string())?;
    let mut plan = prometheus::plan(&Values::new(&matches, prometheus::FLAGS))?;
    plan.config = ConfigSource::Text(of_metrics(&config));
    plan.loki = config;
    Ok(plan)
}

/// The configuration for lines in a folder of a monitoring stack.
pub(super) fn find(dir: &Path) -> Option<PathBuf> {
    let names = [
        "loki-config.yml",
        "loki-config.yaml",
        "loki.yml",
        "loki.yaml",
    ];
    let places = [dir.to_owned(), dir.join("loki"), dir.join("config")];
    let candidates = places.iter().flat_map(|d| names.map(|n| d.join(n)));
    candidates.into_iter().find(|f| f.is_file())
}
