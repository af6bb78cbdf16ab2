//! Alerting as a service: its port, its interface, what a restart keeps.

use serde_json::{Value, json};

use crate::support::hook::Hook;
use crate::support::process::binary;
use crate::support::{Server, TempDir, wait};

fn config(hook: &Hook) -> String {
    format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
         receivers: [{{name: r, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
        hook.address
    )
}

fn start(dir: &TempDir) -> Server {
    let mut command = binary();
    command
        .arg("alertmanager")
        .arg(format!(
            "--config.file={}",
            dir.path().join("am.yml").display()
        ))
        .arg(format!(
            "--storage.path={}",
            dir.path().join("data").display()
        ))
        .args([
            "--web.listen-address=127.0.0.1:0",
            "--web.external-url=http://am.example.test",
            "--cluster.listen-address=",
        ]);
    let server = Server::run(command);
    server.wait_ready();
    server
}

fn post(s: &Server, alerts: &Value) -> crate::support::Answer {
    let r = s.request("POST", "/api/v2/alerts");
    r.header("content-type", "application/json")
        .body(alerts.to_string())
        .send()
}

fn silence(s: &Server, name: &str) -> String {
    let body = json!({
        "matchers": [{"name": "alertname", "value": name, "isRegex": false}],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2120-01-01T00:00:00Z",
        "createdBy": "me", "comment": "why",
    });
    let r = s.request("POST", "/api/v2/silences");
    let a = r.body(body.to_string()).send();
    assert_eq!(a.status, 200, "{}", a.text());
    a.json()["silenceID"].as_str().expect("a name").to_owned()
}

#[test]
fn alerts_are_told_once_and_again_only_when_they_end_also_across_kill_9() {
    let hook = Hook::new();
    let dir = TempDir::new();
    dir.write("am.yml", config(&hook));
    let s = start(&dir);
    assert_eq!(s.get("/-/healthy").text(), "OK");
    let alert = |ends: &str| {
        json!([{
            "labels": {"alertname": "A", "empty": ""}, "annotations": {"summary": "x"},
            "startsAt": "2020-01-01T00:00:00Z", "endsAt": ends,
        }])
    };
    assert_eq!(post(&s, &alert("2120-01-01T00:00:00Z")).status, 200);
    let m = hook.take();
    assert_eq!(m["status"], "firing");
    assert_eq!(m["groupKey"], "{}:{alertname=\"A\"}");
    assert_eq!(m["alerts"][0]["labels"], json!({"alertname": "A"}));
    assert_eq!(m["externalURL"], "http://am.example.test");
    // The old interface shows the same, with receivers by name.
    let old = s.get("/api/v1/alerts?filter=alertname%3DA").json();
    assert_eq!(old["data"][0]["receivers"], json!(["r"]), "{old}");
    assert_eq!(
        s.get("/api/v1/alerts?filter=alertname%3DZ").json()["data"],
        json!([])
    );
    assert_eq!(
        s.get("/api/v1/alerts?filter=x").json()["errorType"],
        "bad_data"
    );
    let hushed = silence(&s, "B");
    // The log is durable once the flush has ended, which its next tick shows.
    wait("the log", || {
        s.get("/metrics")
            .text()
            .contains("alertmanager_nflog_entries 1")
    });
    s.kill();
    let s = start(&dir);
    let all = s.get("/api/v2/silences").json();
    assert_eq!(all[0]["id"], hushed.as_str(), "{all}");
    post(&s, &alert("2120-01-01T00:00:00Z"));
    let mut b = alert("2120-01-01T00:00:00Z");
    b[0]["labels"]["alertname"] = "B".into();
    post(&s, &b);
    wait("the silence", || {
        let shown = s.get("/api/v2/alerts?active=false").json();
        shown[0]["status"]["silencedBy"][0] == hushed.as_str()
    });
    // What was told is not told again: the next message is that of the end.
    post(&s, &alert("2021-01-01T00:00:00Z"));
    let m = hook.take();
    assert_eq!((&m["status"], hook.count()), (&json!("resolved"), 0), "{m}");
    assert_eq!(s.stop().0, Some(0));
}

#[test]
fn the_interface_says_what_is_wrong() {
    let hook = Hook::new();
    let dir = TempDir::new();
    dir.write("am.yml", config(&hook));
    let s = start(&dir);
    for (body, status) in [
        ("nope", 400),
        ("{\"labels\":{}}", 400),
        ("[{\"annotations\":{}}]", 422),
        ("[{\"labels\":{}}]", 400),
        ("[{\"labels\":{\"a\":\"b\"},\"startsAt\":\"garbage\"}]", 400),
        ("[]", 200),
    ] {
        let a = s.request("POST", "/api/v2/alerts").body(body).send();
        assert_eq!(a.status, status, "{body}: {}", a.text());
        let old = s.request("POST", "/api/v1/alerts").body(body).send();
        assert_eq!(old.status, if status == 200 { 200 } else { 400 }, "{body}");
    }
    for (method, path, status) in [
        ("GET", "/api/v2/silence/x", 422),
        (
            "GET",
            "/api/v2/silence/6d3b3a1e-3b0f-4c0c-9d3e-3f3b3a1e3b0f",
            404,
        ),
        (
            "DELETE",
            "/api/v2/silence/6d3b3a1e-3b0f-4c0c-9d3e-3f3b3a1e3b0f",
            404,
        ),
        ("GET", "/api/v2/nosuch", 404),
        ("DELETE", "/api/v2/alerts", 405),
        ("GET", "/-/reload", 405),
        ("GET", "/api/v1/silences", 410),
        ("GET", "/api/v2/alerts?filter=alertname", 400),
        ("GET", "/api/v2/alerts?receiver=(", 400),
    ] {
        assert_eq!(
            s.request(method, path).send().status,
            status,
            "{method} {path}"
        );
    }
    for (silence, status) in [
        (json!({}), 422),
        (
            json!({"matchers": [], "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2120-01-01T00:00:00Z", "createdBy": "", "comment": ""}),
            422,
        ),
        (
            json!({"matchers": [{"name": "a", "value": "", "isRegex": false}], "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2120-01-01T00:00:00Z", "createdBy": "", "comment": ""}),
            400,
        ),
        (
            json!({"id": "6d3b3a1e-3b0f-4c0c-9d3e-3f3b3a1e3b0f", "matchers": [{"name": "a", "value": "1", "isRegex": false}], "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2120-01-01T00:00:00Z", "createdBy": "", "comment": ""}),
            404,
        ),
    ] {
        let r = s.request("POST", "/api/v2/silences");
        assert_eq!(
            r.body(silence.to_string()).send().status,
            status,
            "{silence}"
        );
    }
    let status = s.get("/api/v2/status").json();
    assert_eq!(
        status["cluster"],
        json!({"peers": [], "status": "disabled"})
    );
    let original = status["config"]["original"].as_str().expect("a text");
    assert!(
        original.contains("<secret>") && !original.contains(&hook.address),
        "{original}"
    );
}

#[test]
fn a_bad_file_ends_the_start_and_changes_nothing_on_reload() {
    let hook = Hook::new();
    let dir = TempDir::new();
    dir.write(
        "am.yml",
        "route: {receiver: nosuch}\nreceivers: [{name: r}]\n",
    );
    let out = binary()
        .arg("alertmanager")
        .arg(format!(
            "--config.file={}",
            dir.path().join("am.yml").display()
        ))
        .arg(format!(
            "--storage.path={}",
            dir.path().join("data").display()
        ))
        .args([
            "--web.listen-address=127.0.0.1:0",
            "--cluster.listen-address=",
        ])
        .output()
        .expect("it ends");
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("undefined receiver"));
    dir.write("am.yml", config(&hook));
    let s = start(&dir);
    dir.write("am.yml", "route: {}");
    let a = s.request("POST", "/-/reload").send();
    assert_eq!(a.status, 500);
    assert!(
        a.text().starts_with("failed to reload config: "),
        "{}",
        a.text()
    );
    post(&s, &json!([{"labels": {"alertname": "A"}}]));
    assert_eq!(hook.take()["receiver"], "r");
    dir.write(
        "am.yml",
        config(&hook)
            .replace("name: r,", "name: other,")
            .replace("receiver: r,", "receiver: other,"),
    );
    assert_eq!(s.request("POST", "/-/reload").send().status, 200);
    assert_eq!(
        hook.take()["receiver"],
        "other",
        "a renamed receiver is a new one"
    );
}

#[test]
fn amtool_asks_the_server() {
    let hook = Hook::new();
    let dir = TempDir::new();
    dir.write("am.yml", config(&hook));
    let s = start(&dir);
    let tool = |args: &[&str]| {
        let url = format!("--alertmanager.url=http://{}", s.address);
        let out = binary()
            .arg("amtool")
            .arg(url)
            .args(args)
            .output()
            .expect("it ends");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        text
    };
    tool(&[
        "alert",
        "add",
        "Disk",
        "host=a",
        "--annotation=summary=it is full",
    ]);
    let shown = tool(&["alert", "query", "host=~a|b"]);
    assert!(
        shown.starts_with("Alertname  Starts At") && shown.contains("it is full"),
        "{shown}"
    );
    let id = tool(&["silence", "add", "-c", "why", "-a", "me", "Disk"]);
    let id = id.trim();
    assert!(tool(&["silence", "query"]).contains("alertname=\"Disk\""));
    assert_eq!(tool(&["silence", "-q"]).trim(), id);
    assert_eq!(
        tool(&["silence", "update", "-q", "-d", "2h", id]).trim(),
        id
    );
    tool(&["silence", "expire", id]);
    assert_eq!(tool(&["silence", "query", "-q"]), "");
    assert!(tool(&["config", "show"]).contains("group_by"));
    assert!(tool(&["cluster", "show"]).contains("disabled"));
    assert_eq!(tool(&["config", "routes", "test", "x=y"]), "r\n");
}

#[test]
fn what_cannot_be_used_takes_nothing_else_with_it() {
    let hook = Hook::new();
    let dir = TempDir::new();
    let text = config(&hook).replace(
        "receivers: [{name: r,",
        "global: {slack_api_url: 'YOUR_SLACK_WEBHOOK_URL'}\nreceivers: [{name: r, slack_configs: [{channel: x}],",
    );
    dir.write("alertmanager.yml", text);
    dir.write("prometheus.yml", "");
    let checked = binary()
        .args(["amtool", "check-config"])
        .arg(dir.path().join("alertmanager.yml"))
        .output()
        .expect("it ends");
    assert_eq!(checked.status.code(), Some(1));
    let mut command = binary();
    command
        .arg("up")
        .arg(dir.path())
        .arg("--web.listen-address=127.0.0.1:0")
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.path().join("data").display()
        ));
    let s = Server::run(command);
    s.wait_ready();
    post(&s, &json!([{"labels": {"alertname": "A"}}]));
    assert_eq!(hook.take()["status"], "firing");
    let log = s.log().join("\n");
    assert!(
        log.contains("global.slack_api_url") && log.contains("slack_configs[0]"),
        "{log}"
    );
}
