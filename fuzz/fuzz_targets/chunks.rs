//! Arbitrary chunks never panic; float chunks that decode encode to chunks that decode alike.
#![no_main]

use engine::chunk::gorilla::{XorDecoder, XorEncoder};
use engine::chunk::prom_histogram::{
    ENCODING_FLOAT_HISTOGRAM, ENCODING_HISTOGRAM, HistogramDecoder,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(d) = XorDecoder::new(data)
        && let Ok(samples) = d.collect::<Result<Vec<_>, _>>()
    {
        let mut e = XorEncoder::new();
        for s in &samples {
            assert!(e.push(*s));
        }
        let bytes = e.finish();
        let again = XorDecoder::new(&bytes).expect("own output").flatten();
        assert!(
            again
                .zip(&samples)
                .all(|(a, b)| a.t == b.t && a.v.to_bits() == b.v.to_bits())
        );
    }
    for encoding in [ENCODING_HISTOGRAM, ENCODING_FLOAT_HISTOGRAM] {
        if let Ok(d) = HistogramDecoder::new(encoding, data) {
            for _point in d {}
        }
    }
});
