//! Templates of messages and of lines: whatever parses runs within its budget.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use query::template::{Budget, Map, NoHost, Template, Value};

const BUDGET: Budget = Budget {
    steps: 20_000,
    output_bytes: 1 << 16,
};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut map = Map {
        texts: true,
        ..Map::default()
    };
    for (name, value) in [("a", "text"), ("n", "12"), ("empty", ""), ("j", "{\"k\": [1, null]}")] {
        map.entries.insert(name.into(), value.into());
    }
    let data = Value::Map(Arc::new(map));
    let Ok(template) = Template::parse("t", text, &[]) else {
        return;
    };
    for template in [Some(template.clone()), template.html().ok()].into_iter().flatten() {
        let mut out = String::new();
        drop(template.execute(&data, &mut NoHost, BUDGET, &mut out));
        assert!(out.len() <= BUDGET.output_bytes);
    }
});
