//! Loki's push requests, in protobuf and in JSON.
//!
//! Owns: the messages, stream labels as text, error texts.
//! Knows nothing of: HTTP, limits of tenants, what a store accepts.
//!
//! Invariants
//! - LKW1  Lines are borrowed from the body where it holds them as they are.
//! - LKW2  A body of n bytes costs memory proportional to n, whatever it declares.

mod encode;
mod json;
mod labels;
mod proto;

use std::borrow::Cow;

pub use encode::{SendEntry, put_stream};
pub use json::decode_json;
pub use labels::parse_labels;
pub use proto::decode_protobuf;

/// Why a body is not a push request: answer 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PushDecodeError(pub String);

impl From<crate::wire::proto::ProtoError> for PushDecodeError {
    fn from(e: crate::wire::proto::ProtoError) -> Self {
        Self(e.to_string())
    }
}

/// Pairs of names and values as sent.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A stream of a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PushStream<'a> {
    /// Its labels, in any order, empty values included.
    pub labels: Pairs<'a>,
    /// Its entries.
    pub entries: Vec<PushEntry<'a>>,
}

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PushEntry<'a> {
    /// Time, ns since the epoch.
    pub time: i64,
    /// The line.
    pub line: Cow<'a, str>,
    /// Structured metadata, as sent.
    pub metadata: Pairs<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::Writer;

    #[test]
    fn json_requests() {
        let body =
            br#"{"streams":[{"stream":{"a":"b"},"values":[["1","x\n"],["2","y",{"k":"v"}]]}]}"#;
        let streams = decode_json(body).unwrap();
        assert_eq!(streams.len(), 1);
        assert_eq!(streams[0].labels, [("a".into(), "b".into())]);
        assert_eq!(streams[0].entries[0].line, "x\n");
        assert_eq!(streams[0].entries[1].time, 2);
        assert_eq!(streams[0].entries[1].metadata, [("k".into(), "v".into())]);
        for bad in [
            "",
            r#"{"streams":[{"stream":{"a":"b"},"values":[[1,"x"]]}]}"#,
            r#"{"streams":[{"stream":{"a":"b"},"values":[["x","x"]]}]}"#,
            r#"{"streams":[{"stream":{"a":"b"},"values":[["1","x",{"k":1}]]}]}"#,
            r#"{"streams":[{"stream":{"a":1},"values":[]}]}"#,
        ] {
            assert!(decode_json(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(decode_json(b"{}").unwrap(), []);
    }

    #[test]
    fn protobuf_requests() {
        let mut body = Vec::new();
        Writer::new(&mut body).message(1, |s| {
            s.bytes(1, br#"{a="b", c="d\"e"}"#);
            s.message(2, |e| {
                e.message(1, |t| {
                    t.uint(1, 7);
                    t.uint(2, 5);
                });
                e.bytes(2, b"line");
                e.message(3, |m| {
                    m.bytes(1, b"k");
                    m.bytes(2, b"v");
                });
            });
        });
        let streams = decode_protobuf(&body).unwrap();
        assert_eq!(streams[0].labels[1], ("c".into(), "d\"e".into()));
        let entry = &streams[0].entries[0];
        assert_eq!((entry.time, entry.line.as_ref()), (7_000_000_005, "line"));
        assert_eq!(entry.metadata, [("k".into(), "v".into())]);
        assert!(decode_protobuf(&body[..body.len() - 1]).is_err());
    }
}
