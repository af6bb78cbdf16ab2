//! Payloads of columns to bytes and back: large ones in frames of their own, small ones together.

use std::cell::OnceCell;

use crate::chunk::ChunkError;
use crate::chunk::frame::Unpacker;
use crate::chunk::varint::{self, Reader};

const RAW: u8 = 0;
const FRAME: u8 = 1;
const POOL: u8 = 2;
/// Smaller payloads are packed together.
const POOL_BYTES: usize = 2048;
const LEVEL: i32 = 1;

/// Packs payloads and the tree that uses them in order.
pub(super) fn pack(
    tree: &[u8],
    payloads: &[Vec<u8>],
    zstd: &mut zstd::bulk::Compressor<'static>,
) -> std::io::Result<Vec<u8>> {
    zstd.set_compression_level(LEVEL)?;
    let mut head = Vec::new();
    let mut frames = Vec::new();
    let mut pool = Vec::new();
    varint::put(&mut head, payloads.len() as u64);
    for p in payloads {
        if p.len() < POOL_BYTES {
            head.push(POOL);
            varint::put(&mut head, p.len() as u64);
            pool.extend_from_slice(p);
            continue;
        }
        let packed = zstd.compress(p)?;
        let small = packed.len() + packed.len() / 32 < p.len();
        head.push(if small { FRAME } else { RAW });
        varint::put(&mut head, p.len() as u64);
        if small {
            varint::put(&mut head, packed.len() as u64);
        }
        frames.extend_from_slice(if small { &packed } else { p });
    }
    let tree = zstd.compress(tree)?;
    varint::put(&mut head, tree.len() as u64);
    head.extend_from_slice(&tree);
    if !pool.is_empty() {
        let pool = zstd.compress(&pool)?;
        varint::put(&mut head, pool.len() as u64);
        head.extend_from_slice(&pool);
    }
    head.extend_from_slice(&frames);
    Ok(head)
}

/// What [`pack`] packed; payloads are unpacked when they are asked for, and once.
pub(in crate::logs) struct Packed<'a> {
    pub(super) tree: Vec<u8>,
    pool: Vec<u8>,
    /// In the order of use.
    payloads: Vec<Payload<'a>>,
    unpacker: &'a Unpacker,
}

enum Payload<'a> {
    Stored(&'a [u8]),
    Frame {
        packed: &'a [u8],
        len: usize,
        bytes: OnceCell<Vec<u8>>,
    },
    Pooled {
        from: usize,
        to: usize,
    },
}

impl Packed<'_> {
    /// The bytes of payload `i`.
    pub(super) fn payload(&self, i: usize) -> Result<&[u8], ChunkError> {
        let missing = ChunkError("a payload is missing");
        match self.payloads.get(i) {
            None => Err(missing),
            Some(Payload::Stored(b)) => Ok(b),
            Some(Payload::Pooled { from, to }) => self.pool.get(*from..*to).ok_or(missing),
            Some(Payload::Frame { packed, len, bytes }) => {
                if let Some(b) = bytes.get() {
                    return Ok(b);
                }
                let unpacked = self.unpacker.unframe(packed, *len)?;
                if unpacked.len() != *len {
                    return Err(ChunkError("a payload has the wrong length"));
                }
                Ok(bytes.get_or_init(|| unpacked))
            }
        }
    }
}

/// Reads what lies where; nothing larger than `max` bytes is made, now or later.
pub(super) fn unpack<'a>(
    bytes: &'a [u8],
    max: usize,
    unpacker: &'a Unpacker,
) -> Result<Packed<'a>, ChunkError> {
    let mut r = Reader::new(bytes);
    let n = r.index(r.rest.len() + 1)?;
    let mut entries = Vec::with_capacity(n);
    let (mut pool_bytes, mut total) = (0usize, 0usize);
    for _ in 0..n {
        let place = r.u8()?;
        let raw = r.index(max + 1)?;
        total = total.saturating_add(raw);
        let stored = match place {
            RAW => raw,
            FRAME => r.index(bytes.len() + 1)?,
            POOL => {
                pool_bytes += raw;
                0
            }
            _ => return Err(ChunkError("unknown place of a payload")),
        };
        entries.push((place, raw, stored));
    }
    if total > max {
        return Err(ChunkError("payloads are too large"));
    }
    let n = r.index(r.rest.len() + 1)?;
    let tree = unpacker.unframe_sized(r.bytes(n)?, max)?;
    let pool = if entries.iter().any(|e| e.0 == POOL && e.1 > 0) {
        let n = r.index(r.rest.len() + 1)?;
        unpacker.unframe(r.bytes(n)?, pool_bytes)?
    } else {
        Vec::new()
    };
    let mut at = 0;
    let mut payloads = Vec::with_capacity(entries.len());
    for (place, raw, stored) in entries {
        payloads.push(match place {
            RAW => Payload::Stored(r.bytes(stored)?),
            FRAME => Payload::Frame {
                packed: r.bytes(stored)?,
                len: raw,
                bytes: OnceCell::new(),
            },
            _ => {
                at += raw;
                Payload::Pooled {
                    from: at - raw,
                    to: at,
                }
            }
        });
    }
    Ok(Packed {
        tree,
        pool,
        payloads,
        unpacker,
    })
}
