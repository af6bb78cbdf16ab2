//! What is looked for in lines: a run of bytes, each out of a set.
//!
//! Owns: sets of bytes, and finding a run in a text.
//! Knows nothing of: columns, lines, patterns of a query language.

use memchr::memmem::Finder;

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// The set of one byte.
    #[must_use]
    pub fn one(b: u8) -> Self {
        let mut s = Self::default();
        s.insert(b);
        s
    }

    /// Adds a byte.
    pub fn insert(&mut self, b: u8) {
        self.0[usize::from(b >> 6)] |= 1 << (b & 63);
    }

    /// Whether a byte is in it.
    #[must_use]
    pub fn has(&self, b: u8) -> bool {
        self.0[usize::from(b >> 6)] >> (b & 63) & 1 == 1
    }

    /// Number of bytes in it.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.iter().map(|w| w.count_ones()).sum()
    }

    /// True without bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|b| self.has(*b))
    }
}

/// How a needle is found in a long text.
#[derive(Debug)]
enum Search {
    /// All sets have one byte.
    Literal(Box<Finder<'static>>),
    /// One of these bytes stands at this place of the needle.
    Anchor(usize, Vec<u8>),
    /// Nothing stands out.
    Slow,
}

/// A run of byte sets to look for; never empty.
#[derive(Debug)]
pub(in crate::logs) struct Needle {
    pub(in crate::logs) sets: Vec<ByteSet>,
    search: Search,
}

impl Needle {
    /// `None` for an empty run, which every text holds.
    pub(in crate::logs) fn new(sets: Vec<ByteSet>) -> Option<Self> {
        if sets.is_empty() {
            return None;
        }
        let literal: Option<Vec<u8>> = sets
            .iter()
            .map(|s| s.bytes().next().filter(|_| s.len() == 1))
            .collect();
        let search = match literal {
            Some(l) => Search::Literal(Box::new(Finder::new(&l).into_owned())),
            None => {
                // Few bytes, and rare ones: letters and blanks are everywhere.
                let rank = |s: &ByteSet| {
                    let common = s.bytes().filter(|b| b" etaonisr0123\"".contains(b));
                    s.len() + 4 * common.count() as u32
                };
                let few = sets.iter().enumerate().filter(|(_, s)| s.len() <= 3);
                few.min_by_key(|(_, s)| rank(s))
                    .map_or(Search::Slow, |(i, s)| {
                        Search::Anchor(i, s.bytes().collect())
                    })
            }
        };
        Some(Self { sets, search })
    }

    /// The run that is these bytes.
    pub(in crate::logs) fn literal(bytes: &[u8]) -> Option<Self> {
        Self::new(bytes.iter().map(|b| ByteSet::one(*b)).collect())
    }

    pub(in crate::logs) fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether `bytes` are what stands at `from` of the needle; it must reach that far.
    pub(in crate::logs) fn holds_at(&self, from: usize, bytes: &[u8]) -> bool {
        let sets = self.sets.get(from..from + bytes.len());
        sets.is_some_and(|s| s.iter().zip(bytes).all(|(s, b)| s.has(*b)))
    }

    /// Where the needle is first found.
    pub(in crate::logs) fn find(&self, text: &[u8]) -> Option<usize> {
        let n = self.len();
        match &self.search {
            Search::Literal(f) => f.find(text),
            Search::Slow => text.windows(n).position(|w| self.holds_at(0, w)),
            Search::Anchor(at, bytes) => {
                let mut from = *at;
                loop {
                    let rest = text.get(from..)?;
                    let hit = match bytes.as_slice() {
                        [a] => memchr::memchr(*a, rest),
                        [a, b] => memchr::memchr2(*a, *b, rest),
                        [a, b, c] => memchr::memchr3(*a, *b, *c, rest),
                        _ => None,
                    };
                    let start = from + hit? - at;
                    if self.holds_at(0, text.get(start..start + n)?) {
                        return Some(start);
                    }
                    from = start + at + 1;
                }
            }
        }
    }

    /// Which of the values that lie back to back hold the needle; `None` when none does.
    pub(in crate::logs) fn find_in(&self, bytes: &[u8], ends: &[u32]) -> Option<Vec<bool>> {
        let mut hits: Option<Vec<bool>> = None;
        let (mut at, mut i) = (0usize, 0usize);
        while let Some(found) = bytes.get(at..).and_then(|rest| self.find(rest)) {
            let found = at + found;
            i += ends[i..].partition_point(|e| *e as usize <= found);
            let Some(end) = ends.get(i).map(|e| *e as usize) else {
                break;
            };
            if found + self.len() > end {
                // Across two values: not a hit. The next one may begin one byte later.
                at = found + 1;
                continue;
            }
            hits.get_or_insert_with(|| vec![false; ends.len()])[i] = true;
            at = end;
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_case(text: &str) -> Needle {
        let sets = text.bytes().map(|b| {
            let mut s = ByteSet::one(b.to_ascii_lowercase());
            s.insert(b.to_ascii_uppercase());
            s
        });
        Needle::new(sets.collect()).unwrap()
    }

    #[test]
    fn needles_are_found() {
        let n = any_case("ab1");
        assert_eq!(n.find(b"xxaAb1"), Some(3));
        assert_eq!(n.find(b"xxAB"), None);
        assert_eq!(n.find(b""), None);
        let slow = Needle::new(vec![ByteSet([0, u64::MAX, 0, 0]); 2]).unwrap();
        assert_eq!(slow.find(b"1a1ab"), Some(3));
        let l = Needle::literal(b"ab").unwrap();
        assert_eq!(
            l.find_in(b"abaab", &[1, 3, 5]),
            Some(vec![false, false, true])
        );
        assert_eq!(l.find_in(b"aba", &[1, 3]), None);
        assert!(Needle::literal(b"").is_none());
    }
}
