//! `sextant postgres-exporter`: the command line of the PostgreSQL exporter.

use std::sync::{Arc, LazyLock};

use clap::{ArgMatches, Command};
use exporters::metrics::postgres::{Options, Source, Statements, collectors, families};

use super::exporters as shared;
use super::flags::{self, Flag, Kind, Values, flag};
use crate::exporting::{Databases, Exporter, PostgresExporter, PostgresOptions, WebOptions};
use crate::lifecycle::{Exit, ExporterPlan};

/// The address of the family.
const PORT: &str = ":9187";

/// All flags of the original, and one switch per collector.
static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| {
    let mut all = shared::shared(PORT);
    for f in &mut all {
        if f.name == "web.telemetry-path" {
            *f = f.from("PG_EXPORTER_WEB_TELEMETRY_PATH");
        }
    }
    all.extend([
        flag(
            "config.file",
            "postgres_exporter.yml",
            Kind::Text,
            "File with credentials for servers that requests name",
        ),
        flag(
            "collection-timeout",
            "1m",
            Kind::Text,
            "How long a scrape may take",
        )
        .from("PG_EXPORTER_COLLECTION_TIMEOUT"),
        flag("metric-prefix", "pg", Kind::Text, "First word of all names")
            .from("PG_EXPORTER_METRIC_PREFIX"),
        flag(
            "disable-default-metrics",
            "false",
            Kind::Bool,
            "Show nothing but collectors that are asked for",
        )
        .from("PG_EXPORTER_DISABLE_DEFAULT_METRICS"),
        flag(
            "disable-settings-metrics",
            "false",
            Kind::Bool,
            "Leave out the server's settings",
        )
        .from("PG_EXPORTER_DISABLE_SETTINGS_METRICS"),
        flag(
            "auto-discover-databases",
            "false",
            Kind::Bool,
            "Run the user's own statements in every database of the servers",
        )
        .from("PG_EXPORTER_AUTO_DISCOVER_DATABASES"),
        flag(
            "include-databases",
            "",
            Kind::List,
            "Databases to find, separated by commas; empty for all",
        )
        .from("PG_EXPORTER_INCLUDE_DATABASES"),
        flag(
            "exclude-databases",
            "",
            Kind::List,
            "Databases not to find, separated by commas",
        )
        .from("PG_EXPORTER_EXCLUDE_DATABASES"),
        flag(
            "extend.query-path",
            "",
            Kind::Text,
            "File with statements of the user",
        )
        .from("PG_EXPORTER_EXTEND_QUERY_PATH"),
        flag(
            "constantLabels",
            "",
            Kind::List,
            "Labels (name=value, separated by commas) of what tells its server",
        )
        .from("PG_EXPORTER_CONSTANT_LABELS"),
        flag(
            "dumpmaps",
            "false",
            Kind::Bool,
            "Print the families of all collectors and end",
        ),
        flag(
            "collector.stat_statements.include_query",
            "false",
            Kind::Bool,
            "Show the text of statements",
        ),
        flag(
            "collector.stat_statements.query_length",
            "120",
            Kind::Number,
            "Characters of a statement that are shown",
        ),
        flag(
            "collector.stat_statements.limit",
            "100",
            Kind::Number,
            "Statements that are shown",
        ),
        flag(
            "collector.stat_statements.exclude_databases",
            "",
            Kind::List,
            "Databases whose statements are left out, separated by commas",
        ),
        flag(
            "collector.stat_statements.exclude_users",
            "",
            Kind::List,
            "Users whose statements are left out, separated by commas",
        ),
    ]);
    for (name, by_default) in collectors() {
        // One small text per collector, made once for the life of the process.
        let name: &'static str = format!("collector.{name}").leak();
        let default = if by_default { "true" } else { "false" };
        all.push(flag(name, default, Kind::Bool, "Run this collector"));
    }
    all
});

/// The verb with its flags.
pub(super) fn command() -> Command {
    let c = Command::new("postgres-exporter")
        .about("Shows metrics of PostgreSQL servers with the command line of the original exporter")
        .version(crate::api::BuildInfo::VERSION);
    flags::add(c, &FLAGS)
}

/// A variable, or the first line of the file that a variable of the same name and `_FILE` names.
fn variable(name: &str) -> Result<Option<String>, String> {
    let file = format!("{name}_FILE");
    if let Ok(path) = std::env::var(&file) {
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|e| format!("{file} {path:?}: {e}"))?;
        return Ok(Some(text.trim().to_owned()));
    }
    Ok(std::env::var(name).ok().filter(|v| !v.is_empty()))
}

/// Servers that the environment names.
fn sources() -> Result<Vec<Source>, String> {
    if let Some(names) = variable("DATA_SOURCE_NAME")? {
        let each = names.split(',').map(str::trim).filter(|n| !n.is_empty());
        let parsed = each.map(|n| Source::parse(n).map_err(|e| format!("DATA_SOURCE_NAME: {e}")));
        return parsed.collect();
    }
    let Some(uri) = variable("DATA_SOURCE_URI")? else {
        return Ok(Vec::new());
    };
    let (user, password) = (variable("DATA_SOURCE_USER")?, variable("DATA_SOURCE_PASS")?);
    let source = Source::parse(&format!("postgresql://{uri}"));
    let mut source = source.map_err(|e| format!("DATA_SOURCE_URI: {e}"))?;
    if let Some(user) = user {
        source.credentials(&user, &password.unwrap_or_default());
    }
    Ok(vec![source])
}

fn small(v: &Values<'_>, name: &str) -> u32 {
    u32::try_from(v.number(name)).unwrap_or(u32::MAX)
}

fn scrape(v: &Values<'_>) -> Result<Options, String> {
    let none = v.on("disable-default-metrics");
    let runs = |name: &str| {
        let flag = format!("collector.{name}");
        let refused = name == "settings" && v.on("disable-settings-metrics");
        v.on(&flag) && (v.given(&flag) || !none) && !refused
    };
    let timeout = v.text("collection-timeout");
    let parsed = timeout.parse::<crate::config::PromDuration>();
    let parsed = parsed.map_err(|e| format!("--collection-timeout {timeout:?}: {e}"))?;
    if parsed.is_zero() {
        return Err("--collection-timeout must be more than nothing".into());
    }
    Ok(Options {
        prefix: v.text("metric-prefix"),
        timeout: parsed.as_std(),
        collectors: collectors().map(|c| c.0).filter(|c| runs(c)).collect(),
        statements: Statements {
            limit: small(v, "collector.stat_statements.limit"),
            text: v.on("collector.stat_statements.include_query"),
            text_length: small(v, "collector.stat_statements.query_length"),
            exclude_databases: v.words("collector.stat_statements.exclude_databases"),
            exclude_users: v.words("collector.stat_statements.exclude_users"),
        },
        custom: Vec::new(),
        constant: constant_labels(v),
    })
}

/// `--constantLabels`. A part that is no label is told and passed over, as in the original.
fn constant_labels(v: &Values<'_>) -> Vec<(String, String)> {
    let mut labels = std::collections::BTreeMap::new();
    for part in v.words("constantLabels") {
        let pair = part.split_once('=').map(|(n, v)| (n.trim(), v.trim()));
        match pair {
            Some((name, value)) if is_name(name) && !value.is_empty() && !value.contains('=') => {
                labels.insert(name.to_owned(), value.to_owned());
            }
            _ => tracing::error!(part, "--constantLabels: a label is written name=value"),
        }
    }
    labels.into_iter().collect()
}

/// Whether a text may be a label's name.
fn is_name(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    text.bytes().next().is_some_and(letter) && text.bytes().all(|b| letter(b) || b.is_ascii_digit())
}

/// The families of all collectors, a line each.
fn map() -> String {
    let mut out = String::new();
    for f in families() {
        let labels = f.labels.join(", ");
        out.push_str(&format!("{:<60} {} {{{labels}}}\n", f.name, f.kind.word()));
    }
    out
}

fn exporter(v: &Values<'_>) -> Result<Arc<dyn Exporter>, String> {
    let file = std::path::PathBuf::from(v.text("config.file"));
    if v.given("config.file") && !file.is_file() {
        return Err(format!("--config.file {}: no such file", file.display()));
    }
    let options = PostgresOptions {
        sources: sources()?,
        config: file.is_file().then_some(file),
        scrape: scrape(v)?,
        queries: v.text("extend.query-path").into(),
        discover: v.on("auto-discover-databases").then(|| Databases {
            include: v.words("include-databases"),
            exclude: v.words("exclude-databases"),
        }),
    };
    Ok(Arc::new(PostgresExporter::new(options)?))
}

fn web(v: &Values<'_>) -> WebOptions {
    WebOptions {
        telemetry_path: v.text("web.telemetry-path"),
        requests_max: 0,
        own_metrics: true,
        login: None,
    }
}

/// Runs the exporter.
pub(super) fn run(m: &ArgMatches) -> u8 {
    let v = Values::new(m, &FLAGS);
    if v.on("dumpmaps") {
        super::print(&map());
        return Exit::Ok.code();
    }
    let log = (v.text("log.level"), v.text("log.format"));
    shared::run(&v, (&log.0, &log.1), web(&v), || exporter(&v))
}

/// The exporter as part of everything, if a server that the environment names is reachable.
pub(super) fn beside(address: &str) -> Result<Option<ExporterPlan>, String> {
    if !sources()?.iter().any(|s| shared::reachable(&s.address())) {
        return Ok(None);
    }
    let matches = command()
        .try_get_matches_from(["postgres-exporter"])
        .map_err(|e| e.to_string())?;
    let v = Values::new(&matches, &FLAGS);
    Ok(Some(shared::beside(exporter(&v)?, address, web(&v))))
}
