//! Users, TLS, hostile clients.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;

use crate::support::{PATIENCE, Server, TempDir};

fn basic(user: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {pair}")
}

#[test]
fn with_users_every_path_needs_a_password() {
    let dir = TempDir::new();
    let hash = bcrypt::hash("right", 4).expect("a hash");
    let file = dir.write("web.yml", format!("basic_auth_users:\n  alice: {hash}\n"));
    let flag = format!("--web.config.file={file}");
    let s = Server::start_unready(&[&flag]);
    let ask = |path: &str, credentials: Option<String>| {
        let r = s.request("GET", path);
        match credentials {
            Some(c) => r.header("Authorization", &c).send(),
            None => r.send(),
        }
    };
    for path in ["/-/healthy", "/metrics", "/api/v1/labels", "/nope"] {
        for wrong in [
            None,
            Some(basic("alice", "wrong")),
            Some(basic("bob", "right")),
            Some("Basic x".into()),
        ] {
            let a = ask(path, wrong);
            assert_eq!((a.status, a.text().trim()), (401, "Unauthorized"), "{path}");
            assert!(
                a.header("www-authenticate")
                    .is_some_and(|h| h.starts_with("Basic"))
            );
        }
    }
    for _ in 0..2 {
        assert_eq!(ask("/-/healthy", Some(basic("alice", "right"))).status, 200);
    }
    // A new file counts from the next request on.
    let hash = bcrypt::hash("other", 4).expect("a hash");
    std::fs::write(
        &file,
        format!("basic_auth_users:\n  alice: {hash}\n# changed\n"),
    )
    .expect("written");
    assert_eq!(ask("/-/healthy", Some(basic("alice", "right"))).status, 401);
    assert_eq!(ask("/-/healthy", Some(basic("alice", "other"))).status, 200);
}

#[test]
fn configured_headers_are_on_every_answer() {
    let dir = TempDir::new();
    let file = dir.write(
        "web.yml",
        "http_server_config: {headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=1}}",
    );
    let s = Server::start(&[&format!("--web.config.file={file}")]);
    for path in ["/nope", "/metrics"] {
        let a = s.get(path);
        assert_eq!(a.header("x-frame-options"), Some("deny"));
        assert_eq!(a.header("strict-transport-security"), Some("max-age=1"));
    }
}

#[test]
fn broken_requests_do_not_stop_the_server() {
    let s = Server::start(&["--web.enable-remote-write-receiver"]);
    for bytes in [
        &b"\x00\x01\x02garbage"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc",
        b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%%%zz?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff",
    ] {
        let mut c = TcpStream::connect(&s.address).expect("connected");
        c.set_read_timeout(Some(Duration::from_millis(300)))
            .expect("a timeout");
        c.write_all(bytes).expect("sent");
        drop(c.read(&mut [0; 512]));
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    let mut c = TcpStream::connect(&s.address).expect("connected");
    drop(c.write_all(long.as_bytes()));
    assert_eq!(s.get("/-/ready").status, 200);
}

#[test]
fn declared_sizes_allocate_nothing() {
    let s = Server::start(&["--web.enable-remote-write-receiver"]);
    let rss = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", s.id())).expect("a process");
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("VmHWM:"))
            .expect("a figure");
        line.split_whitespace()
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .expect("a number")
    };
    let before = rss();
    // Four bytes that declare 4 GiB less one.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    for path in ["/api/v1/write", "/api/v1/read"] {
        for _ in 0..8 {
            let a = s
                .request("POST", path)
                .header("Content-Encoding", "snappy")
                .body(bomb)
                .send();
            assert_eq!(a.status, 400, "{path}: {}", a.text());
        }
    }
    assert!(
        rss() < before + 16 * 1024,
        "{} KiB before, {} KiB after",
        before,
        rss()
    );
}

#[test]
fn slow_clients_are_cut_off() {
    let s = Server::start(&[
        "--web.read-timeout=1s",
        "--web.enable-remote-write-receiver",
    ]);
    for start in [
        &b"GET /-/ready HTTP/1.1\r\nHost: x\r\nX-Slow: "[..],
        b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
    ] {
        let mut c = TcpStream::connect(&s.address).expect("connected");
        c.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        c.write_all(start).expect("sent");
        // An end, with an answer or without; only the patience running out is an error here.
        match c.read_to_end(&mut Vec::new()) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("still open"),
            _ => {}
        }
    }
    assert_eq!(s.get("/-/ready").status, 200);
}

#[test]
fn connections_beyond_the_limit_wait() {
    let s = Server::start(&["--web.max-connections=2"]);
    let held: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect(&s.address).expect("connected"))
        .collect();
    // Connections are accepted in their order: the third one is behind these two.
    let mut third = TcpStream::connect(&s.address).expect("queued by the system");
    third
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    third
        .write_all(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    assert!(
        third.read(&mut [0; 64]).is_err(),
        "answered beyond the limit"
    );
    drop(held);
    third.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let n = third.read(&mut [0; 64]).expect("an answer");
    assert!(n > 0);
}
