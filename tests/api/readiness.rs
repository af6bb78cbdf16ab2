//! Start, reload, stop.

use crate::support::{Server, TempDir, wait};

#[test]
fn health_and_readiness_are_plain_words() {
    let s = Server::start(&[]);
    assert_eq!(
        s.get("/-/healthy").text(),
        "Prometheus Server is Healthy.\n"
    );
    assert_eq!(s.get("/-/ready").text(), "Prometheus Server is Ready.\n");
    for path in ["/-/healthy", "/-/ready"] {
        let a = s.request("HEAD", path).send();
        assert_eq!((a.status, a.body.len()), (200, 0), "{path}");
    }
}

#[test]
fn lifecycle_calls_are_off_until_asked_for() {
    let s = Server::start(&[]);
    for path in ["/-/reload", "/-/quit"] {
        for method in ["POST", "PUT", "GET"] {
            let a = s.request(method, path).send();
            assert_eq!(
                (a.status, a.text().as_str()),
                (403, "Lifecycle API is not enabled.")
            );
        }
    }
}

#[test]
fn reload_takes_the_new_file_or_keeps_the_old_one() {
    let s = Server::with_config("global: {scrape_interval: 7s}", &["--web.enable-lifecycle"]);
    let interval = || {
        let yaml = s.get("/api/v1/status/config").data()["yaml"].clone();
        let yaml = yaml.as_str().expect("text").to_owned();
        yaml.lines().nth(1).expect("a line").trim().to_owned()
    };
    let reload = || s.request("POST", "/-/reload").send();
    assert_eq!(s.get("/-/reload").status, 405);
    s.dir
        .write("prometheus.yml", "global: {scrape_interval: 9s}");
    let a = reload();
    assert_eq!((a.status, a.body.len()), (200, 0));
    assert_eq!(interval(), "scrape_interval: 9s");
    s.dir
        .write("prometheus.yml", "global: {scrape_intervall: 9s}");
    let a = reload();
    assert_eq!(a.status, 500);
    let text = a.text();
    assert!(text.starts_with("failed to reload config: "), "{text}");
    assert!(
        text.contains("line 1 column 10: field scrape_intervall not found"),
        "{text}"
    );
    assert_eq!(interval(), "scrape_interval: 9s");
    let metrics = s.get("/metrics").text();
    assert!(metrics.contains("prometheus_config_last_reload_successful 0"));
    assert_eq!(
        s.get("/api/v1/notifications")
            .data()
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    s.dir
        .write("prometheus.yml", "global: {scrape_interval: 8s}");
    s.signal("HUP");
    wait("the reload", || interval() == "scrape_interval: 8s");
    assert_eq!(
        s.get("/api/v1/notifications")
            .data()
            .as_array()
            .map(Vec::len),
        Some(0)
    );
}

#[test]
fn signals_and_quit_end_with_code_0() {
    let s = Server::start(&[]);
    assert_eq!(s.stop().0, Some(0));
    let mut s = Server::start(&["--web.enable-lifecycle"]);
    let a = s.request("POST", "/-/quit").send();
    assert_eq!(a.text(), "Requesting termination... Goodbye!");
    assert_eq!(s.wait(), Some(0));
}

#[test]
fn requests_before_the_store_is_open_are_told_so() {
    // A start on an empty directory is too quick to be watched reliably; whatever is answered
    // before readiness must be the documented refusal.
    for _ in 0..3 {
        let dir = TempDir::new();
        dir.write("prometheus.yml", "");
        let s = Server::launch(dir, &[]);
        let a = s.get("/api/v1/labels");
        if a.status != 200 {
            assert_eq!((a.status, a.text().as_str()), (503, "Service Unavailable"));
            assert_eq!(a.header("x-prometheus-stopping"), Some("false"));
        }
        assert_eq!(s.get("/-/healthy").status, 200);
        assert_eq!(s.get("/api/v1/status/walreplay").status, 200);
    }
}

#[test]
fn changed_files_are_noticed_when_asked_for() {
    let s = Server::start(&[
        "--enable-feature=auto-reload-config",
        "--config.auto-reload-interval=1s",
    ]);
    s.dir
        .write("prometheus.yml", "global: {scrape_interval: 3s}");
    wait("the reload", || {
        let yaml = s.get("/api/v1/status/config").data()["yaml"].clone();
        yaml.as_str()
            .is_some_and(|y| y.contains("scrape_interval: 3s"))
    });
}
