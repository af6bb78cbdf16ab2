//! The HTTP interfaces of the family: requests to answers.
//!
//! Owns: routes, parameters, status codes, error texts, the JSON that is sent.
//! Knows nothing of: sockets, how the stores work, who keeps the tasks. It sees the facades of
//! the other rooms only; no room sees this one (lifecycle mounts its routes).
//!
//! Invariants
//! - API1  Every answer of `/api/v1` is the envelope, an empty 204, or plain text for what never
//!   reached a handler (unknown path, wrong method, not ready).
//! - API2  A large answer is written in pieces (`http::ChunkSource`), never built as a whole.
//!
//! Read next: `state.rs`, `call.rs`, `prometheus/mod.rs`.

pub(crate) mod alertmanager;
mod call;
pub(crate) mod encode;
mod error;
pub(crate) mod loki;
pub(crate) mod prometheus;
mod state;

pub(crate) use state::{Api, BuildInfo, Notification, Phase, ReloadRequest, ServerOptions};
