//! `sextant logs` and `logcli`: asking a server for lines, with logcli's flags and outputs.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::{complain, print};
use crate::config::prometheus::HttpClientConfig;
use crate::http::client::{self, ClientLimits};

/// Exit code of a request that failed.
const FAILED: u8 = 1;
/// How often a followed query is asked again.
const POLL: Duration = Duration::from_secs(1);

fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    text(name, help).action(ArgAction::SetTrue)
}

/// Flags of every verb.
fn common(c: Command) -> Command {
    c.arg(
        text("addr", "Address of the server")
            .env("LOKI_ADDR")
            .default_value("http://localhost:3100"),
    )
    .arg(text("org-id", "Tenant").env("LOKI_ORG_ID"))
    .arg(text("username", "User").env("LOKI_USERNAME"))
    .arg(text("password", "Password").env("LOKI_PASSWORD"))
    .arg(text("bearer-token", "Token").env("LOKI_BEARER_TOKEN"))
    .arg(switch("quiet", "Say nothing but the answer").short('q'))
    .arg(text("since", "How far back").default_value("1h"))
    .arg(text("from", "Start, RFC 3339"))
    .arg(text("to", "End, RFC 3339"))
}

fn query_flags(c: Command) -> Command {
    common(c)
        .arg(Arg::new("query").required(true))
        .arg(text("limit", "Entries at most").default_value("30"))
        .arg(text("step", "Distance of points"))
        .arg(text("interval", "Least distance of entries"))
        .arg(switch("forward", "Oldest first"))
        .arg(switch("no-labels", "Lines without labels"))
        .arg(
            text("output", "default, raw or jsonl")
                .short('o')
                .default_value("default"),
        )
        .arg(switch("tail", "Go on with new lines").short('t'))
        .arg(switch("follow", "Go on with new lines").short('f'))
}

/// The verb under `name`.
pub(super) fn command(name: &'static str) -> Command {
    let selector = |c: Command| common(c).arg(Arg::new("query").required(true));
    Command::new(name)
        .about("Asks a server for lines")
        .subcommand_required(true)
        .subcommand(query_flags(Command::new("query").about("Runs a query")))
        .subcommand(query_flags(Command::new("tail").about("Follows a query")))
        .subcommand(
            common(Command::new("instant-query").about("Runs a metric query at one time"))
                .arg(Arg::new("query").required(true))
                .arg(text("now", "The time, RFC 3339"))
                .arg(text("limit", "Samples at most").default_value("30")),
        )
        .subcommand(
            common(Command::new("labels").about("Names of labels, or values of one"))
                .arg(Arg::new("name")),
        )
        .subcommand(selector(
            Command::new("series")
                .about("Label sets of streams")
                .arg(switch("analyze-labels", "Summary of labels")),
        ))
        .subcommand(selector(
            Command::new("stats").about("Size of what matches"),
        ))
        .subcommand(selector(
            Command::new("volume").about("Volume of what matches"),
        ))
        .subcommand(Command::new("fmt").about("Formats the query on standard input"))
}

/// Runs a verb.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let Some((verb, m)) = m.subcommand() else {
        return FAILED;
    };
    let done = if verb == "fmt" {
        format()
    } else {
        ask(verb, m)
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
        .take(query::logql::parse::QUERY_BYTES_MAX as u64 + 1)
        .read_to_string(&mut query);
    read.map_err(|e| format!("standard input: {e}"))?;
    let expr = query::logql::parse(query.trim()).map_err(|e| e.to_string())?;
    print(&format!("{}\n", query::logql::print::pretty(&expr)));
    Ok(())
}

fn given<'m>(m: &'m ArgMatches, name: &str) -> Option<&'m str> {
    let known = m.try_get_one::<String>(name).ok().flatten();
    known.map(String::as_str).filter(|v| !v.is_empty())
}

fn on(m: &ArgMatches, name: &str) -> bool {
    m.try_get_one::<bool>(name).ok().flatten() == Some(&true)
}

/// A server with what every request to it carries.
struct Remote<'m> {
    client: reqwest::Client,
    m: &'m ArgMatches,
}

impl Remote<'_> {
    async fn get(&self, path: &str, pairs: &[(&str, String)]) -> Result<Value, String> {
        let base = given(self.m, "addr")
            .unwrap_or_default()
            .trim_end_matches('/');
        let mut url = url::Url::parse(&format!("{base}/loki/api/v1/{path}"))
            .map_err(|e| format!("--addr {base:?}: {e}"))?;
        for (n, v) in pairs {
            url.query_pairs_mut().append_pair(n, v);
        }
        if !on(self.m, "quiet") {
            complain(&format!("{url}\n"));
        }
        let mut request = self.client.get(url.as_str());
        if let Some(id) = given(self.m, "org-id") {
            request = request.header("X-Scope-OrgID", id);
        }
        if let Some(user) = given(self.m, "username") {
            request = request.basic_auth(user, given(self.m, "password"));
        } else if let Some(token) = given(self.m, "bearer-token") {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|e| e.to_string())?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body);
            return Err(format!(
                "Error response from server: {} ({status})",
                text.trim()
            ));
        }
        serde_json::from_slice(&body).map_err(|e| format!("the answer is not JSON: {e}"))
    }
}

/// Start and end in ns as the flags say.
fn bounds(m: &ArgMatches) -> Result<(i64, i64), String> {
    let ns = |t: jiff::Timestamp| i64::try_from(t.as_nanosecond()).unwrap_or(i64::MAX);
    let at = |name: &str| match given(m, name) {
        None => Ok(None),
        Some(t) => t
            .parse()
            .map(|t| Some(ns(t)))
            .map_err(|_| format!("--{name} {t:?} is not RFC 3339")),
    };
    let end = at("to")?.unwrap_or_else(|| ns(jiff::Timestamp::now()));
    let since = given(m, "since").unwrap_or("1h");
    let back = query::text::go_duration::parse(since)
        .or_else(|| Some(query::text::duration::parse(since).ok()? * 1_000_000))
        .ok_or_else(|| format!("--since {since:?} is not a duration"))?;
    Ok((at("from")?.unwrap_or(end.saturating_sub(back)), end))
}

fn ask(verb: &str, m: &ArgMatches) -> Result<(), String> {
    let limits = ClientLimits {
        timeout: Duration::from_secs(300),
        connect_timeout: Duration::from_secs(10),
    };
    let client = client::build(&HttpClientConfig::default(), limits).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(answer(verb, &Remote { client, m }))
}

async fn answer(verb: &str, remote: &Remote<'_>) -> Result<(), String> {
    let m = remote.m;
    let (start, end) = bounds(m)?;
    let mut pairs = vec![("start", start.to_string()), ("end", end.to_string())];
    let query = given(m, "query").unwrap_or_default().to_owned();
    match verb {
        "labels" => {
            let path = match given(m, "name") {
                Some(n) => format!("label/{n}/values"),
                None => "labels".to_owned(),
            };
            let v = remote.get(&path, &pairs).await?;
            for name in v["data"].as_array().into_iter().flatten() {
                print(&format!("{}\n", name.as_str().unwrap_or_default()));
            }
        }
        "series" => {
            pairs.push(("match[]", query));
            let v = remote.get("series", &pairs).await?;
            let all = v["data"].as_array().cloned().unwrap_or_default();
            if on(m, "analyze-labels") {
                analyze(&all);
            } else {
                for s in &all {
                    print(&format!("{}\n", labels_text(s)));
                }
            }
        }
        "stats" | "volume" => {
            pairs.push(("query", query));
            let path = format!("index/{verb}");
            let v = remote.get(&path, &pairs).await?;
            let shown = if verb == "stats" {
                &v
            } else {
                &v["data"]["result"]
            };
            print(&format!("{}\n", pretty(shown)));
        }
        "instant-query" => {
            let limit = given(m, "limit").unwrap_or("30").to_owned();
            let mut pairs = vec![("query", query), ("limit", limit)];
            if let Some(now) = given(m, "now") {
                pairs.push(("time", now.to_owned()));
            }
            let v = remote.get("query", &pairs).await?;
            print(&format!("{}\n", pretty(&v["data"]["result"])));
        }
        verb => {
            pairs.push(("query", query));
            let follow = verb == "tail" || on(m, "tail") || on(m, "follow");
            lines(remote, pairs, follow, end).await?;
        }
    }
    Ok(())
}

/// Runs a range query; when followed, asks again for what is newer until it is stopped.
async fn lines(
    remote: &Remote<'_>,
    mut pairs: Vec<(&str, String)>,
    follow: bool,
    end: i64,
) -> Result<(), String> {
    let m = remote.m;
    for name in ["limit", "step", "interval"] {
        if let Some(v) = given(m, name) {
            pairs.push((name, v.to_owned()));
        }
    }
    let forward = on(m, "forward");
    let direction = if forward { "forward" } else { "backward" };
    pairs.push(("direction", direction.to_owned()));
    let v = remote.get("query_range", &pairs).await?;
    let data = &v["data"];
    if data["resultType"] != "streams" {
        print(&format!("{}\n", pretty(&data["result"])));
        return Ok(());
    }
    show(m, &data["result"], forward || follow);
    if !follow {
        return Ok(());
    }
    let mut seen = end;
    loop {
        tokio::time::sleep(POLL).await;
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        for (n, v) in &mut pairs {
            match *n {
                "start" => *v = seen.to_string(),
                "end" => *v = now.to_string(),
                "limit" => "5000".clone_into(v),
                "direction" => "forward".clone_into(v),
                _ => {}
            }
        }
        let v = remote.get("query_range", &pairs).await?;
        show(m, &v["data"]["result"], true);
        seen = now;
    }
}

/// Prints entries of all streams by time.
fn show(m: &ArgMatches, result: &Value, forward: bool) {
    let mut entries: Vec<(i64, &Value, &str)> = Vec::new();
    for s in result.as_array().into_iter().flatten() {
        for v in s["values"].as_array().into_iter().flatten() {
            let time = v[0].as_str().and_then(|t| t.parse().ok()).unwrap_or(0);
            entries.push((time, &s["stream"], v[1].as_str().unwrap_or_default()));
        }
    }
    entries.sort_by_key(|e| e.0);
    if !forward {
        entries.reverse();
    }
    let output = given(m, "output").unwrap_or("default");
    for (time, labels, line) in entries {
        let at = query::text::layout::rfc3339_utc(time);
        let shown = match output {
            "raw" => line.to_owned(),
            "jsonl" => {
                serde_json::json!({"labels": labels, "line": line, "timestamp": at}).to_string()
            }
            _ if on(m, "no-labels") => format!("{at} {line}"),
            _ => format!("{at} {} {line}", labels_text(labels)),
        };
        print(&format!("{shown}\n"));
    }
}

/// Each label with the number of its values, most first.
fn analyze(series: &[Value]) {
    let mut values: BTreeMap<&str, BTreeMap<&str, ()>> = BTreeMap::new();
    for s in series {
        for (n, v) in s.as_object().into_iter().flatten() {
            let set = values.entry(n).or_default();
            set.insert(v.as_str().unwrap_or_default(), ());
        }
    }
    print(&format!(
        "Total Streams:  {}\nUnique Labels:  {}\n\nLabel Name  Unique Values\n",
        series.len(),
        values.len()
    ));
    let mut rows: Vec<(&str, usize)> = values.iter().map(|(n, v)| (*n, v.len())).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    for (name, n) in rows {
        print(&format!("{name}  {n}\n"));
    }
}

/// `{a="b", c="d"}`
fn labels_text(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten();
    let mut all: Vec<String> = pairs
        .map(|(n, v)| {
            let value = v.as_str().unwrap_or_default();
            format!("{n}={}", query::text::quote::quote(value))
        })
        .collect();
    all.sort();
    format!("{{{}}}", all.join(", "))
}

fn pretty(v: &Value) -> String {
    serde_json::to_string_pretty(v).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_shown_as_selectors() {
        let labels = serde_json::json!({"b": "x\"y", "a": "1"});
        assert_eq!(labels_text(&labels), r#"{a="1", b="x\"y"}"#);
    }

    #[test]
    fn ranges_come_from_since_or_from_and_to() {
        let m = command("logcli")
            .try_get_matches_from([
                "logcli",
                "stats",
                "--from=2023-11-14T22:13:20Z",
                "--to=2023-11-14T22:13:21Z",
                "{a=\"b\"}",
            ])
            .unwrap();
        let (_, m) = m.subcommand().unwrap();
        assert_eq!(
            bounds(m),
            Ok((1_700_000_000_000_000_000, 1_700_000_001_000_000_000))
        );
    }
}
