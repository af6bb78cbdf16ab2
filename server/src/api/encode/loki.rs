//! Answers of log queries, written entry by entry and series by series.

use ::query::logql::eval::{LogAnswer, MetricAnswer, OutEntry};
use ::query::text::layout::rfc3339_utc;

use super::json::{write_string, write_time, write_value};
use super::labels::write_labels;
use super::to_vec;
use crate::http::ChunkSource;

/// What a query cost, as it stands behind the result.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StatsTail {
    /// How long it took.
    pub(crate) seconds: f64,
    /// Bytes of lines looked at.
    pub(crate) bytes: u64,
    /// Lines looked at.
    pub(crate) lines: u64,
    /// Lines that passed the filters.
    pub(crate) passed: u64,
    /// Row groups read.
    pub(crate) groups: u64,
    /// Duplicates dropped.
    pub(crate) duplicates: u64,
    /// Bytes read from files.
    pub(crate) compressed: u64,
    /// Entries of the answer.
    pub(crate) entries: u64,
}

impl StatsTail {
    fn write(&self, out: &mut Vec<u8>) {
        let per_second = |n: u64| {
            if self.seconds > 0.0 {
                (n as f64 / self.seconds) as u64
            } else {
                0
            }
        };
        let chunk = serde_json::json!({
            "headChunkBytes": 0, "headChunkLines": 0, "headChunkStructuredMetadataBytes": 0,
            "decompressedBytes": self.bytes, "decompressedLines": self.lines,
            "decompressedStructuredMetadataBytes": 0, "compressedBytes": self.compressed,
            "totalDuplicates": self.duplicates, "postFilterLines": self.passed,
        });
        let store = serde_json::json!({
            "totalChunksRef": self.groups, "totalChunksDownloaded": self.groups,
            "chunksDownloadTime": 0, "queryReferencedStructuredMetadata": false, "chunk": chunk,
        });
        let none = serde_json::json!({
            "entriesFound": 0, "entriesRequested": 0, "entriesStored": 0, "bytesReceived": 0,
            "bytesSent": 0, "requests": 0, "downloadTime": 0, "queryLengthServed": 0,
        });
        let stats = serde_json::json!({
            "summary": {
                "bytesProcessedPerSecond": per_second(self.bytes),
                "linesProcessedPerSecond": per_second(self.lines),
                "totalBytesProcessed": self.bytes,
                "totalLinesProcessed": self.lines,
                "execTime": self.seconds,
                "queueTime": 0,
                "subqueries": 0,
                "totalEntriesReturned": self.entries,
                "splits": 0,
                "shards": 0,
                "totalPostFilterLines": self.passed,
                "totalStructuredMetadataBytesProcessed": 0,
            },
            "querier": {"store": store},
            "ingester": {
                "totalReached": 0, "totalChunksMatched": 0, "totalBatches": 0, "totalLinesSent": 0,
                "store": serde_json::json!({"totalChunksRef": 0, "totalChunksDownloaded": 0,
                    "chunksDownloadTime": 0}),
            },
            "cache": {"chunk": none, "index": none, "result": none},
        });
        out.extend_from_slice(b",\"stats\":");
        out.extend_from_slice(&to_vec(&stats));
        out.extend_from_slice(b"}}");
    }
}

/// The answer to a log query on its way out.
pub(crate) struct StreamsBody {
    streams: LogAnswer,
    categorize: bool,
    tail: StatsTail,
    begun: bool,
    stream: usize,
    entry: usize,
}

impl StreamsBody {
    /// The body for `streams`.
    pub(crate) fn new(streams: LogAnswer, categorize: bool, tail: StatsTail) -> Self {
        Self {
            streams,
            categorize,
            tail,
            begun: false,
            stream: 0,
            entry: 0,
        }
    }
}

/// `["<ns>","line"]`, with categories as a third element.
fn write_entry(e: &OutEntry, categorize: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"[\"");
    out.extend_from_slice(itoa::Buffer::new().format(e.time).as_bytes());
    out.extend_from_slice(b"\",");
    write_string(&e.line, out);
    if categorize {
        out.extend_from_slice(b",{");
        for (i, (name, labels)) in [
            ("\"structuredMetadata\":", &e.metadata),
            ("\"parsed\":", &e.parsed),
        ]
        .into_iter()
        .filter(|(_, l)| !l.is_empty())
        .enumerate()
        {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
            write_labels(labels, out);
        }
        out.push(b'}');
    }
    out.push(b']');
}

impl ChunkSource for StreamsBody {
    fn next(&mut self, out: &mut Vec<u8>, want: usize) -> bool {
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(
                b"{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"result\":[",
            );
        }
        while let Some(s) = self.streams.get(self.stream) {
            if self.entry == 0 {
                if self.stream > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"stream\":");
                write_labels(&s.labels, out);
                out.extend_from_slice(b",\"values\":[");
            }
            while let Some(e) = s.entries.get(self.entry) {
                if self.entry > 0 {
                    out.push(b',');
                }
                write_entry(e, self.categorize, out);
                self.entry += 1;
                if out.len() >= want && self.entry < s.entries.len() {
                    return true;
                }
            }
            out.extend_from_slice(b"]}");
            self.entry = 0;
            self.stream += 1;
        }
        out.push(b']');
        if self.categorize {
            out.extend_from_slice(b",\"encodingFlags\":[\"categorize-labels\"]");
        }
        self.tail.write(out);
        false
    }
}

/// The answer to a metric query on its way out.
pub(crate) struct MetricBody {
    answer: MetricAnswer,
    tail: StatsTail,
    at: usize,
    begun: bool,
}

impl MetricBody {
    /// The body for `answer`.
    pub(crate) fn new(answer: MetricAnswer, tail: StatsTail) -> Self {
        Self {
            answer,
            tail,
            at: 0,
            begun: false,
        }
    }
}

fn write_point(t: i64, v: f64, scratch: &mut String, out: &mut Vec<u8>) {
    out.push(b'[');
    write_time(t, out);
    out.push(b',');
    write_value(v, scratch, out);
    out.push(b']');
}

impl ChunkSource for MetricBody {
    fn next(&mut self, out: &mut Vec<u8>, want: usize) -> bool {
        let mut scratch = String::new();
        let kind = match &self.answer {
            MetricAnswer::Scalar(..) => "scalar",
            MetricAnswer::Vector(_) => "vector",
            MetricAnswer::Matrix(_) => "matrix",
        };
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(b"{\"status\":\"success\",\"data\":{\"resultType\":\"");
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(b"\",\"result\":[");
        }
        match &self.answer {
            MetricAnswer::Scalar(t, v) => {
                // Scalars alone carry milliseconds, as in the original.
                out.extend_from_slice(itoa::Buffer::new().format(*t).as_bytes());
                out.push(b',');
                write_value(*v, &mut scratch, out);
            }
            MetricAnswer::Vector(samples) => {
                while let Some((labels, (t, v))) = samples.get(self.at) {
                    if out.len() >= want {
                        return true;
                    }
                    out.extend_from_slice(if self.at > 0 {
                        b",{\"metric\":"
                    } else {
                        b"{\"metric\":"
                    });
                    write_labels(labels, out);
                    out.extend_from_slice(b",\"value\":");
                    write_point(*t, *v, &mut scratch, out);
                    out.push(b'}');
                    self.at += 1;
                }
            }
            MetricAnswer::Matrix(series) => {
                while let Some((labels, points)) = series.get(self.at) {
                    if out.len() >= want {
                        return true;
                    }
                    out.extend_from_slice(if self.at > 0 {
                        b",{\"metric\":"
                    } else {
                        b"{\"metric\":"
                    });
                    write_labels(labels, out);
                    out.extend_from_slice(b",\"values\":[");
                    for (i, (t, v)) in points.iter().enumerate() {
                        if i > 0 {
                            out.push(b',');
                        }
                        write_point(*t, *v, &mut scratch, out);
                    }
                    out.extend_from_slice(b"]}");
                    self.at += 1;
                }
            }
        }
        out.push(b']');
        self.tail.write(out);
        false
    }
}

/// Streams in the shape of the first version: labels as text, times in RFC 3339.
pub(crate) struct LegacyBody(LogAnswer);

impl LegacyBody {
    /// The body for `streams`.
    pub(crate) fn new(streams: LogAnswer) -> Self {
        Self(streams)
    }
}

impl ChunkSource for LegacyBody {
    fn next(&mut self, out: &mut Vec<u8>, _want: usize) -> bool {
        out.extend_from_slice(b"{\"streams\":[");
        for (i, s) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"labels\":");
            write_string(&s.labels.to_string(), out);
            out.extend_from_slice(b",\"entries\":[");
            for (k, e) in s.entries.iter().enumerate() {
                if k > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"ts\":\"");
                out.extend_from_slice(rfc3339_utc(e.time).as_bytes());
                out.extend_from_slice(b"\",\"line\":");
                write_string(&e.line, out);
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
        }
        out.extend_from_slice(b"]}");
        false
    }
}
