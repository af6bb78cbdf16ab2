//! Requests of amtool, its own options and its output.
//!
//! Options come from the command line, else from `~/.config/amtool/config.yml`, else from
//! `/etc/amtool/config.yml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::config::PromDuration;
use crate::config::prometheus::{HttpClientConfig, HttpClientFile};
use crate::http::client::{self, ClientLimits, Credentials};

/// Largest answer that is read, bytes: an installation with 100,000 alerts fits.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What the files of options may say.
#[derive(Debug, Default, Deserialize)]
struct Defaults {
    #[serde(rename = "alertmanager.url", default)]
    url: Option<String>,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    output: Option<String>,
    #[serde(rename = "date.format", default)]
    date_format: Option<String>,
    #[serde(rename = "http.config.file", default)]
    http_config: Option<String>,
    #[serde(default)]
    comment_required: Option<bool>,
}

impl Defaults {
    fn load() -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let own = home.map(|h| h.join(".config/amtool/config.yml"));
        let places = own
            .into_iter()
            .chain([PathBuf::from("/etc/amtool/config.yml")]);
        for file in places.filter(|f| f.is_file()) {
            let text = crate::config::yaml::read(&file);
            if let Ok(d) = text.and_then(|t| crate::config::parse_yaml(&file, &t)) {
                return d;
            }
        }
        Self::default()
    }
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// A table of what matters.
    Simple,
    /// A table of everything.
    Extended,
    /// As the server sent it.
    Json,
}

/// Options and the server.
pub(super) struct Tool {
    url: url::Url,
    timeout: Duration,
    http: HttpClientConfig,
    /// How answers are printed.
    pub(super) output: Output,
    /// Layout of times.
    pub(super) date_format: String,
    /// Who makes silences.
    pub(super) author: String,
    /// Whether silences need a comment.
    pub(super) comment_required: bool,
}

/// The options that all verbs share.
pub(super) fn options(c: Command) -> Command {
    let text =
        |name: &'static str, help: &'static str| Arg::new(name).long(name).global(true).help(help);
    c.arg(text("alertmanager.url", "Address of the server"))
        .arg(
            text("output", "simple, extended or json")
                .short('o')
                .value_parser(["simple", "extended", "json"]),
        )
        .arg(text("timeout", "How long an answer may take").default_value("30s"))
        .arg(text(
            "http.config.file",
            "File with options of HTTP requests",
        ))
        .arg(text("date.format", "Layout of times, as Go writes it"))
        .arg(text("version-check", "Accepted without effect").hide(true))
        .arg(
            text("verbose", "Accepted without effect")
                .short('v')
                .action(ArgAction::SetTrue)
                .hide(true),
        )
}

impl Tool {
    /// The options of a command line.
    ///
    /// # Errors
    /// What cannot be used.
    pub(super) fn new(m: &ArgMatches) -> Result<Self, String> {
        let defaults = Defaults::load();
        let given = |name: &str| m.get_one::<String>(name).cloned();
        let url = given("alertmanager.url").or(defaults.url);
        let url = url.ok_or("required flag --alertmanager.url not provided")?;
        let text = if url.contains("://") {
            url
        } else {
            format!("http://{url}")
        };
        let mut url = url::Url::parse(&text)
            .map_err(|e| format!("--alertmanager.url {text:?} is not a URL: {e}"))?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let http = match given("http.config.file").or(defaults.http_config) {
            None => HttpClientConfig::default(),
            Some(file) => {
                let path = Path::new(&file);
                let text = crate::config::yaml::read(path).map_err(|e| e.to_string())?;
                let own: HttpClientFile =
                    crate::config::parse_yaml(path, &text).map_err(|e| e.to_string())?;
                own.http_client()
            }
        };
        let timeout = given("timeout").unwrap_or_default();
        let timeout: PromDuration = timeout
            .parse()
            .map_err(|e| format!("--timeout {timeout:?}: {e}"))?;
        let output = given("output").or(defaults.output).unwrap_or_default();
        Ok(Self {
            url,
            timeout: timeout.as_std(),
            http,
            output: match output.as_str() {
                "extended" => Output::Extended,
                "json" => Output::Json,
                _ => Output::Simple,
            },
            date_format: given("date.format")
                .or(defaults.date_format)
                .unwrap_or_else(|| "2006-01-02 15:04:05 MST".into()),
            author: defaults
                .author
                .or_else(|| std::env::var("USER").ok())
                .unwrap_or_default(),
            comment_required: defaults.comment_required.unwrap_or(true),
        })
    }

    /// Asks the server; `path` is below `api/v2/`.
    ///
    /// # Errors
    /// When there is no answer, or one that is an error.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        runtime.block_on(self.request(method, path, query, body))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let mut url = self
            .url
            .join(&format!("api/v2/{path}"))
            .map_err(|e| e.to_string())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let limits = ClientLimits {
            timeout: self.timeout,
            connect_timeout: self.timeout,
        };
        let client = client::build(&self.http, limits).map_err(|e| e.to_string())?;
        let credentials = Credentials::new(&self.http, limits).map_err(|e| e.to_string())?;
        let headers = credentials.headers().await.map_err(|e| e.to_string())?;
        let mut request = client.request(method, url).headers(headers);
        if let Some(b) = body {
            request = request
                .header("content-type", "application/json")
                .body(b.to_string());
        }
        let mut answer = request.send().await.map_err(|e| said(&e))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| said(&e))? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err("the answer is too large".into());
            }
            bytes.extend_from_slice(&piece);
        }
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let text = match &value {
            Value::String(s) => s.clone(),
            Value::Object(o) => o.get("message").map_or(String::new(), Value::to_string),
            _ => String::from_utf8_lossy(&bytes).trim().to_owned(),
        };
        Err(format!("[{}] {text}", status.as_u16()))
    }

    /// A time of an answer in the layout that is asked for.
    pub(super) fn time(&self, v: Option<&Value>) -> String {
        let text = v.and_then(Value::as_str).unwrap_or_default();
        match text.parse::<jiff::Timestamp>() {
            Ok(t) => {
                let t = t.to_zoned(jiff::tz::TimeZone::UTC);
                query::text::layout::format(&t, &self.date_format)
            }
            Err(_) => text.to_owned(),
        }
    }
}

fn said(e: &reqwest::Error) -> String {
    let mut text = e.to_string();
    let mut cause = std::error::Error::source(e);
    while let Some(c) = cause {
        text = format!("{text}: {c}");
        cause = c.source();
    }
    text
}

/// Columns, two blanks apart.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|r| r.get(i));
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for r in rows {
        for (cell, width) in r.iter().zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        out.push('\n');
    }
    out
}

/// A field of an answer as text.
pub(super) fn text(v: &Value, pointer: &str) -> String {
    match v.pointer(pointer) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Filters of a query; a first word without an operator is the alert's name.
pub(super) fn filters(m: &ArgMatches) -> Vec<(&'static str, String)> {
    let words = m.get_many::<String>("matchers").into_iter().flatten();
    let each = words.enumerate().map(|(i, w)| {
        let bare = i == 0 && !w.contains(['=', '~']);
        let text = if bare {
            format!("alertname={}", query::text::quote::quote(w))
        } else {
            w.clone()
        };
        ("filter", text)
    });
    each.collect()
}

/// The time of an option.
///
/// # Errors
/// When it is none.
pub(super) fn instant(m: &ArgMatches, name: &str) -> Result<Option<jiff::Timestamp>, String> {
    let Some(text) = m.get_one::<String>(name) else {
        return Ok(None);
    };
    let t = text.parse().map_err(|_| {
        format!("--{name} {text:?} is not a time: something like 2026-01-02T15:04:05Z is expected")
    });
    t.map(Some)
}
