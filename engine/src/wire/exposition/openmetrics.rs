//! OpenMetrics text, versions 0.0.1 and 1.0.0: one space between tokens, nothing unknown.

use super::lex::{Line, Piece, quote, unescape};
use super::{Form, Pairs, ParseError, RawExemplar, Rewrite, Series, SeriesValue, Sink, float};
use crate::model::{Labels, METRIC_NAME, MetricType};
use crate::wire::EXEMPLAR_LABELS_MAX;

type Created = hashbrown::HashMap<Labels, i64>;

const NO_EOF: &str = "data does not end with # EOF";

pub(super) fn parse(body: &[u8], sink: &mut dyn Sink) -> Result<(), ParseError> {
    run(body, None, sink)
}

/// As [`parse`], with `_created` series as start timestamps: one pass to collect them (they may
/// follow the series they belong to), one to emit the others.
pub(super) fn parse_created(body: &[u8], sink: &mut dyn Sink) -> Result<(), ParseError> {
    let mut collect = CreatedSink::default();
    run(body, None, &mut collect)?;
    run(body, Some(&collect.found), sink)
}

fn run(body: &[u8], created: Option<&Created>, sink: &mut dyn Sink) -> Result<(), ParseError> {
    let utf8 = std::str::from_utf8(body).is_ok();
    let mut p = 0;
    let mut kind = MetricType::Unknown;
    while p < body.len() {
        let line = Line {
            body,
            start: p,
            utf8,
        };
        if line.at(p) != b'#' {
            p = sample(&line, kind, created, sink)?;
            continue;
        }
        if body[p..].starts_with(b"# EOF") {
            let mut end = p + 5;
            if body.get(end) == Some(&b'\n') {
                end += 1;
            }
            return if end == body.len() {
                Ok(())
            } else {
                Err(ParseError("unexpected data after # EOF".into()))
            };
        }
        p = meta(&line, &mut kind, sink)?;
    }
    Err(ParseError(NO_EOF.into()))
}

/// A `# HELP`, `# TYPE` or `# UNIT` line. Returns the start of the next one.
fn meta(line: &Line<'_>, kind: &mut MetricType, sink: &mut dyn Sink) -> Result<usize, ParseError> {
    let (body, p) = (line.body, line.start);
    let word = body.get(p..p + 7).unwrap_or(&[]);
    let token = match word {
        b"# HELP " => "HELP",
        b"# TYPE " => "TYPE",
        b"# UNIT " => "UNIT",
        _ => {
            // The text names what was read up to the first byte that fits nothing.
            let known = [&b"# HELP "[..], b"# TYPE ", b"# UNIT ", b"# EOF"];
            let n = known
                .iter()
                .map(|k| k.iter().zip(&body[p..]).take_while(|(a, b)| a == b).count())
                .max()
                .unwrap_or(0);
            return Err(line.unexpected("expected a valid start token", p, p + n, "INVALID"));
        }
    };
    let at = p + 7;
    let (name, after) = match line.at(at) {
        b'"' => match line.string_end(at, false) {
            Some(q) => (at + 1..q, q + 1),
            None => (0..0, at),
        },
        _ => {
            let q = line.name_end(at, true);
            (at..q, q)
        }
    };
    if after == at {
        return Err(line.unexpected(
            &format!("expected metric name after {token}"),
            at,
            at,
            "INVALID",
        ));
    }
    let end = memchr::memchr(b'\n', &body[after..]).map(|n| after + n);
    let (Some(end), b' ') = (end, line.at(after)) else {
        return Err(line.unexpected(
            &format!("expected text in {token}"),
            after,
            after,
            "INVALID",
        ));
    };
    let text = &body[after + 1..end];
    let family = unescape(&body[name.clone()], true)?;
    match token {
        "TYPE" => {
            *kind = match text {
                b"counter" => MetricType::Counter,
                b"gauge" => MetricType::Gauge,
                b"histogram" => MetricType::Histogram,
                b"gaugehistogram" => MetricType::GaugeHistogram,
                b"summary" => MetricType::Summary,
                b"info" => MetricType::Info,
                b"stateset" => MetricType::StateSet,
                b"unknown" => MetricType::Unknown,
                other => {
                    return Err(ParseError(format!("invalid metric type {}", quote(other))));
                }
            };
            sink.metric_type(&family, *kind);
        }
        "HELP" => {
            let help = unescape(text, true).map_err(|_| {
                ParseError(format!(
                    "help text {} is not a valid utf8 string",
                    quote(text)
                ))
            })?;
            sink.help(&family, &help);
        }
        _ => {
            let metric = &body[name];
            let suffix = metric.strip_suffix(text).and_then(|m| m.last());
            if !text.is_empty() && suffix != Some(&b'_') {
                return Err(ParseError(format!(
                    "unit {} not a suffix of metric {}",
                    quote(text),
                    quote(metric)
                )));
            }
            // A suffix of a valid name cut at an underscore.
            sink.unit(&family, std::str::from_utf8(text).unwrap_or(""));
        }
    }
    Ok(end + 1)
}

/// End of the token after the space at `p`, or `p` when there is none.
fn token_end(line: &Line<'_>, p: usize) -> usize {
    if line.at(p) != b' ' || line.end(p) {
        return p;
    }
    let rest = line.body.get(p + 1..).unwrap_or(&[]);
    let n = memchr::memchr2(b' ', b'\n', rest).unwrap_or(rest.len());
    if n == 0 { p } else { p + 1 + n }
}

/// A value after the space at `p`: the value and the place after it.
fn value(line: &Line<'_>, p: usize, of: &str) -> Result<(f64, usize), ParseError> {
    let end = token_end(line, p);
    if end == p {
        let last = if line.at(p) == b' ' { p + 1 } else { p };
        return Err(line.unexpected(&format!("expected value after {of}"), p, last, "INVALID"));
    }
    let v = float::parse(&line.body[p + 1..end]).map_err(|e| line.failed(&e, end))?;
    Ok((v, end))
}

/// A timestamp in seconds at `from..to`, as milliseconds.
fn millis(line: &Line<'_>, from: usize, to: usize) -> Result<i64, ParseError> {
    let s = float::parse(&line.body[from..to]).map_err(|e| line.failed(&e, to))?;
    if !s.is_finite() {
        let name = if s.is_nan() {
            "NaN"
        } else if s > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return Err(line.failed(&format!("invalid timestamp {name}"), to));
    }
    Ok((s * 1000.0) as i64)
}

/// A sample line. Returns the start of the next one.
#[inline]
fn sample(
    line: &Line<'_>,
    kind: MetricType,
    created: Option<&Created>,
    sink: &mut dyn Sink,
) -> Result<usize, ParseError> {
    let body = line.body;
    let expected = sink.expected();
    let after = line.start + expected.len();
    let predicted = !expected.is_empty()
        && body[line.start..].starts_with(expected)
        && body.get(after) == Some(&b' ');
    let end = if predicted {
        after
    } else {
        line.series(true, |_| {})?
    };
    let (v, mut p) = value(line, end, "metric")?;
    let mut t = None;
    let mut exemplar = None;
    if line.end(p) {
        return Err(ParseError(NO_EOF.into()));
    }
    if !body[p..].starts_with(b" # {") && line.at(p) != b'\n' {
        let stop = token_end(line, p);
        if stop == p {
            return Err(line.unexpected("expected timestamp or # symbol", p, p + 1, "INVALID"));
        }
        t = Some(millis(line, p + 1, stop)?);
        p = stop;
        if line.end(p) {
            return Err(ParseError(NO_EOF.into()));
        }
    }
    if body[p..].starts_with(b" # {") {
        let (e, stop) = read_exemplar(line, p + 4)?;
        exemplar = Some(e);
        p = stop;
    }
    if line.at(p) != b'\n' {
        return Err(line.unexpected("expected next entry after timestamp", p, p, "INVALID"));
    }
    let raw = &body[line.start..end];
    let start_t = match created {
        None => 0,
        Some(map) => match start_of(raw, kind, map)? {
            // The line itself is a start timestamp.
            None => return Ok(p + 1),
            Some(t) => t,
        },
    };
    sink.series(&Series {
        raw,
        rewrite: Rewrite::under(kind),
        value: SeriesValue::Float(v),
        t,
        start_t,
        exemplars: exemplar.as_slice(),
        form: Form::OpenMetrics,
    })?;
    Ok(p + 1)
}

/// The exemplar whose labels start at `p`, after the brace.
fn read_exemplar(line: &Line<'_>, p: usize) -> Result<(RawExemplar, usize), ParseError> {
    let mut pairs: Pairs<'_> = Vec::new();
    let mut broken = None;
    // A bare quoted string has no meaning here: as if a name were set already.
    let (end, _) = line.braces(p, true, true, |piece| {
        if let Piece::Pair(n, v) = piece {
            match (unescape(&line.body[n], true), unescape(&line.body[v], true)) {
                (Ok(n), Ok(v)) => pairs.push((n, v)),
                (Err(e), _) | (_, Err(e)) => broken = Some(e),
            }
        }
    })?;
    if let Some(e) = broken {
        return Err(e);
    }
    if pairs.len() > EXEMPLAR_LABELS_MAX {
        let text = format!("exemplar has more than {EXEMPLAR_LABELS_MAX} labels");
        return Err(ParseError(text));
    }
    let (value, mut p) = value(line, end, "exemplar labels")?;
    let mut t = None;
    if line.end(p) {
        return Err(ParseError(NO_EOF.into()));
    }
    if line.at(p) != b'\n' {
        let stop = token_end(line, p);
        if stop == p {
            return Err(line.unexpected("expected timestamp or # symbol", p, p + 1, "INVALID"));
        }
        t = Some(millis(line, p + 1, stop)?);
        p = stop;
    }
    let e = RawExemplar {
        labels: Labels::from_pairs(pairs),
        value,
        t,
    };
    Ok((e, p))
}

/// Name suffixes of the series that share one start timestamp.
const SUFFIXES: [&str; 7] = [
    "_total", "_bucket", "_count", "_sum", "_gcount", "_gsum", "_created",
];

/// Family and labels under which a start timestamp is known.
fn created_key(raw: &[u8], kind: MetricType) -> Result<(Labels, bool), ParseError> {
    let mut pairs: Pairs<'_> = Vec::new();
    super::lex::read_series(raw, true, &mut pairs)?;
    let name = pairs.first().map_or("", |(_, v)| v);
    let is_created = name.ends_with("_created")
        && matches!(
            kind,
            MetricType::Counter | MetricType::Histogram | MetricType::Summary
        );
    let base = SUFFIXES
        .iter()
        .find_map(|s| name.strip_suffix(s))
        .unwrap_or(name)
        .to_owned();
    let skip = Rewrite::under(kind).label();
    let labels = Labels::from_pairs(
        pairs
            .iter()
            .map(|(n, v)| (n, v))
            .filter(|(n, _)| *n != skip && *n != METRIC_NAME),
    );
    Ok((labels.with(METRIC_NAME, &base), is_created))
}

/// Start timestamp of a series, 0 when unknown; `None` when it is itself a start timestamp.
fn start_of(raw: &[u8], kind: MetricType, map: &Created) -> Result<Option<i64>, ParseError> {
    let (key, is_created) = created_key(raw, kind)?;
    Ok((!is_created).then(|| map.get(&key).copied().unwrap_or(0)))
}

/// Collects `_created` series.
#[derive(Default)]
struct CreatedSink {
    kind: MetricType,
    found: Created,
}

impl Sink for CreatedSink {
    fn metric_type(&mut self, _: &str, kind: MetricType) {
        self.kind = kind;
    }
    fn help(&mut self, _: &str, _: &str) {}
    fn unit(&mut self, _: &str, _: &str) {}
    fn series(&mut self, s: &Series<'_>) -> Result<(), ParseError> {
        if let (SeriesValue::Float(v), (key, true)) = (s.value, created_key(s.raw, self.kind)?) {
            self.found.insert(key, (v * 1000.0) as i64);
        }
        Ok(())
    }
}
