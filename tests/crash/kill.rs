//! `kill -9` at random times, one start in five during recovery. Block ranges are short, so that
//! cuts, merges and checkpoints happen all the time.
//!
//! `SEXTANT_KILLS` sets the number of kills (default 15).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::io::Rng;

use crate::harness::{Progress, SERIES, Server, WRITERS, free_port, temp_dir, verify, write};

#[test]
fn kill_nine_loses_nothing_acknowledged() {
    let kills: u64 = std::env::var("SEXTANT_KILLS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(15);
    let dir = temp_dir("crash");
    let data = dir.join("data");
    let mut rng = Rng::new(0x5eed);
    let progress: Vec<Arc<Progress>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let (mut early, mut compared, mut slowest) = (0, 0, Duration::ZERO);
    for kill in 0..kills {
        let port = free_port();
        let mut server = Server::start(&data, port);
        if rng.chance(1, 5) {
            std::thread::sleep(Duration::from_millis(rng.below(60)));
            server.kill();
            early += 1;
            server = Server::start(&data, port);
        }
        slowest = slowest.max(server.ready());
        // Everything on every tenth start, the recent past otherwise.
        let all = kill % 10 == 9 || kill + 1 == kills;
        for (w, p) in progress.iter().enumerate() {
            let from = if all {
                0
            } else {
                p.acked.load(Ordering::Relaxed).saturating_sub(400)
            };
            compared += verify(port, w as u64, p, from);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = progress
            .iter()
            .enumerate()
            .map(|(w, p)| {
                let (p, stop) = (Arc::clone(p), Arc::clone(&stop));
                std::thread::spawn(move || write(port, w as u64, &p, &stop))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(5 + rng.below(2000)));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for w in writers {
            w.join().expect("writer");
        }
    }
    let port = free_port();
    let mut server = Server::start(&data, port);
    server.ready();
    for (w, p) in progress.iter().enumerate() {
        compared += verify(port, w as u64, p, 0);
    }
    server.kill();
    let acked: u64 = progress
        .iter()
        .map(|p| p.acked.load(Ordering::Relaxed) * SERIES)
        .sum();
    println!(
        "{} kills ({early} during start), {acked} samples acknowledged, {compared} comparisons: \
         0 lost, 0 invented, 0 duplicated; slowest start {} ms",
        kills + early,
        slowest.as_millis()
    );
    assert!(acked > 0, "nothing was ever acknowledged");
    std::fs::remove_dir_all(&dir).expect("clean up");
}
