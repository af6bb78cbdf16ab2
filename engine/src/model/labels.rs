//! Label sets: sorted name/value pairs that identify a series.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Name of the label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// An immutable label set, sorted by name, without empty values.
///
/// One shared allocation: `[name len u32][value len u32][name][value]` repeated, so that a clone is
/// a reference count and equality is a memory compare.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(Arc<[u8]>);

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Labels {
    /// The empty label set.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from(&[][..]))
    }

    /// Builds a set from pairs in any order. Empty values are dropped; of two pairs with the same
    /// name the later one wins.
    #[must_use]
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let all: Vec<(N, V)> = pairs.into_iter().collect();
        let mut refs: Vec<(&str, &str)> =
            all.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
        // Stable: of equal names the later one comes last and is the one that is kept.
        refs.sort_by(|a, b| a.0.cmp(b.0));
        refs.reverse();
        refs.dedup_by(|a, b| a.0 == b.0);
        refs.reverse();
        refs.retain(|p| !p.1.is_empty());
        Self::from_sorted(&refs)
    }

    /// Builds a set from pairs that are already sorted by name, unique and non-empty.
    /// The order is checked in debug builds only.
    #[must_use]
    pub fn from_sorted(pairs: &[(&str, &str)]) -> Self {
        debug_assert!(
            pairs.windows(2).all(|w| w[0].0 < w[1].0),
            "labels not sorted: {pairs:?}"
        );
        let len = pairs.iter().map(|(n, v)| 8 + n.len() + v.len()).sum();
        let mut buf = Vec::with_capacity(len);
        for (n, v) in pairs {
            push_pair(&mut buf, n, v);
        }
        Self(buf.into())
    }

    /// The same from bytes, which are UTF-8. `capacity` is about what they take together.
    pub(crate) fn from_sorted_bytes<'a>(
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        capacity: usize,
    ) -> Self {
        let mut buf = Vec::with_capacity(capacity);
        for (n, v) in pairs {
            push_bytes(&mut buf, n, v);
        }
        Self(buf.into())
    }

    /// Pairs in name order.
    #[inline]
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter(self.byte_pairs())
    }

    /// Pairs in name order, as bytes: for hot paths that compare or hash and need no text.
    #[inline]
    pub fn byte_pairs(&self) -> BytePairs<'_> {
        BytePairs { rest: &self.0 }
    }

    /// Value of `name`, or `None`. Cost: linear in the number of labels.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, v) = self.byte_pairs().find(|(n, _)| *n == name.as_bytes())?;
        Some(text(v))
    }

    /// The metric name, or `None`.
    #[must_use]
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.byte_pairs().count()
    }

    /// True for the empty set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The packed bytes; equal sets have equal bytes. Useful as a hash or map key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A builder that starts with these labels.
    #[must_use]
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder {
            pairs: self
                .iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
        }
    }

    /// The set without the named labels.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        self.filter(|n| !names.contains(&n))
    }

    /// The set with only the named labels.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        self.filter(|n| names.contains(&n))
    }

    /// The set with only the labels whose name satisfies `keep`.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut buf = Vec::with_capacity(self.0.len());
        for (n, v) in self.byte_pairs() {
            if keep(text(n)) {
                push_bytes(&mut buf, n, v);
            }
        }
        if buf.len() == self.0.len() {
            self.clone()
        } else {
            Self(buf.into())
        }
    }

    /// The set with `name` set to `value` (removed when `value` is empty).
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut buf = Vec::with_capacity(self.0.len() + 8 + name.len() + value.len());
        let mut placed = value.is_empty();
        for (n, v) in self.iter() {
            if !placed && name < n {
                push_pair(&mut buf, name, value);
                placed = true;
            }
            if n != name {
                push_pair(&mut buf, n, v);
            } else if !placed {
                push_pair(&mut buf, name, value);
                placed = true;
            }
        }
        if !placed {
            push_pair(&mut buf, name, value);
        }
        Self(buf.into())
    }
}

fn push_pair(buf: &mut Vec<u8>, n: &str, v: &str) {
    push_bytes(buf, n.as_bytes(), v.as_bytes());
}

fn push_bytes(buf: &mut Vec<u8>, n: &[u8], v: &[u8]) {
    buf.extend_from_slice(&u32::try_from(n.len()).unwrap_or(u32::MAX).to_le_bytes());
    buf.extend_from_slice(&u32::try_from(v.len()).unwrap_or(u32::MAX).to_le_bytes());
    buf.extend_from_slice(n);
    buf.extend_from_slice(v);
}

/// Bytes of a name or value as text. The buffer is only ever written from `&str`.
#[inline]
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}

/// Iterator over the pairs of a label set.
#[derive(Clone)]
pub struct LabelsIter<'a>(BytePairs<'a>);

/// Iterator over the pairs of a label set, as bytes.
#[derive(Clone)]
pub struct BytePairs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(n, v)| (text(n), text(v)))
    }
}

impl<'a> Iterator for BytePairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.rest.split_at_checked(8)?;
        let n = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let v = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (name, rest) = rest.split_at_checked(n)?;
        let (value, rest) = rest.split_at_checked(v)?;
        self.rest = rest;
        Some((name, value))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelsIter<'a>;
    fn into_iter(self) -> LabelsIter<'a> {
        self.iter()
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Prometheus' order: pair by pair, name first, then value; a prefix sorts first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        // Text and its bytes have the same order.
        self.byte_pairs().cmp(other.byte_pairs())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Prometheus' text form: `{a="1", b="2"}` with Go quoting, names quoted when not classic.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (n, v)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            let classic = n.bytes().enumerate().all(|(i, b)| {
                b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit())
            });
            if classic && !n.is_empty() {
                f.write_str(n)?;
            } else {
                write_go_quoted(f, n)?;
            }
            f.write_str("=")?;
            write_go_quoted(f, v)?;
        }
        f.write_str("}")
    }
}

/// Writes `s` as Go's `strconv.Quote` does for valid UTF-8 (printable runes stay).
fn write_go_quoted(f: &mut fmt::Formatter<'_>, s: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in s.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\x07' => f.write_str("\\a")?,
            '\x08' => f.write_str("\\b")?,
            '\x0c' => f.write_str("\\f")?,
            '\x0b' => f.write_str("\\v")?,
            c if (c as u32) < 0x20 || c == '\x7f' => write!(f, "\\x{:02x}", c as u32)?,
            c if c.is_control() => write!(f, "\\u{:04x}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// A label set under construction.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter().position(|(n, _)| n == name) {
            Some(i) if value.is_empty() => {
                self.pairs.swap_remove(i);
            }
            Some(i) => value.clone_into(&mut self.pairs[i].1),
            None if value.is_empty() => {}
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// Current value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// Pairs in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The finished set.
    #[must_use]
    pub fn build(&self) -> Labels {
        let mut refs: Vec<(&str, &str)> = self.iter().collect();
        refs.sort_unstable_by(|a, b| a.0.cmp(b.0));
        Labels::from_sorted(&refs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_empty_values_dropped() {
        let l = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", "")]);
        assert_eq!(l.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(l.to_string(), r#"{a="1", b="2"}"#);
    }

    #[test]
    fn the_later_of_two_equal_names_wins() {
        let l = Labels::from_pairs([("a", "1"), ("b", "2"), ("a", "3"), ("b", "")]);
        assert_eq!(l.iter().collect::<Vec<_>>(), [("a", "3")]);
    }

    #[test]
    fn with_inserts_replaces_and_removes() {
        let l = Labels::from_pairs([("a", "1"), ("c", "3")]);
        assert_eq!(
            l.with("b", "2"),
            Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")])
        );
        assert_eq!(
            l.with("c", "9"),
            Labels::from_pairs([("a", "1"), ("c", "9")])
        );
        assert_eq!(l.with("a", ""), Labels::from_pairs([("c", "3")]));
        assert_eq!(l.with("d", "4").get("d"), Some("4"));
    }

    #[test]
    fn order_is_pairwise_not_by_packed_bytes() {
        let short = Labels::from_pairs([("a", "zz")]);
        let long = Labels::from_pairs([("aa", "b")]);
        assert!(short < long);
        assert!(Labels::empty() < short);
    }
}
