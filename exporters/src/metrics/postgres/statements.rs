//! `pg_stat_statements`: what single statements cost. Runs on request.

use super::Family;
use crate::emit::Kind;

/// The collector.
pub(super) const NAME: &str = "stat_statements";

/// How the collector is set up.
#[derive(Debug, Clone)]
pub struct Statements {
    /// Statements that are shown, the most expensive ones.
    pub limit: u32,
    /// Whether their text is shown.
    pub text: bool,
    /// Characters of it.
    pub text_length: u32,
    /// Databases that are left out.
    pub exclude_databases: Vec<String>,
    /// Users that are left out.
    pub exclude_users: Vec<String>,
}

impl Default for Statements {
    fn default() -> Self {
        Self {
            limit: 100,
            text: false,
            text_length: 120,
            exclude_databases: Vec::new(),
            exclude_users: Vec::new(),
        }
    }
}

/// Metric and help of the values after user, database, statement and text.
pub(super) const VALUES: [(&str, &str); 5] = [
    ("pg_stat_statements_calls_total", "Number of times executed"),
    (
        "pg_stat_statements_seconds_total",
        "Total time spent in the statement, in seconds",
    ),
    (
        "pg_stat_statements_rows_total",
        "Total number of rows retrieved or affected by the statement",
    ),
    (
        "pg_stat_statements_block_read_seconds_total",
        "Total time the statement spent reading blocks, in seconds",
    ),
    (
        "pg_stat_statements_block_write_seconds_total",
        "Total time the statement spent writing blocks, in seconds",
    ),
];

/// The family that leads from a statement's number to its text.
pub(super) const TEXT: (&str, &str) = (
    "pg_stat_statements_query_id",
    "SQL Query to queryid mapping",
);

/// Labels of the values.
pub(super) const LABELS: [&str; 3] = ["user", "datname", "queryid"];

/// Labels of [`TEXT`].
pub(super) const TEXT_LABELS: [&str; 2] = ["queryid", "query"];

/// What the collector may show.
pub(super) fn families() -> impl Iterator<Item = Family> {
    let family = |name, labels: &[&'static str]| Family {
        collector: NAME,
        name,
        kind: Kind::Counter,
        labels: labels.to_vec(),
    };
    let values = VALUES.iter().map(move |(name, _)| family(name, &LABELS));
    values.chain([family(TEXT.0, &TEXT_LABELS)])
}

/// Where the columns got their names of today.
const EXEC_TIME_SINCE: u32 = 130_000;
const SHARED_TIME_SINCE: u32 = 170_000;

impl Statements {
    /// The statement for a server of `version`.
    pub(super) fn sql(&self, version: u32) -> String {
        let total = if version >= EXEC_TIME_SINCE {
            "total_exec_time"
        } else {
            "total_time"
        };
        let shared = if version >= SHARED_TIME_SINCE {
            "shared_"
        } else {
            ""
        };
        let (length, limit) = (self.text_length, self.limit);
        let databases = excluded("datname", &self.exclude_databases);
        let users = excluded("pg_get_userbyid(s.userid)", &self.exclude_users);
        format!(
            "SELECT pg_get_userbyid(s.userid), d.datname, s.queryid, left(s.query, {length}), \
             s.calls, s.{total} / 1000.0, s.rows, s.{shared}blk_read_time / 1000.0, \
             s.{shared}blk_write_time / 1000.0 \
             FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
             WHERE s.queryid IS NOT NULL{databases}{users} \
             ORDER BY s.{total} DESC LIMIT {limit}"
        )
    }
}

fn excluded(column: &str, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    // Standard texts: a quote is written twice, nothing else is special.
    let quoted: Vec<String> = names
        .iter()
        .map(|n| format!("'{}'", n.replace('\'', "''")))
        .collect();
    format!(" AND {column} NOT IN ({})", quoted.join(", "))
}
