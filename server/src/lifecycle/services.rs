//! The services that a configuration drives, as one: all of them take it, or none.

use std::sync::Arc;
use std::time::Duration;

use engine::store::Store;

use super::Plan;
use crate::api::Api;
use crate::api::prometheus::language;
use crate::config::prometheus::LoadedConfig;
use crate::{remote, rules, scrape};

/// The services of a running server.
pub(super) struct Services {
    pub(super) scraping: Arc<scrape::Service>,
    pub(super) remote: Arc<remote::Service>,
    pub(super) rules: Arc<rules::Service>,
}

impl Services {
    /// Services over `store` that do nothing yet.
    pub(super) fn new(plan: &Plan, api: &Api, store: &Arc<Store>) -> Self {
        let db = &store.metrics;
        let seed = scrape_seed(&api.config.load());
        let scraping = scrape::Service::new(db.clone(), seed);
        scraping.enable(&api.options.features);
        let remote = remote::Service::new(db.clone(), &plan.storage.dir, &api.metrics);
        let (url, options) = (&api.options.external_url, plan.rules.clone());
        let world = Arc::new(rules::Metrics::new(store.clone(), url));
        let links = rules::Links::Graph(url.clone());
        let rules = rules::Service::new(world, links, options, (&api.metrics, ""));
        Self {
            scraping: Arc::new(scraping),
            remote: Arc::new(remote),
            rules: Arc::new(rules),
        }
    }

    /// Puts `config` in force everywhere.
    ///
    /// # Errors
    /// When a service cannot use it; then nothing has changed.
    pub(super) fn apply(&self, api: &Api, config: &LoadedConfig) -> Result<(), String> {
        let destinations = self.remote.prepare(config)?;
        let rules = self
            .rules
            .prepare(config, language::engine_for(api, config))?;
        self.scraping.apply(&config.jobs)?;
        // Destinations first: what is scraped from the first moment on is theirs.
        self.remote.apply(destinations);
        self.rules.apply(rules);
        Ok(())
    }

    /// Ends all of them: what makes samples and alerts first.
    pub(super) async fn stop(&self) {
        self.scraping.stop().await;
        self.rules.stop().await;
        self.remote.stop().await;
    }
}

/// How long services may take to end.
pub(super) const STOP: Duration = Duration::from_secs(30);

/// Servers that scrape the same targets do so at different moments.
fn scrape_seed(config: &LoadedConfig) -> u64 {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = format!("{host}{:?}", config.document.global.external_labels);
    xxhash_rust::xxh3::xxh3_64(own.as_bytes())
}
