//! Pools of targets, one per job, and what the API says about them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use engine::model::{Labels, MetricMetadata};
use engine::wire::exposition::Options;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Appender;
use super::fetch::Fetcher;
use super::ingest::{Ingest, Limits, schema_of_factor};
use super::labels::Rules;
use super::numbers::{Numbers, count};
use super::run::{Loop, Order};
use super::target::{Health, Last, Made, Shared, Target, make};
use crate::config::prometheus::ScrapeConfig;
use crate::discovery::{GroupSink, TargetGroup};
use crate::relabel::Relabel;

/// Scrapes the targets of all jobs.
pub(crate) struct Scraper {
    appender: Arc<dyn Appender>,
    /// Spreads the targets of several servers differently.
    seed: u64,
    numbers: Arc<Numbers>,
    /// Whether `_created` series give start timestamps; set before the first job.
    start_timestamps: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pools: BTreeMap<String, Pool>,
    /// Groups of jobs whose configuration has not arrived yet.
    early: BTreeMap<String, Vec<TargetGroup>>,
}

struct Pool {
    config: Arc<ScrapeConfig>,
    fetcher: Arc<Fetcher>,
    relabel: Relabel,
    groups: Vec<TargetGroup>,
    /// By identity and URL.
    running: BTreeMap<(Labels, String), Running>,
    dropped: Vec<DroppedTarget>,
    dropped_total: usize,
}

struct Running {
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
    task: JoinHandle<Ingest>,
}

/// A target as the API shows it.
#[derive(Debug, Clone)]
pub(crate) struct TargetView {
    /// Job of the configuration.
    pub(crate) pool: String,
    /// Labels before relabelling.
    pub(crate) discovered: Labels,
    /// Labels of its series.
    pub(crate) labels: Labels,
    /// What is asked.
    pub(crate) url: String,
    /// How the last scrape went.
    pub(crate) health: Health,
    /// Its error, or empty.
    pub(crate) last_error: String,
    /// When it was, ms; 0 before the first one.
    pub(crate) last_scrape_ms: i64,
    /// How long it took.
    pub(crate) last_seconds: f64,
    /// How often it is scraped.
    pub(crate) interval: std::time::Duration,
    /// How long it may take.
    pub(crate) timeout: std::time::Duration,
}

/// A target that a rule dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DroppedTarget {
    /// Job of the configuration.
    pub(crate) pool: String,
    /// Labels before relabelling.
    pub(crate) discovered: Labels,
}

/// A pool in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PoolView {
    /// Job of the configuration.
    pub(crate) name: String,
    /// Targets that are scraped.
    pub(crate) active: usize,
    /// Targets that rules dropped, also those that are not kept for display.
    pub(crate) dropped: usize,
    /// Targets that discovery found, before rules.
    pub(crate) discovered: usize,
    /// Most targets, 0 for any number.
    pub(crate) target_limit: u64,
    /// Families whose metadata is known, over all targets.
    pub(crate) metadata: usize,
}

impl Scraper {
    /// A scraper without jobs.
    pub(crate) fn new(appender: Arc<dyn Appender>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            appender,
            seed,
            numbers: Arc::default(),
            start_timestamps: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// From now on `_created` series of new loops are not stored but give the start timestamps of
    /// their families.
    pub(super) fn use_start_timestamps(&self) {
        self.start_timestamps.store(true, Relaxed);
    }

    /// What loops and pools count.
    pub(super) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Scrapes exactly the jobs `configs`; jobs that did not change are left alone. A new job that
    /// cannot be used is reported and counted, and tried again by the next call. Must be called
    /// within a runtime.
    ///
    /// # Errors
    /// When a job that runs cannot be changed; then nothing has changed.
    pub(crate) fn apply<'c>(
        &self,
        configs: impl IntoIterator<Item = &'c ScrapeConfig>,
    ) -> Result<(), String> {
        let mut state = self.state.lock();
        let mut fresh = BTreeMap::new();
        let mut names = Vec::new();
        for c in configs {
            names.push(c.job_name.clone());
            let same = state
                .pools
                .get(&c.job_name)
                .is_some_and(|p| *p.config == *c);
            if !same {
                let known = state.pools.contains_key(&c.job_name);
                let (tried, failed) = if known {
                    (&self.numbers.reloads, &self.numbers.reloads_failed)
                } else {
                    (&self.numbers.pools, &self.numbers.pools_failed)
                };
                count(tried);
                match Pool::new(c).inspect_err(|_| count(failed)) {
                    Ok(pool) => drop(fresh.insert(c.job_name.clone(), pool)),
                    // A job that runs is not ended for a change that cannot be made.
                    Err(e) if known => return Err(e),
                    // A certificate that is not there must not keep the other jobs from starting.
                    Err(e) => tracing::error!(
                        job = %c.job_name,
                        error = %e,
                        "error creating new scrape pool"
                    ),
                }
            }
        }
        // From here on nothing fails.
        let gone: Vec<String> = state
            .pools
            .keys()
            .filter(|n| !names.contains(n))
            .cloned()
            .collect();
        for name in gone {
            if let Some(p) = state.pools.remove(&name) {
                for r in p.running.into_values() {
                    r.order(Order::Gone);
                }
            }
        }
        for (name, mut pool) in fresh {
            let mut before = state.pools.remove(&name);
            pool.groups = match &mut before {
                Some(p) => std::mem::take(&mut p.groups),
                None => state.early.remove(&name).unwrap_or_default(),
            };
            pool.sync(self, before);
            state.pools.insert(name, pool);
        }
        Ok(())
    }

    /// Stops all loops without marking anything stale, and waits for them.
    pub(crate) async fn stop(&self) {
        let pools = std::mem::take(&mut self.state.lock().pools);
        let mut tasks = Vec::new();
        for r in pools.into_values().flat_map(|p| p.running.into_values()) {
            r.order(Order::Stop);
            tasks.push(r.task);
        }
        for t in tasks {
            // A loop that panicked has nothing to give back.
            drop(t.await);
        }
    }

    /// Active targets by pool, then labels.
    pub(crate) fn targets(&self) -> Vec<TargetView> {
        let state = self.state.lock();
        let mut out = Vec::new();
        for (name, pool) in &state.pools {
            for r in pool.running.values() {
                let (t, last) = (&r.shared.target, r.shared.last.lock().clone());
                out.push(TargetView {
                    pool: name.clone(),
                    discovered: t.discovered.clone(),
                    labels: t.labels.clone(),
                    url: t.url.clone(),
                    health: last.health,
                    last_error: last.error,
                    last_scrape_ms: last.at,
                    last_seconds: last.seconds,
                    interval: t.interval,
                    timeout: t.timeout,
                });
            }
        }
        out
    }

    /// Dropped targets that are kept for display.
    pub(crate) fn dropped(&self) -> Vec<DroppedTarget> {
        let state = self.state.lock();
        let all = state.pools.values().flat_map(|p| p.dropped.clone());
        all.collect()
    }

    /// The pools in numbers.
    pub(crate) fn pools(&self) -> Vec<PoolView> {
        let state = self.state.lock();
        state
            .pools
            .iter()
            .map(|(name, p)| PoolView {
                name: name.clone(),
                active: p.running.len(),
                dropped: p.dropped_total,
                discovered: p.groups.iter().map(|g| g.targets.len()).sum(),
                target_limit: p.config.target_limit,
                metadata: p
                    .running
                    .values()
                    .map(|r| r.shared.metadata.lock().len())
                    .sum(),
            })
            .collect()
    }

    /// Visits the metadata of every family of every target.
    pub(crate) fn visit_metadata(&self, visit: &mut dyn FnMut(&Labels, &str, &MetricMetadata)) {
        let all: Vec<Arc<Shared>> = {
            let state = self.state.lock();
            let running = state.pools.values().flat_map(|p| p.running.values());
            running.map(|r| Arc::clone(&r.shared)).collect()
        };
        for shared in all {
            for (family, m) in shared.metadata.lock().iter() {
                visit(&shared.target.labels, family, m);
            }
        }
    }
}

impl GroupSink for Scraper {
    fn update(&self, job: &str, groups: Vec<TargetGroup>) {
        count(&self.numbers.updates);
        let mut state = self.state.lock();
        match state.pools.get_mut(job) {
            Some(pool) => {
                pool.groups = groups;
                pool.sync(self, None);
            }
            None => {
                state.early.insert(job.to_owned(), groups);
            }
        }
    }
}

impl Running {
    fn order(&self, order: Order) {
        // A loop that has ended needs no order.
        self.orders.send_replace(order);
    }
}

impl Pool {
    fn new(c: &ScrapeConfig) -> Result<Self, String> {
        let legacy = c.metric_name_validation_scheme == "legacy";
        let fail = |e: String| format!("job {:?}: {e}", c.job_name);
        // Compiled once here so that a loop cannot fail to compile it.
        Relabel::compile(&c.metric_relabel_configs, legacy).map_err(|e| fail(e.to_string()))?;
        Ok(Self {
            fetcher: Arc::new(Fetcher::new(c).map_err(fail)?),
            relabel: Relabel::compile(&c.relabel_configs, legacy)
                .map_err(|e| fail(e.to_string()))?,
            config: Arc::new(c.clone()),
            groups: Vec::new(),
            running: BTreeMap::new(),
            dropped: Vec::new(),
            dropped_total: 0,
        })
    }

    /// Makes the loops fit the groups. Loops of `before`, the pool under an older configuration,
    /// are taken over or ended.
    fn sync(&mut self, scraper: &Scraper, before: Option<Pool>) {
        let mut wanted: BTreeMap<(Labels, String), Target> = BTreeMap::new();
        self.dropped.clear();
        self.dropped_total = 0;
        for made in self
            .groups
            .iter()
            .flat_map(|g| make(&self.config, &self.relabel, g))
        {
            match made {
                Made::Target(t) => {
                    wanted
                        .entry((t.identity.clone(), t.url.clone()))
                        .or_insert(*t);
                }
                Made::Dropped(discovered) => {
                    self.dropped_total += 1;
                    let keep = self.config.keep_dropped_targets;
                    if keep == 0 || (self.dropped.len() as u64) < keep {
                        self.dropped.push(DroppedTarget {
                            pool: self.config.job_name.clone(),
                            discovered,
                        });
                    }
                }
                Made::Broken(e) => {
                    tracing::error!(job = %self.config.job_name, error = %e, "creating target failed");
                }
            }
        }
        let gone: Vec<(Labels, String)> = self
            .running
            .keys()
            .filter(|k| !wanted.contains_key(*k))
            .cloned()
            .collect();
        for key in gone {
            if let Some(r) = self.running.remove(&key) {
                r.order(Order::Gone);
            }
        }
        let (mut old, same_rules) = match before {
            Some(p) => (p.running, same_rules(&p.config, &self.config)),
            None => (BTreeMap::new(), false),
        };
        let limit = self.config.target_limit;
        let forced = (limit > 0 && wanted.len() as u64 > limit).then(|| {
            format!(
                "target_limit exceeded (number of targets: {}, limit: {limit})",
                wanted.len()
            )
        });
        if forced.is_some() {
            count(&scraper.numbers.target_limit);
        }
        for (key, target) in wanted {
            if let Some(r) = self.running.get(&key) {
                r.shared.forced.lock().clone_from(&forced);
                continue;
            }
            let heir = old.remove(&key);
            let running = self.start(scraper, target, heir, same_rules, forced.clone());
            self.running.insert(key, running);
        }
        for r in old.into_values() {
            r.order(Order::Gone);
        }
    }

    fn start(
        &self,
        scraper: &Scraper,
        target: Target,
        heir: Option<Running>,
        same_rules: bool,
        forced: Option<String>,
    ) -> Running {
        let (last, metadata) = match &heir {
            Some(r) => (
                r.shared.last.lock().clone(),
                r.shared.metadata.lock().clone(),
            ),
            None => (Last::default(), BTreeMap::new()),
        };
        let shared = Arc::new(Shared {
            target,
            last: Mutex::new(last),
            metadata: Mutex::new(metadata),
            forced: Mutex::new(forced),
        });
        let (orders, receiver) = watch::channel(Order::Run);
        let ingest = self.ingest(&shared.target, scraper);
        let identity = shared.target.identity.as_bytes();
        let url_hash = xxhash_rust::xxh3::xxh3_64(shared.target.url.as_bytes());
        let mut run = Loop {
            hash: xxhash_rust::xxh3::xxh3_64_with_seed(identity, scraper.seed ^ url_hash),
            shared: Arc::clone(&shared),
            ingest,
            fetcher: Arc::clone(&self.fetcher),
            appender: Arc::clone(&scraper.appender),
            numbers: Arc::clone(&scraper.numbers),
            orders: receiver,
            failure_log: self.config.scrape_failure_log_file.clone(),
            job: self.config.job_name.clone(),
        };
        let task = tokio::spawn(async move {
            if let Some(old) = heir {
                old.order(Order::Stop);
                // What the loop before knew about its series goes on, under the new limits.
                if let Ok(ingest) = old.task.await
                    && same_rules
                {
                    run.ingest = ingest.with_limits(run.ingest.limits);
                }
            }
            run.run().await
        });
        Running {
            shared,
            orders,
            task,
        }
    }

    fn ingest(&self, t: &Target, scraper: &Scraper) -> Ingest {
        let c = &*self.config;
        let legacy_names = c.metric_name_validation_scheme == "legacy";
        let rules = Rules {
            target: t.labels.clone(),
            honor_labels: c.honor_labels,
            // `Pool::new` has compiled the same rules before.
            relabel: Relabel::compile(&c.metric_relabel_configs, legacy_names).unwrap_or_default(),
            legacy_names,
            label_limit: c.label_limit,
            name_length_limit: c.label_name_length_limit,
            value_length_limit: c.label_value_length_limit,
        };
        let limits = Limits {
            honor_timestamps: c.honor_timestamps,
            track_timestamps_staleness: c.track_timestamps_staleness,
            sample_limit: c.sample_limit,
            bucket_limit: c.native_histogram_bucket_limit,
            max_schema: schema_of_factor(c.native_histogram_min_bucket_factor),
            options: Options {
                native_histograms: t.native_histograms,
                always_classic: t.always_classic,
                convert_to_nhcb: t.convert_to_nhcb,
                start_timestamps: scraper.start_timestamps.load(Relaxed),
            },
            extra_reports: c.extra_scrape_metrics == Some(true),
            timeout_seconds: t.timeout.as_secs_f64(),
        };
        Ingest::new(rules, limits, scraper.appender.key_secret())
    }
}

/// True when both configurations store a series under the same labels.
fn same_rules(a: &ScrapeConfig, b: &ScrapeConfig) -> bool {
    a.honor_labels == b.honor_labels
        && a.metric_relabel_configs == b.metric_relabel_configs
        && a.label_limit == b.label_limit
        && a.label_name_length_limit == b.label_name_length_limit
        && a.label_value_length_limit == b.label_value_length_limit
        && a.metric_name_validation_scheme == b.metric_name_validation_scheme
        && a.extra_scrape_metrics == b.extra_scrape_metrics
}
