//! Telling apart entries of one stream and time.
//!
//! Owns: the set of entries that were seen, by number.
//! Knows nothing of: where entries are kept; the caller shows them.
//!
//! Any number of entries may share a time, and a sender may choose them, so the set is a hash table
//! with a random key: the cost of an entry does not depend on how many others there are.

use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;

use crate::model::Labels;

/// An entry without its stream and time.
pub(super) type Content<'a> = (&'a [u8], Option<&'a Labels>);

/// Entries of one stream and time.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    key: RandomState,
    seen: HashTable<(u64, u32)>,
}

impl Distinct {
    /// Memory of an entry in the set, bytes.
    pub(super) const ENTRY_BYTES: usize = 2 * size_of::<(u64, u32)>();

    /// Adds the entry with this number; false when an equal one is there. `entry` shows an entry
    /// by the number it was added with.
    pub(super) fn add<'e>(&mut self, number: u32, entry: impl Fn(u32) -> Content<'e>) -> bool {
        let new = entry(number);
        let mut h = self.key.build_hasher();
        h.write(new.0);
        // A line and its metadata cannot pass for another line.
        h.write_usize(new.0.len());
        h.write(new.1.map_or(&[][..], Labels::as_bytes));
        let hash = h.finish();
        let same = |s: &(u64, u32)| s.0 == hash && entry(s.1) == new;
        if self.seen.find(hash, same).is_some() {
            return false;
        }
        self.seen.insert_unique(hash, (hash, number), |s| s.0);
        true
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.seen.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Numbers of the entries of `0..n` that are kept: of equal ones the first. Entries of equal
    /// `time` must stand together.
    pub(super) fn of_sorted<'e, K: PartialEq>(
        n: usize,
        key: impl Fn(usize) -> K,
        entry: impl Fn(usize) -> Content<'e>,
    ) -> Vec<bool> {
        let mut kept = vec![true; n];
        let mut seen = Self::default();
        let mut from = 0;
        while from < n {
            let mut to = from + 1;
            while to < n && key(to) == key(from) {
                to += 1;
            }
            if to - from > 1 {
                seen.clear();
                for (i, keep) in kept.iter_mut().enumerate().take(to).skip(from) {
                    *keep = seen.add(i as u32, |i| entry(i as usize));
                }
            }
            from = to;
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_entries_stays() {
        let m = Labels::from_pairs([("a", "b")]);
        let entries: [(i64, &[u8], Option<&Labels>); 7] = [
            (1, b"x", None),
            (2, b"x", None),
            (2, b"x", None),
            (2, b"x", Some(&m)),
            (2, b"y", None),
            (2, b"x", Some(&m)),
            (3, b"x", None),
        ];
        let kept = Distinct::of_sorted(
            entries.len(),
            |i| entries[i].0,
            |i| (entries[i].1, entries[i].2),
        );
        assert_eq!(kept, [true, true, false, true, true, false, true]);
    }
}
