//! Loki's interface with its default settings: what is found out about lines as they come in, and
//! how it can be asked for.

use serde_json::{Value, json};

use crate::support::{Answer, Server, now_ms};

fn push(s: &Server, streams: &Value) -> Answer {
    s.request("POST", "/loki/api/v1/push")
        .header("Content-Type", "application/json")
        .body(json!({"streams": streams}).to_string())
        .send()
}

fn now() -> String {
    format!("{}000000", now_ms())
}

fn ask(s: &Server, path: &str, pairs: &[(&str, &str)]) -> Value {
    let a = s.query(&format!("/loki/api/v1/{path}"), pairs);
    assert_eq!(a.status, 200, "{path} {pairs:?}: {}", a.text());
    a.json()
}

/// The only stream of a query's answer, labels told apart: stream labels, structured metadata.
fn only(s: &Server, query: &str) -> (Value, Value) {
    let a = s
        .request("POST", "/loki/api/v1/query_range")
        .header("X-Loki-Response-Encoding-Flags", "categorize-labels")
        .form(&[("query", query)])
        .send();
    let data = a.data();
    let streams = data["result"].as_array().expect("streams");
    assert_eq!(streams.len(), 1, "{query}: {data}");
    let values = streams[0]["values"].as_array().expect("values");
    assert_eq!(values.len(), 1, "{query}: {data}");
    let metadata = values[0][2]["structuredMetadata"].clone();
    (streams[0]["stream"].clone(), metadata)
}

#[test]
fn streams_get_the_name_of_their_service() {
    let s = Server::loki("");
    let sources = [
        "service",
        "app",
        "application",
        "app_name",
        "name",
        "app_kubernetes_io_name",
        "container",
        "container_name",
        "k8s_container_name",
        "component",
        "workload",
        "job",
        "k8s_job_name",
    ];
    // Each stream has all names from the nth on: the first of them counts.
    for (n, name) in sources.iter().enumerate() {
        let mut labels: serde_json::Map<String, Value> = sources[n..]
            .iter()
            .map(|l| ((*l).to_owned(), json!(format!("by {l}"))))
            .collect();
        labels.insert("case".into(), json!(name));
        let sent = push(&s, &json!([{"stream": labels, "values": [[now(), "x"]]}]));
        assert_eq!(sent.status, 204, "{}", sent.text());
        let (stream, _) = only(&s, &format!("{{case=\"{name}\"}}"));
        assert_eq!(stream["service_name"], json!(format!("by {name}")));
        labels.insert("service_name".into(), stream["service_name"].clone());
        assert_eq!(stream, Value::Object(labels));
    }
    for (case, labels, service) in [
        (
            "own",
            json!({"service_name": "mine", "service": "other"}),
            "mine",
        ),
        ("none", json!({"host": "h", "pod": "p"}), "unknown_service"),
        ("empty", json!({"service": "", "app": "a"}), "a"),
        ("empty name", json!({"service_name": "", "app": "b"}), "b"),
    ] {
        let mut labels = labels;
        labels["case"] = json!(case);
        let sent = push(&s, &json!([{"stream": labels, "values": [[now(), "x"]]}]));
        assert_eq!(sent.status, 204, "{case}: {}", sent.text());
        let (stream, _) = only(
            &s,
            &format!("{{case=\"{case}\", service_name=\"{service}\"}}"),
        );
        assert!(
            stream
                .as_object()
                .is_some_and(|l| l.values().all(|v| v != "")),
            "{stream}"
        );
    }
    // Without any label the name is the only one.
    assert_eq!(
        push(&s, &json!([{"stream": {}, "values": [[now(), "bare"]]}])).status,
        204
    );
    let (stream, _) = only(&s, "{service_name=\"unknown_service\"} |= \"bare\"");
    assert_eq!(stream, json!({"service_name": "unknown_service"}));
    let values = ask(&s, "label/service_name/values", &[]);
    let found: Vec<&str> = values["data"]
        .as_array()
        .expect("values")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        found.contains(&"unknown_service") && found.contains(&"by k8s_job_name"),
        "{found:?}"
    );
}

#[test]
fn discovery_can_be_switched_off_and_given_other_names() {
    let s =
        Server::loki("limits_config: {discover_service_name: [], discover_log_levels: false}\n");
    let sent = push(
        &s,
        &json!([{"stream": {"app": "a"}, "values": [[now(), "level=error"]]}]),
    );
    assert_eq!(sent.status, 204);
    let (stream, metadata) = only(&s, "{app=\"a\"}");
    assert_eq!((stream, metadata), (json!({"app": "a"}), Value::Null));
    let sent = push(&s, &json!([{"stream": {}, "values": [[now(), "x"]]}]));
    assert_eq!(sent.status, 400, "{}", sent.text());
    let s = Server::loki(
        "limits_config: {discover_service_name: [team, app], log_level_fields: [sev]}\n",
    );
    let streams = json!([
        {"stream": {"app": "a", "team": "t"}, "values": [[now(), "sev=error level=info"]]},
    ]);
    assert_eq!(push(&s, &streams).status, 204);
    let (stream, metadata) = only(&s, "{app=\"a\"}");
    assert_eq!(stream["service_name"], "t");
    assert_eq!(metadata, json!({"detected_level": "error"}));
}

/// Labels, metadata, line, level.
fn level_cases() -> Vec<(Value, Value, &'static str, &'static str)> {
    let none = || json!({});
    let mut all = vec![
        // Where it comes from: labels before metadata before the line.
        (
            json!({"level": "WARN"}),
            json!({"severity": "error"}),
            "level=info",
            "warn",
        ),
        (none(), json!({"severity": "Err"}), "level=info", "error"),
        (json!({"severity": "own"}), none(), "level=info", "own"),
        (none(), json!({"Lvl": "wrn"}), "x", "warn"),
        (
            none(),
            json!({"lvl": "notice", "k": "v"}),
            "error",
            "notice",
        ),
        (json!({"lvl": "info", "level": "dbg"}), none(), "x", "debug"),
        (none(), json!({"severity_text": "Information"}), "x", "info"),
        // Sent by the client: only put into the usual words.
        (
            json!({"level": "info"}),
            json!({"detected_level": "ERR"}),
            "x",
            "error",
        ),
        (
            none(),
            json!({"detected_level": "loud"}),
            "level=info",
            "loud",
        ),
        // OpenTelemetry's numbers, when no text is there.
        (none(), json!({"severity_number": "1"}), "error", "trace"),
        (none(), json!({"severity_number": "8"}), "error", "debug"),
        (none(), json!({"severity_number": "9"}), "error", "info"),
        (none(), json!({"severity_number": "13"}), "error", "warn"),
        (none(), json!({"severity_number": "20"}), "x", "error"),
        (none(), json!({"severity_number": "24"}), "x", "fatal"),
        (none(), json!({"severity_number": "25"}), "error", "unknown"),
        (none(), json!({"severity_number": "0"}), "error", "unknown"),
        (none(), json!({"severity_number": "many"}), "error", "info"),
        (
            none(),
            json!({"severity_number": "9", "level": "error"}),
            "x",
            "error",
        ),
        // JSON: exact keys, texts, two objects deep; else its words.
        (
            none(),
            none(),
            "{\"level\":\"Critical\",\"msg\":\"info\"}",
            "critical",
        ),
        (
            none(),
            none(),
            "  {\"a\":{\"SeverityText\":\"trc\"}} ",
            "trace",
        ),
        (
            none(),
            none(),
            "{\"a\":{\"b\":{\"level\":\"trc\"}}}",
            "unknown",
        ),
        (
            none(),
            none(),
            "{\"level\":50,\"Level\":\"fatal\"}",
            "fatal",
        ),
        (none(), none(), "{\"log.level\":\"dbg\",\"x\":[1]}", "debug"),
        (
            none(),
            none(),
            "{\"level\":\"own\",\"msg\":\"an error came\"}",
            "error",
        ),
        (none(), none(), "{\"msg\":\"terrors\"}", "unknown"),
        // logfmt: any case, the name that is earlier in the list; else its words.
        (none(), none(), "LEVEL=Warning msg=\"an error\"", "warn"),
        (none(), none(), "lvl=info severity=fatal", "fatal"),
        (
            none(),
            none(),
            "lvl=info x=1 severity=fatal level=debug",
            "debug",
        ),
        (none(), none(), "level=own msg=\"an error: b\"", "error"),
        (none(), none(), "msg=\"level\" a=b", "unknown"),
        // Words: the leftmost that stands alone.
        (none(), none(), "[error] trouble", "error"),
        (none(), none(), "INFO then ERROR", "info"),
        (none(), none(), "2024-01-01 err: disk", "error"),
        (none(), none(), "a|warn|b", "warn"),
        (none(), none(), "(critical)", "critical"),
        (none(), none(), "'trace'!", "trace"),
        (none(), none(), "warning, hot", "warn"),
        (none(), none(), "information", "unknown"),
        (none(), none(), "debugging terrors info-less", "unknown"),
        (none(), none(), "", "unknown"),
    ];
    for (text, level) in [
        ("trace", "trace"),
        ("TRC", "trace"),
        ("debug", "debug"),
        ("Dbg", "debug"),
        ("info", "info"),
        ("inf", "info"),
        ("warn", "warn"),
        ("WARNING", "warn"),
        ("error", "error"),
        ("err", "error"),
        ("critical", "critical"),
        ("FATAL", "fatal"),
    ] {
        all.push((json!({"level": text}), none(), "x", level));
    }
    all
}

#[test]
fn lines_get_their_level() {
    let s = Server::loki("");
    let cases = level_cases();
    for (n, (labels, metadata, line, _)) in cases.iter().enumerate() {
        let mut labels = labels.clone();
        labels["case"] = json!(n.to_string());
        let streams = json!([{"stream": labels, "values": [[now(), line, metadata]]}]);
        let sent = push(&s, &streams);
        assert_eq!(sent.status, 204, "{}", sent.text());
    }
    for (n, (labels, metadata, line, level)) in cases.iter().enumerate() {
        let (_, found) = only(&s, &format!("{{case=\"{n}\"}}"));
        let mut want = metadata.clone();
        want["detected_level"] = json!(level);
        assert_eq!(found, want, "{labels} {metadata} {line:?}");
    }
    // In every stage, and in metrics.
    let one = |level: &str| cases.iter().filter(|c| c.3 == level).count().to_string();
    for query in [
        "sum(count_over_time({case=~\".+\"} | detected_level=\"fatal\" [1h]))",
        "sum by (detected_level) (count_over_time({case=~\".+\"} | detected_level=\"fatal\" [1h]))",
        "sum(count_over_time({case=~\".+\"} | json | logfmt | detected_level=\"fatal\" | drop __error__, __error_details__ [1h]))",
    ] {
        let found = ask(&s, "query", &[("query", query)]);
        assert_eq!(
            found["data"]["result"][0]["value"][1],
            json!(one("fatal")),
            "{query}"
        );
    }
    // It is no label, but a field.
    let names = ask(&s, "labels", &[]);
    assert_eq!(
        names["data"],
        json!(["case", "level", "lvl", "service_name", "severity"])
    );
    let words = cases
        .iter()
        .position(|c| c.2 == "[error] trouble")
        .expect("the case");
    let query = format!("{{case=\"{words}\"}}");
    let fields = ask(&s, "detected_fields", &[("query", &query)]);
    assert_eq!(
        fields["fields"],
        json!([{"label": "detected_level", "type": "string", "cardinality": 1, "parsers": null}])
    );
    let values = ask(
        &s,
        "detected_field/detected_level/values",
        &[("query", &query)],
    );
    assert_eq!(values["values"], json!(["error"]));
}

#[test]
fn names_of_metadata_are_cleaned() {
    let s = Server::loki("");
    let metadata = json!({"user.id": "7", "9lives": "x", "a-b": "c", "ok": ""});
    let streams = json!([{"stream": {"app": "a"}, "values": [[now(), "x", metadata]]}]);
    assert_eq!(push(&s, &streams).status, 204);
    let (_, found) = only(&s, "{app=\"a\"} | user_id=\"7\" | _9lives=\"x\"");
    assert_eq!(
        found,
        json!({"user_id": "7", "_9lives": "x", "a_b": "c", "detected_level": "unknown"})
    );
}

#[test]
fn records_of_opentelemetry_get_service_and_level() {
    let s = Server::loki("");
    let record = |more: Value| {
        let mut r = json!({"timeUnixNano": now(), "body": {"stringValue": "level=fatal"}});
        for (k, v) in more.as_object().expect("an object") {
            r[k] = v.clone();
        }
        r
    };
    let text = |k: &str, v: &str| json!({"key": k, "value": {"stringValue": v}});
    let body = json!({"resourceLogs": [
        {"resource": {"attributes": [text("k8s.container.name", "box"), text("case", "1")]},
         "scopeLogs": [{"logRecords": [record(json!({"severityNumber": 13}))]}]},
        {"resource": {"attributes": [text("case", "2")]},
         "scopeLogs": [{"logRecords": [record(json!({"severityNumber": 13, "severityText": "Err"}))]}]},
        {"resource": {"attributes": [text("service.name", "shop"), text("case", "3")]},
         "scopeLogs": [{"logRecords": [record(json!({}))]}]},
    ]});
    let sent = s
        .request("POST", "/otlp/v1/logs")
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send();
    assert_eq!(sent.status, 204, "{}", sent.text());
    for (case, service, level) in [
        ("1", "box", "warn"),
        ("2", "unknown_service", "error"),
        ("3", "shop", "fatal"),
    ] {
        let (stream, metadata) = only(
            &s,
            &format!("{{service_name=\"{service}\"}} | case=\"{case}\""),
        );
        assert_eq!(stream["service_name"], json!(service));
        assert_eq!(metadata["detected_level"], json!(level), "{metadata}");
    }
}

#[test]
fn volumes_and_labels_know_the_service() {
    let s = Server::loki("");
    let streams = json!([
        {"stream": {"app": "big"}, "values": [[now(), "x".repeat(500)]]},
        {"stream": {"job": "small"}, "values": [[now(), "y"]]},
    ]);
    assert_eq!(push(&s, &streams).status, 204);
    let volume = ask(&s, "index/volume", &[("query", "{service_name=~\".+\"}")]);
    let metrics: Vec<&Value> = volume["data"]["result"]
        .as_array()
        .expect("volumes")
        .iter()
        .map(|v| &v["metric"])
        .collect();
    assert_eq!(
        metrics,
        [
            &json!({"service_name": "big"}),
            &json!({"service_name": "small"})
        ]
    );
    let found = ask(
        &s,
        "detected_labels",
        &[("query", "{service_name=~\".+\"}")],
    );
    let all = found["detectedLabels"].as_array().expect("labels");
    assert!(
        all.contains(&json!({"label": "service_name", "cardinality": 2})),
        "{found}"
    );
}
