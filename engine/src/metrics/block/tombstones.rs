//! The sidecar with a block's deleted ranges.

use std::io;
use std::path::Path;

use crate::io::{Fs, FsExt, crc32, replace_file};

const MAGIC: &[u8; 8] = b"SXTTMB\x1a\n";
const ENTRY: usize = 20;

/// Replaces the sidecar.
pub(in crate::metrics) fn write_tombstones(
    fs: &dyn Fs,
    path: &Path,
    list: &[(u32, i64, i64)],
) -> io::Result<()> {
    let mut out = Vec::with_capacity(16 + list.len() * ENTRY);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(list.len() as u32).to_le_bytes());
    for (s, a, b) in list {
        out.extend_from_slice(&s.to_le_bytes());
        out.extend_from_slice(&a.to_le_bytes());
        out.extend_from_slice(&b.to_le_bytes());
    }
    let crc = crc32(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    replace_file(fs, path, &out)
}

/// Reads the sidecar; nothing when there is none, an error when it is damaged.
pub(in crate::metrics) fn read_tombstones(
    fs: &dyn Fs,
    path: &Path,
) -> io::Result<Vec<(u32, i64, i64)>> {
    if !fs.exists(path) {
        return Ok(Vec::new());
    }
    let b = fs.read_all(path, 1 << 30)?;
    let bad = |what: &str| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {what}", path.display()),
        )
    };
    let (body, crc) = b.split_last_chunk::<4>().ok_or_else(|| bad("too short"))?;
    if crc32(body) != u32::from_le_bytes(*crc) {
        return Err(bad("checksum"));
    }
    let rest = body
        .strip_prefix(MAGIC.as_slice())
        .ok_or_else(|| bad("magic number missing"))?;
    let (n, rest) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| bad("too short"))?;
    if rest.len() != u32::from_le_bytes(*n) as usize * ENTRY {
        return Err(bad("length"));
    }
    let num = |b: &[u8]| {
        let mut w = [0; 8];
        w.copy_from_slice(b);
        i64::from_le_bytes(w)
    };
    Ok(rest
        .chunks_exact(ENTRY)
        .map(|e| {
            (
                u32::from_le_bytes([e[0], e[1], e[2], e[3]]),
                num(&e[4..12]),
                num(&e[12..20]),
            )
        })
        .collect())
}
