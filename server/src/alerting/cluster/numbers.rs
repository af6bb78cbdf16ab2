//! What is counted of other instances, under Alertmanager's names.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use jiff::SignedDuration;

use super::Cluster;
use crate::telemetry::{Family, Histogram, Kind, Sample, Suffix};

/// Bucket bounds of answers: at once, or after the wait that was asked for.
const PULL_SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Counters of a cluster.
#[derive(Debug)]
pub(super) struct ClusterNumbers {
    joined: AtomicU64,
    left: AtomicU64,
    updated: AtomicU64,
    reconnected: AtomicU64,
    not_reconnected: AtomicU64,
    refreshed: AtomicU64,
    not_refreshed: AtomicU64,
    pages: AtomicU64,
    answers: AtomicU64,
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    refused: AtomicU64,
    seconds: Histogram,
}

impl Default for ClusterNumbers {
    fn default() -> Self {
        Self {
            joined: AtomicU64::default(),
            left: AtomicU64::default(),
            updated: AtomicU64::default(),
            reconnected: AtomicU64::default(),
            not_reconnected: AtomicU64::default(),
            refreshed: AtomicU64::default(),
            not_refreshed: AtomicU64::default(),
            pages: AtomicU64::default(),
            answers: AtomicU64::default(),
            rows_in: AtomicU64::default(),
            rows_out: AtomicU64::default(),
            refused: AtomicU64::default(),
            seconds: Histogram::new(&PULL_SECONDS),
        }
    }
}

fn add(cell: &AtomicU64, n: usize) {
    cell.fetch_add(n as u64, Relaxed);
}

impl ClusterNumbers {
    /// A peer is there, perhaps once more.
    pub(super) fn joined(&self, again: bool) {
        add(&self.joined, 1);
        add(&self.reconnected, usize::from(again));
    }

    /// A peer is gone.
    pub(super) fn left(&self) {
        add(&self.left, 1);
    }

    /// Another instance answers for a peer.
    pub(super) fn updated(&self) {
        add(&self.updated, 1);
    }

    /// A peer that is gone was tried in vain.
    pub(super) fn not_reconnected(&self) {
        add(&self.not_reconnected, 1);
    }

    /// The addresses of a configured peer were looked up.
    pub(super) fn refreshed(&self, found: bool) {
        let cell = if found {
            &self.refreshed
        } else {
            &self.not_refreshed
        };
        add(cell, 1);
    }

    /// An answer came.
    pub(super) fn page(&self, rows: usize, took: SignedDuration) {
        add(&self.pages, 1);
        add(&self.rows_in, rows);
        self.seconds.observe(took.as_secs_f64());
    }

    /// An answer was given.
    pub(super) fn answered(&self, rows: usize) {
        add(&self.answers, 1);
        add(&self.rows_out, rows);
    }

    /// Rows of a peer that make no sense.
    pub(super) fn refused(&self, rows: usize) {
        add(&self.refused, rows);
    }
}

impl Cluster {
    /// Adds the families of the cluster.
    pub(crate) fn collect(&self, out: &mut Vec<Family>) {
        let members = self.members();
        let gone = {
            let peers = self.peers.lock();
            peers.values().filter(|p| !p.reached).count()
        };
        let n = &self.numbers;
        let load = |cell: &AtomicU64| cell.load(Relaxed) as f64;
        for (name, help, kind, value) in [
            (
                "members",
                "Number indicating current number of members in cluster.",
                Kind::Gauge,
                members.len() as f64,
            ),
            (
                "failed_peers",
                "Number indicating the current number of failed peers in the cluster.",
                Kind::Gauge,
                gone as f64,
            ),
            (
                "health_score",
                "Health score of the cluster. Lower values are better and zero means 'totally healthy'.",
                Kind::Gauge,
                gone as f64,
            ),
            (
                "peers_joined_total",
                "A counter of the number of peers that have joined.",
                Kind::Counter,
                load(&n.joined),
            ),
            (
                "peers_left_total",
                "A counter of the number of peers that have left.",
                Kind::Counter,
                load(&n.left),
            ),
            (
                "peers_update_total",
                "A counter of the number of peers that have updated metadata.",
                Kind::Counter,
                load(&n.updated),
            ),
            (
                "reconnections_total",
                "A counter of the number of cluster peer reconnections.",
                Kind::Counter,
                load(&n.reconnected),
            ),
            (
                "reconnections_failed_total",
                "A counter of the number of failed cluster peer reconnection attempts.",
                Kind::Counter,
                load(&n.not_reconnected),
            ),
            (
                "refresh_join_total",
                "A counter of the number of cluster peer joined via refresh.",
                Kind::Counter,
                load(&n.refreshed),
            ),
            (
                "refresh_join_failed_total",
                "A counter of the number of failed cluster peer joined via refresh.",
                Kind::Counter,
                load(&n.not_refreshed),
            ),
            (
                "refused_rows_total",
                "Silences and log entries of peers that make no sense here.",
                Kind::Counter,
                load(&n.refused),
            ),
        ] {
            let name = format!("alertmanager_cluster_{name}");
            out.push(Family::single(&name, help, kind, value));
        }
        let place = self.position() as f64;
        let help = "Position the Alertmanager instance believes it's in. The position determines a peer's behavior in the cluster.";
        out.push(Family::single(
            "alertmanager_peer_position",
            help,
            Kind::Gauge,
            place,
        ));
        let by_type = |full: f64, update: f64| {
            [("full_state", full), ("update", update)].map(|(kind, value)| Sample {
                suffix: Suffix::None,
                labels: vec![("msg_type", kind.to_owned())],
                value,
            })
        };
        for (name, help, samples) in [
            (
                "alertmanager_cluster_messages_received_total",
                "Total number of cluster messages received: answers, and rows in them.",
                by_type(load(&n.pages), load(&n.rows_in)),
            ),
            (
                "alertmanager_cluster_messages_sent_total",
                "Total number of cluster messages sent: answers, and rows in them.",
                by_type(load(&n.answers), load(&n.rows_out)),
            ),
        ] {
            out.push(Family {
                name: name.into(),
                help,
                kind: Kind::Counter,
                samples: samples.to_vec(),
            });
        }
        out.push(Family {
            name: "alertmanager_cluster_peer_info".into(),
            help: "A metric with a constant '1' value labeled by peer name.",
            kind: Kind::Gauge,
            samples: vec![Sample {
                suffix: Suffix::None,
                labels: vec![("peer", self.own.name.clone())],
                value: 1.0,
            }],
        });
        let mut seconds = Vec::new();
        n.seconds.samples(&[], &mut seconds);
        out.push(Family {
            name: "alertmanager_cluster_pings_seconds".into(),
            help: "Histogram of latencies of questions to peers, waiting for changes included.",
            kind: Kind::Histogram,
            samples: seconds,
        });
    }
}
