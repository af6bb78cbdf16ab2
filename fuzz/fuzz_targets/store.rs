//! A store with blocks, sidecars, a checkpoint, a manifest and a log, one file of it damaged:
//! checking it, opening it, reading it and writing to it never panics.
#![no_main]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use engine::io::ManualClock;
use engine::io::sim::SimFs;
use engine::metrics::{AppendMode, AppendOptions, Db, DbOptions};
use engine::model::{
    BatchExtra, CounterResetHint, Counts, Exemplar, Histogram, HistogramPoint, Labels, Matcher,
    MetricMetadata, MetricType, SeriesKey, Span, TenantId, WriteBatch,
};
use engine::wal::WalOptions;
use libfuzzer_sys::fuzz_target;
use sextant_fuzz::damaged;

const DIR: &str = "/db";
const T: TenantId = TenantId(0);
const START_MS: i64 = 1_700_000_000_000;

fn options(fs: &SimFs) -> DbOptions {
    let plain = DbOptions::without_threads(Arc::new(fs.clone()));
    DbOptions {
        clock: Arc::new(ManualClock::new(START_MS)),
        wal: WalOptions {
            segment_bytes: 8192,
            ..plain.wal
        },
        block_range_ms: 60_000,
        retention_ms: 0,
        out_of_order_ms: 30_000,
        checkpoint_bytes: 4096,
        ..plain
    }
}

fn labels(i: i64) -> Labels {
    Labels::from_pairs([
        ("__name__".to_owned(), format!("m{}", i % 3)),
        ("i".to_owned(), i.to_string()),
    ])
}

fn histogram(count: u64) -> Histogram {
    Histogram {
        hint: CounterResetHint::Unknown,
        schema: 1,
        zero_threshold: 0.001,
        sum: count as f64 / 3.0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: Counts::Integer {
            count,
            zero: 0,
            positive: vec![count as i64, 0],
            negative: Vec::new(),
        },
    }
}

fn append(db: &Db, step: i64) {
    let t = START_MS + step * 2000;
    let mut batch = WriteBatch::default();
    let sets: Vec<Labels> = (0..12).map(labels).collect();
    for (i, l) in sets.iter().enumerate() {
        let key = SeriesKey::of_labels(db.key_secret(), l);
        let i = i as i64;
        if i == 5 {
            let extra = BatchExtra {
                histograms: vec![HistogramPoint {
                    t,
                    start_t: START_MS,
                    h: histogram(step as u64),
                }],
                exemplars: vec![Exemplar {
                    labels: Labels::from_pairs([("trace_id", "x")]),
                    value: 1.0,
                    t,
                }],
                metadata: Some(MetricMetadata {
                    kind: MetricType::Histogram,
                    help: "h".into(),
                    unit: String::new(),
                }),
                ..BatchExtra::default()
            };
            batch.push_series(key, i as u64, batch.samples.len(), Some(extra));
        } else {
            let late = if i == 7 && step % 5 == 0 { 9000 } else { 0 };
            batch.push_sample(key, i as u64, t - late, (step * i) as f64 / 10.0);
        }
    }
    let opts = AppendOptions::new(AppendMode::Partial, t);
    if let Ok(out) = db.append(T, &batch, &sets, &opts) {
        drop(db.wait_durable(out.position));
    }
}

/// A store as a killed process leaves it, with a file of every kind.
static SOUND: LazyLock<SimFs> = LazyLock::new(|| {
    let fs = SimFs::new();
    let db = Db::open(Path::new(DIR), options(&fs)).expect("a new store");
    for step in 0..70 {
        append(&db, step);
    }
    db.maintain().expect("maintained");
    db.flush().expect("flushed");
    db.delete_series(T, &[Matcher::equal("i", "3")], START_MS, START_MS + 20_000)
        .expect("deleted");
    for step in 70..90 {
        append(&db, step);
    }
    db.maintain().expect("maintained");
    append(&db, 90);
    let copy = fs.kill();
    for kind in [".sxb", ".tomb", ".ckp", "MANIFEST", "/wal/"] {
        let found = copy.files().iter().any(|f| f.0.to_string_lossy().contains(kind));
        assert!(found, "no file of kind {kind}");
    }
    copy
});

fuzz_target!(|data: &[u8]| {
    let Some((fs, _)) = damaged(&SOUND, data) else {
        return;
    };
    drop(engine::verify::verify(&fs, Path::new(DIR), &mut |_| {}));
    let Ok(db) = Db::open(Path::new(DIR), options(&fs)) else {
        return;
    };
    drop(db.verify());
    drop(db.label_names(T, &[], i64::MIN, i64::MAX));
    if let Ok(sel) = db.select(T, &[], i64::MIN, i64::MAX) {
        let _unreadable = sel.scan(0..sel.len(), &mut |i, c| {
            assert_eq!(c.ts.len(), c.values.len());
            assert!(!sel.labels(i).to_string().is_empty());
            ControlFlow::Continue(())
        });
    }
    append(&db, 100);
    drop(db.flush());
    drop(db.maintain());
    drop(db.close());
});
