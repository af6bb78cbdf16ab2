//! The worlds that rules see: metrics, or the lines of tenants beside metrics.
//!
//! Owns: who answers the rules of which file.
//! Knows nothing of: groups, schedules.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use engine::logs::ScanStats;
use engine::metrics::Db;
use engine::model::{Labels, TenantId};
use engine::store::Store;
use query::logql::eval::{Control, Grid, Limits, MetricAnswer, run_metric};
use query::logql::source::TenantLogs;
use query::logql::stages::Surroundings;
use query::promql::{Engine, SampleValue};

use super::expression::{Expression, Language};
use super::live::{Live, Settings};
use super::memory::Change;
use super::rule::{Element, Host, Written};
use crate::ingest::LogService;

/// Longest evaluation of a rule over lines when the tenant has no limit.
const LONGEST: Duration = Duration::from_secs(600);

/// Who answers rules.
pub(crate) trait World: Send + Sync + 'static {
    /// The host of the rules of a file.
    fn host(&self, file: &str) -> Arc<dyn Host>;
    /// What rules are written in.
    fn language(&self, engine: &Engine) -> Language;
    /// Changes what a reload changes.
    fn set(&self, settings: Settings);
    /// Forgets the alerts of groups that `keep` does not name.
    fn forget_groups(&self, keep: &dyn Fn(&str) -> bool);
}

/// Rules over the metrics of a store.
pub(crate) struct Metrics(Arc<Live>);

impl Metrics {
    /// Rules of a server that users reach at `external_url`.
    pub(crate) fn new(store: Arc<Store>, external_url: &str) -> Self {
        let live = Live::new(
            store.metrics.clone(),
            external_url.to_owned(),
            Settings::default(),
        );
        Self(Arc::new(live.remembering(store)))
    }
}

impl World for Metrics {
    fn host(&self, _file: &str) -> Arc<dyn Host> {
        self.0.clone()
    }

    fn language(&self, engine: &Engine) -> Language {
        Language::Metrics(engine.options.parse)
    }

    fn set(&self, settings: Settings) {
        self.0.set(settings);
    }

    fn forget_groups(&self, keep: &dyn Fn(&str) -> bool) {
        self.0.forget_groups(keep);
    }
}

/// Rules over lines. The file of a group begins with the name of its tenant and a slash; what rules
/// record goes into the metric store beside the lines.
pub(crate) struct Lines {
    store: Arc<Store>,
    service: Arc<LogService>,
    external_url: String,
    settings: ArcSwap<Settings>,
}

impl Lines {
    /// Rules over the lines of a store, for users who reach the server at `external_url`.
    pub(crate) fn new(store: Arc<Store>, service: Arc<LogService>, external_url: &str) -> Self {
        Self {
            store,
            service,
            external_url: external_url.to_owned(),
            settings: ArcSwap::default(),
        }
    }

    fn live(&self, db: Arc<Db>) -> Live {
        let settings = Settings::clone(&self.settings.load());
        Live::new(db, self.external_url.clone(), settings)
            .remembering_in(self.store.clone(), "rules.line_alerts")
    }
}

impl World for Lines {
    fn host(&self, file: &str) -> Arc<dyn Host> {
        let tenant = file.split_once('/').map_or(file, |(tenant, _)| tenant);
        Arc::new(LineHost {
            live: self.live(self.store.metrics.clone()),
            store: self.store.clone(),
            service: self.service.clone(),
            tenant: tenant.to_owned(),
        })
    }

    fn language(&self, _engine: &Engine) -> Language {
        Language::Lines
    }

    fn set(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    fn forget_groups(&self, keep: &dyn Fn(&str) -> bool) {
        self.live(self.store.metrics.clone()).forget_groups(keep);
    }
}

/// The lines of one tenant; everything else is that of the metric store.
struct LineHost {
    live: Live,
    store: Arc<Store>,
    service: Arc<LogService>,
    tenant: String,
}

impl LineHost {
    /// A tenant that has never written has a number that nobody has.
    fn tenant(&self) -> TenantId {
        if !self.service.config.auth_enabled {
            return TenantId::DEFAULT;
        }
        let known = self.store.state.known_tenant(&self.tenant);
        known.unwrap_or(TenantId(u32::MAX))
    }
}

impl Host for LineHost {
    fn query(&self, expr: &Expression, ts: i64) -> Result<Vec<Element>, String> {
        let Expression::Lines(expr) = expr else {
            return Err("there are no metrics here".into());
        };
        let limits = self.service.limits(&self.tenant);
        let longest = match u64::try_from(limits.query_timeout_ms) {
            Ok(ms) if ms > 0 => Duration::from_millis(ms),
            _ => LONGEST,
        };
        let deadline = Instant::now() + longest;
        let expired = || Instant::now() > deadline;
        let now = ts.saturating_mul(1_000_000);
        let (cancel, stats) = (AtomicBool::new(false), ScanStats::default());
        let control = Control {
            limits: Limits {
                series_max: limits.max_query_series,
                approx_topk: limits.approx_topk(),
                ..Limits::default()
            },
            around: Surroundings {
                now,
                zone: jiff::tz::TimeZone::system(),
            },
            cancel: &cancel,
            expired: &expired,
            stats: &stats,
        };
        let source = TenantLogs {
            db: &self.store.logs,
            tenant: self.tenant(),
        };
        let answer = run_metric(&source, expr, Grid::instant(now), true, &control);
        let element = |labels: Labels, v: f64| Element {
            labels,
            value: SampleValue::Float(v),
        };
        match answer.map_err(|e| e.to_string())? {
            MetricAnswer::Scalar(_, v) => Ok(vec![element(Labels::empty(), v)]),
            MetricAnswer::Vector(all) => {
                let all = all.into_iter();
                Ok(all.map(|(labels, (_, v))| element(labels, v)).collect())
            }
            MetricAnswer::Matrix(_) => Err("rule result is not a vector or scalar".into()),
        }
    }

    fn query_text(&self, text: &str, ts: i64) -> Result<Vec<Element>, String> {
        let (expr, _) = Expression::parse(text, Language::Lines)?;
        self.query(&expr, ts)
    }

    fn store(&self, samples: &[Written], ts: i64) {
        self.live.store(samples, ts);
    }

    fn newest(&self, labels: &Labels, from: i64, to: i64) -> Option<(i64, f64)> {
        self.live.newest(labels, from, to)
    }

    fn remembered(&self, group: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.live.remembered(group)
    }

    fn remember(&self, changes: &[Change]) {
        self.live.remember(changes);
    }

    fn external_url(&self) -> &str {
        self.live.external_url()
    }

    fn server_url(&self) -> Option<&str> {
        self.live.server_url()
    }

    fn external_labels(&self) -> Vec<(String, String)> {
        self.live.external_labels()
    }
}
