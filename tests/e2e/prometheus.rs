//! A real Prometheus scrapes a real node_exporter and writes to us; both must hold the same bits.
//! Our own scraper does the same; and what we export, Prometheus and promtool must read.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::programs::{
    Program, Samples, assert_same, free_port, installed, read, seconds, start, wait_for,
};
use crate::support::process::binary;
use crate::support::shared::shared;
use crate::support::{PATIENCE, Server, TempDir, now_ms, target, until};

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
    // A second server gets everything from the first, by the second version of the protocol.
    let receives = "--web.enable-remote-write-receiver";
    let second = Server::start(&[receives]);
    let ours = Server::with_config(
        &format!(
            "remote_write: [{{url: 'http://{}/api/v1/write', \
             protobuf_message: io.prometheus.write.v2.Request}}]\n",
            second.address
        ),
        &[receives],
    );
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
    let scrapes = usize::try_from(seconds()).unwrap_or(usize::MAX);
    let_run();
    // Requests are under way side by side: a time is complete once all series of the receiver
    // have passed it, which a later scrape by each of them shows.
    let to = until("scrapes by Prometheus", || {
        let all = read(&theirs_at, "up", from, i64::MAX);
        std::thread::sleep(Duration::from_millis(500));
        all.values().next()?.get(scrapes).map(|p| p.0)
    });
    let want = read(&theirs_at, ".+", from, to);
    let reach = |s: &Samples| -> BTreeMap<String, usize> {
        s.iter().map(|(l, p)| (l.clone(), p.len())).collect()
    };
    let sent = reach(&want);
    assert!(want.len() > 300, "only {} series", want.len());
    let samples: usize = want.values().map(Vec::len).sum();
    for (what, address) in [
        ("remote write 1.0", &ours.address),
        ("remote write 2.0", &second.address),
    ] {
        let patience = Instant::now() + PATIENCE / 2;
        let got = until("the samples to arrive", || {
            let got = read(address, ".+", from, to);
            let there = reach(&got);
            let all = sent
                .iter()
                .all(|(l, n)| there.get(l).is_some_and(|m| m >= n));
            (all || Instant::now() > patience).then_some(got)
        });
        assert_same(&want, &got, what);
        println!(
            "{what}: {} series, {samples} samples equal to the bit",
            want.len()
        );
    }
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
    assert_same(&want, &read(&reader, ".+", from, to), "exported blocks");
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

/// Scrapes that take longer than anything is waited for.
const MANY: usize = 30;

/// Lets a long run go on for its length; what is waited for after it is its last moments.
fn let_run() {
    std::thread::sleep(Duration::from_secs(seconds().saturating_sub(MANY as u64)));
}

/// A Prometheus and a server of ours that scrape `target` every second, with `up` of each.
struct Pair {
    ours: Server,
    theirs: String,
    _theirs: Program,
    _dir: TempDir,
}

impl Pair {
    fn new(target: &str) -> Self {
        let dir = TempDir::new();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: node, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        let file = dir.write("prometheus.yml", &config);
        let ours = Server::with_config(&config, &[]);
        let data = dir.path().join("theirs").display().to_string();
        let (program, theirs) = prometheus(&file, &data);
        Self {
            ours,
            theirs,
            _theirs: program,
            _dir: dir,
        }
    }

    /// Waits until both have stored `scrapes` good scrapes since `from`; gives what both hold up
    /// to the last of them.
    fn after(&self, from: i64, scrapes: usize) -> [Samples; 2] {
        if scrapes > MANY {
            let_run();
        }
        let up = 1f64.to_bits();
        let both = [&self.theirs, &self.ours.address];
        let to = until(&format!("{scrapes} good scrapes on both sides"), || {
            let ends = both.map(|a| {
                let all = read(a, "up", from, i64::MAX);
                let mut good = all.values().flatten().filter(|p| p.1 == up);
                good.nth(scrapes - 1).map(|p| p.0)
            });
            // The wait must not load a machine that is slow already.
            std::thread::sleep(Duration::from_millis(500));
            Some(ends[0]?.max(ends[1]?))
        });
        let [theirs, ours] = both.map(|a| read(a, ".+", from, to));
        // Debian's Prometheus is older than the rule that bounds are written `1.0`, not `1`.
        let modern = theirs.into_iter().map(|(k, v)| (modern_bounds(&k), v));
        [modern.collect(), ours]
    }
}

/// Fails with the difference first, however much there is.
fn assert_no_difference(what: &str, missing: Vec<&String>, extra: Vec<&String>) {
    let some = |l: &[&String]| {
        l.iter()
            .take(3)
            .map(|s| s.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{what}: {} series missing, {} extra; missing {}, extra {}",
        missing.len(),
        extra.len(),
        some(&missing),
        some(&extra)
    );
}

/// Values of every scrape are the same, so moments do not matter: bits of all values by series.
fn values(s: &Samples) -> BTreeMap<&String, BTreeSet<u64>> {
    let bits = |points: &Vec<(i64, u64)>| points.iter().map(|p| p.1).collect();
    s.iter().map(|(l, points)| (l, bits(points))).collect()
}

fn stores_the_same(body: Vec<u8>, what: &str) {
    let pair = Pair::new(&target::serve(body));
    // From the very first scrape on: `scrape_series_added` tells the first from the later ones.
    let [want, got] = pair.after(0, 3);
    let (want, got) = (values(&want), values(&got));
    let missing = want.keys().filter(|k| !got.contains_key(*k));
    let extra = got.keys().filter(|k| !want.contains_key(*k));
    assert_no_difference(what, missing.copied().collect(), extra.copied().collect());
    for (l, w) in &want {
        if !l.contains("scrape_duration_seconds") {
            assert_eq!(Some(w), got.get(l), "{what}: bits of {l}");
        }
    }
    println!("{what}: the same {} series and bits", want.len());
}

#[test]
fn our_scraper_stores_every_bit_of_an_exposition() {
    if installed("prometheus") {
        stores_the_same(include_bytes!("exposed.txt").to_vec(), "exposed.txt");
    }
}

#[test]
fn our_scraper_stores_every_bit_of_a_large_exposition() {
    if installed("prometheus")
        && let Some(file) = shared("conformance/exporters/node/e2e-output.txt")
    {
        let body = std::fs::read(file).expect("a readable corpus");
        stores_the_same(body, "e2e-output.txt");
    }
}

#[test]
fn our_scraper_stores_what_prometheus_stores() {
    if !(installed("prometheus") && installed("prometheus-node-exporter")) {
        return;
    }
    let (_node, node) = node_exporter();
    let pair = Pair::new(&node);
    let scrapes = usize::try_from(seconds()).unwrap_or(MANY);
    let [want, got] = pair.after(now_ms(), scrapes);
    // Series of a host come and go between the scrapes of the one and of the other; those that
    // one side saw in every good scrape the other one must have seen too. Values differ, as the
    // two look at different moments.
    let steady = |s: &Samples| -> Vec<String> {
        let alive = |points: &[(i64, u64)]| points.iter().filter(|p| p.1 != STALE).count();
        let up = 1f64.to_bits();
        let scrapes = s.iter().find(|(l, _)| l.contains("__name__=\"up\""));
        let scrapes = scrapes.map_or(0, |(_, p)| p.iter().filter(|p| p.1 == up).count());
        let in_all = s.iter().filter(|(_, p)| alive(p) >= scrapes);
        in_all.map(|(l, _)| l.clone()).collect()
    };
    let (theirs, ours) = (steady(&want), steady(&got));
    let missing = theirs.iter().filter(|k| !got.contains_key(*k));
    let extra = ours.iter().filter(|k| !want.contains_key(*k));
    assert_no_difference("own scraper", missing.collect(), extra.collect());
    assert!(ours.len() > 300, "only {} steady series", ours.len());
    println!(
        "own scraper: the same {} steady series of {} in {scrapes} scrapes",
        ours.len(),
        got.len()
    );
}

/// A sample with this value says that the series ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;

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
