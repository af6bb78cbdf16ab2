//! The real binary under the worst: killed at random times, on a full disk.
//!
//! Writers send numbered samples (value = number, time = number) and note outside the process up to
//! which number they were acknowledged. Whatever happens: nothing acknowledged may be missing,
//! nothing unsent may be there, nothing twice.

mod full_disk;
mod harness;
mod kill;
