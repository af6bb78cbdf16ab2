//! The manifest: which files are live. Format: `engine/docs/format/checkpoint.md`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::io::{Fs, read_sealed, write_sealed};

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
        read_sealed(fs, &dir.join(NAME))
    }

    /// Replaces the manifest durably.
    pub(super) fn write(&mut self, fs: &dyn Fs, dir: &Path) -> io::Result<()> {
        self.generation += 1;
        write_sealed(fs, &dir.join(NAME), self)
    }
}
