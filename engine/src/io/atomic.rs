//! Replacing a small file so that a crash leaves the old or the new one, never a mix.

use std::io;
use std::path::Path;

use super::{Fs, OpenMode, write_full};

/// Writes `bytes` to `path` atomically and durably: temporary file, sync, rename, directory sync.
///
/// # Errors
/// As the file system reports; the old file is then still in place (or, when only the directory
/// sync failed, either may be).
pub fn replace_file(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let tmp = dir.join(name);
    let file = fs.open(&tmp, OpenMode::Create)?;
    write_full(&*file, bytes, 0)?;
    file.sync()?;
    fs.rename(&tmp, path)?;
    fs.sync_dir(dir)
}
