//! Bytes of a segment: header and frames. Constants as in `engine/docs/format/wal.md`.

use crate::io::Crc;

/// Format version.
pub(super) const VERSION: u16 = 1;
/// Normal size of a segment file.
pub const SEGMENT_BYTES: u64 = 4_194_304;
/// Size of the segment header.
pub const HEADER_BYTES: u64 = 32;
/// Size of a frame header.
pub const FRAME_HEADER_BYTES: u64 = 16;
/// Largest record.
pub const RECORD_BYTES_MAX: u64 = 268_435_456;
/// Kind of the frame that says what was durable.
pub(super) const KIND_MARK: u8 = 255;
/// Kind of the frame that closes a segment.
pub(super) const KIND_END: u8 = 254;

/// What the names of files that wait to be used again begin with; their old number follows.
pub(super) const FREE: &str = "free-";

const MAGIC: &[u8; 8] = b"SXTWAL\x1a\n";

/// Salt of every checksum in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Salt {
    pub(super) segment: u64,
    pub(super) epoch: u64,
}

pub(super) fn encode_header(salt: Salt) -> [u8; HEADER_BYTES as usize] {
    let mut h = [0; HEADER_BYTES as usize];
    h[..8].copy_from_slice(MAGIC);
    h[8..10].copy_from_slice(&VERSION.to_le_bytes());
    h[16..24].copy_from_slice(&salt.segment.to_le_bytes());
    h[24..32].copy_from_slice(&salt.epoch.to_le_bytes());
    let crc = header_crc(&h);
    h[12..16].copy_from_slice(&crc.to_le_bytes());
    h
}

fn header_crc(h: &[u8]) -> u32 {
    Crc::new().update(&h[..12]).update(&h[16..32]).value()
}

/// What stands at the start of a segment file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    Good(Salt),
    /// Nothing was written yet.
    Empty,
    /// A version this code does not know.
    Version(u16),
    Bad,
}

pub(super) fn decode_header(bytes: &[u8]) -> Header {
    let Some(h) = bytes.get(..HEADER_BYTES as usize) else {
        return if bytes.iter().all(|b| *b == 0) {
            Header::Empty
        } else {
            Header::Bad
        };
    };
    if h.iter().all(|b| *b == 0) {
        return Header::Empty;
    }
    if &h[..8] != MAGIC || le32(h, 12) != header_crc(h) {
        return Header::Bad;
    }
    let version = u16::from_le_bytes([h[8], h[9]]);
    if version != VERSION {
        return Header::Version(version);
    }
    Header::Good(Salt {
        segment: le64(h, 16),
        epoch: le64(h, 24),
    })
}

/// Bytes a frame with this payload takes, padding included.
pub(super) fn frame_size(payload: usize) -> u64 {
    (FRAME_HEADER_BYTES + payload as u64).next_multiple_of(8)
}

pub(super) fn encode_frame(out: &mut Vec<u8>, salt: Salt, kind: u8, tenant: u32, payload: &[u8]) {
    let start = out.len();
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[kind, 0, 0, 0]);
    out.extend_from_slice(&tenant.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = frame_crc(salt, &out[start..start + 16], payload);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.resize(
        start + usize::try_from(frame_size(payload.len())).unwrap_or(usize::MAX),
        0,
    );
}

fn frame_crc(salt: Salt, header: &[u8], payload: &[u8]) -> u32 {
    Crc::new()
        .update(&salt.segment.to_le_bytes())
        .update(&salt.epoch.to_le_bytes())
        .update(&header[..4])
        .update(&header[8..16])
        .update(payload)
        .value()
}

/// A frame that passed its checksum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) tenant: u32,
    pub(super) payload: &'a [u8],
    pub(super) size: u64,
}

/// What stands at an offset.
pub(super) enum Parsed<'a> {
    Frame(Frame<'a>),
    /// Sixteen zero bytes, or the end of the file.
    Nothing,
    Bad,
}

pub(super) fn parse_frame(bytes: &[u8], offset: usize, salt: Salt) -> Parsed<'_> {
    let rest = bytes.get(offset..).unwrap_or(&[]);
    let Some(h) = rest.get(..FRAME_HEADER_BYTES as usize) else {
        return if rest.iter().all(|b| *b == 0) {
            Parsed::Nothing
        } else {
            Parsed::Bad
        };
    };
    if h.iter().all(|b| *b == 0) {
        return Parsed::Nothing;
    }
    let len = le32(h, 0) as usize;
    if h[9] != 0 || h[10] != 0 || h[11] != 0 || len as u64 > RECORD_BYTES_MAX {
        return Parsed::Bad;
    }
    let Some(payload) = rest.get(16..16 + len) else {
        return Parsed::Bad;
    };
    if frame_crc(salt, h, payload) != le32(h, 4) {
        return Parsed::Bad;
    }
    Parsed::Frame(Frame {
        kind: h[8],
        tenant: le32(h, 12),
        payload,
        size: frame_size(len),
    })
}

fn le32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn le64(b: &[u8], at: usize) -> u64 {
    u64::from(le32(b, at)) | u64::from(le32(b, at + 4)) << 32
}
