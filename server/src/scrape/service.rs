//! Discovery and scraping as one service: what starts and stops the server needs no more.

use std::sync::Arc;

use super::numbers::Board;
use super::{Appender, Scraper};
use crate::config::prometheus::ScrapeConfig;
use crate::discovery;

/// Features that make `_created` series start timestamps: the older name and the newer one.
const START_TIMESTAMPS: [&str; 2] = ["created-timestamp-zero-ingestion", "st-storage"];

/// Finds targets and scrapes them.
pub(crate) struct Service {
    scraper: Arc<Scraper>,
    discovery: discovery::Manager,
}

impl Service {
    /// A service without jobs. `seed` spreads the targets of several servers differently.
    pub(crate) fn new(appender: Arc<dyn Appender>, seed: u64) -> Self {
        let scraper = Scraper::new(appender, seed);
        Self {
            discovery: discovery::Manager::new(scraper.clone()),
            scraper,
        }
    }

    /// Switches on what the features of the command line ask for; before [`Self::apply`].
    pub(crate) fn enable(&self, features: &[String]) {
        let wanted = |f: &String| START_TIMESTAMPS.contains(&f.as_str());
        if features.iter().any(wanted) {
            self.scraper.use_start_timestamps();
        }
    }

    /// Finds and scrapes the targets of exactly `jobs`; what did not change is left alone. Must be
    /// called within a runtime.
    ///
    /// # Errors
    /// When a job cannot be used; then nothing has changed.
    pub(crate) fn apply(&self, jobs: &[ScrapeConfig]) -> Result<(), String> {
        self.scraper.apply(jobs)?;
        let discovery = jobs.iter().map(|j| (j.job_name.clone(), j.discovery()));
        self.discovery.apply(discovery);
        Ok(())
    }

    /// What scraping counts, for the page with our own metrics.
    pub(crate) fn board(&self) -> Board {
        Board(Arc::clone(&self.scraper))
    }

    /// What discovery counts, for the same page.
    pub(crate) fn discovery_numbers(&self) -> Arc<discovery::Numbers> {
        self.discovery.numbers()
    }

    /// The targets, for whoever shows them.
    pub(crate) fn scraper(&self) -> Arc<Scraper> {
        Arc::clone(&self.scraper)
    }

    /// Ends everything without marking series stale.
    pub(crate) async fn stop(&self) {
        self.discovery.stop();
        self.scraper.stop().await;
    }
}
