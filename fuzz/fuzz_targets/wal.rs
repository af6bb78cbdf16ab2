//! A log with damaged segments: replay never panics, never hands out a record twice, and looking
//! at it without opening it agrees that it can be read.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use engine::io::sim::SimFs;
use engine::io::{Fs, Rng};
use engine::wal::{Position, Wal, WalOptions, inspect};
use libfuzzer_sys::fuzz_target;
use sextant_fuzz::damaged;

const DIR: &str = "/wal";

fn open(fs: &SimFs, visit: &mut dyn FnMut(Position)) -> Option<Wal> {
    let opts = WalOptions {
        commit_thread: false,
        segment_bytes: 1024,
        ..WalOptions::default()
    };
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let at = Position(0);
    let opened = Wal::open(fs, Path::new(DIR), at, opts, &mut Rng::new(1), &mut |r| {
        visit(r.end);
    });
    opened.ok().map(|(wal, _)| wal)
}

static SOUND: LazyLock<SimFs> = LazyLock::new(|| {
    let fs = SimFs::new();
    let wal = open(&fs, &mut |_| {}).expect("a new log");
    for n in 0..60u8 {
        let payload = vec![n; usize::from(n) * 3];
        let end = wal.append(&[(n % 9, 0, &payload), (1, 2, b"x")]).expect("room");
        wal.wait_durable(end).expect("a sound disk");
    }
    fs.kill()
});

fuzz_target!(|data: &[u8]| {
    // Two damages, split in the middle.
    let (a, b) = data.split_at(data.len() / 2);
    let Some((fs, _)) = damaged(&SOUND, a) else {
        return;
    };
    let fs = damaged(&fs, b).map_or(fs, |(fs, _)| fs);
    drop(inspect(&fs, Path::new(DIR), Position(0)));
    let mut last = Position(0);
    let Some(wal) = open(&fs, &mut |end| {
        assert!(end > last, "a record twice or out of order");
        last = end;
    }) else {
        return;
    };
    let end = wal.append(&[(3, 0, b"after")]).expect("a log that opens takes records");
    wal.wait_durable(end).expect("a sound disk");
    drop(wal);
    let mut found = false;
    open(&fs.kill(), &mut |e| found |= e == end).expect("opens again");
    assert!(found, "what was written after a repair is lost");
});
