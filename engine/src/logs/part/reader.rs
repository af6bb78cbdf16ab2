//! Reading a part: the footer at once, pages when they are asked for.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::footer::{Footer, Group, LENGTHS, SETS, TEXT, TIMES};
use super::{
    CODEC_COLUMNS, CODEC_WHOLE, END_MAGIC, MAGIC, PAGE_BYTES_MAX, PART_HEADER_BYTES,
    PART_TRAILER_BYTES, PART_VERSION,
};
use crate::chunk::ChunkError;
use crate::chunk::frame::Unpacker;
use crate::chunk::ints;
use crate::chunk::varint::Reader;
use crate::io::{File, Fs, OpenMode, crc32, read_full};
use crate::logs::columns::{self, Packed, Page, Pick, Values};
use crate::logs::record::get_labels;
use crate::model::Labels;

/// A footer never unpacks to more than this.
const FOOTER_BYTES_MAX: usize = 512 << 20;

/// Why a part or a piece of it cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::logs) enum PartError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Damaged(String),
    #[error("format version {0} is newer than this program knows")]
    Version(u16),
}

impl From<ChunkError> for PartError {
    fn from(e: ChunkError) -> Self {
        Self::Damaged(e.0.to_owned())
    }
}

fn damaged<T>(what: impl Into<String>) -> Result<T, PartError> {
    Err(PartError::Damaged(what.into()))
}

/// Unpacks a frame of unknown size, up to `max` bytes.
fn unpack(packed: &[u8], max: usize) -> Result<Vec<u8>, PartError> {
    let mut out = Vec::new();
    let read = zstd::stream::read::Decoder::new(packed)
        .and_then(|d| d.take(max as u64 + 1).read_to_end(&mut out));
    if read.is_err() || out.len() > max {
        return damaged("a frame cannot be unpacked");
    }
    Ok(out)
}

/// An open part.
pub(in crate::logs) struct Part {
    pub(in crate::logs) name: String,
    pub(in crate::logs) footer: Footer,
    /// Size of the file.
    pub(in crate::logs) bytes: u64,
    file: Arc<dyn File>,
}

/// Decoded columns of a row group.
#[derive(Debug, Default)]
pub(in crate::logs) struct Rows {
    /// ns.
    pub(in crate::logs) times: Vec<i64>,
    /// Where each line ends.
    pub(in crate::logs) ends: Vec<u32>,
    pub(in crate::logs) text: Vec<u8>,
    /// Set of each row, 0 = none; empty without metadata.
    pub(in crate::logs) sets: Vec<i64>,
    pub(in crate::logs) distinct: Vec<Labels>,
    raw: Vec<u8>,
    ints: Vec<i64>,
    unpacker: Unpacker,
}

/// Stored lines of a group.
pub(in crate::logs) enum StoredText<'p> {
    /// All of them back to back.
    Whole(Vec<u8>),
    /// See `columns`.
    Columns {
        packed: Packed<'p>,
        rows: usize,
        bytes: usize,
    },
}

impl StoredText<'_> {
    /// Puts lines together; those of [`StoredText::Whole`] come without their ends, and all.
    fn lines(self, pick: Pick<'_>) -> Result<Values, PartError> {
        match self {
            Self::Whole(bytes) => Ok(Values {
                bytes,
                ends: Vec::new(),
            }),
            Self::Columns {
                packed,
                rows,
                bytes,
            } => Ok(Page::new(&packed, rows, bytes)?.lines(pick)?),
        }
    }
}

impl Rows {
    pub(in crate::logs) fn line(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.text[start..self.ends[i] as usize]
    }

    pub(in crate::logs) fn metadata(&self, i: usize) -> Option<&Labels> {
        let set = usize::try_from(*self.sets.get(i)?).ok()?;
        self.distinct.get(set.checked_sub(1)?)
    }
}

impl Part {
    /// Opens a part and checks header, trailer and footer.
    pub(in crate::logs) fn open(fs: &dyn Fs, path: &Path) -> Result<Self, PartError> {
        let file = fs.open(path, OpenMode::Read)?;
        let bytes = file.len()?;
        if bytes < PART_HEADER_BYTES + PART_TRAILER_BYTES {
            return damaged(format!("{bytes} bytes are too few for a part"));
        }
        let mut head = [0; PART_HEADER_BYTES as usize];
        let mut tail = [0; PART_TRAILER_BYTES as usize];
        read_full(&*file, &mut head, 0)?;
        read_full(&*file, &mut tail, bytes - PART_TRAILER_BYTES)?;
        if &head[..8] != MAGIC || head[10..].iter().any(|b| *b != 0) {
            return damaged("header");
        }
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version != PART_VERSION {
            return Err(PartError::Version(version));
        }
        if &tail[16..] != END_MAGIC {
            return damaged("trailer");
        }
        let mut r = Reader::new(&tail);
        let (offset, len, crc) = (r.u64()?, r.u32()?, r.u32()?);
        if offset.checked_add(u64::from(len)) != Some(bytes - PART_TRAILER_BYTES) {
            return damaged("trailer");
        }
        let mut packed = vec![0; len as usize];
        read_full(&*file, &mut packed, offset)?;
        if crc32(&packed) != crc {
            return damaged("checksum of the footer");
        }
        let plain = unpack(&packed, FOOTER_BYTES_MAX)?;
        let footer = Footer::decode(&plain)?;
        for g in &footer.groups {
            let end = g.offset.checked_add(g.bytes() as u64);
            if g.scale < 1 || end.is_none_or(|e| e > offset) {
                return damaged("footer names bytes outside the file");
            }
        }
        Ok(Self {
            name: path
                .file_stem()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            footer,
            bytes,
            file,
        })
    }

    fn page(&self, g: &Group, page: usize, into: &mut Vec<u8>) -> Result<(), PartError> {
        let before: u64 = g.page_bytes[..page].iter().map(|b| u64::from(*b)).sum();
        into.clear();
        into.resize(g.page_bytes[page] as usize, 0);
        let n = read_full(&*self.file, into, g.offset + before)?;
        if n < into.len() || crc32(into) != g.page_crc[page] {
            return damaged(format!("checksum of a page at {}", g.offset + before));
        }
        Ok(())
    }

    /// Decodes times and lengths of a group, with `sets` its metadata, with `text` its lines.
    /// Cost: about 2 ms a MiB of text, little without it.
    pub(in crate::logs) fn read(
        &self,
        group: usize,
        sets: bool,
        text: bool,
        rows: &mut Rows,
    ) -> Result<(), PartError> {
        self.read_columns(group, sets, rows)?;
        if text {
            let mut page = std::mem::take(&mut rows.raw);
            self.text_page(group, &mut page)?;
            let unpacker = Unpacker::default();
            let lines = self.open_text(group, &page, &unpacker)?.lines(Pick::All)?;
            rows.text = lines.bytes;
            if rows.text.len() as u64 != self.footer.groups[group].text {
                return damaged("lines cannot be unpacked");
            }
            rows.raw = page;
        }
        Ok(())
    }

    /// The stored lines of a group.
    pub(in crate::logs) fn text_page(
        &self,
        group: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), PartError> {
        self.page(&self.footer.groups[group], TEXT, into)
    }

    /// Makes the stored lines of a group readable.
    pub(in crate::logs) fn open_text<'p>(
        &self,
        group: usize,
        page: &'p [u8],
        unpacker: &'p Unpacker,
    ) -> Result<StoredText<'p>, PartError> {
        let g = &self.footer.groups[group];
        let bytes = usize::try_from(g.text).map_err(io::Error::other)?;
        match page.split_first() {
            Some((&CODEC_WHOLE, page)) => {
                let text = unpacker.unframe(page, bytes)?;
                if text.len() != bytes {
                    return damaged("lines cannot be unpacked");
                }
                Ok(StoredText::Whole(text))
            }
            Some((&CODEC_COLUMNS, page)) => Ok(StoredText::Columns {
                packed: columns::open(page, g.rows(), bytes, unpacker)?,
                rows: g.rows(),
                bytes,
            }),
            _ => damaged("lines cannot be unpacked"),
        }
    }

    fn read_columns(&self, group: usize, sets: bool, rows: &mut Rows) -> Result<(), PartError> {
        let g = &self.footer.groups[group];
        let n = g.rows();
        let mut raw = std::mem::take(&mut rows.raw);
        rows.times.clear();
        rows.ends.clear();
        rows.text.clear();
        rows.sets.clear();
        rows.distinct.clear();
        self.page(g, TIMES, &mut raw)?;
        let mut r = Reader::new(&raw);
        for run in &g.runs {
            rows.ints.clear();
            ints::decode(&mut r, run.rows as usize, &mut rows.ints)?;
            rows.times
                .extend(rows.ints.iter().map(|t| t.wrapping_mul(g.scale)));
        }
        self.page(g, LENGTHS, &mut raw)?;
        rows.ints.clear();
        ints::decode(&mut Reader::new(&raw), n, &mut rows.ints)?;
        let mut end = 0u32;
        for len in &rows.ints {
            let len = u32::try_from(*len).map_err(|_| ChunkError("length out of range"))?;
            end = end
                .checked_add(len)
                .ok_or(ChunkError("length out of range"))?;
            rows.ends.push(end);
        }
        if u64::from(end) != g.text || rows.times.len() != n {
            return damaged("lengths do not add up");
        }
        if sets && g.page_bytes[SETS] > 0 {
            self.page(g, SETS, &mut raw)?;
            let plain = rows.unpacker.unframe_sized(&raw, PAGE_BYTES_MAX)?;
            let mut r = Reader::new(&plain);
            for _ in 0..r.index(plain.len() + 1)? {
                rows.distinct.push(get_labels(&mut r)?);
            }
            ints::decode(&mut r, n, &mut rows.sets)?;
            let known = 0..=rows.distinct.len() as i64;
            if rows.sets.iter().any(|s| !known.contains(s)) {
                return damaged("metadata out of range");
            }
        }
        rows.raw = raw;
        Ok(())
    }

    /// Reads every page; the first damage found.
    pub(in crate::logs) fn verify(&self) -> Result<(), PartError> {
        let mut rows = Rows::default();
        (0..self.footer.groups.len()).try_for_each(|g| self.read(g, true, true, &mut rows))
    }
}
