//! Status pages, own metrics, flags, features.

use serde_json::json;

use crate::support::Server;

#[test]
fn configuration_is_shown_with_defaults_and_without_secrets() {
    let s = Server::with_config(
        "scrape_configs:\n- job_name: j\n  basic_auth: {username: u, password: hush}\n",
        &[],
    );
    let yaml = s.get("/api/v1/status/config").data()["yaml"].clone();
    let yaml = yaml.as_str().expect("text");
    assert!(
        yaml.contains("password: <secret>") && yaml.contains("scrape_interval: 1m"),
        "{yaml}"
    );
    assert!(!yaml.contains("hush"));
    assert_eq!(
        s.get("/api/v1/scrape_pools").data(),
        json!({"scrapePools": ["j"]})
    );
    let job = s.get("/api/v1/scrape_pools/config?scrapePool=j").data();
    assert!(
        job["yaml"]
            .as_str()
            .is_some_and(|y| y.contains("job_name: j"))
    );
}

#[test]
fn flags_build_and_runtime_are_described() {
    let s = Server::start(&[
        "--query.max-samples=5e6",
        "--storage.tsdb.retention.time=20y",
    ]);
    let flags = s.get("/api/v1/status/flags").data();
    assert_eq!(flags["query.max-samples"], "5000000");
    assert_eq!(flags["web.enable-admin-api"], "false");
    assert_eq!(flags["query.timeout"], "2m");
    let build = s.get("/api/v1/status/buildinfo").data();
    for key in [
        "version",
        "revision",
        "branch",
        "buildUser",
        "buildDate",
        "goVersion",
    ] {
        assert!(build[key].is_string(), "{key}");
    }
    assert_eq!(build.get("features"), None);
    let runtime = s.get("/api/v1/status/runtimeinfo").data();
    assert_eq!(runtime["storageRetention"], "20y");
    assert_eq!(runtime["reloadConfigSuccess"], true);
    let version = s.get("/version");
    assert!(
        version
            .header("content-type")
            .is_some_and(|c| c.starts_with("text/plain"))
    );
    assert_eq!(version.json()["version"], build["version"]);
    assert!(s.get("/api/v1/features").data()["api"].is_object());
    assert!(
        s.get("/api/v1/openapi.yaml")
            .text()
            .starts_with("openapi: 3.1")
    );
    assert_eq!(
        s.get("/api/v1/status/walreplay").data(),
        json!({"min": 0, "max": 0, "current": 0})
    );
    assert!(s.get("/api/v1/status/tsdb").data()["headStats"]["numSeries"].is_number());
    assert!(s.get("/api/v1/status/tsdb/blocks").data()["blocks"].is_array());
}

#[test]
fn own_metrics_count_requests_by_route() {
    let s = Server::start(&[]);
    s.get("/api/v1/label/job/values");
    s.get("/nope");
    s.get("/api/v1/series");
    let a = s.get("/metrics");
    assert!(
        a.header("content-type")
            .is_some_and(|c| c.starts_with("text/plain; version=0.0.4"))
    );
    let text = a.text();
    for line in [
        r#"prometheus_http_requests_total{code="200",handler="/api/v1/label/:name/values"} 1"#,
        r#"prometheus_http_requests_total{code="404",handler="/"} 1"#,
        r#"prometheus_http_requests_total{code="400",handler="/api/v1/series"} 1"#,
        "prometheus_ready 1",
        "prometheus_config_last_reload_successful 1",
        "# TYPE prometheus_http_request_duration_seconds histogram",
        "prometheus_build_info{",
        "process_resident_memory_bytes ",
        "prometheus_tsdb_head_series ",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let families = s
        .get("/api/v1/status/self_metrics?metric_name_pattern=prometheus_ready")
        .data();
    assert_eq!(families[0]["name"], "prometheus_ready");
    assert_eq!(families[0]["metric"][0]["gauge"]["value"], json!(1));
    assert_eq!(families.as_array().map(Vec::len), Some(1));
}

#[test]
fn admin_calls_are_off_until_asked_for() {
    let s = Server::start(&[]);
    for path in ["snapshot", "delete_series?match[]=a", "clean_tombstones"] {
        let a = s
            .request("POST", &format!("/api/v1/admin/tsdb/{path}"))
            .send();
        let want = (500, "unavailable".into(), "admin APIs disabled".into());
        assert_eq!(a.error(), want, "{path}");
    }
}

#[test]
fn deleted_series_are_gone_at_once() {
    use crate::wire::{labels, store, stored};
    let s = Server::start(&[
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
    ]);
    let t = crate::support::now_ms();
    store(
        &s,
        &[
            (labels(&[("__name__", "a")]), vec![(t, 1.0)]),
            (labels(&[("__name__", "b")]), vec![(t, 1.0)]),
        ],
    );
    let delete = |q: &str| {
        s.request("POST", &format!("/api/v1/admin/tsdb/delete_series{q}"))
            .send()
    };
    assert_eq!(delete("").error().2, "no match[] parameter provided");
    let a = delete("?match[]=a");
    assert_eq!((a.status, a.body.len()), (204, 0));
    assert_eq!(stored(&s, "a"), json!([]));
    assert_eq!(stored(&s, "b").as_array().map(Vec::len), Some(1));
    let a = s
        .request("PUT", "/api/v1/admin/tsdb/clean_tombstones")
        .send();
    assert_eq!(a.status, 204);
}
