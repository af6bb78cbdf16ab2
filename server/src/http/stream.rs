//! Answers that are written piece by piece, so that a large one is never in memory as a whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};

use super::Coding;
use super::compress::Compressor;

/// Pieces of an answer have about this size: large enough for one write call to be worth it,
/// small enough to be compressed without holding up other connections.
const CHUNK_BYTES: usize = 64 * 1024;

/// Something that writes an answer in pieces.
pub(crate) trait ChunkSource: Send + 'static {
    /// Appends about [`CHUNK_BYTES`] (`want`) to `out`; false when the answer is complete.
    fn next(&mut self, out: &mut Vec<u8>, want: usize) -> bool;
}

/// An answer that is complete already.
impl ChunkSource for Vec<u8> {
    fn next(&mut self, out: &mut Vec<u8>, _want: usize) -> bool {
        out.append(self);
        false
    }
}

/// The body that `source` writes, compressed as asked.
pub(crate) fn body_of(source: Box<dyn ChunkSource>, coding: Coding) -> Body {
    Body::new(Chunks {
        source: Some(source),
        compressor: Compressor::new(coding),
    })
}

struct Chunks {
    source: Option<Box<dyn ChunkSource>>,
    compressor: Compressor,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        // A compressor may swallow several pieces before it gives one.
        while let Some(source) = &mut self.source {
            let mut piece = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
            let more = source.next(&mut piece, CHUNK_BYTES);
            if !more {
                self.source = None;
            }
            match self.compressor.push(piece, !more) {
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Poll::Ready(Some(Ok(Frame::data(Bytes::from(out))))),
                Err(e) => {
                    self.source = None;
                    return Poll::Ready(Some(Err(e)));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }
}

/// Answers below this size are not worth compressing.
const COMPRESS_FROM_BYTES: usize = 1024;

/// An answer of known type, compressed when it is worth it.
pub(crate) fn finish(
    mut source: Box<dyn ChunkSource>,
    size: usize,
    content_type: &'static str,
    coding: Coding,
) -> Response {
    let coding = if size < COMPRESS_FROM_BYTES {
        Coding::Identity
    } else {
        coding
    };
    let body = if size < usize::MAX && coding == Coding::Identity {
        let mut whole = Vec::new();
        while source.next(&mut whole, size) {}
        Body::from(whole)
    } else {
        body_of(source, coding)
    };
    let mut r = Response::new(body);
    let headers = r.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(word) = coding.header() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(word));
    }
    r
}
