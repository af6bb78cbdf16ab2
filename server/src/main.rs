//! Sextant: metrics, logs, alerts and dashboards in one binary.

mod config;

fn main() {}
