//! What the server says about itself: metrics and log lines.
//!
//! Owns: the registry of named metrics, their text form, the log line format.
//! Knows nothing of: who counts. Rooms count through [`Metrics`]; names are an enum, so that a
//! name cannot be invented at the place of use and label values come from small fixed sets.

mod exposition;
pub(crate) mod log;
mod memory;
mod process;
mod registry;

pub(crate) use exposition::{Family, Kind, Sample, Suffix, write_text};
pub(crate) use memory::thread_bytes;
pub(crate) use process::process_families;
pub(crate) use registry::{Collector, Counter, Gauge, Histogram, HttpHandler, Metrics};
