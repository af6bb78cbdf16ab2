//! `sextant query`: asks a server, prints the answer. The flags, the default form of the output and
//! the exit codes are those of promtool.
//!
//! Owns: requests to the query API, what went wrong with them.
//! Knows nothing of: the forms of the output ([`output`]), evaluation (the server does it).

mod output;
mod plot;

use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::{complain, print};
use crate::api::prometheus::parse_time;
use crate::config::PromDuration;
use crate::config::prometheus::{HttpClientConfig, HttpClientFile};
use crate::config::yaml;
use crate::http::client::{self, ClientLimits, Credentials};
use output::{Answer, Form};

/// Exit code when a request fails or an argument is wrong.
pub(super) const FAILED: u8 = 1;
/// Longest request: the server has its own, shorter limit.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Until connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Without a step a range has about this many.
const STEPS_DEFAULT: i64 = 250;
/// Without a start a range is this long.
const RANGE_DEFAULT_MS: i64 = 5 * 60 * 1000;

/// The verb with its four questions.
pub(super) fn command() -> Command {
    let server = || {
        Arg::new("server")
            .required(true)
            .help("Address of the server, as http://localhost:9090")
    };
    let time = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    let start = || time("start", "Start, as Unix seconds or RFC 3339");
    let end = || time("end", "End, as Unix seconds or RFC 3339");
    let matching = || {
        Arg::new("match")
            .long("match")
            .action(ArgAction::Append)
            .help("Series selector; may be repeated")
    };
    let expression = || Arg::new("expr").required(true).help("The expression");
    Command::new("query")
        .about("Asks a server")
        .subcommand_required(true)
        .arg(
            Arg::new("format")
                .short('o')
                .long("format")
                .visible_alias("output")
                .global(true)
                .default_value("promql")
                .value_parser(["promql", "json", "table", "csv", "plot"])
                .help("Form of the answer"),
        )
        .arg(
            Arg::new("header")
                .long("header")
                .global(true)
                .action(ArgAction::Append)
                .value_name("NAME=VALUE")
                .help("Sent with the request; may be repeated"),
        )
        .arg(
            Arg::new("http-config")
                .long("http.config.file")
                .global(true)
                .value_name("FILE")
                .help("HTTP client configuration: TLS, credentials, proxy"),
        )
        .subcommand(
            Command::new("instant")
                .about("Evaluates an expression at one time")
                .arg(time(
                    "time",
                    "Time, as Unix seconds or RFC 3339; now by default",
                ))
                .arg(server())
                .arg(expression()),
        )
        .subcommand(
            Command::new("range")
                .about("Evaluates an expression over a range of time")
                .arg(start())
                .arg(end())
                .arg(Arg::new("step").long("step").help("Step, as 30s"))
                .arg(server())
                .arg(expression()),
        )
        .subcommand(
            Command::new("series")
                .about("Lists the series that match")
                .arg(matching().required(true))
                .arg(start())
                .arg(end())
                .arg(server()),
        )
        .subcommand(
            Command::new("labels")
                .about("Lists the values of a label")
                .arg(matching())
                .arg(start())
                .arg(end())
                .arg(server())
                .arg(Arg::new("name").required(true).help("Name of the label")),
        )
}

/// Asks what `m` says; gives the exit code.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let Some((verb, m)) = m.subcommand() else {
        return FAILED;
    };
    match ask(verb, m) {
        Ok(text) => {
            print(&text);
            0
        }
        Err(e) => {
            complain(&format!("{e}\n"));
            FAILED
        }
    }
}

/// A request to the API: path and parameters.
struct Question {
    path: String,
    params: Vec<(&'static str, String)>,
    post: bool,
}

fn ask(verb: &str, m: &ArgMatches) -> Result<String, String> {
    let form = Form::named(text(m, "format").unwrap_or("promql"));
    let question = question(verb, m)?;
    let base = text(m, "server").unwrap_or_default();
    let url = reqwest::Url::parse(base)
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
        .ok_or_else(|| {
            format!(
                "{base:?} is not the address of a server, which looks like http://localhost:9090"
            )
        })?;
    let config = match text(m, "http-config") {
        Some(file) => client_config(file)?,
        None => HttpClientConfig::default(),
    };
    let headers: Vec<(String, String)> = m
        .get_many::<String>("header")
        .into_iter()
        .flatten()
        .map(|h| {
            let pair = h.split_once('=').filter(|(n, _)| !n.is_empty());
            pair.map(|(n, v)| (n.to_owned(), v.to_owned()))
                .ok_or_else(|| format!("header {h:?} is not NAME=VALUE"))
        })
        .collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let body = runtime
        .block_on(send(&config, &url, &question, &headers))
        .map_err(|e| format!("query error: {e}"))?;
    let data = envelope(&body).map_err(|e| format!("query error: {e}"))?;
    let answer = match verb {
        "series" => Answer::Series(data),
        "labels" => Answer::Values(data),
        _ => Answer::Value(data),
    };
    answer
        .print(form)
        .map_err(|e| format!("query error: unexpected answer: {e}"))
}

fn text<'m>(m: &'m ArgMatches, name: &str) -> Option<&'m str> {
    m.try_get_one::<String>(name)
        .ok()
        .flatten()
        .map(String::as_str)
}

fn question(verb: &str, m: &ArgMatches) -> Result<Question, String> {
    let time = |name: &str, what: &str| {
        text(m, name)
            .filter(|t| !t.is_empty())
            .map(|t| parse_time(t).map_err(|e| format!("error parsing {what}: {e}")))
            .transpose()
    };
    let expr = || ("query", text(m, "expr").unwrap_or_default().to_owned());
    let mut params = Vec::new();
    let path = match verb {
        "instant" => {
            params.push(expr());
            if let Some(t) = time("time", "time")? {
                params.push(("time", seconds(t)));
            }
            "query".to_owned()
        }
        "range" => {
            let (start, end, step) =
                range(m, time("start", "start time")?, time("end", "end time")?)?;
            params.push(expr());
            params.push(("start", seconds(start)));
            params.push(("end", seconds(end)));
            params.push(("step", seconds(step)));
            "query_range".to_owned()
        }
        _ => {
            for s in m.get_many::<String>("match").into_iter().flatten() {
                params.push(("match[]", s.clone()));
            }
            for (name, what) in [("start", "start time"), ("end", "end time")] {
                if let Some(t) = time(name, what)? {
                    params.push((name, seconds(t)));
                }
            }
            match text(m, "name") {
                Some(name) => format!("label/{}/values", path_segment(name)),
                None => "series".to_owned(),
            }
        }
    };
    // Label values have no form to post; everything else may be too long for an address.
    let post = verb != "labels";
    Ok(Question { path, params, post })
}

/// Start, end and step in ms, with defaults for what is not given.
fn range(m: &ArgMatches, start: Option<i64>, end: Option<i64>) -> Result<(i64, i64, i64), String> {
    let end = end.unwrap_or_else(now_ms);
    let start = start.unwrap_or_else(|| end.saturating_sub(RANGE_DEFAULT_MS));
    if start >= end {
        return Err("start time is not before end time".to_owned());
    }
    let step = match text(m, "step") {
        Some(t) => {
            let d: Result<PromDuration, _> = t.parse();
            let ms = d.map(|d| d.as_ms()).unwrap_or(0);
            if ms <= 0 {
                return Err(format!(
                    "error parsing step: {t:?} is not a positive duration, as 30s"
                ));
            }
            ms
        }
        // Whole seconds.
        None => (end.saturating_sub(start) / STEPS_DEFAULT / 1000 * 1000).max(1000),
    };
    Ok((start, end, step))
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(ms: i64) -> String {
    output::milliseconds(ms)
}

/// `name` as a part of a path: anything but letters, digits and underscores is escaped.
fn path_segment(name: &str) -> String {
    name.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b == b'_' {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
        out
    })
}

fn client_config(file: &str) -> Result<HttpClientConfig, String> {
    let path = Path::new(file);
    let text = yaml::read(path).map_err(|e| e.to_string())?;
    let parsed: HttpClientFile = yaml::parse(path, &text).map_err(|e| e.to_string())?;
    Ok(parsed.http_client())
}

async fn send(
    config: &HttpClientConfig,
    base: &reqwest::Url,
    q: &Question,
    headers: &[(String, String)],
) -> Result<Vec<u8>, String> {
    let limits = ClientLimits {
        timeout: TIMEOUT,
        connect_timeout: CONNECT_TIMEOUT,
    };
    let client = client::build(config, limits).map_err(|e| e.to_string())?;
    let credentials = Credentials::new(config, limits).map_err(|e| e.to_string())?;
    let credentials = credentials.headers().await.map_err(|e| e.to_string())?;
    let url = format!("{}/api/v1/{}", base.as_str().trim_end_matches('/'), q.path);
    let mut params = reqwest::Url::parse(&url).map_err(|e| e.to_string())?;
    params
        .query_pairs_mut()
        .extend_pairs(q.params.iter().map(|(n, v)| (*n, v.as_str())));
    let mut request = if q.post {
        client
            .post(url)
            .header(
                reqwest::header::CONTENT_TYPE,
                "application/x-www-form-urlencoded",
            )
            .body(params.query().unwrap_or_default().to_owned())
    } else {
        client.get(params)
    };
    request = request.headers(credentials);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut answer = request.send().await.map_err(|e| causes(&e))?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| causes(&e))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("answer is larger than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    let status = answer.status();
    let json = body.first() == Some(&b'{');
    if !status.is_success() && !json {
        let said = String::from_utf8_lossy(&body);
        let kind = if status.is_client_error() {
            "client_error: client error"
        } else {
            "server_error: server error"
        };
        return Err(format!(
            "{kind}: {} (detail: {})",
            status.as_u16(),
            said.trim()
        ));
    }
    Ok(body)
}

/// An error with what caused it.
fn causes(e: &reqwest::Error) -> String {
    let mut text = e.to_string();
    let mut source = std::error::Error::source(e);
    while let Some(s) = source {
        text.push_str(&format!(": {s}"));
        source = s.source();
    }
    text
}

/// The data of an answer; its warnings go to standard error.
fn envelope(body: &[u8]) -> Result<Value, String> {
    let mut v: Value = serde_json::from_slice(body)
        .map_err(|e| format!("bad_response: the answer is not JSON: {e}"))?;
    if v["status"] != "success" {
        let part = |name: &str| v[name].as_str().unwrap_or_default().to_owned();
        return Err(format!("{}: {}", part("errorType"), part("error")));
    }
    for w in v["warnings"].as_array().into_iter().flatten() {
        complain(&format!(
            "query warning: {}\n",
            w.as_str().unwrap_or_default()
        ));
    }
    Ok(v["data"].take())
}
