//! `/otlp/v1/metrics`.

use serde_json::json;

use crate::support::{Answer, Server, now_ms};

fn body(temporality: u8) -> String {
    let t = now_ms() as i128 * 1_000_000;
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "service.instance.id", "value": {"stringValue": "1"}},
        ]},
        "scopeMetrics": [{"metrics": [
            {"name": "my.gauge", "unit": "s", "gauge": {"dataPoints": [
                {"timeUnixNano": t.to_string(), "asDouble": 1.5}]}},
            {"name": "my.counter", "unit": "By", "sum": {
                "aggregationTemporality": temporality, "isMonotonic": true,
                "dataPoints": [{"timeUnixNano": t.to_string(), "asInt": "7"}]}},
        ]}],
    }]})
    .to_string()
}

fn post(s: &Server, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    s.request("POST", "/api/v1/otlp/v1/metrics")
        .header("Content-Type", content_type)
        .body(body)
        .send()
}

#[test]
fn metrics_are_translated_and_stored() {
    let s = Server::start(&["--web.enable-otlp-receiver"]);
    let a = post(&s, "application/json", body(2));
    assert_eq!((a.status, a.body.len()), (200, 0), "{}", a.text());
    for (q, v) in [("my_gauge_seconds", "1.5"), ("my_counter_bytes_total", "7")] {
        let data = s.query("/api/v1/query", &[("query", q)]).data();
        assert_eq!(data["result"][0]["value"][1], v, "{q}: {data}");
        assert_eq!(data["result"][0]["metric"]["job"], "shop");
        assert_eq!(data["result"][0]["metric"]["instance"], "1");
    }
}

#[test]
fn what_cannot_be_taken_is_refused() {
    let s = Server::start(&["--web.enable-otlp-receiver"]);
    for content_type in ["text/plain", "application/json; charset=utf-8", ""] {
        assert_eq!(
            post(&s, content_type, body(2)).status,
            400,
            "{content_type}"
        );
    }
    assert_eq!(post(&s, "application/json", "{").status, 400);
    assert_eq!(
        post(&s, "application/x-protobuf", vec![0xff; 5]).status,
        400
    );
    let a = s
        .request("POST", "/api/v1/otlp/v1/metrics")
        .header("Content-Type", "application/json")
        .header("Content-Encoding", "zstd")
        .body(body(2))
        .send();
    assert_eq!(a.status, 400);
    let a = post(&s, "application/json", body(1));
    assert_eq!(a.status, 500);
    assert!(
        a.text()
            .contains("invalid temporality and type combination for metric \"my.counter\""),
        "{}",
        a.text()
    );
    let gauge = s
        .query("/api/v1/query", &[("query", "my_gauge_seconds")])
        .data();
    assert_eq!(
        gauge["result"],
        json!([]),
        "the whole request is rolled back"
    );
    let off = Server::start(&[]);
    assert_eq!(post(&off, "application/json", body(2)).status, 404);
}
