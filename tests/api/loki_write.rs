//! Loki's interface: pushes, OTLP, tenants, limits.

use serde_json::{Value, json};

use super::loki::push;
use crate::support::{Answer, Server, now_ms};

fn post(s: &Server, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    s.request("POST", "/loki/api/v1/push")
        .header("Content-Type", content_type)
        .body(body)
        .send()
}

fn now_ns() -> i64 {
    now_ms() * 1_000_000
}

#[test]
fn refusals_have_their_texts() {
    let s = Server::start(&[]);
    let now = now_ns().to_string();
    let stream = |value: Value| json!({"streams": [{"stream": {"a": "b"}, "values": [value]}]});
    let long = "x".repeat(300_000);
    let many: serde_json::Map<String, Value> =
        (0..20).map(|i| (format!("l{i}"), json!("v"))).collect();
    let future = (now_ns() + 3_600_000_000_000).to_string();
    let past = (now_ns() - 9 * 86_400_000_000_000).to_string();
    for (body, status, part) in [
        (
            json!({"streams": []}),
            422,
            "error at least one valid stream is required for ingestion",
        ),
        (stream(json!([1, "x"])), 400, "invalid type"),
        (stream(json!([now, "x", {"k": 1}])), 400, "invalid type"),
        (
            stream(json!([now, long])),
            400,
            "max entry size '262144' bytes exceeded for stream '{a=\"b\", service_name=\"unknown_service\"}' while adding an entry with length '300000' bytes",
        ),
        (stream(json!([future, "x"])), 400, "has timestamp too new: "),
        (stream(json!([past, "x"])), 400, "has timestamp too old: "),
        (
            json!({"streams": [{"stream": many, "values": [[now, "x"]]}]}),
            400,
            "has 20 label names; limit 15",
        ),
    ] {
        let a = post(&s, "application/json", body.to_string());
        assert_eq!(a.status, status, "{}", a.text());
        assert!(a.text().contains(part), "{}", a.text());
    }
    let a = post(&s, "text/plain", "not snappy");
    assert_eq!(a.status, 400);
    assert_eq!(a.text().trim(), "snappy: corrupt input");
    let a = s
        .request("POST", "/loki/api/v1/push")
        .header("Content-Type", "application/json")
        .header("Content-Encoding", "br")
        .body("{}")
        .send();
    assert_eq!(a.status, 400);
}

#[test]
fn protobuf_and_gzip_are_taken() {
    let s = Server::start(&[]);
    // PushRequest{1: Stream{1: labels, 2: Entry{1: Timestamp{1: s, 2: ns}, 2: line}}}
    let field = |number: u8, body: &[u8]| {
        let mut out = vec![
            number << 3 | 2,
            u8::try_from(body.len()).expect("a short field"),
        ];
        out.extend_from_slice(body);
        out
    };
    let seconds = u64::try_from(now_ms() / 1000).expect("a time");
    let mut time = vec![8];
    let mut n = seconds;
    while n >= 128 {
        time.push((n % 128) as u8 | 128);
        n /= 128;
    }
    time.push(n as u8);
    let entry = [field(1, &time), field(2, b"over the wire")].concat();
    let stream = [field(1, b"{app=\"proto\"}"), field(2, &entry)].concat();
    let request = field(1, &stream);
    let body = snap::raw::Encoder::new()
        .compress_vec(&request)
        .expect("snappy");
    let a = post(&s, "application/x-protobuf", body);
    assert_eq!(a.status, 204, "{}", a.text());
    let a = s.query("/loki/api/v1/query_range", &[("query", "{app=\"proto\"}")]);
    assert!(a.text().contains("over the wire"), "{}", a.text());
}

#[test]
fn otlp_logs_become_streams() {
    let s = Server::start(&[]);
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeLogs": [{"logRecords": [{
            "timeUnixNano": now_ns().to_string(), "severityNumber": 17,
            "body": {"stringValue": "boom"}, "traceId": "ab01",
        }]}],
    }]});
    let send = |body: String| {
        s.request("POST", "/otlp/v1/logs")
            .header("Content-Type", "application/json")
            .body(body)
            .send()
    };
    let a = send(body.to_string());
    assert_eq!(a.status, 204, "{}", a.text());
    let a = s.query(
        "/loki/api/v1/query_range",
        &[("query", "{service_name=\"shop\"} | trace_id=\"ab01\"")],
    );
    assert!(
        a.text().contains("boom") && a.text().contains("\"detected_level\":\"error\""),
        "{}",
        a.text()
    );
    let a = send("{".to_owned());
    assert_eq!(a.status, 400);
    assert_eq!(a.header("content-type"), Some("application/octet-stream"));
}

#[test]
fn tenants_do_not_see_each_other() {
    let s = Server::loki("auth_enabled: true\n");
    let now = now_ns().to_string();
    let body =
        json!({"streams": [{"stream": {"a": "b"}, "values": [[now, "secret"]]}]}).to_string();
    let send = |tenant: Option<&str>| {
        let r = s
            .request("POST", "/loki/api/v1/push")
            .header("Content-Type", "application/json")
            .body(body.clone());
        match tenant {
            Some(t) => r.header("X-Scope-OrgID", t).send(),
            None => r.send(),
        }
    };
    let a = send(None);
    assert_eq!((a.status, a.text().trim()), (401, "no org id"));
    assert_eq!(send(Some("one")).status, 204);
    let target = "/loki/api/v1/query_range?query=%7Ba%3D%22b%22%7D";
    for (tenant, sees) in [("one", true), ("two", false)] {
        let a = s
            .request("GET", target)
            .header("X-Scope-OrgID", tenant)
            .send();
        assert_eq!(a.text().contains("secret"), sees, "{tenant}: {}", a.text());
    }
    assert_eq!(s.get(target).status, 401);
}

#[test]
fn rates_are_limited() {
    let s = Server::loki(
        "limits_config:\n  ingestion_rate_mb: 0.001\n  ingestion_burst_size_mb: 0.001\n",
    );
    let now = now_ns().to_string();
    let line = "x".repeat(5000);
    let body = json!({"streams": [{"stream": {"a": "b"}, "values": [[now, line]]}]}).to_string();
    let a = post(&s, "application/json", body);
    assert_eq!(a.status, 429, "{}", a.text());
    let part = "ingestion rate limit exceeded for user fake (limit: 1048 bytes/sec) while attempting to ingest '1' lines totaling '5000' bytes";
    assert!(a.text().contains(part), "{}", a.text());
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let s = Server::start(&[]);
    push(&s, json!({"app": "r"}), &["still here"]);
    let (code, dir) = s.stop();
    assert_eq!(code, Some(0));
    let s = Server::launch(dir, &[]);
    s.wait_ready();
    let a = s.query("/loki/api/v1/query_range", &[("query", "{app=\"r\"}")]);
    assert!(a.text().contains("still here"), "{}", a.text());
}
