//! Recording and alerting rules: evaluated on a schedule, stored, sent on.
//!
//! Owns: groups and their state, the schedule, the queues of alerts to Alertmanagers.
//! Knows nothing of: HTTP interfaces, what an Alertmanager does with an alert.
//!
//! Invariants
//! - RU1  A group is evaluated at times of its own grid, never twice at one time, and never side by
//!   side with itself.
//! - RU2  A reload leaves groups alone that did not change; alerts survive it.
//! - RU3  A receiver that hangs costs its own queue, nobody else's.
//!
//! Read next: `group.rs`, `rule.rs`, `alert.rs`, `service.rs`.

pub(crate) mod alert;
mod expression;
pub(crate) mod group;
mod live;
mod memory;
mod numbers;
pub(crate) mod rule;
mod schedule;
mod send;
mod service;
#[cfg(test)]
mod tests;
mod view;
mod world;

pub(crate) use expression::Language;
pub(crate) use live::{Live, Settings};
pub(crate) use rule::Restoring;
pub(crate) use send::{Links, Local, SendOptions, Sent};
pub(crate) use service::{RuleOptions, Service};
pub(crate) use view::{GroupView, RuleView};
pub(crate) use world::{Lines, Metrics};
