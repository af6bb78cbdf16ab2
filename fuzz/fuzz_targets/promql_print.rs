//! What parses is printed, on one line and on several, as a text that parses to the same tree and
//! prints the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use query::promql::json::{self, Json};
use query::promql::{ParseOptions, parse};

/// Matchers are printed in order, whatever theirs was.
fn sorted(j: Json) -> Json {
    match j {
        Json::List(l) => Json::List(l.into_iter().map(sorted).collect()),
        Json::Object(members) => Json::Object(
            members
                .into_iter()
                .map(|(name, value)| match (name, sorted(value)) {
                    ("matchers", Json::List(mut l)) => {
                        l.sort_by_key(|m| format!("{m:?}"));
                        (name, Json::List(l))
                    }
                    (_, value) => (name, value),
                })
                .collect(),
        ),
        // A duration of minus zero is printed as `0s`, as upstream does.
        Json::Str(s) if s == "-0" => Json::Str("0".to_owned()),
        // NaN is not equal to itself.
        Json::Float(f) => Json::Str(format!("{f:?}")),
        other => other,
    }
}

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
    assert_eq!(sorted(json::tree(&again)), sorted(json::tree(&e)), "{text:?} became {line:?}");
    let pretty = query::promql::print::pretty(&e);
    let again = parse(&pretty, ParseOptions::all())
        .unwrap_or_else(|x| panic!("{text:?} was printed as {pretty:?}: {x}"));
    assert_eq!(again.to_string(), line, "{text:?}");
});
