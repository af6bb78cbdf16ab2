//! The notification log: what was told last, and whether to tell again.
//!
//! Owns: the decision table.
//! Knows nothing of: how messages are sent, where entries are kept.
//!
//! Invariants
//! - NL1  The same sets are told again only after the repeat interval.
//! - NL2  A message in which nothing fires follows one in which something did.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

/// Identities of alerts.
pub(crate) type Prints = BTreeSet<u64>;

/// What one integration of a receiver was told last about a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// When the message had been sent.
    pub(crate) at: Timestamp,
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
    fn the_table_is_followed_in_order() {
        use Reason as R;
        let set = |s: &[u64]| s.iter().copied().collect::<Prints>();
        let told = |f: &[u64], r: &[u64]| {
            Some(Told {
                at: at(0),
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
