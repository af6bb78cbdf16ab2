//! The write batch: what every way in (remote write, OTLP, scraping, import) hands to the store.
//!
//! A batch refers to labels by a handle into the decoded request. They are looked at only when the
//! store meets a series key for the first time, so the hot path never touches a label string.
//! The vectors are reused from request to request ([`WriteBatch::clear`]).

use super::{Exemplar, Histogram, Labels, MetricMetadata, Sample};

/// Identity of a series *as this sender writes it*: a 128-bit keyed hash of the raw label bytes.
///
/// Different spellings of one series (order of labels, wire format) have different keys; the store
/// maps them to one series. A key must never be shared by two different label sets: use
/// [`SeriesKey::of_bytes`] with its own domain per wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesKey(pub u128);

impl SeriesKey {
    /// Hash of `raw` in the domain `domain` (one number per wire format), keyed with `secret`
    /// (the store's, see `metrics::Db::key_secret`).
    /// Cost: about 0.05 ns a byte plus 10 ns (xxh3-128).
    #[inline]
    #[must_use]
    pub fn of_bytes(secret: u64, domain: u64, raw: &[u8]) -> Self {
        let seed = secret ^ domain.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(xxhash_rust::xxh3::xxh3_128_with_seed(raw, seed))
    }

    /// Key of a parsed label set (domain 0).
    #[must_use]
    pub fn of_labels(secret: u64, labels: &Labels) -> Self {
        Self::of_bytes(secret, 0, labels.as_bytes())
    }
}

/// Where the store reads the labels of a batch's series from when a key is new to it.
pub trait LabelsSource {
    /// Appends the pairs of series `handle` in the order as sent (unsorted, possibly with empty
    /// values or duplicate names: the store canonicalises and refuses). `Err` when they are not
    /// valid UTF-8 or otherwise unreadable.
    fn collect<'s>(
        &'s self,
        handle: u64,
        out: &mut Vec<(&'s str, &'s str)>,
    ) -> Result<(), InvalidLabels>;
}

/// Why raw labels are no label set. Texts are Prometheus'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    /// The source does not know the handle.
    #[error("unknown label handle")]
    UnknownHandle,
    /// The bytes are not the message they claim to be: the sender is broken.
    #[error("{0}")]
    Malformed(String),
    /// References that lead nowhere.
    #[error("{0}")]
    Reference(String),
    /// A name or a value is not UTF-8.
    #[error("{0}")]
    NotUtf8(String),
    /// A name comes twice.
    #[error("label name \"{0}\" is not unique: invalid sample")]
    Duplicate(String),
    /// No label is the metric's name.
    #[error("invalid metric name or label names: no metric name")]
    NoMetricName,
    /// A name without characters.
    #[error("invalid metric name or label names: empty label name")]
    EmptyName,
}

/// Handles are indexes into the slice.
impl LabelsSource for [Labels] {
    fn collect<'s>(
        &'s self,
        handle: u64,
        out: &mut Vec<(&'s str, &'s str)>,
    ) -> Result<(), InvalidLabels> {
        let labels = usize::try_from(handle).ok().and_then(|i| self.get(i));
        out.extend(labels.ok_or(InvalidLabels::UnknownHandle)?.iter());
        Ok(())
    }
}

/// Handles are indexes into the vector.
impl LabelsSource for Vec<Labels> {
    fn collect<'s>(
        &'s self,
        handle: u64,
        out: &mut Vec<(&'s str, &'s str)>,
    ) -> Result<(), InvalidLabels> {
        self.as_slice().collect(handle, out)
    }
}

/// One series of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchSeries {
    /// Key of the labels as sent.
    pub key: SeriesKey,
    /// Handle for [`LabelsSource::collect`].
    pub labels: u64,
    /// Its float samples: first index in [`WriteBatch::samples`].
    pub first_sample: u32,
    /// Number of its float samples.
    pub samples: u32,
    /// Index in [`WriteBatch::extras`], or [`BatchSeries::NO_EXTRA`].
    pub extra: u32,
}

impl BatchSeries {
    /// The series has floats only.
    pub const NO_EXTRA: u32 = u32::MAX;
}

/// A histogram sample on its way in.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPoint {
    /// Milliseconds since the epoch.
    pub t: i64,
    /// Start ("created") timestamp in ms, 0 when unknown.
    pub start_t: i64,
    /// The histogram, validated by the wire decoder or by the store.
    pub h: Histogram,
}

/// What a series has besides float samples.
#[derive(Debug, Clone, Default)]
pub struct BatchExtra {
    /// Histogram samples in the order as sent.
    pub histograms: Vec<HistogramPoint>,
    /// Exemplars in the order as sent.
    pub exemplars: Vec<Exemplar>,
    /// Metadata of the series' metric, where the protocol carries it per series.
    pub metadata: Option<MetricMetadata>,
}

/// A decoded write request.
#[derive(Debug, Default)]
pub struct WriteBatch {
    /// The series, in the order as sent. The same series may occur more than once.
    pub series: Vec<BatchSeries>,
    /// Float samples of all series.
    pub samples: Vec<Sample>,
    /// Start timestamps, ms, parallel to `samples` (0 = unknown); empty when none is known.
    pub start_ts: Vec<i64>,
    /// Histograms, exemplars and metadata of the series that have any.
    pub extras: Vec<BatchExtra>,
}

impl WriteBatch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.series.clear();
        self.samples.clear();
        self.start_ts.clear();
        self.extras.clear();
    }

    /// Adds a series with one float sample.
    pub fn push_sample(&mut self, key: SeriesKey, labels: u64, t: i64, v: f64) {
        let first_sample = index_u32(self.samples.len());
        self.samples.push(Sample { t, v });
        self.series.push(BatchSeries {
            key,
            labels,
            first_sample,
            samples: 1,
            extra: BatchSeries::NO_EXTRA,
        });
    }

    /// Adds a series with the samples pushed since `first_sample` and, if not empty, `extra`.
    pub fn push_series(
        &mut self,
        key: SeriesKey,
        labels: u64,
        first_sample: usize,
        extra: Option<BatchExtra>,
    ) {
        let extra = match extra {
            Some(e) => {
                self.extras.push(e);
                index_u32(self.extras.len() - 1)
            }
            None => BatchSeries::NO_EXTRA,
        };
        self.series.push(BatchSeries {
            key,
            labels,
            first_sample: index_u32(first_sample),
            samples: index_u32(self.samples.len() - first_sample),
            extra,
        });
    }

    /// The float samples of `s`.
    #[must_use]
    pub fn samples_of(&self, s: &BatchSeries) -> &[Sample] {
        let first = s.first_sample as usize;
        self.samples
            .get(first..first + s.samples as usize)
            .unwrap_or(&[])
    }

    /// The extra of `s`, if it has one.
    #[must_use]
    pub fn extra_of(&self, s: &BatchSeries) -> Option<&BatchExtra> {
        self.extras.get(s.extra as usize)
    }
}

/// Request bodies are capped far below 4 Gi entries before a batch is built.
fn index_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
