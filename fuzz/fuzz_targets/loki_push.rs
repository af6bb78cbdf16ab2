//! Bodies of Loki pushes, JSON and protobuf, and the label texts in them: what decodes is no larger
//! than what was sent.
#![no_main]

use engine::wire::loki::{PushStream, decode_json, decode_protobuf, parse_labels};
use libfuzzer_sys::fuzz_target;

fn bytes(streams: &[PushStream<'_>]) -> usize {
    let lines = streams.iter().flat_map(|s| &s.entries);
    lines.map(|e| e.line.len()).sum()
}

fuzz_target!(|data: &[u8]| {
    if let Ok(streams) = decode_json(data) {
        assert!(bytes(&streams) <= data.len());
    }
    if let Ok(streams) = decode_protobuf(data) {
        // What is no UTF-8 may become three bytes for one.
        assert!(bytes(&streams) <= data.len() * 3);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(pairs) = parse_labels(text)
    {
        assert!(pairs.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() <= data.len() * 3);
    }
});
