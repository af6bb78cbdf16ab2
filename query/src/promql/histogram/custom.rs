//! Custom buckets whose bounds differ: both are brought to the bounds they have in common.

use engine::model::FloatHistogram;

use super::add::store_positive;
use super::pairs;
use super::side::{Entry, Side};
use crate::promql::functions::kahan;

/// Bounds that both lists have; both are ascending.
fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut rest = b.iter().peekable();
    a.iter()
        .copied()
        .filter(|x| {
            while rest.next_if(|y| *y < x).is_some() {}
            rest.peek().is_some_and(|y| *y == x)
        })
        .collect()
}

/// `h += other` (or `-=`) on the common bounds. Counts of a bucket go to the first common bound
/// that is not below its own.
pub(super) fn add_mismatched(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
    comp: Option<&mut FloatHistogram>,
    subtract: bool,
) {
    let bounds = common_bounds(&h.custom_values, &other.custom_values);
    let mut target = vec![(0.0, 0.0); bounds.len() + 1];
    let place = |source: &FloatHistogram, index: i32| -> usize {
        let bound = usize::try_from(index)
            .ok()
            .and_then(|i| source.custom_values.get(i));
        bound.map_or(bounds.len(), |b| bounds.partition_point(|x| x < b))
    };
    for (i, (index, count)) in pairs(&h.positive_spans, &h.positive).enumerate() {
        let t = &mut target[place(h, index)];
        *t = kahan::inc(count, t.0, t.1);
        if let Some(c) = comp.as_deref().and_then(|c| c.positive.get(i)) {
            *t = kahan::inc(*c, t.0, t.1);
        }
    }
    for (index, count) in pairs(&other.positive_spans, &other.positive) {
        let t = &mut target[place(other, index)];
        *t = kahan::inc(if subtract { -count } else { count }, t.0, t.1);
    }
    let side = target
        .iter()
        .enumerate()
        .filter(|(_, t)| t.0 != 0.0 || t.1 != 0.0)
        .map(|(i, t)| Entry {
            index: i32::try_from(i).unwrap_or(i32::MAX),
            count: t.0,
            comp: t.1,
        })
        .collect();
    let mut comp = comp;
    store_positive(h, comp.as_deref_mut(), Side(side));
    if let Some(c) = comp {
        c.custom_values.clone_from(&bounds);
    }
    h.custom_values = bounds;
}

/// Whether any group of observations between two common bounds shrank from `previous` to `h`.
pub(super) fn shrank(h: &FloatHistogram, previous: &FloatHistogram) -> bool {
    let bounds = common_bounds(&h.custom_values, &previous.custom_values);
    let grouped = |x: &FloatHistogram| {
        let mut sums = vec![0.0; bounds.len() + 1];
        for (index, count) in pairs(&x.positive_spans, &x.positive) {
            let bound = usize::try_from(index)
                .ok()
                .and_then(|i| x.custom_values.get(i));
            sums[bound.map_or(bounds.len(), |b| bounds.partition_point(|y| y < b))] += count;
        }
        sums
    };
    grouped(h)
        .iter()
        .zip(grouped(previous))
        .any(|(now, before)| *now < before)
}
