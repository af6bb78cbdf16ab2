//! Other people's programs as child processes, and remote read as the common language.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use engine::model::{LabelsSource, WriteBatch};
use engine::wire::inflate::compress_snappy;
use engine::wire::proto::{Reader, Writer};
use engine::wire::remote_write::{Limits, v1};

use crate::support::client::Request;
use crate::support::wait;

/// A child that is killed when dropped.
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether `name` can be run. On the machine that decides (`CI` set) it must be there.
pub(crate) fn installed(name: &str) -> bool {
    let found = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
        println!("skipped: {name} is not installed");
    }
    found
}

pub(crate) fn start(name: &str, args: &[String]) -> Program {
    let child = Command::new(name)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    Program(child)
}

pub(crate) fn free_port() -> u16 {
    let l = TcpListener::bind("127.0.0.1:0").expect("bind");
    l.local_addr().expect("address").port()
}

/// Waits until `path` of the server at `address` answers 200.
pub(crate) fn wait_for(address: &str, path: &str) {
    wait(&format!("200 of {address}{path}"), || {
        std::net::TcpStream::connect(address).is_ok()
            && Request::new(address, "GET", path).send().status == 200
    });
}

pub(crate) fn seconds() -> u64 {
    std::env::var("SEXTANT_E2E_SECONDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(20)
}

/// All samples by labels: time and bits.
pub(crate) type Samples = BTreeMap<String, Vec<(i64, u64)>>;

/// Reads the float samples of metrics whose name matches `name`, in `[from, to]`, by remote read.
pub(crate) fn read(address: &str, name: &str, from: i64, to: i64) -> Samples {
    let mut request = Vec::new();
    Writer::new(&mut request).message(1, |q| {
        q.uint_or_skip(1, from as u64);
        q.uint_or_skip(2, to as u64);
        q.message(3, |m| {
            m.uint_or_skip(1, 2);
            m.string_or_skip(2, "__name__");
            m.string_or_skip(3, name);
        });
    });
    let mut body = Vec::new();
    compress_snappy(&request, &mut body);
    let answer = Request::new(address, "POST", "/api/v1/read")
        .header("Content-Encoding", "snappy")
        .header("Content-Type", "application/x-protobuf")
        .body(body)
        .send();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let raw = snap::raw::Decoder::new()
        .decompress_vec(&answer.body)
        .expect("snappy");
    let mut out = Samples::new();
    let mut r = Reader::new(&raw);
    while let Some((_, v)) = r.field().expect("response") {
        let result = v.bytes(1).expect("result");
        let mut batch = WriteBatch::default();
        let source = v1::decode(result, 0, &Limits::default(), &mut batch).expect("series");
        for s in &batch.series {
            let mut pairs = Vec::new();
            source.collect(s.labels, &mut pairs).expect("labels");
            pairs.sort_unstable();
            let key = pairs.iter().map(|(n, v)| format!("{n}={v:?} ")).collect();
            let points = batch
                .samples_of(s)
                .iter()
                .filter(|p| p.t >= from && p.t <= to);
            let points: Vec<_> = points.map(|p| (p.t, p.v.to_bits())).collect();
            if !points.is_empty() {
                out.insert(key, points);
            }
        }
    }
    out
}

/// Panics at the first difference.
pub(crate) fn assert_same(want: &Samples, got: &Samples, what: &str) {
    for (l, points) in want {
        let g = got
            .get(l)
            .unwrap_or_else(|| panic!("{what}: series missing: {l}"));
        if g != points {
            let at = points.iter().zip(g).position(|(a, b)| a != b);
            panic!(
                "{what}: {l}: {} samples, {} here, first difference at {at:?}",
                points.len(),
                g.len()
            );
        }
    }
    for l in got.keys() {
        assert!(want.contains_key(l), "{what}: unknown series {l}");
    }
}
