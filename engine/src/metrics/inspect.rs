//! Looking at the store's files without opening the store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, read_tombstones};
use super::checkpoint;
use super::head::Head;
use super::manifest::Manifest;
use crate::io::Fs;

/// Checks the manifest; gives the log position from which replay starts.
pub(crate) fn manifest(fs: &dyn Fs, dir: &Path) -> (u64, Option<String>) {
    match Manifest::read(fs, dir) {
        Ok(Some(m)) => {
            let lost = m
                .blocks
                .iter()
                .find(|b| !fs.exists(&super::db::block_path(dir, b)));
            (
                m.wal_from,
                lost.map(|b| format!("names block {b}, which is not there")),
            )
        }
        Ok(None) => (0, Some("no manifest: not a data directory".into())),
        Err(e) => (0, Some(e.to_string())),
    }
}

/// Checks blocks, their sidecars and checkpoints.
pub(crate) fn files(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<(PathBuf, Option<String>)>> {
    let mut out = Vec::new();
    for (sub, suffix) in [("blocks", ".sxb"), ("blocks", ".tomb"), ("head", ".ckp")] {
        let sub = dir.join(sub);
        if !fs.exists(&sub) {
            continue;
        }
        for e in fs
            .list(&sub)?
            .into_iter()
            .filter(|e| e.name.ends_with(suffix))
        {
            let path = sub.join(e.name);
            let damage = match suffix {
                ".sxb" => Block::open(fs, &path, &Arc::default())
                    .and_then(|b| b.verify())
                    .err()
                    .map(|e| e.to_string()),
                ".tomb" => read_tombstones(fs, &path).err().map(|e| e.to_string()),
                _ => check_checkpoint(fs, &path),
            };
            out.push((path, damage));
        }
    }
    Ok(out)
}

fn check_checkpoint(fs: &dyn Fs, path: &Path) -> Option<String> {
    let head = Arc::new(Head::new(0));
    let mut head_of = |_| Arc::clone(&head);
    match checkpoint::read(fs, path, None, &mut head_of) {
        Ok(d) if d.sections == 0 => None,
        Ok(d) => Some(format!("{} damaged sections", d.sections)),
        Err(e) => Some(e.to_string()),
    }
}
