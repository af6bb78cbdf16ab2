//! Data in and out as Prometheus blocks.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::api::AppendError;
use super::block::{BlockMeta, BlockWriter};
use super::db::{Db, Inner, block_path};
use super::open::open_block;
use super::select::SeriesPoints;
use super::tsdb::{TsdbBlock, TsdbError, TsdbWriter};
use crate::budget::Unwatched;
use crate::io::Fs;
use crate::model::{HistogramPoint, Labels, Matcher, Sample, TenantId};

/// Exported blocks cover one aligned window of this length.
const EXPORT_WINDOW_MS: i64 = 24 * 3600 * 1000;
/// Series decoded at a time during export.
const EXPORT_BATCH: usize = 512;

/// What an export or import did.
#[derive(Debug, Clone, Default)]
pub struct Transferred {
    /// Names of the blocks written.
    pub blocks: Vec<String>,
    /// Series, counted per block.
    pub series: u64,
    /// Samples.
    pub samples: u64,
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A Prometheus block cannot be read or written.
    #[error("{0}")]
    Tsdb(#[from] TsdbError),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] AppendError),
    /// No block directory was found.
    #[error("{0}: no Prometheus block here (a directory with meta.json, index and chunks)")]
    NoBlock(String),
    /// The data cannot be read.
    #[error("{0}")]
    Read(String),
}

impl Db {
    /// Writes series that match in `[min_t, max_t]` as Prometheus blocks into `out`, one per day;
    /// `progress` is told the share that is done, 0 to 1.
    ///
    /// # Errors
    /// See [`TransferError`]; blocks that were finished stay.
    pub fn export(
        &self,
        tenant: TenantId,
        out: &Path,
        matchers: &[Matcher],
        min_t: i64,
        max_t: i64,
        progress: &mut dyn FnMut(f64),
    ) -> Result<Transferred, TransferError> {
        let inner = self.inner();
        let mut done = Transferred::default();
        let Some((first, last)) = inner.time_range(tenant.0) else {
            return Ok(done);
        };
        let (from, to) = (first.max(min_t), last.min(max_t));
        let mut start = from.div_euclid(EXPORT_WINDOW_MS) * EXPORT_WINDOW_MS;
        while start <= to {
            let end = start + EXPORT_WINDOW_MS - 1;
            inner.export_window(
                tenant.0,
                out,
                matchers,
                (start.max(from), end.min(to)),
                &mut done,
            )?;
            start = end + 1;
            progress((start - from) as f64 / (to - from + 1) as f64);
        }
        progress(1.0);
        Ok(done)
    }

    /// Takes the samples of Prometheus blocks: `from` is a block directory or holds some.
    ///
    /// # Errors
    /// See [`TransferError`]; blocks that were taken stay.
    pub fn import(
        &self,
        tenant: TenantId,
        from: &Path,
        progress: &mut dyn FnMut(f64),
    ) -> Result<Transferred, TransferError> {
        let inner = self.inner();
        let fs = &*inner.fs;
        let is_block = |d: &Path| fs.exists(&d.join("meta.json")) && fs.exists(&d.join("index"));
        let mut dirs: Vec<PathBuf> = Vec::new();
        if is_block(from) {
            dirs.push(from.to_owned());
        } else {
            let entries = fs
                .list(from)
                .map_err(|e| TransferError::Read(e.to_string()))?;
            dirs.extend(
                entries
                    .iter()
                    .map(|e| from.join(&e.name))
                    .filter(|d| is_block(d)),
            );
        }
        if dirs.is_empty() {
            return Err(TransferError::NoBlock(from.display().to_string()));
        }
        let mut done = Transferred::default();
        for (i, d) in dirs.iter().enumerate() {
            inner.import_block(tenant.0, d, &mut done)?;
            progress((i + 1) as f64 / dirs.len() as f64);
        }
        Ok(done)
    }
}

impl Inner {
    /// Oldest and newest sample of a tenant.
    fn time_range(&self, tenant: u32) -> Option<(i64, i64)> {
        let view = Arc::clone(&self.view.read());
        let blocks = view.blocks.iter().filter(|b| b.meta.tenant == tenant);
        let head = self
            .head(tenant)
            .map(|h| (h.min_t(), h.max_t()))
            .filter(|r| r.0 <= r.1);
        blocks
            .map(|b| (b.meta.min_t, b.meta.max_t))
            .chain(head)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    fn export_window(
        &self,
        tenant: u32,
        out: &Path,
        matchers: &[Matcher],
        (min_t, max_t): (i64, i64),
        done: &mut Transferred,
    ) -> Result<(), TransferError> {
        let read = |e: super::api::SelectError| TransferError::Read(e.to_string());
        let sel = self
            .find(tenant, matchers, (min_t, max_t), true, &Unwatched)
            .map_err(read)?;
        if sel.is_empty() {
            return Ok(());
        }
        let name = self.new_ulid();
        let dir = out.join(&name);
        let mut w = TsdbWriter::create(&*self.fs, &dir)?;
        let mut batch: Vec<(Vec<Sample>, Vec<HistogramPoint>)> = Vec::new();
        for start in (0..sel.len()).step_by(EXPORT_BATCH) {
            let end = (start + EXPORT_BATCH).min(sel.len());
            batch.clear();
            batch.resize(end - start, (Vec::new(), Vec::new()));
            sel.scan_points(start..end, &mut |i, p| {
                let (floats, hists) = &mut batch[i - start];
                floats.extend(
                    p.ts.iter()
                        .zip(p.values)
                        .map(|(t, v)| Sample { t: *t, v: *v }),
                );
                hists.extend(p.histograms.iter().map(|h| HistogramPoint {
                    t: h.t,
                    start_t: h.start_t,
                    h: (*h.h).clone(),
                }));
                ControlFlow::Continue(())
            })
            .map_err(read)?;
            for (k, (floats, hists)) in batch.iter().enumerate() {
                w.add(&sel.labels(start + k), floats, hists)?;
            }
        }
        let meta = w.finish(&name)?;
        if meta.series == 0 {
            let removed = self.fs.remove_dir_all(&dir);
            return removed.map_err(|e| TransferError::Store(e.into()));
        }
        done.series += meta.series;
        done.samples += meta.samples;
        done.blocks.push(name);
        Ok(())
    }

    fn import_block(
        &self,
        tenant: u32,
        dir: &Path,
        done: &mut Transferred,
    ) -> Result<(), TransferError> {
        let block = TsdbBlock::open(&*self.fs, dir)?;
        let name = self.new_ulid();
        let path = block_path(&self.dir, &name);
        let tmp = path.with_extension("tmp");
        let meta = BlockMeta {
            ulid: name.clone(),
            tenant,
            level: 1,
            ..BlockMeta::default()
        };
        let store = |e: io::Error| TransferError::Store(AppendError::Io(e));
        let mut w = BlockWriter::create(&*self.fs, &tmp, meta).map_err(store)?;
        let mut last: Option<Labels> = None;
        let mut samples = 0;
        let read = block.for_each(&mut |s| {
            if last.as_ref().is_some_and(|l| *l >= s.labels) {
                return Err(TsdbError::Order(s.labels.to_string()));
            }
            let ts: Arc<[i64]> = s.samples.iter().map(|p| p.t).collect();
            let values: Vec<f64> = s.samples.iter().map(|p| p.v).collect();
            let histograms: Vec<super::head::HistPoint> = s
                .histograms
                .into_iter()
                .map(|h| super::head::HistPoint {
                    t: h.t,
                    start_t: h.start_t,
                    h: Arc::new(h.h),
                })
                .collect();
            if ts.is_empty() && histograms.is_empty() {
                return Ok(());
            }
            let p = SeriesPoints {
                ts: &ts,
                values: &values,
                histograms: &histograms,
                starts: &[],
            };
            let encoded = w.encode(&p).map_err(|source| TsdbError::Io {
                file: tmp.display().to_string(),
                source,
            })?;
            samples += (values.len() + histograms.len()) as u64;
            w.add(&s.labels, encoded);
            last = Some(s.labels);
            Ok(())
        });
        if let Err(e) = read {
            drop(w);
            remove(&*self.fs, &tmp).map_err(store)?;
            return Err(e.into());
        }
        if last.is_none() {
            drop(w);
            return remove(&*self.fs, &tmp).map_err(store);
        }
        let (meta, _) = w.finish().map_err(store)?;
        self.fs.rename(&tmp, &path).map_err(store)?;
        self.fs.sync_dir(&self.dir.join("blocks")).map_err(store)?;
        let block = open_block(&*self.fs, &self.dir, &name, &self.block_cache)
            .map_err(|e| TransferError::Store(AppendError::Io(io::Error::other(e))))?;
        let _one = self.maintenance.lock();
        self.publish(vec![Arc::new(block)], &[], None)?;
        done.blocks.push(name);
        done.series += meta.stats.series;
        done.samples += samples;
        Ok(())
    }
}

fn remove(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    fs.remove_file(path)
}
