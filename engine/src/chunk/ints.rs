//! Runs of integers: constant, plain, delta or delta of delta, bit-packed with patches.

use std::ops::Range;

use super::ChunkError;
use super::varint::{self, Reader};

/// Values packed with one width.
pub const MINIBLOCK: usize = 128;

const CONSTANT: u8 = 0;
const CONSTANT_DELTA: u8 = 1;
const PLAIN: u8 = 2;
const DELTA: u8 = 3;
const DELTA_OF_DELTA: u8 = 4;

/// Appends an encoding of `xs`; `scratch` is working memory.
/// Cost: about 6 ns a value (three modes are measured exactly).
pub fn encode(xs: &[i64], out: &mut Vec<u8>, scratch: &mut Scratch) {
    let Some((&first, rest)) = xs.split_first() else {
        return;
    };
    if rest.iter().all(|x| *x == first) {
        out.push(CONSTANT);
        varint::put_signed(out, first);
        return;
    }
    let d0 = rest[0].wrapping_sub(first);
    scratch.delta.clear();
    scratch
        .delta
        .extend(xs.windows(2).map(|w| w[1].wrapping_sub(w[0])));
    if scratch.delta.iter().all(|d| *d == d0) {
        out.push(CONSTANT_DELTA);
        varint::put_signed(out, first);
        varint::put_signed(out, d0);
        return;
    }
    scratch.dod.clear();
    scratch
        .dod
        .extend(scratch.delta.windows(2).map(|w| w[1].wrapping_sub(w[0])));
    let plain = cost(xs);
    let delta = cost(&scratch.delta) + 3;
    let dod = cost(&scratch.dod) + 5;
    if plain <= delta && plain <= dod {
        out.push(PLAIN);
        put_blocks(xs, out);
    } else if delta <= dod {
        out.push(DELTA);
        varint::put_signed(out, first);
        put_blocks(&scratch.delta, out);
    } else {
        out.push(DELTA_OF_DELTA);
        varint::put_signed(out, first);
        varint::put_signed(out, d0);
        put_blocks(&scratch.dod, out);
    }
}

/// Working memory of the encoder.
#[derive(Debug, Default)]
pub struct Scratch {
    delta: Vec<i64>,
    dod: Vec<i64>,
}

/// How a miniblock is packed.
struct Plan {
    min: i64,
    shift: u32,
    width: u32,
    exceptions: usize,
    bytes: usize,
}

fn plan(xs: &[i64]) -> Plan {
    let min = xs.iter().copied().min().unwrap_or(0);
    let mut or = 0u64;
    for x in xs {
        or |= x.wrapping_sub(min) as u64;
    }
    let shift = if or == 0 { 0 } else { or.trailing_zeros() };
    let top = 64 - (or >> shift).leading_zeros();
    let base = varint::len(((min << 1) ^ (min >> 63)) as u64) + 1;
    let packed = |w: u32| (xs.len() * w as usize).div_ceil(8);
    let ext = |exceptions: usize| if shift > 0 || exceptions > 0 { 2 } else { 0 };
    let mut best = Plan {
        min,
        shift,
        width: top,
        exceptions: 0,
        bytes: base + packed(top) + ext(0),
    };
    if top < 2 {
        return best;
    }
    let mut hist = [0u16; 65];
    for x in xs {
        let r = x.wrapping_sub(min) as u64 >> shift;
        hist[64 - r.leading_zeros() as usize] += 1;
    }
    let mut exceptions = 0;
    let mut patch_bits = 0; // sum of (bits) over exceptions, to size their varints
    for w in (0..top).rev() {
        let n = hist[w as usize + 1] as usize;
        exceptions += n;
        patch_bits += n * (w as usize + 1);
        if exceptions > xs.len() / 4 {
            break;
        }
        // Each patch: position, and its high bits in groups of seven, rounded up.
        let patches = exceptions + (patch_bits - exceptions * w as usize + exceptions * 6) / 7;
        let bytes = base + packed(w) + ext(exceptions) + patches;
        if bytes < best.bytes {
            best = Plan {
                min,
                shift,
                width: w,
                exceptions,
                bytes,
            };
        }
    }
    best
}

fn cost(xs: &[i64]) -> usize {
    xs.chunks(MINIBLOCK).map(|b| plan(b).bytes).sum()
}

fn put_blocks(xs: &[i64], out: &mut Vec<u8>) {
    for block in xs.chunks(MINIBLOCK) {
        put_block(block, &plan(block), out);
    }
}

fn put_block(xs: &[i64], p: &Plan, out: &mut Vec<u8>) {
    varint::put_signed(out, p.min);
    let extended = p.shift > 0 || p.exceptions > 0;
    out.push(p.width as u8 | u8::from(extended) << 7);
    if extended {
        out.push(p.shift as u8);
        out.push(p.exceptions as u8);
    }
    let mask = if p.width == 64 {
        u64::MAX
    } else {
        (1u64 << p.width) - 1
    };
    let mut acc = 0u128;
    let mut bits = 0;
    for x in xs {
        let r = x.wrapping_sub(p.min) as u64 >> p.shift;
        acc |= u128::from(r & mask) << bits;
        bits += p.width;
        while bits >= 8 {
            out.push(acc as u8);
            acc >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(acc as u8);
    }
    if p.exceptions > 0 {
        for (i, x) in xs.iter().enumerate() {
            let r = x.wrapping_sub(p.min) as u64 >> p.shift;
            let high = r.checked_shr(p.width).unwrap_or(0);
            if high != 0 {
                out.push(i as u8);
                varint::put(out, high);
            }
        }
    }
}

/// Decodes `n` values into `out` (cleared first) and moves `r` past them.
/// Cost: about 1 ns a value.
///
/// # Errors
/// When the bytes are not an encoding of `n` values.
pub fn decode(r: &mut Reader<'_>, n: usize, out: &mut Vec<i64>) -> Result<(), ChunkError> {
    decode_first(r, (n, n), out)
}

/// The same for the first of `n` values: at least `want`, if there are so many. Where `r` stands
/// afterwards is nobody's business, unless all are wanted.
///
/// # Errors
/// When the bytes are not an encoding of so many values.
pub(super) fn decode_first(
    r: &mut Reader<'_>,
    (n, want): (usize, usize),
    out: &mut Vec<i64>,
) -> Result<(), ChunkError> {
    out.clear();
    if n == 0 {
        return Ok(());
    }
    let want = want.clamp(1, n);
    out.reserve(want.next_multiple_of(MINIBLOCK).min(n));
    match r.u8()? {
        CONSTANT => {
            let v = r.signed()?;
            out.resize(want, v);
        }
        CONSTANT_DELTA => {
            let mut v = r.signed()?;
            let d = r.signed()?;
            for _ in 0..want {
                out.push(v);
                v = v.wrapping_add(d);
            }
        }
        PLAIN => get_blocks(r, (n, want), out)?,
        DELTA => {
            let first = r.signed()?;
            out.push(first);
            get_blocks(r, (n - 1, want - 1), out)?;
            prefix_sum(out);
        }
        DELTA_OF_DELTA => {
            let first = r.signed()?;
            let d0 = r.signed()?;
            if n < 2 {
                return Err(ChunkError("delta of delta over one value"));
            }
            out.push(d0);
            get_blocks(r, (n - 2, want.saturating_sub(2)), out)?;
            prefix_sum(out);
            // `out` holds differences now, one less than there are values.
            let mut v = first;
            for x in out.iter_mut() {
                let d = *x;
                *x = v;
                v = v.wrapping_add(d);
            }
            out.push(v);
        }
        _ => return Err(ChunkError("unknown mode")),
    }
    Ok(())
}

fn prefix_sum(xs: &mut [i64]) {
    let mut v = 0i64;
    for x in xs {
        v = v.wrapping_add(*x);
        *x = v;
    }
}

/// Unpacks the first of `n` values: whole blocks, until there are `want`.
fn get_blocks(
    r: &mut Reader<'_>,
    (n, want): (usize, usize),
    out: &mut Vec<i64>,
) -> Result<(), ChunkError> {
    let mut done = 0;
    while done < want {
        let m = (n - done).min(MINIBLOCK);
        get_block(r, m, out)?;
        done += m;
    }
    Ok(())
}

fn get_block(r: &mut Reader<'_>, n: usize, out: &mut Vec<i64>) -> Result<(), ChunkError> {
    let min = r.signed()?;
    let h = r.u8()?;
    let width = u32::from(h & 0x7f);
    if width > 64 {
        return Err(ChunkError("width above 64"));
    }
    let (shift, exceptions) = if h & 0x80 != 0 {
        (u32::from(r.u8()?), usize::from(r.u8()?))
    } else {
        (0, 0)
    };
    if shift > 63 {
        return Err(ChunkError("shift above 63"));
    }
    let before = r.rest;
    let packed = r.bytes((n * width as usize).div_ceil(8))?;
    let start = out.len();
    let value = |v: u64| min.wrapping_add((v << shift) as i64);
    // Groups that fit one load; what is left of the block goes one by one.
    let done = match width {
        1..=8 => unpack_groups::<8>(before, width, n, value, out),
        9..=16 => unpack_groups::<4>(before, width, n, value, out),
        17..=28 => unpack_groups::<2>(before, width, n, value, out),
        _ => 0,
    };
    unpack(packed, before, width, done..n, |v| out.push(value(v)));
    for _ in 0..exceptions {
        let at = usize::from(r.u8()?);
        let high = r.varint()?.checked_shl(width + shift).unwrap_or(0);
        let x = out
            .get_mut(start + at)
            .ok_or(ChunkError("exception outside the block"))?;
        *x = x.wrapping_add(high as i64);
    }
    Ok(())
}

/// Unpacks the first of `n` numbers of `width` bits, `K` with each load of eight bytes, as long as
/// those are there: with the widths that it is for, `K` numbers never end outside of the eight bytes
/// that begin where they begin. Gives how many it did.
#[inline]
fn unpack_groups<const K: usize>(
    around: &[u8],
    width: u32,
    n: usize,
    value: impl Fn(u64) -> i64,
    out: &mut Vec<i64>,
) -> usize {
    let mask = (1u64 << width) - 1;
    for g in 0..n / K {
        let bit = g * K * width as usize;
        let Some(b) = around.get(bit >> 3..).and_then(<[u8]>::first_chunk) else {
            return g * K;
        };
        let loaded = u64::from_le_bytes(*b) >> (bit & 7);
        let group: [i64; K] = std::array::from_fn(|k| value(loaded >> (k as u32 * width) & mask));
        out.extend_from_slice(&group);
    }
    n / K * K
}

/// Unpacks numbers of `width` bits, those with the numbers `which`. `around` starts at the same
/// byte as `packed` and may be longer, so that most numbers are read with one eight-byte load.
#[inline]
fn unpack(packed: &[u8], around: &[u8], width: u32, which: Range<usize>, mut put: impl FnMut(u64)) {
    if width == 0 {
        which.for_each(|_| put(0));
        return;
    }
    let mask = if width == 64 {
        u64::MAX
    } else {
        (1u64 << width) - 1
    };
    let width = width as usize;
    for i in which {
        let bit = i * width;
        let (byte, off) = (bit >> 3, bit & 7);
        let v = match around.get(byte..byte + 8) {
            Some(b) if off + width <= 64 => {
                u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) >> off
            }
            _ => {
                let end = (bit + width).div_ceil(8).min(packed.len());
                let mut wide = 0u128;
                for (k, b) in packed[byte..end].iter().enumerate() {
                    wide |= u128::from(*b) << (8 * k);
                }
                (wide >> off) as u64
            }
        };
        put(v & mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every width with every number of values around the sizes of groups and blocks, with nothing
    /// after the packed bytes and with something.
    #[test]
    fn all_widths_come_back() {
        let mut seed = 7_u64;
        let mut random = || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            seed ^ seed >> 29
        };
        for width in 0..=64_u32 {
            for n in (1..=20).chain([63, 64, 65, 127, 128, 129, 130, 131, 256, 300]) {
                let xs: Vec<i64> = (0..n)
                    .map(|_| random().checked_shr(64 - width).unwrap_or(0) as i64)
                    .collect();
                let mut bytes = Vec::new();
                encode(&xs, &mut bytes, &mut Scratch::default());
                for more in [0, 1, 7, 8, 30] {
                    let mut all = bytes.clone();
                    all.resize(bytes.len() + more, 0xa5);
                    let (mut r, mut back) = (Reader::new(&all), Vec::new());
                    decode(&mut r, n, &mut back).expect("decodes");
                    assert_eq!(xs, back, "width {width}");
                    assert_eq!(r.rest.len(), more);
                }
            }
        }
    }
}
