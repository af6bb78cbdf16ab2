//! `amtool silence`: silences of a server.

use clap::{Arg, ArgAction, ArgMatches, Command};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Output, Tool, filters, instant, table, text};
use crate::cli::{complain, print};
use crate::config::PromDuration;
use crate::config::alertmanager::{MatchOp, parse_matcher};

fn option(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

fn query_options(c: Command) -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    c.arg(
        Arg::new("matchers")
            .num_args(0..)
            .help("Conditions: name=value"),
    )
    .arg(switch("expired", "Shows those that have ended instead"))
    .arg(switch("quiet", "Shows names only").short('q'))
    .arg(option("created-by", "Shows those of somebody"))
    .arg(option("id", "Shows one"))
    .arg(option(
        "within",
        "Shows those that end, or have ended, within this time",
    ))
}

/// The verb.
pub(super) fn command() -> Command {
    let ids = |required| {
        Arg::new("ids")
            .num_args(1..)
            .required(required)
            .help("Names of silences")
    };
    let add = Command::new("add")
        .about("Makes a silence")
        .arg(
            Arg::new("matchers")
                .num_args(1..)
                .required(true)
                .help("Conditions: name=value"),
        )
        .arg(option("author", "Who makes it").short('a'))
        .arg(
            option("require-comment", "Whether there must be a comment")
                .value_parser(clap::value_parser!(bool)),
        )
        .arg(option("comment", "Why").short('c'))
        .arg(
            option("duration", "How long it lasts")
                .short('d')
                .default_value("1h"),
        )
        .arg(option("start", "From when"))
        .arg(option("end", "Until when"))
        .arg(option("annotation", "Anything else: name=value").action(ArgAction::Append));
    let update = Command::new("update")
        .about("Changes silences")
        .arg(ids(true))
        .arg(option("duration", "How long they last from now").short('d'))
        .arg(option("start", "From when"))
        .arg(option("end", "Until when"))
        .arg(option("comment", "Why").short('c'))
        .arg(
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .action(ArgAction::SetTrue),
        );
    let import = Command::new("import")
        .about("Makes the silences of a JSON document")
        .arg(
            Arg::new("force")
                .long("force")
                .short('f')
                .action(ArgAction::SetTrue)
                .help("Makes new ones whatever their names"),
        )
        .arg(option("worker", "Accepted without effect").short('w'))
        .arg(Arg::new("file").help("File; standard input when absent"));
    query_options(Command::new("silence").about("Silences of a server"))
        .args_conflicts_with_subcommands(true)
        .subcommand(query_options(Command::new("query").about("Shows silences")))
        .subcommand(add)
        .subcommand(Command::new("expire").about("Ends silences").arg(ids(true)))
        .subcommand(update)
        .subcommand(import)
}

/// Runs the verb.
///
/// # Errors
/// What is wrong with the question, or what the server says.
pub(super) fn run(m: &ArgMatches, tool: &Tool) -> Result<(), String> {
    match m.subcommand() {
        Some(("add", m)) => add(m, tool),
        Some(("expire", m)) => expire(m, tool),
        Some(("update", m)) => update(m, tool),
        Some(("import", m)) => import(m, tool),
        Some((_, m)) => show(m, tool),
        None => show(m, tool),
    }
}

fn span(text: &str) -> Result<SignedDuration, String> {
    let d: PromDuration = text
        .parse()
        .map_err(|e| format!("duration {text:?}: {e}"))?;
    Ok(SignedDuration::from_millis(d.as_ms()))
}

fn post(tool: &Tool, silence: &Value) -> Result<String, String> {
    let answer = tool.ask(Method::POST, "silences", &[], Some(silence))?;
    Ok(text(&answer, "/silenceID"))
}

fn add(m: &ArgMatches, tool: &Tool) -> Result<(), String> {
    let given = |name: &str| m.get_one::<String>(name).cloned();
    let comment = given("comment").unwrap_or_default();
    let required = m.get_one::<bool>("require-comment").copied();
    if comment.is_empty() && required.unwrap_or(tool.comment_required) {
        return Err("comment required by config".into());
    }
    let mut matchers = Vec::new();
    for (_, text) in filters(m) {
        let c = parse_matcher(&text)?;
        matchers.push(json!({
            "name": c.name,
            "value": c.value,
            "isRegex": matches!(c.op, MatchOp::Regex | MatchOp::NotRegex),
            "isEqual": matches!(c.op, MatchOp::Equal | MatchOp::Regex),
        }));
    }
    let starts = instant(m, "start")?.unwrap_or_else(Timestamp::now);
    let ends = match instant(m, "end")? {
        Some(t) => t,
        None => starts
            .checked_add(span(&given("duration").unwrap_or_default())?)
            .map_err(|e| e.to_string())?,
    };
    if starts > ends {
        return Err("silence cannot start after it ends".into());
    }
    let mut annotations = serde_json::Map::new();
    for w in m.get_many::<String>("annotation").into_iter().flatten() {
        let (name, value) = w
            .split_once('=')
            .ok_or_else(|| format!("--annotation {w:?} is not name=value"))?;
        annotations.insert(name.to_owned(), value.into());
    }
    let mut silence = json!({
        "matchers": matchers,
        "startsAt": starts.to_string(),
        "endsAt": ends.to_string(),
        "createdBy": given("author").unwrap_or_else(|| tool.author.clone()),
        "comment": comment,
    });
    if let (Value::Object(s), false) = (&mut silence, annotations.is_empty()) {
        s.insert("annotations".into(), annotations.into());
    }
    print(&format!("{}\n", post(tool, &silence)?));
    Ok(())
}

fn ids(m: &ArgMatches) -> impl Iterator<Item = &String> {
    m.get_many::<String>("ids").into_iter().flatten()
}

fn expire(m: &ArgMatches, tool: &Tool) -> Result<(), String> {
    for id in ids(m) {
        tool.ask(Method::DELETE, &format!("silence/{id}"), &[], None)?;
    }
    Ok(())
}

fn update(m: &ArgMatches, tool: &Tool) -> Result<(), String> {
    let mut changed = Vec::new();
    for id in ids(m) {
        let mut s = tool.ask(Method::GET, &format!("silence/{id}"), &[], None)?;
        let Value::Object(o) = &mut s else {
            return Err(format!("silence {id}: the answer makes no sense"));
        };
        o.remove("status");
        o.remove("updatedAt");
        if let Some(t) = instant(m, "start")? {
            o.insert("startsAt".into(), t.to_string().into());
        }
        let from = o
            .get("startsAt")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let from: Timestamp = from.parse().unwrap_or_else(|_| Timestamp::now());
        if let Some(d) = m.get_one::<String>("duration") {
            let end = from.max(Timestamp::now()).checked_add(span(d)?);
            let end = end.map_err(|e| e.to_string())?;
            o.insert("endsAt".into(), end.to_string().into());
        } else if let Some(t) = instant(m, "end")? {
            o.insert("endsAt".into(), t.to_string().into());
        }
        if let Some(c) = m.get_one::<String>("comment") {
            o.insert("comment".into(), c.as_str().into());
        }
        let new = post(tool, &s)?;
        changed.push(tool.ask(Method::GET, &format!("silence/{new}"), &[], None)?);
    }
    let changed: Vec<&Value> = changed.iter().collect();
    display(&changed, m.get_flag("quiet"), tool);
    Ok(())
}

fn import(m: &ArgMatches, tool: &Tool) -> Result<(), String> {
    let document = match m.get_one::<String>("file") {
        Some(f) => std::fs::read_to_string(f).map_err(|e| format!("open {f}: {e}"))?,
        None => std::io::read_to_string(std::io::stdin()).map_err(|e| e.to_string())?,
    };
    let all: Vec<Value> = serde_json::from_str(&document)
        .map_err(|e| format!("couldn't unmarshal input data, is it JSON? {e}"))?;
    let mut failed = 0;
    for mut s in all {
        if let Value::Object(o) = &mut s {
            o.remove("status");
            o.remove("updatedAt");
            let known = o.get("id").and_then(Value::as_str).map(str::to_owned);
            let known = known.filter(|_| !m.get_flag("force"));
            let there = known.is_some_and(|id| {
                let path = format!("silence/{id}");
                tool.ask(Method::GET, &path, &[], None).is_ok()
            });
            // One that is not there any more cannot be changed, only made again.
            if !there {
                o.remove("id");
            }
        }
        match post(tool, &s) {
            Ok(id) => print(&format!("{id}\n")),
            Err(e) => {
                complain(&format!("error adding silence: {e}\n"));
                failed += 1;
            }
        }
    }
    match failed {
        0 => Ok(()),
        n => Err(format!("couldn't import {n} silences")),
    }
}

fn show(m: &ArgMatches, tool: &Tool) -> Result<(), String> {
    let all = tool.ask(Method::GET, "silences", &filters(m), None)?;
    let all = all.as_array().cloned().unwrap_or_default();
    let within = m.get_one::<String>("within").map(|w| span(w)).transpose()?;
    let now = Timestamp::now();
    let wanted = all.iter().filter(|s| {
        let expired = text(s, "/status/state") == "expired";
        let same = |option: &str, pointer: &str| {
            m.get_one::<String>(option)
                .is_none_or(|v| *v == text(s, pointer))
        };
        let near = within.is_none_or(|w| {
            let ends = text(s, "/endsAt").parse::<Timestamp>().unwrap_or(now);
            ends.duration_since(now).abs() <= w
        });
        expired == m.get_flag("expired")
            && near
            && same("created-by", "/createdBy")
            && same("id", "/id")
    });
    let wanted: Vec<&Value> = wanted.collect();
    display(&wanted, m.get_flag("quiet"), tool);
    Ok(())
}

fn display(silences: &[&Value], quiet: bool, tool: &Tool) {
    if quiet {
        for s in silences {
            print(&format!("{}\n", text(s, "/id")));
        }
        return;
    }
    if tool.output == Output::Json {
        print(&format!("{}\n", json!(silences)));
        return;
    }
    let extended = tool.output == Output::Extended;
    let heads: &[&str] = match extended {
        true => &[
            "ID",
            "Matchers",
            "Starts At",
            "Ends At",
            "Updated At",
            "Created By",
            "Comment",
        ],
        false => &["ID", "Matchers", "Ends At", "Created By", "Comment"],
    };
    let mut rows = vec![heads.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()];
    for s in silences {
        let mut row = vec![text(s, "/id"), matchers(s)];
        if extended {
            row.push(tool.time(s.get("startsAt")));
        }
        row.push(tool.time(s.get("endsAt")));
        if extended {
            row.push(tool.time(s.get("updatedAt")));
        }
        row.extend([text(s, "/createdBy"), text(s, "/comment")]);
        rows.push(row);
    }
    print(&table(&rows));
}

/// The conditions of a silence, as they are written.
fn matchers(s: &Value) -> String {
    let all = s.get("matchers").and_then(Value::as_array);
    let each = all.into_iter().flatten().map(|c| {
        let on = |name: &str, or: bool| c.get(name).and_then(Value::as_bool).unwrap_or(or);
        let op = match (on("isRegex", false), on("isEqual", true)) {
            (false, true) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (true, false) => "!~",
        };
        let value = query::text::quote::quote(&text(c, "/value"));
        format!("{}{op}{value}", text(c, "/name"))
    });
    each.collect::<Vec<_>>().join(" ")
}
