//! Configuration: files of text to checked values.
//!
//! Owns: the YAML reader and writer (`yaml.rs`, the only file that names the YAML library), the
//! shared value types (durations, sizes, secrets, URLs), the documents of the family
//! (`prometheus/`,
//! `alertmanager/`, `web.rs`) and the table of limits.
//! Knows nothing of: sockets, the stores, what the values are used for.
//!
//! Invariants
//! - CFG1  An unknown field is an error with line and column.
//! - CFG2  A [`Secret`] never reaches a log line, an error text or a rendered document.
//! - CFG3  What is absent or `null` has its default; a loaded document holds every default.
//!
//! Read next: `fields.rs` (how a document's fields are declared), `prometheus/mod.rs`.

#![allow(
    dead_code,
    unused_imports,
    reason = "a document is read completely, also where nothing uses a field yet"
)]

pub(crate) mod alertmanager;
mod fields;
pub(crate) mod limits;
pub(crate) mod loki;
pub(crate) mod postgres_exporter;
pub(crate) mod postgres_queries;
pub(crate) mod prometheus;
pub(crate) mod promtail;
mod secret;
#[cfg(test)]
mod tests;
mod value;
pub(crate) mod web;
pub(crate) mod yaml;

pub(crate) use fields::Check;
pub(crate) use secret::Secret;
pub(crate) use value::{ByteSize, ConfigUrl, LabelMap, MultiMap, PromDuration};
pub(crate) use yaml::{ConfigError, parse as parse_yaml, render as render_yaml};
