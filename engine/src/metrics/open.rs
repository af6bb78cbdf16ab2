//! Opening: manifest, blocks and checkpoint first, then the log's records, then the store.
//!
//! Owns: the order of recovery. The log may be shared with other stores, so whoever opens it hands
//! the records in; [`Opening`] is the state between.
//! Knows nothing of: how a block, a checkpoint or a record looks inside.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use parking_lot::{Condvar, Mutex, RwLock};

use super::block::{Block, BlockCache, read_tombstones};
use super::checkpoint;
use super::db::{Counters, Db, Inner, View, block_path, tombstone_path};
use super::head::Head;
use super::manifest::{self, Manifest};
use super::options::DbOptions;
use crate::io::{DirLock, Fs, OpenMode, Rng};
use crate::wal::{LogHandle, Position, Record, ReplayReport, WalError};

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the directory.
    #[error("{0}")]
    Locked(io::Error),
    /// The log cannot be opened.
    #[error("{0}")]
    Wal(#[from] WalError),
    /// A file of a later version; nothing was changed.
    #[error("{0}")]
    Version(String),
    /// I/O error.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
}

/// What recovery found at start.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// The log's report.
    pub wal: ReplayReport,
    /// Log records that did not apply.
    pub bad_records: u64,
    /// Blocks that were taken out of service, with the reason.
    pub damaged_blocks: Vec<String>,
    /// Damaged sections of the checkpoint.
    pub damaged_sections: u64,
    /// The manifest was unreadable and rebuilt.
    pub manifest_rebuilt: bool,
}

impl Recovery {
    /// Number of damaged things.
    #[must_use]
    pub fn corruptions(&self) -> u64 {
        self.wal.damage.len() as u64
            + self.damaged_blocks.len() as u64
            + self.damaged_sections
            + u64::from(self.manifest_rebuilt)
            + u64::from(self.bad_records > 0)
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
    move |source| OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

/// A store whose files are read and whose log is not.
pub struct Opening {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    opts: DbOptions,
    rng: Rng,
    manifest: Manifest,
    block_cache: Arc<BlockCache>,
    blocks: Vec<Arc<Block>>,
    heads: BTreeMap<u32, Arc<Head>>,
    checkpoint_size: u64,
    recovery: Recovery,
}

impl Opening {
    /// Reads manifest, blocks and checkpoint in `dir`; makes what is missing.
    ///
    /// # Errors
    /// See [`OpenError`]. Damage in files is no error: see [`Recovery`].
    pub fn start(dir: &Path, opts: DbOptions) -> Result<Self, OpenError> {
        let fs = Arc::clone(&opts.fs);
        for d in ["", "blocks", "head", "wal"] {
            fs.create_dir_all(&dir.join(d)).map_err(at(dir))?;
        }
        let mut rng = Rng::from_entropy();
        let mut recovery = Recovery::default();
        let mut manifest = match Manifest::read(&*fs, dir) {
            Ok(Some(m)) => m,
            Ok(None) => Manifest {
                key_secret: rng.next_u64() >> 1,
                ..Manifest::default()
            },
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                recovery.manifest_rebuilt = true;
                rebuild_manifest(&*fs, dir, &mut rng).map_err(at(dir))?
            }
            Err(e) => return Err(at(dir)(e)),
        };
        remove_strangers(&*fs, dir, &manifest).map_err(at(dir))?;
        let block_cache = Arc::new(BlockCache::default());
        let mut blocks = Vec::new();
        manifest.blocks.retain(|name| {
            match open_block(&*fs, dir, name, &block_cache) {
                Ok(b) => blocks.push(Arc::new(b)),
                Err(e) => {
                    recovery.damaged_blocks.push(e);
                    return false;
                }
            }
            true
        });
        blocks.sort_by_key(|b| (b.meta.min_t, b.meta.max_t));
        let mut opening = Self {
            fs: Arc::clone(&fs),
            dir: dir.to_owned(),
            opts,
            rng,
            manifest,
            block_cache,
            blocks,
            heads: BTreeMap::new(),
            checkpoint_size: 0,
            recovery,
        };
        if let Some(name) = opening.manifest.checkpoint.clone() {
            let path = dir.join("head").join(name);
            let q = dir.join("quarantine");
            match checkpoint::read(&*fs, &path, Some(&q), &mut |t| opening.head_of(t)) {
                Ok(d) => opening.recovery.damaged_sections = d.sections,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    opening.recovery.damaged_sections = 1;
                }
                Err(e) => return Err(at(&path)(e)),
            }
            opening.checkpoint_size = fs
                .open(&path, OpenMode::Read)
                .and_then(|f| f.len())
                .unwrap_or_default();
        }
        Ok(opening)
    }

    fn head_of(&mut self, tenant: u32) -> Arc<Head> {
        let head = self.heads.entry(tenant).or_insert_with(|| {
            let h = Head::new(self.opts.exemplars_max);
            let border = self.manifest.min_valid.get(&tenant);
            h.set_min_valid(border.copied().unwrap_or(i64::MIN));
            Arc::new(h)
        });
        Arc::clone(head)
    }

    pub(super) fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }

    /// Where replay has to start for this store.
    #[must_use]
    pub fn wal_from(&self) -> Position {
        Position(self.manifest.wal_from)
    }

    /// Up to where the log was durable at a clean shutdown; 0 when there was none.
    #[must_use]
    pub fn known_durable(&self) -> Position {
        Position(self.manifest.clean)
    }

    /// Applies a record of this store. Records before [`Opening::wal_from`] are in the checkpoint.
    pub fn replay(&mut self, r: &Record<'_>) {
        if r.end <= self.wal_from() {
            return;
        }
        let head = self.head_of(r.tenant);
        if head.replay(r.kind, r.payload, r.end.0).is_err() {
            self.recovery.bad_records += 1;
        }
    }

    /// The store, after the last record. `lock` is kept as long as the store.
    ///
    /// # Errors
    /// When the manifest cannot be written or a thread not be started.
    pub fn finish(
        mut self,
        wal: LogHandle,
        report: ReplayReport,
        lock: Option<DirLock>,
    ) -> Result<Db, OpenError> {
        self.recovery.wal = report;
        let view = View {
            blocks: self.blocks,
            min_valid: self.manifest.min_valid.clone(),
        };
        // From here on the directory is in use: a later crash is not a clean shutdown.
        self.manifest.clean = 0;
        self.manifest
            .write(&*self.fs, &self.dir)
            .map_err(at(&self.dir))?;
        let replayed = self.recovery.wal.bytes;
        let inner = Arc::new(Inner {
            fs: self.fs,
            dir: self.dir,
            wal,
            block_cache: self.block_cache,
            key_secret: self.manifest.key_secret,
            heads: RwLock::new(self.heads),
            view: RwLock::new(Arc::new(view)),
            manifest: Mutex::new(self.manifest),
            maintenance: Mutex::new(()),
            pending: Mutex::default(),
            counters: Counters::default(),
            checkpoint_size: AtomicU64::new(self.checkpoint_size),
            // Replayed bytes count as written since the last checkpoint.
            checkpoint_at: AtomicU64::new(0u64.wrapping_sub(replayed)),
            retention_ms: AtomicI64::new(self.opts.retention_ms),
            retention_bytes: AtomicU64::new(self.opts.retention_bytes),
            out_of_order_ms: AtomicI64::new(self.opts.out_of_order_ms),
            rng: Mutex::new(self.rng),
            stop: Mutex::new(false),
            wake: Condvar::new(),
            closed: AtomicBool::new(false),
            recovery: self.recovery,
            _lock: lock,
            opts: self.opts,
        });
        let thread = if inner.opts.background {
            let owned = Arc::clone(&inner);
            let t = std::thread::Builder::new()
                .name("maintenance".into())
                .spawn(move || super::maintain::run(&owned))
                .map_err(at(&inner.dir))?;
            Some(t)
        } else {
            None
        };
        Ok(Db::from_inner(inner, thread))
    }
}

/// Opens a block with its sidecar; a damaged one is moved to quarantine.
pub(super) fn open_block(
    fs: &dyn Fs,
    dir: &Path,
    name: &str,
    cache: &Arc<BlockCache>,
) -> Result<Block, String> {
    let path = block_path(dir, name);
    let tomb = tombstone_path(dir, name);
    let opened = Block::open(fs, &path, cache)
        .map_err(|e| e.to_string())
        .and_then(|b| {
            *b.tombstones.write() = read_tombstones(fs, &tomb).map_err(|e| e.to_string())?;
            Ok(b)
        });
    if opened.is_err() {
        let q = dir.join("quarantine");
        let moved = fs.create_dir_all(&q).and_then(|()| {
            for p in [&path, &tomb] {
                if fs.exists(p)
                    && let Some(n) = p.file_name()
                {
                    fs.rename(p, &q.join(n))?;
                }
            }
            Ok(())
        });
        if let Err(e) = moved {
            return Err(format!(
                "{}: cannot be moved to quarantine: {e}",
                path.display()
            ));
        }
    }
    opened
}

/// Removes what the manifest does not name: leftovers of work that a crash cut off.
fn remove_strangers(fs: &dyn Fs, dir: &Path, m: &Manifest) -> io::Result<()> {
    for e in fs.list(&dir.join("blocks"))? {
        let known = e
            .name
            .strip_suffix(".sxb")
            .or(e.name.strip_suffix(".tomb"))
            .is_some_and(|n| m.blocks.iter().any(|b| b == n));
        if !known && !e.is_dir {
            fs.remove_file(&dir.join("blocks").join(&e.name))?;
        }
    }
    for e in fs.list(&dir.join("head"))? {
        if m.checkpoint.as_deref() != Some(e.name.as_str()) && !e.is_dir {
            fs.remove_file(&dir.join("head").join(&e.name))?;
        }
    }
    Ok(())
}

/// A manifest made from what is in the directory.
fn rebuild_manifest(fs: &dyn Fs, dir: &Path, rng: &mut Rng) -> io::Result<Manifest> {
    let q = dir.join("quarantine");
    fs.create_dir_all(&q)?;
    fs.rename(&dir.join(manifest::NAME), &q.join(manifest::NAME))?;
    let mut m = Manifest {
        key_secret: rng.next_u64() >> 1,
        ..Manifest::default()
    };
    for e in fs.list(&dir.join("head"))? {
        let path = dir.join("head").join(&e.name);
        if !e.name.ends_with(".ckp") {
            continue;
        }
        if let Some(h) = checkpoint::read_header(fs, &path)
            && h.wal_from >= m.wal_from
        {
            m.checkpoint = Some(e.name);
            m.wal_from = h.wal_from;
            m.min_valid = h.min_valid;
            m.key_secret = h.key_secret;
        }
    }
    for e in fs.list(&dir.join("blocks"))? {
        if let Some(n) = e.name.strip_suffix(".sxb") {
            m.blocks.push(n.to_owned());
        }
    }
    Ok(m)
}
