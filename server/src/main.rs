//! Sextant: metrics, logs, alerts and dashboards in one binary.

mod config;
mod discovery;
mod http;
mod relabel;
mod scrape;
mod telemetry;

fn main() {}
