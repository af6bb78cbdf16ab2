//! What black-box tests share: the real binary in its own directory, a client that shows answers
//! as they are on the wire, a target to scrape, the shared corpora, and waiting for conditions.
//!
//! Tests wait for what they want to see, never for a time: a loaded machine is slow, not wrong.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod client;
pub(crate) mod exposed;
pub(crate) mod hook;
pub(crate) mod http;
pub(crate) mod kubernetes;
pub(crate) mod mail;
pub(crate) mod process;
pub(crate) mod shared;
pub(crate) mod target;

use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use client::Answer;
#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use process::{Server, TempDir, now_ms};

/// How long anything may take that a test waits for; only a failing test gets there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Calls `probe` until it gives something. Panics with `what` after [`PATIENCE`].
pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain for {what}",
            PATIENCE.as_secs()
        );
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// Waits until `done`.
pub(crate) fn wait(what: &str, mut done: impl FnMut() -> bool) {
    until(what, || done().then_some(()));
}
