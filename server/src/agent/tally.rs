//! What one receiver has taken, refused and kept waiting.
//!
//! Owns: the counts by tenant and reason, the histogram of requests, their names on the page.
//! Knows nothing of: batches, HTTP.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use exporters::emit::{Kind, Sink, Suffix};
use exporters::logs::entry::LabelSet;
use parking_lot::Mutex;

/// Upper bounds of the histogram of requests, seconds: those that Go's client has by default.
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Tenants that are counted by their names. Names come from lines, and lines from anybody.
const TENANTS_MAX: usize = 1000;

/// Streams whose lag is shown.
const LAGS_MAX: usize = 10_000;

/// Why entries were not sent as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// Refused, or all retries failed.
    Refused,
    /// The receiver wants less a second.
    RateLimited,
    /// More streams in a batch than allowed.
    StreamLimited,
    /// The line is longer than allowed.
    LineTooLong,
}

impl Reason {
    const ALL: [Self; 4] = [
        Self::Refused,
        Self::RateLimited,
        Self::StreamLimited,
        Self::LineTooLong,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::Refused => "ingester_error",
            Self::RateLimited => "rate_limited",
            Self::StreamLimited => "stream_limited",
            Self::LineTooLong => "line_too_long",
        }
    }
}

/// Entries and their bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    entries: u64,
    bytes: u64,
}

impl Amount {
    fn add(&mut self, entries: u64, bytes: u64) {
        self.entries += entries;
        self.bytes += bytes;
    }
}

#[derive(Debug, Default)]
struct OfTenant {
    dropped: BTreeMap<Reason, Amount>,
    mutated: BTreeMap<Reason, Amount>,
    retries: u64,
}

#[derive(Debug, Default)]
struct Durations {
    /// By bound, then those beyond.
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

/// Numbers of one receiver.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    host: String,
    sent_entries: AtomicU64,
    sent_bytes: AtomicU64,
    encoded_bytes: AtomicU64,
    tenants: Mutex<BTreeMap<String, OfTenant>>,
    /// By status, which is -1 when there was no answer.
    requests: Mutex<BTreeMap<i32, Durations>>,
    /// The receiver's name, and labels that tell streams apart.
    client: String,
    lag_labels: Vec<String>,
    /// How old the last line of each stream was when it was taken, seconds.
    lags: Mutex<BTreeMap<LabelSet, f64>>,
}

impl Tally {
    /// Nothing yet, of the receiver `host`.
    pub(super) fn new(host: String) -> Self {
        let tally = Self {
            host,
            ..Self::default()
        };
        tally.tenant("", |_| ());
        tally
    }

    /// Notes the lag of streams by `labels`, as the receiver that is called `client`.
    pub(super) fn with_lags(self, client: &str, labels: Vec<String>) -> Self {
        let client = client.to_owned();
        Self {
            client,
            lag_labels: labels,
            ..self
        }
    }

    /// The newest line of a stream was `lag` seconds old when it was taken.
    pub(super) fn lags(&self, stream: &LabelSet, lag: f64) {
        let own = self
            .lag_labels
            .iter()
            .filter_map(|n| stream.get_key_value(n));
        let own: LabelSet = own.map(|(n, v)| (n.clone(), v.clone())).collect();
        let mut all = self.lags.lock();
        if !own.is_empty() && (all.len() < LAGS_MAX || all.contains_key(&own)) {
            all.insert(own, lag);
        }
    }

    /// The receiver's address.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    fn tenant(&self, name: &str, change: impl FnOnce(&mut OfTenant)) {
        let mut all = self.tenants.lock();
        if let Some(t) = all.get_mut(name) {
            return change(t);
        }
        let name = if all.len() < TENANTS_MAX { name } else { "" };
        change(all.entry(name.to_owned()).or_default());
    }

    /// A request body of so many bytes is ready.
    pub(super) fn encoded(&self, bytes: u64) {
        self.encoded_bytes.fetch_add(bytes, Relaxed);
    }

    /// Entries have been taken.
    pub(super) fn sent(&self, entries: u64, bytes: u64) {
        self.sent_entries.fetch_add(entries, Relaxed);
        self.sent_bytes.fetch_add(bytes, Relaxed);
    }

    /// Entries are given up.
    pub(super) fn dropped(&self, tenant: &str, reason: Reason, entries: u64, bytes: u64) {
        self.tenant(tenant, |t| {
            t.dropped.entry(reason).or_default().add(entries, bytes);
        });
    }

    /// An entry has lost so many bytes.
    pub(super) fn mutated(&self, tenant: &str, reason: Reason, bytes: u64) {
        self.tenant(tenant, |t| {
            t.mutated.entry(reason).or_default().add(1, bytes);
        });
    }

    /// A batch is sent once more.
    pub(super) fn retried(&self, tenant: &str) {
        self.tenant(tenant, |t| t.retries += 1);
    }

    /// A request was answered with `status`, or not at all.
    pub(super) fn requested(&self, status: Option<u16>, took: Duration) {
        let mut all = self.requests.lock();
        let d = all.entry(status.map_or(-1, i32::from)).or_default();
        let secs = took.as_secs_f64();
        for (n, bound) in d.buckets.iter_mut().zip(BOUNDS) {
            *n += u64::from(secs <= bound);
        }
        d.count += 1;
        d.sum += secs;
    }

    /// Adds the families of every receiver.
    pub(super) fn collect(all: &[std::sync::Arc<Self>], out: &mut Sink) {
        for (name, help, of) in [
            (
                "promtail_sent_entries_total",
                "Number of log entries sent to the ingester.",
                (|t| &t.sent_entries) as fn(&Self) -> &AtomicU64,
            ),
            ("promtail_sent_bytes_total", "Number of bytes sent.", |t| {
                &t.sent_bytes
            }),
            (
                "promtail_encoded_bytes_total",
                "Number of bytes encoded and ready to send.",
                |t| &t.encoded_bytes,
            ),
        ] {
            let family = out.family(name, help, Kind::Counter);
            for t in all {
                out.add(family, &[("host", &t.host)], of(t).load(Relaxed) as f64);
            }
        }
        Self::by_reason(all, out);
        let retries = out.family(
            "promtail_batch_retries_total",
            "Number of times batches has had to be retried.",
            Kind::Counter,
        );
        for t in all {
            for (tenant, n) in t.tenants.lock().iter() {
                let labels = [("host", t.host.as_str()), ("tenant", tenant)];
                out.add(retries, &labels, n.retries as f64);
            }
        }
        let lags = out.family(
            "promtail_stream_lag_seconds",
            "Difference between current time and last batch timestamp for successful sends.",
            Kind::Gauge,
        );
        for t in all {
            for (own, lag) in t.lags.lock().iter() {
                let fixed = [("client", t.client.as_str()), ("host", t.host.as_str())];
                let own = own.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                out.put(lags, Suffix::None, fixed.into_iter().chain(own), *lag);
            }
        }
        let requests = out.family(
            "promtail_request_duration_seconds",
            "Duration of send requests.",
            Kind::Histogram,
        );
        for t in all {
            for (status, d) in t.requests.lock().iter() {
                let status = status.to_string();
                let own = [("host", t.host.as_str()), ("status_code", &status)];
                for (bound, n) in BOUNDS.iter().zip(d.buckets) {
                    let le = bound.to_string();
                    let labels = [own[0], ("le", le.as_str()), own[1]];
                    out.add_suffixed(requests, Suffix::Bucket, &labels, n as f64);
                }
                let labels = [own[0], ("le", "+Inf"), own[1]];
                out.add_suffixed(requests, Suffix::Bucket, &labels, d.count as f64);
                out.add_suffixed(requests, Suffix::Sum, &own, d.sum);
                out.add_suffixed(requests, Suffix::Count, &own, d.count as f64);
            }
        }
    }

    /// Every reason of every tenant, also those that have not happened: a rate needs the zero.
    fn by_reason(all: &[std::sync::Arc<Self>], out: &mut Sink) {
        for (name, help, of) in [
            (
                "promtail_dropped_entries_total",
                "Number of log entries dropped because failed to be sent to the ingester after all retries.",
                (|t, r| t.dropped.get(&r).map_or(0, |a| a.entries)) as fn(&OfTenant, Reason) -> u64,
            ),
            (
                "promtail_dropped_bytes_total",
                "Number of bytes dropped because failed to be sent to the ingester after all retries.",
                |t, r| t.dropped.get(&r).map_or(0, |a| a.bytes),
            ),
            (
                "promtail_mutated_entries_total",
                "The total number of log entries that have been mutated.",
                |t, r| t.mutated.get(&r).map_or(0, |a| a.entries),
            ),
            (
                "promtail_mutated_bytes_total",
                "The total number of bytes that have been mutated.",
                |t, r| t.mutated.get(&r).map_or(0, |a| a.bytes),
            ),
        ] {
            let family = out.family(name, help, Kind::Counter);
            for t in all {
                for (tenant, n) in t.tenants.lock().iter() {
                    for reason in Reason::ALL {
                        let labels = [
                            ("host", t.host.as_str()),
                            ("reason", reason.text()),
                            ("tenant", tenant),
                        ];
                        out.add(family, &labels, of(n, reason) as f64);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_tenants_and_durations_have_their_labels() {
        let t = Tally::new("h:1".into()).with_lags("c", vec!["filename".into(), "x".into()]);
        let stream = [("filename", "/a"), ("job", "j")];
        t.lags(
            &stream.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            2.5,
        );
        t.dropped("a", Reason::RateLimited, 3, 70);
        t.mutated("", Reason::LineTooLong, 9);
        t.requested(Some(204), Duration::from_millis(20));
        t.requested(None, Duration::from_secs(60));
        let mut out = Sink::new();
        Tally::collect(&[t.into()], &mut out);
        let text = out.text();
        for line in [
            r#"promtail_dropped_entries_total{host="h:1",reason="rate_limited",tenant="a"} 3"#,
            r#"promtail_dropped_bytes_total{host="h:1",reason="rate_limited",tenant="a"} 70"#,
            r#"promtail_dropped_entries_total{host="h:1",reason="ingester_error",tenant=""} 0"#,
            r#"promtail_mutated_bytes_total{host="h:1",reason="line_too_long",tenant=""} 9"#,
            r#"promtail_request_duration_seconds_bucket{host="h:1",le="0.025",status_code="204"} 1"#,
            r#"promtail_request_duration_seconds_bucket{host="h:1",le="0.01",status_code="204"} 0"#,
            r#"promtail_request_duration_seconds_count{host="h:1",status_code="-1"} 1"#,
            r#"promtail_stream_lag_seconds{client="c",host="h:1",filename="/a"} 2.5"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
