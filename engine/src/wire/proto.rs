//! Protocol buffers, the wire level: a borrowed reader and a small writer.
//!
//! Owns: tags, varints, fixed-width numbers, length-delimited slices, skipping, packed lists.
//! Knows nothing of: any message.
//!
//! The reader hands out slices of its input and never allocates. It accepts what the reference
//! implementation accepts: varints of up to 10 bytes, unknown fields of every wire type, groups
//! (skipped, to a bounded depth), packed and unpacked lists alike.

// The coding of `sint32` and `sint64`.
pub use crate::chunk::varint::{unzigzag, zigzag};

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtoError {
    /// The message ends within a field.
    #[error("proto: unexpected end of message")]
    Truncated,
    /// A varint is longer than 10 bytes.
    #[error("proto: integer overflow")]
    Overflow,
    /// A tag with field number 0, or a group end without a start.
    #[error("proto: illegal tag")]
    IllegalTag,
    /// A known field comes with another wire type.
    #[error("proto: wrong wire type for field {0}")]
    WrongType(u32),
    /// A known string is not UTF-8.
    #[error("proto: field {0} contains invalid UTF-8")]
    Utf8(u32),
}

/// Value of a field, by wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
    /// Wire types 3 and 4, skipped.
    Group,
}

impl<'a> Value<'a> {
    /// A number of wire type 0.
    ///
    /// # Errors
    /// When the field has another wire type.
    #[inline]
    pub fn varint(self, field: u32) -> Result<u64, ProtoError> {
        match self {
            Self::Varint(v) => Ok(v),
            _ => Err(ProtoError::WrongType(field)),
        }
    }

    /// A `double`.
    ///
    /// # Errors
    /// When the field has another wire type.
    #[inline]
    pub fn double(self, field: u32) -> Result<f64, ProtoError> {
        self.fixed64(field).map(f64::from_bits)
    }

    /// A `fixed64`.
    ///
    /// # Errors
    /// When the field has another wire type.
    #[inline]
    pub fn fixed64(self, field: u32) -> Result<u64, ProtoError> {
        match self {
            Self::Fixed64(v) => Ok(v),
            _ => Err(ProtoError::WrongType(field)),
        }
    }

    /// A nested message, a string's bytes or a packed list.
    ///
    /// # Errors
    /// When the field has another wire type.
    #[inline]
    pub fn bytes(self, field: u32) -> Result<&'a [u8], ProtoError> {
        match self {
            Self::Bytes(b) => Ok(b),
            _ => Err(ProtoError::WrongType(field)),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// When the field has another wire type or is not UTF-8.
    #[inline]
    pub fn string(self, field: u32) -> Result<&'a str, ProtoError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| ProtoError::Utf8(field))
    }

    /// Visits the numbers of a repeated integer field, packed or not.
    ///
    /// # Errors
    /// When the field has another wire type or is cut, and whatever `visit` returns.
    #[inline]
    pub fn each_varint<E: From<ProtoError>>(
        self,
        field: u32,
        mut visit: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Varint(v) => visit(v),
            Self::Bytes(b) => {
                let mut r = Reader::new(b);
                while !r.is_empty() {
                    visit(r.varint()?)?;
                }
                Ok(())
            }
            _ => Err(ProtoError::WrongType(field).into()),
        }
    }

    /// Visits the numbers of a repeated `double` (or `fixed64`) field as bits, packed or not.
    ///
    /// # Errors
    /// When the field has another wire type or is cut, and whatever `visit` returns.
    pub fn each_fixed64<E: From<ProtoError>>(
        self,
        field: u32,
        mut visit: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Fixed64(v) => visit(v),
            Self::Bytes(b) => {
                let mut r = Reader::new(b);
                while !r.is_empty() {
                    visit(r.fixed64()?)?;
                }
                Ok(())
            }
            _ => Err(ProtoError::WrongType(field).into()),
        }
    }
}

/// Groups nest at most this deep; deeper messages are refused.
const GROUP_DEPTH_MAX: u32 = 32;

/// Reads one message from a slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over the fields of one message.
    #[inline]
    #[must_use]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What has not been read yet.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True at the end of the message.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte, not consumed.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// A varint.
    ///
    /// # Errors
    /// When the message ends or the number is longer than 10 bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, ProtoError> {
        match self.rest {
            [a, rest @ ..] if *a < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*a))
            }
            [a, b, rest @ ..] if *b < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*a & 0x7f) | u64::from(*b) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, ProtoError> {
        let mut v = 0u64;
        for (i, b) in self.rest.iter().enumerate().take(10) {
            // The tenth byte may only carry the topmost bit; more is lost, as in other decoders.
            v |= u64::from(b & 0x7f) << (7 * i);
            if *b < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(v);
            }
        }
        Err(if self.rest.len() < 10 {
            ProtoError::Truncated
        } else {
            ProtoError::Overflow
        })
    }

    /// Eight little-endian bytes.
    ///
    /// # Errors
    /// When the message ends.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, ProtoError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<8>()
            .ok_or(ProtoError::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*head))
    }

    /// Four little-endian bytes.
    ///
    /// # Errors
    /// When the message ends.
    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, ProtoError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<4>()
            .ok_or(ProtoError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*head))
    }

    /// A length and as many bytes.
    ///
    /// # Errors
    /// When the message ends.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], ProtoError> {
        let len = usize::try_from(self.varint()?).map_err(|_| ProtoError::Truncated)?;
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(ProtoError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Consumes the one-byte tag `tag` if it is next.
    #[inline]
    pub fn eat(&mut self, tag: u8) -> bool {
        match self.rest {
            [t, rest @ ..] if *t == tag => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The next field and its value, `None` at the end.
    ///
    /// # Errors
    /// When the message is not well-formed.
    #[inline]
    pub fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, ProtoError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3).map_err(|_| ProtoError::IllegalTag)?;
        if field == 0 {
            return Err(ProtoError::IllegalTag);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => Value::Bytes(self.bytes()?),
            3 => {
                self.skip_group(0)?;
                Value::Group
            }
            5 => Value::Fixed32(self.fixed32()?),
            _ => return Err(ProtoError::IllegalTag),
        };
        Ok(Some((field, value)))
    }

    fn skip_group(&mut self, depth: u32) -> Result<(), ProtoError> {
        if depth >= GROUP_DEPTH_MAX {
            return Err(ProtoError::IllegalTag);
        }
        loop {
            if self.rest.is_empty() {
                return Err(ProtoError::Truncated);
            }
            match self.varint()? & 7 {
                0 => {
                    self.varint()?;
                }
                1 => {
                    self.fixed64()?;
                }
                2 => {
                    self.bytes()?;
                }
                3 => self.skip_group(depth + 1)?,
                4 => return Ok(()),
                5 => {
                    self.fixed32()?;
                }
                _ => return Err(ProtoError::IllegalTag),
            }
        }
    }
}

/// Writes one message to a byte vector. Zero values of singular fields are left out by the
/// `*_or_skip` forms, as proto3 does.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// A bare varint.
    pub fn varint(&mut self, v: u64) {
        put_varint(self.out, v);
    }

    fn tag(&mut self, field: u32, wire_type: u32) {
        put_varint(self.out, u64::from(field << 3 | wire_type));
    }

    /// An integer field.
    pub fn uint(&mut self, field: u32, v: u64) {
        self.tag(field, 0);
        put_varint(self.out, v);
    }

    /// An integer field, left out when 0.
    pub fn uint_or_skip(&mut self, field: u32, v: u64) {
        if v != 0 {
            self.uint(field, v);
        }
    }

    /// An `int64` field, left out when 0.
    pub fn int_or_skip(&mut self, field: u32, v: i64) {
        self.uint_or_skip(field, v.cast_unsigned());
    }

    /// A `sint` field, left out when 0.
    pub fn sint_or_skip(&mut self, field: u32, v: i64) {
        self.uint_or_skip(field, zigzag(v));
    }

    /// A `double` field.
    pub fn double(&mut self, field: u32, v: f64) {
        self.tag(field, 1);
        self.out.extend_from_slice(&v.to_bits().to_le_bytes());
    }

    /// A `double` field, left out when its bits are all 0 (so -0 is written).
    pub fn double_or_skip(&mut self, field: u32, v: f64) {
        if v.to_bits() != 0 {
            self.double(field, v);
        }
    }

    /// A length-delimited field.
    pub fn bytes(&mut self, field: u32, v: &[u8]) {
        self.tag(field, 2);
        put_varint(self.out, v.len() as u64);
        self.out.extend_from_slice(v);
    }

    /// A string field, left out when empty.
    pub fn string_or_skip(&mut self, field: u32, v: &str) {
        if !v.is_empty() {
            self.bytes(field, v.as_bytes());
        }
    }

    /// A nested message, built in place.
    pub fn message(&mut self, field: u32, build: impl FnOnce(&mut Writer<'_>)) {
        self.tag(field, 2);
        let start = self.out.len();
        build(&mut Writer { out: self.out });
        let len = self.out.len() - start;
        let mut head = [0u8; 10];
        let n = varint_into(&mut head, len as u64);
        // The length comes before the content: open a gap of its size.
        self.out.splice(start..start, head[..n].iter().copied());
    }

    /// A packed list of doubles, left out when empty.
    pub fn packed_doubles(&mut self, field: u32, vs: &[f64]) {
        if !vs.is_empty() {
            self.tag(field, 2);
            put_varint(self.out, vs.len() as u64 * 8);
            for v in vs {
                self.out.extend_from_slice(&v.to_bits().to_le_bytes());
            }
        }
    }

    /// A packed list of varints, left out when empty.
    pub fn packed_varints(&mut self, field: u32, vs: impl Iterator<Item = u64> + Clone) {
        let len: usize = vs.clone().map(varint_len).sum();
        if len > 0 {
            self.tag(field, 2);
            put_varint(self.out, len as u64);
            for v in vs {
                put_varint(self.out, v);
            }
        }
    }
}

/// Number of bytes of `v` as a varint.
#[must_use]
pub fn varint_len(v: u64) -> usize {
    ((64 - (v | 1).leading_zeros()) as usize).div_ceil(7)
}

fn varint_into(buf: &mut [u8; 10], mut v: u64) -> usize {
    let mut n = 0;
    while v >= 0x80 {
        buf[n] = (v as u8) | 0x80;
        v >>= 7;
        n += 1;
    }
    buf[n] = v as u8;
    n + 1
}

/// Appends `v` as a varint.
pub fn put_varint(out: &mut Vec<u8>, v: u64) {
    let mut buf = [0u8; 10];
    let n = varint_into(&mut buf, v);
    out.extend_from_slice(&buf[..n]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_of_every_type_are_read_back() {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.uint(1, 300);
        w.double(2, -0.0);
        w.message(3, |m| {
            m.string_or_skip(1, "x");
            m.sint_or_skip(2, -5);
            m.message(3, |m| m.bytes(1, &[9; 200]));
        });
        w.packed_varints(4, [1u64, 1000, u64::MAX].into_iter());
        w.packed_doubles(5, &[1.5, f64::NAN]);
        let mut r = Reader::new(&out);
        assert_eq!(r.field(), Ok(Some((1, Value::Varint(300)))));
        let (_, v) = r.field().expect("valid").expect("field 2");
        assert_eq!(v.double(2).map(f64::to_bits), Ok((-0.0f64).to_bits()));
        let (_, v) = r.field().expect("valid").expect("field 3");
        let mut m = Reader::new(v.bytes(3).expect("message"));
        assert_eq!(m.field().expect("valid").expect("x").1.string(1), Ok("x"));
        let (_, s) = m.field().expect("valid").expect("sint");
        assert_eq!(s.varint(2).map(unzigzag), Ok(-5));
        let (_, s) = m.field().expect("valid").expect("message");
        assert_eq!(s.bytes(3).map(<[u8]>::len), Ok(203));
        let (_, v) = r.field().expect("valid").expect("field 4");
        let mut got = Vec::new();
        v.each_varint::<ProtoError>(4, |n| {
            got.push(n);
            Ok(())
        })
        .expect("valid");
        assert_eq!(got, [1, 1000, u64::MAX]);
        let (_, v) = r.field().expect("valid").expect("field 5");
        let mut n = 0;
        v.each_fixed64::<ProtoError>(5, |_| {
            n += 1;
            Ok(())
        })
        .expect("valid");
        assert_eq!(n, 2);
        assert_eq!(r.field(), Ok(None));
    }

    #[test]
    fn malformed_messages_are_named() {
        let read = |b: &[u8]| {
            let mut r = Reader::new(b);
            loop {
                match r.field() {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(e) => return Err(e),
                }
            }
        };
        assert_eq!(read(&[0x08]), Err(ProtoError::Truncated));
        assert_eq!(read(&[0x0a, 5, 1]), Err(ProtoError::Truncated));
        assert_eq!(
            read(&[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1
            ]),
            Err(ProtoError::Overflow)
        );
        assert_eq!(read(&[0x00]), Err(ProtoError::IllegalTag));
        assert_eq!(read(&[0x0c]), Err(ProtoError::IllegalTag));
        // A group around a varint field is skipped; an open one is not.
        assert_eq!(read(&[0x0b, 0x10, 0x01, 0x0c]), Ok(()));
        assert_eq!(read(&[0x0b, 0x10, 0x01]), Err(ProtoError::Truncated));
        assert_eq!(read(&[0x0b; 100]), Err(ProtoError::IllegalTag));
        // A length near u64::MAX does not wrap.
        assert_eq!(
            read(&[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01
            ]),
            Err(ProtoError::Truncated)
        );
    }

    proptest! {
        #[test]
        fn varints_round_trip(v: u64, s: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, v);
            prop_assert_eq!(out.len(), varint_len(v));
            prop_assert_eq!(Reader::new(&out).varint(), Ok(v));
            prop_assert_eq!(unzigzag(zigzag(s)), s);
        }

        #[test]
        fn arbitrary_bytes_never_panic(b in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut r = Reader::new(&b);
            while let Ok(Some((f, v))) = r.field() {
                v.each_varint::<ProtoError>(f, |_| Ok(())).ok();
                v.each_fixed64::<ProtoError>(f, |_| Ok(())).ok();
            }
        }
    }
}
