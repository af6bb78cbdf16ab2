//! What comes in through push interfaces, checked and enriched on its way to the store.
//!
//! Owns: the encodings of pushes, limits of tenants on writes, discovery of service names and
//! levels, live tails.
//! Knows nothing of: routes, answers, queries.
//!
//! Invariants
//! - ING1  What is refused is said with the reason; what is valid in the same request is stored.
//! - ING2  Memory that senders can make grow (rates, newest times, tails) is bounded.

mod level;
pub(crate) mod logs;
mod rate;
pub(crate) mod received;

pub(crate) use logs::{LogService, News, Overrides, Pushed, Refused};
