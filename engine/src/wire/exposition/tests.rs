//! Statements in, events out; bodies that must fail; chance.

use proptest::prelude::*;

use super::*;
use crate::model::{CUSTOM_BUCKETS_SCHEMA, Counts};
use crate::wire::proto::Writer;

/// Writes down what it is told, one line per event.
#[derive(Default)]
struct Recorder {
    lines: Vec<String>,
    raws: Vec<Vec<u8>>,
    /// Raw bytes of an earlier run, predicted in order.
    predict: Vec<Vec<u8>>,
    histograms: Vec<Histogram>,
}

impl Sink for Recorder {
    fn expected(&self) -> &[u8] {
        self.predict.get(self.raws.len()).map_or(&[], |p| p)
    }
    fn metric_type(&mut self, family: &str, kind: MetricType) {
        self.lines.push(format!("type {family} {}", kind.as_str()));
    }
    fn help(&mut self, family: &str, text: &str) {
        self.lines.push(format!("help {family} {text:?}"));
    }
    fn unit(&mut self, family: &str, unit: &str) {
        self.lines.push(format!("unit {family} {unit}"));
    }
    fn series(&mut self, s: &Series<'_>) -> Result<(), ParseError> {
        let mut pairs = Vec::new();
        s.labels(&mut pairs)?;
        let labels = Labels::from_pairs(pairs);
        let mut line = match s.value {
            SeriesValue::Float(v) => format!("{labels} {}", format_float(v)),
            SeriesValue::Histogram(h) => {
                self.histograms.push(h.clone());
                format!("{labels} histogram")
            }
        };
        if let Some(t) = s.t {
            line += &format!(" @{t}");
        }
        if s.start_t != 0 {
            line += &format!(" from {}", s.start_t);
        }
        for e in s.exemplars {
            line += &format!(" # {} {} {:?}", e.labels, e.value, e.t);
        }
        self.lines.push(line);
        self.raws.push(s.raw.to_vec());
        Ok(())
    }
}

fn run(format: Format, body: &[u8], options: &Options) -> Result<Recorder, String> {
    let mut r = Recorder::default();
    parse(format, body, options, &mut r).map_err(|e| e.0)?;
    // Predicting every series changes nothing.
    let mut again = Recorder {
        predict: r.raws.clone(),
        ..Recorder::default()
    };
    parse(format, body, options, &mut again).map_err(|e| e.0)?;
    assert_eq!(r.lines, again.lines);
    Ok(r)
}

fn text(body: &str) -> Result<Vec<String>, String> {
    run(Format::Text, body.as_bytes(), &Options::default()).map(|r| r.lines)
}

fn om(body: &str) -> Result<Vec<String>, String> {
    run(Format::OpenMetrics, body.as_bytes(), &Options::default()).map(|r| r.lines)
}

#[test]
fn text_statements_are_read() {
    let lines = text(
        "# HELP go_gc a \\\\ b\\nc \\\" d\n# TYPE go_gc summary\ngo_gc{quantile=\"0.50\"} 4.9e-05 123\n\
         # TYPE \"my.metric\" gauge\n{\"my.metric\",\"a.b\"=\"c\"} -Inf\n\n#\tTYPE x untyped\nx 1e3",
    )
    .expect("valid");
    assert_eq!(
        lines,
        [
            r#"help go_gc "a \\ b\nc \\\" d""#,
            "type go_gc summary",
            r#"{__name__="go_gc", quantile="0.5"} 4.9e-05 @123"#,
            "type my.metric gauge",
            r#"{__name__="my.metric", "a.b"="c"} -Inf"#,
            "type x unknown",
            r#"{__name__="x"} 1000"#,
        ]
    );
}

#[test]
fn open_metrics_statements_are_read() {
    let lines = om(
        "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds say \\\"x\\\"\n\
         a_seconds_total{p=\"q\"} 1 1520879607.789 # {id=\"7\"} 0.5 12.5\n\
         b 2 # {} 3\n# EOF\n",
    )
    .expect("valid");
    assert_eq!(
        lines,
        [
            "type a_seconds counter",
            "unit a_seconds seconds",
            r#"help a_seconds "say \"x\"""#,
            r#"{__name__="a_seconds_total", p="q"} 1 @1520879607789 # {id="7"} 0.5 Some(12500)"#,
            r#"{__name__="b"} 2 # {} 3 None"#,
        ]
    );
}

#[test]
fn created_series_become_start_timestamps_when_asked() {
    let body =
        b"# TYPE c counter\nc_total{a=\"b\"} 1\nc_created{a=\"b\"} 12.5\n# TYPE h histogram\n\
        h_bucket{le=\"+Inf\"} 1\nh_count 1\nh_created 3\n# TYPE g gauge\ng_created 4\n# EOF\n";
    let options = Options {
        start_timestamps: true,
        ..Options::default()
    };
    let r = run(Format::OpenMetrics, body, &options).expect("valid");
    let series: Vec<&str> = r
        .lines
        .iter()
        .map(String::as_str)
        .filter(|l| l.starts_with('{'))
        .collect();
    assert_eq!(
        series,
        [
            r#"{__name__="c_total", a="b"} 1 from 12500"#,
            r#"{__name__="h_bucket", le="+Inf"} 1 from 3000"#,
            r#"{__name__="h_count"} 1 from 3000"#,
            r#"{__name__="g_created"} 4"#,
        ]
    );
}

#[test]
fn refusals_have_the_known_texts() {
    for (body, want) in [
        (
            "m\n",
            r#"expected value after metric, got "\n" ("INVALID") while parsing: "m\n""#,
        ),
        (
            "m 1 -5\n",
            r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "m 1 -""#,
        ),
        (
            "m 1 1.5\n",
            r#"expected next entry after timestamp, got "." ("INVALID") while parsing: "m 1 1.""#,
        ),
        (
            "m{,a=\"1\"} 1\n",
            r#"expected label name, got ",a" ("COMMA") while parsing: "m{,a""#,
        ),
        (
            "m 1_0\n",
            r#"unsupported character in float while parsing: "m 1_0""#,
        ),
        (
            "{\"m\",\"n\"} 1\n",
            r#"metric name already set while parsing: "{\"m\",\"n\"}""#,
        ),
        (
            "{a=\"b\"} 1\n",
            r#"metric name not set while parsing: "{a=\"b\"} 1""#,
        ),
        (
            "m 1\r\n",
            r#"strconv.ParseFloat: parsing "1\r": invalid syntax while parsing: "m 1\r""#,
        ),
        ("# TYPE m info\n", r#"invalid metric type "info""#),
    ] {
        assert_eq!(text(body), Err(want.to_owned()), "{body:?}");
    }
    for (body, want) in [
        ("m 1\n", "data does not end with # EOF"),
        ("m 1\n# EOF\nm 2\n", "unexpected data after # EOF"),
        (
            "\nm 1\n# EOF\n",
            r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#,
        ),
        (
            "m\t1\n# EOF\n",
            r#"expected value after metric, got "\t" ("INVALID") while parsing: "m\t""#,
        ),
        (
            "m  1\n# EOF\n",
            r#"expected value after metric, got "  " ("INVALID") while parsing: "m  ""#,
        ),
        (
            "# foo\n# EOF\n",
            r##"expected a valid start token, got "# f" ("INVALID") while parsing: "# f""##,
        ),
        (
            "# UNIT m_x y\n# EOF\n",
            r#"unit "y" not a suffix of metric "m_x""#,
        ),
        (
            "m{a=\"1\" b=\"2\"} 1\n# EOF\n",
            r#"expected comma or brace close, got " " ("INVALID") while parsing: "m{a=\"1\" ""#,
        ),
    ] {
        assert_eq!(om(body), Err(want.to_owned()), "{body:?}");
    }
}

#[test]
fn a_prediction_never_cuts_a_name_short() {
    let body = "m{a=\"b\"} 1\nmm 2\nm {a=\"c\"} 3\n";
    let mut r = Recorder {
        predict: vec![b"m".to_vec(), b"m".to_vec(), b"m".to_vec()],
        ..Recorder::default()
    };
    parse(Format::Text, body.as_bytes(), &Options::default(), &mut r).expect("valid");
    assert_eq!(r.lines, text(body).expect("valid"));
}

#[test]
fn classic_histograms_convert_to_custom_buckets() {
    let body = "# TYPE h histogram\nh_bucket{a=\"x\",le=\"1\"} 1\nh_bucket{a=\"x\",le=\"2\"} 1\n\
        h_bucket{a=\"x\",le=\"+Inf\"} 4\nh_sum{a=\"x\"} 9.5\nh_count{a=\"x\"} 4\n\
        h_bucket{a=\"y\",le=\"+Inf\"} 0.5\nh_count{a=\"y\"} 0.5\nother 1\n";
    let options = Options {
        convert_to_nhcb: true,
        ..Options::default()
    };
    let r = run(Format::Text, body.as_bytes(), &options).expect("valid");
    assert_eq!(
        r.lines,
        [
            "type h histogram",
            r#"{__name__="h", a="x"} histogram"#,
            r#"{__name__="h", a="y"} histogram"#,
            r#"{__name__="other"} 1"#,
        ]
    );
    let h = &r.histograms[0];
    assert_eq!((h.schema, h.sum), (CUSTOM_BUCKETS_SCHEMA, 9.5));
    assert_eq!(h.custom_values, [1.0, 2.0]);
    assert_eq!(h.to_float().positive, [1.0, 3.0]);
    assert_eq!(h.validate(), Ok(()));
    assert!(h.is_integer() && !r.histograms[1].is_integer());
}

fn family(name: &str, kind: u64, metric: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut msg = Vec::new();
    let mut w = Writer::new(&mut msg);
    w.string_or_skip(1, name);
    w.string_or_skip(2, "help");
    w.uint(3, kind);
    w.message(4, |m| metric(m));
    let mut out = Vec::new();
    crate::wire::proto::put_varint(&mut out, msg.len() as u64);
    out.extend(msg);
    out
}

fn native_family() -> Vec<u8> {
    family("h", 4, |m| {
        m.message(1, |l| {
            l.string_or_skip(1, "a");
            l.string_or_skip(2, "b");
        });
        m.message(7, |h| {
            h.uint(1, 6);
            h.double(2, 2.5);
            h.message(3, |b| {
                b.uint(1, 4);
                b.double(2, 0.5);
            });
            h.sint_or_skip(5, 3);
            h.double(6, 0.001);
            h.uint(7, 1);
            h.message(12, |s| {
                s.sint_or_skip(1, -1);
                s.uint(2, 2);
            });
            h.packed_varints(13, [4u64, 0].into_iter());
            h.message(15, |t| t.uint(1, 7));
        });
        m.int_or_skip(6, 99);
    })
}

#[test]
fn protobuf_gives_native_or_classic_histograms() {
    let body = native_family();
    let classic = run(Format::Protobuf, &body, &Options::default()).expect("valid");
    assert_eq!(
        classic.lines,
        [
            r#"help h "help""#,
            "type h histogram",
            r#"{__name__="h_count", a="b"} 6 @99 from 7000"#,
            r#"{__name__="h_sum", a="b"} 2.5 @99 from 7000"#,
            r#"{__name__="h_bucket", a="b", le="0.5"} 4 @99 from 7000"#,
            r#"{__name__="h_bucket", a="b", le="+Inf"} 6 @99 from 7000"#,
        ]
    );
    let options = Options {
        native_histograms: true,
        ..Options::default()
    };
    let native = run(Format::Protobuf, &body, &options).expect("valid");
    assert_eq!(native.lines.len(), 3);
    let h = &native.histograms[0];
    assert_eq!((h.schema, h.zero_threshold), (3, 0.001));
    assert!(matches!(
        h.counts,
        Counts::Integer {
            count: 6,
            zero: 1,
            ..
        }
    ));
    let both = Options {
        native_histograms: true,
        always_classic: true,
        ..Options::default()
    };
    assert_eq!(
        run(Format::Protobuf, &body, &both)
            .expect("valid")
            .lines
            .len(),
        7
    );
}

#[test]
fn protobuf_numbers_and_summaries_are_read() {
    let mut body = family("c", 0, |m| m.message(3, |c| c.double(1, 4.0)));
    body.extend(family("s", 2, |m| {
        m.message(4, |s| {
            s.uint(1, 3);
            s.double(2, 1.5);
            s.message(3, |q| {
                q.double(1, 1.0);
                q.double(2, f64::NAN);
            });
        });
    }));
    let r = run(Format::Protobuf, &body, &Options::default()).expect("valid");
    assert_eq!(
        r.lines,
        [
            r#"help c "help""#,
            "type c counter",
            r#"{__name__="c"} 4"#,
            r#"help s "help""#,
            "type s summary",
            r#"{__name__="s_count"} 3"#,
            r#"{__name__="s_sum"} 1.5"#,
            r#"{__name__="s", quantile="1.0"} NaN"#,
        ]
    );
}

#[test]
fn a_series_with_absurdly_many_labels_fails_fast() {
    let pairs: Vec<String> = (0..200_000).map(|i| format!("l{i}=\"\"")).collect();
    let body = format!("m{{{}}} 1\n", pairs.join(","));
    let start = std::time::Instant::now();
    assert!(text(&body).is_err_and(|e| e.contains("more than 512 labels")));
    assert!(start.elapsed() < std::time::Duration::from_secs(1));
}

#[test]
fn protobuf_cannot_send_staleness_markers_and_units_stand_before_total() {
    let body = family("h", 4, |m| {
        m.message(7, |h| {
            h.double(2, crate::model::stale_nan());
            h.message(12, |_| {});
        });
    });
    let options = Options {
        native_histograms: true,
        ..Options::default()
    };
    let r = run(Format::Protobuf, &body, &options).expect("valid");
    assert!(!r.histograms[0].is_stale() && r.histograms[0].validate().is_ok());
    for (name, ok) in [("a_seconds_total", true), ("a_bytes_total", false)] {
        let mut msg = Vec::new();
        let mut w = Writer::new(&mut msg);
        w.string_or_skip(1, name);
        w.string_or_skip(5, "seconds");
        let mut body = Vec::new();
        crate::wire::proto::put_varint(&mut body, msg.len() as u64);
        body.extend(msg);
        assert_eq!(run(Format::Protobuf, &body, &options).is_ok(), ok, "{name}");
    }
}

fn any_options() -> impl Strategy<Value = Options> {
    any::<[bool; 4]>().prop_map(|[a, b, c, d]| Options {
        native_histograms: a,
        always_classic: b,
        convert_to_nhcb: c,
        start_timestamps: d,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn arbitrary_bodies_never_panic(
        b in proptest::collection::vec(any::<u8>(), 0..200),
        s in "([#a{}=,\" \t\n\\\\1.eE+-]|TYPE|HELP|# |le|_bucket|histogram|# EOF\n){0,60}",
        options in any_options(),
    ) {
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            drop(run(format, &b, &options));
            drop(run(format, s.as_bytes(), &options));
        }
    }

    #[test]
    fn damaged_messages_never_panic(
        flips in proptest::collection::vec((0usize..200, any::<u8>()), 1..6),
        options in any_options(),
    ) {
        let mut body = native_family();
        for (at, b) in flips {
            let n = body.len();
            body[at % n] = b;
        }
        drop(run(Format::Protobuf, &body, &options));
    }

    #[test]
    fn what_is_written_by_hand_is_read_back(
        name in "[a-z_:][a-z0-9_:]{0,8}",
        pairs in proptest::collection::vec(("[a-z_][a-z0-9_]{0,5}", "\\PC{0,6}"), 0..4),
        v in any::<f64>(),
        t in proptest::option::of(0i64..4_000_000_000_000),
    ) {
        let esc = |s: &str| s.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let inner: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}=\"{}\"", esc(v))).collect();
        let mut body = format!("{name}{{{}}} {}", inner.join(","), format_float(v));
        if let Some(t) = t {
            body += &format!(" {t}");
        }
        body.push('\n');
        let labels = Labels::from_pairs(
            pairs
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .chain([("__name__", name.as_str())]),
        );
        let mut want = format!("{labels} {}", format_float(v));
        if let Some(t) = t {
            want += &format!(" @{t}");
        }
        prop_assert_eq!(text(&body), Ok(vec![want]));
    }
}

/// Counts samples and predicts them in the order of the first run.
#[derive(Default)]
struct Counter {
    known: Vec<Vec<u8>>,
    at: usize,
    predict: bool,
}

impl Sink for Counter {
    fn expected(&self) -> &[u8] {
        if self.predict {
            self.known.get(self.at).map_or(&[], |k| k)
        } else {
            &[]
        }
    }
    fn metric_type(&mut self, _: &str, _: MetricType) {}
    fn help(&mut self, _: &str, _: &str) {}
    fn unit(&mut self, _: &str, _: &str) {}
    fn series(&mut self, s: &Series<'_>) -> Result<(), ParseError> {
        if !self.predict {
            self.known.push(s.raw.to_vec());
        }
        self.at += 1;
        Ok(())
    }
}

/// `cargo test --release -p sextant-engine parse_speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a check"]
fn parse_speed() {
    let mut body = String::from("# TYPE http_request_duration_seconds histogram\n");
    for i in 0..5000 {
        body += &format!(
            "http_request_duration_seconds_bucket{{handler=\"/api/v1/query_range\",method=\"GET\",code=\"200\",pod=\"api-{i}\",le=\"0.25\"}} {i}.5\n"
        );
    }
    let om = format!("{body}# EOF\n");
    for (name, format, body) in [
        ("text", Format::Text, body.as_bytes()),
        ("openmetrics", Format::OpenMetrics, om.as_bytes()),
    ] {
        let mut first = Counter::default();
        parse(format, body, &Options::default(), &mut first).expect("valid");
        for predict in [false, true] {
            let mut sink = Counter {
                known: if predict {
                    std::mem::take(&mut first.known)
                } else {
                    Vec::new()
                },
                predict,
                at: 0,
            };
            let mut best = f64::MAX;
            for _ in 0..200 {
                if !predict {
                    sink.known = Vec::with_capacity(5000);
                }
                sink.at = 0;
                let start = std::time::Instant::now();
                parse(format, body, &Options::default(), &mut sink).expect("valid");
                best = best.min(start.elapsed().as_nanos() as f64 / 5000.0);
            }
            println!("{name}, predicted {predict}: {best:.1} ns a sample of 5 labels");
        }
    }
}
