//! The services that run beside the store: discovery and scraping.

use std::sync::Arc;

use engine::metrics::Db;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::prometheus::LoadedConfig;
use crate::discovery::Manager;
use crate::scrape::Scraper;

/// The running services.
pub(super) struct Services {
    scraper: Arc<Scraper>,
    discovery: Manager,
}

impl Services {
    /// Services without jobs, writing to `db`.
    pub(super) fn new(db: Arc<Db>, config: &LoadedConfig) -> Self {
        // Servers that scrape the same targets do so at different moments.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let own = format!("{host}{:?}", config.document.global.external_labels);
        let scraper = Scraper::new(db, xxh3_64(own.as_bytes()));
        let discovery = Manager::new(scraper.clone());
        Self { scraper, discovery }
    }

    /// The facade that shows targets.
    pub(super) fn scraper(&self) -> Arc<Scraper> {
        self.scraper.clone()
    }

    /// Runs exactly the jobs of `config`. Must be called within the runtime.
    ///
    /// # Errors
    /// When a job cannot be used; then nothing has changed.
    pub(super) fn apply(&self, config: &LoadedConfig) -> Result<(), String> {
        self.scraper.apply(&config.jobs)?;
        let jobs = config.jobs.iter();
        self.discovery
            .apply(jobs.map(|j| (j.job_name.clone(), j.discovery())));
        Ok(())
    }

    /// Stops everything and waits for it.
    pub(super) async fn stop(&self) {
        self.discovery.stop();
        self.scraper.stop().await;
    }
}
