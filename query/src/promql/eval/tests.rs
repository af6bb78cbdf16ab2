use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use engine::budget::Watch;
use engine::metrics::SelectError;
use engine::model::{Column, Labels, Matcher};

use super::*;
use crate::promql::ParseOptions;
use crate::source::{SelectHints, SeriesReader, SeriesSet, Source};

/// `n` series `m{i="..."}` with a sample every 15 s, value = index of the sample.
struct Fixed {
    n: usize,
    labels: Vec<Labels>,
    ts: Arc<[i64]>,
    vals: Vec<f64>,
}

fn fixed(n: usize) -> Fixed {
    let labels = (0..n)
        .map(|i| Labels::from_pairs([("__name__", "m_total"), ("i", &format!("{i:05}"))]))
        .collect();
    Fixed {
        n,
        labels,
        ts: (0..=240i64).map(|i| i * 15_000).collect(),
        vals: (0..=240).map(f64::from).collect(),
    }
}

impl Source for Fixed {
    fn select(
        &self,
        _: &[Matcher],
        _: i64,
        _: i64,
        _: &SelectHints,
        _: &dyn Watch,
    ) -> Result<Box<dyn SeriesSet>, SelectError> {
        Ok(Box::new(Fixed {
            n: self.n,
            labels: self.labels.clone(),
            ts: self.ts.clone(),
            vals: self.vals.clone(),
        }))
    }
}

impl SeriesSet for Fixed {
    fn len(&self) -> usize {
        self.n
    }
    fn labels(&self, i: usize) -> Labels {
        self.labels[i].clone()
    }
    fn order(&self) -> Vec<u32> {
        // Backwards: results must not depend on the order of the scan.
        (0..self.n as u32).rev().collect()
    }
    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(self)
    }
}

impl SeriesReader for &Fixed {
    fn read(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        for i in series.iter().map(|i| *i as usize) {
            let c = Column {
                ts: &self.ts,
                values: &self.vals,
                start_ts: &[],
                histograms: &[],
            };
            if visit(i, c).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn engine() -> Engine {
    Engine {
        options: EngineOptions {
            parse: ParseOptions::all(),
            ..EngineOptions::default()
        },
    }
}

#[test]
fn statistics_count_what_was_looked_at() {
    let stats = |text: &str, range: bool| {
        let e = engine();
        let o = QueryOptions::default();
        let a = if range {
            e.range(&fixed(2), text, 600_000, 720_000, 60_000, o)
        } else {
            e.instant(&fixed(2), text, 600_000, o)
        };
        a.map(|a| (a.stats.total_queryable_samples, a.stats.samples_read))
            .ok()
    };
    assert_eq!(stats("m_total", false), Some((2, 2)));
    assert_eq!(stats("m_total", true), Some((6, 6)));
    // Windows of 8 samples, 4 of them new at each step.
    assert_eq!(stats("rate(m_total[2m])", true), Some((48, 32)));
    assert_eq!(stats("m_total[2m]", false), Some((16, 16)));
    assert_eq!(stats("rate(m_total[2m] @ 600)", true), Some((48, 16)));
    assert_eq!(stats("sum(m_total) + 1", true), Some((6, 6)));
    assert_eq!(stats("1", true), Some((0, 0)));
}

#[test]
fn the_sample_limit_stops_queries() {
    let mut e = engine();
    e.options.max_samples = 100;
    let o = QueryOptions::default();
    assert!(e.range(&fixed(2), "m_total", 0, 600_000, 15_000, o).is_ok());
    assert_eq!(
        e.range(&fixed(3), "m_total", 0, 600_000, 15_000, o)
            .map(|a| a.value),
        Err(QueryError::TooManySamples)
    );
    // An aggregation holds one group, not the series.
    assert!(
        e.range(&fixed(50), "sum(m_total)", 0, 600_000, 60_000, o)
            .is_ok()
    );
    let grid = e
        .range(&fixed(1), "vector(1)", 0, i64::MAX, 1, o)
        .map(|a| a.value);
    assert_eq!(grid, Err(QueryError::TooManySamples));
    let sub = e
        .instant(&fixed(1), "sum_over_time(m_total[100y:1ms])", 0, o)
        .map(|a| a.value);
    assert_eq!(sub, Err(QueryError::TooManySamples));
}

#[test]
fn cancellation_and_timeout() {
    let token = CancelToken::default();
    token.cancel();
    let canceled = QueryOptions {
        cancel: Some(&token),
        ..QueryOptions::default()
    };
    let e = engine();
    assert_eq!(
        e.instant(&fixed(1), "m_total", 0, canceled)
            .map(|a| a.value),
        Err(QueryError::Canceled)
    );
    let now = Cell::new(0u64);
    let clock = || {
        now.set(now.get() + 1);
        Duration::from_secs(now.get())
    };
    let o = QueryOptions {
        timeout: Some(Duration::from_secs(5)),
        clock: Some(&clock),
        ..QueryOptions::default()
    };
    let late = e
        .instant(&fixed(1000), "sum(m_total)", 600_000, o)
        .map(|a| a.value);
    assert_eq!(late, Err(QueryError::Timeout));
    now.set(0);
    let fine = e.instant(&fixed(10), "sum(m_total)", 600_000, o);
    assert!(fine.is_ok_and(|a| a.timings.total > Duration::ZERO));
}

#[test]
fn results_come_in_label_order_whatever_the_scan() {
    let a = engine().instant(
        &fixed(5),
        "rate(m_total[5m])",
        600_000,
        QueryOptions::default(),
    );
    let Ok(Answer {
        value: Value::Vector(v),
        ..
    }) = a
    else {
        panic!("{a:?}")
    };
    let order: Vec<&str> = v.iter().filter_map(|s| s.labels.get("i")).collect();
    assert_eq!(order, ["00000", "00001", "00002", "00003", "00004"]);
    assert!(v.iter().all(|s| s.labels.metric_name().is_none()));
}

#[test]
fn kinds_of_results_and_refused_arguments() {
    let e = engine();
    let o = QueryOptions::default();
    let at = |t: &str| e.instant(&fixed(1), t, 1000, o).map(|a| a.value);
    assert_eq!(at("\"x\""), Ok(Value::String(1000, "x".into())));
    assert_eq!(at("1 + 1"), Ok(Value::Scalar(1000, 2.0)));
    assert_eq!(at("step()"), Ok(Value::Scalar(1000, 0.0)));
    assert!(matches!(at("m_total[5m:1m]"), Ok(Value::Matrix(m)) if m.len() == 1));
    assert!(matches!(at("1 +"), Err(QueryError::Parse(_))));
    assert!(matches!(at("m_total[step()]"), Err(QueryError::Invalid(_))));
    let range =
        |t: &str, end: i64, step: i64| e.range(&fixed(1), t, 0, end, step, o).map(|a| a.value);
    assert!(matches!(
        range("m_total[5m]", 10, 1),
        Err(QueryError::Invalid(_))
    ));
    assert!(matches!(range("1", 10, 0), Err(QueryError::Invalid(_))));
    assert!(matches!(range("1", -10, 1), Err(QueryError::Invalid(_))));
}

#[test]
fn extreme_times_do_no_harm() {
    let e = engine();
    let o = QueryOptions::default();
    for t in [i64::MIN, i64::MIN + 1, -1, i64::MAX - 1, i64::MAX] {
        for text in [
            "m_total",
            "rate(m_total[5m])",
            "m_total offset 290y",
            "m_total offset -290y",
            "max_over_time(m_total[5m:1m])",
            "sum_over_time(m_total[5m:1m] offset -290y)",
            "m_total @ 9e15",
            "timestamp(m_total)",
            "m_total smoothed",
            "rate(m_total[5m] smoothed)",
            "predict_linear(m_total[5m], 1e300)",
            "hour()",
        ] {
            drop(e.instant(&fixed(1), text, t, o));
            drop(e.range(&fixed(1), text, t, t.saturating_add(120_000), 60_000, o));
        }
    }
}

#[test]
fn the_deepest_queries_fit_a_thread_of_ordinary_stack() {
    let chain = |op: &str| vec!["m_total"; 245].join(op);
    let nest = |open: &str, inner: &str, close: &str, n: usize| {
        format!("{}{inner}{}", open.repeat(n), close.repeat(n))
    };
    let texts = [
        chain(" or "),
        chain(" + "),
        chain(" == "),
        format!("{} + 1", chain(" - on () group_left () ")),
        nest("abs(", "m_total", ")", 90),
        nest("sum(", "m_total", ")", 90),
        nest("(", "m_total", ")", 90),
        nest("-", "m_total", "", 90),
        nest("max_over_time(", "m_total", "[1m:30s])", 40),
        nest(
            "label_replace(",
            "m_total",
            ", \"a\", \"\", \"b\", \"\")",
            90,
        ),
        vec!["1"; 245].join(" + "),
    ];
    let threads: Vec<_> = texts
        .into_iter()
        .map(|text| {
            std::thread::Builder::new()
                .stack_size(2 << 20)
                .spawn(move || {
                    let o = QueryOptions::default();
                    let parsed = crate::promql::parse(&text, ParseOptions::all());
                    assert!(parsed.is_ok(), "{text}");
                    drop(engine().instant(&fixed(1), &text, 600_000, o));
                    drop(engine().range(&fixed(1), &text, 600_000, 660_000, 60_000, o));
                })
        })
        .collect();
    for t in threads {
        assert!(t.is_ok_and(|t| t.join().is_ok()));
    }
}

#[test]
fn threads_change_neither_results_nor_statistics_nor_errors() {
    let run = |parallelism: Parallelism, text: &str, budget: u64| {
        let e = Engine {
            options: EngineOptions {
                parse: ParseOptions::all(),
                max_samples: budget,
                parallelism,
                ..EngineOptions::default()
            },
        };
        let o = QueryOptions {
            per_step: true,
            ..QueryOptions::default()
        };
        let a = e.range(&fixed(700), text, 0, 600_000, 15_000, o);
        a.map(|a| (format!("{:?}", a.value), a.stats, a.per_step, a.annotations))
    };
    for text in [
        "m_total",
        "sum(m_total)",
        "sum by (i) (rate(m_total[2m]))",
        "avg(rate(m_total[2m] smoothed))",
        "topk(3, m_total)",
        "quantile_over_time(2, m_total[1m])",
        "count(deriv(m_total[5m])) / count(m_total offset 1m)",
        "predict_linear(m_total[5m], 60) > 5",
        "sum(max_over_time(rate(m_total[1m])[3m:30s]))",
        "label_replace(m_total, \"i\", \"x\", \"\", \"\")",
    ] {
        for budget in [u64::MAX, 30_000, 5_000, 50] {
            let alone = Parallelism {
                series_min: usize::MAX,
                fixed: None,
            };
            let one = run(alone, text, budget);
            let portions = Parallelism {
                series_min: 0,
                fixed: Some((3, 17)),
            };
            for many in [Parallelism::always(), portions] {
                assert_eq!(run(many, text, budget), one, "{text} {budget} {many:?}");
            }
        }
    }
}

/// A source whose reader breaks at one series.
struct Broken(Fixed, usize);

impl Source for Broken {
    fn select(
        &self,
        m: &[Matcher],
        from: i64,
        to: i64,
        hints: &SelectHints,
        watch: &dyn Watch,
    ) -> Result<Box<dyn SeriesSet>, SelectError> {
        drop(self.0.select(m, from, to, hints, watch)?);
        Ok(Box::new(BrokenSet(fixed(self.0.n), self.1)))
    }
}

struct BrokenSet(Fixed, usize);

impl SeriesSet for BrokenSet {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn labels(&self, i: usize) -> Labels {
        self.0.labels(i)
    }
    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(self)
    }
}

impl SeriesReader for &BrokenSet {
    fn read(
        &mut self,
        series: &[u32],
        visit: &mut dyn FnMut(usize, Column<'_>) -> ControlFlow<()>,
    ) -> Result<(), SelectError> {
        for i in series {
            if *i as usize == self.1 {
                return Err(SelectError::Storage("a damaged page".into()));
            }
            self.0.reader().read(&[*i], visit)?;
        }
        Ok(())
    }
}

#[test]
fn a_failure_on_another_thread_is_the_failure_of_the_query() {
    let mut e = engine();
    e.options.parallelism = Parallelism::always();
    for at in [0, 1, 98, 99] {
        let source = Broken(fixed(100), at);
        let a = e.instant(&source, "sum(m_total)", 600_000, QueryOptions::default());
        let text = a.map(|a| a.value).unwrap_err().to_string();
        assert_eq!(text, "expanding series: a damaged page");
    }
}
