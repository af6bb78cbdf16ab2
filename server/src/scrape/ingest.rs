//! One body to one batch.

use std::collections::BTreeMap;

use engine::metrics::{AppendError, Appended};
use engine::model::{
    BatchExtra, Exemplar, Histogram, HistogramPoint, Labels, METRIC_NAME, MetricMetadata,
    MetricType, SeriesKey, WriteBatch, is_stale, stale_nan,
};
use engine::wire::exposition::{
    self, Format, Options, Pairs, ParseError, Series, SeriesValue, Sink,
};

use super::Appender;
use super::cache::{BatchLabels, Cache, EntryId, REPORT_HANDLE};
use super::labels::{Outcome, Rules};

/// Metadata of a target's families by name.
pub(crate) type Metadata = BTreeMap<String, MetricMetadata>;

/// Samples of a scrape whose job sets no limit. A body of 64 MiB has about 700,000 of usual length.
const SAMPLES_MAX: u64 = 1_000_000;
/// Samples of a scrape before relabelling: dropped series are remembered, too.
const EXPOSED_MAX: u64 = 2_000_000;
/// Families whose metadata is kept per target.
const METADATA_FAMILIES_MAX: usize = 50_000;

/// What holds for the samples of a target besides [`Rules`].
pub(super) struct Limits {
    pub(super) honor_timestamps: bool,
    pub(super) track_timestamps_staleness: bool,
    /// Most samples after relabelling, 0 for no limit.
    pub(super) sample_limit: u64,
    /// Most buckets of a histogram, 0 for no limit.
    pub(super) bucket_limit: u64,
    /// Finest schema.
    pub(super) max_schema: i32,
    /// Parser choices.
    pub(super) options: Options,
    /// Also write timeout, limit and body size.
    pub(super) extra_reports: bool,
    /// In seconds, for the report.
    pub(super) timeout_seconds: f64,
}

/// Everything a loop keeps from scrape to scrape.
pub(super) struct Ingest {
    pub(super) rules: Rules,
    pub(super) limits: Limits,
    cache: Cache,
    batch: WriteBatch,
    reports: Vec<Labels>,
    report_keys: Vec<SeriesKey>,
    secret: u64,
}

const REPORTS: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
/// Reports that are always written.
const REPORTS_BASIC: usize = 5;

/// A fetched body.
pub(super) struct Body<'a> {
    pub(super) format: Format,
    pub(super) bytes: &'a [u8],
}

/// How a scrape went.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// Why nothing was stored.
    pub(super) error: Option<String>,
    /// What the store said.
    pub(super) appended: Appended,
    /// Samples in the body.
    pub(super) scraped: u64,
    /// Samples after relabelling.
    pub(super) kept: u64,
    /// New series.
    pub(super) added: u64,
    /// Whether it failed because there were too many samples.
    pub(super) over_sample_limit: bool,
}

impl Ingest {
    pub(super) fn new(rules: Rules, limits: Limits, secret: u64) -> Self {
        let n = if limits.extra_reports {
            REPORTS.len()
        } else {
            REPORTS_BASIC
        };
        let reports: Vec<Labels> = REPORTS[..n]
            .iter()
            .map(|name| rules.target.with(METRIC_NAME, name))
            .collect();
        Self {
            report_keys: reports
                .iter()
                .map(|l| SeriesKey::of_labels(secret, l))
                .collect(),
            reports,
            rules,
            limits,
            cache: Cache::new(secret),
            batch: WriteBatch::default(),
            secret,
        }
    }

    /// The same state under other limits.
    pub(super) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Stores one scrape made at `t`. `body` is an error when the fetch failed; `body_size` is
    /// what the report says about it. `duration` gives the seconds since the scrape began.
    pub(super) fn scrape(
        &mut self,
        body: Result<Body<'_>, String>,
        body_size: f64,
        t: i64,
        metadata: &mut Metadata,
        appender: &dyn Appender,
        duration: impl Fn() -> f64,
    ) -> Result<Outcomes, AppendError> {
        self.batch.clear();
        self.cache.begin();
        let mut out = Outcomes::default();
        match body {
            Err(e) => out.error = Some(e),
            Ok(body) => {
                let mut c = Collector {
                    rules: &self.rules,
                    limits: &self.limits,
                    cache: &mut self.cache,
                    batch: &mut self.batch,
                    metadata,
                    secret: self.secret,
                    t,
                    out: &mut out,
                    limit_error: None,
                };
                let parsed =
                    exposition::parse(body.format, body.bytes, &self.limits.options, &mut c);
                let limit_error = c.limit_error.take();
                out.error = parsed.err().map(|e| e.0).or(limit_error);
            }
        }
        let failed = out.error.is_some();
        if failed {
            self.batch.clear();
            // Nothing of this scrape counts as seen.
            self.cache.round += 1;
            out.added = 0;
        }
        let vanished: Vec<(EntryId, bool)> = self
            .cache
            .vanished()
            .map(|(id, e)| (id, e.histogram))
            .collect();
        for (id, histogram) in &vanished {
            self.stale(*id, *histogram, t);
        }
        let values = [
            if failed { 0.0 } else { 1.0 },
            duration(),
            out.scraped as f64,
            out.kept as f64,
            out.added as f64,
            self.limits.timeout_seconds,
            self.limits.sample_limit as f64,
            body_size,
        ];
        self.report(&values, t);
        let result = self.append(appender);
        if failed {
            self.cache.rollback();
        } else {
            self.cache.commit();
        }
        if result.is_err() {
            // The markers were not stored either: they are due with the next scrape.
            self.cache.still_due(vanished.iter().map(|(id, _)| *id));
        }
        self.cache.tidy();
        out.appended = result?;
        Ok(out)
    }

    /// Ends all series of the target at `t`: it is gone.
    pub(super) fn end(&mut self, t: i64, appender: &dyn Appender) -> Result<(), AppendError> {
        self.batch.clear();
        let living: Vec<(EntryId, bool)> = self
            .cache
            .living()
            .map(|(id, e)| (id, e.histogram))
            .collect();
        for (id, histogram) in living {
            self.stale(id, histogram, t);
        }
        self.report(&[stale_nan(); REPORTS.len()], t);
        self.append(appender).map(|_| ())
    }

    fn append(&self, appender: &dyn Appender) -> Result<Appended, AppendError> {
        let labels = BatchLabels {
            cache: &self.cache,
            reports: &self.reports,
        };
        appender.append(&self.batch, &labels, super::now_ms())
    }

    fn stale(&mut self, id: EntryId, histogram: bool, t: i64) {
        // A series that was exposed twice in a scrape vanishes once.
        let Some(e) = self.cache.entry(id).filter(|e| e.tracked) else {
            return;
        };
        e.tracked = false;
        let (key, handle) = (e.key, u64::from(id));
        if histogram {
            let first = self.batch.samples.len();
            let extra = BatchExtra {
                histograms: vec![HistogramPoint {
                    t,
                    start_t: 0,
                    h: Histogram::stale(),
                }],
                ..BatchExtra::default()
            };
            self.batch.push_series(key, handle, first, Some(extra));
        } else {
            self.batch.push_sample(key, handle, t, stale_nan());
        }
    }

    fn report(&mut self, values: &[f64; REPORTS.len()], t: i64) {
        for (i, (key, v)) in self.report_keys.iter().zip(values).enumerate() {
            self.batch
                .push_sample(*key, REPORT_HANDLE + i as u64, t, *v);
        }
        // Start timestamps are parallel to samples once there are any.
        if !self.batch.start_ts.is_empty() {
            self.batch.start_ts.resize(self.batch.samples.len(), 0);
        }
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.cache.len()
    }
}

/// Takes events of a parser into the batch.
struct Collector<'a> {
    rules: &'a Rules,
    limits: &'a Limits,
    cache: &'a mut Cache,
    batch: &'a mut WriteBatch,
    metadata: &'a mut Metadata,
    secret: u64,
    t: i64,
    out: &'a mut Outcomes,
    /// The scrape has failed, but is read on so that the report counts everything.
    limit_error: Option<String>,
}

impl Collector<'_> {
    fn family(&mut self, name: &str) -> Option<&mut MetricMetadata> {
        if !self.metadata.contains_key(name) {
            if self.metadata.len() >= METADATA_FAMILIES_MAX {
                return None;
            }
            self.metadata
                .insert(name.to_owned(), MetricMetadata::default());
        }
        self.metadata.get_mut(name)
    }

    fn resolve(&mut self, s: &Series<'_>) -> Result<EntryId, ParseError> {
        if let Some(id) = self.cache.find(s) {
            return Ok(id);
        }
        let mut pairs: Pairs<'_> = Vec::new();
        s.labels(&mut pairs)?;
        let labels = match self.rules.apply(&pairs).map_err(ParseError)? {
            Outcome::Keep(labels) => Some(labels),
            Outcome::Drop => None,
        };
        let key = labels
            .as_ref()
            .map_or(SeriesKey(0), |l| SeriesKey::of_labels(self.secret, l));
        if labels.is_some() {
            self.out.added += 1;
        }
        Ok(self.cache.insert(s, labels, key))
    }

    fn histogram(&self, h: &Histogram) -> Result<Histogram, ParseError> {
        let mut h = h.clone();
        let exponential = h.schema != engine::model::CUSTOM_BUCKETS_SCHEMA;
        if exponential && h.schema > self.limits.max_schema {
            h = h
                .reduced_to(self.limits.max_schema)
                .map_err(|e| ParseError(e.0))?;
        }
        let h = h.accept().map_err(|e| ParseError(e.0))?;
        if self.limits.bucket_limit > 0 {
            let limit = usize::try_from(self.limits.bucket_limit).unwrap_or(usize::MAX);
            return h.limited_to(limit).map_err(|e| ParseError(e.0));
        }
        Ok(h)
    }
}

impl Sink for Collector<'_> {
    fn expected(&self) -> &[u8] {
        self.cache.expected()
    }

    fn metric_type(&mut self, family: &str, kind: MetricType) {
        if let Some(m) = self.family(family) {
            m.kind = kind;
        }
    }

    fn help(&mut self, family: &str, text: &str) {
        if let Some(m) = self.family(family)
            && m.help != text
        {
            text.clone_into(&mut m.help);
        }
    }

    fn unit(&mut self, family: &str, unit: &str) {
        if let Some(m) = self.family(family)
            && m.unit != unit
        {
            unit.clone_into(&mut m.unit);
        }
    }

    fn series(&mut self, s: &Series<'_>) -> Result<(), ParseError> {
        self.out.scraped += 1;
        if self.limit_error.is_some() {
            return Ok(());
        }
        if self.out.scraped > EXPOSED_MAX {
            self.limit_error = Some(format!("more than {EXPOSED_MAX} samples in one scrape"));
            return Ok(());
        }
        let stated = s.t.filter(|_| self.limits.honor_timestamps);
        let t = stated.unwrap_or(self.t);
        let id = self.resolve(s)?;
        let round = self.cache.round;
        let track = stated.is_none() || self.limits.track_timestamps_staleness;
        let Some(e) = self.cache.entry(id) else {
            return Ok(());
        };
        if e.labels.is_none() {
            e.seen = round;
            return Ok(());
        }
        // The first of several samples at one time counts; the others are duplicates.
        let duplicate = e.seen == round && stated.is_none();
        e.seen = round;
        e.tracked = track;
        e.histogram = matches!(s.value, SeriesValue::Histogram(_));
        let key = e.key;
        self.out.kept += 1;
        if duplicate {
            return Ok(());
        }
        let counts = !matches!(s.value, SeriesValue::Float(v) if is_stale(v));
        let limit = match self.limits.sample_limit {
            0 => SAMPLES_MAX,
            n => n,
        };
        if counts && self.out.kept > limit {
            self.limit_error = Some("sample limit exceeded".into());
            self.out.over_sample_limit = true;
            return Ok(());
        }
        let first = self.batch.samples.len();
        let mut extra = BatchExtra::default();
        match s.value {
            SeriesValue::Float(v) => {
                self.batch.samples.push(engine::model::Sample { t, v });
                if s.start_t != 0 || !self.batch.start_ts.is_empty() {
                    self.batch.start_ts.resize(first, 0);
                    self.batch.start_ts.push(s.start_t);
                }
            }
            SeriesValue::Histogram(h) => {
                let h = self.histogram(h)?;
                extra.histograms.push(HistogramPoint {
                    t,
                    start_t: s.start_t,
                    h,
                });
            }
        }
        extra.exemplars.extend(s.exemplars.iter().map(|e| Exemplar {
            labels: e.labels.clone(),
            value: e.value,
            t: e.t.unwrap_or(t),
        }));
        let used = !extra.histograms.is_empty() || !extra.exemplars.is_empty();
        self.batch
            .push_series(key, u64::from(id), first, used.then_some(extra));
        Ok(())
    }
}

/// Finest schema whose buckets grow by at least `factor`.
pub(super) fn schema_of_factor(factor: f64) -> i32 {
    use engine::model::{EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN};
    if factor <= 1.0 {
        return EXPONENTIAL_SCHEMA_MAX;
    }
    let schema = (-factor.log2().log2()).floor();
    (schema as i32).clamp(EXPONENTIAL_SCHEMA_MIN, EXPONENTIAL_SCHEMA_MAX)
}
