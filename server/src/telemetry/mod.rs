//! What the server says about itself: metrics and log lines.
//!
//! Owns: the registry of named metrics, the log line format.
//! Knows nothing of: who counts. Rooms count through [`Metrics`]; names are an enum, so that a
//! name cannot be invented at the place of use and label values come from small fixed sets.

mod exposition;
pub(crate) mod log;
mod memory;
mod registry;
mod runtime;

pub(crate) use exporters::emit::{Kind, Suffix};
pub(crate) use exposition::{Family, Sample, emit};
pub(crate) use memory::{let_go_of_text, thread_bytes};
pub(crate) use registry::{Collector, Counter, Gauge, Histogram, HttpHandler, Metrics};
pub(crate) use runtime::families as runtime_families;
