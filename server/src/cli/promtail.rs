//! `sextant promtail`: the command line of Promtail.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use exporters::logs::entry::Entry;

use super::args::{given, on, rest, switch, tell_rest, text};
use super::{complain, exporters as shared, personality, print};
use crate::agent::{Destination, Plan};
use crate::config::promtail::{self, ClientConfig, PromtailConfig};
use crate::lifecycle::{self, Exit};

/// The verb.
pub(super) fn command() -> Command {
    Command::new("promtail")
        .about("Reads logs and sends them on with the command line of Promtail")
        .version(crate::api::BuildInfo::VERSION)
        .arg(text("config.file", "Configuration file").default_value(""))
        .arg(switch(
            "config.expand-env",
            "Replace ${NAME:default} in the file",
        ))
        .arg(switch("dry-run", "Print entries instead of sending them"))
        .arg(switch(
            "stdin",
            "Read standard input through the first job's pipeline",
        ))
        .arg(switch(
            "check-syntax",
            "Read the file, say what is wrong, and end",
        ))
        .arg(switch("print-config-stderr", "Print the configuration"))
        .arg(text("server.http-listen-address", "Address to listen on"))
        .arg(text("server.http-listen-port", "Port to listen on"))
        .arg(switch(
            "server.enable-runtime-reload",
            "Read the configuration again on POST /reload",
        ))
        .arg(text("positions.file", "Where positions are kept"))
        .arg(text("client.url", "One more place to send to"))
        .arg(text(
            "client.external-labels",
            "Labels of everything that is sent: name=value,name=value",
        ))
        .arg(text("log.level", "debug, info, warn or error"))
        .arg(rest())
}

fn config(m: &ArgMatches) -> Result<PromtailConfig, String> {
    let file = given(m, "config.file").ok_or("-config.file is required")?;
    let read = promtail::load(Path::new(file), on(m, "config.expand-env"));
    let mut c = read.map_err(|e| format!("Unable to parse config: {e}"))?;
    if let Some(a) = given(m, "server.http-listen-address") {
        c.server.http_listen_address.clone_from(a);
    }
    if let Some(p) = given(m, "server.http-listen-port") {
        let port = p.parse();
        c.server.http_listen_port =
            port.map_err(|_| format!("-server.http-listen-port {p:?} is not a port"))?;
    }
    if let Some(f) = given(m, "positions.file") {
        c.positions.filename.clone_from(f);
    }
    if let Some(url) = given(m, "client.url") {
        c.clients.push(ClientConfig {
            url: url.parse().map_err(|e| format!("-client.url: {e}"))?,
            ..ClientConfig::default()
        });
    }
    let labels = given(m, "client.external-labels").map_or("", |l| l);
    for pair in labels.split(',').filter(|p| !p.is_empty()) {
        let wrong = || format!("-client.external-labels: {pair:?} is not name=value");
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        for client in &mut c.clients {
            // What stands in the file wins.
            let labels = &mut client.external_labels.0;
            let label = labels.entry(name.trim().to_owned());
            label.or_insert_with(|| value.trim().to_owned());
        }
    }
    c.server.enable_runtime_reload |= on(m, "server.enable-runtime-reload");
    Ok(c)
}

/// What an agent that nobody has configured reads: this host's own logs.
const BUILT_IN: &str = "\
server: {http_listen_port: 9080}
scrape_configs:
- job_name: varlogs
  static_configs:
  - labels: {job: varlogs, __path__: '/var/log/*.log'}
  - labels: {job: varlogs, __path__: '/var/log/{syslog,messages}'}
  - labels: {job: varlogs, __path__: '/var/log/*/*.log'}
";

/// The same for hosts that keep a journal.
const JOURNAL: &str = "\
- job_name: journal
  journal:
    labels: {job: systemd-journal}
  relabel_configs:
  - source_labels: [__journal__systemd_unit]
    target_label: unit
";

/// Where systemd keeps journals.
const JOURNALS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// The configuration file of a folder.
fn find(dir: &Path) -> Option<PathBuf> {
    let names = [
        "promtail-config.yml",
        "promtail-config.yaml",
        "promtail.yml",
        "promtail.yaml",
    ];
    let places = ["", "loki", "promtail", "config"].map(|d| dir.join(d));
    let candidates = places.iter().flat_map(|d| names.map(|n| d.join(n)));
    candidates.into_iter().find(|f| f.is_file())
}

/// The agent as part of everything: it reads what the folder's file says, or this host's own logs,
/// for the store in `data`. Positions are kept there too, whatever the file says: they tell what
/// this store has.
pub(super) fn beside(dir: Option<&Path>, data: &Path) -> Result<PromtailConfig, String> {
    let mut config = match dir.and_then(find) {
        Some(file) => promtail::load(&file, false).map_err(|e| e.to_string())?,
        None => {
            let mut text = BUILT_IN.to_owned();
            if JOURNALS.iter().any(|d| Path::new(d).is_dir()) {
                text.push_str(JOURNAL);
            }
            let parsed = crate::config::parse_yaml(Path::new("built-in.yml"), &text);
            parsed.map_err(|e| e.to_string())?
        }
    };
    if config.server.http_listen_address.is_empty() {
        config.server.http_listen_address = "127.0.0.1".into();
    }
    config.positions.filename = data.join("positions.yaml").display().to_string();
    for c in &config.clients {
        tracing::info!(url = %c.url.redacted(), "the log agent stores what it reads here, not at this client");
    }
    Plan::new(config.clone())?;
    Ok(config)
}

/// An entry as `-dry-run` prints it.
fn show(e: &Entry) {
    let labels = e.labels.iter().map(|(n, v)| format!("{n}={v:?}"));
    let labels = labels.collect::<Vec<_>>().join(", ");
    let time = jiff::Timestamp::from_nanosecond(i128::from(e.time_ns));
    let time = time.map(|t| t.to_string()).unwrap_or_default();
    print(&format!("{time}\t{{{labels}}}\t{}\n", e.line));
}

/// Runs the agent.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let config = match config(m) {
        Ok(c) => c,
        Err(e) => {
            complain(&format!("{e}\n"));
            return Exit::Runtime.code();
        }
    };
    if on(m, "print-config-stderr") {
        complain(&crate::config::render_yaml(&config));
    }
    let level = given(m, "log.level").unwrap_or(&config.server.log_level);
    let format = match config.server.log_format.as_str() {
        "json" => "json",
        _ => "logfmt",
    };
    if let Err(e) = personality::start_log(level, format) {
        complain(&format!("{e}\n"));
        return Exit::Runtime.code();
    }
    tell_rest(m);
    let plan = match Plan::new(config) {
        Ok(p) => p,
        Err(e) => {
            complain(&format!("Unable to parse config: {e}\n"));
            return Exit::Runtime.code();
        }
    };
    if on(m, "check-syntax") {
        print("Valid config file! No syntax issues found\n");
        return Exit::Ok.code();
    }
    let to = match on(m, "dry-run") {
        true => || Destination::Print(show),
        false => || Destination::Clients,
    };
    if on(m, "stdin") {
        return lifecycle::run_stdin(plan, to()).code();
    }
    let m = m.clone();
    let load = Box::new(move || self::config(&m));
    lifecycle::run_agent(plan, to, load, &shared::listener()).code()
}
