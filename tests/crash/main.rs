//! The real binary under the worst: killed at random times, on a full disk.
//!
//! Writers send numbered samples and lines (value = number, time = number) and note outside the
//! process up to which number they were acknowledged. Whatever happens: nothing acknowledged may be missing,
//! nothing unsent may be there, nothing twice.

#[path = "../support/mod.rs"]
mod support;

mod full_disk;
mod harness;
mod kill;
mod lines;
mod samples;
