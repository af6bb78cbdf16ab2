//! The footer of a part: what is where.

use crate::chunk::ChunkError;
use crate::chunk::varint::{self, Reader};
use crate::logs::record::{get_labels, put_labels};
use crate::model::Labels;

/// Pages of a group, in file order.
pub(super) const PAGES: usize = 4;
pub(super) const TIMES: usize = 0;
pub(super) const LENGTHS: usize = 1;
pub(super) const SETS: usize = 2;
pub(super) const TEXT: usize = 3;

/// Rows of one stream in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logs) struct Run {
    /// Number of the stream in the part.
    pub(in crate::logs) stream: u32,
    pub(in crate::logs) rows: u32,
    pub(in crate::logs) min: i64,
    pub(in crate::logs) max: i64,
    /// Bytes of the lines.
    pub(in crate::logs) text: u64,
}

/// A row group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::logs) struct Group {
    pub(super) offset: u64,
    /// Times are stored divided by this.
    pub(super) scale: i64,
    pub(super) page_bytes: [u32; PAGES],
    pub(super) page_crc: [u32; PAGES],
    /// Bytes of the lines.
    pub(in crate::logs) text: u64,
    pub(in crate::logs) runs: Vec<Run>,
}

impl Group {
    pub(in crate::logs) fn rows(&self) -> usize {
        self.runs.iter().map(|r| r.rows as usize).sum()
    }

    /// Compressed size.
    pub(in crate::logs) fn bytes(&self) -> usize {
        self.page_bytes.iter().map(|b| *b as usize).sum()
    }
}

/// Everything about a part but its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::logs) struct Footer {
    pub(in crate::logs) tenant: u32,
    pub(in crate::logs) min: i64,
    pub(in crate::logs) max: i64,
    pub(in crate::logs) rows: u64,
    pub(in crate::logs) text: u64,
    pub(in crate::logs) streams: Vec<Labels>,
    pub(in crate::logs) groups: Vec<Group>,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, u64::from(self.tenant));
        varint::put_signed(&mut out, self.min);
        varint::put_signed(&mut out, self.max);
        varint::put(&mut out, self.rows);
        varint::put(&mut out, self.text);
        varint::put(&mut out, self.streams.len() as u64);
        self.streams.iter().for_each(|s| put_labels(&mut out, s));
        varint::put(&mut out, self.groups.len() as u64);
        for g in &self.groups {
            varint::put(&mut out, g.offset);
            varint::put(&mut out, g.scale as u64);
            g.page_bytes
                .iter()
                .for_each(|b| varint::put(&mut out, u64::from(*b)));
            for c in g.page_crc {
                out.extend_from_slice(&c.to_le_bytes());
            }
            varint::put(&mut out, g.text);
            varint::put(&mut out, g.runs.len() as u64);
            for r in &g.runs {
                varint::put(&mut out, u64::from(r.stream));
                varint::put(&mut out, u64::from(r.rows));
                varint::put_signed(&mut out, r.min);
                varint::put(&mut out, r.max.wrapping_sub(r.min) as u64);
                varint::put(&mut out, r.text);
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut r = Reader::new(bytes);
        let u32_of = |v: u64| u32::try_from(v).map_err(|_| ChunkError("number out of range"));
        let mut f = Self {
            tenant: u32_of(r.varint()?)?,
            min: r.signed()?,
            max: r.signed()?,
            rows: r.varint()?,
            text: r.varint()?,
            ..Self::default()
        };
        for _ in 0..r.index(r.rest.len() + 1)? {
            f.streams.push(get_labels(&mut r)?);
        }
        for _ in 0..r.index(r.rest.len() + 1)? {
            let mut g = Group {
                offset: r.varint()?,
                scale: i64::try_from(r.varint()?).map_err(|_| ChunkError("scale out of range"))?,
                ..Group::default()
            };
            for b in &mut g.page_bytes {
                *b = u32_of(r.varint()?)?;
            }
            for c in &mut g.page_crc {
                *c = r.u32()?;
            }
            g.text = r.varint()?;
            for _ in 0..r.index(r.rest.len() + 1)? {
                let stream = r.index(f.streams.len())? as u32;
                let rows = u32_of(r.varint()?)?;
                let min = r.signed()?;
                let max = min.wrapping_add(r.varint()? as i64);
                let text = r.varint()?;
                g.runs.push(Run {
                    stream,
                    rows,
                    min,
                    max,
                    text,
                });
            }
            f.groups.push(g);
        }
        if r.rest.is_empty() {
            Ok(f)
        } else {
            Err(ChunkError("footer is longer than its content"))
        }
    }
}
