//! Matchers to series ids.

use roaring::RoaringBitmap;

use crate::model::{MatchOp, Matcher};

/// A table of label pairs with the series that carry them.
pub trait LabelIndex {
    /// All series.
    fn all(&self) -> RoaringBitmap;
    /// Adds the series that have exactly this pair to `acc`.
    fn add_pair(&self, name: &str, value: &str, acc: &mut RoaringBitmap);
    /// For every value of label `name` that starts with `prefix` and satisfies `keep`, adds the
    /// series that have it to `acc`.
    fn add_values(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
        acc: &mut RoaringBitmap,
    );
}

/// Series that satisfy all matchers.
///
/// A matcher that accepts the empty value cannot name the series it wants (they may lack the
/// label), so it subtracts those it does not want; the others intersect.
#[must_use]
pub fn matching_series(index: &dyn LabelIndex, matchers: &[Matcher]) -> RoaringBitmap {
    let mut wanted: Option<RoaringBitmap> = None;
    let mut unwanted: Vec<RoaringBitmap> = Vec::new();
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
            if is_match_all(m) {
                continue;
            }
            let mut set = RoaringBitmap::new();
            match &m.op {
                MatchOp::NotEqual => index.add_pair(&m.name, &m.value, &mut set),
                MatchOp::NotRegex(re) if re.literals().is_some() => {
                    for v in re.literals().unwrap_or(&[]) {
                        index.add_pair(&m.name, v, &mut set);
                    }
                }
                _ => index.add_values(&m.name, "", &mut |v| !m.matches(v), &mut set),
            }
            unwanted.push(set);
        } else {
            let mut set = RoaringBitmap::new();
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
            wanted = Some(match wanted {
                Some(w) => w & set,
                None => set,
            });
            if wanted.as_ref().is_some_and(RoaringBitmap::is_empty) {
                return RoaringBitmap::new();
            }
        }
    }
    let mut out = wanted.unwrap_or_else(|| index.all());
    for u in unwanted {
        out -= u;
    }
    out
}

fn is_match_all(m: &Matcher) -> bool {
    matches!(&m.op, MatchOp::Regex(re) if re.pattern() == ".*")
}
