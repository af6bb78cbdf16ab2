//! The ledger: places as of the last save, and every change since.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Identity, Known, Record, fingerprint, identities_path, text};
use crate::logs::cursors::Cursors;
use crate::logs::progress::Progress;

/// The first line.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    files: Vec<Record>,
    cursors: BTreeMap<String, String>,
    /// What the positions file says then.
    offsets: BTreeMap<String, String>,
    /// Fingerprints of that file's text, and of its text before: a kill may leave either.
    texts: [u64; 2],
}

/// Part of a line after the first. What is noted together is one line: a kill leaves all or nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    File(Record),
    /// Key and place.
    Cursor(String, String),
}

/// What is known when `offsets` stand in the positions file `file`, with the ledger beside it.
/// Without that, or when it cannot be read, offsets count by path.
#[must_use]
pub fn known(file: &Path, offsets: BTreeMap<String, String>) -> Known {
    let bytes = fs::read(identities_path(file)).unwrap_or_default();
    // A line that a kill or a power failure has torn ends the ledger.
    let mut lines = bytes.split_inclusive(|b| *b == b'\n');
    let first = lines.next().map(serde_json::from_slice::<Saved>);
    let Some(Ok(saved)) = first else {
        return Known {
            offsets,
            ..Known::default()
        };
    };
    let mut known = Known {
        offsets: saved.offsets.clone(),
        records: saved.files,
        exact: saved.cursors,
    };
    let whole = lines.take_while(|l| l.ends_with(b"\n"));
    let changes = whole.map_while(|l| serde_json::from_slice::<Vec<Change>>(l).ok());
    for change in changes.flatten() {
        match change {
            Change::File(r) => known.put_file(r),
            Change::Cursor(key, place) => known.put_places([(key, place)].into()),
        }
    }
    if !saved
        .texts
        .contains(&fingerprint(text(&offsets).as_bytes()))
    {
        known.yield_to(&offsets, &saved.offsets);
    }
    known
}

impl Known {
    /// Takes over what somebody else has changed of `saved` to `offsets` (POS2).
    fn yield_to(&mut self, offsets: &BTreeMap<String, String>, saved: &BTreeMap<String, String>) {
        let changed = |key: &str| offsets.get(key) != saved.get(key);
        self.records.retain(|r| !changed(&r.path));
        self.offsets.retain(|key, _| !changed(key));
        for (key, offset) in offsets.iter().filter(|(k, _)| changed(k)) {
            self.offsets.insert(key.clone(), offset.clone());
        }
    }
}

/// A file whose places go to the ledger.
#[derive(Debug)]
pub(crate) struct Mark {
    path: String,
    /// The path's file, or one that has left it.
    rotated: AtomicBool,
    identity: Mutex<Identity>,
    pub(crate) progress: Progress,
}

impl Mark {
    /// The mark of a file that is read from `offset` and belongs to `path`.
    pub(crate) fn new(path: &str, identity: Identity, offset: u64) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            rotated: AtomicBool::new(false),
            identity: Mutex::new(identity),
            progress: Progress::at(offset),
        })
    }

    fn own(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which file it is.
    pub(crate) fn identity(&self) -> Identity {
        *self.own()
    }

    /// More is known of its first bytes.
    pub(crate) fn identify(&self, identity: Identity) {
        *self.own() = identity;
    }

    /// It has left its path.
    pub(crate) fn leave(&self) {
        self.rotated.store(true, Ordering::Release);
        self.progress.touch();
    }

    /// How far it is.
    pub(crate) fn record(&self) -> Record {
        Record {
            path: self.path.clone(),
            identity: self.identity(),
            offset: self.progress.done(),
            rotated: self.rotated.load(Ordering::Acquire),
        }
    }
}

/// Marks of one file of one path: several when several jobs read it. A file that its reader has let
/// go of stays until its last place is noted.
type Marks = BTreeMap<(String, u64, u64), Vec<Arc<Mark>>>;

fn is_read(mark: &Arc<Mark>) -> bool {
    Arc::strong_count(mark) > 1
}

#[derive(Debug, Default)]
struct State {
    /// Where changes are appended; none while there is nothing they could change.
    changes: Option<File>,
    marks: Marks,
    /// Places of sources that are no files, as they were noted last.
    places: BTreeMap<String, String>,
    /// Fingerprint of the text in the positions file.
    text: u64,
    closed: bool,
}

/// The ledger of an agent. Whoever has delivered something calls [`Ledger::note`] before it goes on
/// (POS3); from time to time everything is saved.
#[derive(Debug, Default)]
pub struct Ledger {
    file: Option<PathBuf>,
    cursors: Arc<Cursors>,
    state: Mutex<State>,
}

fn replace(file: &Path, text: &[u8]) -> io::Result<File> {
    if let Some(dir) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    let mut name = file.as_os_str().to_owned();
    name.push("-new");
    let new = PathBuf::from(name);
    let mut out = File::create(&new)?;
    out.write_all(text)?;
    out.sync_data()?;
    fs::rename(new, file)?;
    Ok(out)
}

fn put_line(out: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::other)?;
    out.push(b'\n');
    Ok(())
}

impl Ledger {
    /// The ledger beside the positions file `file`, in which `offsets` stand; without a file
    /// nothing is kept. Places of other sources come from `cursors`.
    #[must_use]
    pub fn new(
        file: Option<PathBuf>,
        offsets: &BTreeMap<String, String>,
        cursors: Arc<Cursors>,
    ) -> Self {
        Self {
            file,
            cursors,
            state: Mutex::new(State {
                text: fingerprint(text(offsets).as_bytes()),
                ..State::default()
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the places of `mark` from now on, as long as somebody else has it. Those of the same
    /// file that nobody reads any more count no longer.
    pub(crate) fn follow(&self, mark: &Arc<Mark>) {
        if self.file.is_none() {
            return;
        }
        let id = mark.identity();
        let key = (mark.path.clone(), id.dev, id.inode);
        let mut s = self.state();
        let marks = s.marks.entry(key).or_default();
        // One that was given up before it read anything would hold back the place of this one, once
        // nobody reads either.
        marks.retain(is_read);
        marks.push(Arc::clone(mark));
    }

    /// Appends what has changed since the last call. It is there after a kill of the process; a
    /// power failure leaves what was saved. Cost: one write of some hundred bytes for each changed
    /// file, no sync.
    ///
    /// # Errors
    /// When it cannot be written. Changes count again from the next save on.
    pub fn note(&self) -> io::Result<()> {
        let mut s = self.state();
        let Some(mut changes) = s.changes.take() else {
            return Ok(());
        };
        let mut all = Vec::new();
        s.marks.retain(|_, marks| {
            // Asked once: a reader may let go of its file at any moment.
            let read: Vec<bool> = marks.iter().map(is_read).collect();
            let any = read.contains(&true);
            // Of several jobs those that still read count.
            let mut read = read.into_iter();
            marks.retain(|_| !any || read.next() == Some(true));
            // Every flag is taken, not only the first.
            let touched = marks.iter().filter(|m| m.progress.take_touched()).count() > 0;
            let of_all = |mut a: Record, b: Record| {
                // The slower job counts.
                a.offset = a.offset.min(b.offset);
                a.rotated |= b.rotated;
                a
            };
            let record = marks.iter().map(|m| m.record()).reduce(of_all);
            all.extend(record.filter(|_| touched).map(Change::File));
            any
        });
        for (key, place) in self.cursors.done() {
            if s.places.get(&key) != Some(&place) {
                all.push(Change::Cursor(key.clone(), place.clone()));
                s.places.insert(key, place);
            }
        }
        if !all.is_empty() {
            let mut out = Vec::new();
            put_line(&mut out, &all)?;
            // After a failure the last line may be torn: nothing is appended to that.
            changes.write_all(&out)?;
        }
        s.changes = Some(changes);
        Ok(())
    }

    /// Writes both files anew (POS1); `known` tells what is known of files, and what was known of
    /// other sources.
    ///
    /// # Errors
    /// When a file cannot be written; what stood there still counts.
    pub fn save(&self, known: impl FnOnce() -> Known) -> io::Result<()> {
        let mut s = self.state();
        let Some(file) = self.file.as_ref().filter(|_| !s.closed) else {
            return Ok(());
        };
        // What nobody reads is done and no part of what is known.
        s.marks.retain(|_, marks| marks.iter().any(is_read));
        for m in s.marks.values().flatten() {
            m.progress.take_touched();
        }
        let mut known = known();
        s.places = self.cursors.done();
        known.put_places(s.places.clone());
        let text = text(&known.offsets);
        let new = fingerprint(text.as_bytes());
        let mut first = Vec::new();
        let saved = Saved {
            files: known.records,
            cursors: known.exact,
            offsets: known.offsets,
            texts: [new, s.text],
        };
        put_line(&mut first, &saved)?;
        s.changes = None;
        s.changes = Some(replace(&identities_path(file), &first)?);
        replace(file, text.as_bytes())?;
        s.text = new;
        Ok(())
    }

    /// Writes nothing any more: what is given up from now on is not done.
    pub fn close(&self) {
        let mut s = self.state();
        s.closed = true;
        s.changes = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir();
            let dir = dir.join(format!("sextant-ledger-{name}-{}", std::process::id()));
            drop(fs::remove_dir_all(&dir));
            Self(dir)
        }
        fn file(&self) -> PathBuf {
            self.0.join("positions.yaml")
        }
        fn ledger(&self) -> Ledger {
            Ledger::new(Some(self.file()), &BTreeMap::new(), Arc::default())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn inode(inode: u64) -> Identity {
        Identity {
            dev: 1,
            inode,
            ..Identity::default()
        }
    }

    fn at(offsets: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        offsets.iter().map(own).collect()
    }

    fn saved(marks: &[&Arc<Mark>]) -> Known {
        let mut known = Known::default();
        marks.iter().for_each(|m| known.put_file(m.record()));
        known
    }

    #[test]
    fn what_is_noted_counts_from_the_last_save_on() {
        let d = Folder::new("noted");
        let l = d.ledger();
        let a = Mark::new("/a", inode(1), 0);
        l.follow(&a);
        l.save(|| saved(&[&a])).unwrap();
        drop(a.progress.hand_out(0, vec![5, 9]).next());
        l.note().unwrap();
        let k = known(&d.file(), at(&[("/a", "0")]));
        assert_eq!(k.offsets["/a"], "5");
        assert_eq!((k.records.len(), k.records[0].offset), (1, 5));
        // Nothing has changed: nothing is written.
        let size = || fs::metadata(identities_path(&d.file())).unwrap().len();
        let before = size();
        l.note().unwrap();
        assert_eq!(size(), before);
        // It leaves its path, another comes.
        a.leave();
        l.note().unwrap();
        assert!(known(&d.file(), at(&[("/a", "0")])).offsets.is_empty());
        let b = Mark::new("/a", inode(2), 0);
        l.follow(&b);
        drop(b.progress.hand_out(0, vec![3]).next());
        l.note().unwrap();
        let k = known(&d.file(), at(&[("/a", "0")]));
        assert_eq!(k.offsets["/a"], "3");
        let all: Vec<_> = k.records.iter().map(|r| (r.offset, r.rotated)).collect();
        assert_eq!(all, [(5, true), (3, false)]);
        l.close();
        drop(b.progress.hand_out(3, vec![3]).next());
        l.note().unwrap();
        l.save(Known::default).unwrap();
        assert_eq!(known(&d.file(), at(&[("/a", "0")])), k);
    }

    /// A kill between the two renames, a torn line, an offset that somebody else wrote.
    #[test]
    fn the_ledger_knows_whose_the_positions_are() {
        let d = Folder::new("whose");
        let l = d.ledger();
        let (a, b) = (Mark::new("/a", inode(1), 0), Mark::new("/b", inode(2), 0));
        l.follow(&a);
        l.save(|| saved(&[&a, &b])).unwrap();
        let old = fs::read(d.file()).unwrap();
        drop(a.progress.hand_out(0, vec![7]).next());
        l.save(|| saved(&[&a, &b])).unwrap();
        fs::write(d.file(), old).unwrap();
        let k = known(&d.file(), at(&[("/a", "0"), ("/b", "0")]));
        assert_eq!(k.offsets["/a"], "7");
        let path = identities_path(&d.file());
        let mut torn = fs::read(&path).unwrap();
        torn.extend(b"{\"file\": {\"path\": \"/a\", \"ide");
        fs::write(&path, torn).unwrap();
        let now = at(&[("/a", "7"), ("/b", "0")]);
        assert_eq!(known(&d.file(), now).offsets["/a"], "7");
        let k = known(&d.file(), at(&[("/a", "400"), ("/b", "0")]));
        assert_eq!(k.offsets, at(&[("/a", "400"), ("/b", "0")]));
        assert_eq!(k.records.len(), 1);
        assert_eq!(k.records[0].path, "/b");
        assert!(known(&d.file(), BTreeMap::new()).records.is_empty());
    }

    /// A kill may tear the write of a note anywhere: then nothing of it counts.
    #[test]
    fn a_torn_note_is_no_note() {
        let d = Folder::new("torn");
        let l = d.ledger();
        let (a, b) = (Mark::new("/a", inode(1), 0), Mark::new("/b", inode(2), 0));
        l.follow(&a);
        l.follow(&b);
        l.save(|| saved(&[&a, &b])).unwrap();
        let path = identities_path(&d.file());
        let before = fs::read(&path).unwrap();
        drop(a.progress.hand_out(0, vec![5]).next());
        drop(b.progress.hand_out(0, vec![7]).next());
        l.note().unwrap();
        let after = fs::read(&path).unwrap();
        let now = at(&[("/a", "0"), ("/b", "0")]);
        let places = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let k = known(&d.file(), now.clone());
            k.records.iter().map(|r| r.offset).collect::<Vec<_>>()
        };
        for end in before.len()..after.len() {
            assert_eq!(places(&after[..end]), [0, 0], "{end} bytes");
        }
        assert_eq!(places(&after), [5, 7]);
    }

    /// Readers let go of their files while the last places are noted, at many moments.
    #[test]
    fn the_last_place_is_noted_whenever_the_reader_goes() {
        let d = Folder::new("goes");
        let l = d.ledger();
        for pause in 0..100 {
            l.save(Known::default).unwrap();
            let marks: Vec<_> = (0..300).map(|i| Mark::new("/a", inode(i), 0)).collect();
            marks.iter().for_each(|m| l.follow(m));
            l.note().unwrap();
            for m in &marks {
                drop(m.progress.hand_out(0, vec![7]).next());
            }
            let start = std::sync::Barrier::new(2);
            std::thread::scope(|s| {
                s.spawn(|| {
                    start.wait();
                    for m in marks {
                        drop(m);
                        (0..pause).for_each(|_| std::hint::spin_loop());
                    }
                });
                start.wait();
                l.note().unwrap();
            });
            l.note().unwrap();
            let all = known(&d.file(), BTreeMap::new()).records;
            let held = all.iter().filter(|r| r.offset != 7).count();
            assert_eq!((all.len(), held), (300, 0), "pause {pause}");
        }
    }

    /// The first try to open a file has failed half way; the second reads it to its end and lets go
    /// of it before the next note.
    #[test]
    fn a_mark_that_was_given_up_holds_nothing_back() {
        let d = Folder::new("given-up");
        let l = d.ledger();
        l.save(Known::default).unwrap();
        l.follow(&Mark::new("/a", inode(1), 3));
        let b = Mark::new("/a", inode(1), 3);
        l.follow(&b);
        drop(b.progress.hand_out(3, vec![6]).next());
        drop(b);
        l.note().unwrap();
        let k = known(&d.file(), BTreeMap::new());
        let all: Vec<_> = k.records.iter().map(|r| r.offset).collect();
        assert_eq!(all, [9]);
    }

    #[test]
    fn of_two_jobs_the_slower_counts_and_cursors_are_noted() {
        let d = Folder::new("slower");
        let cursors = Arc::new(Cursors::default());
        let l = Ledger::new(Some(d.file()), &BTreeMap::new(), cursors.clone());
        let (a, b) = (Mark::new("/a", inode(1), 0), Mark::new("/a", inode(1), 0));
        l.follow(&a);
        l.follow(&b);
        l.save(|| saved(&[&a])).unwrap();
        drop(a.progress.hand_out(0, vec![5]).next());
        let held = b.progress.hand_out(0, vec![5]).next();
        let c = cursors.open("cursor-x", None);
        drop(c.hand_out("17.5".into()));
        l.note().unwrap();
        let k = known(&d.file(), at(&[("/a", "0")]));
        assert_eq!(k.offsets, at(&[("/a", "0"), ("cursor-x", "17")]));
        assert_eq!(k.place("cursor-x"), Some("17.5"));
        drop(held);
        l.note().unwrap();
        assert_eq!(known(&d.file(), at(&[("/a", "0")])).offsets["/a"], "5");
    }
}
