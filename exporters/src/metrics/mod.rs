//! Collectors of numbers, one room per watched thing.
//!
//! Owns: `node` (this host), `process` (this program), `redis`, `postgres`.
//! Knows nothing of: who asks, how often, over which protocol.

mod duration;
pub mod node;
pub mod postgres;
pub mod process;
pub mod redis;
mod unix;
