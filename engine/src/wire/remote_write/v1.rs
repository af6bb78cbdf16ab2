//! `prometheus.WriteRequest` (remote write 1.0).
//!
//! The key of a series is the hash of its label messages as they lie in the body.

use super::{
    BODY_BYTES_MAX, Budget, DecodeError, Limits, OutSeries, handle, histogram, only_sample,
    read_sample, resolve,
};
use crate::model::{
    BatchExtra, Exemplar, InvalidLabels, Labels, LabelsSource, MetricMetadata, MetricType,
    SeriesKey, WriteBatch,
};
use crate::wire::EXEMPLAR_LABELS_MAX;
use crate::wire::proto::{ProtoError, Reader, Writer, put_varint};

/// Domain of the keys of this format, see [`SeriesKey::of_bytes`].
pub const KEY_DOMAIN: u64 = 1;

/// Tag of a label within a series, and of a series within a request.
const TAG_1: u8 = 0x0a;
/// Tag of a sample within a series.
const TAG_SAMPLE: u8 = 0x12;

/// The labels of a decoded request, still as sent.
#[derive(Debug)]
pub struct RawLabels<'a> {
    body: &'a [u8],
    /// Label messages of series whose labels were not contiguous, put together.
    side: Vec<u8>,
}

impl LabelsSource for RawLabels<'_> {
    fn collect<'s>(
        &'s self,
        handle: u64,
        out: &mut Vec<(&'s str, &'s str)>,
    ) -> Result<(), InvalidLabels> {
        let raw = resolve(handle, self.body, &self.side).ok_or(InvalidLabels::UnknownHandle)?;
        read_labels(raw, out).map_err(|e| match e {
            ProtoError::Utf8(_) => InvalidLabels::NotUtf8(e.to_string()),
            _ => InvalidLabels::Malformed(e.to_string()),
        })
    }
}

/// Reads label messages (field 1, repeated).
pub(in crate::wire) fn read_labels<'s>(
    raw: &'s [u8],
    out: &mut Vec<(&'s str, &'s str)>,
) -> Result<(), ProtoError> {
    let mut r = Reader::new(raw);
    while let Some((field, v)) = r.field()? {
        if field == 1 {
            out.push(read_label(v.bytes(1)?)?);
        }
    }
    Ok(())
}

/// Reads one label message: 1 name, 2 value.
pub(in crate::wire) fn read_label(msg: &[u8]) -> Result<(&str, &str), ProtoError> {
    let (mut name, mut value) = ("", "");
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => name = v.string(1)?,
            2 => value = v.string(2)?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// Decodes a request into `batch` (cleared first). `secret` is the store's key secret.
/// Series without samples, histograms and exemplars are left out.
///
/// # Errors
/// When the message is malformed, a histogram is invalid or a limit is exceeded. What is wrong
/// *within* a label message is found only when the store asks for the labels of a new key; such
/// an error text starts with `proto:`.
pub fn decode<'a>(
    body: &'a [u8],
    secret: u64,
    limits: &Limits,
    batch: &mut WriteBatch,
) -> Result<RawLabels<'a>, DecodeError> {
    batch.clear();
    super::check("bytes", body.len(), BODY_BYTES_MAX)?;
    let mut budget = Budget::new(limits);
    let mut labels = RawLabels {
        body,
        side: Vec::new(),
    };
    let mut r = Reader::new(body);
    loop {
        let series = if r.eat(TAG_1) {
            r.bytes()?
        } else {
            match r.field()? {
                Some((1, v)) => v.bytes(1)?,
                // Metadata (3) is sent on its own schedule and not stored, as in Prometheus.
                Some(_) => continue,
                None => break,
            }
        };
        let at = body.len() - r.rest().len() - series.len();
        decode_series(series, at, secret, &mut budget, batch, &mut labels.side)?;
        budget.series(batch.series.len())?;
    }
    Ok(labels)
}

/// The label messages at the front of `series`.
#[inline]
fn labels_of(series: &[u8]) -> Result<&[u8], ProtoError> {
    let mut p = 0;
    while let Some(&[TAG_1, len]) = series.get(p..).and_then(<[u8]>::first_chunk::<2>) {
        if len < 0x80 {
            p += 2 + usize::from(len);
        } else {
            let mut r = Reader::new(&series[p + 1..]);
            r.bytes()?;
            p = series.len() - r.rest().len();
        }
    }
    series.get(..p).ok_or(ProtoError::Truncated)
}

/// `at` is the offset of `series` in the body.
#[inline]
fn decode_series(
    series: &[u8],
    at: usize,
    secret: u64,
    budget: &mut Budget<'_>,
    batch: &mut WriteBatch,
    side: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let raw = labels_of(series)?;
    if let Some(s) = only_sample(&series[raw.len()..]) {
        budget.sample()?;
        let key = SeriesKey::of_bytes(secret, KEY_DOMAIN, raw);
        batch.push_sample(key, handle(false, at, raw.len()), s.t, s.v);
        return Ok(());
    }
    decode_any_series(series, raw, at, secret, budget, batch, side)
}

/// As [`decode_series`], for whatever a series may hold.
#[inline(never)]
fn decode_any_series(
    series: &[u8],
    raw: &[u8],
    at: usize,
    secret: u64,
    budget: &mut Budget<'_>,
    batch: &mut WriteBatch,
    side: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let mut r = Reader::new(&series[raw.len()..]);
    let first_sample = batch.samples.len();
    let mut extra: Option<BatchExtra> = None;
    let mut contiguous = true;
    loop {
        if r.eat(TAG_SAMPLE) {
            let (s, _) = read_sample(r.bytes()?)?;
            budget.sample()?;
            batch.samples.push(s);
            continue;
        }
        match r.field()? {
            None => break,
            Some((1, v)) => {
                v.bytes(1)?;
                contiguous = false;
            }
            Some((2, v)) => {
                let (s, _) = read_sample(v.bytes(2)?)?;
                budget.sample()?;
                batch.samples.push(s);
            }
            Some((3, v)) => {
                budget.sample()?;
                // An exemplar that cannot be read is ignored, as one out of order is.
                if let Some(e) = read_exemplar(v.bytes(3)?)? {
                    extra.get_or_insert_default().exemplars.push(e);
                }
            }
            Some((4, v)) => {
                budget.sample()?;
                let mut p = histogram::read(v.bytes(4)?, budget)?;
                p.h = p.h.accept()?;
                p.start_t = 0;
                extra.get_or_insert_default().histograms.push(p);
            }
            Some(_) => {}
        }
    }
    if batch.samples.len() == first_sample && extra.is_none() {
        return Ok(());
    }
    let (key, labels) = if contiguous {
        (
            SeriesKey::of_bytes(secret, KEY_DOMAIN, raw),
            handle(false, at, raw.len()),
        )
    } else {
        let start = side.len();
        gather_labels(series, side)?;
        let raw = &side[start..];
        (
            SeriesKey::of_bytes(secret, KEY_DOMAIN, raw),
            handle(true, start, raw.len()),
        )
    };
    batch.push_series(key, labels, first_sample, extra);
    Ok(())
}

/// Appends the label messages of `series` to `side` in the usual layout.
#[cold]
fn gather_labels(series: &[u8], side: &mut Vec<u8>) -> Result<(), ProtoError> {
    let mut r = Reader::new(series);
    while let Some((field, v)) = r.field()? {
        if field == 1 {
            let msg = v.bytes(1)?;
            side.push(TAG_1);
            put_varint(side, msg.len() as u64);
            side.extend_from_slice(msg);
        }
    }
    Ok(())
}

/// `None` when its labels are not UTF-8 or too many.
fn read_exemplar(msg: &[u8]) -> Result<Option<Exemplar>, ProtoError> {
    let mut pairs = Vec::new();
    let (mut value, mut t, mut readable) = (0.0, 0, true);
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => match read_label(v.bytes(1)?) {
                Ok(pair) => pairs.push(pair),
                Err(ProtoError::Utf8(_)) => readable = false,
                Err(e) => return Err(e),
            },
            2 => value = v.double(2)?,
            3 => t = v.varint(3)?.cast_signed(),
            _ => {}
        }
    }
    readable &= pairs.len() <= EXEMPLAR_LABELS_MAX;
    Ok(readable.then(|| Exemplar {
        labels: Labels::from_pairs(pairs),
        value,
        t,
    }))
}

/// Appends a request with `series` and `metadata` (by family name) to `out`.
pub fn encode<'a>(
    series: impl IntoIterator<Item = OutSeries<'a>>,
    metadata: impl IntoIterator<Item = (&'a str, &'a MetricMetadata)>,
    out: &mut Vec<u8>,
) {
    let mut w = Writer::new(out);
    for s in series {
        w.message(1, |m| write_series(m, &s));
    }
    for (name, meta) in metadata {
        w.message(3, |m| {
            m.uint_or_skip(1, type_number(meta.kind));
            m.string_or_skip(2, name);
            m.string_or_skip(4, &meta.help);
            m.string_or_skip(5, &meta.unit);
        });
    }
}

/// The `TimeSeries` message.
pub(in crate::wire) fn write_series(m: &mut Writer<'_>, s: &OutSeries<'_>) {
    write_labels(m, 1, s.labels);
    for p in s.samples {
        m.message(2, |m| {
            m.double_or_skip(1, p.v);
            m.int_or_skip(2, p.t);
        });
    }
    for e in s.exemplars {
        m.message(3, |m| {
            write_labels(m, 1, &e.labels);
            m.double_or_skip(2, e.value);
            m.int_or_skip(3, e.t);
        });
    }
    for h in s.histograms {
        m.message(4, |m| histogram::write(m, h, false));
    }
}

/// Label messages as field `field`.
pub(in crate::wire) fn write_labels(w: &mut Writer<'_>, field: u32, labels: &Labels) {
    for (name, value) in labels {
        w.message(field, |m| {
            m.string_or_skip(1, name);
            m.string_or_skip(2, value);
        });
    }
}

/// Number of a metric type; the same in both versions.
pub(super) fn type_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

/// Metric type of a number; unknown numbers count as unknown.
pub(super) fn type_of_number(n: u64) -> MetricType {
    match n {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// The metadata messages of a request: (family name, metadata). At most `limit` of them.
///
/// # Errors
/// When the message is malformed.
pub fn metadata(body: &[u8], limit: usize) -> Result<Vec<(String, MetricMetadata)>, ProtoError> {
    let mut found = Vec::new();
    let mut r = Reader::new(body);
    while let Some((field, v)) = r.field()? {
        if field != 3 || found.len() >= limit {
            continue;
        }
        let (mut name, mut meta) = (String::new(), MetricMetadata::default());
        let mut m = Reader::new(v.bytes(3)?);
        while let Some((field, v)) = m.field()? {
            match field {
                1 => meta.kind = type_of_number(v.varint(1)?),
                2 => v.string(2)?.clone_into(&mut name),
                4 => v.string(4)?.clone_into(&mut meta.help),
                5 => v.string(5)?.clone_into(&mut meta.unit),
                _ => {}
            }
        }
        found.push((name, meta));
    }
    Ok(found)
}
