//! Alerts to notifications: who is told about which alert.
//!
//! Owns: the route tree.
//! Knows nothing of: HTTP, rules, how a message looks.
//!
//! Read next: `route.rs`.

mod route;

pub(crate) use route::Route;
