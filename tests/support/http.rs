//! The server side of HTTP/1.1 for fakes: one request and one answer for each connection.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;

/// A request without a body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    /// Path, unescaped parameters apart.
    pub(crate) path: String,
    /// Parameters; of equal names all are kept.
    pub(crate) parameters: Vec<(String, String)>,
    /// Headers, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Head {
    /// First value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.as_str())
    }
}

/// Reads up to the empty line.
pub(crate) fn read_head(from: &mut impl Read) -> Option<Head> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if from.read(&mut byte).ok()? == 0 || text.len() > 65536 {
            return None;
        }
        text.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?;
    let url = url::Url::parse("http://fake").ok()?.join(target).ok()?;
    Some(Head {
        path: url.path().to_owned(),
        parameters: url.query_pairs().into_owned().collect(),
        headers: lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
            .collect(),
    })
}

/// Writes a whole answer; `more` are lines of the head. The client may be gone.
pub(crate) fn answer(to: &mut impl Write, status: u16, more: &str, body: impl AsRef<[u8]>) {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} Fake\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n",
        body.len()
    );
    drop(to.write_all(&[head.as_bytes(), body].concat()));
    drop(to.flush());
}

/// JSON of status 200.
pub(crate) fn answer_json(to: &mut impl Write, body: &serde_json::Value) {
    answer(
        to,
        200,
        "Content-Type: application/json\r\n",
        body.to_string(),
    );
}

/// Answers every request on a port of its own by `handle` until the process ends; gives its address.
pub(crate) fn serve(
    handle: impl Fn(&Head, &mut std::net::TcpStream) + Send + Sync + Clone + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let handle = handle.clone();
            std::thread::spawn(move || {
                if let Some(head) = read_head(&mut stream) {
                    handle(&head, &mut stream);
                }
            });
        }
    });
    address
}
