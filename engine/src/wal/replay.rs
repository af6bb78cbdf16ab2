//! Reading the log back: order, torn tails, rot.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Position;
use super::frame::{
    FREE, Frame, HEADER_BYTES, Header, KIND_END, KIND_MARK, Parsed, RECORD_BYTES_MAX, Salt,
    VERSION, decode_header, encode_frame, parse_frame,
};
use super::writer::WalError;
use crate::io::{Fs, FsExt, OpenMode, read_full, write_full};

/// One record read back.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Position after the record, as [`super::Wal::append`] gave it for the last of a batch.
    pub end: Position,
    /// Kind, chosen by the store that wrote it.
    pub kind: u8,
    /// Tenant number.
    pub tenant: u32,
    /// The bytes.
    pub payload: &'a [u8],
}

/// A range of acknowledged bytes that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment.
    pub segment: u64,
    /// First bad byte.
    pub offset: u64,
    /// Number of bytes skipped.
    pub bytes: u64,
    /// Where a copy was put.
    pub quarantined: PathBuf,
}

/// What replay met.
#[derive(Debug, Clone, Default)]
pub struct ReplayReport {
    /// Records handed out.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Bytes of an unacknowledged tail that were cut.
    pub torn_bytes: u64,
    /// Damaged ranges; each may have held acknowledged records.
    pub damage: Vec<Damage>,
    /// Segments read.
    pub segments: u64,
}

/// How far replay has come; segment numbers, readable while it runs.
#[derive(Debug, Default)]
pub struct ReplayProgress {
    /// First segment that is replayed.
    pub first: AtomicU64,
    /// Last one.
    pub last: AtomicU64,
    /// The one being replayed.
    pub current: AtomicU64,
}

pub(super) struct Replayed {
    pub(super) report: ReplayReport,
    /// Number and size of the segment files.
    pub(super) segments: Vec<(u64, u64)>,
    pub(super) recycled: Vec<PathBuf>,
}

struct Segment {
    number: u64,
    path: PathBuf,
}

/// A range that does not parse; what it is depends on marks further on.
struct Hole {
    segment: usize,
    start: u64,
    end: u64,
    /// Cannot be a torn tail.
    rot: bool,
}

pub(super) fn replay(
    fs: &dyn Fs,
    dir: &Path,
    from: Position,
    known_durable: Position,
    progress: Option<&ReplayProgress>,
    visit: &mut dyn FnMut(Record<'_>),
) -> Result<Replayed, WalError> {
    let (segments, recycled) = list(fs, dir)?;
    for file in &recycled {
        forget_lost_use(fs, file)?;
    }
    // First pass without visiting: where are the holes, and up to where was the log durable?
    let scan = scan(fs, &segments, from, from.max(known_durable))?;
    let torn = scan
        .holes
        .iter()
        .position(|h| !h.rot && Position::new(segments[h.segment].number, h.start) >= scan.durable);
    let mut report = ReplayReport::default();
    for hole in &scan.holes[..torn.unwrap_or(scan.holes.len())] {
        report
            .damage
            .push(quarantine(fs, dir, "wal", &segments[hole.segment], hole)?);
    }
    let end = torn.map(|i| &scan.holes[i]);
    let mut sizes = Vec::new();
    if let (Some(p), Some(a), Some(b)) = (progress, segments.first(), segments.last()) {
        p.first.store(a.number, Ordering::Relaxed);
        p.current.store(a.number, Ordering::Relaxed);
        p.last.store(b.number, Ordering::Relaxed);
    }
    for (i, seg) in segments.iter().enumerate() {
        if let Some(p) = progress {
            p.current.store(seg.number, Ordering::Relaxed);
        }
        match end {
            Some(h) if h.segment < i || (h.segment == i && h.start == 0) => {
                let len = fs.open(&seg.path, OpenMode::Read)?.len()?;
                let all = Hole {
                    segment: i,
                    start: 0,
                    end: len,
                    rot: false,
                };
                report.torn_bytes += quarantine(fs, dir, "torn", seg, &all)?.bytes;
                fs.remove_file(&seg.path)?;
            }
            Some(h) if h.segment == i => {
                let size = visit_segment(fs, seg, from, h.start, &mut report, visit)?;
                let tail = Hole {
                    segment: i,
                    start: h.start,
                    end: size,
                    rot: false,
                };
                report.torn_bytes += quarantine(fs, dir, "torn", seg, &tail)?.bytes;
                sizes.push((seg.number, cut(fs, seg, h.start)?));
            }
            _ => {
                let size = visit_segment(fs, seg, from, u64::MAX, &mut report, visit)?;
                sizes.push((seg.number, size));
            }
        }
    }
    if end.is_some() {
        fs.sync_dir(dir)?;
    }
    Ok(Replayed {
        report,
        segments: sizes,
        recycled,
    })
}

/// Checks the segments without changing anything: per file what a start would repair, if anything.
///
/// # Errors
/// When the directory cannot be listed.
pub fn inspect(
    fs: &dyn Fs,
    dir: &Path,
    from: Position,
) -> std::io::Result<Vec<(PathBuf, Option<String>)>> {
    if !fs.exists(dir) {
        return Ok(Vec::new());
    }
    let other = |e: WalError| std::io::Error::other(e.to_string());
    let (segments, _) = list(fs, dir).map_err(other)?;
    let scan = scan(fs, &segments, from, from).map_err(other)?;
    let mut out: Vec<(PathBuf, Option<String>)> =
        segments.iter().map(|s| (s.path.clone(), None)).collect();
    for h in &scan.holes {
        let rot = h.rot || Position::new(segments[h.segment].number, h.start) < scan.durable;
        // An open end is what a process that did not stop cleanly leaves.
        if rot {
            let n = h.end.saturating_sub(h.start);
            out[h.segment].1 = Some(format!("damaged: {n} bytes from offset {}", h.start));
        }
    }
    Ok(out)
}

/// Ends a segment at `at` with an end frame, so that a later replay does not see a hole there.
fn cut(fs: &dyn Fs, seg: &Segment, at: u64) -> Result<u64, WalError> {
    let f = fs.open(&seg.path, OpenMode::Write)?;
    f.set_len(at)?;
    let header = fs.read_all(&seg.path, RECORD_BYTES_MAX * 2)?;
    let mut end = Vec::new();
    if let Opened::Salt(salt) = open_segment(&header, seg)? {
        encode_frame(&mut end, salt, KIND_END, 0, &[]);
        write_full(&*f, &end, at)?;
    }
    f.sync()?;
    Ok(at + end.len() as u64)
}

/// A recycled file was in use when its header is that of another segment than its name tells: the
/// power went before the directory had the new name, so nothing in it was acknowledged. It must not
/// come back when the file gets that name once more and the new header does not reach the disk.
fn forget_lost_use(fs: &dyn Fs, path: &Path) -> Result<(), WalError> {
    let name = path.file_name().and_then(|n| n.to_str());
    let number = name.and_then(|n| n.strip_prefix(FREE)?.parse::<u64>().ok());
    let f = fs.open(path, OpenMode::Write)?;
    let mut header = [0; HEADER_BYTES as usize];
    let have = read_full(&*f, &mut header, 0)?;
    let used = match decode_header(&header[..have]) {
        Header::Good(salt) => Some(salt.segment) != number,
        Header::Bad => true,
        Header::Empty | Header::Version(_) => false,
    };
    if used {
        write_full(&*f, &[0; HEADER_BYTES as usize], 0)?;
        f.sync()?;
    }
    Ok(())
}

fn list(fs: &dyn Fs, dir: &Path) -> Result<(Vec<Segment>, Vec<PathBuf>), WalError> {
    let mut segments = Vec::new();
    let mut recycled = Vec::new();
    for e in fs.list(dir)? {
        if e.is_dir {
            continue;
        }
        if e.name.starts_with(FREE) {
            recycled.push(dir.join(&e.name));
        } else if let Ok(number) = e.name.parse::<u64>() {
            segments.push(Segment {
                number,
                path: dir.join(&e.name),
            });
        }
    }
    segments.sort_by_key(|s| s.number);
    Ok((segments, recycled))
}

struct Scan {
    holes: Vec<Hole>,
    durable: Position,
}

/// What the header of a segment file says.
enum Opened {
    Salt(Salt),
    /// Never written under this name: new, or recycled and not yet begun.
    Unused,
    /// The header has rotted (it lies in one sector, so it cannot be torn).
    Rotten,
}

fn open_segment(bytes: &[u8], seg: &Segment) -> Result<Opened, WalError> {
    match decode_header(bytes) {
        Header::Good(salt) if salt.segment == seg.number => Ok(Opened::Salt(salt)),
        Header::Good(_) | Header::Empty => Ok(Opened::Unused),
        Header::Version(version) if version > VERSION => Err(WalError::Version {
            segment: seg.path.display().to_string(),
            version,
        }),
        Header::Bad | Header::Version(_) => Ok(Opened::Rotten),
    }
}

fn scan(
    fs: &dyn Fs,
    segments: &[Segment],
    from: Position,
    durable: Position,
) -> Result<Scan, WalError> {
    let mut out = Scan {
        holes: Vec::new(),
        durable,
    };
    for (i, seg) in segments.iter().enumerate() {
        if seg.number < from.segment() {
            continue;
        }
        let bytes = fs.read_all(&seg.path, RECORD_BYTES_MAX * 2)?;
        let salt = match open_segment(&bytes, seg)? {
            Opened::Salt(salt) => salt,
            Opened::Unused => {
                out.holes.push(Hole {
                    segment: i,
                    start: 0,
                    end: bytes.len() as u64,
                    rot: false,
                });
                continue;
            }
            Opened::Rotten => {
                out.holes.push(Hole {
                    segment: i,
                    start: 0,
                    end: bytes.len() as u64,
                    rot: true,
                });
                continue;
            }
        };
        let mut at = HEADER_BYTES as usize;
        let mut closed = false;
        while at < bytes.len() {
            match parse_frame(&bytes, at, salt) {
                Parsed::Frame(f) => {
                    note(&mut out.durable, &f);
                    at += f.size as usize;
                    if f.kind == KIND_END {
                        closed = true;
                        break;
                    }
                }
                Parsed::Nothing | Parsed::Bad => match next_frame(&bytes, at, salt) {
                    Some(next) => {
                        out.holes.push(Hole {
                            segment: i,
                            start: at as u64,
                            end: next as u64,
                            rot: false,
                        });
                        at = next;
                    }
                    None => break,
                },
            }
        }
        if !closed {
            // Also when the rest is zeros: a segment that ends without an end frame is either the
            // one that was being written, and gets its end frame now, or it lost its tail.
            out.holes.push(Hole {
                segment: i,
                start: at as u64,
                end: bytes.len() as u64,
                rot: false,
            });
        }
    }
    Ok(out)
}

fn note(durable: &mut Position, f: &Frame<'_>) {
    if f.kind == KIND_MARK
        && let Ok(p) = <[u8; 8]>::try_from(f.payload)
    {
        *durable = (*durable).max(Position(u64::from_le_bytes(p)));
    }
}

/// Offset of the next frame that passes, at or after `at + 8`. The work is bounded: at most four
/// times the file is run through the checksum, because damage may imitate headers.
fn next_frame(bytes: &[u8], at: usize, salt: Salt) -> Option<usize> {
    let mut budget = bytes.len().saturating_mul(4).saturating_add(1 << 20);
    let mut o = at + 8;
    while o + 16 <= bytes.len() && budget > 0 {
        let len = u32::from_le_bytes([bytes[o], bytes[o + 1], bytes[o + 2], bytes[o + 3]]) as usize;
        let plausible = bytes[o + 9] == 0 && bytes[o + 10] == 0 && bytes[o + 11] == 0;
        if plausible && len <= bytes.len() - o - 16 && bytes[o..o + 16].iter().any(|b| *b != 0) {
            budget = budget.saturating_sub(len + 64);
            if let Parsed::Frame(_) = parse_frame(bytes, o, salt) {
                return Some(o);
            }
        }
        o += 8;
    }
    None
}

/// Copies a range aside (W4). Zeros are not worth a copy.
fn quarantine(
    fs: &dyn Fs,
    dir: &Path,
    prefix: &str,
    seg: &Segment,
    hole: &Hole,
) -> Result<Damage, WalError> {
    let q = dir.join("quarantine");
    let path = q.join(format!("{prefix}-{:08}-{}", seg.number, hole.start));
    let bytes = fs.read_all(&seg.path, RECORD_BYTES_MAX * 2)?;
    let start = usize::try_from(hole.start).unwrap_or(usize::MAX);
    let end = usize::try_from(hole.end)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let bytes = bytes.get(start..end).unwrap_or(&[]);
    let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    if used > 0 && !fs.exists(&path) {
        fs.create_dir_all(&q)?;
        let f = fs.open(&path, OpenMode::Create)?;
        write_full(&*f, &bytes[..used], 0)?;
        f.sync()?;
        fs.sync_dir(&q)?;
    }
    Ok(Damage {
        segment: seg.number,
        offset: hole.start,
        bytes: if prefix == "torn" {
            used as u64
        } else {
            hole.end.saturating_sub(hole.start)
        },
        quarantined: path,
    })
}

/// Hands out the records of one segment up to `limit` and gives the size of the file.
fn visit_segment(
    fs: &dyn Fs,
    seg: &Segment,
    from: Position,
    limit: u64,
    report: &mut ReplayReport,
    visit: &mut dyn FnMut(Record<'_>),
) -> Result<u64, WalError> {
    if seg.number < from.segment() {
        let len = fs.open(&seg.path, OpenMode::Read)?.len()?;
        return Ok(len);
    }
    let bytes = fs.read_all(&seg.path, RECORD_BYTES_MAX * 2)?;
    let size = bytes.len() as u64;
    report.segments += 1;
    let Opened::Salt(salt) = open_segment(&bytes, seg)? else {
        return Ok(size);
    };
    let mut at = HEADER_BYTES as usize;
    while (at as u64) < limit.min(size) {
        let f = match parse_frame(&bytes, at, salt) {
            Parsed::Frame(f) => f,
            Parsed::Nothing | Parsed::Bad => match next_frame(&bytes, at, salt) {
                Some(next) => {
                    at = next;
                    continue;
                }
                None => break,
            },
        };
        at += f.size as usize;
        let end = Position::new(seg.number, at as u64);
        match f.kind {
            KIND_END => break,
            KIND_MARK => {}
            kind if end > from => {
                report.records += 1;
                report.bytes += f.payload.len() as u64;
                visit(Record {
                    end,
                    kind,
                    tenant: f.tenant,
                    payload: f.payload,
                });
            }
            _ => {}
        }
    }
    Ok(size)
}
