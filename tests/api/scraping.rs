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
