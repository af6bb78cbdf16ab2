//! What a tail has collected and not sent yet.
//!
//! Owns: how much that may be, and what is told of the rest.
//! Knows nothing of: where entries come from, sockets.
//!
//! Invariants
//! - OB1  It holds at most [`ENTRIES_MAX`] entries of [`BYTES_MAX`] bytes and [`DROPPED_MAX`] notes
//!   of dropped ones, however slow the reader is.

use std::collections::HashMap;
use std::time::Duration;

use ::query::logql::eval::{OutEntry, OutStream};
use engine::model::Labels;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Entries that wait at most.
const ENTRIES_MAX: usize = 10_000;
/// Bytes of lines and labels that wait at most: a few messages more than any sender bursts.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Dropped entries that a message names at most; the original names as many.
const DROPPED_MAX: usize = 1000;

/// An entry that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) labels: Labels,
    /// ns.
    pub(super) time: i64,
}

#[derive(Debug, Default)]
struct Held {
    streams: Vec<OutStream>,
    /// Place of each stream.
    places: HashMap<Labels, usize, foldhash::fast::RandomState>,
    entries: usize,
    bytes: usize,
    dropped: Vec<Dropped>,
    /// When the first of them came.
    since: Option<Instant>,
}

/// Entries on their way to one client.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    held: Mutex<Held>,
    news: Notify,
}

impl Held {
    fn note(&mut self, labels: &Labels, time: i64) {
        if self.dropped.len() < DROPPED_MAX {
            self.dropped.push(Dropped {
                labels: labels.clone(),
                time,
            });
        }
    }

    fn put(&mut self, labels: &Labels, e: OutEntry) {
        let place = self.places.get(labels).copied();
        let own = place.map_or(labels.as_bytes().len(), |_| 0);
        let bytes = e.line.len() + size_of::<OutEntry>() + own;
        if self.entries >= ENTRIES_MAX || self.bytes.saturating_add(bytes) > BYTES_MAX {
            return self.note(labels, e.time);
        }
        self.entries += 1;
        self.bytes += bytes;
        match place.and_then(|i| self.streams.get_mut(i)) {
            Some(s) => s.entries.push(e),
            None => {
                self.places.insert(labels.clone(), self.streams.len());
                self.streams.push(OutStream {
                    labels: labels.clone(),
                    entries: vec![e],
                });
            }
        }
    }
}

impl Outbox {
    /// Adds entries of a stream; those that do not fit are noted as dropped (OB1).
    pub(super) fn put(&self, labels: &Labels, entries: impl Iterator<Item = OutEntry>) {
        let mut held = self.held.lock();
        let mut any = false;
        for e in entries {
            held.put(labels, e);
            any = true;
        }
        self.tell(&mut held, any);
    }

    /// Notes entries that nobody has looked at.
    pub(super) fn drop_unseen(&self, labels: Labels, time: i64) {
        let mut held = self.held.lock();
        held.note(&labels, time);
        self.tell(&mut held, true);
    }

    fn tell(&self, held: &mut Held, any: bool) {
        if any {
            held.since.get_or_insert_with(Instant::now);
            self.news.notify_one();
        }
    }

    /// Returns `delay` after the first entry has come.
    pub(super) async fn ready(&self, delay: Duration) {
        loop {
            let since = self.held.lock().since;
            match since {
                Some(at) => return tokio::time::sleep_until(at + delay).await,
                None => self.news.notified().await,
            }
        }
    }

    /// Everything that waits: streams with their entries by time, and what was dropped.
    pub(super) fn take(&self) -> (Vec<OutStream>, Vec<Dropped>) {
        let mut held = std::mem::take(&mut *self.held.lock());
        for s in &mut held.streams {
            s.entries.sort_by_key(|e| e.time);
        }
        (held.streams, held.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(time: i64, bytes: usize) -> OutEntry {
        OutEntry {
            time,
            line: "x".repeat(bytes).into(),
            metadata: Labels::empty(),
            parsed: Labels::empty(),
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_labels() {
        let (a, b) = (
            Labels::from_pairs([("a", "1")]),
            Labels::from_pairs([("b", "2")]),
        );
        let o = Outbox::default();
        let many = i64::try_from(ENTRIES_MAX).unwrap();
        o.put(&a, (0..many).rev().map(|t| entry(t, 1)));
        o.put(&b, (0..3000).map(|t| entry(t, 1)));
        let (streams, dropped) = o.take();
        assert_eq!(streams.len(), 1);
        assert!(streams[0].entries.is_sorted_by_key(|e| e.time));
        // OB1: the notes are bounded too.
        assert_eq!(dropped.len(), DROPPED_MAX);
        assert_eq!(
            dropped[7],
            Dropped {
                labels: b.clone(),
                time: 7
            }
        );
        // There is room again.
        o.put(&b, std::iter::once(entry(1, BYTES_MAX)));
        o.put(&b, std::iter::once(entry(2, BYTES_MAX / 2)));
        let (streams, dropped) = o.take();
        assert_eq!(streams[0].entries, [entry(2, BYTES_MAX / 2)]);
        assert_eq!(dropped, [Dropped { labels: b, time: 1 }]);
        assert_eq!(o.take(), (Vec::new(), Vec::new()));
    }
}
