//! Real programs of the family as senders and readers: Debian's node_exporter, Prometheus and
//! syslog-ng, and client libraries of Python.
//!
//! `SEXTANT_E2E_SECONDS` sets how long they run (default 20).

#[path = "../support/mod.rs"]
mod support;

mod amtool;
mod logs;
mod otel;
mod programs;
mod prometheus;
mod shipper;
mod venv;
