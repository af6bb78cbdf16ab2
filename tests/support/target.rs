//! A target to scrape that exposes the same at every scrape.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

/// Serves `body` as Prometheus text on every path until the process ends; gives its address.
pub(crate) fn serve(body: impl Into<Vec<u8>>) -> String {
    serve_as("text/plain; version=0.0.4", body)
}

/// The same with another content type.
pub(crate) fn serve_as(content_type: &'static str, body: impl Into<Vec<u8>>) -> String {
    let body = body.into();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let body = body.clone();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                // The request has no body: its head ends it.
                if !lines.any(|l| l.is_empty()) {
                    return;
                }
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let mut stream = &stream;
                drop(stream.write_all(&[head.as_bytes(), &body].concat()));
            });
        }
    });
    address
}
