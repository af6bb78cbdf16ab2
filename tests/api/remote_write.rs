//! `/write`: headers, status codes, and which samples are taken.

use serde_json::json;

use crate::support::{Answer, Server, now_ms};
use crate::wire::{
    V2, labels, message_v1, message_v2, send, snappy, store, stored, write, write_v2,
};

const ON: &str = "--web.enable-remote-write-receiver";

fn one(name: &str, points: &[(i64, f64)]) -> [(engine::model::Labels, Vec<(i64, f64)>); 1] {
    [(labels(&[("__name__", name)]), points.to_vec())]
}

fn written(a: &Answer) -> [Option<&str>; 3] {
    ["samples", "histograms", "exemplars"]
        .map(|k| a.header(&format!("x-prometheus-remote-write-{k}-written")))
}

#[test]
fn it_is_off_until_asked_for() {
    let s = Server::start(&[]);
    assert_eq!(write(&s, &one("a", &[(now_ms(), 1.0)])).status, 404);
}

#[test]
fn content_types_choose_the_message() {
    let s = Server::start(&[ON]);
    let t = now_ms();
    let v1 = message_v1(&one("a", &[(t, 1.0)]));
    let v2 = message_v2(&one("b", &[(t, 1.0)]));
    for (content_type, message, status) in [
        ("application/x-protobuf", &v1, 204),
        (
            "application/x-protobuf;proto=prometheus.WriteRequest",
            &v1,
            204,
        ),
        (V2, &v2, 204),
        ("application/json", &v1, 415),
        ("application/x-protobuf;proto=nonsense", &v1, 415),
        ("application/x-protobuf;proto", &v1, 415),
        // The name is compared with its blank, so it counts as absent: version 1.
        (
            "application/x-protobuf; proto=io.prometheus.write.v2.Request",
            &v1,
            204,
        ),
    ] {
        let a = send(&s, content_type, message);
        assert_eq!(a.status, status, "{content_type}: {}", a.text());
        if status == 415 {
            assert!(
                a.header("content-type")
                    .is_some_and(|c| c.starts_with("text/plain"))
            );
        }
    }
    let a = s.request("POST", "/api/v1/write").body(snappy(&v1)).send();
    assert_eq!(a.status, 204, "neither header");
    let only = "--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest";
    let s = Server::start(&[ON, only]);
    assert_eq!(send(&s, V2, &v2).status, 415);
    assert_eq!(send(&s, "application/x-protobuf", &v1).status, 204);
}

#[test]
fn bodies_are_snappy_blocks_within_limits() {
    let s = Server::start(&[ON]);
    let message = message_v1(&one("a", &[(now_ms(), 1.0)]));
    let post = |coding: &str, body: Vec<u8>| {
        s.request("POST", "/api/v1/write")
            .header("Content-Encoding", coding)
            .body(body)
            .send()
            .status
    };
    assert_eq!(post("snappy", snappy(&message)), 204);
    assert_eq!(post("gzip", snappy(&message)), 415);
    assert_eq!(post("snappy", message.clone()), 400);
    assert_eq!(post("snappy", Vec::new()), 400);
    assert_eq!(post("snappy", snappy(&[])), 204, "an empty message");
    assert_eq!(post("snappy", snappy(&[0xff, 0xff, 0xff])), 400);
    assert_eq!(
        post("snappy", snappy(&vec![0; 33 << 20])),
        400,
        "too large once decompressed"
    );
    assert_eq!(post("snappy", vec![0; (32 << 20) + 1]), 413);
    assert_eq!(s.get("/api/v1/write").status, 405);
}

#[test]
fn only_version_2_answers_carry_counts() {
    let s = Server::start(&[ON]);
    let t = now_ms();
    let a = write(&s, &one("a", &[(t, 1.0)]));
    assert_eq!((a.status, written(&a)), (204, [None; 3]));
    assert_eq!(a.body.len(), 0);
    let a = write_v2(&s, &one("b", &[(t, 1.0), (t + 1, 2.0)]));
    assert_eq!(
        (a.status, written(&a)),
        (204, [Some("2"), Some("0"), Some("0")])
    );
    let a = send(&s, V2, &[0xff, 0xff]);
    assert_eq!((a.status, written(&a)), (400, [Some("0"); 3]));
}

#[test]
fn duplicates_are_taken_and_contradictions_refused() {
    let s = Server::start(&[ON]);
    let t = now_ms();
    store(&s, &one("a", &[(t, 1.0)]));
    assert_eq!(write(&s, &one("a", &[(t, 1.0)])).status, 204);
    let a = write_v2(&s, &one("a", &[(t, 1.0)]));
    assert_eq!((a.status, written(&a)[0]), (204, Some("1")));
    for a in [
        write(&s, &one("a", &[(t, 2.0)])),
        write_v2(&s, &one("a", &[(t, 2.0)])),
    ] {
        assert_eq!(a.status, 400);
        let text = a.text();
        assert!(text.contains("duplicate sample for timestamp"), "{text}");
        assert!(text.contains("existing 1, new value 2"), "{text}");
    }
}

#[test]
fn old_and_future_samples_are_refused_without_a_window() {
    let s = Server::start(&[ON]);
    let t = now_ms();
    store(&s, &one("a", &[(t, 1.0)]));
    store(&s, &one("b", &[(t - 1000, 1.0)]));
    for (name, at, why) in [
        ("a", t - 1000, "out of order sample"),
        ("new", t - 3_700_000, "out of bounds"),
        ("new", t + 660_000, "too far in the future"),
    ] {
        for (version, a) in [
            (1, write(&s, &one(name, &[(at, 1.0)]))),
            (2, write_v2(&s, &one(name, &[(at, 1.0)]))),
        ] {
            assert_eq!(a.status, 400, "version {version}, {why}");
            assert!(a.text().contains(why), "version {version}: {}", a.text());
        }
    }
    assert_eq!(write(&s, &one("c", &[(t + 500_000, 1.0)])).status, 204);
}

#[test]
fn a_window_lets_late_samples_in() {
    let s = Server::with_config("storage: {tsdb: {out_of_order_time_window: 10m}}", &[ON]);
    let t = now_ms();
    store(&s, &one("a", &[(t, 1.0)]));
    store(&s, &one("a", &[(t - 300_000, 2.0)]));
    let a = write(&s, &one("a", &[(t - 700_000, 1.0)]));
    assert_eq!(a.status, 400);
    assert!(a.text().contains("too old sample"), "{}", a.text());
    let values = stored(&s, "a")[0]["values"].clone();
    assert_eq!(values.as_array().map(Vec::len), Some(2), "{values}");
}

#[test]
fn version_1_is_all_or_nothing_and_version_2_takes_the_good_part() {
    let s = Server::start(&[ON]);
    let t = now_ms();
    store(&s, &one("old", &[(t, 1.0)]));
    let mixed = |good: &str| {
        [
            (labels(&[("__name__", good)]), vec![(t, 1.0)]),
            (labels(&[("__name__", "old")]), vec![(t - 1000, 1.0)]),
        ]
    };
    assert_eq!(write(&s, &mixed("good1")).status, 400);
    assert_eq!(stored(&s, "good1"), json!([]));
    let a = write_v2(&s, &mixed("good2"));
    assert_eq!((a.status, written(&a)[0]), (400, Some("1")));
    assert!(
        a.header("content-type")
            .is_some_and(|c| c.starts_with("text/plain"))
    );
    assert_eq!(stored(&s, "good2").as_array().map(Vec::len), Some(1));
}

/// A version 1 message with label pairs exactly as given.
fn raw_v1(series: &[(&[(&[u8], &[u8])], i64)]) -> Vec<u8> {
    use engine::wire::proto::Writer;
    let mut out = Vec::new();
    let mut w = Writer::new(&mut out);
    for (pairs, t) in series {
        w.message(1, |m| {
            for (n, v) in *pairs {
                m.message(1, |l| {
                    l.bytes(1, n);
                    l.bytes(2, v);
                });
            }
            m.message(2, |p| {
                p.double(1, 1.0);
                p.uint(2, t.cast_unsigned());
            });
        });
    }
    out
}

#[test]
fn version_1_drops_impossible_series_silently() {
    let s = Server::start(&[ON]);
    let t = now_ms();
    let message = raw_v1(&[
        (&[(b"a", b"no name")], t),
        (&[(b"__name__", b"bad"), (b"x", b"\xff")], t),
        (&[(b"__name__", b"twice"), (b"x", b"1"), (b"x", b"2")], t),
        (&[(b"x", b"1"), (b"empty", b""), (b"__name__", b"fine")], t),
    ]);
    let a = send(&s, "application/x-protobuf", &message);
    assert_eq!(a.status, 204, "{}", a.text());
    let any = [
        ("match[]", "{x!=\"\"}"),
        ("match[]", "{a!=\"\"}"),
        ("match[]", "bad"),
    ];
    let all = s.query("/api/v1/series", &any).data();
    assert_eq!(all, json!([{"__name__": "fine", "x": "1"}]));
}

#[test]
fn version_2_refuses_impossible_series() {
    let s = Server::start(&[ON]);
    let t = now_ms();
    let a = write_v2(
        &s,
        &[
            (labels(&[("x", "no name")]), vec![(t, 1.0)]),
            (labels(&[("__name__", "fine")]), vec![(t, 1.0)]),
        ],
    );
    assert_eq!((a.status, written(&a)[0]), (400, Some("1")), "{}", a.text());
    let a = write_v2(&s, &[(labels(&[("__name__", "none")]), vec![])]);
    assert_eq!(a.status, 400);
    assert!(
        a.text()
            .contains("TimeSeries must contain at least one sample or histogram"),
        "{}",
        a.text()
    );
}

#[test]
fn late_samples_within_a_request_are_dropped_silently_when_the_series_is_new() {
    let s = Server::start(&[ON]);
    let t = now_ms();
    let a = write(&s, &one("a", &[(t, 1.0), (t - 1000, 2.0), (t + 1, 3.0)]));
    assert_eq!(a.status, 204, "{}", a.text());
    let values = stored(&s, "a")[0]["values"].clone();
    assert_eq!(values.as_array().map(Vec::len), Some(2), "{values}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let s = Server::start(&[ON]);
    let t = now_ms();
    store(&s, &one("a", &[(t, 1.0), (t + 1, 2.0)]));
    let (code, dir) = s.stop();
    assert_eq!(code, Some(0));
    let s = Server::launch(dir, &[ON]);
    s.wait_ready();
    assert_eq!(
        stored(&s, "a")[0]["values"].as_array().map(Vec::len),
        Some(2)
    );
}
