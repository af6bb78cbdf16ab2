//! From a target to an answer.

use serde_json::{Value, json};

use crate::support::{Server, target, wait};

const EXPOSED: &str =
    "# HELP answers Answers given.\n# TYPE answers counter\nanswers{x=\"1\"} 42\n";

#[test]
fn targets_are_scraped_shown_and_described() {
    let address = target::serve(EXPOSED);
    let yaml = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: j\n  static_configs:\n  \
         - {{targets: ['{address}', '127.0.0.1:9'], labels: {{zone: a}}}}\n  relabel_configs:\n  \
         - {{source_labels: [__address__], regex: '.*:9', action: drop}}\n"
    );
    let s = Server::with_config(&yaml, &[]);
    let ask = |q: &str| s.query("/api/v1/query", &[("query", q)]).data()["result"].clone();
    wait("a sample", || ask("answers") != json!([]));
    let answers = ask("answers");
    assert_eq!(
        answers[0]["metric"],
        json!({"__name__": "answers", "instance": address, "job": "j", "x": "1", "zone": "a"})
    );
    assert_eq!(answers[0]["value"][1], "42");
    assert_eq!(ask("up")[0]["value"][1], "1");
    let data = s.get("/api/v1/targets").data();
    let t = &data["activeTargets"][0];
    assert_eq!(t["health"], "up");
    assert_eq!(
        t["labels"],
        json!({"instance": address, "job": "j", "zone": "a"})
    );
    assert_eq!(t["scrapeUrl"], format!("http://{address}/metrics"));
    assert_eq!(
        (&t["scrapeInterval"], &t["scrapeTimeout"]),
        (&json!("1s"), &json!("1s"))
    );
    assert_eq!(t["discoveredLabels"]["__address__"], address);
    assert!(
        t["lastScrape"]
            .as_str()
            .is_some_and(|d| d.starts_with("20"))
    );
    assert_eq!(
        data["droppedTargets"][0]["discoveredLabels"]["__address__"],
        "127.0.0.1:9"
    );
    assert_eq!(data["droppedTargetCounts"], json!({"j": 1}));
    let dropped = s.get("/api/v1/targets?state=dropped").data();
    assert_eq!(dropped["activeTargets"], json!([]));
    let neither = s.get("/api/v1/targets?state=x").data();
    assert_eq!(neither["droppedTargetCounts"], Value::Null);
    assert_eq!(
        s.get("/api/v1/metadata").data(),
        json!({"answers": [{"type": "counter", "help": "Answers given.", "unit": ""}]})
    );
    assert_eq!(s.get("/api/v1/metadata?limit=0").data(), json!({}));
    let p = [("match_target", "{job=\"j\"}"), ("metric", "answers")];
    let of_targets = s.query("/api/v1/targets/metadata", &p).data();
    assert_eq!(of_targets[0]["target"]["zone"], "a");
    assert_eq!(of_targets[0].get("metric"), None);
    let labels = json!({"__address__": "x:9"}).to_string();
    let p = [("scrapePool", "j"), ("labels", &labels)];
    let steps = s.query("/api/v1/targets/relabel_steps", &p).data();
    assert_eq!(steps["steps"][0]["keep"], false);
    s.dir.write("prometheus.yml", "");
    s.signal("HUP");
    wait("the target's end", || {
        s.get("/api/v1/targets").data()["activeTargets"] == json!([])
    });
}

#[test]
fn scraping_counts_itself() {
    let address = target::serve(EXPOSED);
    let many = target::serve("a 1\nb 1\nc 1\n");
    let large = target::serve("a 1\n".repeat(100));
    let yaml = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - {{job_name: j, target_limit: 7, static_configs: [{{targets: ['{address}']}}]}}\n\
         - {{job_name: over, sample_limit: 2, static_configs: [{{targets: ['{many}']}}]}}\n\
         - {{job_name: big, body_size_limit: 64B, static_configs: [{{targets: ['{large}']}}]}}\n"
    );
    let s = Server::with_config(&yaml, &[]);
    for (line, least) in [
        ("prometheus_target_scrape_pools_total", 3.0),
        (
            "prometheus_target_scrape_pool_targets{scrape_job=\"j\"}",
            1.0,
        ),
        (
            "prometheus_target_scrape_pool_target_limit{scrape_job=\"j\"}",
            7.0,
        ),
        (
            "prometheus_target_metadata_cache_entries{scrape_job=\"j\"}",
            1.0,
        ),
        (
            "prometheus_sd_discovered_targets{config=\"j\",name=\"scrape\"}",
            1.0,
        ),
        ("prometheus_target_scrapes_exceeded_sample_limit_total", 1.0),
        (
            "prometheus_target_scrapes_exceeded_body_size_limit_total",
            1.0,
        ),
        ("prometheus_target_scrape_pools_failed_total", 0.0),
        ("prometheus_target_scrapes_sample_out_of_order_total", 0.0),
    ] {
        wait(line, || {
            let text = s.get("/metrics").text();
            let value = text.lines().find_map(|l| l.strip_prefix(line));
            let value = value.and_then(|v| v.trim().parse::<f64>().ok());
            value.is_some_and(|v| v >= least)
        });
    }
}

#[test]
fn created_series_are_stored_unless_start_timestamps_are_asked_for() {
    let body = "# TYPE a counter\na_total 5\na_created 1700000000\n# EOF\n";
    let address = target::serve_as("application/openmetrics-text; version=1.0.0", body);
    let yaml = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - {{job_name: j, static_configs: [{{targets: ['{address}']}}]}}\n"
    );
    for (flags, stored) in [
        (&[][..], true),
        (
            &["--enable-feature=created-timestamp-zero-ingestion"],
            false,
        ),
        (&["--enable-feature=x,st-storage"], false),
    ] {
        let s = Server::with_config(&yaml, flags);
        let has = |q: &str| {
            let data = s.query("/api/v1/query", &[("query", q)]).data();
            data["result"] != json!([])
        };
        wait("a sample", || has("a_total"));
        assert_eq!(has("a_created"), stored, "{flags:?}");
    }
}

#[test]
fn a_job_that_cannot_be_used_does_not_keep_others_from_starting() {
    let config = "scrape_configs:\n\
         - {job_name: bad, scheme: https, tls_config: {ca_file: /nonexistent/ca.crt}, static_configs: [{targets: ['x:1']}]}\n\
         - {job_name: good, static_configs: [{targets: ['127.0.0.1:1']}]}\n";
    let s = Server::with_config(config, &["--web.enable-lifecycle"]);
    let pools = s.get("/api/v1/scrape_pools").data();
    assert_eq!(pools["scrapePools"], serde_json::json!(["good"]));
    let metrics = s.get("/metrics").text();
    assert!(
        metrics.contains("prometheus_target_scrape_pools_failed_total 1"),
        "{metrics}"
    );
    assert!(s.log().iter().any(|l| l.contains("/nonexistent/ca.crt")));
}
