//! The manifest: which files are live. Format: `engine/docs/format/checkpoint.md`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::io::{Fs, FsExt, crc32, replace_file};

/// Name of the file.
pub(super) const NAME: &str = "MANIFEST";

/// Contents of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) generation: u64,
    pub(super) key_secret: u64,
    pub(super) blocks: Vec<String>,
    pub(super) checkpoint: Option<String>,
    /// Log position from which replay starts.
    pub(super) wal_from: u64,
    /// Log position of a clean shutdown, 0 while running.
    pub(super) clean: u64,
    /// Per tenant: samples before this are in blocks.
    pub(super) min_valid: BTreeMap<u32, i64>,
}

impl Manifest {
    /// Reads the manifest; `None` when there is none.
    pub(super) fn read(fs: &dyn Fs, dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join(NAME);
        if !fs.exists(&path) {
            return Ok(None);
        }
        let bytes = fs.read_all(&path, 1 << 30)?;
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let text = std::str::from_utf8(&bytes).map_err(|_| bad("manifest is not text"))?;
        let (json, crc) = text
            .split_once('\n')
            .ok_or_else(|| bad("manifest has no checksum"))?;
        if format!("{:08x}\n", crc32(json.as_bytes())) != crc {
            return Err(bad("manifest checksum"));
        }
        Ok(Some(serde_json::from_str(json)?))
    }

    /// Replaces the manifest durably.
    pub(super) fn write(&mut self, fs: &dyn Fs, dir: &Path) -> io::Result<()> {
        self.generation += 1;
        let mut out = serde_json::to_vec(self)?;
        let crc = crc32(&out);
        out.extend_from_slice(format!("\n{crc:08x}\n").as_bytes());
        replace_file(fs, &dir.join(NAME), &out)
    }
}
