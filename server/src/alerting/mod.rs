//! Alerts to notifications: who is told about which alert, and when.
//!
//! Owns: the route tree, groups and their ticks, inhibition, silences, time intervals, the
//! decision whether to tell again.
//! Knows nothing of: HTTP, rules, how a message looks. Everything here is a state machine: the
//! clock is an argument, nothing waits.
//!
//! Read next: `alert.rs`, `route.rs`, `dispatch.rs`, `mute.rs`, `log.rs`.

mod alert;
mod dispatch;
mod inhibit;
mod log;
mod mute;
mod route;
mod silence;

pub(crate) use route::Route;
