//! Numbered samples by remote write, and the comparison with what remote read gives back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::model::{Labels, Sample, WriteBatch};
use engine::wire::inflate::compress_snappy;
use engine::wire::proto::{Reader, Writer};
use engine::wire::remote_write::{Limits, OutSeries, v1};

use crate::harness::{Progress, SERIES};
use crate::support::client::Connection;

/// Time of sample 0.
const BASE_MS: i64 = 1_700_000_000_000;
/// Time between two samples of a series.
const STEP_MS: i64 = 1000;
/// Headers of both protocols.
const HEADERS: [(&str, &str); 2] = [
    ("Content-Encoding", "snappy"),
    ("Content-Type", "application/x-protobuf"),
];

fn labels(writer: u64, series: u64) -> Labels {
    Labels::from_pairs([
        ("__name__".to_owned(), format!("crash_{}", series % 4)),
        ("writer".to_owned(), writer.to_string()),
        ("series".to_owned(), series.to_string()),
    ])
}

/// Sends numbered samples until told to stop or until the server is gone. What was not
/// acknowledged is sent again, as real senders do.
pub(crate) fn write(address: &str, writer: u64, p: &Progress, stop: &AtomicBool) {
    let sets: Vec<Labels> = (0..SERIES).map(|s| labels(writer, s)).collect();
    let Ok(mut c) = Connection::open(address) else {
        return;
    };
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
        match c.call("POST", "/api/v1/write", &HEADERS, &body) {
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

/// Reads all samples of a writer from number `from` on: per series the numbers in order of time.
/// Looks well past `to`, for what nobody sent.
pub(crate) fn read_back(address: &str, writer: u64, from: u64, to: u64) -> Vec<Vec<u64>> {
    let mut out = vec![Vec::new(); SERIES as usize];
    let mut start = from;
    while start <= to {
        let last = start + WINDOW > to;
        let end_ms = if last {
            1_900_000_000_000
        } else {
            BASE_MS as u64 + (start + WINDOW) * STEP_MS as u64 - 1
        };
        for (all, part) in out
            .iter_mut()
            .zip(read_window(address, writer, start, end_ms))
        {
            all.extend(part);
        }
        start += WINDOW;
    }
    out
}

fn read_window(address: &str, writer: u64, from: u64, end_ms: u64) -> Vec<Vec<u64>> {
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
    let mut c = Connection::open(address).expect("connect");
    let done = c.call("POST", "/api/v1/read", &HEADERS, &body);
    let (status, answer) = done.expect("read");
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
