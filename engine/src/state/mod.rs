//! Small durable tables: tenant numbers, silences, notification log, alert states, delete requests.
//! Format: `engine/docs/format/state.md`.
//!
//! Owns: keys and values of named tables, in memory, in the log and in `state/TABLES`.
//! Knows nothing of: what a value means.
//!
//! Invariants
//! - S1  Changes made together are all there after a crash, or none of them.
//! - S2  `state/TABLES` holds everything up to its log position, so the log before it can go.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::chunk::ChunkError;
use crate::chunk::varint::{self, Reader};
use crate::io::{Fs, FsExt, crc32, replace_file};
use crate::model::TenantId;
use crate::wal::{LogHandle, Position, Record, WalError};

/// Changes that happen together.
const KIND_CHANGES: u8 = 24;
const STATE_VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"SXSTATE\n";
const FILE_BYTES_MAX: u64 = 1 << 30;
/// The file is rewritten when the log has this many bytes of changes since.
const CHECKPOINT_BYTES: u64 = 4 << 20;
/// Segments of the log that an idle store may keep for nothing.
const IDLE_SEGMENTS: u64 = 2;
const TENANTS: &str = "tenants";

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// Why a change was not made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The log refused.
    #[error("{0}")]
    Log(#[from] WalError),
    /// `state/TABLES` cannot be written.
    #[error("state/TABLES: {0}")]
    Io(Arc<io::Error>),
    /// There are as many tenants as there are numbers.
    #[error("no tenant number is left")]
    Tenants,
}

/// One change of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// Name of the table.
    pub table: &'a str,
    /// Key.
    pub key: &'a [u8],
    /// New value; `None` removes the key.
    pub value: Option<&'a [u8]>,
}

#[derive(Default)]
struct State {
    tables: BTreeMap<String, Table>,
    /// Bytes logged when the file was written.
    written_at: u64,
    /// Something changed since the file was written.
    dirty: bool,
}

impl State {
    fn apply(&mut self, changes: &[Change<'_>]) {
        self.dirty = true;
        for c in changes {
            match c.value {
                Some(v) => {
                    let t = self.tables.entry(c.table.to_owned()).or_default();
                    t.insert(c.key.to_vec(), v.to_vec());
                }
                None => {
                    if let Some(t) = self.tables.get_mut(c.table) {
                        t.remove(c.key);
                    }
                }
            }
        }
    }
}

/// Tables whose file is read and whose log is not.
pub struct Opening {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    from: Position,
    state: State,
    damaged: u64,
}

impl Opening {
    /// Reads `dir/state/TABLES`.
    ///
    /// # Errors
    /// I/O errors and a file of a later version. A damaged file is moved to quarantine and counted.
    pub fn start(fs: Arc<dyn Fs>, dir: &Path) -> io::Result<Self> {
        fs.create_dir_all(&dir.join("state"))?;
        let path = dir.join("state").join("TABLES");
        let mut opening = Self {
            path,
            fs,
            from: Position(0),
            state: State::default(),
            damaged: 0,
        };
        if !opening.fs.exists(&opening.path) {
            return Ok(opening);
        }
        let bytes = opening.fs.read_all(&opening.path, FILE_BYTES_MAX)?;
        let version = bytes.get(8..10).map(|b| u16::from_le_bytes([b[0], b[1]]));
        match read_file(&bytes) {
            Some((from, state)) => {
                opening.from = from;
                opening.state = state;
            }
            None if bytes.starts_with(MAGIC) && version.is_some_and(|v| v > STATE_VERSION) => {
                return Err(io::Error::other(format!(
                    "{}: format version {} is newer than this program knows",
                    opening.path.display(),
                    version.unwrap_or_default()
                )));
            }
            None => {
                opening.damaged += 1;
                let q = dir.join("quarantine");
                opening.fs.create_dir_all(&q)?;
                opening.fs.rename(&opening.path, &q.join("state-TABLES"))?;
            }
        }
        opening.state.dirty = false;
        Ok(opening)
    }

    /// Where replay has to start for the tables.
    #[must_use]
    pub fn wal_from(&self) -> Position {
        self.from
    }

    /// Applies a record of the tables.
    pub fn replay(&mut self, r: &Record<'_>) {
        if r.end <= self.from {
            return;
        }
        match get_changes(r.payload) {
            Ok(changes) if r.kind == KIND_CHANGES => self.state.apply(&changes),
            _ => self.damaged += 1,
        }
    }

    /// The tables, after the last record.
    #[must_use]
    pub fn finish(self, wal: LogHandle) -> Tables {
        Tables {
            fs: self.fs,
            path: self.path,
            wal,
            state: Mutex::new(self.state),
            damaged: self.damaged,
            failures: AtomicU64::new(0),
        }
    }
}

/// The tables of a data directory.
pub struct Tables {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    wal: LogHandle,
    state: Mutex<State>,
    damaged: u64,
    failures: AtomicU64,
}

impl Tables {
    /// Makes changes together. They are visible at once and durable after
    /// [`Tables::wait_durable`] of the position.
    ///
    /// # Errors
    /// See [`StateError`]; nothing changed then.
    pub fn change(&self, changes: &[Change<'_>]) -> Result<Position, StateError> {
        let mut payload = Vec::new();
        changes.iter().for_each(|c| put_change(&mut payload, c));
        let mut s = self.state.lock();
        let end = self.wal.append(&[(KIND_CHANGES, 0, &payload)])?;
        s.apply(changes);
        Ok(end)
    }

    /// Sets one value and waits until that is durable. Blocks for a sync of the disk.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn put(&self, table: &str, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        let value = Some(value);
        let end = self.change(&[Change { table, key, value }])?;
        self.wait_durable(end)
    }

    /// Removes one key and waits until that is durable. Blocks for a sync of the disk.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn remove(&self, table: &str, key: &[u8]) -> Result<(), StateError> {
        let value = None;
        let end = self.change(&[Change { table, key, value }])?;
        self.wait_durable(end)
    }

    /// Blocks until everything up to `position` is durable.
    ///
    /// # Errors
    /// When the log failed.
    pub fn wait_durable(&self, position: Position) -> Result<(), StateError> {
        Ok(self.wal.wait_durable(position)?)
    }

    /// A value.
    #[must_use]
    pub fn get(&self, table: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.state.lock().tables.get(table)?.get(key).cloned()
    }

    /// All keys and values of a table, by key.
    #[must_use]
    pub fn list(&self, table: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let s = self.state.lock();
        let all = s.tables.get(table).into_iter().flatten();
        all.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// The keys of a table that begin with `prefix`, with their values, by key.
    #[must_use]
    pub fn list_from(&self, table: &str, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let s = self.state.lock();
        let Some(t) = s.tables.get(table) else {
            return Vec::new();
        };
        let own = t
            .range(prefix.to_vec()..)
            .take_while(|(k, _)| k.starts_with(prefix));
        own.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Number of the tenant `name`, a new one if it has none. Blocks for a sync of the disk then.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn tenant(&self, name: &str) -> Result<TenantId, StateError> {
        let number = |v: &[u8]| v.try_into().ok().map(u32::from_le_bytes);
        let end = {
            let mut s = self.state.lock();
            let table = s.tables.get(TENANTS);
            if let Some(n) = table.and_then(|t| number(t.get(name.as_bytes())?)) {
                return Ok(TenantId(n));
            }
            let used = table.map_or(0, BTreeMap::len);
            // 0 is the tenant of a server without tenants.
            let next = u32::try_from(used + 1).map_err(|_| StateError::Tenants)?;
            let value = next.to_le_bytes();
            let change = [Change {
                table: TENANTS,
                key: name.as_bytes(),
                value: Some(&value),
            }];
            let mut payload = Vec::new();
            put_change(&mut payload, &change[0]);
            let end = self.wal.append(&[(KIND_CHANGES, 0, &payload)])?;
            s.apply(&change);
            (end, TenantId(next))
        };
        self.wait_durable(end.0)?;
        Ok(end.1)
    }

    /// Every tenant that has a number, by name.
    #[must_use]
    pub fn tenants(&self) -> Vec<(String, TenantId)> {
        let rows = self.list(TENANTS).into_iter();
        let tenant = |(name, number): (Vec<u8>, Vec<u8>)| {
            let name = String::from_utf8(name).ok()?;
            let number = number.as_slice().try_into().ok()?;
            Some((name, TenantId(u32::from_le_bytes(number))))
        };
        rows.filter_map(tenant).collect()
    }

    /// Number of a tenant that has one.
    #[must_use]
    pub fn known_tenant(&self, name: &str) -> Option<TenantId> {
        let v = self.get(TENANTS, name.as_bytes())?;
        Some(TenantId(u32::from_le_bytes(v.try_into().ok()?)))
    }

    /// Damaged things found at start.
    #[must_use]
    pub fn corruptions(&self) -> u64 {
        self.damaged
    }

    /// Failed attempts to write the file.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Writes the file when much changed, or when the log waits for it.
    ///
    /// # Errors
    /// When it cannot be written; nothing is lost, the log has it.
    pub fn maintain(&self) -> Result<(), StateError> {
        let behind = self.wal.others_held().segment() > self.wal.held().segment() + IDLE_SEGMENTS;
        let much = {
            let s = self.state.lock();
            self.wal.own_bytes().wrapping_sub(s.written_at) > CHECKPOINT_BYTES
        };
        if !behind && !much {
            return Ok(());
        }
        let written = self.checkpoint();
        if written.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    /// Writes everything to `state/TABLES` and releases the log.
    ///
    /// # Errors
    /// When it cannot be written; nothing is lost, the log has it.
    pub fn checkpoint(&self) -> Result<(), StateError> {
        // Changes log and apply under this lock, so everything before the cut is in the tables.
        let mut s = self.state.lock();
        let from = self.wal.cut()?;
        self.wal.wait_durable(from)?;
        let bytes = write_file(from, &s.tables);
        replace_file(&*self.fs, &self.path, &bytes).map_err(|e| StateError::Io(Arc::new(e)))?;
        s.written_at = self.wal.own_bytes();
        s.dirty = false;
        drop(s);
        Ok(self.wal.release(from)?)
    }

    /// Writes the file if anything changed since it was written.
    ///
    /// # Errors
    /// See [`Tables::checkpoint`].
    pub fn close(&self) -> Result<(), StateError> {
        let dirty = self.state.lock().dirty;
        if dirty { self.checkpoint() } else { Ok(()) }
    }
}

/// Checks `state/TABLES` without changing it; `None` when there is none.
pub(crate) fn inspect(fs: &dyn Fs, dir: &Path) -> Option<(PathBuf, Option<String>)> {
    let path = dir.join("state").join("TABLES");
    if !fs.exists(&path) {
        return None;
    }
    let damage = match fs.read_all(&path, FILE_BYTES_MAX) {
        Err(e) => Some(e.to_string()),
        Ok(b) if read_file(&b).is_none() => Some("checksum does not match".to_owned()),
        Ok(_) => None,
    };
    Some((path, damage))
}

fn put_change(out: &mut Vec<u8>, c: &Change<'_>) {
    varint::put_block(out, c.table.as_bytes());
    varint::put_block(out, c.key);
    match c.value {
        Some(v) => {
            out.push(1);
            varint::put_block(out, v);
        }
        None => out.push(0),
    }
}

fn get_changes(bytes: &[u8]) -> Result<Vec<Change<'_>>, ChunkError> {
    let mut r = Reader::new(bytes);
    let mut out = Vec::new();
    while !r.rest.is_empty() {
        let (table, key) = (r.text()?, r.block()?);
        let value = match r.u8()? {
            0 => None,
            1 => Some(r.block()?),
            _ => return Err(ChunkError("unknown kind of change")),
        };
        out.push(Change { table, key, value });
    }
    Ok(out)
}

fn write_file(from: Position, tables: &BTreeMap<String, Table>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&STATE_VERSION.to_le_bytes());
    out.extend_from_slice(&from.0.to_le_bytes());
    varint::put(&mut out, tables.values().map(|t| t.len() as u64).sum());
    for (table, t) in tables {
        for (key, v) in t {
            let value = Some(v.as_slice());
            put_change(&mut out, &Change { table, key, value });
        }
    }
    let crc = crc32(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn read_file(bytes: &[u8]) -> Option<(Position, State)> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32(body) != u32::from_le_bytes(*crc) || !body.starts_with(MAGIC) {
        return None;
    }
    let mut r = Reader::new(&body[8..]);
    let version = r.bytes(2).ok()?;
    if version != STATE_VERSION.to_le_bytes() {
        return None;
    }
    let from = Position(r.u64().ok()?);
    let n = r.varint().ok()?;
    let changes = get_changes(r.rest).ok()?;
    let mut state = State::default();
    state.apply(&changes);
    (changes.len() as u64 == n).then_some((from, state))
}
