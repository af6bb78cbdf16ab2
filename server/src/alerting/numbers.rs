//! What alerting counts, under Alertmanager's names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::notify::{Class, KINDS};
use super::service::Alertmanager;
use crate::telemetry::{Collector, Family, Kind, Sample, Suffix};

/// Counters of one kind of integration.
#[derive(Debug, Default, Clone, Copy)]
struct PerKind {
    sent: u64,
    failed: [u64; Class::ALL.len()],
    requests: u64,
    requests_failed: u64,
    seconds: f64,
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    kinds: Mutex<BTreeMap<&'static str, PerKind>>,
    /// Notifications kept back, by reason: inhibition, time intervals, silences.
    pub(crate) suppressed: [AtomicU64; 4],
    /// Alerts that came, firing and resolved.
    pub(crate) received: [AtomicU64; 2],
    /// Alerts that were refused.
    pub(crate) invalid: AtomicU64,
    /// When the configuration in force was loaded, ms since 1970.
    pub(crate) loaded_ms: AtomicU64,
    /// Whether the last load failed.
    pub(crate) load_failed: AtomicU64,
    /// Rows that could not be kept.
    pub(crate) not_kept: AtomicU64,
}

/// Reasons in the order of [`Numbers::suppressed`].
pub(crate) const SUPPRESSED: [&str; 4] = [
    "inhibition",
    "mute_time_interval",
    "active_time_interval",
    "silence",
];

impl Numbers {
    /// A notification was delivered.
    pub(crate) fn sent(&self, kind: &'static str) {
        self.kinds.lock().entry(kind).or_default().sent += 1;
    }

    /// A notification was given up.
    pub(crate) fn failed(&self, kind: &'static str, class: Class) {
        let i = Class::ALL.iter().position(|c| *c == class).unwrap_or(0);
        let mut kinds = self.kinds.lock();
        if let Some(n) = kinds.entry(kind).or_default().failed.get_mut(i) {
            *n += 1;
        }
    }

    /// One attempt was made.
    pub(crate) fn attempt(&self, kind: &'static str, ok: bool, seconds: f64) {
        let mut kinds = self.kinds.lock();
        let k = kinds.entry(kind).or_default();
        k.requests += 1;
        k.requests_failed += u64::from(!ok);
        k.seconds += seconds;
    }
}

fn family(
    name: &str,
    help: &'static str,
    kind: Kind,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
) -> Family {
    let samples = samples.into_iter().map(|(labels, value)| Sample {
        suffix: Suffix::None,
        labels,
        value,
    });
    Family {
        name: name.into(),
        help,
        kind,
        samples: samples.collect(),
    }
}

impl Collector for Alertmanager {
    fn collect(&self, out: &mut Vec<Family>) {
        let n = self.numbers();
        let kinds = n.kinds.lock().clone();
        let of = |k: &&'static str| kinds.get(*k).copied().unwrap_or_default();
        let label = |k: &&'static str| ("integration", (*k).to_owned());
        let per_kind = |value: fn(&PerKind) -> f64| {
            let each = KINDS.iter().map(|k| (vec![label(k)], value(&of(k))));
            each.collect::<Vec<_>>()
        };
        for (name, help, value) in [
            (
                "alertmanager_notifications_total",
                "The total number of attempted notifications.",
                (|k| (k.sent + k.failed.iter().sum::<u64>()) as f64) as fn(&PerKind) -> f64,
            ),
            (
                "alertmanager_notification_requests_total",
                "The total number of attempted notification requests.",
                |k| k.requests as f64,
            ),
            (
                "alertmanager_notification_requests_failed_total",
                "The total number of failed notification requests.",
                |k| k.requests_failed as f64,
            ),
        ] {
            out.push(family(name, help, Kind::Counter, per_kind(value)));
        }
        let failed = KINDS.iter().flat_map(|k| {
            let counts = of(k).failed;
            Class::ALL.into_iter().zip(counts).map(move |(c, n)| {
                let labels = vec![label(k), ("reason", c.word().to_owned())];
                (labels, n as f64)
            })
        });
        out.push(family(
            "alertmanager_notifications_failed_total",
            "The total number of failed notifications.",
            Kind::Counter,
            failed.collect(),
        ));
        let mut latency = Vec::new();
        for k in KINDS {
            let p = of(&k);
            for (suffix, value) in [(Suffix::Sum, p.seconds), (Suffix::Count, p.requests as f64)] {
                latency.push(Sample {
                    suffix,
                    labels: vec![label(&k)],
                    value,
                });
            }
        }
        out.push(Family {
            name: "alertmanager_notification_latency_seconds".into(),
            help: "The latency of notifications in seconds.",
            kind: Kind::Summary,
            samples: latency,
        });
        let suppressed = SUPPRESSED.iter().zip(&n.suppressed);
        out.push(family(
            "alertmanager_notifications_suppressed_total",
            "The total number of notifications suppressed for being silenced, inhibited, outside of active time intervals or within muted time intervals.",
            Kind::Counter,
            suppressed
                .map(|(r, n)| (vec![("reason", (*r).to_owned())], n.load(Relaxed) as f64))
                .collect(),
        ));
        let status = |s: &str| vec![("status", s.to_owned()), ("version", "v2".to_owned())];
        let received = ["firing", "resolved"].iter().zip(&n.received);
        out.push(family(
            "alertmanager_alerts_received_total",
            "The total number of received alerts.",
            Kind::Counter,
            received
                .map(|(s, n)| (status(s), n.load(Relaxed) as f64))
                .collect(),
        ));
        out.push(family(
            "alertmanager_alerts_invalid_total",
            "The total number of received alerts that were invalid.",
            Kind::Counter,
            vec![(
                vec![("version", "v2".to_owned())],
                n.invalid.load(Relaxed) as f64,
            )],
        ));
        self.collect_states(out);
    }
}

impl Alertmanager {
    /// What there is now.
    fn collect_states(&self, out: &mut Vec<Family>) {
        let n = self.numbers();
        let c = self.census();
        let state = |s: &str, v: usize| (vec![("state", s.to_owned())], v as f64);
        out.push(family(
            "alertmanager_alerts",
            "How many alerts by state.",
            Kind::Gauge,
            vec![
                state("active", c.alerts_active),
                state("suppressed", c.alerts_suppressed),
                state("unprocessed", 0),
            ],
        ));
        out.push(family(
            "alertmanager_silences",
            "How many silences by state.",
            Kind::Gauge,
            vec![
                state("active", c.silences[0]),
                state("expired", c.silences[2]),
                state("pending", c.silences[1]),
            ],
        ));
        let build = [
            ("branch", ""),
            ("goversion", "rust"),
            ("revision", ""),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        let build = build.map(|(n, v)| (n, v.to_owned())).to_vec();
        out.push(family(
            "alertmanager_build_info",
            "A metric with a constant '1' value labeled by version, revision, branch and toolchain.",
            Kind::Gauge,
            vec![(build, 1.0)],
        ));
        let loaded = n.loaded_ms.load(Relaxed) as f64 / 1000.0;
        let ok = n.load_failed.load(Relaxed) == 0;
        for (name, help, kind, value) in [
            (
                "alertmanager_dispatcher_aggregation_groups",
                "Number of active aggregation groups",
                Kind::Gauge,
                c.groups as f64,
            ),
            (
                "alertmanager_nflog_entries",
                "Number of entries of the notification log.",
                Kind::Gauge,
                c.log as f64,
            ),
            (
                "alertmanager_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
                Kind::Gauge,
                f64::from(u8::from(ok)),
            ),
            (
                "alertmanager_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
                Kind::Gauge,
                loaded,
            ),
            (
                "alertmanager_config_hash",
                "Hash of the currently loaded alertmanager configuration.",
                Kind::Gauge,
                // As many bits as a float holds exactly.
                (c.hash >> 16) as f64,
            ),
            (
                "alertmanager_receivers",
                "Number of configured receivers.",
                Kind::Gauge,
                c.receivers as f64,
            ),
            (
                "alertmanager_integrations",
                "Number of configured integrations.",
                Kind::Gauge,
                c.integrations as f64,
            ),
            (
                "sextant_alerting_unusable_integrations",
                "Integrations and defaults of the configuration in force that cannot be used.",
                Kind::Gauge,
                c.unusable as f64,
            ),
            (
                "sextant_alerting_state_failures_total",
                "Changes of silences and of the notification log that could not be kept.",
                Kind::Counter,
                n.not_kept.load(Relaxed) as f64,
            ),
            (
                "alertmanager_cluster_enabled",
                "Indicates whether the clustering is enabled or not.",
                Kind::Gauge,
                f64::from(u8::from(self.cluster.is_some())),
            ),
        ] {
            out.push(Family::single(name, help, kind, value));
        }
        if let Some(cluster) = &self.cluster {
            cluster.collect(out);
        }
    }
}
