//! A push as it comes over HTTP: which encoding and form its headers name, and its streams.

use engine::wire::inflate::{Caps, Encoding, InflateError, inflate};
use engine::wire::loki::{PushStream, decode_json, decode_protobuf};
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};

use super::Refused;
use crate::config::limits;

const CAPS: Caps = Caps {
    compressed: limits::PUSH_BODY_BYTES_MAX,
    decompressed: limits::PUSH_DECODED_BYTES_MAX,
};

/// What the headers of a push say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    json: bool,
    encoding: Encoding,
}

/// A header's text, empty without one.
pub(crate) fn word(headers: &HeaderMap, name: HeaderName) -> &str {
    let value = headers.get(name).and_then(|v| v.to_str().ok());
    value.unwrap_or("").trim()
}

/// The media type without its parameters.
pub(crate) fn media(headers: &HeaderMap) -> &str {
    let kind = word(headers, CONTENT_TYPE);
    kind.split(';').next().unwrap_or("").trim()
}

/// Decompresses what was sent, within the limits of a push.
///
/// # Errors
/// 413 for what is too large, 400 for what is broken.
pub(crate) fn inflated<'a>(
    encoding: Encoding,
    sent: &'a [u8],
    out: &'a mut Vec<u8>,
) -> Result<&'a [u8], Refused> {
    inflate(encoding, sent, CAPS, out).map_err(|e| match e {
        InflateError::CompressedTooLarge { .. } | InflateError::DecompressedTooLarge { .. } => {
            Refused::new(413, e.to_string())
        }
        // Whatever is not known to be something else ends up here: senders look for these words.
        _ if encoding == Encoding::Snappy => Refused::new(400, "snappy: corrupt input"),
        e => Refused::new(400, e.to_string()),
    })
}

impl Received {
    /// Reads the headers.
    ///
    /// # Errors
    /// 400 for an encoding that is none of ours.
    pub(crate) fn new(headers: &HeaderMap) -> Result<Self, Refused> {
        let json = media(headers).eq_ignore_ascii_case("application/json");
        let encoding = match (word(headers, CONTENT_ENCODING), json) {
            ("", true) => Encoding::Identity,
            ("" | "snappy", false) => Encoding::Snappy,
            ("gzip", _) => Encoding::Gzip,
            ("deflate", _) => Encoding::Deflate,
            (other, _) => {
                let text = format!("Content-Encoding {other:?} not supported");
                return Err(Refused::new(400, text));
            }
        };
        Ok(Self { json, encoding })
    }

    /// The streams of the body `sent`; `room` takes what has to be decompressed.
    ///
    /// # Errors
    /// 413 for what is too large, 400 for what makes no sense.
    pub(crate) fn decode<'a>(
        self,
        sent: &'a [u8],
        room: &'a mut Vec<u8>,
    ) -> Result<Vec<PushStream<'a>>, Refused> {
        let raw = inflated(self.encoding, sent, room)?;
        let decoded = if self.json {
            decode_json(raw)
        } else {
            decode_protobuf(raw)
        };
        decoded.map_err(|e| Refused::new(400, e.to_string()))
    }
}
