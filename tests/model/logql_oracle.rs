//! LogQL over the real log store against the oracle: random queries over random lines give the
//! same answers, whether the lines are in memory, in parts, or in both.
//!
//! `SEXTANT_LOG_QUERIES` changes the number of queries, `SEXTANT_SEED` where they begin. A
//! difference names its seed; `SEXTANT_SEED=<that> SEXTANT_LOG_QUERIES=1` repeats it alone.

#![allow(missing_docs, clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "../support/logql_oracle/mod.rs"]
mod logql_oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::io::sim::SimFs;
use engine::logs::{Db, DbOptions, Direction, PushBatch, ScanStats};
use engine::model::{Labels, TenantId};
use engine::wal::WalOptions;
use query::logql::ast::{Expr, LogExpr, MetricExpr, VectorOp};
use query::logql::eval::{
    Control, Grid, Limits, LogQuery, MetricAnswer, QueryError, run_log, run_metric,
};
use query::logql::parse;
use query::logql::source::TenantLogs;
use query::logql::stages::Surroundings;

use logql_oracle::coverage::{Coverage, cover_log, cover_metric, required};
use logql_oracle::data::{FIRST, SECOND, SPAN, entries};
use logql_oracle::generate::{Generator, Rng};
use logql_oracle::{DETAILS, Data, Fail, Oracle, Passed, Pushed, Rows, Steps};

/// Sums are rounded in the order in which they are taken.
const TOLERANCE: f64 = 1e-9;

const T: TenantId = TenantId::DEFAULT;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

/// Lines in both forms.
struct World {
    number: u64,
    data: Data,
    db: Db,
    /// Where the entries are.
    place: &'static str,
}

fn empty_store() -> Db {
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

fn store(db: &Db, batch: &[Pushed]) {
    let mut b = PushBatch::new();
    for e in batch {
        b.stream(e.stream.clone());
        assert!(b.entry(e.time, &e.line, &e.metadata));
    }
    let end = db.push(T, b).unwrap();
    db.wait_durable(end).unwrap();
}

impl World {
    /// The data changes more slowly than the queries: it is costly to make.
    fn number_of(seed: u64) -> u64 {
        seed / 48 + 1
    }

    fn new(number: u64) -> Self {
        let mut rng = Rng::new(number);
        let pushed = entries(&mut rng);
        let db = empty_store();
        let mut data = Data::default();
        // Written to parts never, at random moments, or at the end.
        let habit = rng.below(4);
        let (mut from, mut flushed, mut in_memory) = (0, false, false);
        while from < pushed.len() {
            let to = (from + 1 + rng.below(60)).min(pushed.len());
            store(&db, &pushed[from..to]);
            in_memory = true;
            if habit > 1 && rng.chance(30) {
                db.flush().unwrap();
                (flushed, in_memory) = (true, false);
            }
            if habit > 1 && rng.chance(10) {
                db.maintain().unwrap();
            }
            from = to;
        }
        if habit == 1 {
            db.flush().unwrap();
            (flushed, in_memory) = (true, false);
        }
        for e in pushed {
            data.add(e);
        }
        data.sort();
        Self {
            number,
            data,
            db,
            place: match (flushed, in_memory) {
                (true, true) => "answer from both",
                (true, false) => "answer from parts",
                _ => "answer from memory",
            },
        }
    }
}

#[derive(Default)]
struct Tally {
    agreed: u64,
    refused_both: u64,
    failed_both: u64,
    open: u64,
    empty: u64,
    entries: u64,
    points: u64,
    differences: Vec<String>,
    coverage: Coverage,
}

impl Tally {
    fn cover(&mut self, what: &str) {
        *self.coverage.entry(what.to_owned()).or_default() += 1;
    }

    fn differ(&mut self, place: &str, why: impl std::fmt::Display) {
        self.differences.push(format!("{place}{why}"));
    }
}

fn with_control<R>(f: impl FnOnce(&Control<'_>) -> R) -> R {
    let (cancel, stats) = (AtomicBool::new(false), ScanStats::default());
    f(&Control {
        limits: Limits {
            series_max: 0,
            approx_topk: true,
            ..Limits::default()
        },
        around: Surroundings::default(),
        cancel: &cancel,
        expired: &|| false,
        stats: &stats,
    })
}

fn set_of(l: &Labels) -> BTreeMap<String, String> {
    l.iter()
        .map(|(n, v)| {
            let v = if n == DETAILS { "..." } else { v };
            (n.to_owned(), v.to_owned())
        })
        .collect()
}

// ---- log queries ----

fn log_query(rng: &mut Rng) -> LogQuery {
    let at = |rng: &mut Rng| FIRST + rng.below(SPAN as usize) as i64 * SECOND;
    let (a, b) = if rng.chance(60) {
        (FIRST - SECOND, FIRST + (SPAN + 10) * SECOND)
    } else {
        (at(rng), at(rng) + rng.below(3) as i64)
    };
    LogQuery {
        start: a.min(b),
        end: a.max(b),
        limit: [1, 5, 30, 100, 5000][rng.below(5)],
        direction: if rng.chance(50) {
            Direction::Forward
        } else {
            Direction::Backward
        },
        interval: if rng.chance(15) { 30 * SECOND } else { 0 },
        categorize: rng.chance(30),
    }
}

/// Checks an answer against everything that passes.
fn check_log(q: &LogQuery, answer: &[Passed], all: &[Passed]) -> Result<(), String> {
    let forward = q.direction == Direction::Forward;
    let rank = |t: i64| if forward { t } else { -t };
    let mut times: Vec<i64> = all.iter().map(|p| rank(p.time)).collect();
    times.sort_unstable();
    if q.interval > 0 {
        let mut last: Option<i64> = None;
        times.retain(|t| {
            let taken = last.is_none_or(|l| *t >= l + q.interval);
            if taken {
                last = Some(*t);
            }
            taken
        });
    }
    times.truncate(q.limit);
    let mut got: Vec<i64> = answer.iter().map(|p| rank(p.time)).collect();
    got.sort_unstable();
    if got != times {
        return Err(format!(
            "times differ: engine {} entries, oracle {}: first different {:?}",
            got.len(),
            times.len(),
            got.iter().zip(&times).find(|(a, b)| a != b)
        ));
    }
    // Every entry is one of those that pass, and none is there more often than it passes.
    let mut left: BTreeMap<&Passed, usize> = BTreeMap::new();
    for p in all {
        *left.entry(p).or_default() += 1;
    }
    for p in answer {
        match left.get_mut(p) {
            Some(n) if *n > 0 => *n -= 1,
            _ => {
                let near: Vec<&Passed> = all.iter().filter(|o| o.time == p.time).collect();
                return Err(format!("engine has {p:?}\n  oracle at this time {near:?}"));
            }
        }
    }
    Ok(())
}

fn compare_log(world: &World, expr: &LogExpr, q: &LogQuery, place: &str, tally: &mut Tally) {
    let source = TenantLogs {
        db: &world.db,
        tenant: T,
    };
    let oracle = Oracle::new(&world.data);
    let mut all = oracle.log(expr, q.start, q.end);
    let streams = match with_control(|c| run_log(&source, expr, q, c)) {
        Ok(s) => s,
        Err(e) => return tally.differ(place, format!("engine fails: {e}")),
    };
    if !q.categorize {
        for p in &mut all {
            let merged = p
                .labels
                .iter()
                .flatten()
                .map(|(n, v)| (n.clone(), v.clone()));
            p.labels = [merged.collect(), BTreeMap::new(), BTreeMap::new()];
        }
    }
    let mut answer = Vec::new();
    for s in &streams {
        let rank = |t: i64| match q.direction {
            Direction::Forward => t,
            Direction::Backward => -t,
        };
        if s.entries
            .windows(2)
            .any(|w| rank(w[0].time) > rank(w[1].time))
        {
            return tally.differ(place, format!("{} is out of order", s.labels));
        }
        for e in &s.entries {
            answer.push(Passed {
                time: e.time,
                line: e.line.to_string(),
                labels: [set_of(&s.labels), set_of(&e.metadata), set_of(&e.parsed)],
            });
        }
    }
    let distinct: BTreeSet<&Labels> = streams.iter().map(|s| &s.labels).collect();
    if distinct.len() != streams.len() || !streams.is_sorted_by(|a, b| a.labels <= b.labels) {
        return tally.differ(place, "streams repeat or are out of order");
    }
    match check_log(q, &answer, &all) {
        Err(_) if oracle.is_open() => tally.open += 1,
        Err(why) => tally.differ(place, why),
        Ok(()) => {
            tally.agreed += 1;
            tally.entries += answer.len() as u64;
            if answer.is_empty() {
                tally.empty += 1;
                return;
            }
            cover_log(&mut tally.coverage, expr);
            tally.cover(match q.direction {
                Direction::Forward => "forward",
                Direction::Backward => "backward",
            });
            tally.cover(world.place);
            if q.interval > 0 {
                tally.cover("interval");
            } else if all.len() > answer.len() {
                tally.cover("limit cuts");
            }
            if q.categorize {
                tally.cover("categorized");
            }
        }
    }
}

// ---- metric queries ----

fn close(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1e-3)
}

fn rows_of(answer: &MetricAnswer, steps: Steps) -> Rows {
    let step_of = |ms: i64| {
        let k = (0..steps.count).find(|k| {
            let at = steps.start + *k as i64 * steps.step;
            at.div_euclid(1_000_000) == ms
        });
        k.unwrap_or(u64::MAX)
    };
    let mut out = Rows::new();
    match answer {
        MetricAnswer::Scalar(t, v) => {
            out.insert((BTreeMap::new(), step_of(*t)), *v);
        }
        MetricAnswer::Vector(v) => {
            for (l, (t, v)) in v {
                out.insert((set_of(l), step_of(*t)), *v);
            }
        }
        MetricAnswer::Matrix(m) => {
            for (l, points) in m {
                for (t, v) in points {
                    out.insert((set_of(l), step_of(*t)), *v);
                }
            }
        }
    }
    out
}

fn first_difference(engine: &Rows, oracle: &Rows) -> Option<String> {
    for (key, v) in engine {
        let other = oracle.get(key);
        if !other.is_some_and(|o| close(*v, *o)) {
            return Some(format!("{key:?}: engine {v}, oracle {other:?}"));
        }
    }
    let extra = oracle.iter().find(|(k, _)| !engine.contains_key(*k))?;
    Some(format!("{:?}: engine nothing, oracle {}", extra.0, extra.1))
}

fn compare_metric(
    world: &World,
    expr: &MetricExpr,
    steps: Steps,
    instant: bool,
    place: &str,
    tally: &mut Tally,
) {
    let source = TenantLogs {
        db: &world.db,
        tenant: T,
    };
    let grid = Grid {
        start: steps.start,
        step: steps.step,
        steps: steps.count,
    };
    let answer = with_control(|c| run_metric(&source, expr, grid, instant, c));
    let oracle = Oracle::new(&world.data);
    let expected = oracle.metric(expr, steps);
    match (answer, expected) {
        (Ok(a), Ok((rows, order))) => {
            let got = rows_of(&a, steps);
            let sorted = matches!(expr, MetricExpr::Vector(v)
                if matches!(v.op, VectorOp::Sort | VectorOp::SortDesc));
            let difference = first_difference(&got, &rows).or_else(|| match &a {
                MetricAnswer::Vector(v) if sorted => {
                    let same = v
                        .iter()
                        .map(|e| e.1.1)
                        .zip(&order)
                        .all(|(a, b)| close(a, *b));
                    (!same).then(|| format!("sorted {v:?}, oracle {order:?}"))
                }
                _ => None,
            });
            match difference {
                Some(_) if oracle.is_open() => tally.open += 1,
                Some(d) => tally.differ(place, d),
                None => {
                    tally.agreed += 1;
                    tally.points += got.len() as u64;
                    if got.is_empty() {
                        tally.empty += 1;
                        return;
                    }
                    cover_metric(&mut tally.coverage, expr);
                    tally.cover(if instant { "instant" } else { "steps" });
                    tally.cover(world.place);
                }
            }
        }
        (Err(QueryError::Pipeline(_)), Err(Fail("pipeline error")))
        | (Err(QueryError::Matching(_)), Err(Fail("matching"))) => tally.failed_both += 1,
        // Of two reasons either may come first.
        (Err(QueryError::Pipeline(_) | QueryError::Matching(_)), Err(_)) => tally.failed_both += 1,
        _ if oracle.is_open() => tally.open += 1,
        (Err(e), Ok(_)) => tally.differ(place, format!("engine fails: {e}")),
        (Err(e), Err(f)) => tally.differ(place, format!("engine fails: {e}, oracle: {f:?}")),
        (Ok(a), Err(f)) => tally.differ(place, format!("engine {a:?}, oracle fails: {f:?}")),
    }
}

/// One query of a seed.
fn run(seed: u64, world: &World, tally: &mut Tally) {
    let mut rng = Rng::new(seed);
    let is_log = rng.chance(40);
    let depth = rng.below(3);
    let text = if is_log {
        Generator { rng: &mut rng }.log_query()
    } else {
        Generator { rng: &mut rng }.metric_query(depth)
    };
    let query = log_query(&mut rng);
    let instant = rng.chance(40);
    let odd = if rng.chance(30) {
        rng.below(SECOND as usize) as i64
    } else {
        0
    };
    let steps = Steps {
        start: FIRST + (100 + rng.below(SPAN as usize)) as i64 * SECOND + odd,
        step: [7 * SECOND, 60 * SECOND, 500 * SECOND, SECOND / 2][rng.below(4)],
        count: if instant { 1 } else { 1 + rng.below(9) as u64 },
    };
    let place = format!("seed {seed} ({}): {text}\n  ", world.place);
    compare(world, &text, &query, steps, instant, &place, tally);
}

fn compare(
    world: &World,
    text: &str,
    query: &LogQuery,
    steps: Steps,
    instant: bool,
    place: &str,
    tally: &mut Tally,
) {
    match parse(text) {
        Ok(Expr::Log(e)) => {
            let place = format!("{place}{query:?}\n  ");
            compare_log(world, &e, query, &place, tally);
        }
        Ok(Expr::Metric(e)) => {
            let place = format!("{place}{steps:?}, instant {instant}\n  ");
            compare_metric(world, &e, steps, instant, &place, tally);
        }
        // What the grammar does not allow is refused before anything runs.
        Err(e) if e.to_string().contains("literal") => tally.refused_both += 1,
        Err(e) => tally.differ(place, format!("does not parse: {e}")),
    }
}

#[test]
fn random_queries_have_the_answers_of_the_oracle() {
    let first = number("SEXTANT_SEED", 1);
    let count = number("SEXTANT_LOG_QUERIES", 6_000);
    let mut tally = Tally::default();
    let mut world = World::new(World::number_of(first));
    for seed in first..first + count {
        if World::number_of(seed) != world.number {
            world = World::new(World::number_of(seed));
        }
        run(seed, &world, &mut tally);
    }
    let missing: Vec<String> = required()
        .into_iter()
        .filter(|r| !tally.coverage.contains_key(r))
        .collect();
    println!(
        "{count} queries, {} differences: {} agree ({} entries, {} points, {} empty), {} fail on both sides, {} refused, {} with more than one right answer; {} parts of the language covered",
        tally.differences.len(),
        tally.agreed,
        tally.entries,
        tally.points,
        tally.empty,
        tally.failed_both,
        tally.refused_both,
        tally.open,
        tally.coverage.len(),
    );
    for d in tally
        .differences
        .iter()
        .take(number("SEXTANT_SHOW", 20) as usize)
    {
        println!("{d}");
    }
    assert!(
        tally.differences.is_empty(),
        "{} differences",
        tally.differences.len()
    );
    if count >= 3_000 {
        assert!(
            missing.is_empty(),
            "never in a query with an answer: {missing:?}"
        );
        assert!(
            tally.open * 10 < count,
            "{} queries decide nothing",
            tally.open
        );
    }
}
