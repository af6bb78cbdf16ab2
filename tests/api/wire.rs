//! Bodies that the tests send.

use engine::model::{Labels, Sample};
use engine::wire::inflate::compress_snappy;
use engine::wire::remote_write::{OutSeries, v1, v2};

use crate::support::{Answer, Server};

/// A label set.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.to_vec())
}

/// `bytes` as a snappy block.
pub(crate) fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress_snappy(bytes, &mut out);
    out
}

/// Series with their samples.
pub(crate) type Series = (Labels, Vec<(i64, f64)>);

fn samples(points: &[(i64, f64)]) -> Vec<Sample> {
    points
        .iter()
        .map(|(t, v)| Sample { t: *t, v: *v })
        .collect()
}

/// A version 1 message.
pub(crate) fn message_v1(series: &[Series]) -> Vec<u8> {
    let points: Vec<Vec<Sample>> = series.iter().map(|s| samples(&s.1)).collect();
    let out = series
        .iter()
        .zip(&points)
        .map(|(s, p)| OutSeries::floats(&s.0, p));
    let mut bytes = Vec::new();
    v1::encode(out, [], &mut bytes);
    bytes
}

/// A version 2 message.
pub(crate) fn message_v2(series: &[Series]) -> Vec<u8> {
    let points: Vec<Vec<Sample>> = series.iter().map(|s| samples(&s.1)).collect();
    let out = series
        .iter()
        .zip(&points)
        .map(|(s, p)| OutSeries::floats(&s.0, p));
    let mut bytes = Vec::new();
    v2::encode(out, &mut bytes);
    bytes
}

/// Content type of version 2.
pub(crate) const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// Sends a message with the headers of an honest sender.
pub(crate) fn send(server: &Server, content_type: &str, message: &[u8]) -> Answer {
    server
        .request("POST", "/api/v1/write")
        .header("Content-Type", content_type)
        .header("Content-Encoding", "snappy")
        .body(snappy(message))
        .send()
}

/// Sends samples as version 1.
pub(crate) fn write(server: &Server, series: &[Series]) -> Answer {
    send(server, "application/x-protobuf", &message_v1(series))
}

/// Sends samples as version 2.
pub(crate) fn write_v2(server: &Server, series: &[Series]) -> Answer {
    send(server, V2, &message_v2(series))
}

/// Sends samples and expects them to be taken.
pub(crate) fn store(server: &Server, series: &[Series]) {
    let a = write(server, series);
    assert_eq!(a.status, 204, "{}", a.text());
}

/// The stored points of a selector, `(labels, [(seconds, value)])`, as the query API shows them.
pub(crate) fn stored(server: &Server, selector: &str) -> serde_json::Value {
    server
        .query("/api/v1/query", &[("query", &format!("{selector}[1d]"))])
        .data()["result"]
        .clone()
}
