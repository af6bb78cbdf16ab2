//! `sextant up [DIR]`: everything there is, with defaults that need no configuration.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};

use super::flags::{self, Values};
use super::{alertmanager, complain, loki, node_exporter, personality, postgres_exporter};
use super::{prometheus, promtail, redis_exporter};
use crate::config::loki::load as load_loki;
use crate::lifecycle::{self, ConfigSource, Exit, ExporterPlan, Familiar};

/// Where exporters are: the ports of the family, for nobody else.
const NODE: &str = "127.0.0.1:9100";
const POSTGRES: &str = "127.0.0.1:9187";
const REDIS: &str = "127.0.0.1:9121";

/// Configuration of a server that nobody has configured: it watches itself, its host and the
/// databases that its exporters found.
fn built_in(listen: &str, exporters: &[(&str, &str)]) -> String {
    let mut text = "global:\n  scrape_interval: 15s\n  evaluation_interval: 15s\n\
         scrape_configs:\n"
        .to_owned();
    for (job, target) in [("sextant", listen)].iter().chain(exporters) {
        text.push_str(&format!(
            "- job_name: {job}\n  static_configs:\n  - targets: ['{target}']\n"
        ));
    }
    text
}

/// Exporters that can show something here, with their jobs.
fn exporters() -> Result<(Vec<ExporterPlan>, Vec<(&'static str, &'static str)>), String> {
    let found = [
        (Some(node_exporter::beside(NODE)?), "node-exporter", NODE),
        (
            postgres_exporter::beside(POSTGRES)?,
            "postgres-exporter",
            POSTGRES,
        ),
        (redis_exporter::beside(REDIS)?, "redis-exporter", REDIS),
    ];
    let found = found
        .into_iter()
        .filter_map(|(p, job, at)| Some((p?, (job, at))));
    Ok(found.unzip())
}

const ANNOUNCE: &str = "\nSextant is up. Stop it with Ctrl-C.\n\n  \
    start page          {url}/\n  \
    metrics API         {url}/api/v1/query?query=up\n  \
    remote write        {url}/api/v1/write\n  \
    log push, queries   {loki}/loki/api/v1/push\n  \
    alerts, silences    {url}/api/v2/alerts\n  \
    own metrics         {url}/metrics\n  \
    this host           http://127.0.0.1:9100/metrics\n  \
    its logs            http://127.0.0.1:9080/targets\n  \
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
            let (exporters, jobs) = exporters()?;
            plan.exporters = exporters;
            plan.config = match m.get_one::<String>("DIR") {
                Some(dir) => ConfigSource::File(find(Path::new(dir))?),
                None if v.given("config.file") => plan.config,
                None => {
                    let own = plan.listen.first().map_or("", |l| l);
                    ConfigSource::Text(built_in(own, &jobs))
                }
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
                address: format!(
                    "{}:{}",
                    personality::host(&plan.listen),
                    plan.loki.listen_port
                ),
            }];
            let alerting = m.get_one::<String>("DIR");
            let alerting = alerting.and_then(|d| alertmanager::find(Path::new(d)));
            plan.alertmanager = Some(alertmanager::beside(alerting, &plan)?);
            plan.agent = Some(promtail::beside(
                m.get_one::<String>("DIR").map(Path::new),
                &plan.storage.dir,
            )?);
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
