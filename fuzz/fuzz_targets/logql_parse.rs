//! What parses as LogQL is printed, on one line and on several, as a text that parses to a query
//! that prints the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use query::logql::{parse, print};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(e) = parse(text) else {
        return;
    };
    for line in [print::print(&e), print::pretty(&e)] {
        let again =
            parse(&line).unwrap_or_else(|x| panic!("{text:?} was printed as {line:?}: {x}"));
        assert_eq!(print::print(&again), print::print(&e), "{text:?} became {line:?}");
    }
});
