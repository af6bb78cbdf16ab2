//! Python's logging through a Loki handler, the OpenTelemetry SDK's log exporter and a WebSocket
//! client: what was told is stored is there, once, and whoever follows sees it.

use std::process::Command;

use serde_json::Value;

use crate::support::{Server, TempDir, client, now_ms};
use crate::venv::python;

const PACKAGES: [&str; 4] = [
    "python-logging-loki",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "websocket-client",
];

/// Records of each sender.
const COUNT: usize = 60;

/// Lines of a query, in the order of time.
pub(crate) fn lines(s: &Server, query: &str) -> Vec<String> {
    let start = format!("{}000000", now_ms() - 3_600_000);
    let pairs = [
        ("query", query),
        ("start", &start),
        ("limit", "5000"),
        ("direction", "forward"),
    ];
    let data = s
        .get(&format!(
            "/loki/api/v1/query_range?{}",
            client::query(&pairs)
        ))
        .data();
    let mut out: Vec<(String, String)> = Vec::new();
    for stream in data["result"].as_array().expect("streams") {
        for v in stream["values"].as_array().expect("values") {
            let text = |v: &Value| v.as_str().expect("a text").to_owned();
            out.push((text(&v[0]), text(&v[1])));
        }
    }
    out.sort();
    out.into_iter().map(|v| v.1).collect()
}

/// Texts of a list; objects among them with their keys in order.
fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    list.map(|v| ordered(v.as_str().expect("a text"))).collect()
}

fn ordered(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut v @ Value::Object(_)) => {
            v.sort_all_objects();
            v.to_string()
        }
        _ => text.to_owned(),
    }
}

#[test]
fn python_clients_read_back_what_they_sent() {
    let dir = TempDir::new();
    let Some(python) = python(&dir, &PACKAGES) else {
        return;
    };
    let s = Server::start(&[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/log_clients.py");
    let run = Command::new(python)
        .args([script, &s.address, &COUNT.to_string()])
        .output()
        .expect("the clients run");
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    let told: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let (handler, otel) = (texts(&told["handler"]), texts(&told["opentelemetry"]));
    assert_eq!((handler.len(), otel.len()), (COUNT, COUNT));
    assert_eq!(lines(&s, "{app=\"handler\"}"), handler);
    let got = lines(&s, "{service_name=\"otel\"}");
    let got: Vec<String> = got.iter().map(|l| ordered(l)).collect();
    assert_eq!(got, otel);
    // The clients' own levels and attributes can be asked for.
    let errors = lines(&s, "{app=\"handler\", severity=\"error\", part=\"0\"}");
    assert_eq!(errors.len(), COUNT / 6);
    let of_user =
        "{service_name=\"otel\"} | user_id=\"u1\" | detected_level=\"error\" | ok=\"true\"";
    assert_eq!(lines(&s, of_user).len(), COUNT / 6);
    let mut seen = texts(&told["seen"]);
    let mut all: Vec<String> = handler.into_iter().chain(otel).collect();
    seen.sort();
    all.sort();
    assert_eq!(seen, all, "what the WebSocket saw");
    println!("{} lines sent, read back and seen by a tail", all.len());
}
