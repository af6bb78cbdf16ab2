//! Metric queries over a real store, read the fast way and the simple way: the answers are equal.
//!
//! The simple way hands out every line whole and tests each, so needles, columns and replaced values
//! play no part in it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::io::Fs;
use engine::io::sim::SimFs;
use engine::logs::{
    Db, DbOptions, EntryBatch, LineTest, Needs, PushBatch, ReadError, ScanOptions, ScanStats,
    Visitor,
};
use engine::model::{Labels, Matcher, TenantId};
use engine::wal::WalOptions;
use proptest::prelude::*;

use super::*;
use crate::logql::source::{LogSource, StreamSet, TenantLogs};

/// A store without short cuts.
struct Simple<'a>(TenantLogs<'a>);

struct SimpleSet<'a>(Box<dyn StreamSet + 'a>);

impl LogSource for Simple<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<Box<dyn StreamSet + '_>, ReadError> {
        Ok(Box::new(SimpleSet(self.0.select(matchers, from, to)?)))
    }
}

impl StreamSet for SimpleSet<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn labels(&self, i: usize) -> &Labels {
        self.0.labels(i)
    }
    fn scan(
        &self,
        options: &ScanOptions<'_>,
        visit: &mut dyn FnMut(&EntryBatch) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let test = options.test.clone().map(|t| LineTest {
            needs: Needs::Anything,
            exact: false,
            matches: t.matches,
        });
        let options = ScanOptions {
            test,
            glance: None,
            threads: 1,
            ..options.clone()
        };
        self.0.scan(&options, visit)
    }
    fn scan_by(
        &self,
        options: &ScanOptions<'_>,
        mut visitors: Vec<Visitor<'_>>,
    ) -> Result<(), ReadError> {
        let mut unit = 0;
        let Some(mut visit) = visitors.pop() else {
            return Ok(());
        };
        self.scan(options, &mut |b| {
            unit += 1;
            visit(unit, b)
        })
    }
}

const QUERIES: &[&str] = &[
    "sum by (level) (count_over_time({job=\"j\"} | json [1h]))",
    "sum by (level) (count_over_time({job=\"j\"} | json | __error__=\"\" [1h]))",
    "sum by (level, __error__) (count_over_time({job=\"j\"} | json [1h]))",
    "sum(count_over_time({job=\"j\"} | json | level=\"error\" | dur > 5 | __error__=\"\" [1h]))",
    "sum(count_over_time({job=\"j\"} | json | dur > 5 | level=\"error\" [1h]))",
    "sum(count_over_time({job=\"j\"} | json | level=~\"e.*|warn\" and a_b!=\"\" [1h]))",
    "sum by (level_extracted) (count_over_time({job=\"j\"} | json | level_extracted=\"error\" [1h]))",
    "sum by (lv, x) (count_over_time({job=\"j\"} | json lv=\"level\", x=\"a.b\" [1h]))",
    "sum by (x, y) (count_over_time({job=\"j\"} | json x=\"a\", y=\"list[0]\" | x!=\"1\" [1h]))",
    "sum by (level) (count_over_time({job=\"j\"} | logfmt | level=\"error\" [1h]))",
    "sum by (dur) (count_over_time({job=\"j\"} | logfmt | level!=\"error\" | a_b=\"\" [1h]))",
    "sum by (x, level) (count_over_time({job=\"j\"} | logfmt x=\"dur\", level | level!=\"info\" [1h]))",
    "sum by (level) (count_over_time({job=\"j\"} | logfmt --strict [1h]))",
    "sum by (level) (count_over_time({job=\"j\"} | logfmt --keep-empty | drop dur [1h]))",
    "sum by (level) (count_over_time({job=\"j\"} | json | keep level, x [1h]))",
    "quantile_over_time(0.5, {job=\"j\"} | json | level=\"error\" | unwrap dur | __error__=\"\" [1h]) by (level)",
    "first_over_time({job=\"j\"} | json dur=\"dur\" | unwrap dur | __error__=\"\" [1h]) by (level)",
    "sum by (level) (count_over_time({job=\"j\"} |= \"err\" | json | level=\"error\" [1h]))",
    "sum by (level) (count_over_time({job=\"j\"} != \"x\" | json | level=\"error\" [1h]))",
    "sum(count_over_time({job=\"j\"} | json [1h]))",
    "sum by (app) (bytes_over_time({job=\"j\"} | json | level=\"error\" [1h]))",
    "sum by (app) (bytes_over_time({job=\"j\"} |= \"1\" [1h]))",
    "sum by (level, detected) (count_over_time({job=\"j\"} [1h]))",
    "sum(count_over_time({job=\"j\"} |= \"\\\":\\\"e\" [1h]))",
    "sum(count_over_time({job=\"j\"} |= \"a\" or \"1\" |= \"r=\" [1h]))",
    "sum(count_over_time({job=\"j\"} |~ \"(?i)ERR[a-z]+\\\"?,\" [1h]))",
    "sum(count_over_time({job=\"j\"} |~ \"[0-9]\\\"?[,} ]\" [1h]))",
    "sum(count_over_time({job=\"j\"} |~ \"dur\\\"?.1[0-9]\" [1h]))",
    "sum(count_over_time({job=\"j\"} |~ \"(e|w)[ra][rn]|q\" !~ \"x\" [1h]))",
    "absent_over_time({job=\"j\"} | json | level=\"none\" [1h])",
];

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["error", "info", "warn", "1", "12.5", "7", ""]).prop_map(str::to_owned),
        1 => (0..200u32).prop_map(|n| n.to_string()),
        1 => (0..9000u32).prop_map(|n| format!("{}.{}", n / 10, n % 10)),
        1 => prop::sample::select(vec![
            "a\\\"b", "\\u00e9", "é", "\\x", "x y", "err=1", "{", "\\\\", "1e5", "-3", "null",
        ]).prop_map(str::to_owned),
    ]
}

fn bare() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..30u32).prop_map(|n| n.to_string()),
        2 => prop::sample::select(vec!["true", "null", "1.5", "-2", "nope", "1\"2", "[1,\"}\"]",
            "{\"b\":\"error\"}", "{\"b\":3}", "[{\"c\":\"x\"},2]", "1\t", "fx:2"]).prop_map(str::to_owned),
        1 => Just("\"error\"".to_owned()),
    ]
}

fn key() -> impl Strategy<Value = String> {
    let keys = vec![
        "level",
        "level",
        "dur",
        "a",
        "a.b",
        "list",
        "msg",
        "level_extracted",
        " 1x",
    ];
    prop::sample::select(keys).prop_map(str::to_owned)
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let json = prop::collection::vec((key(), value(), bare(), any::<bool>()), 1..5);
    let pairs = prop::collection::vec((key(), value(), bare(), any::<bool>()), 1..5);
    prop_oneof![
        6 => json.prop_map(|p| {
            let f = p.iter().map(|(k, v, b, text)| match text {
                true => format!("\"{k}\":\"{v}\""),
                false => format!("\"{k}\":{b}"),
            });
            format!("{{{}}}", f.collect::<Vec<_>>().join(",")).into_bytes()
        }),
        4 => pairs.prop_map(|p| {
            let f = p.iter().map(|(k, v, b, text)| match text {
                true => format!("{k}=\"{v}\""),
                false => format!("{k}={b}"),
            });
            f.collect::<Vec<_>>().join(" ").into_bytes()
        }),
        1 => "[{}\":=, a0\\\\]{0,12}".prop_map(String::into_bytes),
        1 => value().prop_map(|v| format!("GET /a/{v} \"error {v}\" {v}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

fn store(lines: &[(u8, Vec<u8>)]) -> Db {
    let opts = DbOptions {
        fs: Arc::new(SimFs::new()) as Arc<dyn Fs>,
        background: false,
        ..DbOptions::default()
    };
    let wal = WalOptions {
        commit_thread: false,
        ..WalOptions::default()
    };
    let db = Db::open(Path::new("/s"), opts, wal).expect("opens");
    // Two parts and a memtable.
    let third = lines.len().div_ceil(5) * 2;
    for (k, part) in lines.chunks(third.max(1)).enumerate() {
        let mut b = PushBatch::new();
        for (i, (kind, line)) in part.iter().enumerate() {
            let app = if kind % 2 == 0 { "a" } else { "b" };
            let mut labels = vec![("job", "j"), ("app", app)];
            if kind % 4 == 3 {
                labels.push(("level", "stream"));
            }
            b.stream(Labels::from_pairs(labels));
            let metadata = match kind % 5 {
                0 => Labels::from_pairs([("detected", "info")]),
                1 => Labels::from_pairs([("level", "meta"), ("dur", "9")]),
                _ => Labels::empty(),
            };
            let time = (k * third + i) as i64 * 1_000_000_000;
            assert!(b.entry(time, line, &metadata));
        }
        let end = db.push(TenantId::DEFAULT, b).expect("pushed");
        db.wait_durable(end).expect("durable");
        if k < 2 {
            db.flush().expect("flushed");
        }
    }
    db
}

fn answer(source: &dyn LogSource, text: &str, seconds: i64) -> Result<MetricAnswer, QueryError> {
    let expr = crate::logql::parse_metric(text).expect("a query");
    let (cancel, stats) = (AtomicBool::new(false), ScanStats::default());
    let control = Control {
        limits: Limits::default(),
        around: crate::logql::stages::Surroundings::default(),
        cancel: &cancel,
        expired: &|| false,
        stats: &stats,
    };
    let second = 1_000_000_000;
    let grid = Grid::range(seconds / 2 * second, seconds * second, 60 * second);
    run_metric(source, &expr, grid, false, &control)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// LE4
    #[test]
    fn prop_fast_answers_equal_simple_ones(
        few in prop::collection::vec(line(), 1..8),
        picks in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>()), 40..160),
        more in prop::collection::vec((any::<u8>(), line()), 0..60),
    ) {
        // Lines that repeat make dictionaries, others do not.
        let repeated = picks.into_iter().map(|(k, i)| (k, few[i.index(few.len())].clone()));
        let mut lines: Vec<(u8, Vec<u8>)> = repeated.collect();
        for (i, l) in more.into_iter().enumerate() {
            lines.insert(i * 2 % lines.len(), l);
        }
        let db = store(&lines);
        let source = || TenantLogs { db: &db, tenant: TenantId::DEFAULT };
        for q in QUERIES {
            let fast = answer(&source(), q, lines.len() as i64);
            let slow = answer(&Simple(source()), q, lines.len() as i64);
            // NaN is not equal to itself.
            prop_assert_eq!(format!("{fast:?}"), format!("{slow:?}"), "{}", q);
        }
    }
}
