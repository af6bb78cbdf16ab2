//! Loki's interface: retention, delete requests, several tenants, limits that change, streams.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::{Answer, Server, TempDir, now_ms, wait};

const DAY_MS: i64 = 86_400_000;

/// One request as `tenant`.
fn ask(s: &Server, tenant: &str, method: &str, path: &str, pairs: &[(&str, &str)]) -> Answer {
    s.request(method, path)
        .header("X-Scope-OrgID", tenant)
        .form(pairs)
        .send()
}

/// Pushes one line to each stream, at `ms`.
fn push(s: &Server, tenant: &str, ms: i64, streams: &[(Value, &str)]) -> Answer {
    let time = format!("{ms}000000");
    let one = |(labels, line): &(Value, &str)| json!({"stream": labels, "values": [[time, line]]});
    let streams: Vec<Value> = streams.iter().map(one).collect();
    s.request("POST", "/loki/api/v1/push")
        .header("X-Scope-OrgID", tenant)
        .header("Content-Type", "application/json")
        .body(json!({"streams": streams}).to_string())
        .send()
}

/// Streams and lines between `from` and now, as `labels line`, sorted.
fn lines(s: &Server, tenant: &str, query: &str, from_ms: i64) -> Vec<String> {
    let (start, end) = (
        format!("{from_ms}000000"),
        format!("{}000000", now_ms() + 1000),
    );
    let pairs = [("query", query), ("start", &start), ("end", &end)];
    let answer = ask(s, tenant, "POST", "/loki/api/v1/query_range", &pairs);
    let mut out = Vec::new();
    for stream in answer.data()["result"].as_array().expect("streams") {
        for v in stream["values"].as_array().expect("values") {
            out.push(format!(
                "{} {}",
                stream["stream"],
                v[1].as_str().expect("a line")
            ));
        }
    }
    out.sort();
    out
}

/// The lines alone.
fn texts(s: &Server, tenant: &str, query: &str, from_ms: i64) -> Vec<String> {
    let all = lines(s, tenant, query, from_ms);
    let text = |l: String| l.rsplit('}').next().map(|t| t.trim().to_owned());
    let mut all: Vec<String> = all.into_iter().filter_map(text).collect();
    all.sort();
    all
}

fn flush(s: &Server) {
    assert_eq!(s.request("POST", "/flush").send().status, 204);
}

#[test]
fn streams_are_kept_by_their_rule() {
    let s = Server::loki(
        "auth_enabled: true
compactor: {retention_enabled: true}
runtime_config: {period: 100ms}
limits_config:
  reject_old_samples: false
  retention_period: 240h
  retention_stream:
    - {selector: '{app=\"brief\"}', priority: 1, period: 24h}
    - {selector: '{app=~\"brief|long\"}', priority: 2, period: 20d}
    - {selector: '{app=\"brief\"}', priority: 2, period: 30h}
overrides:
  other: {retention_period: 0s, retention_stream: []}
",
    );
    let app = |a: &str| json!({"app": a});
    let ago = |days: i64| now_ms() - days * DAY_MS;
    for tenant in ["one", "other"] {
        for days in [15, 5, 0] {
            let line = format!("{days} days");
            let all: Vec<(Value, &str)> = ["brief", "plain", "long"]
                .map(|a| (app(a), line.as_str()))
                .to_vec();
            assert_eq!(push(&s, tenant, ago(days), &all).status, 204);
        }
    }
    flush(&s);
    let seen = |tenant: &str, a: &str| texts(&s, tenant, &format!("{{app=\"{a}\"}}"), ago(20));
    let want = |days: &[i64]| -> Vec<String> { days.iter().map(|d| format!("{d} days")).collect() };
    wait("old lines to go", || seen("one", "brief") == want(&[0]));
    wait("older lines to go", || {
        seen("one", "plain") == want(&[0, 5])
    });
    assert_eq!(seen("one", "long"), want(&[0, 15, 5]));
    for a in ["brief", "plain", "long"] {
        assert_eq!(seen("other", a), want(&[0, 15, 5]), "another tenant's {a}");
    }
}

/// Requests as listed: query and status.
fn requests(s: &Server) -> Vec<(String, String)> {
    let all = ask(s, "x", "GET", "/loki/api/v1/delete", &[]).json();
    let text = |v: &Value| v.as_str().expect("a text").to_owned();
    let one = |r: &Value| (text(&r["query"]), text(&r["status"]));
    all.as_array().expect("a list").iter().map(one).collect()
}

#[test]
fn delete_requests_are_carried_out_when_they_can_no_longer_be_taken_back() {
    let s = Server::loki(
        "compactor:
  retention_enabled: true
  delete_request_store: filesystem
  delete_request_cancel_period: 500ms
  compaction_interval: 200ms
",
    );
    let at = now_ms() - 60_000;
    let label = json!({"app": "a"});
    let all = [(label.clone(), "keep this"), (label.clone(), "drop this")];
    assert_eq!(push(&s, "x", at, &all).status, 204);
    let start = ((at - 1000) / 1000).to_string();
    let query = "{app=\"a\"} |= \"drop\"";
    let pairs = [("query", query), ("start", &start)];
    let answer = ask(&s, "x", "POST", "/loki/api/v1/delete", &pairs);
    assert_eq!(answer.status, 204, "{}", answer.text());
    let id = answer
        .header("x-delete-request-id")
        .expect("an id")
        .to_owned();
    let seen = || texts(&s, "x", "{app=\"a\"}", at - 5000);
    assert_eq!(seen(), ["keep this"]);
    let done = vec![(query.to_owned(), "processed".to_owned())];
    wait("the request to be carried out", || requests(&s) == done);
    assert_eq!(seen(), ["keep this"]);
    // It is over: neither can it be taken back nor does it touch what comes later.
    let target = format!("/loki/api/v1/delete?request_id={id}");
    let answer = s.request("DELETE", &target).send();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(
        answer.text().contains("already processed"),
        "{}",
        answer.text()
    );
    assert_eq!(
        push(&s, "x", at + 1, &[(label, "drop this later")]).status,
        204
    );
    assert_eq!(seen(), ["drop this later", "keep this"]);
}

#[test]
fn delete_requests_can_be_taken_back() {
    let s = Server::loki(
        "compactor: {retention_enabled: true, delete_request_store: filesystem, compaction_interval: 100ms}\n",
    );
    let at = now_ms() - 60_000;
    let label = json!({"app": "a"});
    let all = [(label.clone(), "keep this"), (label, "drop this")];
    assert_eq!(push(&s, "x", at, &all).status, 204);
    flush(&s);
    let start = ((at - 1000) / 1000).to_string();
    let pairs = [("query", "{app=\"a\"} |= \"drop\""), ("start", &start)];
    let answer = ask(&s, "x", "POST", "/loki/api/v1/delete", &pairs);
    let id = answer
        .header("x-delete-request-id")
        .expect("an id")
        .to_owned();
    let seen = || texts(&s, "x", "{app=\"a\"}", at - 5000);
    assert_eq!(seen(), ["keep this"]);
    flush(&s);
    let target = format!("/loki/api/v1/delete?request_id={id}");
    assert_eq!(s.request("DELETE", &target).send().status, 204);
    assert_eq!(seen(), ["drop this", "keep this"]);
    assert_eq!(requests(&s), []);
    let unknown = s.request("DELETE", &target).send();
    assert_eq!(unknown.status, 404, "{}", unknown.text());
}

#[test]
fn several_tenants_are_read_at_once() {
    let s = Server::loki(
        "auth_enabled: true
querier: {multi_tenant_queries_enabled: true}
limits_config: {discover_service_name: [], discover_log_levels: false}
",
    );
    let at = now_ms() - 30_000;
    for (tenant, line) in [("a", "one"), ("b", "two"), ("c", "three")] {
        let all = [(json!({"app": "x"}), line)];
        assert_eq!(push(&s, tenant, at, &all).status, 204);
    }
    let seen = |tenants: &str, query: &str| lines(&s, tenants, query, at - 1000);
    assert_eq!(
        seen("a|b", "{app=\"x\"}"),
        [
            r#"{"__tenant_id__":"a","app":"x"} one"#,
            r#"{"__tenant_id__":"b","app":"x"} two"#,
        ]
    );
    assert_eq!(seen("a", "{app=\"x\"}"), [r#"{"app":"x"} one"#]);
    assert_eq!(seen("a|a", "{app=\"x\"}"), [r#"{"app":"x"} one"#]);
    assert_eq!(
        seen("c|a|b", "{app=\"x\", __tenant_id__=~\"b|c\"} |= \"t\""),
        [
            r#"{"__tenant_id__":"b","app":"x"} two"#,
            r#"{"__tenant_id__":"c","app":"x"} three"#,
        ]
    );
    let query = "sum by (__tenant_id__) (count_over_time({app=\"x\"}[1h]))";
    let answer = ask(
        &s,
        "a|b|none",
        "POST",
        "/loki/api/v1/query",
        &[("query", query)],
    );
    let result = answer.data()["result"].clone();
    let metrics: Vec<&Value> = result
        .as_array()
        .expect("a vector")
        .iter()
        .map(|e| &e["metric"])
        .collect();
    assert_eq!(
        metrics,
        [
            &json!({"__tenant_id__": "a"}),
            &json!({"__tenant_id__": "b"})
        ]
    );
    let get = |path: &str| ask(&s, "a|b", "GET", path, &[]).data();
    assert_eq!(get("/loki/api/v1/labels"), json!(["__tenant_id__", "app"]));
    let values = get("/loki/api/v1/label/__tenant_id__/values");
    assert_eq!(values, json!(["a", "b"]));
    let series = get("/loki/api/v1/series");
    assert_eq!(series.as_array().map(Vec::len), Some(2));
    // Who writes is one, and so is who asks where several were not thought of.
    for (tenants, part) in [
        ("a|b", "multiple org IDs present"),
        ("a||b", "not valid"),
        ("", ""),
    ] {
        let answer = push(&s, tenants, at, &[(json!({"app": "x"}), "no")]);
        assert!(matches!(answer.status, 400 | 401), "{}", answer.text());
        assert!(answer.text().contains(part), "{}", answer.text());
    }
    let query = [("query", "{app=\"x\"}")];
    let answer = ask(&s, "a|b", "GET", "/loki/api/v1/index/stats", &query);
    assert_eq!(answer.status, 400);
}

#[test]
fn overrides_are_read_again_while_the_server_runs() {
    let dir = TempDir::new();
    let file = dir.write(
        "overrides.yml",
        "overrides: {a: {max_entries_limit_per_query: 7}}\n",
    );
    let s = Server::loki(&format!(
        "auth_enabled: true\nruntime_config: {{file: '{file}', period: 100ms}}\n"
    ));
    let limit = |tenant: &str| -> Option<u64> {
        let pairs = [("query", "{app=\"x\"}"), ("limit", "999999")];
        let text = ask(&s, tenant, "POST", "/loki/api/v1/query_range", &pairs).text();
        text.split("> ").last()?.trim_end_matches(')').parse().ok()
    };
    assert_eq!((limit("a"), limit("b")), (Some(7), Some(5000)));
    // A file under way is of no use; what is in force stays.
    dir.write(
        "overrides.yml",
        "overrides: {a: {max_entries_limit_per_query: many}}\n",
    );
    wait("the broken file to be seen", || {
        s.log()
            .iter()
            .any(|l| l.contains("overrides cannot be read"))
    });
    assert_eq!(limit("a"), Some(7));
    dir.write(
        "overrides.yml",
        "overrides: {b: {max_entries_limit_per_query: 9}}\n",
    );
    wait("the new limits", || {
        (limit("a"), limit("b")) == (Some(5000), Some(9))
    });
    std::fs::remove_file(&file).expect("removed");
    wait("the missing file to be seen", || {
        let log = s.log();
        log.iter()
            .filter(|l| l.contains("overrides cannot be read"))
            .count()
            > 1
    });
    assert_eq!(limit("b"), Some(9));
}

#[test]
fn streams_in_memory_are_limited() {
    let s = Server::loki("limits_config: {max_global_streams_per_user: 2}\n");
    let at = now_ms() - 1000;
    let stream = |n: &str| (json!({"n": n}), "line");
    let answer = push(
        &s,
        "x",
        at,
        &[stream("1"), stream("2"), stream("3"), stream("1")],
    );
    assert_eq!(answer.status, 429, "{}", answer.text());
    let text = answer.text();
    let told = "maximum active stream limit exceeded when trying to create stream {n=\"3\"";
    assert!(text.contains(told), "{text}");
    assert_eq!(lines(&s, "x", "{n=~\".+\"}", at - 1000).len(), 2);
    assert_eq!(push(&s, "x", at + 1, &[stream("2")]).status, 204);
    // What is no longer in memory is no longer counted.
    flush(&s);
    assert_eq!(push(&s, "x", at + 2, &[stream("3")]).status, 204);
}

#[test]
fn otlp_is_taken_in_lz4() {
    let s = Server::start(&[]);
    let at = format!("{}000000", now_ms());
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "z"}}]},
        "scopeLogs": [{"logRecords": [{"timeUnixNano": at, "body": {"stringValue": "packed"}}]}],
    }]});
    let mut packed = lz4_flex::frame::FrameEncoder::new(Vec::new());
    packed
        .write_all(body.to_string().as_bytes())
        .expect("to memory");
    let send = |body: Vec<u8>| {
        s.request("POST", "/otlp/v1/logs")
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "lz4")
            .body(body)
            .send()
    };
    let answer = send(packed.finish().expect("to memory"));
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(
        texts(&s, "x", "{service_name=\"z\"}", now_ms() - 60_000),
        ["packed"]
    );
    assert_eq!(send(b"not lz4".to_vec()).status, 400);
}
