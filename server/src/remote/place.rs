//! What a destination remembers on disk: `<data dir>/remote/<key>.json` and `<key>.marks`.
//!
//! The cursor is written after every window. The marks (newest sample sent, per series) are
//! written at a stop, and count only together with the cursor they were written with: a crash
//! leaves a newer cursor and thereby no marks.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::io::{Fs, FsExt as _, crc32, replace_file};
use engine::model::SeriesKey;

/// Newest sample sent, per series.
pub(super) type Marks = HashMap<SeriesKey, i64, foldhash::fast::RandomState>;

/// First bytes of a file of marks; the digit is its version.
const MAGIC: &[u8; 8] = b"SXRMARK1";
/// Key and timestamp.
const ENTRY: usize = 24;
/// Magic and cursor.
const HEAD: usize = 16;
/// Larger files are no files of ours.
const FILE_BYTES_MAX: u64 = 1 << 31;

/// Where a destination keeps its state.
pub(super) struct Place {
    fs: Arc<dyn Fs>,
    cursor: PathBuf,
    marks: PathBuf,
}

impl Place {
    /// The place of destination `key` in `dir`.
    pub(super) fn new(fs: Arc<dyn Fs>, dir: &Path, key: &str) -> Self {
        Self {
            fs,
            cursor: dir.join(format!("{key}.json")),
            marks: dir.join(format!("{key}.marks")),
        }
    }

    /// Cursor and marks, if this destination was served before. What cannot be read counts as
    /// not there.
    pub(super) fn load(&self) -> Option<(i64, Marks)> {
        let text = self.fs.read_all(&self.cursor, 4096).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let cursor = json.get("cursor_ms")?.as_i64()?;
        let marks = self.fs.read_all(&self.marks, FILE_BYTES_MAX).ok();
        let marks = marks.and_then(|b| decode(&b, cursor)).unwrap_or_default();
        Some((cursor, marks))
    }

    /// Remembers the cursor.
    ///
    /// # Errors
    /// As the file system reports; the old one is then still there.
    pub(super) fn save_cursor(&self, cursor: i64) -> io::Result<()> {
        if let Some(dir) = self.cursor.parent() {
            self.fs.create_dir_all(dir)?;
        }
        let text = format!("{{\"cursor_ms\":{cursor}}}\n");
        replace_file(&*self.fs, &self.cursor, text.as_bytes())
    }

    /// Remembers everything.
    ///
    /// # Errors
    /// As the file system reports.
    pub(super) fn save(&self, cursor: i64, marks: &Marks) -> io::Result<()> {
        self.save_cursor(cursor)?;
        replace_file(&*self.fs, &self.marks, &encode(cursor, marks))
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        for file in [&self.cursor, &self.marks] {
            // Often there is none.
            drop(self.fs.remove_file(file));
        }
    }
}

/// Forgets destinations other than `keys`.
pub(super) fn sweep(fs: &dyn Fs, dir: &Path, keys: &[&str]) {
    let Ok(found) = fs.list(dir) else { return };
    for e in found {
        let key = e.name.split('.').next().unwrap_or_default();
        if !e.is_dir && !keys.contains(&key) {
            // Tried again at the next start.
            drop(fs.remove_file(&dir.join(&e.name)));
        }
    }
}

fn encode(cursor: i64, marks: &Marks) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + marks.len() * ENTRY + 4);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&cursor.to_le_bytes());
    for (key, t) in marks {
        out.extend_from_slice(&key.0.to_le_bytes());
        out.extend_from_slice(&t.to_le_bytes());
    }
    let crc = crc32(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Marks that belong to `cursor`; none when the bytes are damaged or belong to another one.
fn decode(bytes: &[u8], cursor: i64) -> Option<Marks> {
    let (rest, crc) = bytes.split_last_chunk::<4>()?;
    let (magic, body) = rest.split_first_chunk::<8>()?;
    let (of, entries) = body.split_first_chunk::<8>()?;
    if magic != MAGIC || i64::from_le_bytes(*of) != cursor || crc32(rest).to_le_bytes() != *crc {
        return None;
    }
    let mut marks = Marks::with_capacity_and_hasher(entries.len() / ENTRY, Default::default());
    for e in entries.chunks_exact(ENTRY) {
        let (key, t) = (e.first_chunk::<16>()?, e.last_chunk::<8>()?);
        marks.insert(SeriesKey(u128::from_le_bytes(*key)), i64::from_le_bytes(*t));
    }
    Some(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_count_only_with_their_cursor_and_undamaged() {
        let marks: Marks = (0..50u64)
            .map(|i| (SeriesKey(u128::from(i) << 70), i as i64 - 7))
            .collect();
        let bytes = encode(42, &marks);
        assert_eq!(decode(&bytes, 42), Some(marks));
        assert_eq!(decode(&bytes, 43), None);
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1;
            assert_eq!(decode(&damaged, 42), None, "{i}");
        }
        assert_eq!(decode(&bytes[..bytes.len() - 1], 42), None);
        assert_eq!(decode(b"", 42), None);
    }
}
