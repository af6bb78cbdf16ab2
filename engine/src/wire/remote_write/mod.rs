//! Prometheus remote write, versions 1 and 2: request bytes to [`WriteBatch`] and back.
//!
//! Owns: the two message shapes, series keys of both, limits of one request.
//! Knows nothing of: HTTP, compression, which samples the store accepts.
//!
//! Invariants
//! - A series of float samples costs a walk over its bytes and one hash: no allocation, no UTF-8
//!   check, no look at a label string. The store asks for labels when a key is new to it.
//! - Raw label bytes in a legal but unusual layout (fields interleaved) take a slower path to the
//!   same key.

mod histogram;
#[cfg(test)]
mod tests;
pub mod v1;
pub mod v2;

use crate::model::{
    Exemplar, HistogramError, HistogramPoint, Labels, MetricMetadata, Sample, WriteBatch,
};
use crate::wire::proto::{ProtoError, Reader};

/// Bounds of one request; they keep the decoded form within a small multiple of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Series.
    pub series: usize,
    /// Float samples, histograms and exemplars together.
    pub samples: usize,
    /// Histogram buckets and spans together.
    pub buckets: usize,
    /// Entries of the symbol table (version 2).
    pub symbols: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series: 1_000_000,
            samples: 1_000_000,
            buckets: 8_000_000,
            symbols: 2_000_000,
        }
    }
}

/// Why a whole request is refused: answer 400.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not the message it claims to be.
    #[error("{0}")]
    Proto(#[from] ProtoError),
    /// Version 1 only: a histogram contradicts itself.
    #[error("{0}")]
    Histogram(#[from] HistogramError),
    /// A limit is exceeded.
    #[error("too many {what} in one request (limit {limit})")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Version 2 only: the symbol table is unusable.
    #[error("{0}")]
    Symbols(&'static str),
}

/// What is left of the limits while a request is read.
struct Budget<'a> {
    limits: &'a Limits,
    samples: usize,
    buckets: usize,
}

impl<'a> Budget<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            samples: 0,
            buckets: 0,
        }
    }

    #[inline]
    fn sample(&mut self) -> Result<(), DecodeError> {
        self.samples += 1;
        check("samples", self.samples, self.limits.samples)
    }

    #[inline]
    fn bucket(&mut self) -> Result<(), DecodeError> {
        self.buckets += 1;
        check("histogram buckets", self.buckets, self.limits.buckets)
    }

    fn series(&self, n: usize) -> Result<(), DecodeError> {
        check("series", n, self.limits.series)
    }
}

#[inline]
fn check(what: &'static str, n: usize, limit: usize) -> Result<(), DecodeError> {
    if n > limit {
        return Err(DecodeError::TooMany { what, limit });
    }
    Ok(())
}

/// Reads a `Sample` message: value, time and (version 2) start time.
#[inline]
fn read_sample(msg: &[u8]) -> Result<(Sample, i64), ProtoError> {
    let mut r = Reader::new(msg);
    // The layout every sender uses: value, then time, nothing else.
    if r.eat(0x09) {
        let v = f64::from_bits(r.fixed64()?);
        if r.eat(0x10) {
            let t = r.varint()?.cast_signed();
            if r.is_empty() {
                return Ok((Sample { t, v }, 0));
            }
        }
    }
    let (mut s, mut start) = (Sample { t: 0, v: 0.0 }, 0);
    let mut r = Reader::new(msg);
    while let Some((field, value)) = r.field()? {
        match field {
            1 => s.v = value.double(1)?,
            2 => s.t = value.varint(2)?.cast_signed(),
            3 => start = value.varint(3)?.cast_signed(),
            _ => {}
        }
    }
    Ok((s, start))
}

/// The sample of a series that has nothing but one, in the layout every sender uses; `rest` is
/// what comes after the labels.
#[inline]
fn only_sample(rest: &[u8]) -> Option<Sample> {
    let &[0x12, len, 0x09, ref tail @ ..] = rest else {
        return None;
    };
    // Shorter than 128 bytes, and the whole rest.
    if usize::from(len) + 2 != rest.len() || len >= 0x80 {
        return None;
    }
    let (v, tail) = tail.split_first_chunk::<8>()?;
    let mut r = Reader::new(tail);
    if !r.eat(0x10) {
        return None;
    }
    let t = r.varint().ok()?.cast_signed();
    r.is_empty().then(|| Sample {
        t,
        v: f64::from_le_bytes(*v),
    })
}

/// Remembers start timestamps only once one is known.
#[inline]
fn push_start(batch: &mut WriteBatch, start: i64) {
    if start != 0 || !batch.start_ts.is_empty() {
        batch.start_ts.resize(batch.samples.len() - 1, 0);
        batch.start_ts.push(start);
    }
}

/// A handle is a place in the body, or (topmost bit set) in the side buffer.
#[inline]
fn handle(side: bool, offset: usize, len: usize) -> u64 {
    u64::from(side) << 63 | (offset as u64 & 0x7fff_ffff) << 32 | (len as u64 & 0xffff_ffff)
}

/// The bytes a handle stands for.
fn resolve<'s>(handle: u64, body: &'s [u8], side: &'s [u8]) -> Option<&'s [u8]> {
    let from = if handle >> 63 == 1 { side } else { body };
    let offset = (handle >> 32 & 0x7fff_ffff) as usize;
    from.get(offset..offset.checked_add((handle & 0xffff_ffff) as usize)?)
}

/// Bodies beyond this cannot be addressed by a handle.
const BODY_BYTES_MAX: usize = 0x7fff_ffff;

/// A series on its way out.
#[derive(Debug, Clone, Copy)]
pub struct OutSeries<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Float samples.
    pub samples: &'a [Sample],
    /// Start timestamps of the float samples, or empty; only version 2 carries them.
    pub start_ts: &'a [i64],
    /// Histogram samples.
    pub histograms: &'a [HistogramPoint],
    /// Exemplars.
    pub exemplars: &'a [Exemplar],
    /// Metadata; only version 2 carries it per series.
    pub metadata: Option<&'a MetricMetadata>,
}

impl<'a> OutSeries<'a> {
    /// A series of float samples.
    #[must_use]
    pub fn floats(labels: &'a Labels, samples: &'a [Sample]) -> Self {
        Self {
            labels,
            samples,
            start_ts: &[],
            histograms: &[],
            exemplars: &[],
            metadata: None,
        }
    }
}
