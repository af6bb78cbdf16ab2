//! Stages one by one: a line in, line and labels out.

use engine::model::Labels;

use super::*;
use crate::logql::parse_log;

/// Runs a pipeline; gives the line and the labels, or nothing when the line is dropped.
fn run(stages: &str, line: &str) -> Option<(String, String)> {
    let expr =
        parse_log(&format!("{{app=\"a\"}} {stages}")).unwrap_or_else(|e| panic!("{stages}: {e}"));
    let p = Pipeline::compile(&expr.stages).expect("compiled once already");
    if p.test().is_some_and(|t| !(t.matches)(line.as_bytes())) {
        return None;
    }
    let mut e = Entry::new(Hints::default());
    let stream = Labels::from_pairs([("app", "a")]);
    let metadata = Labels::from_pairs([("id", "7")]);
    e.take(
        1_700_000_000_000_000_000,
        line.as_bytes(),
        &stream,
        Some(&metadata),
    );
    let kept = p.apply(&mut e, &Surroundings::default());
    let labels = e
        .labels
        .all()
        .filter(|n| n != "app" && n != "id" && n != ERROR_DETAILS);
    kept.then(|| (e.line.into_owned(), labels.to_string()))
}

fn labels(stages: &str, line: &str) -> String {
    run(stages, line).map_or("dropped".to_owned(), |r| r.1)
}

fn line(stages: &str, line: &str) -> String {
    run(stages, line).map_or("dropped".to_owned(), |r| r.0)
}

#[test]
fn parsers() {
    for (stages, text, want) in [
        (
            "| json",
            r#"{"a":1.50,"b":{"c d":true},"e":null,"f":[1],"1g":"x\ny","a":2}"#,
            r#"{_1g="x\ny", a="1.50", b_c_d="true"}"#,
        ),
        (
            "| json",
            r#"{"app":"x","id":8}"#,
            r#"{app_extracted="x", id_extracted="8"}"#,
        ),
        (
            "| json",
            r#"{"a":1,"b":"#,
            r#"{__error__="JSONParserErr", a="1"}"#,
        ),
        ("| json", "x", r#"{__error__="JSONParserErr"}"#),
        (
            "| json x=\"a.b[1]\", y=\"a\", z",
            r#"{"a":{"b":[1,"q"]}}"#,
            r#"{x="q", y="{\"b\":[1,\"q\"]}", z=""}"#,
        ),
        ("| json x", " {\"x\":1}", r#"{__error__="JSONParserErr"}"#),
        ("| json x", "", "{}"),
        (
            "| logfmt",
            "a=1 b=\"x y\" c= d a=2 =q e.f=3",
            r#"{a="1", b="x y", e_f="3"}"#,
        ),
        (
            "| logfmt --keep-empty",
            "a=1 c= d",
            r#"{a="1", c="", d=""}"#,
        ),
        (
            "| logfmt --strict",
            "a=1 =b c=2",
            r#"{__error__="LogfmtParserErr", a="1"}"#,
        ),
        ("| logfmt x=\"a\", y=\"q\"", "a=1 a=2", r#"{x="2", y=""}"#),
        (
            "| regexp `(?P<w>\\w+) (?P<n>\\d+)?`",
            "ab cd",
            r#"{n="", w="ab"}"#,
        ),
        ("| regexp `(?P<w>\\d+)`", "ab", "{}"),
        ("| pattern \"<a> - <b>\"", "x - y z", r#"{a="x", b="y z"}"#),
        (
            "| unpack",
            r#"{"k":"v","n":1,"_entry":"inner"}"#,
            r#"{k="v"}"#,
        ),
        ("| unpack", r#"{"k":"v"}"#, "{}"),
        ("| json | logfmt", "{\"a\":1}", r#"{a="1"}"#),
    ] {
        assert_eq!(labels(stages, text), want, "{stages} {text}");
    }
    assert_eq!(line("| unpack", r#"{"k":"v","_entry":"inner"}"#), "inner");
}

#[test]
fn label_filters() {
    for (filter, want) in [
        ("n > 5", true),
        ("n > 50", false),
        ("d >= 1.5s", true),
        ("d < 1m", true),
        ("s = 1KB", true),
        ("s != 1KB", false),
        ("t = \"x\"", true),
        ("missing = \"\"", true),
        ("missing > 1", false),
        ("ip = ip(\"10.0.0.0/8\")", true),
        ("ip != ip(\"10.0.0.0/8\")", false),
        ("n > 50 or t = \"x\"", true),
        ("n > 5 and t = \"y\"", false),
        ("id = 7", true),
    ] {
        let text = "n=10 d=1500ms s=1000B t=x ip=10.1.2.3";
        let kept = run(&format!("| logfmt | {filter}"), text).is_some();
        assert_eq!(kept, want, "{filter}");
    }
    assert_eq!(
        labels("| logfmt | n > 5", "n=x"),
        r#"{__error__="LabelFilterErr", n="x"}"#
    );
    assert_eq!(
        labels("| logfmt | n > 5 | __error__=\"\"", "n=x"),
        "dropped"
    );
    assert_eq!(
        labels("| logfmt | n > 5 | m > 5", "n=x"),
        r#"{__error__="LabelFilterErr", n="x"}"#
    );
}

#[test]
fn formatting() {
    for (template, want) in [
        ("{{.a}}-{{.none}}", "Hello World-"),
        ("{{.a | ToUpper | trunc 5}}", "HELLO"),
        ("{{ substr 0 3 .a }}{{ trunc -3 .a }}", "Helrld"),
        (
            "{{ Replace .a \"l\" \"L\" 1 }}|{{ replace \"l\" \"L\" .a }}",
            "HeLlo World|HeLLo WorLd",
        ),
        ("{{ alignLeft 3 .n }}|{{ alignRight 4 .n }}", "42 |  42"),
        (
            "{{ add .n 1 2 }} {{ sub .n 2 }} {{ div .n 5 }} {{ mod .n 5 }} {{ max .n 50 }}",
            "45 40 8 2 50",
        ),
        (
            "{{ addf 0.1 0.2 }} {{ mulf .f 2 }} {{ divf 1 4 }} {{ round .f 1 }} {{ ceil .f }}",
            "0.3 3.5 0.25 1.8 2",
        ),
        ("{{ bytes \"1KB\" }} {{ duration \"1m\" }}", "1000 60"),
        (
            "{{ b64enc .a }} {{ b64dec \"aGk\" }} {{ urlencode .a }}",
            "SGVsbG8gV29ybGQ= hi Hello+World",
        ),
        (
            "{{ regexReplaceAll \"(l+)\" .a \"<$1>\" }}",
            "He<ll>o Wor<l>d",
        ),
        (
            "{{ count \"o\" .a }} {{ contains \"Wor\" .a }} {{ default \"x\" .none }}",
            "2 true x",
        ),
        (
            "{{ __timestamp__ | unixEpoch }} {{ __line__ | len }}",
            "1700000000 27",
        ),
        (
            "{{ unixToTime \"1700000000\" | date \"2006-01-02\" }}",
            "2023-11-14",
        ),
        ("{{ range fromJson \"[1,2]\" }}<{{.}}>{{ end }}", "<1><2>"),
        (
            "{{ toDate \"2006-01-02\" \"2023-11-14\" | unixEpochMillis }}",
            "1699920000000",
        ),
        (
            "{{ indent 2 .n }}|{{ repeat 2 .n }}|{{ title \"ab cd\" }}",
            "  42|4242|Ab Cd",
        ),
    ] {
        let got = line(
            &format!("| logfmt | line_format `{template}`"),
            "a=\"Hello World\" n=42 f=1.75",
        );
        assert_eq!(got, want, "{template}");
    }
    assert_eq!(
        labels("| line_format \"{{ div 1 0 }}\"", "x"),
        r#"{__error__="TemplateFormatErr"}"#
    );
    assert_eq!(
        labels("| logfmt | label_format b=a, c=\"{{.a}}!\"", "a=1"),
        r#"{b="1", c="!"}"#
    );
    assert_eq!(
        labels("| logfmt | drop a, b=\"x\"", "a=1 b=2"),
        r#"{b="2"}"#
    );
    assert_eq!(labels("| logfmt | keep b", "a=1 b=2"), r#"{b="2"}"#);
    assert_eq!(line("| decolorize", "\u{1b}[31mred\u{1b}[0m"), "red");
}

#[test]
fn line_filters() {
    for (filter, text, want) in [
        ("|= \"b\"", "abc", true),
        ("!= \"b\"", "abc", false),
        ("|= \"x\" or \"c\"", "abc", true),
        ("!= \"x\" or \"c\"", "abc", false),
        ("|~ \"(?i)B.\"", "abc", true),
        ("!~ \"\"", "abc", false),
        ("|> \"<_>b<_>\"", "abc", true),
        ("|= ip(\"10.0.0.1\")", "at 10.0.0.1:80", true),
        ("| line_format \"x\" |= \"x\"", "abc", true),
        ("|= \"\"", "", true),
    ] {
        assert_eq!(run(filter, text).is_some(), want, "{filter} {text}");
    }
}
