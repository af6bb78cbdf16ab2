//! Offline check of a data directory: every checksum, nothing changed.
//!
//! Owns: the walk over a directory that no process uses.
//! Knows nothing of: how damage is repaired; opening the store does that.

use std::path::{Path, PathBuf};

use crate::io::Fs;
use crate::metrics::inspect;
use crate::wal::{self, Position};

/// One checked file.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What is wrong with it, if anything.
    pub damage: Option<String>,
}

/// Checks the files of the data directory `dir`, calling `seen` after each one.
///
/// # Errors
/// When the directory cannot be listed.
pub fn verify(
    fs: &dyn Fs,
    dir: &Path,
    seen: &mut dyn FnMut(&Checked),
) -> std::io::Result<Vec<Checked>> {
    let mut out = Vec::new();
    let mut note = |path: PathBuf, damage: Option<String>, bytes: u64| {
        let c = Checked {
            path,
            bytes,
            damage,
        };
        seen(&c);
        out.push(c);
    };
    let size = |p: &Path| {
        fs.open(p, crate::io::OpenMode::Read)
            .and_then(|f| f.len())
            .unwrap_or_default()
    };
    for (path, damage) in crate::logs::inspect(fs, dir)? {
        let bytes = size(&path);
        note(path, damage, bytes);
    }
    if let Some((path, damage)) = crate::state::inspect(fs, dir) {
        let bytes = size(&path);
        note(path, damage, bytes);
    }
    let manifest = dir.join("MANIFEST");
    let (from, damage) = inspect::manifest(fs, dir);
    note(manifest.clone(), damage, size(&manifest));
    for (path, damage) in inspect::files(fs, dir)? {
        let bytes = size(&path);
        note(path, damage, bytes);
    }
    for (path, damage) in wal::inspect(fs, &dir.join("wal"), Position(from))? {
        let bytes = size(&path);
        note(path, damage, bytes);
    }
    Ok(out)
}
