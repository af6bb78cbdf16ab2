//! Lines of logs: where they are read and what is done to them before they leave.
//!
//! Owns: entries, pipeline stages, reading files through rotation, positions, what other sources
//! send (syslog, the Docker engine, the journal).
//! Knows nothing of: where entries go, configuration files (a stage's settings come as a
//! [`settings::Node`]), HTTP, query languages (patterns, templates and selectors come in through
//! [`language::Language`]).
//!
//! Invariants
//! - LOG1  A line counts as done when everybody who must have it has it: until then its
//!   [`entry::Ticket`] is held, and the position of its source stays before it.
//! - LOG2  No source makes this room hold more than bounded memory: lines, blocks and label sets
//!   that wait are limited.
//!
//! Read next: `entry.rs`, `stages/mod.rs`, `tail/mod.rs`.

pub mod chance;
pub mod cursors;
pub mod docker;
pub mod entry;
pub mod journal;
pub mod language;
pub mod numbers;
pub mod positions;
mod progress;
pub mod settings;
pub mod stages;
pub mod syslog;
pub mod tail;
