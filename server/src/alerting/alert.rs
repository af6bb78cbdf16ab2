//! An alert and what is known of it from several messages.
//!
//! Owns: identity, merging, when an alert is over.
//! Knows nothing of: groups, receivers, the clock (now is an argument).
//!
//! Invariants
//! - AL1  The identity depends on the labels alone: 64-bit FNV-1a over sorted names and values,
//!   each ended by the byte 0xff.
//! - AL2  The message that came last is the newer one, on whichever side of a merge it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

/// Names to values, without empty ones.
pub(crate) type LabelSet = BTreeMap<String, String>;

/// The identity of a label set (AL1).
pub(crate) fn fingerprint(labels: &LabelSet) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = OFFSET;
    for text in labels.iter().flat_map(|(n, v)| [n, v]) {
        for b in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(b)).wrapping_mul(PRIME);
        }
    }
    hash
}

/// What is known of an alert.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    /// Its labels.
    pub(crate) labels: Arc<LabelSet>,
    /// Texts of the newest message.
    pub(crate) annotations: Arc<LabelSet>,
    /// Where it comes from.
    pub(crate) generator_url: String,
    /// Since when it fires.
    pub(crate) starts_at: Timestamp,
    /// When it is over, unless it is sent again.
    pub(crate) ends_at: Timestamp,
    /// The sender gave no end.
    pub(crate) timeout: bool,
    /// When the newest message came.
    pub(crate) updated_at: Timestamp,
    /// See [`fingerprint`].
    pub(crate) fingerprint: u64,
}

impl Alert {
    /// Whether it is over.
    pub(crate) fn resolved(&self, now: Timestamp) -> bool {
        self.ends_at <= now
    }

    /// A label's value, empty when missing.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// This message added to what was known: overlapping periods become one, another period
    /// replaces the old one.
    pub(crate) fn merged(self, known: &Self, now: Timestamp) -> Self {
        if known.updated_at > self.updated_at {
            // AL2
            return known.clone().merged(&self, now);
        }
        let overlap = self.starts_at <= known.ends_at && known.starts_at <= self.ends_at;
        if !overlap {
            return self;
        }
        let mut out = self;
        out.starts_at = out.starts_at.min(known.starts_at);
        if !out.resolved(now) && !known.timeout && known.ends_at > out.ends_at {
            out.ends_at = known.ends_at;
            out.timeout = false;
        }
        out
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A time in seconds from an arbitrary moment.
    pub(in crate::alerting) fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + s).unwrap()
    }

    /// Labels from pairs.
    pub(in crate::alerting) fn labels(pairs: &[(&str, &str)]) -> LabelSet {
        let pairs = pairs.iter();
        pairs
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    /// An alert that lasts from `from` to `to`.
    pub(in crate::alerting) fn alert(pairs: &[(&str, &str)], from: i64, to: i64) -> Alert {
        let labels = labels(pairs);
        Alert {
            fingerprint: fingerprint(&labels),
            labels: Arc::new(labels),
            annotations: Arc::default(),
            generator_url: String::new(),
            starts_at: at(from),
            ends_at: at(to),
            timeout: false,
            updated_at: at(from),
        }
    }

    #[test]
    fn identities_are_the_familys() {
        // Recorded from the reference.
        for (pairs, want) in [
            (&[("alertname", "D")][..], "d2bcefc389d6b4a2"),
            (&[("alertname", "S"), ("service", "db")], "0709f347862ee574"),
            (
                &[("alertname", "L"), ("severity", "low")],
                "ea11fbe3f66d61b1",
            ),
            (
                &[
                    ("alertname", "A"),
                    ("service", "web"),
                    ("severity", "critical"),
                ],
                "c39a34c2f61dd642",
            ),
        ] {
            assert_eq!(format!("{:016x}", fingerprint(&labels(pairs))), want);
        }
    }

    #[test]
    fn overlapping_periods_become_one_and_others_replace() {
        let old = alert(&[("a", "b")], 0, 100);
        let new = alert(&[("a", "b")], 50, 80).merged(&old, at(50));
        assert_eq!((new.starts_at, new.ends_at), (at(0), at(100)));
        // A timeout is no promise.
        let mut old = old;
        old.timeout = true;
        let new = alert(&[("a", "b")], 50, 80).merged(&old, at(50));
        assert_eq!((new.starts_at, new.ends_at), (at(0), at(80)));
        // The end of an alert counts, however long it had been promised to last.
        let ended = alert(&[("a", "b")], 50, 60).merged(&alert(&[("a", "b")], 0, 100), at(70));
        assert_eq!(ended.ends_at, at(60));
        // AL2
        assert_eq!(
            old.clone().merged(&new, at(50)).annotations,
            new.annotations
        );
        let again = alert(&[("a", "b")], 200, 300).merged(&old, at(200));
        assert_eq!(again.starts_at, at(200));
    }
}
