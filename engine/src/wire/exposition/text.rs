//! The classic text format, versions 0.0.4 and 1.0.0.

use super::lex::{Line, quote, unescape};
use super::{Form, ParseError, Rewrite, Series, SeriesValue, Sink, float};
use crate::model::MetricType;

pub(super) fn parse(body: &[u8], sink: &mut dyn Sink) -> Result<(), ParseError> {
    let utf8 = std::str::from_utf8(body).is_ok();
    let mut p = 0;
    let mut rewrite = Rewrite::Nothing;
    while p < body.len() {
        let line = Line {
            body,
            start: p,
            utf8,
        };
        let q = line.skip_blanks(p);
        p = match line.at(q) {
            b'\n' => q + 1,
            // Blanks before the sign do not make a comment a series.
            b'#' => comment(&line, q, &mut rewrite, sink)?,
            _ => sample(&line, rewrite, sink)?,
        };
    }
    Ok(())
}

fn next_line(body: &[u8], p: usize) -> usize {
    let rest = body.get(p..).unwrap_or(&[]);
    memchr::memchr(b'\n', rest).map_or(body.len(), |n| p + n + 1)
}

/// A line that starts with `#` at `p`. Returns the start of the next one.
fn comment(
    line: &Line<'_>,
    p: usize,
    rewrite: &mut Rewrite,
    sink: &mut dyn Sink,
) -> Result<usize, ParseError> {
    let body = line.body;
    let next = next_line(body, p);
    let word = line.skip_blanks(p + 1);
    let rest = body.get(word..).unwrap_or(&[]);
    let is_type = rest.starts_with(b"TYPE");
    let keyword = word > p + 1
        && (is_type || rest.starts_with(b"HELP"))
        && matches!(rest.get(4), Some(b' ' | b'\t'));
    if !keyword {
        return Ok(next);
    }
    let token = if is_type { "TYPE" } else { "HELP" };
    let name_at = line.skip_blanks(word + 4);
    let (name, after) = match line.at(name_at) {
        b'"' => match line.string_end(name_at, false) {
            Some(q) => (name_at + 1..q, q + 1),
            None => (0..0, name_at),
        },
        _ => {
            let q = line.name_end(name_at, true);
            (name_at..q, q)
        }
    };
    if after == name_at {
        return Err(line.unexpected(
            &format!("expected metric name after {token}"),
            name_at,
            name_at,
            "INVALID",
        ));
    }
    let next = next_line(body, after);
    let end = if next > after && body[next - 1] == b'\n' {
        next - 1
    } else {
        next
    };
    // Exactly one separator is not part of the text.
    let text = body.get(after + 1..end).unwrap_or(&[]);
    let family = unescape(&body[name], true)?;
    if is_type {
        let kind = match text {
            b"counter" => MetricType::Counter,
            b"gauge" => MetricType::Gauge,
            b"histogram" => MetricType::Histogram,
            b"summary" => MetricType::Summary,
            b"untyped" => MetricType::Unknown,
            other => {
                return Err(ParseError(format!("invalid metric type {}", quote(other))));
            }
        };
        *rewrite = Rewrite::under(kind);
        sink.metric_type(&family, kind);
    } else {
        let help = unescape(text, false).map_err(|_| {
            ParseError(format!(
                "help text {} is not a valid utf8 string",
                quote(text)
            ))
        })?;
        sink.help(&family, &help);
    }
    Ok(next)
}

/// A sample line. Returns the start of the next one.
#[inline]
fn sample(line: &Line<'_>, rewrite: Rewrite, sink: &mut dyn Sink) -> Result<usize, ParseError> {
    let body = line.body;
    let expected = sink.expected();
    let predicted = !expected.is_empty()
        && body[line.start..].starts_with(expected)
        && predicted_ends(line, line.start + expected.len());
    let end = if predicted {
        line.start + expected.len()
    } else {
        line.series(false, |_| {})?
    };
    let at = line.skip_blanks(end);
    let stop = memchr::memchr3(b' ', b'\t', b'\n', body.get(at..).unwrap_or(&[]))
        .map_or(body.len(), |n| at + n);
    let token = &body[at.min(body.len())..stop];
    if token.is_empty() || token[0] == b'{' {
        return Err(line.unexpected("expected value after metric", at, at, "INVALID"));
    }
    let value = float::parse(token).map_err(|e| line.failed(&e, stop))?;
    let mut p = line.skip_blanks(stop);
    let mut t = None;
    let digits = body.get(p..).unwrap_or(&[]);
    let n = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if n > 0 {
        let text = std::str::from_utf8(&digits[..n]).unwrap_or("");
        t = Some(text.parse::<i64>().map_err(|_| {
            line.failed(
                &format!(
                    "strconv.ParseInt: parsing {}: value out of range",
                    quote(text.as_bytes())
                ),
                p + n,
            )
        })?);
        p = line.skip_blanks(p + n);
        if line.at(p) != b'\n' {
            return Err(line.unexpected("expected next entry after timestamp", p, p, "INVALID"));
        }
    } else if line.at(p) != b'\n' {
        return Err(line.unexpected("expected timestamp or new record", p, p, "INVALID"));
    }
    sink.series(&Series {
        raw: &body[line.start..end],
        rewrite,
        value: SeriesValue::Float(value),
        t,
        start_t: 0,
        exemplars: &[],
        form: Form::Text,
    })?;
    Ok(p + 1)
}

/// True when a predicted series really ends at `p`: a name may go on, or braces may follow it.
#[inline]
fn predicted_ends(line: &Line<'_>, p: usize) -> bool {
    if !matches!(line.body.get(p), Some(b' ' | b'\t')) {
        return false;
    }
    line.at(line.skip_blanks(p)) != b'{'
}
