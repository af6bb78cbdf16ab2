//! Series on their way out, cut into requests.

use std::ops::Range;

use engine::model::{Exemplar, HistogramPoint, Labels, Sample, SeriesKey};
use engine::wire::inflate::compress_snappy;
use engine::wire::remote_write::{OutSeries, v1, v2};

use super::send::Protocol;

/// What one series has to send.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// Its key in our store.
    pub(super) key: SeriesKey,
    /// Its labels after all rules.
    pub(super) labels: Labels,
    /// Float samples, ascending.
    pub(super) samples: Vec<Sample>,
    /// Start timestamps of them, or empty.
    pub(super) start_ts: Vec<i64>,
    /// Histogram samples, ascending.
    pub(super) histograms: Vec<HistogramPoint>,
    /// Exemplars.
    pub(super) exemplars: Vec<Exemplar>,
}

impl Series {
    /// Floats and histograms.
    pub(super) fn points(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }

    /// The newest timestamp.
    pub(super) fn newest(&self) -> i64 {
        let float = self.samples.last().map_or(i64::MIN, |s| s.t);
        let histogram = self.histograms.last().map_or(i64::MIN, |h| h.t);
        float.max(histogram)
    }
}

/// A part of a series within a request.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    /// The series.
    pub(super) series: &'a Series,
    samples: Range<usize>,
    histograms: Range<usize>,
}

impl Part<'_> {
    /// Everything of the series up to here is sent once this part is.
    pub(super) fn newest(&self) -> i64 {
        let s = self.series.samples[self.samples.clone()].last();
        let h = self.series.histograms[self.histograms.clone()].last();
        s.map_or(i64::MIN, |s| s.t).max(h.map_or(i64::MIN, |h| h.t))
    }

    fn out(&self) -> OutSeries<'_> {
        let s = self.series;
        let first = self.samples.start == 0 && self.histograms.start == 0;
        OutSeries {
            start_ts: s.start_ts.get(self.samples.clone()).unwrap_or(&[]),
            histograms: &s.histograms[self.histograms.clone()],
            exemplars: if first { &s.exemplars } else { &[] },
            ..OutSeries::floats(&s.labels, &s.samples[self.samples.clone()])
        }
    }
}

/// What is in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Float samples.
    pub(super) samples: u64,
    /// Histogram samples.
    pub(super) histograms: u64,
    /// Exemplars.
    pub(super) exemplars: u64,
}

/// One request.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    /// Parts of series, each series at most once.
    pub(super) parts: Vec<Part<'a>>,
    points: usize,
}

impl Batch<'_> {
    /// What is in it.
    pub(super) fn counts(&self) -> Counts {
        let mut c = Counts::default();
        for p in &self.parts {
            let out = p.out();
            c.samples += out.samples.len() as u64;
            c.histograms += out.histograms.len() as u64;
            c.exemplars += out.exemplars.len() as u64;
        }
        c
    }

    /// The newest timestamp.
    pub(super) fn newest(&self) -> i64 {
        let all = self.parts.iter().map(Part::newest);
        all.max().unwrap_or(i64::MIN)
    }

    /// The compressed body.
    pub(super) fn body(&self, protocol: Protocol) -> Vec<u8> {
        let mut raw = Vec::with_capacity(self.points * 64);
        let series = self.parts.iter().map(Part::out);
        match protocol {
            Protocol::V1 => v1::encode(series, [], &mut raw),
            Protocol::V2 => v2::encode(series, &mut raw),
        }
        let mut body = Vec::new();
        compress_snappy(&raw, &mut body);
        body
    }
}

/// Requests of at most `max` points each, in which the points of every series stay in order.
///
/// A series with both floats and histograms is never cut: one mark could not say how far it got.
pub(super) fn batches(series: &[Series], max: usize) -> Vec<Batch<'_>> {
    let max = max.max(1);
    let mut out = Vec::new();
    let mut open = Batch::default();
    for s in series {
        let whole = !s.samples.is_empty() && !s.histograms.is_empty();
        let (mut at, all) = (0, s.points());
        while at < all {
            if open.points >= max || (whole && open.points > 0 && open.points + all > max) {
                out.push(std::mem::take(&mut open));
            }
            let n = if whole {
                all
            } else {
                (all - at).min(max - open.points)
            };
            let range = at..at + n;
            let (samples, histograms) = if whole {
                (0..s.samples.len(), 0..s.histograms.len())
            } else if s.histograms.is_empty() {
                (range, 0..0)
            } else {
                (0..0, range)
            };
            open.parts.push(Part {
                series: s,
                samples,
                histograms,
            });
            open.points += n;
            at += n;
        }
    }
    if open.points > 0 {
        out.push(open);
    }
    out
}

/// Divides series among `lanes` so that a series is always in the same one.
pub(super) fn lanes(series: Vec<Series>, lanes: usize) -> Vec<Vec<Series>> {
    let lanes = lanes.max(1);
    let mut out: Vec<Vec<Series>> = (0..lanes).map(|_| Vec::new()).collect();
    for s in series {
        let lane = usize::try_from(s.key.0 % lanes as u128).unwrap_or(0);
        if let Some(l) = out.get_mut(lane) {
            l.push(s);
        }
    }
    out.retain(|l| !l.is_empty());
    out
}
