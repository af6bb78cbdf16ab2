//! The registry: every metric of the server by name, as atomics.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::RwLock;

use exporters::emit::{Kind, Suffix};

use super::exposition::{Family, Sample};

macro_rules! named {
    ($(#[$m:meta])* $enum:ident { $($(#[$vm:meta])* $variant:ident $name:literal $help:literal,)* }) => {
        $(#[$m])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $enum {
            $($(#[$vm])* $variant,)*
        }
        impl $enum {
            const ALL: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$variant, $name, $help)),*];
            const COUNT: usize = Self::ALL.len();
        }
    };
}

named! {
    /// Numbers that only go up.
    #[allow(dead_code, reason = "counted by rooms that are wired in one after the other")]
    Counter {
        /// Out of order.
        OutOfOrder "prometheus_tsdb_out_of_order_samples_total" "Total number of out of order samples ingestion failed attempts.",
        /// Out of bounds.
        OutOfBounds "prometheus_tsdb_out_of_bound_samples_total" "Total number of out of bound samples ingestion failed attempts.",
        /// Too old for the window.
        TooOld "prometheus_tsdb_too_old_samples_total" "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.",
        /// Samples without a name and the like.
        InvalidLabels "prometheus_api_remote_write_invalid_labels_samples_total" "The total number of received remote write samples and histogram samples which contain invalid labels.",
        /// Queries refused or failed.
        QueryErrors "sextant_query_errors_total" "Queries that were answered with an error.",
        /// Federation errors.
        FederationErrors "prometheus_web_federation_errors_total" "Total number of errors that occurred while sending federation responses.",
        /// Federation warnings.
        FederationWarnings "prometheus_web_federation_warnings_total" "Total number of warnings that occurred while sending federation responses.",
        /// Connections taken.
        Connections "net_conntrack_listener_conn_accepted_total" "Total number of connections opened to the listener.",
        /// Connections ended.
        ConnectionsClosed "net_conntrack_listener_conn_closed_total" "Total number of connections closed that were made to the listener.",
        /// Requests without valid credentials.
        Unauthorized "sextant_http_unauthorized_total" "Requests refused for missing or wrong credentials.",
    }
}

named! {
    /// Numbers that go up and down.
    #[allow(dead_code, reason = "set by rooms that are wired in one after the other")]
    Gauge {
        /// Ready to serve.
        Ready "prometheus_ready" "Whether Prometheus startup was fully completed and the server is ready for normal operation.",
        /// The last reload worked.
        ReloadSuccessful "prometheus_config_last_reload_successful" "Whether the last configuration reload attempt was successful.",
        /// When it worked.
        ReloadTime "prometheus_config_last_reload_success_timestamp_seconds" "Timestamp of the last successful configuration reload.",
        /// Queries running or waiting.
        Queries "prometheus_engine_queries" "The current number of queries being executed or waiting.",
        /// Queries that may run.
        QueriesMax "prometheus_engine_queries_concurrent_max" "The max number of concurrent queries.",
        /// Remote reads running or waiting.
        RemoteReads "prometheus_api_remote_read_queries" "The current number of remote read queries being executed or waiting.",
        /// Replay time.
        ReplaySeconds "prometheus_tsdb_data_replay_duration_seconds" "Time taken to replay the data on disk.",
        /// Retention by size.
        RetentionBytes "prometheus_tsdb_retention_limit_bytes" "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled",
        /// Retention by time.
        RetentionSeconds "prometheus_tsdb_retention_limit_seconds" "How long to retain samples in storage.",
    }
}

/// Bucket bounds of request times, as in the family.
const REQUEST_SECONDS: [f64; 9] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
/// Bucket bounds of answer sizes, as in the family.
const RESPONSE_BYTES: [f64; 9] = [100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

/// A histogram with fixed bounds.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64; 9],
    buckets: [AtomicU64; 10],
    /// Sum in units of 1e-9, which no sum of requests overflows in practice.
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// An empty histogram with the upper bounds `bounds`.
    pub(crate) fn new(bounds: &'static [f64; 9]) -> Self {
        Self {
            bounds,
            buckets: Default::default(),
            sum_nanos: AtomicU64::new(0),
        }
    }

    /// Counts `v`. Cost: two atomic additions.
    pub(crate) fn observe(&self, v: f64) {
        let i = self.bounds.iter().position(|b| v <= *b).unwrap_or(9);
        self.buckets[i].fetch_add(1, Relaxed);
        self.sum_nanos.fetch_add((v * 1e9) as u64, Relaxed);
    }

    /// Adds its samples, all with `labels`, to `out`.
    pub(crate) fn samples(&self, labels: &[(&'static str, String)], out: &mut Vec<Sample>) {
        let mut count = 0;
        for (i, b) in self.buckets.iter().enumerate() {
            count += b.load(Relaxed);
            let mut labels = labels.to_vec();
            let le = self.bounds.get(i).copied().unwrap_or(f64::INFINITY);
            labels.push(("le", query::text::float::general(le)));
            out.push(Sample {
                suffix: Suffix::Bucket,
                labels,
                value: count as f64,
            });
        }
        for (suffix, value) in [
            (Suffix::Sum, self.sum_nanos.load(Relaxed) as f64 / 1e9),
            (Suffix::Count, count as f64),
        ] {
            out.push(Sample {
                suffix,
                labels: labels.to_vec(),
                value,
            });
        }
    }
}

/// Sum and number of durations.
#[derive(Debug, Default)]
struct Timer {
    count: AtomicU64,
    nanos: AtomicU64,
}

/// Parts of a query that are timed.
const QUERY_SLICES: [&str; 4] = ["inner_eval", "prepare_time", "queue_time", "result_sort"];

/// Metrics of one route.
#[derive(Debug)]
pub(crate) struct HttpHandler {
    codes: [AtomicU64; CODES.len()],
    seconds: Histogram,
    bytes: Histogram,
}

/// Status codes that are counted by themselves; any other counts as the last.
const CODES: [u16; 19] = [
    200, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 413, 415, 422, 429, 499, 500, 503, 0,
];

impl HttpHandler {
    fn new() -> Self {
        Self {
            codes: Default::default(),
            seconds: Histogram::new(&REQUEST_SECONDS),
            bytes: Histogram::new(&RESPONSE_BYTES),
        }
    }

    /// Counts one answered request.
    pub(crate) fn record(&self, code: u16, took: Duration, bytes: Option<u64>) {
        let i = CODES
            .iter()
            .position(|c| *c == code)
            .unwrap_or(CODES.len() - 1);
        self.codes[i].fetch_add(1, Relaxed);
        self.seconds.observe(took.as_secs_f64());
        if let Some(b) = bytes {
            self.bytes.observe(b as f64);
        }
    }
}

/// One of something that is counted while it lasts.
pub(crate) struct Held {
    metrics: Arc<Metrics>,
    gauge: Gauge,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.metrics.shift(self.gauge, -1.0);
    }
}

/// A room that counts by itself, because its labels come from the configuration.
pub(crate) trait Collector: std::fmt::Debug + Send + Sync {
    /// Adds its families to `out`.
    fn collect(&self, out: &mut Vec<Family>);
}

/// Every metric of the server.
#[derive(Debug)]
pub(crate) struct Metrics {
    counters: [AtomicU64; Counter::COUNT],
    /// Bits of an `f64` each.
    gauges: [AtomicU64; Gauge::COUNT],
    queries: [Timer; QUERY_SLICES.len()],
    handlers: RwLock<HashMap<&'static str, Arc<HttpHandler>>>,
    collectors: RwLock<Vec<Arc<dyn Collector>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
            gauges: std::array::from_fn(|_| AtomicU64::new(0)),
            queries: Default::default(),
            handlers: RwLock::default(),
            collectors: RwLock::default(),
        }
    }
}

impl Metrics {
    /// Adds to a counter.
    pub(crate) fn add(&self, c: Counter, n: u64) {
        self.counters[c as usize].fetch_add(n, Relaxed);
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, g: Gauge, v: f64) {
        self.gauges[g as usize].store(v.to_bits(), Relaxed);
    }

    /// Adds to a gauge that is only ever changed by this call.
    fn shift(&self, g: Gauge, by: f64) {
        let cell = &self.gauges[g as usize];
        let mut old = cell.load(Relaxed);
        loop {
            let new = (f64::from_bits(old) + by).to_bits();
            match cell.compare_exchange_weak(old, new, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(o) => old = o,
            }
        }
    }

    /// Counts one up until the result is dropped, whatever happens in between.
    pub(crate) fn hold(self: &Arc<Self>, g: Gauge) -> Held {
        self.shift(g, 1.0);
        Held {
            metrics: self.clone(),
            gauge: g,
        }
    }

    /// Current value of a gauge.
    pub(crate) fn gauge(&self, g: Gauge) -> f64 {
        f64::from_bits(self.gauges[g as usize].load(Relaxed))
    }

    /// Records a part of a query: `inner_eval`, `prepare_time`, `queue_time` or `result_sort`.
    pub(crate) fn query_slice(&self, slice: &str, took: Duration) {
        if let Some(i) = QUERY_SLICES.iter().position(|s| *s == slice) {
            self.queries[i].count.fetch_add(1, Relaxed);
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.queries[i].nanos.fetch_add(nanos, Relaxed);
        }
    }

    /// Metrics of the route `name`, made at the first call.
    pub(crate) fn handler(&self, name: &'static str) -> Arc<HttpHandler> {
        let mut map = self.handlers.write();
        map.entry(name)
            .or_insert_with(|| Arc::new(HttpHandler::new()))
            .clone()
    }

    /// Shows what `c` collects from now on.
    pub(crate) fn register(&self, c: Arc<dyn Collector>) {
        self.collectors.write().push(c);
    }

    /// All families, by name.
    pub(crate) fn families(&self) -> Vec<Family> {
        let mut out = Vec::new();
        for (c, name, help) in Counter::ALL {
            let v = self.counters[*c as usize].load(Relaxed) as f64;
            out.push(Family::single(name, help, Kind::Counter, v));
        }
        for (g, name, help) in Gauge::ALL {
            out.push(Family::single(name, help, Kind::Gauge, self.gauge(*g)));
        }
        let mut samples = Vec::new();
        for (slice, timer) in QUERY_SLICES.iter().zip(&self.queries) {
            for (suffix, value) in [
                (Suffix::Sum, timer.nanos.load(Relaxed) as f64 / 1e9),
                (Suffix::Count, timer.count.load(Relaxed) as f64),
            ] {
                samples.push(Sample {
                    suffix,
                    labels: vec![("slice", (*slice).to_owned())],
                    value,
                });
            }
        }
        out.push(Family {
            name: "prometheus_engine_query_duration_seconds".into(),
            help: "Query timings.",
            kind: Kind::Summary,
            samples,
        });
        self.http_families(&mut out);
        for c in self.collectors.read().iter() {
            c.collect(&mut out);
        }
        out
    }

    fn http_families(&self, out: &mut Vec<Family>) {
        let mut requests = Vec::new();
        let (mut seconds, mut bytes) = (Vec::new(), Vec::new());
        let handlers = self.handlers.read();
        let mut sorted: Vec<_> = handlers.iter().collect();
        sorted.sort_by_key(|(name, _)| **name);
        for (name, h) in sorted {
            let handler = ("handler", (*name).to_owned());
            let mut seen = false;
            for (code, n) in CODES.iter().zip(&h.codes) {
                let n = n.load(Relaxed);
                // A route that was never asked shows its success code only.
                if n > 0 || *code == 200 {
                    seen |= n > 0;
                    let code = if *code == 0 {
                        "other".into()
                    } else {
                        code.to_string()
                    };
                    requests.push(Sample {
                        suffix: Suffix::None,
                        labels: vec![("code", code), handler.clone()],
                        value: n as f64,
                    });
                }
            }
            if seen {
                h.seconds
                    .samples(std::slice::from_ref(&handler), &mut seconds);
                h.bytes.samples(std::slice::from_ref(&handler), &mut bytes);
            }
        }
        for (name, help, kind, samples) in [
            (
                "prometheus_http_requests_total",
                "Counter of HTTP requests.",
                Kind::Counter,
                requests,
            ),
            (
                "prometheus_http_request_duration_seconds",
                "Histogram of latencies for HTTP requests.",
                Kind::Histogram,
                seconds,
            ),
            (
                "prometheus_http_response_size_bytes",
                "Histogram of response size for HTTP requests.",
                Kind::Histogram,
                bytes,
            ),
        ] {
            out.push(Family {
                name: name.into(),
                help,
                kind,
                samples,
            });
        }
    }
}
