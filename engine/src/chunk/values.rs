//! Runs of floats as decimal integers, exact to the bit.
//!
//! Monitoring values are mostly integers or have a few decimals. `v = i / 10^e` by IEEE division
//! is the double nearest to the decimal number, so a round-trip check at encode time makes the
//! representation exact. Numbers that no exponent reproduces, and NaN, infinities and -0.0, are
//! patched in; when there are many, the bits of the doubles are packed instead.

use super::ChunkError;
use super::ints;
use super::varint::{self, Reader};

/// Largest decimal exponent tried.
pub const EXPONENT_MAX: u8 = 14;
/// Exponent code of the raw form.
pub const RAW: u8 = 15;

const POW10: [f64; 15] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
];

/// Largest magnitude whose neighbours are all integers in a double, less one bit of safety.
const INT_MAX: f64 = 4_503_599_627_370_496.0; // 2^52
/// Adding and subtracting this rounds a double below 2^51 to the nearest integer.
const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52

/// Working memory of encoder and decoder.
#[derive(Debug, Default)]
pub struct Scratch {
    ints: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
    inner: ints::Scratch,
}

/// The integer `i` with `i / 10^e == v` to the bit, if there is one.
#[inline]
fn as_decimal(v: f64, e: u8) -> Option<i64> {
    if e == 0 {
        let i = v as i64;
        return (i as f64 == v && v.abs() < INT_MAX).then_some(i);
    }
    let p = POW10[e as usize];
    let x = v * p;
    if x.abs() >= INT_MAX / 2.0 {
        return None;
    }
    let i = (x + ROUND) - ROUND;
    (i / p == v).then_some(i as i64)
}

#[inline]
fn is_special(v: f64) -> bool {
    !v.is_finite() || (v == 0.0 && v.is_sign_negative())
}

/// Appends an encoding of `vs`. Cost: about 9 ns a value.
pub fn encode(vs: &[f64], out: &mut Vec<u8>, s: &mut Scratch) {
    let exponent = choose_exponent(vs, s);
    s.ints.clear();
    if exponent == RAW {
        s.exceptions.clear();
        s.ints.extend(vs.iter().map(|v| ordered_bits(*v)));
    } else {
        let mut last = 0i64;
        let mut step = 0i64;
        let mut next = 0;
        for (i, v) in vs.iter().enumerate() {
            let d = if s.exceptions.get(next).is_some_and(|x| x.0 == i) {
                next += 1;
                // Continue the line, so that a patched value does not disturb the deltas.
                last.wrapping_add(step)
            } else {
                as_decimal(*v, exponent).unwrap_or(last)
            };
            step = d.wrapping_sub(last);
            last = d;
            s.ints.push(d);
        }
    }
    out.push(exponent | u8::from(!s.exceptions.is_empty()) << 4);
    ints::encode(&s.ints, out, &mut s.inner);
    if !s.exceptions.is_empty() {
        varint::put(out, s.exceptions.len() as u64);
        let mut at = 0;
        for (i, bits) in &s.exceptions {
            varint::put(out, (i - at) as u64);
            out.extend_from_slice(&bits.to_le_bytes());
            at = *i;
        }
    }
}

/// Smallest exponent that reproduces all values but a few, which go to `s.exceptions`; [`RAW`] when
/// there would be too many.
fn choose_exponent(vs: &[f64], s: &mut Scratch) -> u8 {
    // One exception costs about 9 bytes, a raw value about 7.
    let bad_max = vs.len() / 16 + 1;
    s.exceptions.clear();
    let mut e = 0;
    let mut bad = 0;
    for (i, v) in vs.iter().enumerate() {
        if is_special(*v) {
            s.exceptions.push((i, v.to_bits()));
            continue;
        }
        if as_decimal(*v, e).is_some() {
            continue;
        }
        match (e + 1..=EXPONENT_MAX).find(|x| as_decimal(*v, *x).is_some()) {
            Some(x) => e = x,
            None => {
                bad += 1;
                if bad > bad_max {
                    return RAW;
                }
                s.exceptions.push((i, v.to_bits()));
            }
        }
    }
    // A larger exponent may have pushed earlier values past the integer range.
    if e > 0 {
        let mut all = std::mem::take(&mut s.exceptions);
        all.clear();
        bad = 0;
        for (i, v) in vs.iter().enumerate() {
            if is_special(*v) {
                all.push((i, v.to_bits()));
            } else if as_decimal(*v, e).is_none() {
                bad += 1;
                all.push((i, v.to_bits()));
            }
        }
        s.exceptions = all;
        if bad > bad_max {
            return RAW;
        }
    }
    e
}

/// Bits of `v` as an integer that orders as the numbers do.
#[inline]
fn ordered_bits(v: f64) -> i64 {
    let b = v.to_bits() as i64;
    b ^ (((b >> 63) as u64) >> 1) as i64
}

#[inline]
fn from_ordered_bits(i: i64) -> f64 {
    f64::from_bits((i ^ (((i >> 63) as u64) >> 1) as i64) as u64)
}

/// Decodes `n` values, appends them to `out` and moves `r` past them. Cost: about 1.5 ns a value.
///
/// # Errors
/// When the bytes are not an encoding of `n` values.
pub fn decode(
    r: &mut Reader<'_>,
    n: usize,
    out: &mut Vec<f64>,
    s: &mut Scratch,
) -> Result<(), ChunkError> {
    let head = head(r)?;
    ints::decode(r, n, &mut s.ints)?;
    let start = out.len();
    numbers(head, &s.ints, out);
    if head & 0x10 != 0 {
        let count = r.index(n + 1)?;
        let mut at = 0;
        for _ in 0..count {
            at += r.index(n)?;
            let bits = r.u64()?;
            let v = out
                .get_mut(start + at)
                .ok_or(ChunkError("exception outside the run"))?;
            *v = f64::from_bits(bits);
        }
    }
    Ok(())
}

/// Appends the first of `n` values that `bytes` begins with: at least `want`, if there are so many.
/// Cost: that of the values up to there, unless some of them are exceptions.
///
/// # Errors
/// When the bytes are not an encoding of so many values.
pub fn decode_first(
    bytes: &[u8],
    (n, want): (usize, usize),
    out: &mut Vec<f64>,
    s: &mut Scratch,
) -> Result<(), ChunkError> {
    let mut r = Reader::new(bytes);
    let first = head(&mut r)?;
    if want >= n || first & 0x10 != 0 {
        return decode(&mut Reader::new(bytes), n, out, s);
    }
    ints::decode_first(&mut r, (n, want), &mut s.ints)?;
    numbers(first, &s.ints, out);
    Ok(())
}

fn head(r: &mut Reader<'_>) -> Result<u8, ChunkError> {
    let head = r.u8()?;
    if head & 0xe0 != 0 {
        return Err(ChunkError("reserved bits set"));
    }
    Ok(head)
}

/// Appends integers as the numbers that they stand for.
fn numbers(head: u8, ints: &[i64], out: &mut Vec<f64>) {
    match head & 0x0f {
        RAW => out.extend(ints.iter().map(|i| from_ordered_bits(*i))),
        0 => out.extend(ints.iter().map(|i| *i as f64)),
        e => {
            let p = POW10[e as usize];
            out.extend(ints.iter().map(|i| *i as f64 / p));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::STALE_NAN_BITS;
    use proptest::prelude::*;

    fn round_trip(vs: &[f64]) -> usize {
        let mut out = Vec::new();
        let mut s = Scratch::default();
        encode(vs, &mut out, &mut s);
        let mut back = Vec::new();
        let mut r = Reader::new(&out);
        decode(&mut r, vs.len(), &mut back, &mut s).expect("decodes");
        assert!(r.rest.is_empty(), "all bytes read");
        let bits = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(vs), bits(&back));
        for want in [
            0,
            1,
            2,
            vs.len() / 2,
            vs.len().saturating_sub(1),
            usize::MAX,
        ] {
            let mut first = vec![7.0];
            decode_first(&out, (vs.len(), want), &mut first, &mut s).expect("decodes");
            let first = &first[1..];
            assert!(first.len() >= want.min(vs.len()) && first.len() <= vs.len());
            assert_eq!(bits(&vs[..first.len()]), bits(first), "{want}");
        }
        out.len()
    }

    #[test]
    fn typical_series_are_small() {
        let counter: Vec<f64> = (0..480)
            .map(|i| f64::from(1_000_000 + i * 17 + i % 5))
            .collect();
        assert!(round_trip(&counter) < 480);
        let cents: Vec<f64> = (0..480)
            .map(|i| f64::from(5000 + (i * 7) % 90) / 100.0)
            .collect();
        assert!(round_trip(&cents) < 600);
        assert!(round_trip(&[3.5; 480]) < 8);
        let pages: Vec<f64> = (0..480)
            .map(|i| f64::from(900 + (i * 31) % 64) * 4096.0)
            .collect();
        assert!(round_trip(&pages) < 480);
    }

    #[test]
    fn a_stale_marker_does_not_spoil_the_chunk() {
        let mut vs: Vec<f64> = (0..120).map(f64::from).collect();
        let clean = round_trip(&vs);
        vs[60] = f64::from_bits(STALE_NAN_BITS);
        assert!(round_trip(&vs) < clean + 24);
    }

    fn hostile() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-1_000_000i64..1_000_000).prop_map(|i| i as f64),
            4 => (-1_000_000i64..1_000_000, 0usize..15).prop_map(|(i, e)| i as f64 / POW10[e]),
            2 => any::<u64>().prop_map(f64::from_bits),
            1 => prop::sample::select(vec![
                0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE, 5e-324,
                f64::MAX, f64::MIN, 9_007_199_254_740_992.0, 9_007_199_254_740_991.0,
                9_007_199_254_740_993.0, 4_503_599_627_370_496.0, 4_503_599_627_370_495.5, 0.1,
                1e14, 1e15, 1e22, 1e23, -1e14, f64::from_bits(STALE_NAN_BITS),
                f64::from_bits(0xfff8_dead_beef_0001),
            ]),
        ]
    }

    proptest! {
        #[test]
        fn prop_values_round_trip(vs in prop::collection::vec(hostile(), 1..400)) {
            round_trip(&vs);
        }

        #[test]
        fn prop_one_kind_round_trips(
            start in -1_000_000i64..1_000_000, step in -1000i64..1000, e in 0usize..15,
            n in 1usize..600, jump in 0usize..600,
        ) {
            let vs: Vec<f64> = (0..n as i64)
                .map(|i| (start + i * step + if i as usize > jump { 1 << 40 } else { 0 }) as f64 / POW10[e])
                .collect();
            round_trip(&vs);
        }

        #[test]
        fn prop_ints_round_trip(xs in prop::collection::vec(any::<i64>(), 1..300), shift in 0u32..60) {
            let xs: Vec<i64> = xs.iter().map(|x| x >> shift).collect();
            let mut out = Vec::new();
            ints::encode(&xs, &mut out, &mut ints::Scratch::default());
            let mut back = Vec::new();
            ints::decode(&mut Reader::new(&out), xs.len(), &mut back).expect("decodes");
            prop_assert_eq!(xs, back);
        }

        #[test]
        fn prop_arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), n in 0usize..1000) {
            let mut out = Vec::new();
            let done = decode(&mut Reader::new(&bytes), n, &mut out, &mut Scratch::default());
            prop_assert!(done.is_err() || out.len() == n);
        }
    }
}
