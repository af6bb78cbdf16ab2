//! The codecs of blocks, log records and checkpoints: arbitrary bytes never panic and never
//! allocate beyond the asked number of values; what decodes survives another round.
#![no_main]

use engine::chunk::varint::Reader;
use engine::chunk::{histogram, ints, values};
use libfuzzer_sys::fuzz_target;

/// A chunk never holds more.
const VALUES_MAX: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<3>() else {
        return;
    };
    let n = usize::from(u16::from_le_bytes([head[1], head[2]])) % VALUES_MAX;
    let mut r = Reader::new(rest);
    match head[0] % 4 {
        0 => {
            let mut out = Vec::new();
            if ints::decode(&mut r, n, &mut out).is_ok() {
                let mut bytes = Vec::new();
                ints::encode(&out, &mut bytes, &mut ints::Scratch::default());
                let mut again = Vec::new();
                ints::decode(&mut Reader::new(&bytes), n, &mut again).expect("own output");
                assert_eq!(out, again);
            }
            assert!(out.len() <= n + ints::MINIBLOCK);
        }
        1 => {
            let mut out = Vec::new();
            let mut s = values::Scratch::default();
            if values::decode(&mut r, n, &mut out, &mut s).is_ok() {
                let mut bytes = Vec::new();
                values::encode(&out, &mut bytes, &mut s);
                let mut again = Vec::new();
                values::decode(&mut Reader::new(&bytes), n, &mut again, &mut s)
                    .expect("own output");
                assert!(out.iter().map(|v| v.to_bits()).eq(again.iter().map(|v| v.to_bits())));
            }
            assert!(out.len() <= n + ints::MINIBLOCK);
        }
        2 => {
            if let Ok(h) = histogram::get(&mut r) {
                let mut bytes = Vec::new();
                histogram::put(&mut bytes, &h);
                let again = histogram::get(&mut Reader::new(&bytes)).expect("own output");
                let mut twice = Vec::new();
                histogram::put(&mut twice, &again);
                assert_eq!(bytes, twice);
            }
        }
        _ => while r.varint().is_ok() {},
    }
});
