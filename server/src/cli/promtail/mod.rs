//! `sextant promtail`: the command line of Promtail.

mod flags;

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use exporters::logs::entry::Entry;

use super::args::{given, rest, switch, text};
use super::{complain, exporters as shared, personality, print};
use crate::agent::{Destination, Plan};
use crate::config::promtail::{self, PromtailConfig};
use crate::lifecycle::{self, Exit};

/// The verb.
pub(super) fn command() -> Command {
    Command::new("promtail")
        .about("Reads logs and sends them on with the command line of Promtail")
        .version(crate::api::BuildInfo::VERSION)
        // The last one of a flag counts, as with Go's.
        .args_override_self(true)
        .arg(text(
            "config.file",
            "Configuration file; of several with commas between the first that exists",
        ))
        .arg(switch(
            "config.expand-env",
            "Replace ${NAME:default} in the file",
        ))
        .arg(switch("dry-run", "Print entries instead of sending them"))
        .arg(switch(
            "inspect",
            "Say on standard error what each stage does to each entry",
        ))
        .arg(switch(
            "stdin",
            "Read standard input through the first job's pipeline",
        ))
        .arg(switch(
            "check-syntax",
            "Read the file, say what is wrong, and end",
        ))
        .arg(switch("print-config-stderr", "Print the configuration"))
        .arg(switch(
            "log-config-reverse-order",
            "Log the configuration, the last line first",
        ))
        .args(flags::arguments())
        .arg(rest())
}

/// The file to read.
///
/// # Errors
/// When none of those that are named exists.
fn file(m: &ArgMatches) -> Result<Option<PathBuf>, String> {
    let Some(named) = given(m, "config.file") else {
        return Ok(None);
    };
    let mut each = named.split(',').map(|f| PathBuf::from(f.trim()));
    let found = each.find(|f| f.exists());
    let missing = || format!("{named} does not exist, set config.file for custom config path");
    found.map(Some).ok_or_else(missing)
}

/// What the file says, and then the flags.
fn config(m: &ArgMatches) -> Result<PromtailConfig, String> {
    let expand = on(m, "config.expand-env");
    let mut c = match file(m)? {
        Some(f) => promtail::load(&f, expand).map_err(|e| {
            let advice = ". Use `-config.expand-env=true` flag if you want to expand environment \
                          variables in your config file";
            let text = std::fs::read_to_string(&f).unwrap_or_default();
            let advice = if !expand && text.contains("${") {
                advice
            } else {
                ""
            };
            format!("{e}{advice}")
        })?,
        None => PromtailConfig::default(),
    };
    flags::apply(m, &mut c)?;
    c.settle();
    Ok(c)
}

/// Whether the command line is one.
///
/// # Errors
/// Names the flag that nobody knows, or whose value is none of its kind.
fn understood(m: &ArgMatches) -> Result<(), String> {
    let names = [
        "config.expand-env",
        "dry-run",
        "inspect",
        "stdin",
        "check-syntax",
        "print-config-stderr",
        "log-config-reverse-order",
    ];
    for name in names {
        let value = m.get_one::<String>(name).map_or("false", String::as_str);
        flags::truth(value).map_err(|e| format!("invalid value for flag -{name}: {e}"))?;
    }
    // Go's flags end where something stands that is none.
    let mut rest = m.get_many::<String>("rest").into_iter().flatten();
    match rest.next().filter(|r| r.starts_with('-')) {
        None => flags::apply(m, &mut PromtailConfig::default()),
        Some(r) => {
            let name = r.trim_start_matches('-').split('=').next().unwrap_or(r);
            Err(format!(
                "flag provided but not defined: -{name}\nRun with -help to get list of available parameters"
            ))
        }
    }
}

fn on(m: &ArgMatches, name: &str) -> bool {
    m.get_one::<String>(name)
        .is_some_and(|v| flags::truth(v) == Ok(true))
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
    config.settle();
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

/// The exit code when the command line is no such thing.
const USAGE: u8 = 2;

/// Something is wrong with the configuration.
fn refused(e: &str) -> u8 {
    complain(&format!("Unable to parse config: {e}\n"));
    Exit::Runtime.code()
}

/// Runs the agent.
pub(super) fn run(m: &ArgMatches) -> u8 {
    if let Err(e) = understood(m) {
        complain(&format!("{e}\n"));
        return USAGE;
    }
    let config = match config(m) {
        Ok(c) => c,
        Err(e) => return refused(&e),
    };
    if on(m, "check-syntax") && given(m, "config.file").is_none() {
        complain("Invalid config file: -check-syntax needs -config.file\n");
        return Exit::Runtime.code();
    }
    let shown = crate::config::render_yaml(&config);
    if on(m, "print-config-stderr") {
        complain(&shown);
    }
    let format = config.server.log_format.as_str();
    if !matches!(format, "json" | "logfmt") {
        return refused(&format!("log.format {format:?} is none of logfmt, json"));
    }
    if let Err(e) = personality::start_log(&config.server.log_level, format) {
        complain(&format!("{e}\n"));
        return Exit::Runtime.code();
    }
    for flag in flags::without_effect(m) {
        tracing::warn!(%flag, "flag is accepted without effect");
    }
    if on(m, "log-config-reverse-order") {
        for line in shown.lines().rev() {
            tracing::info!("{line}");
        }
    }
    let inspect = on(m, "inspect").then_some(complain as fn(&str));
    let plan = match Plan::inspected(config, inspect) {
        Ok(p) => p,
        Err(e) => return refused(&e),
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
