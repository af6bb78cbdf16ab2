//! Opening: manifest and parts first, then the log's records, then the store.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use parking_lot::{Condvar, Mutex, RwLock};

use super::db::{Active, Counters, Db, Inner, LivePart, View};
use super::manifest::{self, Manifest};
use super::options::DbOptions;
use super::part::{Part, PartError};
use super::retention::{Retention, Retentions};
use super::{maintain, record};
use crate::index::LabelTable;
use crate::io::{Fs, Rng};
use crate::wal::{LogHandle, Position, Record};

/// What recovery found at start.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Log records that could not be read.
    pub bad_records: u64,
    /// Parts that were taken out of service, with the reason.
    pub damaged_parts: Vec<String>,
    /// The manifest was unreadable and rebuilt.
    pub manifest_rebuilt: bool,
}

impl Recovery {
    /// Number of damaged things.
    #[must_use]
    pub fn corruptions(&self) -> u64 {
        self.damaged_parts.len() as u64
            + u64::from(self.manifest_rebuilt)
            + u64::from(self.bad_records > 0)
    }
}

/// A store whose files are read and whose log is not.
pub struct Opening {
    dir: PathBuf,
    opts: DbOptions,
    manifest: Manifest,
    parts: Vec<Arc<LivePart>>,
    tenants: HashMap<u32, Arc<RwLock<LabelTable>>>,
    active: Active,
    recovery: Recovery,
}

impl Opening {
    /// Reads manifest and parts below `dir/logs`; makes what is missing.
    ///
    /// # Errors
    /// I/O errors and parts of a later version. Damage in files is no error: see [`Recovery`].
    pub fn start(dir: &Path, opts: DbOptions) -> io::Result<Self> {
        let fs = Arc::clone(&opts.fs);
        let logs = dir.join("logs");
        fs.create_dir_all(&logs.join("parts"))?;
        let mut recovery = Recovery::default();
        let mut manifest = match Manifest::read(&*fs, &logs) {
            Ok(m) => m.unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                recovery.manifest_rebuilt = true;
                rebuild(&*fs, dir)?
            }
            Err(e) => return Err(e),
        };
        // Leftovers of work that a crash cut off.
        for e in fs.list(&logs.join("parts"))? {
            let name = e.name.strip_suffix(".sxl");
            if !e.is_dir && !name.is_some_and(|n| manifest.parts.iter().any(|p| p == n)) {
                fs.remove_file(&logs.join("parts").join(&e.name))?;
            }
        }
        let mut opening = Self {
            dir: dir.to_owned(),
            manifest: Manifest::default(),
            parts: Vec::new(),
            tenants: HashMap::new(),
            active: Active::default(),
            recovery,
            opts,
        };
        let mut live = Vec::new();
        for name in std::mem::take(&mut manifest.parts) {
            let path = part_path(dir, &name);
            match Part::open(&*fs, &path) {
                Ok(p) => {
                    let part = live_part(p, &mut opening.tenants);
                    opening.parts.push(Arc::new(part));
                    live.push(name);
                }
                Err(PartError::Version(v)) => {
                    return Err(io::Error::other(format!(
                        "{}: format version {v} is newer than this program knows",
                        path.display()
                    )));
                }
                Err(PartError::Io(e)) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                Err(e) => {
                    let why = format!("{}: {e}", path.display());
                    opening.recovery.damaged_parts.push(why);
                    quarantine(&*fs, dir, &path)?;
                }
            }
        }
        manifest.parts = live;
        opening.manifest = manifest;
        Ok(opening)
    }

    /// Where replay has to start for this store.
    #[must_use]
    pub fn wal_from(&self) -> Position {
        Position(self.manifest.wal_from)
    }

    /// Applies a record of this store.
    pub fn replay(&mut self, r: &Record<'_>) {
        if r.end <= self.wal_from() {
            return;
        }
        let batch = match record::decode(r.payload) {
            Ok(b) if r.kind == record::KIND_ENTRIES => b,
            _ => {
                self.recovery.bad_records += 1;
                return;
            }
        };
        let table = self.tenants.entry(r.tenant).or_default();
        let ids: Vec<u32> = {
            let mut t = table.write();
            batch.streams().map(|(l, _)| stream_id(&mut t, l)).collect()
        };
        self.active.mem.apply(r.tenant, batch, &ids);
    }

    /// The store, after the last record.
    ///
    /// # Errors
    /// When the manifest cannot be written or a thread not be started.
    pub fn finish(mut self, wal: LogHandle) -> io::Result<Db> {
        let fs = Arc::clone(&self.opts.fs);
        if self.recovery.corruptions() > 0 {
            self.manifest.write(&*fs, &self.dir.join("logs"))?;
        }
        self.active.since_ms = self.opts.clock.now_ms();
        let inner = Arc::new(Inner {
            dir: self.dir,
            wal,
            tenants: RwLock::new(self.tenants),
            active: RwLock::new(self.active),
            view: RwLock::new(Arc::new(View {
                frozen: Vec::new(),
                parts: self.parts,
            })),
            manifest: Mutex::new(self.manifest),
            maintenance: Mutex::new(()),
            counters: Counters::default(),
            rng: Mutex::new(Rng::from_entropy()),
            retention: RwLock::new(Arc::new(Retentions {
                default: Retention::of(self.opts.retention_ms),
                ..Retentions::default()
            })),
            retained_ms: AtomicI64::new(i64::MIN),
            deletions: RwLock::default(),
            stop: Mutex::new(false),
            wake: Condvar::new(),
            stuck: Mutex::new(false),
            room: Condvar::new(),
            closed: AtomicBool::new(false),
            recovery: self.recovery,
            opts: self.opts,
            fs,
        });
        let thread = if inner.opts.background {
            let owned = Arc::clone(&inner);
            let t = std::thread::Builder::new()
                .name("log-maintenance".into())
                .spawn(move || maintain::run(&owned))?;
            Some(t)
        } else {
            None
        };
        Ok(Db::from_inner(inner, thread))
    }
}

/// Number of a stream, new ones included. Label sets are never empty.
pub(super) fn stream_id(table: &mut LabelTable, labels: &crate::model::Labels) -> u32 {
    let ids: smallvec::SmallVec<[u32; 16]> =
        labels.iter().map(|(n, v)| table.intern(n, v).0).collect();
    match table.find_series(&ids) {
        Some(id) => id,
        None => {
            let id = table.len() as u32;
            table.insert_series(id, &ids);
            id
        }
    }
}

/// Gives the streams of a part their numbers.
pub(super) fn live_part(
    part: Part,
    tenants: &mut HashMap<u32, Arc<RwLock<LabelTable>>>,
) -> LivePart {
    let table = tenants.entry(part.footer.tenant).or_default();
    let mut table = table.write();
    let streams = part
        .footer
        .streams
        .iter()
        .map(|l| stream_id(&mut table, l))
        .collect();
    LivePart { part, streams }
}

pub(super) fn part_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join("parts").join(format!("{name}.sxl"))
}

/// Checks manifest and parts without changing them.
pub(crate) fn inspect(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<(PathBuf, Option<String>)>> {
    let logs = dir.join("logs");
    if !fs.exists(&logs) {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    let names = match Manifest::read(fs, &logs) {
        Ok(None) => Vec::new(),
        Ok(Some(m)) => {
            out.push((logs.join(manifest::NAME), None));
            m.parts
        }
        Err(e) => {
            out.push((logs.join(manifest::NAME), Some(e.to_string())));
            let all = fs.list(&logs.join("parts"))?.into_iter();
            all.filter_map(|e| Some(e.name.strip_suffix(".sxl")?.to_owned()))
                .collect()
        }
    };
    for name in names {
        let path = part_path(dir, &name);
        let damage = Part::open(fs, &path).and_then(|p| p.verify()).err();
        out.push((path, damage.map(|e| e.to_string())));
    }
    Ok(out)
}

fn quarantine(fs: &dyn Fs, dir: &Path, path: &Path) -> io::Result<()> {
    let q = dir.join("quarantine");
    fs.create_dir_all(&q)?;
    match path.file_name() {
        Some(n) if fs.exists(path) => fs.rename(path, &q.join(n)),
        _ => Ok(()),
    }
}

/// A manifest made from what is in the directory; the whole log is replayed then.
fn rebuild(fs: &dyn Fs, dir: &Path) -> io::Result<Manifest> {
    quarantine(fs, dir, &dir.join("logs").join(manifest::NAME))?;
    let mut m = Manifest::default();
    for e in fs.list(&dir.join("logs").join("parts"))? {
        if let Some(n) = e.name.strip_suffix(".sxl") {
            m.parts.push(n.to_owned());
        }
    }
    Ok(m)
}
