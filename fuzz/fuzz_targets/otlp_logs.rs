//! OTLP logs, protobuf and JSON, under several settings: whatever decodes becomes streams.
#![no_main]

use engine::wire::otlp::logs::{Settings, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let config = serde_json::json!({
        "resource_attributes": {
            "ignore_defaults": true,
            "attributes_config": [{"action": "index_label", "regex": "a.*"}],
        },
        "log_attributes": [{"action": "drop", "attributes": ["b"]}],
    });
    let settings = [
        Settings::default(),
        Settings::from_json(&config, true),
    ];
    for s in &settings {
        for json in [false, true] {
            if let Ok(streams) = decode(data, json, s, 7) {
                // Every record costs bytes, and so does every attribute of it.
                let entries = streams.iter().map(|s| s.entries.len()).sum::<usize>();
                assert!(entries <= data.len());
            }
        }
    }
});
