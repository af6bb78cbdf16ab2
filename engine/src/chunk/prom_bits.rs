//! Bit streams and the bit-level codes of Prometheus' chunks.
//!
//! Owns: a bit writer and reader, varbit integers, the XOR code of floats, zero thresholds and
//! custom bounds.
//! Knows nothing of: samples, histograms, chunk headers.

/// Why bytes are not a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The stream ends within a sample.
    #[error("chunk ends early")]
    Truncated,
    /// The stream says something impossible.
    #[error("corrupt chunk: {0}")]
    Corrupt(&'static str),
}

/// Appends bits, most significant first.
#[derive(Debug, Clone, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Unused low bits of the last byte.
    free: u32,
}

impl BitWriter {
    /// A stream after the given whole bytes.
    pub(crate) fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes the low `n` (at most 64) bits of `v`.
    #[inline]
    pub(crate) fn bits(&mut self, v: u64, n: u32) {
        let mut left = n;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = left.min(self.free);
            let part = (v >> (left - take)) & ((1 << take) - 1);
            self.free -= take;
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part << self.free) as u8;
            }
            left -= take;
        }
    }

    pub(crate) fn uvarint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.bits(v & 0x7f | 0x80, 8);
            v >>= 7;
        }
        self.bits(v, 8);
    }

    /// Unsigned varbit code.
    pub(crate) fn varbit_uint(&mut self, v: u64) {
        let need = 64 - v.leading_zeros();
        match VARBIT.iter().find(|(_, _, width)| need <= *width) {
            _ if v == 0 => self.bits(0, 1),
            Some(&(prefix, len, width)) => {
                self.bits(prefix, len);
                self.bits(v, width);
            }
            None => {
                self.bits(0xff, 8);
                self.bits(v, 64);
            }
        }
    }

    /// Signed varbit code; every width reaches one further up than down.
    pub(crate) fn varbit_int(&mut self, v: i64) {
        match VARBIT.iter().find(|(_, _, width)| fits(v, *width)) {
            _ if v == 0 => self.bits(0, 1),
            Some(&(prefix, len, width)) => {
                self.bits(prefix, len);
                self.bits(v.cast_unsigned(), width);
            }
            None => {
                self.bits(0xff, 8);
                self.bits(v.cast_unsigned(), 64);
            }
        }
    }

    /// Writes `v` as the difference in bits to `state.value`, which becomes `v`.
    #[inline]
    pub(crate) fn xor(&mut self, state: &mut Xor, v: f64) {
        let delta = v.to_bits() ^ state.value.to_bits();
        state.value = v;
        if delta == 0 {
            self.bits(0, 1);
            return;
        }
        // Five bits hold the leading zeros.
        let leading = delta.leading_zeros().min(31);
        let trailing = delta.trailing_zeros();
        if state.known && leading >= state.leading && trailing >= state.trailing {
            self.bits(0b10, 2);
            self.bits(delta >> state.trailing, 64 - state.leading - state.trailing);
            return;
        }
        (state.leading, state.trailing, state.known) = (leading, trailing, true);
        let significant = 64 - leading - trailing;
        self.bits(0b11, 2);
        self.bits(u64::from(leading), 5);
        // 64 does not fit into six bits and is written as 0; 0 itself never occurs.
        self.bits(u64::from(significant), 6);
        self.bits(delta >> trailing, significant);
    }

    /// One byte for 0 and for powers of two from 2^-243 to 2^10, nine bytes for others.
    pub(crate) fn zero_threshold(&mut self, v: f64) {
        match threshold_code(v) {
            Some(code) => self.bits(u64::from(code), 8),
            None => {
                self.bits(255, 8);
                self.bits(v.to_bits(), 64);
            }
        }
    }

    /// Thousandths as a small integer, other bounds as 64 bits after a zero bit.
    pub(crate) fn custom_bound(&mut self, v: f64) {
        let scaled = v * 1000.0;
        let whole = scaled.round();
        // By bits, so that -0 keeps its sign.
        let small = (0.0..=33_554_430.0).contains(&scaled);
        if small && ((whole as u64) as f64 / 1000.0).to_bits() == v.to_bits() {
            self.varbit_uint(whole as u64 + 1);
        } else {
            self.bits(0, 1);
            self.bits(v.to_bits(), 64);
        }
    }
}

/// Prefix, its length, and the width of the number after it.
const VARBIT: [(u64, u32, u32); 7] = [
    (0b10, 2, 3),
    (0b110, 3, 6),
    (0b1110, 4, 9),
    (0b1_1110, 5, 12),
    (0b11_1110, 6, 18),
    (0b111_1110, 7, 25),
    (0b1111_1110, 8, 56),
];

/// True when `v` is in `-(2^(n-1) - 1) ..= 2^(n-1)`.
#[inline]
pub(crate) fn fits(v: i64, n: u32) -> bool {
    -((1i64 << (n - 1)) - 1) <= v && v <= 1i64 << (n - 1)
}

/// Undoes the two's complement of width `n` under the range of [`fits`].
#[inline]
pub(crate) fn extend(bits: u64, n: u32) -> i64 {
    if bits > 1u64 << (n - 1) {
        bits.wrapping_sub(1u64 << n).cast_signed()
    } else {
        bits.cast_signed()
    }
}

fn threshold_code(v: f64) -> Option<u8> {
    let bits = v.to_bits();
    if bits == 0 {
        return Some(0);
    }
    let exponent = (bits >> 52 & 0x7ff) as i32;
    // A power of two: positive, no fraction, not subnormal. As 0.5 * 2^e.
    if bits >> 63 != 0 || bits << 12 != 0 || exponent == 0 {
        return None;
    }
    let e = exponent - 1022;
    (-242..=11)
        .contains(&e)
        .then(|| u8::try_from(e + 243).unwrap_or(255))
}

/// State of the XOR code of one float sequence.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Xor {
    pub(crate) value: f64,
    leading: u32,
    trailing: u32,
    /// A window was written before.
    known: bool,
}

impl Xor {
    pub(crate) fn new(value: f64) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
}

/// Reads bits, most significant first.
#[derive(Debug, Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// Reads `n` (at most 64) bits.
    #[inline]
    pub(crate) fn bits(&mut self, n: u32) -> Result<u64, ChunkError> {
        if n as usize > self.left() {
            return Err(ChunkError::Truncated);
        }
        let (byte, bit) = (self.at / 8, (self.at % 8) as u32);
        self.at += n as usize;
        // One load covers everything up to 57 bits, away from the end of the stream.
        if bit + n <= 64
            && n > 0
            && let Some(head) = self.bytes.get(byte..).and_then(<[u8]>::first_chunk::<8>)
        {
            return Ok(u64::from_be_bytes(*head) << bit >> (64 - n));
        }
        let (mut v, mut left, mut bit) = (0u64, n, bit);
        for b in &self.bytes[byte..] {
            if left == 0 {
                break;
            }
            let take = left.min(8 - bit);
            let part = u64::from(*b) >> (8 - bit - take) & ((1 << take) - 1);
            v = v << take | part;
            left -= take;
            bit = 0;
        }
        Ok(v)
    }

    #[inline]
    pub(crate) fn bit(&mut self) -> Result<bool, ChunkError> {
        let b = self.bytes.get(self.at / 8).ok_or(ChunkError::Truncated)?;
        let set = b >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Ok(set)
    }

    /// Number of one bits before the first zero bit (which is consumed), at most `max`.
    pub(crate) fn ones(&mut self, max: u32) -> Result<u32, ChunkError> {
        for n in 0..max {
            if !self.bit()? {
                return Ok(n);
            }
        }
        Ok(max)
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64, ChunkError> {
        let mut v = 0u64;
        for i in 0..10 {
            let b = self.bits(8)?;
            v |= (b & 0x7f) << (7 * i);
            if b < 0x80 {
                return Ok(v);
            }
        }
        Err(ChunkError::Corrupt("varint overflow"))
    }

    pub(crate) fn varbit_uint(&mut self) -> Result<u64, ChunkError> {
        match self.ones(8)? {
            0 => Ok(0),
            8 => self.bits(64),
            n => self.bits(VARBIT[n as usize - 1].2),
        }
    }

    pub(crate) fn varbit_int(&mut self) -> Result<i64, ChunkError> {
        match self.ones(8)? {
            0 => Ok(0),
            8 => Ok(self.bits(64)?.cast_signed()),
            n => {
                let width = VARBIT[n as usize - 1].2;
                Ok(extend(self.bits(width)?, width))
            }
        }
    }

    /// Reads the next value of the sequence into `state.value`.
    #[inline]
    pub(crate) fn xor(&mut self, state: &mut Xor) -> Result<(), ChunkError> {
        if !self.bit()? {
            return Ok(());
        }
        if self.bit()? {
            let leading = self.bits(5)? as u32;
            let significant = match self.bits(6)? as u32 {
                0 => 64,
                n => n,
            };
            if leading + significant > 64 {
                return Err(ChunkError::Corrupt("more than 64 bits in a value"));
            }
            state.leading = leading;
            state.trailing = 64 - leading - significant;
        }
        let bits = self.bits(64 - state.leading - state.trailing)?;
        state.value = f64::from_bits(state.value.to_bits() ^ bits << state.trailing);
        Ok(())
    }

    pub(crate) fn zero_threshold(&mut self) -> Result<f64, ChunkError> {
        Ok(match self.bits(8)? {
            0 => 0.0,
            255 => f64::from_bits(self.bits(64)?),
            code => f64::from_bits((code + 1022 - 243) << 52),
        })
    }

    pub(crate) fn custom_bound(&mut self) -> Result<f64, ChunkError> {
        Ok(match self.varbit_uint()? {
            0 => f64::from_bits(self.bits(64)?),
            n => (n - 1) as f64 / 1000.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thresholds_use_one_byte_for_powers_of_two() {
        for (v, len) in [
            (0.0, 1),
            (2f64.powi(-128), 1),
            (2f64.powi(-243), 1),
            (2f64.powi(10), 1),
            (2f64.powi(-244), 9),
            (2f64.powi(11), 9),
            (0.001, 9),
            (-0.5, 9),
            (5e-324, 9),
        ] {
            let mut w = BitWriter::default();
            w.zero_threshold(v);
            assert_eq!(w.bytes().len(), len, "{v}");
            assert_eq!(BitReader::new(w.bytes()).zero_threshold(), Ok(v));
        }
        let mut w = BitWriter::default();
        w.zero_threshold(2f64.powi(-128));
        assert_eq!(w.bytes(), [116]);
    }

    proptest! {
        #[test]
        fn codes_round_trip(ops in proptest::collection::vec((any::<u64>(), 0u32..64, any::<f64>()), 0..40)) {
            let mut w = BitWriter::default();
            let mut state = Xor::new(0.0);
            for (v, shift, f) in &ops {
                let v = v >> shift;
                w.bits(v, 64 - shift);
                w.varbit_uint(v);
                w.varbit_int(v.cast_signed());
                w.varbit_int(v.cast_signed().wrapping_neg());
                w.uvarint(v);
                w.xor(&mut state, *f);
                w.custom_bound((f * 1000.0).round() / 1000.0);
                w.custom_bound((v % 40_000_000) as f64 / 1000.0);
            }
            let mut r = BitReader::new(w.bytes());
            let mut state = Xor::new(0.0);
            for (v, shift, f) in &ops {
                let v = v >> shift;
                prop_assert_eq!(r.bits(64 - shift), Ok(v));
                prop_assert_eq!(r.varbit_uint(), Ok(v));
                prop_assert_eq!(r.varbit_int(), Ok(v.cast_signed()));
                prop_assert_eq!(r.varbit_int(), Ok(v.cast_signed().wrapping_neg()));
                prop_assert_eq!(r.uvarint(), Ok(v));
                r.xor(&mut state).expect("written");
                prop_assert_eq!(state.value.to_bits(), f.to_bits());
                prop_assert_eq!(r.custom_bound().map(f64::to_bits), Ok(((f * 1000.0).round() / 1000.0).to_bits()));
                prop_assert_eq!(r.custom_bound(), Ok((v % 40_000_000) as f64 / 1000.0));
            }
            prop_assert!(r.left() < 8);
        }
    }
}
