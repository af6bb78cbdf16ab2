//! Writing a Prometheus block.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{CHUNK_FILE_BYTES_MAX, CHUNKS_MAGIC, INDEX_MAGIC, TsdbError, io_at};
use crate::io::{File, Fs, OpenMode, crc32c, write_full};
use crate::model::{HistogramPoint, Labels, Sample};
use crate::wire::proto::{put_varint, zigzag};
use crate::wire::remote_read::chunks_of;

/// Counts of a written block.
#[derive(Debug, Clone, Copy, Default)]
pub struct TsdbMeta {
    /// Oldest sample, ms.
    pub min_t: i64,
    /// Newest sample, ms.
    pub max_t: i64,
    /// Series.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Chunks.
    pub chunks: u64,
}

struct SeriesEntry {
    labels: Labels,
    /// First and last timestamp, reference.
    chunks: Vec<(i64, i64, u64)>,
}

/// A Prometheus block under construction. Memory: the labels and chunk references of all series.
pub struct TsdbWriter<'a> {
    fs: &'a dyn Fs,
    dir: PathBuf,
    chunk_file: Option<Arc<dyn File>>,
    chunk_number: u64,
    chunk_at: u64,
    out: Vec<u8>,
    series: Vec<SeriesEntry>,
    meta: TsdbMeta,
}

impl<'a> TsdbWriter<'a> {
    /// Starts a block in the new directory `dir` (named by its ULID).
    ///
    /// # Errors
    /// I/O errors.
    pub fn create(fs: &'a dyn Fs, dir: &Path) -> Result<Self, TsdbError> {
        fs.create_dir_all(&dir.join("chunks")).map_err(io_at(dir))?;
        let meta = TsdbMeta {
            min_t: i64::MAX,
            max_t: i64::MIN,
            ..TsdbMeta::default()
        };
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            chunk_file: None,
            chunk_number: 0,
            chunk_at: 0,
            out: Vec::new(),
            series: Vec::new(),
            meta,
        })
    }

    /// Adds a series; labels must ascend, points too. A series without points is left out.
    ///
    /// # Errors
    /// Series out of order, I/O errors.
    pub fn add(
        &mut self,
        labels: &Labels,
        samples: &[Sample],
        histograms: &[HistogramPoint],
    ) -> Result<(), TsdbError> {
        if samples.is_empty() && histograms.is_empty() {
            return Ok(());
        }
        if self.series.last().is_some_and(|s| s.labels >= *labels) {
            return Err(TsdbError::Order(labels.to_string()));
        }
        let mut refs = Vec::new();
        for c in chunks_of(samples, histograms) {
            if self.chunk_file.is_none() || self.chunk_at > CHUNK_FILE_BYTES_MAX {
                self.next_chunk_file()?;
            }
            let reference = (self.chunk_number - 1) << 32 | self.chunk_at;
            let start = self.out.len();
            put_varint(&mut self.out, c.data.len() as u64);
            let data = self.out.len();
            self.out.push(c.encoding);
            self.out.extend_from_slice(&c.data);
            let crc = crc32c(&self.out[data..]);
            self.out.extend_from_slice(&crc.to_be_bytes());
            self.chunk_at += (self.out.len() - start) as u64;
            if self.out.len() > 1 << 20 {
                self.flush_chunks()?;
            }
            refs.push((c.min_ms, c.max_ms, reference));
            self.meta.min_t = self.meta.min_t.min(c.min_ms);
            self.meta.max_t = self.meta.max_t.max(c.max_ms);
        }
        self.meta.chunks += refs.len() as u64;
        self.meta.samples += (samples.len() + histograms.len()) as u64;
        self.meta.series += 1;
        self.series.push(SeriesEntry {
            labels: labels.clone(),
            chunks: refs,
        });
        Ok(())
    }

    fn next_chunk_file(&mut self) -> Result<(), TsdbError> {
        self.close_chunk_file()?;
        self.chunk_number += 1;
        let path = self
            .dir
            .join("chunks")
            .join(format!("{:06}", self.chunk_number));
        self.chunk_file = Some(
            self.fs
                .open(&path, OpenMode::Create)
                .map_err(io_at(&path))?,
        );
        self.out.extend_from_slice(&CHUNKS_MAGIC.to_be_bytes());
        self.out.extend_from_slice(&[1, 0, 0, 0]);
        self.chunk_at = 8;
        Ok(())
    }

    fn flush_chunks(&mut self) -> Result<(), TsdbError> {
        let Some(f) = &self.chunk_file else {
            return Ok(());
        };
        let at = self.chunk_at - self.out.len() as u64;
        write_full(&**f, &self.out, at).map_err(io_at(&self.dir))?;
        self.out.clear();
        Ok(())
    }

    fn close_chunk_file(&mut self) -> Result<(), TsdbError> {
        self.flush_chunks()?;
        match self.chunk_file.take() {
            Some(f) => f.sync().map_err(io_at(&self.dir)),
            None => Ok(()),
        }
    }

    /// Writes the index and `meta.json`.
    ///
    /// # Errors
    /// I/O errors.
    pub fn finish(mut self, ulid: &str) -> Result<TsdbMeta, TsdbError> {
        self.close_chunk_file()?;
        let index = self.index();
        let path = self.dir.join("index");
        let f = self
            .fs
            .open(&path, OpenMode::Create)
            .map_err(io_at(&path))?;
        write_full(&*f, &index, 0).map_err(io_at(&path))?;
        f.sync().map_err(io_at(&path))?;
        let m = self.meta;
        let json = serde_json::json!({
            "ulid": ulid,
            "minTime": m.min_t,
            // Prometheus' end is exclusive.
            "maxTime": m.max_t.saturating_add(1),
            "stats": { "numSamples": m.samples, "numSeries": m.series, "numChunks": m.chunks },
            "compaction": { "level": 1, "sources": [ulid] },
            "version": 1,
        });
        let path = self.dir.join("meta.json");
        let text = serde_json::to_vec_pretty(&json).map_err(|e| io_at(&path)(e.into()))?;
        crate::io::replace_file(self.fs, &path, &text).map_err(io_at(&path))?;
        Ok(m)
    }

    fn index(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&INDEX_MAGIC.to_be_bytes());
        out.push(2);
        // Symbols.
        let mut symbols: BTreeSet<&str> = BTreeSet::new();
        for s in &self.series {
            for (n, v) in &s.labels {
                symbols.insert(n);
                symbols.insert(v);
            }
        }
        let ids: BTreeMap<&str, u64> = symbols
            .iter()
            .enumerate()
            .map(|(i, s)| (*s, i as u64))
            .collect();
        let symbols_at = out.len() as u64;
        section(&mut out, |b| {
            b.extend_from_slice(&(symbols.len() as u32).to_be_bytes());
            for s in &symbols {
                put_varint(b, s.len() as u64);
                b.extend_from_slice(s.as_bytes());
            }
        });
        // Series, each at a multiple of 16.
        let series_at = out.len() as u64;
        let mut postings: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
        let mut all = Vec::new();
        let mut body = Vec::new();
        for s in &self.series {
            out.resize(out.len().next_multiple_of(16), 0);
            let reference = (out.len() / 16) as u32;
            all.push(reference);
            body.clear();
            put_varint(&mut body, s.labels.len() as u64);
            for (n, v) in &s.labels {
                put_varint(&mut body, ids.get(n).copied().unwrap_or(0));
                put_varint(&mut body, ids.get(v).copied().unwrap_or(0));
                postings.entry((n, v)).or_default().push(reference);
            }
            put_varint(&mut body, s.chunks.len() as u64);
            let mut last: Option<(i64, u64)> = None;
            for (min, max, r) in &s.chunks {
                match last {
                    None => {
                        put_varint(&mut body, zigzag(*min));
                        put_varint(&mut body, (max - min) as u64);
                        put_varint(&mut body, *r);
                    }
                    Some((end, before)) => {
                        put_varint(&mut body, (min - end) as u64);
                        put_varint(&mut body, (max - min) as u64);
                        put_varint(&mut body, zigzag(*r as i64 - before as i64));
                    }
                }
                last = Some((*max, *r));
            }
            put_varint(&mut out, body.len() as u64);
            out.extend_from_slice(&body);
            out.extend_from_slice(&crc32c(&body).to_be_bytes());
        }
        // Label indices are not read by version 2 readers; an empty table keeps the layout.
        let label_indices_at = out.len() as u64;
        let mut offsets: Vec<(&str, &str, u64)> = Vec::new();
        let postings_at = out.len() as u64;
        offsets.push(("", "", list(&mut out, &all)));
        for ((n, v), refs) in &postings {
            offsets.push((n, v, list(&mut out, refs)));
        }
        let label_table_at = out.len() as u64;
        section(&mut out, |b| b.extend_from_slice(&0u32.to_be_bytes()));
        let postings_table_at = out.len() as u64;
        section(&mut out, |b| {
            b.extend_from_slice(&(offsets.len() as u32).to_be_bytes());
            for (n, v, at) in &offsets {
                b.push(2);
                for s in [n, v] {
                    put_varint(b, s.len() as u64);
                    b.extend_from_slice(s.as_bytes());
                }
                put_varint(b, *at);
            }
        });
        let toc = out.len();
        for at in [
            symbols_at,
            series_at,
            label_indices_at,
            label_table_at,
            postings_at,
            postings_table_at,
        ] {
            out.extend_from_slice(&at.to_be_bytes());
        }
        let crc = crc32c(&out[toc..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }
}

/// Appends `len u32, body, crc u32`.
fn section(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    let crc = crc32c(&out[at + 4..]);
    out.extend_from_slice(&crc.to_be_bytes());
}

/// Appends a postings list and gives its offset.
fn list(out: &mut Vec<u8>, refs: &[u32]) -> u64 {
    out.resize(out.len().next_multiple_of(4), 0);
    let at = out.len() as u64;
    section(out, |b| {
        b.extend_from_slice(&(refs.len() as u32).to_be_bytes());
        refs.iter()
            .for_each(|r| b.extend_from_slice(&r.to_be_bytes()));
    });
    at
}
