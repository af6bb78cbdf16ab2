//! Hot paths of the log side over 100,000 lines of stack traces and nested JSON in a file system
//! in memory: a push, writing a part, filters, and counting.

#![allow(missing_docs, clippy::unwrap_used)]

mod log_lines;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::io::sim::SimFs;
use engine::logs::{Db, DbOptions, Direction, PushBatch, ScanStats};
use engine::model::{Labels, TenantId};
use engine::wal::WalOptions;
use log_lines::Lines;
use query::logql::ast::Expr;
use query::logql::eval::{Control, Grid, Limits, LogQuery, run_log, run_metric};
use query::logql::parse;
use query::logql::source::TenantLogs;
use query::logql::stages::Surroundings;

const LINES: usize = 100_000;
const STREAMS: usize = 20;
/// Distance of lines, ns.
const APART: i64 = 10_000_000;
const T: TenantId = TenantId::DEFAULT;

fn empty() -> Db {
    let opts = DbOptions {
        fs: Arc::new(SimFs::new()),
        background: false,
        ..DbOptions::default()
    };
    let wal = WalOptions {
        commit_thread: false,
        ..WalOptions::default()
    };
    Db::open(Path::new("/s"), opts, wal).unwrap()
}

/// `count` lines from number `from` on, a stream after the other.
fn batch(lines: &[String], from: usize, count: usize) -> PushBatch {
    let mut b = PushBatch::new();
    for stream in 0..STREAMS {
        let name = format!("app-{stream}");
        b.stream(Labels::from_pairs([
            ("app", name.as_str()),
            ("job", "bench"),
        ]));
        for i in (from..from + count).filter(|i| i % STREAMS == stream) {
            let line = lines[i].as_bytes();
            assert!(b.entry(i as i64 * APART, line, &Labels::empty()));
        }
    }
    b
}

fn push(db: &Db, b: PushBatch) {
    let end = db.push(T, b).unwrap();
    db.wait_durable(end).unwrap();
}

fn bytes(lines: &[String]) -> u64 {
    lines.iter().map(|l| l.len() as u64).sum()
}

fn ingest(c: &mut Criterion, lines: &[String]) {
    let mut g = c.benchmark_group("logs");
    g.sample_size(10);
    let some = 10_000;
    g.throughput(Throughput::Bytes(bytes(&lines[..some])));
    g.bench_function("push_10k", |b| {
        b.iter_batched(
            || (empty(), batch(lines, 0, some)),
            |(db, batch)| {
                push(&db, batch);
                db
            },
            BatchSize::PerIteration,
        );
    });
    g.throughput(Throughput::Bytes(bytes(lines)));
    g.bench_function("flush_100k", |b| {
        b.iter_batched(
            || {
                let db = empty();
                push(&db, batch(lines, 0, LINES));
                db
            },
            |db| {
                db.flush().unwrap();
                db
            },
            BatchSize::PerIteration,
        );
    });
    g.finish();
}

fn queries(c: &mut Criterion, lines: &[String]) {
    let db = empty();
    push(&db, batch(lines, 0, LINES));
    db.flush().unwrap();
    let source = TenantLogs { db: &db, tenant: T };
    let mut g = c.benchmark_group("logql");
    g.sample_size(10);
    g.throughput(Throughput::Bytes(bytes(lines)));
    let end = LINES as i64 * APART;
    for (name, text) in [
        ("newest", "{job=\"bench\"}"),
        (
            "substring_rare",
            "{job=\"bench\"} |= \"OutOfMemoryError\" |= \"worker-17\"",
        ),
        (
            "substring_count",
            "sum(count_over_time({job=\"bench\"} |= \"RejectedExecution\" [1d]))",
        ),
        (
            "regex_count",
            "sum(count_over_time({job=\"bench\"} |~ \"(?i)socket(timeout|reset)exception\" [1d]))",
        ),
        (
            "json_filter",
            "sum(count_over_time({job=\"bench\"} | json | http_status=500 | __error__=\"\" [1d]))",
        ),
        ("sum_by_rate", "sum by (app) (rate({job=\"bench\"}[5m]))"),
        (
            "sum_by_parsed",
            "sum by (level) (count_over_time({job=\"bench\"} | json level=\"level\" [5m]))",
        ),
    ] {
        let expr = parse(text).unwrap();
        g.bench_function(name, |b| {
            b.iter(|| {
                let (cancel, stats) = (AtomicBool::new(false), ScanStats::default());
                let control = Control {
                    limits: Limits::default(),
                    around: Surroundings::default(),
                    cancel: &cancel,
                    expired: &|| false,
                    stats: &stats,
                };
                match &expr {
                    Expr::Log(l) => {
                        let query = LogQuery {
                            start: 0,
                            end,
                            limit: 1000,
                            direction: Direction::Backward,
                            interval: 0,
                            categorize: false,
                        };
                        black_box(run_log(&source, l, &query, &control).unwrap().len())
                    }
                    Expr::Metric(m) => {
                        let grid = Grid::range(0, end, 60_000_000_000);
                        black_box(run_metric(&source, m, grid, false, &control).unwrap());
                        0
                    }
                }
            });
        });
    }
    g.finish();
}

fn all(c: &mut Criterion) {
    let lines: Vec<String> = Lines::new(1).take(LINES).collect();
    ingest(c, &lines);
    queries(c, &lines);
}

criterion_group!(benches, all);
criterion_main!(benches);
