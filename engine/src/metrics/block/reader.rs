//! Reading a block.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use super::{BLOCK_VERSION, BlockMeta, MAGIC, SERIES_PER_FRAME, Section, VALUES_PER_FRAME};
use crate::chunk::varint::Reader;
use crate::chunk::{ChunkError, histogram, ints, values};
use crate::index::{LabelIndex, matching_series};
use crate::io::{Fs, Mapping, crc32};
use crate::metrics::head::HistPoint;
use crate::model::{Labels, Matcher};

/// Why a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::metrics) enum BlockError {
    /// Bytes contradict the format.
    #[error("block {file}: damaged at {place}: {what}")]
    Damaged {
        file: String,
        place: String,
        what: String,
    },
    /// A later format.
    #[error("block {file}: format version {version} is newer than this program knows")]
    Version { file: String, version: u16 },
    #[error("block {file}: {source}")]
    Io {
        file: String,
        source: std::io::Error,
    },
}

/// Where a chunk is and what it covers.
#[derive(Debug, Clone, Copy)]
pub(in crate::metrics) enum ChunkRef {
    Float {
        column: u32,
        page: u32,
        offset: u32,
    },
    Histogram {
        page: u32,
        offset: u32,
        count: u32,
        min_t: i64,
        max_t: i64,
    },
}

/// One series' entry.
#[derive(Debug, Clone, Default)]
pub(in crate::metrics) struct SeriesEntry {
    pub(in crate::metrics) pairs: SmallVec<[u32; 24]>,
    pub(in crate::metrics) chunks: SmallVec<[ChunkRef; 4]>,
    pub(in crate::metrics) starts: Vec<(i64, i64)>,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::metrics) struct Column {
    page: u32,
    offset: u32,
    pub(in crate::metrics) len: u32,
    pub(in crate::metrics) min_t: i64,
    pub(in crate::metrics) max_t: i64,
}

/// The label index, read on first use.
struct Tables {
    /// Name, first pair, number of pairs.
    names: Vec<(String, u32, u32)>,
    values: Vec<u8>,
    /// Where value `i` ends in `values`.
    ends: Vec<u32>,
    /// Where the postings of pair `i` are in the section.
    postings: Vec<(u32, u32)>,
}

/// An open block.
pub(in crate::metrics) struct Block {
    pub(in crate::metrics) meta: BlockMeta,
    pub(in crate::metrics) path: PathBuf,
    pub(in crate::metrics) bytes: u64,
    map: Mapping,
    pages: Vec<(u64, u32, u32)>,
    checked: Vec<AtomicU64>,
    pub(in crate::metrics) columns: Vec<Column>,
    tables: OnceLock<Result<Tables, String>>,
    /// Where each frame of the series section is.
    frames: Vec<(u32, u32, u32)>,
    frame_cache: Mutex<(usize, Arc<Vec<u8>>)>,
    /// Deleted ranges by series.
    pub(in crate::metrics) tombstones: RwLock<Vec<(u32, i64, i64)>>,
}

fn le32(b: &[u8], at: usize) -> u32 {
    let w = b.get(at..at + 4).unwrap_or(&[0; 4]);
    u32::from_le_bytes([w[0], w[1], w[2], w[3]])
}

impl Block {
    /// Opens a block; checks trailer, footer and all sections, but not the pages.
    pub(in crate::metrics) fn open(fs: &dyn Fs, path: &Path) -> Result<Self, BlockError> {
        let file = path.display().to_string();
        let map = fs.map(path).map_err(|source| BlockError::Io {
            file: file.clone(),
            source,
        })?;
        let bad = |place: &str, what: &str| BlockError::Damaged {
            file: file.clone(),
            place: place.into(),
            what: what.into(),
        };
        let len = map.len();
        if len < 16 + 24 || &map[..8] != MAGIC || &map[len - 8..] != MAGIC {
            return Err(bad("start or end", "magic number missing"));
        }
        let version = u16::from_le_bytes([map[8], map[9]]);
        if version > BLOCK_VERSION {
            return Err(BlockError::Version { file, version });
        }
        if version != BLOCK_VERSION || map[10..16] != [0; 6] {
            return Err(bad("header", "unknown version 0 or reserved bytes set"));
        }
        let at = u64::from(le32(&map, len - 24)) | u64::from(le32(&map, len - 20)) << 32;
        let flen = le32(&map, len - 16) as usize;
        let footer = usize::try_from(at)
            .ok()
            .filter(|at| at.checked_add(flen) == Some(len - 24))
            .and_then(|at| map.get(at..at + flen))
            .ok_or_else(|| bad("trailer", "footer outside the file"))?;
        if crc32(footer) != le32(&map, len - 12) {
            return Err(bad("footer", "checksum"));
        }
        let meta: BlockMeta =
            serde_json::from_slice(footer).map_err(|e| bad("footer", &e.to_string()))?;
        for (name, s) in [
            ("page table", meta.pages),
            ("columns", meta.columns),
            ("names", meta.names),
            ("pairs", meta.pairs),
            ("postings", meta.postings),
            ("series", meta.series),
        ] {
            let b = section(&map, s).ok_or_else(|| bad(name, "section outside the file"))?;
            if crc32(b) != s.crc {
                return Err(bad(name, "checksum"));
            }
        }
        let parse = |e: ChunkError| bad("tables", e.0);
        let pages = read_pages(section(&map, meta.pages).unwrap_or(&[])).map_err(parse)?;
        let columns = read_columns(section(&map, meta.columns).unwrap_or(&[])).map_err(parse)?;
        let frames = read_frames(section(&map, meta.series).unwrap_or(&[])).map_err(parse)?;
        let checked = (0..pages.len().div_ceil(64))
            .map(|_| AtomicU64::new(0))
            .collect();
        Ok(Self {
            meta,
            path: path.to_owned(),
            bytes: len as u64,
            map,
            pages,
            checked,
            columns,
            tables: OnceLock::new(),
            frames,
            frame_cache: Mutex::new((usize::MAX, Arc::default())),
            tombstones: RwLock::default(),
        })
    }

    fn damaged(&self, place: String, what: impl Into<String>) -> BlockError {
        BlockError::Damaged {
            file: self.path.display().to_string(),
            place,
            what: what.into(),
        }
    }

    /// The bytes of a page from `offset` on, after its checksum (B2).
    fn page(&self, page: u32, offset: u32) -> Result<&[u8], BlockError> {
        let place = || format!("page {page}");
        let (at, len, crc) = *self
            .pages
            .get(page as usize)
            .ok_or_else(|| self.damaged(place(), "no such page"))?;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self
            .map
            .get(at..at.saturating_add(len as usize))
            .ok_or_else(|| self.damaged(place(), "outside the file"))?;
        let (word, bit) = (page as usize / 64, 1u64 << (page % 64));
        if self.checked[word].load(Ordering::Relaxed) & bit == 0 {
            if crc32(bytes) != crc {
                return Err(self.damaged(place(), "checksum"));
            }
            self.checked[word].fetch_or(bit, Ordering::Relaxed);
        }
        bytes
            .get(offset as usize..)
            .ok_or_else(|| self.damaged(place(), "chunk outside the page"))
    }

    /// Checks all pages.
    pub(in crate::metrics) fn verify(&self) -> Result<(), BlockError> {
        for p in 0..self.pages.len() as u32 {
            self.page(p, 0)?;
        }
        self.tables()?;
        for s in 0..self.meta.stats.series as u32 {
            let e = self.entry(s)?;
            for c in &e.chunks {
                match c {
                    ChunkRef::Float { column, .. } => {
                        let mut v = Vec::new();
                        self.timestamps(*column)?;
                        self.values(c, &mut v, &mut values::Scratch::default())?;
                    }
                    ChunkRef::Histogram { .. } => {
                        self.histograms(c, &mut Vec::new())?;
                    }
                }
            }
        }
        Ok(())
    }

    fn tables(&self) -> Result<&Tables, BlockError> {
        let t = self
            .tables
            .get_or_init(|| self.read_tables().map_err(|e| e.0.to_owned()));
        t.as_ref()
            .map_err(|e| self.damaged("label tables".into(), e.clone()))
    }

    fn read_tables(&self) -> Result<Tables, ChunkError> {
        let mut t = Tables {
            names: Vec::new(),
            values: Vec::new(),
            ends: Vec::new(),
            postings: Vec::new(),
        };
        let mut r = Reader::new(section(&self.map, self.meta.names).unwrap_or(&[]));
        let mut first = 0u32;
        for _ in 0..r.index(r.rest.len() + 1)? {
            let name = std::str::from_utf8(r.block()?).map_err(|_| ChunkError("name"))?;
            let n = r.index(1 << 31)? as u32;
            t.names.push((name.to_owned(), first, n));
            first = first.checked_add(n).ok_or(ChunkError("too many pairs"))?;
        }
        let mut r = Reader::new(section(&self.map, self.meta.pairs).unwrap_or(&[]));
        let mut left = first as usize;
        while left > 0 {
            let raw = frame(&mut r)?;
            let mut f = Reader::new(&raw);
            for _ in 0..left.min(VALUES_PER_FRAME) {
                let v = f.block()?;
                std::str::from_utf8(v).map_err(|_| ChunkError("value is not UTF-8"))?;
                t.values.extend_from_slice(v);
                t.ends
                    .push(u32::try_from(t.values.len()).map_err(|_| ChunkError("values"))?);
                left -= 1;
            }
        }
        let all = section(&self.map, self.meta.postings).unwrap_or(&[]);
        let mut r = Reader::new(all);
        for _ in 0..first {
            let n = r.index(r.rest.len() + 1)?;
            t.postings
                .push(((all.len() - r.rest.len()) as u32, n as u32));
            r.bytes(n)?;
        }
        Ok(t)
    }

    /// Ids of the series that match.
    pub(in crate::metrics) fn select(
        &self,
        matchers: &[Matcher],
    ) -> Result<RoaringBitmap, BlockError> {
        let tables = self.tables()?;
        Ok(matching_series(
            &View {
                block: self,
                tables,
            },
            matchers,
        ))
    }

    /// All names, or those that series in `of` have.
    pub(in crate::metrics) fn names(
        &self,
        of: Option<&RoaringBitmap>,
    ) -> Result<Vec<String>, BlockError> {
        let t = self.tables()?;
        let hit = |first: u32, n: u32| match of {
            None => true,
            Some(of) => (first..first + n).any(|p| !self.postings(t, p).is_disjoint(of)),
        };
        Ok(t.names
            .iter()
            .filter(|x| hit(x.1, x.2))
            .map(|x| x.0.clone())
            .collect())
    }

    /// Number of values of `name`, if the tables have been read already.
    pub(in crate::metrics) fn known_values(&self, name: &str) -> Option<u64> {
        let tables = self.tables.get()?.as_ref().ok()?;
        Some(tables.name(name).map_or(0, |(_, n)| u64::from(n)))
    }

    /// All values of `name`, or those that series in `of` have, sorted.
    pub(in crate::metrics) fn label_values(
        &self,
        name: &str,
        of: Option<&RoaringBitmap>,
    ) -> Result<Vec<String>, BlockError> {
        let t = self.tables()?;
        let Some((first, n)) = t.name(name) else {
            return Ok(Vec::new());
        };
        let hit = |p: u32| of.is_none_or(|of| !self.postings(t, p).is_disjoint(of));
        Ok((first..first + n)
            .filter(|p| hit(*p))
            .map(|p| t.value(p).to_owned())
            .collect())
    }

    fn postings(&self, t: &Tables, pair: u32) -> RoaringBitmap {
        let mut out = RoaringBitmap::new();
        self.add_postings(t, pair, &mut out);
        out
    }

    fn add_postings(&self, t: &Tables, pair: u32, acc: &mut RoaringBitmap) {
        let Some((at, n)) = t.postings.get(pair as usize).copied() else {
            return;
        };
        let all = section(&self.map, self.meta.postings).unwrap_or(&[]);
        let Some(b) = all.get(at as usize..(at + n) as usize) else {
            return;
        };
        let mut r = Reader::new(b);
        match r.u8() {
            Ok(0) => {
                let n = r.varint().unwrap_or(0);
                let mut at = 0u32;
                for _ in 0..n {
                    let Ok(d) = r.varint() else { return };
                    at = at.wrapping_add(d as u32);
                    acc.insert(at);
                }
            }
            Ok(1) => {
                if let Ok(b) = RoaringBitmap::deserialize_from(r.rest) {
                    *acc |= b;
                }
            }
            _ => {}
        }
    }

    /// Entry of series `id`.
    pub(in crate::metrics) fn entry(&self, id: u32) -> Result<SeriesEntry, BlockError> {
        let err = |e: ChunkError| self.damaged(format!("series {id}"), e.0);
        let f = id as usize / SERIES_PER_FRAME;
        let raw = self.series_frame(f)?;
        let mut r = Reader::new(&raw);
        for _ in 0..id as usize % SERIES_PER_FRAME {
            read_entry(&mut r, None).map_err(err)?;
        }
        let mut e = SeriesEntry::default();
        read_entry(&mut r, Some(&mut e)).map_err(err)?;
        Ok(e)
    }

    /// Calls `visit` with the entries of the series in `ids`, ascending, until it fails.
    pub(in crate::metrics) fn entries<E: From<BlockError>>(
        &self,
        ids: &RoaringBitmap,
        visit: &mut dyn FnMut(u32, SeriesEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut current = usize::MAX;
        let mut raw: Arc<Vec<u8>> = Arc::default();
        let mut at = 0; // offset in `raw`
        let mut next = 0; // series at that offset
        for id in ids {
            let err = |e: ChunkError| self.damaged(format!("series {id}"), e.0);
            let f = id as usize / SERIES_PER_FRAME;
            if f != current {
                raw = self.series_frame(f)?;
                current = f;
                at = 0;
                next = f * SERIES_PER_FRAME;
            }
            let mut r = Reader::new(&raw[at..]);
            while next < id as usize {
                read_entry(&mut r, None).map_err(err)?;
                next += 1;
            }
            let mut e = SeriesEntry::default();
            read_entry(&mut r, Some(&mut e)).map_err(err)?;
            next += 1;
            at = raw.len() - r.rest.len();
            visit(id, e)?;
        }
        Ok(())
    }

    fn series_frame(&self, f: usize) -> Result<Arc<Vec<u8>>, BlockError> {
        {
            let c = self.frame_cache.lock();
            if c.0 == f {
                return Ok(Arc::clone(&c.1));
            }
        }
        let place = || format!("series frame {f}");
        let (at, raw_len, len) = *self
            .frames
            .get(f)
            .ok_or_else(|| self.damaged(place(), "no such frame"))?;
        let all = section(&self.map, self.meta.series).unwrap_or(&[]);
        let z = all
            .get(at as usize..at as usize + len as usize)
            .ok_or_else(|| self.damaged(place(), "outside the section"))?;
        let raw = zstd::bulk::decompress(z, raw_len as usize)
            .map_err(|e| self.damaged(place(), e.to_string()))?;
        let raw = Arc::new(raw);
        *self.frame_cache.lock() = (f, Arc::clone(&raw));
        Ok(raw)
    }

    /// Labels of an entry.
    pub(in crate::metrics) fn labels(&self, e: &SeriesEntry) -> Result<Labels, BlockError> {
        let t = self.tables()?;
        let pairs: SmallVec<[(&str, &str); 24]> = e
            .pairs
            .iter()
            .map(|p| (t.name_of(*p), t.value(*p)))
            .collect();
        if !pairs.windows(2).all(|w| w[0].0 < w[1].0) {
            return Err(self.damaged("series".into(), "labels out of order"));
        }
        Ok(Labels::from_sorted(&pairs))
    }

    /// Timestamps of a column.
    pub(in crate::metrics) fn timestamps(&self, column: u32) -> Result<Arc<[i64]>, BlockError> {
        let place = || format!("column {column}");
        let c = self
            .columns
            .get(column as usize)
            .ok_or_else(|| self.damaged(place(), "no such column"))?;
        let mut out = Vec::new();
        ints::decode(
            &mut Reader::new(self.page(c.page, c.offset)?),
            c.len as usize,
            &mut out,
        )
        .map_err(|e| self.damaged(place(), e.0))?;
        Ok(out.into())
    }

    /// Appends the values of a float chunk.
    pub(in crate::metrics) fn values(
        &self,
        c: &ChunkRef,
        out: &mut Vec<f64>,
        s: &mut values::Scratch,
    ) -> Result<(), BlockError> {
        let ChunkRef::Float {
            column,
            page,
            offset,
        } = *c
        else {
            return Ok(());
        };
        let n = self
            .columns
            .get(column as usize)
            .map_or(0, |c| c.len as usize);
        values::decode(&mut Reader::new(self.page(page, offset)?), n, out, s)
            .map_err(|e| self.damaged(format!("page {page} offset {offset}"), e.0))
    }

    /// Appends the points of a histogram chunk.
    pub(in crate::metrics) fn histograms(
        &self,
        c: &ChunkRef,
        out: &mut Vec<HistPoint>,
    ) -> Result<(), BlockError> {
        let ChunkRef::Histogram {
            page,
            offset,
            count,
            ..
        } = *c
        else {
            return Ok(());
        };
        let n = count as usize;
        let mut r = Reader::new(self.page(page, offset)?);
        let mut read = || -> Result<(), ChunkError> {
            let (mut ts, mut starts) = (Vec::new(), Vec::new());
            ints::decode(&mut r, n, &mut ts)?;
            ints::decode(&mut r, n, &mut starts)?;
            for (t, start_t) in ts.into_iter().zip(starts) {
                out.push(HistPoint {
                    t,
                    start_t,
                    h: Arc::new(histogram::get(&mut r)?),
                });
            }
            Ok(())
        };
        read().map_err(|e| self.damaged(format!("page {page} offset {offset}"), e.0))
    }

    /// Deleted ranges of a series.
    pub(in crate::metrics) fn deleted(&self, id: u32) -> Vec<(i64, i64)> {
        let t = self.tombstones.read();
        t.iter().filter(|x| x.0 == id).map(|x| (x.1, x.2)).collect()
    }
}

impl Tables {
    fn name(&self, name: &str) -> Option<(u32, u32)> {
        let i = self
            .names
            .binary_search_by(|x| x.0.as_str().cmp(name))
            .ok()?;
        Some((self.names[i].1, self.names[i].2))
    }

    fn name_of(&self, pair: u32) -> &str {
        let i = self.names.partition_point(|x| x.1 <= pair);
        // Names without values do not exist, so the last one that starts at or before is it.
        self.names.get(i.wrapping_sub(1)).map_or("", |x| &x.0)
    }

    fn value(&self, pair: u32) -> &str {
        let p = pair as usize;
        let start = if p == 0 {
            0
        } else {
            self.ends.get(p - 1).copied().unwrap_or(0)
        };
        let end = self.ends.get(p).copied().unwrap_or(start);
        let b = self.values.get(start as usize..end as usize).unwrap_or(&[]);
        std::str::from_utf8(b).unwrap_or("")
    }

    /// Pair ids of the values of `name` from the first one `>= value`.
    fn seek(&self, name: &str, value: &str) -> std::ops::Range<u32> {
        let Some((first, n)) = self.name(name) else {
            return 0..0;
        };
        let (mut lo, mut hi) = (first, first + n);
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            if self.value(mid) < value {
                lo = mid + 1
            } else {
                hi = mid
            }
        }
        lo..first + n
    }
}

struct View<'a> {
    block: &'a Block,
    tables: &'a Tables,
}

impl LabelIndex for View<'_> {
    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.block.meta.stats.series as u32);
        all
    }

    fn add_pair(&self, name: &str, value: &str, acc: &mut RoaringBitmap) {
        let mut range = self.tables.seek(name, value);
        if let Some(p) = range.next().filter(|p| self.tables.value(*p) == value) {
            self.block.add_postings(self.tables, p, acc);
        }
    }

    fn add_values(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
        acc: &mut RoaringBitmap,
    ) {
        for p in self.tables.seek(name, prefix) {
            let v = self.tables.value(p);
            if !v.starts_with(prefix) {
                break;
            }
            if keep(v) {
                self.block.add_postings(self.tables, p, acc);
            }
        }
    }
}

fn section(map: &[u8], s: Section) -> Option<&[u8]> {
    let at = usize::try_from(s.offset).ok()?;
    map.get(at..at.checked_add(usize::try_from(s.len).ok()?)?)
}

fn read_pages(b: &[u8]) -> Result<Vec<(u64, u32, u32)>, ChunkError> {
    let mut r = Reader::new(b);
    let n = r.index(b.len() + 1)?;
    let mut at = 16u64;
    (0..n)
        .map(|_| {
            let len = r.index(1 << 31)? as u32;
            let page = (at, len, r.u32()?);
            at += u64::from(len);
            Ok(page)
        })
        .collect()
}

fn read_columns(b: &[u8]) -> Result<Vec<Column>, ChunkError> {
    let mut r = Reader::new(b);
    let n = r.index(b.len() + 1)?;
    (0..n)
        .map(|_| {
            Ok(Column {
                page: r.index(1 << 32)? as u32,
                offset: r.index(1 << 32)? as u32,
                len: r.index(1 << 20)? as u32,
                min_t: r.signed()?,
                max_t: r.signed()?,
            })
        })
        .collect()
}

fn read_frames(b: &[u8]) -> Result<Vec<(u32, u32, u32)>, ChunkError> {
    let mut r = Reader::new(b);
    let mut out = Vec::new();
    while !r.rest.is_empty() {
        let raw = r.index(1 << 28)? as u32;
        let len = r.index(r.rest.len() + 1)?;
        out.push(((b.len() - r.rest.len()) as u32, raw, len as u32));
        r.bytes(len)?;
    }
    Ok(out)
}

fn frame(r: &mut Reader<'_>) -> Result<Vec<u8>, ChunkError> {
    let raw = r.index(1 << 28)?;
    let len = r.index(r.rest.len() + 1)?;
    zstd::bulk::decompress(r.bytes(len)?, raw).map_err(|_| ChunkError("zstd frame"))
}

fn read_entry(r: &mut Reader<'_>, mut out: Option<&mut SeriesEntry>) -> Result<(), ChunkError> {
    for _ in 0..r.index(r.rest.len() + 1)? {
        let p = r.index(1 << 32)? as u32;
        if let Some(e) = &mut out {
            e.pairs.push(p);
        }
    }
    for _ in 0..r.index(r.rest.len() + 1)? {
        let c = match r.u8()? {
            0 => ChunkRef::Float {
                column: r.index(1 << 32)? as u32,
                page: r.index(1 << 32)? as u32,
                offset: r.index(1 << 32)? as u32,
            },
            1 => ChunkRef::Histogram {
                page: r.index(1 << 32)? as u32,
                offset: r.index(1 << 32)? as u32,
                count: r.index(1 << 20)? as u32,
                min_t: r.signed()?,
                max_t: r.signed()?,
            },
            _ => return Err(ChunkError("unknown kind of chunk")),
        };
        if let Some(e) = &mut out {
            e.chunks.push(c);
        }
    }
    for _ in 0..r.index(r.rest.len() + 1)? {
        let s = (r.signed()?, r.signed()?);
        if let Some(e) = &mut out {
            e.starts.push(s);
        }
    }
    Ok(())
}
