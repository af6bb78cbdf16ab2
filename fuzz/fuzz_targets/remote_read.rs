//! A request that decodes encodes to one that decodes to the same.
#![no_main]

use engine::wire::remote_read::{ReadRequest, read_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = ReadRequest::decode(data) {
        let mut again = Vec::new();
        request.encode(&mut again);
        assert_eq!(ReadRequest::decode(&again), Ok(request));
    }
    let mut rest = data;
    while let Ok(Some((_, after))) = read_frame(rest) {
        rest = after;
    }
});
