//! One side of a histogram as (index, count) pairs.

use engine::model::Span;

use crate::promql::functions::kahan;

/// (bucket index, count) in index order. Spans that promise more buckets than there are counts end
/// early.
pub(crate) fn pairs<'a>(
    spans: &'a [Span],
    counts: &'a [f64],
) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0i32;
    let indices = spans.iter().flat_map(move |s| {
        let first = next.wrapping_add(s.offset);
        let length = i32::try_from(s.length).unwrap_or(i32::MAX);
        next = first.wrapping_add(length);
        (0..length).map(move |i| first.wrapping_add(i))
    });
    indices.zip(counts.iter().copied())
}

/// Drops zero counts and rebuilds the spans.
pub(crate) fn compact_side(spans: &mut Vec<Span>, counts: &mut Vec<f64>) {
    let tight = counts.iter().all(|c| *c != 0.0)
        && spans
            .iter()
            .enumerate()
            .all(|(i, s)| s.length > 0 && (i == 0 || s.offset > 0));
    if tight {
        return;
    }
    let mut side = Side::read(spans, counts, None);
    side.retain(|b| b.count != 0.0);
    let (s, c, _) = side.write();
    *spans = s;
    *counts = c;
}

/// A bucket with its compensation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) index: i32,
    pub(super) count: f64,
    pub(super) comp: f64,
}

/// Buckets in index order.
#[derive(Debug, Clone, Default)]
pub(super) struct Side(pub(super) Vec<Entry>);

impl Side {
    pub(super) fn read(spans: &[Span], counts: &[f64], comp: Option<&[f64]>) -> Self {
        Self(
            pairs(spans, counts)
                .enumerate()
                .map(|(i, (index, count))| Entry {
                    index,
                    count,
                    comp: comp.and_then(|c| c.get(i)).copied().unwrap_or(0.0),
                })
                .collect(),
        )
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.0.retain(keep);
    }

    /// At a coarser exponential schema. With `compensated` sums keep their rounding errors.
    pub(super) fn reduced(self, from: i32, to: i32, compensated: bool) -> Self {
        if to >= from {
            return self;
        }
        let shift = u32::try_from(from - to).unwrap_or(31).min(31);
        let mut out: Vec<Entry> = Vec::with_capacity(self.0.len());
        for mut b in self.0 {
            b.index = (b.index.wrapping_sub(1) >> shift).wrapping_add(1);
            match out.last_mut() {
                Some(last) if last.index == b.index => {
                    if compensated {
                        (last.count, last.comp) = kahan::inc(b.count, last.count, last.comp);
                        (last.count, last.comp) = kahan::inc(b.comp, last.count, last.comp);
                    } else {
                        last.count += b.count;
                    }
                }
                _ => out.push(b),
            }
        }
        Self(out)
    }

    /// Spans, counts, compensations.
    pub(super) fn write(self) -> (Vec<Span>, Vec<f64>, Vec<f64>) {
        let mut spans: Vec<Span> = Vec::new();
        let mut end = 0i32;
        for b in &self.0 {
            match spans.last_mut() {
                Some(s) if b.index == end => s.length += 1,
                _ => spans.push(Span {
                    offset: b.index.wrapping_sub(end),
                    length: 1,
                }),
            }
            end = b.index.wrapping_add(1);
        }
        let counts = self.0.iter().map(|b| b.count).collect();
        let comps = self.0.iter().map(|b| b.comp).collect();
        (spans, counts, comps)
    }

    /// Adds `other`, bucket by bucket.
    pub(super) fn merge(self, other: Self, compensated: bool, subtract: bool) -> Self {
        let sign = |v: f64| if subtract { -v } else { v };
        let mut out = Vec::with_capacity(self.0.len() + other.0.len());
        let mut mine = self.0.into_iter().peekable();
        for mut b in other.0 {
            b.count = sign(b.count);
            b.comp = sign(b.comp);
            while let Some(a) = mine.next_if(|a| a.index < b.index) {
                out.push(a);
            }
            match mine.next_if(|a| a.index == b.index) {
                None => out.push(b),
                Some(mut a) => {
                    if compensated {
                        (a.count, a.comp) = kahan::inc(b.count, a.count, a.comp);
                        if b.comp != 0.0 {
                            (a.count, a.comp) = kahan::inc(b.comp, a.count, a.comp);
                        }
                    } else {
                        a.count += b.count;
                    }
                    out.push(a);
                }
            }
        }
        out.extend(mine);
        Self(out)
    }
}
