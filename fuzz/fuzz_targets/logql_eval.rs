//! A query on the first line, log lines after it: no query makes the evaluation over the real store
//! panic, an answer holds no more than was asked for, and it is the same from memory and from
//! parts.
#![no_main]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::io::sim::SimFs;
use engine::logs::{Db, DbOptions, Direction, PushBatch, ScanStats};
use engine::model::{Labels, TenantId};
use engine::wal::WalOptions;
use libfuzzer_sys::fuzz_target;
use query::logql::ast::Expr;
use query::logql::eval::{Control, Grid, Limits, LogQuery, run_log, run_metric};
use query::logql::parse;
use query::logql::source::TenantLogs;
use query::logql::stages::Surroundings;

const SECOND: i64 = 1_000_000_000;
const LIMIT: usize = 20;

fn store(lines: &[&[u8]]) -> Option<Db> {
    let opts = DbOptions {
        fs: Arc::new(SimFs::new()),
        background: false,
        ..DbOptions::default()
    };
    let wal = WalOptions {
        commit_thread: false,
        ..WalOptions::default()
    };
    let db = Db::open(Path::new("/s"), opts, wal).ok()?;
    let mut batch = PushBatch::new();
    for (i, line) in lines.iter().enumerate() {
        let app = ["a", "b"][i % 2];
        batch.stream(Labels::from_pairs([("app", app), ("level", "info")]));
        let metadata = match i % 3 {
            0 => Labels::from_pairs([("id", "7"), ("level", "warn")]),
            _ => Labels::empty(),
        };
        batch.entry((i as i64 + 1) * SECOND, line, &metadata);
    }
    db.push(TenantId::DEFAULT, batch).ok()?;
    Some(db)
}

/// The answer as a text, errors included.
fn answer(db: &Db, expr: &Expr) -> String {
    let source = TenantLogs {
        db,
        tenant: TenantId::DEFAULT,
    };
    let (cancel, stats) = (AtomicBool::new(false), ScanStats::default());
    // A bound on work that does not depend on the machine.
    let asked = AtomicU64::new(0);
    let expired = || asked.fetch_add(1, Ordering::Relaxed) > 2000;
    let control = Control {
        limits: Limits {
            samples_max: 100_000,
            bytes_max: 1 << 20,
            approx_topk: true,
            ..Limits::default()
        },
        around: Surroundings::default(),
        cancel: &cancel,
        expired: &expired,
        stats: &stats,
    };
    match expr {
        Expr::Log(e) => {
            let query = LogQuery {
                start: 0,
                end: 1000 * SECOND,
                limit: LIMIT,
                direction: Direction::Backward,
                interval: 0,
                categorize: true,
            };
            let answer = run_log(&source, e, &query, &control);
            if let Ok(streams) = &answer {
                assert!(streams.iter().map(|s| s.entries.len()).sum::<usize>() <= LIMIT);
            }
            format!("{answer:?}")
        }
        Expr::Metric(e) => {
            let grid = Grid::range(SECOND, 40 * SECOND, 13 * SECOND);
            let range = run_metric(&source, e, grid, false, &control);
            let instant = run_metric(&source, e, Grid::instant(20 * SECOND), true, &control);
            format!("{range:?} {instant:?}")
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|b| *b == b'\n');
    let Some(Ok(Ok(expr))) = parts.next().map(|t| std::str::from_utf8(t).map(parse)) else {
        return;
    };
    let lines: Vec<&[u8]> = parts.take(60).collect();
    let Some(db) = store(&lines) else { return };
    let memory = answer(&db, &expr);
    if db.flush().is_ok() {
        assert_eq!(answer(&db, &expr), memory);
    }
});
