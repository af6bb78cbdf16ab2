//! `amtool template render`: what a template makes of a message.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use jiff::Timestamp;

use crate::alerting::{Data, Templates};
use crate::cli::print;

/// A message for those who bring none.
const EXAMPLE: &str = include_str!("example.json");

/// The verb.
pub(super) fn command() -> Command {
    let text = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Command::new("template")
        .about("Tries templates")
        .subcommand_required(true)
        .subcommand(
            Command::new("render")
                .about("Expands a text")
                .arg(
                    text("template.glob", "Files of templates, may be repeated")
                        .action(ArgAction::Append)
                        .required(true),
                )
                .arg(text("template.text", "The text").required(true))
                .arg(
                    text("template.type", "text or html")
                        .default_value("text")
                        .value_parser(["text", "html"]),
                )
                .arg(text("template.data", "JSON file with the message")),
        )
}

/// Runs the verb.
///
/// # Errors
/// What is wrong with files, text or data.
pub(super) fn run(m: &ArgMatches) -> Result<(), String> {
    let Some(("render", m)) = m.subcommand() else {
        return Err("expected command: render".to_owned());
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for pattern in m.get_many::<String>("template.glob").into_iter().flatten() {
        let found = crate::config::prometheus::expand(Path::new(""), std::slice::from_ref(pattern));
        files.extend(found.map_err(|e| e.to_string())?);
    }
    let templates = Templates::load(&files)?;
    let json = match m.get_one::<String>("template.data") {
        Some(file) => std::fs::read_to_string(file).map_err(|e| format!("open {file}: {e}"))?,
        None => EXAMPLE.to_owned(),
    };
    let data: Data = serde_json::from_str(&json).map_err(|e| e.to_string())?;
    let text = m.get_one::<String>("template.text").map_or("", |t| t);
    let html = m
        .get_one::<String>("template.type")
        .is_some_and(|t| t == "html");
    let now = Timestamp::now();
    let out = if html {
        templates.html(text, &data, now)?
    } else {
        templates.text(text, &data, now)?
    };
    print(&out);
    Ok(())
}
