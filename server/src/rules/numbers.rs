//! What evaluations and sendings count, under the names of the family.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::group::Numbers;
use crate::telemetry::{Collector, Family, Kind, Sample, Suffix};

/// Counters of a group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GroupNumbers {
    pub(super) interval: f64,
    pub(super) rules: u64,
    pub(super) evaluations: u64,
    pub(super) failures: u64,
    pub(super) iterations: u64,
    pub(super) missed: u64,
    pub(super) last: Option<(i64, Numbers)>,
}

/// Counters of a receiver.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReceiverNumbers {
    pub(super) sent: u64,
    pub(super) errors: u64,
    pub(super) dropped: u64,
    pub(super) queued: u64,
    pub(super) capacity: u64,
    /// Seconds of all requests, and their number.
    pub(super) latency: (f64, u64),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// What all names begin with.
    prefix: &'static str,
    /// By `file;group`.
    pub(super) groups: Mutex<BTreeMap<String, GroupNumbers>>,
    /// By URL.
    pub(super) receivers: Mutex<BTreeMap<String, ReceiverNumbers>>,
    /// Seconds of all evaluations of rules, and their number.
    pub(super) evaluations: Mutex<(f64, u64)>,
}

impl Board {
    /// Nothing counted yet; all names will begin with `prefix`.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            ..Self::default()
        }
    }
}

fn family<'n, N: 'n>(
    out: &mut Vec<Family>,
    (name, help, kind): (&str, &'static str, Kind),
    label: &'static str,
    all: impl IntoIterator<Item = (&'n String, &'n N)>,
    value: impl Fn(&N) -> f64,
) {
    let samples = all.into_iter().map(|(key, n)| Sample {
        suffix: Suffix::None,
        labels: vec![(label, key.clone())],
        value: value(n),
    });
    out.push(Family {
        name: name.to_owned(),
        help,
        kind,
        samples: samples.collect(),
    });
}

impl Collector for Board {
    fn collect(&self, out: &mut Vec<Family>) {
        let first = out.len();
        self.families(out);
        for f in out.iter_mut().skip(first) {
            f.name.insert_str(0, self.prefix);
        }
    }
}

impl Board {
    fn families(&self, out: &mut Vec<Family>) {
        let groups = self.groups.lock().clone();
        type OfGroup = fn(&GroupNumbers) -> f64;
        let of_groups: [(&str, &'static str, Kind, OfGroup); 9] = [
            (
                "prometheus_rule_evaluations_total",
                "The total number of rule evaluations.",
                Kind::Counter,
                |n| n.evaluations as f64,
            ),
            (
                "prometheus_rule_evaluation_failures_total",
                "The total number of rule evaluation failures.",
                Kind::Counter,
                |n| n.failures as f64,
            ),
            (
                "prometheus_rule_group_iterations_total",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
                Kind::Counter,
                |n| (n.iterations + n.missed) as f64,
            ),
            (
                "prometheus_rule_group_iterations_missed_total",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
                Kind::Counter,
                |n| n.missed as f64,
            ),
            (
                "prometheus_rule_group_interval_seconds",
                "The interval of a rule group.",
                Kind::Gauge,
                |n| n.interval,
            ),
            (
                "prometheus_rule_group_rules",
                "The number of rules.",
                Kind::Gauge,
                |n| n.rules as f64,
            ),
            (
                "prometheus_rule_group_last_duration_seconds",
                "The duration of the last rule group evaluation.",
                Kind::Gauge,
                |n| n.last.map_or(0.0, |l| l.1.seconds),
            ),
            (
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "The timestamp of the last rule group evaluation in seconds.",
                Kind::Gauge,
                |n| n.last.map_or(0.0, |l| l.0 as f64 / 1000.0),
            ),
            (
                "prometheus_rule_group_last_evaluation_samples",
                "The number of samples returned during the last rule group evaluation.",
                Kind::Gauge,
                |n| n.last.map_or(0.0, |l| l.1.samples as f64),
            ),
        ];
        for (name, help, kind, value) in of_groups {
            family(out, (name, help, kind), "rule_group", &groups, value);
        }
        let (seconds, count) = *self.evaluations.lock();
        out.push(summary(
            "prometheus_rule_evaluation_duration_seconds",
            "The duration for a rule to execute.",
            [(Vec::new(), (seconds, count))],
        ));
        let receivers = self.receivers.lock().clone();
        type OfReceiver = fn(&ReceiverNumbers) -> f64;
        let of_receivers: [(&str, &'static str, Kind, OfReceiver); 4] = [
            (
                "prometheus_notifications_sent_total",
                "Total number of alerts sent.",
                Kind::Counter,
                |n| n.sent as f64,
            ),
            (
                "prometheus_notifications_errors_total",
                "Total number of sent alerts affected by errors.",
                Kind::Counter,
                |n| n.errors as f64,
            ),
            (
                "prometheus_notifications_dropped_total",
                "Total number of alerts dropped due to errors when sending to Alertmanager.",
                Kind::Counter,
                |n| n.dropped as f64,
            ),
            (
                "prometheus_notifications_queue_length",
                "The number of alert notifications in the queue.",
                Kind::Gauge,
                |n| n.queued as f64,
            ),
        ];
        for (name, help, kind, value) in of_receivers {
            family(out, (name, help, kind), "alertmanager", &receivers, value);
        }
        family(
            out,
            (
                "prometheus_notifications_queue_capacity",
                "The capacity of the alert notifications queue.",
                Kind::Gauge,
            ),
            "alertmanager",
            &receivers,
            |n: &ReceiverNumbers| n.capacity as f64,
        );
        out.push(summary(
            "prometheus_notifications_latency_seconds",
            "Latency quantiles for sending alert notifications.",
            receivers
                .iter()
                .map(|(url, n)| (vec![("alertmanager", url.clone())], n.latency)),
        ));
        out.push(Family::single(
            "prometheus_notifications_alertmanagers_discovered",
            "The number of alertmanagers discovered and active.",
            Kind::Gauge,
            receivers.len() as f64,
        ));
    }
}

fn summary(
    name: &str,
    help: &'static str,
    all: impl IntoIterator<Item = (Vec<(&'static str, String)>, (f64, u64))>,
) -> Family {
    let mut samples = Vec::new();
    for (labels, (sum, count)) in all {
        for (suffix, value) in [(Suffix::Sum, sum), (Suffix::Count, count as f64)] {
            samples.push(Sample {
                suffix,
                labels: labels.clone(),
                value,
            });
        }
    }
    Family {
        name: name.to_owned(),
        help,
        kind: Kind::Summary,
        samples,
    }
}
