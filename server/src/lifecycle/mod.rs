//! The life of the process: start, reload, stop.
//!
//! Owns: the runtime, the tasks (none outlives the stop), signals, the order in which rooms come
//! up and go down, what the service manager is told.
//! Knows nothing of: flags (it is given a [`Plan`]), what requests mean.
//!
//! Invariants
//! - LIFE1  The listener is up before data is read: health is answered, the rest says "not ready".
//! - LIFE2  A configuration that cannot be loaded leaves the one in force untouched.
//! - LIFE3  Stop: no new requests, requests in progress end, services end, then the store closes.
//!
//! Read next: `run.rs`.

mod agent;
mod alerting;
mod exporters;
mod plan;
mod reload;
mod run;
mod services;
mod signals;
mod store;
mod tasks;

pub(crate) use agent::{run_agent, run_stdin};
pub(crate) use exporters::run_exporter;
pub(crate) use plan::{
    AlertmanagerPlan, ClusterPlan, ConfigSource, ExporterPlan, Familiar, Plan, StorageOptions,
    WalSync,
};
pub(crate) use run::run;

use services::Services;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// As asked.
    Ok,
    /// A failure while it ran.
    Runtime,
    /// It could not start.
    Start,
    /// A flag cannot be used in this mode.
    WrongMode,
}

impl Exit {
    /// The process' exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Runtime => 1,
            Self::Start => 2,
            Self::WrongMode => 3,
        }
    }
}
