//! Lines: limits, discovery, the batch for the store.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use engine::logs::{Db, PushBatch, PushError};
use engine::model::{Labels, TenantId};
use engine::wire::loki::{Pairs, PushEntry, PushStream};
use parking_lot::Mutex;
use query::logql::stages::sanitize;
use tokio::sync::{broadcast, oneshot, watch};

use super::level;
use super::rate::Rates;
use crate::config::loki::{LokiConfig, TenantLimits};

/// Name of the label that tells the service.
const SERVICE: &str = "service_name";
/// Streams whose newest time is remembered (ING2).
const NEWEST_MAX: usize = 200_000;
/// How far behind the newest entry of its stream an entry may be: half of the original's largest
/// chunk age.
const BEHIND_NS: i64 = 3_600_000_000_000;
/// Batches that a slow tail may be behind.
const TAIL_BATCHES: usize = 256;
/// Bytes of batches that may wait for slow tails, all tails together (ING2).
const TAIL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Entries that were stored, for tails.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// Whose.
    pub(crate) tenant: TenantId,
    /// What is told of them.
    pub(crate) news: News,
    /// Bytes of it among those of all.
    _waits: Waits,
}

/// What tails are told of a push.
#[derive(Debug)]
pub(crate) enum News {
    /// The entries.
    Entries(PushBatch),
    /// Each stream with its newest time: too much waits for slow tails already.
    Missed(Vec<(Labels, i64)>),
}

/// Bytes that wait, counted until dropped.
#[derive(Debug)]
struct Waits {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Why entries were refused: status 400, 413, 422, 429, 500 or 503, and the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// HTTP status.
    pub(crate) status: u16,
    /// Text.
    pub(crate) text: String,
}

impl Refused {
    pub(crate) fn new(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }
}

/// Limits by the name of the tenant.
pub(crate) type Overrides = HashMap<String, Arc<TenantLimits>>;

/// Number of a tenant's streams in memory, and which of the asked ones are not among them.
type Active<'a> = &'a dyn Fn(&[Labels]) -> (u64, Vec<bool>);

type Newest = HashMap<(u32, Labels), i64, foldhash::fast::RandomState>;

/// What pushes and tails share.
#[derive(Debug)]
pub(crate) struct LogService {
    /// The configuration.
    pub(crate) config: LokiConfig,
    /// Limits of tenants without limits of their own.
    defaults: Arc<TenantLimits>,
    /// Limits of single tenants.
    overrides: ArcSwap<Overrides>,
    rates: Rates,
    newest: Mutex<Newest>,
    tails: broadcast::Sender<Arc<Pushed>>,
    /// Bytes of batches that tails have not seen yet.
    waiting: Arc<AtomicUsize>,
    /// Tails in progress, by tenant.
    tailing: Mutex<HashMap<u32, usize>>,
    /// Whether tails are to end.
    stopping: watch::Sender<bool>,
}

/// A tail in progress; gone when dropped.
pub(crate) struct TailSlot {
    service: Arc<LogService>,
    tenant: u32,
}

impl Drop for TailSlot {
    fn drop(&mut self) {
        let mut all = self.service.tailing.lock();
        if let Some(n) = all.get_mut(&self.tenant) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                all.remove(&self.tenant);
            }
        }
    }
}

impl LogService {
    /// A service with these settings.
    pub(crate) fn new(config: LokiConfig) -> Self {
        let own = config.overrides.iter();
        let own = own.map(|(t, l)| (t.clone(), Arc::new(l.clone())));
        Self {
            defaults: Arc::new(config.limits.clone()),
            overrides: ArcSwap::from_pointee(own.collect()),
            config,
            rates: Rates::default(),
            newest: Mutex::default(),
            tails: broadcast::channel(TAIL_BATCHES).0,
            waiting: Arc::default(),
            tailing: Mutex::default(),
            stopping: watch::channel(false).0,
        }
    }

    /// Limits of a tenant.
    pub(crate) fn limits(&self, tenant: &str) -> Arc<TenantLimits> {
        let own = self.overrides.load();
        Arc::clone(own.get(tenant).unwrap_or(&self.defaults))
    }

    /// Limits of tenants that have their own.
    pub(crate) fn overrides(&self) -> Arc<Overrides> {
        self.overrides.load_full()
    }

    /// Puts limits of single tenants in force; those of the configuration file stay for tenants
    /// that are not named.
    pub(crate) fn override_limits(&self, given: Vec<(String, TenantLimits)>) {
        let file = self.config.overrides.iter().cloned();
        let all = file.chain(given).map(|(t, l)| (t, Arc::new(l)));
        self.overrides.store(Arc::new(all.collect()));
    }

    /// Batches as they are stored from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Pushed>> {
        self.tails.subscribe()
    }

    /// Tells tails when to end.
    pub(crate) fn tails_stop(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Tells tails to end, and waits until they have said so to their clients or `patience` is at
    /// its end.
    pub(crate) async fn end_tails(&self, patience: Duration) {
        self.stopping.send_replace(true);
        let gone = async {
            while !self.tailing.lock().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(patience, gone).await.is_err() {
            tracing::debug!("some tails did not end in time");
        }
    }

    /// Room for one more tail of a tenant.
    pub(crate) fn tail_slot(self: &Arc<Self>, tenant: TenantId, max: usize) -> Option<TailSlot> {
        let mut all = self.tailing.lock();
        let n = all.entry(tenant.0).or_insert(0);
        if max > 0 && *n >= max {
            return None;
        }
        *n += 1;
        Some(TailSlot {
            service: Arc::clone(self),
            tenant: tenant.0,
        })
    }

    /// Checks, enriches and stores the streams of a request; returns when they are on disk.
    ///
    /// # Errors
    /// What was refused; valid entries of the same request are stored nevertheless (ING1).
    pub(crate) async fn push(
        &self,
        db: &Db,
        (tenant, name): (TenantId, &str),
        streams: Vec<PushStream<'_>>,
        now_ns: i64,
    ) -> Result<(), Refused> {
        if streams.iter().all(|s| s.entries.is_empty()) {
            return Err(Refused::new(
                422,
                "error at least one valid stream is required for ingestion",
            ));
        }
        let active = |asked: &[Labels]| db.active_streams(tenant, asked);
        let (batch, errors) = self.batch(&active, (tenant, name), &streams, now_ns)?;
        drop(streams);
        self.store(db, tenant, batch).await?;
        // What may be sent again later decides the status.
        let status = if errors.is_limit { 429 } else { 400 };
        match errors.finish() {
            None => Ok(()),
            Some(text) => Err(Refused::new(status, text)),
        }
    }

    fn batch(
        &self,
        active: Active<'_>,
        (tenant, name): (TenantId, &str),
        streams: &[PushStream<'_>],
        now_ns: i64,
    ) -> Result<(PushBatch, Errors), Refused> {
        let limits = &*self.limits(name);
        let mut errors = Errors::default();
        let mut batch = PushBatch::new();
        let (mut lines, mut bytes) = (0usize, 0usize);
        let mut valid: Vec<(Labels, Vec<Entry<'_>>)> = Vec::new();
        for s in streams {
            let labels = match stream_labels(&s.labels, limits) {
                Ok(l) => l,
                Err(e) => {
                    errors.add(e);
                    continue;
                }
            };
            let mut kept = Vec::with_capacity(s.entries.len());
            for e in &s.entries {
                match check_entry(e, &labels, limits, now_ns) {
                    Ok(entry) => {
                        lines += 1;
                        bytes += entry.line.len();
                        kept.push(entry);
                    }
                    Err(text) => errors.add(text),
                }
            }
            if !kept.is_empty() {
                valid.push((labels, kept));
            }
        }
        let rate = limits.ingestion_rate_bytes;
        let tenant_key = u64::from(tenant.0);
        if !self
            .rates
            .take(tenant_key, bytes as f64, rate, limits.ingestion_burst_bytes)
        {
            return Err(Refused::new(
                429,
                format!(
                    "ingestion rate limit exceeded for user {name} (limit: {} bytes/sec) while \
                     attempting to ingest '{lines}' lines totaling '{bytes}' bytes, reduce log \
                     volume or contact your Loki administrator to see if the limit can be increased",
                    rate as u64
                ),
            ));
        }
        let mut limited = refuse_new_streams(active, name, limits.max_streams, &mut valid);
        for (labels, entries) in &valid {
            if let Err(text) = self.stream(tenant, labels, entries, limits, &mut batch, &mut errors)
            {
                limited.get_or_insert(text);
            }
        }
        if let Some(text) = limited {
            errors.add(text);
            errors.is_limit = true;
        }
        Ok((batch, errors))
    }

    /// Adds the entries of a stream that are neither over its rate nor too late.
    fn stream(
        &self,
        tenant: TenantId,
        labels: &Labels,
        entries: &[Entry<'_>],
        limits: &TenantLimits,
        batch: &mut PushBatch,
        errors: &mut Errors,
    ) -> Result<(), String> {
        let bytes: usize = entries.iter().map(|e| e.line.len()).sum();
        let key = xxhash_rust::xxh3::xxh3_64_with_seed(labels.as_bytes(), tenant.0.into());
        let (rate, burst) = (limits.stream_rate_bytes, limits.stream_burst_bytes);
        if !self.rates.take(key | 1 << 63, bytes as f64, rate, burst) {
            return Err(format!(
                "Per stream rate limit exceeded (limit: {}/sec) while attempting to ingest for \
                 stream '{labels}' totaling {}, consider splitting a stream via additional labels \
                 or contact your Loki administrator to see if the limit can be increased",
                query::text::bytes::format(rate as u64),
                query::text::bytes::format(bytes as u64)
            ));
        }
        let mut newest = self.newest.lock();
        if newest.len() >= NEWEST_MAX {
            newest.clear();
        }
        let last = newest.entry((tenant.0, labels.clone())).or_insert(i64::MIN);
        let mut started = false;
        for e in entries {
            let oldest = last.saturating_sub(BEHIND_NS);
            if *last != i64::MIN && e.time < oldest {
                errors.add(format!(
                    "entry too far behind, entry timestamp is: {}, oldest acceptable timestamp is: {}",
                    rfc3339(e.time),
                    rfc3339(oldest)
                ));
                continue;
            }
            *last = e.time.max(*last);
            if !started {
                batch.stream(labels.clone());
                started = true;
            }
            batch.entry(e.time, e.line.as_bytes(), &e.metadata);
        }
        Ok(())
    }

    async fn store(&self, db: &Db, tenant: TenantId, batch: PushBatch) -> Result<(), Refused> {
        if batch.is_empty() {
            return Ok(());
        }
        let news = self.news(tenant, &batch);
        // A push waits while parts are written more slowly than lines come.
        let position = tokio::task::block_in_place(|| db.push(tenant, batch));
        let position = position.map_err(|e| failure(&e))?;
        let (done, durable) = oneshot::channel();
        // Nobody waits any more when the client is gone.
        db.on_durable(position, Box::new(move |r| drop(done.send(r))));
        match durable.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(failure(&e)),
            Err(_) => return Err(failure(&PushError::Closed)),
        }
        if let Some(news) = news {
            // Nobody may be listening any more.
            drop(self.tails.send(Arc::new(news)));
        }
        Ok(())
    }

    /// What the tails of a tenant are to be told of a batch; nothing when there are none.
    fn news(&self, tenant: TenantId, batch: &PushBatch) -> Option<Pushed> {
        if !self.tailing.lock().contains_key(&tenant.0) {
            return None;
        }
        let bytes = batch.text_bytes() + batch.len() * size_of::<i64>();
        let all = Arc::clone(&self.waiting);
        let before = all.fetch_add(bytes, Ordering::Relaxed);
        let mut waits = Waits { bytes, all };
        // One alone is told whatever its size: its push holds as much.
        let news = if before == 0 || before + bytes <= TAIL_BYTES_MAX {
            News::Entries(batch.clone())
        } else {
            waits.all.fetch_sub(bytes, Ordering::Relaxed);
            waits.bytes = 0;
            let newest = |(l, mut range): (&Labels, Range<usize>)| {
                let first = batch.time(range.next()?);
                let time = range.map(|i| batch.time(i)).fold(first, i64::max);
                Some((l.clone(), time))
            };
            News::Missed(batch.streams().filter_map(newest).collect())
        };
        Some(Pushed {
            tenant,
            news,
            _waits: waits,
        })
    }
}

/// Takes out streams that would be more than the tenant may have in memory at a time; gives the
/// text for the first of them.
fn refuse_new_streams(
    active: Active<'_>,
    name: &str,
    max: usize,
    valid: &mut Vec<(Labels, Vec<Entry<'_>>)>,
) -> Option<String> {
    if max == 0 {
        return None;
    }
    let asked: Vec<Labels> = valid.iter().map(|(l, _)| l.clone()).collect();
    let (active, new) = active(&asked);
    let mut room = (max as u64).saturating_sub(active);
    let mut counted: HashSet<&Labels> = HashSet::new();
    let mut refused = None;
    let mut fits = asked.iter().zip(new).map(|(l, is_new)| {
        if !is_new || counted.contains(l) {
            return true;
        }
        if room > 0 {
            room -= 1;
            return counted.insert(l);
        }
        refused.get_or_insert_with(|| {
            format!(
                "maximum active stream limit exceeded when trying to create stream {l}, reduce the \
                 number of active streams (reduce labels or reduce label values), or contact your \
                 Loki administrator to see if the limit can be increased, user: '{name}' \
                 (limit: {max})"
            )
        });
        false
    });
    valid.retain(|_| fits.next().unwrap_or(false));
    drop(fits);
    refused
}

fn failure(e: &PushError) -> Refused {
    let status = match e {
        PushError::StreamLimit { .. } => 429,
        PushError::Log(_) | PushError::Closed => 503,
        _ => 500,
    };
    if status >= 500 {
        tracing::error!(error = %e, "lines could not be stored");
    }
    Refused::new(status, e.to_string())
}

fn rfc3339(ns: i64) -> String {
    query::text::layout::rfc3339_utc(ns)
}

/// An entry that is fit to be stored.
struct Entry<'a> {
    time: i64,
    line: Cow<'a, str>,
    metadata: Labels,
}

/// Texts of what was refused, each once with its number.
#[derive(Debug, Default)]
struct Errors {
    texts: BTreeMap<String, usize>,
    /// Some are about a limit that a sender may wait for.
    is_limit: bool,
}

/// Distinct texts in an answer.
const ERRORS_SHOWN: usize = 10;

impl Errors {
    fn add(&mut self, text: String) {
        if self.texts.len() < 1000 || self.texts.contains_key(&text) {
            *self.texts.entry(text).or_insert(0) += 1;
        }
    }

    fn finish(self) -> Option<String> {
        if self.texts.is_empty() {
            return None;
        }
        let shown = self
            .texts
            .iter()
            .take(ERRORS_SHOWN)
            .map(|(text, n)| match n {
                1 => text.clone(),
                n => format!("{n} errors like: {text}"),
            });
        Some(shown.collect::<Vec<_>>().join("; "))
    }
}

/// The labels of a stream: sorted, without empty values, with the service's name.
fn stream_labels(pairs: &Pairs<'_>, limits: &TenantLimits) -> Result<Labels, String> {
    let mut labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())));
    // The name of the service does not count: who does not send it is given one.
    let names = labels.len() - usize::from(labels.get(SERVICE).is_some());
    if names > limits.max_label_names {
        return Err(format!(
            "entry for stream '{labels}' has {names} label names; limit {}",
            limits.max_label_names
        ));
    }
    for (n, v) in labels.iter() {
        if n.len() > limits.max_label_name {
            return Err(format!("stream '{labels}' has label name too long: '{n}'"));
        }
        if v.len() > limits.max_label_value {
            return Err(format!("stream '{labels}' has label value too long: '{v}'"));
        }
        let valid = n
            .bytes()
            .enumerate()
            .all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()));
        if !valid {
            return Err(format!(
                "error parsing labels '{labels}' with error: invalid label name: {n:?}"
            ));
        }
    }
    if !limits.service_names.is_empty() && labels.get(SERVICE).is_none() {
        let found = limits.service_names.iter().find_map(|n| labels.get(n));
        let service = found.unwrap_or("unknown_service").to_owned();
        labels = labels.with(SERVICE, &service);
    }
    if labels.is_empty() {
        return Err("error at least one label pair is required per stream".to_owned());
    }
    Ok(labels)
}

fn check_entry<'a>(
    e: &'a PushEntry<'_>,
    labels: &Labels,
    limits: &TenantLimits,
    now_ns: i64,
) -> Result<Entry<'a>, String> {
    let ms = |n: i64| n.saturating_mul(1_000_000);
    if limits.reject_old {
        let oldest = now_ns.saturating_sub(ms(limits.reject_old_ms));
        if e.time < oldest {
            return Err(format!(
                "entry for stream '{labels}' has timestamp too old: {}, oldest acceptable timestamp \
                 is: {}",
                rfc3339(e.time),
                rfc3339(oldest)
            ));
        }
    }
    if e.time > now_ns.saturating_add(ms(limits.grace_ms)) {
        return Err(format!(
            "entry for stream '{labels}' has timestamp too new: {}",
            rfc3339(e.time)
        ));
    }
    let mut line: Cow<'a, str> = Cow::Borrowed(e.line.as_ref());
    let max = limits.max_line_bytes;
    if max > 0 && line.len() > max {
        if !limits.max_line_truncate {
            return Err(format!(
                "max entry size '{max}' bytes exceeded for stream '{labels}' while adding an entry \
                 with length '{}' bytes",
                line.len()
            ));
        }
        let cut = line.floor_char_boundary(max);
        line = Cow::Owned(line[..cut].to_owned());
    }
    let metadata = metadata(e, labels, limits, &line)?;
    Ok(Entry {
        time: e.time,
        line,
        metadata,
    })
}

/// Structured metadata: names sanitised, sizes checked, the level added.
fn metadata(
    e: &PushEntry<'_>,
    labels: &Labels,
    limits: &TenantLimits,
    line: &str,
) -> Result<Labels, String> {
    if !e.metadata.is_empty() && !limits.allow_metadata {
        return Err(format!(
            "stream '{labels}' includes structured metadata, but this feature is disallowed. Please \
             see `limits_config.allow_structured_metadata` or contact your Loki administrator to \
             enable it"
        ));
    }
    let bytes: usize = e.metadata.iter().map(|(n, v)| n.len() + v.len()).sum();
    if limits.max_metadata_bytes > 0 && bytes > limits.max_metadata_bytes {
        return Err(format!(
            "stream '{labels}' has structured metadata too large: '{bytes}' bytes, limit: '{}' \
             bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki \
             administrator to increase it",
            limits.max_metadata_bytes
        ));
    }
    let count = e.metadata.len();
    if limits.max_metadata_count > 0 && count > limits.max_metadata_count {
        return Err(format!(
            "stream '{labels}' has too many structured metadata labels: '{count}', limit: '{}'. \
             Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki \
             administrator to increase it",
            limits.max_metadata_count
        ));
    }
    let discover = limits.discover_levels && limits.allow_metadata;
    if e.metadata.is_empty() && !discover {
        return Ok(Labels::empty());
    }
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = e
        .metadata
        .iter()
        .map(|(n, v)| (Cow::Owned(sanitize(n)), Cow::Borrowed(v.as_ref())))
        // What has no name cannot be asked for.
        .filter(|(n, _): &(Cow<'_, str>, _)| !n.is_empty())
        .collect();
    if discover {
        let sent = |name: &str| {
            let found = e.metadata.iter().find(|(n, _)| n == name);
            found.map(|(_, v)| v.as_ref())
        };
        let names = &limits.level_names;
        let found = match sent(level::DETECTED) {
            Some(v) => level::detect(&["x".to_owned()], |_| Some(v), |_| None, ""),
            None => level::detect(names, |n| labels.get(n), sent, line),
        };
        if pairs.is_empty() {
            return Ok(level::alone(&found));
        }
        pairs.retain(|(n, _)| n != level::DETECTED);
        pairs.push((level::DETECTED.into(), found));
    }
    Ok(Labels::from_pairs(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream<'a>(labels: &[(&'a str, &'a str)], entries: Vec<PushEntry<'a>>) -> PushStream<'a> {
        PushStream {
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
            entries,
        }
    }

    fn entry(time: i64, line: &str) -> PushEntry<'_> {
        PushEntry {
            time,
            line: line.into(),
            metadata: Vec::new(),
        }
    }

    const NOW: i64 = 1_700_000_000_000_000_000;
    const T: (TenantId, &str) = (TenantId::DEFAULT, "fake");

    /// A store with nothing in memory.
    fn idle(asked: &[Labels]) -> (u64, Vec<bool>) {
        (0, vec![true; asked.len()])
    }

    #[test]
    fn valid_entries_survive_refused_ones() {
        let s = LogService::new(LokiConfig::default());
        let long = "x".repeat(300_000);
        let streams = [
            stream(
                &[("app", "a"), ("empty", "")],
                vec![
                    entry(NOW, "ok"),
                    entry(NOW, &long),
                    entry(NOW + 3_600_000_000_000, "new"),
                    entry(NOW - 9 * 86_400_000_000_000, "old"),
                    entry(NOW - 7_200_000_000_000, "behind"),
                ],
            ),
            stream(&[], vec![entry(NOW, "error: no labels")]),
        ];
        let (batch, errors) = s.batch(&idle, T, &streams, NOW).unwrap();
        let got: Vec<String> = batch.streams().map(|(l, _)| l.to_string()).collect();
        assert_eq!(
            got,
            [
                "{app=\"a\", service_name=\"a\"}",
                "{service_name=\"unknown_service\"}"
            ]
        );
        assert_eq!(batch.len(), 2);
        assert_eq!(
            batch.metadata(1).unwrap().get("detected_level"),
            Some("error")
        );
        let text = errors.finish().unwrap();
        for part in [
            "max entry size '262144' bytes exceeded for stream '{app=\"a\", service_name=\"a\"}' while adding an entry with length '300000' bytes",
            "has timestamp too new: 2023-11-14T23:13:20Z",
            "has timestamp too old: ",
            "entry too far behind, entry timestamp is: ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn metadata_without_a_name_is_left_out() {
        let s = LogService::new(LokiConfig::default());
        let mut e = entry(NOW, "x");
        e.metadata = vec![
            ("".into(), "1".into()),
            (" ".into(), "2".into()),
            ("k".into(), "3".into()),
        ];
        let streams = [stream(&[("a", "b")], vec![e])];
        let (batch, _) = s.batch(&idle, T, &streams, NOW).unwrap();
        let names: Vec<&str> = batch.metadata(0).unwrap().iter().map(|l| l.0).collect();
        assert_eq!(names, ["detected_level", "k"]);
    }

    #[test]
    fn rates_refuse_the_request() {
        let mut config = LokiConfig::default();
        config.limits.ingestion_burst_bytes = 3.0;
        let s = LogService::new(config);
        let streams = [stream(&[("a", "b")], vec![entry(NOW, "four")])];
        let e = s.batch(&idle, T, &streams, NOW).unwrap_err();
        assert_eq!(e.status, 429);
        assert!(
            e.text
                .starts_with("ingestion rate limit exceeded for user fake (limit: "),
            "{}",
            e.text
        );
    }
}
