//! Sextant: metrics, logs, alerts and dashboards in one binary.

mod agent;
mod alerting;
mod api;
mod cli;
mod config;
mod discovery;
mod exporting;
mod http;
mod ingest;
mod lifecycle;
mod relabel;
mod remote;
mod ruler;
mod rules;
mod scrape;
mod telemetry;

// Where the conformance corpora are.
#[cfg(test)]
#[path = "../../tests/support/shared.rs"]
mod shared;

/// Ingest and queries allocate and free from many threads: this allocator gives memory back and
/// keeps the resident size near what is used.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::main(std::env::args_os().collect())
}
