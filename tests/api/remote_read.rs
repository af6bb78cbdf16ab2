//! `/read`: both forms of the answer.

use engine::wire::inflate::{Caps, Encoding, inflate};
use engine::wire::proto::Reader;
use engine::wire::remote_read::{MatchKind, ReadMatcher, ReadQuery, ReadRequest, read_frame};

use crate::support::{Answer, Server, now_ms};
use crate::wire::{labels, snappy, store};

fn ask(s: &Server, accepted: &[u64], name: &str, matchers: &[(&str, &str)], end: i64) -> Answer {
    let mut all = vec![("__name__", name)];
    all.extend(matchers);
    let request = ReadRequest {
        queries: vec![ReadQuery {
            start_ms: 0,
            end_ms: end,
            matchers: all
                .into_iter()
                .map(|(n, v)| ReadMatcher {
                    kind: MatchKind::Equal,
                    name: n.into(),
                    value: v.into(),
                })
                .collect(),
        }],
        accepted: accepted.to_vec(),
    };
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    s.request("POST", "/api/v1/read")
        .body(snappy(&bytes))
        .send()
}

fn server() -> (Server, i64) {
    let s = Server::with_config(
        "global: {external_labels: {dc: eu}}",
        &[
            "--web.enable-remote-write-receiver",
            "--storage.remote.read-sample-limit=500",
        ],
    );
    let t = now_ms() - 600_000;
    let points = (0..300).map(|i| (t + i * 1000, i as f64)).collect();
    store(
        &s,
        &[
            (labels(&[("__name__", "a"), ("i", "1")]), points),
            (labels(&[("__name__", "a"), ("i", "2")]), vec![(t, 5.0)]),
            (
                labels(&[("__name__", "big")]),
                (0..501).map(|i| (t + i, 0.0)).collect(),
            ),
        ],
    );
    (s, t)
}

#[test]
fn samples_are_a_snappy_message() {
    let (s, _) = server();
    for accepted in [&[][..], &[0], &[9, 0, 1]] {
        let a = ask(&s, accepted, "a", &[("dc", "eu")], now_ms());
        assert_eq!(a.status, 200, "{}", a.text());
        assert_eq!(a.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(a.header("content-encoding"), Some("snappy"));
        let mut out = Vec::new();
        let raw = inflate(Encoding::Snappy, &a.body, Caps::REMOTE_WRITE, &mut out).expect("snappy");
        let mut series = 0;
        let mut results = Reader::new(raw);
        while let Some((field, result)) = results.field().expect("a message") {
            assert_eq!(field, 1);
            let mut r = Reader::new(result.bytes(1).expect("a result"));
            while let Some((_, s)) = r.field().expect("a result") {
                series += 1;
                let text = s.bytes(1).expect("a series");
                assert!(
                    text.windows(2).any(|w| w == b"dc"),
                    "external labels are added"
                );
            }
        }
        assert_eq!(series, 2);
    }
    assert_eq!(ask(&s, &[], "a", &[("dc", "us")], now_ms()).status, 200);
    let a = ask(&s, &[], "big", &[], now_ms());
    assert_eq!(a.status, 400);
    assert!(a.text().contains("500"), "{}", a.text());
}

#[test]
fn chunks_are_frames_with_checksums() {
    let (s, t) = server();
    let a = ask(&s, &[1], "a", &[], t + 100_000);
    assert_eq!(a.status, 200);
    assert_eq!(
        a.header("content-type"),
        Some("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
    );
    assert_eq!(a.header("content-encoding"), None);
    let mut rest = &a.body[..];
    let mut all = Vec::new();
    while let Some((series, tail)) = read_frame(rest).expect("a frame") {
        all.extend(series);
        rest = tail;
    }
    assert_eq!(all.len(), 2);
    assert_eq!(
        all[0].labels,
        labels(&[("__name__", "a"), ("dc", "eu"), ("i", "1")])
    );
    let wanted = all[0].samples.iter().filter(|p| p.t <= t + 100_000).count();
    assert_eq!(wanted, 101);
}

#[test]
fn bad_requests_are_refused() {
    let (s, _) = server();
    let a = ask(&s, &[7], "a", &[], 1);
    assert_eq!(a.status, 400);
    assert!(
        a.text()
            .contains("server does not support any of the requested response types")
    );
    for body in [b"garbage".to_vec(), snappy(&[0xff, 0xff]), Vec::new()] {
        let a = s.request("POST", "/api/v1/read").body(body.clone()).send();
        assert_eq!(a.status, 400, "{body:?}");
    }
}
