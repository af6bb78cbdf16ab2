//! Answers of queries, written series by series.

use std::sync::Arc;

use ::query::promql::histogram::all_buckets;
use ::query::promql::{MatrixSeries, Sample, SampleValue, Value};
use engine::budget::Share;
use engine::model::FloatHistogram;

use super::json::{write_string, write_time, write_value};
use super::labels::write_labels;
use crate::http::ChunkSource;

/// A query's answer on its way out.
pub(crate) struct QueryBody {
    value: Value,
    /// Held as long as the value.
    _memory: Option<Arc<Share>>,
    /// What stands after the result: stats and the end of the envelope.
    tail: Vec<u8>,
    /// Series that have been written; `None` before the first byte.
    at: Option<usize>,
    /// Points of the series at `at` that have been written.
    point: usize,
    scratch: String,
}

impl QueryBody {
    /// The body for `value`, whose memory is counted by `memory`; `tail` follows the result.
    pub(crate) fn new(value: Value, memory: Option<Arc<Share>>, tail: Vec<u8>) -> Self {
        Self {
            value,
            _memory: memory,
            tail,
            at: None,
            point: 0,
            scratch: String::new(),
        }
    }

    fn head(&mut self, out: &mut Vec<u8>) {
        let kind = match &self.value {
            Value::Scalar(..) => "scalar",
            Value::String(..) => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        };
        out.extend_from_slice(b"{\"status\":\"success\",\"data\":{\"resultType\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"result\":");
        match &self.value {
            Value::Scalar(t, v) => point(*t, *v, &mut self.scratch, out),
            Value::String(t, s) => {
                out.push(b'[');
                write_time(*t, out);
                out.push(b',');
                write_string(s, out);
                out.push(b']');
            }
            Value::Vector(_) | Value::Matrix(_) => out.push(b'['),
        }
    }
}

impl ChunkSource for QueryBody {
    fn next(&mut self, out: &mut Vec<u8>, want: usize) -> bool {
        if self.at.is_none() {
            self.head(out);
        }
        let mut at = self.at.unwrap_or(0);
        match &self.value {
            Value::Scalar(..) | Value::String(..) => {}
            Value::Vector(samples) => {
                while let Some(s) = samples.get(at) {
                    if out.len() >= want {
                        self.at = Some(at);
                        return true;
                    }
                    if at > 0 {
                        out.push(b',');
                    }
                    sample(s, &mut self.scratch, out);
                    at += 1;
                }
                out.push(b']');
            }
            Value::Matrix(series) => {
                while let Some(s) = series.get(at) {
                    if out.len() >= want {
                        self.at = Some(at);
                        return true;
                    }
                    if at > 0 && self.point == 0 {
                        out.push(b',');
                    }
                    if !matrix_series(s, &mut self.point, want, &mut self.scratch, out) {
                        self.at = Some(at);
                        return true;
                    }
                    self.point = 0;
                    at += 1;
                }
                out.push(b']');
            }
        }
        out.append(&mut self.tail);
        false
    }
}

fn point(t: i64, v: f64, scratch: &mut String, out: &mut Vec<u8>) {
    out.push(b'[');
    write_time(t, out);
    out.push(b',');
    write_value(v, scratch, out);
    out.push(b']');
}

fn sample(s: &Sample, scratch: &mut String, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(&s.labels, out);
    match &s.value {
        SampleValue::Float(v) => {
            out.extend_from_slice(b",\"value\":");
            point(s.t, *v, scratch, out);
        }
        SampleValue::Histogram(h) => {
            out.extend_from_slice(b",\"histogram\":");
            histogram_point(s.t, h, scratch, out);
        }
    }
    out.push(b'}');
}

/// Continues a series at `done` points; false when the piece is full before its end. Histograms
/// are few per series and are not split.
fn matrix_series(
    s: &MatrixSeries,
    done: &mut usize,
    want: usize,
    scratch: &mut String,
    out: &mut Vec<u8>,
) -> bool {
    if *done == 0 {
        out.extend_from_slice(b"{\"metric\":");
        write_labels(&s.labels, out);
        if !s.floats.is_empty() {
            out.extend_from_slice(b",\"values\":[");
        }
    }
    while let Some((t, v)) = s.floats.get(*done) {
        // Never stop before the first point: that would look like a series not begun.
        if out.len() >= want && *done > 0 {
            return false;
        }
        if *done > 0 {
            out.push(b',');
        }
        point(*t, *v, scratch, out);
        *done += 1;
    }
    if !s.floats.is_empty() {
        out.push(b']');
    }
    if !s.histograms.is_empty() {
        out.extend_from_slice(b",\"histograms\":[");
        for (i, (t, h)) in s.histograms.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            histogram_point(*t, h, scratch, out);
        }
        out.push(b']');
    }
    out.push(b'}');
    true
}

fn histogram_point(t: i64, h: &FloatHistogram, scratch: &mut String, out: &mut Vec<u8>) {
    out.push(b'[');
    write_time(t, out);
    out.extend_from_slice(b",{\"count\":");
    write_value(h.count, scratch, out);
    out.extend_from_slice(b",\"sum\":");
    write_value(h.sum, scratch, out);
    let mut first = true;
    for b in all_buckets(h).filter(|b| b.count != 0.0) {
        out.extend_from_slice(if first { b",\"buckets\":[[" } else { b",[" });
        first = false;
        // 0: open on the left, 1: open on the right, 2: open on both sides, 3: closed.
        out.push(match (b.lower_inclusive, b.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        });
        for v in [b.lower, b.upper, b.count] {
            out.push(b',');
            write_value(v, scratch, out);
        }
        out.push(b']');
    }
    if !first {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}

#[cfg(test)]
mod tests {
    use engine::model::Labels;

    use super::*;

    fn written(value: Value, want: usize) -> String {
        let mut body = QueryBody::new(value, None, b"}}".to_vec());
        let mut all = Vec::new();
        loop {
            let mut piece = Vec::new();
            let more = body.next(&mut piece, want);
            all.extend(piece);
            if !more {
                return String::from_utf8(all).unwrap();
            }
        }
    }

    #[test]
    fn pieces_of_any_size_make_the_same_answer() {
        let series = |n: usize| MatrixSeries {
            labels: Labels::from_pairs([("__name__", "a"), ("n", n.to_string().as_str())]),
            floats: (0..n as i64).map(|t| (t * 500, t as f64)).collect(),
            histograms: Vec::new(),
        };
        let value = Value::Matrix(vec![series(3), series(0), series(2)]);
        let whole = written(value.clone(), 1 << 20);
        assert_eq!(
            whole,
            "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[\
             {\"metric\":{\"__name__\":\"a\",\"n\":\"3\"},\"values\":[[0,\"0\"],[0.500,\"1\"],[1,\"2\"]]},\
             {\"metric\":{\"__name__\":\"a\",\"n\":\"0\"}},\
             {\"metric\":{\"__name__\":\"a\",\"n\":\"2\"},\"values\":[[0,\"0\"],[0.500,\"1\"]]}]}}"
        );
        for want in [1, 10, 60, 100] {
            assert_eq!(written(value.clone(), want), whole, "{want}");
        }
    }

    #[test]
    fn scalars_and_strings_are_pairs() {
        let text = written(Value::Scalar(1000, f64::NAN), 10);
        assert!(text.ends_with("\"result\":[1,\"NaN\"]}}"), "{text}");
        let text = written(Value::String(1500, "<a>".into()), 10);
        assert!(text.ends_with("[1.500,\"\\u003ca\\u003e\"]}}"), "{text}");
    }
}
