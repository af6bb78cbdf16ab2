//! Loki's interface with tenants: reads of several at once, and nobody sees another's.
//!
//! Two tenants have streams with equal labels, of different sizes and with different words in them.

use serde_json::{Value, json};

use crate::support::{Answer, Server, now_ms};

const SETTINGS: &str = "auth_enabled: true
querier: {multi_tenant_queries_enabled: true}
pattern_ingester: {enabled: true}
";

/// Lines of a tenant: how many, and the word they have.
const TENANTS: [(&str, usize, &str); 2] = [("a", 2, "apple"), ("b", 3, "berry")];

fn ask(s: &Server, tenant: &str, path: &str, pairs: &[(&str, &str)]) -> Answer {
    s.request("POST", path)
        .header("X-Scope-OrgID", tenant)
        .form(pairs)
        .send()
}

fn json_of(s: &Server, tenant: &str, path: &str, pairs: &[(&str, &str)]) -> Value {
    let a = ask(s, tenant, &format!("/loki/api/v1/{path}"), pairs);
    assert_eq!(a.status, 200, "{tenant} {path}: {}", a.text());
    a.json()
}

fn push(s: &Server, tenant: &str, body: &Value) -> Answer {
    s.request("POST", "/loki/api/v1/push")
        .header("X-Scope-OrgID", tenant)
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send()
}

fn filled() -> Server {
    let s = Server::loki(SETTINGS);
    for (tenant, lines, word) in TENANTS {
        let values: Vec<Value> = (0..lines)
            .map(|i| {
                let time = format!("{}000000", now_ms() - 1000 * i as i64);
                json!([time, format!("{{\"word\":\"{word}\",\"{word}\":{i}}}"), {word: "m"}])
            })
            .collect();
        let own = json!({"stream": {"app": word}, "values": values});
        let text = json!([format!("{}000000", now_ms()), format!("the {word} fell")]);
        let text = json!({"stream": {"app": "text"}, "values": [text]});
        let body = json!({"streams": [{"stream": {"app": "same"}, "values": values}, own, text]});
        assert_eq!(push(&s, tenant, &body).status, 204);
    }
    s
}

/// What can be asked for, with a query about the streams that both have.
const READS: [(&str, &[(&str, &str)]); 16] = [
    ("query_range", &[("query", "{app=\"same\"}")]),
    (
        "query_range",
        &[(
            "query",
            "sum by (word) (count_over_time({app!=\"text\", app=~\".+\"} | json [5m]))",
        )],
    ),
    ("query", &[("query", "count_over_time({app=~\".+\"}[5m])")]),
    ("labels", &[]),
    ("label/app/values", &[]),
    ("series", &[]),
    ("index/stats", &[("query", "{app=~\".+\"}")]),
    ("index/volume", &[("query", "{app=~\".+\"}")]),
    (
        "index/volume_range",
        &[("query", "{app=~\".+\"}"), ("step", "60")],
    ),
    ("index/shards", &[("query", "{app=\"same\"}")]),
    ("detected_labels", &[]),
    ("detected_fields", &[("query", "{app=\"same\"}")]),
    ("detected_field/word/values", &[("query", "{app=\"same\"}")]),
    ("patterns", &[("query", "{app=\"text\"}")]),
    ("format_query", &[("query", "{app=\"same\"}")]),
    ("label", &[]),
];

#[test]
fn no_answer_has_a_word_of_another_tenant() {
    let s = filled();
    for (path, pairs) in READS {
        for (tenant, other) in [("a", "berry"), ("b", "apple"), ("c", "a"), ("", "")] {
            let a = ask(&s, tenant, &format!("/loki/api/v1/{path}"), pairs);
            if tenant.is_empty() {
                assert_eq!((a.status, a.text().trim()), (401, "no org id"), "{path}");
                continue;
            }
            let text = a.text();
            assert_eq!(a.status, 200, "{tenant} {path}: {text}");
            if tenant == "c" {
                let leaked = text.contains("apple") || text.contains("berry");
                assert!(!leaked, "nobody's {path}: {text}");
            } else {
                assert!(!text.contains(other), "{tenant} {path}: {text}");
            }
        }
    }
}

fn volumes(v: &Value) -> Vec<(Value, u64)> {
    let number = |v: &Value| v.as_str().and_then(|n| n.parse().ok()).expect("a number");
    let one = |r: &Value| {
        let n = match r["values"].as_array() {
            Some(all) => all.iter().map(|p| number(&p[1])).sum(),
            None => number(&r["value"][1]),
        };
        (r["metric"].clone(), n)
    };
    v["data"]["result"]
        .as_array()
        .expect("volumes")
        .iter()
        .map(one)
        .collect()
}

#[test]
fn sizes_of_several_tenants_are_added_up() {
    let s = filled();
    let query = [("query", "{app=~\".+\"}")];
    let sum = |key: &str, of: &Value| of[key].as_u64().expect("a number");
    let stats = |tenant: &str| json_of(&s, tenant, "index/stats", &query);
    let (a, b, both) = (stats("a"), stats("b"), stats("a|b"));
    for key in ["streams", "entries", "bytes"] {
        assert_eq!(sum(key, &both), sum(key, &a) + sum(key, &b), "{key}");
    }
    assert_eq!(sum("entries", &both), 12);
    for (path, pairs) in [
        ("index/volume", query.to_vec()),
        ("index/volume_range", vec![query[0], ("step", "60")]),
    ] {
        let of = |tenant: &str, app: &str| {
            let all = volumes(&json_of(&s, tenant, path, &pairs));
            let found = all.iter().find(|v| v.0 == json!({"app": app}));
            found.map(|v| v.1)
        };
        assert_eq!(of("a|b", "apple"), of("a", "apple"), "{path}");
        assert_eq!(of("a|b", "berry"), of("b", "berry"), "{path}");
        let each = of("a", "same").zip(of("b", "same")).map(|(a, b)| a + b);
        assert_eq!(of("a|b", "same"), each, "{path}");
    }
    // Apart, when that is asked for; and of one, when only that one is meant.
    let apart = [query[0], ("targetLabels", "app,__tenant_id__")];
    let all = volumes(&json_of(&s, "a|b", "index/volume", &apart));
    let metrics: Vec<&Value> = all.iter().map(|v| &v.0).collect();
    assert_eq!(metrics.len(), 6, "{metrics:?}");
    assert!(metrics.contains(&&json!({"app": "same", "__tenant_id__": "b"})));
    let one = json_of(
        &s,
        "a|b",
        "index/stats",
        &[("query", "{app=~\".+\", __tenant_id__=\"b\"}")],
    );
    assert_eq!(one["entries"], 7);
}

#[test]
fn fields_labels_and_patterns_of_several_tenants_are_merged() {
    let s = filled();
    let query = [("query", "{app=\"same\"}")];
    let labels = json_of(&s, "b|a", "detected_labels", &[]);
    let all = labels["detectedLabels"].as_array().expect("labels");
    assert!(
        all.contains(&json!({"label": "app", "cardinality": 4})),
        "{labels}"
    );
    assert!(!labels.to_string().contains("__tenant_id__"), "{labels}");
    let fields = json_of(&s, "a|b", "detected_fields", &query);
    let names: Vec<&str> = fields["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .filter_map(|f| f["label"].as_str())
        .collect();
    for name in ["apple", "berry", "word", "detected_level"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let values = json_of(&s, "a|b", "detected_field/word/values", &query);
    assert_eq!(values["values"], json!(["apple", "berry"]));
    let text = [("query", "{app=\"text\"}")];
    let patterns = json_of(&s, "a|b", "patterns", &text)["data"].to_string();
    assert!(
        patterns.contains("apple") && patterns.contains("berry"),
        "{patterns}"
    );
    let old = ask(&s, "a|b", "/api/prom/query", &query).text();
    assert!(old.contains("apple") && old.contains("berry"), "{old}");
}

#[test]
fn pushes_and_tails_are_about_one_tenant() {
    let s = filled();
    let body = json!({"streams": [{"stream": {"a": "b"}, "values": []}]});
    let refused = |a: &Answer| {
        assert_eq!(
            (a.status, a.text().trim()),
            (400, "multiple org IDs present")
        );
    };
    refused(&push(&s, "a|b", &body));
    let tail = |tenant: &str| {
        s.request("GET", "/loki/api/v1/tail?query=%7Bapp%3D%22same%22%7D")
            .header("X-Scope-OrgID", tenant)
            .send()
    };
    refused(&tail("a|b"));
    assert_eq!(
        (tail("a").status, tail("a").text().trim()),
        (400, "Bad Request")
    );
    // Where several are not allowed, every read is about one as well.
    let s = Server::loki("auth_enabled: true\n");
    for (path, pairs) in READS {
        refused(&ask(&s, "a|b", &format!("/loki/api/v1/{path}"), pairs));
    }
}

#[test]
fn names_of_tenants_are_checked() {
    let s = Server::loki(SETTINGS);
    let long = "x".repeat(151);
    for bad in ["a||b", "|", "..", ".", "a/b", "a\\b", &long] {
        let a = ask(&s, bad, "/loki/api/v1/labels", &[]);
        assert_eq!(
            (a.status, a.text().trim()),
            (400, "tenant ID is not valid"),
            "{bad}"
        );
    }
    // One that is named twice is one.
    let a = ask(
        &s,
        "a|a",
        "/loki/api/v1/query_range",
        &[("query", "{a=\"b\"}")],
    );
    assert_eq!(a.status, 200, "{}", a.text());
}
