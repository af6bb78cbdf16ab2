//! Loki's interface: reads, errors, status pages.

use serde_json::{Value, json};

use crate::support::{Answer, Server, now_ms, wait};

/// Pushes lines one second apart, the newest now; gives the time of the first in ns.
pub(crate) fn push(s: &Server, labels: Value, lines: &[&str]) -> i64 {
    let first = (now_ms() - 1000 * lines.len() as i64) * 1_000_000;
    let values: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(i, l)| json!([(first + i as i64 * 1_000_000_000).to_string(), l]))
        .collect();
    let body = json!({"streams": [{"stream": labels, "values": values}]});
    let a = s
        .request("POST", "/loki/api/v1/push")
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send();
    assert_eq!((a.status, a.body.len()), (204, 0), "{}", a.text());
    first
}

fn ask(s: &Server, path: &str, pairs: &[(&str, &str)]) -> Answer {
    s.query(&format!("/loki/api/v1/{path}"), pairs)
}

fn body(a: &Answer) -> Value {
    assert_eq!(a.status, 200, "{}", a.text());
    serde_json::from_slice(&a.body).expect("JSON")
}

#[test]
fn lines_come_back_by_labels_filters_and_direction() {
    let s = Server::start(&[]);
    push(
        &s,
        json!({"app": "shop"}),
        &["level=info n=1", "level=error n=2", "level=info n=3"],
    );
    let a = ask(
        &s,
        "query_range",
        &[("query", "{app=\"shop\"} |= \"level\""), ("limit", "2")],
    );
    assert_eq!(
        a.header("content-type"),
        Some("application/json; charset=UTF-8")
    );
    let data = &body(&a)["data"];
    assert_eq!(data["resultType"], "streams");
    let mut lines = Vec::new();
    for stream in data["result"].as_array().expect("streams") {
        assert_eq!(stream["stream"]["service_name"], "shop");
        assert!(stream["stream"]["detected_level"].is_string());
        for v in stream["values"].as_array().expect("values") {
            lines.push(v[1].as_str().expect("a line").to_owned());
        }
    }
    lines.sort();
    assert_eq!(lines, ["level=error n=2", "level=info n=3"]);
    let q = "sum by (level) (count_over_time({app=\"shop\"} | logfmt [1h]))";
    let data = &body(&ask(&s, "query", &[("query", q)]))["data"];
    assert_eq!(data["resultType"], "vector");
    let mut counts: Vec<String> = data["result"]
        .as_array()
        .expect("samples")
        .iter()
        .map(|r| format!("{}={}", r["metric"]["level"], r["value"][1]))
        .collect();
    counts.sort();
    assert_eq!(counts, ["\"error\"=\"1\"", "\"info\"=\"2\""]);
}

#[test]
fn categorized_answers_tell_labels_apart() {
    let s = Server::start(&[]);
    push(&s, json!({"app": "a"}), &["x=1 level=warn"]);
    let target = "/loki/api/v1/query_range?query=%7Bapp%3D%22a%22%7D%20%7C%20logfmt";
    let a = s
        .request("GET", target)
        .header("X-Loki-Response-Encoding-Flags", "categorize-labels")
        .send();
    let data = &body(&a)["data"];
    assert_eq!(data["encodingFlags"], json!(["categorize-labels"]));
    let stream = &data["result"][0];
    assert_eq!(stream["stream"], json!({"app": "a", "service_name": "a"}));
    assert_eq!(
        stream["values"][0][2]["structuredMetadata"],
        json!({"detected_level": "warn"})
    );
    assert_eq!(
        stream["values"][0][2]["parsed"],
        json!({"level": "warn", "x": "1"})
    );
}

#[test]
fn labels_series_and_sizes() {
    let s = Server::start(&[]);
    push(&s, json!({"app": "a", "env": "prod"}), &["one"]);
    push(&s, json!({"app": "b"}), &["three", "four"]);
    let names = body(&ask(&s, "labels", &[]));
    assert_eq!(names["data"], json!(["app", "env", "service_name"]));
    let values = body(&ask(&s, "label/app/values", &[("query", "{env=\"prod\"}")]));
    assert_eq!(values["data"], json!(["a"]));
    assert_eq!(
        body(&ask(&s, "label/nosuch/values", &[])),
        json!({"status": "success"})
    );
    let series = body(&ask(&s, "series", &[("match[]", "{app=\"b\"}")]));
    assert_eq!(series["data"], json!([{"app": "b", "service_name": "b"}]));
    assert_eq!(
        body(&ask(&s, "series", &[]))["data"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let stats = body(&ask(&s, "index/stats", &[("query", "{app=~\".+\"}")]));
    assert_eq!(
        (&stats["streams"], &stats["entries"]),
        (&json!(2), &json!(3))
    );
    let volume = body(&ask(&s, "index/volume", &[("query", "{app=~\".+\"}")]));
    assert_eq!(volume["data"]["result"][0]["metric"], json!({"app": "b"}));
    let ranged = [("query", "{app=~\".+\"}"), ("step", "60")];
    let volume = body(&ask(&s, "index/volume_range", &ranged));
    assert_eq!(volume["data"]["resultType"], "matrix");
    let detected = body(&ask(&s, "detected_labels", &[]));
    assert_eq!(
        detected["detectedLabels"][0],
        json!({"label": "app", "cardinality": 2})
    );
    let a = ask(&s, "labels", &[("query", "{app=\"a\"} | json")]);
    assert_eq!(
        (a.status, a.text().trim()),
        (400, "only label matchers are supported")
    );
}

#[test]
fn fields_and_patterns_are_found() {
    let s = Server::start(&[]);
    push(
        &s,
        json!({"app": "j"}),
        &["{\"user\":{\"id\":7},\"ok\":true,\"took\":\"5ms\"}"],
    );
    let fields = body(&ask(&s, "detected_fields", &[("query", "{app=\"j\"}")]));
    let field = |name: &str| {
        let all = fields["fields"].as_array().expect("fields");
        all.iter()
            .find(|f| f["label"] == name)
            .cloned()
            .expect("the field")
    };
    assert_eq!(
        field("user_id"),
        json!({"label": "user_id", "type": "int", "cardinality": 1, "parsers": ["json"], "jsonPath": ["user", "id"]})
    );
    assert_eq!(field("took")["type"], "duration");
    assert_eq!(field("detected_level")["parsers"], Value::Null);
    let values = body(&ask(
        &s,
        "detected_field/took/values",
        &[("query", "{app=\"j\"}")],
    ));
    assert_eq!(values, json!({"values": ["5ms"], "limit": 1000}));
    push(&s, json!({"app": "p"}), &["GET /a/1 done", "GET /a/2 done"]);
    let patterns = body(&ask(&s, "patterns", &[("query", "{app=\"p\"}")]));
    assert_eq!(patterns["data"][0]["pattern"], "GET <_> done");
    // Where a file does not ask for them there are none.
    let s = Server::loki("");
    push(&s, json!({"app": "p"}), &["GET /a/1 done"]);
    let patterns = body(&ask(&s, "patterns", &[("query", "{app=\"p\"}")]));
    assert_eq!(patterns, json!({"status": "success", "data": []}));
}

#[test]
fn errors_are_plain_texts() {
    let s = Server::start(&[]);
    for (path, pairs, status, part) in [
        (
            "query_range",
            vec![("query", "{a=")],
            400,
            "parse error at line 1, col 4: syntax error: unexpected $end, expecting STRING",
        ),
        (
            "query_range",
            vec![("query", "{a=~\".*\"}")],
            400,
            "parse error : queries require at least one regexp or equality matcher",
        ),
        (
            "query",
            vec![("query", "{a=\"b\"}")],
            400,
            "log queries are not supported as an instant query type",
        ),
        (
            "query_range",
            vec![("query", "{a=\"b\"}"), ("limit", "5001")],
            400,
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)",
        ),
        (
            "query_range",
            vec![("query", "{a=\"b\"}"), ("limit", "0")],
            400,
            "limit must be a positive value",
        ),
        (
            "query_range",
            vec![("query", "{a=\"b\"}"), ("start", "20"), ("end", "10")],
            400,
            "end timestamp must not be before or equal to start time",
        ),
        (
            "query_range",
            vec![
                ("query", "rate({a=\"b\"}[1m])"),
                ("start", "0"),
                ("end", "20000"),
                ("step", "1"),
            ],
            400,
            "exceeded maximum resolution of 11,000 points per time series",
        ),
        (
            "query_range",
            vec![("query", "{a=\"b\"}"), ("start", "0"), ("end", "9999999")],
            400,
            "the query time range exceeds the limit (query length: ",
        ),
        (
            "query",
            vec![("query", "approx_topk(1, rate({a=\"b\"}[1m]))")],
            500,
            "approx_topk is not enabled",
        ),
        (
            "query",
            vec![("query", "vector(1)"), ("time", "x")],
            400,
            "could not parse",
        ),
        ("nosuch", vec![], 404, "404 page not found"),
    ] {
        let a = ask(&s, path, &pairs);
        assert_eq!(a.status, status, "{pairs:?}: {}", a.text());
        assert!(a.text().contains(part), "{pairs:?}: {}", a.text());
        assert!(
            a.header("content-type")
                .is_some_and(|t| t.starts_with("text/plain"))
        );
    }
    push(&s, json!({"app": "b"}), &["no json"]);
    let q = "count_over_time({app=\"b\"} | json [1h])";
    let a = ask(&s, "query", &[("query", q)]);
    assert_eq!(a.status, 400);
    assert!(
        a.text()
            .starts_with("pipeline error: 'JSONParserErr' for series: '{"),
        "{}",
        a.text()
    );
}

#[test]
fn queries_are_formatted() {
    let s = Server::start(&[]);
    let a = ask(&s, "format_query", &[("query", "{a=\"b\"}|=\"x\"|json")]);
    assert_eq!(
        body(&a),
        json!({"status": "success", "data": "{a=\"b\"} |= \"x\" | json"})
    );
    let a = ask(&s, "format_query", &[("query", "{")]);
    assert_eq!(a.status, 400);
    let e: Value = serde_json::from_slice(&a.body).expect("JSON");
    assert_eq!(e["status"], "invalid-query");
}

#[test]
fn status_pages() {
    let s = Server::loki("auth_enabled: false\nlimits_config:\n  enforce_metric_name: false\n");
    assert_eq!(s.get("/ready").text().trim(), "ready");
    assert!(s.get("/services").text().contains(" => Running"));
    assert!(s.get("/config").text().contains("auth_enabled: false"));
    assert!(s.get("/metrics").status == 200);
    let build = body(&s.get("/loki/api/v1/status/buildinfo"));
    assert!(build["version"].is_string());
    assert_eq!(
        s.get("/loki/api/v1/drilldown-limits").text().trim(),
        "no org id"
    );
    let level = || body(&s.get("/log_level"))["message"].clone();
    assert_eq!(level(), "Current log level is info");
    let set = |to: &str| {
        s.request("POST", "/log_level")
            .form(&[("log_level", to)])
            .send()
    };
    assert_eq!(
        (set("debug").status, set("loud").status, set("").status),
        (200, 400, 400)
    );
    assert_eq!(level(), "Current log level is debug");
    assert_eq!(s.get("/loki/api/v1/rules").status, 404);
    let rules = body(&s.get("/prometheus/api/v1/rules"));
    assert_eq!(rules["data"], json!({"groups": []}));
    assert_eq!(s.request("POST", "/flush").send().status, 204);
    wait("the warning about the retired key", || {
        s.log().iter().any(|l| l.contains("enforce_metric_name"))
    });
}

#[test]
fn tails_begin_with_the_past_and_go_on() {
    use std::io::{Read as _, Write as _};
    let s = Server::start(&[]);
    assert_eq!(
        s.get("/loki/api/v1/tail?query=%7Ba%3D%22b%22%7D").status,
        400
    );
    push(&s, json!({"a": "b"}), &["before"]);
    let mut stream = std::net::TcpStream::connect(&s.address).expect("a listening server");
    stream
        .set_read_timeout(Some(crate::support::PATIENCE))
        .expect("a timeout");
    let head = format!(
        "GET /loki/api/v1/tail?query=%7Ba%3D%22b%22%7D HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        s.address
    );
    stream.write_all(head.as_bytes()).expect("a connection");
    let mut seen = Vec::new();
    let mut read_until = |what: &str| {
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&seen).contains(what) {
            let n = stream.read(&mut piece).expect("an answer");
            assert!(n > 0, "closed: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..n]);
        }
    };
    read_until("before");
    push(&s, json!({"a": "b"}), &["after"]);
    read_until("after");
}

#[test]
fn deleted_lines_disappear_at_once() {
    let s =
        Server::loki("compactor:\n  retention_enabled: true\n  delete_request_store: filesystem\n");
    push(&s, json!({"app": "d"}), &["keep me", "drop me"]);
    let a = s
        .request(
            "POST",
            "/loki/api/v1/delete?query=%7Bapp%3D%22d%22%7D%20%7C%3D%20%22drop%22&start=0",
        )
        .send();
    assert_eq!(a.status, 204, "{}", a.text());
    let id = a.header("x-delete-request-id").expect("an id").to_owned();
    let lines = || {
        let data = body(&ask(&s, "query_range", &[("query", "{app=\"d\"}")]));
        data["data"]["result"].to_string()
    };
    assert!(lines().contains("keep me") && !lines().contains("drop me"));
    let list = body(&s.get("/loki/api/v1/delete"));
    assert_eq!(list[0]["request_id"], json!(id));
    assert_eq!(list[0]["status"], "received");
    let cancel = format!("/loki/api/v1/delete?request_id={id}");
    assert_eq!(s.request("DELETE", &cancel).send().status, 204);
    assert!(lines().contains("drop me"));
    for (query, part) in [
        ("query=%7Bapp%3D%22d%22%7D", "start time not set"),
        ("query=%7B&start=0", "invalid query expression"),
    ] {
        let a = s
            .request("POST", &format!("/loki/api/v1/delete?{query}"))
            .send();
        assert_eq!((a.status, a.text().trim()), (400, part));
    }
    let off = Server::start(&[]);
    assert_eq!(
        off.get("/loki/api/v1/delete").text().trim(),
        "Retention is not enabled"
    );
}
