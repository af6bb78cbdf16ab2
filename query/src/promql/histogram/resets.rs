//! Counter resets between two histograms of a series.

use engine::model::{CounterResetHint, FloatHistogram};

use super::add::widened_zero_bucket;
use super::bounds::upper_bound;
use super::side::Side;
use super::{custom, uses_custom_buckets};

/// True when `h` cannot have grown out of `previous`: the hint says so, a count went down, the
/// resolution grew or the zero bucket shrank.
/// Cost: one pass over the buckets of both.
#[must_use]
pub fn detect_reset(h: &FloatHistogram, previous: &FloatHistogram) -> bool {
    match h.hint {
        CounterResetHint::Reset => return true,
        CounterResetHint::NotReset => return false,
        CounterResetHint::Unknown | CounterResetHint::Gauge => {}
    }
    if h.count < previous.count {
        return true;
    }
    if uses_custom_buckets(h) {
        if !uses_custom_buckets(previous) {
            return true;
        }
        if h.custom_values != previous.custom_values {
            return custom::shrank(h, previous);
        }
    }
    if h.schema > previous.schema || h.zero_threshold < previous.zero_threshold {
        return true;
    }
    let (previous_zero, threshold, _) = widened_zero_bucket(previous, h.zero_threshold, None);
    if threshold != h.zero_threshold || h.zero_count < previous_zero {
        return true;
    }
    side_shrank(h, previous, true) || side_shrank(h, previous, false)
}

fn side_shrank(h: &FloatHistogram, previous: &FloatHistogram, positive: bool) -> bool {
    let read = |x: &FloatHistogram| {
        let mut side = if positive {
            Side::read(&x.positive_spans, &x.positive, None)
        } else {
            Side::read(&x.negative_spans, &x.negative, None)
        };
        if !uses_custom_buckets(h) {
            side = side.reduced(x.schema, h.schema, false);
            if h.zero_threshold != 0.0 {
                let inside = side
                    .0
                    .iter()
                    .take_while(|b| upper_bound(b.index, h.schema) <= h.zero_threshold)
                    .count();
                side.0.drain(..inside);
            }
        }
        side
    };
    let now = read(h);
    let mut rest = now.0.iter().peekable();
    for before in read(previous).0 {
        while rest.next_if(|b| b.index < before.index).is_some() {}
        let count = rest
            .peek()
            .filter(|b| b.index == before.index)
            .map(|b| b.count);
        match count {
            Some(c) if c < before.count => return true,
            None if before.count != 0.0 => return true,
            _ => {}
        }
    }
    false
}
