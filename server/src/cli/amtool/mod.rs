//! `sextant amtool`: the alert receiver's files and routes, alerts and silences of a server, in the
//! grammar of that tool.

mod alert;
mod client;
mod silence;
mod template;

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use reqwest::Method;

use super::{complain, print};
use crate::alerting::Route;
use crate::config::alertmanager::{self, MatchOp, parse_matcher};

/// Exit code of a check that found something.
const FAILED: u8 = 1;

/// The verb.
pub(super) fn command() -> Command {
    let file = Arg::new("config.file")
        .long("config.file")
        .global(true)
        .help("Configuration file; that of the server, or alertmanager.yml, when absent");
    let tool = Command::new("amtool")
        .about("Asks and checks the alert receiver, in amtool's grammar")
        .subcommand_required(true);
    client::options(tool)
        .subcommand(alert::command())
        .subcommand(silence::command())
        .subcommand(
            Command::new("cluster")
                .about("The cluster of a server")
                .subcommand(Command::new("show").about("Shows status and peers")),
        )
        .subcommand(
            Command::new("check-config")
                .about("Checks configuration files")
                .arg(Arg::new("files").num_args(1..).required(true)),
        )
        .subcommand(
            Command::new("config")
                .about("Looks into a configuration")
                .subcommand(Command::new("show").about("Shows the configuration of a server"))
                .subcommand(
                    Command::new("routes")
                        .about("Shows and tests the route tree")
                        .arg(file)
                        .subcommand(Command::new("show").about("Shows the tree"))
                        .subcommand(
                            Command::new("test")
                                .about("Tells which receivers an alert reaches")
                                .arg(
                                    Arg::new("labels")
                                        .num_args(0..)
                                        .help("Labels of the alert: name=value"),
                                )
                                .arg(
                                    Arg::new("verify.receivers")
                                        .long("verify.receivers")
                                        .help("Fails unless exactly these are reached"),
                                )
                                .arg(
                                    Arg::new("tree")
                                        .long("tree")
                                        .action(ArgAction::SetTrue)
                                        .help("Shows the tree as well"),
                                ),
                        ),
                ),
        )
        .subcommand(template::command())
}

/// Runs what `m` names; gives the exit code.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let done = match m.subcommand() {
        Some(("template", m)) => template::run(m),
        Some(("check-config", m)) => check(m.get_many::<String>("files").into_iter().flatten()),
        Some(("config", m)) => match m.subcommand() {
            Some(("routes", m)) => routes(m),
            _ => client::Tool::new(m).and_then(|t| config(&t)),
        },
        Some(("alert", m)) => client::Tool::new(m).and_then(|t| alert::run(m, &t)),
        Some(("silence", m)) => client::Tool::new(m).and_then(|t| silence::run(m, &t)),
        Some(("cluster", m)) => client::Tool::new(m).and_then(|t| cluster(&t)),
        _ => return 2,
    };
    match done {
        Ok(()) => 0,
        Err(e) => {
            complain(&format!("amtool: error: {e}\n"));
            FAILED
        }
    }
}

/// Checks every file and tells what is in it.
///
/// # Errors
/// When any cannot be used.
fn check<'f>(files: impl Iterator<Item = &'f String>) -> Result<(), String> {
    let mut failed = 0;
    for file in files {
        match summary(Path::new(file)) {
            Ok(text) => print(&format!("Checking '{file}'  SUCCESS\n{text}\n")),
            Err(e) => {
                print(&format!("Checking '{file}'  FAILED: {e}\n\n"));
                failed += 1;
            }
        }
    }
    match failed {
        0 => Ok(()),
        n => Err(format!("failed to validate {n} file(s)")),
    }
}

/// What is in a file.
///
/// # Errors
/// When it cannot be used.
pub(super) fn summary(file: &Path) -> Result<String, String> {
    let loaded = alertmanager::load(file).map_err(|e| e.to_string())?;
    crate::alerting::Templates::load(&loaded.templates)?;
    let c = &loaded.document;
    Ok(format!(
        "Found:\n - global config\n - route\n - {} inhibit rules\n - {} receivers\n - {} templates\n",
        c.inhibit_rules.len(),
        c.receivers.len(),
        loaded.templates.len()
    ))
}

/// Shows the configuration of a server.
fn config(tool: &client::Tool) -> Result<(), String> {
    let status = tool.ask(Method::GET, "status", &[], None)?;
    match tool.output {
        client::Output::Json => print(&format!("{status}\n")),
        _ => print(&format!("{}\n", client::text(&status, "/config/original"))),
    }
    Ok(())
}

/// Shows the cluster of a server.
fn cluster(tool: &client::Tool) -> Result<(), String> {
    let status = tool.ask(Method::GET, "status", &[], None)?;
    if tool.output == client::Output::Json {
        let cluster = status.get("cluster").cloned().unwrap_or_default();
        print(&format!("{cluster}\n"));
        return Ok(());
    }
    let field = |name: &str| client::text(&status, &format!("/cluster/{name}"));
    print(&format!(
        "Cluster Status:\t{}\nNode Name:\t{}\n",
        field("status"),
        field("name")
    ));
    let peers = status.pointer("/cluster/peers").and_then(|p| p.as_array());
    for p in peers.into_iter().flatten() {
        let (name, address) = (client::text(p, "/name"), client::text(p, "/address"));
        print(&format!("\nAddress:\t{address}\nName:\t{name}\n"));
    }
    Ok(())
}

fn routes(m: &ArgMatches) -> Result<(), String> {
    let loaded = match (m.get_one::<String>("config.file"), client::Tool::new(m)) {
        (Some(file), _) => alertmanager::load(Path::new(file)),
        // Secrets are hidden in what a server shows: addresses it hides cannot be checked.
        (None, Ok(tool)) => {
            let status = tool.ask(Method::GET, "status", &[], None)?;
            let text = client::text(&status, "/config/original");
            alertmanager::load_usable_text(Path::new("alertmanager.yml"), &text).map(|(l, _)| l)
        }
        (None, Err(_)) => alertmanager::load(Path::new("alertmanager.yml")),
    };
    let loaded = loaded.map_err(|e| e.to_string())?;
    let Some(root) = &loaded.document.route else {
        return Err("no routes provided".into());
    };
    let tree = Route::new(root);
    match m.subcommand() {
        Some(("test", m)) => test(&tree, m),
        _ => {
            print(&format!("Routing tree:\n{tree}"));
            Ok(())
        }
    }
}

fn test(tree: &Route, m: &ArgMatches) -> Result<(), String> {
    let mut labels = std::collections::BTreeMap::new();
    for text in m.get_many::<String>("labels").into_iter().flatten() {
        let pair = parse_matcher(text)?;
        if pair.op != MatchOp::Equal {
            return Err(format!("{text:?} is not a label: name=value is expected"));
        }
        labels.insert(pair.name, pair.value);
    }
    if m.get_flag("tree") {
        print(&format!("Routing tree:\n{tree}"));
    }
    let takers = tree.takers(&|name| labels.get(name).map_or("", |v| v));
    let reached: Vec<&str> = takers.iter().map(|r| r.receiver()).collect();
    let reached = reached.join(",");
    print(&format!("{reached}\n"));
    match m.get_one::<String>("verify.receivers") {
        Some(wanted) if *wanted != reached => Err(format!(
            "expected receivers did not match resolved receivers: expected {wanted:?}, resolved {reached:?}"
        )),
        _ => Ok(()),
    }
}
