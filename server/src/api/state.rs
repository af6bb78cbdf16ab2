//! What handlers see of the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use engine::budget::Pool;
use engine::metrics::Db;
use engine::model::TenantId;
use engine::store::Store;
use engine::wal::ReplayProgress;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use crate::alerting::Alertmanager;
use crate::config::limits::WriteLimits;
use crate::config::prometheus::LoadedConfig;
use crate::ingest::LogService;
use crate::ruler::Ruler;
use crate::rules;
use crate::scrape::Scraper;
use crate::telemetry::{Metrics, thread_bytes};

/// Where the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Data is being read.
    Starting = 0,
    /// Everything works.
    Ready = 1,
    /// Requests in progress are finished, no new ones are taken.
    Stopping = 2,
}

/// Options that do not change while the server runs.
#[derive(Debug, Clone)]
pub(crate) struct ServerOptions {
    /// URL under which users reach us, without trailing slash.
    pub(crate) external_url: String,
    /// Prefix of all routes, empty or starting with a slash, no trailing one.
    pub(crate) route_prefix: String,
    /// Whether reload and quit may be asked for.
    pub(crate) lifecycle: bool,
    /// Whether series may be deleted and snapshots made.
    pub(crate) admin: bool,
    /// Whether remote write is taken.
    pub(crate) remote_write: bool,
    /// Messages that remote write takes.
    pub(crate) remote_write_messages: Vec<String>,
    /// Whether OTLP is taken.
    pub(crate) otlp: bool,
    /// What one write request may cost.
    pub(crate) write: WriteLimits,
    /// Origins that browsers may call from.
    pub(crate) cors_origin: String,
    /// How long a client may take to send a body.
    pub(crate) read_timeout: Duration,
    /// Longest query.
    pub(crate) query_timeout: Duration,
    /// Samples a query may hold in memory.
    pub(crate) query_max_samples: usize,
    /// Bytes that all queries may hold together.
    pub(crate) query_max_memory: usize,
    /// Queries at a time.
    pub(crate) query_concurrency: usize,
    /// How old the newest sample of a series may be.
    pub(crate) lookback_ms: i64,
    /// Remote reads at a time.
    pub(crate) read_concurrency: usize,
    /// Samples a remote read may ask for; 0 for any number.
    pub(crate) read_sample_limit: usize,
    /// Largest frame of a streamed remote read.
    pub(crate) read_frame_bytes: usize,
    /// Retention as `/status/runtimeinfo` shows it.
    pub(crate) retention_text: String,
    /// Feature flags that were switched on.
    pub(crate) features: Vec<String>,
}

/// A message to the operator.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Notification {
    /// What.
    pub(crate) text: String,
    /// When, RFC 3339.
    pub(crate) date: String,
    /// False once it is settled.
    pub(crate) active: bool,
}

/// What this binary is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuildInfo;

impl BuildInfo {
    /// Version that clients of the family compare with theirs.
    pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
    /// Source revision, when the build was told.
    pub(crate) const REVISION: &str = match option_env!("SEXTANT_REVISION") {
        Some(r) => r,
        None => "unknown",
    };
    /// Compiler, in the place of Go's version.
    pub(crate) const TOOLCHAIN: &str = "rust";
}

/// Asks for a reload; the answer comes when it is done.
pub(crate) type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// What handlers share.
pub(crate) struct Api {
    /// The stores, once they are open.
    store: ArcSwapOption<Store>,
    /// How far reading the log at start has come.
    pub(crate) replay: Arc<ReplayProgress>,
    /// What is scraped, once the store is open.
    scraper: ArcSwapOption<Scraper>,
    /// What is evaluated, once the store is open.
    rules: ArcSwapOption<rules::Service>,
    /// The same over lines.
    ruler: ArcSwapOption<Ruler>,
    /// Alerting, once it runs.
    alertmanager: ArcSwapOption<Alertmanager>,
    phase: AtomicU8,
    /// The configuration in force.
    pub(crate) config: ArcSwap<LoadedConfig>,
    /// Options.
    pub(crate) options: ServerOptions,
    /// Flags with their values, for display.
    pub(crate) flags: BTreeMap<String, String>,
    /// Lines on their way in, with what their configuration says.
    pub(crate) logs: Arc<LogService>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// When the process started.
    pub(crate) started: jiff::Timestamp,
    /// When the configuration in force was loaded.
    pub(crate) config_loaded: ArcSwap<jiff::Timestamp>,
    /// Whether the last load worked.
    pub(crate) reload_ok: std::sync::atomic::AtomicBool,
    /// Takes requests to reload.
    pub(crate) reload: mpsc::Sender<ReloadRequest>,
    /// Takes the request to end.
    pub(crate) quit: watch::Sender<bool>,
    /// Messages to the operator.
    notifications: Mutex<Vec<Notification>>,
    /// The same, as they come.
    pub(crate) notices: broadcast::Sender<Notification>,
    /// How many listen.
    pub(crate) listeners: AtomicUsize,
    /// The memory of queries.
    pub(crate) query_memory: Arc<Pool>,
    /// Queries that may run.
    pub(crate) query_slots: Arc<Semaphore>,
    /// Queries that do, once the data directory is ours.
    active_queries: std::sync::OnceLock<super::prometheus::ActiveQueries>,
    /// Remote reads that may run.
    pub(crate) read_slots: Arc<Semaphore>,
}

impl Api {
    /// State of a server that is starting.
    pub(crate) fn new(
        config: LoadedConfig,
        options: ServerOptions,
        flags: BTreeMap<String, String>,
        logs: Arc<LogService>,
        metrics: Arc<Metrics>,
        reload: mpsc::Sender<ReloadRequest>,
        quit: watch::Sender<bool>,
    ) -> Self {
        Self {
            store: ArcSwapOption::empty(),
            replay: Arc::default(),
            scraper: ArcSwapOption::empty(),
            rules: ArcSwapOption::empty(),
            ruler: ArcSwapOption::empty(),
            alertmanager: ArcSwapOption::empty(),
            phase: AtomicU8::new(Phase::Starting as u8),
            config: ArcSwap::from_pointee(config),
            query_memory: Pool::new(thread_bytes, options.query_max_memory as u64),
            query_slots: Arc::new(Semaphore::new(options.query_concurrency.max(1))),
            active_queries: std::sync::OnceLock::new(),
            read_slots: Arc::new(Semaphore::new(options.read_concurrency.max(1))),
            options,
            flags,
            logs,
            metrics,
            started: jiff::Timestamp::now(),
            config_loaded: ArcSwap::from_pointee(jiff::Timestamp::now()),
            reload_ok: std::sync::atomic::AtomicBool::new(true),
            reload,
            quit,
            notifications: Mutex::default(),
            notices: broadcast::channel(64).0,
            listeners: AtomicUsize::new(0),
        }
    }

    /// The stores, when they are open.
    #[allow(dead_code)]
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        self.store.load_full()
    }

    /// The metric store, when it is open.
    pub(crate) fn db(&self) -> Option<Arc<Db>> {
        Some(Arc::clone(&self.store.load().as_ref()?.metrics))
    }

    /// Running queries are noted in `dir` from now on; those that a process before left unfinished
    /// are reported. A directory that takes no notes costs nothing but the notes.
    pub(crate) fn note_queries(&self, dir: &std::path::Path) {
        match super::prometheus::ActiveQueries::open(dir, self.options.query_concurrency.max(1)) {
            Ok((active, unfinished)) => {
                for q in &unfinished {
                    tracing::warn!(
                        query = q["query"].as_str().unwrap_or_default(),
                        timestamp_sec = q["timestamp_sec"].as_i64().unwrap_or_default(),
                        "this query did not finish in the last run"
                    );
                }
                // Only the first call counts: there is one data directory.
                drop(self.active_queries.set(active));
            }
            Err(e) => tracing::warn!(error = %e, "running queries cannot be noted"),
        }
    }

    /// The notes of running queries.
    pub(crate) fn active_queries(&self) -> Option<&super::prometheus::ActiveQueries> {
        self.active_queries.get()
    }

    /// What is scraped.
    pub(crate) fn scraper(&self) -> Option<Arc<Scraper>> {
        self.scraper.load_full()
    }

    /// What is evaluated.
    pub(crate) fn rules(&self) -> Option<Arc<rules::Service>> {
        self.rules.load_full()
    }

    /// Evaluation has started.
    pub(crate) fn set_rules(&self, rules: Arc<rules::Service>) {
        self.rules.store(Some(rules));
    }

    /// Rules over lines.
    pub(crate) fn ruler(&self) -> Option<Arc<Ruler>> {
        self.ruler.load_full()
    }

    /// Evaluation of rules over lines has started.
    pub(crate) fn set_ruler(&self, ruler: Arc<Ruler>) {
        self.ruler.store(Some(ruler));
    }

    /// Alerting.
    pub(crate) fn alertmanager(&self) -> Option<Arc<Alertmanager>> {
        self.alertmanager.load_full()
    }

    /// Alerting has started.
    pub(crate) fn set_alertmanager(&self, service: Arc<Alertmanager>) {
        self.alertmanager.store(Some(service));
    }

    /// Scraping has started.
    pub(crate) fn set_scraper(&self, scraper: Arc<Scraper>) {
        self.scraper.store(Some(scraper));
    }

    /// The stores are open, or about to be closed.
    pub(crate) fn set_store(&self, store: Option<Arc<Store>>) {
        self.store.store(store);
    }

    /// Whose data a request sees. Without multi-tenancy everybody's is the same.
    pub(crate) fn tenant(&self) -> TenantId {
        TenantId::DEFAULT
    }

    /// Where the server is in its life.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }

    /// The server has moved on.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        let ready = f64::from(u8::from(phase == Phase::Ready));
        self.metrics.set(crate::telemetry::Gauge::Ready, ready);
    }

    /// Shows a message to the operator (`active`), or settles it.
    pub(crate) fn notify(&self, text: &str, active: bool) {
        let mut all = self.notifications.lock();
        let known = all.iter().any(|n| n.text == text);
        if known == active {
            return;
        }
        let notice = Notification {
            text: text.to_owned(),
            date: rfc3339(jiff::Timestamp::now()),
            active,
        };
        all.retain(|n| n.text != text);
        if active {
            all.push(notice.clone());
        }
        // Nobody may be listening.
        drop(self.notices.send(notice));
    }

    /// Messages that are not settled.
    pub(crate) fn notifications(&self) -> Vec<Notification> {
        self.notifications.lock().clone()
    }
}

/// Go's RFC3339Nano: the fraction without trailing zeros.
pub(crate) fn rfc3339(t: jiff::Timestamp) -> String {
    t.to_string()
}
