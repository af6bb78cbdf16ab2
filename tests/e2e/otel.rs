//! Python's OpenTelemetry SDK as a sender: what it was told is stored can be read back to the bit.

use std::process::Command;

use crate::programs::{Samples, assert_same, read, seconds};
use crate::support::{Server, TempDir};

const PACKAGES: [&str; 2] = [
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
];

/// A Python with the SDK; `None`, said in one line, where there is no Python or no network.
fn python(dir: &TempDir) -> Option<String> {
    let own = dir.path().join("venv");
    let python = own.join("bin").join("python").display().to_string();
    let run = |program: &str, args: &[&str]| {
        let out = Command::new(program).args(args).output();
        match out {
            Ok(o) if o.status.success() => Ok(()),
            Ok(o) => Err(String::from_utf8_lossy(&o.stderr).into_owned()),
            Err(e) => Err(e.to_string()),
        }
    };
    let made = run("python3", &["-m", "venv", &own.display().to_string()]).and_then(|()| {
        let mut args = vec![
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        args.extend(PACKAGES);
        run(&python, &args)
    });
    match made {
        Ok(()) => Some(python),
        Err(e) => {
            println!(
                "skipped: no OpenTelemetry SDK: {}",
                e.lines().last().unwrap_or("")
            );
            None
        }
    }
}

#[test]
fn the_opentelemetry_sdk_reads_back_what_it_sent() {
    let dir = TempDir::new();
    let Some(python) = python(&dir) else {
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
