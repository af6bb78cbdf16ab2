//! `sextant check`: files and servers, before and after a start.

use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::check_rules::{Lint, lint_flags};
use super::{complain, print};
use crate::config::prometheus::{HttpClientConfig, load};
use crate::config::web::WebConfig;
use crate::http::client::{self, ClientLimits};

/// Exit code of a check that found something.
const FAILED: u8 = 1;

/// A check that asks a running server.
pub(super) fn server_command(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).arg(
        Arg::new("url")
            .long("url")
            .default_value("http://localhost:9090")
            .help("Address of the server"),
    )
}

/// Runs the check that `m` names; gives the exit code.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let files = |m: &ArgMatches| -> Vec<String> {
        m.get_many::<String>("files")
            .map_or(Vec::new(), |f| f.cloned().collect())
    };
    match m.subcommand() {
        Some(("config", m)) => {
            let lint = Lint::of(m);
            let syntax_only = m.get_flag("syntax-only");
            let doubtful = std::cell::Cell::new(false);
            let code = each(&files(m), &|f| config(f, syntax_only, lint, &doubtful));
            if code == 0 && doubtful.get() {
                lint.code()
            } else {
                code
            }
        }
        Some(("web-config", m)) => each(&files(m), &web_config),
        Some(("alertmanager", m)) => each(&files(m), &super::amtool::summary),
        Some(("rules", m)) => super::check_rules::run(m),
        Some(("metrics", _)) => super::lint::metrics(),
        Some((name @ ("ready" | "healthy"), m)) => {
            let url = m.get_one::<String>("url").cloned().unwrap_or_default();
            ask(&format!("{}/-/{name}", url.trim_end_matches('/')))
        }
        _ => 2,
    }
}

fn each(files: &[String], check: &dyn Fn(&Path) -> Result<String, String>) -> u8 {
    let mut code = 0;
    for f in files {
        print(&format!("Checking {f}\n"));
        match check(Path::new(f)) {
            Ok(text) => print(&format!(" SUCCESS: {text}\n\n")),
            Err(e) => {
                complain(&format!("  FAILED: {e}\n\n"));
                code = FAILED;
            }
        }
    }
    code
}

/// `check config`.
pub(super) fn config_command(files: Arg) -> Command {
    let c = Command::new("config")
        .about("Checks prometheus.yml and the files it names")
        .arg(
            Arg::new("syntax-only")
                .long("syntax-only")
                .action(ArgAction::SetTrue)
                .help("Do not look at certificates, keys and credentials"),
        )
        .arg(
            Arg::new("agent")
                .long("agent")
                .action(ArgAction::SetTrue)
                .help("Accepted without effect"),
        )
        .arg(files);
    lint_flags(c)
}

fn config(
    file: &Path,
    syntax_only: bool,
    lint: Lint,
    doubtful: &std::cell::Cell<bool>,
) -> Result<String, String> {
    let loaded = load(file).map_err(|e| e.to_string())?;
    if !syntax_only {
        loaded.check_files()?;
    }
    for (path, rules) in &loaded.rules {
        if let Some(doubts) = lint.doubts(rules) {
            complain(&format!("  FAILED: {}:\n{doubts}\n\n", path.display()));
            doubtful.set(true);
        }
    }
    for w in &loaded.warnings {
        complain(&format!("  WARNING: {w}\n"));
    }
    let rules: usize = loaded
        .rules
        .iter()
        .flat_map(|(_, f)| &f.groups)
        .map(|g| g.rules.len())
        .sum();
    let mut text = format!("{} is valid prometheus config file syntax", file.display());
    if !loaded.rules.is_empty() {
        text.push_str(&format!(
            "\n SUCCESS: {} rule files found, {rules} rules",
            loaded.rules.len()
        ));
    }
    Ok(text)
}

fn web_config(file: &Path) -> Result<String, String> {
    WebConfig::load(file).map_err(|e| e.to_string())?;
    // Certificates are read as well: a file that parses may still not start a listener.
    crate::http::Guard::new(Some(file))?;
    Ok(format!("{} is valid", file.display()))
}

fn ask(url: &str) -> u8 {
    let limits = ClientLimits {
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
    };
    let asked = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
        .and_then(|runtime| {
            runtime.block_on(async {
                let client = client::build(&HttpClientConfig::default(), limits)
                    .map_err(|e| e.to_string())?;
                let answer = client.get(url).send().await.map_err(|e| e.to_string())?;
                let status = answer.status();
                if status.is_success() {
                    return Ok(());
                }
                Err(format!("{url} answered {status}"))
            })
        });
    match asked {
        Ok(()) => {
            print("  SUCCESS\n");
            0
        }
        Err(e) => {
            complain(&format!("  FAILED: {e}\n"));
            FAILED
        }
    }
}
