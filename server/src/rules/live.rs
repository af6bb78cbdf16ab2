//! The world that rules of a running server see: its store, its language, its name.

use std::sync::Arc;

use arc_swap::ArcSwap;
use engine::metrics::{AppendMode, AppendOptions, Db};
use engine::model::{
    BatchExtra, HistogramPoint, Labels, METRIC_NAME, Matcher, SeriesKey, TenantId, WriteBatch,
};
use engine::store::Store;
use query::layered::Layered;
use query::promql::ast::Expr;
use query::promql::{Answer, Engine, QueryError, QueryOptions, SampleValue, Value};
use query::source::TenantSource;

use super::expression::{Expression, Language};
use super::memory::Change;
use super::rule::{Element, Host, Written, histogram_of};

/// Table of what is remembered of alerts over metrics.
const MEMORY: &str = "rules.alerts";

/// What may change with a reload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The language.
    pub(crate) engine: Engine,
    /// Labels of this server.
    pub(crate) external_labels: Vec<(String, String)>,
}

/// Rules over a metric store.
pub(crate) struct Live {
    db: Arc<Db>,
    /// Read where `db` has nothing.
    beneath: Option<Arc<Db>>,
    external_url: String,
    /// Whether there is a server behind the URL.
    server: bool,
    /// Where alerts are remembered, and in which table.
    memory: Option<(Arc<Store>, &'static str)>,
    settings: ArcSwap<Settings>,
    /// The clock of the store's acceptance rules.
    now_ms: fn(i64) -> i64,
}

impl Live {
    /// Rules of a server.
    pub(crate) fn new(db: Arc<Db>, external_url: String, settings: Settings) -> Self {
        Self {
            db,
            beneath: None,
            external_url,
            server: true,
            memory: None,
            settings: ArcSwap::from_pointee(settings),
            now_ms: |_| jiff::Timestamp::now().as_millisecond(),
        }
    }

    /// Rules whose alerts outlive the process.
    pub(crate) fn remembering(self, store: Arc<Store>) -> Self {
        self.remembering_in(store, MEMORY)
    }

    /// The same in another table.
    pub(super) fn remembering_in(mut self, store: Arc<Store>, table: &'static str) -> Self {
        self.memory = Some((store, table));
        self
    }

    /// Forgets the alerts of groups that `keep` does not name.
    pub(super) fn forget_groups(&self, keep: &dyn Fn(&str) -> bool) {
        let Some((store, table)) = &self.memory else {
            return;
        };
        let rows = store.state.list(table).into_iter().map(|(key, _)| key);
        let gone = rows.filter(|key| !super::memory::group_of(key).is_some_and(keep));
        let gone: Vec<Change> = gone.map(|key| (key, None)).collect();
        self.remember(&gone);
    }

    /// Rules over made-up samples: it is always the time of the evaluation, and links lead nowhere.
    pub(crate) fn without_server(mut self) -> Self {
        self.now_ms = |ts| ts;
        self.server = false;
        self
    }

    /// Rules that read what `data` has without changing it.
    pub(crate) fn over(mut self, data: Arc<Db>) -> Self {
        self.beneath = Some(data);
        self
    }

    /// Changes what a reload changes.
    pub(super) fn set(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    fn elements(answer: Result<Answer, QueryError>) -> Result<Vec<Element>, String> {
        match answer.map_err(|e| e.to_string())?.value {
            Value::Vector(v) => Ok(v
                .into_iter()
                .map(|s| Element {
                    labels: s.labels,
                    value: s.value,
                })
                .collect()),
            Value::Scalar(_, v) => Ok(vec![Element {
                labels: Labels::empty(),
                value: SampleValue::Float(v),
            }]),
            Value::String(..) | Value::Matrix(_) => {
                Err("rule result is not a vector or scalar".into())
            }
        }
    }
}

impl Live {
    fn ask(&self, expr: &Expr, ts: i64) -> Result<Vec<Element>, String> {
        let started = std::time::Instant::now();
        let clock = || started.elapsed();
        let options = QueryOptions {
            clock: Some(&clock),
            ..QueryOptions::default()
        };
        let engine = &self.settings.load().engine;
        let source = |db| TenantSource {
            db,
            tenant: TenantId::DEFAULT,
        };
        let own = source(&self.db);
        Self::elements(match &self.beneath {
            None => engine.instant_expr(&own, expr, ts, options),
            Some(data) => {
                let both = Layered {
                    over: &own,
                    beneath: &source(data),
                };
                engine.instant_expr(&both, expr, ts, options)
            }
        })
    }
}

impl Host for Live {
    fn query(&self, expr: &Expression, ts: i64) -> Result<Vec<Element>, String> {
        match expr {
            Expression::Metrics(expr) => self.ask(expr, ts),
            Expression::Lines(_) => Err("there are no lines here".into()),
        }
    }

    fn remembered(&self, group: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some((store, table)) = &self.memory else {
            return Vec::new();
        };
        let prefix = [group.as_bytes(), b"\0"].concat();
        store.state.list_from(table, &prefix)
    }

    fn remember(&self, changes: &[Change]) {
        let memory = self.memory.as_ref().filter(|_| !changes.is_empty());
        let Some((store, table)) = memory else {
            return;
        };
        let rows = changes.iter().map(|(key, value)| engine::state::Change {
            table,
            key,
            value: value.as_deref(),
        });
        let rows: Vec<_> = rows.collect();
        let end = store.state.change(&rows);
        if let Err(e) = end.and_then(|end| store.state.wait_durable(end)) {
            tracing::error!(error = %e, "the state of alerts could not be kept");
        }
    }

    fn query_text(&self, text: &str, ts: i64) -> Result<Vec<Element>, String> {
        let parse = self.settings.load().engine.options.parse;
        let (expr, _) = Expression::parse(text, Language::Metrics(parse))?;
        self.query(&expr, ts)
    }

    fn store(&self, samples: &[Written], ts: i64) {
        let secret = self.db.key_secret();
        let mut batch = WriteBatch::default();
        for (i, s) in samples.iter().enumerate() {
            let key = SeriesKey::of_labels(secret, &s.labels);
            match (&s.value, histogram_of(&s.value)) {
                (SampleValue::Float(v), _) => batch.push_sample(key, i as u64, ts, *v),
                (_, Some(h)) => {
                    let first = batch.samples.len();
                    let extra = BatchExtra {
                        histograms: vec![HistogramPoint {
                            t: ts,
                            start_t: 0,
                            h: (**h).clone().into_stored(),
                        }],
                        ..BatchExtra::default()
                    };
                    batch.push_series(key, i as u64, first, Some(extra));
                }
                _ => {}
            }
        }
        let labels: Vec<Labels> = samples.iter().map(|s| s.labels.clone()).collect();
        let options = AppendOptions::new(AppendMode::Partial, (self.now_ms)(ts));
        match self.db.append(TenantId::DEFAULT, &batch, &labels, &options) {
            Ok(done) => {
                if let Some(r) = done.rejected.first.first() {
                    tracing::warn!(
                        series = %r.labels,
                        reason = %r.reason,
                        refused = done.rejected.total,
                        "the store refused samples of a rule"
                    );
                }
            }
            Err(e) => tracing::error!(error = %e, "samples of a rule could not be stored"),
        }
    }

    fn newest(&self, labels: &Labels, from: i64, to: i64) -> Option<(i64, f64)> {
        let matchers: Vec<Matcher> = labels
            .iter()
            .map(|(n, v)| Matcher::equal(n, v.to_owned()))
            .collect();
        debug_assert!(labels.get(METRIC_NAME).is_some(), "a name makes it fast");
        let found = self.db.select(TenantId::DEFAULT, &matchers, from, to);
        let found = found
            .inspect_err(|e| tracing::warn!(error = %e, "alerts of before cannot be read"))
            .ok()?;
        let exact = (0..found.len()).find(|i| found.labels(*i) == *labels)?;
        let mut newest = None;
        let read = found.scan(exact..exact + 1, &mut |_, c| {
            newest = c.ts.last().copied().zip(c.values.last().copied());
            std::ops::ControlFlow::Continue(())
        });
        if let Err(e) = read {
            tracing::warn!(error = %e, "alerts of before cannot be read");
        }
        newest
    }

    fn external_url(&self) -> &str {
        &self.external_url
    }

    fn server_url(&self) -> Option<&str> {
        self.server.then_some(&self.external_url)
    }

    fn external_labels(&self) -> Vec<(String, String)> {
        self.settings.load().external_labels.clone()
    }
}
