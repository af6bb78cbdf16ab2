//! Parameters, errors and shapes of queries. What expressions mean is tested elsewhere.

use serde_json::json;

use crate::support::{Server, now_ms};
use crate::wire::{labels, store};

fn server() -> (Server, i64) {
    let s = Server::start(&["--web.enable-remote-write-receiver"]);
    let t = now_ms() / 1000 * 1000 - 60_000;
    let series = [("a", "1"), ("b", "2")].map(|(job, v)| {
        let l = labels(&[("__name__", "m"), ("job", job), ("x", "<&>")]);
        let v: f64 = v.parse().expect("a number");
        (l, vec![(t, v), (t + 1000, v + 0.5)])
    });
    store(&s, &series);
    (s, t)
}

#[test]
fn results_have_their_documented_shapes() {
    let (s, t) = server();
    let at = format!("{}", (t + 1000) / 1000);
    let ask = |q: &str| {
        s.query("/api/v1/query", &[("query", q), ("time", &at)])
            .data()
    };
    let seconds = (t + 1000) / 1000;
    assert_eq!(
        ask("1.5"),
        json!({"resultType": "scalar", "result": [seconds, "1.5"]})
    );
    assert_eq!(
        ask("\"<x>\""),
        json!({"resultType": "string", "result": [seconds, "<x>"]})
    );
    assert_eq!(
        ask("m{job=\"a\"}"),
        json!({"resultType": "vector", "result": [{
            "metric": {"__name__": "m", "job": "a", "x": "<&>"},
            "value": [seconds, "1.5"],
        }]})
    );
    assert_eq!(
        ask("m{job=\"b\"}[1m]")["result"][0]["values"],
        json!([[seconds - 1, "2"], [seconds, "2.5"]])
    );
    assert_eq!(
        ask("nothing"),
        json!({"resultType": "vector", "result": []})
    );
    let raw = s
        .query("/api/v1/query", &[("query", "m"), ("time", &at)])
        .text();
    assert!(raw.contains("\\u003c\\u0026\\u003e"), "{raw}");
}

#[test]
fn range_results_are_sorted_by_labels() {
    let (s, t) = server();
    let (start, end) = (t.to_string(), (t + 1000).to_string());
    let cut = |ms: &str| format!("{}.{}", &ms[..ms.len() - 3], &ms[ms.len() - 3..]);
    let p = [
        ("query", "sum by (job) (m)"),
        ("start", &cut(&start)),
        ("end", &cut(&end)),
        ("step", "1"),
    ];
    let data = s.query("/api/v1/query_range", &p).data();
    assert_eq!(data["resultType"], "matrix");
    let jobs: Vec<&str> = data["result"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| r["metric"]["job"].as_str().expect("a job"))
        .collect();
    assert_eq!(jobs, ["a", "b"]);
    assert_eq!(
        data["result"][0]["values"].as_array().map(Vec::len),
        Some(2)
    );
    let mut scalar = p;
    scalar[0].1 = "3";
    let data = s.query("/api/v1/query_range", &scalar).data();
    assert_eq!(data["resultType"], "matrix");
    assert_eq!(data["result"][0]["metric"], json!({}));
}

#[test]
fn parameters_are_checked_in_order_with_their_names() {
    let s = Server::start(&[]);
    let range = [
        ("query", "up"),
        ("start", "0"),
        ("end", "10"),
        ("step", "1"),
    ];
    let with = |name: &'static str, value: &'static str| {
        let mut p = range.to_vec();
        match p.iter_mut().find(|(n, _)| *n == name) {
            Some(x) => x.1 = value,
            None => p.push((name, value)),
        }
        s.query("/api/v1/query_range", &p).error()
    };
    for (name, value, text) in [
        (
            "limit",
            "abc",
            r#"invalid parameter "limit": strconv.Atoi: parsing "abc": invalid syntax"#,
        ),
        (
            "limit",
            "-1",
            r#"invalid parameter "limit": limit must be non-negative"#,
        ),
        (
            "start",
            "x",
            r#"invalid parameter "start": cannot parse "x" to a valid timestamp"#,
        ),
        (
            "end",
            "",
            r#"invalid parameter "end": cannot parse "" to a valid timestamp"#,
        ),
        (
            "end",
            "-1",
            r#"invalid parameter "end": end timestamp must not be before start time"#,
        ),
        (
            "step",
            "x",
            r#"invalid parameter "step": cannot parse "x" to a valid duration"#,
        ),
        (
            "step",
            "0",
            r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        ),
        (
            "end",
            "11001",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            "timeout",
            "x",
            r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#,
        ),
    ] {
        let (status, kind, got) = with(name, value);
        assert_eq!(
            (status, kind.as_str(), got.as_str()),
            (400, "bad_data", text),
            "{name}={value}"
        );
    }
    let mut ok = range;
    ok[2].1 = "11000";
    assert_eq!(s.query("/api/v1/query_range", &ok).status, 200);
    let mut both = range.to_vec();
    both.extend([("limit", "x")]);
    both[1].1 = "y";
    assert!(
        s.query("/api/v1/query_range", &both)
            .error()
            .2
            .contains("\"limit\"")
    );
}

#[test]
fn query_errors_carry_position_and_type() {
    let s = Server::start(&[]);
    let ask = |q: &str| s.query("/api/v1/query", &[("query", q)]).error();
    let (status, kind, text) = s.get("/api/v1/query").error();
    assert_eq!((status, kind.as_str()), (400, "bad_data"));
    assert_eq!(
        text,
        r#"invalid parameter "query": unknown position: parse error: no expression found in input"#
    );
    let (status, kind, text) = ask("sum(");
    assert_eq!((status, kind.as_str()), (400, "bad_data"));
    assert!(
        text.starts_with("invalid parameter \"query\": 1:5: parse error: "),
        "{text}"
    );
    let p = [
        ("query", "up[5m]"),
        ("start", "0"),
        ("end", "1"),
        ("step", "1"),
    ];
    let (status, _, text) = s.query("/api/v1/query_range", &p).error();
    assert_eq!(status, 400);
    assert_eq!(
        text,
        r#"invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector"#
    );
    let (status, kind, _) = ask("label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")");
    assert_eq!((status, kind.as_str()), (422, "execution"));
}

#[test]
fn limits_and_stats_are_optional() {
    let (s, t) = server();
    let at = format!("{}", (t + 1000) / 1000);
    let a = s.query(
        "/api/v1/query",
        &[("query", "m"), ("time", &at), ("limit", "1")],
    );
    assert_eq!(a.data()["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        a.json()["warnings"],
        json!(["results truncated due to limit"])
    );
    let a = s.query(
        "/api/v1/query",
        &[("query", "m"), ("time", &at), ("limit", "2")],
    );
    assert_eq!(a.json().get("warnings"), None);
    assert_eq!(a.data().get("stats"), None);
    let a = s.query(
        "/api/v1/query",
        &[("query", "m"), ("time", &at), ("stats", "true")],
    );
    let stats = a.data()["stats"].clone();
    assert!(stats["timings"]["evalTotalTime"].is_number(), "{stats}");
    assert!(
        stats["samples"]["totalQueryableSamples"].is_number(),
        "{stats}"
    );
}

#[test]
fn expressions_are_formatted_and_taken_apart() {
    let s = Server::start(&[]);
    let a = s.query("/api/v1/format_query", &[("query", "sum(x)BY(a) #c")]);
    assert_eq!(a.data(), "sum by (a) (x)");
    let tree = s
        .query("/api/v1/parse_query", &[("query", "-x{a=~\"b\"}")])
        .data();
    assert_eq!(
        (&tree["type"], &tree["op"]),
        (&json!("unaryExpr"), &json!("-"))
    );
    assert_eq!(tree["expr"]["type"], "vectorSelector");
    let m = &tree["expr"]["matchers"];
    assert!(
        m.as_array()
            .is_some_and(|m| m.contains(&json!({"name": "a", "type": "=~", "value": "b"}))),
        "{m}"
    );
    for path in ["/api/v1/format_query", "/api/v1/parse_query"] {
        let (status, kind, _) = s.query(path, &[("query", "(")]).error();
        assert_eq!((status, kind.as_str()), (400, "bad_data"));
    }
}

#[test]
fn exemplars_of_queries_without_selectors_are_nothing() {
    let s = Server::start(&[]);
    let a = s.query("/api/v1/query_exemplars", &[("query", "1")]);
    assert_eq!((a.status, a.body.len()), (204, 0));
    let a = s.query("/api/v1/query_exemplars", &[("query", "up")]);
    assert_eq!(a.data(), json!([]));
}

#[test]
fn times_are_rounded_to_milliseconds() {
    let s = Server::start(&[]);
    for (time, want) in [
        ("1435781451.05", "1435781451.050"),
        ("1.0006", "1.001"),
        ("2015-07-01T20:10:51Z", "1435781451"),
        ("-1.5", "-1.500"),
    ] {
        let a = s.query("/api/v1/query", &[("query", "1"), ("time", time)]);
        let text = a.text();
        assert!(
            text.contains(&format!("\"result\":[{want},\"1\"]")),
            "{time}: {text}"
        );
    }
}

#[test]
fn a_query_stops_when_its_client_is_gone() {
    use std::io::Write as _;
    let (s, _) = server();
    let running = || {
        let text = s.get("/metrics").text();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("prometheus_engine_queries "));
        line.and_then(|v| v.parse::<f64>().ok()).expect("a gauge")
    };
    // About 10^10 evaluations: far beyond the patience of this test.
    let heavy = "max_over_time(sum_over_time((vector(1) + time())[1000s:10ms])[10000s:10ms])";
    let target = crate::support::client::query(&[("query", heavy)]);
    let mut c = std::net::TcpStream::connect(&s.address).expect("connected");
    let request = format!("GET /api/v1/query?{target} HTTP/1.1\r\nHost: x\r\n\r\n");
    c.write_all(request.as_bytes()).expect("sent");
    crate::support::wait("the query's start", || running() >= 1.0);
    drop(c);
    // Uncancelled it would run for hours.
    crate::support::wait("the query's end", || running() < 1.0);
}

#[test]
fn statistics_tell_the_steps_apart_where_the_feature_is_on() {
    let flags = [
        "--web.enable-remote-write-receiver",
        "--enable-feature=promql-per-step-stats",
    ];
    let s = Server::start(&flags);
    let t = now_ms() / 1000 * 1000 - 60_000;
    let l = labels(&[("__name__", "m")]);
    let points = (0..5).map(|i| (t + i * 1000, i as f64)).collect();
    store(&s, &[(l, points)]);
    let t = t / 1000;
    let (start, end) = ((t + 2).to_string(), (t + 4).to_string());
    let ask = |stats: &str| {
        let p = [
            ("query", "sum_over_time(m[3s])"),
            ("start", &start),
            ("end", &end),
            ("step", "1"),
            ("stats", stats),
        ];
        s.query("/api/v1/query_range", &p).data()["stats"]["samples"].clone()
    };
    let all = ask("all");
    let steps =
        |counts: [u64; 3]| json!([[t + 2, counts[0]], [t + 3, counts[1]], [t + 4, counts[2]]]);
    assert_eq!(all["totalQueryableSamplesPerStep"], steps([3, 3, 3]));
    assert_eq!(all["samplesReadPerStep"], steps([3, 1, 1]));
    assert_eq!(all["totalQueryableSamples"], 9);
    assert_eq!(all["samplesRead"], 5);
    assert!(ask("true").get("samplesReadPerStep").is_none());
}
