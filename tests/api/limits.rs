//! Limits: what is refused, with which status and words, and what hostile bodies cost.

use std::io::Write as _;
use std::net::TcpStream;

use engine::model::Labels;

use crate::support::{Server, now_ms};
use crate::wire::{V2, labels, message_v1, message_v2, send, snappy};

const V1: &str = "application/x-protobuf";
const RECEIVES: &str = "--web.enable-remote-write-receiver";

/// Peak memory of the server so far, KiB.
fn peak(s: &Server) -> u64 {
    let file = format!("/proc/{}/status", s.id());
    let status = std::fs::read_to_string(file).expect("a process");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let number = line.and_then(|l| l.split_whitespace().next());
    number.and_then(|n| n.parse().ok()).expect("a figure")
}

/// Runs `attack` and fails when it cost more than `mib`.
fn costs_at_most(s: &Server, what: &str, mib: u64, attack: impl FnOnce()) {
    let before = peak(s);
    attack();
    let after = peak(s);
    println!("{what}: {before} KiB before, {after} KiB after");
    assert!(
        after < before + mib * 1024,
        "{what}: {before} KiB before, {after} KiB after"
    );
    assert_eq!(s.get("/-/ready").status, 200, "{what}");
}

#[test]
fn limits_are_shown_and_named_where_they_refuse() {
    let flags = [
        ("limits.series", "3"),
        ("limits.labels-per-series", "4"),
        ("limits.label-name-length", "10"),
        ("limits.label-value-length", "12"),
        ("limits.write-body-size", "4KiB"),
        ("limits.write-decoded-size", "8KiB"),
        ("limits.write-series", "5"),
        ("limits.write-samples", "6"),
    ];
    let given: Vec<String> = flags.iter().map(|(n, v)| format!("--{n}={v}")).collect();
    let mut all: Vec<&str> = given.iter().map(String::as_str).collect();
    all.push(RECEIVES);
    let s = Server::start(&all);
    let shown = s.get("/api/v1/status/flags").data();
    for (name, value) in flags {
        assert_eq!(shown[name], value, "{name}");
    }
    let t = now_ms();
    let named = |pairs: &[(&str, &str)]| labels(&[&[("__name__", "m")], pairs].concat());
    let ok = |i: usize| named(&[("i", &i.to_string())]);
    let one = |l: Labels| vec![(l, vec![(t, 1.0)])];
    let many = |n: usize| -> Vec<_> { (0..n).map(|i| (ok(i), vec![(t, 1.0)])).collect() };
    let points = |n: i64| vec![(ok(0), (0..n).map(|k| (t + k, 1.0)).collect())];
    for (series, status, words) in [
        (
            one(named(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")])),
            400,
            &["5 labels", "limit of 4 labels per series"][..],
        ),
        (
            one(named(&[("a_longer_name", "1")])),
            400,
            &["a_longer_name", "13 bytes", "limit of 10"],
        ),
        (
            one(named(&[("a", "a longer value")])),
            400,
            &["\"a\"", "14 bytes", "limit of 12"],
        ),
        (many(6), 400, &["too many series", "limit 5"]),
        (points(7), 400, &["too many samples", "limit 6"]),
        (many(5), 429, &["limit of 3 series", "label \"i\""]),
    ] {
        for (kind, body) in [(V1, message_v1(&series)), (V2, message_v2(&series))] {
            let a = send(&s, kind, &body);
            let text = a.text();
            assert_eq!(a.status, status, "{text}");
            for w in words {
                assert!(text.contains(w), "{text:?} lacks {w:?}");
            }
            assert_eq!(a.header("retry-after").is_some(), status == 429, "{text}");
        }
    }
    // Version 2 keeps what fits; what is known goes on.
    assert_eq!(send(&s, V1, &message_v1(&many(3))).status, 204);
    let big = |n: usize| {
        let a = s.request("POST", "/api/v1/write");
        let a = a.header("Content-Encoding", "snappy");
        a.header("Content-Type", V1).body(vec![0; n]).send()
    };
    let a = big(5000);
    assert_eq!(a.status, 413);
    assert!(a.text().contains("limit of 4096 bytes"), "{}", a.text());
    let a = s
        .request("POST", "/api/v1/write")
        .header("Content-Encoding", "snappy")
        .header("Content-Type", V1)
        .body(snappy(&vec![0; 9000]))
        .send();
    assert_eq!(a.status, 400);
    assert!(a.text().contains("8192"), "{}", a.text());
}

#[test]
fn a_million_labels_on_one_series_cost_little() {
    let s = Server::start(&[RECEIVES]);
    let names: Vec<String> = (0..1_000_000).map(|i| format!("l{i:06}")).collect();
    let mut pairs = vec![("__name__", "m")];
    pairs.extend(names.iter().map(|n| (n.as_str(), "v")));
    let series = [(labels(&pairs), vec![(now_ms(), 1.0)])];
    let (v1, v2) = (message_v1(&series), message_v2(&series));
    costs_at_most(&s, "a million labels", 256, || {
        for (kind, body) in [(V1, &v1), (V2, &v2)] {
            let a = send(&s, kind, body);
            assert_eq!(a.status, 400, "{}", a.text());
            assert!(a.text().contains("label"), "{}", a.text());
            assert!(a.text().len() < 16 * 1024, "{} bytes", a.text().len());
        }
    });
}

#[test]
fn a_body_of_a_gigabyte_is_refused_while_it_comes() {
    let s = Server::start(&[RECEIVES, "--web.enable-otlp-receiver"]);
    for path in ["/api/v1/write", "/api/v1/otlp/v1/metrics", "/api/v1/read"] {
        for declared in [true, false] {
            // The limit is 32 MiB; growing up to it leaves as much again to the allocator.
            costs_at_most(&s, path, 128, || {
                send_a_gigabyte(&s.address, path, declared)
            });
        }
    }
}

/// Sends a body of a GiB, with its length in the header or in chunks; it must not be taken.
fn send_a_gigabyte(address: &str, path: &str, declared: bool) {
    let mut c = TcpStream::connect(address).expect("connected");
    let framing = if declared {
        format!("Content-Length: {}", 1u64 << 30)
    } else {
        "Transfer-Encoding: chunked".to_owned()
    };
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {V1}\r\n{framing}\r\n\r\n");
    c.write_all(head.as_bytes()).expect("sent");
    let piece = vec![0x5a; 1 << 20];
    let mut send = || {
        if declared {
            return c.write_all(&piece);
        }
        c.write_all(b"100000\r\n")?;
        c.write_all(&piece)?;
        c.write_all(b"\r\n")
    };
    // The server may close before it has seen all of it.
    let sent = (0..1024).take_while(|_| send().is_ok()).count();
    println!("{path}: {sent} MiB were taken from the sender");
    assert!(sent < 1024, "{path}: all of it was taken");
}

#[test]
fn compressed_bombs_cost_no_more_than_the_limit() {
    let s = Server::start(&[RECEIVES, "--web.enable-otlp-receiver"]);
    let zeros = vec![0u8; 1 << 30];
    let gzip = {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(&zeros).expect("compressed");
        e.finish().expect("compressed")
    };
    drop(zeros);
    // Runs of copies: 64 bytes of output for three of input.
    let mut block = vec![0x80, 0x80, 0x80, 0x80, 0x04, 0x00, 0x00];
    block.extend([0xfe, 0x01, 0x00].repeat(1 << 20));
    for (path, coding, body) in [
        ("/api/v1/otlp/v1/metrics", "gzip", &gzip),
        ("/api/v1/write", "snappy", &block),
        ("/api/v1/read", "snappy", &block),
    ] {
        costs_at_most(&s, path, 128, || {
            let a = s
                .request("POST", path)
                .header("Content-Type", V1)
                .header("Content-Encoding", coding)
                .body(body.clone())
                .send();
            assert!(a.status == 400 || a.status == 413, "{path}: {}", a.status);
        });
    }
}
