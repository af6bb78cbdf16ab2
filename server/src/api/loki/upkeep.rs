//! What the log server does by itself: limits that change in a file, retention of tenants as they
//! appear, delete requests when they can no longer be taken back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::logs::{Retention, RetentionRule, Retentions};
use engine::model::TenantId;
use engine::store::Store;
use tokio::sync::watch;

use super::{NO_TENANT, deletion};
use crate::config::loki::{TenantLimits, load_overrides};
use crate::ingest::{LogService, Overrides};

/// Least wait between two looks, so that a period of zero does not keep a processor busy.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// What is in force.
pub(crate) struct Upkeep {
    service: Arc<LogService>,
    store: Arc<Store>,
    /// Text of the file of overrides, or what was wrong with it, as last seen.
    seen: Option<String>,
    /// Overrides and number of tenants for which retention was last set.
    retained: Option<(Arc<Overrides>, usize)>,
    /// When delete requests were last looked at.
    carried_out: Instant,
}

impl Upkeep {
    /// Puts what the configuration and earlier requests say in force; the store has just been
    /// opened.
    pub(crate) fn new(service: Arc<LogService>, store: Arc<Store>) -> Self {
        deletion::in_force(&service, &store);
        let mut new = Self {
            service,
            store,
            seen: None,
            retained: None,
            carried_out: Instant::now(),
        };
        new.look();
        new
    }

    /// Does what is due, again and again.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let c = &self.service.config;
        let period = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0)).max(PAUSE_MIN);
        let deletions = period(c.compaction_ms);
        let pause = period(c.runtime_ms).min(deletions);
        let enabled = c.retention_enabled;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = async { drop(stop.wait_for(|s| *s).await) } => return,
            }
            // Files and parts are read and written.
            tokio::task::block_in_place(|| {
                self.look();
                if enabled && self.carried_out.elapsed() >= deletions {
                    self.carry_out();
                    self.carried_out = Instant::now();
                }
            });
        }
    }

    fn carry_out(&self) {
        match deletion::carry_out(&self.service, &self.store) {
            Ok(0) => {}
            Ok(requests) => tracing::info!(requests, "delete requests carried out"),
            Err(error) => tracing::error!(%error, "delete requests wait"),
        }
    }

    /// Reads the file of overrides and sets retention, where something has changed.
    fn look(&mut self) {
        let file = self.service.config.runtime_file.clone();
        if !file.is_empty() {
            self.read_overrides(Path::new(&file));
        }
        if self.service.config.retention_enabled {
            self.set_retention();
        }
    }

    /// A file that cannot be used leaves what is in force as it is.
    fn read_overrides(&mut self, file: &Path) {
        let found = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) => e.to_string(),
        };
        if self.seen.as_ref() == Some(&found) {
            return;
        }
        self.seen = Some(found);
        match load_overrides(file, &self.service.config.limits) {
            Ok((overrides, warnings)) => {
                for w in warnings {
                    tracing::warn!(file = %file.display(), "{w}");
                }
                tracing::info!(file = %file.display(), tenants = overrides.len(), "overrides read");
                self.service.override_limits(overrides);
            }
            Err(e) => {
                tracing::error!(error = %e, "overrides cannot be read; those in force stay");
            }
        }
    }

    /// Tenants get their number when they first write, so this is looked at again and again.
    ///
    /// Every tenant has a retention of its own: one whose limits have not been looked up yet must
    /// not lose lines by those of others.
    fn set_retention(&mut self) {
        let overrides = self.service.overrides();
        let tenants = if self.service.config.auth_enabled {
            self.store.state.tenants()
        } else {
            vec![(NO_TENANT.to_owned(), TenantId::DEFAULT)]
        };
        let same =
            |(o, n): &(Arc<Overrides>, usize)| Arc::ptr_eq(o, &overrides) && *n == tenants.len();
        if self.retained.as_ref().is_some_and(same) {
            return;
        }
        let count = tenants.len();
        let own = tenants.into_iter();
        let own = own.map(|(name, id)| (id, retention(&self.service.limits(&name))));
        self.store.logs.set_retention(Retentions {
            default: Retention::default(),
            tenants: own.collect(),
        });
        self.retained = Some((overrides, count));
    }
}

fn retention(limits: &TenantLimits) -> Retention {
    let rules = limits.retention_rules.iter().filter_map(|r| {
        Some(RetentionRule {
            // Checked when the configuration was read.
            matchers: ::query::logql::parse_matchers(&r.selector, false).ok()?,
            priority: r.priority,
            period_ms: r.period_ms,
        })
    });
    Retention {
        period_ms: limits.retention_ms,
        rules: rules.collect(),
    }
}
