//! Series, labels, values, and what is empty until something is scraped.

use serde_json::json;

use crate::support::{Server, now_ms};
use crate::wire::{labels, store};

fn server() -> Server {
    let s = Server::start(&["--web.enable-remote-write-receiver"]);
    let t = now_ms();
    let one = |pairs: &[(&str, &str)]| (labels(pairs), vec![(t, 1.0)]);
    store(
        &s,
        &[
            one(&[("__name__", "a"), ("job", "x"), ("dotted.name", "d")]),
            one(&[("__name__", "a"), ("job", "y")]),
            one(&[("__name__", "b"), ("job", "x")]),
        ],
    );
    s
}

#[test]
fn series_are_unions_without_duplicates() {
    let s = server();
    let p = [
        ("match[]", "a{job=\"y\"}"),
        ("match[]", "{job=~\"y|z\"}"),
        ("match[]", "b"),
    ];
    let data = s.query("/api/v1/series", &p).data();
    assert_eq!(
        data,
        json!([{"__name__": "a", "job": "y"}, {"__name__": "b", "job": "x"}])
    );
    let a = s
        .request("POST", "/api/v1/series")
        .form(&[("match[]", "b")])
        .send();
    assert_eq!(a.data().as_array().map(Vec::len), Some(1));
    let a = s.query(
        "/api/v1/series",
        &[("match[]", "{job!=\"\"}"), ("limit", "1")],
    );
    assert_eq!(a.data().as_array().map(Vec::len), Some(1));
    assert_eq!(
        a.json()["warnings"],
        json!(["results truncated due to limit"])
    );
}

#[test]
fn selectors_must_select_something() {
    let s = Server::start(&[]);
    for selector in ["{}", "{a=\"\"}", "{a=~\".*\"}"] {
        let (status, kind, text) = s.query("/api/v1/series", &[("match[]", selector)]).error();
        assert_eq!((status, kind.as_str()), (400, "bad_data"));
        assert!(
            text.contains("match[] must contain at least one non-empty matcher"),
            "{text}"
        );
    }
    let (status, _, text) = s.query("/api/v1/labels", &[("match[]", "{a=")]).error();
    assert_eq!(status, 400);
    assert!(
        text.starts_with("invalid parameter \"match[]\": 1:"),
        "{text}"
    );
}

#[test]
fn names_and_values_are_sorted() {
    let s = server();
    assert_eq!(
        s.get("/api/v1/labels").data(),
        json!(["__name__", "dotted.name", "job"])
    );
    let a = s.query("/api/v1/labels", &[("match[]", "b")]);
    assert_eq!(a.data(), json!(["__name__", "job"]));
    assert_eq!(s.get("/api/v1/label/job/values").data(), json!(["x", "y"]));
    assert_eq!(
        s.get("/api/v1/label/U__dotted_2e_name/values").data(),
        json!(["d"])
    );
    assert_eq!(s.get("/api/v1/label/none/values").data(), json!([]));
    let a = s.query("/api/v1/label/job/values", &[("limit", "1")]);
    assert_eq!(a.data().as_array().map(Vec::len), Some(1));
    assert_eq!(
        a.json()["warnings"],
        json!(["results truncated due to limit"])
    );
    let all_time = [
        ("start", "-292273086-05-16T16:47:06Z"),
        ("end", "292277025-08-18T07:12:54.999999999Z"),
    ];
    assert_eq!(s.query("/api/v1/labels", &all_time).status, 200);
}

#[test]
fn lists_without_entries_are_empty_lists() {
    let s = Server::start(&[]);
    assert_eq!(s.get("/api/v1/alerts").data(), json!({"alerts": []}));
    assert_eq!(s.get("/api/v1/rules").data()["groups"], json!([]));
    assert_eq!(s.get("/api/v1/metadata").data(), json!({}));
    assert_eq!(s.get("/api/v1/targets/metadata").data(), json!([]));
    assert_eq!(s.get("/api/v1/notifications").data(), json!([]));
    let targets = s.get("/api/v1/targets").data();
    assert_eq!(
        (&targets["activeTargets"], &targets["droppedTargets"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(
        s.get("/api/v1/alertmanagers").data(),
        json!({"activeAlertmanagers": [], "droppedAlertmanagers": []})
    );
    for (path, status) in [
        ("/api/v1/rules?type=x", 400),
        ("/api/v1/rules?group_next_token=x", 400),
        ("/api/v1/rules?group_limit=0", 400),
        ("/api/v1/metadata?limit=x", 400),
        ("/api/v1/status/tsdb?limit=0", 400),
        ("/api/v1/status/tsdb?limit=10001", 400),
        ("/api/v1/scrape_pools/config", 400),
        ("/api/v1/targets?state=nonsense", 200),
    ] {
        assert_eq!(s.get(path).status, status, "{path}");
    }
}
