//! `amtool alert`: alerts of a server.

use clap::{Arg, ArgAction, ArgMatches, Command};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Output, Tool, filters, instant, table, text};
use crate::cli::print;
use crate::config::alertmanager::{MatchOp, parse_matcher};

fn query_options(c: Command) -> Command {
    let switch = |name: &'static str, short: char, help: &'static str| {
        Arg::new(name)
            .long(name)
            .short(short)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    c.arg(
        Arg::new("matchers")
            .num_args(0..)
            .help("Conditions: name=value"),
    )
    .arg(switch("active", 'a', "Shows active ones"))
    .arg(switch("silenced", 's', "Shows silenced ones"))
    .arg(switch("inhibited", 'i', "Shows inhibited ones"))
    .arg(switch("unprocessed", 'u', "Shows unprocessed ones"))
    .arg(
        Arg::new("receiver")
            .long("receiver")
            .short('r')
            .help("Shows those of receivers, a pattern"),
    )
}

/// The verb.
pub(super) fn command() -> Command {
    let query = query_options(Command::new("query").about("Shows alerts"));
    let option = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    let add = Command::new("add")
        .about("Posts an alert")
        .arg(
            Arg::new("labels")
                .num_args(1..)
                .required(true)
                .help("Labels: name=value"),
        )
        .arg(option("annotation", "A text: name=value, may be repeated").action(ArgAction::Append))
        .arg(option("generator-url", "Where it comes from"))
        .arg(option("start", "Since when it fires"))
        .arg(option("end", "When it is over"));
    query_options(Command::new("alert").about("Alerts of a server"))
        .args_conflicts_with_subcommands(true)
        .subcommand(query)
        .subcommand(add)
}

/// Runs the verb.
///
/// # Errors
/// What is wrong with the question, or what the server says.
pub(super) fn run(m: &ArgMatches, tool: &Tool) -> Result<(), String> {
    match m.subcommand() {
        Some(("add", m)) => add(m, tool),
        Some((_, m)) => show(m, tool),
        None => show(m, tool),
    }
}

/// `name=value` pairs; a first word without `=` is the alert's name.
fn pairs<'w>(words: impl Iterator<Item = &'w String>) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    for (i, w) in words.enumerate() {
        if i == 0 && !w.contains('=') {
            out.insert("alertname".into(), w.as_str().into());
            continue;
        }
        let pair = parse_matcher(w)?;
        if pair.op != MatchOp::Equal {
            return Err(format!("{w:?} is not a label: name=value is expected"));
        }
        out.insert(pair.name, pair.value.into());
    }
    Ok(out)
}

fn add(m: &ArgMatches, tool: &Tool) -> Result<(), String> {
    let words = |name: &str| m.get_many::<String>(name).into_iter().flatten();
    let mut alert = json!({
        "labels": pairs(words("labels"))?,
        "annotations": {},
    });
    let mut annotations = Map::new();
    for w in words("annotation") {
        let (name, value) = w
            .split_once('=')
            .ok_or_else(|| format!("--annotation {w:?} is not name=value"))?;
        annotations.insert(name.to_owned(), value.trim_matches('"').into());
    }
    if let Value::Object(a) = &mut alert {
        a.insert("annotations".into(), annotations.into());
        if let Some(url) = m.get_one::<String>("generator-url") {
            a.insert("generatorURL".into(), url.as_str().into());
        }
        for (option, field) in [("start", "startsAt"), ("end", "endsAt")] {
            if let Some(t) = instant(m, option)? {
                a.insert(field.into(), t.to_string().into());
            }
        }
    }
    let body = json!([alert]);
    tool.ask(Method::POST, "alerts", &[], Some(&body)).map(drop)
}

fn show(m: &ArgMatches, tool: &Tool) -> Result<(), String> {
    let mut query = filters(m);
    let names = ["active", "silenced", "inhibited", "unprocessed"];
    let asked: Vec<bool> = names.iter().map(|n| m.get_flag(n)).collect();
    let any = asked.contains(&true);
    for (name, on) in names.into_iter().zip(asked) {
        // Without a wish, those that are told.
        let on = if any {
            on
        } else {
            matches!(name, "active" | "unprocessed")
        };
        query.push((name, on.to_string()));
    }
    if let Some(r) = m.get_one::<String>("receiver") {
        query.push(("receiver", r.clone()));
    }
    let all = tool.ask(Method::GET, "alerts", &query, None)?;
    if tool.output == Output::Json {
        print(&format!("{all}\n"));
        return Ok(());
    }
    let mut alerts: Vec<&Value> = all.as_array().map_or(Vec::new(), |a| a.iter().collect());
    alerts.sort_by_key(|a| text(a, "/startsAt"));
    let extended = tool.output == Output::Extended;
    let heads: &[&str] = match extended {
        true => &[
            "Labels",
            "Annotations",
            "Starts At",
            "Ends At",
            "Generator URL",
            "State",
        ],
        false => &["Alertname", "Starts At", "Summary", "State"],
    };
    let mut rows = vec![heads.iter().map(|h| (*h).to_owned()).collect()];
    for a in alerts {
        let starts = tool.time(a.get("startsAt"));
        rows.push(match extended {
            true => vec![
                listed(a.get("labels")),
                listed(a.get("annotations")),
                starts,
                tool.time(a.get("endsAt")),
                text(a, "/generatorURL"),
                text(a, "/status/state"),
            ],
            false => vec![
                text(a, "/labels/alertname"),
                starts,
                text(a, "/annotations/summary"),
                text(a, "/status/state"),
            ],
        });
    }
    print(&table(&rows));
    Ok(())
}

/// `a="1" b="2"`
fn listed(v: Option<&Value>) -> String {
    let Some(Value::Object(o)) = v else {
        return String::new();
    };
    let each = o.iter().map(|(n, v)| {
        let value = v.as_str().unwrap_or_default();
        format!("{n}={}", query::text::quote::quote(value))
    });
    each.collect::<Vec<_>>().join(" ")
}
