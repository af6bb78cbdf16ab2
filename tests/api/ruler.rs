//! Rules over lines: the interface, files, what they record and whom they tell.

use serde_json::{Value, json};

use crate::support::hook::Hook;
use crate::support::{Answer, Server, TempDir, now_ms, until, wait};

const GROUP: &str = "name: g\ninterval: 1s\nrules:\n\
    - {record: 'errors:count', expr: 'sum by (app) (count_over_time({app=\"a\"} |= \"error\" [1h]))', labels: {team: t}}\n\
    - alert: Errors\n  expr: 'sum by (app) (count_over_time({app=\"a\"} |= \"error\" [1h])) > 1'\n  \
    labels: {severity: page}\n  annotations: {text: '{{ $labels.app }} has {{ $value }}'}\n";

/// A server whose rules tell `hook`.
fn server(hook: &Hook, more: &str) -> Server {
    let url = format!("http://{}/am", hook.address);
    Server::loki(&format!(
        "ruler:\n  alertmanager_url: {url}\n  external_url: http://grafana.test\n  \
         datasource_uid: lines\n{more}"
    ))
}

fn push(s: &Server, lines: &[&str]) {
    let now = now_ms() * 1_000_000;
    let values = lines.iter().enumerate();
    let values: Vec<Value> = values
        .map(|(i, l)| json!([(now + i64::try_from(i).expect("few lines")).to_string(), l]))
        .collect();
    let body = json!({"streams": [{"stream": {"app": "a"}, "values": values}]});
    let r = s.request("POST", "/loki/api/v1/push");
    let r = r.header("content-type", "application/json");
    assert_eq!(r.body(body.to_string()).send().status, 204);
}

fn set(s: &Server, namespace: &str, group: &str) -> Answer {
    let path = format!("/loki/api/v1/rules/{namespace}");
    s.request("POST", &path).body(group).send()
}

#[test]
fn rules_over_lines_record_and_tell_and_outlive_kill_9() {
    let hook = Hook::new();
    let s = server(&hook, "");
    let none = s.get("/loki/api/v1/rules");
    assert_eq!(
        (none.status, none.text().as_str()),
        (404, "no rule groups found")
    );
    let states = s.get("/prometheus/api/v1/rules").json();
    let empty = json!({"status": "success", "data": {"groups": []}, "errorType": "", "error": ""});
    assert_eq!(states, empty);
    push(&s, &["error one", "fine", "error two"]);

    let done = set(&s, "my%2Fspace", GROUP);
    assert_eq!(done.status, 202, "{}", done.text());
    assert_eq!(
        done.json(),
        json!({"status": "success", "data": null, "errorType": "", "error": ""})
    );
    let came = hook.next();
    assert_eq!(came.path, "/am/api/v2/alerts");
    let alert = &came.json()[0];
    let labels = json!({"alertname": "Errors", "app": "a", "severity": "page"});
    assert_eq!(alert["labels"], labels);
    assert_eq!(alert["annotations"]["text"], "a has 2");
    let link = alert["generatorURL"].as_str().expect("a link");
    assert!(
        link.starts_with("http://grafana.test/explore?left="),
        "{link}"
    );
    let recorded = until("the record", || {
        let found = s
            .query("/api/v1/query", &[("query", "errors:count")])
            .data();
        found["result"].as_array()?.first().cloned()
    });
    assert_eq!(recorded["metric"]["team"], "t");
    assert_eq!(recorded["value"][1], "2");

    // What is shown, and what is refused.
    let all = s.get("/loki/api/v1/rules");
    assert_eq!(all.status, 200);
    assert!(
        all.text().contains("my/space:") && all.text().contains("errors:count"),
        "{}",
        all.text()
    );
    let one = s.get("/loki/api/v1/rules/my%2Fspace/g");
    assert!(one.text().starts_with("name: g"), "{}", one.text());
    assert_eq!(s.get("/api/prom/rules/my%2Fspace").status, 200);
    for (path, status) in [("nosuch", 404), ("my%2Fspace/nosuch", 404)] {
        assert_eq!(
            s.get(&format!("/loki/api/v1/rules/{path}")).status,
            status,
            "{path}"
        );
    }
    for bad in [
        "name: x\nrules: [{alert: A, expr: 'sum(rate(up[5m]))'}]",
        "name: x\nrules: [{alert: A, expr: '{app=\"a\"}'}]",
        "name: x\nnonsense: 1",
        "rules: []",
        "- 1",
    ] {
        let a = set(&s, "bad", bad);
        assert_eq!(a.status, 400, "{bad}: {}", a.text());
    }
    let states = s.get("/prometheus/api/v1/rules?type=alert").json();
    let group = &states["data"]["groups"][0];
    assert_eq!(
        (&group["file"], &group["name"]),
        (&json!("my/space"), &json!("g"))
    );
    assert_eq!(group["rules"][0]["state"], "firing");
    assert_eq!(
        s.get("/prometheus/api/v1/rules?file%5B%5D=x").json()["data"]["groups"],
        json!([])
    );
    let alerts = s.get("/prometheus/api/v1/alerts").json();
    assert_eq!(alerts["data"]["alerts"][0]["labels"]["alertname"], "Errors");
    wait("the numbers", || {
        let text = s.get("/metrics").text();
        text.contains("loki_prometheus_rule_evaluations_total{rule_group=\"fake/my/space;g\"}")
    });

    // Rules are durable once they are answered as stored.
    assert_eq!(set(&s, "other", "name: h\nrules: []").status, 202);
    let s = s.restart();
    let all = s.get("/loki/api/v1/rules").text();
    assert!(all.contains("my/space:") && all.contains("other:"), "{all}");
    let gone = s
        .request("DELETE", "/loki/api/v1/rules/my%2Fspace/g")
        .send();
    assert_eq!(gone.status, 202);
    assert_eq!(
        s.request("DELETE", "/loki/api/v1/rules/other")
            .send()
            .status,
        202
    );
    assert_eq!(
        s.request("DELETE", "/loki/api/v1/rules/other")
            .send()
            .status,
        404
    );
    assert_eq!(s.get("/loki/api/v1/rules").status, 404);
}

#[test]
fn files_of_tenants_are_read_and_read_again() {
    let hook = Hook::new();
    let rules = TempDir::new();
    rules.write(
        "one/r.yaml",
        format!("groups:\n- {}", GROUP.replace('\n', "\n  ")),
    );
    rules.write(
        "one/bad.yaml",
        "groups: [{name: x, rules: [{alert: A, expr: 'up'}]}]",
    );
    let s = server(
        &hook,
        &format!(
            "  poll_interval: 1s\n  storage: {{type: local, local: {{directory: '{}'}}}}\n\
             auth_enabled: true\n",
            rules.path().display()
        ),
    );
    let get = |tenant: &str, path: &str| {
        let r = s.request("GET", path);
        r.header("x-scope-orgid", tenant).send()
    };
    assert_eq!(s.get("/loki/api/v1/rules").status, 401);
    assert_eq!(
        get("two", "/loki/api/v1/rules").status,
        400,
        "it has no folder"
    );
    let groups = |tenant: &str| {
        let states = get(tenant, "/prometheus/api/v1/rules").json();
        states["data"]["groups"].as_array().map_or(0, Vec::len)
    };
    // A file that cannot be used takes no other one with it.
    wait("the rules of a tenant", || groups("one") == 1);
    assert_eq!(groups("two"), 0);
    let one = "{record: x, expr: 'sum(count_over_time({a=\"b\"}[1m]))'}";
    rules.write(
        "two/r.yaml",
        format!("groups: [{{name: g, interval: 1s, rules: [{one}]}}]"),
    );
    wait("the rules of another tenant", || groups("two") == 1);
    assert!(get("two", "/loki/api/v1/rules").text().contains("r.yaml:"));
    let r = s
        .request("POST", "/loki/api/v1/rules/x")
        .header("x-scope-orgid", "two");
    assert_eq!(
        r.body("name: g\nrules: []").send().status,
        500,
        "files are changed, not asked"
    );
}
