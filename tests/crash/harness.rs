//! A server on a directory that outlives it, writers of numbered things, and the comparison with
//! what comes back.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::client::Connection;
use crate::support::{Server, process};
use crate::{lines, samples};

/// Series, or streams, of a writer.
pub(crate) const SERIES: u64 = 20;
/// Writers of each kind.
pub(crate) const WRITERS: u64 = 2;

fn command(dir: &Path) -> Command {
    let config = dir.with_extension("yml");
    // Writers drift apart by more than half a block; the slower ones are out of order then.
    let text = "storage: {tsdb: {out_of_order_time_window: 10h}}\n";
    std::fs::write(&config, text).expect("configuration");
    let mut c = process::binary();
    c.arg("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.display()))
        .arg("--web.listen-address=127.0.0.1:0")
        .arg("--web.enable-remote-write-receiver")
        .arg("--storage.tsdb.retention.time=100y")
        .arg("--storage.tsdb.min-block-duration=30m");
    c
}

/// Starts a server on `dir` and waits until it is ready.
pub(crate) fn start(dir: &Path) -> Server {
    let server = Server::run(command(dir));
    server.wait_ready();
    server
}

/// Starts a server on `dir` and kills it after a moment, ready or not.
pub(crate) fn start_and_kill(dir: &Path, after: Duration) {
    let child = command(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.expect("the server starts");
    std::thread::sleep(after);
    child.kill().expect("killed");
    child.wait().expect("ended");
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Samples,
    Lines,
}

/// One sender and what it knows, outside the process under test.
pub(crate) struct Writer {
    pub(crate) kind: Kind,
    number: u64,
    pub(crate) progress: Arc<Progress>,
}

/// What one writer knows.
#[derive(Default)]
pub(crate) struct Progress {
    /// First number that may not have been sent.
    pub(crate) sent: AtomicU64,
    /// First number that was not acknowledged.
    pub(crate) acked: AtomicU64,
    /// Answers 429 and 503.
    pub(crate) refused: AtomicU64,
}

/// All writers.
pub(crate) fn writers() -> Vec<Writer> {
    let kinds = [Kind::Samples, Kind::Lines];
    let all = kinds.into_iter().flat_map(|kind| {
        (0..WRITERS).map(move |number| Writer {
            kind,
            number,
            progress: Arc::default(),
        })
    });
    all.collect()
}

impl Writer {
    /// First number that was not acknowledged.
    pub(crate) fn acked(&self) -> u64 {
        self.progress.acked.load(Ordering::Relaxed)
    }

    /// Writes until `stop` or until the server is gone.
    pub(crate) fn spawn(&self, address: &str, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
        let (address, stop) = (address.to_owned(), Arc::clone(stop));
        let (kind, number, p) = (self.kind, self.number, Arc::clone(&self.progress));
        std::thread::spawn(move || match kind {
            Kind::Samples => samples::write(&address, number, &p, &stop),
            Kind::Lines => lines::write(&address, number, &p, &stop),
        })
    }

    /// Checks what the writer wrote from number `from` on; gives how many acknowledged numbers were
    /// compared.
    pub(crate) fn verify(&self, address: &str, from: u64) -> u64 {
        let acked = self.acked();
        let to = self.progress.sent.load(Ordering::Relaxed);
        let back = match self.kind {
            Kind::Samples => samples::read_back(address, self.number, from, to),
            Kind::Lines => lines::read_back(address, self.number, from, to),
        };
        // Writers may have gone on while we read.
        let sent = self.progress.sent.load(Ordering::Relaxed);
        let mut compared = 0;
        for (series, got) in back.into_iter().enumerate() {
            let what = format!("{:?}, writer {}, series {series}", self.kind, self.number);
            assert!(
                got.windows(2).all(|w| w[0] < w[1]),
                "{what}: duplicate or out of order"
            );
            let known = got.iter().take_while(|n| **n < acked).count() as u64;
            let lost = acked.saturating_sub(from) - known;
            assert_eq!(
                lost, 0,
                "{what}: {lost} acknowledged lost of {from}..{acked}"
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
}

/// Has lines written to parts again and again, as a full memory would.
pub(crate) fn spawn_flushes(
    address: &str,
    every: Duration,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<()> {
    let (address, stop) = (address.to_owned(), Arc::clone(stop));
    std::thread::spawn(move || {
        let Ok(mut c) = Connection::open(&address) else {
            return;
        };
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(every);
            if c.call("POST", "/flush", &[], &[]).is_err() {
                return;
            }
        }
    })
}
