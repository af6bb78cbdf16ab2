//! The notification log: what was told last, and whether to tell again.
//!
//! Owns: the decision table.
//! Knows nothing of: how messages are sent, where entries are kept.
//!
//! Invariants
//! - NL1  The same sets are told again only after the repeat interval.
//! - NL2  A message in which nothing fires follows one in which something did.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

/// Identities of alerts.
pub(crate) type Prints = BTreeSet<u64>;

/// One integration of a receiver, and a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LogKey {
    /// The receiver's name.
    pub(crate) receiver: String,
    /// Kind of the integration.
    pub(crate) kind: String,
    /// Which of its kind, from 0.
    pub(crate) index: usize,
    /// The group in messages.
    pub(crate) group: String,
}

impl LogKey {
    /// As bytes, for a table.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self {
            receiver,
            kind,
            index,
            group,
        } = self;
        format!("{receiver}\0{kind}\0{index}\0{group}").into_bytes()
    }

    /// Reads what [`LogKey::bytes`] gives.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // A receiver's name may hold anything but what the grammar of YAML forbids: NUL.
        let mut parts = text.splitn(4, '\0');
        Some(Self {
            receiver: parts.next()?.to_owned(),
            kind: parts.next()?.to_owned(),
            index: parts.next()?.parse().ok()?,
            group: parts.next()?.to_owned(),
        })
    }
}

/// All entries.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: BTreeMap<LogKey, Told>,
    bytes: usize,
}

/// Roughly what an entry takes.
fn size_bytes(key: &LogKey, told: &Told) -> usize {
    let alerts = told.firing.len() + told.resolved.len();
    200 + key.receiver.len() + key.kind.len() + key.group.len() + told.memo.len() + 16 * alerts
}

impl Log {
    /// What an integration was told last about a group.
    pub(crate) fn get(&self, key: &LogKey, now: Timestamp) -> Option<&Told> {
        self.entries.get(key).filter(|t| t.until > now)
    }

    /// Notes what an integration was told.
    pub(crate) fn put(&mut self, key: LogKey, told: Told) {
        self.bytes += size_bytes(&key, &told);
        if let Some(old) = self.entries.get(&key) {
            self.bytes = self.bytes.saturating_sub(size_bytes(&key, old));
        }
        self.entries.insert(key, told);
    }

    /// An entry, also one that is too old.
    pub(crate) fn entry(&self, key: &LogKey) -> Option<&Told> {
        self.entries.get(key)
    }

    /// All entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&LogKey, &Told)> {
        self.entries.iter()
    }

    /// Roughly what all entries take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets entries that are too old; gives their keys.
    pub(crate) fn forget(&mut self, now: Timestamp) -> Vec<LogKey> {
        let old = self.entries.iter().filter(|(_, t)| t.until <= now);
        let old: Vec<LogKey> = old.map(|(k, _)| k.clone()).collect();
        for key in &old {
            if let Some(told) = self.entries.remove(key) {
                self.bytes = self.bytes.saturating_sub(size_bytes(key, &told));
            }
        }
        old
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// What one integration of a receiver was told last about a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// When the message had been sent.
    pub(crate) at: Timestamp,
    /// When this is forgotten.
    pub(crate) until: Timestamp,
    /// What the integration wants to know again: the place of a message to change, for example.
    pub(crate) memo: String,
    /// What fired in it.
    pub(crate) firing: Prints,
    /// What was over in it.
    pub(crate) resolved: Prints,
}

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nothing that fires was told before.
    First,
    /// More fires than was told.
    NewAlerts,
    /// Nothing fires any more.
    AllResolved,
    /// Something is over.
    SomeResolved,
    /// It was told too long ago.
    Repeat,
}

impl Reason {
    /// Whether something fires that was not told.
    pub(crate) fn is_news(self) -> bool {
        matches!(self, Self::First | Self::NewAlerts)
    }

    /// The words in messages.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::First => "first notification",
            Self::NewAlerts => "new alerts added",
            Self::AllResolved => "all alerts resolved",
            Self::SomeResolved => "some alerts resolved",
            Self::Repeat => "repeat interval elapsed",
        }
    }
}

/// Whether a group with these alerts is told at `tick`, and why. An answer also when the end of
/// alerts is not told: the log must learn of it.
pub(crate) fn decide(
    told: Option<&Told>,
    firing: &Prints,
    resolved: &Prints,
    send_resolved: bool,
    repeat: SignedDuration,
    tick: Timestamp,
) -> Option<Reason> {
    let Some(told) = told else {
        return (!firing.is_empty()).then_some(Reason::First);
    };
    if !firing.is_subset(&told.firing) {
        return Some(match told.firing.is_empty() {
            true => Reason::First,
            false => Reason::NewAlerts,
        });
    }
    if firing.is_empty() {
        return (!told.firing.is_empty()).then_some(Reason::AllResolved);
    }
    if send_resolved && !resolved.is_subset(&told.resolved) {
        return Some(Reason::SomeResolved);
    }
    // The next tick of a grid as long as the repeat interval is still too early.
    let since = tick.duration_since(told.at);
    (since > repeat).then_some(Reason::Repeat)
}

#[cfg(test)]
mod tests {
    use super::super::alert::tests::at;
    use super::*;

    #[test]
    fn keys_survive_as_bytes() {
        let key = LogKey {
            receiver: "a b".into(),
            kind: "webhook".into(),
            index: 3,
            group: "{}:{a=\"\\0\"}".into(),
        };
        assert_eq!(LogKey::read(&key.bytes()), Some(key));
        assert_eq!(LogKey::read(b"x\0y\0z\0"), None);
    }

    #[test]
    fn the_table_is_followed_in_order() {
        use Reason as R;
        let set = |s: &[u64]| s.iter().copied().collect::<Prints>();
        let told = |f: &[u64], r: &[u64]| {
            Some(Told {
                at: at(0),
                until: at(1000),
                memo: String::new(),
                firing: set(f),
                resolved: set(r),
            })
        };
        for (entry, firing, resolved, ends, tick, want) in [
            (None, &[1][..], &[][..], true, 5, Some(R::First)),
            (None, &[], &[1], true, 5, None),
            (told(&[1], &[]), &[1], &[], true, 5, None),
            (told(&[1], &[]), &[1, 2], &[], true, 5, Some(R::NewAlerts)),
            (told(&[], &[1]), &[1], &[], true, 5, Some(R::First)),
            (told(&[1], &[]), &[], &[1], true, 5, Some(R::AllResolved)),
            (told(&[1], &[]), &[], &[1], false, 5, Some(R::AllResolved)),
            (told(&[], &[1]), &[], &[1], true, 99, None),
            (
                told(&[1, 2], &[]),
                &[1],
                &[2],
                true,
                5,
                Some(R::SomeResolved),
            ),
            (told(&[1, 2], &[]), &[1], &[2], false, 5, None),
            (told(&[1, 2], &[2]), &[1], &[2], true, 5, None),
            (told(&[1, 2], &[]), &[1], &[], true, 5, None),
            (told(&[1], &[]), &[1], &[], true, 10, None),
            (told(&[1], &[]), &[1], &[], true, 11, Some(R::Repeat)),
        ] {
            let repeat = SignedDuration::from_secs(10);
            let got = decide(
                entry.as_ref(),
                &set(firing),
                &set(resolved),
                ends,
                repeat,
                at(tick),
            );
            assert_eq!(got, want, "{entry:?} {firing:?} {resolved:?} {ends} {tick}");
        }
    }
}
