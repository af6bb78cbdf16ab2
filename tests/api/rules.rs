//! Rules on a running server: what the interfaces show, what a reload and a restart keep.

use serde_json::{Value, json};

use crate::support::{Server, TempDir, now_ms, until};
use crate::wire::{labels, store};

const RULES: &str = "groups:
- name: g
  interval: 1s
  rules:
  - {record: 'one:plus', expr: 'vector(1) + 1', labels: {team: a}}
  - alert: Always
    expr: 'one:plus > 1'
    for: 1h
    labels: {severity: page}
    annotations: {text: 'value {{ $value }}'}
  - {alert: Never, expr: 'vector(0) > 1'}
- name: other
  interval: 1s
  rules: [{alert: AtOnce, expr: vector(5), keep_firing_for: 1m}]
";

fn files(dir: &TempDir, rules: &str) {
    dir.write(
        "prometheus.yml",
        "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n",
    );
    dir.write("rules.yml", rules);
}

fn server(rules: &str) -> Server {
    let dir = TempDir::new();
    files(&dir, rules);
    let s = Server::launch(dir, &["--web.enable-lifecycle"]);
    s.wait_ready();
    s
}

fn groups(s: &Server, parameters: &[(&str, &str)]) -> Vec<Value> {
    let data = s.query("/api/v1/rules", parameters).data();
    data["groups"].as_array().expect("groups").clone()
}

/// The rule called `name`, once it was evaluated.
fn rule(s: &Server, name: &str) -> Value {
    until(&format!("an evaluation of {name}"), || {
        let all = groups(s, &[("rule_name[]", name)]);
        let rule = all.first()?["rules"][0].clone();
        (rule["health"] == "ok").then_some(rule)
    })
}

#[test]
fn rules_are_shown_with_their_state() {
    let s = server(RULES);
    let always = rule(&s, "Always");
    assert_eq!(always["state"], "pending");
    assert_eq!(always["type"], "alerting");
    assert_eq!(always["query"], "one:plus > 1");
    assert_eq!(always["duration"], 3600.0);
    assert_eq!(always["labels"], json!({"severity": "page"}));
    assert_eq!(always["annotations"], json!({"text": "value {{ $value }}"}));
    let alert = &always["alerts"][0];
    assert_eq!(
        alert["labels"],
        json!({"alertname": "Always", "severity": "page", "team": "a"})
    );
    assert_eq!(alert["annotations"], json!({"text": "value 2"}));
    assert_eq!(alert["value"], "2e+00");
    let never = rule(&s, "Never");
    assert_eq!(
        (&never["state"], &never["alerts"]),
        (&json!("inactive"), &json!([]))
    );
    let recorded = rule(&s, "one:plus");
    assert_eq!(recorded["type"], "recording");
    assert_eq!(rule(&s, "AtOnce")["state"], "firing");
    let series = until("the series of alerts", || {
        let found = s.query("/api/v1/query", &[("query", "ALERTS")]).data();
        (found["result"].as_array()?.len() == 2).then_some(found)
    });
    assert_eq!(series["resultType"], "vector");
    let alerts = s.query("/api/v1/alerts", &[]).data();
    assert_eq!(alerts["alerts"].as_array().map(Vec::len), Some(2));

    // Filters and pages.
    assert_eq!(groups(&s, &[("type", "record")]).len(), 1);
    assert_eq!(groups(&s, &[("rule_group[]", "other")]).len(), 1);
    assert_eq!(groups(&s, &[("file[]", "elsewhere.yml")]).len(), 0);
    assert_eq!(groups(&s, &[("match[]", "{severity=\"page\"}")]).len(), 1);
    let bare = groups(&s, &[("exclude_alerts", "true"), ("type", "alert")]);
    assert_eq!(bare[0]["rules"][0]["alerts"], Value::Null);
    let first = s.query("/api/v1/rules", &[("group_limit", "1")]).data();
    assert_eq!(first["groups"][0]["name"], "g");
    let token = first["groupNextToken"].as_str().expect("a token");
    let second = [("group_limit", "1"), ("group_next_token", token)];
    let second = s.query("/api/v1/rules", &second).data();
    assert_eq!(second["groups"][0]["name"], "other");
    assert_eq!(second["groupNextToken"], Value::Null);
    let wrong = [("group_limit", "1"), ("group_next_token", "00")];
    assert_eq!(s.query("/api/v1/rules", &wrong).status, 400);
    let metrics = s.query("/metrics", &[]).text();
    for name in [
        "prometheus_rule_evaluations_total{rule_group=\"",
        "prometheus_rule_group_rules{rule_group=\"",
        "prometheus_notifications_alertmanagers_discovered 0",
    ] {
        assert!(metrics.contains(name), "{name}");
    }
}

#[test]
fn alerts_survive_a_reload_and_wrong_rules_change_nothing() {
    let s = server(RULES);
    let since = rule(&s, "Always")["alerts"][0]["activeAt"].clone();
    files(
        &s.dir,
        &RULES.replace("value {{", "now {{").replace("1h", "2h"),
    );
    assert_eq!(s.request("POST", "/-/reload").send().status, 200);
    let after = until("the new rule", || {
        let r = rule(&s, "Always");
        (r["duration"] == 7200.0 && r["alerts"][0]["annotations"]["text"] == "now 2").then_some(r)
    });
    assert_eq!(after["alerts"][0]["activeAt"], since);
    files(&s.dir, &RULES.replace("vector(5)", "vector("));
    let refused = s.request("POST", "/-/reload").send();
    assert_eq!(refused.status, 500);
    assert!(
        refused.text().contains("could not parse expression"),
        "{}",
        refused.text()
    );
    assert_eq!(rule(&s, "Always")["duration"], 7200.0);
}

#[test]
fn series_of_rules_that_are_gone_end() {
    let s = server(RULES);
    rule(&s, "one:plus");
    let there = || {
        let found = s.query("/api/v1/query", &[("query", "one:plus")]).data();
        found["result"].as_array().map_or(0, Vec::len)
    };
    until("the recorded series", || (there() == 1).then_some(()));
    files(
        &s.dir,
        "groups: [{name: g, interval: 1s, rules: [{record: x, expr: '1'}]}]\n",
    );
    assert_eq!(s.request("POST", "/-/reload").send().status, 200);
    until("its end", || (there() == 0).then_some(()));
}

#[test]
fn short_waits_and_kept_alerts_outlive_kill_9() {
    let rules = "groups:
- name: g
  interval: 1s
  rules:
  - {alert: Waiting, expr: 'vector(1)', for: 9m}
  - {alert: Kept, expr: 'present == 1', keep_firing_for: 9m, annotations: {text: 'was {{ $value }}'}}
";
    let dir = TempDir::new();
    files(&dir, rules);
    let s = Server::launch(dir, &["--web.enable-remote-write-receiver"]);
    s.wait_ready();
    let write = |s: &Server, v: f64| {
        store(
            s,
            &[(labels(&[("__name__", "present")]), vec![(now_ms(), v)])],
        );
    };
    let alert = |s: &Server, name: &str| -> Option<Value> {
        let all = groups(s, &[("rule_name[]", name)]);
        all.first()?["rules"][0]["alerts"]
            .as_array()?
            .first()
            .cloned()
    };
    until("an alert that fires", || {
        write(&s, 1.0);
        (alert(&s, "Kept")?["state"] == "firing").then_some(())
    });
    until("an alert that is kept firing", || {
        write(&s, 0.0);
        alert(&s, "Kept")?.get("keepFiringSince").cloned()
    });
    let before = alert(&s, "Waiting").expect("an alert that waits");
    // Its series, from which the time without a process is known, begin with an evaluation.
    until("the series of alerts", || {
        let found = s
            .query("/api/v1/query", &[("query", "ALERTS_FOR_STATE")])
            .data();
        (found["result"].as_array()?.len() == 2).then_some(())
    });
    let kept = alert(&s, "Kept").expect("an alert");
    let s = s.relaunch(&["--web.enable-remote-write-receiver"]);
    let restarted = now_ms();
    let since = |a: &Value, field: &str| {
        let text = a[field].as_str().expect("a time");
        text.parse::<jiff::Timestamp>()
            .expect("a time")
            .as_millisecond()
    };
    // What was waited is not lost: the alert holds since before this process.
    let after = until("the state of before", || {
        let a = alert(&s, "Waiting")?;
        (since(&a, "activeAt") < restarted).then_some(a)
    });
    assert!(since(&after, "activeAt") >= since(&before, "activeAt"));
    assert_eq!(after["state"], "pending");
    let again = until("the alert that is kept", || alert(&s, "Kept"));
    assert_eq!(again["keepFiringSince"], kept["keepFiringSince"]);
    assert_eq!(again["annotations"], json!({"text": "was 1"}));
    assert_eq!(again["state"], "firing");
}
