//! HTTP/1.1 by hand: nothing is added to a request and nothing hidden of an answer.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// A request in the making.
pub(crate) struct Request {
    address: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer as received.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// Headers in order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Body, chunks joined.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// `method target` at `address`.
    pub(crate) fn new(address: &str, method: &str, target: &str) -> Self {
        Self {
            address: address.to_owned(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a form as the body.
    pub(crate) fn form(self, pairs: &[(&str, &str)]) -> Self {
        let body = query(pairs);
        self.header("Content-Type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// As it goes out.
    fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n",
            self.method,
            self.target,
            self.address,
            self.body.len()
        );
        for (n, v) in &self.headers {
            head.push_str(&format!("{n}: {v}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// Sends it on a connection of its own and reads the answer to its end.
    pub(crate) fn send(self) -> Answer {
        let mut stream = TcpStream::connect(&self.address).expect("a listening server");
        stream
            .set_read_timeout(Some(super::PATIENCE))
            .expect("a timeout");
        let request = self.header("Connection", "close");
        // A server may answer and close before it has read a body it refuses.
        drop(stream.write_all(&request.bytes()));
        let mut bytes = Vec::new();
        let mut piece = [0; 65536];
        loop {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
            }
        }
        parse(&bytes)
    }
}

/// A connection that is kept from request to request. Errors are the caller's: the server may be
/// killed at any moment.
pub(crate) struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(super::PATIENCE))?;
        Ok(Self {
            address: address.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    /// One call: status and body. Answers have to tell their length.
    pub(crate) fn call(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<(u16, Vec<u8>)> {
        let request = Request::new(&self.address, method, target).body(body);
        let request = headers.iter().fold(request, |r, (n, v)| r.header(n, v));
        self.stream.get_mut().write_all(&request.bytes())?;
        let bad = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(bad)?;
        let mut length = 0usize;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(bad());
            }
            let l = line.trim_end().to_ascii_lowercase();
            if l.is_empty() {
                break;
            }
            if let Some(n) = l.strip_prefix("content-length:") {
                length = n.trim().parse().map_err(|_| bad())?;
            }
        }
        let mut out = vec![0; length];
        self.stream.read_exact(&mut out)?;
        Ok((status, out))
    }
}

/// Pairs as a query string.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let escaped = |t: &str| {
        t.bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    char::from(b).to_string()
                }
                b => format!("%{b:02X}"),
            })
            .collect::<String>()
    };
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(n, v)| format!("{}={}", escaped(n), escaped(v)))
        .collect();
    pairs.join("&")
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|l| l.split(' ').nth(1))
        .and_then(|s| s.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(n, v)| n == "transfer-encoding" && v == "chunked");
    let rest = &bytes[end + 4..];
    Answer {
        status: status.expect("a status line"),
        headers,
        body: if chunked {
            join_chunks(rest)
        } else {
            rest.to_vec()
        },
    }
}

fn join_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(i) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&rest[..i]).trim(), 16);
        let Ok(size) = size else { break };
        if size == 0 || rest.len() < i + 2 + size {
            break;
        }
        out.extend_from_slice(&rest[i + 2..i + 2 + size]);
        rest = &rest[(i + 4 + size).min(rest.len())..];
    }
    out
}

impl Answer {
    /// First value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// All values of a header, joined.
    pub(crate) fn all(&self, name: &str) -> String {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .collect();
        values.join(", ")
    }

    /// Body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {} {:?}", self.status, self.text()))
    }

    /// `data` of the envelope of a successful answer.
    pub(crate) fn data(&self) -> serde_json::Value {
        let json = self.json();
        assert_eq!(json["status"], "success", "{json}");
        assert_eq!(self.status, 200);
        json["data"].clone()
    }

    /// Status, `errorType` and `error` of the envelope.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let json = self.json();
        assert_eq!(json["status"], "error", "{json}");
        let word = |k: &str| json[k].as_str().unwrap_or_default().to_owned();
        (self.status, word("errorType"), word("error"))
    }
}
