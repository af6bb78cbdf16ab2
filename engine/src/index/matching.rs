//! Matchers to series ids.

use std::ops::RangeInclusive;

use roaring::RoaringBitmap;

use crate::model::{MatchOp, Matcher};

/// Ids held before they are made a set.
const LOOSE_MAX: usize = 1 << 16;

/// The union of postings, as far as it is wanted.
pub struct Union {
    within: RangeInclusive<u32>,
    set: RoaringBitmap,
    /// Ids of short lists, one list after the other.
    loose: Vec<u32>,
}

impl Union {
    fn within(within: RangeInclusive<u32>) -> Self {
        Self {
            within,
            set: RoaringBitmap::new(),
            loose: Vec::new(),
        }
    }

    /// Adds one id.
    pub fn one(&mut self, id: u32) {
        self.list(std::iter::once(id));
    }

    /// Adds an ascending list; it is read no further than it is wanted.
    pub fn list(&mut self, ids: impl Iterator<Item = u32>) {
        let (lo, hi) = (*self.within.start(), *self.within.end());
        let wanted = ids.skip_while(|i| *i < lo).take_while(|i| *i <= hi);
        self.loose.extend(wanted);
        if self.loose.len() > LOOSE_MAX {
            self.settle();
        }
    }

    /// Adds a set.
    pub fn set(&mut self, ids: &RoaringBitmap) {
        if self.set.is_empty() {
            self.set.clone_from(ids);
        } else {
            self.set |= ids;
        }
    }

    /// Makes the lists part of the set.
    fn settle(&mut self) {
        if !self.loose.is_sorted() {
            // This sort finds the lists and merges them.
            self.loose.sort();
        }
        self.loose.dedup();
        // Ascending by now, so that there is no error.
        if let Ok(ids) = RoaringBitmap::from_sorted_iter(self.loose.drain(..)) {
            self.set |= ids;
        }
    }

    fn done(mut self) -> RoaringBitmap {
        if !self.loose.is_empty() {
            self.settle();
        }
        self.set
    }
}

/// A table of label pairs with the series that carry them.
pub trait LabelIndex {
    /// All series.
    fn all(&self) -> RoaringBitmap;
    /// Adds the series that have exactly this pair.
    fn add_pair(&self, name: &str, value: &str, to: &mut Union);
    /// For every value of label `name` that starts with `prefix` and satisfies `keep`, adds the
    /// series that have it.
    fn add_values(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
        to: &mut Union,
    );
}

/// The series of one pair.
pub(crate) fn series_of(add: &mut dyn FnMut(&mut Union)) -> RoaringBitmap {
    let mut all = Union::within(0..=u32::MAX);
    add(&mut all);
    all.done()
}

/// Series that satisfy all matchers.
///
/// A matcher that accepts the empty value cannot name the series it wants (they may lack the
/// label), so it subtracts those it does not want; the others intersect.
#[must_use]
pub fn matching_series(index: &dyn LabelIndex, matchers: &[Matcher]) -> RoaringBitmap {
    let mut wanted: Option<RoaringBitmap> = None;
    let mut unwanted: Vec<&Matcher> = Vec::new();
    // Exact matchers first: they make the set small before regular expressions run.
    let mut order: Vec<&Matcher> = matchers.iter().collect();
    order.sort_by_key(|m| match m.op {
        MatchOp::Equal => 0,
        MatchOp::Regex(_) => 1,
        MatchOp::NotEqual => 2,
        MatchOp::NotRegex(_) => 3,
    });
    for m in order {
        if m.matches_empty() {
            if !is_match_all(m) {
                unwanted.push(m);
            }
            continue;
        }
        let mut set = Union::within(span(wanted.as_ref()));
        match &m.op {
            MatchOp::Equal => index.add_pair(&m.name, &m.value, &mut set),
            MatchOp::Regex(re) => match re.literals() {
                Some(values) => {
                    for v in values {
                        index.add_pair(&m.name, v, &mut set);
                    }
                }
                None => {
                    index.add_values(&m.name, re.prefix(), &mut |v| re.is_match(v), &mut set);
                }
            },
            MatchOp::NotEqual | MatchOp::NotRegex(_) => {
                index.add_values(&m.name, "", &mut |v| m.matches(v), &mut set);
            }
        }
        let set = set.done();
        let both = match wanted.take() {
            Some(w) => w & set,
            None => set,
        };
        if both.is_empty() {
            return both;
        }
        wanted = Some(both);
    }
    let mut out = wanted.unwrap_or_else(|| index.all());
    for m in unwanted {
        let mut set = Union::within(span(Some(&out)));
        match &m.op {
            MatchOp::NotEqual => index.add_pair(&m.name, &m.value, &mut set),
            MatchOp::NotRegex(re) if re.literals().is_some() => {
                for v in re.literals().unwrap_or(&[]) {
                    index.add_pair(&m.name, v, &mut set);
                }
            }
            _ => index.add_values(&m.name, "", &mut |v| !m.matches(v), &mut set),
        }
        out -= set.done();
    }
    out
}

/// Outside of this range nothing is looked for any more.
fn span(wanted: Option<&RoaringBitmap>) -> RangeInclusive<u32> {
    match wanted {
        None => 0..=u32::MAX,
        Some(w) => w.min().unwrap_or(1)..=w.max().unwrap_or(0),
    }
}

fn is_match_all(m: &Matcher) -> bool {
    matches!(&m.op, MatchOp::Regex(re) if re.pattern() == ".*")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_union_holds_what_its_parts_hold_and_misses_nothing_wanted(
            lists in prop::collection::vec(prop::collection::btree_set(0_u32..300_000, 0..200), 0..8),
            sets in prop::collection::vec(prop::collection::btree_set(0_u32..300_000, 0..200), 0..3),
            (lo, hi) in (0_u32..200_000, 100_000_u32..300_000),
        ) {
            let mut union = Union::within(lo..=hi);
            for l in &lists {
                union.list(l.iter().copied());
            }
            for s in &sets {
                union.set(&s.iter().copied().collect());
            }
            let found = union.done();
            let all: BTreeSet<u32> = lists.iter().chain(&sets).flatten().copied().collect();
            prop_assert!(found.iter().all(|i| all.contains(&i)));
            let wanted = all.iter().filter(|i| (lo..=hi).contains(*i));
            for i in wanted {
                prop_assert!(found.contains(*i));
            }
        }
    }

    #[test]
    fn more_ids_than_are_held_loose() {
        let mut union = Union::within(0..=u32::MAX);
        for k in (0..5_u32).rev() {
            union.list((k * 40_000)..(k * 40_000 + 50_000));
        }
        assert_eq!(union.done().len(), 4 * 40_000 + 50_000);
    }
}
