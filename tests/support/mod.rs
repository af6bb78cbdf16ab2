//! What black-box tests share: the real binary in its own directory, and a client that shows
//! answers as they are on the wire.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod client;
pub(crate) mod process;

pub(crate) use client::Answer;
pub(crate) use process::{Server, TempDir, now_ms};
