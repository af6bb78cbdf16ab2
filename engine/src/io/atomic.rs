//! Replacing a small file so that a crash leaves the old or the new one, never a mix; and small
//! files of JSON with a checksum (manifests).

use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Fs, FsExt, OpenMode, crc32, write_full};

/// Reads a file of [`write_sealed`]; `None` when there is none.
///
/// # Errors
/// `InvalidData` when it is damaged, otherwise as the file system reports.
pub fn read_sealed<T: DeserializeOwned>(fs: &dyn Fs, path: &Path) -> io::Result<Option<T>> {
    if !fs.exists(path) {
        return Ok(None);
    }
    let bytes = fs.read_all(path, 1 << 30)?;
    let bad = |what: &str| {
        let what = format!("{}: {what}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| bad("not text"))?;
    let (json, crc) = text
        .split_once('\n')
        .ok_or_else(|| bad("no checksum line"))?;
    if format!("{:08x}\n", crc32(json.as_bytes())) != crc {
        return Err(bad("checksum does not match"));
    }
    Ok(Some(serde_json::from_str(json)?))
}

/// Replaces `path` durably by one line of JSON and a line with its CRC-32.
///
/// # Errors
/// See [`replace_file`].
pub fn write_sealed<T: Serialize>(fs: &dyn Fs, path: &Path, value: &T) -> io::Result<()> {
    let mut out = serde_json::to_vec(value)?;
    let crc = crc32(&out);
    out.extend_from_slice(format!("\n{crc:08x}\n").as_bytes());
    replace_file(fs, path, &out)
}

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
