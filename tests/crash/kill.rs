//! `kill -9` at random times, one start in five during recovery. Block ranges are short and lines
//! are flushed all the time, so that cuts, parts, merges and checkpoints happen between the kills.
//!
//! `SEXTANT_KILLS` sets the number of kills (default 15).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::io::Rng;

use crate::harness::{Kind, SERIES, spawn_flushes, start, start_and_kill, writers};
use crate::support::TempDir;

#[test]
fn kill_nine_loses_nothing_acknowledged() {
    let kills: u64 = std::env::var("SEXTANT_KILLS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(15);
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let mut rng = Rng::new(0x5eed);
    let writers = writers();
    let (mut early, mut compared, mut slowest) = (0, 0, Duration::ZERO);
    // One start more than kills: the last one only looks.
    for kill in 0..=kills {
        if rng.chance(1, 5) {
            start_and_kill(&data, Duration::from_millis(rng.below(60)));
            early += 1;
        }
        let started = Instant::now();
        let server = start(&data);
        slowest = slowest.max(started.elapsed());
        // Everything on every tenth start, the recent past otherwise.
        let all = kill % 10 == 9 || kill == kills;
        for w in &writers {
            let from = if all {
                0
            } else {
                w.acked().saturating_sub(400)
            };
            compared += w.verify(&server.address, from);
        }
        if kill == kills {
            break;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut busy: Vec<_> = writers
            .iter()
            .map(|w| w.spawn(&server.address, &stop))
            .collect();
        let every = Duration::from_millis(20 + rng.below(500));
        busy.push(spawn_flushes(&server.address, every, &stop));
        std::thread::sleep(Duration::from_millis(5 + rng.below(2000)));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for thread in busy {
            thread.join().expect("a writer");
        }
    }
    let acked = |kind: Kind| -> u64 {
        let of = writers.iter().filter(|w| w.kind == kind);
        of.map(|w| w.acked() * SERIES).sum()
    };
    let (samples, lines) = (acked(Kind::Samples), acked(Kind::Lines));
    println!(
        "{} kills ({early} during start), {samples} samples and {lines} lines acknowledged, \
         {compared} comparisons: 0 lost, 0 invented, 0 duplicated; slowest start {} ms",
        kills + early,
        slowest.as_millis()
    );
    assert!(samples > 0 && lines > 0, "something was never acknowledged");
}
