//! Float chunks, bit for bit as Prometheus writes them (encoding number 1, "XOR").
//!
//! Layout: sample count (u16, big endian), then a bit stream. First sample: time as zig-zag
//! varint, value as 64 bits. Second: time difference as varint, XOR value. Then: difference of
//! differences in 1, 16, 20, 24 or 68 bits, XOR value.
//!
//! Owns: that layout. Knows nothing of: files, checksums, series.

use super::prom_bits::{BitReader, BitWriter, ChunkError, Xor, extend, fits};
use super::varint::{unzigzag, zigzag};
use crate::model::Sample;

/// Encoding number of float chunks in Prometheus' files and messages.
pub const ENCODING_XOR: u8 = 1;

/// Prometheus cuts chunks at this many samples.
pub const SAMPLES_PER_CHUNK: usize = 120;

/// Builds a float chunk.
#[derive(Debug, Clone)]
pub struct XorEncoder {
    bits: BitWriter,
    count: u16,
    t: i64,
    delta: u64,
    value: Xor,
}

impl Default for XorEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl XorEncoder {
    /// An empty chunk.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bits: BitWriter::after(vec![0, 0]),
            count: 0,
            t: 0,
            delta: 0,
            value: Xor::default(),
        }
    }

    /// Appends a sample. Returns false, and changes nothing, when the chunk is full (65,535).
    pub fn push(&mut self, s: Sample) -> bool {
        let delta = s.t.wrapping_sub(self.t).cast_unsigned();
        match self.count {
            u16::MAX => return false,
            0 => {
                self.bits.uvarint(zigzag(s.t));
                self.bits.bits(s.v.to_bits(), 64);
                self.value = Xor::new(s.v);
            }
            1 => {
                self.bits.uvarint(delta);
                self.bits.xor(&mut self.value, s.v);
                self.delta = delta;
            }
            _ => {
                let dod = delta.wrapping_sub(self.delta).cast_signed();
                let (prefix, len, width) = match dod {
                    0 => (0, 1, 0),
                    d if fits(d, 14) => (0b10, 2, 14),
                    d if fits(d, 17) => (0b110, 3, 17),
                    d if fits(d, 20) => (0b1110, 4, 20),
                    _ => (0b1111, 4, 64),
                };
                self.bits.bits(prefix, len);
                self.bits.bits(dod.cast_unsigned(), width);
                self.bits.xor(&mut self.value, s.v);
                self.delta = delta;
            }
        }
        self.t = s.t;
        self.count += 1;
        self.bits.bytes_mut()[..2].copy_from_slice(&self.count.to_be_bytes());
        true
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// True without samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The chunk as it is now.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }

    /// The finished chunk.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bits.into_bytes()
    }
}

/// Reads a float chunk; after an error it ends.
#[derive(Debug, Clone)]
pub struct XorDecoder<'a> {
    bits: BitReader<'a>,
    read: u16,
    total: u16,
    t: i64,
    delta: u64,
    value: Xor,
}

impl<'a> XorDecoder<'a> {
    /// A decoder at the first sample of `chunk`.
    ///
    /// # Errors
    /// When the header is missing.
    pub fn new(chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let (head, rest) = chunk
            .split_first_chunk::<2>()
            .ok_or(ChunkError::Truncated)?;
        Ok(Self {
            bits: BitReader::new(rest),
            read: 0,
            total: u16::from_be_bytes(*head),
            t: 0,
            delta: 0,
            value: Xor::default(),
        })
    }

    /// Number of samples the header promises.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total.into()
    }

    #[inline]
    fn step(&mut self) -> Result<Sample, ChunkError> {
        match self.read {
            0 => {
                self.t = unzigzag(self.bits.uvarint()?);
                self.value = Xor::new(f64::from_bits(self.bits.bits(64)?));
            }
            1 => {
                self.delta = self.bits.uvarint()?;
                self.t = self.t.wrapping_add(self.delta.cast_signed());
                self.bits.xor(&mut self.value)?;
            }
            _ => {
                let dod = match self.bits.ones(4)? {
                    0 => 0,
                    1 => extend(self.bits.bits(14)?, 14),
                    2 => extend(self.bits.bits(17)?, 17),
                    3 => extend(self.bits.bits(20)?, 20),
                    _ => self.bits.bits(64)?.cast_signed(),
                };
                self.delta = self.delta.wrapping_add(dod.cast_unsigned());
                self.t = self.t.wrapping_add(self.delta.cast_signed());
                self.bits.xor(&mut self.value)?;
            }
        }
        self.read += 1;
        Ok(Sample {
            t: self.t,
            v: self.value.value,
        })
    }
}

impl Iterator for XorDecoder<'_> {
    type Item = Result<Sample, ChunkError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.read >= self.total {
            return None;
        }
        let s = self.step();
        if s.is_err() {
            self.total = self.read;
        }
        Some(s)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.total - self.read)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stale_nan;
    use proptest::prelude::*;

    #[test]
    fn the_first_samples_have_the_known_bytes() {
        let mut e = XorEncoder::new();
        e.push(Sample { t: 1000, v: 1.0 });
        e.push(Sample { t: 16_000, v: 1.0 });
        e.push(Sample { t: 31_000, v: 1.0 });
        // 1000 as zig-zag varint, 1.0, 15000 as varint, then three zero bits in one byte.
        let mut want = vec![0, 3, 0xd0, 0x0f];
        want.extend(1f64.to_bits().to_be_bytes());
        want.extend([0x98, 0x75, 0]);
        assert_eq!(e.finish(), want);
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-1000i32..1000).prop_map(f64::from),
            Just(stale_nan()),
            Just(f64::from_bits(crate::model::NORMAL_NAN_BITS)),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(0.0),
            Just(-0.0),
            Just(12.5),
        ]
    }

    fn gap() -> impl Strategy<Value = i64> {
        prop_oneof![
            Just(15_000),
            14_990i64..15_010,
            0i64..600_000,
            any::<i64>(),
            Just(15_000 + 8192),
            Just(15_000 - 8191),
            Just(15_000 + 65_536),
            Just(15_000 + 524_288),
        ]
    }

    proptest! {
        #[test]
        fn samples_round_trip_to_the_bit(
            start in any::<i64>(),
            steps in proptest::collection::vec((gap(), value()), 0..300),
        ) {
            let mut t = start;
            let mut e = XorEncoder::new();
            let mut want = Vec::new();
            for (gap, v) in steps {
                t = t.wrapping_add(gap);
                want.push((t, v.to_bits()));
                let pushed = e.push(Sample { t, v });
                prop_assert!(pushed);
            }
            let bytes = e.finish();
            let got: Result<Vec<_>, _> = XorDecoder::new(&bytes)
                .expect("has a header")
                .map(|s| s.map(|s| (s.t, s.v.to_bits())))
                .collect();
            prop_assert_eq!(got, Ok(want));
        }

        #[test]
        fn arbitrary_bytes_never_panic(b in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(d) = XorDecoder::new(&b) {
                prop_assert!(d.count() <= 65_535);
            }
        }
    }
}
