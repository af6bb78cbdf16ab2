//! What scraping counts about itself, under the family's names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use engine::metrics::{RejectReason, Rejections};

use super::Scraper;
use crate::telemetry::{Collector, Family, Kind, Sample, Suffix};

/// What can be counted; the name and the help are those of the family.
macro_rules! numbers {
    ($($(#[$m:meta])* $field:ident $name:literal $help:literal;)*) => {
        /// Numbers of all loops and pools.
        #[derive(Debug, Default)]
        pub(super) struct Numbers {
            $($(#[$m])* pub(super) $field: AtomicU64,)*
            /// Updates from discovery; they are shown with the name of their reader.
            pub(super) updates: AtomicU64,
        }

        impl Numbers {
            fn families(&self, out: &mut Vec<Family>) {
                $(out.push(Family::single(
                    $name,
                    $help,
                    Kind::Counter,
                    self.$field.load(Relaxed) as f64,
                ));)*
            }
        }
    };
}

numbers! {
    /// Pools that were to be made.
    pools "prometheus_target_scrape_pools_total" "Total number of scrape pool creation attempts.";
    /// Pools that could not be made.
    pools_failed "prometheus_target_scrape_pools_failed_total" "Total number of scrape pool creations that failed.";
    /// Pools that were changed.
    reloads "prometheus_target_scrape_pool_reloads_total" "Total number of scrape pool reloads.";
    /// Changes that failed.
    reloads_failed "prometheus_target_scrape_pool_reloads_failed_total" "Total number of failed scrape pool reloads.";
    /// Times a pool had more targets than it may.
    target_limit "prometheus_target_scrape_pool_exceeded_target_limit_total" "Total number of times scrape pools hit the target limit, during sync or config reload.";
    /// Scrapes with a body that was too large.
    body_size "prometheus_target_scrapes_exceeded_body_size_limit_total" "Total number of scrapes that hit the body size limit";
    /// Scrapes with too many samples.
    sample_limit "prometheus_target_scrapes_exceeded_sample_limit_total" "Total number of scrapes that hit the sample limit and were rejected.";
    /// Samples that contradict another one of the same time.
    duplicate "prometheus_target_scrapes_sample_duplicate_timestamp_total" "Total number of samples rejected due to duplicate timestamps but different values.";
    /// Samples older than what is stored.
    out_of_order "prometheus_target_scrapes_sample_out_of_order_total" "Total number of samples rejected due to not being out of the expected order.";
    /// Samples outside the time that is taken.
    out_of_bounds "prometheus_target_scrapes_sample_out_of_bounds_total" "Total number of samples rejected due to timestamp falling outside of the time bounds.";
    /// Exemplars older than what is stored.
    exemplar_out_of_order "prometheus_target_scrapes_exemplar_out_of_order_total" "Total number of exemplar rejected due to not being out of the expected order.";
}

impl Numbers {
    /// Counts what the store refused of a scrape. Reasons are known of the first ones only.
    pub(super) fn refused(&self, r: &Rejections) {
        for one in &r.first {
            let cell = match one.reason {
                RejectReason::Duplicate { .. } | RejectReason::DuplicateHistogram => {
                    &self.duplicate
                }
                RejectReason::OutOfOrder => &self.out_of_order,
                RejectReason::OutOfBounds | RejectReason::TooOld | RejectReason::TooFarInFuture => {
                    &self.out_of_bounds
                }
                RejectReason::ExemplarOutOfOrder => &self.exemplar_out_of_order,
                _ => continue,
            };
            cell.fetch_add(1, Relaxed);
        }
    }
}

/// Counts one.
pub(super) fn count(cell: &AtomicU64) {
    cell.fetch_add(1, Relaxed);
}

/// Shows the numbers of a scraper.
pub(crate) struct Board(pub(super) Arc<Scraper>);

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("scrape::Board")
    }
}

impl Collector for Board {
    fn collect(&self, out: &mut Vec<Family>) {
        let numbers = self.0.numbers();
        numbers.families(out);
        // An update is handed on when it arrives: the two numbers are one.
        for (name, help) in [
            (
                "prometheus_sd_received_updates_total",
                "Total number of update events received from the SD providers.",
            ),
            (
                "prometheus_sd_updates_total",
                "Total number of update events sent to the SD consumers.",
            ),
        ] {
            out.push(Family {
                name: name.to_owned(),
                help,
                kind: Kind::Counter,
                samples: vec![Sample {
                    suffix: Suffix::None,
                    labels: vec![("name", "scrape".to_owned())],
                    value: numbers.updates.load(Relaxed) as f64,
                }],
            });
        }
        let pools = self.0.pools();
        let mut gauge = |name: &str,
                         help: &'static str,
                         label: &'static str,
                         value: fn(&super::PoolView) -> f64,
                         more: &[(&'static str, &str)]| {
            let one = |p: &super::PoolView| {
                let fixed = more.iter().map(|(n, v)| (*n, (*v).to_owned()));
                Sample {
                    suffix: Suffix::None,
                    labels: std::iter::once((label, p.name.clone()))
                        .chain(fixed)
                        .collect(),
                    value: value(p),
                }
            };
            out.push(Family {
                name: name.to_owned(),
                help,
                kind: Kind::Gauge,
                samples: pools.iter().map(one).collect(),
            });
        };
        gauge(
            "prometheus_target_scrape_pool_targets",
            "Current number of targets in this scrape pool.",
            "scrape_job",
            |p| p.active as f64,
            &[],
        );
        gauge(
            "prometheus_target_scrape_pool_target_limit",
            "Maximum number of targets allowed in this scrape pool.",
            "scrape_job",
            |p| p.target_limit as f64,
            &[],
        );
        gauge(
            "prometheus_target_metadata_cache_entries",
            "Total number of metric metadata entries in the cache",
            "scrape_job",
            |p| p.metadata as f64,
            &[],
        );
        gauge(
            "prometheus_sd_discovered_targets",
            "Current number of discovered targets.",
            "config",
            |p| p.discovered as f64,
            &[("name", "scrape")],
        );
    }
}
