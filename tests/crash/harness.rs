//! A server process, writers of numbered samples, and the comparison with what comes back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::model::{Labels, Sample, WriteBatch};
use engine::wire::inflate::compress_snappy;
use engine::wire::proto::{Reader, Writer};
use engine::wire::remote_write::{Limits, OutSeries, v1};

/// Series per writer.
pub(crate) const SERIES: u64 = 20;
pub(crate) const WRITERS: u64 = 3;
/// Time of sample 0.
const BASE_MS: i64 = 1_700_000_000_000;
/// Time between two samples of a series.
const STEP_MS: i64 = 1000;

pub(crate) struct Server {
    pub(crate) child: Child,
    port: u16,
}

impl Server {
    pub(crate) fn start(dir: &Path, port: u16) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(dir.with_extension("log"))
            .expect("log file");
        let config = dir.with_extension("yml");
        // Writers drift apart by more than half a block; the slower ones are out of order then.
        let text = "storage: {tsdb: {out_of_order_time_window: 10h}}\n";
        std::fs::write(&config, text).expect("configuration");
        let child = Command::new(env!("CARGO_BIN_EXE_sextant"))
            .arg("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-remote-write-receiver")
            .arg("--storage.tsdb.retention.time=100y")
            .arg("--storage.tsdb.min-block-duration=30m")
            .stdout(Stdio::from(log.try_clone().expect("log")))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the server starts");
        Self { child, port }
    }

    /// Waits until the server is ready. Panics when it ends instead.
    pub(crate) fn ready(&mut self) -> Duration {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                panic!("the server ended during start: {status}");
            }
            if let Ok(mut c) = TcpStream::connect(("127.0.0.1", self.port))
                && let Ok((200, _)) = call(&mut c, "GET", "/-/ready", &[])
            {
                return started.elapsed();
            }
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "not ready in 120 s"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    /// A failed test must not leave a process behind.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One HTTP/1.1 call on a kept connection.
pub(crate) fn call(
    c: &mut TcpStream,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<(u16, Vec<u8>)> {
    c.set_read_timeout(Some(Duration::from_secs(120)))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nContent-Encoding: snappy\r\n\
         Content-Type: application/x-protobuf\r\n\r\n",
        body.len()
    );
    c.write_all(&[head.as_bytes(), body].concat())?;
    let mut r = BufReader::new(c);
    let mut line = String::new();
    r.read_line(&mut line)?;
    let bad = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .ok_or_else(bad)?;
    let mut length = 0usize;
    loop {
        line.clear();
        if r.read_line(&mut line)? == 0 {
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
    r.read_exact(&mut out)?;
    Ok((status, out))
}

fn labels(writer: u64, series: u64) -> Labels {
    Labels::from_pairs([
        ("__name__".to_owned(), format!("crash_{}", series % 4)),
        ("writer".to_owned(), writer.to_string()),
        ("series".to_owned(), series.to_string()),
    ])
}

/// What one writer knows.
#[derive(Default)]
pub(crate) struct Progress {
    /// First number that may not have been sent.
    pub(crate) sent: AtomicU64,
    /// First number that was not acknowledged.
    pub(crate) acked: AtomicU64,
    /// Answers 503.
    pub(crate) refused: AtomicU64,
}

/// Sends numbered samples until told to stop or until the server is gone. What was not
/// acknowledged is sent again, as real senders do.
pub(crate) fn write(port: u16, writer: u64, p: &Progress, stop: &AtomicBool) {
    let sets: Vec<Labels> = (0..SERIES).map(|s| labels(writer, s)).collect();
    let Ok(mut c) = TcpStream::connect(("127.0.0.1", port)) else {
        return;
    };
    if c.set_nodelay(true).is_err() {
        return;
    }
    let (mut raw, mut body) = (Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let n = p.acked.load(Ordering::Relaxed);
        p.sent.fetch_max(n + 1, Ordering::Relaxed);
        let samples = [Sample {
            t: BASE_MS + n as i64 * STEP_MS,
            v: n as f64,
        }];
        raw.clear();
        let series = sets.iter().map(|l| OutSeries::floats(l, &samples));
        v1::encode(series, std::iter::empty(), &mut raw);
        body.clear();
        compress_snappy(&raw, &mut body);
        match call(&mut c, "POST", "/api/v1/write", &body) {
            Ok((204, _)) => p.acked.store(n + 1, Ordering::Relaxed),
            Ok((503, _)) => {
                p.refused.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok((status, text)) => {
                panic!(
                    "writer {writer} sample {n}: {status} {}",
                    String::from_utf8_lossy(&text)
                )
            }
            Err(_) => return,
        }
    }
}

/// Numbers read in one answer: decoders have limits.
const WINDOW: u64 = 20_000;

/// Reads all samples of a writer from number `from` on: per series a sorted list of numbers.
/// Looks well past `to`, for what nobody sent.
fn read_back(port: u16, writer: u64, from: u64, to: u64) -> Vec<Vec<u64>> {
    let mut out = vec![Vec::new(); SERIES as usize];
    let mut start = from;
    while start <= to {
        let last = start + WINDOW > to;
        let end_ms = if last {
            1_900_000_000_000
        } else {
            BASE_MS as u64 + (start + WINDOW) * STEP_MS as u64 - 1
        };
        for (all, part) in out.iter_mut().zip(read_window(port, writer, start, end_ms)) {
            all.extend(part);
        }
        start += WINDOW;
    }
    out
}

fn read_window(port: u16, writer: u64, from: u64, end_ms: u64) -> Vec<Vec<u64>> {
    let mut request = Vec::new();
    Writer::new(&mut request).message(1, |q| {
        q.uint_or_skip(1, (BASE_MS + from as i64 * STEP_MS) as u64);
        q.uint_or_skip(2, end_ms);
        q.message(3, |m| {
            m.string_or_skip(2, "writer");
            m.string_or_skip(3, &writer.to_string());
        });
    });
    let mut body = Vec::new();
    compress_snappy(&request, &mut body);
    let mut c = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let (status, answer) = call(&mut c, "POST", "/api/v1/read", &body).expect("read");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    let raw = snap::raw::Decoder::new()
        .decompress_vec(&answer)
        .expect("snappy");
    let mut out = vec![Vec::new(); SERIES as usize];
    let mut r = Reader::new(&raw);
    while let Some((_, v)) = r.field().expect("response") {
        let result = v.bytes(1).expect("result");
        let mut batch = WriteBatch::default();
        let limits = Limits::default();
        let source = v1::decode(result, 0, &limits, &mut batch).expect("series");
        for s in &batch.series {
            let mut pairs = Vec::new();
            engine::model::LabelsSource::collect(&source, s.labels, &mut pairs).expect("labels");
            let id: usize = pairs
                .iter()
                .find(|p| p.0 == "series")
                .and_then(|p| p.1.parse().ok())
                .expect("series label");
            for p in batch.samples_of(s) {
                let n = (p.t - BASE_MS) / STEP_MS;
                assert_eq!((p.t - BASE_MS) % STEP_MS, 0, "invented time {}", p.t);
                assert_eq!(
                    p.v, n as f64,
                    "writer {writer} series {id}: wrong value at {n}"
                );
                out[id].push(n as u64);
            }
        }
    }
    out
}

/// Checks one writer's samples from `from` on; gives how many acknowledged ones were compared.
pub(crate) fn verify(port: u16, writer: u64, p: &Progress, from: u64) -> u64 {
    let acked = p.acked.load(Ordering::Relaxed);
    let to = p.sent.load(Ordering::Relaxed);
    let back = read_back(port, writer, from, to);
    // Writers may have gone on while we read.
    let sent = p.sent.load(Ordering::Relaxed);
    let mut compared = 0;
    for (series, got) in back.into_iter().enumerate() {
        let what = format!("writer {writer} series {series}");
        assert!(
            got.windows(2).all(|w| w[0] < w[1]),
            "{what}: duplicate or out of order"
        );
        let known = got.iter().take_while(|n| **n < acked).count() as u64;
        let lost = acked.saturating_sub(from) - known;
        assert_eq!(
            lost, 0,
            "{what}: {lost} acknowledged samples lost of {from}..{acked}"
        );
        assert!(
            got.last().is_none_or(|n| *n < sent),
            "{what}: invented {:?}",
            got.last()
        );
        compared += known;
    }
    compared
}

pub(crate) fn free_port() -> u16 {
    let l = TcpListener::bind("127.0.0.1:0").expect("bind");
    l.local_addr().expect("address").port()
}

pub(crate) fn temp_dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("sextant-{name}-{}", std::process::id()));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).expect("old directory");
    }
    std::fs::create_dir_all(&dir).expect("directory");
    dir
}
