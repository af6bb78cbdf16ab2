//! Sextant: metrics, logs, alerts and dashboards in one binary.

mod config;
mod http;
mod telemetry;

fn main() {}
