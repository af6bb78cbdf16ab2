//! A log store with parts of several kinds, a manifest and a log, one file of it damaged: checking
//! it, opening it, reading it, rewriting it and writing to it never panics.
#![no_main]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use engine::io::ManualClock;
use engine::io::sim::SimFs;
use engine::logs::{
    Db, DbOptions, Deletion, LineTest, Needs, PushBatch, Retention, Retentions, ScanOptions,
};
use engine::model::{Labels, Matcher, TenantId};
use engine::wal::WalOptions;
use libfuzzer_sys::fuzz_target;
use sextant_fuzz::damaged;

const DIR: &str = "/db";
const T: TenantId = TenantId(0);
const START_NS: i64 = 1_700_000_000_000_000_000;

fn open(fs: &SimFs) -> std::io::Result<Db> {
    let opts = DbOptions {
        fs: Arc::new(fs.clone()),
        clock: Arc::new(ManualClock::new(START_NS / 1_000_000)),
        background: false,
        ..DbOptions::default()
    };
    let wal = WalOptions {
        commit_thread: false,
        ..WalOptions::default()
    };
    Db::open(Path::new(DIR), opts, wal)
}

fn push(db: &Db, from: i64) {
    let mut b = PushBatch::new();
    for i in from..from + 24 {
        b.stream(Labels::from_pairs([("app", format!("a{}", i % 3))]));
        let metadata = match i % 4 {
            0 => Labels::from_pairs([("id", format!("m{}", i % 2))]),
            _ => Labels::empty(),
        };
        let line = match i % 5 {
            0 => format!("level=info n={i} dur={}ms addr=10.0.0.{}", i * 37, i % 9).into_bytes(),
            1 => format!("{{\"n\": {i}, \"msg\": \"some text {i:08}\"}}").into_bytes(),
            2 => b"always the same".to_vec(),
            3 => vec![0xff, i as u8, 0, b'\n'],
            _ => Vec::new(),
        };
        b.entry(START_NS + i * 1_000_000_007, &line, &metadata);
    }
    if let Ok(end) = db.push(T, b) {
        drop(db.wait_durable(end));
    }
}

/// A store as a killed process leaves it, with a file of every kind.
static SOUND: LazyLock<SimFs> = LazyLock::new(|| {
    let fs = SimFs::new();
    let db = open(&fs).expect("a new store");
    for round in 0..3 {
        push(&db, round * 20);
        db.flush().expect("flushed");
    }
    push(&db, 100);
    let copy = fs.kill();
    for kind in [".sxl", "MANIFEST", "/wal/"] {
        let found = copy.files().iter().any(|f| f.0.to_string_lossy().contains(kind));
        assert!(found, "no file of kind {kind}");
    }
    copy
});

fuzz_target!(|data: &[u8]| {
    let Some((fs, _)) = damaged(&SOUND, data) else {
        return;
    };
    let Ok(db) = open(&fs) else {
        return;
    };
    drop(db.verify());
    let test = LineTest {
        needs: Needs::Substring(b"level=".to_vec()),
        exact: true,
        matches: Arc::new(|l| l.windows(6).any(|w| w == b"level=")),
    };
    for test in [None, Some(test.clone())] {
        let sel = db.select(T, &[], i64::MIN, i64::MAX);
        let options = ScanOptions {
            test,
            metadata: true,
            ..ScanOptions::default()
        };
        let _unreadable = sel.scan(&options, &mut |b| {
            for i in 0..b.len() {
                assert_eq!(b.line(i).len(), b.line_len(i));
                assert!((b.streams[i] as usize) < sel.len());
            }
            ControlFlow::Continue(())
        });
    }
    push(&db, 200);
    db.set_deletions(
        T,
        vec![Deletion {
            matchers: vec![Matcher::equal("app", "a1")],
            from: i64::MIN,
            to: i64::MAX,
            test: Some(test),
            is_final: true,
        }],
    );
    drop(db.flush());
    drop(db.purge(T));
    db.set_retention(Retentions {
        default: Retention::of(1),
        ..Retentions::default()
    });
    drop(db.maintain());
    drop(db.close());
});
