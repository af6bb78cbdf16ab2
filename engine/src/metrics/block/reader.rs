//! Reading a block: pages, chunks, entries of series.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use super::cache::{BlockCache, BlockId, Frame};
use super::labels::{Index, Tables};
use super::{BLOCK_VERSION, BlockMeta, MAGIC, SERIES_PER_FRAME, Section};
use crate::chunk::varint::Reader;
use crate::chunk::{ChunkError, frame, histogram, ints, values};
use crate::index::matching_series;
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

impl SeriesEntry {
    fn clear(&mut self) {
        self.pairs.clear();
        self.chunks.clear();
        self.starts.clear();
    }
}

#[derive(Debug, Clone, Copy)]
pub(in crate::metrics) struct Column {
    page: u32,
    offset: u32,
    pub(in crate::metrics) len: u32,
    pub(in crate::metrics) min_t: i64,
    pub(in crate::metrics) max_t: i64,
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
    id: BlockId,
    cache: Arc<BlockCache>,
    /// Deleted ranges by series.
    pub(in crate::metrics) tombstones: RwLock<Vec<(u32, i64, i64)>>,
}

fn le32(b: &[u8], at: usize) -> u32 {
    let w = b.get(at..at + 4).unwrap_or(&[0; 4]);
    u32::from_le_bytes([w[0], w[1], w[2], w[3]])
}

impl Block {
    /// Opens a block; checks trailer, footer and all sections, but not the pages.
    pub(in crate::metrics) fn open(
        fs: &dyn Fs,
        path: &Path,
        cache: &Arc<BlockCache>,
    ) -> Result<Self, BlockError> {
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
            id: cache.register(),
            cache: Arc::clone(cache),
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
        self.entries(0..self.meta.stats.series as u32, &mut |_, e| {
            for c in &e.chunks {
                match c {
                    ChunkRef::Float { column, .. } => {
                        let mut v = Vec::new();
                        self.timestamps(*column)?;
                        self.values(c, usize::MAX, &mut v, &mut values::Scratch::default())?;
                    }
                    ChunkRef::Histogram { .. } => {
                        self.histograms(c, &mut Vec::new())?;
                    }
                }
            }
            Ok(())
        })
    }

    fn tables(&self) -> Result<&Tables, BlockError> {
        let section = |s| section(&self.map, s).unwrap_or(&[]);
        let t = self.tables.get_or_init(|| {
            Tables::read(
                section(self.meta.names),
                section(self.meta.pairs),
                section(self.meta.postings),
            )
            .map_err(|e| e.0.to_owned())
        });
        t.as_ref()
            .map_err(|e| self.damaged("label tables".into(), e.clone()))
    }

    /// Ids of the series that match.
    pub(in crate::metrics) fn select(
        &self,
        matchers: &[Matcher],
    ) -> Result<Arc<RoaringBitmap>, BlockError> {
        self.cache.found(self.id, matchers, || {
            Ok(matching_series(&self.index(self.tables()?), matchers))
        })
    }

    fn index<'a>(&'a self, tables: &'a Tables) -> Index<'a> {
        Index {
            tables,
            postings: section(&self.map, self.meta.postings).unwrap_or(&[]),
            series: self.meta.stats.series as u32,
        }
    }

    /// All names, or those that series in `of` have.
    pub(in crate::metrics) fn names(
        &self,
        of: Option<&RoaringBitmap>,
    ) -> Result<Vec<String>, BlockError> {
        let t = self.tables()?;
        let index = self.index(t);
        let hit = |first: u32, n: u32| match of {
            None => true,
            Some(of) => (first..first + n).any(|p| !index.series_of(p).is_disjoint(of)),
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
        let index = self.index(t);
        let hit = |p: u32| of.is_none_or(|of| !index.series_of(p).is_disjoint(of));
        Ok((first..first + n)
            .filter(|p| hit(*p))
            .map(|p| t.value(p).to_owned())
            .collect())
    }

    /// Calls `visit` with the entries of the series in `ids`, ascending, until it fails.
    pub(in crate::metrics) fn entries<E: From<BlockError>>(
        &self,
        ids: impl IntoIterator<Item = u32>,
        visit: &mut dyn FnMut(u32, &SeriesEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut frame: Option<(u32, Arc<Frame>)> = None;
        let mut entry = SeriesEntry::default();
        for id in ids {
            let f = id / SERIES_PER_FRAME as u32;
            let frame = match &mut frame {
                Some((at, frame)) if *at == f => frame,
                other => &other.insert((f, self.series_frame(f)?)).1,
            };
            let err = |e: ChunkError| self.damaged(format!("series {id}"), e.0);
            let bytes = frame.entry(id as usize % SERIES_PER_FRAME);
            let bytes = bytes.ok_or(ChunkError("no such series")).map_err(err)?;
            entry.clear();
            read_entry(&mut Reader::new(bytes), Some(&mut entry)).map_err(err)?;
            visit(id, &entry)?;
        }
        Ok(())
    }

    fn series_frame(&self, f: u32) -> Result<Arc<Frame>, BlockError> {
        let place = || format!("series frame {f}");
        let unpack = || {
            let (at, raw_len, len) = *self
                .frames
                .get(f as usize)
                .ok_or_else(|| self.damaged(place(), "no such frame"))?;
            let all = section(&self.map, self.meta.series).unwrap_or(&[]);
            let z = all
                .get(at as usize..at as usize + len as usize)
                .ok_or_else(|| self.damaged(place(), "outside the section"))?;
            frame::unframe(z, raw_len as usize)
                .and_then(|raw| Frame::new(raw, |r| read_entry(r, None)))
                .map_err(|e| self.damaged(place(), e.0))
        };
        self.cache.frame(self.id, f, unpack)
    }

    /// Labels of an entry.
    pub(in crate::metrics) fn labels(&self, e: &SeriesEntry) -> Result<Labels, BlockError> {
        let t = self.tables()?;
        let mut least = 0;
        let mut ascending = true;
        let pairs = e.pairs.iter().map(|p| {
            let (name, pair) = t.pair(*p);
            ascending &= name >= least;
            least = name + 1;
            pair
        });
        let labels = Labels::from_sorted_bytes(pairs, 32 * e.pairs.len());
        if !ascending {
            return Err(self.damaged("series".into(), "labels out of order"));
        }
        Ok(labels)
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

    /// Appends the first values of a float chunk, at least `want` of them if it has so many.
    pub(in crate::metrics) fn values(
        &self,
        c: &ChunkRef,
        want: usize,
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
        values::decode_first(self.page(page, offset)?, (n, want), out, s)
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
