//! Real programs of the family as senders and readers: Debian's node_exporter and Prometheus.
//!
//! `SEXTANT_E2E_SECONDS` sets how long they run (default 20).

#[path = "../support/mod.rs"]
mod support;

mod otel;
mod programs;
mod prometheus;
