//! Requests as JSON and protobuf, and the series they become.

use proptest::prelude::{any, proptest};

use super::*;
use crate::model::{Counts, LabelsSource, WriteBatch};
use crate::wire::exposition::format_float;
use crate::wire::proto::Writer;

/// One line per series.
fn lines(request: &message::Request, settings: &Settings) -> Result<Vec<String>, String> {
    let mut batch = WriteBatch::default();
    let t = translate(request, settings, 7, &mut batch).map_err(|e| e.to_string())?;
    let mut out: Vec<String> = batch
        .series
        .iter()
        .map(|s| {
            let mut pairs = Vec::new();
            t.labels.collect(s.labels, &mut pairs).expect("readable");
            let labels = &t.labels[s.labels as usize];
            let mut line = labels.to_string();
            for (i, p) in batch.samples_of(s).iter().enumerate() {
                line += &format!(" {} @{}", format_float(p.v), p.t);
                if let Some(start) = batch.start_ts.get(s.first_sample as usize + i)
                    && *start != 0
                {
                    line += &format!(" from {start}");
                }
            }
            if let Some(e) = batch.extra_of(s) {
                for h in &e.histograms {
                    let f = h.h.to_float();
                    line += &format!(
                        " h{} {} {:?} {:?} @{}",
                        f.schema, f.count, f.positive_spans, f.positive, h.t
                    );
                }
                for x in &e.exemplars {
                    line += &format!(" # {} {} @{}", x.labels, x.value, x.t);
                }
            }
            line
        })
        .collect();
    out.sort();
    Ok(out)
}

fn json(metrics: &str) -> message::Request {
    let body = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
            {{"key":"service.name","value":{{"stringValue":"api"}}}},
            {{"key":"service.namespace","value":{{"stringValue":"shop"}}}},
            {{"key":"service.instance.id","value":{{"stringValue":"i1"}}}},
            {{"key":"host.name","value":{{"stringValue":"h"}}}}]}},
          "scopeMetrics":[{{"scope":{{"name":"lib","version":"2"}},"metrics":[{metrics}]}}]}}]}}"#
    );
    decode_json(body.as_bytes()).expect("valid")
}

const TARGET: &str =
    r#"{__name__="target_info", host_name="h", instance="i1", job="shop/api"} 1 @2000"#;

#[test]
fn sums_and_gauges_get_suffixes() {
    let req = json(
        r#"{"name":"my.counter","unit":"By","sum":{"aggregationTemporality":2,"isMonotonic":true,
             "dataPoints":[{"asInt":"5","timeUnixNano":"2000000000","startTimeUnixNano":"1000000000",
               "attributes":[{"key":"a.b","value":{"intValue":"1"}},{"key":"a_b","value":{"boolValue":true}}],
               "exemplars":[{"asDouble":1.5,"timeUnixNano":"1500000000","traceId":"ABCD","spanId":"00"}]}]}},
           {"name":"my.gauge","unit":"s","gauge":{"dataPoints":[{"asDouble":0.5,"timeUnixNano":2000000000}]}},
           {"name":"share","unit":"1","gauge":{"dataPoints":[{"asDouble":"NaN","timeUnixNano":2000000000,"flags":1}]}}"#,
    );
    let job = r#"instance="i1", job="shop/api""#;
    assert_eq!(
        lines(&req, &Settings::default()),
        Ok(vec![
            format!(
                r#"{{__name__="my_counter_bytes_total", a_b="1;true", {job}}} 5 @2000 from 1000 # {{trace_id="abcd"}} 1.5 @1500"#
            ),
            format!(r#"{{__name__="my_gauge_seconds", {job}}} 0.5 @2000"#),
            format!(r#"{{__name__="share_ratio", {job}}} NaN @2000"#),
            TARGET.to_owned(),
        ])
    );
    let settings = Settings {
        strategy: Strategy::NoTranslation,
        promote_resource_attributes: vec!["host.name".into()],
        promote_scope_metadata: true,
        ..Settings::default()
    };
    let got = lines(&req, &settings).expect("translates");
    assert_eq!(
        got[1],
        r#"{__name__="my.gauge", "host.name"="h", instance="i1", job="shop/api", otel_scope_name="lib", otel_scope_version="2"} 0.5 @2000"#
    );
    assert_eq!(
        got[3],
        r#"{__name__="target_info", "host.name"="h", instance="i1", job="shop/api"} 1 @2000"#
    );
}

#[test]
fn names_follow_the_strategy() {
    use super::names::{Kind, label_name, metric_name, unit_name};
    let with = |strategy| Settings {
        strategy,
        ..Settings::default()
    };
    let escaped = with(Strategy::UnderscoreEscapingWithSuffixes);
    let plain = with(Strategy::UnderscoreEscapingWithoutSuffixes);
    let utf8 = with(Strategy::NoUtf8EscapingWithSuffixes);
    for (name, unit, kind, want) in [
        (
            "system.io",
            "By/s",
            Kind::Gauge,
            "system_io_bytes_per_second",
        ),
        (
            "requests.total",
            "{req}",
            Kind::MonotonicSum,
            "requests_total",
        ),
        ("a..b__c", "", Kind::Other, "a_b_c"),
        ("2xx", "ms", Kind::Other, "_2xx_milliseconds"),
        ("time_seconds", "s", Kind::Gauge, "time_seconds"),
    ] {
        assert_eq!(metric_name(name, unit, kind, &escaped).as_deref(), Ok(want));
    }
    assert_eq!(
        metric_name("a..b__c", "s", Kind::Gauge, &plain).as_deref(),
        Ok("a_b__c")
    );
    assert_eq!(
        metric_name("a.b", "By/s", Kind::MonotonicSum, &utf8).as_deref(),
        Ok("a.b_bytes_per_second_total")
    );
    assert!(metric_name("..", "", Kind::Other, &escaped).is_err());
    assert_eq!(label_name("a.b", &escaped).as_deref(), Ok("a_b"));
    assert_eq!(label_name("1a", &escaped).as_deref(), Ok("key_1a"));
    assert_eq!(label_name("_a", &escaped).as_deref(), Ok("key_a"));
    assert!(label_name("", &escaped).is_err());
    assert_eq!(unit_name("By/s"), "bytes_per_second");
    assert_eq!(unit_name("1"), "");
}

#[test]
fn histograms_become_classic_series_or_custom_buckets() {
    let req = json(
        r#"{"name":"lat","unit":"s","histogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE",
             "dataPoints":[{"count":"6","sum":4.5,"bucketCounts":["1","0","5"],"explicitBounds":[0.5,1],"timeUnixNano":"2000000000",
               "exemplars":[{"asDouble":0.2},{"asDouble":9}]}]}}"#,
    );
    let job = r#"instance="i1", job="shop/api""#;
    assert_eq!(
        lines(&req, &Settings::default()),
        Ok(vec![
            format!(
                r#"{{__name__="lat_seconds_bucket", {job}, le="+Inf"}} 6 @2000 # {{}} 9 @2000"#
            ),
            format!(
                r#"{{__name__="lat_seconds_bucket", {job}, le="0.5"}} 1 @2000 # {{}} 0.2 @2000"#
            ),
            format!(r#"{{__name__="lat_seconds_bucket", {job}, le="1"}} 1 @2000"#),
            format!(r#"{{__name__="lat_seconds_count", {job}}} 6 @2000"#),
            format!(r#"{{__name__="lat_seconds_sum", {job}}} 4.5 @2000"#),
            TARGET.to_owned(),
        ])
    );
    let settings = Settings {
        convert_histograms_to_nhcb: true,
        ..Settings::default()
    };
    let got = lines(&req, &settings).expect("translates");
    assert!(
        got[0].starts_with(&format!(
            r#"{{__name__="lat_seconds", {job}}} h-53 6 [Span {{ offset: 0, length: 3 }}] [1.0, 0.0, 5.0] @2000"#
        )),
        "{}",
        got[0]
    );
}

#[test]
fn exponential_histograms_become_native_ones() {
    let req = json(
        r#"{"name":"e","exponentialHistogram":{"aggregationTemporality":2,
             "dataPoints":[{"count":"7","sum":1,"scale":9,"zeroCount":"1","positive":{"offset":-1,"bucketCounts":["1","2","0","0","0","0","0","0","0","3"]},
               "timeUnixNano":"2000000000"}]}}"#,
    );
    let mut batch = WriteBatch::default();
    translate(&req, &Settings::default(), 0, &mut batch).expect("translates");
    let h = &batch.extras[0].histograms[0].h;
    assert_eq!(h.schema, 8);
    assert_eq!(h.validate(), Ok(()));
    // Scale 9 index -1 and 0 are buckets 0 and 1 at schema 9, so 0 and 1 at schema 8; 8 is 5.
    assert_eq!(h.to_float().positive, [1.0, 2.0, 3.0]);
    assert!(matches!(
        h.counts,
        Counts::Integer {
            count: 7,
            zero: 1,
            ..
        }
    ));
}

#[test]
fn delta_temporality_fails_the_request() {
    let req = json(
        r#"{"name":"d","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"5"}]}}"#,
    );
    assert_eq!(
        lines(&req, &Settings::default()),
        Err("invalid temporality and type combination for metric \"d\"".to_owned())
    );
}

#[test]
fn summaries_become_quantiles() {
    let req = json(
        r#"{"name":"s","summary":{"dataPoints":[{"count":"2","sum":3,"quantileValues":[{"quantile":0.5,"value":1}],"timeUnixNano":"2000000000"}]}}"#,
    );
    let got = lines(&req, &Settings::default()).expect("translates");
    assert_eq!(got.len(), 4);
    assert_eq!(
        got[0],
        r#"{__name__="s", instance="i1", job="shop/api", quantile="0.5"} 1 @2000"#
    );
}

fn protobuf() -> Vec<u8> {
    let attr = |m: &mut Writer<'_>, field: u32, k: &str, v: &str| {
        m.message(field, |m| {
            m.string_or_skip(1, k);
            m.message(2, |m| m.string_or_skip(1, v));
        });
    };
    let fixed = |m: &mut Writer<'_>, field: u32, v: u64| m.double(field, f64::from_bits(v));
    let mut out = Vec::new();
    Writer::new(&mut out).message(1, |rm| {
        rm.message(1, |r| {
            attr(r, 1, "service.name", "api");
            attr(r, 1, "host.name", "h");
        });
        rm.message(2, |sm| {
            sm.message(2, |m| {
                m.string_or_skip(1, "c");
                m.message(7, |s| {
                    s.message(1, |p| {
                        fixed(p, 3, 2_000_000_000);
                        fixed(p, 6, 4);
                        attr(p, 7, "k", "v");
                    });
                    s.uint(2, 2);
                    s.uint(3, 1);
                });
            });
            sm.message(2, |m| {
                m.string_or_skip(1, "h");
                m.message(9, |s| {
                    s.message(1, |p| {
                        fixed(p, 3, 2_000_000_000);
                        fixed(p, 4, 3);
                        p.double(5, 2.5);
                        p.packed_doubles(6, &[f64::from_bits(1), f64::from_bits(2)]);
                        p.packed_doubles(7, &[0.5]);
                    });
                    s.uint(2, 2);
                });
            });
            sm.message(2, |m| {
                m.string_or_skip(1, "e");
                m.message(10, |s| {
                    s.message(1, |p| {
                        fixed(p, 3, 2_000_000_000);
                        fixed(p, 4, 3);
                        p.sint_or_skip(6, 2);
                        p.message(8, |b| {
                            b.sint_or_skip(1, -2);
                            b.packed_varints(2, [1u64, 2].into_iter());
                        });
                    });
                    s.uint(2, 2);
                });
            });
        });
    });
    out
}

#[test]
fn protobuf_is_read() {
    let req = decode_protobuf(&protobuf()).expect("valid");
    assert_eq!(
        lines(&req, &Settings::default()),
        Ok(vec![
            r#"{__name__="c_total", job="api", k="v"} 4 @2000"#.to_owned(),
            r#"{__name__="e", job="api"} h2 3 [Span { offset: -1, length: 2 }] [1.0, 2.0] @2000"#
                .to_owned(),
            r#"{__name__="h_bucket", job="api", le="+Inf"} 3 @2000"#.to_owned(),
            r#"{__name__="h_bucket", job="api", le="0.5"} 1 @2000"#.to_owned(),
            r#"{__name__="h_count", job="api"} 3 @2000"#.to_owned(),
            r#"{__name__="h_sum", job="api"} 2.5 @2000"#.to_owned(),
            r#"{__name__="target_info", host_name="h", job="api"} 1 @2000"#.to_owned(),
        ])
    );
}

proptest! {
    #[test]
    fn damaged_requests_never_panic(
        flips in proptest::collection::vec((0usize..400, any::<u8>()), 0..8),
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
        nhcb: bool,
    ) {
        let settings = Settings { convert_histograms_to_nhcb: nhcb, ..Settings::default() };
        let mut body = protobuf();
        for (at, b) in flips {
            let n = body.len();
            body[at % n] = b;
        }
        for b in [&body, &bytes] {
            if let Ok(req) = decode_protobuf(b) {
                drop(lines(&req, &settings));
            }
            drop(decode_json(b));
        }
    }
}
