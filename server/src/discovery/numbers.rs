//! What discovery counts about itself, under the family's names.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::telemetry::{Collector, Family, Kind, Sample, Suffix};

/// Kinds whose failures have a family of their own, with its name and help.
const OF_KINDS: [(&str, &str, &str); 5] = [
    (
        "consul",
        "prometheus_sd_consul_rpc_failures_total",
        "The number of Consul RPC call failures.",
    ),
    (
        "dns",
        "prometheus_sd_dns_lookup_failures_total",
        "The number of DNS-SD lookup failures.",
    ),
    (
        "file",
        "prometheus_sd_file_read_errors_total",
        "The number of File-SD read errors.",
    ),
    (
        "http",
        "prometheus_sd_http_failures_total",
        "Number of HTTP service discovery refresh failures.",
    ),
    (
        "kubernetes",
        "prometheus_sd_kubernetes_failures_total",
        "The number of failed WATCH/LIST requests.",
    ),
];
/// Kinds that ask again and again, rather than wait for changes.
const REFRESHED: [&str; 3] = ["dns", "docker", "http"];

/// Roles of Kubernetes whose events are counted, and what happens to their objects.
const ROLES: [&str; 6] = [
    "endpointslice",
    "endpoints",
    "node",
    "pod",
    "service",
    "ingress",
];
const EVENTS: [&str; 3] = ["add", "delete", "update"];

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Failures of all jobs, by kind and job.
    failures: Mutex<BTreeMap<(&'static str, Arc<str>), u64>>,
    /// Events of Kubernetes, by role and what happened.
    events: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Numbers {
    /// A kind runs for `job`: from now on its number is shown, even while it is nothing.
    pub(super) fn open(&self, kind: &'static str, job: &Arc<str>) {
        let mut all = self.failures.lock();
        all.entry((kind, Arc::clone(job))).or_default();
    }

    /// Counts an attempt that failed.
    pub(super) fn failed(&self, kind: &'static str, job: &Arc<str>) {
        let mut all = self.failures.lock();
        *all.entry((kind, Arc::clone(job))).or_default() += 1;
    }

    /// Counts what happened to objects of a role of Kubernetes.
    pub(super) fn events(
        &self,
        all: impl IntoIterator<Item = ((&'static str, &'static str), u64)>,
    ) {
        let mut events = self.events.lock();
        for (of, n) in all {
            *events.entry(of).or_default() += n;
        }
    }

    /// Jobs that are no more are not shown, unless they failed: what was counted stays counted.
    pub(super) fn close(&self, job: &str) {
        let mut all = self.failures.lock();
        all.retain(|(_, j), n| **j != *job || *n > 0);
    }
}

impl Collector for Numbers {
    fn collect(&self, out: &mut Vec<Family>) {
        let events = self.events.lock();
        let each = ROLES.iter().flat_map(|r| EVENTS.map(|e| (*r, e)));
        out.push(Family {
            name: "prometheus_sd_kubernetes_events_total".to_owned(),
            help: "The number of Kubernetes events handled.",
            kind: Kind::Counter,
            samples: each
                .map(|(role, event)| Sample {
                    suffix: Suffix::None,
                    labels: vec![("event", event.to_owned()), ("role", role.to_owned())],
                    value: events.get(&(role, event)).map_or(0.0, |n| *n as f64),
                })
                .collect(),
        });
        let all = self.failures.lock();
        for (kind, name, help) in OF_KINDS {
            let own = all.iter().filter(|((k, _), _)| *k == kind);
            let sum: u64 = own.map(|(_, n)| n).sum();
            out.push(Family::single(name, help, Kind::Counter, sum as f64));
        }
        let refreshed = all.iter().filter(|((k, _), _)| REFRESHED.contains(k));
        out.push(Family {
            name: "prometheus_sd_refresh_failures_total".to_owned(),
            help: "Number of refresh failures for the given SD mechanism.",
            kind: Kind::Counter,
            samples: refreshed
                .map(|((kind, job), n)| Sample {
                    suffix: Suffix::None,
                    labels: vec![
                        ("config", job.to_string()),
                        ("mechanism", (*kind).to_owned()),
                    ],
                    value: *n as f64,
                })
                .collect(),
        });
    }
}
