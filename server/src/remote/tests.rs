//! Slices, rules, batches and outcomes.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use engine::metrics::{AppendMode, AppendOptions, Db};
use engine::model::{
    BatchExtra, CounterResetHint, Counts, Histogram, HistogramPoint, Labels, Sample, SeriesKey,
    Span, TenantId, WriteBatch,
};

use super::batch::{Series, batches, lanes};
use super::gather::{Gather, Rules, Slice, Window};
use super::place::Marks;
use super::send::{Outcome, Protocol, judge, retry_after};
use crate::config::prometheus::load_text;
use crate::relabel::Relabel;

fn rules(external: &[(&str, &str)], relabel: &str) -> Rules {
    let yaml =
        format!("remote_write: [{{url: 'http://a/', write_relabel_configs: [{relabel}]}}]\n");
    let loaded = load_text(std::path::Path::new("x.yml"), &yaml).unwrap();
    let config = loaded.document.remote_write[0].clone().unwrap();
    let own = external.iter().map(|(n, v)| ((*n).into(), (*v).into()));
    Rules {
        external: own.collect(),
        relabel: Relabel::compile(&config.write_relabel_configs, false).unwrap(),
        histograms: true,
        exemplars: false,
    }
}

fn put(db: &Db, labels: &Labels, t: i64) {
    let (sets, mut b) = (vec![labels.clone()], WriteBatch::default());
    b.push_sample(db.key_of(labels), 0, t, t as f64);
    let options = AppendOptions::new(AppendMode::Atomic, i64::MAX / 2);
    db.append(TenantId::DEFAULT, &b, &sets, &options).unwrap();
}

fn window(floor: i64, base: i64, to: i64) -> Window {
    Window {
        floor,
        far: floor,
        base,
        to,
        too_old: i64::MIN,
    }
}

/// Walks `w`, marks what it finds and gives it as text, by series.
fn walk(
    db: &Db,
    w: Window,
    rules: &Rules,
    marks: &mut Marks,
) -> (BTreeMap<String, Vec<i64>>, Slice) {
    let mut gather = Gather::new(db, w).unwrap();
    let (mut out, mut sums) = (BTreeMap::<String, Vec<i64>>::new(), Slice::default());
    while let Some(slice) = gather.next(db, rules, marks).unwrap() {
        sums.dropped += slice.dropped;
        sums.too_old += slice.too_old;
        marks.extend(slice.settled);
        for s in slice.series {
            marks.insert(s.key, s.newest());
            let t = s.samples.iter().map(|s| s.t);
            out.entry(s.labels.to_string()).or_default().extend(t);
        }
    }
    (out, sums)
}

fn metric(n: usize) -> Labels {
    let (name, i) = (format!("m{}", n % 7), n.to_string());
    Labels::from_pairs([("__name__", name.as_str()), ("i", i.as_str())])
}

#[test]
fn every_sample_leaves_once_also_late_ones() {
    let (db, none, mut marks) = (Db::in_memory(), Rules::default(), Marks::default());
    let all =
        |found: &BTreeMap<String, Vec<i64>>| found.values().flatten().copied().collect::<Vec<_>>();
    let (a, b) = (metric(0), metric(1));
    put(&db, &a, 900);
    put(&db, &a, 1001);
    let (found, _) = walk(&db, window(880, 1000, 1010), &none, &mut marks);
    assert_eq!(all(&found), [1001], "nothing from before the start");
    put(&db, &a, 1020);
    // A slow scrape, stored after the window that held its time.
    put(&db, &b, 1005);
    let (found, _) = walk(&db, window(890, 1000, 1030), &none, &mut marks);
    assert_eq!(all(&found), [1020, 1005]);
    let (found, _) = walk(&db, window(910, 1000, 1040), &none, &mut marks);
    assert!(found.is_empty());
    // News behind a long silence take older news along.
    put(&db, &b, 2000);
    put(&db, &b, 5000);
    let silent = Window {
        far: 1500,
        ..window(4900, 1000, 5010)
    };
    let (found, _) = walk(&db, silent, &none, &mut marks);
    assert_eq!(all(&found), [2000, 5000]);
}

#[test]
fn slices_cover_all_series_once() {
    let (db, none, mut marks) = (Db::in_memory(), Rules::default(), Marks::default());
    let series: Vec<Labels> = (0..25_000).map(metric).collect();
    let mut b = WriteBatch::default();
    for (i, l) in series.iter().enumerate() {
        b.push_sample(db.key_of(l), i as u64, 100, 1.0);
    }
    let options = AppendOptions::new(AppendMode::Atomic, 1000);
    db.append(TenantId::DEFAULT, &b, &series, &options).unwrap();
    let w = window(0, 0, 200);
    let mut gather = Gather::new(&db, w).unwrap();
    let first = gather.next(&db, &none, &marks).unwrap().unwrap();
    assert!((10_000..11_000).contains(&first.series.len()));
    let (found, _) = walk(&db, w, &none, &mut marks);
    assert_eq!(found.len(), 25_000);
    assert!(found.values().all(|t| t == &[100]));
    assert!(walk(&db, w, &none, &mut marks).0.is_empty());
}

#[test]
fn rules_rename_drop_and_count() {
    let (db, mut marks) = (Db::in_memory(), Marks::default());
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    put(&db, &labels(&[("__name__", "a"), ("zone", "own")]), 10);
    put(&db, &labels(&[("__name__", "b")]), 10);
    put(&db, &labels(&[("__name__", "c")]), 10);
    put(&db, &labels(&[("__name__", "c")]), 20);
    let r = rules(
        &[("zone", "ext"), ("server", "s")],
        "{source_labels: [__name__, zone], regex: 'c;ext', action: drop}, \
         {source_labels: [server], target_label: from}, {regex: server, action: labeldrop}",
    );
    let (found, sums) = walk(&db, window(0, 0, 100), &r, &mut marks);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            r#"{__name__="a", from="s", zone="own"}"#,
            r#"{__name__="b", from="s", zone="ext"}"#
        ]
    );
    assert_eq!(sums.dropped, 2);
    let (_, again) = walk(&db, window(0, 0, 100), &r, &mut marks);
    assert_eq!(again.dropped, 0, "a drop is counted once");
}

#[test]
fn old_points_are_left_out_and_counted() {
    let (db, mut marks) = (Db::in_memory(), Marks::default());
    for t in [10, 20, 30] {
        put(&db, &metric(0), t);
    }
    put(&db, &metric(1), 10);
    let w = Window {
        too_old: 20,
        ..window(0, 0, 100)
    };
    let (found, sums) = walk(&db, w, &Rules::default(), &mut marks);
    assert_eq!(found.into_values().collect::<Vec<_>>(), [vec![30]]);
    assert_eq!(sums.too_old, 3);
    assert_eq!(marks.len(), 2);
}

fn series(key: u128, floats: usize, histograms: usize) -> Series {
    let h = engine::model::Histogram::stale();
    Series {
        key: SeriesKey(key),
        labels: metric(0),
        samples: (0..floats as i64).map(|t| Sample { t, v: 0.0 }).collect(),
        start_ts: Vec::new(),
        histograms: (0..histograms as i64)
            .map(|t| HistogramPoint {
                t: t + 100,
                start_t: 0,
                h: h.clone(),
            })
            .collect(),
        exemplars: Vec::new(),
    }
}

#[test]
fn batches_are_bounded_and_in_order() {
    let all = [
        series(1, 25, 0),
        series(2, 3, 0),
        series(3, 0, 14),
        series(4, 7, 7),
    ];
    let cut = batches(&all, 10);
    let sizes: Vec<u64> = cut
        .iter()
        .map(|b| b.counts().samples + b.counts().histograms)
        .collect();
    assert_eq!(sizes, [10, 10, 10, 10, 2, 14]);
    let newest: Vec<(u128, i64)> = cut
        .iter()
        .flat_map(|b| b.parts.iter().map(|p| (p.series.key.0, p.newest())))
        .collect();
    assert_eq!(
        newest,
        [
            (1, 9),
            (1, 19),
            (1, 24),
            (2, 2),
            (3, 101),
            (3, 111),
            (3, 113),
            (4, 106)
        ]
    );
    assert_eq!(cut[5].newest(), 106);
    assert!(batches(&[], 10).is_empty());
}

#[test]
fn lanes_keep_a_series_together() {
    let many: Vec<Series> = (0..100).map(|i| series(i % 10, 1, 0)).collect();
    let divided = lanes(many, 4);
    assert_eq!(divided.iter().map(Vec::len).sum::<usize>(), 100);
    for key in 0..10 {
        let with = divided.iter().filter(|l| l.iter().any(|s| s.key.0 == key));
        assert_eq!(with.count(), 1, "{key}");
    }
    assert_eq!(lanes(vec![series(3, 1, 0)], 0).len(), 1);
}

#[test]
fn statuses_decide() {
    let (v1, v2) = (Protocol::V1, Protocol::V2);
    let wait = Some(Duration::from_secs(3));
    let later = Outcome::Later(wait, String::new());
    let refused = Outcome::Refused(String::new());
    for (status, on_429, protocol, expected) in [
        (200, false, v1, &Outcome::Accepted),
        (204, false, v2, &Outcome::Accepted),
        (302, false, v1, &refused),
        (400, true, v1, &refused),
        (404, true, v2, &refused),
        (415, false, v1, &refused),
        (415, false, v2, &Outcome::OnlyV1),
        (429, false, v1, &refused),
        (429, true, v1, &later),
        (500, false, v1, &later),
        (503, false, v2, &later),
    ] {
        assert_eq!(&judge(status, wait, on_429, protocol), expected, "{status}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
    let of = |v| retry_after(v, now).map(|d| d.as_secs());
    assert_eq!(of("7"), Some(7));
    assert_eq!(of("0"), None);
    assert_eq!(of("99999999"), Some(300));
    assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
    assert_eq!(of("Sun, 06 Nov 1994 08:40:00 GMT"), None);
    assert_eq!(of("soon"), None);
}

/// Histograms once left as float histograms, whatever they came as.
#[test]
fn integer_histograms_leave_as_integer_histograms() {
    let (db, labels) = (Db::in_memory(), metric(0));
    let point = HistogramPoint {
        t: 1000,
        start_t: 0,
        h: Histogram {
            hint: CounterResetHint::Unknown,
            schema: 1,
            zero_threshold: 0.001,
            sum: 7.5,
            positive_spans: vec![Span {
                offset: 0,
                length: 2,
            }],
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
            counts: Counts::Integer {
                count: 5,
                zero: 1,
                positive: vec![1, 2],
                negative: Vec::new(),
            },
        },
    };
    let (sets, mut b) = (vec![labels.clone()], WriteBatch::default());
    let extra = BatchExtra {
        histograms: vec![point.clone()],
        ..BatchExtra::default()
    };
    b.push_series(db.key_of(&labels), 0, 0, Some(extra));
    let options = AppendOptions::new(AppendMode::Atomic, i64::MAX / 2);
    db.append(TenantId::DEFAULT, &b, &sets, &options).unwrap();
    let mut gather = Gather::new(&db, window(0, 0, 2000)).unwrap();
    let slice = gather.next(&db, &rules(&[], ""), &Marks::default());
    let sent = &slice.unwrap().unwrap().series[0].histograms;
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].t, &sent[0].h), (point.t, &point.h));
}
