//! Whatever decodes translates or is refused; stored histograms are valid.
#![no_main]

use engine::model::WriteBatch;
use engine::wire::otlp::{Settings, decode_json, decode_protobuf, translate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut batch = WriteBatch::default();
    for nhcb in [false, true] {
        let settings = Settings {
            convert_histograms_to_nhcb: nhcb,
            ..Settings::default()
        };
        for request in [decode_protobuf(data), decode_json(data)]
            .into_iter()
            .flatten()
        {
            if translate(&request, &settings, 7, &mut batch).is_ok() {
                for h in batch.extras.iter().flat_map(|e| &e.histograms) {
                    assert!(h.h.is_stale() || h.h.validate().is_ok());
                }
            }
        }
    }
});
