//! The sending side of remote write: two servers, an outage of the receiver, a restart of the
//! sender.

use std::collections::BTreeMap;

use crate::support::{Server, TempDir, now_ms, wait};

/// All samples of the sender's jobs in the last minutes before `at`, by series without `origin`.
fn samples(s: &Server, selector: &str, at: i64) -> BTreeMap<String, Vec<(String, String)>> {
    let at = format!("{:.3}", at as f64 / 1000.0);
    let query = format!("{selector}[10m]");
    let data = s
        .query("/api/v1/query", &[("query", &query), ("time", &at)])
        .data();
    let mut out = BTreeMap::new();
    for series in data["result"].as_array().expect("series") {
        let labels = series["metric"].as_object().expect("labels").iter();
        let labels: BTreeMap<_, _> = labels.filter(|(n, _)| *n != "origin").collect();
        let values = series["values"].as_array().expect("values").iter();
        let values = values.map(|v| (v[0].to_string(), v[1].as_str().unwrap_or("").to_owned()));
        out.insert(format!("{labels:?}"), values.collect());
    }
    out
}

/// Time of the newest `up` there, ms.
fn newest(s: &Server) -> i64 {
    let query = [(
        "query",
        "max(timestamp(last_over_time(up{job=\"self\"}[5m])))",
    )];
    let data = s.query("/api/v1/query", &query).data();
    let v = data["result"][0]["value"][1].as_str().unwrap_or("0");
    (v.parse::<f64>().expect("a number") * 1000.0) as i64
}

/// Waits until `s` has scraped for a second past `from`, and tells so by its own samples.
fn scrapes_past(s: &Server, from: i64) {
    wait("a second of scrapes", || newest(s) > from + 1000);
}

/// Value of one of the sender's metrics; 0 as long as it is not there.
fn shown(s: &Server, name: &str) -> f64 {
    let start = format!("prometheus_remote_storage_{name}");
    let text = s.get("/metrics").text();
    let Some(line) = text.lines().find(|l| l.starts_with(&start)) else {
        return 0.0;
    };
    assert!(line.contains("remote_name=\"copy\""), "{line}");
    let value = line.rsplit(' ').next().unwrap_or_default();
    value.parse().expect("a number")
}

fn restart(dir: TempDir, address: &str, flags: &[&str]) -> Server {
    let listen = format!("--web.listen-address={address}");
    let mut all = vec![listen.as_str()];
    all.extend(flags);
    let s = Server::launch(dir, &all);
    s.wait_ready();
    s
}

/// Nothing is lost and nothing changes while the receiver is away and the sender restarts.
fn survives_an_outage(message: &str, crash: bool) {
    const RECEIVES: &[&str] = &["--web.enable-remote-write-receiver"];
    let b = Server::start(RECEIVES);
    let a = Server::start(&[]);
    let (a_address, b_address) = (a.address.clone(), b.address.clone());
    let yaml = format!(
        "global: {{scrape_interval: 300ms, scrape_timeout: 300ms, external_labels: {{origin: a}}}}\n\
         scrape_configs:\n- {{job_name: self, static_configs: [{{targets: ['{a_address}']}}]}}\n\
         remote_write:\n- url: http://{b_address}/api/v1/write\n  name: copy\n  \
         protobuf_message: {message}\n  queue_config: {{batch_send_deadline: 200ms, \
         max_samples_per_send: 100, max_shards: 4, max_backoff: 300ms}}\n  \
         write_relabel_configs:\n  - {{source_labels: [__name__], regex: 'process_.*', action: drop}}\n"
    );
    a.dir.write("prometheus.yml", yaml);
    a.signal("HUP");
    wait("samples arrive", || newest(&b) > 0);
    let (code, b_dir) = b.stop();
    assert_eq!(code, Some(0));
    let away = now_ms();
    scrapes_past(&a, away);
    // The sender forgets nothing when it ends while the receiver is away.
    let a_dir = if crash {
        let mut a = a;
        a.signal("KILL");
        a.wait();
        std::mem::take(&mut a.dir)
    } else {
        let (code, dir) = a.stop();
        assert_eq!(code, Some(0));
        dir
    };
    let a = restart(a_dir, &a_address, &[]);
    scrapes_past(&a, now_ms());
    wait("a retry", || shown(&a, "samples_retried_total{") > 0.0);
    let back = now_ms();
    let b = restart(b_dir, &b_address, RECEIVES);
    wait("the outage is made up for", || newest(&b) > back);
    let until = newest(&b);
    // Requests are under way side by side: the window of that sample is complete when a later one
    // has begun.
    wait("later samples", || newest(&b) > until + 1000);
    let (sent, arrived) = (
        samples(&a, "{job=\"self\",__name__!~\"process_.*\"}", until),
        samples(&b, "{job=\"self\",origin=\"a\"}", until),
    );
    let outage = sent.values().flatten().filter(|(t, _)| {
        let t = (t.parse::<f64>().expect("a time") * 1000.0) as i64;
        t > away && t < back
    });
    assert!(outage.count() > 0, "the outage had no samples");
    if crash {
        // What the sender had not on disk yet may have been copied; what it still has, was.
        for (series, points) in &sent {
            let there = arrived.get(series).map_or(&[][..], Vec::as_slice);
            assert!(points.iter().all(|p| there.contains(p)), "{series}");
        }
    } else {
        assert_eq!(sent.len(), arrived.len());
        for (series, points) in &sent {
            assert_eq!(arrived.get(series), Some(points), "{series}");
        }
    }
    assert!(shown(&a, "samples_total{") > 0.0);
    let highest = shown(&a, "queue_highest_sent_timestamp_seconds{");
    assert!(highest * 1000.0 > back as f64);
    // After a crash what was under way is sent again, which a receiver may refuse.
    assert!(
        crash || shown(&a, "samples_failed_total{").abs() < 0.5,
        "{:?}",
        a.log()
    );
}

#[test]
fn version_1_survives_an_outage() {
    survives_an_outage("prometheus.WriteRequest", false);
}

#[test]
fn version_2_survives_an_outage() {
    survives_an_outage("io.prometheus.write.v2.Request", false);
}

#[test]
fn a_crash_of_the_sender_leaves_no_gap() {
    survives_an_outage("io.prometheus.write.v2.Request", true);
}

#[test]
fn nothing_is_sent_where_the_authentication_is_not_supported() {
    let b = Server::start(&["--web.enable-remote-write-receiver"]);
    let listeners = [(); 3].map(|()| {
        let l = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        l.set_nonblocking(true).expect("a listener");
        l
    });
    let [azure, google, role] = listeners
        .each_ref()
        .map(|l| l.local_addr().expect("an address"));
    let a = Server::start(&[]);
    let yaml = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs:\n- {{job_name: self, static_configs: [{{targets: ['{}']}}]}}\n\
         remote_write:\n\
         - {{url: 'http://{azure}/w', azuread: {{cloud: AzurePublic}}}}\n\
         - {{url: 'http://{google}/w', google_iam: {{credentials_file: x}}}}\n\
         - {{url: 'http://{role}/w', sigv4: {{region: r, role_arn: 'arn:x'}}}}\n\
         - {{url: 'http://{}/api/v1/write', queue_config: {{batch_send_deadline: 100ms}}}}\n",
        a.address, b.address
    );
    a.dir.write("prometheus.yml", yaml);
    a.signal("HUP");
    // The others are not held up.
    wait("samples arrive", || newest(&b) > 0);
    for l in &listeners {
        let e = l.accept().expect_err("a request without authentication");
        assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock);
    }
    let metrics = a.get("/metrics").text();
    let refused = "sextant_remote_write_destinations_refused 3";
    assert!(metrics.lines().any(|l| l == refused));
    for what in ["azuread", "google_iam", "sigv4 role_arn"] {
        let line = format!("{what} is not supported: nothing is sent to this destination");
        assert!(a.log().iter().any(|l| l.contains(&line)), "{what}");
    }
}
