//! Writers of the three exposition formats, for our own metrics and for federation.
//!
//! Output goes to a byte vector, one family at a time, so that a large answer can be streamed.

use super::negotiate::{Escaping, Offer, is_legacy_name};
use super::{Format, float, format_float};
use crate::model::{Counts, Exemplar, Histogram, Labels, METRIC_NAME, MetricType, Span};
use crate::wire::proto::{Writer, put_varint, zigzag};

/// A metric family to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name; of counters including `_total`.
    pub name: String,
    /// Help text, left out when empty.
    pub help: String,
    /// Unit, only written in OpenMetrics and protobuf.
    pub unit: String,
    /// Type.
    pub kind: MetricType,
    /// Its metrics.
    pub metrics: Vec<Metric>,
}

/// One metric of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Labels; a `__name__` among them is not written.
    pub labels: Labels,
    /// Timestamp in ms, if it is to be stated.
    pub t: Option<i64>,
    /// Value.
    pub value: MetricValue,
}

/// Value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// Counters, gauges, untyped.
    Number(f64),
    /// A classic histogram.
    Histogram {
        /// Observations.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Upper bound (the last one `+Inf`), cumulative count, exemplar.
        buckets: Vec<(f64, u64, Option<Exemplar>)>,
    },
    /// A native histogram; only protobuf can carry it, the text formats leave it out.
    Native(Histogram),
    /// A summary.
    Summary {
        /// Observations.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Quantile and value.
        quantiles: Vec<(f64, f64)>,
    },
}

/// Appends `family` in the form of `offer`.
pub fn write_family(offer: &Offer, family: &Family, out: &mut Vec<u8>) {
    if offer.format == Format::Protobuf {
        write_proto(offer, family, out);
    } else {
        TextWriter {
            out,
            escaping: offer.escaping,
            open_metrics: offer.format == Format::OpenMetrics,
        }
        .family(family);
    }
}

/// Appends what ends a body in the form of `offer`.
pub fn write_end(offer: &Offer, out: &mut Vec<u8>) {
    if offer.format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
}

struct TextWriter<'a> {
    out: &'a mut Vec<u8>,
    escaping: Escaping,
    open_metrics: bool,
}

impl TextWriter<'_> {
    fn put(&mut self, s: &str) {
        self.out.extend_from_slice(s.as_bytes());
    }

    fn escaped(&mut self, s: &str, quotes: bool) {
        for b in s.bytes() {
            match b {
                b'\\' => self.put("\\\\"),
                b'\n' => self.put("\\n"),
                b'"' if quotes => self.put("\\\""),
                b => self.out.push(b),
            }
        }
    }

    fn number(&mut self, v: f64) {
        if self.open_metrics {
            self.put(&float::format_open_metrics(v));
        } else {
            self.put(&format_float(v));
        }
    }

    fn meta(&mut self, word: &str, name: &str, text: &str) {
        self.put("# ");
        self.put(word);
        self.put(" ");
        let name = self.escaping.escape(name, true).into_owned();
        if is_legacy_name(&name, true) {
            self.put(&name);
        } else {
            self.put("\"");
            self.escaped(&name, true);
            self.put("\"");
        }
        self.put(" ");
        self.escaped(text, self.open_metrics && word == "HELP");
        self.put("\n");
    }

    fn family(&mut self, f: &Family) {
        let total = f.kind == MetricType::Counter && self.open_metrics;
        // The family of an OpenMetrics counter has no suffix, its sample must have one.
        let base = match f.name.strip_suffix("_total") {
            Some(base) if total => base,
            _ => &f.name,
        };
        if !f.help.is_empty() {
            self.meta("HELP", base, &f.help);
        }
        let kind = match f.kind {
            MetricType::Unknown if !self.open_metrics => "untyped",
            MetricType::Info | MetricType::StateSet if !self.open_metrics => "gauge",
            MetricType::GaugeHistogram if !self.open_metrics => "histogram",
            kind => kind.as_str(),
        };
        self.meta("TYPE", base, kind);
        if self.open_metrics && !f.unit.is_empty() && base.ends_with(&format!("_{}", f.unit)) {
            self.meta("UNIT", base, &f.unit);
        }
        for m in &f.metrics {
            match &m.value {
                MetricValue::Number(v) => {
                    let suffix = if total { "_total" } else { "" };
                    self.sample(base, suffix, m, None, *v, None);
                }
                MetricValue::Histogram {
                    count,
                    sum,
                    buckets,
                } => {
                    for (le, n, exemplar) in buckets {
                        let le = self.bound(*le);
                        self.sample(
                            base,
                            "_bucket",
                            m,
                            Some(("le", &le)),
                            *n as f64,
                            exemplar.as_ref(),
                        );
                    }
                    if buckets.last().is_none_or(|(le, ..)| *le != f64::INFINITY) {
                        self.sample(
                            base,
                            "_bucket",
                            m,
                            Some(("le", "+Inf")),
                            *count as f64,
                            None,
                        );
                    }
                    self.sample(base, "_sum", m, None, *sum, None);
                    self.sample(base, "_count", m, None, *count as f64, None);
                }
                MetricValue::Summary {
                    count,
                    sum,
                    quantiles,
                } => {
                    for (q, v) in quantiles {
                        let q = self.bound(*q);
                        self.sample(base, "", m, Some(("quantile", &q)), *v, None);
                    }
                    self.sample(base, "_sum", m, None, *sum, None);
                    self.sample(base, "_count", m, None, *count as f64, None);
                }
                MetricValue::Native(_) => {}
            }
        }
    }

    fn bound(&self, v: f64) -> String {
        if self.open_metrics {
            float::format_open_metrics(v)
        } else {
            format_float(v)
        }
    }

    fn sample(
        &mut self,
        base: &str,
        suffix: &str,
        m: &Metric,
        extra: Option<(&str, &str)>,
        v: f64,
        exemplar: Option<&Exemplar>,
    ) {
        let full = format!("{base}{suffix}");
        let name = self.escaping.escape(&full, true);
        let quoted = !is_legacy_name(&name, true);
        let mut open = false;
        if quoted {
            self.put("{\"");
            self.escaped(&name, true);
            self.put("\"");
            open = true;
        } else {
            self.put(&name);
        }
        let pairs = m.labels.iter().filter(|(n, _)| *n != METRIC_NAME);
        for (n, value) in pairs.chain(extra) {
            self.put(if open { "," } else { "{" });
            open = true;
            self.pair(n, value);
        }
        if open {
            self.put("}");
        }
        self.put(" ");
        self.number(v);
        if let Some(t) = m.t {
            self.put(" ");
            self.time(t);
        }
        if let Some(e) = exemplar.filter(|_| self.open_metrics) {
            self.put(" # {");
            for (i, (n, value)) in e.labels.iter().enumerate() {
                if i > 0 {
                    self.put(",");
                }
                self.pair(n, value);
            }
            self.put("} ");
            self.number(e.value);
            self.put(" ");
            self.time(e.t);
        }
        self.put("\n");
    }

    fn pair(&mut self, name: &str, value: &str) {
        let name = self.escaping.escape(name, false);
        if is_legacy_name(&name, false) {
            self.put(&name);
        } else {
            self.put("\"");
            self.escaped(&name, true);
            self.put("\"");
        }
        self.put("=\"");
        self.escaped(value, true);
        self.put("\"");
    }

    /// Milliseconds, or seconds with three decimals in OpenMetrics.
    fn time(&mut self, t: i64) {
        if self.open_metrics {
            let sign = if t < 0 { "-" } else { "" };
            let ms = t.unsigned_abs();
            self.put(&format!("{sign}{}.{:03}", ms / 1000, ms % 1000));
        } else {
            self.put(&t.to_string());
        }
    }
}

fn write_proto(offer: &Offer, f: &Family, out: &mut Vec<u8>) {
    let mut msg = Vec::new();
    let mut w = Writer::new(&mut msg);
    w.string_or_skip(1, &offer.escaping.escape(&f.name, true));
    w.string_or_skip(2, &f.help);
    let kind = match f.kind {
        MetricType::Counter => 0,
        MetricType::Gauge | MetricType::Info | MetricType::StateSet => 1,
        MetricType::Summary => 2,
        MetricType::Unknown => 3,
        MetricType::Histogram => 4,
        MetricType::GaugeHistogram => 5,
    };
    w.uint(3, kind);
    for m in &f.metrics {
        w.message(4, |w| {
            for (n, v) in m.labels.iter().filter(|(n, _)| *n != METRIC_NAME) {
                w.message(1, |w| {
                    w.string_or_skip(1, &offer.escaping.escape(n, false));
                    w.string_or_skip(2, v);
                });
            }
            match &m.value {
                MetricValue::Number(v) => {
                    let field = match kind {
                        0 => 3,
                        1 => 2,
                        _ => 5,
                    };
                    w.message(field, |w| w.double(1, *v));
                }
                MetricValue::Summary {
                    count,
                    sum,
                    quantiles,
                } => w.message(4, |w| {
                    w.uint(1, *count);
                    w.double(2, *sum);
                    for (q, v) in quantiles {
                        w.message(3, |w| {
                            w.double(1, *q);
                            w.double(2, *v);
                        });
                    }
                }),
                MetricValue::Histogram {
                    count,
                    sum,
                    buckets,
                } => w.message(7, |w| {
                    w.uint(1, *count);
                    w.double(2, *sum);
                    for (le, n, exemplar) in buckets {
                        w.message(3, |w| {
                            w.uint(1, *n);
                            w.double(2, *le);
                            if let Some(e) = exemplar {
                                w.message(3, |w| write_exemplar(w, e));
                            }
                        });
                    }
                }),
                MetricValue::Native(h) => w.message(7, |w| write_native(w, h)),
            }
            w.int_or_skip(6, m.t.unwrap_or(0));
        });
    }
    w.string_or_skip(5, &f.unit);
    put_varint(out, msg.len() as u64);
    out.extend_from_slice(&msg);
}

fn write_exemplar(w: &mut Writer<'_>, e: &Exemplar) {
    for (n, v) in &e.labels {
        w.message(1, |w| {
            w.string_or_skip(1, n);
            w.string_or_skip(2, v);
        });
    }
    w.double(2, e.value);
    w.message(3, |w| {
        w.int_or_skip(1, e.t.div_euclid(1000));
        w.int_or_skip(2, e.t.rem_euclid(1000) * 1_000_000);
    });
}

fn write_native(w: &mut Writer<'_>, h: &Histogram) {
    let spans = |w: &mut Writer<'_>, field: u32, spans: &[Span]| {
        for s in spans {
            w.message(field, |w| {
                w.sint_or_skip(1, i64::from(s.offset));
                w.uint_or_skip(2, u64::from(s.length));
            });
        }
    };
    match &h.counts {
        Counts::Integer { count, zero, .. } => {
            w.uint(1, *count);
            w.uint_or_skip(7, *zero);
        }
        Counts::Float { count, zero, .. } => {
            w.double(4, *count);
            w.double_or_skip(8, *zero);
        }
    }
    w.double(2, h.sum);
    w.sint_or_skip(5, i64::from(h.schema));
    w.double_or_skip(6, h.zero_threshold);
    spans(w, 9, &h.negative_spans);
    spans(w, 12, &h.positive_spans);
    match &h.counts {
        Counts::Integer {
            positive, negative, ..
        } => {
            w.packed_varints(10, negative.iter().map(|d| zigzag(*d)));
            w.packed_varints(13, positive.iter().map(|d| zigzag(*d)));
        }
        Counts::Float {
            positive, negative, ..
        } => {
            w.packed_doubles(11, negative);
            w.packed_doubles(14, positive);
        }
    }
    if h.positive_spans.is_empty() && h.negative_spans.is_empty() && h.zero_threshold == 0.0 {
        // The sign of a native histogram without observations.
        w.message(12, |_| {});
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, ParseError, Series, SeriesValue, Sink, parse};
    use super::*;

    fn families() -> Vec<Family> {
        let metric = |labels: &[(&str, &str)], value| Metric {
            labels: Labels::from_pairs(labels.iter().copied()),
            t: Some(1500),
            value,
        };
        vec![
            Family {
                name: "req_total".into(),
                help: "a \"b\"\nc".into(),
                unit: String::new(),
                kind: MetricType::Counter,
                metrics: vec![metric(&[("a", "x\"y\\z\n")], MetricValue::Number(3.0))],
            },
            Family {
                name: "my.h".into(),
                help: String::new(),
                unit: String::new(),
                kind: MetricType::Histogram,
                metrics: vec![metric(
                    &[("l.é", "v")],
                    MetricValue::Histogram {
                        count: 4,
                        sum: 2.5,
                        buckets: vec![(1.0, 3, None), (f64::INFINITY, 4, None)],
                    },
                )],
            },
            Family {
                name: "s".into(),
                help: String::new(),
                unit: String::new(),
                kind: MetricType::Summary,
                metrics: vec![metric(
                    &[],
                    MetricValue::Summary {
                        count: 1,
                        sum: 2.0,
                        quantiles: vec![(0.5, f64::NAN)],
                    },
                )],
            },
        ]
    }

    #[derive(Default)]
    struct Collect(Vec<String>);
    impl Sink for Collect {
        fn metric_type(&mut self, _: &str, _: MetricType) {}
        fn help(&mut self, _: &str, _: &str) {}
        fn unit(&mut self, _: &str, _: &str) {}
        fn series(&mut self, s: &Series<'_>) -> Result<(), ParseError> {
            let mut pairs = Vec::new();
            s.labels(&mut pairs)?;
            if let SeriesValue::Float(v) = s.value {
                let labels = Labels::from_pairs(pairs);
                self.0.push(format!("{labels} {v} {:?}", s.t));
            }
            Ok(())
        }
    }

    #[test]
    fn every_format_reads_back_the_same() {
        let mut all = Vec::new();
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            let offer = Offer {
                format,
                version: "1.0.0",
                escaping: Escaping::AllowUtf8,
            };
            let mut body = Vec::new();
            for f in families() {
                write_family(&offer, &f, &mut body);
            }
            write_end(&offer, &mut body);
            let mut got = Collect::default();
            parse(format, &body, &Options::default(), &mut got).expect("own output is valid");
            got.0.sort();
            all.push(got.0);
        }
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0], all[2]);
        assert_eq!(all[0].len(), 8);
    }

    #[test]
    fn the_text_form_is_the_known_one() {
        let mut body = Vec::new();
        for f in families() {
            write_family(&Offer::FALLBACK, &f, &mut body);
        }
        let want = "# HELP req_total a \"b\"\\nc\n# TYPE req_total counter\n\
            req_total{a=\"x\\\"y\\\\z\\n\"} 3 1500\n# TYPE my_h histogram\n\
            my_h_bucket{l__=\"v\",le=\"1\"} 3 1500\nmy_h_bucket{l__=\"v\",le=\"+Inf\"} 4 1500\n\
            my_h_sum{l__=\"v\"} 2.5 1500\nmy_h_count{l__=\"v\"} 4 1500\n# TYPE s summary\n\
            s{quantile=\"0.5\"} NaN 1500\ns_sum 2 1500\ns_count 1 1500\n";
        assert_eq!(String::from_utf8(body).expect("text"), want);
    }
}
