//! `sextant export`, `import` and `check data`: a data directory without a server.

use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use engine::metrics::{Db, DbOptions, Transferred, real_fs};
use engine::model::TenantId;

use super::{complain, print};

fn dir_arg() -> Arg {
    Arg::new("dir")
        .long("storage.tsdb.path")
        .default_value("data/")
        .help("The data directory; no server may be using it")
}

/// `sextant export`.
pub(super) fn export_command() -> Command {
    Command::new("export")
        .about("Writes samples as Prometheus blocks")
        .arg(dir_arg())
        .arg(
            Arg::new("output")
                .long("output")
                .required(true)
                .help("Directory that the block directories go to"),
        )
        .arg(
            Arg::new("match")
                .long("match")
                .help("Selector of the series; all by default"),
        )
        .arg(
            Arg::new("min-time")
                .long("min-time")
                .value_parser(clap::value_parser!(i64))
                .allow_negative_numbers(true)
                .help("Oldest sample, milliseconds since the epoch"),
        )
        .arg(
            Arg::new("max-time")
                .long("max-time")
                .value_parser(clap::value_parser!(i64))
                .allow_negative_numbers(true)
                .help("Newest sample, milliseconds since the epoch"),
        )
}

/// `sextant import`.
pub(super) fn import_command() -> Command {
    Command::new("import")
        .about("Takes the samples of Prometheus blocks")
        .arg(dir_arg())
        .arg(
            Arg::new("blocks")
                .required(true)
                .help("A block directory, or a directory of them (Prometheus' data directory)"),
        )
}

/// `sextant check data`.
pub(super) fn check_command() -> Command {
    Command::new("data")
        .about("Checks every checksum of a data directory and changes nothing")
        .arg(
            Arg::new("dir")
                .default_value("data/")
                .help("The data directory"),
        )
}

/// Opens the store in `dir` without threads; where it `must_exist` nothing is made.
///
/// # Errors
/// Why it cannot be opened.
pub(super) fn open(dir: &Path, must_exist: bool) -> Result<Db, String> {
    if must_exist && !dir.join("MANIFEST").exists() {
        return Err(format!(
            "{}: not a data directory (no MANIFEST)",
            dir.display()
        ));
    }
    let options = DbOptions {
        background: false,
        retention_ms: 0,
        ..DbOptions::default()
    };
    Db::open(dir, options).map_err(|e| e.to_string())
}

fn text<'a>(m: &'a ArgMatches, name: &str) -> &'a str {
    m.get_one::<String>(name).map_or("", String::as_str)
}

/// Tells how far it is, on one line of the terminal.
fn progress(what: &'static str) -> impl FnMut(f64) {
    move |share| complain(&format!("\r{what}: {:3.0} %", share * 100.0))
}

fn done(what: &str, result: Result<Transferred, String>) -> u8 {
    complain("\n");
    match result {
        Ok(t) => {
            print(&format!(
                "{what} {} samples of {} series in {} blocks\n",
                t.samples,
                t.series,
                t.blocks.len()
            ));
            0
        }
        Err(e) => {
            complain(&format!("{e}\n"));
            1
        }
    }
}

/// Runs `sextant export`; gives the exit code.
pub(super) fn export(m: &ArgMatches) -> u8 {
    let run = || {
        let matchers = match m.get_one::<String>("match") {
            None => Vec::new(),
            Some(s) => crate::api::prometheus::parse_selector(s)?,
        };
        let time = |name| m.get_one::<i64>(name).copied();
        open(Path::new(text(m, "dir")), true)?
            .export(
                TenantId::DEFAULT,
                Path::new(text(m, "output")),
                &matchers,
                time("min-time").unwrap_or(i64::MIN),
                time("max-time").unwrap_or(i64::MAX),
                &mut progress("exporting"),
            )
            .map_err(|e| e.to_string())
    };
    done("exported", run())
}

/// Runs `sextant import`; gives the exit code.
pub(super) fn import(m: &ArgMatches) -> u8 {
    let run = || {
        let from = Path::new(text(m, "blocks"));
        open(Path::new(text(m, "dir")), false)?
            .import(TenantId::DEFAULT, from, &mut progress("importing"))
            .map_err(|e| e.to_string())
    };
    done("imported", run())
}

/// Runs `sextant check data`; gives the exit code.
pub(super) fn check(m: &ArgMatches) -> u8 {
    let dir = Path::new(text(m, "dir"));
    let mut bytes = 0;
    let checked = engine::verify::verify(&*real_fs(true), dir, &mut |c| {
        bytes += c.bytes;
        if let Some(d) = &c.damage {
            complain(&format!("{}: {d}\n", c.path.display()));
        }
    });
    match checked {
        Ok(files) => {
            let bad = files.iter().filter(|c| c.damage.is_some()).count();
            print(&format!(
                "{} files, {bytes} bytes checked: {bad} damaged\n",
                files.len()
            ));
            u8::from(bad > 0)
        }
        Err(e) => {
            complain(&format!("{}: {e}\n", dir.display()));
            1
        }
    }
}
