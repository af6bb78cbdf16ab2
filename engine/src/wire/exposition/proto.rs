//! Delimited `io.prometheus.client.MetricFamily` messages.

use super::{
    Form, Options, ParseError, RawExemplar, Rewrite, Series, SeriesValue, Sink, float, push_packed,
};
use crate::model::{
    CounterResetHint, Counts, Histogram, Labels, METRIC_NAME, MetricType, NORMAL_NAN_BITS, Span,
};
use crate::wire::proto::{ProtoError, Reader, Value, unzigzag};
use crate::wire::remote_write::v1::read_label;
use crate::wire::{EXEMPLAR_LABELS_MAX, LABELS_MAX};

impl From<ProtoError> for ParseError {
    fn from(e: ProtoError) -> Self {
        Self(e.to_string())
    }
}

/// Buckets, spans, quantiles and exemplars of one metric at most, and its bucket counts:
/// two bytes of a body can ask for a hundred bytes of memory.
const PARTS_MAX: usize = 100_000;
/// See [`PARTS_MAX`].
const COUNTS_MAX: usize = 1_000_000;

fn check(n: usize, max: usize) -> Result<(), ParseError> {
    if n > max {
        return Err(ParseError(format!("metric has more than {max} parts")));
    }
    Ok(())
}

const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const SUMMARY: u64 = 2;
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;
const GAUGE_HISTOGRAM: u64 = 5;

pub(super) fn parse(body: &[u8], options: &Options, sink: &mut dyn Sink) -> Result<(), ParseError> {
    let mut r = Reader::new(body);
    let mut scratch = Vec::new();
    while !r.is_empty() {
        family(r.bytes()?, options, &mut scratch, sink)?;
    }
    Ok(())
}

fn family(
    msg: &[u8],
    options: &Options,
    scratch: &mut Vec<u8>,
    sink: &mut dyn Sink,
) -> Result<(), ParseError> {
    let (mut name, mut help, mut unit, mut number) = ("", None, "", COUNTER);
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => name = v.string(1)?,
            2 => help = Some(v.string(2)?),
            3 => number = v.varint(3)?,
            5 => unit = v.string(5)?,
            _ => {}
        }
    }
    if name.is_empty() {
        return Err(ParseError("metric family without a name".into()));
    }
    let kind = match number {
        COUNTER => MetricType::Counter,
        GAUGE => MetricType::Gauge,
        SUMMARY => MetricType::Summary,
        UNTYPED => MetricType::Unknown,
        HISTOGRAM => MetricType::Histogram,
        GAUGE_HISTOGRAM => MetricType::GaugeHistogram,
        n => {
            return Err(ParseError(format!(
                "unknown metric type for metric \"{name}\": {n}"
            )));
        }
    };
    if let Some(help) = help {
        sink.help(name, help);
    }
    sink.metric_type(name, kind);
    if !unit.is_empty() {
        // The unit of a counter stands before `_total`.
        let base = match name.strip_suffix("_total") {
            Some(base) if kind == MetricType::Counter => base,
            _ => name,
        };
        if base
            .strip_suffix(unit)
            .is_none_or(|base| !base.ends_with('_'))
        {
            return Err(ParseError(format!(
                "unit \"{unit}\" not a suffix of metric \"{name}\""
            )));
        }
        sink.unit(name, unit);
    }
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        if field == 4 {
            let mut out = Out {
                name,
                kind,
                number,
                labels: Vec::new(),
                t: None,
                scratch,
                options,
                sink,
            };
            out.metric(v.bytes(4)?)?;
        }
    }
    Ok(())
}

/// One metric on its way to the sink.
struct Out<'a, 's> {
    name: &'a str,
    kind: MetricType,
    number: u64,
    labels: Vec<(&'a str, &'a str)>,
    t: Option<i64>,
    scratch: &'s mut Vec<u8>,
    options: &'s Options,
    sink: &'s mut dyn Sink,
}

impl<'a> Out<'a, '_> {
    fn metric(&mut self, msg: &'a [u8]) -> Result<(), ParseError> {
        let mut value: &[u8] = &[];
        // Field of the value by family type.
        let wanted = match self.number {
            COUNTER => 3,
            GAUGE => 2,
            SUMMARY => 4,
            UNTYPED => 5,
            _ => 7,
        };
        let mut r = Reader::new(msg);
        while let Some((field, v)) = r.field()? {
            check(self.labels.len(), LABELS_MAX)?;
            match field {
                1 => self.labels.push(read_label(v.bytes(1)?)?),
                6 => {
                    let t = v.varint(6)?.cast_signed();
                    self.t = (t != 0).then_some(t);
                }
                f if f == wanted => value = v.bytes(f)?,
                _ => {}
            }
        }
        match self.number {
            SUMMARY => self.summary(value),
            HISTOGRAM | GAUGE_HISTOGRAM => self.histogram(value),
            _ => self.number(value),
        }
    }

    fn number(&mut self, msg: &'a [u8]) -> Result<(), ParseError> {
        let (mut v, mut exemplar, mut start_t) = (0.0, None, 0);
        let mut r = Reader::new(msg);
        while let Some((field, value)) = r.field()? {
            match field {
                1 => v = value.double(1)?,
                2 => exemplar = Some(read_exemplar(value.bytes(2)?)?),
                3 => start_t = read_time(value.bytes(3)?)?,
                _ => {}
            }
        }
        self.emit("", None, v, start_t, exemplar.as_slice())
    }

    fn summary(&mut self, msg: &'a [u8]) -> Result<(), ParseError> {
        let (mut count, mut sum, mut start_t) = (0, 0.0, 0);
        let mut quantiles = Vec::new();
        let mut r = Reader::new(msg);
        while let Some((field, value)) = r.field()? {
            check(quantiles.len(), PARTS_MAX)?;
            match field {
                1 => count = value.varint(1)?,
                2 => sum = value.double(2)?,
                3 => quantiles.push(read_doubles(value.bytes(3)?)?),
                4 => start_t = read_time(value.bytes(4)?)?,
                _ => {}
            }
        }
        self.emit("_count", None, count as f64, start_t, &[])?;
        self.emit("_sum", None, sum, start_t, &[])?;
        for (q, v) in quantiles {
            let q = float::format_open_metrics(q);
            self.emit("", Some(("quantile", &q)), v, start_t, &[])?;
        }
        Ok(())
    }

    fn histogram(&mut self, msg: &'a [u8]) -> Result<(), ParseError> {
        let m = HistogramMessage::read(msg)?;
        let native = self.options.native_histograms && m.is_native();
        if native {
            let h = m.native(self.kind);
            // Only exemplars with a time can be stored beside a native histogram.
            let own = if m.exemplars.is_empty() {
                m.buckets
                    .iter()
                    .filter_map(|b| b.exemplar.clone())
                    .collect()
            } else {
                m.exemplars.clone()
            };
            let exemplars: Vec<RawExemplar> = own.into_iter().filter(|e| e.t.is_some()).collect();
            self.pack("", None);
            self.sink.series(&Series {
                raw: self.scratch,
                rewrite: Rewrite::Nothing,
                value: SeriesValue::Histogram(&h),
                t: self.t,
                start_t: m.start_t,
                exemplars: &exemplars,
                form: Form::Packed,
            })?;
            if !self.options.always_classic || m.buckets.is_empty() {
                return Ok(());
            }
        }
        let count = m.total();
        self.emit("_count", None, count, m.start_t, &[])?;
        self.emit("_sum", None, m.sum, m.start_t, &[])?;
        let mut has_inf = false;
        for b in &m.buckets {
            has_inf |= b.upper == f64::INFINITY;
            let le = float::format_open_metrics(b.upper);
            let exemplar = b.exemplar.as_slice();
            self.emit(
                "_bucket",
                Some(("le", &le)),
                b.cumulative,
                m.start_t,
                exemplar,
            )?;
        }
        if !has_inf {
            self.emit("_bucket", Some(("le", "+Inf")), count, m.start_t, &[])?;
        }
        Ok(())
    }

    fn pack(&mut self, suffix: &str, extra: Option<(&str, &str)>) {
        self.scratch.clear();
        self.scratch
            .extend_from_slice(&(METRIC_NAME.len() as u32).to_le_bytes());
        let len = self.name.len() + suffix.len();
        self.scratch.extend_from_slice(&(len as u32).to_le_bytes());
        for part in [METRIC_NAME, self.name, suffix] {
            self.scratch.extend_from_slice(part.as_bytes());
        }
        for (n, v) in self.labels.iter().copied().chain(extra) {
            push_packed(self.scratch, &[n], v);
        }
    }

    fn emit(
        &mut self,
        suffix: &str,
        extra: Option<(&str, &str)>,
        v: f64,
        start_t: i64,
        exemplars: &[RawExemplar],
    ) -> Result<(), ParseError> {
        self.pack(suffix, extra);
        self.sink.series(&Series {
            raw: self.scratch,
            rewrite: Rewrite::Nothing,
            value: SeriesValue::Float(canonical(v)),
            t: self.t,
            start_t,
            exemplars,
            form: Form::Packed,
        })
    }
}

/// Every NaN with the bits of the ordinary one.
fn canonical(v: f64) -> f64 {
    if v.is_nan() {
        f64::from_bits(NORMAL_NAN_BITS)
    } else {
        v
    }
}

/// 1 and 2, both doubles.
fn read_doubles(msg: &[u8]) -> Result<(f64, f64), ProtoError> {
    let (mut a, mut b) = (0.0, 0.0);
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => a = v.double(1)?,
            2 => b = v.double(2)?,
            _ => {}
        }
    }
    Ok((a, b))
}

/// A `google.protobuf.Timestamp` in ms.
fn read_time(msg: &[u8]) -> Result<i64, ProtoError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => seconds = v.varint(1)?.cast_signed(),
            2 => nanos = v.varint(2)?.cast_signed(),
            _ => {}
        }
    }
    Ok(seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000))
}

fn read_exemplar(msg: &[u8]) -> Result<RawExemplar, ParseError> {
    let (mut pairs, mut value, mut t) = (Vec::new(), 0.0, None);
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        // The labels of an exemplar are built in quadratic time.
        check(pairs.len(), EXEMPLAR_LABELS_MAX)?;
        match field {
            1 => pairs.push(read_label(v.bytes(1)?)?),
            2 => value = v.double(2)?,
            3 => t = Some(read_time(v.bytes(3)?)?),
            _ => {}
        }
    }
    Ok(RawExemplar {
        labels: Labels::from_pairs(pairs),
        value,
        t,
    })
}

struct Bucket {
    cumulative: f64,
    upper: f64,
    exemplar: Option<RawExemplar>,
}

/// The `Histogram` message, classic and native parts.
#[derive(Default)]
struct HistogramMessage {
    count: u64,
    count_float: f64,
    sum: f64,
    buckets: Vec<Bucket>,
    schema: i32,
    zero_threshold: f64,
    zero: u64,
    zero_float: f64,
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    start_t: i64,
    exemplars: Vec<RawExemplar>,
}

impl HistogramMessage {
    fn read(msg: &[u8]) -> Result<Self, ParseError> {
        let mut m = Self::default();
        let mut r = Reader::new(msg);
        while let Some((field, v)) = r.field()? {
            let spans = m.positive_spans.len() + m.negative_spans.len();
            check(m.buckets.len() + m.exemplars.len() + spans, PARTS_MAX)?;
            match field {
                1 => m.count = v.varint(1)?,
                2 => m.sum = v.double(2)?,
                3 => m.buckets.push(read_bucket(v.bytes(3)?)?),
                4 => m.count_float = v.double(4)?,
                5 => m.schema = unzigzag(v.varint(5)?) as i32,
                6 => m.zero_threshold = v.double(6)?,
                7 => m.zero = v.varint(7)?,
                8 => m.zero_float = v.double(8)?,
                9 => m.negative_spans.push(read_span(v.bytes(9)?)?),
                10 => deltas(v, 10, &mut m.negative_deltas)?,
                11 => doubles(v, 11, &mut m.negative_counts)?,
                12 => m.positive_spans.push(read_span(v.bytes(12)?)?),
                13 => deltas(v, 13, &mut m.positive_deltas)?,
                14 => doubles(v, 14, &mut m.positive_counts)?,
                15 => m.start_t = read_time(v.bytes(15)?)?,
                16 => m.exemplars.push(read_exemplar(v.bytes(16)?)?),
                _ => {}
            }
        }
        Ok(m)
    }

    fn is_native(&self) -> bool {
        !self.positive_spans.is_empty()
            || !self.negative_spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero > 0
    }

    fn total(&self) -> f64 {
        if self.count_float > 0.0 {
            self.count_float
        } else {
            self.count as f64
        }
    }

    fn native(&self, kind: MetricType) -> Histogram {
        // An empty span is only a sign that the histogram is native.
        let spans = |s: &[Span]| -> Vec<Span> {
            if s.iter().all(|s| s.length == 0) {
                Vec::new()
            } else {
                s.to_vec()
            }
        };
        let float = self.count_float > 0.0 || self.zero_float > 0.0;
        Histogram {
            hint: if kind == MetricType::GaugeHistogram {
                CounterResetHint::Gauge
            } else {
                CounterResetHint::Unknown
            },
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            // A target cannot send a staleness marker.
            sum: canonical(self.sum),
            positive_spans: spans(&self.positive_spans),
            negative_spans: spans(&self.negative_spans),
            custom_values: Vec::new(),
            counts: if float {
                Counts::Float {
                    count: self.count_float,
                    zero: self.zero_float,
                    positive: self.positive_counts.clone(),
                    negative: self.negative_counts.clone(),
                }
            } else {
                Counts::Integer {
                    count: self.count,
                    zero: self.zero,
                    positive: self.positive_deltas.clone(),
                    negative: self.negative_deltas.clone(),
                }
            },
        }
    }
}

fn read_bucket(msg: &[u8]) -> Result<Bucket, ParseError> {
    let (mut count, mut count_float) = (0, 0.0);
    let (mut upper, mut exemplar) = (0.0, None);
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => count = v.varint(1)?,
            2 => upper = v.double(2)?,
            3 => exemplar = Some(read_exemplar(v.bytes(3)?)?),
            4 => count_float = v.double(4)?,
            _ => {}
        }
    }
    Ok(Bucket {
        cumulative: if count_float > 0.0 {
            count_float
        } else {
            count as f64
        },
        upper,
        exemplar,
    })
}

fn read_span(msg: &[u8]) -> Result<Span, ProtoError> {
    let mut s = Span::default();
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => s.offset = unzigzag(v.varint(1)?) as i32,
            2 => s.length = v.varint(2)? as u32,
            _ => {}
        }
    }
    Ok(s)
}

fn deltas(v: Value<'_>, field: u32, out: &mut Vec<i64>) -> Result<(), ParseError> {
    v.each_varint(field, |n| {
        check(out.len(), COUNTS_MAX)?;
        out.push(unzigzag(n));
        Ok(())
    })
}

fn doubles(v: Value<'_>, field: u32, out: &mut Vec<f64>) -> Result<(), ParseError> {
    v.each_fixed64(field, |n| {
        check(out.len(), COUNTS_MAX)?;
        out.push(f64::from_bits(n));
        Ok(())
    })
}
