//! What is asked of a server, as tables: one row per statement, one file per theme.
//!
//! A statement is put together of its labels, its values and what follows them, so that the names
//! of columns are written once. Columns and their meaning: the chapter "The Cumulative Statistics
//! System" of PostgreSQL's manual.

mod databases;
mod replication;
mod tables;
mod upkeep;

use crate::emit::Kind;

/// A value: metric, help, kind, expression.
pub(super) type Value = (&'static str, &'static str, Kind, &'static str);

/// One statement.
pub(super) struct Query {
    /// The collector that it belongs to.
    pub(super) collector: &'static str,
    /// Whether that runs by default.
    pub(super) by_default: bool,
    /// The first version that understands it, as `server_version_num`.
    pub(super) since: u32,
    /// The first version that does not any more; 0 for none.
    pub(super) until: u32,
    /// Labels and their expressions.
    pub(super) labels: &'static [(&'static str, &'static str)],
    /// Values.
    pub(super) values: &'static [Value],
    /// What follows.
    pub(super) rest: &'static str,
    /// Whether a value that is not there is shown as not a number; otherwise it is left out.
    pub(super) shows_null: bool,
    /// Whether its metrics carry the label `server` even when only one server is asked: upstream
    /// has moved most of its statements to collectors without that label, not all of them.
    pub(super) names_server: bool,
}

/// What most statements have in common: every version understands them, they run by default.
const PLAIN: Query = Query {
    collector: "",
    by_default: true,
    since: 0,
    until: 0,
    labels: &[],
    values: &[],
    rest: "",
    shows_null: false,
    names_server: false,
};

impl Query {
    /// Whether a server of `version` understands it.
    pub(super) fn suits(&self, version: u32) -> bool {
        version >= self.since && (self.until == 0 || version < self.until)
    }

    /// The statement.
    pub(super) fn sql(&self) -> String {
        let labels = self.labels.iter().map(|(_, e)| *e);
        let values = self.values.iter().map(|(.., e)| *e);
        let columns: Vec<&str> = labels.chain(values).collect();
        format!("SELECT {} {}", columns.join(", "), self.rest)
    }
}

/// Every statement, those of a collector one after the other.
pub(super) fn all() -> impl Iterator<Item = &'static Query> {
    [
        databases::QUERIES,
        replication::QUERIES,
        tables::QUERIES,
        upkeep::QUERIES,
    ]
    .into_iter()
    .flatten()
}
