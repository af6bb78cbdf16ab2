//! The manifest: which parts are live. Format: `engine/docs/format/logs-part.md`.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::io::{Fs, read_sealed, write_sealed};

/// Name of the file, in `logs/`.
pub(super) const NAME: &str = "MANIFEST";

/// Contents of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) generation: u64,
    pub(super) parts: Vec<String>,
    /// Log position before which every record is in a live part.
    pub(super) wal_from: u64,
}

impl Manifest {
    pub(super) fn read(fs: &dyn Fs, dir: &Path) -> io::Result<Option<Self>> {
        read_sealed(fs, &dir.join(NAME))
    }

    pub(super) fn write(&mut self, fs: &dyn Fs, dir: &Path) -> io::Result<()> {
        self.generation += 1;
        write_sealed(fs, &dir.join(NAME), self)
    }
}
