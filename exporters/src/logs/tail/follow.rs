//! One path and the files that stand and stood there.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::charset::Charset;
use super::reader::{Reader, Step, is_same, may_be};
use super::{FileNumbers, TURN_BYTES};
use crate::logs::entry::{Entry, LabelSet, Ticket};
use crate::logs::positions::{Known, Ledger, Record};

/// How long a rotated file is still looked at after its last line: writers keep it open for a while.
const LINGER_NS: i64 = 10_000_000_000;
/// Rotated files of one path that are read at a time.
const ROTATED_MAX: usize = 64;
/// Lists of a folder in which files are renamed meanwhile.
const LISTINGS_MAX: usize = 5;
/// Suffixes of files that are compressed: their lines cannot be read here.
const COMPRESSED: [&str; 7] = [".gz", ".z", ".bz2", ".xz", ".zst", ".lz4", ".tmp"];

/// What lines are given, and how they are read.
pub(super) type Lines = (Arc<LabelSet>, Charset);

/// A path that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    ledger: Arc<Ledger>,
    name: String,
    charset: Charset,
    pub(super) labels: Arc<LabelSet>,
    pub(super) numbers: FileNumbers,
    current: Option<Reader>,
    /// Files that have left the path, oldest first.
    rotated: VecDeque<Reader>,
    /// Those of them that are done, newest last: they are not new again.
    finished: VecDeque<Birth>,
    /// Where files begin that nobody has seen yet; none when there are none.
    unseen: Option<SystemTime>,
}

/// Which file it is, as long as its inode is not another's: device, inode, when it began.
type Birth = (u64, u64, Option<SystemTime>);

fn birth(meta: &fs::Metadata) -> Birth {
    (meta.dev(), meta.ino(), began(meta))
}

/// When a file was made; on systems that do not say, when it was written last.
fn began(meta: &fs::Metadata) -> Option<SystemTime> {
    meta.created().or_else(|_| meta.modified()).ok()
}

/// The file that a path stands for: behind a link, where the link leads. Rotated files lie beside
/// that.
fn behind_link(path: &Path) -> Cow<'_, Path> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
    match fs::canonicalize(path) {
        Ok(real) if is_link => Cow::Owned(real),
        _ => Cow::Borrowed(path),
    }
}

/// A file beside a path: when it began, where it is, what it is.
type Sibling = (SystemTime, PathBuf, fs::Metadata);

/// Files beside `path` that carry its name with a suffix, oldest first.
///
/// A file that is renamed while its folder is listed may be missing from the list. So another one
/// is made until it says nothing new; where a file is may have changed again.
fn siblings(path: &Path) -> Vec<Sibling> {
    let path = behind_link(path);
    let mut all = BTreeMap::new();
    for i in 0..LISTINGS_MAX {
        let before = all.len();
        let now = listed(&path).into_iter();
        all.extend(now.map(|s| ((s.2.dev(), s.2.ino()), s)));
        if i > 0 && all.len() == before {
            break;
        }
    }
    let mut all: Vec<Sibling> = all.into_values().collect();
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    all
}

fn listed(path: &Path) -> Vec<Sibling> {
    let Some(name) = path.file_name().map(|n| n.to_string_lossy().into_owned()) else {
        return Vec::new();
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    // Names like `app-2024.log` of `app.log` keep the stem in front.
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(s, _)| s);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|e| {
            let other = e.file_name().to_string_lossy().into_owned();
            let carries = |of: &str| {
                let rest = other.strip_prefix(of);
                rest.is_some_and(|r| r.starts_with(['.', '-', '_']))
            };
            let low = other.to_ascii_lowercase();
            let usable = other != name && !COMPRESSED.iter().any(|c| low.ends_with(c));
            if !usable || !(carries(&name) || carries(stem)) {
                return None;
            }
            let meta = e.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((began(&meta)?, e.path(), meta))
        })
        .collect()
}

/// Opens a file of a list; none when it has another name by now.
fn open_listed(path: &Path, meta: &fs::Metadata) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let now = file.metadata()?;
    Ok(Some(file).filter(|_| (now.dev(), now.ino()) == (meta.dev(), meta.ino())))
}

/// Opens the file of a record under the name that it has now.
fn open_moved(r: &Record) -> Option<File> {
    // It may be renamed again between the list and the opening.
    for _ in 0..LISTINGS_MAX {
        let mut all = siblings(Path::new(&r.path)).into_iter();
        let (_, path, meta) = all.find(|s| may_be(&s.2, &r.identity))?;
        if let Some(file) = open_listed(&path, &meta).ok()? {
            return Some(file).filter(|f| is_same(f, &meta, &r.identity));
        }
    }
    None
}

/// Whether a sibling is a rotated form of `path` by its name alone: the whole name and a suffix.
fn is_rotation_of(path: &Path, other: &Path) -> bool {
    let (Some(name), Some(other)) = (path.file_name(), other.file_name()) else {
        return false;
    };
    let other = other.to_string_lossy();
    let rest = other.strip_prefix(name.to_string_lossy().as_ref());
    rest.is_some_and(|r| r.starts_with(['.', '-', '_']))
}

/// Whether the file of a record is still there, under another name than that of its path.
pub(super) fn has_moved(r: &Record) -> bool {
    open_moved(r).is_some()
}

impl Followed {
    fn new(path: &Path, lines: Lines, ledger: &Arc<Ledger>) -> Self {
        let (labels, charset) = lines;
        Self {
            ledger: Arc::clone(ledger),
            name: path.to_string_lossy().into_owned(),
            charset,
            labels,
            numbers: FileNumbers::default(),
            current: None,
            rotated: VecDeque::new(),
            finished: VecDeque::new(),
            unseen: None,
        }
    }

    /// Opens a path where `known` says it was left.
    pub(super) fn open(
        path: &Path,
        lines: Lines,
        (known, ledger): (&Known, &Arc<Ledger>),
        now_ns: i64,
    ) -> io::Result<Self> {
        let name = path.to_string_lossy();
        let file = File::open(path)?;
        let meta = file.metadata()?;
        let saved = known.offsets.get(name.as_ref());
        let saved = saved.and_then(|o| o.parse::<u64>().ok()).unwrap_or(0);
        let mut f = Self::new(path, lines, ledger);
        let mine = || known.records.iter().filter(|r| r.path == name);
        for r in mine().filter(|r| r.rotated) {
            f.find_rotated(r, now_ns);
        }
        let offset = match mine().find(|r| !r.rotated) {
            None => saved,
            // POS2
            Some(r) if is_same(&file, &meta, &r.identity) => saved.min(r.offset),
            Some(r) if may_be(&meta, &r.identity) && meta.len() < r.offset => 0,
            Some(r) => {
                f.find_rotated(r, now_ns);
                0
            }
        };
        let current = Reader::of(f.of(), file, offset, now_ns)?;
        f.unseen = f.oldest_known();
        let there = birth(&current.metadata()?);
        f.stand(path, current, there, now_ns);
        Ok(f)
    }

    /// What readers of its files are told.
    fn of(&self) -> (&str, Charset) {
        (&self.name, self.charset)
    }

    /// Takes in a file that has left the path.
    fn put_rotated(&mut self, r: Reader) {
        r.mark.leave();
        self.rotated.push_back(r);
    }

    /// Opens the file of a record at its saved place.
    fn find_rotated(&mut self, r: &Record, now_ns: i64) {
        if let Some(file) = open_moved(r)
            && let Ok(reader) = Reader::of(self.of(), file, r.offset, now_ns)
            && let Ok(meta) = reader.metadata()
            && !self.rotated.iter().any(|r| r.is_file(&meta))
        {
            self.ledger.follow(&reader.mark);
            self.put_rotated(reader);
        }
    }

    /// Opens what has become of the files of a path at which there is none now. None when nothing
    /// is left of them.
    pub(super) fn open_missing(
        path: &Path,
        lines: Lines,
        (known, ledger): (&Known, &Arc<Ledger>),
        now_ns: i64,
    ) -> Option<Self> {
        let name = path.to_string_lossy();
        let mut f = Self::new(path, lines, ledger);
        for r in known.records.iter().filter(|r| r.path == name) {
            f.find_rotated(r, now_ns);
        }
        f.unseen = f.oldest_known();
        f.find_unseen(path, (0, 0, None), now_ns);
        (!f.rotated.is_empty()).then_some(f)
    }

    /// When the oldest of the rotated files began: what is younger and not known was never read,
    /// since files are done with oldest first (TAIL4).
    fn oldest_known(&self) -> Option<SystemTime> {
        let all = self.rotated.iter();
        all.filter_map(|r| began(&r.metadata().ok()?)).min()
    }

    /// When the newest of the files that have left the path began.
    fn newest_known(&self) -> Option<SystemTime> {
        let all = self.rotated.iter();
        let open = all.filter_map(|r| began(&r.metadata().ok()?));
        open.chain(self.finished.iter().filter_map(|f| f.2)).max()
    }

    /// Opens files that came and went while nobody looked: those that began after the last known
    /// one (TAIL2). What finds no room, or has just been renamed, is found the next time.
    fn find_unseen(&mut self, path: &Path, now_there: Birth, now_ns: i64) {
        let Some(since) = self.unseen.take() else {
            return;
        };
        let real = behind_link(path);
        for (at, p, meta) in siblings(path) {
            let id = birth(&meta);
            let open = |r: &Reader| r.is_file(&meta);
            // What is younger than the path's file came while files were listed: the next look's.
            let older = now_there.2.is_none_or(|there| at <= there);
            let new = at >= since && older && id != now_there && is_rotation_of(&real, &p);
            if !new || self.rotated.iter().any(open) || self.finished.contains(&id) {
                continue;
            }
            if self.rotated.len() >= ROTATED_MAX {
                self.unseen = Some(at);
                break;
            }
            match open_listed(&p, &meta) {
                Ok(Some(file)) => {
                    if let Ok(reader) = Reader::of(self.of(), file, 0, now_ns) {
                        self.ledger.follow(&reader.mark);
                        self.put_rotated(reader);
                    }
                }
                Ok(None) => {
                    self.unseen = Some(at);
                    break;
                }
                Err(_) => {}
            }
        }
        let age = |r: &Reader| r.metadata().ok().as_ref().and_then(began);
        self.rotated.make_contiguous().sort_by_cached_key(age);
    }

    /// Opens those that could not be opened before, as far as there is room.
    fn find_more(&mut self, path: &Path, now_there: Birth, now_ns: i64) {
        if self.rotated.len() < ROTATED_MAX {
            self.find_unseen(path, now_there, now_ns);
        }
    }

    /// `new` stands at the path now. The ledger hears of those between it and the last one first:
    /// what it does not know is younger than what it knows.
    fn stand(&mut self, path: &Path, new: Reader, there: Birth, now_ns: i64) {
        self.find_unseen(path, there, now_ns);
        self.ledger.follow(&new.mark);
        self.current = Some(new);
    }

    /// Lets go of rotated files that are done, oldest first: until all is delivered the record of
    /// a file is still needed, and so are those of younger ones (TAIL4).
    fn let_go(&mut self) {
        while let Some(r) = self.rotated.front() {
            let Ok(meta) = r.metadata() else { break };
            let waits = self
                .unseen
                .is_some_and(|u| began(&meta).is_some_and(|b| b > u));
            if waits || !r.closed || !r.mark.progress.is_idle() {
                break;
            }
            self.finished.push_back(birth(&meta));
            self.rotated.pop_front();
        }
        while self.finished.len() > ROTATED_MAX {
            self.finished.pop_front();
        }
    }

    /// The path is not there any more. True when nothing of it is left to be read or delivered.
    pub(super) fn vanished(&mut self, path: &Path, now_ns: i64) -> bool {
        if let Some(r) = self.current.take() {
            self.put_rotated(r);
        }
        if !path.exists() {
            // Another file may have come and gone since.
            self.unseen = self.unseen.or(self.newest_known());
            self.find_unseen(path, (0, 0, None), now_ns);
        }
        self.rotated.is_empty()
    }

    /// All that was read of its files is delivered or given up.
    pub(super) fn is_idle(&self) -> bool {
        let mut all = self.rotated.iter().chain(&self.current);
        all.all(|r| r.mark.progress.is_idle())
    }

    /// Bytes of the path's file that are done; none without a file there.
    pub(super) fn done(&self) -> Option<u64> {
        Some(self.current.as_ref()?.mark.progress.done())
    }

    /// What is known of all its files.
    pub(super) fn records(&self, out: &mut Vec<Record>) {
        let all = self.rotated.iter().chain(&self.current);
        out.extend(all.map(|r| r.mark.record()));
    }

    /// Reads what is there, oldest file first.
    pub(super) fn turn(&mut self, now_ns: i64, out: &mut dyn FnMut(Entry)) -> io::Result<usize> {
        let labels = Arc::clone(&self.labels);
        let mut lines = 0;
        let mut take = |text: String, ticket: Ticket| {
            let mut e = Entry::new(now_ns, text, labels.clone());
            e.ticket = Some(ticket);
            lines += 1;
            out(e);
        };
        let mut sum = 0;
        // With younger ones that are not open yet, none of these is the newest.
        let newest = self.rotated.len() + usize::from(self.unseen.is_some());
        for (i, r) in self
            .rotated
            .iter_mut()
            .enumerate()
            .filter(|(_, r)| !r.closed)
        {
            while sum < TURN_BYTES {
                match r.step(now_ns, &mut take)? {
                    Step::Read(n) => sum += n,
                    Step::End => {
                        // Only the newest may still get lines, for a while.
                        let rests = now_ns.saturating_sub(r.read_at_ns) >= LINGER_NS;
                        if rests || i + 1 < newest {
                            r.finish(&mut take);
                            r.closed = true;
                        }
                        break;
                    }
                }
            }
        }
        self.let_go();
        // Those that nobody has seen yet are older.
        if let Some(r) = self.current.as_mut().filter(|_| self.unseen.is_none()) {
            while sum < TURN_BYTES {
                match r.step(now_ns, &mut take)? {
                    Step::Read(n) => sum += n,
                    Step::End => break,
                }
            }
            self.numbers.read_bytes = r.offset();
        }
        self.numbers.lines += lines;
        Ok(sum)
    }

    /// Finds out what has become of the path.
    pub(super) fn look(&mut self, path: &Path, now_ns: i64) -> io::Result<()> {
        let meta = match fs::metadata(path) {
            Ok(m) => m,
            // A rename without a new file yet: the open one is read on.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let open = self.current.as_ref().map(Reader::metadata).transpose()?;
                let open = open.as_ref().map_or((0, 0, None), birth);
                self.find_more(path, open, now_ns);
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        self.numbers.file_bytes = meta.len();
        let Some(r) = self.current.as_mut() else {
            let new = Reader::of(self.of(), File::open(path)?, 0, now_ns)?;
            let there = birth(&new.metadata()?);
            self.unseen = self.unseen.or(self.newest_known());
            self.stand(path, new, there, now_ns);
            return Ok(());
        };
        if !r.is_file(&meta) {
            let new = Reader::of(self.of(), File::open(path)?, 0, now_ns)?;
            // It may have been rotated again meanwhile: what counts is the file that is open.
            let there = birth(&new.metadata()?);
            if let Some(mut old) = self.current.take() {
                // Noted as gone before the other comes.
                old.mark.leave();
                old.read_at_ns = now_ns;
                let began = old.metadata().ok().as_ref().and_then(began);
                self.rotated.push_back(old);
                self.unseen = self.unseen.or(began);
            }
            self.stand(path, new, there, now_ns);
        } else if meta.len() < r.offset() {
            r.rewind()?;
            self.ledger.follow(&r.mark);
        } else {
            self.find_more(path, birth(&meta), now_ns);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rotations while files are listed: of the file that was opened before, and of the next.
    #[test]
    fn what_is_younger_than_the_paths_file_waits_for_the_next_look() {
        let dir = format!("sextant-follow-{}", std::process::id());
        let dir = std::env::temp_dir().join(dir);
        fs::create_dir_all(&dir).unwrap();
        let (path, moved) = (dir.join("a.log"), |n: u8| dir.join(format!("a.log.{n}")));
        let make = |text: &str| {
            // Times of creation are as coarse as the system's clock ticks.
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::write(&path, text).unwrap();
        };
        make("1\n");
        let lines = (Arc::default(), Charset::default());
        let known = (&Known::default(), &Arc::default());
        let mut f = Followed::open(&path, lines, known, 0).unwrap();
        fs::rename(&path, moved(1)).unwrap();
        make("2\n");
        f.look(&path, 0).unwrap();
        let there = birth(&fs::metadata(&path).unwrap());
        f.unseen = f.oldest_known();
        fs::rename(&path, moved(2)).unwrap();
        make("3\n");
        fs::rename(&path, moved(3)).unwrap();
        f.find_unseen(&path, there, 0);
        make("4\n");
        let mut all = Vec::new();
        for now in 0..2 {
            f.turn(now, &mut |e| all.push(e.line)).unwrap();
            f.look(&path, now).unwrap();
        }
        f.turn(2, &mut |e| all.push(e.line)).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(all, ["1", "2", "3", "4"]);
    }
}
