//! Prometheus' own block format, for people who come and people who leave.
//!
//! Owns: writing and reading block directories (`chunks/NNNNNN`, `index` version 2, `meta.json`) as
//! Prometheus and its tools do. Source of the format: Prometheus' `tsdb/docs/format`.
//! Knows nothing of: our own files, the head, HTTP.
//!
//! Invariants
//! - T1  What is exported has the same timestamps and the same value bits.
//! - T2  A block of others is input: every length is checked, every checksum compared.

mod read;
mod write;

pub use read::{TsdbBlock, TsdbSeries};
pub use write::{TsdbMeta, TsdbWriter};

use std::io;

const INDEX_MAGIC: u32 = 0xBAAA_D700;
const CHUNKS_MAGIC: u32 = 0x85BD_40DD;
/// Prometheus starts a new chunk file at this size.
const CHUNK_FILE_BYTES_MAX: u64 = 512 << 20;

/// Why a block directory cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TsdbError {
    /// Bytes contradict the format.
    #[error("{file}: damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// Where.
        offset: u64,
        /// What.
        what: String,
    },
    /// I/O error.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What.
        source: io::Error,
    },
    /// Series must come in label order.
    #[error("series {0} is out of order")]
    Order(String),
}

fn io_at(path: &std::path::Path) -> impl FnOnce(io::Error) -> TsdbError + '_ {
    move |source| TsdbError::Io {
        file: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::io::sim::SimFs;
    use crate::model::{HistogramPoint, Labels, Sample};

    #[test]
    fn exported_blocks_read_back_to_the_bit() {
        let fs = SimFs::new();
        let dir = Path::new("/out/01ARZ3NDEKTSV4RRFFQ69G5FAV");
        let mut w = TsdbWriter::create(&fs, dir).expect("create");
        let mut want = Vec::new();
        for i in 0..300u32 {
            let l = Labels::from_pairs([
                ("__name__".to_owned(), format!("m{:03}", i / 10)),
                ("i".to_owned(), format!("{:02}", i % 10)),
                ("job".to_owned(), "x".to_owned()),
            ]);
            let samples: Vec<Sample> = (0..i64::from(i) + 1)
                .map(|k| Sample {
                    t: 1_000 + k * 15_000 + k % 3,
                    v: if k % 50 == 7 {
                        f64::from_bits(0x7ff0_0000_0000_0002)
                    } else {
                        k as f64 / 7.0
                    },
                })
                .collect();
            w.add(&l, &samples, &[]).expect("add");
            want.push((l, samples));
        }
        let meta = w.finish("01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("finish");
        assert_eq!(meta.series, 300);
        let block = TsdbBlock::open(&fs, dir).expect("open");
        let mut got: Vec<(Labels, Vec<Sample>)> = Vec::new();
        block
            .for_each(&mut |s: TsdbSeries| {
                let none: Vec<HistogramPoint> = Vec::new();
                assert_eq!(s.histograms, none);
                got.push((s.labels, s.samples));
                Ok(())
            })
            .expect("read");
        assert_eq!(want.len(), got.len());
        for (a, b) in want.iter().zip(&got) {
            assert_eq!(a.0, b.0);
            let bits = |v: &[Sample]| v.iter().map(|s| (s.t, s.v.to_bits())).collect::<Vec<_>>();
            assert_eq!(bits(&a.1), bits(&b.1));
        }
        // Damage is an error or harmless, never a panic.
        for (path, bytes) in fs.files() {
            for at in (0..bytes.len()).step_by(1499) {
                let copy = fs.kill();
                let mut bad = bytes.clone();
                bad[at] ^= 0x10;
                copy.tamper(&path, bad);
                if let Ok(b) = TsdbBlock::open(&copy, dir) {
                    let done = b.for_each(&mut |_| Ok(()));
                    assert!(done.is_ok() || done.is_err());
                }
            }
        }
    }
}
