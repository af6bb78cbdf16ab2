//! Python's OpenTelemetry SDK as a sender: what it was told is stored can be read back to the bit.

use std::process::Command;

use crate::programs::{Samples, assert_same, read, seconds};
use crate::support::{Server, TempDir};
use crate::venv::python;

const PACKAGES: [&str; 2] = [
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
];

#[test]
fn the_opentelemetry_sdk_reads_back_what_it_sent() {
    let dir = TempDir::new();
    let Some(python) = python(&dir, &PACKAGES) else {
        return;
    };
    let ours = Server::start(&["--web.enable-otlp-receiver"]);
    let out = dir.path().join("sent").display().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/otel_sender.py");
    let endpoint = format!("http://{}/api/v1/otlp/v1/metrics", ours.address);
    let sent = Command::new(python)
        .args([script, &endpoint, &seconds().to_string(), &out])
        .output()
        .expect("the sender runs");
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );
    let mut want = Samples::new();
    for line in std::fs::read_to_string(out).expect("what was sent").lines() {
        let mut parts = line.split('\t');
        let mut next = || parts.next().expect("three parts");
        let (labels, t, bits) = (next(), next(), next());
        let point = (t.parse().expect("ms"), bits.parse().expect("bits"));
        want.entry(labels.to_owned()).or_default().push(point);
    }
    let samples: usize = want.values().map(Vec::len).sum();
    assert!(
        want.len() == 27 && samples > 27 * 5,
        "{} series, {samples} samples",
        want.len()
    );
    let got = read(&ours.address, "e2e_.+", 0, i64::MAX);
    assert_same(&want, &got, "OpenTelemetry SDK");
    println!(
        "OpenTelemetry SDK: {} series, {samples} samples equal to the bit",
        want.len()
    );
}
