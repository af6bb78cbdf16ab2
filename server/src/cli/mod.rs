//! The command line: words to a plan, answers to the terminal.
//!
//! Owns: verbs, flags, exit codes of tools, what is printed.
//! Knows nothing of: how the plan is carried out.
//!
//! One verb, one file. Called through a link named `prometheus`, `loki`, `logcli`, `alertmanager`
//! or `amtool` the binary takes that tool's grammar, so that scripts and compose files keep
//! working; `promtool` may stand before our own verbs.

mod alertmanager;
mod amtool;
mod args;
mod backtest;
mod check;
mod check_rules;
mod data;
mod exporters;
mod flags;
mod lint;
mod logs;
mod loki;
mod node_exporter;
mod personality;
mod postgres_exporter;
mod prometheus;
mod promtail;
mod query;
mod redis_exporter;
mod test_rules;
mod up;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};

use crate::api::BuildInfo;
use crate::lifecycle::Exit;

/// Prints to standard output. A reader that has gone away is not an error.
pub(crate) fn print(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// Prints to standard error.
pub(crate) fn complain(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// Every verb with its grammar.
const VERBS: [(&str, fn() -> Command); 18] = [
    ("prometheus", || prometheus::command().name("prometheus")),
    ("alertmanager", alertmanager::command),
    ("logs", || logs::command("logs")),
    ("logcli", || logs::command("logcli")),
    ("loki", loki::command),
    ("promtail", promtail::command),
    ("node-exporter", node_exporter::command),
    ("redis-exporter", redis_exporter::command),
    ("postgres-exporter", postgres_exporter::command),
    ("up", up::command),
    ("check", check_command),
    ("amtool", amtool::command),
    ("export", data::export_command),
    ("import", data::import_command),
    ("query", query::command),
    ("test", test_rules::command),
    ("backtest", backtest::command),
    ("version", || {
        Command::new("version").about("Prints the version")
    }),
];

/// The grammar of `verb`, or of all verbs when it is none of them: an exporter of ten megabytes
/// should not hold the flags of every tool.
fn command(verb: Option<&str>) -> Command {
    let root = Command::new("sextant")
        .about("Metrics, logs, alerts and dashboards in one binary")
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .long("version")
                .action(ArgAction::SetTrue)
                .help("Prints the version"),
        );
    let known = verb.filter(|v| VERBS.iter().any(|(name, _)| name == v));
    let wanted = VERBS
        .iter()
        .filter(|(name, _)| known.is_none_or(|v| v == *name));
    root.subcommands(wanted.map(|(_, grammar)| grammar()))
}

fn check_command() -> Command {
    let file = |name: &'static str| Arg::new(name).num_args(1..).required(true);
    Command::new("check")
        .about("Checks files and servers")
        .subcommand_required(true)
        .subcommand(check::config_command(file("files")))
        .subcommand(
            Command::new("web-config")
                .about("Checks web configuration files")
                .arg(file("files")),
        )
        .subcommand(
            Command::new("alertmanager")
                .about("Checks alertmanager.yml and the files it names")
                .arg(file("files")),
        )
        .subcommand(check_rules::command())
        .subcommand(
            Command::new("metrics").about("Checks metrics on standard input, in text format"),
        )
        .subcommand(data::check_command())
        .subcommand(check::server_command(
            "ready",
            "Asks a server whether it is ready",
        ))
        .subcommand(check::server_command(
            "healthy",
            "Asks a server whether it is up",
        ))
}

/// Runs what the command line asks for.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let mut args = args;
    let name = args.first().map(Path::new).and_then(Path::file_name);
    match name.and_then(|n| n.to_str()) {
        Some("prometheus") => args.insert(1, "prometheus".into()),
        Some(verb @ ("loki" | "promtail" | "logcli" | "amtool" | "alertmanager")) => {
            let verb = verb.to_owned();
            args.insert(1, verb.into());
        }
        Some("node_exporter" | "node-exporter" | "prometheus-node-exporter") => {
            args.insert(1, "node-exporter".into());
        }
        Some("redis_exporter" | "redis-exporter" | "prometheus-redis-exporter") => {
            args.insert(1, "redis-exporter".into());
        }
        Some("postgres_exporter" | "postgres-exporter" | "prometheus-postgres-exporter") => {
            args.insert(1, "postgres-exporter".into());
        }
        // promtool's verbs are ours, under its own name and as a word before them.
        _ if args.get(1).is_some_and(|a| a == "promtool") => {
            args.remove(1);
        }
        _ => {}
    }
    if let Some(text) = asked_version(&args) {
        print(&text);
        return ExitCode::SUCCESS;
    }
    // A question that cannot be read ends like one that cannot be answered, as with promtool.
    let is = |names: &[&str]| args.get(1).is_some_and(|a| names.iter().any(|n| a == n));
    let asks = is(&["query", "logs", "logcli"]);
    // Some of logcli's own flags begin like the negation of one.
    let own_negations = is(&["logs", "logcli"]);
    let mut args = loki::dashes(args);
    if !own_negations {
        args = flags::normalise(args);
    }
    let verb = args.get(1).and_then(|a| a.to_str());
    let matches = match command(verb).try_get_matches_from(&args) {
        Ok(m) => m,
        Err(e) => {
            // Help and version are answers, everything else is a mistake.
            let mut code = u8::try_from(e.exit_code()).unwrap_or(2);
            if code != 0 && asks {
                code = query::FAILED;
            }
            drop(e.print());
            return ExitCode::from(code);
        }
    };
    if matches.get_flag("version") {
        print(&version());
        return ExitCode::SUCCESS;
    }
    let code = match matches.subcommand() {
        Some(("prometheus", m)) => prometheus::run(m),
        Some(("alertmanager", m)) => alertmanager::run(m),
        Some(("loki", m)) => loki::run(m),
        Some(("promtail", m)) => promtail::run(m),
        Some(("node-exporter", m)) => node_exporter::run(m),
        Some(("redis-exporter", m)) => redis_exporter::run(m),
        Some(("postgres-exporter", m)) => postgres_exporter::run(m),
        Some(("logs" | "logcli", m)) => logs::run(m),
        Some(("up", m)) => up::run(m),
        Some(("amtool", m)) => amtool::run(m),
        Some(("test", m)) => test_rules::run(m),
        Some(("backtest", m)) => backtest::run(m),
        Some(("check", m)) => match m.subcommand() {
            Some(("data", m)) => data::check(m),
            _ => check::run(m),
        },
        Some(("export", m)) => data::export(m),
        Some(("import", m)) => data::import(m),
        Some(("query", m)) => query::run(m),
        Some(("version", _)) => {
            print(&version());
            Exit::Ok.code()
        }
        _ => {
            drop(command(None).print_help());
            Exit::Start.code()
        }
    };
    ExitCode::from(code)
}

/// The version as the personality's original prints it, when the command line asks for it.
fn asked_version(args: &[OsString]) -> Option<String> {
    let verb = args.get(1)?.to_str()?;
    let original = match verb {
        "prometheus" | "alertmanager" | "loki" | "amtool" | "promtail" => verb,
        "node-exporter" => "node_exporter",
        "postgres-exporter" => "postgres_exporter",
        "redis-exporter" => "Redis Metrics Exporter",
        _ => return None,
    };
    let asks = |a: &OsString| a == "--version" || a == "-version";
    if !args.get(2..)?.iter().any(asks) {
        return None;
    }
    let (version, revision) = (BuildInfo::VERSION, BuildInfo::REVISION);
    let (os, arch) = (std::env::consts::OS, go_architecture());
    if verb == "redis-exporter" {
        return Some(format!(
            "{original} v{version}    build date: unknown    sha1: {revision}    \
             Go: {}    GOOS: {os}    GOARCH: {arch}\n",
            BuildInfo::TOOLCHAIN
        ));
    }
    Some(format!(
        "{original}, version {version} (branch: sextant, revision: {revision})\n  \
         build user:       sextant\n  \
         build date:       unknown\n  \
         go version:       {}\n  \
         platform:         {os}/{arch}\n  \
         tags:             unknown\n",
        BuildInfo::TOOLCHAIN
    ))
}

/// The name that the originals have for this machine's architecture.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The version in the family's words.
fn version() -> String {
    format!(
        "sextant, version {} (revision: {})\n  platform: {}/{}\n",
        BuildInfo::VERSION,
        BuildInfo::REVISION,
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
