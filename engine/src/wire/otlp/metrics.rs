//! From OTLP metrics to series.
//!
//! Invariants
//! - A request is translated as a whole: the first thing that cannot be translated is reported
//!   with all others and the caller stores nothing, as Prometheus does.
//! - `job` and `instance` come from the resource; other resource attributes are in `target_info`
//!   unless they are promoted.

use super::message::{
    Attributes, Data, ExponentialPoint, HistogramPoint, Metric, NumberPoint, OtlpExemplar, Request,
    Resource, ScopeMetrics, SummaryPoint,
};
use super::names::{Kind, label_name, metric_name, unit_name};
use crate::model::{
    BatchExtra, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Counts, EXPONENTIAL_SCHEMA_MAX,
    EXPONENTIAL_SCHEMA_MIN, Exemplar, Histogram, HistogramPoint as Point, Labels, LabelsBuilder,
    METRIC_NAME, MetricMetadata, MetricType, Sample, SeriesKey, Span, WriteBatch, stale_nan,
};

use crate::wire::{EXEMPLAR_LABELS_MAX, LABELS_MAX};

/// How names become Prometheus names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Invalid characters become underscores; units and types become suffixes.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Names stay; units and types become suffixes.
    NoUtf8EscapingWithSuffixes,
    /// Invalid characters become underscores; no suffixes.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

impl Strategy {
    /// From the word in a configuration file.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "UnderscoreEscapingWithSuffixes" => Some(Self::UnderscoreEscapingWithSuffixes),
            "NoUTF8EscapingWithSuffixes" => Some(Self::NoUtf8EscapingWithSuffixes),
            "UnderscoreEscapingWithoutSuffixes" => Some(Self::UnderscoreEscapingWithoutSuffixes),
            "NoTranslation" => Some(Self::NoTranslation),
            _ => None,
        }
    }

    pub(super) fn utf8(self) -> bool {
        matches!(self, Self::NoUtf8EscapingWithSuffixes | Self::NoTranslation)
    }

    pub(super) fn suffixes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes
        )
    }
}

/// Choices of the translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Names.
    pub strategy: Strategy,
    /// Resource attributes that become labels of every series.
    pub promote_resource_attributes: Vec<String>,
    /// All of them do, except `ignore_resource_attributes`.
    pub promote_all_resource_attributes: bool,
    /// Exceptions of the former.
    pub ignore_resource_attributes: Vec<String>,
    /// `service.name` and its kind stay in `target_info`.
    pub keep_identifying_resource_attributes: bool,
    /// Histograms with explicit bounds become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Scope name, version and attributes become labels.
    pub promote_scope_metadata: bool,
    /// Label names that start with one underscore get `key` in front.
    pub label_name_underscore_sanitization: bool,
    /// Runs of underscores in label names stay.
    pub preserve_multiple_underscores: bool,
    /// Lookback of queries in ms: `target_info` has a sample at least every half of it.
    pub lookback_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            promote_resource_attributes: Vec::new(),
            promote_all_resource_attributes: false,
            ignore_resource_attributes: Vec::new(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            preserve_multiple_underscores: true,
            lookback_ms: 300_000,
        }
    }
}

/// What goes with the batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Translated {
    /// Labels of the batch's series; handles are indexes.
    pub labels: Vec<Labels>,
    /// Metadata by family name.
    pub metadata: Vec<(String, MetricMetadata)>,
}

/// Everything that cannot be translated, one line each: answer 500, as Prometheus does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct TranslateError(pub Vec<String>);

/// Texts kept of one request.
const ERRORS_MAX: usize = 100;
/// `target_info` samples of one resource at most; the newest ones are kept.
const TARGET_INFO_SAMPLES_MAX: i64 = 1000;
/// OpenMetrics' limit of the labels of an exemplar.
const EXEMPLAR_CHARS_MAX: usize = 128;
/// Zero bucket of exponential histograms that do not state one.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Attributes that identify a target.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// Translates `request` into `batch` (cleared first). `secret` is the store's key secret.
///
/// # Errors
/// When anything cannot be translated; the batch is incomplete then.
pub fn translate(
    request: &Request,
    settings: &Settings,
    secret: u64,
    batch: &mut WriteBatch,
) -> Result<Translated, TranslateError> {
    batch.clear();
    let mut t = Translator {
        s: settings,
        secret,
        batch,
        out: Translated::default(),
        errors: Vec::new(),
        base: Labels::empty(),
        scope: Labels::empty(),
        promoted: Labels::empty(),
        times: None,
        told: hashbrown::HashSet::default(),
    };
    for r in &request.resource_metrics {
        if let Err(e) = t.resource(r) {
            t.fail(e);
        }
    }
    if !t.batch.start_ts.is_empty() {
        t.batch.start_ts.resize(t.batch.samples.len(), 0);
    }
    if t.errors.is_empty() {
        Ok(t.out)
    } else {
        Err(TranslateError(t.errors))
    }
}

struct Translator<'a> {
    s: &'a Settings,
    secret: u64,
    batch: &'a mut WriteBatch,
    out: Translated,
    errors: Vec<String>,
    /// `job` and `instance` of the current resource.
    base: Labels,
    /// Labels of the current scope, if promoted.
    scope: Labels,
    /// Promoted attributes of the current resource.
    promoted: Labels,
    /// First and last time of the current resource's points, ms.
    times: Option<(i64, i64)>,
    /// `target_info` samples already written.
    told: hashbrown::HashSet<(Labels, i64), foldhash::fast::RandomState>,
}

fn millis(nanos: u64) -> i64 {
    (nanos / 1_000_000).cast_signed()
}

fn attribute<'a>(attributes: &'a Attributes, key: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|(k, _)| k == key)
        .map(|(_, v)| v.as_str())
}

/// When a point is, and since when.
#[derive(Clone, Copy)]
struct When {
    t: i64,
    start_t: i64,
    stale: bool,
}

impl When {
    fn new(start: u64, time: u64, flags: u32) -> Self {
        Self {
            t: millis(time),
            start_t: millis(start),
            stale: flags & 1 == 1,
        }
    }
}

impl Translator<'_> {
    fn fail(&mut self, text: String) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(text);
        }
    }

    fn resource(&mut self, r: &super::message::ResourceMetrics) -> Result<(), String> {
        let attributes = &r.resource.attributes;
        if attributes.len() > LABELS_MAX {
            return Err(format!("more than {LABELS_MAX} attributes in one resource"));
        }
        let mut base = LabelsBuilder::new();
        if let Some(name) = attribute(attributes, "service.name") {
            match attribute(attributes, "service.namespace") {
                Some(ns) => base.set("job", &format!("{ns}/{name}")),
                None => base.set("job", name),
            };
        }
        if let Some(id) = attribute(attributes, "service.instance.id") {
            base.set("instance", id);
        }
        self.base = base.build();
        let mut promoted = LabelsBuilder::new();
        for (k, v) in attributes {
            let wanted = if self.s.promote_all_resource_attributes {
                !self.s.ignore_resource_attributes.contains(k)
            } else {
                self.s.promote_resource_attributes.contains(k)
            };
            if wanted {
                promoted.set(&label_name(k, self.s)?, v);
            }
        }
        self.promoted = promoted.build();
        self.times = None;
        for scope in &r.scope_metrics {
            self.scope = self.scope_labels(scope)?;
            for m in &scope.metrics {
                if let Err(e) = self.metric(m) {
                    self.fail(e);
                }
            }
        }
        self.scope = Labels::empty();
        if let Some((first, last)) = self.times {
            self.target_info(&r.resource, first, last)?;
        }
        Ok(())
    }

    fn scope_labels(&self, s: &ScopeMetrics) -> Result<Labels, String> {
        if !self.s.promote_scope_metadata || s.scope.name.is_empty() {
            return Ok(Labels::empty());
        }
        if s.scope.attributes.len() > LABELS_MAX {
            return Err(format!("more than {LABELS_MAX} attributes in one scope"));
        }
        let mut b = LabelsBuilder::new();
        for (k, v) in &s.scope.attributes {
            b.set(&label_name(&format!("otel_scope_{k}"), self.s)?, v);
        }
        b.set("otel_scope_name", &s.scope.name);
        b.set("otel_scope_version", &s.scope.version);
        b.set("otel_scope_schema_url", &s.schema_url);
        Ok(b.build())
    }

    /// Labels of a point: attributes, then promoted and identifying ones, then the scope's.
    fn labels(&self, attributes: &Attributes, skip: &[&str]) -> Result<LabelsBuilder, String> {
        let mut sorted: Vec<&(String, String)> = attributes
            .iter()
            .filter(|(k, _)| !skip.contains(&k.as_str()))
            .collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        if sorted.len() > LABELS_MAX {
            return Err(format!("more than {LABELS_MAX} attributes in one place"));
        }
        let mut b = LabelsBuilder::new();
        for (k, v) in sorted {
            if self.s.strategy.utf8() {
                b.set(k, v);
                continue;
            }
            // Keys that become the same label share it.
            let name = label_name(k, self.s)?;
            match b.get(&name) {
                Some(before) => {
                    let both = format!("{before};{v}");
                    b.set(&name, &both);
                }
                None => {
                    b.set(&name, v);
                }
            }
        }
        for (n, v) in &self.promoted {
            if b.get(n).is_none() {
                b.set(n, v);
            }
        }
        for (n, v) in self.base.iter().chain(&self.scope) {
            b.set(n, v);
        }
        Ok(b)
    }

    fn push(
        &mut self,
        labels: &mut LabelsBuilder,
        name: &str,
        when: When,
        v: f64,
        exemplars: Vec<Exemplar>,
    ) {
        labels.set(METRIC_NAME, name);
        let v = if when.stale { stale_nan() } else { v };
        let first = self.batch.samples.len();
        self.batch.samples.push(Sample { t: when.t, v });
        if when.start_t != 0 || !self.batch.start_ts.is_empty() {
            self.batch.start_ts.resize(first, 0);
            self.batch.start_ts.push(when.start_t);
        }
        let extra = (!exemplars.is_empty()).then(|| BatchExtra {
            exemplars,
            ..BatchExtra::default()
        });
        self.push_series(labels.build(), first, extra);
    }

    fn push_histogram(
        &mut self,
        mut labels: LabelsBuilder,
        name: &str,
        when: When,
        h: Histogram,
        exemplars: Vec<Exemplar>,
    ) -> Result<(), String> {
        labels.set(METRIC_NAME, name);
        let h = if when.stale {
            Histogram::stale()
        } else {
            h.accept().map_err(|e| e.0)?
        };
        let extra = BatchExtra {
            histograms: vec![Point {
                t: when.t,
                start_t: when.start_t,
                h,
            }],
            exemplars,
            metadata: None,
        };
        let first = self.batch.samples.len();
        self.push_series(labels.build(), first, Some(extra));
        Ok(())
    }

    fn push_series(&mut self, labels: Labels, first: usize, extra: Option<BatchExtra>) {
        let key = SeriesKey::of_labels(self.secret, &labels);
        let handle = self.out.labels.len() as u64;
        self.out.labels.push(labels);
        self.batch.push_series(key, handle, first, extra);
    }

    fn saw(&mut self, t: i64) {
        let (first, last) = self.times.unwrap_or((t, t));
        self.times = Some((first.min(t), last.max(t)));
    }

    fn metric(&mut self, m: &Metric) -> Result<(), String> {
        let (kind, metric_type) = match m {
            Metric { gauge: Some(_), .. } => (Kind::Gauge, MetricType::Gauge),
            Metric { sum: Some(s), .. } if s.is_monotonic => {
                (Kind::MonotonicSum, MetricType::Counter)
            }
            Metric { sum: Some(_), .. } => (Kind::Other, MetricType::Gauge),
            Metric {
                histogram: Some(_), ..
            }
            | Metric {
                exponential_histogram: Some(_),
                ..
            } => (Kind::Other, MetricType::Histogram),
            Metric {
                summary: Some(_), ..
            } => (Kind::Other, MetricType::Summary),
            _ => return Err("unsupported metric type".into()),
        };
        for t in point_times(m) {
            self.saw(millis(t));
        }
        let temporality = match m {
            Metric { gauge: Some(_), .. } => None,
            Metric { sum: Some(d), .. } => Some(d.aggregation_temporality),
            Metric {
                histogram: Some(d), ..
            } => Some(d.aggregation_temporality),
            Metric {
                exponential_histogram: Some(d),
                ..
            } => Some(d.aggregation_temporality),
            _ => None,
        };
        if temporality.is_some_and(|t| t != 2) {
            return Err(format!(
                "invalid temporality and type combination for metric \"{}\"",
                m.name
            ));
        }
        let name = metric_name(&m.name, &m.unit, kind, self.s)?;
        self.out.metadata.push((
            name.clone(),
            MetricMetadata {
                kind: metric_type,
                help: m.description.clone(),
                unit: unit_name(&m.unit),
            },
        ));
        if let Some(d) = m.gauge.as_ref().or(m.sum.as_ref()) {
            self.numbers(&name, d)
        } else if let Some(d) = &m.histogram {
            self.histograms(&name, d)
        } else if let Some(d) = &m.exponential_histogram {
            self.exponential(&name, d)
        } else if let Some(d) = &m.summary {
            self.summaries(&name, d)
        } else {
            Ok(())
        }
    }

    fn numbers(&mut self, name: &str, d: &Data<NumberPoint>) -> Result<(), String> {
        for p in &d.data_points {
            let mut labels = self.labels(&p.attributes, &[METRIC_NAME])?;
            let when = When::new(p.start_time_unix_nano, p.time_unix_nano, p.flags);
            let exemplars = exemplars(&p.exemplars, when.t)?;
            self.push(&mut labels, name, when, p.value, exemplars);
        }
        Ok(())
    }

    fn histograms(&mut self, name: &str, d: &Data<HistogramPoint>) -> Result<(), String> {
        for p in &d.data_points {
            let mut labels = self.labels(&p.attributes, &[METRIC_NAME])?;
            let when = When::new(p.start_time_unix_nano, p.time_unix_nano, p.flags);
            let mut exemplars = exemplars(&p.exemplars, when.t)?;
            if self.s.convert_histograms_to_nhcb {
                self.push_histogram(labels, name, when, custom(p)?, exemplars)?;
                continue;
            }
            if let Some(sum) = p.sum {
                self.push(&mut labels, &format!("{name}_sum"), when, sum, vec![]);
            }
            let count = p.count as f64;
            self.push(&mut labels, &format!("{name}_count"), when, count, vec![]);
            let bucket = format!("{name}_bucket");
            let mut below = 0u64;
            for (bound, n) in p.explicit_bounds.iter().zip(&p.bucket_counts) {
                below = below.wrapping_add(*n);
                let split = exemplars.partition_point(|e| e.value <= *bound);
                let rest = exemplars.split_off(split);
                let own = std::mem::replace(&mut exemplars, rest);
                labels.set("le", &format!("{bound}"));
                self.push(&mut labels, &bucket, when, below as f64, own);
            }
            labels.set("le", "+Inf");
            self.push(&mut labels, &bucket, when, count, exemplars);
        }
        Ok(())
    }

    fn exponential(&mut self, name: &str, d: &Data<ExponentialPoint>) -> Result<(), String> {
        for p in &d.data_points {
            let labels = self.labels(&p.attributes, &[METRIC_NAME])?;
            let when = When::new(p.start_time_unix_nano, p.time_unix_nano, p.flags);
            let exemplars = exemplars(&p.exemplars, when.t)?;
            let h = native(p)?;
            self.push_histogram(labels, name, when, h, exemplars)?;
        }
        Ok(())
    }

    fn summaries(&mut self, name: &str, d: &Data<SummaryPoint>) -> Result<(), String> {
        for p in &d.data_points {
            let mut labels = self.labels(&p.attributes, &[METRIC_NAME])?;
            let when = When::new(p.start_time_unix_nano, p.time_unix_nano, p.flags);
            self.push(&mut labels, &format!("{name}_sum"), when, p.sum, vec![]);
            let count = p.count as f64;
            self.push(&mut labels, &format!("{name}_count"), when, count, vec![]);
            for q in &p.quantile_values {
                labels.set("quantile", &format!("{}", q.quantile));
                self.push(&mut labels, name, when, q.value, vec![]);
            }
        }
        Ok(())
    }

    fn target_info(&mut self, r: &Resource, first: i64, last: i64) -> Result<(), String> {
        let only_identity = r
            .attributes
            .iter()
            .all(|(k, _)| IDENTIFYING.contains(&k.as_str()));
        if only_identity || self.base.is_empty() {
            return Ok(());
        }
        let skip: &[&str] = if self.s.keep_identifying_resource_attributes {
            &[]
        } else {
            &IDENTIFYING
        };
        let promoted = std::mem::take(&mut self.promoted);
        let built = self.labels(&r.attributes, skip);
        self.promoted = promoted;
        let mut labels = built?;
        let series = labels.set(METRIC_NAME, "target_info").build();
        self.out.metadata.push((
            "target_info".into(),
            MetricMetadata {
                kind: MetricType::Gauge,
                help: "Target metadata".into(),
                unit: String::new(),
            },
        ));
        let step = (self.s.lookback_ms / 2).max(1);
        let mut t = first.max(last.saturating_sub(step.saturating_mul(TARGET_INFO_SAMPLES_MAX)));
        let mut times = Vec::new();
        while t < last {
            times.push(t);
            t += step;
        }
        times.push(last);
        for t in times {
            if self.told.insert((series.clone(), t)) {
                let when = When {
                    t,
                    start_t: 0,
                    stale: false,
                };
                self.push(&mut labels, "target_info", when, 1.0, vec![]);
            }
        }
        Ok(())
    }
}

fn point_times(m: &Metric) -> Vec<u64> {
    let mut out: Vec<u64> = Vec::new();
    for d in m.gauge.iter().chain(&m.sum) {
        out.extend(d.data_points.iter().map(|p| p.time_unix_nano));
    }
    if let Some(d) = &m.histogram {
        out.extend(d.data_points.iter().map(|p| p.time_unix_nano));
    }
    if let Some(d) = &m.exponential_histogram {
        out.extend(d.data_points.iter().map(|p| p.time_unix_nano));
    }
    if let Some(d) = &m.summary {
        out.extend(d.data_points.iter().map(|p| p.time_unix_nano));
    }
    out
}

fn exemplars(list: &[OtlpExemplar], point_t: i64) -> Result<Vec<Exemplar>, String> {
    list.iter()
        .map(|e| {
            let value = e.value.ok_or("unsupported exemplar value type: Empty")?;
            let mut b = LabelsBuilder::new();
            b.set("trace_id", &e.trace_id).set("span_id", &e.span_id);
            let chars = |pairs: &mut dyn Iterator<Item = (&str, &str)>| -> usize {
                pairs
                    .map(|(n, v)| n.chars().count() + v.chars().count())
                    .sum()
            };
            let own = chars(&mut b.iter());
            let more = chars(
                &mut e
                    .filtered_attributes
                    .iter()
                    .map(|(k, v)| (k.as_str(), v.as_str())),
            );
            let few = e.filtered_attributes.len() <= EXEMPLAR_LABELS_MAX;
            if few && own + more <= EXEMPLAR_CHARS_MAX {
                for (k, v) in &e.filtered_attributes {
                    b.set(k, v);
                }
            }
            let t = millis(e.time_unix_nano);
            Ok(Exemplar {
                labels: b.build(),
                value,
                t: if t == 0 { point_t } else { t },
            })
        })
        .collect()
}

/// Spans and deltas of dense counts whose first one has index `first` and is merged `2^by` to one.
/// Gaps of up to two empty buckets are filled, longer ones start a span.
fn layout(counts: &[u64], first: i64, by: u32) -> Result<(Vec<Span>, Vec<i64>), String> {
    let (mut spans, mut absolute): (Vec<Span>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut last = None;
    for (i, n) in counts.iter().enumerate().filter(|(_, n)| **n != 0) {
        let index = ((first + i as i64 - 1) >> by.min(62)) + 1;
        let n = n.cast_signed();
        match (last, spans.last_mut(), absolute.last_mut()) {
            (Some(l), _, Some(a)) if l == index => *a = a.wrapping_add(n),
            (Some(l), Some(s), _) if index - l <= 3 => {
                // At most two.
                let gap = usize::try_from(index - l - 1).unwrap_or(0);
                absolute.resize(absolute.len() + gap, 0);
                s.length += (index - l) as u32;
                absolute.push(n);
            }
            (l, ..) => {
                let offset = i32::try_from(l.map_or(index, |l| index - l - 1))
                    .map_err(|_| "bucket offset out of range".to_owned())?;
                spans.push(Span { offset, length: 1 });
                absolute.push(n);
            }
        }
        last = Some(index);
    }
    let mut before = 0i64;
    for a in &mut absolute {
        let delta = a.wrapping_sub(before);
        before = *a;
        *a = delta;
    }
    Ok((spans, absolute))
}

fn native(p: &ExponentialPoint) -> Result<Histogram, String> {
    if p.scale < EXPONENTIAL_SCHEMA_MIN {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {EXPONENTIAL_SCHEMA_MIN}, was {}",
            p.scale
        ));
    }
    let schema = p.scale.min(EXPONENTIAL_SCHEMA_MAX);
    let by = p.scale.abs_diff(schema);
    // OTLP bucket i has the lower bound where bucket i + 1 of ours has it.
    let (positive_spans, positive) = layout(
        &p.positive.bucket_counts,
        i64::from(p.positive.offset) + 1,
        by,
    )?;
    let (negative_spans, negative) = layout(
        &p.negative.bucket_counts,
        i64::from(p.negative.offset) + 1,
        by,
    )?;
    Ok(Histogram {
        hint: CounterResetHint::Unknown,
        schema,
        zero_threshold: if p.zero_threshold > 0.0 {
            p.zero_threshold
        } else {
            ZERO_THRESHOLD
        },
        sum: p.sum.unwrap_or(0.0),
        positive_spans,
        negative_spans,
        custom_values: Vec::new(),
        counts: Counts::Integer {
            count: p.count,
            zero: p.zero_count,
            positive,
            negative,
        },
    })
}

fn custom(p: &HistogramPoint) -> Result<Histogram, String> {
    let all = [p.count];
    // Without buckets there is one, from -Inf to +Inf.
    let counts = if p.bucket_counts.is_empty() {
        &all[..]
    } else {
        &p.bucket_counts
    };
    let (positive_spans, positive) = layout(counts, 0, 0)?;
    Ok(Histogram {
        hint: CounterResetHint::Unknown,
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        sum: p.sum.unwrap_or(0.0),
        positive_spans,
        negative_spans: Vec::new(),
        custom_values: p.explicit_bounds.clone(),
        counts: Counts::Integer {
            count: p.count,
            zero: 0,
            positive,
            negative: Vec::new(),
        },
    })
}
