//! A real Prometheus scrapes a real node_exporter and writes to us; both must hold the same bits.
//! Our own scraper does the same; and what we export, Prometheus and promtool must read.

use std::process::Command;
use std::time::Duration;

use crate::programs::{Program, assert_same, free_port, installed, read, seconds, start, wait_for};
use crate::support::process::binary;
use crate::support::{Server, TempDir, now_ms};

fn node_exporter() -> (Program, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let p = start(
        "prometheus-node-exporter",
        &[format!("--web.listen-address={address}")],
    );
    wait_for(&address, "/metrics");
    (p, address)
}

fn prometheus(config: &str, data: &str) -> (Program, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let args = [
        format!("--config.file={config}"),
        format!("--storage.tsdb.path={data}"),
        format!("--web.listen-address={address}"),
        "--storage.tsdb.retention.time=100y".to_owned(),
    ];
    let p = start("prometheus", &args);
    wait_for(&address, "/-/ready");
    (p, address)
}

#[test]
fn prometheus_remote_write_arrives_to_the_bit_and_comes_back_as_blocks() {
    if !(installed("prometheus") && installed("prometheus-node-exporter") && installed("promtool"))
    {
        return;
    }
    let ours = Server::start(&["--web.enable-remote-write-receiver"]);
    let (_node, node) = node_exporter();
    let dir = TempDir::new();
    let config = dir.write(
        "prometheus.yml",
        format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs: [{{job_name: node, static_configs: [{{targets: ['{node}']}}]}}]\n\
             remote_write: [{{url: 'http://{}/api/v1/write', queue_config: {{batch_send_deadline: 1s}}}}]\n",
            ours.address
        ),
    );
    let theirs_data = dir.path().join("theirs");
    let (theirs, theirs_at) = prometheus(&config, &theirs_data.display().to_string());
    let from = now_ms();
    std::thread::sleep(Duration::from_secs(seconds()));
    // What is still on its way is not compared.
    let to = now_ms() - 4000;
    std::thread::sleep(Duration::from_secs(3));
    let want = read(&theirs_at, from, to);
    let got = read(&ours.address, from, to);
    assert!(want.len() > 300, "only {} series", want.len());
    assert_same(&want, &got, "remote write");
    let samples: usize = want.values().map(Vec::len).sum();
    println!(
        "remote write: {} series, {samples} samples equal to the bit",
        want.len()
    );
    drop(theirs);

    // Out again, as Prometheus blocks.
    let (code, data) = ours.stop();
    assert_eq!(code, Some(0));
    let out = dir.path().join("blocks");
    let done = binary()
        .args(["export", "--storage.tsdb.path"])
        .arg(data.path().join("data"))
        .arg("--output")
        .arg(&out)
        .output()
        .expect("export runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    for verb in [["tsdb", "list"], ["tsdb", "analyze"]] {
        let o = Command::new("promtool")
            .args(verb)
            .arg(&out)
            .output()
            .expect("promtool runs");
        let text = String::from_utf8_lossy(&o.stdout);
        assert!(
            o.status.success(),
            "promtool {verb:?}: {}",
            String::from_utf8_lossy(&o.stderr)
        );
        assert!(
            text.contains(if verb[1] == "list" {
                "BLOCK ULID"
            } else {
                "Block ID"
            }),
            "{text}"
        );
    }
    let empty = dir.write("empty.yml", "global: {}\n");
    let (_reader, reader) = prometheus(&empty, &out.display().to_string());
    assert_same(&want, &read(&reader, from, to), "exported blocks");
    println!(
        "export: promtool lists and analyzes it, Prometheus serves the same {samples} samples"
    );

    let check = binary()
        .args(["check", "data"])
        .arg(data.path().join("data"))
        .output();
    let check = check.expect("check runs");
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
}

#[test]
fn our_scraper_stores_what_prometheus_stores() {
    if !(installed("prometheus") && installed("prometheus-node-exporter")) {
        return;
    }
    let (_node, node) = node_exporter();
    let dir = TempDir::new();
    let config = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs: [{{job_name: node, static_configs: [{{targets: ['{node}']}}]}}]\n"
    );
    let file = dir.write("prometheus.yml", &config);
    let ours = Server::with_config(&config, &[]);
    let (_theirs, theirs) = prometheus(&file, &dir.path().join("theirs").display().to_string());
    let from = now_ms();
    std::thread::sleep(Duration::from_secs(seconds().min(30)));
    let to = now_ms();
    // Debian's Prometheus is older than the rule that bounds are written `1.0`, not `1`.
    let modern = |s: crate::programs::Samples| -> crate::programs::Samples {
        s.into_iter().map(|(k, v)| (modern_bounds(&k), v)).collect()
    };
    let (want, got) = (
        modern(read(&theirs, from, to)),
        read(&ours.address, from, to),
    );
    // Values differ, as the two scrape at different moments; series must not.
    let missing: Vec<_> = want.keys().filter(|k| !got.contains_key(*k)).collect();
    let extra: Vec<_> = got.keys().filter(|k| !want.contains_key(*k)).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing {missing:?}, extra {extra:?}"
    );
    let per = |s: &crate::programs::Samples| s.values().map(Vec::len).max().unwrap_or(0);
    let least = usize::try_from(seconds().min(30) / 2).unwrap_or(usize::MAX);
    assert!(
        per(&got) >= least,
        "{} scrapes, Prometheus has {}",
        per(&got),
        per(&want)
    );
    println!(
        "own scraper: the same {} series, {} scrapes",
        got.len(),
        per(&got)
    );
}

/// `le="1"` as `le="1.0"`, the same for `quantile`.
fn modern_bounds(labels: &str) -> String {
    let words = labels.split_inclusive(' ').map(|w| {
        let bound = w.starts_with("le=") || w.starts_with("quantile=");
        let number = w
            .split('"')
            .nth(1)
            .filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
        match number {
            Some(v) if bound => w.replace(&format!("\"{v}\""), &format!("\"{v}.0\"")),
            _ => w.to_owned(),
        }
    });
    words.collect()
}
