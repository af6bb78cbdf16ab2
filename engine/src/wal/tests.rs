use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::io::sim::{Fault, SimFs};
use crate::io::{Fs, Rng};

fn opts() -> WalOptions {
    WalOptions {
        commit_thread: false,
        segment_bytes: 4096,
        ..WalOptions::default()
    }
}

fn open(fs: &SimFs, from: Position) -> (Wal, ReplayReport, Vec<(u8, Vec<u8>)>) {
    let mut got = Vec::new();
    let (wal, report) = Wal::open(
        Arc::new(fs.clone()) as Arc<dyn Fs>,
        Path::new("/d/wal"),
        from,
        opts(),
        &mut Rng::new(fs.ops() + 7),
        &mut |r| got.push((r.kind, r.payload.to_vec())),
    )
    .expect("open");
    (wal, report, got)
}

fn record(i: u64) -> Vec<u8> {
    let mut v = i.to_le_bytes().to_vec();
    v.resize(8 + (i as usize * 37) % 700, i as u8 | 1);
    v
}

#[test]
fn records_come_back_in_order_across_segments() {
    let fs = SimFs::new();
    let (wal, ..) = open(&fs, Position(0));
    for i in 0..100 {
        let p = wal.append(&[(1, 0, &record(i))]).expect("append");
        wal.wait_durable(p).expect("durable");
    }
    drop(wal);
    let (_, report, got) = open(&fs, Position(0));
    assert_eq!(got, (0..100).map(|i| (1, record(i))).collect::<Vec<_>>());
    assert_eq!(report.damage, []);
    assert_eq!(report.torn_bytes, 0);
}

#[test]
fn truncation_drops_whole_segments_only() {
    let fs = SimFs::new();
    let (wal, ..) = open(&fs, Position(0));
    let mut ends = Vec::new();
    for i in 0..60 {
        ends.push(wal.append(&[(1, 0, &record(i))]).expect("append"));
    }
    wal.wait_durable(ends[59]).expect("durable");
    wal.truncate(ends[40]).expect("truncate");
    drop(wal);
    let (_, report, got) = open(&fs, ends[40]);
    assert_eq!(got, (41..60).map(|i| (1, record(i))).collect::<Vec<_>>());
    assert_eq!(report.damage, []);
}

#[test]
fn append_after_failed_sync_is_refused() {
    let fs = SimFs::new();
    let (wal, ..) = open(&fs, Position(0));
    let p = wal.append(&[(1, 0, &record(1))]).expect("append");
    wal.wait_durable(p).expect("durable");
    let p = wal.append(&[(1, 0, &record(2))]).expect("append");
    fs.fail_at(fs.ops() + 1, Fault::Io); // write, then the sync
    assert!(matches!(wal.wait_durable(p), Err(WalError::Poisoned(_))));
    assert!(matches!(
        wal.append(&[(1, 0, &record(3))]),
        Err(WalError::Poisoned(_))
    ));
}

#[test]
fn full_disk_refuses_and_recovers_by_itself() {
    let fs = SimFs::new();
    fs.set_capacity(Some(9000));
    let (wal, ..) = open(&fs, Position(0));
    let mut stored = Vec::new();
    for i in 0..200 {
        match wal.append(&[(1, 0, &record(i))]) {
            Ok(p) => {
                wal.wait_durable(p).expect("durable");
                stored.push(i);
            }
            Err(WalError::NoSpace { .. }) => break,
            Err(e) => panic!("{e}"),
        }
    }
    assert!(stored.len() < 200);
    fs.set_capacity(None);
    let p = wal.append(&[(1, 0, &record(999))]).expect("space again");
    wal.wait_durable(p).expect("durable");
    stored.push(999);
    drop(wal);
    let (_, _, got) = open(&fs, Position(0));
    assert_eq!(
        got,
        stored.iter().map(|i| (1, record(*i))).collect::<Vec<_>>()
    );
}

/// Power cuts at every call of a scripted life, each with several surviving disks.
#[test]
fn power_cut_anywhere_loses_nothing_acknowledged() {
    let life = |fs: &SimFs| -> u64 {
        let mut acked = 0;
        let mut n = 0;
        for round in 0..3u64 {
            let opened = Wal::open(
                Arc::new(fs.clone()) as Arc<dyn Fs>,
                Path::new("/d/wal"),
                Position(0),
                opts(),
                &mut Rng::new(round),
                &mut |_| {},
            );
            let Ok((wal, _)) = opened else { return acked };
            for i in 0..14 {
                let Ok(p) = wal.append(&[(1, 0, &record(n))]) else {
                    return acked;
                };
                n += 1;
                if i % 3 == 0 {
                    if wal.wait_durable(p).is_err() {
                        return acked;
                    }
                    acked = n;
                }
            }
        }
        acked
    };
    let whole = SimFs::new();
    life(&whole);
    let calls = whole.ops();
    let mut states = 0;
    for cut in 0..calls {
        let fs = SimFs::new();
        fs.fail_at(cut, Fault::PowerCut);
        let acked = life(&fs);
        for seed in 0..6 {
            states += 1;
            let after = fs.crash(cut * 31 + seed);
            let (wal, report, got) = open(&after, Position(0));
            assert!(
                report.damage.is_empty(),
                "cut {cut} seed {seed}: {:?}",
                report.damage
            );
            let want: Vec<_> = (0..got.len() as u64).map(|i| (1, record(i))).collect();
            assert_eq!(got, want, "cut {cut} seed {seed}: not a prefix");
            assert!(
                got.len() as u64 >= acked,
                "cut {cut} seed {seed}: lost acknowledged records"
            );
            // A second life after the crash keeps everything too.
            let p = wal
                .append(&[(1, 0, &record(got.len() as u64))])
                .expect("append");
            wal.wait_durable(p).expect("durable");
            drop(wal);
            let (_, report, again) = open(&after, Position(0));
            assert!(
                report.damage.is_empty(),
                "cut {cut} seed {seed}: {:?}",
                report.damage
            );
            assert_eq!(again.len(), got.len() + 1, "cut {cut} seed {seed}");
        }
    }
    assert!(states > 500, "only {states} crash states");
}

/// Every byte of a closed log flipped, and every truncation: damage is seen, the rest is served.
#[test]
fn flips_and_truncations_are_detected() {
    let fs = SimFs::new();
    let (wal, ..) = open(&fs, Position(0));
    for i in 0..30 {
        let p = wal.append(&[(1, 0, &record(i))]).expect("append");
        wal.wait_durable(p).expect("durable");
    }
    let closed_at = wal.close();
    drop(wal);
    let all: Vec<_> = (0..30).map(|i| (1, record(i))).collect();
    for (path, bytes) in fs.files() {
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        for at in 0..used {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            check(&fs, &path, bad, &all, closed_at, &format!("flip at {at}"));
        }
        for len in 0..used {
            check(
                &fs,
                &path,
                bytes[..len].to_vec(),
                &all,
                closed_at,
                &format!("cut to {len}"),
            );
        }
    }
}

fn check(
    fs: &SimFs,
    path: &Path,
    bytes: Vec<u8>,
    all: &[(u8, Vec<u8>)],
    known_durable: Position,
    what: &str,
) {
    let copy = fs.kill();
    copy.tamper(path, bytes);
    let mut got = Vec::new();
    let opened = Wal::open(
        Arc::new(copy.clone()) as Arc<dyn Fs>,
        Path::new("/d/wal"),
        Position(0),
        WalOptions {
            known_durable,
            ..opts()
        },
        &mut Rng::new(1),
        &mut |r| got.push((r.kind, r.payload.to_vec())),
    );
    let what = format!("{} {what}", path.display());
    let report = match opened {
        Ok((_, report)) => report,
        Err(WalError::Version { .. }) => return,
        Err(e) => panic!("{what}: {e}"),
    };
    let mut rest = all.iter();
    for g in &got {
        assert!(rest.any(|a| a == g), "{what}: invented or reordered record");
    }
    if got.len() != all.len() {
        let seen = !report.damage.is_empty() || report.torn_bytes > 0;
        assert!(
            seen,
            "{what}: {} records lost silently",
            all.len() - got.len()
        );
    }
}

/// Scrapes have no client that waits; their records were once written only when one came along.
#[test]
fn records_without_a_waiter_become_durable_by_themselves() {
    let fs = SimFs::new();
    let (wal, _) = Wal::open(
        Arc::new(fs.clone()) as Arc<dyn Fs>,
        Path::new("/d/wal"),
        Position(0),
        WalOptions {
            commit_thread: true,
            ..opts()
        },
        &mut Rng::new(1),
        &mut |_| {},
    )
    .expect("open");
    // The commit thread goes to sleep first.
    std::thread::sleep(std::time::Duration::from_millis(50));
    wal.append(&[(1, 0, &record(7))]).expect("append");
    let found = (0..6000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (_, _, got) = open(&fs.crash(3), Position(0));
        got == [(1, record(7))]
    });
    assert!(found, "not durable after two minutes");
}
