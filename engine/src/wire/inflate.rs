//! The only door through which compressed bytes become plain bytes.
//!
//! Owns: the decoders for snappy blocks, gzip, deflate, zstd and LZ4 frames, and the caps on their output.
//! Knows nothing of: what the bytes mean, HTTP headers or status codes.
//!
//! Invariants
//! - Never more than the cap (plus one read step) is allocated, whatever a header declares.
//! - A declared snappy length is checked against the cap *and* against what the format can reach
//!   from so few bytes before anything is allocated.

use std::io::Read;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip, one or more members.
    Gzip,
    /// `deflate` as in HTTP: zlib, or raw as some senders do.
    Deflate,
    /// Zstandard, window of at most 8 MiB.
    Zstd,
    /// Snappy block format (not the framing format).
    Snappy,
    /// LZ4 frame format; the decoder itself holds up to two blocks of 4 MiB.
    Lz4,
}

impl Encoding {
    /// From the word of a `Content-Encoding` header; an empty word is identity.
    #[must_use]
    pub fn from_header(word: &str) -> Option<Self> {
        match word.trim() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            "snappy" => Some(Self::Snappy),
            "lz4" => Some(Self::Lz4),
            _ => None,
        }
    }
}

/// Upper limits of one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Bytes as received.
    pub compressed: usize,
    /// Bytes after decompression.
    pub decompressed: usize,
}

impl Caps {
    /// 32 MiB each way: the limits of the remote write and remote read routes.
    pub const REMOTE_WRITE: Caps = Caps {
        compressed: 32 << 20,
        decompressed: 32 << 20,
    };
}

/// Why a body could not be inflated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// More bytes received than allowed: answer 413.
    #[error("request body exceeds the limit of {limit} bytes")]
    CompressedTooLarge {
        /// The cap.
        limit: usize,
    },
    /// More bytes after decompression than allowed: answer 400.
    #[error("decompressed size exceeds the limit of {limit} bytes")]
    DecompressedTooLarge {
        /// The cap.
        limit: usize,
    },
    /// Not in the stated format: answer 400.
    #[error("{format}: {detail}")]
    Corrupt {
        /// Name of the format.
        format: &'static str,
        /// What the decoder found.
        detail: String,
    },
}

/// Longest output of one snappy element is 64 bytes for a copy of 3 bytes, so no honest block
/// grows by more than this factor.
const SNAPPY_MAX_GROWTH: usize = 22;

/// Windows above 8 MiB are not for the wire (RFC 9659) and would be memory an attacker asks for.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The plain bytes of `body`: `body` itself when it is not compressed, else the filled `out`.
/// `out` is cleared first and keeps its memory for the next request.
///
/// # Errors
/// See [`InflateError`].
pub fn inflate<'a>(
    encoding: Encoding,
    body: &'a [u8],
    caps: Caps,
    out: &'a mut Vec<u8>,
) -> Result<&'a [u8], InflateError> {
    if body.len() > caps.compressed {
        return Err(InflateError::CompressedTooLarge {
            limit: caps.compressed,
        });
    }
    out.clear();
    let limit = caps.decompressed;
    match encoding {
        Encoding::Identity => {
            if body.len() > limit {
                return Err(InflateError::DecompressedTooLarge { limit });
            }
            return Ok(body);
        }
        Encoding::Snappy => snappy(body, limit, out)?,
        Encoding::Gzip => read_capped(
            "gzip",
            flate2::bufread::MultiGzDecoder::new(body),
            limit,
            out,
        )?,
        Encoding::Deflate => {
            if looks_like_zlib(body) {
                read_capped(
                    "deflate",
                    flate2::bufread::ZlibDecoder::new(body),
                    limit,
                    out,
                )?;
            } else {
                read_capped(
                    "deflate",
                    flate2::bufread::DeflateDecoder::new(body),
                    limit,
                    out,
                )?;
            }
        }
        Encoding::Lz4 => read_capped("lz4", lz4_flex::frame::FrameDecoder::new(body), limit, out)?,
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body)
                .and_then(|mut d| d.window_log_max(ZSTD_WINDOW_LOG_MAX).map(|()| d));
            read_capped(
                "zstd",
                decoder.map_err(|e| corrupt("zstd", &e))?,
                limit,
                out,
            )?;
        }
    }
    Ok(out)
}

fn corrupt(format: &'static str, e: &dyn std::fmt::Display) -> InflateError {
    InflateError::Corrupt {
        format,
        detail: e.to_string(),
    }
}

fn snappy(body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
    let declared = snap::raw::decompress_len(body).map_err(|e| corrupt("snappy", &e))?;
    if declared > limit {
        return Err(InflateError::DecompressedTooLarge { limit });
    }
    if declared > body.len().saturating_mul(SNAPPY_MAX_GROWTH) {
        return Err(corrupt("snappy", &"corrupt input"));
    }
    out.resize(declared, 0);
    let n = snap::raw::Decoder::new()
        .decompress(body, out)
        .map_err(|e| corrupt("snappy", &e))?;
    out.truncate(n);
    Ok(())
}

fn looks_like_zlib(body: &[u8]) -> bool {
    matches!(body, [a, b, ..] if a & 0x0f == 8 && (u32::from(*a) << 8 | u32::from(*b)) % 31 == 0)
}

/// Reads `src` to its end, or fails as soon as it gives more than `limit` bytes.
fn read_capped(
    format: &'static str,
    mut src: impl Read,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), InflateError> {
    const STEP_MIN: usize = 16 << 10;
    let mut filled = 0;
    loop {
        if filled == out.len() {
            // Doubling, but never past one byte more than the cap.
            let want = (filled * 2)
                .max(STEP_MIN)
                .max(out.capacity())
                .min(limit + 1);
            if want <= filled {
                return Err(InflateError::DecompressedTooLarge { limit });
            }
            out.reserve_exact(want - filled);
            out.resize(want, 0);
        }
        match src.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(corrupt(format, &e)),
        }
        if filled > limit {
            out.clear();
            return Err(InflateError::DecompressedTooLarge { limit });
        }
    }
    out.truncate(filled);
    Ok(())
}

/// Compresses `raw` as one snappy block into `out` (cleared first).
pub fn compress_snappy(raw: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.resize(snap::raw::max_compress_len(raw.len()), 0);
    // Fails only for inputs beyond 4 GiB or a short buffer; the buffer has the stated size.
    let n = snap::raw::Encoder::new().compress(raw, out).unwrap_or(0);
    out.truncate(n);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const CAPS: Caps = Caps {
        compressed: 1 << 20,
        decompressed: 1 << 20,
    };

    fn gzip(raw: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(raw).expect("to memory");
        e.finish().expect("to memory")
    }

    fn lz4(raw: &[u8]) -> Vec<u8> {
        let mut e = lz4_flex::frame::FrameEncoder::new(Vec::new());
        e.write_all(raw).expect("to memory");
        e.finish().expect("to memory")
    }

    #[test]
    fn every_encoding_round_trips() {
        let raw = b"the same line again and again\n".repeat(1000);
        let mut buf = Vec::new();
        let mut snappy = Vec::new();
        compress_snappy(&raw, &mut snappy);
        let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        z.write_all(&raw).expect("to memory");
        let mut d = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        d.write_all(&raw).expect("to memory");
        for (enc, body) in [
            (Encoding::Identity, raw.clone()),
            (Encoding::Snappy, snappy),
            (Encoding::Gzip, gzip(&raw)),
            (Encoding::Deflate, z.finish().expect("to memory")),
            (Encoding::Deflate, d.finish().expect("to memory")),
            (
                Encoding::Zstd,
                zstd::encode_all(&raw[..], 1).expect("to memory"),
            ),
            (Encoding::Lz4, lz4(&raw)),
        ] {
            let got = inflate(enc, &body, CAPS, &mut buf).expect("valid");
            assert_eq!(got, raw, "{enc:?}");
        }
    }

    #[test]
    fn all_members_of_a_gzip_file_count() {
        let mut body = gzip(b"one ");
        body.extend(gzip(b"two"));
        let mut buf = Vec::new();
        assert_eq!(
            inflate(Encoding::Gzip, &body, CAPS, &mut buf).expect("valid"),
            b"one two"
        );
    }

    #[test]
    fn bombs_are_refused_without_the_memory_they_ask_for() {
        let raw = vec![0u8; (1 << 20) + 1];
        let mut many = Vec::new();
        for _ in 0..40 {
            many.extend(gzip(&raw[..32 << 10]));
        }
        let mut snappy = Vec::new();
        compress_snappy(&raw, &mut snappy);
        for (enc, body) in [
            (Encoding::Gzip, gzip(&raw)),
            (Encoding::Gzip, many),
            (
                Encoding::Zstd,
                zstd::encode_all(&raw[..], 19).expect("to memory"),
            ),
            (Encoding::Snappy, snappy),
            (Encoding::Lz4, lz4(&raw)),
            // Declares 4 GiB - 1 and holds nothing.
            (Encoding::Snappy, vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut buf = Vec::new();
            assert_eq!(
                inflate(enc, &body, CAPS, &mut buf),
                Err(InflateError::DecompressedTooLarge { limit: 1 << 20 }),
                "{enc:?}"
            );
            assert!(buf.capacity() <= (1 << 20) + 1, "{}", buf.capacity());
        }
        // Declares 1 MiB (within the cap) in 4 bytes: cannot be true.
        let mut buf = Vec::new();
        let lie = [0x80, 0x80, 0x40, 0x00];
        assert!(matches!(
            inflate(Encoding::Snappy, &lie, CAPS, &mut buf),
            Err(InflateError::Corrupt { .. })
        ));
        assert_eq!(buf.capacity(), 0);
    }

    #[test]
    fn exactly_the_cap_is_allowed() {
        let raw = vec![7u8; 1 << 20];
        let mut buf = Vec::new();
        assert_eq!(
            inflate(Encoding::Gzip, &gzip(&raw), CAPS, &mut buf).map(<[u8]>::len),
            Ok(1 << 20)
        );
        let big = vec![0u8; (1 << 20) + 1];
        assert_eq!(
            inflate(Encoding::Gzip, &big, CAPS, &mut buf),
            Err(InflateError::CompressedTooLarge { limit: 1 << 20 })
        );
    }

    #[test]
    fn broken_input_is_corrupt() {
        let mut cut = gzip(b"hello hello hello");
        cut.truncate(cut.len() - 5);
        for (enc, body) in [
            (Encoding::Snappy, &b""[..]),
            (Encoding::Snappy, b"\x05hel"),
            (Encoding::Gzip, b"nope"),
            (Encoding::Gzip, &cut),
            (Encoding::Zstd, b"nope"),
            (Encoding::Deflate, b"\xff\xff\xff"),
        ] {
            let mut buf = Vec::new();
            assert!(
                matches!(
                    inflate(enc, body, CAPS, &mut buf),
                    Err(InflateError::Corrupt { .. })
                ),
                "{enc:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let mut buf = Vec::new();
            for enc in [Encoding::Snappy, Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
                if let Ok(out) = inflate(enc, &body, CAPS, &mut buf) {
                    assert!(out.len() <= CAPS.decompressed);
                }
            }
        }
    }
}
