//! The watched world to samples and log lines: collectors of hosts, PostgreSQL and Redis servers,
//! reading and transforming of logs.
//!
//! Owns: what a collector reads and which families it makes of it (`metrics`), the door through
//! which families leave (`emit`), sources and pipelines of lines (`logs`).
//! Knows nothing of: storage, queries, HTTP routes, configuration files.
//!
//! Invariants
//! - X1  A source that is missing, broken, slow or hostile costs the collector that reads it its
//!   samples and bounded time and memory; the others and the process go on.
//! - X2  Names, labels, help texts and values are those of the exporters that dashboards were
//!   written for.

pub mod emit;
pub mod logs;
pub mod metrics;
