//! Native histogram chunks, bit for bit as Prometheus writes them (encodings 2 and 3).
//!
//! Layout: sample count (u16, big endian), one byte whose top two bits say what is known about a
//! counter reset at the start, then a bit stream: layout of the buckets (zero threshold, schema,
//! spans, custom bounds), the first sample in full, later ones as differences (times, integer
//! counts) or XOR (sums, float counts). A stale sample has no buckets and ends its chunk.
//!
//! Owns: that layout and the decision when a histogram needs a new chunk.
//! Knows nothing of: files, series, queries.

use super::prom_bits::{BitReader, BitWriter, ChunkError, Xor};
use crate::model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Counts, EXPONENTIAL_SCHEMA_MAX_RESERVED,
    EXPONENTIAL_SCHEMA_MIN, Histogram, HistogramPoint, Span,
};

/// Encoding number of integer histogram chunks in Prometheus' files and messages.
pub const ENCODING_HISTOGRAM: u8 = 2;
/// Encoding number of float histogram chunks.
pub const ENCODING_FLOAT_HISTOGRAM: u8 = 3;

fn header(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 0b1000_0000,
        CounterResetHint::NotReset => 0b0100_0000,
        CounterResetHint::Gauge => 0b1100_0000,
    }
}

fn hint_of(header: u8) -> CounterResetHint {
    match header >> 6 {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::NotReset,
        2 => CounterResetHint::Reset,
        _ => CounterResetHint::Gauge,
    }
}

/// Difference state of one integer sequence.
#[derive(Debug, Clone, Copy, Default)]
struct Dod {
    value: i64,
    delta: i64,
}

impl Dod {
    fn write(&mut self, bits: &mut BitWriter, v: i64) {
        let delta = v.wrapping_sub(self.value);
        bits.varbit_int(delta.wrapping_sub(self.delta));
        *self = Self { value: v, delta };
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<i64, ChunkError> {
        self.delta = self.delta.wrapping_add(bits.varbit_int()?);
        self.value = self.value.wrapping_add(self.delta);
        Ok(self.value)
    }
}

/// The changing part of a chunk, per kind of count.
#[derive(Debug, Clone)]
enum State {
    Integer {
        count: Dod,
        zero: Dod,
        positive: Vec<Dod>,
        negative: Vec<Dod>,
    },
    Float {
        count: Xor,
        zero: Xor,
        positive: Vec<Xor>,
        negative: Vec<Xor>,
    },
}

/// Builds a histogram chunk.
#[derive(Debug, Clone)]
pub struct HistogramEncoder {
    bits: BitWriter,
    num: u16,
    /// The last histogram written; its layout is the chunk's.
    last: Histogram,
    t: Dod,
    sum: Xor,
    state: State,
}

/// Stale samples carry no layout; integer and float stay apart.
fn canonical(h: &Histogram) -> Histogram {
    if !h.is_stale() {
        return h.clone();
    }
    let mut s = Histogram::stale();
    if !h.is_integer() {
        s.counts = Counts::Float {
            count: 0.0,
            zero: 0.0,
            positive: vec![],
            negative: vec![],
        };
    }
    s
}

impl HistogramEncoder {
    /// A chunk that starts with `p`. `p.h` must be valid (see [`Histogram::accept`]).
    #[must_use]
    pub fn new(p: &HistogramPoint) -> Self {
        let h = canonical(&p.h);
        let mut bits = BitWriter::after(vec![0, 1, header(p.h.hint)]);
        bits.zero_threshold(h.zero_threshold);
        bits.varbit_int(i64::from(h.schema));
        for spans in [&h.positive_spans, &h.negative_spans] {
            bits.varbit_uint(spans.len() as u64);
            for s in spans {
                bits.varbit_uint(u64::from(s.length));
                bits.varbit_int(i64::from(s.offset));
            }
        }
        if h.schema == CUSTOM_BUCKETS_SCHEMA {
            bits.varbit_uint(h.custom_values.len() as u64);
            for b in &h.custom_values {
                bits.custom_bound(*b);
            }
        }
        bits.varbit_int(p.t);
        let state = match &h.counts {
            Counts::Integer {
                count,
                zero,
                positive,
                negative,
            } => {
                bits.varbit_uint(*count);
                bits.varbit_uint(*zero);
                bits.bits(h.sum.to_bits(), 64);
                let mut first = |v: &i64| {
                    bits.varbit_int(*v);
                    Dod {
                        value: *v,
                        delta: 0,
                    }
                };
                State::Integer {
                    positive: positive.iter().map(&mut first).collect(),
                    negative: negative.iter().map(&mut first).collect(),
                    count: Dod {
                        value: count.cast_signed(),
                        delta: 0,
                    },
                    zero: Dod {
                        value: zero.cast_signed(),
                        delta: 0,
                    },
                }
            }
            Counts::Float {
                count,
                zero,
                positive,
                negative,
            } => {
                bits.bits(count.to_bits(), 64);
                bits.bits(zero.to_bits(), 64);
                bits.bits(h.sum.to_bits(), 64);
                let mut first = |v: &f64| {
                    bits.bits(v.to_bits(), 64);
                    Xor::new(*v)
                };
                State::Float {
                    positive: positive.iter().map(&mut first).collect(),
                    negative: negative.iter().map(&mut first).collect(),
                    count: Xor::new(*count),
                    zero: Xor::new(*zero),
                }
            }
        };
        Self {
            bits,
            num: 1,
            sum: Xor::new(h.sum),
            last: h,
            t: Dod {
                value: p.t,
                delta: 0,
            },
            state,
        }
    }

    /// Appends `p` if it belongs into this chunk: same layout and kind of counts, no counter
    /// reset, room left. Returns false, and changes nothing, when it needs a new chunk.
    pub fn push(&mut self, p: &HistogramPoint) -> bool {
        let h = canonical(&p.h);
        if self.num == u16::MAX || !self.belongs(&h, p.h.hint) {
            return false;
        }
        self.t.write(&mut self.bits, p.t);
        let stale = h.is_stale();
        let bits = &mut self.bits;
        match (&mut self.state, &h.counts) {
            (State::Integer { .. }, _) if stale => {
                bits.varbit_int(0);
                bits.varbit_int(0);
                bits.xor(&mut self.sum, h.sum);
            }
            (
                State::Integer {
                    count,
                    zero,
                    positive,
                    negative,
                },
                Counts::Integer {
                    count: c,
                    zero: z,
                    positive: p,
                    negative: n,
                },
            ) => {
                count.write(bits, c.cast_signed());
                zero.write(bits, z.cast_signed());
                bits.xor(&mut self.sum, h.sum);
                for (state, v) in positive.iter_mut().zip(p).chain(negative.iter_mut().zip(n)) {
                    state.write(bits, *v);
                }
            }
            (
                State::Float {
                    count,
                    zero,
                    positive,
                    negative,
                },
                Counts::Float {
                    count: c,
                    zero: z,
                    positive: p,
                    negative: n,
                },
            ) => {
                bits.xor(count, *c);
                bits.xor(zero, *z);
                bits.xor(&mut self.sum, h.sum);
                for (state, v) in positive.iter_mut().zip(p).chain(negative.iter_mut().zip(n)) {
                    bits.xor(state, *v);
                }
            }
            // `belongs` keeps the kinds apart.
            _ => return false,
        }
        if !stale {
            self.last = h;
        } else {
            self.last.sum = h.sum;
        }
        self.num += 1;
        self.bits.bytes_mut()[..2].copy_from_slice(&self.num.to_be_bytes());
        true
    }

    fn belongs(&self, h: &Histogram, hint: CounterResetHint) -> bool {
        if h.is_integer() != self.last.is_integer() {
            return false;
        }
        if h.is_stale() {
            return true;
        }
        // Nothing but stale samples may follow a stale one.
        if self.last.is_stale()
            || h.schema != self.last.schema
            || h.zero_threshold.to_bits() != self.last.zero_threshold.to_bits()
            || h.positive_spans != self.last.positive_spans
            || h.negative_spans != self.last.negative_spans
            || h.custom_values != self.last.custom_values
        {
            return false;
        }
        let gauge = hint_of(self.bits.bytes()[2]) == CounterResetHint::Gauge;
        match hint {
            CounterResetHint::Gauge => gauge,
            CounterResetHint::Reset => false,
            CounterResetHint::NotReset => !gauge,
            CounterResetHint::Unknown => !gauge && !decreased(&self.last, h),
        }
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.num.into()
    }

    /// Never true: a chunk starts with a sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Encoding number of this chunk.
    #[must_use]
    pub fn encoding(&self) -> u8 {
        match self.state {
            State::Integer { .. } => ENCODING_HISTOGRAM,
            State::Float { .. } => ENCODING_FLOAT_HISTOGRAM,
        }
    }

    /// The finished chunk.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bits.into_bytes()
    }
}

/// True when any count of `b` is below that of `a`. Both have the same layout.
fn decreased(a: &Histogram, b: &Histogram) -> bool {
    let (a, b) = (a.to_float(), b.to_float());
    b.count < a.count
        || b.zero_count < a.zero_count
        || a.positive.iter().zip(&b.positive).any(|(a, b)| b < a)
        || a.negative.iter().zip(&b.negative).any(|(a, b)| b < a)
}

/// Reads a histogram chunk; after an error it ends.
#[derive(Debug, Clone)]
pub struct HistogramDecoder<'a> {
    bits: BitReader<'a>,
    integer: bool,
    head: u8,
    read: u16,
    total: u16,
    /// Layout of every sample.
    layout: Histogram,
    t: Dod,
    sum: Xor,
    state: State,
}

impl<'a> HistogramDecoder<'a> {
    /// A decoder at the first sample of an integer (`encoding` 2) or float (3) histogram chunk.
    ///
    /// # Errors
    /// When the header is missing or the encoding is another one.
    pub fn new(encoding: u8, chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let (head, rest) = chunk
            .split_first_chunk::<3>()
            .ok_or(ChunkError::Truncated)?;
        let integer = match encoding {
            ENCODING_HISTOGRAM => true,
            ENCODING_FLOAT_HISTOGRAM => false,
            _ => return Err(ChunkError::Corrupt("not a histogram encoding")),
        };
        Ok(Self {
            bits: BitReader::new(rest),
            integer,
            head: head[2],
            read: 0,
            total: u16::from_be_bytes([head[0], head[1]]),
            layout: Histogram::stale(),
            t: Dod::default(),
            sum: Xor::default(),
            state: State::Integer {
                count: Dod::default(),
                zero: Dod::default(),
                positive: vec![],
                negative: vec![],
            },
        })
    }

    /// Number of samples the header promises.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total.into()
    }

    fn spans(&mut self) -> Result<(Vec<Span>, usize), ChunkError> {
        let n = self.bits.varbit_uint()?;
        let (mut spans, mut buckets) = (Vec::new(), 0u64);
        for _ in 0..n {
            let length = u32::try_from(self.bits.varbit_uint()?)
                .map_err(|_| ChunkError::Corrupt("span length"))?;
            let offset = self.bits.varbit_int()? as i32;
            spans.push(Span { offset, length });
            buckets += u64::from(length);
            // Every bucket costs at least one bit: no more than that can be true.
            if buckets > self.bits.left() as u64 {
                return Err(ChunkError::Truncated);
            }
        }
        Ok((spans, buckets as usize))
    }

    fn first(&mut self) -> Result<(), ChunkError> {
        self.layout.zero_threshold = self.bits.zero_threshold()?;
        let schema = self.bits.varbit_int()?;
        // Reserved schemas are read; the reader of the chunk reduces them.
        let exponential =
            i64::from(EXPONENTIAL_SCHEMA_MIN - 5)..=i64::from(EXPONENTIAL_SCHEMA_MAX_RESERVED);
        if schema != i64::from(CUSTOM_BUCKETS_SCHEMA) && !exponential.contains(&schema) {
            return Err(ChunkError::Corrupt("unknown histogram schema"));
        }
        self.layout.schema = schema as i32;
        let (positive_spans, np) = self.spans()?;
        let (negative_spans, nn) = self.spans()?;
        self.layout.positive_spans = positive_spans;
        self.layout.negative_spans = negative_spans;
        if self.layout.schema == CUSTOM_BUCKETS_SCHEMA {
            for _ in 0..self.bits.varbit_uint()? {
                let b = self.bits.custom_bound()?;
                self.layout.custom_values.push(b);
            }
        }
        self.t.value = self.bits.varbit_int()?;
        let bits = &mut self.bits;
        if self.integer {
            let int = |v: i64| Dod { value: v, delta: 0 };
            let count = int(bits.varbit_uint()?.cast_signed());
            let zero = int(bits.varbit_uint()?.cast_signed());
            self.sum = Xor::new(f64::from_bits(bits.bits(64)?));
            let mut list = |n: usize| -> Result<Vec<Dod>, ChunkError> {
                (0..n).map(|_| bits.varbit_int().map(int)).collect()
            };
            self.state = State::Integer {
                count,
                zero,
                positive: list(np)?,
                negative: list(nn)?,
            };
        } else {
            if (np + nn).saturating_mul(64) > bits.left() {
                return Err(ChunkError::Truncated);
            }
            let mut float = || bits.bits(64).map(|b| Xor::new(f64::from_bits(b)));
            let (count, zero) = (float()?, float()?);
            self.sum = float()?;
            let mut list =
                |n: usize| -> Result<Vec<Xor>, ChunkError> { (0..n).map(|_| float()).collect() };
            self.state = State::Float {
                count,
                zero,
                positive: list(np)?,
                negative: list(nn)?,
            };
        }
        Ok(())
    }

    fn later(&mut self) -> Result<(), ChunkError> {
        let bits = &mut self.bits;
        self.t.read(bits)?;
        match &mut self.state {
            State::Integer {
                count,
                zero,
                positive,
                negative,
            } => {
                count.read(bits)?;
                zero.read(bits)?;
                bits.xor(&mut self.sum)?;
                if !crate::model::is_stale(self.sum.value) {
                    for b in positive.iter_mut().chain(negative) {
                        b.read(bits)?;
                    }
                }
            }
            State::Float {
                count,
                zero,
                positive,
                negative,
            } => {
                bits.xor(count)?;
                bits.xor(zero)?;
                bits.xor(&mut self.sum)?;
                if !crate::model::is_stale(self.sum.value) {
                    for b in positive.iter_mut().chain(negative) {
                        bits.xor(b)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<HistogramPoint, ChunkError> {
        if self.read == 0 {
            self.first()?;
        } else {
            self.later()?;
        }
        let hint = match (hint_of(self.head), self.read) {
            (CounterResetHint::Gauge, _) => CounterResetHint::Gauge,
            (first, 0) => first,
            _ => CounterResetHint::NotReset,
        };
        self.read += 1;
        let stale = crate::model::is_stale(self.sum.value);
        let counts = match &self.state {
            State::Integer { .. } if stale => Histogram::stale().counts,
            State::Float { .. } if stale => Counts::Float {
                count: 0.0,
                zero: 0.0,
                positive: vec![],
                negative: vec![],
            },
            State::Integer {
                count,
                zero,
                positive,
                negative,
            } => Counts::Integer {
                count: count.value.cast_unsigned(),
                zero: zero.value.cast_unsigned(),
                positive: positive.iter().map(|d| d.value).collect(),
                negative: negative.iter().map(|d| d.value).collect(),
            },
            State::Float {
                count,
                zero,
                positive,
                negative,
            } => Counts::Float {
                count: count.value,
                zero: zero.value,
                positive: positive.iter().map(|x| x.value).collect(),
                negative: negative.iter().map(|x| x.value).collect(),
            },
        };
        let h = if stale {
            Histogram {
                counts,
                ..Histogram::stale()
            }
        } else {
            Histogram {
                hint,
                sum: self.sum.value,
                counts,
                ..self.layout.clone()
            }
        };
        Ok(HistogramPoint {
            t: self.t.value,
            start_t: 0,
            h,
        })
    }
}

impl Iterator for HistogramDecoder<'_> {
    type Item = Result<HistogramPoint, ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read >= self.total {
            return None;
        }
        let p = self.step();
        if p.is_err() {
            self.total = self.read;
        }
        Some(p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(
        t: i64,
        schema: i32,
        ints: bool,
        buckets: &[u8],
        hint: CounterResetHint,
    ) -> HistogramPoint {
        let n = buckets.len() as u32;
        let custom = schema == CUSTOM_BUCKETS_SCHEMA;
        let positive_spans = if n == 0 {
            vec![]
        } else {
            vec![
                Span {
                    offset: if custom { 0 } else { -3 },
                    length: n / 2,
                },
                Span {
                    offset: 2,
                    length: n - n / 2,
                },
            ]
        };
        let total: u64 = buckets.iter().map(|b| u64::from(*b)).sum();
        let mut prev = 0;
        HistogramPoint {
            t,
            start_t: 0,
            h: Histogram {
                hint,
                schema,
                zero_threshold: if custom { 0.0 } else { 2f64.powi(-128) },
                sum: total as f64 * 1.5,
                positive_spans,
                negative_spans: vec![],
                custom_values: if custom {
                    (0..n + 2).map(|i| f64::from(i) * 0.25 + 0.0001).collect()
                } else {
                    vec![]
                },
                counts: if ints {
                    Counts::Integer {
                        count: total,
                        zero: 0,
                        positive: buckets
                            .iter()
                            .map(|b| i64::from(*b) - std::mem::replace(&mut prev, i64::from(*b)))
                            .collect(),
                        negative: vec![],
                    }
                } else {
                    Counts::Float {
                        count: total as f64,
                        zero: 0.0,
                        positive: buckets.iter().map(|b| f64::from(*b)).collect(),
                        negative: vec![],
                    }
                },
            },
        }
    }

    fn decode(e: HistogramEncoder) -> Vec<HistogramPoint> {
        let enc = e.encoding();
        HistogramDecoder::new(enc, &e.finish())
            .expect("has a header")
            .collect::<Result<_, _>>()
            .expect("valid")
    }

    #[test]
    fn resets_layout_changes_and_gauges_ask_for_a_new_chunk() {
        let p = |t, b: &[u8]| point(t, 0, true, b, CounterResetHint::Unknown);
        let mut e = HistogramEncoder::new(&p(1, &[1, 2]));
        assert!(e.push(&p(2, &[1, 3])));
        assert!(!e.push(&p(3, &[0, 9])), "a bucket went down");
        assert!(!e.push(&p(3, &[1, 3, 4])), "another layout");
        assert!(!e.push(&point(3, 0, false, &[1, 3], CounterResetHint::Unknown)));
        assert!(!e.push(&point(3, 0, true, &[1, 3], CounterResetHint::Gauge)));
        assert!(!e.push(&point(3, 0, true, &[1, 4], CounterResetHint::Reset)));
        assert_eq!(decode(e).len(), 2);
    }

    #[test]
    fn a_stale_sample_is_the_last_of_its_chunk() {
        for ints in [true, false] {
            let p = point(1, 0, ints, &[1, 2], CounterResetHint::NotReset);
            let mut stale = p.clone();
            stale.t = 2;
            stale.h.sum = crate::model::stale_nan();
            let mut e = HistogramEncoder::new(&p);
            assert!(e.push(&stale));
            assert!(!e.push(&point(3, 0, ints, &[1, 2], CounterResetHint::NotReset)));
            let got = decode(e);
            assert_eq!(got[0], p);
            assert!(got[1].h.is_stale() && got[1].h.is_integer() == ints);
            assert_eq!(got[1].t, 2);
        }
    }

    proptest! {
        #[test]
        fn histograms_round_trip_to_the_bit(
            ints: bool,
            gauge: bool,
            schema in prop_oneof![-4..=8i32, Just(CUSTOM_BUCKETS_SCHEMA)],
            width in 0usize..12,
            steps in proptest::collection::vec((1i64..100_000, proptest::collection::vec(any::<u8>(), 12)), 1..30),
        ) {
            let hint = if gauge { CounterResetHint::Gauge } else { CounterResetHint::NotReset };
            let mut t = 1_700_000_000_000;
            let mut want: Vec<HistogramPoint> = Vec::new();
            for (gap, b) in &steps {
                t += gap;
                want.push(point(t, schema, ints, &b[..width], hint));
            }
            let mut e = HistogramEncoder::new(&want[0]);
            for p in &want[1..] {
                prop_assert!(e.push(p));
            }
            let got = decode(e);
            prop_assert_eq!(got, want);
        }

        #[test]
        fn arbitrary_bytes_never_panic(b in proptest::collection::vec(any::<u8>(), 0..200), ints: bool) {
            let enc = if ints { ENCODING_HISTOGRAM } else { ENCODING_FLOAT_HISTOGRAM };
            if let Ok(d) = HistogramDecoder::new(enc, &b) {
                for p in d {
                    drop(p);
                }
            }
        }
    }
}
