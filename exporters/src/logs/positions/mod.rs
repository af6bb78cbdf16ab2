//! Positions: how far each source was read and delivered.
//!
//! Owns: the positions file, which Promtail can read and write too, and the ledger beside it, which
//! says which file each position belongs to and is up to date after every delivery.
//! Knows nothing of: how files are read.
//!
//! The first file is a YAML map of path to offset, in a text. A path alone does not say which file
//! stood there: after a rotation while nobody looked, an offset of the old file would be taken for
//! one of the new. So `<file>.identities` keeps device, inode and a fingerprint of the first bytes
//! of each file, also of rotated ones that are still read. It begins with a line about everything,
//! as of the last time both files were written; a line for each time that places were noted since
//! follows.
//!
//! Invariants
//! - POS1  Both files are replaced whole, by a rename, the ledger first: a kill at any moment
//!   leaves a ledger that is right, since it knows both texts that the other file may have then.
//! - POS2  Where the two contradict each other nevertheless, somebody else has written positions:
//!   what has changed there counts, by its path, as in Promtail.
//! - POS3  A place stands in the ledger before whoever delivered it delivers more.
//!
//! Read next: `ledger.rs`.

mod ledger;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use ledger::Mark;
pub use ledger::{Ledger, known};

/// Which file it is, wherever it has been moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// Device.
    pub dev: u64,
    /// Inode. The system gives those of deleted files to new ones.
    pub inode: u64,
    /// Bytes from the start that `head` stands for.
    pub head_len: u64,
    /// Their fingerprint.
    pub head: u64,
}

/// How far one file was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The path under which it was found.
    pub path: String,
    /// Which file.
    pub identity: Identity,
    /// Bytes that are done.
    pub offset: u64,
    /// It has left its path and is read to its end.
    pub rotated: bool,
}

/// Everything that is known of positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Offsets by path, and cursors by their key.
    pub offsets: BTreeMap<String, String>,
    /// Which files they belong to.
    pub records: Vec<Record>,
    /// Cursors that the first file holds rounded down, as they are.
    pub exact: BTreeMap<String, String>,
}

impl Known {
    /// The place of a source that is no file; exactly, when the rounded one still belongs to it.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<&str> {
        let rounded = self.offsets.get(key)?;
        let exact = self.exact.get(key).filter(|e| is_rounded(rounded, e));
        Some(exact.unwrap_or(rounded))
    }

    /// Notes how far a file is. Of the files of a path the one that was noted last as standing
    /// there does; the others have left it.
    fn put_file(&mut self, new: Record) {
        let is_new = |r: &Record| {
            let same = (r.identity.dev, r.identity.inode) == (new.identity.dev, new.identity.inode);
            same && r.path == new.path
        };
        let mut stood = false;
        for r in self.records.iter_mut().filter(|r| r.path == new.path) {
            stood |= is_new(r) && !r.rotated;
            r.rotated |= !new.rotated;
        }
        if !new.rotated {
            self.offsets
                .insert(new.path.clone(), new.offset.to_string());
        } else if stood {
            self.offsets.remove(&new.path);
        }
        match self.records.iter_mut().find(|r| is_new(r)) {
            Some(old) => *old = new,
            None => self.records.push(new),
        }
    }

    /// Notes places of sources that are no files. Times of containers go to the first file in
    /// whole seconds, as Promtail reads and writes them.
    pub fn put_places(&mut self, places: BTreeMap<String, String>) {
        for (key, place) in places {
            match place.split_once('.').filter(|_| key.starts_with(CONTAINER)) {
                None => drop(self.offsets.insert(key, place)),
                Some((seconds, _)) => {
                    self.offsets.insert(key.clone(), seconds.to_owned());
                    self.exact.insert(key, place);
                }
            }
        }
    }
}

/// Whether `exact` is `rounded` with a fraction.
fn is_rounded(rounded: &str, exact: &str) -> bool {
    exact
        .strip_prefix(rounded)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// In front of the id of a container in its key.
pub const CONTAINER: &str = "cursor-";
/// In front of the name of a job in the key of its journal.
pub const JOURNAL: &str = "journal-";

/// Keys that belong to no file and are never removed.
#[must_use]
pub fn is_cursor(key: &str) -> bool {
    key.starts_with(CONTAINER) || key.starts_with(JOURNAL)
}

/// The path of the records that belong to the positions file `file`.
#[must_use]
pub fn identities_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".identities");
    name.into()
}

/// The positions file's text.
#[must_use]
pub fn text(offsets: &BTreeMap<String, String>) -> String {
    if offsets.is_empty() {
        return "positions: {}\n".to_owned();
    }
    let mut out = String::from("positions:\n");
    for (key, offset) in offsets {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
        let bare = key.starts_with('/') && key.chars().all(plain);
        // JSON texts are texts of YAML too.
        let quoted = |t: &str| serde_json::Value::from(t).to_string();
        let name = if bare { key.clone() } else { quoted(key) };
        out.push_str(&format!("  {name}: {}\n", quoted(offset)));
    }
    out
}

/// FNV-1a, which stays the same from version to version.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_texts() {
        let offsets = BTreeMap::from([
            ("/a.log".to_owned(), "4".to_owned()),
            ("/b c: d".to_owned(), "7".to_owned()),
            ("cursor-x".to_owned(), "9".to_owned()),
        ]);
        assert_eq!(
            text(&offsets),
            "positions:\n  /a.log: \"4\"\n  \"/b c: d\": \"7\"\n  \"cursor-x\": \"9\"\n"
        );
        assert_eq!(text(&BTreeMap::new()), "positions: {}\n");
    }

    #[test]
    fn times_of_containers_are_whole_seconds_in_the_file() {
        let mut known = Known::default();
        let places = [("cursor-a", "17.000000005"), ("journal-j", "s=1.2;i=3")];
        known.put_places(places.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!(known.offsets["cursor-a"], "17");
        assert_eq!(known.offsets["journal-j"], "s=1.2;i=3");
        assert_eq!(known.place("cursor-a"), Some("17.000000005"));
        // Somebody else has gone on since.
        known.offsets.insert("cursor-a".into(), "18".into());
        assert_eq!(known.place("cursor-a"), Some("18"));
        assert_eq!(known.place("cursor-b"), None);
    }
}
