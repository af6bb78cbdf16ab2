//! Loki's interface: tails over a WebSocket, as a client sees them frame by frame.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, PATIENCE, Server, client, now_ms};

/// A WebSocket from the client's side: frames of the server, unmasked.
struct Tail(TcpStream, Vec<u8>);

/// What a frame is.
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;

impl Tail {
    fn open(s: &Server, pairs: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(&s.address).expect("a listening server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head = format!(
            "GET /loki/api/v1/tail?{} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: \
             Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            client::query(pairs),
            s.address
        );
        stream.write_all(head.as_bytes()).expect("a connection");
        let mut tail = Self(stream, Vec::new());
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.extend(tail.bytes(1));
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        tail
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut piece = vec![0; 65_536];
        while self.1.len() < n {
            let got = self.0.read(&mut piece).expect("more of an answer");
            assert!(got > 0, "the connection ended");
            self.1.extend_from_slice(&piece[..got]);
        }
        let rest = self.1.split_off(n);
        std::mem::replace(&mut self.1, rest)
    }

    /// The next frame: what it is, and what it holds.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.bytes(2);
        let size = match head[1] & 127 {
            126 => self.bytes(2),
            127 => self.bytes(8),
            n => vec![n],
        };
        let size = size.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
        (head[0] & 15, self.bytes(size))
    }

    /// The next message.
    fn message(&mut self) -> Value {
        loop {
            match self.frame() {
                (TEXT, text) => return serde_json::from_slice(&text).expect("JSON"),
                (PING, _) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Code and reason of the close frame, which comes next or after pings.
    fn closed(&mut self) -> (u16, String) {
        loop {
            match self.frame() {
                (CLOSE, b) => {
                    let code = u16::from_be_bytes([b[0], b[1]]);
                    return (code, String::from_utf8_lossy(&b[2..]).into_owned());
                }
                (PING, _) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn push(s: &Server, labels: &Value, entries: &[(i64, &str)]) {
    let values: Vec<Value> = entries
        .iter()
        .map(|(t, l)| json!([t.to_string(), l]))
        .collect();
    let body = json!({"streams": [{"stream": labels, "values": values}]});
    let a = s
        .request("POST", "/loki/api/v1/push")
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send();
    assert_eq!(a.status, 204, "{}", a.text());
}

/// Lines of a message.
fn lines(m: &Value) -> Vec<String> {
    let streams = m["streams"].as_array().expect("streams").iter();
    let values = streams.flat_map(|s| s["values"].as_array().expect("values"));
    values
        .map(|v| v[1].as_str().expect("a line").to_owned())
        .collect()
}

fn ns(ms: i64) -> i64 {
    ms * 1_000_000
}

#[test]
fn the_past_is_limited_by_start_and_number() {
    let s = Server::loki("");
    let now = now_ms();
    let app = json!({"app": "a"});
    let all: Vec<(i64, String)> = (0..10)
        .map(|i| (ns(now - 10_000 + i), format!("line {i}")))
        .collect();
    let all: Vec<(i64, &str)> = all.iter().map(|(t, l)| (*t, l.as_str())).collect();
    push(&s, &app, &all);
    let mut newest = Tail::open(&s, &[("query", "{app=\"a\"}"), ("limit", "3")]);
    let m = newest.message();
    assert_eq!(lines(&m), ["line 7", "line 8", "line 9"]);
    assert_eq!(m["dropped_entries"], Value::Null);
    assert_eq!(
        m["streams"][0]["stream"],
        json!({"app": "a", "service_name": "a", "detected_level": "unknown"})
    );
    assert_eq!(m["streams"][0]["values"][0][0], json!(all[7].0.to_string()));
    let start = all[8].0.to_string();
    let mut late = Tail::open(&s, &[("query", "{app=\"a\"}"), ("start", &start)]);
    assert_eq!(lines(&late.message()), ["line 8", "line 9"]);
    // What comes later with an earlier time than the start is not meant; other streams neither.
    push(&s, &app, &[(all[0].0 + 1, "too old")]);
    push(&s, &json!({"app": "b"}), &[(ns(now), "other")]);
    push(&s, &app, &[(ns(now), "new")]);
    assert_eq!(lines(&late.message()), ["new"]);
    // Both may come in one message.
    let mut got = lines(&newest.message());
    while got.len() < 2 {
        got.extend(lines(&newest.message()));
    }
    assert_eq!(got, ["too old", "new"]);
}

#[test]
fn stages_apply_to_what_comes() {
    let s = Server::loki("");
    let query = "{app=\"a\"} |= \"x\" | logfmt | n > 1 | line_format \"{{.n}}\"";
    let mut t = Tail::open(&s, &[("query", query)]);
    let now = ns(now_ms());
    push(
        &s,
        &json!({"app": "a"}),
        &[
            (now, "x n=1"),
            (now + 1, "x n=2"),
            (now + 2, "y n=3"),
            (now + 3, "x n=4"),
        ],
    );
    let mut got = lines(&t.message());
    got.sort();
    assert_eq!(got, ["2", "4"]);
}

#[test]
fn a_delay_puts_what_comes_late_in_its_place() {
    let s = Server::loki("");
    let mut t = Tail::open(&s, &[("query", "{app=\"a\"}"), ("delay_for", "3")]);
    // What was there when the tail began is told at once: wait until that is over.
    push(&s, &json!({"app": "a"}), &[(ns(now_ms()), "before")]);
    assert_eq!(lines(&t.message()), ["before"]);
    let now = ns(now_ms());
    let begun = std::time::Instant::now();
    push(&s, &json!({"app": "a"}), &[(now, "second")]);
    push(&s, &json!({"app": "a"}), &[(now - 1_000_000, "first")]);
    // On a machine that needs seconds for a push they come one after the other.
    let together = begun.elapsed() < Duration::from_secs(2);
    let mut got = lines(&t.message());
    if together {
        assert_eq!(got, ["first", "second"]);
    } else if got.len() < 2 {
        got.extend(lines(&t.message()));
    }
    assert_eq!(got.len(), 2);
}

#[test]
fn what_cannot_be_tailed_is_refused_before_the_upgrade() {
    let s = Server::loki("limits_config: {max_concurrent_tail_requests: 1}\n");
    let ask = |pairs: &[(&str, &str)]| -> Answer { s.query("/loki/api/v1/tail", pairs) };
    for (pairs, text) in [
        (vec![("query", "{app=\"a\"}")], "Bad Request"),
        (vec![("query", "{app=")], "parse error"),
        (vec![("query", "{app=~\".*\"}")], "parse error"),
        (vec![("query", "rate({app=\"a\"}[1m])")], ""),
        (
            vec![("query", "{app=\"a\"}"), ("delay_for", "6")],
            "delay_for can't be greater than 5",
        ),
        (
            vec![("query", "{app=\"a\"}"), ("delay_for", "x")],
            "invalid syntax",
        ),
        (
            vec![("query", "{app=\"a\"}"), ("limit", "0")],
            "limit must be a positive value",
        ),
        (
            vec![("query", "{app=\"a\"}"), ("start", "x")],
            "could not parse",
        ),
        (vec![], ""),
    ] {
        let a = ask(&pairs);
        assert_eq!(a.status, 400, "{pairs:?}: {}", a.text());
        assert!(a.text().contains(text), "{pairs:?}: {}", a.text());
    }
    let first = Tail::open(&s, &[("query", "{app=\"a\"}")]);
    let upgrade = || {
        s.request("GET", "/loki/api/v1/tail?query=%7Bapp%3D%22a%22%7D")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
            .header("Sec-WebSocket-Version", "13")
            .send()
    };
    let a = upgrade();
    let text = "max concurrent tail requests limit exceeded, count > limit (2 > 1)";
    assert_eq!((a.status, a.text().trim()), (400, text));
    // Its place is free once it is gone.
    drop(first);
    crate::support::wait("room for a tail", || upgrade_status(&s) == 101);
}

/// Status of an attempt to open a tail, which is closed at once.
fn upgrade_status(s: &Server) -> u16 {
    let mut stream = TcpStream::connect(&s.address).expect("a listening server");
    let head = "GET /loki/api/v1/tail?query=%7Bapp%3D%22a%22%7D HTTP/1.1\r\nHost: x\r\nUpgrade: \
                websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                Sec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("a connection");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    let text = String::from_utf8_lossy(&status[9..]).into_owned();
    text.parse().expect("a status")
}

#[test]
fn clients_are_asked_whether_they_are_there_and_told_of_the_end() {
    let s = Server::loki("");
    let mut t = Tail::open(&s, &[("query", "{app=\"a\"}")]);
    for _ in 0..2 {
        assert_eq!(t.frame().0, PING);
    }
    s.signal("TERM");
    assert_eq!(t.closed(), (1001, "the server is stopping".to_owned()));
}

#[test]
fn a_reader_that_is_too_slow_is_told_what_it_missed() {
    let s = Server::loki(
        "limits_config:
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  per_stream_rate_limit: 1000MB
  per_stream_rate_limit_burst: 1000MB
",
    );
    let mut t = Tail::open(&s, &[("query", "{app=\"a\"}")]);
    // More than the connection and what the server keeps for it take in.
    let text = "x".repeat(100_000);
    let now = ns(now_ms());
    let (mut sent, mut dropped) = (0usize, 0usize);
    for request in 0..30 {
        let entries: Vec<(i64, &str)> = (0..10)
            .map(|i| (now + request * 10 + i, text.as_str()))
            .collect();
        push(&s, &json!({"app": "a"}), &entries);
        sent += entries.len();
    }
    let mut seen = 0;
    while seen + dropped < sent {
        let m = t.message();
        seen += lines(&m).len();
        for d in m["dropped_entries"].as_array().into_iter().flatten() {
            let labels = json!({"app": "a", "service_name": "a", "detected_level": "unknown"});
            assert_eq!(d["labels"], labels);
            let time: i64 = d["timestamp"]
                .as_str()
                .and_then(|t| t.parse().ok())
                .expect("a time");
            assert!((now..now + 300).contains(&time), "{time}");
            dropped += 1;
        }
    }
    assert_eq!(seen + dropped, sent);
    assert!(dropped > 0 && seen > 0, "{seen} seen, {dropped} dropped");
    // And then goes on.
    push(&s, &json!({"app": "a"}), &[(now + 1000, "after")]);
    assert_eq!(lines(&t.message()), ["after"]);
}
