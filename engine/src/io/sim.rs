//! A simulated disk: unsynced writes, torn sectors, lost directory entries, injected faults.
//!
//! Model. A write is durable after a successful sync of its file, a name after a sync of its
//! directory. [`SimFs::crash`] gives the disk that a power cut could leave: every unsynced write
//! keeps a random subset of its 512-byte sectors, every unsynced directory operation happens or
//! not, each by the seed. Not modelled: damage to synced bytes (tests flip those on purpose).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Rng;
use super::fs::{DirEntry, File, Fs, FsExt, Mapping, OpenMode};

const SECTOR: usize = 512;

/// What an injected fault does to the call it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full.
    NoSpace,
    /// An I/O error.
    Io,
    /// The call is interrupted; the next try works.
    Interrupted,
    /// A write takes only half of the bytes (other calls work).
    ShortWrite,
    /// A sync answers success and keeps nothing (other calls work).
    LyingSync,
    /// The machine loses power: this and every later call fails.
    PowerCut,
}

#[derive(Default)]
struct Node {
    durable: Vec<u8>,
    current: Vec<u8>,
    /// Unsynced writes in order: offset and bytes. A change of length is a write of zeros.
    dirty: Vec<(usize, Vec<u8>)>,
    /// Length changed downwards since the last sync.
    cut: Option<usize>,
}

#[derive(Clone, Debug)]
enum DirOp {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Default)]
struct State {
    nodes: HashMap<u64, Node>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    dirs: Vec<PathBuf>,
    pending: Vec<DirOp>,
    next_node: u64,
    ops: u64,
    faults: BTreeMap<u64, Fault>,
    fault_for_ever: Option<(u64, Fault)>,
    dead: bool,
    capacity: Option<u64>,
    trace: Vec<String>,
    tracing: bool,
}

/// The simulated disk. Clones share it.
#[derive(Clone, Default)]
pub struct SimFs(Arc<Mutex<State>>);

struct SimFile {
    fs: SimFs,
    node: u64,
}

fn io_error(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "simulated fault")
}

impl State {
    /// Counts a call; gives the fault that hits it.
    fn enter(&mut self, what: &str) -> io::Result<Option<Fault>> {
        if self.dead {
            return Err(io_error(io::ErrorKind::NotConnected));
        }
        let op = self.ops;
        self.ops += 1;
        if self.tracing {
            self.trace.push(format!("{op} {what}"));
        }
        let fault = self.faults.remove(&op).or_else(|| {
            self.fault_for_ever
                .and_then(|(from, f)| if op >= from { Some(f) } else { None })
        });
        match fault {
            Some(Fault::NoSpace) => Err(io_error(io::ErrorKind::StorageFull)),
            Some(Fault::Io) => Err(io::Error::from_raw_os_error(5)),
            Some(Fault::Interrupted) => Err(io_error(io::ErrorKind::Interrupted)),
            Some(Fault::PowerCut) => {
                self.dead = true;
                Err(io_error(io::ErrorKind::NotConnected))
            }
            other => Ok(other),
        }
    }

    fn used(&self) -> u64 {
        let mut nodes: Vec<u64> = self.names.values().copied().collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
            .iter()
            .filter_map(|n| self.nodes.get(n))
            .map(|n| n.current.len() as u64)
            .sum()
    }

    fn grow_check(&self, node: u64, to: usize) -> io::Result<()> {
        let Some(cap) = self.capacity else {
            return Ok(());
        };
        let now = self.nodes.get(&node).map_or(0, |n| n.current.len());
        if to > now && self.used() + (to - now) as u64 > cap {
            return Err(io_error(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn write(&mut self, node: u64, offset: usize, bytes: &[u8]) {
        let n = self.nodes.entry(node).or_default();
        let end = offset + bytes.len();
        if n.current.len() < end {
            n.current.resize(end, 0);
        }
        n.current[offset..end].copy_from_slice(bytes);
        n.dirty.push((offset, bytes.to_vec()));
    }
}

impl Node {
    fn persist(&mut self) {
        self.durable.clone_from(&self.current);
        self.dirty.clear();
        self.cut = None;
    }

    /// What a power cut leaves of this file.
    fn survive(&self, rng: &mut Rng) -> Vec<u8> {
        let mut out = self.durable.clone();
        if let Some(cut) = self.cut
            && rng.chance(1, 2)
        {
            out.truncate(cut);
        }
        let keep_none = rng.chance(1, 4);
        let keep_all = rng.chance(1, 4);
        for (offset, bytes) in &self.dirty {
            let mut at = 0;
            while at < bytes.len() {
                let abs = offset + at;
                let end = ((abs / SECTOR + 1) * SECTOR - offset).min(bytes.len());
                let keep = keep_all || (!keep_none && rng.chance(1, 2));
                if keep {
                    if out.len() < offset + end {
                        out.resize(offset + end, 0);
                    }
                    out[abs..offset + end].copy_from_slice(&bytes[at..end]);
                }
                at = end;
            }
        }
        out
    }
}

impl SimFs {
    /// An empty disk without limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the disk to `bytes` (`None` lifts the limit).
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Number of calls so far.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    /// Makes the call number `op` (counted from 0 since the disk was made) fail.
    pub fn fail_at(&self, op: u64, fault: Fault) {
        self.0.lock().faults.insert(op, fault);
    }

    /// Makes every call from number `op` on fail.
    pub fn fail_from(&self, op: u64, fault: Fault) {
        self.0.lock().fault_for_ever = Some((op, fault));
    }

    /// Ends injected faults (a cut power stays cut).
    pub fn heal(&self) {
        let mut s = self.0.lock();
        s.faults.clear();
        s.fault_for_ever = None;
    }

    /// Records the calls from now on.
    pub fn trace(&self) {
        self.0.lock().tracing = true;
    }

    /// The recorded calls.
    #[must_use]
    pub fn traced(&self) -> Vec<String> {
        self.0.lock().trace.clone()
    }

    /// The disk after a power cut now; the same seed gives the same disk.
    #[must_use]
    pub fn crash(&self, seed: u64) -> SimFs {
        let mut rng = Rng::new(seed);
        let s = self.0.lock();
        let mut names = s.durable_names.clone();
        for op in &s.pending {
            if !rng.chance(1, 2) {
                continue;
            }
            match op {
                DirOp::Link(p, n) => {
                    names.insert(p.clone(), *n);
                }
                DirOp::Unlink(p) => {
                    names.remove(p);
                }
                DirOp::Rename(from, to) => {
                    if let Some(n) = names.remove(from) {
                        names.insert(to.clone(), n);
                    } else if let Some(n) = s.names.get(to) {
                        // The entry under the old name was lost, the new one was not.
                        names.insert(to.clone(), *n);
                    }
                }
            }
        }
        let mut nodes = HashMap::new();
        let mut ids: Vec<u64> = names.values().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let bytes = s
                .nodes
                .get(&id)
                .map(|n| n.survive(&mut rng))
                .unwrap_or_default();
            let node = Node {
                durable: bytes.clone(),
                current: bytes,
                ..Node::default()
            };
            nodes.insert(id, node);
        }
        SimFs(Arc::new(Mutex::new(State {
            nodes,
            durable_names: names.clone(),
            names,
            dirs: s.dirs.clone(),
            next_node: s.next_node,
            capacity: s.capacity,
            ..State::default()
        })))
    }

    /// The disk as the running process sees it, as after `kill -9`.
    #[must_use]
    pub fn kill(&self) -> SimFs {
        let s = self.0.lock();
        let nodes = s
            .nodes
            .iter()
            .map(|(id, n)| {
                let node = Node {
                    durable: n.current.clone(),
                    current: n.current.clone(),
                    ..Node::default()
                };
                (*id, node)
            })
            .collect();
        SimFs(Arc::new(Mutex::new(State {
            nodes,
            durable_names: s.names.clone(),
            names: s.names.clone(),
            dirs: s.dirs.clone(),
            next_node: s.next_node,
            capacity: s.capacity,
            ..State::default()
        })))
    }

    /// All files with their bytes, for tests that damage them.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let s = self.0.lock();
        s.names
            .iter()
            .map(|(p, n)| {
                (
                    p.clone(),
                    s.nodes.get(n).map_or(vec![], |n| n.current.clone()),
                )
            })
            .collect()
    }

    /// Replaces a file's bytes behind the store's back.
    pub fn tamper(&self, path: &Path, bytes: Vec<u8>) {
        let mut s = self.0.lock();
        if let Some(id) = s.names.get(path).copied() {
            let node = Node {
                durable: bytes.clone(),
                current: bytes,
                ..Node::default()
            };
            s.nodes.insert(id, node);
        }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut s = self.fs.0.lock();
        s.enter("read")?;
        let Some(n) = s.nodes.get(&self.node) else {
            return Ok(0);
        };
        let at = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(n.current.len());
        let len = buf.len().min(n.current.len() - at);
        buf[..len].copy_from_slice(&n.current[at..at + len]);
        Ok(len)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut s = self.fs.0.lock();
        let fault = s.enter("write")?;
        let len = if fault == Some(Fault::ShortWrite) {
            buf.len().div_ceil(2)
        } else {
            buf.len()
        };
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        s.grow_check(self.node, at.saturating_add(len))?;
        s.write(self.node, at, &buf[..len]);
        Ok(len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut s = self.fs.0.lock();
        if s.enter("sync")? == Some(Fault::LyingSync) {
            return Ok(());
        }
        if let Some(n) = s.nodes.get_mut(&self.node) {
            n.persist();
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut s = self.fs.0.lock();
        s.enter("len")?;
        Ok(s.nodes
            .get(&self.node)
            .map_or(0, |n| n.current.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut s = self.fs.0.lock();
        s.enter("set_len")?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        s.grow_check(self.node, len)?;
        let now = s.nodes.get(&self.node).map_or(0, |n| n.current.len());
        if len > now {
            s.write(self.node, now, &vec![0; len - now]);
        } else if let Some(n) = s.nodes.get_mut(&self.node) {
            n.current.truncate(len);
            n.dirty.retain_mut(|(o, b)| {
                b.truncate(len.saturating_sub(*o));
                !b.is_empty()
            });
            n.cut = Some(n.cut.map_or(len, |c| c.min(len)));
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        let mut s = self.fs.0.lock();
        s.enter("allocate")?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        s.grow_check(self.node, len)?;
        let now = s.nodes.get(&self.node).map_or(0, |n| n.current.len());
        if len > now {
            s.write(self.node, now, &vec![0; len - now]);
        }
        Ok(true)
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut s = self.0.lock();
        s.enter(&format!("open {} {mode:?}", path.display()))?;
        let existing = s.names.get(path).copied();
        let node = match (mode, existing) {
            (OpenMode::Read | OpenMode::Write, Some(n)) => n,
            (OpenMode::Read | OpenMode::Write, None) => {
                return Err(io_error(io::ErrorKind::NotFound));
            }
            (OpenMode::CreateNew, Some(_)) => return Err(io_error(io::ErrorKind::AlreadyExists)),
            (OpenMode::Create, Some(n)) => {
                if let Some(node) = s.nodes.get_mut(&n) {
                    node.current.clear();
                    node.dirty.clear();
                    node.cut = Some(0);
                }
                n
            }
            (OpenMode::CreateNew | OpenMode::Create, None) => {
                s.next_node += 1;
                let n = s.next_node;
                s.nodes.insert(n, Node::default());
                s.names.insert(path.to_owned(), n);
                s.pending.push(DirOp::Link(path.to_owned(), n));
                n
            }
        };
        Ok(Arc::new(SimFile {
            fs: self.clone(),
            node,
        }))
    }

    fn map(&self, path: &Path) -> io::Result<Mapping> {
        Ok(Mapping::Heap(self.read_all(path, u64::MAX)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        s.enter(&format!("rename {} {}", from.display(), to.display()))?;
        let n = s
            .names
            .remove(from)
            .ok_or_else(|| io_error(io::ErrorKind::NotFound))?;
        s.names.insert(to.to_owned(), n);
        s.pending
            .push(DirOp::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        s.enter(&format!("remove {}", path.display()))?;
        s.names
            .remove(path)
            .ok_or_else(|| io_error(io::ErrorKind::NotFound))?;
        s.pending.push(DirOp::Unlink(path.to_owned()));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        s.enter(&format!("remove_dir_all {}", path.display()))?;
        let gone: Vec<PathBuf> = s
            .names
            .keys()
            .filter(|p| p.starts_with(path))
            .cloned()
            .collect();
        for p in gone {
            s.names.remove(&p);
            s.pending.push(DirOp::Unlink(p));
        }
        s.dirs.retain(|d| !d.starts_with(path));
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        s.enter("create_dir_all")?;
        for dir in path.ancestors() {
            if !s.dirs.iter().any(|d| d == dir) {
                s.dirs.push(dir.to_owned());
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut s = self.0.lock();
        s.enter(&format!("list {}", dir.display()))?;
        if !s.dirs.iter().any(|d| d == dir) {
            return Err(io_error(io::ErrorKind::NotFound));
        }
        let name = |p: &Path| {
            p.file_name()
                .map_or(String::new(), |n| n.to_string_lossy().into())
        };
        let mut out: Vec<DirEntry> = s
            .names
            .iter()
            .filter(|(p, _)| p.parent() == Some(dir))
            .map(|(p, n)| DirEntry {
                name: name(p),
                is_dir: false,
                len: s.nodes.get(n).map_or(0, |n| n.current.len() as u64),
            })
            .chain(
                s.dirs
                    .iter()
                    .filter(|d| d.parent() == Some(dir))
                    .map(|d| DirEntry {
                        name: name(d),
                        is_dir: true,
                        len: 0,
                    }),
            )
            .collect();
        out.sort();
        Ok(out)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        if s.enter(&format!("sync_dir {}", dir.display()))? == Some(Fault::LyingSync) {
            return Ok(());
        }
        let here = |p: &Path| p.parent() == Some(dir);
        let pending = std::mem::take(&mut s.pending);
        for op in pending {
            let mine = match &op {
                DirOp::Link(p, _) | DirOp::Unlink(p) => here(p),
                DirOp::Rename(from, to) => here(from) || here(to),
            };
            if !mine {
                s.pending.push(op);
                continue;
            }
            match op {
                DirOp::Link(p, n) => {
                    s.durable_names.insert(p, n);
                }
                DirOp::Unlink(p) => {
                    s.durable_names.remove(&p);
                }
                DirOp::Rename(from, to) => {
                    if let Some(n) = s.durable_names.remove(&from) {
                        s.durable_names.insert(to, n);
                    } else if let Some(n) = s.names.get(&to).copied() {
                        s.durable_names.insert(to, n);
                    }
                }
            }
        }
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        s.enter("hard_link")?;
        let n = *s
            .names
            .get(from)
            .ok_or_else(|| io_error(io::ErrorKind::NotFound))?;
        s.names.insert(to.to_owned(), n);
        s.pending.push(DirOp::Link(to.to_owned(), n));
        Ok(())
    }

    fn free_space(&self, _dir: &Path) -> io::Result<u64> {
        let mut s = self.0.lock();
        s.enter("free_space")?;
        let used = s.used();
        Ok(s.capacity.map_or(1 << 40, |c| c.saturating_sub(used)))
    }

    fn exists(&self, path: &Path) -> bool {
        let s = self.0.lock();
        s.names.contains_key(path) || s.dirs.iter().any(|d| d == path)
    }
}
