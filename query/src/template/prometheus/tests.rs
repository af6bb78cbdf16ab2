//! Texts of rules against what the reference made of them.

use super::*;

struct Fixed;

impl Source for Fixed {
    fn query(&mut self, expression: &str) -> Result<Vec<Sample>, String> {
        let sample = |job: &str, value: f64| Sample {
            labels: vec![("__name__".into(), "m".into()), ("job".into(), job.into())],
            value: value.into(),
        };
        match expression {
            "m" => Ok(vec![sample("b", 2.0), sample("a", 1.5)]),
            "none" => Ok(Vec::new()),
            other => Err(format!("cannot parse {other:?}")),
        }
    }
    fn now_ms(&self) -> i64 {
        1_500
    }
    fn external_url(&self) -> Option<&str> {
        Some("http://prom.example.test:9090/prom")
    }
}

fn expanded(text: &str) -> String {
    let scope = Scope {
        labels: Value::texts([("instance", "h1.example.com:9100"), ("job", "node")]),
        external_labels: Value::texts([("cluster", "c1")]),
        external_url: "http://prom.example.test:9090/prom".into(),
        value: 12345.678.into(),
    };
    let t = parse("T", text).unwrap_or_else(|e| panic!("{text}: {e}"));
    expand(&t, &scope, &mut Fixed)
}

#[test]
fn functions_of_rules() {
    for (text, want) in [
        (
            "{{ .Value }}|{{ $labels.nothere }}|{{ $externalLabels.cluster }}",
            "12345.678||c1",
        ),
        (
            "{{ $value | humanizeDuration }} {{ $value | humanize }}",
            "3h 25m 45s 12.35k",
        ),
        (
            "{{ range query \"m\" }}{{ .Labels.job }}={{ .Value }};{{ end }}",
            "b=2;a=1.5;",
        ),
        (
            "{{ query \"m\" | sortByLabel \"job\" | first | value }}",
            "1.5",
        ),
        (
            "{{ query \"m\" | first | label \"job\" }}{{ query \"m\" | len }}",
            "b2",
        ),
        ("{{ with query \"none\" }}x{{ else }}y{{ end }}", "y"),
        (
            "{{ reReplaceAll \"(.*):(.*)\" \"$2-$1\" $labels.instance }}",
            "9100-h1.example.com",
        ),
        (
            "{{ match \"h[0-9]\" $labels.instance }}{{ title \"a bC\" }}",
            "trueA BC",
        ),
        (
            "{{ graphLink \"up == 0\" }} {{ tableLink \"a\" }}",
            "/graph?g0.expr=up+%3D%3D+0&g0.tab=0 /graph?g0.expr=a&g0.tab=1",
        ),
        (
            "{{ externalURL }} {{ pathPrefix }}",
            "http://prom.example.test:9090/prom /prom",
        ),
        (
            "{{ stripPort \"h:1\" }} {{ stripPort \"[::1]:80\" }} {{ stripPort \"x\" }}",
            "h ::1 x",
        ),
        (
            "{{ stripDomain \"h.a.b:1\" }} {{ stripDomain \"10.0.0.1:1\" }} {{ stripDomain \"h.a\" }}",
            "h:1 10.0.0.1:1 h",
        ),
        (
            "{{ $value | toTime }} {{ (0 | toTime).Year }}",
            "1970-01-01 03:25:45.678 +0000 UTC 1970",
        ),
        (
            "{{ toDuration 90.5 }} {{ parseDuration \"-1h30m\" }} {{ now }}",
            "1m30.5s -5400 1.5",
        ),
        (
            "{{ define \"t\" }}[{{ .arg0 }}{{ .arg1 }}]{{ end }}{{ template \"t\" (args \"x\" 1) }}",
            "[x1]",
        ),
        (
            "{{ $labels }} {{ urlQueryEscape \"a b\" }}",
            "map[instance:h1.example.com:9100 job:node] a+b",
        ),
        ("{{ if gt $value 100.0 }}big{{ else }}small{{ end }}", "big"),
        (
            "{{ humanize \"1500\" }} {{ humanizePercentage 0.125 }} {{ safeHtml \"<b>\" }}",
            "1.5k 12.5% <b>",
        ),
        (
            "{{ humanizeTimestamp 1435065584.128 }}",
            "2015-06-23 13:19:44.128 +0000 UTC",
        ),
    ] {
        assert_eq!(expanded(text), want, "{text}");
    }
}

#[test]
fn failures_become_text() {
    for (text, part) in [
        ("{{ .Nope }}", "can't evaluate field Nope"),
        ("{{ query \"bad{\" }}", "error calling query: cannot parse"),
        (
            "{{ query \"none\" | first }}",
            "first() called on vector with no elements",
        ),
        (
            "{{ reReplaceAll \"(\" \"\" \"a\" }}",
            "regexp: Compile(`(`)",
        ),
        (
            "{{ humanize \"x\" }}",
            "strconv.ParseFloat: parsing \"x\": invalid syntax",
        ),
        ("{{ humanizeTimestamp 1e30 }}", "overflows int64"),
        ("{{ label \"a\" 1 }}", "expected a sample"),
    ] {
        let got = expanded(text);
        assert!(
            got.starts_with("<error expanding template: error executing template __alert_T: template: __alert_T:1:")
                && got.contains(part),
            "{text}: {got}"
        );
    }
    for text in [
        "{{ $labels.instance",
        "{{ $undefined }}",
        "{{ nosuch }}",
        "{{ if .Value }}",
    ] {
        assert!(parse("T", text).is_err(), "{text}");
    }
}
