//! Requests are built by the encoders, by hand where a layout is unusual, and by chance.

use proptest::prelude::*;

use super::*;
use crate::model::{
    CounterResetHint, Counts, Histogram, LabelsSource, MetricType, SeriesKey, Span,
};
use crate::wire::proto::Writer;

const SECRET: u64 = 42;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn histogram(t: i64) -> HistogramPoint {
    HistogramPoint {
        t,
        start_t: 5,
        h: Histogram {
            hint: CounterResetHint::NotReset,
            schema: 3,
            zero_threshold: 1e-128,
            sum: 18.5,
            positive_spans: vec![
                Span {
                    offset: -2,
                    length: 2,
                },
                Span {
                    offset: 3,
                    length: 1,
                },
            ],
            negative_spans: vec![Span {
                offset: 0,
                length: 1,
            }],
            custom_values: vec![],
            counts: Counts::Integer {
                count: 9,
                zero: 2,
                positive: vec![1, 1, -1],
                negative: vec![3],
            },
        },
    }
}

fn float_custom(t: i64) -> HistogramPoint {
    HistogramPoint {
        t,
        start_t: 0,
        h: Histogram {
            hint: CounterResetHint::Gauge,
            schema: crate::model::CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            sum: -1.0,
            positive_spans: vec![Span {
                offset: 0,
                length: 3,
            }],
            negative_spans: vec![],
            custom_values: vec![0.5, 1.0],
            counts: Counts::Float {
                count: 6.5,
                zero: 0.0,
                positive: vec![1.0, 2.5, 3.0],
                negative: vec![],
            },
        },
    }
}

fn pairs(src: &dyn LabelsSource, handle: u64) -> Labels {
    let mut out = Vec::new();
    src.collect(handle, &mut out).expect("readable");
    Labels::from_pairs(out)
}

fn exemplar() -> Exemplar {
    Exemplar {
        labels: labels(&[("trace_id", "abc")]),
        value: 0.25,
        t: 17,
    }
}

#[test]
fn both_versions_carry_everything() {
    let l = labels(&[("__name__", "h"), ("job", "a")]);
    let meta = MetricMetadata {
        kind: MetricType::Histogram,
        help: "help me".into(),
        unit: "seconds".into(),
    };
    let samples = [
        Sample { t: 1, v: 0.0 },
        Sample {
            t: -7,
            v: crate::model::stale_nan(),
        },
    ];
    let (hs, es) = ([histogram(3), float_custom(4)], [exemplar()]);
    let s = OutSeries {
        labels: &l,
        samples: &samples,
        start_ts: &[0, 9],
        histograms: &hs,
        exemplars: &es,
        metadata: Some(&meta),
    };
    let mut batch = WriteBatch::default();

    let mut body = Vec::new();
    v1::encode([s], [("h", &meta)], &mut body);
    let src = v1::decode(&body, SECRET, &Limits::default(), &mut batch).expect("valid");
    assert_eq!(pairs(&src, batch.series[0].labels), l);
    assert_eq!(batch.samples[0], samples[0]);
    assert_eq!(batch.samples[1].v.to_bits(), samples[1].v.to_bits());
    assert!(batch.start_ts.is_empty());
    let extra = batch.extra_of(&batch.series[0]).expect("has histograms");
    assert_eq!(extra.histograms[0].h, hs[0].h);
    assert_eq!(extra.histograms[1], hs[1]);
    assert_eq!(extra.exemplars, es);
    assert_eq!(
        v1::metadata(&body, 10),
        Ok(vec![("h".to_owned(), meta.clone())])
    );

    let mut body = Vec::new();
    v2::encode([s, s], &mut body);
    let mut scratch = v2::Scratch::default();
    let d = v2::decode(&body, SECRET, &Limits::default(), &mut scratch, &mut batch).expect("valid");
    assert!(d.refused.is_empty(), "{:?}", d.refused);
    assert_eq!(pairs(&d.labels, batch.series[1].labels), l);
    assert_eq!(batch.series[0].key, batch.series[1].key);
    assert_eq!(batch.start_ts, [0, 9, 0, 9]);
    let extra = batch.extra_of(&batch.series[0]).expect("has histograms");
    assert_eq!(extra.histograms, hs);
    assert_eq!(extra.exemplars, es);
    assert_eq!(extra.metadata.as_ref(), Some(&meta));
    // Told once a request.
    assert_eq!(batch.extras[1].metadata, None);
}

#[test]
fn an_empty_message_is_an_empty_batch() {
    let mut batch = WriteBatch::default();
    v1::decode(b"", SECRET, &Limits::default(), &mut batch).expect("valid");
    assert!(batch.series.is_empty());
    let mut scratch = v2::Scratch::default();
    v2::decode(b"", SECRET, &Limits::default(), &mut scratch, &mut batch).expect("valid");
    assert!(batch.series.is_empty());
}

#[test]
fn interleaved_labels_have_the_key_of_contiguous_ones() {
    let label = |m: &mut Writer<'_>, n: &str, v: &str| {
        m.message(1, |m| {
            m.string_or_skip(1, n);
            m.string_or_skip(2, v);
        });
    };
    let sample = |m: &mut Writer<'_>| {
        m.message(2, |m| {
            m.int_or_skip(2, 5);
            m.double(1, 1.5);
        });
    };
    let mut body = Vec::new();
    let mut w = Writer::new(&mut body);
    w.message(1, |m| {
        label(m, "__name__", "m");
        label(m, "a", "b");
        sample(m);
    });
    w.message(1, |m| {
        label(m, "__name__", "m");
        sample(m);
        label(m, "a", "b");
        m.uint(99, 7);
    });
    let mut batch = WriteBatch::default();
    let src = v1::decode(&body, SECRET, &Limits::default(), &mut batch).expect("valid");
    assert_eq!(batch.series[0].key, batch.series[1].key);
    assert_ne!(batch.series[0].labels, batch.series[1].labels);
    assert_eq!(
        pairs(&src, batch.series[0].labels),
        pairs(&src, batch.series[1].labels)
    );
    assert_eq!(batch.samples, [Sample { t: 5, v: 1.5 }; 2]);

    // Version 2: references unpacked, and split around a sample.
    let mut body = Vec::new();
    let mut w = Writer::new(&mut body);
    for s in ["", "__name__", "m", "a", "b"] {
        w.bytes(4, s.as_bytes());
    }
    w.message(5, |m| {
        m.packed_varints(1, [1u64, 2, 3, 4].into_iter());
        sample(m);
    });
    w.message(5, |m| {
        m.uint(1, 1);
        m.uint(1, 2);
        sample(m);
        m.packed_varints(1, [3u64, 4].into_iter());
    });
    let mut scratch = v2::Scratch::default();
    let d = v2::decode(&body, SECRET, &Limits::default(), &mut scratch, &mut batch).expect("ok");
    assert!(d.refused.is_empty());
    assert_eq!(batch.series[0].key, batch.series[1].key);
    assert_eq!(pairs(&d.labels, batch.series[1].labels).get("a"), Some("b"));
}

#[test]
fn series_without_points_are_nothing_in_1_and_refused_in_2() {
    let l = labels(&[("__name__", "m")]);
    let mut batch = WriteBatch::default();
    let mut body = Vec::new();
    v1::encode([OutSeries::floats(&l, &[])], [], &mut body);
    v1::decode(&body, SECRET, &Limits::default(), &mut batch).expect("valid");
    assert!(batch.series.is_empty());
    let mut body = Vec::new();
    v2::encode([OutSeries::floats(&l, &[])], &mut body);
    let mut scratch = v2::Scratch::default();
    let d = v2::decode(&body, SECRET, &Limits::default(), &mut scratch, &mut batch).expect("ok");
    assert_eq!(
        d.refused.first,
        [r#"TimeSeries must contain at least one sample or histogram for series {__name__="m"}"#]
    );
    assert!(batch.series.is_empty());
}

#[test]
fn bad_references_cost_only_their_series() {
    let mut body = Vec::new();
    let mut w = Writer::new(&mut body);
    for s in ["", "__name__", "m"] {
        w.bytes(4, s.as_bytes());
    }
    let sample = |m: &mut Writer<'_>| m.message(2, |m| m.double(1, 2.0));
    for refs in [&[1u64, 2][..], &[1, 2, 1], &[1, 3]] {
        w.message(5, |m| {
            m.packed_varints(1, refs.iter().copied());
            sample(m);
        });
    }
    let mut batch = WriteBatch::default();
    let mut scratch = v2::Scratch::default();
    let d = v2::decode(&body, SECRET, &Limits::default(), &mut scratch, &mut batch).expect("ok");
    assert_eq!(
        d.refused.first,
        [
            "parsing labels for series [1 2 1]: invalid labelRefs length 3",
            "parsing labels for series [1 3]: labelRefs 1 (name) = 3 (value) outside of symbols table (size 3)",
        ]
    );
    assert_eq!((batch.series.len(), batch.samples.len()), (1, 1));
    assert_eq!(d.refused.samples_lost, 2);

    let mut body = Vec::new();
    let mut w = Writer::new(&mut body);
    w.bytes(4, b"x");
    w.message(5, sample);
    assert!(matches!(
        v2::decode(&body, SECRET, &Limits::default(), &mut scratch, &mut batch),
        Err(DecodeError::Symbols(_))
    ));
}

#[test]
fn an_invalid_histogram_fails_version_1_and_one_point_of_version_2() {
    let l = labels(&[("__name__", "h")]);
    let mut bad = histogram(1);
    bad.h.positive_spans.pop();
    let hs = [bad, histogram(2)];
    let s = OutSeries {
        histograms: &hs,
        ..OutSeries::floats(&l, &[])
    };
    let mut batch = WriteBatch::default();
    let mut body = Vec::new();
    v1::encode([s], [], &mut body);
    let err = v1::decode(&body, SECRET, &Limits::default(), &mut batch).expect_err("invalid");
    assert_eq!(
        err.to_string(),
        "positive side: spans need 2 buckets, have 3 buckets: histogram spans specify different number of buckets than provided"
    );
    let mut body = Vec::new();
    v2::encode([s], &mut body);
    let mut scratch = v2::Scratch::default();
    let d = v2::decode(&body, SECRET, &Limits::default(), &mut scratch, &mut batch).expect("ok");
    assert_eq!(d.refused.total, 1);
    assert_eq!(batch.extras[0].histograms.len(), 1);
}

#[test]
fn limits_stop_a_small_body_from_becoming_a_large_batch() {
    let mut batch = WriteBatch::default();
    let limits = Limits {
        series: 10,
        samples: 10,
        buckets: 10,
        symbols: 10,
    };
    let mut body = Vec::new();
    let mut w = Writer::new(&mut body);
    w.message(1, |m| {
        for _ in 0..11 {
            m.message(2, |_| {});
        }
    });
    assert_eq!(
        v1::decode(&body, SECRET, &limits, &mut batch).map(|_| ()),
        Err(DecodeError::TooMany {
            what: "samples",
            limit: 10
        })
    );
    let mut body = Vec::new();
    let mut w = Writer::new(&mut body);
    w.message(1, |m| m.message(4, |m| m.bytes(12, &[0; 11])));
    assert!(matches!(
        v1::decode(&body, SECRET, &limits, &mut batch),
        Err(DecodeError::TooMany { .. })
    ));
    let mut body = Vec::new();
    let mut w = Writer::new(&mut body);
    for _ in 0..11 {
        w.bytes(4, b"");
    }
    let mut scratch = v2::Scratch::default();
    assert!(matches!(
        v2::decode(&body, SECRET, &limits, &mut scratch, &mut batch),
        Err(DecodeError::TooMany {
            what: "symbols",
            ..
        })
    ));
}

#[test]
fn broken_bytes_are_refused() {
    let mut batch = WriteBatch::default();
    for body in [&[0x0a][..], &[0x0a, 9, 1], &[0xff; 20]] {
        assert!(v1::decode(body, SECRET, &Limits::default(), &mut batch).is_err());
    }
    // A broken label message is found when the labels are asked for.
    let body = [
        0x0a, 16, 0x0a, 1, 0x0a, 0x12, 11, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1,
    ];
    let src = v1::decode(&body, SECRET, &Limits::default(), &mut batch).expect("outer is fine");
    let err = src
        .collect(batch.series[0].labels, &mut Vec::new())
        .expect_err("broken");
    assert!(
        matches!(err, crate::model::InvalidLabels::Malformed(_)),
        "{err}"
    );
}

fn any_pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec(("[a-c_]{1,4}", "[a-cé]{0,4}"), 1..6)
}

proptest! {
    #[test]
    fn keys_of_version_2_are_equal_exactly_when_the_lists_are(
        sets in proptest::collection::vec(any_pairs(), 1..12)
    ) {
        let ls: Vec<Labels> = sets
            .iter()
            .map(|s| Labels::from_pairs(s.iter().map(|(n, v)| (n.as_str(), v.as_str()))))
            .collect();
        let samples = [Sample { t: 1, v: 1.0 }];
        let mut body = Vec::new();
        v2::encode(ls.iter().map(|l| OutSeries::floats(l, &samples)), &mut body);
        let mut batch = WriteBatch::default();
        let mut scratch = v2::Scratch::default();
        let d = v2::decode(&body, SECRET, &Limits::default(), &mut scratch, &mut batch).expect("valid");
        prop_assert!(d.refused.is_empty());
        for (i, a) in ls.iter().enumerate() {
            prop_assert_eq!(&pairs(&d.labels, batch.series[i].labels), a);
            for (j, b) in ls.iter().enumerate() {
                prop_assert_eq!(a == b, batch.series[i].key == batch.series[j].key);
            }
        }
    }

    #[test]
    fn keys_of_version_1_are_equal_exactly_when_the_labels_are(
        sets in proptest::collection::vec(any_pairs(), 1..8)
    ) {
        let ls: Vec<Labels> = sets
            .iter()
            .map(|s| Labels::from_pairs(s.iter().map(|(n, v)| (n.as_str(), v.as_str()))))
            .collect();
        let samples = [Sample { t: 1, v: 1.0 }];
        let mut body = Vec::new();
        v1::encode(ls.iter().map(|l| OutSeries::floats(l, &samples)), [], &mut body);
        let mut batch = WriteBatch::default();
        let src = v1::decode(&body, SECRET, &Limits::default(), &mut batch).expect("valid");
        for (i, a) in ls.iter().enumerate() {
            prop_assert_eq!(&pairs(&src, batch.series[i].labels), a);
            for (j, b) in ls.iter().enumerate() {
                prop_assert_eq!(a == b, batch.series[i].key == batch.series[j].key);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        mut body in proptest::collection::vec(any::<u8>(), 0..300),
        flips in proptest::collection::vec((0usize..4000, any::<u8>()), 0..6),
        valid: bool,
    ) {
        let l = labels(&[("__name__", "h"), ("job", "a")]);
        let (hs, es) = ([histogram(3), float_custom(4)], [exemplar()]);
        let s = OutSeries {
            histograms: &hs,
            exemplars: &es,
            ..OutSeries::floats(&l, &[Sample { t: 1, v: 2.0 }])
        };
        for v2_body in [false, true] {
            if valid {
                body.clear();
                if v2_body {
                    v2::encode([s, s], &mut body);
                } else {
                    v1::encode([s, s], [], &mut body);
                }
                for (at, b) in &flips {
                    let n = body.len();
                    body[at % n] = *b;
                }
            }
            let mut batch = WriteBatch::default();
            if let Ok(src) = v1::decode(&body, SECRET, &Limits::default(), &mut batch) {
                for s in &batch.series {
                    drop(src.collect(s.labels, &mut Vec::new()));
                    prop_assert!(batch.samples_of(s).len() == s.samples as usize);
                }
            }
            let mut scratch = v2::Scratch::default();
            if let Ok(d) = v2::decode(&body, SECRET, &Limits::default(), &mut scratch, &mut batch) {
                for s in &batch.series {
                    drop(d.labels.collect(s.labels, &mut Vec::new()));
                    prop_assert!(batch.samples_of(s).len() == s.samples as usize);
                }
            }
            drop(v1::metadata(&body, 10));
        }
    }
}

/// `cargo test --release -p sextant-engine decode_speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a check"]
fn decode_speed() {
    let ls: Vec<Labels> = (0..2000)
        .map(|i| {
            let i = i.to_string();
            labels(&[
                ("__name__", "http_request_duration_seconds_bucket"),
                ("job", "api-server"),
                ("instance", &format!("10.0.{}.17:9090", &i[..1])),
                ("handler", "/api/v1/query_range"),
                ("method", "GET"),
                ("code", "200"),
                ("le", "0.25"),
                ("cluster", "production-eu-west"),
                ("namespace", "monitoring"),
                ("pod", &format!("api-server-7d9f8b6c5-{i}")),
            ])
        })
        .collect();
    let samples = [Sample {
        t: 1_700_000_000_000,
        v: 12.75,
    }];
    let series = || ls.iter().map(|l| OutSeries::floats(l, &samples));
    let (mut one, mut two) = (Vec::new(), Vec::new());
    v1::encode(series(), [], &mut one);
    v2::encode(series(), &mut two);
    let mut batch = WriteBatch::default();
    let mut scratch = v2::Scratch::default();
    // The best round counts: the machine has other work, too.
    let best = |name: &str, round: &mut dyn FnMut()| {
        let mut best = f64::MAX;
        for _ in 0..3000 {
            let start = std::time::Instant::now();
            round();
            best = best.min(start.elapsed().as_nanos() as f64 / ls.len() as f64);
        }
        println!("{name}: {best:.1} ns a series of 10 labels");
    };
    best("remote write 1", &mut || {
        v1::decode(&one, SECRET, &Limits::default(), &mut batch).expect("valid");
        std::hint::black_box(&batch);
    });
    best("remote write 2", &mut || {
        v2::decode(&two, SECRET, &Limits::default(), &mut scratch, &mut batch).expect("valid");
        std::hint::black_box(&batch);
    });
    let labels_only: Vec<&[u8]> = ls.iter().map(Labels::as_bytes).collect();
    best("hash of as many label bytes", &mut || {
        for l in &labels_only {
            std::hint::black_box(SeriesKey::of_bytes(SECRET, 1, l));
        }
    });
    assert_eq!(batch.series.len(), ls.len());
    assert_ne!(batch.series[0].key, SeriesKey(0));
}
