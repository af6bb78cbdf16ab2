//! What changed, in order: whoever has seen everything up to a number asks for what came after.
//!
//! Owns: a number for each silence and entry of the log, that of its last change.
//! Knows nothing of: what silences and entries are, who asks.
//!
//! Invariants
//! - CHG1  A row has one number, and no two rows have the same; a change gives it the highest.

use std::collections::BTreeMap;

use super::log::LogKey;

/// Names a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowName {
    /// A silence.
    Silence(String),
    /// An entry of the log.
    Told(LogKey),
}

/// The rows by the number of their last change.
#[derive(Debug, Default)]
pub(super) struct Changes {
    last: u64,
    by_number: BTreeMap<u64, RowName>,
    numbers: BTreeMap<RowName, u64>,
}

impl Changes {
    /// The row is different now.
    pub(super) fn note(&mut self, row: RowName) {
        self.last += 1;
        // CHG1
        if let Some(old) = self.numbers.insert(row.clone(), self.last) {
            self.by_number.remove(&old);
        }
        self.by_number.insert(self.last, row);
    }

    /// The row is forgotten. Nobody else is told: they forget by themselves.
    pub(super) fn forget(&mut self, row: &RowName) {
        if let Some(n) = self.numbers.remove(row) {
            self.by_number.remove(&n);
        }
    }

    /// Number of the last change.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Rows that changed after `number`, the oldest change first.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &RowName)> {
        let all = self.by_number.range(number.saturating_add(1)..);
        all.map(|(n, row)| (*n, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_where_it_changed_last() {
        let silence = |id: &str| RowName::Silence(id.into());
        let mut c = Changes::default();
        for id in ["a", "b", "a", "c"] {
            c.note(silence(id));
        }
        let shown = |c: &Changes, n| -> Vec<(u64, RowName)> {
            c.after(n).map(|(n, r)| (n, r.clone())).collect()
        };
        let all = [(2, silence("b")), (3, silence("a")), (4, silence("c"))];
        // CHG1
        assert_eq!(shown(&c, 0), all);
        assert_eq!(shown(&c, 3), all[2..]);
        assert_eq!(shown(&c, u64::MAX), []);
        c.forget(&silence("a"));
        assert_eq!(shown(&c, 2), all[2..]);
        assert_eq!(c.last(), 4);
    }
}
