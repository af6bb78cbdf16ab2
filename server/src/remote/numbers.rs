//! What destinations count, and the families that show it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::batch::Counts;
use crate::telemetry::{Collector, Family, Histogram, Kind, Sample, Suffix};

/// Bucket bounds of request times, in seconds.
const SECONDS: [f64; 9] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0];

/// Numbers of one destination.
#[derive(Debug)]
pub(super) struct Numbers {
    sent: [AtomicU64; 3],
    failed: [AtomicU64; 3],
    retried: [AtomicU64; 3],
    /// Points of series that a rule dropped.
    pub(super) dropped_by_rule: AtomicU64,
    /// Points older than the age limit.
    pub(super) dropped_too_old: AtomicU64,
    /// Bytes of accepted requests, compressed.
    pub(super) bytes: AtomicU64,
    /// Time of requests.
    pub(super) seconds: Histogram,
    /// Newest sample that was accepted, ms.
    highest_sent: AtomicI64,
    /// Newest sample that was found in the store, ms.
    highest_seen: AtomicI64,
    /// Requests at once.
    pub(super) shards: AtomicU64,
    /// Most of them.
    pub(super) shards_max: AtomicU64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            sent: Default::default(),
            failed: Default::default(),
            retried: Default::default(),
            dropped_by_rule: AtomicU64::default(),
            dropped_too_old: AtomicU64::default(),
            bytes: AtomicU64::default(),
            seconds: Histogram::new(&SECONDS),
            highest_sent: AtomicI64::default(),
            highest_seen: AtomicI64::default(),
            shards: AtomicU64::default(),
            shards_max: AtomicU64::default(),
        }
    }
}

fn add(cells: &[AtomicU64; 3], c: Counts) {
    for (cell, n) in cells.iter().zip([c.samples, c.histograms, c.exemplars]) {
        cell.fetch_add(n, Relaxed);
    }
}

impl Numbers {
    /// Counts an accepted request.
    pub(super) fn sent(&self, c: Counts, newest: i64, bytes: usize) {
        add(&self.sent, c);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.highest_sent.fetch_max(newest, Relaxed);
    }

    /// Counts a request that was refused for good.
    pub(super) fn failed(&self, c: Counts) {
        add(&self.failed, c);
    }

    /// Counts a request that is sent once more.
    pub(super) fn retried(&self, c: Counts) {
        add(&self.retried, c);
    }

    /// Notes a sample of the store.
    pub(super) fn seen(&self, t: i64) {
        self.highest_seen.fetch_max(t, Relaxed);
    }
}

/// Numbers of all destinations, by name and URL (without user information).
#[derive(Debug, Default)]
pub(super) struct Board {
    destinations: Mutex<BTreeMap<(String, String), Arc<Numbers>>>,
    refused: AtomicU64,
}

impl Board {
    /// The numbers of a destination; they go on where an earlier one of the same name ended.
    pub(super) fn of(&self, name: &str, url: &str) -> Arc<Numbers> {
        let key = (name.to_owned(), url.to_owned());
        Arc::clone(self.destinations.lock().entry(key).or_default())
    }

    /// Notes how many configured destinations are not sent to.
    pub(super) fn refuse(&self, n: usize) {
        self.refused.store(n as u64, Relaxed);
    }

    /// Shows no other destinations than these.
    pub(super) fn keep(&self, names: &[(String, String)]) {
        self.destinations.lock().retain(|k, _| names.contains(k));
    }
}

/// Name, help, kind and value of a number.
type Row = (&'static str, &'static str, Kind, fn(&Numbers) -> f64);

fn of(cell: &AtomicU64) -> f64 {
    cell.load(Relaxed) as f64
}

fn seconds(cell: &AtomicI64) -> f64 {
    cell.load(Relaxed) as f64 / 1000.0
}

const ROWS: &[Row] = &[
    (
        "prometheus_remote_storage_samples_total",
        "Total number of samples sent to remote storage.",
        Kind::Counter,
        |n| of(&n.sent[0]),
    ),
    (
        "prometheus_remote_storage_histograms_total",
        "Total number of histograms sent to remote storage.",
        Kind::Counter,
        |n| of(&n.sent[1]),
    ),
    (
        "prometheus_remote_storage_exemplars_total",
        "Total number of exemplars sent to remote storage.",
        Kind::Counter,
        |n| of(&n.sent[2]),
    ),
    (
        "prometheus_remote_storage_samples_failed_total",
        "Total number of samples which failed on send to remote storage, non-recoverable errors.",
        Kind::Counter,
        |n| of(&n.failed[0]),
    ),
    (
        "prometheus_remote_storage_histograms_failed_total",
        "Total number of histograms which failed on send to remote storage, non-recoverable errors.",
        Kind::Counter,
        |n| of(&n.failed[1]),
    ),
    (
        "prometheus_remote_storage_exemplars_failed_total",
        "Total number of exemplars which failed on send to remote storage, non-recoverable errors.",
        Kind::Counter,
        |n| of(&n.failed[2]),
    ),
    (
        "prometheus_remote_storage_samples_retried_total",
        "Total number of samples which failed on send to remote storage but were retried because the send error was recoverable.",
        Kind::Counter,
        |n| of(&n.retried[0]),
    ),
    (
        "prometheus_remote_storage_histograms_retried_total",
        "Total number of histograms which failed on send to remote storage but were retried because the send error was recoverable.",
        Kind::Counter,
        |n| of(&n.retried[1]),
    ),
    (
        "prometheus_remote_storage_exemplars_retried_total",
        "Total number of exemplars which failed on send to remote storage but were retried because the send error was recoverable.",
        Kind::Counter,
        |n| of(&n.retried[2]),
    ),
    (
        "prometheus_remote_storage_bytes_total",
        "The total number of bytes of data (not metadata) sent by the queue after compression.",
        Kind::Counter,
        |n| of(&n.bytes),
    ),
    (
        "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
        "Timestamp of the newest sample successfully sent by this queue, in seconds since epoch.",
        Kind::Gauge,
        |n| seconds(&n.highest_sent),
    ),
    (
        "prometheus_remote_storage_shards",
        "The number of shards used for parallel sending to the remote storage.",
        Kind::Gauge,
        |n| of(&n.shards),
    ),
    (
        "prometheus_remote_storage_shards_max",
        "The maximum number of shards that the queue is allowed to run.",
        Kind::Gauge,
        |n| of(&n.shards_max),
    ),
];

impl Collector for Board {
    fn collect(&self, out: &mut Vec<Family>) {
        let board = self.destinations.lock();
        if board.is_empty() {
            return;
        }
        let labels = |(name, url): &(String, String)| {
            vec![("remote_name", name.clone()), ("url", url.clone())]
        };
        for (name, help, kind, value) in ROWS {
            out.push(Family {
                name: (*name).to_owned(),
                help,
                kind: *kind,
                samples: board
                    .iter()
                    .map(|(key, n)| Sample {
                        suffix: Suffix::None,
                        labels: labels(key),
                        value: value(n),
                    })
                    .collect(),
            });
        }
        let (mut dropped, mut times) = (Vec::new(), Vec::new());
        for (key, n) in board.iter() {
            for (reason, cell) in [
                ("dropped_series", &n.dropped_by_rule),
                ("too_old", &n.dropped_too_old),
            ] {
                let mut labels = labels(key);
                labels.insert(0, ("reason", reason.to_owned()));
                dropped.push(Sample {
                    suffix: Suffix::None,
                    labels,
                    value: of(cell),
                });
            }
            n.seconds.samples(&labels(key), &mut times);
        }
        out.push(Family {
            name: "prometheus_remote_storage_samples_dropped_total".into(),
            help: "Total number of samples which were dropped after being read from the store before being sent via remote write, either via relabelling or for their age.",
            kind: Kind::Counter,
            samples: dropped,
        });
        out.push(Family {
            name: "prometheus_remote_storage_sent_batch_duration_seconds".into(),
            help: "Duration of send calls to the remote storage.",
            kind: Kind::Histogram,
            samples: times,
        });
        out.push(Family::single(
            "sextant_remote_write_destinations_refused",
            "Configured remote write destinations that are not sent to, because their authentication is not supported.",
            Kind::Gauge,
            of(&self.refused),
        ));
        let seen = board.values().map(|n| seconds(&n.highest_seen));
        out.push(Family::single(
            "prometheus_remote_storage_highest_timestamp_in_seconds",
            "Highest timestamp that has come into the remote storage, in seconds since epoch.",
            Kind::Gauge,
            seen.fold(0.0, f64::max),
        ));
    }
}
