//! Positions: how far each source was read and delivered.
//!
//! Owns: the positions file, which Promtail can read and write too, and beside it the record of
//! which file each position belongs to.
//! Knows nothing of: how files are read.
//!
//! The first file is a YAML map of path to offset, in a text. A path alone does not say which file
//! stood there: after a rotation while nobody looked, an offset of the old file would be taken for
//! one of the new. So `<file>.identities` keeps device, inode and a fingerprint of the first bytes
//! of each file, also of rotated ones that are still read.
//!
//! Invariants
//! - POS1  Both files are replaced whole, by a rename: a kill leaves the old or the new one.
//! - POS2  Where the two contradict each other the smaller offset counts: lines may come twice,
//!   none is skipped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
}

/// Keys that belong to no file and are never removed.
#[must_use]
pub fn is_cursor(key: &str) -> bool {
    key.starts_with("cursor-") || key.starts_with("journal-")
}

/// The path of the records that belong to the positions file `file`.
#[must_use]
pub fn identities_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".identities");
    name.into()
}

/// Reads the records beside `file`. Without them, or when they cannot be read, there are none:
/// offsets count by path then.
#[must_use]
pub fn read_records(file: &Path) -> Vec<Record> {
    let text = fs::read(identities_path(file)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
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

fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(dir) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    let mut name = file.as_os_str().to_owned();
    name.push("-new");
    let new = PathBuf::from(name);
    let mut out = File::create(&new)?;
    out.write_all(text)?;
    out.sync_data()?;
    fs::rename(new, file)
}

/// Writes both files (POS1). Records go first: an offset without its record may be another file's.
///
/// # Errors
/// When a file cannot be written; the old ones stay.
pub fn save(file: &Path, known: &Known) -> io::Result<()> {
    let records = serde_json::to_vec(&known.records).map_err(io::Error::other)?;
    replace(&identities_path(file), &records)?;
    replace(file, text(&known.offsets).as_bytes())
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
}
