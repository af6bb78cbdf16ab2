//! Takes HTTP requests of notifiers and answers them; what came is kept.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::{until, wait};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    /// Path with parameters.
    pub(crate) path: String,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// Names in small letters, and values.
    headers: Vec<(String, String)>,
}

impl Came {
    /// The value of a header that came once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let first = found.next()?;
        assert!(found.next().is_none(), "{name} came twice");
        Some(&first.1)
    }

    /// The body as JSON; nothing when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A server that answers `ok` to everything.
pub(crate) struct Hook {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    came: Arc<Mutex<Vec<Came>>>,
    /// Connections that are open, and whether any was ever.
    open: Arc<AtomicUsize>,
}

impl Hook {
    /// Listens on a port of its own.
    pub(crate) fn new() -> Self {
        Self::slow(Duration::ZERO)
    }

    /// One whose answers take a while after a request has come.
    pub(crate) fn slow(answer: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let came = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::new(AtomicUsize::new(0));
        let (kept, counted) = (came.clone(), open.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, counted) = (kept.clone(), counted.clone());
                counted.fetch_add(1, Relaxed);
                std::thread::spawn(move || {
                    serve(stream, &kept, answer);
                    counted.fetch_sub(1, Relaxed);
                });
            }
        });
        Self {
            address,
            came,
            open,
        }
    }

    /// Requests that nobody has taken.
    pub(crate) fn count(&self) -> usize {
        self.came.lock().expect("what came").len()
    }

    /// All requests that nobody has taken, in order.
    pub(crate) fn all(&self) -> Vec<Came> {
        self.came.lock().expect("what came").clone()
    }

    /// Waits until nobody is connected: then all that was sent has come.
    pub(crate) fn settle(&self) {
        // Connections are taken in order: once this one was, all before it were.
        let mut last = TcpStream::connect(&self.address).expect("a connection");
        last.shutdown(Shutdown::Write).expect("its end");
        drop(last.read(&mut [0]));
        wait("the end of connections", || self.open.load(Relaxed) == 0);
    }

    /// The next request, once it has come.
    pub(crate) fn next(&self) -> Came {
        until("a request", || {
            let mut came = self.came.lock().expect("what came");
            (!came.is_empty()).then(|| came.remove(0))
        })
    }

    /// The body of the next request.
    pub(crate) fn take(&self) -> Value {
        self.next().json()
    }
}

fn serve(stream: TcpStream, came: &Mutex<Vec<Came>>, answer: Duration) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut path) = (0, String::new());
        let mut line = String::new();
        let mut headers = Vec::new();
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(n) if n > 0 => {}
                _ => return,
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            } else if let Some((name, value)) = line.split_once(':') {
                let (name, value) = (name.to_ascii_lowercase(), value.trim());
                if name == "content-length" {
                    length = value.parse().unwrap_or(0);
                }
                headers.push((name, value.to_owned()));
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        came.lock().expect("what came").push(Came {
            path,
            body,
            headers,
        });
        std::thread::sleep(answer);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if reader.get_mut().write_all(answer).is_err() {
            return;
        }
    }
}
