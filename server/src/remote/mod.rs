//! Remote write, the sending side: every sample of the store is copied to other servers.
//!
//! Owns: one queue per destination (what was sent, what comes next), relabelling on the way out,
//! batches, retries, what is remembered over a restart.
//! Knows nothing of: where samples come from, chunks and blocks, who asks for the numbers.
//!
//! The store itself is the queue. A destination remembers a cursor (all up to there is sent) and,
//! per series, the newest sample that was sent. It asks the store for what is newer, window after
//! window, so an outage of the other side costs neither memory nor disk here: a destination that
//! was away for a day is served from blocks.
//!
//! Invariants
//! - RMT1  The cursor passes a window only when each of its samples was taken by the other side,
//!   refused for good, or dropped by a rule; each of these is counted.
//! - RMT2  Samples of one series leave in the order of their timestamps.
//! - RMT3  Memory is bounded by slices of a window ([`gather`]) plus one mark per active series.
//! - RMT4  A reload does not touch destinations that did not change.
//! - RMT5  URLs and credentials are never logged; a destination is known by its name and its URL
//!   without user information.
//!
//! Limits, known and accepted
//! - A sample that is stored out of order, behind a newer one of its series that was sent already,
//!   is not sent. Samples that are late but in order are: each pass looks a little further back
//!   than the cursor, and now and then much further.
//! - After a crash (not after a stop) samples that were sent since the cursor was last written are
//!   sent again; receivers take exact repetitions of the newest sample as success.
//! - Samples are sent once they are visible, which may be before they are on our own disk.
//! - Metadata is not sent (`metadata_config`); `round_robin_dns` and `capacity` have no effect.
//!
//! Read next: `service.rs` (what runs), `queue.rs` (the life of one destination), `gather.rs`
//! (what is to be sent), `send.rs` (one request and its outcome), `place.rs` (state on disk).

mod batch;
mod gather;
mod numbers;
mod place;
mod queue;
mod send;
mod service;
#[cfg(test)]
mod tests;

pub(crate) use service::Service;

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
