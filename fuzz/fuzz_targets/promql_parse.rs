//! No text makes the parser panic or run away, with any part of the language on or off; an error
//! points into the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use query::promql::parse::parse_series;
use query::promql::{ParseOptions, parse, parse_selector, selectors_of};

fuzz_target!(|data: &[u8]| {
    let Some((flags, text)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let options = ParseOptions {
        experimental_functions: flags & 1 != 0,
        duration_expressions: flags & 2 != 0,
        extended_range_selectors: flags & 4 != 0,
        binop_fill_modifiers: flags & 8 != 0,
    };
    match parse(&text, options) {
        Ok(e) => {
            let _ = (selectors_of(&e), e.value_type());
            // What is accepted with less is accepted with everything.
            assert!(parse(&text, ParseOptions::all()).is_ok());
        }
        Err(e) => {
            assert!(e.span.start <= e.span.end && e.span.end as usize <= text.len() + 1);
            assert!(!e.message.is_empty());
        }
    }
    let _ = parse_selector(&text);
    let _ = parse_series(&text);
});
