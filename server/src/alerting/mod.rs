//! Alerts to notifications: who is told about which alert, and when.
//!
//! Owns: the route tree, groups and their ticks, inhibition, silences, time intervals, the
//! decision whether to tell again.
//! Knows nothing of: HTTP, rules, how a message looks. Everything here is a state machine: the
//! clock is an argument, nothing waits.
//!
//! Read next: `alert.rs`, `route.rs`, `dispatch.rs`, `mute.rs`, `log.rs`.

#[allow(
    dead_code,
    reason = "state machines with tests; the service that drives them is not there yet"
)]
mod alert;
#[allow(
    dead_code,
    reason = "state machines with tests; the service that drives them is not there yet"
)]
mod dispatch;
#[allow(
    dead_code,
    reason = "state machines with tests; the service that drives them is not there yet"
)]
mod inhibit;
#[allow(
    dead_code,
    reason = "state machines with tests; the service that drives them is not there yet"
)]
mod log;
#[allow(
    dead_code,
    reason = "state machines with tests; the service that drives them is not there yet"
)]
mod mute;
mod route;
#[allow(
    dead_code,
    reason = "state machines with tests; the service that drives them is not there yet"
)]
mod silence;

pub(crate) use route::Route;
