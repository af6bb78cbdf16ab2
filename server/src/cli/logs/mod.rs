//! `sextant logs` and `logcli`: asking a server for lines, with logcli's flags and outputs.
//!
//! Owns: the verbs, what they print besides entries.
//! Knows nothing of: evaluation, except for `--stdin`, where there is no server.
//!
//! Read next: `query.rs`, `output.rs`.

mod flags;
mod output;
mod query;
mod remote;
mod stdin;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use super::{complain, print};
use flags::{all, bounds, given, number, on, switch, text};
use output::{human_bytes, labels_of, labels_text, table};
use remote::Remote;

/// Exit code of a request that failed.
const FAILED: u8 = 1;

/// The verb under `name`.
pub(super) fn command(name: &'static str) -> Command {
    let asks = |c: Command| flags::range(c).arg(Arg::new("query").required(true));
    let c = Command::new(name)
        .about("Asks a server for lines")
        .subcommand_required(true)
        .subcommand(flags::query(Command::new("query").about("Runs a query")))
        .subcommand(flags::query(
            Command::new("tail").about("Follows a query; the same as query --tail"),
        ))
        .subcommand(
            flags::labels(Command::new("instant-query").about("Runs a metric query at one time"))
                .arg(Arg::new("query").required(true))
                .arg(text("now", "The time, RFC 3339"))
                .arg(
                    text("limit", "Entries at most")
                        .value_parser(clap::value_parser!(u32))
                        .default_value("30"),
                ),
        )
        .subcommand(
            flags::range(Command::new("labels").about("Names of labels, or values of one"))
                .arg(Arg::new("name")),
        )
        .subcommand(asks(
            Command::new("series")
                .about("Label sets of streams")
                .arg(switch("analyze-labels", "Summary of labels")),
        ))
        .subcommand(asks(Command::new("stats").about("Size of what matches")))
        .subcommand(flags::volume(
            Command::new("volume").about("Volume of what matches"),
        ))
        .subcommand(
            flags::volume(Command::new("volume_range").about("Volume over time"))
                .visible_alias("volume-range")
                .arg(text("step", "Distance of points").default_value("1h")),
        )
        .subcommand(
            asks(Command::new("detected-fields").about("Fields of lines, or values of one"))
                .arg(Arg::new("field"))
                .arg(text("limit", "Fields or values at most").default_value("100"))
                .arg(text("line-limit", "Lines looked at").default_value("1000"))
                .arg(text("step", "Distance of points").default_value("10s")),
        )
        .subcommand(Command::new("fmt").about("Formats the query on standard input"));
    flags::global(c)
}

/// Runs a verb.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let Some((verb, m)) = m.subcommand() else {
        return FAILED;
    };
    let done = match verb {
        "fmt" => format(),
        "query" if on(m, "stdin") => stdin::run(m),
        _ if on(m, "stdin") => Err(format!("--stdin is for query, not for {verb}")),
        _ => ask(verb, m),
    };
    match done {
        Ok(()) => 0,
        Err(e) => {
            complain(&format!("{e}\n"));
            FAILED
        }
    }
}

fn format() -> Result<(), String> {
    let mut query = String::new();
    let read = std::io::stdin()
        .take(::query::logql::parse::QUERY_BYTES_MAX as u64 + 1)
        .read_to_string(&mut query);
    read.map_err(|e| format!("standard input: {e}"))?;
    let expr = ::query::logql::parse(query.trim()).map_err(|e| e.to_string())?;
    print(&format!("{}\n", ::query::logql::print::pretty(&expr)));
    Ok(())
}

fn ask(verb: &str, m: &ArgMatches) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let remote = Remote::new(m)?;
        match verb {
            "tail" => query::tail(&remote, m).await,
            "query" if on(m, "tail") || on(m, "follow") => query::tail(&remote, m).await,
            "query" => query::run(&remote, m).await,
            "instant-query" => instant(&remote, m).await,
            _ => about(verb, &remote, m).await,
        }
    })
}

async fn instant(remote: &Remote<'_>, m: &ArgMatches) -> Result<(), String> {
    let at = flags::time(m, "now")?.unwrap_or_else(flags::now);
    let direction = if on(m, "forward") {
        "FORWARD"
    } else {
        "BACKWARD"
    };
    let pairs = [
        ("query", given(m, "query").unwrap_or_default().to_owned()),
        ("limit", number(m, "limit").max(1).to_string()),
        ("time", at.to_string()),
        ("direction", direction.to_owned()),
    ];
    let v = remote.get("query", &pairs).await?;
    show_stats(m, &v["data"]);
    print(&format!("{}\n", pretty(&v["data"]["result"])));
    Ok(())
}

/// Verbs that ask about streams, not for lines.
async fn about(verb: &str, remote: &Remote<'_>, m: &ArgMatches) -> Result<(), String> {
    let (start, end) = bounds(m)?;
    let query = given(m, "query").unwrap_or_default().to_owned();
    let mut pairs = vec![("start", start.to_string()), ("end", end.to_string())];
    match verb {
        "labels" => {
            let path = match given(m, "name") {
                Some(n) => format!("label/{n}/values"),
                None => "labels".to_owned(),
            };
            lines_of(&remote.get(&path, &pairs).await?["data"]);
        }
        "series" => {
            pairs.push(("match", query));
            let v = remote.get("series", &pairs).await?;
            let all = v["data"].as_array().cloned().unwrap_or_default();
            if on(m, "analyze-labels") {
                print(&analysis(&all));
            } else {
                for s in &all {
                    print(&format!("{}\n", labels_text(&labels_of(s))));
                }
            }
        }
        "stats" => {
            pairs.push(("query", query));
            let v = remote.get("index/stats", &pairs).await?;
            let n = |name: &str| v[name].as_u64().unwrap_or(0);
            print(&format!(
                "{{\n  bytes: {}\n  chunks: {}\n  streams: {}\n  entries: {}\n}}\n",
                human_bytes(n("bytes")),
                n("chunks"),
                n("streams"),
                n("entries")
            ));
        }
        "detected-fields" => {
            pairs.push(("query", query));
            fields(remote, m, pairs).await?;
        }
        verb => {
            pairs.push(("query", query));
            volume(verb, remote, m, pairs).await?;
        }
    }
    Ok(())
}

async fn volume(
    verb: &str,
    remote: &Remote<'_>,
    m: &ArgMatches,
    mut pairs: Vec<(&str, String)>,
) -> Result<(), String> {
    pairs.push(("limit", number(m, "limit").max(1).to_string()));
    let targets = all(m, "targetLabels");
    if !targets.is_empty() {
        pairs.push(("targetLabels", targets.join(",")));
    }
    if on(m, "aggregateByLabels") {
        pairs.push(("aggregateBy", "labels".to_owned()));
    }
    if verb == "volume_range"
        && let Some(step) = given(m, "step")
    {
        pairs.push(("step", step.to_owned()));
    }
    let v = remote.get(&format!("index/{verb}"), &pairs).await?;
    print(&format!("{}\n", pretty(&v["data"]["result"])));
    Ok(())
}

async fn fields(
    remote: &Remote<'_>,
    m: &ArgMatches,
    mut pairs: Vec<(&str, String)>,
) -> Result<(), String> {
    for (name, flag) in [
        ("limit", "limit"),
        ("line_limit", "line-limit"),
        ("step", "step"),
    ] {
        if let Some(v) = given(m, flag) {
            pairs.push((name, v.to_owned()));
        }
    }
    if let Some(field) = given(m, "field") {
        let path = format!("detected_field/{field}/values");
        lines_of(&remote.get(&path, &pairs).await?["values"]);
        return Ok(());
    }
    let v = remote.get("detected_fields", &pairs).await?;
    let all = v["fields"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if given(m, "output") == Some("jsonl") {
        for f in all {
            print(&format!("{f}\n"));
        }
        return Ok(());
    }
    let row = |f: &Value| {
        let text = |name: &str| f[name].as_str().unwrap_or_default().to_owned();
        vec![
            format!("label: {}", text("label")),
            format!("type: {}", text("type")),
            format!("cardinality: {}", f["cardinality"]),
        ]
    };
    print(&table(&all.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

/// Prints texts, one a line.
fn lines_of(list: &Value) {
    for name in list.as_array().into_iter().flatten() {
        print(&format!("{}\n", name.as_str().unwrap_or_default()));
    }
}

/// Each label with the number of its values and of the streams that have it, most values first.
fn analysis(series: &[Value]) -> String {
    let mut values: BTreeMap<&str, (BTreeSet<&str>, usize)> = BTreeMap::new();
    for s in series {
        for (n, v) in s.as_object().into_iter().flatten() {
            let own = values.entry(n).or_default();
            own.0.insert(v.as_str().unwrap_or_default());
            own.1 += 1;
        }
    }
    let mut found: Vec<(&str, usize, usize)> = values
        .iter()
        .map(|(n, (v, in_streams))| (*n, v.len(), *in_streams))
        .collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut rows = vec![vec![
        "Label Name".to_owned(),
        "Unique Values".to_owned(),
        "Found In Streams".to_owned(),
    ]];
    rows.extend(
        found
            .iter()
            .map(|(n, v, s)| vec![(*n).to_owned(), v.to_string(), s.to_string()]),
    );
    format!(
        "Total Streams:  {}\nUnique Labels:  {}\n\n{}",
        series.len(),
        values.len(),
        table(&rows)
    )
}

fn pretty(v: &Value) -> String {
    serde_json::to_string_pretty(v).unwrap_or_default()
}

/// Says what a query cost, one number a line, when that is asked for.
fn show_stats(m: &ArgMatches, data: &Value) {
    if on(m, "stats") {
        let mut rows = Vec::new();
        flatten("", &data["stats"], &mut rows);
        complain(&table(&rows));
    }
}

fn flatten(prefix: &str, v: &Value, out: &mut Vec<Vec<String>>) {
    match v {
        Value::Object(all) => {
            for (name, v) in all {
                let mut letters = name.chars();
                let first = letters.next().map(|c| c.to_ascii_uppercase());
                let name: String = first.into_iter().chain(letters).collect();
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{name}"), v, out);
            }
        }
        other => out.push(vec![prefix.to_owned(), other.to_string()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(args: &[&str]) -> ArgMatches {
        let m = command("logcli").try_get_matches_from(args).unwrap();
        let (_, m) = m.subcommand().unwrap();
        m.clone()
    }

    #[test]
    fn ranges_come_from_since_or_from_and_to() {
        let m = matches(&[
            "logcli",
            "-z",
            "UTC",
            "stats",
            "--from=2023-11-14T22:13:20Z",
            "--to=2023-11-14T22:13:21",
            "{a=\"b\"}",
        ]);
        assert_eq!(
            bounds(&m),
            Ok((1_700_000_000_000_000_000, 1_700_000_001_000_000_000))
        );
        let m = matches(&[
            "logcli",
            "labels",
            "--to=1970-01-02T00:00:00Z",
            "--since=1d",
        ]);
        assert_eq!(bounds(&m), Ok((0, 86_400_000_000_000)));
        for wrong in ["--since=x", "--from=yesterday"] {
            let m = matches(&["logcli", "labels", wrong]);
            assert!(bounds(&m).unwrap_err().contains("is not a"), "{wrong}");
        }
    }

    #[test]
    fn labels_are_analyzed() {
        let series = [
            serde_json::json!({"a": "1", "b": "x"}),
            serde_json::json!({"a": "2"}),
        ];
        assert_eq!(
            analysis(&series),
            "Total Streams:  2\nUnique Labels:  2\n\nLabel Name  Unique Values  Found In Streams\n\
             a           2              2\nb           1              1\n"
        );
    }
}
