//! `sextant test rules`: unit tests of rules, with promtool's files, flags and exit codes.

mod file;
mod run;

use std::path::Path;
use std::time::Instant;

use clap::{Arg, ArgAction, ArgMatches, Command};
use query::promql::{Engine, EngineOptions, ParseOptions};
use query::regex::GoRegex;

use super::{complain, print};
use crate::config::yaml;
use file::TestFile;
use run::Suite;

/// Exit code when a test failed.
const FAILED: u8 = 1;

/// The verb.
pub(super) fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .help(help)
            .action(ArgAction::SetTrue)
    };
    let rules = Command::new("rules")
        .about("Runs unit tests of rules")
        .arg(
            Arg::new("run")
                .long("run")
                .action(ArgAction::Append)
                .help("Only tests whose name matches this expression; may be repeated"),
        )
        .arg(switch("debug", "Say what is done"))
        .arg(switch("diff", "Accepted; differences are always shown"))
        .arg(switch(
            "ignore-unknown-fields",
            "Ignore unknown fields in rule files",
        ))
        .arg(
            Arg::new("junit")
                .long("junit")
                .help("Write the results to this file, as JUnit does"),
        )
        .arg(
            Arg::new("enable-feature")
                .long("enable-feature")
                .global(true)
                .action(ArgAction::Append)
                .help("Features of the language, separated by commas"),
        )
        .arg(Arg::new("files").required(true).num_args(1..).help("Files"));
    Command::new("test")
        .about("Unit tests")
        .subcommand_required(true)
        .subcommand(rules)
}

/// How one test went.
struct Outcome {
    name: String,
    seconds: f64,
    failures: Vec<String>,
}

/// Runs the tests that `m` names; gives the exit code.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let Some(("rules", m)) = m.subcommand() else {
        return 2;
    };
    let list = |name: &str| -> Vec<String> {
        let all = m.get_many::<String>(name);
        all.map_or(Vec::new(), |v| v.cloned().collect())
    };
    let mut wanted = Vec::new();
    for text in list("run") {
        match GoRegex::new(&text) {
            Ok(r) => wanted.push(r),
            Err(e) => {
                complain(&format!("--run {text:?}: {e}\n"));
                return FAILED;
            }
        }
    }
    let features: Vec<String> = list("enable-feature")
        .iter()
        .flat_map(|f| f.split(','))
        .map(str::to_owned)
        .collect();
    let engine = engine(&features);
    let (mut code, mut results) = (0, Vec::new());
    for name in list("files") {
        let outcomes = file(&name, &engine, &wanted, m.get_flag("debug"));
        let failures: Vec<&String> = outcomes.iter().flat_map(|o| &o.failures).collect();
        if failures.is_empty() {
            print("  SUCCESS\n");
        } else {
            complain("  FAILED:\n");
            for f in failures {
                complain(&format!("{f}\n"));
            }
            code = FAILED;
        }
        print("\n");
        results.push((name, outcomes));
    }
    if let Some(path) = m.get_one::<String>("junit")
        && let Err(e) = std::fs::write(path, junit(&results))
    {
        complain(&format!("{path}: {e}\n"));
        code = FAILED;
    }
    code
}

fn engine(features: &[String]) -> Engine {
    let on = |name: &str| features.iter().any(|f| f == name);
    Engine {
        options: EngineOptions {
            parse: ParseOptions {
                experimental_functions: on("promql-experimental-functions"),
                duration_expressions: true,
                extended_range_selectors: on("promql-extended-range-selectors"),
                binop_fill_modifiers: on("promql-binop-fill-modifiers"),
            },
            delayed_name_removal: on("promql-delayed-name-removal"),
            ..EngineOptions::default()
        },
    }
}

/// Runs the tests of a file.
fn file(name: &str, engine: &Engine, wanted: &[GoRegex], debug: bool) -> Vec<Outcome> {
    let path = Path::new(name);
    let broken = |e: String| {
        vec![Outcome {
            name: name.to_owned(),
            seconds: 0.0,
            failures: vec![e],
        }]
    };
    let read = yaml::read(path).and_then(|text| yaml::parse::<TestFile>(path, &text));
    let tests = match read {
        Ok(t) => t,
        Err(e) => return broken(e.to_string()),
    };
    let dir = path.parent().unwrap_or(Path::new(""));
    let suite = match Suite::new(&tests, dir, engine.clone()) {
        Ok(s) => s,
        Err(e) => return broken(e),
    };
    let mut out = Vec::new();
    for (i, t) in tests.tests.iter().enumerate() {
        let named = wanted.is_empty() || wanted.iter().any(|r| r.is_match(&t.name));
        if !named {
            continue;
        }
        let shown = match t.name.as_str() {
            "" => format!("test {i}"),
            n => n.to_owned(),
        };
        if debug {
            print(&format!("Running {shown}\n"));
        }
        let begun = Instant::now();
        let failures = match suite.run(t) {
            Ok(differences) => differences,
            Err(e) => vec![format!("    {e}")],
        };
        let title = |f: String| match t.name.as_str() {
            "" => f,
            n => format!("    name: {n},\n{f}"),
        };
        out.push(Outcome {
            name: shown,
            seconds: begun.elapsed().as_secs_f64(),
            failures: failures.into_iter().map(title).collect(),
        });
    }
    out
}

/// The results as JUnit's XML.
fn junit(results: &[(String, Vec<Outcome>)]) -> String {
    let escape = query::template::escape_html;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (file, outcomes) in results {
        let failed = outcomes.iter().filter(|o| !o.failures.is_empty()).count();
        out.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">\n",
            escape(file),
            outcomes.len()
        ));
        for o in outcomes {
            out.push_str(&format!(
                "    <testcase name=\"{}\" time=\"{:.6}\">",
                escape(&o.name),
                o.seconds
            ));
            for f in &o.failures {
                out.push_str(&format!("<failure>{}</failure>", escape(f)));
            }
            out.push_str("</testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}
