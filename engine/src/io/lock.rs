//! One process per data directory.

use std::fs::File;
use std::io;
use std::path::Path;

/// An exclusive lock on a data directory, released when dropped or when the process dies.
#[derive(Debug)]
pub struct DirLock(#[allow(dead_code, reason = "held for its lifetime")] File);

impl DirLock {
    /// Locks `dir/lock`.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it.
    pub fn acquire(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let f = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))?;
        match f.try_lock() {
            Ok(()) => Ok(Self(f)),
            Err(std::fs::TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!(
                    "{}: another process uses this data directory",
                    dir.display()
                ),
            )),
            Err(std::fs::TryLockError::Error(e)) => Err(e),
        }
    }
}
