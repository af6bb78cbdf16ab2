//! Files that grow, rotate, are cut and vanish.
//!
//! Owns: which files a target means, following them through rotation, compressed files, character
//! sets, what of them is done.
//! Knows nothing of: what becomes of lines, when it is called (the time is an argument), YAML.
//!
//! Folders are looked at rather than watched: network and overlay file systems send no events, and
//! a folder's time of change tells as much.
//!
//! Invariants
//! - TAIL1  A file is known by device, inode and first bytes, not by its name: after a rotation the
//!   old one is read to its end, wherever it went in its folder, then the new one from its start.
//! - TAIL2  Rotations that nobody saw are found again: files of the folder that began after the
//!   last known one and carry its name with a suffix are read too.
//! - TAIL4  Rotated files of a path are let go oldest first: whatever is younger than the oldest
//!   that is kept and is not kept itself has never been read.
//! - TAIL3  Reading is fair: no file gets more than [`TURN_BYTES`] before the next one's turn.
//!
//! Read next: `reader.rs`, `follow.rs`, `../progress.rs`.

mod charset;
mod follow;
mod glob;
mod packed;
mod reader;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::entry::{Entry, LabelSet};
use super::positions::{Known, Ledger, Record, is_cursor};
use follow::{Followed, has_moved};
use source::Source;

pub use charset::Charset;
pub use glob::{PathPattern, absolute};
pub use packed::{Format, Packing};

/// Bytes that one file may give before the others' turn.
pub const TURN_BYTES: usize = 1024 * 1024;
/// Files open at a time; further ones wait for their turn at the next look.
const OPEN_MAX: usize = 8192;
/// Label with the path of the file.
const FILENAME: &str = "filename";

/// How files are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// What their bytes mean.
    pub charset: Charset,
    /// How they are compressed; none for those that grow.
    pub packing: Option<Packing>,
}

/// What is to be read.
#[derive(Debug, Clone)]
pub struct Target {
    /// Number of the job, handed back with each line.
    pub job: usize,
    /// Labels of its lines; `filename` is added.
    pub labels: LabelSet,
    /// Which files.
    pub path: PathPattern,
    /// Which of them not.
    pub exclude: Option<PathPattern>,
    /// How they are read.
    pub manner: Manner,
}

/// Numbers of one file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileNumbers {
    /// Lines read.
    pub lines: u64,
    /// Bytes read up to.
    pub read_bytes: u64,
    /// Size.
    pub file_bytes: u64,
}

/// What is followed: the number of its job, its path, and which of the targets of the job that
/// name it, when several give its lines other labels.
type Key = (usize, PathBuf, usize);

/// Files that are wanted, with the number of their target.
type Wanted = BTreeMap<Key, usize>;

/// All files that are followed.
#[derive(Debug, Default)]
pub struct Files {
    targets: Vec<Target>,
    followed: BTreeMap<Key, Source>,
    /// Those of them that nobody wants any more though they are there; true when no more is read.
    leaving: BTreeMap<Key, bool>,
    known: Known,
    ledger: Arc<Ledger>,
    /// Folders with their time of change at the last look.
    folders: BTreeMap<PathBuf, Option<SystemTime>>,
    /// Where reading goes on next time.
    turn: usize,
    /// Files of an earlier run were looked for.
    recovered: bool,
}

/// What a look at the files found worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A file is read from now on.
    Started(PathBuf),
    /// A file is not read any more.
    Stopped(PathBuf),
    /// A file cannot be read: which, why.
    Failed(PathBuf, String),
}

fn changed_at(folder: &Path) -> Option<SystemTime> {
    std::fs::metadata(folder).and_then(|m| m.modified()).ok()
}

/// Labels of the lines of one file of a target.
fn labelled(t: &Target, path: &Path) -> LabelSet {
    let mut labels = t.labels.clone();
    labels.insert(FILENAME.into(), path.to_string_lossy().into_owned());
    labels
}

impl Files {
    /// Nothing to read yet; `known` is what earlier runs left, `ledger` where places are noted.
    #[must_use]
    pub fn new(known: Known, ledger: Arc<Ledger>) -> Self {
        Self {
            known,
            ledger,
            ..Self::default()
        }
    }

    /// Reads exactly `targets` from the next look on.
    pub fn set_targets(&mut self, targets: Vec<Target>) {
        self.targets = targets;
        self.folders.clear();
        // Discovery may name what earlier runs followed only now.
        self.recovered = false;
    }

    /// Whether a folder has changed since the last look: then it is time for one.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.folders.iter().any(|(f, at)| changed_at(f) != *at)
    }

    /// Target number `i` names a file. Targets that say the same of it are one.
    fn want(&self, wanted: &mut Wanted, file: PathBuf, i: usize) {
        let Some(t) = self.targets.get(i) else {
            return;
        };
        let key = |n| (t.job, file.clone(), n);
        let same = |o: &usize| self.targets.get(*o).is_some_and(|o| o.labels == t.labels);
        let mut others = wanted.range(key(0)..=key(usize::MAX));
        if others.any(|(_, o)| same(o)) {
            return;
        }
        let labels = labelled(t, &file);
        let mut known = self.followed.range(key(0)..=key(usize::MAX));
        let own = known.find(|(k, f)| *f.labels() == labels && !wanted.contains_key(*k));
        let own = own.map(|(k, _)| k.clone());
        // Else one whose labels have changed, or a new one.
        let free = || (0..).map(key).find(|k| !wanted.contains_key(k));
        if let Some(key) = own.or_else(free) {
            wanted.insert(key, i);
        }
    }

    /// Whether the targets name a file that was not there when its folder was listed.
    fn unlisted(&self, wanted: &Wanted, (job, path, _): &Key) -> bool {
        let key = |n| (*job, path.clone(), n);
        let listed = wanted.range(key(0)..=key(usize::MAX)).next().is_some();
        let excluded = |t: &Target| t.exclude.as_ref().is_some_and(|e| e.matches(path));
        let named = |t: &Target| t.job == *job && t.path.matches(path) && !excluded(t);
        !listed && self.targets.iter().any(named)
    }

    /// What is not wanted any more: a file that is gone is read to its end, one that is still there
    /// until the next look. Then its place is kept, for whoever names it again.
    fn let_go(&mut self, wanted: &Wanted, now_ns: i64, events: &mut Vec<Event>) {
        self.leaving.retain(|k, _| !wanted.contains_key(k));
        let gone = self.followed.keys().filter(|k| !wanted.contains_key(*k));
        let gone: Vec<Key> = gone.cloned().collect();
        let named: BTreeSet<Key> = gone
            .iter()
            .filter(|k| self.unlisted(wanted, k))
            .cloned()
            .collect();
        for key in gone {
            let Some(f) = self.followed.get_mut(&key) else {
                continue;
            };
            let (name, there) = (key.1.to_string_lossy(), key.1.exists());
            if there && named.contains(&key) {
                // It came after the listing: a rotation, which the next turn sees.
                self.leaving.remove(&key);
                continue;
            }
            if there {
                let left = self.leaving.contains_key(&key);
                self.leaving.insert(key.clone(), left);
                if !left || !f.is_idle() {
                    continue;
                }
                if let Some(done) = f.done() {
                    self.known.records.retain(|r| r.path != name);
                    f.records(&mut self.known.records);
                    let name = name.clone().into_owned();
                    self.known.offsets.insert(name, done.to_string());
                }
            } else {
                // Between a rename and the new file the path is neither listed nor there, though it
                // may have been there a moment ago: what was renamed is read to its end.
                self.leaving.remove(&key);
                if !f.vanished(&key.1, now_ns) {
                    continue;
                }
                self.known.offsets.remove(name.as_ref());
                self.known.records.retain(|r| r.path != name);
            }
            self.leaving.remove(&key);
            self.followed.remove(&key);
            events.push(Event::Stopped(key.1));
        }
    }

    /// Looks for files that are new or gone. Cost: one listing of each folder of the patterns.
    pub fn refresh(&mut self, now_ns: i64, events: &mut Vec<Event>) {
        let mut wanted = Wanted::new();
        // From before they are listed: what comes later makes them stale. New ones are, too.
        let before = self.folders.keys();
        let before: BTreeMap<PathBuf, _> = before.map(|f| (f.clone(), changed_at(f))).collect();
        let mut folders = BTreeMap::new();
        for (i, t) in self.targets.iter().enumerate() {
            let (files, seen) = t.path.expand();
            for f in seen {
                let at = before.get(&f).copied().flatten();
                folders.insert(f, at);
            }
            for f in files {
                if !t.exclude.as_ref().is_some_and(|e| e.matches(&f)) {
                    self.want(&mut wanted, f, i);
                }
            }
        }
        self.folders = folders;
        self.let_go(&wanted, now_ns, events);
        self.recover(&wanted, now_ns);
        for (key, target) in wanted {
            if let Some(f) = self.followed.get_mut(&key) {
                let own = self.targets.get(target).map(|t| labelled(t, &key.1));
                if let Some(labels) = own.filter(|l| l != f.labels()) {
                    f.label(labels);
                }
                continue;
            }
            if self.followed.len() >= OPEN_MAX {
                events.push(Event::Failed(
                    key.1,
                    format!("{OPEN_MAX} files are followed already"),
                ));
                continue;
            }
            let Some(t) = self.targets.get(target) else {
                continue;
            };
            let path = key.1.clone();
            let labels = Arc::new(labelled(t, &path));
            let known = (&self.known, &self.ledger);
            match Source::open(&path, labels, t.manner, known, now_ns) {
                Ok(f) => {
                    self.followed.insert(key, f);
                    events.push(Event::Started(path));
                }
                Err(e) => events.push(Event::Failed(path, e.to_string())),
            }
        }
    }

    /// Finds files again that were followed when an earlier run ended and have left their path since
    /// without a new one there.
    fn recover(&mut self, wanted: &Wanted, now_ns: i64) {
        if std::mem::replace(&mut self.recovered, true) {
            return;
        }
        let paths: BTreeSet<PathBuf> = self
            .known
            .records
            .iter()
            .map(|r| PathBuf::from(&r.path))
            .collect();
        for path in paths.into_iter().filter(|p| !p.exists()) {
            let mut own = Wanted::new();
            for (i, t) in self.targets.iter().enumerate() {
                let excluded = t.exclude.as_ref().is_some_and(|e| e.matches(&path));
                let packed = t.manner.packing.is_some();
                if !excluded && !packed && t.path.matches(&path) {
                    self.want(&mut own, path.clone(), i);
                }
            }
            for (key, i) in own {
                let known = wanted.contains_key(&key) || self.followed.contains_key(&key);
                let Some(t) = self.targets.get(i).filter(|_| !known) else {
                    continue;
                };
                let labels = Arc::new(labelled(t, &path));
                let (lines, known) = ((labels, t.manner.charset), (&self.known, &self.ledger));
                if let Some(f) = Followed::open_missing(&path, lines, known, now_ns) {
                    self.followed.insert(key, Source::Grows(f.into()));
                }
            }
        }
    }

    /// One turn for every file of the jobs that are `ready`; lines go to `out` with the number of
    /// their job. Gives the bytes that were read.
    pub fn read(
        &mut self,
        now_ns: i64,
        ready: &dyn Fn(usize) -> bool,
        out: &mut dyn FnMut(usize, Entry),
        events: &mut Vec<Event>,
    ) -> usize {
        let mut sum = 0;
        // All before any: of two jobs that read a file neither goes on to the next one unseen by
        // the other.
        let leaving = &self.leaving;
        let stays = self
            .followed
            .iter_mut()
            .filter(|(k, _)| !leaving.contains_key(*k));
        for ((_, path, _), f) in stays {
            if let Err(e) = f.look(path, now_ns) {
                events.push(Event::Failed(path.clone(), e.to_string()));
            }
        }
        let n = self.followed.len();
        self.turn = if n == 0 { 0 } else { (self.turn + 1) % n };
        let first = self.turn;
        // Who is first changes, so that nobody is always last behind the others.
        for pass in [first..n, 0..first] {
            let some = self.followed.iter_mut().skip(pass.start).take(pass.len());
            let some = some.filter(|(k, _)| leaving.get(*k) != Some(&true));
            for ((job, path, _), f) in some.filter(|((job, ..), _)| ready(*job)) {
                match f.turn(now_ns, &mut |e| out(*job, e)) {
                    Ok(n) => sum += n,
                    Err(e) => events.push(Event::Failed(path.clone(), e.to_string())),
                }
            }
        }
        sum
    }

    /// What is to be saved now.
    #[must_use]
    pub fn positions(&self) -> Known {
        let mut offsets: BTreeMap<String, String> = self
            .known
            .offsets
            .iter()
            .filter(|(k, _)| is_cursor(k) || Path::new(k).exists())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let mut records: Vec<Record> = Vec::new();
        let mut live = BTreeSet::new();
        for ((_, path, _), f) in &self.followed {
            let name = path.to_string_lossy().into_owned();
            f.records(&mut records);
            let first = live.insert(name.clone());
            let Some(done) = f.done() else {
                if first {
                    offsets.remove(&name);
                }
                continue;
            };
            // Of two jobs that read one file the slower one counts (POS2).
            let other = offsets.get(&name).filter(|_| !first);
            let other = other.and_then(|o| o.parse::<u64>().ok()).unwrap_or(done);
            offsets.insert(name, done.min(other).to_string());
        }
        // Of files that are not followed now (nobody has named them yet, or their job is gone) what
        // is known stays, as long as they are there.
        for r in self
            .known
            .records
            .iter()
            .filter(|r| !live.contains(&r.path))
        {
            let mut r = r.clone();
            r.rotated |= !offsets.contains_key(&r.path);
            if !r.rotated || has_moved(&r) {
                records.push(r);
            }
        }
        Known {
            offsets,
            records,
            exact: self.known.exact.clone(),
        }
    }

    /// Where an earlier run left a source that is no file.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<&str> {
        self.known.place(key)
    }

    /// Numbers of every file.
    pub fn numbers(&self) -> impl Iterator<Item = (&Path, FileNumbers)> {
        let all = self.followed.iter();
        all.map(|((_, path, _), f)| (path.as_path(), f.numbers()))
    }
}

#[cfg(test)]
mod tests;
