//! Silences and the log of notifications in the durable tables.
//!
//! Owns: the two tables, their keys and values.
//! Knows nothing of: what silences and entries mean.
//!
//! Invariants
//! - KP1  What has been kept is found again by [`Keeper::load`], whenever the process ended.

use std::sync::Arc;

use engine::state::Change;
use engine::store::Store;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::log::{LogKey, Told};
use super::silence::{Condition, Silence};

const SILENCES: &str = "alertmanager.silences";
const LOG: &str = "alertmanager.log";

/// The tables of a store; under test, tables that outlive the service but not the test.
#[derive(Clone)]
pub(crate) enum Keeper {
    /// Of a data directory.
    Store(Arc<Store>),
    /// Rows by table and key.
    #[cfg(test)]
    Memory(Arc<parking_lot::Mutex<MemoryRows>>),
}

/// Rows by table and key.
#[cfg(test)]
pub(super) type MemoryRows = std::collections::BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// One change of the tables.
#[derive(Debug)]
pub(crate) enum Kept {
    /// A silence is like this now.
    Silence(Silence),
    /// A silence is forgotten.
    SilenceGone(String),
    /// An integration was told this.
    Told(LogKey, Told),
    /// An entry of the log is forgotten.
    ToldGone(LogKey),
}

/// Moments as texts, to the nanosecond.
mod instant {
    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(t: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(t)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A silence as it is kept and passed on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SilenceRow {
    matchers: Vec<(String, String, bool, bool)>,
    #[serde(with = "instant")]
    starts_at: Timestamp,
    #[serde(with = "instant")]
    ends_at: Timestamp,
    #[serde(with = "instant")]
    updated_at: Timestamp,
    created_by: String,
    comment: String,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// An entry of the log as it is kept and passed on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ToldRow {
    #[serde(with = "instant")]
    at: Timestamp,
    #[serde(with = "instant")]
    until: Timestamp,
    firing: Vec<u64>,
    resolved: Vec<u64>,
    #[serde(default)]
    memo: String,
}

/// A row as instances pass it on to each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Row {
    /// A silence with its name.
    Silence(String, SilenceRow),
    /// An entry of the log: receiver, kind, index, group.
    Told(String, String, usize, String, ToldRow),
}

impl Row {
    /// Roughly what it takes in memory and on the wire, bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Silence(id, s) => {
                let matchers = s.matchers.iter();
                let matchers: usize = matchers.map(|m| m.0.len() + m.1.len() + 32).sum();
                let annotations = s.annotations.iter();
                let annotations: usize = annotations.map(|(n, v)| n.len() + v.len()).sum();
                200 + id.len() + matchers + annotations + s.created_by.len() + s.comment.len()
            }
            Self::Told(receiver, kind, _, group, t) => {
                // A number has up to 20 digits and a comma.
                let alerts = (t.firing.len() + t.resolved.len()) * 21;
                150 + receiver.len() + kind.len() + group.len() + t.memo.len() + alerts
            }
        }
    }
}

impl From<&Silence> for Row {
    fn from(s: &Silence) -> Self {
        Self::Silence(s.id.clone(), silence_row(s))
    }
}

impl From<(&LogKey, &Told)> for Row {
    fn from((key, told): (&LogKey, &Told)) -> Self {
        let LogKey {
            receiver,
            kind,
            index,
            group,
        } = key.clone();
        Self::Told(receiver, kind, index, group, told_row(told))
    }
}

impl From<Row> for Kept {
    fn from(row: Row) -> Self {
        match row {
            Row::Silence(id, row) => Self::Silence(silence(id, row)),
            Row::Told(receiver, kind, index, group, row) => {
                let key = LogKey {
                    receiver,
                    kind,
                    index,
                    group,
                };
                Self::Told(key, told(row))
            }
        }
    }
}

/// Everything that was kept.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Silences.
    pub(crate) silences: Vec<Silence>,
    /// Entries of the log.
    pub(crate) log: Vec<(LogKey, Told)>,
    /// Rows that cannot be read.
    pub(crate) damaged: usize,
}

impl Keeper {
    /// The tables of `store`.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self::Store(store)
    }

    #[cfg(test)]
    fn put_in_memory(rows: &parking_lot::Mutex<MemoryRows>, all: &[Kept]) {
        let mut rows = rows.lock();
        for (table, key, value) in all.iter().map(row) {
            match value {
                Some(v) => rows.insert((table, key), v),
                None => rows.remove(&(table, key)),
            };
        }
    }

    fn list(&self, table: &'static str) -> Vec<(Vec<u8>, Vec<u8>)> {
        match self {
            Self::Store(store) => store.state.list(table),
            #[cfg(test)]
            Self::Memory(rows) => {
                let rows = rows.lock();
                let own = rows.iter().filter(|((t, _), _)| *t == table);
                own.map(|((_, k), v)| (k.clone(), v.clone())).collect()
            }
        }
    }

    /// Makes changes together and waits until they are durable. Blocks for a sync of the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    fn put(store: &Store, all: &[Kept]) -> Result<(), String> {
        let rows: Vec<(&str, Vec<u8>, Option<Vec<u8>>)> = all.iter().map(row).collect();
        let changes: Vec<Change<'_>> = rows
            .iter()
            .map(|(table, key, value)| Change {
                table,
                key,
                value: value.as_deref(),
            })
            .collect();
        let end = store.state.change(&changes).map_err(|e| e.to_string())?;
        store.state.wait_durable(end).map_err(|e| e.to_string())
    }

    /// Makes changes together, off the threads that serve others.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) async fn keep(&self, all: Vec<Kept>) -> Result<(), String> {
        if all.is_empty() {
            return Ok(());
        }
        match self {
            Self::Store(store) => {
                let store = store.clone();
                tokio::task::spawn_blocking(move || Self::put(&store, &all))
                    .await
                    .unwrap_or_else(|e| Err(e.to_string()))
            }
            #[cfg(test)]
            Self::Memory(rows) => {
                Self::put_in_memory(rows, &all);
                Ok(())
            }
        }
    }

    /// Everything that was kept.
    pub(crate) fn load(&self) -> Found {
        let mut out = Found::default();
        for (key, value) in self.list(SILENCES) {
            match (String::from_utf8(key), serde_json::from_slice(&value)) {
                (Ok(id), Ok(row)) => out.silences.push(silence(id, row)),
                _ => out.damaged += 1,
            }
        }
        for (key, value) in self.list(LOG) {
            let row: Result<ToldRow, _> = serde_json::from_slice(&value);
            match (LogKey::read(&key), row) {
                (Some(key), Ok(row)) => out.log.push((key, told(row))),
                _ => out.damaged += 1,
            }
        }
        out
    }
}

fn silence_row(s: &Silence) -> SilenceRow {
    let matchers = s.matchers.iter();
    SilenceRow {
        matchers: matchers
            .map(|c| (c.name.clone(), c.value.clone(), c.is_regex, c.is_equal))
            .collect(),
        starts_at: s.starts_at,
        ends_at: s.ends_at,
        updated_at: s.updated_at,
        created_by: s.created_by.clone(),
        comment: s.comment.clone(),
        annotations: s.annotations.clone(),
    }
}

fn told_row(told: &Told) -> ToldRow {
    ToldRow {
        at: told.at,
        until: told.until,
        firing: told.firing.iter().copied().collect(),
        resolved: told.resolved.iter().copied().collect(),
        memo: told.memo.clone(),
    }
}

fn told(row: ToldRow) -> Told {
    Told {
        at: row.at,
        until: row.until,
        firing: row.firing.into_iter().collect(),
        resolved: row.resolved.into_iter().collect(),
        memo: row.memo,
    }
}

fn row(kept: &Kept) -> (&'static str, Vec<u8>, Option<Vec<u8>>) {
    // Rows of numbers and texts always have a JSON form.
    match kept {
        Kept::Silence(s) => {
            let value = serde_json::to_vec(&silence_row(s)).unwrap_or_default();
            (SILENCES, s.id.clone().into_bytes(), Some(value))
        }
        Kept::SilenceGone(id) => (SILENCES, id.clone().into_bytes(), None),
        Kept::Told(key, told) => {
            let value = serde_json::to_vec(&told_row(told)).unwrap_or_default();
            (LOG, key.bytes(), Some(value))
        }
        Kept::ToldGone(key) => (LOG, key.bytes(), None),
    }
}

fn silence(id: String, row: SilenceRow) -> Silence {
    let matchers = row.matchers.into_iter();
    Silence {
        id,
        matchers: matchers
            .map(|(name, value, is_regex, is_equal)| Condition {
                name,
                value,
                is_regex,
                is_equal,
            })
            .collect(),
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        updated_at: row.updated_at,
        created_by: row.created_by,
        comment: row.comment,
        annotations: row.annotations,
    }
}
