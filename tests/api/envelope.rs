//! Envelope, methods, CORS, compression.

use std::io::Read as _;

use crate::support::Server;

#[test]
fn errors_have_type_text_and_no_newline() {
    let s = Server::start(&[]);
    let a = s.get("/api/v1/series");
    let want = (
        400,
        "bad_data".into(),
        "no match[] parameter provided".into(),
    );
    assert_eq!(a.error(), want);
    assert_eq!(a.header("content-type"), Some("application/json"));
    assert!(!a.text().ends_with('\n'));
}

#[test]
fn wrong_methods_and_unknown_paths_are_plain_text() {
    let s = Server::start(&[]);
    for path in ["/nope", "/api/v1/nope", "/api/v1/"] {
        let a = s.get(path);
        assert_eq!(
            (a.status, a.text().as_str()),
            (404, "404 page not found\n"),
            "{path}"
        );
        assert!(
            a.header("content-type")
                .is_some_and(|c| c.starts_with("text/plain"))
        );
    }
    for (method, path) in [
        ("POST", "/api/v1/status/buildinfo"),
        ("POST", "/api/v1/label/job/values"),
        ("DELETE", "/api/v1/query"),
        ("GET", "/api/v1/write"),
        ("GET", "/api/v1/read"),
        ("GET", "/api/v1/admin/tsdb/snapshot"),
    ] {
        let a = s.request(method, path).send();
        assert_eq!(a.status, 405, "{method} {path}");
        assert!(a.header("allow").is_some(), "{method} {path}");
        assert!(
            a.header("content-type")
                .is_some_and(|c| c.starts_with("text/plain"))
        );
    }
}

#[test]
fn forms_are_read_before_the_url() {
    let s = Server::start(&[]);
    let a = s
        .request("POST", "/api/v1/query?query=2")
        .form(&[("query", "1")])
        .send();
    assert_eq!(a.data()["result"][1], "1");
    let a = s
        .request("POST", "/api/v1/query?time=7")
        .form(&[("query", "time()")])
        .send();
    assert_eq!(a.data()["result"], serde_json::json!([7, "7"]));
}

#[test]
fn cors_headers_follow_the_origin() {
    let s = Server::start(&["--web.cors.origin=https?://(a|b)\\.example"]);
    let a = s.get("/api/v1/labels");
    assert!(a.all("vary").contains("Origin"));
    assert_eq!(a.header("access-control-allow-origin"), None);
    let ask = |origin: &str, method: &str| {
        s.request(method, "/api/v1/labels")
            .header("Origin", origin)
            .send()
    };
    let a = ask("http://a.example", "GET");
    assert_eq!(
        a.header("access-control-allow-origin"),
        Some("http://a.example")
    );
    assert_eq!(
        a.header("access-control-allow-methods"),
        Some("GET, POST, OPTIONS")
    );
    assert_eq!(
        a.header("access-control-allow-headers"),
        Some("Accept, Authorization, Content-Type, Origin")
    );
    assert_eq!(a.header("access-control-expose-headers"), Some("Date"));
    assert_eq!(
        ask("http://xa.example", "GET").header("access-control-allow-origin"),
        None
    );
    let a = ask("http://b.example", "OPTIONS");
    assert_eq!((a.status, a.body.len()), (204, 0));
    assert_eq!(
        a.header("access-control-allow-origin"),
        Some("http://b.example")
    );
}

#[test]
fn answers_are_compressed_as_asked() {
    let s = Server::start(&[]);
    let path = "/api/v1/status/flags";
    let plain = s.get(path);
    assert_eq!(plain.header("content-encoding"), None);
    assert!(plain.all("vary").contains("Accept-Encoding"));
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("deflate, gzip", "deflate"),
        ("br, gzip;q=0.5", "gzip"),
        ("zstd", "zstd"),
    ] {
        let a = s
            .request("GET", path)
            .header("Accept-Encoding", accept)
            .send();
        assert_eq!(a.header("content-encoding"), Some(coding), "{accept}");
        assert!(a.all("vary").contains("Accept-Encoding"));
        let mut text = String::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&a.body[..]).read_to_string(&mut text),
            "deflate" => flate2::read::ZlibDecoder::new(&a.body[..]).read_to_string(&mut text),
            _ => zstd::stream::read::Decoder::new(&a.body[..])
                .expect("zstd")
                .read_to_string(&mut text),
        }
        .expect("a complete body");
        assert_eq!(text, plain.text(), "{accept}");
    }
}

#[test]
fn routes_have_the_prefix_of_the_external_url() {
    let s = Server::start_unready(&["--web.external-url=http://x.example/prom/"]);
    s.wait_for("/prom/-/ready", 200);
    assert_eq!(s.get("/prom/api/v1/labels").status, 200);
    assert_eq!(s.get("/api/v1/labels").status, 404);
    let a = s
        .request("GET", "/prom/api/v1/labels")
        .header("Origin", "http://o")
        .send();
    assert_eq!(a.header("access-control-allow-origin"), Some("http://o"));
}

#[test]
fn forms_beyond_the_limit_are_refused() {
    let s = Server::start(&[]);
    let body = format!("query={}", "a".repeat(11 << 20));
    let a = s
        .request("POST", "/api/v1/query")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
        .send();
    assert_eq!(a.status, 413);
    let long = "a".repeat(70_000);
    let a = s
        .request("POST", "/api/v1/query")
        .form(&[("query", &long)])
        .send();
    let (status, kind, text) = a.error();
    assert_eq!((status, kind.as_str()), (400, "bad_data"));
    assert!(
        text.contains("70000 bytes") && text.contains("65536"),
        "{text}"
    );
}
