//! No compressed body may panic or grow beyond its cap.
#![no_main]

use engine::wire::inflate::{Caps, Encoding, inflate};
use libfuzzer_sys::fuzz_target;

const CAPS: Caps = Caps {
    compressed: 1 << 20,
    decompressed: 1 << 20,
};

fuzz_target!(|data: &[u8]| {
    let mut out = Vec::new();
    for encoding in [
        Encoding::Snappy,
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Zstd,
    ] {
        if let Ok(plain) = inflate(encoding, data, CAPS, &mut out) {
            assert!(plain.len() <= CAPS.decompressed);
        }
        assert!(out.capacity() <= CAPS.decompressed + 1);
    }
});
