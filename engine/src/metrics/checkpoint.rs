//! Checkpoint files. Format: `engine/docs/format/checkpoint.md`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::head::Head;
use crate::io::{Crc, Fs, FsExt, OpenMode, write_full};

/// Format version.
pub(super) const CHECKPOINT_VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"SXTCKP\x1a\n";
const SECTION_HEADER: u8 = 0;
const SECTION_END: u8 = 255;
const HEADER_LEN: usize = 20;

/// First section of a checkpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct CheckpointHeader {
    pub(super) wal_from: u64,
    pub(super) key_secret: u64,
    pub(super) min_valid: BTreeMap<u32, i64>,
}

/// Damaged sections of a checkpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct CheckpointDamage {
    pub(super) sections: u64,
    pub(super) quarantined: Option<PathBuf>,
}

/// Writes a checkpoint of `heads` durably and gives its size.
pub(super) fn write(
    fs: &dyn Fs,
    path: &Path,
    header: &CheckpointHeader,
    heads: &BTreeMap<u32, Arc<Head>>,
) -> io::Result<u64> {
    let tmp = path.with_extension("tmp");
    let file = fs.open(&tmp, OpenMode::Create)?;
    let mut at = 0u64;
    let mut out = Vec::with_capacity(2 << 20);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&CHECKPOINT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    let mut sections = 0u64;
    let mut put = |tenant: u32, kind: u8, payload: &[u8]| -> io::Result<()> {
        section(&mut out, tenant, kind, payload)?;
        sections += 1;
        if out.len() >= 1 << 20 || kind == SECTION_END {
            write_full(&*file, &out, at)?;
            at += out.len() as u64;
            out.clear();
        }
        Ok(())
    };
    put(0, SECTION_HEADER, &serde_json::to_vec(header)?)?;
    let mut n = 1u64;
    for (tenant, head) in heads {
        head.write_checkpoint(&mut |kind, payload| {
            n += 1;
            put(*tenant, kind, payload)
        })?;
    }
    put(0, SECTION_END, &n.to_le_bytes())?;
    file.sync()?;
    fs.rename(&tmp, path)?;
    fs.sync_dir(path.parent().unwrap_or_else(|| Path::new(".")))?;
    Ok(at)
}

fn section(out: &mut Vec<u8>, tenant: u32, kind: u8, payload: &[u8]) -> io::Result<()> {
    // Label text compresses five-fold; sealed runs do not compress any more.
    let packed = if kind == 1 || kind == 2 {
        Some(zstd::bulk::compress(payload, 1)?)
    } else {
        None
    };
    let packed = packed.filter(|z| z.len() < payload.len());
    let (flags, body) = packed.as_deref().map_or((0, payload), |z| (1, z));
    let start = out.len();
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&tenant.to_le_bytes());
    out.extend_from_slice(&[kind, flags, 0, 0]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
    let crc = Crc::new().update(&out[start + 8..]).value();
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Reads only the header; `None` when it is unreadable.
pub(super) fn read_header(fs: &dyn Fs, path: &Path) -> Option<CheckpointHeader> {
    let bytes = fs.read_all(path, u64::MAX).ok()?;
    let (_, kind, payload, _) = parse(&bytes, 16)?;
    (kind == SECTION_HEADER).then(|| serde_json::from_slice(&payload).ok())?
}

/// One section: tenant, kind, payload, offset after it. `None` when it does not pass.
fn parse(bytes: &[u8], at: usize) -> Option<(u32, u8, Vec<u8>, usize)> {
    let h = bytes.get(at..at + HEADER_LEN)?;
    let le = |i: usize| u32::from_le_bytes([h[i], h[i + 1], h[i + 2], h[i + 3]]);
    let end = at + HEADER_LEN + le(0) as usize;
    let body = bytes.get(at + HEADER_LEN..end)?;
    if Crc::new().update(&h[8..]).update(body).value() != le(4) {
        return None;
    }
    let payload = if h[13] & 1 == 1 {
        zstd::bulk::decompress(body, le(16) as usize).ok()?
    } else {
        body.to_vec()
    };
    Some((le(8), h[12], payload, end))
}

/// Reads a checkpoint into heads that `head_of` gives; a damaged one is copied to `quarantine`.
pub(super) fn read(
    fs: &dyn Fs,
    path: &Path,
    quarantine: Option<&Path>,
    head_of: &mut dyn FnMut(u32) -> Arc<Head>,
) -> io::Result<CheckpointDamage> {
    let bytes = fs.map(path)?;
    let mut damage = CheckpointDamage::default();
    let mut at = 16;
    let mut seen = 0u64;
    let mut ended = false;
    if bytes.len() < 16 || &bytes[..8] != MAGIC || bytes[8..16] != [1, 0, 0, 0, 0, 0, 0, 0] {
        damage.sections += 1;
    }
    while at < bytes.len() {
        match parse(&bytes, at) {
            Some((_, SECTION_END, payload, end)) => {
                ended = payload == seen.to_le_bytes() && end == bytes.len();
                break;
            }
            Some((tenant, kind, payload, end)) => {
                seen += 1;
                if kind != SECTION_HEADER && head_of(tenant).read_section(kind, &payload).is_err() {
                    damage.sections += 1;
                }
                at = end;
            }
            None => {
                damage.sections += 1;
                // The next section that passes; lengths are unknown after damage.
                match (at + 1..bytes.len().saturating_sub(HEADER_LEN))
                    .find(|o| plausible(&bytes, *o) && parse(&bytes, *o).is_some())
                {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
    }
    if !ended {
        damage.sections += 1;
    }
    if let Some(quarantine) = quarantine.filter(|_| damage.sections > 0) {
        fs.create_dir_all(quarantine)?;
        let name = path
            .file_name()
            .map_or("checkpoint".into(), |n| n.to_string_lossy());
        let copy = quarantine.join(format!("head-{name}"));
        if !fs.exists(&copy) {
            let f = fs.open(&copy, OpenMode::Create)?;
            write_full(&*f, &bytes, 0)?;
            f.sync()?;
        }
        damage.quarantined = Some(copy);
    }
    Ok(damage)
}

fn plausible(bytes: &[u8], at: usize) -> bool {
    let h = &bytes[at..at + HEADER_LEN];
    let len = u32::from_le_bytes([h[0], h[1], h[2], h[3]]) as usize;
    (h[12] <= 4 || h[12] == SECTION_END)
        && h[13] <= 1
        && h[14] == 0
        && h[15] == 0
        && len <= bytes.len() - at - HEADER_LEN
}
