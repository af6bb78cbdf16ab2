//! Reading a Prometheus block.

use std::path::{Path, PathBuf};

use super::{CHUNKS_MAGIC, INDEX_MAGIC, TsdbError, io_at};
use crate::chunk::gorilla::{ENCODING_XOR, XorDecoder};
use crate::chunk::prom_histogram::{
    ENCODING_FLOAT_HISTOGRAM, ENCODING_HISTOGRAM, HistogramDecoder,
};
use crate::chunk::varint::Reader;
use crate::io::{Fs, Mapping, crc32c};
use crate::model::{HistogramPoint, Labels, LabelsBuilder, Sample};

/// One series of a block.
#[derive(Debug, Clone, Default)]
pub struct TsdbSeries {
    /// Its labels.
    pub labels: Labels,
    /// Float samples, ascending, tombstones not applied.
    pub samples: Vec<Sample>,
    /// Histogram samples, ascending.
    pub histograms: Vec<HistogramPoint>,
}

/// An open Prometheus block.
pub struct TsdbBlock {
    index: Mapping,
    index_path: PathBuf,
    chunks: Vec<(PathBuf, Mapping)>,
    /// Deleted ranges by series reference.
    tombstones: Vec<(u64, i64, i64)>,
}

impl TsdbBlock {
    /// Opens a block directory.
    ///
    /// # Errors
    /// When a file is missing or is not what it should be.
    pub fn open(fs: &dyn Fs, dir: &Path) -> Result<Self, TsdbError> {
        let index_path = dir.join("index");
        let index = fs.map(&index_path).map_err(io_at(&index_path))?;
        let mut chunks = Vec::new();
        let chunk_dir = dir.join("chunks");
        for e in fs.list(&chunk_dir).map_err(io_at(&chunk_dir))? {
            if e.name.parse::<u64>().is_ok() {
                let path = chunk_dir.join(&e.name);
                let map = fs.map(&path).map_err(io_at(&path))?;
                if be32(&map, 0) != Some(CHUNKS_MAGIC) || map.get(4) != Some(&1) {
                    return Err(damaged(&path, 0, "not a chunk file of version 1"));
                }
                chunks.push((path, map));
            }
        }
        let tombstones = read_tombstones(fs, &dir.join("tombstones"))?;
        let block = Self {
            index,
            index_path,
            chunks,
            tombstones,
        };
        if be32(&block.index, 0) != Some(INDEX_MAGIC) || block.index.get(4) != Some(&2) {
            return Err(block.bad(0, "not an index of version 2"));
        }
        Ok(block)
    }

    fn bad(&self, offset: usize, what: &str) -> TsdbError {
        damaged(&self.index_path, offset, what)
    }

    /// A section `len u32, body, crc u32` at `at`.
    fn section(&self, at: usize) -> Result<&[u8], TsdbError> {
        let short = || self.bad(at, "section past the end");
        let len = be32(&self.index, at).ok_or_else(short)? as usize;
        let body = self
            .index
            .get(at + 4..(at + 4).saturating_add(len))
            .ok_or_else(short)?;
        if be32(&self.index, at + 4 + len) != Some(crc32c(body)) {
            return Err(self.bad(at, "checksum"));
        }
        Ok(body)
    }

    /// Calls `visit` for every series, in label order.
    ///
    /// # Errors
    /// Damage, or the error of `visit`.
    pub fn for_each(
        &self,
        visit: &mut dyn FnMut(TsdbSeries) -> Result<(), TsdbError>,
    ) -> Result<(), TsdbError> {
        let n = self.index.len();
        let toc_at = n.checked_sub(52).ok_or_else(|| self.bad(0, "too short"))?;
        let toc = &self.index[toc_at..n - 4];
        if be32(&self.index, n - 4) != Some(crc32c(toc)) {
            return Err(self.bad(toc_at, "checksum of the table of contents"));
        }
        let entry = |i: usize| {
            let mut b = [0; 8];
            b.copy_from_slice(&toc[i * 8..i * 8 + 8]);
            usize::try_from(u64::from_be_bytes(b)).unwrap_or(usize::MAX)
        };
        let symbols = self.symbols(entry(0))?;
        for reference in self.all_postings(entry(5))? {
            let series = self.series(u64::from(reference), &symbols)?;
            visit(series)?;
        }
        Ok(())
    }

    fn symbols(&self, at: usize) -> Result<Vec<&str>, TsdbError> {
        let body = self.section(at)?;
        let err = |_| self.bad(at, "symbol table");
        let mut r = Reader::new(body.get(4..).unwrap_or(&[]));
        let count = be32(body, 0).unwrap_or(0) as usize;
        let mut out = Vec::with_capacity(count.min(r.rest.len()));
        for _ in 0..count {
            let s = r.block().map_err(err)?;
            out.push(std::str::from_utf8(s).map_err(|_| self.bad(at, "symbol is not UTF-8"))?);
        }
        Ok(out)
    }

    /// References of all series: the postings list of the empty pair.
    fn all_postings(&self, table_at: usize) -> Result<Vec<u32>, TsdbError> {
        let body = self.section(table_at)?;
        let err = |_| self.bad(table_at, "postings table");
        let mut r = Reader::new(body.get(4..).unwrap_or(&[]));
        for _ in 0..be32(body, 0).unwrap_or(0) {
            r.u8().map_err(err)?;
            let (name, value) = (r.block().map_err(err)?, r.block().map_err(err)?);
            let at = r.varint().map_err(err)?;
            if name.is_empty() && value.is_empty() {
                let list = self.section(usize::try_from(at).unwrap_or(usize::MAX))?;
                let refs = list.get(4..).unwrap_or(&[]).chunks_exact(4);
                return Ok(refs
                    .map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]))
                    .collect());
            }
        }
        Err(self.bad(table_at, "no list of all series"))
    }

    fn series(&self, reference: u64, symbols: &[&str]) -> Result<TsdbSeries, TsdbError> {
        let at = usize::try_from(reference * 16).unwrap_or(usize::MAX);
        let err = |_| self.bad(at, "series entry");
        let mut r = Reader::new(self.index.get(at..).unwrap_or(&[]));
        let body = r.block().map_err(err)?;
        if be32(r.rest, 0) != Some(crc32c(body)) {
            return Err(self.bad(at, "checksum of a series entry"));
        }
        let mut r = Reader::new(body);
        let mut labels = LabelsBuilder::new();
        let symbol = |i: u64| {
            let s = usize::try_from(i).ok().and_then(|i| symbols.get(i));
            s.copied()
                .ok_or_else(|| self.bad(at, "symbol out of range"))
        };
        for _ in 0..r.index(body.len() + 1).map_err(err)? {
            let n = symbol(r.varint().map_err(err)?)?;
            labels.set(n, symbol(r.varint().map_err(err)?)?);
        }
        let mut out = TsdbSeries {
            labels: labels.build(),
            ..TsdbSeries::default()
        };
        let mut last: Option<u64> = None;
        for _ in 0..r.index(body.len() + 1).map_err(err)? {
            // Times repeat what the chunk says; only the reference is needed.
            let chunk = match last {
                None => {
                    r.signed().map_err(err)?;
                    r.varint().map_err(err)?;
                    r.varint().map_err(err)?
                }
                Some(before) => {
                    r.varint().map_err(err)?;
                    r.varint().map_err(err)?;
                    before.wrapping_add(r.signed().map_err(err)? as u64)
                }
            };
            last = Some(chunk);
            self.chunk(chunk, &mut out)?;
        }
        let gone: Vec<_> = self
            .tombstones
            .iter()
            .filter(|t| t.0 == reference)
            .collect();
        let keep = |t: i64| !gone.iter().any(|g| g.1 <= t && t <= g.2);
        out.samples.retain(|s| keep(s.t));
        out.histograms.retain(|h| keep(h.t));
        Ok(out)
    }

    fn chunk(&self, reference: u64, out: &mut TsdbSeries) -> Result<(), TsdbError> {
        let (file, at) = (
            (reference >> 32) as usize,
            (reference & 0xffff_ffff) as usize,
        );
        let Some((path, map)) = self.chunks.get(file) else {
            return Err(self.bad(0, "chunk file out of range"));
        };
        let err = |what: &str| damaged(path, at, what);
        let mut r = Reader::new(map.get(at..).unwrap_or(&[]));
        let len = r.index(map.len() + 1).map_err(|_| err("chunk length"))?;
        let body = r.bytes(len + 1).map_err(|_| err("chunk past the end"))?;
        if be32(r.rest, 0) != Some(crc32c(body)) {
            return Err(err("checksum of a chunk"));
        }
        let (encoding, data) = (body[0], &body[1..]);
        match encoding {
            ENCODING_XOR => {
                let d = XorDecoder::new(data).map_err(|_| err("chunk header"))?;
                for s in d {
                    out.samples.push(s.map_err(|_| err("chunk ends early"))?);
                }
            }
            ENCODING_HISTOGRAM | ENCODING_FLOAT_HISTOGRAM => {
                let d = HistogramDecoder::new(encoding, data).map_err(|_| err("chunk header"))?;
                for h in d {
                    out.histograms.push(h.map_err(|_| err("chunk ends early"))?);
                }
            }
            _ => return Err(err("unknown chunk encoding")),
        }
        Ok(())
    }
}

/// `tombstones`: magic, version, entries (series varint, first and last signed varints), crc.
fn read_tombstones(fs: &dyn Fs, path: &Path) -> Result<Vec<(u64, i64, i64)>, TsdbError> {
    if !fs.exists(path) {
        return Ok(Vec::new());
    }
    let map = fs.map(path).map_err(io_at(path))?;
    let bad = |what: &str| damaged(path, 0, what);
    if be32(&map, 0) != Some(0x0130_BA30) || map.get(4) != Some(&1) || map.len() < 9 {
        return Err(bad("not a tombstones file of version 1"));
    }
    let body = &map[5..map.len() - 4];
    if be32(&map, map.len() - 4) != Some(crc32c(body)) {
        return Err(bad("checksum"));
    }
    let mut r = Reader::new(body);
    let mut out = Vec::new();
    while !r.rest.is_empty() {
        let mut entry = || Ok((r.varint()?, r.signed()?, r.signed()?));
        let e: Result<_, crate::chunk::ChunkError> = entry();
        out.push(e.map_err(|_| bad("entry ends early"))?);
    }
    Ok(out)
}

fn be32(b: &[u8], at: usize) -> Option<u32> {
    let w = b.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes([w[0], w[1], w[2], w[3]]))
}

fn damaged(path: &Path, offset: usize, what: &str) -> TsdbError {
    TsdbError::Damaged {
        file: path.display().to_string(),
        offset: offset as u64,
        what: what.to_owned(),
    }
}
