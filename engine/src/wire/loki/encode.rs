//! `PushRequest` in protobuf, for those who send.

use crate::wire::proto::Writer;

/// An entry to send.
#[derive(Debug, Clone, Copy)]
pub struct SendEntry<'a> {
    /// Time in ns since 1970.
    pub time_ns: i64,
    /// The line.
    pub line: &'a str,
    /// Structured metadata.
    pub metadata: &'a [(String, String)],
}

/// Appends one stream; a request is one after the other. `labels` are as a selector writes them.
pub fn put_stream<'a>(
    out: &mut Vec<u8>,
    labels: &str,
    entries: impl Iterator<Item = SendEntry<'a>>,
) {
    Writer::new(out).message(1, |stream| {
        stream.string_or_skip(1, labels);
        for e in entries {
            stream.message(2, |entry| {
                entry.message(1, |time| {
                    time.int_or_skip(1, e.time_ns.div_euclid(1_000_000_000));
                    time.int_or_skip(2, e.time_ns.rem_euclid(1_000_000_000));
                });
                entry.string_or_skip(2, e.line);
                for (name, value) in e.metadata {
                    entry.message(3, |pair| {
                        pair.string_or_skip(1, name);
                        pair.string_or_skip(2, value);
                    });
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::loki::decode_protobuf;

    #[test]
    fn what_is_written_is_read_again() {
        let metadata = [("k".to_owned(), "v".to_owned())];
        let entry = SendEntry {
            time_ns: -1,
            line: "x",
            metadata: &metadata,
        };
        let mut out = Vec::new();
        put_stream(&mut out, "{a=\"b\"}", [entry].into_iter());
        let read = decode_protobuf(&out).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].labels[0].1, "b");
        let e = &read[0].entries[0];
        assert_eq!((e.time, e.line.as_ref()), (-1, "x"));
        assert_eq!(e.metadata[0].0, "k");
    }
}
