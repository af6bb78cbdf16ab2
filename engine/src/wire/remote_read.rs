//! Prometheus remote read: the request, and both forms of the answer.
//!
//! Owns: `ReadRequest`, `ReadResponse` (samples) and `ChunkedReadResponse` (chunks, framed).
//! Knows nothing of: HTTP, compression, how series are selected.
//!
//! A frame of the chunked form is: length of the message as varint, CRC-32C of the message (four
//! bytes, big endian), the message.

use crate::chunk::gorilla::{ENCODING_XOR, SAMPLES_PER_CHUNK, XorDecoder, XorEncoder};
use crate::chunk::prom_bits::ChunkError;
use crate::chunk::prom_histogram::{HistogramDecoder, HistogramEncoder};
use crate::model::{HistogramPoint, Labels, Sample};
use crate::wire::LABELS_MAX;
use crate::wire::proto::{ProtoError, Reader, Writer, put_varint};
use crate::wire::remote_write::{OutSeries, v1};

/// Operator of a matcher on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchKind {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// One matcher, regexes not compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMatcher {
    /// Operator.
    pub kind: MatchKind,
    /// Label name.
    pub name: String,
    /// Right-hand side.
    pub value: String,
}

/// One query of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadQuery {
    /// First millisecond asked for.
    pub start_ms: i64,
    /// Last millisecond asked for.
    pub end_ms: i64,
    /// What a series must satisfy.
    pub matchers: Vec<ReadMatcher>,
}

/// How the answer is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseType {
    /// One snappy-compressed `ReadResponse`.
    Samples,
    /// A stream of frames.
    StreamedXorChunks,
}

/// A read request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadRequest {
    /// The queries, answered in this order.
    pub queries: Vec<ReadQuery>,
    /// Accepted response types as sent.
    pub accepted: Vec<u64>,
}

/// Why a request cannot be served: answer 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not the message it claims to be.
    #[error("{0}")]
    Proto(#[from] ProtoError),
    /// A matcher operator nobody knows.
    #[error("unknown matcher type {0}")]
    Matcher(u64),
    /// Too many queries or matchers.
    #[error("too many queries or matchers in one request")]
    TooMany,
    /// None of the accepted response types is known.
    #[error(
        "server does not support any of the requested response types {0:?}; supported: [SAMPLES STREAMED_XOR_CHUNKS]"
    )]
    ResponseType(Vec<u64>),
}

/// Queries plus matchers of one request; honest requests have a handful.
const ITEMS_MAX: usize = 10_000;

impl ReadRequest {
    /// Decodes a request.
    ///
    /// # Errors
    /// When it is malformed or exceeds 10,000 queries and matchers.
    pub fn decode(body: &[u8]) -> Result<Self, ReadError> {
        let (mut req, mut items) = (Self::default(), 0);
        let mut r = Reader::new(body);
        while let Some((field, v)) = r.field()? {
            match field {
                1 => {
                    items += 1;
                    req.queries.push(read_query(v.bytes(1)?, &mut items)?);
                }
                2 => v.each_varint(2, |n| {
                    items += 1;
                    req.accepted.push(n);
                    (items <= ITEMS_MAX).then_some(()).ok_or(ReadError::TooMany)
                })?,
                _ => {}
            }
            if items > ITEMS_MAX {
                return Err(ReadError::TooMany);
            }
        }
        Ok(req)
    }

    /// Encodes a request (for reading from another server).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer::new(out);
        for q in &self.queries {
            w.message(1, |m| {
                m.int_or_skip(1, q.start_ms);
                m.int_or_skip(2, q.end_ms);
                for matcher in &q.matchers {
                    m.message(3, |m| {
                        m.uint_or_skip(1, matcher.kind as u64);
                        m.string_or_skip(2, &matcher.name);
                        m.string_or_skip(3, &matcher.value);
                    });
                }
            });
        }
        w.packed_varints(2, self.accepted.iter().copied());
    }

    /// The first accepted type this server knows; samples when nothing is asked for.
    ///
    /// # Errors
    /// When types are asked for and none is known.
    pub fn response_type(&self) -> Result<ResponseType, ReadError> {
        if self.accepted.is_empty() {
            return Ok(ResponseType::Samples);
        }
        self.accepted
            .iter()
            .find_map(|n| match n {
                0 => Some(ResponseType::Samples),
                1 => Some(ResponseType::StreamedXorChunks),
                _ => None,
            })
            .ok_or_else(|| ReadError::ResponseType(self.accepted.clone()))
    }
}

fn read_query(msg: &[u8], items: &mut usize) -> Result<ReadQuery, ReadError> {
    let mut q = ReadQuery::default();
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => q.start_ms = v.varint(1)?.cast_signed(),
            2 => q.end_ms = v.varint(2)?.cast_signed(),
            3 => {
                *items += 1;
                if *items > ITEMS_MAX {
                    return Err(ReadError::TooMany);
                }
                q.matchers.push(read_matcher(v.bytes(3)?)?);
            }
            _ => {}
        }
    }
    Ok(q)
}

fn read_matcher(msg: &[u8]) -> Result<ReadMatcher, ReadError> {
    let (mut kind, mut name, mut value) = (0, "", "");
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => kind = v.varint(1)?,
            2 => name = v.string(2)?,
            3 => value = v.string(3)?,
            _ => {}
        }
    }
    Ok(ReadMatcher {
        kind: match kind {
            0 => MatchKind::Equal,
            1 => MatchKind::NotEqual,
            2 => MatchKind::Regex,
            3 => MatchKind::NotRegex,
            n => return Err(ReadError::Matcher(n)),
        },
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

/// Builds a `ReadResponse`, one result per query.
#[derive(Debug, Default)]
pub struct SamplesResponse {
    out: Vec<u8>,
    result: Vec<u8>,
    open: bool,
}

impl SamplesResponse {
    /// An answer without results.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the result of the next query.
    pub fn begin_query(&mut self) {
        self.close();
        self.open = true;
    }

    /// Adds a series to the current result. Series must come in label order.
    pub fn series(&mut self, s: &OutSeries<'_>) {
        Writer::new(&mut self.result).message(1, |m| v1::write_series(m, s));
    }

    fn close(&mut self) {
        if self.open {
            Writer::new(&mut self.out).bytes(1, &self.result);
            self.result.clear();
            self.open = false;
        }
    }

    /// The finished message, not compressed.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.close();
        self.out
    }
}

/// A chunk on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutChunk {
    /// Time of its first sample.
    pub min_ms: i64,
    /// Time of its last sample.
    pub max_ms: i64,
    /// Encoding number (1 XOR, 2 histogram, 3 float histogram).
    pub encoding: u8,
    /// The chunk's bytes.
    pub data: Vec<u8>,
}

/// Encodes the points of one series (both lists ascending) as chunks in time order.
#[must_use]
pub fn chunks_of(samples: &[Sample], histograms: &[HistogramPoint]) -> Vec<OutChunk> {
    let mut out = Vec::new();
    let (mut floats, mut hists) = (samples, histograms);
    loop {
        let until = hists.first().map_or(i64::MAX, |h| h.t);
        let n = floats.partition_point(|s| s.t < until || hists.is_empty());
        let (run, rest) = floats.split_at(n);
        for part in run.chunks(SAMPLES_PER_CHUNK) {
            let mut e = XorEncoder::new();
            for s in part {
                e.push(*s);
            }
            out.push(OutChunk {
                min_ms: part.first().map_or(0, |s| s.t),
                max_ms: part.last().map_or(0, |s| s.t),
                encoding: ENCODING_XOR,
                data: e.finish(),
            });
        }
        floats = rest;
        let until = floats.first().map_or(i64::MAX, |s| s.t);
        let n = hists.partition_point(|h| h.t <= until || floats.is_empty());
        let (run, rest) = hists.split_at(n);
        histogram_chunks(run, &mut out);
        hists = rest;
        if floats.is_empty() && hists.is_empty() {
            return out;
        }
    }
}

fn histogram_chunks(run: &[HistogramPoint], out: &mut Vec<OutChunk>) {
    let mut open: Option<(HistogramEncoder, i64, i64)> = None;
    let close = |open: Option<(HistogramEncoder, i64, i64)>, out: &mut Vec<OutChunk>| {
        if let Some((e, min_ms, max_ms)) = open {
            out.push(OutChunk {
                min_ms,
                max_ms,
                encoding: e.encoding(),
                data: e.finish(),
            });
        }
    };
    for p in run {
        if let Some((e, _, max)) = &mut open
            && e.len() < SAMPLES_PER_CHUNK
            && e.push(p)
        {
            *max = p.t;
            continue;
        }
        close(open.take(), out);
        open = Some((HistogramEncoder::new(p), p.t, p.t));
    }
    close(open, out);
}

/// Prometheus' limit of one frame.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Appends the frames of one series of query `query_index` to `out`. A series whose chunks do not
/// fit into `frame_bytes_max` is split over several frames.
pub fn write_frames(
    labels: &Labels,
    chunks: &[OutChunk],
    query_index: i64,
    frame_bytes_max: usize,
    out: &mut Vec<u8>,
) {
    let mut label_bytes = Vec::new();
    v1::write_labels(&mut Writer::new(&mut label_bytes), 1, labels);
    // Per chunk: two times, a type and lengths besides the data.
    let size = |c: &OutChunk| c.data.len() + 40;
    let mut rest = chunks;
    while !rest.is_empty() {
        let mut room = frame_bytes_max.saturating_sub(label_bytes.len());
        let mut n = 0;
        while let Some(c) = rest.get(n)
            && (n == 0 || size(c) <= room)
        {
            room = room.saturating_sub(size(c));
            n += 1;
        }
        let (now, later) = rest.split_at(n);
        rest = later;
        let mut series = label_bytes.clone();
        let mut w = Writer::new(&mut series);
        for c in now {
            w.message(2, |m| {
                m.int_or_skip(1, c.min_ms);
                m.int_or_skip(2, c.max_ms);
                m.uint_or_skip(3, c.encoding.into());
                m.bytes(4, &c.data);
            });
        }
        let mut message = Vec::with_capacity(series.len() + 16);
        let mut w = Writer::new(&mut message);
        w.bytes(1, &series);
        w.int_or_skip(2, query_index);
        put_varint(out, message.len() as u64);
        out.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
        out.extend_from_slice(&message);
    }
}

/// A series read from frames or from a samples response.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadSeries {
    /// Which query it answers.
    pub query_index: i64,
    /// Its labels as sent.
    pub labels: Labels,
    /// Float samples.
    pub samples: Vec<Sample>,
    /// Histogram samples.
    pub histograms: Vec<HistogramPoint>,
}

/// Why frames cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Malformed message.
    #[error("{0}")]
    Proto(#[from] ProtoError),
    /// Malformed chunk.
    #[error("{0}")]
    Chunk(#[from] ChunkError),
    /// The checksum does not fit.
    #[error("frame checksum mismatch")]
    Checksum,
    /// A series with more labels than anybody has.
    #[error("series has more than {LABELS_MAX} labels")]
    Labels,
}

/// Reads the first frame of `bytes`: its series and the rest of the bytes; `None` at the end.
///
/// # Errors
/// When the frame is cut, damaged or malformed.
pub fn read_frame(bytes: &[u8]) -> Result<Option<(Vec<ReadSeries>, &[u8])>, FrameError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut r = Reader::new(bytes);
    let len = usize::try_from(r.varint()?).map_err(|_| ProtoError::Truncated)?;
    let (crc, rest) = r
        .rest()
        .split_first_chunk::<4>()
        .ok_or(ProtoError::Truncated)?;
    let (message, rest) = rest.split_at_checked(len).ok_or(ProtoError::Truncated)?;
    if crc32c::crc32c(message) != u32::from_be_bytes(*crc) {
        return Err(FrameError::Checksum);
    }
    let mut found: Vec<ReadSeries> = Vec::new();
    let mut query_index = 0;
    let mut r = Reader::new(message);
    while let Some((field, v)) = r.field()? {
        match field {
            1 => found.push(read_chunked_series(v.bytes(1)?)?),
            2 => query_index = v.varint(2)?.cast_signed(),
            _ => {}
        }
    }
    for s in &mut found {
        s.query_index = query_index;
    }
    Ok(Some((found, rest)))
}

fn read_chunked_series(msg: &[u8]) -> Result<ReadSeries, FrameError> {
    let mut pairs = Vec::new();
    let mut s = ReadSeries::default();
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            1 if pairs.len() >= LABELS_MAX => return Err(FrameError::Labels),
            1 => pairs.push(v1::read_label(v.bytes(1)?)?),
            2 => read_chunk(v.bytes(2)?, &mut s)?,
            _ => {}
        }
    }
    s.labels = Labels::from_pairs(pairs);
    Ok(s)
}

fn read_chunk(msg: &[u8], s: &mut ReadSeries) -> Result<(), FrameError> {
    let (mut encoding, mut data) = (0, &[][..]);
    let mut r = Reader::new(msg);
    while let Some((field, v)) = r.field()? {
        match field {
            3 => encoding = v.varint(3)?,
            4 => data = v.bytes(4)?,
            _ => {}
        }
    }
    match u8::try_from(encoding) {
        Ok(ENCODING_XOR) => {
            for p in XorDecoder::new(data)? {
                s.samples.push(p?);
            }
        }
        Ok(n) => {
            for p in HistogramDecoder::new(n, data)? {
                s.histograms.push(p?);
            }
        }
        Err(_) => return Err(ChunkError::Corrupt("unknown encoding").into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CounterResetHint, Counts, Histogram, Span, WriteBatch};
    use proptest::prelude::*;

    fn histogram(t: i64) -> HistogramPoint {
        HistogramPoint {
            t,
            start_t: 0,
            h: Histogram {
                hint: CounterResetHint::Gauge,
                schema: 0,
                zero_threshold: 0.0,
                sum: 3.0,
                positive_spans: vec![Span {
                    offset: 0,
                    length: 1,
                }],
                negative_spans: vec![],
                custom_values: vec![],
                counts: Counts::Integer {
                    count: 2,
                    zero: 0,
                    positive: vec![2],
                    negative: vec![],
                },
            },
        }
    }

    #[test]
    fn requests_round_trip() {
        let req = ReadRequest {
            queries: vec![ReadQuery {
                start_ms: -5,
                end_ms: 10,
                matchers: vec![ReadMatcher {
                    kind: MatchKind::NotRegex,
                    name: "job".into(),
                    value: "a|b".into(),
                }],
            }],
            accepted: vec![7, 1, 0],
        };
        let mut body = Vec::new();
        req.encode(&mut body);
        assert_eq!(ReadRequest::decode(&body), Ok(req.clone()));
        assert_eq!(req.response_type(), Ok(ResponseType::StreamedXorChunks));
        let none = ReadRequest {
            accepted: vec![7],
            ..req
        };
        assert!(none.response_type().is_err());
        assert_eq!(
            ReadRequest::default().response_type(),
            Ok(ResponseType::Samples)
        );
    }

    #[test]
    fn a_mixed_series_becomes_chunks_in_time_order() {
        let floats: Vec<Sample> = (0..250)
            .chain(300..301)
            .map(|t| Sample { t, v: t as f64 })
            .collect();
        let hists: Vec<HistogramPoint> = (250..300).chain(301..303).map(histogram).collect();
        let chunks = chunks_of(&floats, &hists);
        let kinds: Vec<(u8, i64, i64)> = chunks
            .iter()
            .map(|c| (c.encoding, c.min_ms, c.max_ms))
            .collect();
        assert_eq!(
            kinds,
            [
                (1, 0, 119),
                (1, 120, 239),
                (1, 240, 249),
                (2, 250, 299),
                (1, 300, 300),
                (2, 301, 302)
            ]
        );
        let labels = Labels::from_pairs([("__name__", "m"), ("a", "b")]);
        let mut out = Vec::new();
        write_frames(&labels, &chunks, 3, 200, &mut out);
        let (mut rest, mut frames, mut all) = (&out[..], 0, ReadSeries::default());
        while let Some((series, r)) = read_frame(rest).expect("valid") {
            rest = r;
            frames += 1;
            for s in series {
                assert_eq!((s.query_index, &s.labels), (3, &labels));
                all.samples.extend(s.samples);
                all.histograms.extend(s.histograms);
            }
        }
        assert!(frames > 1);
        assert_eq!((all.samples, all.histograms), (floats, hists));
        let mut damaged = out.clone();
        damaged[10] ^= 1;
        assert_eq!(read_frame(&damaged), Err(FrameError::Checksum));
    }

    #[test]
    fn the_samples_answer_holds_one_result_per_query() {
        let labels = Labels::from_pairs([("__name__", "m")]);
        let samples = [Sample { t: 1, v: 2.0 }];
        let mut resp = SamplesResponse::new();
        resp.begin_query();
        resp.begin_query();
        resp.series(&OutSeries::floats(&labels, &samples));
        let bytes = resp.finish();
        let mut r = Reader::new(&bytes);
        let (_, first) = r.field().expect("valid").expect("first result");
        assert_eq!(first.bytes(1), Ok(&[][..]));
        let (_, second) = r.field().expect("valid").expect("second result");
        // A query result has the shape of a write request.
        let mut batch = WriteBatch::default();
        v1::decode(
            second.bytes(1).expect("message"),
            0,
            &Default::default(),
            &mut batch,
        )
        .expect("series");
        assert_eq!(batch.samples, samples);
        assert_eq!(r.field(), Ok(None));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(b in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(ReadRequest::decode(&b));
            drop(read_frame(&b));
            let mut framed = Vec::new();
            put_varint(&mut framed, b.len() as u64);
            framed.extend(crc32c::crc32c(&b).to_be_bytes());
            framed.extend(&b);
            drop(read_frame(&framed));
        }
    }
}
