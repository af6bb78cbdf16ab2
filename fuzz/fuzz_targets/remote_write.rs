//! Whatever decodes is consistent: samples within the batch, labels readable or refused, and the
//! batch within the limits.
#![no_main]

use engine::model::{LabelsSource, WriteBatch};
use engine::wire::remote_write::{Limits, v1, v2};
use libfuzzer_sys::fuzz_target;

fn check(batch: &WriteBatch, labels: &dyn LabelsSource) {
    assert!(batch.start_ts.is_empty() || batch.start_ts.len() == batch.samples.len());
    for s in &batch.series {
        assert_eq!(batch.samples_of(s).len(), s.samples as usize);
        let _unreadable = labels.collect(s.labels, &mut Vec::new());
        for h in batch.extra_of(s).map_or(&[][..], |e| &e.histograms) {
            assert!(h.h.is_stale() || h.h.validate().is_ok());
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let mut batch = WriteBatch::default();
    if let Ok(labels) = v1::decode(data, 7, &limits, &mut batch) {
        check(&batch, &labels);
    }
    let _malformed = v1::metadata(data, 1000);
    let mut scratch = v2::Scratch::default();
    if let Ok(d) = v2::decode(data, 7, &limits, &mut scratch, &mut batch) {
        check(&batch, &d.labels);
    }
});
