//! LEB128 variable-length integers.

use super::ChunkError;

/// Appends `v`.
#[inline]
pub fn put(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push((v as u8) | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Zig-zag coding: small magnitudes of either sign become small numbers.
#[inline]
#[must_use]
pub fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)).cast_unsigned()
}

/// Undoes [`zigzag`].
#[inline]
#[must_use]
pub fn unzigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -((v & 1).cast_signed())
}

/// Appends a signed number, small magnitudes short.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, v: i64) {
    put(out, zigzag(v));
}

/// Appends length-prefixed bytes.
pub fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes [`put`] takes for `v`.
#[inline]
#[must_use]
pub fn len(v: u64) -> usize {
    (70 - (v | 1).leading_zeros() as usize) / 7
}

/// A cursor over encoded bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// What was not read yet.
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Next byte.
    ///
    /// # Errors
    /// At the end.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, ChunkError> {
        let (b, rest) = self.rest.split_first().ok_or(ChunkError("ends early"))?;
        self.rest = rest;
        Ok(*b)
    }

    /// Next variable-length number.
    ///
    /// # Errors
    /// At the end, or after ten bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, ChunkError> {
        let mut v = 0u64;
        for shift in (0..70).step_by(7) {
            let b = self.u8()?;
            v |= u64::from(b & 0x7f).checked_shl(shift).unwrap_or(0);
            if b < 0x80 {
                return Ok(v);
            }
        }
        Err(ChunkError("number too long"))
    }

    /// Next variable-length number that must be below `limit`.
    ///
    /// # Errors
    /// As [`Self::varint`], or when it is not.
    #[inline]
    pub fn index(&mut self, limit: usize) -> Result<usize, ChunkError> {
        let v = self.varint()?;
        if v < limit as u64 {
            Ok(v as usize)
        } else {
            Err(ChunkError("number out of range"))
        }
    }

    /// Next signed number.
    ///
    /// # Errors
    /// As [`Self::varint`].
    #[inline]
    pub fn signed(&mut self) -> Result<i64, ChunkError> {
        Ok(unzigzag(self.varint()?))
    }

    /// Next `n` bytes.
    ///
    /// # Errors
    /// At the end.
    #[inline]
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], ChunkError> {
        let (b, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or(ChunkError("ends early"))?;
        self.rest = rest;
        Ok(b)
    }

    /// Next eight bytes as a little-endian number.
    ///
    /// # Errors
    /// At the end.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, ChunkError> {
        let b = self.bytes(8)?;
        Ok(u64::from_le_bytes([
            b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7],
        ]))
    }

    /// Next four bytes as a little-endian number.
    ///
    /// # Errors
    /// At the end.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, ChunkError> {
        let b = self.bytes(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// Next length-prefixed text.
    ///
    /// # Errors
    /// At the end, or when it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, ChunkError> {
        std::str::from_utf8(self.block()?).map_err(|_| ChunkError("string is not UTF-8"))
    }

    /// Next length-prefixed bytes.
    ///
    /// # Errors
    /// At the end.
    pub fn block(&mut self) -> Result<&'a [u8], ChunkError> {
        let n = self.index(self.rest.len() + 1)?;
        self.bytes(n)
    }
}
