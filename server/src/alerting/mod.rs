//! Alerts to notifications: who is told about which alert, and when.
//!
//! Owns: the route tree, groups and their ticks, inhibition, silences, time intervals, the
//! decision whether to tell again; the service that drives all of this, and the notifiers.
//! Knows nothing of: the HTTP interface, rules. What decides is a state machine each: the clock is
//! an argument there, nothing waits; only `service.rs`, `flush.rs` and `notify/` wait.
//!
//! Read next: `service.rs`, `flush.rs`, `alert.rs`, `route.rs`, `dispatch.rs`, `mute.rs`, `log.rs`.

mod alert;
mod alerts;
mod changes;
mod cluster;
mod dispatch;
mod flush;
mod force;
mod inhibit;
mod keep;
#[cfg(test)]
mod lives;
mod log;
mod mute;
mod notify;
mod numbers;
mod route;
mod service;
mod share;
mod silence;
mod template;

pub(crate) use alerts::PostedAlert;
pub(crate) use cluster::{
    Cluster, ClusterOptions, HttpLink, PATH as CLUSTER_PATH, PULL_BYTES_MAX, Pull, Refusal,
    advertised,
};
pub(crate) use force::{InForce, Source};
pub(crate) use keep::Keeper;
pub(crate) use route::Route;
pub(crate) use service::{AlertView, AlertingOptions, Alertmanager, WallClock};
pub(crate) use silence::{Condition, Silence, SilenceError, State};
pub(crate) use template::{Data, Templates};
