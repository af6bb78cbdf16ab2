//! Compression of answers.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hyper::HeaderMap;
use hyper::header::ACCEPT_ENCODING;

/// How an answer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// The first known coding that the client names with a weight above zero.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let named = headers.get_all(ACCEPT_ENCODING).into_iter();
        for word in named
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
        {
            let (name, weight) = word.split_once(';').unwrap_or((word, ""));
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
            if weight.parse::<f64>().is_ok_and(|w| w <= 0.0) {
                continue;
            }
            match name.trim() {
                "gzip" => return Self::Gzip,
                "deflate" => return Self::Deflate,
                "zstd" => return Self::Zstd,
                _ => {}
            }
        }
        Self::Identity
    }

    /// The word of the `Content-Encoding` header.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// Compresses pieces; the fastest level, because answers are read once.
pub(super) enum Compressor {
    Identity,
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    /// The encoder could not be set up or is used up.
    Done,
}

impl Compressor {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Identity => Self::Identity,
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Deflate => Self::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast())),
            Coding::Zstd => zstd::stream::write::Encoder::new(Vec::new(), 1)
                .map_or(Self::Done, |e| Self::Zstd(Box::new(e))),
        }
    }

    /// Takes a piece and gives what is ready to be sent.
    pub(super) fn push(&mut self, piece: Vec<u8>, last: bool) -> io::Result<Vec<u8>> {
        let ready = match self {
            Self::Identity => return Ok(piece),
            Self::Gzip(e) => e.write_all(&piece).map(|()| std::mem::take(e.get_mut()))?,
            Self::Deflate(e) => e.write_all(&piece).map(|()| std::mem::take(e.get_mut()))?,
            Self::Zstd(e) => e.write_all(&piece).map(|()| std::mem::take(e.get_mut()))?,
            Self::Done => return Err(io::Error::other("compression is not available")),
        };
        if !last {
            return Ok(ready);
        }
        let tail = match std::mem::replace(self, Self::Done) {
            Self::Gzip(e) => e.finish()?,
            Self::Deflate(e) => e.finish()?,
            Self::Zstd(e) => e.finish()?,
            Self::Identity | Self::Done => Vec::new(),
        };
        Ok([ready, tail].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_coding_wins() {
        for (value, want) in [
            ("gzip, deflate", Coding::Gzip),
            ("br, deflate;q=0.5, gzip", Coding::Deflate),
            ("gzip;q=0, zstd", Coding::Zstd),
            ("br", Coding::Identity),
            ("", Coding::Identity),
        ] {
            let mut h = HeaderMap::new();
            h.insert(ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(Coding::accepted(&h), want, "{value}");
        }
    }
}
