//! Writing a block: series come in label order, everything else follows.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashTable;
use roaring::RoaringBitmap;

use super::{
    BLOCK_VERSION, BlockMeta, CHUNK_SAMPLES_MAX, MAGIC, PAGE_BYTES, SERIES_PER_FRAME, Section,
    VALUES_PER_FRAME,
};
use crate::chunk::varint;
use crate::chunk::{histogram, ints, values};
use crate::io::{Crc, File, Fs, OpenMode, crc32, write_full};
use crate::metrics::select::SeriesPoints;
use crate::model::Labels;

struct ColumnInfo {
    hash: u64,
    page: u32,
    offset: u32,
    len: u32,
    min_t: i64,
    max_t: i64,
}

/// A block file under construction.
pub(in crate::metrics) struct BlockWriter {
    file: Arc<dyn File>,
    at: u64,
    /// Bytes not written yet.
    out: Vec<u8>,
    page: Vec<u8>,
    pages: Vec<(u32, u32)>,
    columns: Vec<ColumnInfo>,
    column_lookup: HashTable<u32>,
    /// Column of the timestamps seen last, so that a run of series with shared ones hashes once.
    last_column: Option<(Arc<[i64]>, usize, usize, u32)>,
    /// Name -> value -> temporary pair id.
    pairs: BTreeMap<String, BTreeMap<String, u32>>,
    postings: Vec<RoaringBitmap>,
    /// Per series: pairs (temporary ids), then the encoded rest.
    series: Vec<(Box<[u32]>, Box<[u8]>)>,
    meta: BlockMeta,
    ints: ints::Scratch,
    values: values::Scratch,
}

impl BlockWriter {
    /// Starts a block in a new file.
    pub(in crate::metrics) fn create(
        fs: &dyn Fs,
        path: &Path,
        meta: BlockMeta,
    ) -> io::Result<Self> {
        let file = fs.open(path, OpenMode::Create)?;
        let mut out = Vec::with_capacity(1 << 20);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&BLOCK_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        let meta = BlockMeta {
            min_t: i64::MAX,
            max_t: i64::MIN,
            ..meta
        };
        Ok(Self {
            file,
            at: 0,
            out,
            page: Vec::with_capacity(PAGE_BYTES + 8192),
            pages: Vec::new(),
            columns: Vec::new(),
            column_lookup: HashTable::new(),
            last_column: None,
            pairs: BTreeMap::new(),
            postings: Vec::new(),
            series: Vec::new(),
            meta,
            ints: ints::Scratch::default(),
            values: values::Scratch::default(),
        })
    }

    /// Encodes the points of one series; `add` takes the result. Points must be ascending.
    pub(in crate::metrics) fn encode(&mut self, p: &SeriesPoints<'_>) -> io::Result<Box<[u8]>> {
        let mut chunks: Vec<u8> = Vec::new();
        let mut count = 0u64;
        let mut at = 0;
        while at < p.values.len() {
            let end = (at + CHUNK_SAMPLES_MAX).min(p.values.len());
            let column = self.column(p.ts, at, end)?;
            self.room()?;
            chunks.push(0);
            varint::put(&mut chunks, u64::from(column));
            varint::put(&mut chunks, self.pages.len() as u64);
            varint::put(&mut chunks, self.page.len() as u64);
            values::encode(&p.values[at..end], &mut self.page, &mut self.values);
            self.saw(p.ts[at], p.ts[end - 1]);
            self.meta.stats.float_samples += (end - at) as u64;
            count += 1;
            at = end;
        }
        for part in p.histograms.chunks(120) {
            self.room()?;
            let (first, last) = (part[0].t, part[part.len() - 1].t);
            chunks.push(1);
            varint::put(&mut chunks, self.pages.len() as u64);
            varint::put(&mut chunks, self.page.len() as u64);
            varint::put(&mut chunks, part.len() as u64);
            varint::put_signed(&mut chunks, first);
            varint::put_signed(&mut chunks, last);
            let ts: Vec<i64> = part.iter().map(|h| h.t).collect();
            let starts: Vec<i64> = part.iter().map(|h| h.start_t).collect();
            ints::encode(&ts, &mut self.page, &mut self.ints);
            ints::encode(&starts, &mut self.page, &mut self.ints);
            part.iter()
                .for_each(|h| histogram::put(&mut self.page, &h.h));
            self.saw(first, last);
            self.meta.stats.histogram_samples += part.len() as u64;
            count += 1;
        }
        self.meta.stats.chunks += count;
        let mut out = Vec::with_capacity(chunks.len() + 4);
        varint::put(&mut out, count);
        out.extend_from_slice(&chunks);
        varint::put(&mut out, p.starts.len() as u64);
        for (t, st) in p.starts {
            varint::put_signed(&mut out, *t);
            varint::put_signed(&mut out, *st);
        }
        Ok(out.into())
    }

    /// Adds a series; labels must ascend from call to call.
    pub(in crate::metrics) fn add(&mut self, labels: &Labels, encoded: Box<[u8]>) {
        let id = self.series.len() as u32;
        let mut ids = Vec::with_capacity(20);
        for (n, v) in labels {
            let next = self.postings.len() as u32;
            if !self.pairs.contains_key(n) {
                self.pairs.insert(n.to_owned(), BTreeMap::new());
            }
            let Some(values) = self.pairs.get_mut(n) else {
                continue;
            };
            let pair = match values.get(v) {
                Some(p) => *p,
                None => {
                    values.insert(v.to_owned(), next);
                    self.postings.push(RoaringBitmap::new());
                    next
                }
            };
            self.postings[pair as usize].insert(id);
            ids.push(pair);
        }
        self.series.push((ids.into(), encoded));
        self.meta.stats.series += 1;
    }

    fn saw(&mut self, first: i64, last: i64) {
        self.meta.min_t = self.meta.min_t.min(first);
        self.meta.max_t = self.meta.max_t.max(last);
    }

    /// Id of the timestamp column `ts[from..to]`.
    fn column(&mut self, ts: &Arc<[i64]>, from: usize, to: usize) -> io::Result<u32> {
        if let Some((last, a, b, id)) = &self.last_column
            && Arc::ptr_eq(last, ts)
            && (*a, *b) == (from, to)
        {
            return Ok(*id);
        }
        let part = &ts[from..to];
        let bytes: Vec<u8> = part.iter().flat_map(|t| t.to_le_bytes()).collect();
        // Two columns are the same when 128 bits of hash and their bounds agree.
        let h = xxhash_rust::xxh3::xxh3_128(&bytes);
        let (hash, check) = (h as u64, (h >> 64) as u64);
        let key = hash ^ check.rotate_left(17);
        let found = self.column_lookup.find(hash, |c| {
            let c = &self.columns[*c as usize];
            c.hash == key
                && c.len as usize == part.len()
                && c.min_t == part[0]
                && c.max_t == part[part.len() - 1]
        });
        let id = match found {
            Some(id) => *id,
            None => {
                self.room()?;
                let id = self.columns.len() as u32;
                self.columns.push(ColumnInfo {
                    hash: key,
                    page: self.pages.len() as u32,
                    offset: self.page.len() as u32,
                    len: part.len() as u32,
                    min_t: part[0],
                    max_t: part[part.len() - 1],
                });
                ints::encode(part, &mut self.page, &mut self.ints);
                // Growing rehashes by content hash; columns are few, so hashing again is cheap.
                let columns = &self.columns;
                self.column_lookup
                    .insert_unique(hash, id, |c| columns[*c as usize].hash);
                id
            }
        };
        self.last_column = Some((Arc::clone(ts), from, to, id));
        Ok(id)
    }

    /// Makes sure that the current page takes another chunk.
    fn room(&mut self) -> io::Result<()> {
        if self.page.len() >= PAGE_BYTES {
            self.finish_page()
        } else {
            Ok(())
        }
    }

    fn finish_page(&mut self) -> io::Result<()> {
        self.pages.push((self.page.len() as u32, crc32(&self.page)));
        self.out.extend_from_slice(&self.page);
        self.page.clear();
        if self.out.len() >= 1 << 20 {
            self.write_out()
        } else {
            Ok(())
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        write_full(&*self.file, &self.out, self.at)?;
        self.at += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    fn section(&mut self, bytes: &[u8]) -> io::Result<Section> {
        let offset = self.at + self.out.len() as u64;
        self.out.extend_from_slice(bytes);
        if self.out.len() >= 1 << 20 {
            self.write_out()?;
        }
        Ok(Section {
            offset,
            len: bytes.len() as u64,
            crc: crc32(bytes),
        })
    }

    /// Writes tables and footer and syncs the file. Gives the footer and the size of the file.
    pub(in crate::metrics) fn finish(mut self) -> io::Result<(BlockMeta, u64)> {
        if !self.page.is_empty() {
            self.finish_page()?;
        }
        let mut b = Vec::new();
        varint::put(&mut b, self.pages.len() as u64);
        for (len, crc) in &self.pages {
            varint::put(&mut b, u64::from(*len));
            b.extend_from_slice(&crc.to_le_bytes());
        }
        self.meta.pages = self.section(&b)?;
        b.clear();
        varint::put(&mut b, self.columns.len() as u64);
        for c in &self.columns {
            varint::put(&mut b, u64::from(c.page));
            varint::put(&mut b, u64::from(c.offset));
            varint::put(&mut b, u64::from(c.len));
            varint::put_signed(&mut b, c.min_t);
            varint::put_signed(&mut b, c.max_t);
        }
        self.meta.columns = self.section(&b)?;
        let final_id = self.write_pairs()?;
        self.write_series(&final_id)?;
        let footer = serde_json::to_vec(&self.meta).map_err(io::Error::other)?;
        let at = self.at + self.out.len() as u64;
        self.out.extend_from_slice(&footer);
        self.out.extend_from_slice(&at.to_le_bytes());
        self.out
            .extend_from_slice(&(footer.len() as u32).to_le_bytes());
        let crc = Crc::new().update(&footer).value();
        self.out.extend_from_slice(&crc.to_le_bytes());
        self.out.extend_from_slice(MAGIC);
        self.write_out()?;
        self.file.sync()?;
        Ok((self.meta, self.at))
    }

    /// Writes names, values and postings in order; gives the final id of each temporary pair id.
    fn write_pairs(&mut self) -> io::Result<Vec<u32>> {
        let pairs = std::mem::take(&mut self.pairs);
        let postings = std::mem::take(&mut self.postings);
        let mut final_id = vec![0u32; postings.len()];
        let mut names = Vec::new();
        varint::put(&mut names, pairs.len() as u64);
        let mut values = Vec::new();
        let mut frame = Vec::new();
        let mut lists = Vec::new();
        let mut id = 0u32;
        for (name, vals) in &pairs {
            varint::put(&mut names, name.len() as u64);
            names.extend_from_slice(name.as_bytes());
            varint::put(&mut names, vals.len() as u64);
            for (v, tmp) in vals {
                final_id[*tmp as usize] = id;
                varint::put(&mut frame, v.len() as u64);
                frame.extend_from_slice(v.as_bytes());
                put_postings(&mut lists, &postings[*tmp as usize])?;
                id += 1;
                if (id as usize).is_multiple_of(VALUES_PER_FRAME) {
                    put_frame(&mut values, &mut frame)?;
                }
            }
        }
        put_frame(&mut values, &mut frame)?;
        self.meta.names = self.section(&names)?;
        self.meta.pairs = self.section(&values)?;
        self.meta.postings = self.section(&lists)?;
        Ok(final_id)
    }

    fn write_series(&mut self, final_id: &[u32]) -> io::Result<()> {
        let series = std::mem::take(&mut self.series);
        let mut out = Vec::new();
        let mut frame = Vec::new();
        for part in series.chunks(SERIES_PER_FRAME) {
            for (pairs, rest) in part {
                varint::put(&mut frame, pairs.len() as u64);
                for p in pairs {
                    varint::put(&mut frame, u64::from(final_id[*p as usize]));
                }
                frame.extend_from_slice(rest);
            }
            put_frame(&mut out, &mut frame)?;
        }
        self.meta.series = self.section(&out)?;
        Ok(())
    }
}

/// Appends `frame` compressed and empties it.
fn put_frame(out: &mut Vec<u8>, frame: &mut Vec<u8>) -> io::Result<()> {
    if !frame.is_empty() {
        let z = zstd::bulk::compress(frame, 3)?;
        varint::put(out, frame.len() as u64);
        varint::put(out, z.len() as u64);
        out.extend_from_slice(&z);
        frame.clear();
    }
    Ok(())
}

fn put_postings(out: &mut Vec<u8>, ids: &RoaringBitmap) -> io::Result<()> {
    let mut b = Vec::new();
    if ids.len() <= 4096 {
        b.push(0);
        varint::put(&mut b, ids.len());
        let mut at = 0;
        for i in ids {
            varint::put(&mut b, u64::from(i - at));
            at = i;
        }
    } else {
        b.push(1);
        ids.serialize_into(&mut b)?;
    }
    varint::put(out, b.len() as u64);
    out.extend_from_slice(&b);
    Ok(())
}
