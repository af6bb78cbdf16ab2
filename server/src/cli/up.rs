//! `sextant up [DIR]`: everything there is, with defaults that need no configuration.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};

use super::flags::{self, Values};
use super::{alertmanager, complain, loki, node_exporter, personality, prometheus};
use crate::config::loki::load as load_loki;
use crate::lifecycle::{self, ConfigSource, Exit, Familiar};

/// Where this host is shown: the port of the family, for nobody else.
const NODE: &str = "127.0.0.1:9100";

/// Configuration of a server that nobody has configured: it watches itself and its host.
fn built_in(listen: &str) -> String {
    format!(
        "global:\n  scrape_interval: 15s\n  evaluation_interval: 15s\n\
         scrape_configs:\n- job_name: sextant\n  static_configs:\n  - targets: ['{listen}']\n\
         - job_name: node-exporter\n  static_configs:\n  - targets: ['{NODE}']\n"
    )
}

const ANNOUNCE: &str = "\nSextant is up. Stop it with Ctrl-C.\n\n  \
    start page          {url}/\n  \
    metrics API         {url}/api/v1/query?query=up\n  \
    remote write        {url}/api/v1/write\n  \
    log push, queries   {loki}/loki/api/v1/push\n  \
    alerts, silences    {url}/api/v2/alerts\n  \
    own metrics         {url}/metrics\n  \
    this host           http://127.0.0.1:9100/metrics\n  \
    health, readiness   {url}/-/healthy  {url}/-/ready\n\n";

/// The verb.
pub(super) fn command() -> Command {
    let c = Command::new("up")
        .about("Starts everything on 127.0.0.1, with the files of DIR or built-in defaults")
        .arg(
            Arg::new("DIR")
                .help("Folder with prometheus.yml and other files of a monitoring stack"),
        );
    flags::add(c, prometheus::FLAGS)
        .mut_arg("web.listen-address", |a| a.default_value("127.0.0.1:9090"))
        .mut_arg("storage.tsdb.path", |a| a.default_value("./data"))
        .mut_arg("web.enable-remote-write-receiver", |a| {
            a.default_value("true")
        })
        .mut_arg("web.enable-otlp-receiver", |a| a.default_value("true"))
}

/// The configuration file of a folder.
fn find(dir: &Path) -> Result<PathBuf, String> {
    let names = ["prometheus.yml", "prometheus.yaml"];
    let places = [dir.to_owned(), dir.join("prometheus"), dir.join("config")];
    let candidates = places.iter().flat_map(|d| names.map(|n| d.join(n)));
    candidates
        .into_iter()
        .find(|f| f.is_file())
        .ok_or_else(|| format!("{}: no prometheus.yml found", dir.display()))
}

/// Runs everything.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let v = Values::new(m, prometheus::FLAGS);
    let planned = personality::start_log(&v.text("log.level"), &v.text("log.format"))
        .and_then(|()| prometheus::plan(&v))
        .and_then(|mut plan| {
            plan.config = match m.get_one::<String>("DIR") {
                Some(dir) => ConfigSource::File(find(Path::new(dir))?),
                None if v.given("config.file") => plan.config,
                None => ConfigSource::Text(built_in(plan.listen.first().map_or("", |l| l))),
            };
            if let Some(file) = m
                .get_one::<String>("DIR")
                .and_then(|d| loki::find(Path::new(d)))
            {
                plan.loki = load_loki(&file, false).map_err(|e| e.to_string())?;
                loki::warn(&plan.loki);
                if !plan.loki.ruler.remote_write.is_empty() {
                    tracing::warn!(
                        "ruler.remote_write has no effect here: what rules record is in the own \
                         store, and remote_write of prometheus.yml sends it on"
                    );
                }
            }
            plan.familiar = vec![Familiar {
                what: "loki",
                address: format!("127.0.0.1:{}", plan.loki.listen_port),
            }];
            let alerting = m.get_one::<String>("DIR");
            let alerting = alerting.and_then(|d| alertmanager::find(Path::new(d)));
            plan.exporters = vec![node_exporter::beside(NODE)?];
            plan.alertmanager = Some(alertmanager::beside(alerting, &plan)?);
            plan.announce = Some(ANNOUNCE.into());
            Ok(plan)
        });
    match planned {
        Ok(plan) => lifecycle::run(plan).code(),
        Err(e) => {
            complain(&format!("{e}\n"));
            Exit::Start.code()
        }
    }
}
