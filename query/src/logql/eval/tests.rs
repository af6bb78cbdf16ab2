//! Queries over a small store in memory.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use engine::logs::{Direction, EntryBatch, ScanOptions, ScanStats};
use engine::model::{Labels, Matcher};

use super::*;
use crate::logql::ast::Expr;
use crate::logql::source::{LogSource, StreamSet};

/// Streams with their entries, oldest first.
struct Memory(Vec<(Labels, Vec<(i64, Vec<u8>)>)>);

struct Chosen<'m> {
    streams: Vec<&'m (Labels, Vec<(i64, Vec<u8>)>)>,
    from: i64,
    to: i64,
}

impl LogSource for Memory {
    fn select(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<Box<dyn StreamSet + '_>, engine::logs::ReadError> {
        let streams = self.0.iter().filter(|s| Matcher::all_match(matchers, &s.0));
        Ok(Box::new(Chosen {
            streams: streams.collect(),
            from,
            to,
        }))
    }
}

impl StreamSet for Chosen<'_> {
    fn len(&self) -> usize {
        self.streams.len()
    }
    fn labels(&self, i: usize) -> &Labels {
        &self.streams[i].0
    }
    fn scan(
        &self,
        options: &ScanOptions<'_>,
        visit: &mut dyn FnMut(&EntryBatch) -> ControlFlow<()>,
    ) -> Result<(), engine::logs::ReadError> {
        let mut batch = EntryBatch::default();
        for (i, s) in self.streams.iter().enumerate() {
            for (t, line) in &s.1 {
                let wanted = (self.from..self.to).contains(t)
                    && options.test.as_ref().is_none_or(|f| (f.matches)(line));
                if wanted {
                    batch.streams.push(i as u32);
                    batch.times.push(*t);
                    batch.text.extend_from_slice(line);
                    batch.ends.push(batch.text.len() as u32);
                }
            }
        }
        batch.frontier = match options.direction {
            Direction::Forward => i64::MAX,
            Direction::Backward => i64::MIN,
        };
        if !batch.is_empty() {
            // The scan is over in any case.
            let _flow = visit(&batch);
        }
        Ok(())
    }
    fn scan_by(
        &self,
        options: &ScanOptions<'_>,
        visitors: Vec<engine::logs::Visitor<'_>>,
    ) -> Result<(), engine::logs::ReadError> {
        by_one(self, options, visitors)
    }
}

/// Gives everything to the last visitor.
fn by_one(
    set: &dyn StreamSet,
    options: &ScanOptions<'_>,
    mut visitors: Vec<engine::logs::Visitor<'_>>,
) -> Result<(), engine::logs::ReadError> {
    match visitors.pop() {
        Some(mut v) => set.scan(options, &mut |b| v(0, b)),
        None => Ok(()),
    }
}

const S: i64 = 1_000_000_000;

fn store() -> Memory {
    let lines = |app: &str| -> (Labels, Vec<(i64, Vec<u8>)>) {
        let all = (0..60).map(|i| (i * S, format!("app={app} i={i} v={}", i % 7).into_bytes()));
        (
            Labels::from_pairs([("app", app), ("env", "x")]),
            all.collect(),
        )
    };
    Memory(vec![lines("a"), lines("b")])
}

fn with_control<T>(f: impl FnOnce(&Control<'_>) -> T) -> T {
    let (cancel, stats) = (AtomicBool::new(false), ScanStats::default());
    f(&Control {
        limits: Limits::default(),
        around: crate::logql::stages::Surroundings::default(),
        cancel: &cancel,
        expired: &|| false,
        stats: &stats,
    })
}

fn metric(text: &str, grid: Grid, instant: bool) -> Result<String, String> {
    let expr = crate::logql::parse_metric(text).map_err(|e| e.to_string())?;
    let answer = with_control(|c| run_metric(&store(), &expr, grid, instant, c));
    Ok(match answer.map_err(|e| e.to_string())? {
        MetricAnswer::Scalar(t, v) => format!("{v}@{t}"),
        MetricAnswer::Vector(v) => v
            .iter()
            .map(|(l, (t, v))| format!("{l}={v}@{t}"))
            .collect::<Vec<_>>()
            .join(" "),
        MetricAnswer::Matrix(m) => m
            .iter()
            .map(|(l, p)| {
                let points: Vec<String> = p.iter().map(|(t, v)| format!("{v}@{t}")).collect();
                format!("{l}={}", points.join(","))
            })
            .collect::<Vec<_>>()
            .join(" "),
    })
}

#[test]
fn metric_queries() {
    let at = Grid::instant(59 * S);
    for (text, want) in [
        ("sum(count_over_time({app=~\".+\"}[10s]))", "{}=20@59000"),
        (
            "count_over_time({app=\"a\"} |= \"i=5\" [1m])",
            "{app=\"a\", env=\"x\"}=11@59000",
        ),
        (
            "sum by (app) (rate({env=\"x\"}[10s]))",
            "{app=\"a\"}=1@59000 {app=\"b\"}=1@59000",
        ),
        ("sum(bytes_over_time({app=\"a\"}[1s]))", "{}=14@59000"),
        ("absent_over_time({app=\"zz\"}[1m])", "{app=\"zz\"}=1@59000"),
        ("absent_over_time({app=\"a\"}[1m])", ""),
        (
            "max_over_time({app=\"a\"} | logfmt | unwrap v [1m]) by (app)",
            "{app=\"a\"}=6@59000",
        ),
        (
            "sum(sum_over_time({app=\"a\"} | logfmt | unwrap v [7s]))",
            "{}=21@59000",
        ),
        (
            "quantile_over_time(0.5, {app=\"a\"} | logfmt | unwrap i [5s]) by ()",
            "{}=57@59000",
        ),
        (
            "first_over_time({app=\"a\"} | logfmt | keep v | unwrap v [3s])",
            "{}=1@59000",
        ),
        (
            "topk(1, sum by (app) (count_over_time({env=\"x\"} != \"app=b i=1\" [1m])))",
            "{app=\"a\"}=60@59000",
        ),
        ("vector(1) + 2", "{}=3@59000"),
        ("2 ^ 3 - 1", "7@59000"),
        ("1 / 0", "NaN@59000"),
        ("sum(count_over_time({app=\"a\"}[10s])) > 5", "{}=10@59000"),
        (
            "sum(count_over_time({app=\"a\"}[10s])) > bool 50",
            "{}=0@59000",
        ),
        (
            "sum by (app) (count_over_time({env=\"x\"}[10s])) and sum by (app) (count_over_time({app=\"b\"}[10s]))",
            "{app=\"b\"}=10@59000",
        ),
        (
            "sum by (app) (count_over_time({env=\"x\"}[10s])) * on () group_left vector(2)",
            "{app=\"a\"}=20@59000 {app=\"b\"}=20@59000",
        ),
        (
            "label_replace(vector(1), \"x\", \"y$1\", \"none\", \"(.*)\")",
            "{x=\"y\"}=1@59000",
        ),
        ("avg(count_over_time({env=\"x\"}[10s]))", "{}=10@59000"),
    ] {
        assert_eq!(metric(text, at, true).as_deref(), Ok(want), "{text}");
    }
    let grid = Grid::range(10 * S, 30 * S, 10 * S);
    let got = metric("sum(count_over_time({app=\"a\"}[5s]))", grid, false);
    assert_eq!(got.as_deref(), Ok("{}=5@10000,5@20000,5@30000"));
}

#[test]
fn errors_of_running_queries() {
    let at = Grid::instant(59 * S);
    for (text, part) in [
        (
            "count_over_time({app=\"a\"} | json [5s])",
            "pipeline error: 'JSONParserErr' for series: '{",
        ),
        (
            "sum(count_over_time({app=\"a\"} | logfmt | app > 5 [5s]))",
            "pipeline error: 'LabelFilterErr'",
        ),
        (
            "sum by (i) (count_over_time({app=\"a\"} | logfmt [5s])) / on () sum by (v) (count_over_time({app=\"a\"} | logfmt [9s]))",
            "many-to-many matching not allowed",
        ),
        ("approx_topk(1, vector(1))", "approx_topk is not enabled"),
    ] {
        let e = metric(text, at, true).expect_err(text);
        assert!(e.contains(part), "{text}: {e}");
    }
    // What nothing needs is not parsed, so nothing is wrong with it.
    let got = metric("sum(count_over_time({app=\"a\"} | json [5s]))", at, true);
    assert_eq!(got.as_deref(), Ok("{}=5@59000"));
    let asked = metric(
        "sum by (__error__) (count_over_time({app=\"a\"} | json [5s]))",
        at,
        true,
    );
    assert_eq!(
        asked.as_deref(),
        Ok("{__error__=\"JSONParserErr\"}=5@59000")
    );
}

#[test]
fn log_queries_take_the_newest_or_the_oldest() {
    let run = |text: &str, direction, limit, interval| {
        let Ok(Expr::Log(expr)) = crate::logql::parse(text) else {
            panic!("{text}");
        };
        let query = LogQuery {
            start: 0,
            end: 59 * S,
            limit,
            direction,
            interval,
            categorize: false,
        };
        let streams = with_control(|c| run_log(&store(), &expr, &query, c)).expect("an answer");
        let one = |s: &OutStream| {
            let times: Vec<String> = s.entries.iter().map(|e| (e.time / S).to_string()).collect();
            format!("{}={}", s.labels, times.join(","))
        };
        streams.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let a = "{app=\"a\", env=\"x\"}";
    assert_eq!(
        run("{app=\"a\"}", Direction::Backward, 3, 0),
        format!("{a}=58,57,56")
    );
    assert_eq!(
        run("{app=\"a\"}", Direction::Forward, 3, 0),
        format!("{a}=0,1,2")
    );
    assert_eq!(
        run("{app=\"a\"}", Direction::Forward, 3, 10 * S),
        format!("{a}=0,10,20")
    );
    assert_eq!(
        run("{app=\"a\"} |= \"v=6\"", Direction::Backward, 2, 0),
        format!("{a}=55,48")
    );
    assert_eq!(
        run("{env=\"x\"} | drop app", Direction::Backward, 4, 0),
        "{env=\"x\"}=58,58,57,57"
    );
    assert_eq!(run("{app=\"zz\"}", Direction::Backward, 4, 0), "");
}

#[test]
fn bytes_that_are_not_utf8_count_as_they_were_pushed() {
    // A stage before the count does not change what was pushed.
    let at = Grid::instant(59 * S);
    for text in [
        "bytes_over_time({app=\"a\"}[1s])",
        "bytes_over_time({app=\"a\"} | app=\"a\" [1s])",
        "bytes_over_time({app=\"a\"} | label_format app=\"a\" [1s])",
    ] {
        let store = Memory(vec![(
            Labels::from_pairs([("app", "a")]),
            vec![(59 * S, b"\xff\xfe \xc3(".to_vec())],
        )]);
        let expr = crate::logql::parse_metric(text).expect(text);
        let answer = with_control(|c| run_metric(&store, &expr, at, true, c));
        let MetricAnswer::Vector(v) = answer.expect(text) else {
            panic!("{text}: no vector");
        };
        assert_eq!(v[0].1.1, 5.0, "{text}");
    }
}
