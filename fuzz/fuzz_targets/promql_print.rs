//! What parses is printed, on one line and on several, as a text that parses to the same tree and
//! prints the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use query::promql::{ParseOptions, json, parse};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(e) = parse(text, ParseOptions::all()) else {
        return;
    };
    let line = e.to_string();
    let again = parse(&line, ParseOptions::all())
        .unwrap_or_else(|x| panic!("{text:?} was printed as {line:?}: {x}"));
    assert_eq!(again.to_string(), line, "{text:?}");
    assert_eq!(json::tree(&again), json::tree(&e), "{text:?} became {line:?}");
    let pretty = query::promql::print::pretty(&e);
    let again = parse(&pretty, ParseOptions::all())
        .unwrap_or_else(|x| panic!("{text:?} was printed as {pretty:?}: {x}"));
    assert_eq!(again.to_string(), line, "{text:?}");
});
