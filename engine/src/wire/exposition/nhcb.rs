//! Classic histograms as native ones with custom buckets.
//!
//! A filter between a parser and a sink: it holds back the `_bucket`, `_count` and `_sum` series
//! of one classic histogram and hands on one histogram instead.

use super::{
    Form, Pairs, ParseError, RawExemplar, Rewrite, Series, SeriesValue, Sink, float, push_packed,
};
use crate::model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Counts, Histogram, Labels, METRIC_NAME, MetricType,
    Span,
};

/// Buckets of one classic histogram at most; the rest is dropped with it.
const BUCKETS_MAX: usize = 100_000;

/// What is known of the histogram that is being collected.
#[derive(Default)]
struct Group {
    /// Labels without `le`, under the base name.
    labels: Labels,
    /// Upper bound and cumulative count.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    t: Option<i64>,
    start_t: i64,
    exemplars: Vec<RawExemplar>,
}

pub(super) struct Converter<'a> {
    sink: &'a mut dyn Sink,
    always_classic: bool,
    family: String,
    kind: MetricType,
    group: Option<Group>,
    /// Series of which a native histogram was seen: their classic part is not converted.
    native: Option<Labels>,
    scratch: Vec<u8>,
}

impl<'a> Converter<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink, always_classic: bool) -> Self {
        Self {
            sink,
            always_classic,
            family: String::new(),
            kind: MetricType::Unknown,
            group: None,
            native: None,
            scratch: Vec::new(),
        }
    }

    pub(super) fn finish(mut self) -> Result<(), ParseError> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), ParseError> {
        let Some(g) = self.group.take() else {
            return Ok(());
        };
        if self.native.as_ref() == Some(&g.labels) {
            return Ok(());
        }
        let Some(h) = convert(&g) else {
            return Ok(());
        };
        self.scratch.clear();
        for (n, v) in &g.labels {
            push_packed(&mut self.scratch, &[n], v);
        }
        self.sink.series(&Series {
            raw: &self.scratch,
            rewrite: Rewrite::Nothing,
            value: SeriesValue::Histogram(&h),
            t: g.t,
            start_t: g.start_t,
            exemplars: &g.exemplars,
            form: Form::Packed,
        })
    }

    /// Takes the series into the group. False when it is not part of a classic histogram.
    fn take(&mut self, s: &Series<'_>) -> Result<bool, ParseError> {
        let SeriesValue::Float(v) = s.value else {
            return Ok(false);
        };
        if self.kind != MetricType::Histogram {
            return Ok(false);
        }
        let mut pairs: Pairs<'_> = Vec::new();
        s.labels(&mut pairs)?;
        let Some(name) = pairs.iter().find(|(n, _)| n == METRIC_NAME) else {
            return Ok(false);
        };
        let part = match name.1.strip_prefix(self.family.as_str()) {
            Some(part @ ("_bucket" | "_count" | "_sum")) => part.to_owned(),
            _ => return Ok(false),
        };
        let le = pairs
            .iter()
            .find(|(n, _)| n == "le")
            .and_then(|(_, v)| float::parse(v.as_bytes()).ok());
        if part == "_bucket" && le.is_none() {
            return Ok(false);
        }
        let labels = Labels::from_pairs(
            pairs
                .iter()
                .map(|(n, v)| (n, v))
                .filter(|(n, _)| *n != "le"),
        )
        .with(METRIC_NAME, &self.family);
        if self.group.as_ref().is_none_or(|g| g.labels != labels) {
            self.flush()?;
            self.group = Some(Group {
                labels,
                ..Group::default()
            });
        }
        let Some(g) = &mut self.group else {
            return Ok(false);
        };
        match (part.as_str(), le) {
            ("_count", _) => g.count = Some(v),
            ("_sum", _) => g.sum = v,
            (_, Some(le)) if g.buckets.len() < BUCKETS_MAX => g.buckets.push((le, v)),
            _ => {}
        }
        g.t = s.t.or(g.t);
        g.start_t = g.start_t.max(s.start_t);
        g.exemplars
            .extend(s.exemplars.iter().filter(|e| e.t.is_some()).cloned());
        Ok(true)
    }
}

impl Sink for Converter<'_> {
    fn metric_type(&mut self, family: &str, kind: MetricType) {
        // A group ends at the next statement that is not part of it; its error, if the sink has
        // one, comes back with the next series.
        family.clone_into(&mut self.family);
        self.kind = kind;
        self.sink.metric_type(family, kind);
    }

    fn help(&mut self, family: &str, text: &str) {
        self.sink.help(family, text);
    }

    fn unit(&mut self, family: &str, unit: &str) {
        self.sink.unit(family, unit);
    }

    fn series(&mut self, s: &Series<'_>) -> Result<(), ParseError> {
        if let SeriesValue::Histogram(_) = s.value {
            let mut pairs = Vec::new();
            s.labels(&mut pairs)?;
            self.flush()?;
            self.native = Some(Labels::from_pairs(pairs));
            return self.sink.series(s);
        }
        if self.take(s)? {
            if self.always_classic {
                self.sink.series(s)?;
            }
            return Ok(());
        }
        self.flush()?;
        self.sink.series(s)
    }
}

/// `None` when the buckets contradict each other or there are none.
fn convert(g: &Group) -> Option<Histogram> {
    let mut buckets = g.buckets.clone();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup_by(|a, b| a.0 == b.0);
    let inf = buckets
        .pop_if(|(le, _)| *le == f64::INFINITY)
        .map(|(_, c)| c);
    let count = g.count.or(inf)?;
    if buckets.is_empty() && inf.is_none() {
        return None;
    }
    let bounds: Vec<f64> = buckets.iter().map(|(le, _)| *le).collect();
    let mut before = 0.0;
    let mut counts: Vec<f64> = Vec::with_capacity(buckets.len() + 1);
    for c in buckets.iter().map(|(_, c)| *c).chain([count]) {
        counts.push(c - before);
        before = c;
    }
    if counts.iter().any(|c| *c < 0.0 || c.is_nan()) {
        return None;
    }
    // Only runs of filled buckets are kept.
    let (mut spans, mut kept): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = 0;
    for (i, c) in counts.iter().enumerate().filter(|(_, c)| **c != 0.0) {
        match spans.last_mut() {
            Some(s) if i == next => s.length += 1,
            _ => spans.push(Span {
                offset: i32::try_from(i - next).ok()?,
                length: 1,
            }),
        }
        kept.push(*c);
        next = i + 1;
    }
    let whole = |v: f64| v.fract() == 0.0 && v < 9e15;
    let counts = if whole(count) && kept.iter().all(|c| whole(*c)) {
        let mut before = 0;
        Counts::Integer {
            count: count as u64,
            zero: 0,
            positive: kept
                .iter()
                .map(|c| *c as i64 - std::mem::replace(&mut before, *c as i64))
                .collect(),
            negative: Vec::new(),
        }
    } else {
        Counts::Float {
            count,
            zero: 0.0,
            positive: kept,
            negative: Vec::new(),
        }
    };
    Some(Histogram {
        hint: CounterResetHint::Unknown,
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        sum: g.sum,
        positive_spans: spans,
        negative_spans: Vec::new(),
        custom_values: bounds,
        counts,
    })
}
