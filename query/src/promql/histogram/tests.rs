use engine::model::{FloatHistogram, Span};

use super::*;

fn exponential(schema: i32, offset: i32, counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema,
        count: counts.iter().sum(),
        positive_spans: vec![Span {
            offset,
            length: counts.len() as u32,
        }],
        positive: counts.to_vec(),
        ..FloatHistogram::default()
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        custom_values: bounds.to_vec(),
        ..exponential(-53, 0, counts)
    }
}

#[test]
fn addition_reduces_to_the_coarser_schema() {
    let mut a = exponential(1, 1, &[1.0, 2.0, 4.0, 8.0]);
    let b = exponential(0, 1, &[10.0, 100.0]);
    assert_eq!(add(&mut a, &b), Ok(Combined::default()));
    assert_eq!((a.schema, a.positive.as_slice()), (0, &[13.0, 112.0][..]));
    assert_eq!(
        a.positive_spans,
        [Span {
            offset: 1,
            length: 2
        }]
    );
}

#[test]
fn addition_widens_the_narrower_zero_bucket() {
    let mut a = exponential(0, 0, &[1.0, 2.0, 3.0]);
    let mut b = exponential(0, 3, &[5.0]);
    b.zero_threshold = 1.5;
    b.zero_count = 7.0;
    assert!(add(&mut a, &b).is_ok());
    // (0.5,1] and (1,2] of the first are inside; the border moves to 2.
    assert_eq!((a.zero_threshold, a.zero_count), (2.0, 7.0 + 1.0 + 2.0));
    assert_eq!(a.positive, [3.0, 5.0]);
}

#[test]
fn mismatched_custom_bounds_meet_at_the_common_ones() {
    let mut a = custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
    let b = custom(&[1.0, 3.0, 4.0], &[10.0, 20.0, 30.0, 40.0]);
    let done = add(&mut a, &b);
    assert!(done.is_ok_and(|c| c.bounds_reconciled));
    assert_eq!(
        (a.custom_values.as_slice(), a.positive.as_slice()),
        (&[1.0, 4.0][..], &[11.0, 55.0, 44.0][..])
    );
    assert!(add(&mut a, &exponential(0, 0, &[1.0])).is_err());
}

#[test]
fn resets_are_seen_in_single_buckets() {
    let before = exponential(0, 0, &[1.0, 2.0]);
    assert!(!detect_reset(&exponential(0, 0, &[1.0, 3.0]), &before));
    assert!(detect_reset(&exponential(0, 0, &[0.0, 5.0]), &before));
    assert!(detect_reset(&exponential(1, 0, &[5.0, 5.0]), &before));
    assert!(!detect_reset(&exponential(-1, 0, &[2.0, 2.0]), &before));
}

#[test]
fn compaction_keeps_indexes() {
    let mut h = exponential(0, 2, &[0.0, 1.0, 0.0, 0.0, 2.0, 0.0]);
    compact(&mut h);
    assert_eq!(h.positive, [1.0, 2.0]);
    assert_eq!(
        h.positive_spans,
        [
            Span {
                offset: 3,
                length: 1
            },
            Span {
                offset: 2,
                length: 1
            }
        ]
    );
}

#[test]
fn malformed_layouts_do_no_harm() {
    let mut h = FloatHistogram {
        schema: 100,
        positive_spans: vec![
            Span {
                offset: i32::MAX,
                length: u32::MAX,
            },
            Span {
                offset: -5,
                length: 3,
            },
        ],
        positive: vec![1.0, 2.0],
        zero_threshold: f64::NAN,
        ..FloatHistogram::default()
    };
    let other = FloatHistogram {
        schema: -100,
        zero_threshold: 5.0,
        ..h.clone()
    };
    assert!(add(&mut h, &other).is_ok());
    compact(&mut h);
    trim(&mut h, 1.0, true);
    assert!(quantile(0.5, &h).0.is_nan() || h.count == 0.0);
    let _either_way: bool = detect_reset(&h, &other);
}

#[test]
fn bounds_follow_powers_of_two() {
    assert_eq!(upper_bound(0, 0), 1.0);
    assert_eq!(upper_bound(3, 0), 8.0);
    assert_eq!(upper_bound(-2, 1), 0.5);
    assert_eq!(upper_bound(1, -2), 16.0);
    assert_eq!(upper_bound(1024, 0), f64::MAX);
    assert_eq!(upper_bound(-1074, 0), 5e-324);
}

/// Little-endian product of two big numbers.
fn product(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = vec![0u32; a.len() + b.len()];
    for (i, x) in a.iter().enumerate() {
        let mut carry = 0u64;
        for (j, y) in b.iter().enumerate() {
            let sum = u64::from(out[i + j]) + u64::from(*x) * u64::from(*y) + carry;
            out[i + j] = sum as u32;
            carry = sum >> 32;
        }
        out[i + b.len()] = carry as u32;
    }
    out
}

/// Whether `mantissa / 2^53` is below `2^(i/256 - 1)`, in whole numbers: the 256th power of both
/// sides. A tie is neither below nor above, and does not happen but for `i = 0`.
fn is_below_the_power(mantissa: u64, i: usize) -> bool {
    let mut power = vec![mantissa as u32, (mantissa >> 32) as u32];
    for _ in 0..8 {
        power = product(&power, &power);
    }
    // mantissa^256 < 2^(53 * 256 - 256 + i), that is, it has no more bits than the exponent.
    let bits = 32 * power.iter().rposition(|w| *w != 0).map_or(0, |w| w + 1)
        - power
            .iter()
            .rev()
            .find(|w| **w != 0)
            .map_or(0, |w| w.leading_zeros() as usize);
    bits <= 52 * 256 + i
}

#[test]
fn bounds_are_the_powers_up_to_four_units_in_the_last_place() {
    let mut exact = 0;
    for i in 0..256 {
        let bound = upper_bound(i, 8);
        let mantissa = bound.to_bits() & ((1 << 52) - 1) | 1 << 52;
        let i = i as usize;
        // Mantissas of 53 bits stand for [1, 2); the power for [0.5, 1).
        assert!(is_below_the_power(mantissa - 5, i), "bound {i} is too high");
        assert!(!is_below_the_power(mantissa + 5, i), "bound {i} is too low");
        exact += usize::from(
            is_below_the_power(mantissa, i) && !is_below_the_power(mantissa + 1, i)
                || !is_below_the_power(mantissa, i) && is_below_the_power(mantissa - 1, i),
        );
        assert!(upper_bound(i as i32 + 1, 8) > bound);
    }
    assert!(exact > 100, "{exact} bounds next to the exact power");
}

#[test]
fn a_coarser_schema_has_the_bounds_of_the_finer_ones() {
    for schema in -4..8 {
        for index in -30..30 {
            assert_eq!(
                upper_bound(index, schema),
                upper_bound(2 * index, schema + 1)
            );
        }
    }
    // What upstream's answers print, one unit below the correctly rounded root.
    assert_eq!(upper_bound(1, 1), 2f64.sqrt().next_down());
    assert_eq!(upper_bound(1, 2), 2f64.sqrt().sqrt());
}
